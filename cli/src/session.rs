//! What one command has at hand: the daemon, the screen, the time.
//! A value, so that a test gives it a fake daemon, a buffer and a fixed time.

use std::os::fd::AsFd as _;

use hyper::Method;
use jiff::Timestamp;
use serde_json::value::RawValue;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _};

use crate::args::{At, Because, Host, Inspecting};
use crate::client::{Client, encode, nothing};
use crate::failure::Failure;
use crate::screen::{Screen, human};

/// The surroundings of one client command.
pub(crate) struct Session {
    /// The daemon.
    pub(crate) client: Client,
    /// Where results and notes go.
    pub(crate) screen: Screen,
    /// The moment ages are counted to.
    pub(crate) now: Timestamp,
}

impl Session {
    /// A session with the daemon at `host`, now.
    pub(crate) fn new(host: &Host, screen: Screen) -> Self {
        Self { client: Client::new(host.clone()), screen, now: Timestamp::now() }
    }

    /// The moment ages are counted to: now, or the one of the past that is looked at, which the daemon knows.
    pub(crate) async fn moment(&self, at: &At) -> Result<Timestamp, Failure> {
        if at.at.is_none() {
            return Ok(self.now);
        }
        let info: serde_json::Value = self.client.read("/info", at).await?;
        Ok(info["SystemTime"].as_str().and_then(|t| t.parse().ok()).unwrap_or(self.now))
    }
}

/// Deletes each object, prints its name as the user gave it, and goes on after a refusal; the last refusal is the outcome.
pub(crate) async fn remove(
    session: &mut Session,
    route: &str,
    objects: &[String],
    because: &Because,
) -> Result<(), Failure> {
    remove_so(session, route, objects, "", because).await
}

/// The same with a query for each, such as `?force=1`.
pub(crate) async fn remove_so(
    session: &mut Session,
    route: &str,
    objects: &[String],
    query: &str,
    because: &Because,
) -> Result<(), Failure> {
    let mut refused = None;
    if objects.iter().any(String::is_empty) {
        return Err(Failure::Usage("a name is empty".to_owned()));
    }
    for object in objects {
        let path = format!("{route}/{}{query}", encode(object));
        match session.client.order(Method::DELETE, &path, nothing(), because).await {
            Ok(()) => session.screen.line(object)?,
            Err(Failure::Rehearsed(text)) => session.screen.line(text)?,
            Err(failure @ Failure::Refused { .. }) => {
                if let Some(earlier) = refused.replace(failure) {
                    session.screen.note(earlier)?;
                }
            }
            Err(failure) => return Err(failure),
        }
    }
    refused.map_or(Ok(()), Err)
}

/// Shows objects as `inspect` does, each read from its route; those that are there are shown though others are not.
pub(crate) async fn inspect(
    session: &mut Session,
    route: &str,
    objects: &[String],
    inspecting: &Inspecting,
) -> Result<(), Failure> {
    let paths = objects.iter().map(|object| format!("{route}/{}", encode(object)));
    inspect_all(session, paths, inspecting).await
}

/// The same for objects whose paths are made by other rules.
pub(crate) async fn inspect_all(
    session: &mut Session,
    paths: impl Iterator<Item = String>,
    inspecting: &Inspecting,
) -> Result<(), Failure> {
    let (mut found, mut refused) = (Vec::new(), Vec::new());
    for path in paths {
        match session.client.read::<Box<RawValue>>(&path, &inspecting.at).await {
            Ok(value) => found.push(value),
            Err(failure @ Failure::Refused { .. }) => refused.push(failure),
            Err(failure) => return Err(failure),
        }
    }
    session.screen.objects(&inspecting.format, &found)?;
    let last = refused.pop();
    refused.iter().try_for_each(|failure| session.screen.note(failure))?;
    last.map_or(Ok(()), Err)
}

/// Whether the user means it: asks on standard error and takes `y` from standard input for yes; `--force` does not ask.
pub(crate) async fn confirmed(
    session: &mut Session,
    force: bool,
    warning: &str,
) -> Result<(), Failure> {
    if force {
        return Ok(());
    }
    session
        .screen
        .note(format_args!("WARNING! {warning}\nAre you sure you want to continue? [y/N]"))?;
    let mut answer = Vec::new();
    let mut input = tokio::io::BufReader::new(standard_input()?).take(64);
    input.read_until(b'\n', &mut answer).await?;
    if matches!(answer.trim_ascii(), b"y" | b"Y") {
        return Ok(());
    }
    Err(Failure::failed("nothing was removed: answer y, or add --force"))
}

/// A dry run of what would do nothing.
pub(crate) fn nothing_to_do(session: &mut Session) -> Result<(), Failure> {
    session.screen.line("dry run: nothing was changed; there is nothing to do")
}

/// Tells how much of the disk is free again.
pub(crate) fn reclaimed(session: &mut Session, bytes: i64) -> Result<(), Failure> {
    session.screen.line(format_args!("Total reclaimed space: {}", human::size(bytes)))
}

/// This process's standard input, unbuffered.
pub(crate) fn standard_input() -> std::io::Result<tokio::fs::File> {
    let input = std::io::stdin().as_fd().try_clone_to_owned()?;
    Ok(tokio::fs::File::from_std(std::fs::File::from(input)))
}
