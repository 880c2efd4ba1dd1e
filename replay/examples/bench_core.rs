//! How fast the pure core is: folding a history and planning one change, each beside its limit in the same run.
//! `cargo run --release -p skein-replay --example bench_core [records]` prints a table in Markdown; with no records it
//! only plans.

#![expect(clippy::disallowed_methods, reason = "a measurement looks at a clock")]
#![expect(clippy::print_stdout, reason = "the table is the program's result")]

use std::hint::black_box;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use skein_events::cluster::ClusterSpec;
use skein_events::cluster::event::{Checkpointed, ClusterCreated};
use skein_events::codec::{Batch, NewEvent};
use skein_events::envelope::{Envelope, Planner, Who};
use skein_events::id::{ClusterId, IdSource, NetworkId, NodeId, ServiceId, TaskId};
use skein_events::network::NetworkSpec;
use skein_events::network::event::NetworkCreated;
use skein_events::node::event::{NodeJoined, NodeStateChanged};
use skein_events::node::{Availability, Description, NodeState, Role};
use skein_events::plan;
use skein_events::record::{BatchBytes, Hash, Place, Position};
use skein_events::service::event::{ServiceCreated, ServiceScaled};
use skein_events::service::{EndpointMode, Mode, ServiceSpec};
use skein_events::state::State;
use skein_events::state::digest::DIGEST_FORMAT;
use skein_events::state::touched::Touched;
use skein_events::task::event::{TaskAssigned, TaskCreated, TaskStatusChanged};
use skein_events::task::explain::{Explanation, Finding, Verdict};
use skein_events::task::spec::{Attachment, ContainerSpec, TaskSpec};
use skein_events::task::{TaskLeg, TaskState, TaskStatus};
use skein_events::time::{Span, Time};
use skein_events::unit::{Bytes, Mac, NanoCpus, Subnet, Vni};

/// Machines of the fixture.
const NODES: u8 = 10;
/// Records in the history when none are asked for.
const RECORDS: u64 = 300_000;
/// Statuses a node reports in one batch.
const REPORT: usize = 50;
/// Tasks made, or assigned, in one batch.
const TASKS: usize = 25;
/// Measurements of one plan; the table shows their median.
const PLANS: usize = 101;

/// A history as it would stand in the log, and the state it folds to.
struct Fixture {
    state: State,
    batches: Vec<(Position, Vec<u8>)>,
    ids: IdSource,
    networks: Vec<(NetworkId, Subnet)>,
    services: Vec<ServiceId>,
    per_service: u64,
    tasks: Vec<(TaskId, NodeId)>,
}

fn node_id(n: u8) -> NodeId {
    NodeId::from_random([n; 16])
}

impl Fixture {
    /// A swarm with so many services of so many tasks each, none of which exists yet.
    fn new(services: u64, per_service: u64) -> Self {
        let mut fixture = Self {
            state: State::default(),
            batches: Vec::new(),
            ids: IdSource::new([1; 32]),
            networks: Vec::new(),
            services: Vec::new(),
            per_service,
            tasks: Vec::new(),
        };
        let pool: Subnet = "10.0.0.0/8".parse().expect("a subnet");
        let mut events: Vec<NewEvent> = vec![
            ClusterCreated {
                id: ClusterId::from_random([1; 16]),
                spec: ClusterSpec {
                    pool,
                    pool_prefix: 24,
                    data_path_port: 4789,
                    task_history: 5,
                    node_grace: Span::seconds(15),
                },
                ca_certificate: "x".repeat(800),
                worker_token: Hash([1; 32]),
                manager_token: Hash([2; 32]),
            }
            .into(),
        ];
        for n in 1..=NODES {
            events.push(join(n).into());
            let (id, state) = (node_id(n), NodeState::Ready);
            events.push(NodeStateChanged { id, state, message: String::new() }.into());
        }
        for n in 0u32..8 {
            let subnet = Subnet::containing(Ipv4Addr::from_bits((10 << 24) | (n << 17)), 15);
            let id = NetworkId::from_random(fixture.ids.bytes16());
            events.push(network(id, subnet, n).into());
            fixture.networks.push((id, subnet));
        }
        fixture.write(&root(), None, events);
        for n in 0..services {
            let id = ServiceId::from_random(fixture.ids.bytes16());
            let at = usize::try_from(n).expect("few services") % fixture.networks.len();
            let spec = service(&format!("service{n}"), per_service, fixture.networks[at].0);
            fixture.write(&root(), None, vec![ServiceCreated { id, spec, env: 0 }.into()]);
            fixture.services.push(id);
        }
        fixture
    }

