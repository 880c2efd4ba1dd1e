//! Services with a task on each node that fits, and where tasks are put by labels.

use skein_events::command::Command;
use skein_events::id::ServiceId;
use skein_events::node::{Availability, NodeState};
use skein_events::plan;
use skein_events::refusal::Refusal;
use skein_events::service::update::UpdateState;
use skein_events::service::{Mode, ServiceSpec};
use skein_events::state::touched::Touched;
use skein_events::task::TaskState;
use skein_events::task::placement::Spread;
use skein_events::time::Span;
use skein_events::view::summary;

use crate::world::{World, machine, node_id, root, service, status};

fn everywhere(change: impl FnOnce(&mut ServiceSpec)) -> ServiceSpec {
    let mut spec = service("agent", 0, &[]);
    spec.mode = Mode::Global;
    change(&mut spec);
    spec
}

impl World {
    fn label(&mut self, n: u8, value: &str) {
        let id = node_id(n);
        let availability = self.state.nodes[&id].availability;
        let labels = vec![("zone".to_owned(), value.to_owned())];
        self.user(Command::UpdateNode { id, availability, labels, if_changed: None });
    }
    /// Hosts on which a task of the service runs, and how many.
    fn spread(&self, service: ServiceId) -> Vec<(String, u32)> {
        let of_node = |n: &skein_events::node::Node| {
            self.state.index.spread.get(&(service, n.id)).copied().unwrap_or(0)
        };
        let mut out: Vec<_> = self
            .state
            .nodes
            .values()
            .map(|n| (n.description.hostname.clone(), of_node(n)))
            .filter(|(_, count)| *count > 0)
            .collect();
        out.sort();
        out
    }
    fn on(&self, service: ServiceId) -> Vec<u8> {
        let running = |n: &u8| {
            let mut tasks = self.state.tasks_on(node_id(*n));
            tasks.any(|t| t.service == service && self.state.is_named(t))
        };
        (1..=9).filter(running).collect()
    }
}

#[test]
fn each_node_that_fits_has_one_task_of_its_own() {
    let mut world = World::of(3);
    let agent = world.service(everywhere(|_| ()));
    world.run();
    assert_eq!(world.on(agent), [1, 2, 3]);
    for task in world.state.tasks_of(agent) {
        let node = &world.state.nodes[&task.node.unwrap()];
        assert_eq!(task.slot, node.number);
        let name = format!("agent.{}", node.id);
        assert_eq!(world.state.task_name(task), name);
        assert_eq!(summary::task(&world.state, &name), Ok(task.id));
        assert_eq!(summary::task(&world.state, &format!("{name}.{}", task.id)), Ok(task.id));
    }
    assert_eq!(summary::progress(&world.state, agent).desired, 3);

    world.user(Command::JoinNode(machine(4)));
    world.run();
    assert_eq!(world.on(agent), [1, 2, 3]);
    world.node_state(4, NodeState::Ready).unwrap();
    world.run();
    assert_eq!(world.on(agent), [1, 2, 3, 4]);
    world.user(Command::RemoveService(agent));
    world.run();
    assert!(world.state.tasks.is_empty());
}

#[test]
fn it_follows_what_becomes_of_the_nodes() {
    let mut world = World::of(3);
    let agent = world.service(everywhere(|_| ()));
    world.run();
    world.availability(2, Availability::Drain);
    world.run();
    assert_eq!(world.on(agent), [1, 3]);
    world.availability(2, Availability::Active);
    world.run();
    assert_eq!(world.on(agent), [1, 2, 3], "at once, without the restart delay");
    world.availability(3, Availability::Pause);
    world.run();
    assert_eq!(world.on(agent), [1, 2, 3], "a paused node keeps its task");

    world.node_state(2, NodeState::Unknown).unwrap();
    world.pass(Span::seconds(15));
    world.run();
    assert_eq!(world.on(agent), [1, 3]);
    assert_eq!(world.state.index.pending.len(), 0, "nobody waits for a node that is down");
    world.node_state(2, NodeState::Ready).unwrap();
    world.run();
    assert_eq!(world.on(agent), [1, 2, 3]);
}

#[test]
fn a_task_that_ends_is_restarted_on_its_node_as_the_policy_says() {
    let mut world = World::of(2);
    let mut spec = everywhere(|_| ());
    spec.task.restart.max_attempts = 1;
    let agent = world.service(spec);
    world.run();
    for restarts in [true, false] {
        let task = world.state.head_of_slot(agent, 2).unwrap().clone();
        world.report(node_id(2), vec![(task.id, status(TaskState::Failed))]).unwrap();
        world.run();
        world.pass(Span::seconds(5));
        world.run();
        assert_eq!(world.on(agent).contains(&2), restarts);
    }
    world.label(2, "a");
    world.run();
    assert_eq!(world.on(agent), [1], "news of the node bring nothing back that ended by itself");
}

