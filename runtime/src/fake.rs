//! A machine for the simulator: same trait, no process, no thread, no clock of its own.
//! What goes wrong is a function of the container (its [`Fate`]), so the same seed gives the same run.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

use futures::future::{BoxFuture, select};
use futures::{FutureExt as _, StreamExt as _};
use skein_events::id::TaskId;
use skein_events::reference::Reference;
use skein_events::time::{Span, Time};
use tokio::sync::watch;

use crate::api::{
    Answer, Condition, Container, Created, ExecSession, ExecSpec, Exit, Found, Input, Lines,
    LogsSpec, Runtime, Volume, VolumeSpec, container_id,
};
use crate::check::{Check, Standing};
use crate::error::Error;
use crate::image::{
    Details, Digest, Image, ImageConfig, Import, KeptLog, Loaded, Login, Prune, Pruned, Pull,
    Pulled, Removed, Resolved, Usage,
};
use crate::log::{Line, Stream};
use crate::signal::Signal;

/// Waits so long, in the simulator's time.
pub type Sleep = Arc<dyn Fn(Span) -> BoxFuture<'static, ()> + Send + Sync>;
/// The simulator's time.
pub type Now = Arc<dyn Fn() -> Time + Send + Sync>;
/// What shall befall a container, drawn by the simulator from its seed.
pub type Plan = Arc<dyn Fn(&Container) -> Fate + Send + Sync>;

/// What befalls one container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fate {
    /// How long `create` takes.
    pub create_takes: Span,
    /// Whether `create` fails.
    pub create_fails: Option<Failure>,
    /// How long `start` takes.
    pub start_takes: Span,
    /// Whether `start` fails.
    pub start_fails: Option<Failure>,
    /// How it goes on after `start` said it runs.
    pub life: Life,
    /// How long after its stop signal the process ends; `None`: it ignores the signal and must be killed.
    pub stop_takes: Option<Span>,
    /// Exit statuses of further processes, in their order; then 0. [`NEVER_ENDS`] is one that does not end.
    pub exec_codes: Vec<i32>,
}

/// No exit status.
pub const NEVER_ENDS: i32 = -1;

impl Default for Fate {
    /// A container that starts in 10 ms, runs for ever, and ends at once when asked.
    fn default() -> Self {
        Self {
            create_takes: Span::millis(5),
            create_fails: None,
            start_takes: Span::millis(5),
            start_fails: None,
            life: Life::Forever,
            stop_takes: Some(Span(0)),
            exec_codes: Vec::new(),
        }
    }
}

/// An error to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The command is not in the image.
    BadCommand,
    /// The image has gone.
    NoSuchImage,
    /// The disk is full.
    Io,
}

/// How a started container goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// Until it is stopped.
    Forever,
    /// So long, then it ends by itself. With no time at all, `start` was a lie.
    Ends {
        /// How long.
        after: Span,
        /// With which status.
        code: i32,
        /// Whether for want of memory.
        oom: bool,
    },
    /// So long, then it is gone and left no word.
    Vanishes {
        /// How long.
        after: Span,
    },
}

#[derive(Clone, Copy, Debug)]
enum State {
    Creating,
    Created,
    Running { end: Option<(Time, Option<Exit>)> },
    Exited(Exit),
    Lost,
}

struct Slot {
    name: String,
    pid: u32,
    fate: Fate,
    check: Option<Check>,
    standing: Option<(Standing, Time)>,
    state: State,
    changed: watch::Sender<u64>,
}

struct Inner {
    sleep: Sleep,
    now: Now,
    plan: Plan,
    machine: Mutex<Machine>,
}

struct Machine {
    next_pid: u32,
    slots: BTreeMap<TaskId, Slot>,
    images: BTreeMap<Reference, Image>,
    offered: BTreeSet<Reference>,
    volumes: BTreeMap<String, Volume>,
}

