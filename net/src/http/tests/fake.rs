//! A `Backend` in memory: decides and applies for real, plans until nothing is left to do, and says of every task that it
//! runs. Separate from the tests because all of them stand on it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;

use skein_events::cluster::ClusterSpec;
use skein_events::codec::{Apart, Batch};
use skein_events::command::{Command, NewNode, Sighting};
use skein_events::decide::{Context, decide, unchanged_since};
use skein_events::envelope::{Envelope, Planner, Who};
use skein_events::id::{ClusterId, IdSource, NodeId, TaskId};
use skein_events::node::{Availability, Description, NodeState, Role};
use skein_events::plan;
use skein_events::record::{Hash, Position};
use skein_events::reference::Reference;
use skein_events::refusal::Refusal;
use skein_events::state::State;
use skein_events::state::touched::Touched;
use skein_events::task::{TaskState, TaskStatus};
use skein_events::time::{Span, Time};
use skein_events::unit::{Bytes, NanoCpus};

use crate::backend::{
    Archive, Backend, Caller, Cgroup, Check, Committed, ContainerUsage, DiskUsage, ExecRequest,
    ExecSession, Failure, Head, Health, ImageDetails, ImageRemoval, ImageSummary, ImagesPruned,
    ImportImage, InitSwarm, JoinTokens, KeptLog, LayerStep, Local, LocalChange, LogLine, LogLines,
    LogStream, Logged, Login, LogsRequest, Moment, NewVolume, PruneImages, PullImage, PullStep,
    Pulling, Rehearsal, Resize, ResolvedImage, Standing, Upload, Verification, Volume, Why,
    WhyStep, WindowSize,
};

impl ImageSummary {
    /// Whether a text means it.
    fn is(&self, text: &str) -> bool {
        let name = text.parse::<Reference>().map(|name| name.familiar()).unwrap_or_default();
        let hex = text.strip_prefix("sha256:").unwrap_or(text);
        self.names.contains(&name) || self.id["sha256:".len()..].starts_with(hex)
    }
}

/// 2026-11-23T14:00:00Z.
pub(super) const START: u64 = 1_795_442_400_000_000_000;

pub(super) struct Fake {
    world: Mutex<World>,
    head: watch::Sender<Head>,
}

#[derive(Default)]
struct World {
    state: Arc<State>,
    log: Vec<Logged>,
    node: Option<NodeId>,
    seed: u64,
    now: u64,
    images: Vec<ImageSummary>,
    volumes: BTreeMap<String, Volume>,
    logs: Vec<KeptLog>,
    trouble: Option<String>,
    health: BTreeMap<TaskId, Health>,
}

impl Fake {
    pub(super) fn new() -> Arc<Self> {
        let world = World { now: START, ..World::default() };
        Arc::new(Self { world: Mutex::new(world), head: watch::channel(Head::default()).0 })
    }

    /// Something keeps this node from being ready.
    pub(super) fn trouble(&self, problem: &str) {
        self.world.lock().unwrap().trouble = Some(problem.to_owned());
    }

    /// A container ended after it had said something.
    pub(super) fn ended(&self, log: KeptLog) {
        self.world.lock().unwrap().logs.push(log);
    }

    /// Checks of a task's container found this.
    pub(super) fn found(&self, task: TaskId, health: Health) {
        self.world.lock().unwrap().health.insert(task, health);
    }

    /// Erases the detachable part of a record, as a manager does.
    pub(super) fn erase(&self, position: u64) {
        let mut world = self.world.lock().unwrap();
        let holds = |l: &&mut Logged| {
            l.first.0 <= position && position < l.first.0 + l.batch.entries.len() as u64
        };
        let logged = world.log.iter_mut().find(holds).unwrap();
        let entry = &mut Arc::make_mut(&mut logged.batch).entries
            [usize::try_from(position - logged.first.0).unwrap()];
        if let Apart::Present { commitment, .. } = entry.apart {
            entry.apart = Apart::Redacted { commitment };
        }
    }

    /// Makes another history: the same positions, other hashes.
    pub(super) fn fork(&self) {
        for logged in &mut self.world.lock().unwrap().log {
            logged.h.0[0] ^= 0xff;
        }
    }

