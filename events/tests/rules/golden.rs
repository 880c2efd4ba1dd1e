//! The bytes of every version of every event ever published still mean what they meant.
//! `UPDATE=1` writes the files; they are read in review, and one that was released is never changed.

#![expect(clippy::disallowed_methods, reason = "the rules touch no disk; their goldens lie on one")]

use std::collections::BTreeSet;
use std::fs;
use std::net::Ipv4Addr;
use std::path::PathBuf;

use skein_events::cluster::ClusterSpec;
use skein_events::cluster::event::{
    Checkpointed, ClusterCreated, ConsumerCreated, ConsumerMoved, ConsumerRemoved, LevelRaised,
    RecordRedacted, RedactionConfirmed,
};
use skein_events::codec::{Batch, NewEvent};
use skein_events::envelope::{Detached, Envelope, Planner, Who};
use skein_events::event::{Event, KINDS};
use skein_events::id::{ClusterId, IdSource, NetworkId, NodeId, RequestId, ServiceId, TaskId};
use skein_events::network::NetworkSpec;
use skein_events::network::event::{NetworkCreated, NetworkRemoved};
use skein_events::node::event::{
    NodeDescribed, NodeFenced, NodeImageChanged, NodeJoined, NodeStateChanged, NodeUpdated,
    NodeVolumeChanged,
};
use skein_events::node::{Availability, ImageChange, NodeState, Role, VolumeChange};
use skein_events::record::{BatchBytes, Hash, Position};
use skein_events::service::event::{
    ServiceCreated, ServiceRemoved, ServiceScaled, ServiceUpdateChanged, ServiceUpdateDelayed,
    ServiceUpdated,
};
use skein_events::service::update::{
    FailureAction, Millionths, UpdateConfig, UpdateOrder, UpdateState, Way,
};
use skein_events::service::{EndpointMode, Mode, ServiceSpec};
use skein_events::task::container::{ContainerSpec, Dns, HealthCheck, HealthTest, Ulimit};
use skein_events::task::event::{
    TaskAssigned, TaskCreated, TaskDesiredChanged, TaskExecStarted, TaskGone, TaskObstructed,
    TaskRemoved, TaskStatusChanged, TaskWithdrawn,
};
use skein_events::task::explain::{Explanation, Finding, Verdict};
use skein_events::task::mount::{Mount, MountSource, Propagation};
use skein_events::task::placement::{Placement, Spread};
use skein_events::task::spec::{
    Attachment, Limits, LogDriver, Resources, RestartCondition, RestartPolicy, TaskSpec,
};
use skein_events::task::{TaskLeg, TaskState, TaskStatus};
use skein_events::time::{Span, Time};
use skein_events::unit::{Bytes, Mac, NanoCpus, Vni};

use crate::world::machine;

