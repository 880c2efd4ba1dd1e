//! A swarm in memory for tests: decides commands, writes and reads back their batches, applies them, runs the planners.
//! Stands in for the one writer of the daemon, without its threads, disk and clock.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use skein_events::cluster::ClusterSpec;
use skein_events::codec::Batch;
use skein_events::command::{Command, NewNetwork, NewNode, Sighting};
use skein_events::decide::{Context, decide};
use skein_events::envelope::{Envelope, Planner, Who};
use skein_events::event::Event;
use skein_events::id::{ClusterId, IdSource, NetworkId, NodeId, ServiceId, TaskId};
use skein_events::network::NetworkSpec;
use skein_events::node::{Availability, Description, NodeState, Role};
use skein_events::plan::{self, Proposal, liveness, withdraw};
use skein_events::record::{Hash, Position};
use skein_events::refusal::Refusal;
use skein_events::service::update::UpdateConfig;
use skein_events::service::{EndpointMode, Mode, ServiceSpec};
use skein_events::state::State;
use skein_events::state::touched::Touched;
use skein_events::task::container::ContainerSpec;
use skein_events::task::spec::{Attachment, TaskSpec};
use skein_events::task::{Task, TaskState, TaskStatus};
use skein_events::time::{Span, Time};
use skein_events::unit::{Bytes, NanoCpus};

/// More rounds of planning than any walk needs: more means that planners chase each other.
const ROUNDS_MAX: usize = 200;

/// A batch in the history.
#[derive(Clone, Debug)]
pub(crate) struct Logged {
    /// Its first record.
    pub(crate) first: Position,
    /// As the log holds it.
    pub(crate) bytes: Vec<u8>,
    /// As readers find it.
    pub(crate) batch: Batch,
}

/// A swarm in memory.
#[derive(Clone, Debug)]
pub(crate) struct World {
    /// Everything applied.
    pub(crate) state: State,
    /// Every batch.
    pub(crate) log: Vec<Logged>,
    /// What was not yet planned.
    pub(crate) touched: Touched,
    /// Cluster time.
    pub(crate) now: Time,
    /// What nodes confirmed.
    pub(crate) acked: BTreeMap<NodeId, Position>,
    /// Why the next command is given.
    pub(crate) reason: Option<String>,
    ids: IdSource,
}

/// The root user of the machine.
pub(crate) fn root() -> Who {
    Who::User { uid: 0, gid: 0, name: Some("root".to_owned()) }
}

/// The n-th node.
pub(crate) fn node_id(n: u8) -> NodeId {
    NodeId::from_random([n; 16])
}

/// A machine of four cores and 8 GiB.
pub(crate) fn machine(n: u8) -> NewNode {
    NewNode {
        id: node_id(n),
        role: if n == 1 { Role::Manager } else { Role::Worker },
        availability: Availability::Active,
        address: Ipv4Addr::new(192, 168, 0, n),
        port: 2377,
        description: Description {
            hostname: format!("n{n}"),
            os: "linux".to_owned(),
            architecture: "x86_64".to_owned(),
            cpus: NanoCpus(4_000_000_000),
            memory: Bytes(8 << 30),
            engine: "0.1.0".to_owned(),
        },
    }
}

/// A network without options.
pub(crate) fn network(name: &str) -> NewNetwork {
    NewNetwork {
        spec: NetworkSpec {
            name: name.parse().expect("tests give valid names"),
            internal: false,
            attachable: false,
            labels: Vec::new(),
            options: Vec::new(),
        },
        subnet: None,
        gateway: None,
        ip_range: None,
        occupied: Vec::new(),
    }
}

/// A service of busybox.
pub(crate) fn service(name: &str, replicas: u64, networks: &[NetworkId]) -> ServiceSpec {
    let attach = |network: &NetworkId| Attachment { network: *network, aliases: Vec::new() };
    ServiceSpec {
        name: name.parse().expect("tests give valid names"),
        labels: Vec::new(),
        mode: Mode::Replicated { replicas },
        endpoint: if networks.is_empty() { EndpointMode::Unnamed } else { EndpointMode::Dnsrr },
        update: UpdateConfig::default(),
        rollback: UpdateConfig::default(),
        task: TaskSpec {
            container: ContainerSpec {
                image: "busybox:latest".to_owned(),
                args: vec!["sleep".to_owned(), "1000".to_owned()],
                stop_grace: Span::seconds(10),
                ..ContainerSpec::default()
            },
            networks: networks.iter().map(attach).collect(),
            ..TaskSpec::default()
        },
    }
}

