//! A made-up history of the mix the figures are about: seven of ten records say how a task came along, two make and
//! place a task, one is a user's command. Batches are as large as the swarm would write them: a node's report speaks
//! of five tasks, a plan makes and places ten, a user's command stands alone. A digest every 1,024 records.

use std::net::Ipv4Addr;

use bytes::Bytes;
use skein_events::cluster::ClusterSpec;
use skein_events::cluster::event::{Checkpointed, ClusterCreated};
use skein_events::codec::{Batch, NewEvent};
use skein_events::envelope::{Detached, Envelope, Planner, Who};
use skein_events::id::{ClusterId, IdSource, NetworkId, NodeId, RequestId, ServiceId, TaskId};
use skein_events::network::NetworkSpec;
use skein_events::network::event::NetworkCreated;
use skein_events::node::event::{NodeJoined, NodeStateChanged};
use skein_events::node::{Availability, Description, NodeState, Role};
use skein_events::record::{Hash, Position};
use skein_events::service::event::{ServiceCreated, ServiceScaled};
use skein_events::service::update::UpdateConfig;
use skein_events::service::{EndpointMode, Mode, ServiceSpec};
use skein_events::state::State;
use skein_events::state::digest::DIGEST_FORMAT;
use skein_events::state::touched::Touched;
use skein_events::task::container::ContainerSpec;
use skein_events::task::event::{TaskAssigned, TaskCreated, TaskStatusChanged};
use skein_events::task::explain::{Explanation, Finding, VERDICTS_MAX, Verdict};
use skein_events::task::spec::{Attachment, TaskSpec};
use skein_events::task::{TaskLeg, TaskState, TaskStatus};
use skein_events::time::{Span, Time};
use skein_events::unit::{Bytes as Memory, Mac, NanoCpus, Subnet, Vni};

const NODES: u16 = 100;
const NETWORKS: u16 = 100;
/// Services that come along at the same time.
const SERVICES: usize = 50;
/// Tasks of a service; with 7 statuses and 2 other records each, and as many commands of users, 100 records.
const TASKS: u16 = 10;
const RECORDS_OF_A_GROUP: u64 = 5_000;
/// Every so many records the state's digest is written, as `plan::checkpoint` does.
const CHECKPOINT: u64 = skein_events::plan::checkpoint::RECORDS;
/// What a node says of a task: some twice, with another message.
const STATUSES: [(TaskState, &str); 7] = [
    (TaskState::Accepted, "accepted"),
    (TaskState::Preparing, "preparing"),
    (TaskState::Preparing, "preparing the network"),
    (TaskState::Ready, "prepared"),
    (TaskState::Starting, "starting"),
    (TaskState::Running, "started"),
    (TaskState::Running, "running"),
];

/// A history and what it leads to.
pub(crate) struct History {
    /// The batches, as the log holds them.
    pub(crate) batches: Vec<Bytes>,
    /// The state after them.
    pub(crate) state: State,
}

struct Writer {
    history: History,
    ids: IdSource,
    now: Time,
    nodes: Vec<NodeId>,
    networks: Vec<(NetworkId, Subnet, u64)>,
}

/// A history of about so many records.
pub(crate) fn history(records: u64) -> History {
    let mut writer = Writer {
        history: History { batches: Vec::new(), state: State::default() },
        ids: IdSource::new([5; 32]),
        now: Time(1_790_000_000_000_000_000),
        nodes: Vec::new(),
        networks: Vec::new(),
    };
    writer.begin();
    for group in 0..records / RECORDS_OF_A_GROUP {
        writer.group(group);
    }
    writer.history
}