    fn write(&mut self, who: &Who, cause: Option<Position>, events: Vec<NewEvent>) {
        let at = Time(1_790_000_000_000_000_000 + self.state.position.0 * 1_000);
        let client = match who {
            Who::User { .. } => "skein/0.1.0",
            Who::Node { .. } | Who::Planner { .. } => "",
        };
        let (who, client) = (who.clone(), client.to_owned());
        let envelope =
            Envelope { at, wall: at, who, client, request: None, cause, epoch: 1, level: 1 };
        let (bytes, batch) =
            Batch::write(envelope, events, &mut self.ids).expect("the fixture's batches are small");
        let first = self.state.position.next();
        self.state.apply_batch(first, &batch, &mut Touched::Ignored);
        self.batches.push((first, bytes));
    }

    /// Makes so many tasks and brings each to its node through all its states but the last one.
    fn make_tasks(&mut self, count: usize, scales: usize) {
        let (mut new, mut users) = (Vec::new(), 0);
        for _ in 0..count {
            let n = self.tasks.len() as u64;
            let id = TaskId::from_random(self.ids.bytes16());
            let at = usize::try_from(n / self.per_service).expect("few services");
            let service = self.services[at % self.services.len()];
            let slot = n % self.per_service + 1;
            let node = node_id(u8::try_from(n % u64::from(NODES)).expect("few nodes") + 1);
            self.tasks.push((id, node));
            let (network, subnet) = self.networks[at % self.networks.len()];
            let host = n % (subnet.size() - 3) + 2;
            let mac = Mac::from_random([0, 0, 0, 0, (n >> 8 & 255) as u8, (n & 255) as u8]);
            let ip = subnet.nth(host).expect("the block is large enough");
            let leg = TaskLeg { network, ip, mac };
            new.push((id, service, slot, node, leg));
            if new.len() == TASKS || self.tasks.len() == count {
                users += self.settle(std::mem::take(&mut new), scales.saturating_sub(users));
            }
        }
    }

    fn settle(
        &mut self,
        new: Vec<(TaskId, ServiceId, u64, NodeId, TaskLeg)>,
        users: usize,
    ) -> usize {
        let cause = Some(self.state.position);
        let made = |&(id, service, slot, ..): &(TaskId, ServiceId, u64, NodeId, TaskLeg)| {
            let desired = TaskState::Running;
            TaskCreated { id, service, version: 1, slot, desired, start_at: None, replaces: None }
                .into()
        };
        let planner = |name| Who::Planner { name };
        self.write(&planner(Planner::Replicated), cause, new.iter().map(made).collect());
        let assigned = new.iter().map(|&(id, _, _, node, leg)| {
            let explanation = explanation(node);
            TaskAssigned { id, node, legs: vec![leg], explanation }.into()
        });
        let assigned = assigned.collect();
        self.write(&planner(Planner::Scheduler), cause, assigned);
        const LIFE: [TaskState; 7] = [
            TaskState::Accepted,
            TaskState::Preparing,
            TaskState::Ready,
            TaskState::Starting,
            TaskState::Running,
            TaskState::Complete,
            TaskState::Failed,
        ];
        let ends = if users > 0 { 7 } else { 5 };
        let mut seen: Vec<NewEvent> = Vec::new();
        for state in &LIFE[..ends] {
            for &(id, ..) in &new {
                let mut status = TaskStatus::new(*state, state.as_str());
                status.container = (*state >= TaskState::Starting).then(|| "c0ffee".repeat(10));
                status.pid = (*state == TaskState::Running).then_some(4242);
                seen.push(TaskStatusChanged { id, status }.into());
                if seen.len() == REPORT {
                    self.write(&Who::Node { id: node_id(1) }, None, std::mem::take(&mut seen));
                    self.checkpoint();
                }
            }
        }
        if !seen.is_empty() {
            self.write(&Who::Node { id: node_id(1) }, None, seen);
        }
        let users = users.min(new.len());
        for n in 0..users {
            let id = self.services[(self.tasks.len() + n) % self.services.len()];
            let replicas = self.per_service;
            self.write(&root(), None, vec![ServiceScaled { id, replicas }.into()]);
        }
        self.checkpoint();
        users
    }

