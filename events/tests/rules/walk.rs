//! Random walks: users, nodes and planners do anything in any order, and what must always hold is checked on the way.
//! Nodes obey, dawdle, talk nonsense, go away and come back; planners run in between, sometimes not.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use skein_events::codec::Batch;
use skein_events::command::{Command, ImageNote, NewTask, Sighting, VolumeNote};
use skein_events::event::Event;
use skein_events::id::{NodeId, ServiceId, TaskId};
use skein_events::node::{Availability, ImageChange, NodeState, VolumeChange};
use skein_events::plan;
use skein_events::plan::schedule::constraint;
use skein_events::record::{BatchBytes, Detachable, Hash, Place, Position};
use skein_events::service::Mode;
use skein_events::service::update::{FailureAction, Millionths, UpdateConfig, UpdateOrder};
use skein_events::state::State;
use skein_events::state::touched::Touched;
use skein_events::task::placement::Constraint;
use skein_events::task::spec::{Resources, RestartCondition};
use skein_events::task::{TaskState, TaskStatus};
use skein_events::time::Span;
use skein_events::unit::{Bytes, NanoCpus};

use crate::world::{World, machine, network, node_id, service, status};

/// Nodes of a walk; the first is the manager and there from the beginning.
const NODES: u8 = 4;

/// One step of a walk. Numbers choose among what there is, so any numbers make a step.
#[derive(Clone, Debug)]
enum Act {
    Join(u8),
    Beat(u8),
    Silence(u8),
    Update(u8, u8),
    Network(u8, bool),
    DropNetwork(u8),
    Service { name: u8, replicas: u8, on: u8, cpus: u8, policy: u8, env: bool },
    Scale(u8, u8),
    Change(u8, u8, u8),
    Back(u8),
    DropService(u8),
    Say(u8, u8),
    Lie(u8, u8, u8),
    Lost(u8),
    Exec(u8),
    Image(u8),
    Acknowledge(u8),
    StalePlan(u8, u8),
    Redact(u8),
    Plan,
    Pass(u16),
    Run,
}

fn act() -> impl Strategy<Value = Act> {
    let n = any::<u8>;
    prop_oneof![
        2 => n().prop_map(Act::Join),
        4 => n().prop_map(Act::Beat),
        2 => n().prop_map(Act::Silence),
        3 => (n(), n()).prop_map(|(a, b)| Act::Update(a, b)),
        2 => (n(), any::<bool>()).prop_map(|(a, b)| Act::Network(a, b)),
        1 => n().prop_map(Act::DropNetwork),
        5 => (n(), 0u8..7, n(), 0u8..4, n(), any::<bool>()).prop_map(
            |(name, replicas, on, cpus, policy, env)| {
                Act::Service { name, replicas, on, cpus, policy, env }
            }
        ),
        4 => (n(), 0u8..9).prop_map(|(a, b)| Act::Scale(a, b)),
        4 => (n(), n(), n()).prop_map(|(a, b, c)| Act::Change(a, b, c)),
        1 => n().prop_map(Act::Back),
        2 => n().prop_map(Act::DropService),
        16 => (n(), n()).prop_map(|(a, b)| Act::Say(a, b)),
        4 => (n(), n(), n()).prop_map(|(a, b, c)| Act::Lie(a, b, c)),
        2 => n().prop_map(Act::Lost),
        1 => n().prop_map(Act::Exec),
        1 => n().prop_map(Act::Image),
        6 => n().prop_map(Act::Acknowledge),
        3 => (n(), n()).prop_map(|(a, b)| Act::StalePlan(a, b)),
        1 => n().prop_map(Act::Redact),
        16 => Just(Act::Plan),
        6 => (0u16..20_000).prop_map(Act::Pass),
        4 => Just(Act::Run),
    ]
}

fn walk() -> impl Strategy<Value = Vec<Act>> {
    proptest::collection::vec(act(), 1..120)
}