impl Writer {
    fn write(&mut self, who: Who, cause: Option<Position>, events: Vec<NewEvent>) {
        self.now = self.now.after(Span::millis(1));
        let request =
            matches!(who, Who::User { .. }).then(|| RequestId::from_random(self.ids.bytes16()));
        let envelope = Envelope {
            at: self.now,
            wall: self.now,
            who,
            client: "skein/0.1.0".to_owned(),
            request,
            cause,
            epoch: 1,
            level: 1,
        };
        let (bytes, batch) =
            Batch::write(envelope, events, &mut self.ids).expect("a batch is small");
        let History { batches, state } = &mut self.history;
        state.apply_batch(state.position.next(), &batch, &mut Touched::Ignored);
        batches.push(bytes.into());
        if state.position.0 - state.checkpoint.0 >= CHECKPOINT {
            let checkpoint = Checkpointed {
                upto: state.position,
                format: DIGEST_FORMAT,
                digest: state.digest(),
            };
            let who = Who::Planner { name: Planner::Checkpoint };
            self.write(who, None, vec![checkpoint.into()]);
        }
    }

    fn user(&mut self, event: impl Into<NewEvent>) {
        let who = Who::User { uid: 1000, gid: 1000, name: Some("ada".to_owned()) };
        self.write(who, None, vec![event.into()]);
    }

    fn planner(&mut self, name: Planner, events: Vec<NewEvent>) {
        let cause = Some(self.history.state.position);
        self.write(Who::Planner { name }, cause, events);
    }

    /// The swarm, its nodes and networks.
    fn begin(&mut self) {
        let spec = ClusterSpec {
            pool: Subnet::containing(Ipv4Addr::new(10, 0, 0, 0), 8),
            pool_prefix: 20,
            data_path_port: 4789,
            task_history: 5,
            node_grace: Span::seconds(15),
        };
        let id = ClusterId::from_random(self.ids.bytes16());
        self.user(ClusterCreated {
            id,
            spec,
            ca_certificate: "x".repeat(800),
            worker_token: Hash([1; 32]),
            manager_token: Hash([2; 32]),
        });
        for n in 0..NODES {
            let id = NodeId::from_random(self.ids.bytes16());
            let [high, low] = n.to_be_bytes();
            self.user(NodeJoined {
                id,
                number: u64::from(n) + 1,
                role: if n == 0 { Role::Manager } else { Role::Worker },
                availability: Availability::Active,
                address: Ipv4Addr::new(192, 168, high, low),
                port: 2377,
                description: Description {
                    hostname: format!("node-{n}"),
                    os: "linux".to_owned(),
                    architecture: "x86_64".to_owned(),
                    cpus: NanoCpus(64_000_000_000),
                    memory: Memory(512 << 30),
                    engine: "0.1.0".to_owned(),
                },
            });
            let message = "its session is up".to_owned();
            let ready = NodeStateChanged { id, state: NodeState::Ready, message };
            self.planner(Planner::Liveness, vec![ready.into()]);
            self.nodes.push(id);
        }
        for n in 0..NETWORKS {
            let id = NetworkId::from_random(self.ids.bytes16());
            let [high, low] = (n * 16).to_be_bytes();
            let subnet = Subnet::containing(Ipv4Addr::new(10, high, low, 0), 20);
            let spec = NetworkSpec {
                name: format!("net-{n}").parse().expect("a name"),
                internal: false,
                attachable: false,
                labels: Vec::new(),
                options: Vec::new(),
            };
            let gateway = subnet.nth(1).expect("a first address");
            let vni = Vni(4097 + u32::from(n));
            self.user(NetworkCreated { id, spec, subnet, gateway, ip_range: None, vni });
            self.networks.push((id, subnet, 2));
        }
    }