    fn commit(
        &self,
        caller: Caller,
        command: &Command,
        cause: Option<Position>,
    ) -> Result<Committed, Refusal> {
        let mut world = self.world.lock().unwrap();
        if let Some(outcome) = caller.request.and_then(|r| world.state.requests.get(&r)) {
            let logged = world.log.iter().find(|l| l.first == outcome.first).unwrap();
            let (first, last) = (outcome.first, outcome.last);
            let (batch, state) = (Arc::clone(&logged.batch), Arc::clone(&world.state));
            return Ok(Committed { first, last, batch, state });
        }
        world.seed += 1;
        world.now += 1_000_000;
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&world.seed.to_le_bytes());
        let mut context = Context {
            now: Time(world.now),
            ids: IdSource::new(seed),
            reason: caller.reason,
            acked: world.state.nodes.keys().map(|n| (*n, world.state.position)).collect(),
        };
        let events = decide(&world.state, command, &mut context)?;
        if let Some(since) = caller.if_at {
            unchanged_since(&world.state, &events, since)?;
        }
        let envelope = Envelope {
            at: Time(world.now),
            wall: Time(world.now),
            who: caller.who,
            client: caller.client,
            request: caller.request,
            cause,
            epoch: 1,
            level: 1,
        };
        let (bytes, batch) = Batch::write(envelope, events, &mut context.ids).unwrap();
        let batch = Arc::new(batch);
        let mut state = State::clone(&world.state);
        let first = state.position.next();
        state.apply_batch(first, &batch, &mut Touched::Ignored);
        world.state = Arc::new(state);
        let h = Hash(*blake3::hash(&bytes).as_bytes());
        world.log.push(Logged { first, h, batch: Arc::clone(&batch) });
        let (state, last) = (Arc::clone(&world.state), world.state.position);
        self.head.send_replace(Head { position: last, epoch: 1 });
        Ok(Committed { first, last, batch, state })
    }

    /// Plans, and reports of tasks what a node would, until nothing changes.
    fn settle(&self) {
        loop {
            let (state, now) = {
                let world = self.world.lock().unwrap();
                (Arc::clone(&world.state), Time(world.now))
            };
            let mut changed = false;
            let acked = state.nodes.keys().map(|n| (*n, state.position)).collect();
            let planned = plan::plan(&state, &Touched::Everything, now).proposals;
            for proposal in planned.into_iter().chain(plan::withdraw::acknowledged(&state, &acked))
            {
                let caller = caller(Who::Planner { name: proposal.planner });
                changed |= self.commit(caller, &proposal.command, proposal.cause).is_ok();
            }
            changed |= self.report();
            if !changed {
                return;
            }
        }
    }

    fn report(&self) -> bool {
        let state = Arc::clone(&self.world.lock().unwrap().state);
        let mut changed = false;
        for node in state.nodes.keys() {
            let mut sightings = Vec::new();
            for task in state.tasks_on(*node) {
                if task.status.state < TaskState::Running && task.desired == TaskState::Running {
                    sightings.push((task.id, Sighting::Status(running(task.id))));
                } else if task.desired > TaskState::Running && task.withdrawn {
                    let over = TaskStatus::new(TaskState::Shutdown, "shutdown");
                    sightings.push((task.id, Sighting::Status(over)));
                    sightings.push((task.id, Sighting::Gone));
                }
            }
            if !sightings.is_empty() {
                let command = Command::Report { node: *node, sightings };
                changed |= self.commit(caller(Who::Node { id: *node }), &command, None).is_ok();
            }
        }
        changed
    }
}

fn caller(who: Who) -> Caller {
    Caller { who, client: "skein".to_owned(), reason: None, request: None, if_at: None }
}

fn running(id: TaskId) -> TaskStatus {
    TaskStatus {
        container: Some(blake3::hash(id.to_string().as_bytes()).to_hex().to_string()),
        pid: Some(4711),
        ..TaskStatus::new(TaskState::Running, "started")
    }
}

impl Backend for Fake {
    fn state(&self) -> Result<Arc<State>, Failure> {
        let world = self.world.lock().unwrap();
        match &world.state.cluster {
            None => Err(Refusal::NotInSwarm.into()),
            Some(_) => Ok(Arc::clone(&world.state)),
        }
    }