/// The simulator's machine. A clone is the same machine, as a restarted daemon finds it.
#[derive(Clone)]
pub struct FakeRuntime(Arc<Inner>);

impl FakeRuntime {
    /// A machine with nothing on it.
    pub fn new(sleep: Sleep, now: Now, plan: Plan) -> Self {
        let machine = Machine {
            next_pid: 100,
            slots: BTreeMap::new(),
            images: BTreeMap::new(),
            offered: BTreeSet::new(),
            volumes: BTreeMap::new(),
        };
        Self(Arc::new(Inner { sleep, now, plan, machine: Mutex::new(machine) }))
    }

    /// Puts an image into the registry that is asked for those that are not here.
    pub fn offer(&self, name: &str) {
        let reference = name.parse().expect("a scenario names images correctly");
        self.machine().offered.insert(reference);
    }

    /// Puts an image on the machine.
    ///
    /// # Panics
    /// If `name` is no reference: a scenario is written by hand.
    pub fn add_image(&self, name: &str) {
        let reference: Reference = name.parse().expect("a scenario names images correctly");
        let image = Image {
            id: Digest::of(reference.to_string().as_bytes()),
            names: vec![reference.familiar()],
            digests: Vec::new(),
            size: 1 << 20,
            created: Time(0),
            config: ImageConfig::default(),
            layers: Vec::new(),
        };
        self.machine().images.insert(reference, image);
    }

    /// The machine loses its power: every container is gone and left no word.
    pub fn power_off(&self) {
        let mut machine = self.machine();
        for slot in machine.slots.values_mut() {
            if !matches!(slot.state, State::Exited(_)) {
                slot.set(State::Lost);
            }
        }
    }

    /// The containers that run now: what the simulator compares with what should.
    pub fn running(&self) -> Vec<TaskId> {
        let now = (self.0.now)();
        let mut machine = self.machine();
        machine
            .slots
            .iter_mut()
            .filter_map(|(id, slot)| matches!(slot.at(now), State::Running { .. }).then_some(*id))
            .collect()
    }

    fn machine(&self) -> MutexGuard<'_, Machine> {
        self.0.machine.lock().expect("no call panics while it holds the machine")
    }

    fn fail(id: TaskId, image: &str, failure: Failure) -> Error {
        match failure {
            Failure::BadCommand => Error::BadCommand {
                message: "exec: \"nosuch\": executable file not found in $PATH".to_owned(),
            },
            Failure::NoSuchImage => Error::NoSuchImage(image.to_owned()),
            Failure::Io => Error::Io {
                what: format!("run the container for task {id}"),
                source: std::io::Error::from(std::io::ErrorKind::StorageFull),
            },
        }
    }

    async fn wait_for_end(self, id: TaskId) -> Result<Exit, Error> {
        loop {
            let now = (self.0.now)();
            let (state, mut changed) = {
                let mut machine = self.machine();
                let slot = machine.slots.get_mut(&id).ok_or(Error::NoSuchContainer(id))?;
                (slot.at(now), slot.changed.subscribe())
            };
            match state {
                State::Exited(exit) => return Ok(exit),
                State::Lost => return Err(Error::NoSuchContainer(id)),
                State::Running { end: Some((at, _)) } => {
                    let nap = (self.0.sleep)(at.since(now));
                    select(nap, Box::pin(changed.changed())).await;
                }
                State::Creating | State::Created | State::Running { end: None } => {
                    // An error says the slot was removed: the next round finds that out.
                    let _ = changed.changed().await;
                }
            }
        }
    }

    fn deliver(&self, id: TaskId, signal: Signal) -> Result<(), Error> {
        let now = (self.0.now)();
        let mut machine = self.machine();
        let slot = machine.slots.get_mut(&id).ok_or(Error::NoSuchContainer(id))?;
        let exit = |code, signal, at| Exit { code, signal, oom: false, at };
        match slot.at(now) {
            State::Creating => return Err(Error::Busy { id, state: "being created" }),
            State::Created | State::Running { .. } if signal == Signal::KILL => {
                slot.set(State::Exited(exit(137, Some(9), now)));
            }
            State::Running { end } => {
                let Some(takes) = slot.fate.stop_takes else { return Ok(()) };
                let at = now.after(takes);
                if end.is_none_or(|(earlier, _)| at < earlier) {
                    let code = 128 + signal.number();
                    let end = exit(code, Some(signal.number()), at);
                    slot.set(State::Running { end: Some((at, Some(end))) });
                }
            }
            // A process that was never started has no handler; a signal finds nobody after the end.
            State::Created | State::Exited(_) | State::Lost => {}
        }
        Ok(())
    }
}