/// What makes a swarm.
pub(crate) fn create_cluster() -> Command {
    Command::CreateCluster {
        id: ClusterId::from_random([9; 16]),
        spec: ClusterSpec {
            pool: "10.0.0.0/8".parse().expect("a subnet"),
            pool_prefix: 24,
            data_path_port: 4789,
            task_history: 5,
            node_grace: Span::seconds(15),
        },
        ca_certificate: "-----BEGIN CERTIFICATE-----".to_owned(),
        worker_token: Hash([1; 32]),
        manager_token: Hash([2; 32]),
        node: machine(1),
    }
}

/// What a node says when a task came so far.
pub(crate) fn status(state: TaskState) -> Sighting {
    Sighting::Status(TaskStatus::new(state, state.as_str()))
}

impl Default for World {
    fn default() -> Self {
        Self {
            state: State::default(),
            log: Vec::new(),
            touched: Touched::default(),
            now: Time(1_790_000_000_000_000_000),
            acked: BTreeMap::new(),
            reason: None,
            ids: IdSource::new([7; 32]),
        }
    }
}

impl World {
    /// A swarm of so many ready nodes.
    pub(crate) fn of(nodes: u8) -> Self {
        let mut world = Self::default();
        world.user(create_cluster());
        for n in 2..=nodes {
            world.user(Command::JoinNode(machine(n)));
        }
        for n in 1..=nodes {
            world.node_state(n, NodeState::Ready).expect("a new node may become ready");
        }
        world
    }

    /// Decides a command and applies what happens.
    pub(crate) fn submit(
        &mut self,
        who: Who,
        cause: Option<Position>,
        command: &Command,
    ) -> Result<Vec<Event>, Refusal> {
        let mut context = Context {
            now: self.now,
            ids: IdSource::new(self.ids.bytes32()),
            reason: self.reason.take(),
            acked: self.acked.iter().map(|(id, at)| (*id, *at)).collect(),
        };
        let events = decide(&self.state, command, &mut context)?;
        let envelope = Envelope {
            at: self.now,
            wall: self.now,
            who,
            client: "test/1".to_owned(),
            request: None,
            cause,
            epoch: 1,
            level: 1,
        };
        let (bytes, written) =
            Batch::write(envelope, events, &mut context.ids).expect("a decision fits a batch");
        let batch = Batch::read(&bytes).expect("what was written can be read");
        assert_eq!(batch, written, "a batch means the same to its writer and its readers");
        let first = self.state.position.next();
        self.state.apply_batch(first, &batch, &mut self.touched);
        let events = batch.entries.iter().map(|e| e.event.clone()).collect();
        self.log.push(Logged { first, bytes, batch });
        Ok(events)
    }

    /// A user's command that is accepted.
    pub(crate) fn user(&mut self, command: Command) -> Vec<Event> {
        self.submit(root(), None, &command).expect("the test's command is accepted")
    }

    /// A node is heard of, or no longer.
    pub(crate) fn node_state(&mut self, n: u8, state: NodeState) -> Result<Vec<Event>, Refusal> {
        let command =
            Command::SetNodeState { id: node_id(n), state, message: format!("test: {state:?}") };
        self.submit(Who::Planner { name: Planner::Liveness }, None, &command)
    }

    /// A user changes whether a node takes tasks.
    pub(crate) fn availability(&mut self, n: u8, availability: Availability) {
        let labels = self.state.nodes[&node_id(n)].labels.clone();
        let id = node_id(n);
        self.user(Command::UpdateNode { id, availability, labels, if_changed: None });
    }

    /// A node says what it saw.
    pub(crate) fn report(
        &mut self,
        node: NodeId,
        seen: Vec<(TaskId, Sighting)>,
    ) -> Result<(), Refusal> {
        let command = Command::Report { node, sightings: seen };
        self.submit(Who::Node { id: node }, None, &command).map(|_| ())
    }