/// One event of every kind, every field with something in it.
fn samples() -> Vec<Event> {
    let node = NodeId::from_random([1; 16]);
    let network = NetworkId::from_random([2; 16]);
    let service = ServiceId::from_random([3; 16]);
    let task = TaskId::from_random([4; 16]);
    let description = machine(1).description;
    let pair = |k: &str, v: &str| (k.to_owned(), v.to_owned());
    let verdict = |n: u8, finding| Verdict { node: NodeId::from_random([n; 16]), finding };
    vec![
        ClusterCreated {
            id: ClusterId::from_random([5; 16]),
            spec: ClusterSpec {
                pool: "10.0.0.0/8".parse().unwrap(),
                pool_prefix: 24,
                data_path_port: 4789,
                task_history: 5,
                node_grace: Span::seconds(15),
            },
            ca_certificate: "-----BEGIN CERTIFICATE-----\n".to_owned(),
            worker_token: Hash([6; 32]),
            manager_token: Hash([7; 32]),
        }
        .into(),
        Checkpointed { upto: Position(1024), format: 1, digest: Hash([8; 32]) }.into(),
        LevelRaised { level: 2 }.into(),
        RecordRedacted { position: Position(17), commitment: Hash([9; 32]) }.into(),
        RedactionConfirmed { position: Position(17), node }.into(),
        ConsumerCreated { name: "audit".parse().unwrap(), at: Position(17) }.into(),
        ConsumerMoved { name: "audit".parse().unwrap(), at: Position(99), sought: true }.into(),
        ConsumerRemoved { name: "audit".parse().unwrap() }.into(),
        NodeJoined {
            id: node,
            number: 1,
            role: Role::Manager,
            availability: Availability::Active,
            address: Ipv4Addr::new(192, 168, 0, 1),
            port: 2377,
            description: description.clone(),
        }
        .into(),
        NodeDescribed { id: node, description }.into(),
        NodeStateChanged {
            id: node,
            state: NodeState::Down,
            message: "heartbeat failure".to_owned(),
        }
        .into(),
        NodeFenced { id: node, at: Position(99) }.into(),
        NodeUpdated {
            id: node,
            availability: Availability::Drain,
            labels: vec![pair("disk", "ssd"), pair("zone", "a")],
        }
        .into(),
        NodeImageChanged {
            node,
            change: ImageChange::Pulled,
            name: "busybox:latest".to_owned(),
            digest: "sha256:a60017dbc85b".to_owned(),
        }
        .into(),
        NodeVolumeChanged { node, change: VolumeChange::Removed, name: "data".to_owned() }.into(),
        NetworkCreated {
            id: network,
            spec: NetworkSpec {
                name: "demo".parse().unwrap(),
                internal: true,
                attachable: true,
                labels: vec![pair("team", "blue")],
                options: vec![pair("mtu", "1400")],
            },
            subnet: "10.0.1.0/24".parse().unwrap(),
            gateway: Ipv4Addr::new(10, 0, 1, 1),
            ip_range: Some("10.0.1.128/25".parse().unwrap()),
            vni: Vni(4097),
        }
        .into(),
        NetworkRemoved { id: network }.into(),
        ServiceCreated { id: service, spec: full_service(network), env: 2 }.into(),
        ServiceScaled { id: service, replicas: 5 }.into(),
        ServiceRemoved { id: service }.into(),
        ServiceUpdated {
            id: service,
            spec: full_service(network),
            version: 2,
            env: 2,
            way: Way::Forward,
        }
        .into(),
        ServiceUpdateChanged {
            id: service,
            state: UpdateState::Updating,
            message: "update in progress".to_owned(),
            slots: 3,
        }
        .into(),
        ServiceUpdateDelayed { id: service, until: Some(Time(1_790_000_010_000_000_000)) }.into(),
        TaskCreated {
            id: task,
            service,
            version: 1,
            slot: 3,
            desired: TaskState::Ready,
            start_at: Some(Time(1_790_000_005_000_000_000)),
            replaces: Some(TaskId::from_random([10; 16])),
        }
        .into(),
        TaskAssigned {
            id: task,
            node,
            legs: vec![TaskLeg {
                network,
                ip: Ipv4Addr::new(10, 0, 1, 5),
                mac: Mac([2, 1, 2, 3, 4, 5]),
            }],
            explanation: Explanation {
                evaluated: 8,
                verdicts: vec![
                    verdict(1, Finding::Chosen { of_service: 0, in_all: 1 }),
                    verdict(2, Finding::Fit { of_service: 1, in_all: 2 }),
                    verdict(3, Finding::NotReady),
                    verdict(4, Finding::NotActive),
                    verdict(5, Finding::Cpus { need: 2_000_000_000, free: 500_000_000 }),
                    verdict(6, Finding::Memory { need: 1 << 30, free: 1 << 20 }),
                    verdict(7, Finding::Constraint { unmet: "node.labels.disk==ssd".to_owned() }),
                    verdict(8, Finding::MaxPerNode { max: 2 }),
                ],
            },
        }
        .into(),
        TaskObstructed { id: task, obstacle: "no suitable node (not ready on 1 node)".to_owned() }
            .into(),
        TaskStatusChanged {
            id: task,
            status: TaskStatus {
                state: TaskState::Failed,
                message: "exited".to_owned(),
                error: Some("task: non-zero exit (137)".to_owned()),
                container: Some("c0ffee".to_owned()),
                pid: Some(4242),
                exit_code: Some(137),
            },
        }
        .into(),
        TaskDesiredChanged { id: task, desired: TaskState::Shutdown }.into(),
        TaskWithdrawn { id: task, not_waited_for: vec![node] }.into(),
        TaskGone { id: task }.into(),
        TaskRemoved { id: task }.into(),
        TaskExecStarted { id: task, program: "sh".to_owned() }.into(),
    ]
}