impl Slot {
    fn set(&mut self, state: State) {
        self.state = state;
        self.changed.send_modify(|n| *n += 1);
    }

    /// The state at a moment: lives end by the clock, so nothing has to run for it.
    fn at(&mut self, now: Time) -> State {
        if let State::Running { end: Some((at, exit)) } = self.state
            && at <= now
        {
            self.state = exit.map_or(State::Lost, State::Exited);
        }
        self.state
    }
}

impl Runtime for FakeRuntime {
    fn adopt(&self) -> Answer<Vec<Found>> {
        let now = (self.0.now)();
        let mut machine = self.machine();
        let found = machine
            .slots
            .iter_mut()
            .map(|(id, slot)| {
                let state = match slot.at(now) {
                    State::Creating | State::Lost => Condition::Lost,
                    State::Created => Condition::Created { pid: slot.pid },
                    State::Running { .. } => Condition::Running { pid: slot.pid },
                    State::Exited(exit) => Condition::Exited(exit),
                };
                Found { id: *id, state }
            })
            .collect();
        async move { Ok(found) }.boxed()
    }

    fn create(&self, container: Container) -> Answer<Created> {
        let this = self.clone();
        async move {
            let id = container.id;
            let fate = (this.0.plan)(&container);
            let pid = {
                let mut machine = this.machine();
                let known = container
                    .spec
                    .image
                    .parse()
                    .is_ok_and(|reference: Reference| machine.images.contains_key(&reference));
                if !known {
                    return Err(Error::NoSuchImage(container.spec.image.clone()));
                }
                if machine.slots.contains_key(&id) {
                    return Err(Error::Busy { id, state: "already there" });
                }
                machine.next_pid += 1;
                let pid = machine.next_pid;
                let (changed, _) = watch::channel(0);
                let (name, fate, state) = (container.name.clone(), fate.clone(), State::Creating);
                let check = Check::of(&container.spec.health, &ImageConfig::default());
                let slot = Slot { name, pid, fate, check, standing: None, state, changed };
                machine.slots.insert(id, slot);
                pid
            };
            (this.0.sleep)(fate.create_takes).await;
            let mut machine = this.machine();
            if let Some(failure) = fate.create_fails {
                machine.slots.remove(&id);
                return Err(Self::fail(id, &container.spec.image, failure));
            }
            let slot = machine.slots.get_mut(&id).ok_or(Error::NoSuchContainer(id))?;
            slot.set(State::Created);
            Ok(Created { container_id: container_id(id), pid })
        }
        .boxed()
    }

