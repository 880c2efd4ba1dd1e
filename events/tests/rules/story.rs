//! Whole stories in memory: what users, nodes and planners do one after another.

use std::collections::BTreeSet;

use skein_events::command::{Command, Sighting};
use skein_events::node::{Availability, NodeState};
use skein_events::service::ServiceSpec;
use skein_events::state::State;
use skein_events::state::touched::Touched;
use skein_events::task::TaskState;
use skein_events::task::spec::RestartCondition;
use skein_events::time::Span;

use crate::world::{Logged, World, node_id, service, status};

#[test]
fn service_gets_its_replicas_is_scaled_and_removed() {
    let mut world = World::of(3);
    let net = world.network("demo");
    let web = world.service(service("web", 3, &[net]));
    world.run();
    assert_eq!(world.running(web), 3);
    for n in 1..=3 {
        assert_eq!(world.state.tasks_on(node_id(n)).count(), 1, "one on each node");
    }

    world.user(Command::ScaleService { id: web, replicas: 5, if_changed: None });
    world.run();
    assert_eq!(world.running(web), 5);

    world.user(Command::ScaleService { id: web, replicas: 1, if_changed: None });
    world.run();
    assert_eq!(world.running(web), 1);
    assert_eq!(world.state.tasks.len(), 1, "what was scaled away is forgotten");

    world.user(Command::RemoveService(web));
    world.run();
    assert!(world.state.tasks.is_empty());
    assert!(world.state.versions.is_empty());
    assert_eq!(world.state.index.addresses.len(), 0);
    world.user(Command::RemoveNetwork(net));
}

#[test]
fn killed_task_is_replaced_after_the_restart_delay() {
    let mut world = World::of(1);
    let web = world.service(service("web", 1, &[]));
    world.run();
    let first = world.task(web, 1).id;
    world.report(node_id(1), vec![(first, status(TaskState::Failed))]).unwrap();
    world.run();
    let second = world.task(web, 1);
    assert_eq!(second.replaces, Some(first));
    assert_eq!((second.desired, second.status.state), (TaskState::Ready, TaskState::Ready));
    world.pass(Span::seconds(5));
    world.run();
    assert_eq!(world.running(web), 1);
}

#[test]
fn what_fails_again_and_again_is_tried_less_and_less() {
    let hour = Span::seconds(3_600);
    let lives = |spec: ServiceSpec, lives: Span, state: TaskState| {
        let mut world = World::of(1);
        let web = world.service(spec);
        let began = world.now;
        let (mut delays, mut half) = (Vec::new(), world.state.position.0);
        while world.now.since(began) < hour {
            world.run();
            world.pass(lives);
            let running =
                world.state.tasks_of(web).filter(|t| t.status.state == TaskState::Running);
            let ended: Vec<_> = running.map(|task| (task.id, status(state))).collect();
            if !ended.is_empty() {
                world.report(node_id(1), ended).unwrap();
            }
            world.settle();
            let waits = world.task(web, 1);
            delays.push(waits.start_at.map_or(Span(0), |at| at.since(waits.created)));
            if let Some(wake) = skein_events::plan::wake_at(&world.state) {
                world.pass(wake.since(world.now));
            }
            if world.now.since(began) < Span::seconds(1_800) {
                half = world.state.position.0;
            }
        }
        (delays, (world.state.position.0 - half) / 1_800)
    };
    let mut bomb = service("bomb", 20, &[]);
    bomb.task.restart.delay = Span(0);
    let (delays, rate) = lives(bomb.clone(), Span::millis(10), TaskState::Failed);
    assert_eq!(delays[..4], [Span(0), Span::millis(100), Span::millis(200), Span::millis(400)]);
    assert_eq!(delays.last(), Some(&Span::seconds(300)));
    assert!(rate <= 10, "{rate} records a second");
    // What ends well is started again and again on purpose, but not without a pause.
    let (delays, _) = lives(bomb, Span::millis(10), TaskState::Complete);
    assert_eq!(delays.last(), Some(&Span::seconds(5)));
    // A minute of success, and Docker's constant delay where it is asked for.
    let (delays, _) = lives(service("web", 1, &[]), Span::seconds(61), TaskState::Failed);
    assert!(delays.iter().all(|delay| *delay == Span::seconds(5)), "{delays:?}");
    let mut constant = service("constant", 1, &[]);
    constant.labels.push(("skein.restart.backoff".to_owned(), "off".to_owned()));
    let (delays, _) = lives(constant, Span::seconds(1), TaskState::Failed);
    assert!(delays.iter().all(|delay| *delay == Span::seconds(5)), "{delays:?}");
}

