//! Decisions about tasks: what planners wish is checked again, what nodes say is believed as far as they can know it.

use skein_events::command::{Command, NewTask, Placement, Sighting};
use skein_events::event::Event;
use skein_events::id::{NodeId, ServiceId, TaskId};
use skein_events::node::Availability;
use skein_events::record::Position;
use skein_events::refusal::Refusal;
use skein_events::task::explain::Explanation;
use skein_events::task::spec::Resources;
use skein_events::task::{TaskState, TaskStatus};
use skein_events::time::Span;
use skein_events::unit::{Bytes, NanoCpus};

use super::given_nothing;
use crate::world::{World, node_id, service, status};

/// A service of two tasks that run.
fn running() -> (World, ServiceId, [TaskId; 2]) {
    let mut world = given_nothing();
    let web = world.service(service("web", 2, &[]));
    world.run();
    let tasks = [world.task(web, 1).id, world.task(web, 2).id];
    (world, web, tasks)
}
/// A service of one task that waits for a node.
fn pending(change: impl FnOnce(&mut Resources)) -> (World, TaskId) {
    let mut world = given_nothing();
    let mut spec = service("web", 1, &[]);
    change(&mut spec.task.reservations);
    let web = world.service(spec);
    let new = NewTask { slot: 1, replaces: None, delay: Span(0), beside: false };
    world.user(Command::CreateTasks { service: web, tasks: vec![new] });
    let task = world.task(web, 1).id;
    (world, task)
}
fn place(task: TaskId, node: NodeId) -> Placement {
    Placement { task, node, explanation: Explanation::default() }
}
fn schedule(placements: Vec<Placement>) -> Command {
    Command::Schedule { placements, obstacles: Vec::new() }
}
fn report(node: NodeId, seen: Vec<(TaskId, Sighting)>) -> Command {
    Command::Report { node, sightings: seen }
}

#[test]
fn a_task_that_was_found_unwell_answers_to_no_name_while_it_is_stopped() {
    let (mut world, _, [id, _]) = running();
    let node = world.state.tasks[&id].node.unwrap();
    let named = |world: &World| world.state.is_named(&world.state.tasks[&id]);
    assert!(named(&world));
    let error = Some("task: unhealthy container".to_owned());
    let unwell = Sighting::Status(TaskStatus { error, ..TaskStatus::new(TaskState::Running, "") });
    world.report(node, vec![(id, unwell.clone())]).unwrap();
    assert!(!named(&world));
    assert!(world.state.tasks[&id].is_live(), "nothing takes its place yet");
    // It is said once, and not taken back.
    assert!(world.report(node, vec![(id, unwell)]).is_err());
    assert!(world.report(node, vec![(id, status(TaskState::Running))]).is_err());
    world.report(node, vec![(id, status(TaskState::Failed))]).unwrap();
    assert!(world.state.tasks[&id].has_ended());
}

#[test]
fn a_task_that_never_was_well_never_ran() {
    let (mut world, id) = pending(|_| ());
    let node = world.state.nodes.values().next().unwrap().id;
    world.user(schedule(vec![place(id, node)]));
    world.report(node, vec![(id, status(TaskState::Starting))]).unwrap();
    let error = Some("task: unhealthy container".to_owned());
    let unwell = Sighting::Status(TaskStatus { error, ..TaskStatus::new(TaskState::Running, "") });
    assert!(world.report(node, vec![(id, unwell)]).is_err());
    assert_eq!(world.state.tasks[&id].status.state, TaskState::Starting);
    world.report(node, vec![(id, status(TaskState::Failed))]).unwrap();
    assert_eq!(world.state.tasks[&id].ran, None);
}

#[test]
fn a_slot_is_never_filled_twice() {
    let (world, web, [first, _]) = running();
    let create = |slot, replaces| Command::CreateTasks {
        service: web,
        tasks: vec![NewTask { slot, replaces, delay: Span(0), beside: false }],
    };
    let filled = "stale plan: the slots are filled";
    world.clone().when(create(1, None)).refused_as("stale", filled);
    world.clone().when(create(1, Some(first))).refused_as("stale", filled);
    world.clone().when(create(9, Some(first))).refused_as("stale", filled);
    let twice = Command::CreateTasks {
        service: web,
        tasks: vec![NewTask { slot: 3, replaces: None, delay: Span(0), beside: false }; 2],
    };
    world.clone().when(twice).then(&["task.created"]);

    // Ended, but not yet taken for ended.
    let mut ended = world;
    ended
        .report(ended.state.tasks[&first].node.unwrap(), vec![(first, status(TaskState::Failed))])
        .unwrap();
    ended.clone().when(create(1, Some(first))).refused_as("stale", filled);
    ended.user(Command::SetDesired {
        seen: Position(u64::MAX),
        tasks: vec![(first, TaskState::Shutdown)],
    });
    ended.clone().when(create(1, None)).refused_as("stale", filled);
    ended.user(create(1, Some(first)));
    ended.when(create(1, Some(first))).refused_as("stale", filled);
}

