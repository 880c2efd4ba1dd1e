//! What the API needs of the rest of Skein: submit a command, read a state, read the log, touch this machine.
//! Defined here and implemented by the actors, so that the API needs no arrow back.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::Ipv4Addr;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;

use skein_events::codec::Batch;
use skein_events::command::Command;
use skein_events::envelope::Who;
use skein_events::id::{NodeId, RequestId, TaskId};
use skein_events::record::{Hash, Position};
use skein_events::reference::Reference;
use skein_events::refusal::Refusal;
use skein_events::state::State;
use skein_events::time::{Span, Time};
use skein_events::view::diff::Difference;

/// Who asks, and what they say about it.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Identity, by the kernel's word.
    pub who: Who,
    /// The client program, from `User-Agent`.
    pub client: String,
    /// Why, from `Skein-Reason`.
    pub reason: Option<String>,
    /// So that a repeated request has one effect, from `Skein-Request-Id`.
    pub request: Option<RequestId>,
    /// Only if nothing it touches changed since, from `Skein-If-At`.
    pub if_at: Option<Position>,
}

/// Why there is no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Failure {
    /// The request was refused; nothing changed.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// This machine has no such thing; the sentence names it.
    #[error("{0}")]
    Missing(String),
    /// Something else needs what was to go; the sentence says what.
    #[error("{0}")]
    Conflict(String),
    /// It cannot be carried out at present; nothing changed.
    #[error("{0}")]
    Unavailable(String),
    /// It may or may not have happened: ask again with the same request id.
    #[error(
        "the outcome is not known: repeat the request with the same Skein-Request-Id to learn it"
    )]
    Unknown,
    /// A dry run was asked for, and this is what it gave.
    #[error("{}", .0.text())]
    Rehearsed(Box<Rehearsal>),
    /// What was asked for is not in this history.
    #[error("{message}")]
    Gone {
        /// Why.
        message: String,
        /// The last position both histories share, as a cursor.
        ancestor: Option<String>,
    },
    /// A command cannot be executed in its container.
    #[error("{message}")]
    NotExecutable {
        /// Why.
        message: String,
        /// The exit code shells have for it: 127 if it is not there, else 126.
        code: i32,
    },
    /// Who asks is not who he says he is.
    #[error("{0}")]
    Unauthorized(String),
    /// Something is broken here.
    #[error("{0}")]
    Internal(String),
}

/// An accepted command.
#[derive(Clone, Debug)]
pub struct Committed {
    /// Its first record.
    pub first: Position,
    /// Its last record.
    pub last: Position,
    /// The records themselves.
    pub batch: Arc<Batch>,
    /// A state in which they are applied.
    pub state: Arc<State>,
}

/// A moment of the past, as users name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// After this record: `@8123`.
    Position(Position),
    /// So long ago: `-10m`.
    Ago(Span),
    /// By the wall clock: RFC 3339.
    Wall(Time),
}

/// A batch as it stands in the log.
#[derive(Clone, Debug)]
pub struct Logged {
    /// Its first record's position.
    pub first: Position,
    /// The chain's hash after it.
    pub h: Hash,
    /// The records.
    pub batch: Arc<Batch>,
}

/// The end of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// The last committed and applied record.
    pub position: Position,
    /// Epoch of the history.
    pub epoch: u32,
}

/// One step of an answer to "why".
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct WhyStep {
    /// The record.
    pub position: Position,
    /// Its time.
    pub time: Time,
    /// What happened, in one sentence.
    pub text: String,
    /// Who did it.
    pub who: Who,
    /// Why, in the user's words.
    pub reason: Option<String>,
    /// What was looked at: the scheduler's verdicts, an exit code.
    pub details: Vec<String>,
}

/// The answer to "why", newest first, down to the user's command; or a timeline, oldest first.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Why {
    /// The object: `task/5uwx…`.
    pub object: String,
    /// Its name.
    pub name: Option<String>,
    /// The steps.
    pub chain: Vec<WhyStep>,
}