    /// Fifty services and their tasks, from the users' commands to the last task running.
    fn group(&mut self, group: u64) {
        let mut tasks = Vec::new();
        let mut services = Vec::new();
        for n in 0..SERVICES {
            let network =
                (usize::try_from(group).unwrap_or(0) * SERVICES + n) % self.networks.len();
            let service = self.service(&format!("service-{group}-{n}"), network);
            services.push(service);
            let new: Vec<TaskId> =
                (0..TASKS).map(|_| TaskId::from_random(self.ids.bytes16())).collect();
            self.create(service, &new);
            self.assign(&new, tasks.len(), network);
            tasks.extend(new);
        }
        let every = tasks.len() / self.nodes.len();
        for (state, message) in STATUSES {
            for (node, id) in self.nodes.clone().into_iter().enumerate() {
                let of_node = tasks.iter().skip(node).step_by(self.nodes.len()).take(every);
                let statuses = of_node.map(|id| status(*id, state, message)).collect();
                self.write(Who::Node { id }, None, statuses);
            }
        }
        for more in (0..u64::from(TASKS) - 1).rev() {
            for id in &services {
                self.user(ServiceScaled { id: *id, replicas: u64::from(TASKS) + more });
            }
        }
    }

    fn service(&mut self, name: &str, network: usize) -> ServiceId {
        let id = ServiceId::from_random(self.ids.bytes16());
        let spec = ServiceSpec {
            name: name.parse().expect("a name"),
            labels: vec![("team".to_owned(), "shop".to_owned())],
            mode: Mode::Replicated { replicas: u64::from(TASKS) },
            endpoint: EndpointMode::Dnsrr,
            update: UpdateConfig::default(),
            rollback: UpdateConfig::default(),
            task: TaskSpec {
                container: ContainerSpec {
                    image: "registry.example/shop/web:1.27".to_owned(),
                    args: vec!["serve".to_owned(), "--port=80".to_owned()],
                    stop_grace: Span::seconds(10),
                    ..ContainerSpec::default()
                },
                networks: vec![Attachment {
                    network: self.networks[network].0,
                    aliases: Vec::new(),
                }],
                ..TaskSpec::default()
            },
        };
        let env = vec!["MODE=production".to_owned(), "TOKEN=0123456789".to_owned()];
        let detached = Detached { reason: None, env };
        self.user(NewEvent { event: ServiceCreated { id, spec, env: 2 }.into(), detached });
        id
    }

    fn create(&mut self, service: ServiceId, tasks: &[TaskId]) {
        let created = |(id, slot): (&TaskId, u64)| TaskCreated {
            id: *id,
            service,
            version: 1,
            slot,
            desired: TaskState::Running,
            start_at: None,
            replaces: None,
        };
        let events = tasks.iter().zip(1..).map(|new| created(new).into()).collect();
        self.planner(Planner::Replicated, events);
    }

    fn assign(&mut self, tasks: &[TaskId], before: usize, network: usize) {
        let mut events = Vec::new();
        for (n, id) in tasks.iter().enumerate() {
            let chosen = (before + n) % self.nodes.len();
            let verdict = |k: usize| Verdict {
                node: self.nodes[(chosen + k) % self.nodes.len()],
                finding: if k == 0 {
                    Finding::Chosen { of_service: 0, in_all: 900 }
                } else {
                    Finding::Fit { of_service: 0, in_all: 901 }
                },
            };
            let verdicts = (0..VERDICTS_MAX).map(verdict).collect();
            let explanation = Explanation { evaluated: u32::from(NODES), verdicts };
            let [a, b, c, d, e, f, ..] = self.ids.bytes16();
            let (network, subnet, next) = &mut self.networks[network];
            let ip = subnet.nth(*next).expect("a network has room for a thousand tasks");
            *next += 1;
            let legs =
                vec![TaskLeg { network: *network, ip, mac: Mac::from_random([a, b, c, d, e, f]) }];
            events
                .push(TaskAssigned { id: *id, node: self.nodes[chosen], legs, explanation }.into());
        }
        self.planner(Planner::Scheduler, events);
    }
}

fn status(id: TaskId, state: TaskState, message: &str) -> NewEvent {
    let started = state == TaskState::Running;
    let status = TaskStatus {
        container: started.then(|| "0123456789abcdef".repeat(4)),
        pid: started.then_some(4_321),
        ..TaskStatus::new(state, message)
    };
    TaskStatusChanged { id, status }.into()
}