    fn start(&self, id: TaskId) -> Answer<()> {
        let this = self.clone();
        async move {
            let fate = {
                let mut machine = this.machine();
                let slot = machine.slots.get_mut(&id).ok_or(Error::NoSuchContainer(id))?;
                match slot.state {
                    State::Created => slot.fate.clone(),
                    State::Running { .. } => return Ok(()),
                    State::Creating | State::Exited(_) | State::Lost => {
                        return Err(Error::Busy { id, state: "not waiting to be started" });
                    }
                }
            };
            (this.0.sleep)(fate.start_takes).await;
            let now = (this.0.now)();
            let mut machine = this.machine();
            let slot = machine.slots.get_mut(&id).ok_or(Error::NoSuchContainer(id))?;
            if !matches!(slot.state, State::Created) {
                return Err(Error::Busy { id, state: "not waiting to be started" });
            }
            if let Some(failure) = fate.start_fails {
                slot.set(State::Exited(Exit { code: 127, signal: None, oom: false, at: now }));
                return Err(Self::fail(id, "", failure));
            }
            let end = match fate.life {
                Life::Forever => None,
                Life::Ends { after, code, oom } => {
                    let at = now.after(after);
                    let signal = oom.then_some(9);
                    Some((at, Some(Exit { code, signal, oom, at })))
                }
                Life::Vanishes { after } => Some((now.after(after), None)),
            };
            slot.set(State::Running { end });
            Ok(())
        }
        .boxed()
    }

    fn signal(&self, id: TaskId, signal: Signal) -> Answer<()> {
        let this = self.clone();
        async move { this.deliver(id, signal) }.boxed()
    }

    fn stop(&self, id: TaskId, signal: Option<Signal>, grace: Span) -> Answer<Exit> {
        let this = self.clone();
        async move {
            this.deliver(id, signal.unwrap_or(Signal::TERM))?;
            let ended = this.clone().wait_for_end(id).boxed();
            match select(ended, (this.0.sleep)(grace)).await {
                futures::future::Either::Left((exit, _)) => exit,
                futures::future::Either::Right(((), ended)) => {
                    this.deliver(id, Signal::KILL)?;
                    ended.await
                }
            }
        }
        .boxed()
    }

    fn wait(&self, id: TaskId) -> Answer<Exit> {
        self.clone().wait_for_end(id).boxed()
    }

    fn remove(&self, id: TaskId) -> Answer<()> {
        let this = self.clone();
        async move {
            this.machine().slots.remove(&id);
            Ok(())
        }
        .boxed()
    }

    fn exec(&self, id: TaskId, exec: ExecSpec) -> Answer<ExecSession> {
        let this = self.clone();
        async move {
            let now = (this.0.now)();
            let mut machine = this.machine();
            let slot = machine.slots.get_mut(&id).ok_or(Error::NoSuchContainer(id))?;
            if !matches!(slot.at(now), State::Running { .. }) {
                return Err(Error::Busy { id, state: "not running" });
            }
            let codes = &mut slot.fate.exec_codes;
            let code = if codes.is_empty() { 0 } else { codes.remove(0) };
            Ok(ExecSession {
                pid: slot.pid,
                stdin: exec.stdin.then(|| Box::pin(tokio::io::sink()) as _),
                stdout: Box::pin(std::io::Cursor::new(exec.args.join(" ").into_bytes())),
                stderr: Box::pin(tokio::io::empty()),
                resize: exec.terminal.map(|_| Arc::new(|_| Ok(())) as _),
                exit: if code == NEVER_ENDS {
                    futures::future::pending().boxed()
                } else {
                    async move { Ok(code) }.boxed()
                },
            })
        }
        .boxed()
    }

    fn check(&self, id: TaskId) -> Answer<Option<Check>> {
        let check = self.machine().slots.get(&id).map(|slot| slot.check.clone());
        async move { check.ok_or(Error::NoSuchContainer(id)) }.boxed()
    }

    fn standing(&self, id: TaskId) -> Answer<Option<(Standing, Span)>> {
        let now = (self.0.now)();
        let noted = self.machine().slots.get(&id).map(|slot| slot.standing.clone());
        async move {
            let noted = noted.ok_or(Error::NoSuchContainer(id))?;
            Ok(noted.map(|(standing, start)| (standing, now.since(start))))
        }
        .boxed()
    }

