//! The seam: what a node agent may ask of a machine, in values only.
//! Separate from the two implementations (`machine`, `fake`), so that neither's needs leak into the other.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use futures::future::BoxFuture;
use futures::stream::BoxStream;
use skein_events::id::TaskId;
use skein_events::reference::Reference;
use skein_events::task::container::ContainerSpec;
use skein_events::task::spec::Limits;
use skein_events::time::{Span, Time};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::check::{Check, Standing};
use crate::error::Error;
use crate::image::{
    Details, Digest, Image, Import, KeptLog, Loaded, Login, Prune, Pruned, Pull, Pulled, Removed,
    Resolved, Usage,
};
use crate::log::{Keep, Line};
use crate::signal::Signal;

/// What every call answers: later, and perhaps with an error.
/// It borrows nothing, so an actor may carry it away.
pub type Answer<T> = BoxFuture<'static, Result<T, Error>>;

/// A stream of bytes that comes in, e.g. an image archive or a process's output.
pub type Input = Pin<Box<dyn AsyncRead + Send>>;
/// A stream of bytes that goes out: a process's standard input.
pub type Output = Pin<Box<dyn AsyncWrite + Send>>;
/// Lines of a container's output, in their order.
pub type Lines = BoxStream<'static, Result<Line, Error>>;

/// A machine that runs containers, one per task.
///
/// A container's life is `create`, `start`, then it ends by itself or by `stop`, then `remove`. Every call may be
/// repeated; each names the task, so the daemon needs no memory of its own: see [`Runtime::adopt`].
pub trait Runtime: Send + Sync + 'static {
    /// Everything there is, running or not; asked once after the daemon started, ordered by id.
    fn adopt(&self) -> Answer<Vec<Found>>;
    /// Mounts the root file system and makes the container's namespaces; its process waits for `start`.
    /// Leaves nothing behind when it fails.
    fn create(&self, container: Container) -> Answer<Created>;
    /// Lets the process run. [`Error::BadCommand`] says why it cannot be executed.
    fn start(&self, id: TaskId) -> Answer<()>;
    /// Sends a signal to the container's first process. No error if it has ended.
    fn signal(&self, id: TaskId, signal: Signal) -> Answer<()>;
    /// Asks the process to end, with `signal` or the container's own stop signal, kills it after `grace`, and
    /// answers how it ended.
    fn stop(&self, id: TaskId, signal: Option<Signal>, grace: Span) -> Answer<Exit>;
    /// Answers when the container has ended; at once if it had. Any number may wait.
    fn wait(&self, id: TaskId) -> Answer<Exit>;
    /// Ends the container if need be and leaves no process, mount, cgroup or directory of it. Idempotent.
    fn remove(&self, id: TaskId) -> Answer<()>;
    /// Runs a further process in a running container.
    fn exec(&self, id: TaskId, exec: ExecSpec) -> Answer<ExecSession>;
    /// How a container is asked whether it is well: what it was made with, the image's part included.
    fn check(&self, id: TaskId) -> Answer<Option<Check>>;
    /// How it has done in its checks and how long ago its start was noted; `None` before anything was.
    fn standing(&self, id: TaskId) -> Answer<Option<(Standing, Span)>>;
    /// Notes how it does, so that the next life of the daemon goes on there. The first note marks the container's start.
    fn note_standing(&self, id: TaskId, standing: Standing) -> Answer<()>;
    /// What a container said. It can be asked some time after the container was removed: an ended task's last words are
    /// what one looks for. [`Error::NoLogs`] if its output is not kept, [`Error::NoSuchContainer`] if nothing is known.
    fn logs(&self, id: TaskId, logs: LogsSpec) -> Answer<Lines>;
    /// Removes what those of these containers said that have ended, and answers which.
    fn remove_logs(&self, tasks: BTreeSet<TaskId>) -> Answer<Vec<KeptLog>>;
    /// All images on this machine, ordered by id.
    fn images(&self) -> Answer<Vec<Image>>;
    /// The image a reference, an id or the beginning of an id (12 digits at least) names.
    fn image(&self, reference: String) -> Answer<Option<Image>>;
    /// The same, seen closely; four digits of an id are enough.
    fn image_details(&self, reference: String) -> Answer<Option<Details>>;
    /// Takes in an archive as `docker save` writes it, or an OCI layout, and answers what it brought.
    fn load(&self, archive: Input) -> Answer<Vec<Loaded>>;
    /// Makes an image of one layer out of an archive of a root file system.
    fn import(&self, archive: Input, import: Import) -> Answer<Digest>;
    /// Fetches an image from its registry, going on with what an earlier pull left.
    fn pull(&self, pull: Pull) -> Answer<Pulled>;
    /// Asks a registry what a name means.
    fn resolve(&self, name: Reference, login: Option<Login>) -> Answer<Resolved>;
    /// Asks the registry of a name whether it knows who asks; of the name only that counts.
    fn check_login(&self, name: Reference, login: Login) -> Answer<()>;
    /// Gives an image a further name; `None` if there is no such image.
    fn tag_image(&self, image: String, name: Reference) -> Answer<Option<Digest>>;
    /// Removes a name, or an image with all its names. [`Error::Conflict`] says who needs it.
    fn remove_image(&self, image: String, force: bool) -> Answer<Vec<Removed>>;
    /// Removes images that no container uses.
    fn prune_images(&self, prune: Prune) -> Answer<Pruned>;
    /// What [`Runtime::remove_image`] would do.
    fn would_remove_image(&self, image: String, force: bool) -> Answer<Pruned>;
    /// What [`Runtime::prune_images`] would do.
    fn would_prune_images(&self, prune: Prune) -> Answer<Pruned>;
    /// What images and containers take on the disk.
    fn usage(&self) -> Answer<Usage>;
    /// All volumes on this machine, ordered by name.
    fn volumes(&self) -> Answer<Vec<Volume>>;
    /// The volume of this name.
    fn volume(&self, name: String) -> Answer<Option<Volume>>;
    /// Makes a volume; one that is there already is answered as it is.
    fn create_volume(&self, volume: VolumeSpec) -> Answer<Volume>;
    /// Removes a volume, unless a container uses it: [`Error::VolumeInUse`]. With `force` it need not be there.
    fn remove_volume(&self, name: String, force: bool) -> Answer<()>;
}

