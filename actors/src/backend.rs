//! What the API asks for, carried to the actors, the log and the machine.
//! Runs on the serving threads: reads go to published values and the store, commands to the one writer.

use std::collections::BTreeSet;
use std::sync::Arc;

use actix::Addr;
use futures::StreamExt as _;
use futures::future::BoxFuture;
use tokio::sync::{oneshot, watch};

use skein_events::command::{Command, ImageNote, VolumeNote};
use skein_events::id::{NodeId, TaskId};
use skein_events::record::{Hash, Position};
use skein_events::reference::Reference;
use skein_events::refusal::Refusal;
use skein_events::state::State;
use skein_events::time::Time;
use skein_net::backend::{
    Archive, Backend, BadRecord, Caller, Check, Committed, DiskUsage, ExecRequest, ExecSession,
    Failure, Head, Health, ImageDetails, ImageRemoval, ImageSummary, ImagesPruned, ImportImage,
    InitSwarm, JoinTokens, KeptLog, Local, LocalChange, LogLine, LogLines, LogStream, Logged,
    Login, LogsRequest, Moment, NewVolume, PruneImages, PullImage, Pulling, Rehearsal,
    ResolvedImage, Standing, Upload, Verification, Volume, Why,
};
use skein_net::overlay::Kernel;
use skein_runtime::api::{ExecSpec, LogsSpec, Runtime};
use skein_store::failpoint;

use crate::agent::findings::Findings;
use crate::clock::Clock;
use crate::health;
use crate::history;
use crate::images::{Images, NOTES_MAX};
use crate::member::{Init, Leave, MemberActor, Membership, Running};
use crate::rehearsal::rehearse;
use crate::volumes::Volumes;

/// A machine and its membership, as the API sees them.
pub struct Service {
    /// Makes and ends the membership.
    pub member: Addr<MemberActor>,
    /// The running membership.
    pub membership: Membership,
    /// Containers and images.
    pub runtime: Arc<dyn Runtime>,
    /// The machine's networks.
    pub kernel: Arc<dyn Kernel>,
    /// What checks of containers came to.
    pub findings: Arc<Findings>,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// This machine, but for its membership.
    pub local: Local,
}

impl Service {
    fn running(&self) -> Result<Arc<Running>, Failure> {
        self.membership.load_full().ok_or_else(|| Refusal::NotInSwarm.into())
    }

    /// The command with what only this machine knows of it.
    async fn informed(&self, command: Command) -> Result<Command, Failure> {
        match command {
            Command::CreateNetwork(mut new) => {
                let internal =
                    |error: skein_net::overlay::Error| Failure::Internal(with_sources(&error));
                new.occupied = self.kernel.occupied().await.map_err(internal)?;
                Ok(Command::CreateNetwork(new))
            }
            other => Ok(other),
        }
    }

    fn local_volumes(&self) -> Volumes {
        Volumes { runtime: Arc::clone(&self.runtime), membership: Arc::clone(&self.membership) }
    }

    fn local_images(&self) -> Images {
        Images {
            runtime: Arc::clone(&self.runtime),
            membership: Arc::clone(&self.membership),
            clock: Arc::clone(&self.clock),
        }
    }
}

/// Reads the store off the serving thread.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let joined = tokio::task::spawn_blocking(work).await;
    joined.unwrap_or_else(|e| Err(Failure::Internal(format!("a read did not finish: {e}"))))
}

pub(crate) fn machine(error: skein_runtime::error::Error) -> Failure {
    use skein_runtime::error::Error;
    let text = with_sources(&error);
    match error {
        Error::Conflict(sentence) => Failure::Conflict(sentence),
        Error::NoSuchVolume(_) | Error::NotInRegistry(_) => Failure::Missing(text),
        Error::RegistryUnreachable { .. } | Error::Registry { .. } => Failure::Internal(text),
        Error::VolumeInUse { .. } => Failure::Conflict(text),
        Error::LoginRefused { .. } => Failure::Unauthorized(text),
        Error::AmbiguousImage { name, candidates } => {
            Refusal::Ambiguous { noun: "image", name, candidates }.into()
        }
        Error::NoSuchImage(name) => Refusal::NotFound { noun: "image", name }.into(),
        Error::NoSuchContainer(_)
        | Error::BadSetting { .. }
        | Error::Busy { .. }
        | Error::NoLogs
        | Error::HostileImage { .. } => Refusal::Invalid(text).into(),
        Error::BadCommand { .. } => {
            // What a shell would say: 127 if it is not there, else 126.
            let absent = text.contains("not found") || text.contains("no such file");
            Failure::NotExecutable { message: text, code: if absent { 127 } else { 126 } }
        }
        Error::Container { .. } | Error::Silent { .. } | Error::Io { .. } => {
            Failure::Internal(text)
        }
    }
}

fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text = format!("{text}: {inner}");
        source = inner.source();
    }
    // What images, registries and containers say is in it.
    skein_events::text::visible(&text).into_owned()
}

impl Backend for Service {
    fn state(&self) -> Result<Arc<State>, Failure> {
        Ok(self.running()?.face.state())
    }

    fn at(&self, moment: Moment) -> BoxFuture<'_, Result<Arc<State>, Failure>> {
        Box::pin(async move {
            let running = self.running()?;
            blocking(move || {
                let log = &running.face.log;
                let position = history::resolve(log, moment, running.face.time.now())?;
                history::state_at(log, position).map(Arc::new)
            })
            .await
        })
    }

    fn submit(
        &self,
        caller: Caller,
        command: Command,
    ) -> BoxFuture<'_, Result<Committed, Failure>> {
        Box::pin(async move {
            let running = self.running()?;
            // Removing is how a user makes space.
            let removes = matches!(command, Command::RemoveService(_) | Command::RemoveNetwork(_));
            if !removes || running.face.log.is_held() {
                health::has_room(Some(&running), &self.local.data_root)?;
            }
            running.face.submit(caller, None, self.informed(command).await?).await
        })
    }

    fn rehearse(
        &self,
        caller: Caller,
        command: Command,
    ) -> BoxFuture<'_, Result<Rehearsal, Failure>> {
        Box::pin(async move {
            let running = self.running()?;
            let command = self.informed(command).await?;
            blocking(move || {
                let (face, now) = (&running.face, running.face.time.now());
                Ok(rehearse(&face.state(), caller, &command, now)?)
            })
            .await
        })
    }

    fn read(&self, from: Position, limit: usize) -> BoxFuture<'_, Result<Vec<Logged>, Failure>> {
        Box::pin(async move {
            let running = self.running()?;
            blocking(move || history::read(&running.face.log, from, limit)).await
        })
    }

    fn hash_at(&self, position: Position) -> BoxFuture<'_, Result<Option<Hash>, Failure>> {
        Box::pin(async move {
            let running = self.running()?;
            blocking(move || running.face.log.hash_at(position).map_err(history::broken)).await
        })
    }

    fn head(&self) -> Result<watch::Receiver<Head>, Failure> {
        Ok(self.running()?.face.published.head.subscribe())
    }

    fn why(&self, object: String, at: Option<Moment>) -> BoxFuture<'_, Result<Why, Failure>> {
        Box::pin(async move {
            let running = self.running()?;
            blocking(move || {
                let (log, now) = (&running.face.log, running.face.time.now());
                let upto = match at {
                    Some(moment) => history::resolve(log, moment, now)?,
                    None => running.face.state().position,
                };
                running.reasons.why(log, &object, upto)
            })
            .await
        })
    }

    fn timeline(
        &self,
        object: String,
        at: Option<Moment>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Why, Failure>> {
        Box::pin(async move {
            let running = self.running()?;
            blocking(move || {
                let (log, now) = (&running.face.log, running.face.time.now());
                let upto = match at {
                    Some(moment) => history::resolve(log, moment, now)?,
                    None => running.face.state().position,
                };
                running.reasons.timeline(log, &object, upto, limit)
            })
            .await
        })
    }

    fn verify(&self) -> BoxFuture<'_, Result<Verification, Failure>> {
        Box::pin(async move {
            let running = self.running()?;
            blocking(move || {
                let log = &running.face.log;
                let report = log.verify(|_, _| {}).map_err(history::broken)?;
                let mut found = Verification {
                    records: report.records,
                    entries: report.entries,
                    head: report.h.to_string(),
                    ok: report.bad.is_none(),
                    first_bad: report.bad.map(|bad| BadRecord {
                        position: bad.first,
                        index: bad.index,
                        reason: bad.what.to_string(),
                    }),
                    ..Verification::default()
                };
                if found.ok {
                    let (checkpoints, diverged, redacted) = history::replay_all(log)?;
                    found.checkpoints = checkpoints;
                    found.redacted = redacted;
                    if let Some(position) = diverged {
                        found.ok = false;
                        found.first_bad = Some(BadRecord {
                            position,
                            index: 0,
                            reason:
                                "replaying the log gives another state than this checkpoint says"
                                    .to_owned(),
                        });
                    }
                }
                Ok(found)
            })
            .await
        })
    }

    fn export(&self, from: Position, to: Position) -> BoxFuture<'_, Result<Archive, Failure>> {
        Box::pin(async move {
            let running = self.running()?;
            let log = running.face.log.clone();
            let pieces = blocking(move || {
                let none = |e: skein_store::Error| match e {
                    skein_store::Error::NoRecords { .. } => Refusal::Invalid(e.to_string()).into(),
                    other => history::broken(other),
                };
                log.export(from, to).map_err(none)
            })
            .await?;
            // A few pieces ahead of the client, and no more: it may be slow.
            let (sender, receiver) = tokio::sync::mpsc::channel(2);
            tokio::task::spawn_blocking(move || {
                for piece in pieces {
                    if sender.blocking_send(piece.map_err(history::broken)).is_err() {
                        return;
                    }
                }
            });
            let stream = futures::stream::unfold(receiver, |mut receiver| async move {
                receiver.recv().await.map(|piece| (piece, receiver))
            });
            Ok(futures::StreamExt::boxed(stream))
        })
    }

    fn redact(
        &self,
        caller: Caller,
        position: Position,
    ) -> BoxFuture<'_, Result<Committed, Failure>> {
        Box::pin(async move {
            let running = self.running()?;
            health::has_room(Some(&running), &self.local.data_root)?;
            let face = &running.face;
            let log = face.log.clone();
            let found = blocking(move || history::detachable(&log, position)).await?;
            let Some((true, commitment)) = found else {
                return Err(Refusal::NothingToRedact(position).into());
            };
            let who = caller.clone();
            let done = face.submit(caller, None, Command::Redact { position, commitment }).await?;
            failpoint("redact.ordered");
            // Ordered; now erased here. Should the daemon end in between, the next start goes on.
            face.log.redact(position).await.map_err(history::broken)?;
            failpoint("redact.erased");
            let confirm = Command::ConfirmRedaction { position, node: face.node };
            let who = Caller { reason: None, request: None, if_at: None, ..who };
            let confirmed = face.submit(who, Some(done.last), confirm).await;
            failpoint("redact.confirmed");
            confirmed
        })
    }

    fn init_swarm(
        &self,
        caller: Caller,
        init: InitSwarm,
    ) -> BoxFuture<'_, Result<NodeId, Failure>> {
        Box::pin(async move {
            health::has_room(None, &self.local.data_root)?;
            let (reply, answer) = oneshot::channel();
            let ended = |_| Failure::Unavailable("the daemon is ending".to_owned());
            self.member.send(Init { caller, init, reply }).await.map_err(ended)?;
            answer.await.map_err(|_| Failure::Unknown)?
        })
    }

    fn leave_swarm(&self, _: Caller, force: bool) -> BoxFuture<'_, Result<(), Failure>> {
        Box::pin(async move {
            let (reply, answer) = oneshot::channel();
            let ended = |_| Failure::Unavailable("the daemon is ending".to_owned());
            self.member.send(Leave { force, reply }).await.map_err(ended)?;
            answer.await.map_err(|_| Failure::Unknown)?
        })
    }

    fn join_tokens(&self) -> Result<JoinTokens, Failure> {
        Ok(self.running()?.tokens.clone())
    }

    fn local(&self) -> Local {
        let running = self.membership.load_full();
        let node = running.as_ref().map(|r| r.face.node);
        let address = running.as_ref().and_then(|r| {
            let state = r.face.state();
            state.nodes.get(&r.face.node).map(|n| n.address)
        });
        Local { node, address, ..self.local.clone() }
    }

    fn pulse(&self) -> BoxFuture<'_, Result<(), Failure>> {
        Box::pin(async move {
            let running = self.membership.load_full();
            health::pulse(&self.member, running.as_deref()).await
        })
    }

    fn standing(&self) -> Option<Standing> {
        self.membership.load_full().map(|running| health::standing(&running))
    }

    fn checks(&self) -> Vec<Check> {
        health::checks(self.membership.load_full().as_deref(), &self.local.data_root)
    }

    fn health(&self, task: TaskId) -> Option<Health> {
        self.findings.of(task)
    }

    fn wall(&self) -> Time {
        self.clock.wall()
    }

    fn load_image(
        &self,
        caller: Caller,
        archive: Upload,
    ) -> BoxFuture<'_, Result<Vec<String>, Failure>> {
        Box::pin(async move { self.local_images().load(caller, archive).await })
    }

    fn images(&self) -> BoxFuture<'_, Result<Vec<ImageSummary>, Failure>> {
        Box::pin(async move { self.local_images().list().await })
    }

    fn image(&self, image: String) -> BoxFuture<'_, Result<Option<ImageDetails>, Failure>> {
        Box::pin(async move { self.local_images().look(image).await })
    }

    fn import_image(
        &self,
        caller: Caller,
        archive: Upload,
        import: ImportImage,
    ) -> BoxFuture<'_, Result<String, Failure>> {
        Box::pin(async move { self.local_images().import(caller, archive, import).await })
    }

    fn pull_image(&self, caller: Caller, pull: PullImage) -> Pulling {
        // Removing is how a user makes space, pulling is not.
        match health::has_room(self.membership.load_full().as_deref(), &self.local.data_root) {
            Ok(()) => self.local_images().pull(caller, pull),
            Err(full) => Box::pin(futures::stream::iter([Err(full)])),
        }
    }

    fn resolve_image(
        &self,
        name: Reference,
        login: Option<Login>,
    ) -> BoxFuture<'_, Result<ResolvedImage, Failure>> {
        Box::pin(async move { self.local_images().resolve(name, login).await })
    }

    fn check_login(&self, name: Reference, login: Login) -> BoxFuture<'_, Result<(), Failure>> {
        Box::pin(async move { self.local_images().check_login(name, login).await })
    }

    fn tag_image(
        &self,
        caller: Caller,
        image: String,
        name: Reference,
    ) -> BoxFuture<'_, Result<(), Failure>> {
        Box::pin(async move { self.local_images().tag(caller, image, name).await })
    }

    fn remove_image(
        &self,
        caller: Caller,
        image: String,
        force: bool,
    ) -> BoxFuture<'_, Result<Vec<ImageRemoval>, Failure>> {
        Box::pin(async move { self.local_images().remove(caller, image, force).await })
    }

    fn prune_images(
        &self,
        caller: Caller,
        prune: PruneImages,
    ) -> BoxFuture<'_, Result<ImagesPruned, Failure>> {
        Box::pin(async move { self.local_images().prune(caller, prune).await })
    }

    fn remove_logs(
        &self,
        caller: Caller,
        tasks: BTreeSet<TaskId>,
    ) -> BoxFuture<'_, Result<Vec<KeptLog>, Failure>> {
        Box::pin(async move { self.local_images().remove_logs(caller, tasks).await })
    }

    fn volumes(&self) -> BoxFuture<'_, Result<Vec<Volume>, Failure>> {
        Box::pin(async move { self.local_volumes().list().await })
    }

    fn volume(&self, name: String) -> BoxFuture<'_, Result<Volume, Failure>> {
        Box::pin(async move { self.local_volumes().look(name).await })
    }

    fn create_volume(
        &self,
        caller: Caller,
        volume: NewVolume,
    ) -> BoxFuture<'_, Result<Volume, Failure>> {
        Box::pin(async move { self.local_volumes().create(caller, volume).await })
    }

    fn remove_volume(
        &self,
        caller: Caller,
        name: String,
        force: bool,
    ) -> BoxFuture<'_, Result<(), Failure>> {
        Box::pin(async move { self.local_volumes().remove(caller, name, force).await })
    }

    fn prune_volumes(
        &self,
        caller: Caller,
        names: Vec<String>,
    ) -> BoxFuture<'_, Result<Vec<String>, Failure>> {
        Box::pin(async move { self.local_volumes().prune(caller, names).await })
    }

    fn rehearse_here(
        &self,
        caller: Caller,
        change: LocalChange,
    ) -> BoxFuture<'_, Result<Rehearsal, Failure>> {
        Box::pin(async move {
            let running = self.running()?;
            let node = running.face.node;
            let (images, volumes) = (self.local_images(), self.local_volumes());
            let of_images = |mut notes: Vec<ImageNote>| {
                notes.truncate(NOTES_MAX);
                (!notes.is_empty()).then_some(Command::NoteImages { node, notes })
            };
            let of_volumes = |mut notes: Vec<VolumeNote>| {
                notes.truncate(NOTES_MAX);
                (!notes.is_empty()).then_some(Command::NoteVolumes { node, notes })
            };
            let (command, reclaimed) = match change {
                LocalChange::TagImage { image, name } => {
                    (of_images(images.would_tag(image, &name).await?), 0)
                }
                LocalChange::RemoveImage { image, force } => {
                    let (notes, bytes) = images.would_remove(image, force).await?;
                    (of_images(notes), bytes)
                }
                LocalChange::PruneImages(prune) => {
                    let (notes, bytes) = images.would_prune(prune).await?;
                    (of_images(notes), bytes)
                }
                LocalChange::RemoveLogs(tasks) => (None, images.would_remove_logs(&tasks).await?),
                LocalChange::CreateVolume(volume) => {
                    (of_volumes(volumes.would_create(volume).await?), 0)
                }
                LocalChange::RemoveVolumes { names, force } => {
                    let (notes, bytes) = volumes.would_remove(names, force).await?;
                    (of_volumes(notes), bytes)
                }
            };
            let rehearsal = match command {
                Some(command) => self.rehearse(caller, command).await?,
                None => Rehearsal {
                    valid_at: running.face.state().position,
                    steps: Vec::new(),
                    differences: Vec::new(),
                    refused: Vec::new(),
                    cut: false,
                    reclaimed,
                },
            };
            Ok(Rehearsal { reclaimed, ..rehearsal })
        })
    }

    fn disk_usage(&self) -> BoxFuture<'_, Result<DiskUsage, Failure>> {
        Box::pin(async move { self.local_images().usage(&self.local_volumes()).await })
    }

    fn exec(
        &self,
        caller: Caller,
        request: ExecRequest,
    ) -> BoxFuture<'_, Result<ExecSession, Failure>> {
        Box::pin(async move {
            let running = self.running()?;
            let ExecRequest { task, args, env, user, dir, stdin, terminal } = request;
            let state = running.face.state();
            let node = state.tasks.get(&task).and_then(|t| t.node);
            if node.is_some_and(|id| id != running.face.node) {
                let text = "the task runs on another node: run the command there".to_owned();
                return Err(Refusal::Unsupported(text).into());
            }
            let program = args.first().cloned().unwrap_or_default();
            running.face.submit(caller, None, Command::StartExec { task, program }).await?;
            let terminal = terminal.map(window);
            let spec = ExecSpec { args, env, user, dir, stdin, terminal, tied: false };
            let session = self.runtime.exec(task, spec).await.map_err(machine)?;
            let skein_runtime::api::ExecSession { pid, stdin, stdout, stderr, resize, exit } =
                session;
            Ok(ExecSession {
                stdin: stdin
                    .map(|s| -> Box<dyn tokio::io::AsyncWrite + Send + Unpin> { Box::new(s) }),
                stdout: Box::new(stdout),
                stderr: Box::new(stderr),
                pid,
                exit: Box::pin(async move { exit.await.unwrap_or(255) }),
                resize: resize.map(|resize| -> skein_net::backend::Resize {
                    Arc::new(move |size| {
                        let resized = resize(window(size)).map_err(machine);
                        Box::pin(async move { resized })
                    })
                }),
            })
        })
    }

    fn logs(&self, request: LogsRequest) -> BoxFuture<'_, Result<LogLines, Failure>> {
        Box::pin(async move {
            let LogsRequest { task, follow, tail, since, until, stdout, stderr } = request;
            let wanted = LogsSpec { follow, tail, since, until, stdout, stderr };
            let lines = self.runtime.logs(task, wanted).await.map_err(|error| match error {
                skein_runtime::error::Error::NoSuchContainer(task) => {
                    Refusal::NotFound { noun: "output of task", name: task.to_string() }.into()
                }
                error => machine(error),
            })?;
            Ok(lines.map(|line| line.map(said).map_err(machine)).boxed())
        })
    }
}

fn window(size: skein_net::backend::WindowSize) -> skein_runtime::api::WindowSize {
    let skein_net::backend::WindowSize { rows, columns } = size;
    skein_runtime::api::WindowSize { rows, columns }
}

fn said(line: skein_runtime::log::Line) -> LogLine {
    let skein_runtime::log::Line { log, stream, time } = line;
    let stream = match stream {
        skein_runtime::log::Stream::Stdout => LogStream::Out,
        skein_runtime::log::Stream::Stderr => LogStream::Err,
    };
    LogLine { stream, time, text: log.into_bytes() }
}
