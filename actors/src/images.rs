//! Images as the API asks for them: carried to the machine, and what changed them written down.
//! Apart from `backend`, because a machine has images whether it is in a swarm or not; the log has them only in one.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::StreamExt as _;
use tokio::sync::{mpsc, oneshot};

use skein_events::command::{Command, ImageNote};
use skein_events::envelope::Who;
use skein_events::id::TaskId;
use skein_events::node::ImageChange;
use skein_events::reference::Reference;
use skein_events::refusal::Refusal;
use skein_net::backend::{
    Caller, ContainerUsage, DiskUsage, Failure, ImageDetails, ImageRemoval, ImageSummary,
    ImagesPruned, ImportImage, KeptLog, LayerStep, Login, PruneImages, PullImage, PullStep,
    Pulling, ResolvedImage, Upload,
};
use skein_runtime::api::{Runtime, container_id};
use skein_runtime::error::Error;
use skein_runtime::image::{
    Details, Image, Import, Progress, Prune, Pruned, Pull, Pulled, Removed, Resolved, Step, Usage,
};

use crate::backend::machine;
use crate::clock::Clock;
use crate::condition::unchanged;
use crate::member::Membership;
use crate::volumes::Volumes;

/// Steps of a pull that wait for a client to read them.
const PROGRESS_QUEUE: usize = 64;
/// Notes of one command, as `decide` takes them.
pub(crate) const NOTES_MAX: usize = 1_000;

/// The images of this machine.
#[derive(Clone)]
pub struct Images {
    /// Where they are.
    pub runtime: Arc<dyn Runtime>,
    /// Where changes are written down.
    pub membership: Membership,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
}

fn note(change: ImageChange, name: impl Into<String>, digest: impl ToString) -> ImageNote {
    ImageNote { change, name: name.into(), digest: digest.to_string() }
}

fn not_found(name: String) -> Failure {
    Refusal::NotFound { noun: "image", name }.into()
}

fn login_of(login: Login) -> skein_runtime::image::Login {
    match login {
        Login::Password { user, password } => {
            skein_runtime::image::Login::Password { user, password }
        }
        Login::Token(token) => skein_runtime::image::Login::Token(token),
    }
}

fn step_of(progress: Progress) -> PullStep {
    let Progress::Layer { blob, step } = progress else { return PullStep::Found };
    let step = match step {
        Step::Present => LayerStep::Present,
        Step::Needed => LayerStep::Needed,
        Step::Coming { bytes, of } => LayerStep::Coming { bytes, of },
        Step::Came => LayerStep::Came,
        Step::Unpacked => LayerStep::Unpacked,
    };
    PullStep::Layer { blob: blob.to_string(), step }
}

/// What went, with the image every name pointed to.
fn notes_of(removed: &[Removed], id: &str) -> Vec<ImageNote> {
    removed
        .iter()
        .filter_map(|step| match step {
            Removed::Untagged(name) => Some(note(ImageChange::Removed, name.clone(), id)),
            Removed::Deleted(digest) if digest.to_string() == id => {
                Some(note(ImageChange::Removed, "", digest))
            }
            // A layer is no image.
            Removed::Deleted(_) => None,
        })
        .collect()
}

impl Images {
    /// Writes down what changed, if there is a log. It has happened: a log that cannot take it stops nothing.
    pub(crate) async fn write_down(&self, caller: Caller, notes: Vec<ImageNote>) {
        let Some(running) = self.membership.load_full() else { return };
        for notes in notes.chunks(NOTES_MAX) {
            let command = Command::NoteImages { node: running.face.node, notes: notes.to_vec() };
            // The request's id belongs to the change of the images, which may need several of these.
            let caller = Caller { request: None, ..caller.clone() };
            if let Err(error) = running.face.submit(caller, None, command).await {
                tracing::warn!(%error, "a change of images is not in the log");
            }
        }
    }