    fn note_standing(&self, id: TaskId, standing: Standing) -> Answer<()> {
        let now = (self.0.now)();
        let noted = self.machine().slots.get_mut(&id).map(|slot| {
            let start = slot.standing.as_ref().map_or(now, |(_, start)| *start);
            slot.standing = Some((standing, start));
        });
        async move { noted.ok_or(Error::NoSuchContainer(id)) }.boxed()
    }

    /// A fake container says its name, on both streams, when it was made; who follows waits for its end.
    fn logs(&self, id: TaskId, logs: LogsSpec) -> Answer<Lines> {
        let this = self.clone();
        async move {
            let name = match this.machine().slots.get(&id) {
                Some(slot) => slot.name.clone(),
                None => return Err(Error::NoSuchContainer(id)),
            };
            let LogsSpec { follow, tail, since: _, until: _, stdout, stderr } = logs;
            let line = |stream| Line { log: format!("{name}\n"), stream, time: Time(0) };
            let mut lines: Vec<Line> = [(stdout, Stream::Stdout), (stderr, Stream::Stderr)]
                .into_iter()
                .filter(|(wanted, _)| *wanted)
                .map(|(_, stream)| line(stream))
                .collect();
            let kept = tail.map_or(lines.len(), |n| usize::try_from(n).unwrap_or(usize::MAX));
            lines.drain(..lines.len().saturating_sub(kept));
            let said = futures::stream::iter(lines.into_iter().map(Ok));
            if !follow {
                return Ok(said.boxed());
            }
            let end = futures::stream::once(this.wait_for_end(id)).filter_map(|_| async { None });
            Ok(said.chain(end).boxed())
        }
        .boxed()
    }

    /// A fake container's words go with it.
    fn remove_logs(&self, _: BTreeSet<TaskId>) -> Answer<Vec<KeptLog>> {
        async { Ok(Vec::new()) }.boxed()
    }

    fn images(&self) -> Answer<Vec<Image>> {
        let mut images: Vec<Image> = self.machine().images.values().cloned().collect();
        images.sort_by_key(|image| image.id);
        async move { Ok(images) }.boxed()
    }

    fn image(&self, reference: String) -> Answer<Option<Image>> {
        let image = reference
            .parse::<Reference>()
            .ok()
            .and_then(|reference| self.machine().images.get(&reference).cloned());
        async move { Ok(image) }.boxed()
    }

    /// Takes the first line of what comes for the name of an image.
    fn load(&self, mut archive: Input) -> Answer<Vec<Loaded>> {
        let this = self.clone();
        async move {
            use tokio::io::AsyncReadExt as _;
            let mut text = String::new();
            archive
                .read_to_string(&mut text)
                .await
                .map_err(|source| Error::Io { what: "read the archive".to_owned(), source })?;
            let name = text.lines().next().unwrap_or_default();
            let reference: Reference = name
                .parse()
                .map_err(|_| Error::HostileImage { reason: "it has no name".to_owned() })?;
            this.add_image(name);
            let id = Digest::of(reference.to_string().as_bytes());
            Ok(vec![Loaded { id, name: Some(reference.familiar()) }])
        }
        .boxed()
    }

    fn image_details(&self, reference: String) -> Answer<Option<Details>> {
        let image = self.image(reference);
        async move {
            let closer =
                |image| Details { image, file: serde_json::json!({}), layer_sizes: Vec::new() };
            Ok(image.await?.map(closer))
        }
        .boxed()
    }

    /// Whatever comes becomes the image.
    fn import(&self, _: Input, import: Import) -> Answer<Digest> {
        let name = import.name.map_or_else(|| "imported".to_owned(), |name| name.to_string());
        self.add_image(&name);
        async move { Ok(Digest::of(name.as_bytes())) }.boxed()
    }

    /// Its registry has what was put there with `offer`.
    fn pull(&self, pull: Pull) -> Answer<Pulled> {
        let offered = self.machine().offered.contains(&pull.name);
        let text = pull.name.to_string();
        let known = offered && self.machine().images.contains_key(&pull.name);
        if offered {
            self.add_image(&text);
        }
        async move {
            if !offered {
                return Err(unreachable(&pull.name));
            }
            let id = Digest::of(text.as_bytes());
            Ok(Pulled { id, digest: id, fresh: !known })
        }
        .boxed()
    }