#[test]
fn a_task_that_cannot_be_prepared_is_tried_once_a_delay() {
    let mut world = World::of(1);
    let web = world.service(service("web", 1, &[]));
    let fail = |world: &mut World| {
        world.settle();
        let task = world.task(web, 1).clone();
        world.report(node_id(1), vec![(task.id, status(TaskState::Rejected))]).unwrap();
        world.settle();
        task
    };
    let first = fail(&mut world);
    assert_eq!(first.start_at, None);
    // Twice as long each time: see `what_fails_again_and_again_is_tried_less_and_less`.
    for delay in [5, 10, 20] {
        let waits = fail(&mut world);
        let start = waits.start_at.unwrap();
        assert_eq!(start, world.now.after(Span::seconds(delay)));
        assert_eq!(
            world.task(web, 1).id,
            waits.id,
            "it keeps its slot until it would have started"
        );
        assert!(skein_events::plan::wake_at(&world.state).unwrap() <= start);
        world.pass(Span::seconds(delay - 1));
        world.settle();
        assert_eq!(world.task(web, 1).id, waits.id);
        world.pass(Span::seconds(1));
        world.settle();
        assert_eq!(world.task(web, 1).replaces, Some(waits.id));
    }
}

#[test]
fn a_task_that_cannot_be_prepared_is_given_up_as_soon_as_nothing_follows_it() {
    let mut world = World::of(1);
    let mut web = service("web", 1, &[]);
    web.task.restart.max_attempts = 1;
    let web = world.service(web);
    for _ in 0..2 {
        world.settle();
        let task = world.task(web, 1).id;
        world.report(node_id(1), vec![(task, status(TaskState::Rejected))]).unwrap();
    }
    world.settle();
    assert_eq!(world.task(web, 1).desired, TaskState::Shutdown, "there is no attempt left");
    assert!(skein_events::plan::wake_at(&world.state).is_none_or(|at| at > world.now));
}

#[test]
fn task_given_up_after_its_node_was_fenced_holds_nothing() {
    let mut world = World::of(2);
    let net = world.network("demo");
    let web = world.service(service("web", 2, &[net]));
    world.run();
    world.node_state(2, NodeState::Unknown).unwrap();
    world.now = world.now.after(Span::seconds(15));
    world.node_state(2, NodeState::Down).unwrap();
    let at = world.state.position;
    world.user(Command::FenceNode { id: node_id(2), at });
    assert_eq!(world.state.tasks_on(node_id(2)).count(), 1, "nobody gave it up yet");
    world.run();
    assert_eq!(world.running(web), 2);
    assert_eq!(world.state.tasks_on(node_id(2)).count(), 0);
    assert_eq!(world.state.index.addresses.len(), 2);
}