fn full_service(network: NetworkId) -> ServiceSpec {
    let resources = Resources { cpus: NanoCpus(500_000_000), memory: Bytes(64 << 20) };
    let pair = |k: &str, v: &str| (k.to_owned(), v.to_owned());
    let text = |t: &str| t.to_owned();
    ServiceSpec {
        name: "web".parse().unwrap(),
        labels: vec![pair("tier", "front")],
        mode: Mode::Replicated { replicas: 3 },
        endpoint: EndpointMode::Dnsrr,
        update: UpdateConfig {
            parallelism: 2,
            delay: Span::seconds(1),
            failure_action: FailureAction::Rollback,
            monitor: Span::seconds(7),
            max_failure_ratio: Millionths(250_000),
            order: UpdateOrder::StartFirst,
        },
        rollback: UpdateConfig::default(),
        task: TaskSpec {
            container: full_container(),
            reservations: resources,
            limits: Limits { resources, pids: 100 },
            restart: RestartPolicy {
                condition: RestartCondition::OnFailure,
                delay: Span::seconds(5),
                max_attempts: 3,
                window: Span::seconds(60),
            },
            placement: Placement {
                constraints: vec!["node.labels.disk==ssd".parse().unwrap()],
                preferences: vec![Spread { over: text("node.labels.zone") }],
                max_per_node: 2,
            },
            networks: vec![Attachment { network, aliases: vec!["www".parse().unwrap()] }],
            log_driver: Some(LogDriver {
                name: text("json-file"),
                options: vec![pair("max-size", "1m")],
            }),
            force_update: 1,
        },
    }
}

fn full_container() -> ContainerSpec {
    let pair = |k: &str, v: &str| (k.to_owned(), v.to_owned());
    let text = |t: &str| t.to_owned();
    ContainerSpec {
        image: text("busybox:latest"),
        command: vec![text("/bin/httpd")],
        args: vec![text("-f")],
        dir: Some(text("/srv")),
        user: Some(text("nobody")),
        groups: vec![text("audio")],
        hostname: Some(text("web")),
        hosts: vec![text("10.0.0.1 db")],
        dns: Dns {
            nameservers: vec![text("1.1.1.1")],
            search: vec![text("example")],
            options: vec![text("ndots:1")],
        },
        labels: vec![pair("a", "b")],
        stop_signal: Some(text("SIGTERM")),
        stop_grace: Span::seconds(10),
        mounts: vec![
            Mount {
                target: text("/bind"),
                read_only: true,
                source: MountSource::Bind {
                    path: text("/srv"),
                    propagation: Propagation::Rslave,
                    non_recursive: true,
                    create: true,
                },
            },
            Mount {
                target: text("/volume"),
                read_only: false,
                source: MountSource::Volume {
                    name: Some(text("files")),
                    no_copy: true,
                    labels: vec![pair("a", "b")],
                    driver: Some(text("local")),
                    options: vec![pair("type", "tmpfs")],
                    subpath: Some(text("part")),
                },
            },
            Mount {
                target: text("/tmpfs"),
                read_only: false,
                source: MountSource::Tmpfs { size: Bytes(1 << 20), mode: Some(0o700) },
            },
        ],
        read_only: true,
        tty: true,
        open_stdin: true,
        init: Some(true),
        health: HealthCheck {
            test: HealthTest::Command(vec![text("true")]),
            interval: Span::seconds(1),
            timeout: Span::seconds(2),
            retries: 3,
            start_period: Span::seconds(4),
            start_interval: Span::seconds(5),
        },
        cap_add: vec![text("CAP_NET_ADMIN")],
        cap_drop: vec![text("ALL")],
        ulimits: vec![Ulimit { name: text("nofile"), soft: 1024, hard: 2048 }],
        sysctls: vec![pair("net.ipv4.ip_forward", "1")],
        oom_score_adj: 100,
    }
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/golden")
}

/// What stands in the file must be this; with `UPDATE=1` it is made so.
fn check(name: &str, now: &[u8]) {
    let path = folder().join(name);
    if std::env::var_os("UPDATE").is_some() {
        fs::create_dir_all(folder()).unwrap();
        // Renamed into its place: another test may be reading.
        let new = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::write(&new, now).unwrap();
        fs::rename(&new, &path).unwrap();
    }
    let kept = fs::read(&path)
        .unwrap_or_else(|e| panic!("golden {name} is missing ({e}): write it with UPDATE=1"));
    assert!(
        kept == now,
        "golden {name} changed: a payload that was written once is never written differently; \
         make a new version and an upcaster (or UPDATE=1 if none was released)"
    );
}

fn json(event: &Event) -> String {
    serde_json::to_string_pretty(event).unwrap() + "\n"
}