/// A command played through on a copy of the state: nothing of it happened.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Rehearsal {
    /// The position it starts from: another record in between may make it go otherwise.
    pub valid_at: Position,
    /// The records there would be, until nodes would have to act. Their ids are made up.
    pub steps: Vec<WhyStep>,
    /// What would differ then.
    pub differences: Vec<Difference>,
    /// What planners would ask for in vain.
    pub refused: Vec<String>,
    /// Whether more would follow than is told.
    pub cut: bool,
    /// Bytes of this machine's disk that would be free again.
    pub reclaimed: u64,
}

impl Rehearsal {
    /// Adds what another command, given after these, would do.
    pub fn add(all: &mut Option<Self>, next: Self) {
        let Some(all) = all else {
            *all = Some(next);
            return;
        };
        let Self { valid_at: _, steps, differences, refused, cut, reclaimed } = next;
        let passed = all.steps.len() as u64;
        all.steps.extend(steps.into_iter().map(|step| {
            let position = Position(step.position.0 + passed);
            WhyStep { position, ..step }
        }));
        all.differences.extend(differences);
        all.refused.extend(refused);
        all.cut |= cut;
        all.reclaimed += reclaimed;
    }

    /// To be read by people, whichever client they use.
    pub fn text(&self) -> String {
        let Self { valid_at, steps, differences: _, refused, cut, reclaimed } = self;
        let mut text = format!("dry run at {valid_at}: nothing was changed");
        if steps.is_empty() && *reclaimed == 0 {
            text.push_str("; there is nothing to do");
        }
        for WhyStep { position, time: _, text: said, who, reason: _, details } in steps {
            let nth = position.0 - valid_at.0;
            text.push_str(&format!("\n  +{nth:<4} {said} ({who})"));
            details.iter().for_each(|detail| text.push_str(&format!("\n          {detail}")));
        }
        refused.iter().for_each(|refusal| text.push_str(&format!("\n  refused: {refusal}")));
        text.push_str(if *cut { "\n  and more, which is not told" } else { "" });
        if *reclaimed > 0 {
            text.push_str(&format!("\n  {reclaimed} bytes of the disk would be free again"));
        }
        text
    }
}

/// What a check of the whole log found.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Verification {
    /// Records read.
    pub records: u64,
    /// Consensus entries read.
    pub entries: u64,
    /// The chain's last hash.
    pub head: String,
    /// Whether everything is as it was written.
    pub ok: bool,
    /// The first bad record.
    pub first_bad: Option<BadRecord>,
    /// Checkpoints compared with the state replayed to them.
    pub checkpoints: u64,
    /// Records whose detachable part was erased.
    pub redacted: Vec<Position>,
}

/// A record that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct BadRecord {
    /// Its position, or the first of its batch.
    pub position: Position,
    /// Its consensus index.
    pub index: u64,
    /// What is wrong.
    pub reason: String,
}

/// What `swarm init` is given.
#[derive(Clone, Debug)]
pub struct InitSwarm {
    /// Where peers reach this machine; found when there is one choice.
    pub advertise: Option<String>,
    /// Where cluster management listens.
    pub listen: String,
    /// UDP port of VXLAN; 0 means 4789.
    pub data_path_port: u32,
    /// Blocks for networks; empty means 10.0.0.0/8.
    pub pool: Vec<String>,
    /// Prefix length of a network's block; 0 means 24.
    pub pool_prefix: u32,
    /// How many ended tasks a slot keeps; `None` means 5.
    pub task_history: Option<u64>,
}

/// Join tokens in Swarm's form.
#[derive(Clone, Debug)]
pub struct JoinTokens {
    /// For workers.
    pub worker: String,
    /// For managers.
    pub manager: String,
}

/// Which control groups the kernel has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cgroup {
    /// A hierarchy for each controller.
    V1,
    /// One for all.
    V2,
}

/// This machine.
#[derive(Clone, Debug)]
pub struct Local {
    /// Its node, when it is in a swarm.
    pub node: Option<NodeId>,
    /// Where peers reach it, when it is in a swarm.
    pub address: Option<Ipv4Addr>,
    /// Host name.
    pub hostname: String,
    /// Processors.
    pub cpus: u64,
    /// Memory in bytes.
    pub memory: u64,
    /// Kernel release.
    pub kernel: String,
    /// What its makers call the operating system.
    pub system: String,
    /// How processes are held to their limits.
    pub cgroup: Cgroup,
    /// Data root.
    pub data_root: String,
    /// A stable id of this daemon.
    pub id: String,
}