/// A constraint that some nodes of a walk meet.
fn zone(n: u8) -> Constraint {
    format!("node.labels.zone==z{}", n % 2).parse().unwrap()
}

fn nth<T: Copy>(mut all: impl ExactSizeIterator<Item = T>, n: u8) -> Option<T> {
    let len = all.len();
    (len > 0).then(|| all.nth(usize::from(n) % len)).flatten()
}

impl World {
    fn nth_service(&self, n: u8) -> Option<ServiceId> {
        nth(self.state.services.keys().copied().collect::<Vec<_>>().into_iter(), n)
    }
    fn nth_task(&self, n: u8) -> Option<TaskId> {
        nth(self.state.tasks.keys().copied().collect::<Vec<_>>().into_iter(), n)
    }

    /// Does one step; a refusal is as good an end of it as any.
    fn act(&mut self, act: &Act) {
        let who = crate::world::root;
        match *act {
            Act::Join(n) => {
                let _ = self.submit(who(), None, &Command::JoinNode(machine(n % NODES + 1)));
            }
            Act::Beat(n) => {
                let _ = self.node_state(n % NODES + 1, NodeState::Ready);
            }
            Act::Silence(n) => {
                let _ = self.node_state(n % NODES + 1, NodeState::Unknown);
            }
            Act::Update(n, to) => {
                let availability = match to % 4 {
                    0 => Availability::Drain,
                    1 => Availability::Pause,
                    _ => Availability::Active,
                };
                let labels = vec![("zone".to_owned(), format!("z{}", to / 4 % 2))];
                let id = node_id(n % NODES + 1);
                let update = Command::UpdateNode { id, availability, labels, if_changed: None };
                let _ = self.submit(who(), None, &update);
            }
            Act::Network(n, tiny) => {
                let mut new = network(&format!("net{}", n % 3));
                new.subnet = tiny.then(|| format!("10.77.{}.0/29", n % 3).parse().unwrap());
                let _ = self.submit(who(), None, &Command::CreateNetwork(new));
            }
            Act::DropNetwork(n) => {
                let all: Vec<_> = self.state.networks.keys().copied().collect();
                if let Some(id) = nth(all.into_iter(), n) {
                    let _ = self.submit(who(), None, &Command::RemoveNetwork(id));
                }
            }
            Act::Service { name, replicas, on, cpus, policy, env } => {
                let networks: Vec<_> = self.state.networks.keys().copied().collect();
                let on: Vec<_> = networks
                    .into_iter()
                    .enumerate()
                    .filter(|(n, _)| on >> n & 1 == 1)
                    .map(|(_, id)| id)
                    .collect();
                let mut spec = service(&format!("svc{}", name % 4), u64::from(replicas), &on);
                spec.task.reservations =
                    Resources { cpus: NanoCpus(u64::from(cpus) * 1_000_000_000), memory: Bytes(0) };
                if name / 4 % 4 == 0 {
                    spec.mode = Mode::Global;
                }
                if name / 16 % 4 == 0 {
                    spec.task.placement.constraints = vec![zone(name / 64)];
                }
                spec.task.restart.condition = match policy % 3 {
                    0 => RestartCondition::Any,
                    1 => RestartCondition::OnFailure,
                    _ => RestartCondition::None,
                };
                spec.task.restart.max_attempts = u64::from(policy / 3 % 3);
                spec.task.restart.window = Span::seconds(u64::from(policy / 9 % 2) * 10);
                spec.task.restart.delay = Span::seconds(u64::from(policy / 18 % 2) * 5);
                let env = if env { vec!["SECRET=1".to_owned()] } else { Vec::new() };
                self.reason = (name % 2 == 0).then(|| "a walk".to_owned());
                let _ =
                    self.submit(who(), None, &Command::CreateService { spec: Box::new(spec), env });
                self.reason = None;
            }
            Act::Scale(n, replicas) => {
                if let Some(id) = self.nth_service(n) {
                    let replicas = u64::from(replicas);
                    let scale = Command::ScaleService { id, replicas, if_changed: None };
                    let _ = self.submit(who(), None, &scale);
                }
            }
            Act::Change(n, what, how) => {
                if let Some(id) = self.nth_service(n) {
                    let command = self.change(id, what, how);
                    let _ = self.submit(who(), None, &command);
                }
            }
            Act::Back(n) => {
                if let Some(id) = self.nth_service(n) {
                    let back = Command::RollbackService { id, if_changed: None, failed: None };
                    let _ = self.submit(who(), None, &back);
                }
            }
            Act::DropService(n) => {
                if let Some(id) = self.nth_service(n) {
                    let _ = self.submit(who(), None, &Command::RemoveService(id));
                }
            }
            Act::Say(n, what) => self.say(n, &[usize::from(what)], None),
            Act::Lie(n, what, node) => {
                let words = [usize::from(what), usize::from(what / 2), usize::from(what / 3)];
                self.say(n, &words, Some(node_id(node % NODES + 1)));
            }
            Act::Lost(n) => {
                if let Some(task) = self.nth_task(n)
                    && let Some(node) = self.state.tasks[&task].node
                {
                    let _ = self.report(node, vec![(task, Sighting::Gone)]);
                }
            }
            Act::Exec(n) => {
                if let Some(task) = self.nth_task(n) {
                    let exec = Command::StartExec { task, program: "sh".to_owned() };
                    let _ = self.submit(who(), None, &exec);
                }
            }
            Act::Image(n) => {
                let note = ImageNote {
                    change: ImageChange::Loaded,
                    name: "busybox:latest".to_owned(),
                    digest: "sha256:a6".to_owned(),
                };
                let node = node_id(n % NODES + 1);
                let command = Command::NoteImages { node, notes: vec![note] };
                let _ = self.submit(who(), None, &command);
                let note = VolumeNote { change: VolumeChange::Created, name: "data".to_owned() };
                let command = Command::NoteVolumes { node, notes: vec![note] };
                let _ = self.submit(who(), None, &command);
            }
            Act::Acknowledge(n) => {
                self.acked.insert(node_id(n % NODES + 1), self.state.position);
            }
            Act::StalePlan(n, m) => self.stale_plan(n, m),
            Act::Redact(n) => self.redact(n),
            Act::Plan => {
                self.round();
            }
            Act::Pass(millis) => self.now = self.now.after(Span::millis(u64::from(millis))),
            Act::Run => self.settle(),
        }
    }

