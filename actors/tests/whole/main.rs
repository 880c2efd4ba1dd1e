//! One swarm from its real parts on simulated ground: a command goes in, a task runs, dies, is replaced, leaves.
//! The simulator tries the same under faults; this is the shortest whole path.

mod broken;

use std::net::Ipv4Addr;
use std::sync::Arc;

use skein_actors::agent::Tools;
use skein_actors::agent::findings::Findings;
use skein_actors::agent::names::Silent;
use skein_actors::clock::{Clock, Entropy, SystemClock};
use skein_actors::images::Images;
use skein_actors::member::Membership;
use skein_actors::spawner::Here;
use skein_actors::swarm::{Seams, Swarm};
use skein_events::cluster::ClusterSpec;
use skein_events::command::{Command, NewNetwork, NewNode};
use skein_events::envelope::Who;
use skein_events::id::{ClusterId, NodeId};
use skein_events::network::NetworkSpec;
use skein_events::node::{Availability, Description, NodeState, Role};
use skein_events::record::Hash;
use skein_events::service::update::UpdateConfig;
use skein_events::service::{EndpointMode, Mode, ServiceSpec};
use skein_events::state::State;
use skein_events::task::TaskState;
use skein_events::task::container::ContainerSpec;
use skein_events::task::spec::{Attachment, RestartPolicy, TaskSpec};
use skein_events::time::Span;
use skein_events::unit::{Bytes, NanoCpus};
use skein_net::backend::{Caller, Failure};
use skein_net::overlay::Fake;
use skein_runtime::api::Runtime;
use skein_runtime::fake::{FakeRuntime, Fate};
use skein_runtime::signal::Signal;
use skein_store::{Disk, SimDisk};

struct Counted(std::sync::atomic::AtomicU64);

impl Entropy for Counted {
    fn seed(&self) -> [u8; 32] {
        let n = self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let mut seed = [7; 32];
        seed[..8].copy_from_slice(&n.to_le_bytes());
        seed
    }
}

fn user() -> Caller {
    Caller {
        who: Who::User { uid: 0, gid: 0, name: None },
        client: "test".to_owned(),
        reason: Some("because".to_owned()),
        request: None,
        if_at: None,
    }
}

fn node() -> NodeId {
    NodeId::from_random([1; 16])
}

fn description() -> Description {
    Description {
        hostname: "one".to_owned(),
        os: "linux".to_owned(),
        architecture: "x86_64".to_owned(),
        cpus: NanoCpus(2_000_000_000),
        memory: Bytes(1 << 30),
        engine: "test".to_owned(),
    }
}

/// Makes a swarm of the one node.
fn cluster() -> Command {
    Command::CreateCluster {
        id: ClusterId::from_random([2; 16]),
        spec: ClusterSpec {
            pool: "10.0.0.0/8".parse().expect("a subnet"),
            pool_prefix: 24,
            data_path_port: 4789,
            task_history: 5,
            node_grace: Span::seconds(15),
        },
        ca_certificate: String::new(),
        worker_token: Hash::default(),
        manager_token: Hash::default(),
        node: NewNode {
            id: node(),
            role: Role::Manager,
            availability: Availability::Active,
            address: Ipv4Addr::LOCALHOST,
            port: 2377,
            description: description(),
        },
    }
}

fn network(name: &str) -> Command {
    let spec = NetworkSpec {
        name: name.parse().expect("a name"),
        internal: false,
        attachable: false,
        labels: vec![],
        options: vec![],
    };
    Command::CreateNetwork(NewNetwork {
        spec,
        subnet: None,
        gateway: None,
        ip_range: None,
        occupied: Vec::new(),
    })
}

/// A service on no network.
fn service() -> ServiceSpec {
    ServiceSpec {
        name: "web".parse().expect("a name"),
        labels: vec![],
        mode: Mode::Replicated { replicas: 3 },
        endpoint: EndpointMode::Dnsrr,
        update: UpdateConfig::default(),
        rollback: UpdateConfig::default(),
        task: TaskSpec {
            container: ContainerSpec {
                image: "busybox:latest".to_owned(),
                stop_grace: Span::seconds(10),
                ..ContainerSpec::default()
            },
            restart: RestartPolicy { delay: Span(0), ..RestartPolicy::default() },
            ..TaskSpec::default()
        },
    }
}

