//! This machine: the runtime with real containers, one shim each.
//! It holds no state of its own: what there is stands on disk and behind sockets, so a new daemon sees the same.
//!
//! ```text
//! <data>/images/                    see image::store
//! <data>/containers/<task>/         upper, work, rootfs (mounted), config.json, hosts …, exit.json, order.json, standing.json
//! <data>/logs/<task>/               what it said, see log; outlives the container for a while
//! <data>/volumes/                   see volume
//! <data>/discarded/                 what is being removed, see discard
//! <run>/shim/<task>                 socket of the container's shim, while there is one
//! <run>/library/<task>/             the container library's own
//! <cgroup>/skein/<root>/<task>      in every hierarchy
//! ```

mod cleanup;
mod client;
mod images;
mod logs;
mod pulls;
mod standing;
mod terminal;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _};
use skein_events::id::TaskId;
use skein_events::reference::Reference;
use skein_events::task::mount::{Mount, MountSource};
use skein_events::time::Span;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::process::Command;

use crate::api::{
    Answer, Condition, Container, Created, ExecSession, ExecSpec, Exit, Found, Input, Lines,
    LogsSpec, Runtime, Volume, VolumeSpec, container_id,
};
use crate::check::{Check, Standing};
use crate::discard::Discard;
use crate::error::{Context as _, Error};
use crate::image::store::{ID_DIGITS, Store};
use crate::image::{
    Details, Digest, Image, Import, KeptLog, Loaded, Login, Prune, Pruned, Pull, Pulled, Removed,
    Resolved, Usage,
};
use crate::image::{digest, volumes};
use crate::log::Keep;
use crate::private;
use crate::rootfs::{mount, overlay};
use crate::shim::COMMAND;
use crate::shim::program::Program;
use crate::shim::protocol::{Order, Reply, Request};
use crate::signal::Signal;
use crate::spec;
use crate::volume::Volumes;
use client::Link;
use pulls::Pulls;

/// The file in which a shim leaves word how its container ended.
pub(crate) const EXIT_FILE: &str = "exit.json";
/// How long a shim may take to make a container: mounts and the container library, 40 ms as a rule.
const CREATE_MAX: Duration = Duration::from_secs(60);
/// How long it may take until the program is executed, which may lie on a slow disk of the user's.
const START_MAX: Duration = Duration::from_secs(60);
/// How long a killed container may take to go and its shim to say so.
const KILL_MAX: Duration = Duration::from_secs(15);
/// Shims that are asked at a time.
const ASKED_AT_ONCE: usize = 64;
const ORDER_FILE: &str = "order.json";
/// Names of the volumes a container uses, one a line.
const VOLUMES_FILE: &str = "volumes";
/// Docker's label of a volume that nobody named.
const ANONYMOUS: &str = "com.docker.volume.anonymous";

/// Where a machine keeps what it keeps.
#[derive(Clone, Debug)]
pub struct Options {
    /// Survives a restart of the machine: images, containers, logs. On a file system overlayfs takes as upper layer.
    pub data: PathBuf,
    /// Does not survive it: sockets. Usually below `/run`.
    pub run: PathBuf,
    /// Short id of the data root; part of what is named in the kernel, so that two daemons do not clash.
    pub root_id: String,
    /// Registries that are spoken to in the clear beside those of this machine, `HOST` or `HOST:PORT`.
    pub insecure_registries: Vec<String>,
    /// Whether no program in a container may have more privileges than whoever executes it.
    pub no_new_privileges: bool,
    /// The binary that becomes a shim when run with [`COMMAND`]; usually `/proc/self/exe`.
    pub shim: PathBuf,
}

/// This machine. Clones are the same.
#[derive(Clone, Debug)]
pub struct Machine(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    options: Options,
    images: Store,
    volumes: Volumes,
    /// What containers leave.
    discard: Discard,
    host: spec::Host,
    /// What shims run.
    program: Program,
    /// Who talks to registries.
    pulls: Pulls,
    /// The filter of system calls for shims, in base 64.
    filter: String,
    /// Held by whoever makes a container: what all containers share in the kernel is not taken away meanwhile.
    making: tokio::sync::RwLock<()>,
}

