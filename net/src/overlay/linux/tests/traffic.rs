//! Who reaches whom, and who must not.

use super::*;

#[test]
fn containers_of_one_overlay_reach_each_other() {
    let host = Host::new();
    let daemon = Daemon::start(&host, "one");
    daemon.sync(&overlay(&[2, 3], &[], &[]));
    daemon.attach(task(2), &[plug(net(), 2)], Outside::Reachable);
    daemon.attach(task(3), &[plug(net(), 3)], Outside::Closed);
    assert!(daemon.pings(task(2), "10.0.1.3"));
    assert!(daemon.pings(task(3), "10.0.1.2"));
    let eth0 = stdout("", daemon.in_task(task(2), "ip -o link show eth0"));
    assert!(eth0.contains(&leg(2).mac.to_string()) && eth0.contains("mtu 1450"), "{eth0}");
    assert!(daemon.misses(task(2), "10.0.1.4"));
    let read =
        |name: &str| stdout(name, daemon.in_task(task(2), &format!("cat /proc/sys/net/{name}")));
    assert_eq!(read("ipv4/ip_forward"), "0\n");
    assert_eq!(read("ipv4/ip_unprivileged_port_start"), "0\n");
}

#[test]
fn packets_are_as_large_as_the_network_says() {
    let host = Host::new();
    let daemon = Daemon::start(&host, "one");
    let mut desired = overlay(&[2], &[], &[]);
    desired.networks[0].mtu = 1350;
    daemon.sync(&desired);
    daemon.attach(task(2), &[plug(net(), 2)], Outside::Closed);
    let of = |text: String| {
        let (_, rest) = text.split_once(" mtu ").unwrap();
        rest.split(' ').next().unwrap().to_owned()
    };
    assert_eq!(of(stdout("", daemon.in_task(task(2), "ip -o link show eth0"))), "1350");
    assert_eq!(of(daemon.in_network(net(), "ip -o link show vxlan0")), "1350");
    daemon.in_network(net(), "ip link set vxlan0 mtu 1300");
    daemon.sync(&desired);
    assert_eq!(of(daemon.in_network(net(), "ip -o link show vxlan0")), "1350");
}

#[test]
fn containers_reach_each_other_over_two_hosts() {
    let ((_a, one), (_b, two)) = two_nodes();
    assert!(one.pings(task(2), "10.0.1.3"));
    assert!(two.pings(task(3), "10.0.1.2"));
    let routes = stdout("", one.in_task(task(2), "ip route"));
    assert!(routes.contains("default via 172."), "{routes}");
}

#[test]
fn a_peer_no_longer_desired_is_not_reached() {
    let ((_a, one), (_b, _two)) = two_nodes();
    one.sync(&overlay(&[2], &[], &[A, B]));
    assert!(one.misses(task(2), "10.0.1.3"));
    assert_eq!(one.in_network(net(), "ip neigh show dev vxlan0"), "");
    let fdb = one.in_network(net(), "bridge fdb show dev vxlan0");
    assert!(!fdb.contains(&leg(3).mac.to_string()), "{fdb}");
}

#[test]
fn packets_of_strangers_are_dropped() {
    let ((_a, one), (b, _two)) = two_nodes();
    assert!(one.pings(task(2), "10.0.1.3"));
    // The second host still believes to be a member; the first knows better.
    one.sync(&overlay(&[2], &[(3, B)], &[A]));
    assert!(one.misses(task(2), "10.0.1.3"));
    let _ = b;
    one.sync(&overlay(&[2], &[(3, B)], &[A, B]));
    assert!(one.pings(task(2), "10.0.1.3"));
}

#[test]
fn the_way_out_is_masqueraded_and_internal_networks_have_none() {
    let (a, b) = two_hosts();
    let daemon = Daemon::start(&a, "one");
    daemon.sync(&overlay(&[2, 3, 4], &[], &[]));
    let open = daemon.attach(task(2), &[plug(net(), 2)], Outside::Reachable);
    daemon.attach(task(3), &[plug(net(), 3)], Outside::Closed);
    let other = daemon.attach(task(4), &[plug(net(), 4)], Outside::Reachable);
    // The other host knows no route back to the container: only a masqueraded packet is answered.
    assert!(!b.ok("ip route").contains("172."));
    assert!(daemon.pings(task(2), B));
    assert!(daemon.misses(task(3), B));
    assert_eq!(stdout("", daemon.in_task(task(3), "ip route show default")), "");
    let neighbour = other.gateway_ip.unwrap();
    assert_ne!(Some(neighbour), open.gateway_ip);
    // Some machines lead bridged packets through the rules of `forward`; the bridge must do without.
    a.ok("f=/proc/sys/net/bridge/bridge-nf-call-iptables; if [ -e $f ]; then echo 0 > $f; fi");
    assert!(daemon.misses(task(2), neighbour), "containers do not meet on the gateway bridge");
    let around = format!(
        "ip route add {neighbour} via $(ip route | sed -n 's/default via \\([0-9.]*\\).*/\\1/p')"
    );
    stdout("", daemon.in_task(task(2), &around));
    assert!(daemon.misses(task(2), neighbour), "nor by way of the host");
    b.ok(&format!("ip route add 172.16.0.0/12 via {A}"));
    let reached = b.sh(&format!("busybox ping -c1 -W1 {neighbour}")).status.success();
    assert!(!reached, "nobody outside reaches a container that did not ask");
}