    pub(crate) async fn load(
        &self,
        caller: Caller,
        archive: Upload,
    ) -> Result<Vec<String>, Failure> {
        let caller = unchanged(&self.membership, caller)?;
        let loaded = self.runtime.load(Box::pin(archive)).await.map_err(machine)?;
        let notes = loaded
            .iter()
            .map(|l| note(ImageChange::Loaded, l.name.clone().unwrap_or_default(), l.id))
            .collect();
        self.write_down(caller, notes).await;
        Ok(loaded.into_iter().map(|l| l.name.unwrap_or_else(|| l.id.to_string())).collect())
    }

    pub(crate) async fn import(
        &self,
        caller: Caller,
        archive: Upload,
        import: ImportImage,
    ) -> Result<String, Failure> {
        let caller = unchanged(&self.membership, caller)?;
        let ImportImage { name, comment, changes } = import;
        let named = name.as_ref().map(Reference::familiar).unwrap_or_default();
        let import = Import { name, comment, changes, now: self.clock.wall() };
        let id = self.runtime.import(Box::pin(archive), import).await.map_err(machine)?;
        self.write_down(caller, vec![note(ImageChange::Imported, named, id)]).await;
        Ok(id.to_string())
    }

    /// Fetches an image; what comes of it is written down even if nobody waits for it any more.
    pub(crate) fn pull(self, caller: Caller, pull: PullImage) -> Pulling {
        let caller = match unchanged(&self.membership, caller) {
            Ok(caller) => caller,
            Err(failure) => return futures::stream::iter([Err(failure)]).boxed(),
        };
        let PullImage { name, login } = pull;
        let (progress, mut heard) = mpsc::channel(PROGRESS_QUEUE);
        let order = Pull {
            name: name.clone(),
            login: login.map(login_of),
            now: self.clock.wall(),
            progress,
        };
        let pulling = self.runtime.pull(order);
        // Apart from the stream: it may be dropped between the image and its event.
        let (to, done) = oneshot::channel();
        tokio::spawn(async move {
            let pulled = pulling.await.map_err(machine);
            if let Ok(pulled) = &pulled {
                self.note_pulled(caller, &name, pulled).await;
            }
            // Nobody waits any more.
            drop(to.send(pulled));
        });
        let steps = futures::stream::poll_fn(move |cx| heard.poll_recv(cx)).map(|p| Ok(step_of(p)));
        let end = futures::stream::once(async {
            let Pulled { id: _, digest, fresh } =
                done.await.unwrap_or_else(|_| Err(Failure::Internal("a pull ended".to_owned())))?;
            Ok(PullStep::Done { digest: digest.to_string(), fresh })
        });
        steps.chain(end).boxed()
    }

    /// Fetches an image that a task of this node needs, as nobody. Dropped, it is given up.
    pub(crate) async fn pull_for_task(&self, name: &Reference) -> Result<(), Error> {
        let (progress, mut heard) = mpsc::channel(PROGRESS_QUEUE);
        let now = self.clock.wall();
        let pulling = self.runtime.pull(Pull { name: name.clone(), login: None, now, progress });
        let listening = async { while heard.recv().await.is_some() {} };
        let (pulled, ()) = futures::future::join(pulling, listening).await;
        let pulled = pulled?;
        if let Some(running) = self.membership.load_full() {
            let caller = Caller {
                who: Who::Node { id: running.face.node },
                client: concat!("skein/", env!("CARGO_PKG_VERSION")).to_owned(),
                reason: None,
                request: None,
                if_at: None,
            };
            self.note_pulled(caller, name, &pulled).await;
        }
        Ok(())
    }

    /// Writes down what a pull brought: the name as it was asked for, held to the content it had.
    pub(crate) async fn note_pulled(&self, caller: Caller, name: &Reference, pulled: &Pulled) {
        if pulled.fresh {
            let pinned = name.pinned(&pulled.digest.to_string()).familiar();
            self.write_down(caller, vec![note(ImageChange::Pulled, pinned, pulled.id)]).await;
        }
    }

