//! How a container is found to be well, in Docker's words and in ours.

use bollard_stubs::models;

use skein_events::refusal::Refusal;
use skein_events::task::container::{HealthCheck, HealthTest};
use skein_events::time::Span;

use super::{signed, some, unsigned};

/// A millisecond.
const LEAST: u64 = 1_000_000;

pub(super) fn health(config: Option<models::HealthConfig>) -> Result<HealthCheck, Refusal> {
    let models::HealthConfig { test, interval, timeout, retries, start_period, start_interval } =
        config.unwrap_or_default();
    // As Docker has it: less would be a machine that does nothing else.
    let span = |what: &str, value| match unsigned(what, value)? {
        1..LEAST => Err(Refusal::Invalid(format!("{what} cannot be less than 1ms"))),
        nanos => Ok(Span(nanos)),
    };
    Ok(HealthCheck {
        test: self::test(&test.unwrap_or_default())?,
        interval: span("Interval in Healthcheck", interval)?,
        timeout: span("Timeout in Healthcheck", timeout)?,
        retries: unsigned("Retries in Healthcheck", retries)?,
        start_period: span("StartPeriod in Healthcheck", start_period)?,
        start_interval: span("StartInterval in Healthcheck", start_interval)?,
    })
}

fn test(words: &[String]) -> Result<HealthTest, Refusal> {
    let Some((kind, rest)) = words.split_first() else { return Ok(HealthTest::Inherit) };
    match kind.as_str() {
        "NONE" => Ok(HealthTest::None),
        "CMD" if !rest.is_empty() => Ok(HealthTest::Command(rest.to_vec())),
        "CMD-SHELL" if !rest.is_empty() => Ok(HealthTest::Shell(rest.join(" "))),
        "CMD" | "CMD-SHELL" => {
            Err(Refusal::Invalid(format!("Healthcheck: there is no command after {kind}")))
        }
        _ => Err(Refusal::Invalid(format!(
            "Healthcheck: a test begins with NONE, CMD or CMD-SHELL, not {kind:?}"
        ))),
    }
}

/// Nothing where nothing differs from the image's.
pub(super) fn model(health: &HealthCheck) -> Option<models::HealthConfig> {
    let HealthCheck { test, interval, timeout, retries, start_period, start_interval } = health;
    let number = |n: u64| (n != 0).then(|| signed(n));
    let words = |kind: &str, rest: &[String]| Some([&[kind.to_owned()], rest].concat());
    some(models::HealthConfig {
        test: match test {
            HealthTest::Inherit => None,
            HealthTest::None => words("NONE", &[]),
            HealthTest::Command(rest) => words("CMD", rest),
            HealthTest::Shell(line) => words("CMD-SHELL", std::slice::from_ref(line)),
        },
        interval: number(interval.0),
        timeout: number(timeout.0),
        retries: number(*retries),
        start_period: number(start_period.0),
        start_interval: number(start_interval.0),
    })
}