    /// Another spec for a service, its update's settings included.
    fn change(&self, id: ServiceId, what: u8, how: u8) -> Command {
        let mut spec = self.state.services[&id].spec.clone();
        let config = UpdateConfig {
            parallelism: u64::from(how % 3),
            delay: Span::seconds(u64::from(how / 3 % 2) * 4),
            failure_action: match how / 6 % 3 {
                0 => FailureAction::Pause,
                1 => FailureAction::Continue,
                _ => FailureAction::Rollback,
            },
            monitor: Span::seconds(u64::from(how / 18 % 2) * 5),
            max_failure_ratio: Millionths(u32::from(how / 36 % 2) * 300_000),
            order: if (how / 72).is_multiple_of(2) {
                UpdateOrder::StopFirst
            } else {
                UpdateOrder::StartFirst
            },
        };
        (spec.update, spec.rollback) = (config, config);
        let mut env = Vec::new();
        match what % 6 {
            0 => spec.labels = vec![("a".to_owned(), what.to_string())],
            1 => spec.task.placement.constraints = vec![zone(what / 6)],
            2 => spec.task.force_update += 1,
            3 => env.push(format!("SECRET={what}")),
            4 => spec.task.container.args = vec![what.to_string()],
            _ => spec.task.container.image = format!("busybox:{}", what / 6 % 3),
        }
        Command::UpdateService { id, spec: Box::new(spec), env, if_changed: None }
    }