/// Where a node stands in its swarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The node.
    pub node: NodeId,
    /// Whether it leads.
    pub leads: bool,
    /// Whether it knows who leads.
    pub leader_known: bool,
    /// The newest term of consensus it has heard of.
    pub term: u64,
    /// The last record that is agreed on, as far as this node knows.
    pub committed: Position,
    /// The last record its state holds.
    pub applied: Position,
}

/// One thing that has to hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What it is about.
    pub name: &'static str,
    /// Why it does not hold; nothing when it does.
    pub problem: Option<String>,
}

/// One image on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageSummary {
    /// `sha256:…` of its configuration.
    pub id: String,
    /// Names, e.g. `busybox:latest`.
    pub names: Vec<String>,
    /// Names by the digest of a manifest, `busybox@sha256:…`.
    pub digests: Vec<String>,
    /// Bytes unpacked.
    pub size: u64,
    /// When it was made, RFC 3339, if it says so.
    pub created: Option<String>,
    /// Labels, sorted.
    pub labels: Vec<(String, String)>,
    /// Its layers, lowest first, `sha256:…` of their uncompressed archives.
    pub layers: Vec<String>,
}

impl ImageSummary {
    /// When it was made.
    pub(crate) fn created_at(&self) -> Option<jiff::Timestamp> {
        self.created.as_deref().and_then(|text| text.parse().ok())
    }
}

/// One image, seen closely.
#[derive(Clone, Debug, PartialEq)]
pub struct ImageDetails {
    /// The image.
    pub summary: ImageSummary,
    /// Its configuration file.
    pub file: serde_json::Value,
    /// Bytes of each layer, unpacked, lowest first.
    pub layer_sizes: Vec<u64>,
}

/// Who asks a registry. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub enum Login {
    /// A name and a password.
    Password {
        /// The name.
        user: String,
        /// The password.
        password: String,
    },
    /// A token the registry takes as it is.
    Token(String),
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Login(…)")
    }
}

/// An image to fetch from its registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PullImage {
    /// Its name, by tag or by digest.
    pub name: Reference,
    /// Who asks.
    pub login: Option<Login>,
}

/// How a pull goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PullStep {
    /// The registry has the image.
    Found,
    /// Something about one layer.
    Layer {
        /// The layer, by the digest of its blob.
        blob: String,
        /// What about it.
        step: LayerStep,
    },
    /// The image is here.
    Done {
        /// What its name means in the registry, by the digest of the manifest or index.
        digest: String,
        /// Whether anything is new.
        fresh: bool,
    },
}

/// How far a layer has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LayerStep {
    /// It is here from before.
    Present,
    /// It is needed.
    Needed,
    /// So much of it is here.
    Coming {
        /// Bytes here.
        bytes: u64,
        /// Bytes of the whole.
        of: u64,
    },
    /// All of it is here.
    Came,
    /// It is unpacked.
    Unpacked,
}

/// What a name means in a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolvedImage {
    /// Form of the manifest or index.
    pub media_type: String,
    /// Its digest.
    pub digest: String,
    /// Its bytes.
    pub size: u64,
    /// Machines it is for: architecture and operating system.
    pub platforms: Vec<(String, String)>,
}

/// A root file system that becomes an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportImage {
    /// Its name.
    pub name: Option<Reference>,
    /// What is said about it.
    pub comment: String,
    /// Instructions of a Dockerfile.
    pub changes: Vec<String>,
}

/// One step of a removal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImageRemoval {
    /// This name went.
    Untagged(String),
    /// This image or layer went.
    Deleted(String),
}

/// Which images nobody needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PruneImages {
    /// Those with names too.
    pub all: bool,
    /// Only those built before.
    pub before: Option<Time>,
    /// Only those with these labels.
    pub labels: Vec<String>,
    /// Only those without any of these.
    pub without: Vec<String>,
}

/// What a prune did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImagesPruned {
    /// Its steps.
    pub removed: Vec<ImageRemoval>,
    /// Bytes that are free again.
    pub reclaimed: u64,
}

