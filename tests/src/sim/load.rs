//! What users do: clients that make, scale and remove networks and services, redact, and repeat their requests.
//! A client asks until it knows; what it was told goes into the book.

use std::rc::Rc;

use skein_actors::history;
use skein_actors::swarm::Face;
use skein_events::cluster::ClusterSpec;
use skein_events::command::{Command, NewNetwork};
use skein_events::envelope::Who;
use skein_events::id::{ClusterId, NetworkId, RequestId, ServiceId};
use skein_events::network::NetworkSpec;
use skein_events::node::Availability;
use skein_events::record::{Hash, Position};
use skein_events::refusal::Refusal;
use skein_events::service::update::{FailureAction, Millionths, UpdateConfig, UpdateOrder};
use skein_events::service::{EndpointMode, Mode, ServiceSpec};
use skein_events::state::{REQUEST_MEMORY, State};
use skein_events::task::container::ContainerSpec;
use skein_events::task::placement::{Constraint, Placement};
use skein_events::task::spec::{Attachment, Resources, RestartCondition, RestartPolicy, TaskSpec};
use skein_events::time::Span;
use skein_events::unit::{Bytes, NanoCpus, Subnet};
use skein_net::backend::{Caller, Committed, Failure};

use super::book::Acked;
use super::check::Check;
use super::dice::Dice;
use super::fate;
use super::time::nap;
use super::world::World;

/// A client that hears nothing for so long asks again.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(20);
const NETWORKS: u64 = 4;
const SERVICES: u64 = 5;

/// A client: its name in the trace and its own randomness.
pub(super) struct Client {
    pub(super) world: Rc<World>,
    pub(super) name: String,
    pub(super) dice: Dice,
}

fn caller(request: RequestId, reason: Option<String>) -> Caller {
    Caller {
        who: Who::User { uid: 0, gid: 0, name: None },
        client: "sim".to_owned(),
        reason,
        request: Some(request),
        if_at: None,
    }
}

impl Client {
    /// Does this and that until dropped.
    pub(super) async fn work(mut self) {
        loop {
            nap(self.dice.millis(50, 2_500)).await;
            let face = self.world.reach().await.face;
            let state = face.state();
            if self.dice.chance(8) {
                self.redact(&state).await;
            } else if self.dice.chance(10) {
                self.repeat(&face, &state).await;
            } else if let Some((command, what)) = self.draw(&state) {
                self.ask(command, &what).await;
            }
        }
    }

    /// Asks until it is known what became of it.
    pub(super) async fn ask(&mut self, command: Command, what: &str) -> Option<Committed> {
        let request = RequestId::from_random(self.dice.bytes16());
        let reason = self.dice.chance(30).then(|| format!("{} wants it", self.name));
        let world = Rc::clone(&self.world);
        loop {
            let face = world.reach().await.face;
            let asked = face.submit(caller(request, reason.clone()), None, command.clone());
            match tokio::time::timeout(PATIENCE, asked).await {
                Ok(Ok(done)) => {
                    let (first, last) = (done.first, done.last);
                    world.trace.line(&self.name, "acked", format_args!("{first}-{last} {what}"));
                    let acked = Acked::new(request, first, last, &done.batch);
                    world.book.borrow_mut().acked.push(acked);
                    return Some(done);
                }
                Ok(Err(Failure::Refused(refusal))) => {
                    world.trace.line(&self.name, "refused", format_args!("{what}: {refusal}"));
                    world.book.borrow_mut().refused += 1;
                    if let Refusal::Broken(text) = refusal {
                        world.violate(Check::NoPanic, text);
                    }
                    return None;
                }
                Ok(Err(failure)) => {
                    world.trace.line(&self.name, "again", format_args!("{what}: {failure}"));
                }
                Err(_) => world.trace.line(&self.name, "again", format_args!("{what}: no answer")),
            }
            world.book.borrow_mut().unknown += 1;
            nap(self.dice.millis(50, 800)).await;
        }
    }

