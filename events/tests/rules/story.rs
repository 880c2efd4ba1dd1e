//! Whole stories in memory: what users, nodes and planners do one after another.

use skein_events::command::Command;
use skein_events::node::NodeState;
use skein_events::task::TaskState;
use skein_events::time::Span;

use crate::world::{World, node_id, service, status};

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
