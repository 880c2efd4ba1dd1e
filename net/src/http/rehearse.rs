//! The same API for a dry run, by the header `Skein-Dry-Run`: every route is served by a backend that writes nothing.
//! A backend and no flag, so that the compiler asks of each new thing a backend can do what a dry run of it is.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::http::HeaderMap;
use futures::future::{BoxFuture, ready};
use futures::{FutureExt as _, StreamExt as _};
use tokio::sync::watch;

use skein_events::codec::Apart;
use skein_events::command::Command;
use skein_events::id::{NodeId, TaskId};
use skein_events::record::{Hash, Position};
use skein_events::reference::Reference;
use skein_events::refusal::Refusal;
use skein_events::state::State;
use skein_events::time::Time;

use crate::backend::{
    Archive, Backend, Caller, Check, Committed, DiskUsage, ExecRequest, ExecSession, Failure, Head,
    Health, ImageDetails, ImageRemoval, ImageSummary, ImagesPruned, ImportImage, InitSwarm,
    JoinTokens, KeptLog, Local, LocalChange, LogLines, Logged, Login, LogsRequest, Moment,
    NewVolume, PruneImages, PullImage, Pulling, Rehearsal, ResolvedImage, Standing, Upload,
    Verification, Volume, Why,
};

use super::filters::truthy;

/// The header's name.
const HEADER: &str = "skein-dry-run";

/// Whether a request asks for a dry run.
pub(crate) fn is_wanted(headers: &HeaderMap) -> bool {
    headers.get(HEADER).and_then(|value| value.to_str().ok()).is_some_and(|v| truthy(Some(v)))
}

/// A backend that plays commands through instead of carrying them out.
pub(crate) struct Rehearsing(pub(crate) Arc<dyn Backend>);

impl Rehearsing {
    /// A change of this machine, of which the log keeps a record.
    fn here<T>(&self, caller: Caller, change: LocalChange) -> BoxFuture<'_, Result<T, Failure>> {
        async move {
            let rehearsal = self.0.rehearse_here(caller, change).await?;
            Err(Failure::Rehearsed(Box::new(rehearsal)))
        }
        .boxed()
    }
}

/// What comes from elsewhere and what is done on this machine and not in the log cannot be played through.
fn not_in_the_log<T>(what: &str) -> BoxFuture<'static, Result<T, Failure>>
where
    T: Send + 'static,
{
    let text = format!("{what} is no matter of the log alone: leave out --dry-run");
    ready(Err(Refusal::Unsupported(text).into())).boxed()
}