    /// A network of that name; its id.
    pub(crate) fn network(&mut self, name: &str) -> NetworkId {
        self.user(Command::CreateNetwork(network(name)));
        let name = name.parse::<skein_events::name::Name>().expect("tests give valid names");
        self.state.index.network_names[&name.folded()]
    }

    /// A service; its id.
    pub(crate) fn service(&mut self, spec: ServiceSpec) -> ServiceId {
        let name = spec.name.folded();
        self.user(Command::CreateService { spec: Box::new(spec), env: Vec::new() });
        self.state.index.service_names[&name]
    }

    /// What the planners propose, and what confirmations of nodes allow.
    pub(crate) fn proposals(&self, touched: &Touched) -> (Vec<Proposal>, bool) {
        let plan = plan::plan(&self.state, touched, self.now);
        let acked = self.acked.iter().map(|(id, at)| (*id, *at)).collect();
        let mut proposals = plan.proposals;
        proposals.extend(liveness::fences(&self.state, &acked));
        proposals.extend(withdraw::acknowledged(&self.state, &acked));
        (proposals, plan.more)
    }

    /// Runs the planners once; says whether anything happened.
    pub(crate) fn round(&mut self) -> bool {
        let touched = std::mem::take(&mut self.touched);
        let (proposals, more) = self.proposals(&touched);
        if more {
            self.touched.merge(touched);
        }
        let mut happened = false;
        for Proposal { planner, cause, command } in proposals {
            happened |= self.submit(Who::Planner { name: planner }, cause, &command).is_ok();
        }
        happened
    }

    /// Runs the planners until nothing happens.
    pub(crate) fn settle(&mut self) {
        let quiet = (0..ROUNDS_MAX).any(|_| !self.round());
        assert!(quiet, "planners come to rest");
        self.touched = Touched::default();
    }

    /// Time passes.
    pub(crate) fn pass(&mut self, span: Span) {
        self.now = self.now.after(span);
        self.settle();
    }

    /// Every node does at once what it is told; planners follow until nothing happens.
    pub(crate) fn run(&mut self) {
        for _ in 0..ROUNDS_MAX {
            let before = self.state.position;
            self.settle();
            let mut seen: BTreeMap<NodeId, Vec<(TaskId, Sighting)>> = BTreeMap::new();
            for task in self.state.tasks.values() {
                let node = task.node.filter(|id| {
                    self.state.nodes.get(id).is_some_and(|n| n.state == NodeState::Ready)
                });
                if let (Some(node), Some(sighting)) = (node, obedient(task)) {
                    seen.entry(node).or_default().push((task.id, sighting));
                }
            }
            for id in self.state.nodes.keys() {
                self.acked.insert(*id, self.state.position);
            }
            if seen.is_empty() && self.state.position == before {
                return;
            }
            for (node, seen) in seen {
                self.report(node, seen).expect("an obedient node is believed");
            }
        }
        panic!("nodes and planners come to rest");
    }

    /// Tasks of a service that run.
    pub(crate) fn running(&self, service: ServiceId) -> usize {
        self.state.tasks_of(service).filter(|t| self.state.is_named(t)).count()
    }

    /// A task that runs in a slot.
    pub(crate) fn task(&self, service: ServiceId, slot: u64) -> &Task {
        self.state.newest_of_slot(service, slot).expect("the slot has a task")
    }
}

/// What a node that does as it is told would say of a task next.
pub(crate) fn obedient(task: &Task) -> Option<Sighting> {
    if task.gone {
        return None;
    }
    let ended = task.status.state.is_terminal();
    match task.desired {
        _ if ended => (task.desired > TaskState::Running).then_some(Sighting::Gone),
        TaskState::Ready => {
            (task.status.state < TaskState::Ready).then(|| status(TaskState::Ready))
        }
        TaskState::Running => {
            (task.status.state < TaskState::Running).then(|| status(TaskState::Running))
        }
        _ if task.withdrawn => Some(status(TaskState::Shutdown)),
        _ => None,
    }
}