impl Machine {
    /// Opens or makes what is needed on disk; blocks.
    pub fn open(options: Options) -> Result<Self, Error> {
        let sound = |c: char| c.is_ascii_alphanumeric() || c == '-';
        if options.root_id.is_empty() || !options.root_id.chars().all(sound) {
            return Err(Error::BadSetting {
                message: format!("data root id {:?} is no name", options.root_id),
            });
        }
        let images = Store::open(options.data.join("images"))?;
        for dir in [
            options.data.join("containers"),
            options.data.join("logs"),
            options.run.join("shim"),
            options.run.join("library"),
        ] {
            private::dir(&dir)?;
        }
        let discard = Discard::open(options.data.join("discarded"))?;
        let volumes = Volumes::open(options.data.join("volumes"), options.data.join("containers"))?;
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let host = spec::Host {
            device_cgroup: Path::new(overlay::DEVICE_CONTROLLER).exists(),
            bounding: spec::Bounding::of_status(&status),
            new_privileges: !options.no_new_privileges,
        };
        let filter = base64::engine::general_purpose::STANDARD.encode(spec::seccomp::program()?);
        let making = tokio::sync::RwLock::default();
        let program = Program::open(&options.shim)?;
        let machine = Self(Arc::new(Inner {
            options,
            images,
            volumes,
            discard,
            host,
            program,
            pulls: Pulls::default(),
            filter,
            making,
        }));
        machine.collect();
        Ok(machine)
    }

    fn container_dir(&self, id: TaskId) -> PathBuf {
        self.0.options.data.join("containers").join(id.to_string())
    }

    fn logs_dir(&self, id: TaskId) -> PathBuf {
        self.0.options.data.join("logs").join(id.to_string())
    }

    fn sockets(&self) -> PathBuf {
        self.0.options.run.join("shim")
    }

    fn library(&self) -> PathBuf {
        self.0.options.run.join("library")
    }

    /// Of all our containers.
    fn cgroups(&self) -> String {
        format!("/skein/{}", self.0.options.root_id)
    }

    fn cgroup(&self, id: TaskId) -> String {
        format!("{}/{id}", self.cgroups())
    }

    /// A connection to a container's shim; `None` if there is no shim any more.
    async fn link(&self, id: TaskId) -> Result<Option<Link>, Error> {
        Link::connect(&self.sockets(), id).await
    }