impl Backend for Rehearsing {
    fn state(&self) -> Result<Arc<State>, Failure> {
        self.0.state()
    }
    fn at(&self, moment: Moment) -> BoxFuture<'_, Result<Arc<State>, Failure>> {
        self.0.at(moment)
    }
    fn submit(
        &self,
        caller: Caller,
        command: Command,
    ) -> BoxFuture<'_, Result<Committed, Failure>> {
        async move {
            let rehearsal = self.0.rehearse(caller, command).await?;
            Err(Failure::Rehearsed(Box::new(rehearsal)))
        }
        .boxed()
    }
    fn rehearse(
        &self,
        caller: Caller,
        command: Command,
    ) -> BoxFuture<'_, Result<Rehearsal, Failure>> {
        self.0.rehearse(caller, command)
    }
    fn read(&self, from: Position, limit: usize) -> BoxFuture<'_, Result<Vec<Logged>, Failure>> {
        self.0.read(from, limit)
    }
    fn hash_at(&self, position: Position) -> BoxFuture<'_, Result<Option<Hash>, Failure>> {
        self.0.hash_at(position)
    }
    fn head(&self) -> Result<watch::Receiver<Head>, Failure> {
        self.0.head()
    }
    fn why(&self, object: String, at: Option<Moment>) -> BoxFuture<'_, Result<Why, Failure>> {
        self.0.why(object, at)
    }
    fn timeline(
        &self,
        object: String,
        at: Option<Moment>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Why, Failure>> {
        self.0.timeline(object, at, limit)
    }
    fn verify(&self) -> BoxFuture<'_, Result<Verification, Failure>> {
        self.0.verify()
    }
    fn export(&self, from: Position, to: Position) -> BoxFuture<'_, Result<Archive, Failure>> {
        self.0.export(from, to)
    }
    fn redact(
        &self,
        caller: Caller,
        position: Position,
    ) -> BoxFuture<'_, Result<Committed, Failure>> {
        async move {
            let found = self.0.read(position, 1).await?;
            let records = found.iter().flat_map(|l| l.batch.records(l.first));
            let apart = records.into_iter().find(|r| r.position == position).map(|r| r.apart);
            let Some(Apart::Present { commitment, value: _ }) = apart else {
                return Err(Refusal::NothingToRedact(position).into());
            };
            self.submit(caller, Command::Redact { position, commitment: *commitment }).await
        }
        .boxed()
    }
    fn init_swarm(&self, _: Caller, _: InitSwarm) -> BoxFuture<'_, Result<NodeId, Failure>> {
        not_in_the_log("making a swarm")
    }
    fn leave_swarm(&self, _: Caller, _: bool) -> BoxFuture<'_, Result<(), Failure>> {
        not_in_the_log("leaving the swarm")
    }
    fn join_tokens(&self) -> Result<JoinTokens, Failure> {
        self.0.join_tokens()
    }
    fn local(&self) -> Local {
        self.0.local()
    }
    fn pulse(&self) -> BoxFuture<'_, Result<(), Failure>> {
        self.0.pulse()
    }
    fn standing(&self) -> Option<Standing> {
        self.0.standing()
    }
    fn checks(&self) -> Vec<Check> {
        self.0.checks()
    }
    fn health(&self, task: TaskId) -> Option<Health> {
        self.0.health(task)
    }
    fn wall(&self) -> Time {
        self.0.wall()
    }
    fn load_image(&self, _: Caller, _: Upload) -> BoxFuture<'_, Result<Vec<String>, Failure>> {
        not_in_the_log("loading an image")
    }
    fn images(&self) -> BoxFuture<'_, Result<Vec<ImageSummary>, Failure>> {
        self.0.images()
    }
    fn image(&self, image: String) -> BoxFuture<'_, Result<Option<ImageDetails>, Failure>> {
        self.0.image(image)
    }
    fn import_image(
        &self,
        _: Caller,
        _: Upload,
        _: ImportImage,
    ) -> BoxFuture<'_, Result<String, Failure>> {
        not_in_the_log("making an image")
    }
    fn pull_image(&self, _: Caller, _: PullImage) -> Pulling {
        futures::stream::once(not_in_the_log("pulling an image")).boxed()
    }
    fn resolve_image(
        &self,
        name: Reference,
        login: Option<Login>,
    ) -> BoxFuture<'_, Result<ResolvedImage, Failure>> {
        self.0.resolve_image(name, login)
    }
    fn check_login(&self, name: Reference, login: Login) -> BoxFuture<'_, Result<(), Failure>> {
        self.0.check_login(name, login)
    }
    fn tag_image(
        &self,
        caller: Caller,
        image: String,
        name: Reference,
    ) -> BoxFuture<'_, Result<(), Failure>> {
        self.here(caller, LocalChange::TagImage { image, name })
    }
    fn remove_image(
        &self,
        caller: Caller,
        image: String,
        force: bool,
    ) -> BoxFuture<'_, Result<Vec<ImageRemoval>, Failure>> {
        self.here(caller, LocalChange::RemoveImage { image, force })
    }
    fn prune_images(
        &self,
        caller: Caller,
        prune: PruneImages,
    ) -> BoxFuture<'_, Result<ImagesPruned, Failure>> {
        self.here(caller, LocalChange::PruneImages(prune))
    }
    fn remove_logs(
        &self,
        caller: Caller,
        tasks: BTreeSet<TaskId>,
    ) -> BoxFuture<'_, Result<Vec<KeptLog>, Failure>> {
        self.here(caller, LocalChange::RemoveLogs(tasks))
    }
    fn volumes(&self) -> BoxFuture<'_, Result<Vec<Volume>, Failure>> {
        self.0.volumes()
    }
    fn volume(&self, name: String) -> BoxFuture<'_, Result<Volume, Failure>> {
        self.0.volume(name)
    }
    fn create_volume(
        &self,
        caller: Caller,
        volume: NewVolume,
    ) -> BoxFuture<'_, Result<Volume, Failure>> {
        self.here(caller, LocalChange::CreateVolume(volume))
    }
    fn remove_volume(
        &self,
        caller: Caller,
        name: String,
        force: bool,
    ) -> BoxFuture<'_, Result<(), Failure>> {
        self.here(caller, LocalChange::RemoveVolumes { names: vec![name], force })
    }
    fn prune_volumes(
        &self,
        caller: Caller,
        names: Vec<String>,
    ) -> BoxFuture<'_, Result<Vec<String>, Failure>> {
        self.here(caller, LocalChange::RemoveVolumes { names, force: true })
    }
    fn rehearse_here(
        &self,
        caller: Caller,
        change: LocalChange,
    ) -> BoxFuture<'_, Result<Rehearsal, Failure>> {
        self.0.rehearse_here(caller, change)
    }
    fn disk_usage(&self) -> BoxFuture<'_, Result<DiskUsage, Failure>> {
        self.0.disk_usage()
    }
    fn logs(&self, request: LogsRequest) -> BoxFuture<'_, Result<LogLines, Failure>> {
        self.0.logs(request)
    }
    fn exec(&self, _: Caller, _: ExecRequest) -> BoxFuture<'_, Result<ExecSession, Failure>> {
        not_in_the_log("running a command in a task")
    }
}