    /// Asks for something that was acknowledged before: the answer is the same.
    async fn repeat(&mut self, face: &Face, state: &State) {
        let acked = self.dice.pick(&self.world.book.borrow().acked);
        let Some(acked) = acked.filter(|a| a.last <= state.position) else { return };
        let expected = state.requests.get(&acked.request).copied();
        // A clock that was set may have made the swarm forget it.
        let Some(expected) = expected.filter(|e| state.at.since(e.at).0 < REQUEST_MEMORY.0 / 2)
        else {
            return;
        };
        let command = Command::RemoveService(ServiceId::from_random([9; 16]));
        let asked = face.submit(caller(acked.request, None), None, command);
        let Ok(Ok(done)) = tokio::time::timeout(PATIENCE, asked).await else { return };
        self.world.trace.line(&self.name, "repeat", format_args!("{}-{}", done.first, done.last));
        let same = (done.first, done.last) == (acked.first, acked.last) && acked.same(&done.batch);
        if !same || expected.first != acked.first {
            let text = format!(
                "request {} was answered {} and {}",
                acked.request, acked.first, done.first
            );
            self.world.violate(Check::Acknowledged, text);
        }
    }

    async fn redact(&mut self, state: &State) {
        let position = Position(1 + self.dice.below(state.position.0));
        let face = self.world.reach().await.face;
        let Ok(Some((true, commitment))) = history::detachable(&face.log, position) else { return };
        let what = format!("redact {position}");
        if self.ask(Command::Redact { position, commitment }, &what).await.is_none() {
            return;
        }
        let face = self.world.reach().await.face;
        if face.log.redact(position).await.is_ok() {
            let node = face.node;
            self.ask(Command::ConfirmRedaction { position, node }, "confirm it").await;
        }
    }

    fn draw(&mut self, state: &State) -> Option<(Command, String)> {
        let dice = &mut self.dice;
        let services: Vec<(ServiceId, String)> =
            state.services.values().map(|s| (s.id, s.spec.name.to_string())).collect();
        let networks: Vec<NetworkId> = state.networks.keys().copied().collect();
        Some(match dice.below(100) {
            0..12 => network(dice),
            12..17 => {
                let id = dice.pick(&networks)?;
                (Command::RemoveNetwork(id), "remove a network".to_owned())
            }
            17..46 => service(dice, &networks),
            46..60 => {
                let (id, name) = dice.pick(&services)?;
                let command = update(dice, state, id)?;
                (command, format!("update {name}"))
            }
            60..63 => {
                let (id, name) = dice.pick(&services)?;
                let back = Command::RollbackService { id, if_changed: None, failed: None };
                (back, format!("roll {name} back"))
            }
            63..71 => {
                let nodes: Vec<_> = state.nodes.keys().copied().collect();
                let id = dice.pick(&nodes)?;
                let availability = match dice.below(4) {
                    0 => Availability::Drain,
                    1 => Availability::Pause,
                    _ => Availability::Active,
                };
                let labels = vec![("zone".to_owned(), format!("z{}", dice.below(2)))];
                let update = Command::UpdateNode { id, availability, labels, if_changed: None };
                (update, format!("make a node {availability:?}"))
            }
            71..84 => {
                let (id, name) = dice.pick(&services)?;
                let replicas = dice.below(7);
                let change = Command::ScaleService { id, replicas, if_changed: None };
                (change, format!("scale {name} to {replicas}"))
            }
            84..94 => {
                let (id, name) = dice.pick(&services)?;
                (Command::RemoveService(id), format!("remove {name}"))
            }
            _ => {
                let tasks: Vec<_> = state.tasks.keys().copied().collect();
                let task = dice.pick(&tasks)?;
                (Command::StartExec { task, program: "sh".to_owned() }, "exec".to_owned())
            }
        })
    }
}

fn network(dice: &mut Dice) -> (Command, String) {
    let n = dice.below(NETWORKS);
    let name = format!("net{n}");
    // A block of eight has room for five: it is used up soon.
    let small = dice.chance(60);
    let subnet: Option<Subnet> =
        small.then(|| format!("10.{}.0.0/29", 200 + n).parse().expect("a subnet"));
    let spec = NetworkSpec {
        name: name.parse().expect("a name"),
        internal: dice.chance(20),
        attachable: false,
        labels: Vec::new(),
        options: Vec::new(),
    };
    let what = format!("create {name}");
    (
        Command::CreateNetwork(NewNetwork {
            spec,
            subnet,
            gateway: None,
            ip_range: None,
            occupied: Vec::new(),
        }),
        what,
    )
}