    fn say(&mut self, n: u8, words: &[usize], node: Option<NodeId>) {
        const STATES: [TaskState; 13] = [
            TaskState::Accepted,
            TaskState::Running,
            TaskState::Preparing,
            TaskState::Ready,
            TaskState::Running,
            TaskState::Complete,
            TaskState::Shutdown,
            TaskState::Failed,
            TaskState::Rejected,
            TaskState::Pending,
            TaskState::Remove,
            TaskState::Orphaned,
            TaskState::Starting,
        ];
        let Some(task) = self.nth_task(n) else { return };
        let Some(node) = node.or(self.state.tasks[&task].node) else { return };
        let seen = words.iter().map(|w| match w % (STATES.len() + 1) {
            0 => (task, Sighting::Gone),
            w => (task, Sighting::Status(TaskStatus::new(STATES[w - 1], "said"))),
        });
        let seen = seen.collect();
        let _ = self.report(node, seen);
    }

    /// What a planner might have wished for long ago.
    fn stale_plan(&mut self, n: u8, m: u8) {
        let who = crate::world::root;
        let (task, other) = (self.nth_task(n), self.nth_task(m));
        if let Some(service) = self.nth_service(n) {
            let slot = u64::from(m % 8) + 1;
            let tasks = vec![
                NewTask { slot, replaces: None, delay: Span(0), beside: false },
                NewTask { slot, replaces: task, delay: Span(0), beside: false },
                NewTask {
                    slot,
                    replaces: other,
                    delay: Span::seconds(1),
                    beside: m.is_multiple_of(2),
                },
            ];
            let _ = self.submit(who(), None, &Command::CreateTasks { service, tasks });
        }
        let Some(task) = task else { return };
        let placement = skein_events::command::Placement {
            task,
            node: node_id(m % NODES + 1),
            explanation: skein_events::task::explain::Explanation::default(),
        };
        let commands = [
            Command::Schedule {
                placements: vec![placement; 2],
                obstacles: vec![(task, "x".to_owned())],
            },
            Command::Withdraw { tasks: vec![(task, Vec::new()); 2] },
            Command::RemoveTasks { tasks: vec![task; 2] },
            Command::SetDesired {
                seen: Position(u64::MAX),
                tasks: vec![(task, TaskState::Running); 2],
            },
        ];
        let _ = self.submit(who(), None, &commands[usize::from(m) % commands.len()]);
    }

    /// Orders the erasure of a detachable part, as the hand that reads the log would.
    fn redact(&mut self, n: u8) {
        let parts = self.log.iter().flat_map(|l| {
            let raw = BatchBytes::parse(&l.bytes).unwrap();
            let first = l.first.0;
            let parts: Vec<(Position, Hash)> = (first..)
                .zip(&raw.records)
                .filter_map(|(p, r)| Some((Position(p), r.detachable.commitment()?)))
                .collect();
            parts
        });
        let parts: Vec<(Position, Hash)> = parts.collect();
        if let Some((position, commitment)) = nth(parts.into_iter(), n) {
            let _ =
                self.submit(crate::world::root(), None, &Command::Redact { position, commitment });
        }
    }
}