#[test]
fn a_delayed_task_gets_ready_and_waits() {
    let mut world = given_nothing();
    let web = world.service(service("web", 1, &[]));
    let now = world.now;
    let new = NewTask { slot: 1, replaces: None, delay: Span::seconds(5), beside: false };
    let made = world.when(Command::CreateTasks { service: web, tasks: vec![new] });
    let events = made.then(&["task.created"]);
    let Event::TaskCreated(task) = &events[0] else { panic!("checked above") };
    assert_eq!(
        (task.desired, task.start_at),
        (TaskState::Ready, Some(now.after(Span::seconds(5))))
    );
}

#[test]
fn what_a_task_should_be_only_grows() {
    let (world, _, [first, second]) = running();
    let desired = |tasks| Command::SetDesired { seen: Position(u64::MAX), tasks };
    let stale =
        "stale plan: the tasks are desired so already, or something happened to them meanwhile";
    world.clone().when(desired(vec![(first, TaskState::Ready)])).refused_as("stale", stale);
    world.clone().when(desired(vec![(first, TaskState::Running)])).refused_as("stale", stale);
    let unknown = TaskId::from_random([77; 16]);
    world.clone().when(desired(vec![(unknown, TaskState::Remove)])).refused_as("stale", stale);
    let back = vec![(second, TaskState::Remove), (second, TaskState::Shutdown)];
    world.when(desired(back)).then(&["task.desired-changed"]);
}

#[test]
fn a_wish_is_taken_back_by_what_happened_since_it_was_made() {
    let (world, web, [first, second]) = running();
    let seen = world.state.position;
    let end = || Command::SetDesired { seen, tasks: vec![(first, TaskState::Shutdown)] };
    let stale =
        "stale plan: the tasks are desired so already, or something happened to them meanwhile";
    world.clone().when(end()).then(&["task.desired-changed"]);
    // To the task itself.
    let mut told = world.clone();
    let node = told.state.tasks[&first].node.unwrap();
    told.report(node, vec![(first, status(TaskState::Failed))]).unwrap();
    told.when(end()).refused_as("stale", stale);
    // To its service: what is asked for since may keep it.
    let mut changed = world.clone();
    changed.user(Command::ScaleService { id: web, replicas: 3, if_changed: None });
    changed.when(end()).refused_as("stale", stale);
    // To its node, which may be drained no more.
    let mut drained = world.clone();
    drained.availability(1, Availability::Drain);
    drained.when(end()).refused_as("stale", stale);
    // To another task of the service, which is none of its business.
    let mut other = world;
    let node = other.state.tasks[&second].node.unwrap();
    other.report(node, vec![(second, status(TaskState::Failed))]).unwrap();
    other.when(end()).then(&["task.desired-changed"]);
}

#[test]
fn an_ended_task_is_not_told_to_run() {
    let mut world = given_nothing();
    let web = world.service(service("web", 1, &[]));
    let new = NewTask { slot: 1, replaces: None, delay: Span::seconds(5), beside: false };
    world.user(Command::CreateTasks { service: web, tasks: vec![new] });
    world.settle();
    let task = world.task(web, 1);
    let (id, node) = (task.id, task.node.unwrap());
    world.report(node, vec![(id, status(TaskState::Rejected))]).unwrap();
    world
        .when(Command::SetDesired {
            seen: Position(u64::MAX),
            tasks: vec![(id, TaskState::Running)],
        })
        .refused_as(
            "stale",
            "stale plan: the tasks are desired so already, or something happened to them meanwhile",
        );
}

#[test]
fn a_task_is_put_on_a_node_that_is_ready_and_has_room() {
    let none = "stale plan: the tasks have nodes";
    let (world, _, [first, _]) = running();
    world.when(schedule(vec![place(first, node_id(1))])).refused_as("stale", none);

    let (world, task) = pending(|_| ());
    world.clone().when(schedule(vec![place(task, node_id(77))])).refused_as("stale", none);
    let twice = vec![place(task, node_id(1)), place(task, node_id(2))];
    world.clone().when(schedule(twice)).then(&["task.assigned"]);
    let mut unheard = world;
    unheard.node_state(2, skein_events::node::NodeState::Unknown).unwrap();
    unheard.when(schedule(vec![place(task, node_id(2))])).refused_as("stale", none);

    let (world, task) = pending(|r| r.cpus = NanoCpus(4_000_000_001));
    world.when(schedule(vec![place(task, node_id(1))])).refused_as("stale", none);
    let (world, task) = pending(|r| r.memory = Bytes((8 << 30) + 1));
    world.when(schedule(vec![place(task, node_id(1))])).refused_as("stale", none);
}

#[test]
fn one_command_overcommits_no_node() {
    let mut world = given_nothing();
    let mut spec = service("web", 3, &[]);
    spec.task.reservations.cpus = NanoCpus(2_000_000_000);
    let web = world.service(spec);
    let new = |slot| NewTask { slot, replaces: None, delay: Span(0), beside: false };
    world.user(Command::CreateTasks { service: web, tasks: vec![new(1), new(2), new(3)] });
    let all: Vec<Placement> =
        world.state.tasks.keys().map(|task| place(*task, node_id(1))).collect();
    world.when(schedule(all)).then(&["task.assigned", "task.assigned"]);
}