    fn resolve(&self, name: Reference, _: Option<Login>) -> Answer<Resolved> {
        let offered = self.machine().offered.contains(&name);
        async move {
            let digest = Digest::of(name.to_string().as_bytes());
            let media_type = "application/vnd.oci.image.manifest.v1+json".to_owned();
            let resolved = Resolved { media_type, digest, size: 1, platforms: Vec::new() };
            offered.then_some(resolved).ok_or_else(|| unreachable(&name))
        }
        .boxed()
    }

    fn check_login(&self, name: Reference, _: Login) -> Answer<()> {
        futures::future::ready(Err(unreachable(&name))).boxed()
    }

    fn tag_image(&self, image: String, name: Reference) -> Answer<Option<Digest>> {
        let mut machine = self.machine();
        let found = image.parse::<Reference>().ok().and_then(|r| machine.images.get(&r).cloned());
        let id = found.as_ref().map(|image| image.id);
        if let Some(image) = found {
            machine.images.insert(name.clone(), Image { names: vec![name.familiar()], ..image });
        }
        async move { Ok(id) }.boxed()
    }

    fn remove_image(&self, image: String, _: bool) -> Answer<Vec<Removed>> {
        let mut machine = self.machine();
        let gone = image.parse::<Reference>().ok().and_then(|r| machine.images.remove(&r));
        async move {
            let gone = gone.ok_or(Error::NoSuchImage(image))?;
            let untagged = gone.names.into_iter().map(Removed::Untagged);
            Ok(untagged.chain([Removed::Deleted(gone.id)]).collect())
        }
        .boxed()
    }

    /// Its images all have names and stay.
    fn prune_images(&self, _: Prune) -> Answer<Pruned> {
        async move { Ok(Pruned::default()) }.boxed()
    }

    fn would_remove_image(&self, image: String, _: bool) -> Answer<Pruned> {
        let found = image.parse::<Reference>().ok();
        let found = found.and_then(|r| self.machine().images.get(&r).cloned());
        async move {
            let Image { id, names, .. } = found.ok_or(Error::NoSuchImage(image))?;
            let untagged = names.into_iter().map(Removed::Untagged);
            let removed = untagged.chain([Removed::Deleted(id)]).collect();
            Ok(Pruned { removed, reclaimed: 0 })
        }
        .boxed()
    }

    fn would_prune_images(&self, _: Prune) -> Answer<Pruned> {
        async move { Ok(Pruned::default()) }.boxed()
    }

    /// Nothing lies on a disk.
    fn usage(&self) -> Answer<Usage> {
        async move { Ok(Usage::default()) }.boxed()
    }

    fn volumes(&self) -> Answer<Vec<Volume>> {
        let volumes = self.machine().volumes.values().cloned().collect();
        async move { Ok(volumes) }.boxed()
    }

    fn volume(&self, name: String) -> Answer<Option<Volume>> {
        let volume = self.machine().volumes.get(&name).cloned();
        async move { Ok(volume) }.boxed()
    }

    fn create_volume(&self, volume: VolumeSpec) -> Answer<Volume> {
        let created = (self.0.now)();
        let VolumeSpec { name, options, labels } = volume;
        let mountpoint = std::path::Path::new("/volumes").join(&name).join("_data");
        let (anonymous, users) = (false, Vec::new());
        let new =
            Volume { name: name.clone(), options, labels, anonymous, created, mountpoint, users };
        let volume = self.machine().volumes.entry(name).or_insert(new).clone();
        async move { Ok(volume) }.boxed()
    }