/// What holds at every position.
fn check_state(before: &State, state: &State) {
    let mut fresh = state.clone();
    fresh.reindex();
    assert_eq!(fresh.index, state.index, "look-ups are what the nouns say");

    let mut running: BTreeMap<(ServiceId, u64), u64> = BTreeMap::new();
    let mut held = BTreeMap::new();
    for task in state.tasks.values() {
        if task.desired <= TaskState::Running {
            let other = running.insert((task.service, task.slot), task.version);
            assert_ne!(
                other,
                Some(task.version),
                "a slot has one task of a version that is to run"
            );
        }
        for leg in task.legs.iter().filter(|_| !task.gone) {
            let network = &state.networks[&leg.network];
            assert!(network.subnet.contains(leg.ip) && leg.ip != network.gateway);
            let holder = held.insert((leg.network, leg.ip), task.id);
            assert_eq!(holder, None, "an address has one holder");
        }
        let fenced = task.node.is_some_and(|id| state.nodes[&id].fenced);
        assert!(!fenced || task.desired <= TaskState::Running || task.gone, "a fence frees");
        let version = state.version_of(task);
        let node = task.node.and_then(|id| state.nodes.get(&id));
        let own = node.is_none_or(|n| !version.global || n.number == task.slot);
        assert!(own, "a global service's task is on its own node");
        if let (None, Some(node)) = (before.tasks.get(&task.id).and_then(|t| t.node), node) {
            let unmet = constraint::unmet(&version.task.placement.constraints, node);
            assert_eq!(unmet, None, "a task is put where its constraints are met");
            assert!(node.availability == Availability::Active, "and where tasks are taken");
        }
        if let Some(old) = before.tasks.get(&task.id) {
            assert!(old.status.state <= task.status.state, "a task's state only grows");
            assert!(old.desired <= task.desired, "what it should be only grows");
            assert!(old.node.is_none() || old.node == task.node, "a task is never moved");
            assert!(!old.gone || task.gone, "what is gone does not come back");
            assert!(old.legs.is_empty() || old.legs == task.legs, "its addresses are its own");
        }
    }
    for (node, load) in state.index.loads.iter() {
        let machine = &state.nodes[node].description;
        assert!(load.reserved.cpus <= machine.cpus, "a node is never overcommitted");
        assert!(load.reserved.memory <= machine.memory, "a node is never overcommitted");
    }
    let names: BTreeSet<_> = state.services.values().map(|s| s.spec.name.folded()).collect();
    assert_eq!(names.len(), state.services.len(), "a name has one holder");
    assert!(state.diverged.is_none(), "every checkpoint holds");
    assert!(before.at <= state.at && before.position <= state.position);
}

/// Every public map of two states, and their digests.
fn assert_same(left: &State, right: &State) {
    assert_eq!(left.position, right.position);
    assert_eq!((left.at, left.epoch, left.level), (right.at, right.epoch, right.level));
    assert_eq!(left.cluster, right.cluster);
    assert_eq!(left.nodes, right.nodes);
    assert_eq!(left.networks, right.networks);
    assert_eq!(left.services, right.services);
    assert_eq!(left.tasks, right.tasks);
    assert_eq!(left.versions, right.versions);
    assert_eq!(left.restarts, right.restarts);
    assert_eq!(left.detached, right.detached);
    assert_eq!(left.unconfirmed, right.unconfirmed);
    assert_eq!(left.requests, right.requests);
    assert_eq!(left.checkpoint, right.checkpoint);
    assert_eq!(left.unchecked_since, right.unchecked_since);
    assert_eq!(left.diverged, right.diverged);
    assert_eq!(left.index, right.index);
    assert_eq!(left.clone().digest(), right.clone().digest());
}

/// What planning everything would change, beyond what planning what was touched did: nothing, at rest.
/// Proposals that `decide` refuses have no effect and do not count.
fn check_rest(world: &World) {
    let plan = plan::plan(&world.state, &Touched::default(), world.now);
    let full = plan::plan(&world.state, &Touched::Everything, world.now);
    assert_eq!(plan.wake_at, full.wake_at, "both wake at the same time");
    assert!(!full.more, "at rest nothing is left for later");
    assert!(full.wake_at.is_none_or(|at| at > world.now), "at rest no deadline has passed");
    let mut copy = world.clone();
    for proposal in full.proposals {
        let outcome = copy.submit(crate::world::root(), proposal.cause, &proposal.command);
        assert!(outcome.is_err(), "planning everything finds more: {proposal:?} gives {outcome:?}");
    }
}