#[test]
fn constraints_choose_the_nodes_and_labels_move_them() {
    let mut world = World::of(3);
    world.label(1, "a");
    world.label(2, "A");
    let zone = |spec: &mut ServiceSpec| {
        spec.task.placement.constraints = vec!["node.labels.zone==a".parse().unwrap()];
    };
    let agent = world.service(everywhere(zone));
    let mut web = service("web", 2, &[]);
    zone(&mut web);
    let web = world.service(web);
    world.run();
    assert_eq!((world.on(agent), world.on(web)), (vec![1, 2], vec![1, 2]));
    world.label(2, "b");
    world.label(3, "a");
    world.run();
    assert_eq!((world.on(agent), world.on(web)), (vec![1, 3], vec![1, 3]));

    let mut nowhere = service("nowhere", 1, &[]);
    nowhere.task.placement.constraints = vec!["node.unknown!=x".parse().unwrap()];
    let nowhere = world.service(nowhere);
    world.run();
    assert_eq!(
        world.task(nowhere, 1).obstacle.as_deref(),
        Some("no suitable node (scheduling constraints not satisfied on 3 nodes)")
    );
}

#[test]
fn a_global_service_is_updated_one_node_after_another() {
    let mut world = World::of(3);
    let agent = world.service(everywhere(|_| ()));
    world.run();
    world.availability(3, Availability::Pause);
    let mut spec = world.state.services[&agent].spec.clone();
    spec.task.force_update = 1;
    let env = Vec::new();
    world.user(Command::UpdateService { id: agent, spec: Box::new(spec), env, if_changed: None });
    assert_eq!(world.state.services[&agent].update.as_ref().unwrap().slots, 2);
    world.settle();
    let anew = |w: &World| w.state.heads_of(agent).iter().filter(|t| t.version == 2).count();
    assert_eq!(anew(&world), 1);
    world.run();
    world.pass(Span::seconds(5));
    assert_eq!(anew(&world), 2, "the paused node's task stays as it is");
    let state = world.state.services[&agent].update.as_ref().unwrap().state;
    assert_eq!(state, UpdateState::Completed);
    world.availability(3, Availability::Active);
    world.run();
    assert_eq!((anew(&world), world.on(agent)), (3, vec![1, 2, 3]));
}

#[test]
fn a_task_on_its_way_is_waited_for_also_on_a_node_that_was_paused_meanwhile() {
    let mut world = World::of(3);
    let agent = world.service(everywhere(|_| ()));
    world.run();
    let mut spec = world.state.services[&agent].spec.clone();
    spec.task.force_update = 1;
    let env = Vec::new();
    world.user(Command::UpdateService { id: agent, spec: Box::new(spec), env, if_changed: None });
    world.settle();
    let anew = |w: &World| {
        let heads = w.state.heads_of(agent).into_iter().filter(|t| t.version == 2);
        heads.map(|t| t.slot).collect::<Vec<_>>()
    };
    let [slot] = anew(&world)[..] else { panic!("one by one") };
    let paused = (1..=3).find(|n| world.state.nodes[&node_id(*n)].number == slot).unwrap();
    world.availability(paused, Availability::Pause);
    world.settle();
    assert_eq!(anew(&world), [slot]);
    world.run();
    assert_eq!(anew(&world).len(), 3);
}

#[test]
fn a_global_service_has_no_number_to_scale() {
    let mut world = World::of(1);
    let agent = world.service(everywhere(|_| ()));
    let scale = Command::ScaleService { id: agent, replicas: 2, if_changed: None };
    let text = "scale can only be used with replicated mode".to_owned();
    assert_eq!(world.submit(root(), None, &scale), Err(Refusal::Invalid(text)));
}

#[test]
fn no_more_than_so_many_are_put_on_a_node() {
    let mut world = World::of(2);
    let mut web = service("web", 5, &[]);
    web.task.placement.max_per_node = 2;
    let web = world.service(web);
    world.run();
    assert_eq!(world.spread(web), [("n1".to_owned(), 2), ("n2".to_owned(), 2)]);
    let waits = world.state.tasks_of(web).find_map(|t| t.obstacle.clone());
    assert_eq!(waits.as_deref(), Some("no suitable node (max replicas per node limit exceed)"));
}

