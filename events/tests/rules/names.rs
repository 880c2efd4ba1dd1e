//! Which names there are on a network, and whose they are.

use std::net::Ipv4Addr;

use skein_events::command::Sighting;
use skein_events::task::{TaskState, TaskStatus};
use skein_events::view::dns::{Zone, zone};

use crate::world::{World, node_id, service, status};

fn named(zone: &Zone, name: &str) -> Vec<Ipv4Addr> {
    let found = zone.levels().into_iter().find_map(|names| names.get(name));
    found.or_else(|| zone.container(name)).cloned().unwrap_or_default()
}

#[test]
fn host_names_and_container_ids_are_names_of_their_tasks_alone() {
    let mut world = World::of(1);
    let (net, other) = (world.network("Demo"), world.network("other"));
    let mut spec = service("k", 2, &[net]);
    spec.task.container.hostname = Some("Kaf-{{.Task.Slot}}.".to_owned());
    spec.task.networks[0].aliases = vec!["Queue".parse().unwrap()];
    let kafka = world.service(spec);
    let quiet = world.service(service("quiet", 1, &[other]));
    world.settle();
    let ids: Vec<_> = world.state.tasks.keys().copied().collect();
    for state in [TaskState::Ready, TaskState::Running] {
        world.report(node_id(1), ids.iter().map(|id| (*id, status(state))).collect()).unwrap();
        world.settle();
    }
    world.run();
    let address = |slot| world.task(kafka, slot).legs[0].ip;
    let shown = zone(&world.state, net).unwrap();
    assert_eq!(named(&shown, "kaf-1"), [address(1)]);
    assert_eq!(named(&shown, "kaf-2"), [address(2)]);
    let mut both = [address(1), address(2)];
    both.sort();
    assert_eq!(named(&shown, "queue"), both);
    assert_eq!(named(&shown, "k"), both);
    let elsewhere = zone(&world.state, other).unwrap();
    for name in ["kaf-1", "queue", "k"] {
        assert!(named(&elsewhere, name).is_empty(), "{name} is of another network");
    }
    assert_eq!(named(&elsewhere, "quiet"), [world.task(quiet, 1).legs[0].ip]);
}

#[test]
fn a_container_is_found_by_its_id_whole_and_short() {
    let mut world = World::of(1);
    let net = world.network("demo");
    let web = world.service(service("web", 2, &[net]));
    world.settle();
    let id = "00c0ffee0123456789abcdef00c0ffee0123456789abcdef00c0ffee01234567";
    let tasks = [world.task(web, 1).id, world.task(web, 2).id];
    // The second node's word is no id: it becomes no name.
    for (task, said) in [(tasks[0], id), (tasks[1], "web")] {
        for state in [TaskState::Ready, TaskState::Running] {
            let container = Some(said.to_owned());
            let seen = TaskStatus { container, ..TaskStatus::new(state, state.as_str()) };
            world.report(node_id(1), vec![(task, Sighting::Status(seen))]).unwrap();
            world.settle();
        }
    }
    let first = world.state.tasks[&tasks[0]].legs[0].ip;
    let zone = zone(&world.state, net).unwrap();
    assert_eq!(named(&zone, id), [first]);
    assert_eq!(named(&zone, &id[..12]), [first]);
    assert_eq!(zone.hosts.len(), 1, "{:?}", zone.hosts);
    for wrong in [&id[..11], &id[..13], "00c0ffee0124"] {
        assert!(named(&zone, wrong).is_empty(), "{wrong}");
    }
}

#[test]
fn nobody_takes_a_services_name_by_calling_itself_so() {
    let mut world = World::of(1);
    let net = world.network("demo");
    let victim = world.service(service("db", 1, &[net]));
    let idle = world.service(service("idle", 0, &[net]));
    let mut evil = service("evil", 1, &[net]);
    evil.task.container.hostname = Some("DB".to_owned());
    evil.task.networks[0].aliases = ["db", "idle"].map(|name| name.parse().unwrap()).to_vec();
    world.service(evil);
    let mut long = service("long", 1, &[net]);
    long.task.container.hostname = Some(format!("{}.x", "a".repeat(64)));
    world.service(long);
    world.run();
    let zone = zone(&world.state, net).unwrap();
    let own = [world.task(victim, 1).legs[0].ip];
    for name in ["db", "tasks.db", "db.1"] {
        assert_eq!(named(&zone, name), own, "{name}");
    }
    assert!(named(&zone, "idle").is_empty());
    assert_eq!(world.running(idle), 0);
    assert!(zone.hosts.keys().all(|name| name == "db"), "{:?}", zone.hosts);
}