    fn checkpoint(&mut self) {
        if self.state.position.0 - self.state.checkpoint.0 >= plan::checkpoint::RECORDS {
            let (upto, format, digest) = (self.state.position, DIGEST_FORMAT, self.state.digest());
            let event = Checkpointed { upto, format, digest };
            self.write(&Who::Planner { name: Planner::Checkpoint }, None, vec![event.into()]);
        }
    }
}

fn root() -> Who {
    Who::User { uid: 0, gid: 0, name: Some("root".to_owned()) }
}

fn join(n: u8) -> NodeJoined {
    NodeJoined {
        id: node_id(n),
        number: u64::from(n),
        role: if n == 1 { Role::Manager } else { Role::Worker },
        availability: Availability::Active,
        address: Ipv4Addr::new(192, 168, 0, n),
        port: 2377,
        description: Description {
            hostname: format!("n{n}"),
            os: "linux".to_owned(),
            architecture: "x86_64".to_owned(),
            cpus: NanoCpus(64_000_000_000),
            memory: Bytes(1 << 40),
            engine: "0.1.0".to_owned(),
        },
    }
}

fn network(id: NetworkId, subnet: Subnet, n: u32) -> NetworkCreated {
    let spec = NetworkSpec {
        name: format!("net{n}").parse().expect("a name"),
        internal: false,
        attachable: false,
        labels: Vec::new(),
        options: Vec::new(),
    };
    let gateway = subnet.nth(1).expect("the block is large enough");
    NetworkCreated { id, spec, subnet, gateway, vni: Vni(4097 + n) }
}

fn service(name: &str, replicas: u64, network: NetworkId) -> ServiceSpec {
    ServiceSpec {
        name: name.parse().expect("a name"),
        labels: vec![("team".to_owned(), "blue".to_owned())],
        mode: Mode::Replicated { replicas },
        endpoint: EndpointMode::Dnsrr,
        task: TaskSpec {
            container: ContainerSpec {
                image: "busybox:latest".to_owned(),
                args: vec!["sleep".to_owned(), "1000".to_owned()],
                stop_grace: Span::seconds(10),
                ..ContainerSpec::default()
            },
            networks: vec![Attachment { network, aliases: Vec::new() }],
            ..TaskSpec::default()
        },
    }
}

fn explanation(chosen: NodeId) -> Explanation {
    let fit = |n| Verdict { node: node_id(n), finding: Finding::Fit { of_service: 9, in_all: 99 } };
    let first = Verdict { node: chosen, finding: Finding::Chosen { of_service: 8, in_all: 98 } };
    let verdicts = std::iter::once(first).chain((2..=4).map(fit)).collect();
    Explanation { evaluated: u32::from(NODES), verdicts }
}

/// Time this thread spent on a processor: the core never waits, so what else the machine does is not counted.
fn on_processor() -> Option<Duration> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    text.split(' ').next()?.parse().ok().map(Duration::from_nanos)
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let (wall, processor) = (Instant::now(), on_processor());
    let value = work();
    let spent = processor.zip(on_processor()).map(|(before, after)| after - before);
    (value, spent.unwrap_or_else(|| wall.elapsed()))
}

fn chain(batches: &[(Position, Vec<u8>)]) -> Hash {
    let mut h = Hash::default();
    for (index, (_, bytes)) in (1u64..).zip(batches) {
        let raw = BatchBytes::parse(bytes).expect("the fixture is well formed");
        h = raw.chain(h, Place { term: 1, leader: 1, index });
    }
    h
}

fn decode(batches: &[(Position, Vec<u8>)]) -> usize {
    batches.iter().map(|(_, bytes)| Batch::read(bytes).expect("it decodes").entries.len()).sum()
}

fn fold(batches: &[(Position, Vec<u8>)]) -> State {
    let mut state = State::default();
    for (first, bytes) in batches {
        let batch = Batch::read(bytes).expect("the fixture decodes");
        state.apply_batch(*first, &batch, &mut Touched::Ignored);
    }
    state
}

fn row(what: &str, value: &str, beside: &str) {
    println!("| {what} | {value} | {beside} |");
}

