//! Why a command did not succeed, what is said about it, and with which exit code the program leaves.
//! One place, because exit codes and the first line on standard error are part of what scripts rely on.

use std::io;

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
    Refused { status: u16, message: String, hint: Option<String> },
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

    /// The lines for standard error; none when there is nothing to add.
    pub(crate) fn say(&self) -> Option<String> {
        let hint = match self {
            Self::Exit(_) => return None,
            Self::Io(error) if error.kind() == io::ErrorKind::BrokenPipe => return None,
            Self::Refused { hint, .. } | Self::Failed { hint, .. } => hint.as_deref(),
            Self::Unknown(_) => Some("look whether it did with: skein log -n 5"),
            Self::Unreachable { .. }
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
            Self::Usage(_) => crate::USAGE,
            Self::Io(error) if error.kind() == io::ErrorKind::BrokenPipe => 0,
            Self::Unreachable { .. }
            | Self::Forbidden { .. }
            | Self::Refused { .. }
            | Self::Cut(_)
            | Self::Unknown(_)
            | Self::Strange { .. }
            | Self::Failed { .. }
            | Self::Daemon(_)
            | Self::Io(_) => 1,
        }
    }
}