/// A volume to make on this machine, of Docker's driver `local`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewVolume {
    /// Its name; made up when absent.
    pub name: Option<String>,
    /// What is mounted on it; none is a directory.
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
    /// Labels, sorted.
    pub labels: Vec<(String, String)>,
    /// When it was made.
    pub created: Time,
    /// Where its content lies.
    pub mountpoint: String,
    /// Whether its name was made up.
    pub anonymous: bool,
    /// How many containers use it.
    pub users: usize,
}

/// A change of this machine's images or volumes, which are no part of the swarm's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LocalChange {
    /// An image gets a further name.
    TagImage {
        /// The image.
        image: String,
        /// The name.
        name: Reference,
    },
    /// A name or an image goes.
    RemoveImage {
        /// Which.
        image: String,
        /// Though something stands against it.
        force: bool,
    },
    /// Images go that nobody needs.
    PruneImages(PruneImages),
    /// What ended containers said goes.
    RemoveLogs(BTreeSet<TaskId>),
    /// A volume is made.
    CreateVolume(NewVolume),
    /// Volumes go.
    RemoveVolumes {
        /// Which.
        names: Vec<String>,
        /// They need not be there.
        force: bool,
    },
}

/// What this machine's images, containers and volumes take on its disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DiskUsage {
    /// Images.
    pub images: Vec<ImageSummary>,
    /// Bytes of every layer, each counted once.
    pub layers: BTreeMap<String, u64>,
    /// Bytes of downloads that did not end.
    pub partial: u64,
    /// Containers.
    pub containers: Vec<ContainerUsage>,
    /// What ended containers said, as far as it is kept.
    pub logs: Vec<KeptLog>,
    /// Volumes, with the bytes of each.
    pub volumes: Vec<(Volume, u64)>,
}

/// What a container said that is gone itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptLog {
    /// Its task.
    pub task: TaskId,
    /// The container's id.
    pub container: String,
    /// Bytes of it.
    pub bytes: u64,
    /// When it said something last.
    pub last: Time,
}

/// What one container takes on the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerUsage {
    /// Its task.
    pub task: TaskId,
    /// Docker's id of it.
    pub container: String,
    /// The image it was made of, `sha256:…`.
    pub image: Option<String>,
    /// Bytes it wrote.
    pub written: u64,
    /// Whether it has not ended.
    pub running: bool,
}

/// How well a container is, as its checks found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wellness {
    /// No check was passed yet.
    #[default]
    Starting,
    /// It passed one and did not fail too many since.
    Well,
    /// It failed too many in a row.
    Unwell,
}

/// What is known of the checks of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// What follows from them.
    pub wellness: Wellness,
    /// Failures in a row that count.
    pub streak: u64,
    /// The last of them, the oldest first; bounded by who makes them.
    pub last: VecDeque<Probe>,
}

/// What one check came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// When it began.
    pub start: Time,
    /// When it ended.
    pub end: Time,
    /// Its exit code; -1 if it did not end by itself, or never began.
    pub exit_code: i32,
    /// What it printed, or why it has no exit code. It may be secret.
    pub output: String,
}

/// A command to run in a task's container on this machine.
#[derive(Clone, Debug)]
pub struct ExecRequest {
    /// The task.
    pub task: TaskId,
    /// Command and arguments.
    pub args: Vec<String>,
    /// Further environment.
    pub env: Vec<String>,
    /// `user[:group]`.
    pub user: Option<String>,
    /// Working directory.
    pub dir: Option<String>,
    /// Whether the client will send input.
    pub stdin: bool,
    /// The terminal it gets, if it gets one.
    pub terminal: Option<WindowSize>,
}

/// How big a terminal is; zero means as the machine sees fit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WindowSize {
    /// Lines.
    pub rows: u16,
    /// Letters in a line.
    pub columns: u16,
}

/// Gives a terminal another size.
pub type Resize = Arc<dyn Fn(WindowSize) -> BoxFuture<'static, Result<(), Failure>> + Send + Sync>;

/// A running command.
pub struct ExecSession {
    /// Its input, when asked for.
    pub stdin: Option<Box<dyn AsyncWrite + Send + Unpin>>,
    /// Its output; of a terminal, all of it.
    pub stdout: Box<dyn AsyncRead + Send + Unpin>,
    /// Its error output.
    pub stderr: Box<dyn AsyncRead + Send + Unpin>,
    /// Its process id on this machine.
    pub pid: u32,
    /// Its exit code.
    pub exit: BoxFuture<'static, i32>,
    /// Gives its terminal another size, if it has one.
    pub resize: Option<Resize>,
}