    pub(crate) async fn resolve(
        &self,
        name: Reference,
        login: Option<Login>,
    ) -> Result<ResolvedImage, Failure> {
        let resolved = self.runtime.resolve(name, login.map(login_of)).await.map_err(machine)?;
        let Resolved { media_type, digest, size, platforms } = resolved;
        Ok(ResolvedImage { media_type, digest: digest.to_string(), size, platforms })
    }

    pub(crate) async fn check_login(&self, name: Reference, login: Login) -> Result<(), Failure> {
        self.runtime.check_login(name, login_of(login)).await.map_err(machine)
    }

    pub(crate) async fn list(&self) -> Result<Vec<ImageSummary>, Failure> {
        let images = self.runtime.images().await.map_err(machine)?;
        Ok(images.into_iter().map(summary).collect())
    }

    pub(crate) async fn look(&self, image: String) -> Result<Option<ImageDetails>, Failure> {
        let found = self.runtime.image_details(image).await.map_err(machine)?;
        let closely = |Details { image, file, layer_sizes }| ImageDetails {
            summary: summary(image),
            file,
            layer_sizes,
        };
        Ok(found.map(closely))
    }

    pub(crate) async fn tag(
        &self,
        caller: Caller,
        image: String,
        name: Reference,
    ) -> Result<(), Failure> {
        let caller = unchanged(&self.membership, caller)?;
        let named = name.familiar();
        let tagged = self.runtime.tag_image(image.clone(), name).await.map_err(machine)?;
        let id = tagged.ok_or_else(|| not_found(image))?;
        self.write_down(caller, vec![note(ImageChange::Tagged, named, id)]).await;
        Ok(())
    }

    pub(crate) async fn remove(
        &self,
        caller: Caller,
        image: String,
        force: bool,
    ) -> Result<Vec<ImageRemoval>, Failure> {
        let caller = unchanged(&self.membership, caller)?;
        let found = self.runtime.image_details(image.clone()).await.map_err(machine)?;
        let id = found.ok_or_else(|| not_found(image.clone()))?.image.id.to_string();
        let removed = self.runtime.remove_image(image, force).await.map_err(machine)?;
        self.write_down(caller, notes_of(&removed, &id)).await;
        Ok(steps(removed))
    }

    pub(crate) async fn prune(
        &self,
        caller: Caller,
        prune: PruneImages,
    ) -> Result<ImagesPruned, Failure> {
        let caller = unchanged(&self.membership, caller)?;
        let images = self.runtime.images().await.map_err(machine)?;
        let Pruned { removed, reclaimed } =
            self.runtime.prune_images(wanted(prune)).await.map_err(machine)?;
        self.write_down(caller, pruned_notes(&images, &removed)).await;
        Ok(ImagesPruned { removed: steps(removed), reclaimed })
    }

    /// The records there would be of giving a name.
    pub(crate) async fn would_tag(
        &self,
        image: String,
        name: &Reference,
    ) -> Result<Vec<ImageNote>, Failure> {
        let found = self.runtime.image_details(image.clone()).await.map_err(machine)?;
        let id = found.ok_or_else(|| not_found(image))?.image.id;
        Ok(vec![note(ImageChange::Tagged, name.familiar(), id)])
    }

    /// The records there would be of a removal, and the bytes it would free.
    pub(crate) async fn would_remove(
        &self,
        image: String,
        force: bool,
    ) -> Result<(Vec<ImageNote>, u64), Failure> {
        let found = self.runtime.image_details(image.clone()).await.map_err(machine)?;
        let id = found.ok_or_else(|| not_found(image.clone()))?.image.id.to_string();
        let Pruned { removed, reclaimed } =
            self.runtime.would_remove_image(image, force).await.map_err(machine)?;
        Ok((notes_of(&removed, &id), reclaimed))
    }