    /// Runs something that blocks where it may.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let this = self.clone();
        match tokio::task::spawn_blocking(move || work(&this)).await {
            Ok(result) => result,
            Err(failed) => std::panic::resume_unwind(failed.into_panic()),
        }
    }

    async fn create_container(self, container: Container) -> Result<Created, Error> {
        let id = container.id;
        let spawned = match self.blocking(move |this| this.prepare(container)).await {
            Ok(order) => {
                let _making = self.0.making.read().await;
                self.spawn(&order).await
            }
            // What is there is another's.
            Err(error @ Error::Busy { .. }) => return Err(error),
            Err(error) => Err(error),
        };
        match spawned {
            Ok(pid) => Ok(Created { container_id: container_id(id), pid }),
            Err(error) => {
                // The first error is the one to tell; what this leaves, `remove` or `adopt` finds.
                if let Err(left) = self.clone().remove_container(id).await {
                    tracing::warn!(task = %id, error = %left, "remains of a failed create");
                }
                Err(error)
            }
        }
    }

    /// Everything that can fail before there is a process.
    fn prepare(&self, mut container: Container) -> Result<Order, Error> {
        let id = container.id;
        let (image, _held) = self.lease_image(&container.spec)?;
        let of_image = volumes::mounts(&image.config, &container.spec)?;
        container.spec.mounts.extend(of_image);
        let process = spec::process(&container, &image.config, self.0.host)?;
        let check = Check::of(&container.spec.health, &image.config);
        let dir = self.container_dir(id);
        match fs::create_dir(&dir) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(Error::Busy { id, state: "already there" });
            }
            made => made.context(format!("make {}", dir.display()))?,
        }
        for part in ["upper", "work", "rootfs", "empty"] {
            fs::create_dir(dir.join(part)).context(format!("make {}/{part}", dir.display()))?;
        }
        // The container's root directory, which every user in there passes through.
        rustix::fs::chmod(dir.join("upper"), rustix::fs::Mode::from(0o755))
            .context("open the root directory")?;
        let logs = self.logs_dir(id);
        fs::create_dir_all(&logs).context(format!("make {}", logs.display()))?;
        self.note_image(&dir, &image)?;
        let volumes = self.take_volumes(&container)?;
        let order = Order {
            logs,
            volumes,
            layers: self.0.images.layer_paths(&image),
            sockets: self.sockets(),
            library: self.library(),
            cgroup: self.cgroup(id),
            filter: self.0.filter.clone(),
            check,
            container,
            process,
            dir,
        };
        let json = serde_json::to_vec(&order).expect("an order is texts and numbers");
        private::write(&order.dir.join(ORDER_FILE), &json).context("write the order")?;
        Ok(order)
    }

    /// The volumes a container mounts, made if need be; noted before they are taken, so that they are given back.
    fn take_volumes(&self, container: &Container) -> Result<BTreeMap<String, PathBuf>, Error> {
        let mut wanted = Vec::new();
        for Mount { target, read_only: _, source } in &container.spec.mounts {
            match source {
                MountSource::Bind { path, propagation, non_recursive: _, create } => {
                    mount::find_source(path, *create)?;
                    mount::of_kernel(*propagation)?;
                }
                MountSource::Tmpfs { .. } => {}
                MountSource::Volume { name, no_copy: _, labels, driver, options, subpath: _ } => {
                    if let Some(other) = driver.as_deref().filter(|d| !matches!(*d, "" | "local")) {
                        return Err(Error::BadSetting {
                            message: format!(
                                "error looking up volume plugin {other}: plugin \"{other}\" not found"
                            ),
                        });
                    }
                    let anonymous = name.is_none();
                    let name = name.clone().unwrap_or_else(|| {
                        digest::hex_of(format!("{} {target}", container.id).as_bytes())
                    });
                    let map = |list: &[(String, String)]| list.iter().cloned().collect();
                    let mut labels: BTreeMap<_, _> = map(labels);
                    if anonymous {
                        labels.insert(ANONYMOUS.to_owned(), String::new());
                    }
                    let spec = VolumeSpec { name, options: map(options), labels };
                    wanted.push((target.clone(), spec, anonymous));
                }
            }
        }
        if wanted.is_empty() {
            return Ok(BTreeMap::new());
        }
        let names: Vec<&str> = wanted.iter().map(|(_, spec, _)| spec.name.as_str()).collect();
        let list = self.container_dir(container.id).join(VOLUMES_FILE);
        private::write(&list, names.join("\n").as_bytes()).context("note the volumes")?;
        wanted
            .into_iter()
            .map(|(target, spec, anonymous)| {
                let volume = self.0.volumes.take(&spec, anonymous, container.id)?;
                Ok((target, volume.mountpoint))
            })
            .collect()
    }

    fn give_volumes_back(&self, id: TaskId) -> Result<(), Error> {
        match fs::read_to_string(self.container_dir(id).join(VOLUMES_FILE)) {
            Ok(names) => names.lines().try_for_each(|name| self.0.volumes.give_back(name, id)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error).context("read the list of volumes"),
        }
    }

    /// Starts the shim and waits until it made the container.
    async fn spawn(&self, order: &Order) -> Result<u32, Error> {
        let id = order.container.id;
        let what = || format!("start the shim for task {id}");
        let (mut ours, theirs) = UnixStream::pair().context(what())?;
        let theirs = theirs.into_std().context(what())?;
        theirs.set_nonblocking(false).context(what())?;
        let complaints = private::create(&order.dir.join("shim.log")).context(what())?;
        let mut child = Command::new(self.0.program.path())
            .arg0("skein")
            .args([COMMAND, &id.to_string()])
            .env_clear()
            .stdin(Stdio::from(std::os::fd::OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .stderr(Stdio::from(complaints))
            .spawn()
            .context(what())?;
        let making = child.id();
        tokio::spawn(async move {
            // Its status says nothing that its exit file does not; it must only not stay a zombie.
            let _ = child.wait().await;
        });
        let json = serde_json::to_vec(order).expect("an order is texts and numbers");
        let mut reply = Vec::new();
        let told = async {
            ours.write_all(&json).await.context(what())?;
            ours.shutdown().await.context(what())?;
            // A line and not the end of the stream: the waiting container still holds a copy of the shim's end. If the end
            // comes first, not only the shim is gone but every process it made, so nothing is made after the clean-up.
            tokio::io::BufReader::new(ours).read_until(b'\n', &mut reply).await.context(what())
        };
        if let Err(error) = client::within(id, CREATE_MAX, told).await {
            // Nobody would ask it again.
            let making = making.and_then(|pid| i32::try_from(pid).ok());
            self.blocking(move |_| making.map_or(Ok(()), cleanup::kill_process)).await?;
            return Err(error);
        }
        match serde_json::from_slice(&reply) {
            Ok(Reply::Created { pid }) => Ok(pid),
            Ok(Reply::Failed(failure)) => Err(failure.into_error(id)),
            Ok(other) => Err(Error::Container { id, message: format!("shim said {other:?}") }),
            Err(_) => {
                let said = fs::read_to_string(order.dir.join("shim.log")).unwrap_or_default();
                Err(Error::Container { id, message: format!("its shim died: {}", said.trim()) })
            }
        }
    }

    fn exit_of(&self, id: TaskId) -> Result<Option<Exit>, Error> {
        let path = self.container_dir(id).join(EXIT_FILE);
        match fs::read(&path) {
            Ok(json) => serde_json::from_slice(&json)
                .map(Some)
                .map_err(io::Error::from)
                .context(format!("read {}", path.display())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).context(format!("read {}", path.display())),
        }
    }

    /// The word a shim left, once it is gone.
    fn left_word(&self, id: TaskId) -> Result<Exit, Error> {
        self.exit_of(id)?.ok_or(Error::NoSuchContainer(id))
    }

    async fn wait_for_end(self, id: TaskId) -> Result<Exit, Error> {
        // A shim that goes while we ask has left its word.
        if let Some(mut link) = self.link(id).await?
            && let Some(Reply::Ended(exit)) = link.ask_patiently(&Request::Wait).await?
        {
            return Ok(exit);
        }
        self.left_word(id)
    }

    async fn send_signal(&self, id: TaskId, signal: Signal) -> Result<(), Error> {
        if let Some(mut link) = self.link(id).await?
            && let Some(Reply::Failed(failure)) = link.ask(&Request::Signal(signal)).await?
        {
            return Err(failure.into_error(id));
        }
        Ok(())
    }

    fn own_stop_signal(&self, id: TaskId) -> Option<Signal> {
        Some(self.order(id)?.process.stop_signal)
    }

    /// The order by which a container was made, if it is still there.
    fn order(&self, id: TaskId) -> Option<Order> {
        let json = fs::read(self.container_dir(id).join(ORDER_FILE)).ok()?;
        serde_json::from_slice(&json).ok()
    }

    fn keeps_nothing(&self, id: TaskId) -> bool {
        self.order(id).is_some_and(|order| order.container.keep == Keep::Nothing)
    }

    async fn stop_container(
        self,
        id: TaskId,
        signal: Option<Signal>,
        grace: Span,
    ) -> Result<Exit, Error> {
        match self.clone().stop_by_shim(id, signal, grace).await {
            Err(Error::Silent { .. }) => self.stop_without_shim(id).await,
            stopped => stopped,
        }
    }

    async fn stop_by_shim(
        self,
        id: TaskId,
        signal: Option<Signal>,
        grace: Span,
    ) -> Result<Exit, Error> {
        let Some(mut link) = self.link(id).await? else { return self.left_word(id) };
        let started =
            matches!(link.ask(&Request::State).await?, Some(Reply::State { started: true, .. }));
        let ended = self.clone().wait_for_end(id);
        tokio::pin!(ended);
        if started {
            let own = self.blocking(move |this| Ok(this.own_stop_signal(id))).await?;
            self.send_signal(id, signal.or(own).unwrap_or(Signal::TERM)).await?;
            if let Ok(exit) = tokio::time::timeout(grace.as_std(), &mut ended).await {
                return exit;
            }
        }
        // A process that was never started has no handler to be asked.
        self.send_signal(id, Signal::KILL).await?;
        client::within(id, KILL_MAX, ended).await
    }

    /// Ends a container whose shim does not answer: by its control group, and then the shim.
    async fn stop_without_shim(self, id: TaskId) -> Result<Exit, Error> {
        tracing::warn!(task = %id, "its shim does not answer: it is ended by its control group");
        let shim = self.shim_of(id).await;
        self.blocking(move |this| {
            cleanup::kill_cgroup(&this.cgroup(id))?;
            shim.map_or(Ok(()), cleanup::kill_process)
        })
        .await?;
        // Nobody saw how it ended, unless the shim did in its last moment.
        let killed = Signal::KILL.number();
        let at = crate::shim::now();
        let unseen = Exit { code: 128 + killed, signal: Some(killed), oom: false, at };
        Ok(self.exit_of(id)?.unwrap_or(unseen))
    }

    /// The shim's process, though it does not answer.
    async fn shim_of(&self, id: TaskId) -> Option<i32> {
        self.link(id).await.ok().flatten()?.peer()
    }

    async fn remove_container(self, id: TaskId) -> Result<(), Error> {
        let mut silent = None;
        if let Some(mut link) = self.link(id).await? {
            let ended = async {
                let _ = link.ask(&Request::Signal(Signal::KILL)).await;
                // The end of the connection is the end of the shim.
                link.send(&Request::Wait, &[]).await.ok();
                while let Ok(Some(_)) = link.receive().await {}
                Ok(())
            };
            if client::within(id, KILL_MAX, ended).await.is_err() {
                tracing::warn!(task = %id, "its shim does not answer: it is killed");
                silent = link.peer();
            }
        }
        self.blocking(move |this| {
            cleanup::kill_cgroup(&this.cgroup(id))?;
            silent.map_or(Ok(()), cleanup::kill_process)?;
            let dir = this.container_dir(id);
            crate::rootfs::overlay::take_away(&dir.join("rootfs"))?;
            this.give_volumes_back(id)?;
            cleanup::remove_tree(&this.library().join(id.to_string()))?;
            cleanup::remove_file(&this.sockets().join(id.to_string()))?;
            this.0.discard.take(&dir)?;
            this.forget_old_logs()?;
            if let Ok(_alone) = this.0.making.try_write() {
                cleanup::remove_empty_cgroup(&this.cgroups())?;
            }
            Ok(())
        })
        .await
    }

    async fn find_all(self) -> Result<Vec<Found>, Error> {
        let ids = self
            .blocking(|this| {
                // A shim killed at the wrong moment leaves one of these without the others.
                let mut names = cleanup::cgroups_below(&this.cgroups())?;
                for dir in [this.0.options.data.join("containers"), this.sockets(), this.library()]
                {
                    for entry in fs::read_dir(&dir).context(format!("list {}", dir.display()))? {
                        names.push(entry.context(format!("list {}", dir.display()))?.file_name());
                    }
                }
                let id = |name: OsString| name.to_str().and_then(|name| name.parse().ok());
                let mut ids: Vec<TaskId> = names.into_iter().filter_map(id).collect();
                ids.sort();
                ids.dedup();
                Ok(ids)
            })
            .await?;
        // At once, so that those that are silent cost one wait together; some, so that descriptors last.
        let asked = ids.into_iter().map(|id| {
            let this = self.clone();
            async move { Ok(Found { id, state: this.condition(id).await? }) }
        });
        futures::stream::iter(asked).buffered(ASKED_AT_ONCE).try_collect().await
    }

    async fn condition(&self, id: TaskId) -> Result<Condition, Error> {
        let asked = async {
            match self.link(id).await? {
                Some(mut link) => link.ask(&Request::State).await,
                None => Ok(None),
            }
        };
        Ok(match asked.await {
            Ok(Some(Reply::State { pid, started: true })) => Condition::Running { pid },
            Ok(Some(Reply::State { pid, started: false })) => Condition::Created { pid },
            // It ended while we asked, or long ago.
            Ok(_) => self.exit_of(id)?.map_or(Condition::Lost, Condition::Exited),
            // Its task is lost and not the node: whoever removes it ends it by its control group.
            Err(Error::Silent { .. }) => {
                tracing::warn!(task = %id, "its shim does not answer: it counts as lost");
                Condition::Lost
            }
            Err(error) => return Err(error),
        })
    }
}

impl Runtime for Machine {
    fn adopt(&self) -> Answer<Vec<Found>> {
        self.clone().find_all().boxed()
    }
    fn create(&self, container: Container) -> Answer<Created> {
        self.clone().create_container(container).boxed()
    }
    fn start(&self, id: TaskId) -> Answer<()> {
        let this = self.clone();
        async move {
            let Some(mut link) = this.link(id).await? else {
                return match this.exit_of(id)? {
                    Some(_) => Err(Error::Busy { id, state: "ended" }),
                    None => Err(Error::NoSuchContainer(id)),
                };
            };
            let started = link.ask_patiently(&Request::Start);
            match client::within(id, START_MAX, started).await? {
                Some(Reply::Done) => Ok(()),
                Some(Reply::Failed(failure)) => Err(failure.into_error(id)),
                Some(_) | None => Err(Error::NoSuchContainer(id)),
            }
        }
        .boxed()
    }
    fn signal(&self, id: TaskId, signal: Signal) -> Answer<()> {
        let this = self.clone();
        async move { this.send_signal(id, signal).await }.boxed()
    }
    fn stop(&self, id: TaskId, signal: Option<Signal>, grace: Span) -> Answer<Exit> {
        self.clone().stop_container(id, signal, grace).boxed()
    }
    fn wait(&self, id: TaskId) -> Answer<Exit> {
        self.clone().wait_for_end(id).boxed()
    }
    fn remove(&self, id: TaskId) -> Answer<()> {
        self.clone().remove_container(id).boxed()
    }
    fn exec(&self, id: TaskId, exec: ExecSpec) -> Answer<ExecSession> {
        let this = self.clone();
        async move {
            let Some(link) = this.link(id).await? else {
                return Err(Error::Busy { id, state: "not running" });
            };
            link.exec(exec).await
        }
        .boxed()
    }
    fn check(&self, id: TaskId) -> Answer<Option<Check>> {
        let this = self.clone();
        async move {
            let order = this.blocking(move |this| Ok(this.order(id))).await?;
            order.map(|order| order.check).ok_or(Error::NoSuchContainer(id))
        }
        .boxed()
    }
    fn standing(&self, id: TaskId) -> Answer<Option<(Standing, Span)>> {
        let this = self.clone();
        async move { this.blocking(move |this| this.read_standing(id)).await }.boxed()
    }
    fn note_standing(&self, id: TaskId, standing: Standing) -> Answer<()> {
        let this = self.clone();
        async move { this.blocking(move |this| this.write_standing(id, standing)).await }.boxed()
    }
    fn logs(&self, id: TaskId, logs: LogsSpec) -> Answer<Lines> {
        self.clone().open_logs(id, logs).boxed()
    }
    fn remove_logs(&self, tasks: BTreeSet<TaskId>) -> Answer<Vec<KeptLog>> {
        let this = self.clone();
        async move { this.blocking(move |this| this.remove_logs(&tasks)).await }.boxed()
    }
    fn images(&self) -> Answer<Vec<Image>> {
        let this = self.clone();
        async move { this.blocking(|this| this.0.images.images()).await }.boxed()
    }
    fn image(&self, reference: String) -> Answer<Option<Image>> {
        let this = self.clone();
        async move { this.blocking(move |this| this.0.images.find(&reference, ID_DIGITS)).await }
            .boxed()
    }
    fn image_details(&self, reference: String) -> Answer<Option<Details>> {
        let this = self.clone();
        async move { this.blocking(move |this| this.0.images.details(&reference)).await }.boxed()
    }
    fn load(&self, archive: Input) -> Answer<Vec<Loaded>> {
        self.clone().load_archive(archive).boxed()
    }
    fn import(&self, archive: Input, import: Import) -> Answer<Digest> {
        self.clone().import_archive(archive, import).boxed()
    }
    fn pull(&self, pull: Pull) -> Answer<Pulled> {
        self.clone().pull_image(pull).boxed()
    }
    fn resolve(&self, name: Reference, login: Option<Login>) -> Answer<Resolved> {
        self.clone().resolve_image(name, login).boxed()
    }

    fn check_login(&self, name: Reference, login: Login) -> Answer<()> {
        self.clone().check_registry_login(name, login).boxed()
    }
    fn tag_image(&self, image: String, name: Reference) -> Answer<Option<Digest>> {
        let this = self.clone();
        async move { this.blocking(move |this| this.0.images.tag(&image, &name)).await }.boxed()
    }
    fn remove_image(&self, image: String, force: bool) -> Answer<Vec<Removed>> {
        let this = self.clone();
        async move {
            this.blocking(move |this| this.0.images.remove(&image, force, || this.uses())).await
        }
        .boxed()
    }
    fn prune_images(&self, prune: Prune) -> Answer<Pruned> {
        let this = self.clone();
        let work = move |this: &Self| {
            let mut pruned = this.0.images.prune(&prune, || this.uses())?;
            pruned.reclaimed += this.0.images.clear_partials(None)?;
            Ok(pruned)
        };
        async move { this.blocking(work).await }.boxed()
    }
    fn would_remove_image(&self, image: String, force: bool) -> Answer<Pruned> {
        let this = self.clone();
        async move {
            this.blocking(move |this| this.0.images.would_remove(&image, force, || this.uses()))
                .await
        }
        .boxed()
    }
    fn would_prune_images(&self, prune: Prune) -> Answer<Pruned> {
        let this = self.clone();
        let work = move |this: &Self| {
            let mut pruned = this.0.images.would_prune(&prune, || this.uses())?;
            pruned.reclaimed += this.0.images.clearable_partials()?;
            Ok(pruned)
        };
        async move { this.blocking(work).await }.boxed()
    }
    fn usage(&self) -> Answer<Usage> {
        let this = self.clone();
        async move { this.blocking(Self::usage).await }.boxed()
    }
    fn volumes(&self) -> Answer<Vec<Volume>> {
        let this = self.clone();
        async move { this.blocking(|this| this.0.volumes.list()).await }.boxed()
    }
    fn volume(&self, name: String) -> Answer<Option<Volume>> {
        let this = self.clone();
        async move { this.blocking(move |this| this.0.volumes.find(&name)).await }.boxed()
    }
    fn create_volume(&self, volume: VolumeSpec) -> Answer<Volume> {
        let this = self.clone();
        async move { this.blocking(move |this| this.0.volumes.create(&volume)).await }.boxed()
    }
    fn remove_volume(&self, name: String, force: bool) -> Answer<()> {
        let this = self.clone();
        async move { this.blocking(move |this| this.0.volumes.remove(&name, force)).await }.boxed()
    }
}
