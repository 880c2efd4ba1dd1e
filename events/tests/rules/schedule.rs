//! Where tasks are put, and what is said about it.

use expect_test::{Expect, expect};
use skein_events::codec::Batch;
use skein_events::command::Command;
use skein_events::event::Event;
use skein_events::node::NodeState;
use skein_events::task::spec::Resources;
use skein_events::unit::{Bytes, NanoCpus};
use skein_events::view::absence::why_not;

use crate::world::{World, machine, node_id, service};

/// What the scheduler wrote down, one line a task and one a verdict.
fn check(world: &World, expected: &Expect) {
    let mut out = String::new();
    let host = |id| world.state.nodes[&id].description.hostname.clone();
    for event in world.log.iter().map(|l| &l.batch).flat_map(|b: &Batch| &b.entries) {
        match &event.event {
            Event::TaskAssigned(e) => {
                let task = &world.state.tasks[&e.id];
                out += &format!(
                    "{} -> {} of {}\n",
                    world.state.task_name(task),
                    host(e.node),
                    e.explanation.evaluated
                );
                for verdict in &e.explanation.verdicts {
                    out += &format!("    {}: {}\n", host(verdict.node), verdict.finding);
                }
            }
            Event::TaskObstructed(e) => {
                let task = &world.state.tasks[&e.id];
                out += &format!("{} waits: {}\n", world.state.task_name(task), e.obstacle);
            }
            _ => {}
        }
    }
    expected.assert_eq(&out);
}

fn reserve(cpus: u64, memory: u64) -> Resources {
    Resources { cpus: NanoCpus(cpus * 1_000_000_000), memory: Bytes(memory << 30) }
}