    /// The records there would be of a prune, and the bytes it would free.
    pub(crate) async fn would_prune(
        &self,
        prune: PruneImages,
    ) -> Result<(Vec<ImageNote>, u64), Failure> {
        let images = self.runtime.images().await.map_err(machine)?;
        let Pruned { removed, reclaimed } =
            self.runtime.would_prune_images(wanted(prune)).await.map_err(machine)?;
        Ok((pruned_notes(&images, &removed), reclaimed))
    }

    /// Removes what ended containers said; of it the log keeps no record.
    pub(crate) async fn remove_logs(
        &self,
        caller: Caller,
        tasks: BTreeSet<TaskId>,
    ) -> Result<Vec<KeptLog>, Failure> {
        unchanged(&self.membership, caller)?;
        let gone = self.runtime.remove_logs(tasks).await.map_err(machine)?;
        Ok(gone.into_iter().map(kept_log).collect())
    }

    /// The bytes that a removal of what they said would free.
    pub(crate) async fn would_remove_logs(&self, tasks: &BTreeSet<TaskId>) -> Result<u64, Failure> {
        let kept = self.runtime.usage().await.map_err(machine)?.logs;
        Ok(kept.iter().filter(|log| tasks.contains(&log.task)).map(|log| log.bytes).sum())
    }

    pub(crate) async fn usage(&self, kept: &Volumes) -> Result<DiskUsage, Failure> {
        let images = self.list().await?;
        let Usage { layers, partial, containers, logs, volumes } =
            self.runtime.usage().await.map_err(machine)?;
        let used = |c: skein_runtime::image::ContainerUsage| ContainerUsage {
            task: c.task,
            container: container_id(c.task),
            image: c.image.map(|id| id.to_string()),
            written: c.written,
            running: c.running,
        };
        Ok(DiskUsage {
            images,
            layers: layers.into_iter().map(|(layer, n)| (layer.to_string(), n)).collect(),
            partial,
            containers: containers.into_iter().map(used).collect(),
            logs: logs.into_iter().map(kept_log).collect(),
            volumes: kept.usage(&volumes).await?,
        })
    }
}

fn kept_log(log: skein_runtime::image::KeptLog) -> KeptLog {
    let skein_runtime::image::KeptLog { task, bytes, last } = log;
    KeptLog { task, container: container_id(task), bytes, last }
}

fn wanted(prune: PruneImages) -> Prune {
    let PruneImages { all, before, labels, without } = prune;
    Prune { all, before, labels, without }
}

/// In the order of their names, the nameless last.
fn pruned_notes(images: &[Image], removed: &[Removed]) -> Vec<ImageNote> {
    let mut notes: Vec<ImageNote> = images
        .iter()
        .filter(|image| removed.contains(&Removed::Deleted(image.id)))
        .map(|image| {
            let name = image.names.iter().chain(&image.digests).next();
            note(ImageChange::Removed, name.cloned().unwrap_or_default(), image.id)
        })
        .collect();
    notes.sort_by(|a, b| (a.name.is_empty(), &a.name).cmp(&(b.name.is_empty(), &b.name)));
    notes
}

fn steps(removed: Vec<Removed>) -> Vec<ImageRemoval> {
    let step = |step| match step {
        Removed::Untagged(name) => ImageRemoval::Untagged(name),
        Removed::Deleted(digest) => ImageRemoval::Deleted(digest.to_string()),
    };
    removed.into_iter().map(step).collect()
}

fn summary(image: Image) -> ImageSummary {
    let Image { id, names, digests, size, created, config, layers } = image;
    let nanos = i128::from(created.0);
    let created = jiff::Timestamp::from_nanosecond(nanos).ok().map(|t| t.to_string());
    ImageSummary {
        id: id.to_string(),
        names,
        digests,
        size,
        created,
        labels: config.labels.into_iter().collect(),
        layers: layers.iter().map(ToString::to_string).collect(),
    }
}