/// Both ways of planning, from the same state on, come to rest in states that give their services the same.
fn check_same_effect(world: &World) {
    let mut touched = world.clone();
    let mut everything = world.clone();
    everything.touched = Touched::Everything;
    touched.settle();
    everything.settle();
    // Which of those that wait for room gets it hangs on who was looked at first, and neither way is the better one.
    if !touched.state.index.pending.is_empty() || !everything.state.index.pending.is_empty() {
        return;
    }
    let effect = |w: &World| {
        let mut slots: BTreeMap<(ServiceId, u64), (TaskState, bool)> = BTreeMap::new();
        for (service, slot) in w.state.index.slots.iter() {
            let newest = w.state.head_of_slot(*service, *slot).unwrap();
            slots.insert((*service, *slot), (newest.desired, newest.node.is_some()));
        }
        // Without the checkpoint's: it hangs on how many records there are.
        let deadline = w.state.index.deadlines.get_min().map(|(at, _)| *at);
        (slots, deadline, w.state.index.pending.len(), w.state.index.stopping.len())
    };
    assert_eq!(effect(&touched), effect(&everything), "both ways come to the same");
}

fn live(acts: &[Act]) -> World {
    let mut world = World::of(1);
    for act in acts {
        let before = world.state.clone();
        world.act(act);
        check_state(&before, &world.state);
    }
    world
}

fn fold(start: State, log: &[crate::world::Logged]) -> State {
    let mut state = start;
    for logged in log {
        state.apply_batch(logged.first, &logged.batch, &mut Touched::Ignored);
    }
    state
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn a_snapshot_and_its_tail_fold_to_what_everything_folds_to(acts in walk(), cut in any::<u16>()) {
        let world = live(&acts);
        let whole = fold(State::default(), &world.log);
        assert_same(&whole, &world.state);
        let cut = usize::from(cut) % (world.log.len() + 1);
        let mut start = fold(State::default(), &world.log[..cut]);
        let read = State::from_snapshot(&start.to_snapshot()).unwrap();
        assert_same(&read, &start);
        assert_eq!(read.to_snapshot(), start.to_snapshot(), "a snapshot is a function of the state");
        let digest = start.digest();
        assert_eq!(State::from_snapshot(&start.to_snapshot()).unwrap().digest(), digest);
        assert_same(&fold(read, &world.log[cut..]), &world.state);
    }

    #[test]
    fn planning_what_was_touched_is_planning_everything(acts in walk()) {
        let mut world = World::of(1);
        for act in &acts {
            world.act(act);
            if matches!(act, Act::Run) {
                check_same_effect(&world);
                world.settle();
                check_rest(&world);
            }
        }
        check_same_effect(&world);
        world.settle();
        check_rest(&world);
    }

    #[test]
    fn every_wish_of_a_partial_plan_is_one_of_the_full_plan(acts in walk()) {
        let mut world = World::of(1);
        for act in &acts {
            let part = plan::plan_part(plan::Part::Service, &world.state, &world.touched, world.now);
            let full = plan::plan_part(plan::Part::Service, &world.state, &Touched::Everything, world.now);
            for proposal in &part.proposals {
                prop_assert!(full.proposals.contains(proposal), "{proposal:?} not in {full:?}");
            }
            world.act(act);
        }
    }

    #[test]
    fn services_get_their_tasks_when_there_is_room(acts in walk()) {
        let mut world = live(&acts);
        // Everything is well again, and nobody asks for more than there is.
        let services: Vec<_> = world.state.services.keys().copied().collect();
        for id in &services {
            world.user(Command::RemoveService(*id));
        }
        for n in 1..=NODES {
            world.act(&Act::Join(n - 1));
            let _ = world.node_state(n, NodeState::Ready);
            world.availability(n, Availability::Active);
        }
        world.run();
        world.pass(Span::seconds(30));
        world.run();
        prop_assert!(world.state.tasks.is_empty(), "removed services leave nothing: {:?}", world.state.tasks);
        prop_assert!(world.state.versions.is_empty() && world.state.detached.is_empty());
        prop_assert!(world.state.index.loads.is_empty() && world.state.index.addresses.is_empty());
        let net = match world.state.networks.values().find(|n| n.subnet.size() > 16) {
            Some(roomy) => roomy.id,
            None => world.network("roomy"),
        };
        let mut spec = service("last", 7, &[net]);
        spec.task.reservations.cpus = NanoCpus(2_000_000_000);
        let last = world.service(spec);
        world.run();
        prop_assert_eq!(world.running(last), 7);
        for n in 1..=NODES {
            prop_assert!(world.state.tasks_on(node_id(n)).count() <= 2);
        }
        check_rest(&world);
    }

    #[test]
    fn the_same_walk_twice_gives_the_same_bytes(acts in walk()) {
        let (one, two) = (live(&acts), live(&acts));
        let bytes = |w: &World| w.log.iter().map(|l| l.bytes.clone()).collect::<Vec<_>>();
        prop_assert_eq!(bytes(&one), bytes(&two));
        prop_assert_eq!(one.state.to_snapshot(), two.state.to_snapshot());
    }

    #[test]
    fn a_redacted_history_folds_to_the_same_digest(acts in walk(), which in any::<u64>()) {
        let world = live(&acts);
        let (mut state, mut digest_before) = (State::default(), State::default());
        let (mut h, mut h_redacted) = (Hash::default(), Hash::default());
        for (index, logged) in (1u64..).zip(&world.log) {
            let raw = BatchBytes::parse(&logged.bytes).unwrap();
            let mut erased = raw.clone();
            for n in 0..raw.records.len() {
                let there = matches!(raw.records[n].detachable, Detachable::Present { .. });
                if there && (which >> (index % 64)) & 1 == 1 {
                    erased = erased.redacted(n).unwrap();
                }
            }
            let bytes = erased.encode().unwrap();
            let erased = BatchBytes::parse(&bytes).unwrap();
            let place = Place { term: 1, leader: 1, index };
            h = raw.chain(h, place);
            h_redacted = erased.chain(h_redacted, place);
            prop_assert_eq!(h, h_redacted, "the chain holds");
            state.apply_batch(logged.first, &Batch::decode(&erased).unwrap(), &mut Touched::Ignored);
            digest_before.apply_batch(logged.first, &logged.batch, &mut Touched::Ignored);
            prop_assert_eq!(state.digest(), digest_before.digest());
            prop_assert_eq!(&state.index, &digest_before.index);
        }
        prop_assert!(state.diverged.is_none());
    }
}

