//! Decisions about networks.

use std::net::Ipv4Addr;

use skein_events::command::{Command, Occupied};
use skein_events::event::Event;
use skein_events::id::NetworkId;
use skein_events::network::MTU_OPTION;
use skein_events::refusal::Refusal;

use super::{given, given_nothing};
use crate::world::{World, create_cluster, network, service};

fn create(change: impl FnOnce(&mut skein_events::command::NewNetwork)) -> Command {
    let mut new = network("demo");
    change(&mut new);
    Command::CreateNetwork(new)
}

#[test]
fn a_network_gets_a_block_a_gateway_and_an_identifier() {
    let events = given(|w| w.network("first")).when(create(|_| ())).then(&["network.created"]);
    let Event::NetworkCreated(made) = &events[0] else { panic!("checked above") };
    assert_eq!(made.subnet.to_string(), "10.0.2.0/24");
    assert_eq!(made.gateway, Ipv4Addr::new(10, 0, 2, 1));
    assert_eq!(made.vni.0, 4098);
}

#[test]
fn a_networks_name_has_one_holder_in_any_case() {
    let again = given(|w| w.network("Demo")).when(create(|_| ()));
    again.refused(Refusal::NetworkExists { name: "demo".to_owned() });
}

#[test]
fn what_a_network_cannot_be_is_refused() {
    let refused = |command, code, text| given_nothing().when(command).refused_as(code, text);
    let label = |k: &str, v: String| vec![(k.to_owned(), v)];
    refused(
        create(|n| n.spec.labels = label("", "x".to_owned())),
        "invalid",
        "a label needs a key",
    );
    refused(
        create(|n| n.spec.labels = label("k", "x".repeat(300_000))),
        "too_large",
        "the network's labels is over the limit of 262144",
    );
    refused(
        create(|n| n.spec.options = label("mtu", "1400".to_owned())),
        "unsupported",
        "network option \"mtu\" is not supported: leave it out; com.docker.network.driver.mtu is the one there is",
    );
    refused(
        create(|n| n.spec.options = label("encrypted", String::new())),
        "unsupported",
        "encrypted networks are not there yet: create the network without -o encrypted, and keep its nodes on a network you trust",
    );
    for value in ["", "575", "65536", "-1", "1400 "] {
        let text = format!("invalid {MTU_OPTION} {value:?}: a whole number from 576 to 65535");
        let bad = create(|n| n.spec.options = label(MTU_OPTION, value.to_owned()));
        given_nothing().when(bad).refused_as("invalid", &text);
    }
    refused(
        create(|n| n.subnet = Some("10.0.0.0/7".parse().unwrap())),
        "subnet",
        "subnet 10.0.0.0/7 must have a prefix between 8 and 29",
    );
    refused(
        create(|n| n.subnet = Some("10.9.0.0/30".parse().unwrap())),
        "subnet",
        "subnet 10.9.0.0/30 must have a prefix between 8 and 29",
    );
    for gateway in [[10, 9, 0, 0], [10, 9, 0, 255], [10, 9, 1, 1]] {
        let bad = create(|n| {
            n.subnet = Some("10.9.0.0/24".parse().unwrap());
            n.gateway = Some(gateway.into());
        });
        refused(bad, "subnet", "the gateway is not an address for hosts in subnet 10.9.0.0/24");
    }
    let overlapping = create(|n| n.subnet = Some("10.0.0.0/16".parse().unwrap()));
    given(|w| w.network("first"))
        .when(overlapping)
        .refused_as("subnet", "subnet 10.0.0.0/16 overlaps with 10.0.1.0/24 of network first");
}

#[test]
fn a_network_keeps_off_what_the_machine_has_itself() {
    let occupied =
        |block: &str, by: &str| Occupied { block: block.parse().unwrap(), by: by.to_owned() };
    let host = vec![
        occupied("172.20.16.0/20", "of this node's gateway bridge"),
        occupied("10.0.1.0/24", "of eth0 of this node"),
        occupied("10.0.2.7/32", "of a route of this node"),
    ];
    let chosen = create(|n| n.occupied.clone_from(&host));
    let events = given_nothing().when(chosen).then(&["network.created"]);
    let Event::NetworkCreated(made) = &events[0] else { panic!("checked above") };
    assert_eq!(made.subnet.to_string(), "10.0.3.0/24");
    let asked = |subnet: &str| {
        create(|n| {
            n.occupied.clone_from(&host);
            n.subnet = Some(subnet.parse().unwrap());
        })
    };
    given_nothing().when(asked("172.20.0.0/16")).refused_as(
        "subnet",
        "subnet 172.20.0.0/16 overlaps with 172.20.16.0/20 of this node's gateway bridge: Pool overlaps with other one on this address space",
    );
    given_nothing().when(asked("10.0.2.0/24")).refused_as(
        "subnet",
        "subnet 10.0.2.0/24 overlaps with 10.0.2.7/32 of a route of this node: Pool overlaps with other one on this address space",
    );
    given_nothing().when(asked("10.0.4.0/24")).then(&["network.created"]);
    let all = create(|n| n.occupied = vec![occupied("10.0.0.0/8", "of a route of this node")]);
    given_nothing().when(all).refused_as(
        "subnet",
        "could not find an available subnet in the default address pool, beside the networks and what this node has in use itself: give one with --subnet",
    );
}