/// A spec that differs in something.
fn update(dice: &mut Dice, state: &State, id: ServiceId) -> Option<Command> {
    let mut spec = state.services.get(&id)?.spec.clone();
    let mut env = Vec::new();
    match dice.below(7) {
        0 => spec.task.force_update += 1,
        1 => env.push(format!("SECRET={}", dice.below(3))),
        2 => spec.task.container.args = vec!["other".to_owned()],
        3 => spec.task.container.args = vec![fate::CRASHES.to_owned()],
        4 => spec.task.placement.constraints = zone(dice),
        5 => spec.task.placement.max_per_node = dice.below(3),
        _ => spec.labels = vec![("n".to_owned(), dice.below(9).to_string())],
    }
    let config = UpdateConfig {
        parallelism: dice.below(3),
        delay: dice.pick(&[Span(0), Span::seconds(2)]).unwrap_or_default(),
        monitor: dice.pick(&[Span(0), Span::seconds(2), Span::seconds(5)]).unwrap_or_default(),
        max_failure_ratio: Millionths(dice.pick(&[0, 0, 300_000, 1_000_000]).unwrap_or_default()),
        failure_action: match dice.below(3) {
            0 => FailureAction::Pause,
            1 => FailureAction::Continue,
            _ => FailureAction::Rollback,
        },
        order: if dice.chance(50) { UpdateOrder::StartFirst } else { UpdateOrder::StopFirst },
    };
    (spec.update, spec.rollback) = (config, config);
    Some(Command::UpdateService { id, spec: Box::new(spec), env, if_changed: None })
}

fn zone(dice: &mut Dice) -> Vec<Constraint> {
    let text = format!("node.labels.zone!=z{}", dice.below(2));
    vec![text.parse().expect("a constraint")]
}

fn service(dice: &mut Dice, networks: &[NetworkId]) -> (Command, String) {
    let name = format!("svc{}", dice.below(SERVICES));
    let joined: Vec<NetworkId> = networks.iter().copied().filter(|_| dice.chance(40)).collect();
    let (image, word) = match dice.below(20) {
        0 => ("missing:1", "runs"),
        1 => (fate::IMAGE, fate::NOSUCH),
        2 | 3 => (fate::IMAGE, fate::CRASHES),
        4 => (fate::IMAGE, fate::ENDS),
        5 => (fate::IMAGE, fate::STUBBORN),
        _ => (fate::IMAGE, "runs"),
    };
    let reserved = if dice.chance(30) { dice.below(1_500) * 1_000_000 } else { 0 };
    let condition = match dice.below(6) {
        0 => RestartCondition::None,
        1 => RestartCondition::OnFailure,
        _ => RestartCondition::Any,
    };
    let replicas = dice.below(6);
    let spec = ServiceSpec {
        name: name.parse().expect("a name"),
        labels: Vec::new(),
        mode: if dice.chance(15) { Mode::Global } else { Mode::Replicated { replicas } },
        endpoint: if joined.is_empty() { EndpointMode::Unnamed } else { EndpointMode::Dnsrr },
        update: UpdateConfig::default(),
        rollback: UpdateConfig::default(),
        task: TaskSpec {
            container: ContainerSpec {
                image: image.to_owned(),
                args: vec![word.to_owned()],
                stop_grace: dice.millis(500, 10_000),
                ..ContainerSpec::default()
            },
            reservations: Resources { cpus: NanoCpus(reserved), memory: Bytes(0) },
            restart: RestartPolicy {
                condition,
                delay: dice
                    .pick(&[Span(0), Span::millis(300), Span::seconds(5)])
                    .unwrap_or_default(),
                max_attempts: dice.below(4),
                window: if dice.chance(25) { dice.millis(500, 8_000) } else { Span(0) },
            },
            placement: Placement {
                constraints: if dice.chance(15) { zone(dice) } else { Vec::new() },
                preferences: Vec::new(),
                max_per_node: if dice.chance(25) { 1 + dice.below(2) } else { 0 },
            },
            networks: joined
                .into_iter()
                .map(|network| Attachment { network, aliases: Vec::new() })
                .collect(),
            ..TaskSpec::default()
        },
    };
    let env = if dice.chance(40) { vec!["SECRET=1".to_owned()] } else { Vec::new() };
    let what = format!("create {name} x{replicas} {word}");
    (Command::CreateService { spec: Box::new(spec), env }, what)
}

/// What makes the swarm.
pub(super) fn genesis(world: &World, dice: &mut Dice) -> Command {
    Command::CreateCluster {
        id: ClusterId::from_random(dice.bytes16()),
        spec: ClusterSpec {
            pool: "10.0.0.0/9".parse().expect("a subnet"),
            pool_prefix: 24,
            data_path_port: 4789,
            task_history: dice.below(4),
            node_grace: Span::seconds(15),
        },
        ca_certificate: String::new(),
        worker_token: Hash::default(),
        manager_token: Hash::default(),
        node: world.host.member(),
    }
}