/// Docker's form of a container id, 64 hexadecimal digits; a function of the task, so it needs no table.
pub fn container_id(id: TaskId) -> String {
    crate::image::digest::hex_of(id.to_string().as_bytes())
}

/// All that `create` needs to know.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Container {
    /// The task it is for.
    pub id: TaskId,
    /// Its name, e.g. `web.1.<task id>`.
    pub name: String,
    /// What the user asked for.
    pub spec: ContainerSpec,
    /// What the kernel holds it to.
    pub limits: Limits,
    /// The user's variables, `NAME=value`; they win over the image's.
    pub env: Vec<String>,
    /// An existing network namespace to join.
    pub netns: PathBuf,
    /// Content of `/etc/hosts`.
    pub hosts: String,
    /// Content of `/etc/resolv.conf`.
    pub resolv_conf: String,
    /// Host name inside.
    pub hostname: String,
    /// The container's own labels and those of the orchestrator. Data only: nothing here reads them as options.
    pub labels: BTreeMap<String, String>,
    /// What becomes of its output.
    #[serde(default)]
    pub keep: Keep,
}

/// What `create` made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Created {
    /// See [`container_id`].
    pub container_id: String,
    /// The container's first process, as the host numbers it.
    pub pid: u32,
}

/// One container found on the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its task.
    pub id: TaskId,
    /// What became of it.
    pub state: Condition,
}

/// What became of a container while the daemon was away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Made but never started.
    Created {
        /// Its waiting process.
        pid: u32,
    },
    /// Still running.
    Running {
        /// Its first process.
        pid: u32,
    },
    /// Ended, and how.
    Exited(Exit),
    /// Neither runs nor left word: the machine or its shim was killed. Only `remove` makes sense.
    Lost,
}

/// How a container ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Exit {
    /// Exit status; 128 + n when signal n killed it.
    pub code: i32,
    /// The signal that killed it.
    pub signal: Option<i32>,
    /// Whether the kernel killed a process of it for want of memory.
    pub oom: bool,
    /// Wall time of the end.
    pub at: Time,
}

/// A volume to make, of Docker's driver `local`.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct VolumeSpec {
    /// Its name.
    pub name: String,
    /// `type`, `device` and `o` of what is mounted on it; none is a directory.
    pub options: BTreeMap<String, String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
}

/// A volume on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    /// Its name.
    pub name: String,
    /// What is mounted on it.
    pub options: BTreeMap<String, String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Whether it was made for one container and goes with it.
    pub anonymous: bool,
    /// When it was made, by this machine's clock.
    pub created: Time,
    /// Where its content lies.
    pub mountpoint: PathBuf,
    /// The tasks whose containers use it, ordered.
    pub users: Vec<TaskId>,
}

/// Which part of a container's output is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogsSpec {
    /// Go on until the container has ended; else until the end of what is there.
    pub follow: bool,
    /// Only the last so many of the lines that are wanted otherwise.
    pub tail: Option<u64>,
    /// Only lines of this time or later.
    pub since: Option<Time>,
    /// Only lines of this time or earlier; one who follows stops there.
    pub until: Option<Time>,
    /// Standard output.
    pub stdout: bool,
    /// Standard error.
    pub stderr: bool,
}

impl Default for LogsSpec {
    /// Everything there is.
    fn default() -> Self {
        Self { follow: false, tail: None, since: None, until: None, stdout: true, stderr: true }
    }
}

/// A further process in a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ExecSpec {
    /// Command and arguments.
    pub args: Vec<String>,
    /// Variables beside the container's own, which they replace.
    pub env: Vec<String>,
    /// `user[:group]`; the container's when absent.
    pub user: Option<String>,
    /// Working directory; the container's when absent.
    pub dir: Option<String>,
    /// Whether standard input is wanted; else it is empty.
    pub stdin: bool,
    /// The terminal it gets, if it gets one; standard output and error are one then.
    #[serde(default)]
    pub terminal: Option<WindowSize>,
    /// Whether it, with its process group, is killed when nobody waits for its end any more; a shim that does not know
    /// the word leaves it running.
    #[serde(default)]
    pub tied: bool,
}

/// How big a terminal is; zero is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct WindowSize {
    /// Lines.
    pub rows: u16,
    /// Letters in a line.
    pub columns: u16,
}

/// Gives a terminal another size, and tells its processes.
pub type Resize = Arc<dyn Fn(WindowSize) -> Result<(), Error> + Send + Sync>;

/// A running further process.
pub struct ExecSession {
    /// Its process, as the host numbers it.
    pub pid: u32,
    /// Standard input if asked for; dropping it is end of file, except for a terminal, which has none.
    pub stdin: Option<Output>,
    /// Standard output. A terminal hangs up when both this and `stdin` are dropped.
    pub stdout: Input,
    /// Standard error; empty for a terminal.
    pub stderr: Input,
    /// For its terminal, if it has one.
    pub resize: Option<Resize>,
    /// Its exit status, 128 + n when signal n killed it.
    pub exit: Answer<i32>,
}

impl std::fmt::Debug for ExecSession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ExecSession").field("pid", &self.pid).finish_non_exhaustive()
    }
}
