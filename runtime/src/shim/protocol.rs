//! What daemon and shim say to each other: one line of JSON a message over a unix socket, open files beside it.
//! A daemon must understand shims its predecessor started: only add to these types, and give what is added a default.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::PathBuf;

use crate::api::{Container, ExecSpec, Exit};
use crate::check::Check;
use crate::error::Error;
use crate::signal::Signal;
use crate::spec::Process;

/// Longest line; the largest is an `Exec` with its environment.
pub(crate) const LINE_MAX: usize = 4 << 20;
/// Files that may come with one line: standard output, error, input.
pub(crate) const FILES_MAX: usize = 3;

/// What a shim is started for, given on its standard input.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct Order {
    pub(crate) container: Container,
    pub(crate) process: Process,
    /// Unpacked layers, lowest first.
    pub(crate) layers: Vec<PathBuf>,
    /// The container's directory, made.
    pub(crate) dir: PathBuf,
    /// Where its output goes; made.
    pub(crate) logs: PathBuf,
    /// Where its volumes lie, by their mounts' targets.
    #[serde(default)]
    pub(crate) volumes: BTreeMap<String, PathBuf>,
    /// Directory of the sockets; this one's is named as the task.
    pub(crate) sockets: PathBuf,
    /// The container library's own directory.
    pub(crate) library: PathBuf,
    pub(crate) cgroup: String,
    /// How the daemon asks whether it is well; not the shim's, kept here because the image may change its name.
    #[serde(default)]
    pub(crate) check: Option<Check>,
    /// The filter of system calls, in base 64.
    pub(crate) filter: String,
}

#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub(crate) enum Request {
    /// Answered `Done` once the process was executed.
    Start,
    Signal(Signal),
    /// Answered `State`.
    State,
    /// Answered `Ended` when it has.
    Wait,
    /// Answered `Wrote` whenever output was written, at the end `Ended`.
    Follow,
    /// Comes with its standard output, error and perhaps input; answered `ExecStarted`, later `ExecEnded`.
    Exec(ExecSpec),
    /// The same with a terminal: comes with a socket, over which the terminal's outer end is sent before the answer.
    /// Not an `Exec`, which an older shim would run without one.
    ExecInTerminal(ExecSpec),
}

#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub(crate) enum Reply {
    Created { pid: u32 },
    Done,
    State { pid: u32, started: bool },
    Ended(Exit),
    Wrote,
    ExecStarted { pid: u32 },
    ExecEnded { code: i32 },
    Failed(Failure),
}

/// An [`Error`] as it crosses the socket.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub(crate) enum Failure {
    BadCommand(String),
    BadSetting(String),
    HostileImage(String),
    Busy(String),
    Other(String),
}

impl From<&Error> for Failure {
    fn from(error: &Error) -> Self {
        match error {
            Error::BadCommand { message } => Self::BadCommand(message.clone()),
            Error::BadSetting { message } => Self::BadSetting(message.clone()),
            Error::HostileImage { reason } => Self::HostileImage(reason.clone()),
            Error::Busy { state, .. } => Self::Busy((*state).to_owned()),
            Error::Container { message, .. } => Self::Other(message.clone()),
            Error::Io { what, source } => Self::Other(format!("{what}: {source}")),
            Error::NoSuchImage(_)
            | Error::AmbiguousImage { .. }
            | Error::NotInRegistry(_)
            | Error::RegistryUnreachable { .. }
            | Error::Registry { .. }
            | Error::LoginRefused { .. }
            | Error::Conflict(_)
            | Error::NoSuchContainer(_)
            | Error::Silent { .. }
            | Error::NoSuchVolume(_)
            | Error::VolumeInUse { .. }
            | Error::NoLogs => Self::Other(error.to_string()),
        }
    }
}

impl Failure {
    pub(crate) fn into_error(self, id: skein_events::id::TaskId) -> Error {
        match self {
            Self::BadCommand(message) => Error::BadCommand { message },
            Self::BadSetting(message) => Error::BadSetting { message },
            Self::HostileImage(reason) => Error::HostileImage { reason },
            Self::Busy(state) if state == NOT_RUNNING => Error::Busy { id, state: NOT_RUNNING },
            Self::Busy(state) if state == STARTED => Error::Busy { id, state: STARTED },
            Self::Busy(message) | Self::Other(message) => Error::Container { id, message },
        }
    }
}

pub(crate) const NOT_RUNNING: &str = "not running";
pub(crate) const STARTED: &str = "started already";

/// Writes one message.
pub(crate) fn send_line(to: &mut impl Write, message: &impl serde::Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    to.write_all(&line)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn reply() -> impl Strategy<Value = Reply> {
        any::<(u8, u32, i32, Option<i32>, bool, u64, String)>().prop_map(
            |(kind, pid, code, signal, yes, at, text)| match kind % 12 {
                0 => Reply::Created { pid },
                1 => Reply::Done,
                2 => Reply::State { pid, started: yes },
                3 => {
                    let at = skein_events::time::Time(at);
                    Reply::Ended(Exit { code, signal, oom: yes, at })
                }
                4 => Reply::Wrote,
                5 => Reply::ExecStarted { pid },
                6 => Reply::ExecEnded { code },
                7 => Reply::Failed(Failure::BadCommand(text)),
                8 => Reply::Failed(Failure::BadSetting(text)),
                9 => Reply::Failed(Failure::HostileImage(text)),
                10 => Reply::Failed(Failure::Busy(text)),
                _ => Reply::Failed(Failure::Other(text)),
            },
        )
    }

    fn read(bytes: &[u8]) {
        drop(serde_json::from_slice::<Request>(bytes));
        drop(serde_json::from_slice::<Reply>(bytes));
        drop(serde_json::from_slice::<Order>(bytes));
        drop(serde_json::from_slice::<Exit>(bytes));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_message_is_one_line_and_reads_as_what_was_sent(
            reply in reply(),
            change in (any::<prop::sample::Index>(), any::<u8>()),
            noise: Vec<u8>,
        ) {
            let mut line = Vec::new();
            send_line(&mut line, &reply).unwrap();
            prop_assert_eq!(line.iter().position(|b| *b == b'\n'), Some(line.len() - 1));
            let again: Reply = serde_json::from_slice(&line).unwrap();
            prop_assert_eq!(format!("{reply:?}"), format!("{again:?}"));
            let at = change.0.index(line.len());
            line[at] = change.1;
            read(&line);
            read(&line[..at]);
            read(&noise);
        }
    }
}