#[test]
fn a_checkpoint_is_written_after_many_records_and_after_a_while() {
    let mut world = World::of(1);
    world.settle();
    let web = world.service(service("web", 400, &[]));
    world.run();
    assert_eq!(world.running(web), 400);
    assert!(world.state.position.0 - world.state.checkpoint.0 < 1_024);
    assert!(world.state.checkpoint.0 > 0, "many records");
    world.service(service("more", 1, &[]));
    world.run();
    let at = plan::wake_at(&world.state).unwrap();
    assert_eq!(world.state.unchecked_since.map(|t| t.after(Span::seconds(10))), Some(at));
    world.now = at;
    world.settle();
    assert_eq!(world.state.checkpoint, world.state.position);
    assert_eq!(plan::wake_at(&world.state), None, "nothing is written while nothing happens");
    assert!(world.log.iter().any(|l| matches!(l.batch.entries[0].event, Event::Checkpointed(_))));
}

#[test]
fn a_state_that_differs_from_a_checkpoint_says_so() {
    let mut world = World::of(1);
    world.user(Command::Checkpoint);
    let last = world.log.pop().unwrap();
    let mut other = fold(State::default(), &world.log);
    let mut changed = last.batch.clone();
    if let Event::Checkpointed(e) = &mut changed.entries[0].event {
        e.digest = Hash([0; 32]);
    }
    other.apply_batch(last.first, &changed, &mut Touched::Ignored);
    assert_eq!(other.diverged, Some(last.first));
}

#[test]
fn a_task_reported_running_runs() {
    let mut world = World::of(1);
    let web = world.service(service("web", 1, &[]));
    world.settle();
    let task = world.task(web, 1).id;
    world.report(node_id(1), vec![(task, status(TaskState::Running))]).unwrap();
    assert_eq!(world.running(web), 1);
}