#[test]
fn a_drained_node_gives_its_tasks_away_and_takes_none_until_it_is_active() {
    let mut world = World::of(2);
    let net = world.network("demo");
    let web = world.service(service("web", 4, &[net]));
    world.run();
    world.availability(2, Availability::Drain);
    world.settle();
    // At once, without the restart delay; but each starts when the one it follows has stopped.
    let moved: Vec<_> = world.state.tasks_on(node_id(2)).map(|t| (t.id, t.slot)).collect();
    assert_eq!(moved.len(), 2);
    for (id, slot) in &moved {
        let new = world.task(web, *slot);
        assert_eq!((new.replaces, new.node), (Some(*id), Some(node_id(1))));
        assert_eq!((new.desired, new.start_at), (TaskState::Ready, None));
        let old = &world.state.tasks[id];
        assert_eq!((old.desired, old.has_ended()), (TaskState::Shutdown, false));
    }
    world.run();
    assert_eq!(world.running(web), 4);
    assert_eq!(world.state.tasks_on(node_id(1)).count(), 4);
    assert_eq!(world.state.tasks_on(node_id(2)).count(), 0);

    world.user(Command::ScaleService { id: web, replicas: 5, if_changed: None });
    world.run();
    assert_eq!(world.state.tasks_on(node_id(2)).count(), 0);
    world.availability(1, Availability::Drain);
    world.run();
    assert_eq!(world.running(web), 0, "nowhere to go");
    assert_eq!(world.state.index.pending.len(), 5);
    world.availability(2, Availability::Active);
    world.run();
    assert_eq!(world.running(web), 5);
}

#[test]
fn a_paused_node_keeps_what_it_has_and_takes_nothing_new() {
    let mut world = World::of(1);
    let web = world.service(service("web", 2, &[]));
    world.run();
    world.availability(1, Availability::Pause);
    world.user(Command::ScaleService { id: web, replicas: 3, if_changed: None });
    world.run();
    assert_eq!((world.running(web), world.state.index.pending.len()), (2, 1));
    world.availability(1, Availability::Active);
    world.run();
    assert_eq!(world.running(web), 3);
}

#[test]
fn a_task_that_does_not_stop_is_waited_for_a_minute() {
    let mut world = World::of(2);
    let web = world.service(service("web", 2, &[]));
    world.run();
    world.availability(2, Availability::Drain);
    world.settle();
    let new = world.task(web, 2).id;
    let at = world.state.tasks[&new].created.after(Span::seconds(60));
    world.pass(Span::seconds(59));
    assert_eq!(world.state.tasks[&new].desired, TaskState::Ready);
    assert!(skein_events::plan::wake_at(&world.state).is_some_and(|wake| wake <= at));
    world.pass(Span::seconds(1));
    assert_eq!(world.state.tasks[&new].desired, TaskState::Running);
}

#[test]
fn task_its_node_has_lost_is_replaced() {
    let mut world = World::of(1);
    let web = world.service(service("web", 1, &[]));
    world.run();
    let lost = world.task(web, 1).id;
    world.report(node_id(1), vec![(lost, Sighting::Gone)]).unwrap();
    assert_eq!(world.running(web), 0, "no name leads to what is gone");
    world.pass(Span::seconds(5));
    world.run();
    world.pass(Span::seconds(5));
    world.run();
    assert_eq!(world.running(web), 1);
    assert_eq!(world.task(web, 1).replaces, Some(lost));
}

#[test]
fn a_task_that_is_never_to_run_twice_is_not_replaced() {
    let mut world = World::of(2);
    let mut once = service("once", 2, &[]);
    once.task.restart.condition = RestartCondition::None;
    let once = world.service(once);
    world.run();
    let (first, second) = (world.task(once, 1).clone(), world.task(once, 2).clone());
    world.report(first.node.unwrap(), vec![(first.id, status(TaskState::Complete))]).unwrap();
    let n = if second.node == Some(node_id(1)) { 1 } else { 2 };
    world.node_state(n, NodeState::Unknown).unwrap();
    world.pass(Span::seconds(20));
    world.run();
    assert_eq!(world.task(once, 1).id, first.id);
    assert_eq!(world.task(once, 2).id, second.id);
}