#[test]
fn fewest_of_the_service_then_fewest_in_all() {
    let mut world = World::of(3);
    let mut one = service("one", 2, &[]);
    one.task.reservations = reserve(1, 0);
    world.service(one);
    world.run();
    world.service(service("two", 3, &[]));
    world.run();
    check(
        &world,
        &expect![[r#"
        one.1 -> n1 of 3
            n1: chosen: 0 tasks of this service, 0 in all
            n2: fit, but had 0 tasks of this service, 0 in all
            n3: fit, but had 0 tasks of this service, 0 in all
        one.2 -> n2 of 3
            n2: chosen: 0 tasks of this service, 0 in all
            n3: fit, but had 0 tasks of this service, 0 in all
            n1: fit, but had 1 task of this service, 1 in all
        two.1 -> n3 of 3
            n3: chosen: 0 tasks of this service, 0 in all
            n1: fit, but had 0 tasks of this service, 1 in all
            n2: fit, but had 0 tasks of this service, 1 in all
        two.2 -> n1 of 3
            n1: chosen: 0 tasks of this service, 1 in all
            n2: fit, but had 0 tasks of this service, 1 in all
            n3: fit, but had 1 task of this service, 1 in all
        two.3 -> n2 of 3
            n2: chosen: 0 tasks of this service, 1 in all
            n3: fit, but had 1 task of this service, 1 in all
            n1: fit, but had 1 task of this service, 2 in all
    "#]],
    );
}

#[test]
fn each_filter_says_why_it_ruled_a_node_out() {
    let mut world = World::of(4);
    world.node_state(2, NodeState::Unknown).unwrap();
    let mut paused = machine(5);
    paused.availability = skein_events::node::Availability::Pause;
    world.user(Command::JoinNode(paused));
    world.node_state(5, NodeState::Ready).unwrap();
    let mut big = service("big", 1, &[]);
    big.task.reservations = reserve(3, 1);
    world.service(big);
    world.run();
    let mut fat = service("fat", 2, &[]);
    fat.task.reservations = reserve(1, 8);
    world.service(fat);
    world.run();
    let mut more = service("more", 2, &[]);
    more.task.reservations = reserve(4, 0);
    world.service(more);
    world.run();
    check(
        &world,
        &expect![[r#"
        big.1 -> n1 of 5
            n1: chosen: 0 tasks of this service, 0 in all
            n3: fit, but had 0 tasks of this service, 0 in all
            n4: fit, but had 0 tasks of this service, 0 in all
            n2: ruled out: not ready
            n5: ruled out: takes no new tasks
        fat.1 -> n3 of 5
            n3: chosen: 0 tasks of this service, 0 in all
            n4: fit, but had 0 tasks of this service, 0 in all
            n1: ruled out: needs 8589934592 bytes of memory, 7516192768 left
            n2: ruled out: not ready
            n5: ruled out: takes no new tasks
        fat.2 -> n4 of 5
            n4: chosen: 0 tasks of this service, 0 in all
            n1: ruled out: needs 8589934592 bytes of memory, 7516192768 left
            n2: ruled out: not ready
            n5: ruled out: takes no new tasks
            n3: ruled out: needs 8589934592 bytes of memory, 0 left
        more.1 waits: no suitable node (insufficient resources on 3 nodes; not available for new tasks on 1 node; not ready on 1 node)
        more.2 waits: no suitable node (insufficient resources on 3 nodes; not available for new tasks on 1 node; not ready on 1 node)
    "#]],
    );
}

#[test]
fn a_waiting_task_is_placed_when_a_node_comes_or_room_is_made() {
    let mut world = World::of(1);
    let mut wide = service("wide", 2, &[]);
    wide.task.reservations = reserve(3, 0);
    let wide = world.service(wide);
    world.run();
    assert_eq!(world.running(wide), 1);
    world.user(Command::JoinNode(machine(2)));
    world.run();
    assert_eq!(world.running(wide), 1, "a node that is not ready takes nothing");
    world.node_state(2, NodeState::Ready).unwrap();
    world.run();
    assert_eq!(world.running(wide), 2);

    let mut next = service("next", 1, &[]);
    next.task.reservations = reserve(2, 0);
    let next = world.service(next);
    world.run();
    assert_eq!(world.running(next), 0);
    world.user(Command::ScaleService { id: wide, replicas: 1, if_changed: None });
    world.run();
    assert_eq!(world.running(next), 1);
}

#[test]
fn tasks_that_can_go_nowhere_keep_no_others_waiting() {
    let mut world = World::of(1);
    let mut impossible = service("impossible", 2_000, &[]);
    impossible.task.reservations = reserve(64, 0);
    world.service(impossible);
    world.run();
    let small = world.service(service("small", 1, &[]));
    world.run();
    assert_eq!(world.running(small), 1);
    assert_eq!(world.state.index.pending.len(), 2_000);
    assert_eq!(world.state.tasks_on(node_id(1)).count(), 1);
}

#[test]
fn a_value_that_was_redacted_is_missed_before_it_is_needed() {
    let mut world = World::of(1);
    world.node_state(1, NodeState::Unknown).unwrap();
    let env = vec!["TOKEN=hidden".to_owned()];
    world.user(Command::CreateService { spec: Box::new(service("web", 1, &[])), env });
    world.run();
    let commitment = *world.state.detached.keys().next().unwrap();
    let position = world.state.services.values().next().unwrap().changed;
    world.user(Command::Redact { position, commitment });
    world.run();
    world.node_state(1, NodeState::Ready).unwrap();
    world.run();
    check(
        &world,
        &expect![[r#"
        web.1 waits: no suitable node (not ready on 1 node)
        web.1 waits: a value it needs was redacted: create the service anew
    "#]],
    );
}

/// Why a service is not on a node, as `skein why-not` says it.
fn check_absence(world: &World, name: &str, node: u8, expected: &Expect) {
    let state = &world.state;
    let service = state.services.values().find(|s| s.spec.name.as_str() == name).unwrap();
    let absence = why_not(state, service, &state.nodes[&node_id(node)]);
    let head = format!("{} of {}\n", absence.here, absence.in_all);
    expected.assert_eq(&(head + &absence.lines.join("\n") + "\n"));
}

#[test]
fn why_not_says_what_the_filters_say_and_what_was_preferred() {
    let mut world = World::of(3);
    let mut big = service("big", 2, &[]);
    big.task.reservations = reserve(3, 0);
    world.service(big);
    world.run();
    check_absence(
        &world,
        "big",
        3,
        &expect![[r#"
            0 of 2
            the node would do: 0 tasks in all there
            node n1 has 1 of them, 1 task in all
            node n2 has 1 of them, 1 task in all
            none of its tasks waits for a node; a placed task stays where it is
        "#]],
    );
    world.node_state(3, NodeState::Unknown).unwrap();
    let mut more = service("more", 1, &[]);
    more.task.reservations = reserve(2, 0);
    world.service(more);
    world.run();
    check_absence(
        &world,
        "more",
        1,
        &expect![[r#"
            0 of 1
            ruled out: needs 2.000 CPUs, 1.000 left
            task more.1 waits for a node: no suitable node (insufficient resources on 2 nodes; not ready on 1 node)
        "#]],
    );
    check_absence(
        &world,
        "big",
        3,
        &expect![[r#"
            0 of 2
            ruled out: not ready
            node n1 has 1 of them, 1 task in all
            node n2 has 1 of them, 1 task in all
            none of its tasks waits for a node; a placed task stays where it is
        "#]],
    );
}