    fn at(&self, moment: Moment) -> BoxFuture<'_, Result<Arc<State>, Failure>> {
        let world = self.world.lock().unwrap();
        let until = |l: &&Logged| match moment {
            Moment::Position(p) => l.first <= p,
            Moment::Ago(span) => l.batch.envelope.wall.0 <= world.now - span.0,
            Moment::Wall(time) => l.batch.envelope.wall <= time,
        };
        let mut state = State::default();
        for logged in world.log.iter().take_while(until) {
            for record in logged.batch.records(logged.first) {
                if !matches!(moment, Moment::Position(p) if record.position > p) {
                    state.apply(record, &mut Touched::Ignored);
                }
            }
        }
        futures::future::ready(Ok(Arc::new(state))).boxed()
    }

    fn submit(
        &self,
        caller: Caller,
        command: Command,
    ) -> BoxFuture<'_, Result<Committed, Failure>> {
        async move {
            let done = self.commit(caller, &command, None)?;
            self.settle();
            Ok(done)
        }
        .boxed()
    }

    /// The command alone: what planners make of it is the actors' to say.
    fn rehearse(
        &self,
        caller: Caller,
        command: Command,
    ) -> BoxFuture<'_, Result<Rehearsal, Failure>> {
        let fake = Fake::new();
        let (state, log) = {
            let world = self.world.lock().unwrap();
            (Arc::clone(&world.state), world.log.clone())
        };
        let valid_at = state.position;
        *fake.world.lock().unwrap() = World { state, log, now: START, ..World::default() };
        let (who, reason) = (caller.who.clone(), caller.reason.clone());
        let told = fake.commit(caller, &command, None).map(|done| {
            let step = |record: skein_events::state::Record<'_>| WhyStep {
                position: record.position,
                time: record.envelope.at,
                text: record.event.kind().name.to_owned(),
                who: who.clone(),
                reason: reason.clone(),
                details: Vec::new(),
            };
            let steps = done.batch.records(done.first).map(step).collect();
            Rehearsal {
                valid_at,
                steps,
                differences: Vec::new(),
                refused: Vec::new(),
                cut: false,
                reclaimed: 0,
            }
        });
        futures::future::ready(told.map_err(Failure::from)).boxed()
    }

    fn read(&self, from: Position, limit: usize) -> BoxFuture<'_, Result<Vec<Logged>, Failure>> {
        let world = self.world.lock().unwrap();
        let mut left = limit;
        let holds = |l: &&Logged| l.first.0 + l.batch.entries.len() as u64 > from.0;
        let batches = world.log.iter().filter(holds).take_while(|l| {
            let more = left > 0;
            left = left.saturating_sub(l.batch.entries.len());
            more
        });
        futures::future::ready(Ok(batches.cloned().collect())).boxed()
    }

    fn hash_at(&self, position: Position) -> BoxFuture<'_, Result<Option<Hash>, Failure>> {
        self.read(position, 1).map(|r| r.map(|b| b.first().map(|l| l.h))).boxed()
    }

    fn head(&self) -> Result<watch::Receiver<Head>, Failure> {
        Ok(self.head.subscribe())
    }

    fn why(&self, object: String, at: Option<Moment>) -> BoxFuture<'_, Result<Why, Failure>> {
        let step = WhyStep {
            position: Position(7),
            time: Time(START),
            text: format!("asked at {at:?}"),
            who: Who::Planner { name: Planner::Scheduler },
            reason: Some("ticket-42".to_owned()),
            details: vec!["n1 chosen".to_owned()],
        };
        let why = Why { object, name: None, chain: vec![step] };
        futures::future::ready(Ok(why)).boxed()
    }

    fn timeline(
        &self,
        object: String,
        at: Option<Moment>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Why, Failure>> {
        self.why(format!("{object}, the last {limit}"), at)
    }

    fn verify(&self) -> BoxFuture<'_, Result<Verification, Failure>> {
        let verification = Verification { records: 3, ok: true, ..Verification::default() };
        futures::future::ready(Ok(verification)).boxed()
    }

    fn export(&self, from: Position, to: Position) -> BoxFuture<'_, Result<Archive, Failure>> {
        let text = format!("an archive from {from} to {to}");
        let pieces = futures::stream::iter([Ok(text.into())]);
        futures::future::ready(Ok(futures::StreamExt::boxed(pieces))).boxed()
    }

    fn redact(
        &self,
        caller: Caller,
        position: Position,
    ) -> BoxFuture<'_, Result<Committed, Failure>> {
        async move {
            let command = Command::Redact { position, commitment: Hash::default() };
            let done = self.commit(caller, &command, None)?;
            self.erase(position.0);
            Ok(done)
        }
        .boxed()
    }

    fn init_swarm(
        &self,
        caller: Caller,
        init: InitSwarm,
    ) -> BoxFuture<'_, Result<NodeId, Failure>> {
        let node = NodeId::from_random([1; 16]);
        let command = Command::CreateCluster {
            id: ClusterId::from_random([2; 16]),
            spec: ClusterSpec {
                pool: "10.0.0.0/8".parse().unwrap(),
                pool_prefix: u8::try_from(init.pool_prefix).unwrap(),
                data_path_port: 4789,
                task_history: init.task_history.unwrap_or(5),
                node_grace: Span::seconds(5),
            },
            ca_certificate: "-----BEGIN CERTIFICATE-----\n".to_owned(),
            worker_token: Hash::default(),
            manager_token: Hash::default(),
            node: NewNode {
                id: node,
                role: Role::Manager,
                availability: Availability::Active,
                address: init.advertise.as_deref().unwrap_or("192.0.2.1").parse().unwrap(),
                port: 2377,
                description: Description {
                    hostname: "n1".to_owned(),
                    os: "linux".to_owned(),
                    architecture: "x86_64".to_owned(),
                    cpus: NanoCpus(2_000_000_000),
                    memory: Bytes(8 << 30),
                    engine: "0.1.0".to_owned(),
                },
            },
        };
        async move {
            self.commit(caller, &command, None)?;
            self.world.lock().unwrap().node = Some(node);
            let ready = Command::SetNodeState {
                id: node,
                state: NodeState::Ready,
                message: "heard of".to_owned(),
            };
            let by = Caller {
                who: Who::Node { id: node },
                client: "skein".to_owned(),
                reason: None,
                request: None,
                if_at: None,
            };
            self.commit(by, &ready, None)?;
            Ok(node)
        }
        .boxed()
    }

    fn leave_swarm(&self, _: Caller, force: bool) -> BoxFuture<'_, Result<(), Failure>> {
        let mut world = self.world.lock().unwrap();
        let left = match (world.node, force) {
            (None, _) => Err(Refusal::NotInSwarm.into()),
            (Some(_), false) => Err(Refusal::LastManager.into()),
            (Some(_), true) => {
                *world = World { now: world.now, ..World::default() };
                Ok(())
            }
        };
        futures::future::ready(left).boxed()
    }

    fn join_tokens(&self) -> Result<JoinTokens, Failure> {
        Ok(JoinTokens { worker: "SWMTKN-1-a-b".to_owned(), manager: "SWMTKN-1-a-c".to_owned() })
    }

    fn pulse(&self) -> BoxFuture<'_, Result<(), Failure>> {
        futures::future::ready(Ok(())).boxed()
    }

    fn standing(&self) -> Option<Standing> {
        let world = self.world.lock().unwrap();
        let position = world.state.position;
        let node = world.node?;
        Some(Standing {
            node,
            leads: true,
            leader_known: true,
            term: 3,
            committed: position,
            applied: position,
        })
    }

    fn checks(&self) -> Vec<Check> {
        let problem = self.world.lock().unwrap().trouble.clone();
        vec![Check { name: "disk", problem }]
    }

    fn health(&self, task: TaskId) -> Option<Health> {
        self.world.lock().unwrap().health.get(&task).cloned()
    }

    fn local(&self) -> Local {
        let node = self.world.lock().unwrap().node;
        Local {
            node,
            address: node.map(|_| "192.0.2.1".parse().unwrap()),
            hostname: "n1".to_owned(),
            cpus: 2,
            memory: 8 << 30,
            kernel: "6.18".to_owned(),
            system: "Debian GNU/Linux 12 (bookworm)".to_owned(),
            cgroup: Cgroup::V2,
            data_root: "/var/lib/skein".to_owned(),
            id: "fake".to_owned(),
        }
    }

    fn wall(&self) -> Time {
        Time(self.world.lock().unwrap().now)
    }

    fn load_image(
        &self,
        _: Caller,
        mut archive: Upload,
    ) -> BoxFuture<'_, Result<Vec<String>, Failure>> {
        async move {
            let mut size = 0;
            let mut chunk = vec![0; 4096];
            loop {
                match archive.read(&mut chunk).await {
                    Ok(0) => break,
                    Ok(n) => size += n as u64,
                    Err(error) => return Err(Failure::Internal(error.to_string())),
                }
            }
            self.world.lock().unwrap().images = vec![ImageSummary {
                id: format!("sha256:{}", "a6".repeat(32)),
                names: vec!["busybox:latest".to_owned()],
                digests: Vec::new(),
                size,
                created: Some("2026-11-23T02:59:07.874961141Z".to_owned()),
                labels: Vec::new(),
                layers: vec![format!("sha256:{}", "6c".repeat(32))],
            }];
            Ok(vec!["busybox:latest".to_owned()])
        }
        .boxed()
    }

    fn images(&self) -> BoxFuture<'_, Result<Vec<ImageSummary>, Failure>> {
        futures::future::ready(Ok(self.world.lock().unwrap().images.clone())).boxed()
    }

    fn image(&self, image: String) -> BoxFuture<'_, Result<Option<ImageDetails>, Failure>> {
        let images = &self.world.lock().unwrap().images;
        let found = images.iter().find(|i| i.is(&image)).cloned();
        let file = serde_json::json!({
            "created": "2026-11-23T02:59:07.874961141Z", "comment": "Imported from -",
            "config": { "Cmd": ["/bin/sh"], "Healthcheck": { "Test": ["NONE"] } },
            "history": [
                { "created": "2026-11-23T02:59:07Z", "created_by": "ADD", "comment": "first" },
                { "created": "2026-11-23T02:59:08Z", "created_by": "CMD", "empty_layer": true },
            ],
        });
        let closely = |summary| ImageDetails { summary, file, layer_sizes: vec![7] };
        futures::future::ready(Ok(found.map(closely))).boxed()
    }

    fn import_image(
        &self,
        _: Caller,
        mut archive: Upload,
        import: ImportImage,
    ) -> BoxFuture<'_, Result<String, Failure>> {
        async move {
            let mut text = String::new();
            archive
                .read_to_string(&mut text)
                .await
                .map_err(|e| Failure::Internal(e.to_string()))?;
            // Says what it was given.
            Ok(format!("{text} {import:?}"))
        }
        .boxed()
    }

    /// Whatever is asked for is there, except what is named `nosuch`; of a login it says that there was one.
    fn pull_image(&self, _: Caller, pull: PullImage) -> Pulling {
        if pull.name.path().ends_with("nosuch") {
            let missing = Failure::Missing(format!("manifest for {} not found", pull.name));
            return futures::stream::iter([Err(missing)]).boxed();
        }
        let blob = format!("sha256:{}", "6c".repeat(32));
        let layer = |step| PullStep::Layer { blob: blob.clone(), step };
        let mut steps = vec![
            Ok(PullStep::Found),
            Ok(layer(LayerStep::Needed)),
            Ok(layer(LayerStep::Coming { bytes: 3, of: 7 })),
        ];
        steps.push(match pull.login {
            Some(login) => Err(Failure::Internal(format!("it ended for {login:?}"))),
            None => Ok(PullStep::Done { digest: blob.clone(), fresh: true }),
        });
        futures::stream::iter(steps).boxed()
    }

    fn check_login(&self, name: Reference, login: Login) -> BoxFuture<'_, Result<(), Failure>> {
        let ada = Login::Password { user: "ada".to_owned(), password: "s3cret".to_owned() };
        let refused = || Failure::Unauthorized(format!("login to {}: unauthorized", name.host()));
        futures::future::ready(if login == ada { Ok(()) } else { Err(refused()) }).boxed()
    }

    fn resolve_image(
        &self,
        name: Reference,
        _: Option<Login>,
    ) -> BoxFuture<'_, Result<ResolvedImage, Failure>> {
        let found = ResolvedImage {
            media_type: "application/vnd.oci.image.manifest.v1+json".to_owned(),
            digest: format!("sha256:{}", "6c".repeat(32)),
            size: 527,
            platforms: vec![("amd64".to_owned(), "linux".to_owned())],
        };
        let missing = name.path().ends_with("nosuch");
        let answer =
            if missing { Err(Failure::Missing("not there".to_owned())) } else { Ok(found) };
        futures::future::ready(answer).boxed()
    }

    fn tag_image(
        &self,
        _: Caller,
        image: String,
        name: Reference,
    ) -> BoxFuture<'_, Result<(), Failure>> {
        let mut world = self.world.lock().unwrap();
        let found = world.images.iter_mut().find(|i| i.is(&image));
        let done = match found {
            Some(found) => {
                found.names.push(name.familiar());
                Ok(())
            }
            None => Err(Refusal::NotFound { noun: "image", name: image }.into()),
        };
        futures::future::ready(done).boxed()
    }

    fn remove_image(
        &self,
        _: Caller,
        image: String,
        force: bool,
    ) -> BoxFuture<'_, Result<Vec<ImageRemoval>, Failure>> {
        let mut world = self.world.lock().unwrap();
        let done = match world.images.iter_mut().find(|i| i.is(&image)) {
            None => Err(Refusal::NotFound { noun: "image", name: image }.into()),
            Some(found) if !force && found.names.len() == 1 => {
                Err(Failure::Conflict(format!("conflict: unable to delete {image}")))
            }
            Some(found) => {
                let name = found.names.remove(0);
                Ok(vec![ImageRemoval::Untagged(name), ImageRemoval::Deleted(found.id.clone())])
            }
        };
        futures::future::ready(done).boxed()
    }

    fn prune_images(
        &self,
        _: Caller,
        prune: PruneImages,
    ) -> BoxFuture<'_, Result<ImagesPruned, Failure>> {
        let removed = match prune.all {
            true => vec![ImageRemoval::Deleted("sha256:a6".to_owned())],
            false => Vec::new(),
        };
        let reclaimed = removed.len() as u64 * 7;
        futures::future::ready(Ok(ImagesPruned { removed, reclaimed })).boxed()
    }

    fn disk_usage(&self) -> BoxFuture<'_, Result<DiskUsage, Failure>> {
        let world = self.world.lock().unwrap();
        let images = world.images.clone();
        let layers = images.iter().flat_map(|i| &i.layers).map(|l| (l.clone(), 7)).collect();
        let containers = vec![ContainerUsage {
            task: TaskId::from_random([1; 16]),
            container: "c".repeat(64),
            image: images.first().map(|i| i.id.clone()),
            written: 5,
            running: true,
        }];
        let logs = world.logs.clone();
        let volumes = world.volumes.values().map(|v| (v.clone(), 11)).collect();
        futures::future::ready(Ok(DiskUsage {
            images,
            layers,
            partial: 2,
            containers,
            logs,
            volumes,
        }))
        .boxed()
    }

    fn remove_logs(
        &self,
        _: Caller,
        tasks: BTreeSet<TaskId>,
    ) -> BoxFuture<'_, Result<Vec<KeptLog>, Failure>> {
        let mut world = self.world.lock().unwrap();
        let logs = std::mem::take(&mut world.logs);
        let (gone, stay) = logs.into_iter().partition(|log| tasks.contains(&log.task));
        world.logs = stay;
        futures::future::ready(Ok(gone)).boxed()
    }

    fn volumes(&self) -> BoxFuture<'_, Result<Vec<Volume>, Failure>> {
        let volumes = self.world.lock().unwrap().volumes.values().cloned().collect();
        futures::future::ready(Ok(volumes)).boxed()
    }

    fn volume(&self, name: String) -> BoxFuture<'_, Result<Volume, Failure>> {
        let found = self.world.lock().unwrap().volumes.get(&name).cloned();
        let missing = || Failure::Missing(format!("get {name}: no such volume"));
        futures::future::ready(found.ok_or_else(missing)).boxed()
    }

    fn create_volume(
        &self,
        _: Caller,
        volume: NewVolume,
    ) -> BoxFuture<'_, Result<Volume, Failure>> {
        let NewVolume { name, options, labels } = volume;
        let anonymous = name.is_none();
        let name = name.unwrap_or_else(|| "e".repeat(64));
        let made = Volume {
            mountpoint: format!("/var/lib/skein/volumes/{name}/_data"),
            name: name.clone(),
            options,
            labels: labels.into_iter().collect(),
            created: Time(START),
            anonymous,
            // In use, if it is called so.
            users: usize::from(name == "used"),
        };
        self.world.lock().unwrap().volumes.insert(name, made.clone());
        futures::future::ready(Ok(made)).boxed()
    }

    fn remove_volume(
        &self,
        _: Caller,
        name: String,
        force: bool,
    ) -> BoxFuture<'_, Result<(), Failure>> {
        let volumes = &mut self.world.lock().unwrap().volumes;
        let done = match volumes.get(&name) {
            Some(volume) if volume.users > 0 => {
                Err(Failure::Conflict(format!("remove {name}: volume is in use - [c]")))
            }
            Some(_) => {
                volumes.remove(&name);
                Ok(())
            }
            None if force => Ok(()),
            None => Err(Failure::Missing(format!("get {name}: no such volume"))),
        };
        futures::future::ready(done).boxed()
    }

    fn prune_volumes(
        &self,
        caller: Caller,
        names: Vec<String>,
    ) -> BoxFuture<'_, Result<Vec<String>, Failure>> {
        async move {
            let mut gone = Vec::new();
            for name in names {
                self.remove_volume(caller.clone(), name.clone(), false).await?;
                gone.push(name);
            }
            Ok(gone)
        }
        .boxed()
    }

    fn rehearse_here(
        &self,
        _: Caller,
        change: LocalChange,
    ) -> BoxFuture<'_, Result<Rehearsal, Failure>> {
        let valid_at = self.world.lock().unwrap().state.position;
        let refused = vec![format!("{change:?}")];
        let (steps, differences) = (Vec::new(), Vec::new());
        let told = Rehearsal { valid_at, steps, differences, refused, cut: false, reclaimed: 7 };
        futures::future::ready(Ok(told)).boxed()
    }

    /// `cat` gives back its input; anything else says its arguments on both outputs and ends with 7.
    fn exec(
        &self,
        caller: Caller,
        request: ExecRequest,
    ) -> BoxFuture<'_, Result<ExecSession, Failure>> {
        async move {
            let program = request.args[0].clone();
            self.commit(caller, &Command::StartExec { task: request.task, program }, None)?;
            if request.args[0] == "nosuch" {
                let message = "exec: \"nosuch\": executable file not found in $PATH".to_owned();
                return Err(Failure::NotExecutable { message, code: 127 });
            }
            let (mut out, stdout) = tokio::io::duplex(1024);
            let (sizes, mut resized) = tokio::sync::mpsc::unbounded_channel::<WindowSize>();
            let resize: Resize = Arc::new(move |size| {
                sizes.send(size).expect("the command listens");
                futures::future::ready(Ok(())).boxed()
            });
            let terminal = request.terminal;
            let request_has_terminal = terminal.is_some();
            let (mut err, stderr) = tokio::io::duplex(1024);
            let (input, mut stdin) = tokio::io::duplex(1024);
            let echo = request.args[0] == "cat";
            let code = tokio::spawn(async move {
                if let Some(mut size) = terminal {
                    while size.rows != 0 {
                        let text = format!("{}x{}\r\n", size.rows, size.columns);
                        out.write_all(text.as_bytes()).await.unwrap();
                        size = resized.recv().await.unwrap();
                    }
                }
                if echo {
                    tokio::io::copy(&mut stdin, &mut out).await.unwrap();
                    return 0;
                }
                out.write_all(request.args.join(" ").as_bytes()).await.unwrap();
                err.write_all(b"err\n").await.unwrap();
                7
            });
            Ok(ExecSession {
                stdin: request.stdin.then(|| Box::new(input) as _),
                stdout: Box::new(stdout),
                stderr: Box::new(stderr),
                pid: 99,
                exit: code.map(|code| code.unwrap_or(-1)).boxed(),
                resize: request_has_terminal.then_some(resize),
            })
        }
        .boxed()
    }

    /// Two lines of each task, a second and two after the start; tasks speak one after the other.
    fn logs(&self, request: LogsRequest) -> BoxFuture<'_, Result<LogLines, Failure>> {
        let state = Arc::clone(&self.world.lock().unwrap().state);
        let slot = state.tasks.get(&request.task).unwrap().slot;
        let line = |stream, second: u64, text: &str| LogLine {
            stream,
            time: Time(START + second * 1_000_000_000 + slot),
            text: format!("{text} {slot}\n").into_bytes(),
        };
        let mut lines = vec![line(LogStream::Out, 1, "line"), line(LogStream::Err, 2, "err")];
        lines.retain(|line| match line.stream {
            LogStream::Out => request.stdout,
            LogStream::Err => request.stderr,
        });
        let tail = usize::try_from(request.tail.unwrap_or(u64::MAX)).unwrap_or(usize::MAX);
        lines.drain(..lines.len().saturating_sub(tail));
        lines.retain(|line| request.since.is_none_or(|since| line.time >= since));
        let lines = futures::stream::iter(lines.into_iter().map(Ok));
        let lines = if request.follow {
            lines.chain(futures::stream::pending()).boxed()
        } else {
            lines.boxed()
        };
        futures::future::ready(Ok(lines)).boxed()
    }
}
