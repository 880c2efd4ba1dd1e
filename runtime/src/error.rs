//! Why the machine could not do what it was told: one type at the seam.
//! The variants are those an agent or a user acts upon differently; all else is `Io`, with what was being done.

use std::io;

use skein_events::id::TaskId;

use crate::api::container_id;

/// Why a call to the runtime failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The image is not on this machine.
    #[error("no such image: {0}")]
    NoSuchImage(String),
    /// Several images fit.
    #[error("image {name} is ambiguous: {}", .candidates.join(", "))]
    AmbiguousImage {
        /// As the user wrote it.
        name: String,
        /// What fits, by name and short id.
        candidates: Vec<String>,
    },
    /// A registry has no such image, or not for whoever asks; the sentence is Docker's.
    #[error("{0}")]
    NotInRegistry(String),
    /// A registry cannot be reached, or stopped answering.
    #[error("registry {registry} cannot be reached")]
    RegistryUnreachable {
        /// Its host.
        registry: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A registry does not do what registries do, or refuses to. Nothing of the text is the registry's own.
    #[error("registry {registry}: {reason}")]
    Registry {
        /// Its host.
        registry: String,
        /// What it did.
        reason: String,
    },
    /// A registry does not know this user, or the password is another; the end of the sentence is Docker's.
    #[error("login to {registry}: unauthorized: incorrect username or password")]
    LoginRefused {
        /// Its host.
        registry: String,
    },
    /// The image or name is needed by something; the sentence is Docker's.
    #[error("{0}")]
    Conflict(String),
    /// No such container, or one that left no word of how it ended.
    #[error("no such container for task {0}")]
    NoSuchContainer(TaskId),
    /// The command cannot be executed; the message is what a user sees.
    #[error("{message}")]
    BadCommand {
        /// E.g. `exec: "nosuch": executable file not found in $PATH`.
        message: String,
    },
    /// The user, working directory or another setting does not fit the image.
    #[error("{message}")]
    BadSetting {
        /// What does not fit.
        message: String,
    },
    /// The image tries what no honest image does, or is over a limit; nothing of it was kept.
    #[error("image refused: {reason}")]
    HostileImage {
        /// What it tried.
        reason: String,
    },
    /// There is no volume of this name; the sentence is Docker's.
    #[error("get {0}: no such volume")]
    NoSuchVolume(String),
    /// Containers use the volume; the sentence is Docker's.
    #[error("remove {name}: volume is in use - [{}]", container_ids(users))]
    VolumeInUse {
        /// Which.
        name: String,
        /// The tasks of these containers.
        users: Vec<TaskId>,
    },
    /// The output of this container is thrown away; the sentence is Docker's.
    #[error("configured logging driver does not support reading")]
    NoLogs,
    /// The container is not in the state the call needs.
    #[error("container for task {id} is {state}")]
    Busy {
        /// Which.
        id: TaskId,
        /// The state it is in.
        state: &'static str,
    },
    /// A container's shim does not answer; something in the container may have a hold on it.
    #[error("the shim of task {id} did not answer within {seconds} s")]
    Silent {
        /// Which.
        id: TaskId,
        /// How long it was waited for.
        seconds: u64,
    },
    /// The container library refused; the text is its own.
    #[error("container for task {id}: {message}")]
    Container {
        /// Which.
        id: TaskId,
        /// What was said.
        message: String,
    },
    /// The operating system refused.
    #[error("{what}")]
    Io {
        /// What was being done.
        what: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

impl Error {
    pub(crate) fn registry(registry: &str, reason: impl Into<String>) -> Self {
        Self::Registry { registry: registry.to_owned(), reason: reason.into() }
    }
}

fn container_ids(tasks: &[TaskId]) -> String {
    tasks.iter().map(|task| container_id(*task)).collect::<Vec<_>>().join(", ")
}

/// Adds what was being done to an operating system's error.
pub(crate) trait Context<T> {
    fn context(self, what: impl Into<String>) -> Result<T, Error>;
}

impl<T, E: Into<io::Error>> Context<T> for Result<T, E> {
    fn context(self, what: impl Into<String>) -> Result<T, Error> {
        self.map_err(|source| Error::Io { what: what.into(), source: source.into() })
    }
}

/// As C and Go print it: without Rust's "(os error 2)".
pub(crate) fn words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "no such file or directory".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => match error.raw_os_error() {
            Some(libc::ENOEXEC) => "exec format error".to_owned(),
            Some(number) => nix::errno::Errno::from_raw(number).desc().to_lowercase(),
            None => error.to_string(),
        },
    }
}

/// A refusal of an image.
pub(crate) fn hostile(reason: impl Into<String>) -> Error {
    Error::HostileImage { reason: reason.into() }
}