async fn until(swarm: &Swarm, what: &str, holds: impl Fn(&State) -> bool) {
    let mut head = swarm.face.published.head.subscribe();
    let reached = async {
        while !holds(&swarm.face.state()) {
            head.changed().await.expect("the writer lives");
        }
    };
    let reached = tokio::time::timeout(std::time::Duration::from_secs(30), reached).await;
    assert!(reached.is_ok(), "never: {what}; state: {:#?}", swarm.face.state().tasks);
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the fake machine waits on the runtime's clock")]
fn a_service_runs_heals_scales_and_goes() {
    actix::System::new().block_on(async {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
        let seams = Seams {
            clock: Arc::clone(&clock),
            entropy: Arc::new(Counted(0.into())),
            spawner: Arc::new(Here),
            fatal: Arc::new(|text| panic!("{text}")),
        };
        let disk = SimDisk::new(1);
        let medium: Arc<dyn Disk> = Arc::new(disk.mount());
        let swarm = Swarm::start(&seams, medium, node(), 1).expect("it starts");
        swarm.seat.initialize("127.0.0.1:2377".to_owned()).await.expect("one voter");
        swarm.face.submit(user(), None, cluster()).await.expect("a swarm");
        let wall = Arc::clone(&clock);
        let runtime = Arc::new(FakeRuntime::new(
            Arc::new(|span| Box::pin(tokio::time::sleep(span.as_std()))),
            Arc::new(move || wall.wall()),
            Arc::new(|_| Fate::default()),
        ));
        runtime.add_image("busybox:latest");
        let tools = Tools {
            runtime: Arc::clone(&runtime) as Arc<dyn Runtime>,
            images: Images {
                runtime: Arc::clone(&runtime) as Arc<dyn Runtime>,
                membership: Membership::default(),
                clock: Arc::clone(&clock),
            },
            kernel: Arc::new(Fake::new()),
            names: Arc::new(Silent),
            findings: Arc::new(Findings::new(Arc::clone(&clock))),
        };
        let _agent = swarm.start_agent(description(), tools);
        until(&swarm, "the node is ready", |s| {
            s.nodes.values().all(|n| n.state == NodeState::Ready)
        })
        .await;

        let made = swarm.face.submit(user(), None, network("net")).await.unwrap();
        let network = *made.state.networks.keys().next().unwrap();
        let mut spec = service();
        spec.task.networks.push(Attachment { network, aliases: vec![] });
        let create = Command::CreateService { spec: Box::new(spec), env: vec!["A=1".to_owned()] };
        let made = swarm.face.submit(user(), None, create.clone()).await.unwrap();
        let service = *made.state.services.keys().next().unwrap();
        let again = swarm.face.submit(user(), None, create).await;
        assert!(matches!(again, Err(Failure::Refused(_))), "{again:?}");
        let running = |n: usize| {
            move |s: &State| {
                let live = s.tasks.values().filter(|t| t.status.state == TaskState::Running);
                live.filter(|t| t.desired == TaskState::Running).count() == n
            }
        };
        until(&swarm, "three run", running(3)).await;

        let victim = runtime.running()[0];
        runtime.signal(victim, Signal::KILL).await.unwrap();
        until(&swarm, "one failed", |s| {
            s.tasks.get(&victim).is_some_and(|t| t.status.state == TaskState::Failed && t.gone)
        })
        .await;
        until(&swarm, "three run again", running(3)).await;

        let scale = Command::ScaleService { id: service, replicas: 5, if_changed: None };
        swarm.face.submit(user(), None, scale).await.unwrap();
        until(&swarm, "five run", running(5)).await;
        let scale = Command::ScaleService { id: service, replicas: 1, if_changed: None };
        swarm.face.submit(user(), None, scale).await.unwrap();
        until(&swarm, "one runs", running(1)).await;
        swarm.face.submit(user(), None, Command::RemoveService(service)).await.unwrap();
        until(&swarm, "no task is left", |s| s.tasks.is_empty() && s.index.addresses.is_empty())
            .await;
        swarm.face.submit(user(), None, Command::RemoveNetwork(network)).await.unwrap();
        assert_eq!(runtime.running(), []);
    });
}