#[test]
fn tasks_are_spread_over_labels_first() {
    let mut world = World::of(4);
    for (n, zone) in [(1, "a"), (2, "a"), (3, "a"), (4, "b")] {
        world.label(n, zone);
    }
    let mut web = service("web", 6, &[]);
    web.task.placement.preferences = vec![Spread { over: "node.labels.zone".to_owned() }];
    let web = world.service(web);
    world.run();
    let host = |n: u8| format!("n{n}");
    assert_eq!(world.spread(web), [(host(1), 1), (host(2), 1), (host(3), 1), (host(4), 3)]);
}

#[test]
fn a_full_subnet_is_told_and_healed_when_room_comes_back() {
    let mut world = World::of(1);
    let mut tiny = crate::world::network("tiny");
    tiny.subnet = Some("10.9.0.0/29".parse().unwrap());
    world.user(Command::CreateNetwork(tiny));
    let net = *world.state.networks.keys().next().unwrap();
    let web = world.service(service("web", 6, &[net]));
    world.run();
    assert_eq!(world.running(web), 5);
    let waits = world.state.tasks_of(web).find_map(|t| t.obstacle.clone());
    assert_eq!(waits.as_deref(), Some("network tiny has no free address left in 10.9.0.0/29"));
    let first = world.state.tasks_of(web).find(|t| t.node.is_some()).unwrap().clone();
    world.report(node_id(1), vec![(first.id, status(TaskState::Failed))]).unwrap();
    world.run();
    assert_eq!(world.running(web), 5, "the one that waited has its address now");
}

/// Values of two versions are compared to tell whether a task runs what is asked for, so erasing one of them is news of
/// tasks that nothing else happened to. (Found by a walk.)
#[test]
fn a_redaction_is_news_of_the_tasks_whose_values_are_compared() {
    let mut world = World::of(1);
    world.label(1, "a");
    let env = vec!["TOKEN=hidden".to_owned()];
    let spec = everywhere(|_| ());
    world.user(Command::CreateService { spec: Box::new(spec.clone()), env: env.clone() });
    world.run();
    let id = *world.state.services.keys().next().unwrap();
    let first = world.state.services[&id].changed;
    let commitment = *world.state.detached.keys().next().unwrap();
    // Another version with the same values, which the node of the running task fits: the task stays.
    let mut moved = spec;
    moved.task.placement.constraints = vec!["node.labels.zone==a".parse().unwrap()];
    world.user(Command::UpdateService { id, spec: Box::new(moved), env, if_changed: None });
    world.run();
    let versions = |w: &World| w.state.tasks_of(id).map(|t| t.version).collect::<Vec<_>>();
    assert_eq!((versions(&world), world.state.services[&id].version), (vec![1], 2));
    world.user(Command::Redact { position: first, commitment });
    let some = plan::plan(&world.state, &world.touched, world.now);
    let all = plan::plan(&world.state, &Touched::Everything, world.now);
    assert!(!all.proposals.is_empty(), "values that cannot be compared count as others");
    assert_eq!(some, all);
    world.run();
    assert_eq!(world.on(id), [1]);
    assert_eq!(versions(&world).last(), Some(&2));
}

#[test]
fn what_several_nodes_fit_names_them() {
    let mut world = World::of(1);
    // More nodes than characters that ids begin with, two of one name.
    for n in 2..=40 {
        let mut new = machine(n);
        if n == 3 {
            "n2".clone_into(&mut new.description.hostname);
        }
        world.user(Command::JoinNode(new));
    }
    let refused = |text: &str| summary::node(&world.state, text).unwrap_err().to_string();
    let label = |n: u8, name: &str| format!("{name} ({})", node_id(n).short());
    let mut both = [label(2, "n2"), label(3, "n2")];
    if node_id(3) < node_id(2) {
        both.reverse();
    }
    let expected = format!("node n2 is ambiguous (2 matches found): {}", both.join(", "));
    assert_eq!(refused("n2"), expected);
    let many = (1..=40).map(|n| node_id(n).to_string());
    let mut first: Vec<char> = many.filter_map(|id| id.chars().next()).collect();
    first.sort_unstable();
    let twice = first.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0].to_string());
    let twice = twice.unwrap();
    let sentence = refused(&twice);
    assert!(sentence.starts_with(&format!("node {twice} is ambiguous (")), "{sentence}");
    let fitting: Vec<u8> =
        (1..=40).filter(|n| node_id(*n).to_string().starts_with(&twice)).collect();
    let named = fitting.iter().filter(|n| sentence.contains(&node_id(**n).short())).count();
    assert_eq!(named, fitting.len().min(5), "{sentence}");
    let more = fitting.len() - named;
    assert_eq!(sentence.ends_with(" more"), more > 0, "{sentence}");
}