    fn remove_volume(&self, name: String, force: bool) -> Answer<()> {
        let known = self.machine().volumes.remove(&name).is_some();
        async move { if known || force { Ok(()) } else { Err(Error::NoSuchVolume(name)) } }.boxed()
    }
}

fn unreachable(name: &Reference) -> Error {
    let source = std::io::Error::from(std::io::ErrorKind::NetworkUnreachable);
    Error::RegistryUnreachable { registry: name.host().to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skein_events::task::container::ContainerSpec;
    use std::sync::atomic::{AtomicU64, Ordering};

    /// Time that jumps as soon as somebody waits for it.
    fn machine(plan: impl Fn(&Container) -> Fate + Send + Sync + 'static) -> FakeRuntime {
        let clock = Arc::new(AtomicU64::new(0));
        let moved = Arc::clone(&clock);
        let fake = FakeRuntime::new(
            Arc::new(move |span: Span| {
                let clock = Arc::clone(&moved);
                async move {
                    clock.fetch_add(span.0, Ordering::Relaxed);
                }
                .boxed()
            }),
            Arc::new(move || Time(clock.load(Ordering::Relaxed))),
            Arc::new(plan),
        );
        fake.add_image("busybox");
        fake
    }

    fn container(n: u8, image: &str) -> Container {
        Container {
            id: TaskId::from_random([n; 16]),
            name: format!("web.{n}"),
            spec: ContainerSpec { image: image.to_owned(), ..ContainerSpec::default() },
            limits: skein_events::task::spec::Limits::default(),
            env: Vec::new(),
            netns: "/nowhere".into(),
            hosts: String::new(),
            resolv_conf: String::new(),
            hostname: String::new(),
            labels: BTreeMap::new(),
            keep: crate::log::Keep::default(),
        }
    }

    #[tokio::test]
    async fn life_follows_its_fate() {
        let fake = machine(|c| match c.name.as_str() {
            "web.1" => Fate {
                life: Life::Ends { after: Span::seconds(3), code: 4, oom: false },
                ..Fate::default()
            },
            "web.2" => Fate { life: Life::Vanishes { after: Span(0) }, ..Fate::default() },
            "web.3" => Fate { start_fails: Some(Failure::BadCommand), ..Fate::default() },
            "web.4" => Fate { stop_takes: None, ..Fate::default() },
            _ => Fate { create_fails: Some(Failure::Io), ..Fate::default() },
        });
        let [one, two, three, four, five] = [1, 2, 3, 4, 5].map(|n| container(n, "busybox"));
        for c in [&one, &two, &three, &four] {
            fake.create(c.clone()).await.unwrap();
        }
        assert!(matches!(fake.create(five).await, Err(Error::Io { .. })));
        assert!(matches!(fake.create(one.clone()).await, Err(Error::Busy { .. })));
        fake.start(one.id).await.unwrap();
        assert_eq!(fake.wait(one.id).await.unwrap().code, 4);
        fake.start(two.id).await.unwrap();
        assert!(matches!(fake.wait(two.id).await, Err(Error::NoSuchContainer(_))));
        assert!(matches!(fake.start(three.id).await, Err(Error::BadCommand { .. })));
        fake.start(four.id).await.unwrap();
        assert_eq!(fake.running(), [four.id]);
        assert_eq!(fake.stop(four.id, None, Span::seconds(10)).await.unwrap().code, 137);
        let found = fake.adopt().await.unwrap();
        assert_eq!(found.len(), 4);
        fake.remove(four.id).await.unwrap();
        fake.remove(four.id).await.unwrap();
        assert_eq!(fake.adopt().await.unwrap().len(), 3);
    }

    #[tokio::test]
    async fn unknown_image_is_named() {
        let fake = machine(|_| Fate::default());
        let error = fake.create(container(1, "nosuch:1")).await.unwrap_err();
        assert_eq!(error.to_string(), "no such image: nosuch:1");
        assert!(fake.image("docker.io/library/busybox".to_owned()).await.unwrap().is_some());
    }
}