#[test]
fn packets_leave_room_for_the_tunnels_headers() {
    let mut spec = network("demo").spec;
    assert_eq!(spec.mtu(), 1450);
    spec.options = vec![(MTU_OPTION.to_owned(), "9000".to_owned())];
    assert_eq!(spec.mtu(), 8950);
    let new = create(|n| n.spec.options.clone_from(&spec.options));
    given_nothing().when(new).then(&["network.created"]);
}

#[test]
fn tasks_get_addresses_of_the_range_only() {
    let ranged = |subnet: &str, range: &str| {
        create(|n| {
            n.subnet = Some(subnet.parse().unwrap());
            n.ip_range = Some(range.parse().unwrap());
        })
    };
    let refused = |range, text: &str| {
        given_nothing().when(ranged("10.9.0.0/24", range)).refused_as("subnet", text);
    };
    refused("10.9.1.0/25", "ip-range 10.9.1.0/25 is not inside subnet 10.9.0.0/24");
    refused("10.9.0.0/16", "ip-range 10.9.0.0/16 is not inside subnet 10.9.0.0/24");
    refused("10.9.0.8/31", "ip-range 10.9.0.8/31 must have a prefix of at most 30");

    let mut world = given_nothing();
    world.user(ranged("10.9.0.0/24", "10.9.0.128/29"));
    let net = *world.state.networks.keys().next().unwrap();
    let web = world.service(service("web", 9, &[net]));
    world.run();
    assert_eq!(world.running(web), 8, "a range of eight has no name or broadcast of its own");
    for task in world.state.tasks_of(web).flat_map(|t| &t.legs) {
        assert_eq!(task.ip.to_bits() & !7, Ipv4Addr::new(10, 9, 0, 128).to_bits());
    }
    let waits = world.state.tasks_of(web).find_map(|t| t.obstacle.clone());
    let name = &world.state.networks[&net].spec.name;
    let text = format!("network {name} has no free address left in 10.9.0.128/29");
    assert_eq!(waits.as_deref(), Some(text.as_str()));
    world.user(Command::ScaleService { id: web, replicas: 8, if_changed: None });
    world.user(Command::ScaleService { id: web, replicas: 9, if_changed: None });
    world.run();
    assert_eq!(world.running(web), 8);
}

#[test]
fn a_used_up_pool_is_said() {
    let mut small = create_cluster();
    if let Command::CreateCluster { spec, .. } = &mut small {
        spec.pool = "10.0.0.0/23".parse().unwrap();
    }
    let mut world = World::default();
    world.user(small);
    world.network("first");
    world.when(create(|_| ())).refused_as(
        "subnet",
        "could not find an available subnet in the default address pool, beside the networks and what this node has in use itself: give one with --subnet",
    );
}

#[test]
fn a_network_is_removed_when_nobody_is_on_it() {
    let id = NetworkId::from_random([77; 16]);
    let refusal = Refusal::NotFound { noun: "network", name: id.to_string() };
    given_nothing().when(Command::RemoveNetwork(id)).refused(refusal);

    let mut world = given_nothing();
    let net = world.network("demo");
    let web = world.service(service("web", 1, &[net]));
    let remove = Command::RemoveNetwork(net);
    let in_use = |by: String| Refusal::InUse { what: "network demo".to_owned(), by };
    world.clone().when(remove.clone()).refused(in_use("service web".to_owned()));

    // Its task has no address yet, but may still get one.
    assert!(world.round());
    world.user(Command::RemoveService(web));
    let task = world.state.tasks.keys().next().copied().unwrap();
    world.when(remove).refused(in_use(format!("task {task}")));

    // Its task has an address and was not yet told to end.
    let mut world = given_nothing();
    let net = world.network("demo");
    let web = world.service(service("web", 1, &[net]));
    world.run();
    world.user(Command::RemoveService(web));
    let task = world.state.tasks.keys().next().copied().unwrap();
    let remove = Command::RemoveNetwork(net);
    world.clone().when(remove.clone()).refused(in_use(format!("task {task}")));
    world.run();
    world.when(remove).then(&["network.removed"]);
}