/// What a container wrote to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogStream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

/// One line of a container's output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// Where it was written to.
    pub stream: LogStream,
    /// When.
    pub time: Time,
    /// The text with its newline; a piece of a long line has none.
    pub text: Vec<u8>,
}

/// Which part of the output of a task's container is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogsRequest {
    /// The task.
    pub task: TaskId,
    /// Go on until the container has ended.
    pub follow: bool,
    /// Only the last so many of the lines that are wanted otherwise.
    pub tail: Option<u64>,
    /// Only lines of this time or later.
    pub since: Option<Time>,
    /// Only lines of this time or earlier.
    pub until: Option<Time>,
    /// Standard output.
    pub stdout: bool,
    /// Standard error.
    pub stderr: bool,
}

/// Lines in their order.
pub type LogLines = BoxStream<'static, Result<LogLine, Failure>>;

/// A stream of bytes from a client.
pub type Upload = Box<dyn AsyncRead + Send + Unpin>;

/// The bytes of an archive, piece by piece.
pub type Archive = BoxStream<'static, Result<Bytes, Failure>>;

/// How a pull goes on, in its order; the last step or a failure ends it. Dropped, it is given up.
pub type Pulling = BoxStream<'static, Result<PullStep, Failure>>;

/// The rest of Skein, as the API sees it.
pub trait Backend: Send + Sync + 'static {
    /// The leader's state; refused when there is no swarm here.
    fn state(&self) -> Result<Arc<State>, Failure>;
    /// The state as it was.
    fn at(&self, moment: Moment) -> BoxFuture<'_, Result<Arc<State>, Failure>>;
    /// Decides and commits a command.
    fn submit(&self, caller: Caller, command: Command)
    -> BoxFuture<'_, Result<Committed, Failure>>;
    /// Plays a command through on a copy of the state; writes nothing.
    fn rehearse(
        &self,
        caller: Caller,
        command: Command,
    ) -> BoxFuture<'_, Result<Rehearsal, Failure>>;
    /// Batches from the one that holds `from` on, at most `limit` records or so; empty at the end.
    fn read(&self, from: Position, limit: usize) -> BoxFuture<'_, Result<Vec<Logged>, Failure>>;
    /// The chain's hash after the batch that holds this record.
    fn hash_at(&self, position: Position) -> BoxFuture<'_, Result<Option<Hash>, Failure>>;
    /// The end of the log, and news of it.
    fn head(&self) -> Result<watch::Receiver<Head>, Failure>;
    /// Why an object is as it is, at the newest state or at a moment.
    fn why(&self, object: String, at: Option<Moment>) -> BoxFuture<'_, Result<Why, Failure>>;
    /// What happened to an object and to what belongs to it, the oldest first: the newest `limit` steps.
    fn timeline(
        &self,
        object: String,
        at: Option<Moment>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Why, Failure>>;
    /// Checks every record.
    fn verify(&self) -> BoxFuture<'_, Result<Verification, Failure>>;
    /// Records from one to another as an archive.
    fn export(&self, from: Position, to: Position) -> BoxFuture<'_, Result<Archive, Failure>>;
    /// Erases the detachable part of a record.
    fn redact(
        &self,
        caller: Caller,
        position: Position,
    ) -> BoxFuture<'_, Result<Committed, Failure>>;
    /// Makes a swarm of this machine.
    fn init_swarm(&self, caller: Caller, init: InitSwarm)
    -> BoxFuture<'_, Result<NodeId, Failure>>;
    /// Leaves the swarm; erases its state here.
    fn leave_swarm(&self, caller: Caller, force: bool) -> BoxFuture<'_, Result<(), Failure>>;
    /// The join tokens.
    fn join_tokens(&self) -> Result<JoinTokens, Failure>;
    /// This machine.
    fn local(&self) -> Local;
    /// Whether every thread of the daemon answers; which does not, else.
    fn pulse(&self) -> BoxFuture<'_, Result<(), Failure>>;
    /// Where this node stands, when it is in a swarm.
    fn standing(&self) -> Option<Standing>;
    /// What has to hold before this node is sent requests.
    fn checks(&self) -> Vec<Check>;
    /// How well a task's container on this machine is, if it is checked.
    fn health(&self, task: TaskId) -> Option<Health>;
    /// The wall clock, for display.
    fn wall(&self) -> Time;
    /// Reads an archive of images; gives the names it held, or the ids of those without.
    fn load_image(
        &self,
        caller: Caller,
        archive: Upload,
    ) -> BoxFuture<'_, Result<Vec<String>, Failure>>;
    /// Images on this machine.
    fn images(&self) -> BoxFuture<'_, Result<Vec<ImageSummary>, Failure>>;
    /// The image a name, an id or the beginning of an id means.
    fn image(&self, image: String) -> BoxFuture<'_, Result<Option<ImageDetails>, Failure>>;
    /// Makes an image of a root file system; gives its id.
    fn import_image(
        &self,
        caller: Caller,
        archive: Upload,
        import: ImportImage,
    ) -> BoxFuture<'_, Result<String, Failure>>;
    /// Fetches an image from its registry.
    fn pull_image(&self, caller: Caller, pull: PullImage) -> Pulling;
    /// Asks a registry what a name means.
    fn resolve_image(
        &self,
        name: Reference,
        login: Option<Login>,
    ) -> BoxFuture<'_, Result<ResolvedImage, Failure>>;
    /// Asks the registry of a name whether it knows who asks; of the name only that counts.
    fn check_login(&self, name: Reference, login: Login) -> BoxFuture<'_, Result<(), Failure>>;
    /// Gives an image a further name.
    fn tag_image(
        &self,
        caller: Caller,
        image: String,
        name: Reference,
    ) -> BoxFuture<'_, Result<(), Failure>>;
    /// Removes a name or an image.
    fn remove_image(
        &self,
        caller: Caller,
        image: String,
        force: bool,
    ) -> BoxFuture<'_, Result<Vec<ImageRemoval>, Failure>>;
    /// Removes images that nobody needs.
    fn prune_images(
        &self,
        caller: Caller,
        prune: PruneImages,
    ) -> BoxFuture<'_, Result<ImagesPruned, Failure>>;
    /// Removes what those of these containers said that have ended, and answers which. It is in no record: output is no
    /// part of the log.
    fn remove_logs(
        &self,
        caller: Caller,
        tasks: BTreeSet<TaskId>,
    ) -> BoxFuture<'_, Result<Vec<KeptLog>, Failure>>;
    /// Volumes on this machine, ordered by name.
    fn volumes(&self) -> BoxFuture<'_, Result<Vec<Volume>, Failure>>;
    /// The volume of this name.
    fn volume(&self, name: String) -> BoxFuture<'_, Result<Volume, Failure>>;
    /// Makes a volume; one that is there already is answered as it is.
    fn create_volume(
        &self,
        caller: Caller,
        volume: NewVolume,
    ) -> BoxFuture<'_, Result<Volume, Failure>>;
    /// Removes a volume that no container uses; with `force` it need not be there.
    fn remove_volume(
        &self,
        caller: Caller,
        name: String,
        force: bool,
    ) -> BoxFuture<'_, Result<(), Failure>>;
    /// Removes those of these volumes that are there and that no container uses; gives their names.
    fn prune_volumes(
        &self,
        caller: Caller,
        names: Vec<String>,
    ) -> BoxFuture<'_, Result<Vec<String>, Failure>>;
    /// What a change of this machine would come to, with the records about it.
    fn rehearse_here(
        &self,
        caller: Caller,
        change: LocalChange,
    ) -> BoxFuture<'_, Result<Rehearsal, Failure>>;
    /// What is on this machine's disk.
    fn disk_usage(&self) -> BoxFuture<'_, Result<DiskUsage, Failure>>;
    /// Runs a command in a container on this machine.
    fn exec(
        &self,
        caller: Caller,
        request: ExecRequest,
    ) -> BoxFuture<'_, Result<ExecSession, Failure>>;
    /// What a container on this machine said.
    fn logs(&self, request: LogsRequest) -> BoxFuture<'_, Result<LogLines, Failure>>;
}