#[test]
fn every_kind_is_written_as_it_ever_was() {
    let samples = samples();
    let sampled: Vec<u16> = samples.iter().map(|e| e.kind().code).collect();
    let all: Vec<u16> = KINDS.iter().map(|k| k.code).collect();
    assert_eq!(sampled, all, "one sample of every kind, in their order");
    for event in &samples {
        let kind = event.kind();
        check(&format!("{}.v{}.bin", kind.name, kind.version), &event.encode());
        check(&format!("{}.v{}.json", kind.name, kind.version), json(event).as_bytes());
        assert_eq!(Event::decode(kind.code, kind.version, &event.encode()).as_ref(), Ok(event));
    }
}

#[test]
fn every_version_ever_written_is_read() {
    let mut expected = BTreeSet::from(["batch.v1.bin".to_owned(), "batch.v1.txt".to_owned()]);
    for kind in KINDS {
        for version in 1..=kind.version {
            let name = format!("{}.v{version}", kind.name);
            let bytes = fs::read(folder().join(format!("{name}.bin"))).unwrap();
            let event = Event::decode(kind.code, version, &bytes).unwrap();
            // What an older version means is told in the words of today; its bytes never change.
            check(&format!("{name}.json"), json(&event).as_bytes());
            expected.extend([format!("{name}.bin"), format!("{name}.json")]);
        }
    }
    let entries = fs::read_dir(folder()).unwrap();
    let there: BTreeSet<String> =
        entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(there, expected, "a golden of a kind that does not exist proves nothing");
}

#[test]
fn a_whole_batch_is_written_as_it_ever_was() {
    let envelope = Envelope {
        at: Time(1_790_000_000_000_000_000),
        wall: Time(1_790_000_000_000_000_123),
        who: Who::User { uid: 1000, gid: 100, name: Some("ada".to_owned()) },
        client: "skein/0.1.0".to_owned(),
        request: Some(RequestId::from_random([11; 16])),
        cause: Some(Position(41)),
        epoch: 1,
        level: 1,
    };
    let detached = Detached {
        reason: Some("launch".to_owned()),
        env: vec!["A=1".to_owned(), "B=2".to_owned()],
    };
    let mut events: Vec<NewEvent> = samples().into_iter().map(NewEvent::from).collect();
    events.truncate(3);
    events[1].detached = detached;
    let (bytes, batch) = Batch::write(envelope, events, &mut IdSource::new([12; 32])).unwrap();
    check("batch.v1.bin", &bytes);
    let text = format!("{batch:#?}\n");
    check("batch.v1.txt", text.as_bytes());
    assert_eq!(Batch::read(&bytes), Ok(batch));
}

#[test]
fn every_speaker_is_read_back() {
    let planners = [
        Planner::Replicated,
        Planner::Scheduler,
        Planner::Liveness,
        Planner::Withdraw,
        Planner::Reaper,
        Planner::Checkpoint,
        Planner::Update,
        Planner::Global,
    ];
    let planners = planners.into_iter().map(|name| Who::Planner { name });
    let others =
        [Who::User { uid: 0, gid: 0, name: None }, Who::Node { id: NodeId::from_random([1; 16]) }];
    for who in planners.chain(others) {
        let envelope = Envelope {
            at: Time(1),
            wall: Time(2),
            who,
            client: String::new(),
            request: None,
            cause: None,
            epoch: 1,
            level: 1,
        };
        let event: Event = LevelRaised { level: 1 }.into();
        let mut ids = IdSource::new([0; 32]);
        let (bytes, batch) = Batch::write(envelope, vec![event.into()], &mut ids).unwrap();
        assert_eq!(Batch::read(&bytes), Ok(batch));
    }
}

#[test]
fn what_a_newer_skein_wrote_is_named_and_not_guessed() {
    let kind = KINDS[0];
    let newer = Event::decode(kind.code, kind.version + 1, &[]).unwrap_err().to_string();
    assert!(newer.contains(kind.name) && newer.contains("newer"), "{newer}");
    let unknown = Event::decode(60_000, 1, &[]).unwrap_err().to_string();
    assert!(unknown.contains("60000") && unknown.contains("newer"), "{unknown}");
}

#[test]
fn damaged_payloads_are_refused_or_read_but_never_panic() {
    for event in samples() {
        let kind = event.kind();
        let bytes = event.encode();
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 0xff;
            let _ = Event::decode(kind.code, kind.version, &bad);
            let _ = Event::decode(kind.code, kind.version, &bytes[..at]);
        }
    }
    let envelope_only = BatchBytes { salt: [0; 32], envelope: &[], records: Vec::new() };
    assert!(envelope_only.encode().is_err(), "a batch is never empty");
}
