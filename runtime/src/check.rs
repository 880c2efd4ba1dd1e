//! How a container is asked whether it is well: what the user said, filled in by the image, then by Docker's defaults.
//! Says only what is to be run and when; the agent runs it and judges.

use skein_events::task::container::{HealthCheck, HealthTest};
use skein_events::time::Span;

use crate::image::ImageConfig;

const INTERVAL: Span = Span::seconds(30);
const TIMEOUT: Span = Span::seconds(30);
const RETRIES: u64 = 3;
const START_INTERVAL: Span = Span::seconds(5);
/// No check comes sooner after another, whatever an image says; Docker takes nothing less from its users.
const LEAST: Span = Span::millis(1);

/// A container's check, with nothing left to be inherited.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Check {
    /// Program and arguments; 0 as its exit status means well.
    pub args: Vec<String>,
    /// Time from one check's end to the next.
    pub interval: Span,
    /// How long a check may take.
    pub timeout: Span,
    /// Failures in a row that mean unwell.
    pub retries: u64,
    /// So long after the start failures do not count, as long as no check was passed.
    pub start_period: Span,
    /// Time between two checks meanwhile.
    pub start_interval: Span,
}

/// How a container has done in its checks so far: what a daemon that was started again goes on with.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Standing {
    /// A check was passed, and it was not unwell since.
    pub well: bool,
    /// Failures in a row that count.
    pub failures: u64,
    /// What the last of them came to; nothing of what the check printed.
    pub last: String,
}

impl Check {
    /// The check of a container, if there is one. What the user left out is the image's, field by field.
    pub fn of(asked: &HealthCheck, image: &ImageConfig) -> Option<Self> {
        let HealthCheck { test, interval, timeout, retries, start_period, start_interval } = asked;
        let inherited = image.healthcheck.clone().unwrap_or_default();
        let args = match test {
            HealthTest::None => return None,
            HealthTest::Command(words) => words.clone(),
            HealthTest::Shell(line) => shell(image, line),
            HealthTest::Inherit => inherited_args(image, &inherited.test)?,
        };
        let span = |own: Span, image: i64, usual: Span| match (own.0, u64::try_from(image)) {
            (0, Ok(0) | Err(_)) => usual,
            (0, Ok(image)) => Span(image),
            (own, _) => Span(own),
        };
        Some(Self {
            args,
            interval: span(*interval, inherited.interval, INTERVAL).max(LEAST),
            timeout: span(*timeout, inherited.timeout, TIMEOUT).max(LEAST),
            retries: span(Span(*retries), inherited.retries, Span(RETRIES)).0,
            start_period: span(*start_period, inherited.start_period, Span(0)),
            start_interval: span(*start_interval, inherited.start_interval, START_INTERVAL)
                .max(LEAST),
        })
    }
}

/// An image's own test; one of a kind nobody knows is none, as with Docker.
fn inherited_args(image: &ImageConfig, test: &[String]) -> Option<Vec<String>> {
    let (kind, rest) = test.split_first()?;
    match kind.as_str() {
        "CMD" if !rest.is_empty() => Some(rest.to_vec()),
        "CMD-SHELL" if !rest.is_empty() => Some(shell(image, &rest.join(" "))),
        _ => None,
    }
}

fn shell(image: &ImageConfig, line: &str) -> Vec<String> {
    let mut words = image.shell.clone();
    if words.is_empty() {
        words = ["/bin/sh", "-c"].map(str::to_owned).to_vec();
    }
    words.push(line.to_owned());
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::config::ImageCheck;

    fn words(list: &[&str]) -> Vec<String> {
        list.iter().map(|word| (*word).to_owned()).collect()
    }

    fn image(test: &[&str]) -> ImageConfig {
        let healthcheck = ImageCheck {
            test: words(test),
            interval: 7,
            retries: 9,
            start_period: -1,
            ..ImageCheck::default()
        };
        ImageConfig { healthcheck: Some(healthcheck), ..ImageConfig::default() }
    }

    #[test]
    fn the_user_wins_field_by_field_and_defaults_are_dockers() {
        let bare = ImageConfig::default();
        assert_eq!(Check::of(&HealthCheck::default(), &bare), None);
        let asked =
            HealthCheck { test: HealthTest::Shell("a b".to_owned()), ..HealthCheck::default() };
        let usual = Check {
            args: words(&["/bin/sh", "-c", "a b"]),
            interval: Span::seconds(30),
            timeout: Span::seconds(30),
            retries: 3,
            start_period: Span(0),
            start_interval: Span::seconds(5),
        };
        assert_eq!(Check::of(&asked, &bare), Some(usual.clone()));
        let asked = HealthCheck { timeout: Span::seconds(2), ..HealthCheck::default() };
        let merged = Check {
            args: words(&["/ok", "x"]),
            interval: LEAST,
            timeout: Span::seconds(2),
            retries: 9,
            ..usual
        };
        assert_eq!(Check::of(&asked, &image(&["CMD", "/ok", "x"])), Some(merged));
    }

    #[test]
    fn no_test_is_no_check() {
        let none = HealthCheck { test: HealthTest::None, ..HealthCheck::default() };
        assert_eq!(Check::of(&none, &image(&["CMD", "/ok"])), None);
        for test in [&["NONE"][..], &["CMD"], &["HTTP", "/"], &[]] {
            assert_eq!(Check::of(&HealthCheck::default(), &image(test)), None, "{test:?}");
        }
        let mut own_shell = image(&["CMD-SHELL", "exit 1"]);
        own_shell.shell = words(&["/bin/bash", "-ec"]);
        let args = Check::of(&HealthCheck::default(), &own_shell).unwrap().args;
        assert_eq!(args, ["/bin/bash", "-ec", "exit 1"]);
    }
}
