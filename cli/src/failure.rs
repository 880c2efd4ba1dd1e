//! Why a command did not succeed, what is said about it, and with which exit code the program leaves.
//! One place, because exit codes and the first line on standard error are part of what scripts rely on.

use std::io;

/// Exit code of anything that went wrong and has no code of its own.
const FAILED: i32 = 1;
/// Exit code when the daemon cannot go on: a supervisor starts it again, and it replays.
pub(crate) const FATAL: i32 = 70;
/// Exit code of a command line that could not be understood, as Docker's.
pub(crate) const USAGE: i32 = 125;
/// Exit code after SIGINT, as a shell would report it.
pub(crate) const INTERRUPTED: i32 = 130;

/// Every exit code and what it means; stable, scripts rely on them.
pub(crate) const EXIT_CODES: [(&str, &str); 7] = [
    ("0", "done; also when whoever read our output went away"),
    ("1", "refused by the daemon, or failed; the first line on standard error says why"),
    ("70", "`skein daemon` only: it cannot go on, and is to be started again"),
    ("3", "what was to be changed has changed since `--if-at`; nothing happened"),
    ("125", "the command line was not understood, and nothing was asked"),
    ("130", "ended by Ctrl-C"),
    (
        "other",
        "`skein exec` only: the code of the command it ran; 126 when that could not be started",
    ),
];

/// Exit code when `--if-at` did not hold.
const CHANGED: i32 = 3;

/// Any way a client command can end other than well.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// Nothing answers on the socket.
    #[error(
        "cannot connect to the skein daemon at {host}: is it running? (start it with: skein daemon)"
    )]
    Unreachable {
        host: String,
        #[source]
        source: io::Error,
    },
    /// The socket is there, but not for this user.
    #[error("permission denied at {host}: the daemon's socket belongs to root")]
    Forbidden { host: String },
    /// The daemon understood and said no.
    #[error("Error response from daemon: {message}")]
    Refused { status: u16, code: Option<String>, message: String, hint: Option<String> },
    /// A dry run was asked for: no failure, but nothing that was asked for happened either.
    #[error("{0}")]
    Rehearsed(String),
    /// The connection ended in the middle of a request.
    #[error("the daemon closed the connection before it answered: {0}")]
    Cut(#[source] hyper::Error),
    /// The connection ended in the middle of a request that would change the swarm.
    #[error(
        "the daemon closed the connection before it answered: whether the command took effect is unknown"
    )]
    Unknown(#[source] hyper::Error),
    /// The answer is not what this route answers.
    #[error("the daemon's answer to {request} cannot be read: {reason}")]
    Strange { request: String, reason: String },
    /// The request was not made, because of what the user wrote.
    #[error("{0}")]
    Usage(String),
    /// The command ran and the result is a failure, said in a sentence.
    #[error("{text}")]
    Failed { text: String, hint: Option<String> },
    /// The daemon could not start or had to stop.
    #[error("{0:#}")]
    Daemon(anyhow::Error),
    /// A local file or stream.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// Everything was said already; only the code is left.
    #[error("exit code {0}")]
    Exit(i32),
}

impl Failure {
    /// A failure that is one sentence.
    pub(crate) fn failed(text: impl Into<String>) -> Self {
        Self::Failed { text: text.into(), hint: None }
    }

    /// True when the daemon answered that there is no such object.
    pub(crate) fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { status: 404, .. })
    }

    /// True when the daemon gave this as the reason; other daemons than Skein's give none.
    pub(crate) fn has_code(&self, wanted: &str) -> bool {
        matches!(self, Self::Refused { code: Some(code), .. } if code == wanted)
    }

    /// The lines for standard error; none when there is nothing to add.
    pub(crate) fn say(&self) -> Option<String> {
        let hint = match self {
            Self::Exit(_) => return None,
            Self::Io(error) if error.kind() == io::ErrorKind::BrokenPipe => return None,
            Self::Refused { hint, .. } | Self::Failed { hint, .. } => hint.as_deref(),
            Self::Unknown(_) => Some("look whether it did with: skein log -n 5"),
            Self::Rehearsed(_)
            | Self::Unreachable { .. }
            | Self::Forbidden { .. }
            | Self::Cut(_)
            | Self::Strange { .. }
            | Self::Usage(_)
            | Self::Daemon(_)
            | Self::Io(_) => None,
        };
        Some(match hint {
            Some(hint) => format!("{self}\nhint: {hint}"),
            None => self.to_string(),
        })
    }

    /// 0 when the reader of our output went away (as in `skein log | head`), 125 for usage, a command's own code, else 1.
    pub(crate) fn exit_code(&self) -> i32 {
        match self {
            Self::Exit(code) => *code,
            Self::Rehearsed(_) => 0,
            Self::Refused { status: 412, .. } => CHANGED,
            Self::Usage(_) => USAGE,
            Self::Io(error) if error.kind() == io::ErrorKind::BrokenPipe => 0,
            Self::Unreachable { .. }
            | Self::Forbidden { .. }
            | Self::Refused { .. }
            | Self::Cut(_)
            | Self::Unknown(_)
            | Self::Strange { .. }
            | Self::Failed { .. }
            | Self::Daemon(_)
            | Self::Io(_) => FAILED,
        }
    }
}