#[test]
fn a_full_network_is_an_obstacle_said_once() {
    let mut world = given_nothing();
    let mut net = crate::world::network("tiny");
    net.subnet = Some("10.9.0.0/29".parse().unwrap());
    world.user(Command::CreateNetwork(net));
    let net = world.state.index.network_names.values().next().copied().unwrap();
    let web = world.service(service("web", 6, &[net]));
    world.run();
    assert_eq!(world.running(web), 5, "eight less block, gateway and broadcast");
    let waiting = world.task(web, 6);
    let text = "network tiny has no free address left in 10.9.0.0/29";
    assert_eq!(waiting.obstacle.as_deref(), Some(text));
    let id = waiting.id;
    world
        .clone()
        .when(schedule(vec![place(id, node_id(1))]))
        .refused_as("stale", "stale plan: the tasks have nodes");
    world.user(Command::ScaleService { id: web, replicas: 5, if_changed: None });
    world.run();
    assert_eq!(world.running(web), 5);
}

#[test]
fn a_node_speaks_only_for_its_own_tasks_and_only_of_what_it_can_know() {
    let nothing = "stale plan: nothing new was seen";
    let (world, _, [first, _]) = running();
    let node = world.state.tasks[&first].node.unwrap();
    let other = if node == node_id(1) { node_id(2) } else { node_id(1) };
    let failed = || vec![(first, status(TaskState::Failed))];
    world.clone().when(report(other, failed())).refused_as("stale", nothing);
    for nonsense in [
        TaskState::Pending,
        TaskState::Assigned,
        TaskState::Starting,
        TaskState::Running,
        TaskState::Remove,
        TaskState::Orphaned,
    ] {
        let seen = vec![(first, status(nonsense))];
        world.clone().when(report(node, seen)).refused_as("stale", nothing);
    }
    let stranger = vec![(TaskId::from_random([77; 16]), status(TaskState::Failed))];
    world.clone().when(report(node, stranger)).refused_as("stale", nothing);

    let twice = vec![
        (first, status(TaskState::Failed)),
        (first, status(TaskState::Failed)),
        (first, Sighting::Gone),
        (first, Sighting::Gone),
        (first, status(TaskState::Rejected)),
    ];
    world.clone().when(report(node, twice)).then(&["task.status-changed", "task.gone"]);
    let mut gone = world;
    gone.report(node, vec![(first, Sighting::Gone)]).unwrap();
    gone.when(report(node, failed())).refused_as("stale", nothing);
}

#[test]
fn a_nodes_words_have_a_limit() {
    let (world, _, [first, _]) = running();
    let node = world.state.tasks[&first].node.unwrap();
    let mut long = TaskStatus::new(TaskState::Failed, &"ä".repeat(100_000));
    long.error = Some("x".repeat(100_000));
    let seen = vec![(first, Sighting::Status(long))];
    let events = world.when(report(node, seen)).then(&["task.status-changed"]);
    let Event::TaskStatusChanged(e) = &events[0] else { panic!("checked above") };
    assert_eq!(e.status.message.chars().count(), 1_024);
    assert_eq!(e.status.error.as_ref().map(String::len), Some(1_024));
}

#[test]
fn only_a_task_that_leaves_its_name_is_withdrawn() {
    let none = "stale plan: the tasks answer to no name already";
    let (mut world, _, [first, _]) = running();
    let withdraw = || Command::Withdraw { tasks: vec![(first, Vec::new()); 2] };
    world.clone().when(withdraw()).refused_as("stale", none);
    world.user(Command::SetDesired {
        seen: Position(u64::MAX),
        tasks: vec![(first, TaskState::Shutdown)],
    });
    world.clone().when(withdraw()).then(&["task.withdrawn"]);
    world.user(withdraw());
    world.when(withdraw()).refused_as("stale", none);
}

#[test]
fn only_a_task_of_which_nothing_is_left_is_forgotten() {
    let (mut world, _, [first, _]) = running();
    let remove = || Command::RemoveTasks { tasks: vec![first; 2] };
    let none = "stale plan: the tasks are not over";
    world.clone().when(remove()).refused_as("stale", none);
    let node = world.state.tasks[&first].node.unwrap();
    world.report(node, vec![(first, Sighting::Gone)]).unwrap();
    world.when(remove()).then(&["task.removed"]);
}

#[test]
fn a_command_runs_only_in_a_task_that_runs() {
    let exec = |task| Command::StartExec { task, program: "x".repeat(300) };
    let (world, _, [first, _]) = running();
    let events = world.clone().when(exec(first)).then(&["task.exec-started"]);
    let Event::TaskExecStarted(e) = &events[0] else { panic!("checked above") };
    assert_eq!(e.program.len(), 256);
    let unknown = TaskId::from_random([77; 16]);
    let refusal = Refusal::NotFound { noun: "task", name: unknown.to_string() };
    world.when(exec(unknown)).refused(refusal);
    let (world, waiting) = pending(|_| ());
    world.when(exec(waiting)).refused_as("invalid", "task web.1 is not running: it is pending");
}