#[test]
fn attempts_are_counted_within_their_window() {
    let mut world = World::of(1);
    let mut flaky = service("flaky", 1, &[]);
    flaky.task.restart.max_attempts = 2;
    flaky.task.restart.window = Span::seconds(60);
    flaky.task.restart.delay = Span(0);
    let flaky = world.service(flaky);
    let fail = |world: &mut World| {
        let task = world.task(flaky, 1).id;
        world.report(node_id(1), vec![(task, status(TaskState::Failed))]).unwrap();
        world.run();
        world.task(flaky, 1).id != task
    };
    world.run();
    assert!(fail(&mut world) && fail(&mut world));
    world.pass(Span::seconds(61));
    assert!(fail(&mut world) && fail(&mut world), "the window is over");
    assert!(!fail(&mut world), "twice within a minute is enough");
    world.pass(Span::seconds(600));
    assert_eq!(world.running(flaky), 0, "time alone brings nothing back");
}

#[test]
fn scaling_down_gives_up_what_waits_for_a_node_before_what_runs() {
    let mut world = World::of(2);
    let mut spec = service("web", 6, &[]);
    // Two fit on each of two machines of four cores.
    spec.task.reservations.cpus = skein_events::unit::NanoCpus(2_000_000_000);
    let web = world.service(spec);
    world.run();
    assert_eq!(world.running(web), 4);
    world.user(Command::ScaleService { id: web, replicas: 3, if_changed: None });
    world.run();
    assert_eq!((world.running(web), world.state.index.pending.len()), (3, 0));
}

#[test]
fn scaling_down_forgets_whole_slots_and_no_running_task_for_an_ended_one() {
    let mut world = World::of(2);
    let mut web = service("web", 3, &[]);
    web.task.restart.delay = Span(0);
    let web = world.service(web);
    world.run();
    for _ in 0..2 {
        let task = world.task(web, 3).clone();
        world.report(task.node.unwrap(), vec![(task.id, status(TaskState::Failed))]).unwrap();
        world.run();
    }
    let kept: Vec<_> = [1, 2].map(|slot| world.task(web, slot).id).into();
    world.user(Command::ScaleService { id: web, replicas: 2, if_changed: None });
    world.run();
    assert_eq!(
        world.state.tasks.keys().copied().collect::<BTreeSet<_>>(),
        kept.into_iter().collect()
    );
    assert_eq!(world.running(web), 2);
}

#[test]
fn tasks_of_a_lost_node_go_elsewhere_and_it_comes_back_empty() {
    let mut world = World::of(2);
    let net = world.network("demo");
    let web = world.service(service("web", 4, &[net]));
    world.run();
    world.node_state(2, NodeState::Unknown).unwrap();
    world.run();
    assert_eq!(world.state.tasks_on(node_id(2)).count(), 2, "the grace is running");
    world.pass(Span::seconds(15));
    world.run();
    assert_eq!(world.state.nodes[&node_id(2)].state, NodeState::Down);
    assert!(world.state.nodes[&node_id(2)].fenced);
    assert_eq!(world.running(web), 4);
    assert_eq!(world.state.tasks_on(node_id(1)).count(), 4);
    assert_eq!(world.state.tasks_on(node_id(2)).count(), 0, "what it held is free");
    world.node_state(2, NodeState::Ready).unwrap();
    world.run();
    assert_eq!(world.state.tasks_on(node_id(1)).count(), 4, "healthy tasks are not moved");
}

#[test]
fn a_state_whose_digests_were_deferred_has_the_same_one() {
    let mut world = World::of(2);
    let net = world.network("demo");
    let web = world.service(service("web", 3, &[net]));
    world.run();
    world.user(Command::ScaleService { id: web, replicas: 1, if_changed: None });
    world.run();
    let mut past = State::default();
    past.defer_digests();
    for Logged { first, batch, .. } in &world.log {
        past.apply_batch(*first, batch, &mut Touched::Ignored);
    }
    assert_eq!(past.digest(), world.state.clone().digest());
    // From here on it keeps its leaves up to date, as any other.
    let before = world.log.len();
    world.user(Command::RemoveService(web));
    for Logged { first, batch, .. } in &world.log[before..] {
        past.apply_batch(*first, batch, &mut Touched::Ignored);
    }
    assert_eq!(past.digest(), world.state.digest());
}