fn rate(records: u64, took: Duration) -> f64 {
    records as f64 / took.as_secs_f64()
}

/// The middle one of many measurements of one plan.
fn plan_time(state: &State, touched: &Touched) -> Duration {
    let mut times: Vec<Duration> = (0..PLANS)
        .map(|_| {
            // Too short for the processor's own count.
            let start = Instant::now();
            black_box(plan::plan(black_box(state), touched, state.at));
            start.elapsed()
        })
        .collect();
    times.sort_unstable();
    times[PLANS / 2]
}

fn change(state: &State, event: NewEvent) -> (State, Touched) {
    let mut state = state.clone();
    let mut touched = Touched::default();
    let at = state.at;
    let (who, client) = (root(), String::new());
    let envelope =
        Envelope { at, wall: at, who, client, request: None, cause: None, epoch: 1, level: 1 };
    let mut ids = IdSource::new([2; 32]);
    let (_, batch) = Batch::write(envelope, vec![event], &mut ids).expect("it is small");
    state.apply_batch(state.position.next(), &batch, &mut touched);
    (state, touched)
}

fn plans(services: u64, per_service: u64) {
    let mut fixture = Fixture::new(services, per_service);
    fixture.make_tasks(usize::try_from(services * per_service).expect("few tasks"), 0);
    let (id, _) = fixture.tasks[fixture.tasks.len() / 2];
    let title = format!("{services} services of {per_service} tasks");
    let failed = TaskStatusChanged { id, status: TaskStatus::new(TaskState::Failed, "failed") };
    let scaled = ServiceScaled { id: fixture.services[0], replicas: per_service + 1 };
    let fewer = ServiceScaled { id: fixture.services[0], replicas: per_service - 1 };
    let limit = "at most 1 ms";
    for (what, event, beside) in [
        ("a task failed", NewEvent::from(failed), limit),
        ("one task more", scaled.into(), limit),
        ("one task fewer", fewer.into(), "ranks every slot of the service"),
    ] {
        let (state, touched) = change(&fixture.state, event);
        let proposals = plan::plan(&state, &touched, state.at).proposals.len();
        assert!(proposals > 0, "there is something to plan");
        let took = plan_time(&state, &touched);
        row(
            &format!("plan: {what}, {title}"),
            &format!("{:.3} ms", took.as_secs_f64() * 1e3),
            beside,
        );
    }
}

fn main() {
    println!("| what | measured | beside |");
    println!("|---|---|---|");
    let records: u64 = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(RECORDS);
    if records > 0 {
        folds(records);
    }
    plans(1_000, 100);
    plans(1, 100_000);
}

fn folds(records: u64) {
    let tasks = usize::try_from(records / 10).expect("a history fits memory");
    let mut fixture = Fixture::new(100, (tasks as u64).div_ceil(100));
    fixture.make_tasks(tasks, tasks);
    let batches = std::mem::take(&mut fixture.batches);
    let total = fixture.state.position.0;
    let bytes: usize = batches.iter().map(|(_, b)| b.len()).sum();

    row("records, batches, bytes", &format!("{total}, {}, {bytes}", batches.len()), "");
    let (_, verified) = timed(|| black_box(chain(&batches)));
    row("verify the chain", &format!("{:.0} records/s", rate(total, verified)), "");
    let (_, decoded) = timed(|| black_box(decode(&batches)));
    row("decode", &format!("{:.0} records/s", rate(total, decoded)), "");
    let (mut state, folded) = timed(|| fold(&batches));
    assert_eq!(state.digest(), fixture.state.digest(), "replay gives what was lived");
    assert_eq!(state.diverged, None);
    row(
        "decode and fold, look-ups and digests on",
        &format!("{:.0} records/s", rate(total, folded)),
        &format!(
            "at least 500000; {:.2} of the chain's rate",
            verified.as_secs_f64() / folded.as_secs_f64()
        ),
    );
    let (snapshot, took) = timed(|| state.to_snapshot());
    row(
        "write a snapshot",
        &format!("{:.1} ms", took.as_secs_f64() * 1e3),
        &format!("{} bytes", snapshot.len()),
    );
    let (read, took) = timed(|| State::from_snapshot(&snapshot));
    drop(read.expect("a snapshot is read back"));
    row("read a snapshot", &format!("{:.1} ms", took.as_secs_f64() * 1e3), "");
}
