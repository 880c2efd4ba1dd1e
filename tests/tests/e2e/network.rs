//! Names and packets: who is found while he stops, what goes out, what happens when there are no addresses left.

use crate::daemon::Daemon;
use crate::host::{Host, until};

#[test]
fn containers_reach_the_outside_through_the_gateway() {
    let outside = Host::new();
    let daemon = Daemon::start();
    // A wire to another machine, with a web server and a name server.
    daemon.host.sh(&format!(
        "ip link add wire type veth peer name eth0 netns /proc/{}/ns/net
         ip addr add 198.51.100.1/24 dev wire
         ip link set wire up",
        outside.id()
    ));
    outside.sh("ip addr add 198.51.100.2/24 dev eth0
         ip link set eth0 up");
    let page = tempfile::tempdir().expect("a folder");
    std::fs::write(page.path().join("index.html"), "hello from outside\n").expect("a file");
    let mut server = outside.command("busybox");
    let server = server.args(["httpd", "-f", "-p", "198.51.100.2:80", "-h"]).arg(page.path());
    let mut server = server.spawn().expect("busybox runs");
    daemon.make_swarm();
    daemon.ok(
        "service create --detach --name web --network shop --endpoint-mode dnsrr hello:1 sleep 900",
    );
    daemon.await_replicas("web", "1/1");
    let got = daemon.ok("exec web.1 wget -q -O - http://198.51.100.2/");
    assert_eq!(got, "hello from outside\n");
    // With the machine's address, not the container's: nobody out there knows the way to that.
    let seen = outside.sh("ip neigh show dev eth0");
    assert!(seen.contains("198.51.100.1") && !seen.contains("10.0."), "{seen}");
    // From outside nobody reaches the overlay.
    outside.sh("ip route add 10.0.0.0/8 via 198.51.100.1");
    let address = daemon.addresses("web.1", "web").remove(0);
    let said = crate::host::run(outside.command("ping").args(["-c", "1", "-W", "1", &address]));
    assert_ne!(said.code, 0, "{said:?}");
    server.kill().expect("it runs");
    server.wait().expect("it ends");
}

#[test]
fn a_task_leaves_the_names_before_it_stops() {
    let daemon = Daemon::with_swarm();
    // It serves for a while after it was told to stop, and says when it was told.
    daemon.ok(
        "service create --detach --name web --replicas 2 --network shop --endpoint-mode dnsrr \
         --stop-grace-period 60s hello:1 sh -c \
         'trap \"nslookup -type=a web >/tmp/asked; mv /tmp/asked /tmp/told\" TERM; while [ ! -e /tmp/go ]; do sleep 0.1; done'",
    );
    daemon.ok(
        "service create --detach --name ask --network shop --endpoint-mode dnsrr hello:1 sleep 900",
    );
    daemon.await_replicas("web", "2/2");
    daemon.await_replicas("ask", "1/1");
    assert_eq!(daemon.addresses("ask.1", "web").len(), 2);
    let task = daemon.running("web.2").expect("it runs")["ID"].as_str().expect("text").to_owned();
    let pid = daemon.process("web.2");
    daemon.ok("service scale --detach web=1");
    let told = format!("/proc/{pid}/root/tmp/told");
    until("web.2 is told to stop", || std::path::Path::new(&told).exists().then_some(()));
    // When it was told it was already not found any more, and it still runs.
    let asked = std::fs::read_to_string(&told).expect("the container's file");
    let found = asked.lines().filter(|l| l.starts_with("Address: ")).count();
    assert_eq!(found, 1, "{asked}");
    assert_eq!(daemon.addresses("ask.1", "web").len(), 1);
    assert!(crate::daemon::runs(pid));
    std::fs::write(format!("/proc/{pid}/root/tmp/go"), "").expect("the container's file system");
    let log = daemon.ok(&format!("log task/{task}"));
    assert!(log.contains("task.withdrawn"), "{log}");
}

#[test]
fn a_full_subnet_is_shown_and_heals_when_there_is_room() {
    let daemon = Daemon::start();
    daemon.ok("swarm init --advertise-addr 127.0.0.1");
    daemon.load();
    daemon.ok("network create -d overlay --subnet 10.77.0.0/29 small");
    daemon.ok(
        "service create --detach --name web --replicas 9 --network small --endpoint-mode dnsrr \
         hello:1 sleep 900",
    );
    until("it is said that the subnet is full", || {
        let rows = daemon.rows("service ps web");
        let full = |row: &serde_json::Value| {
            let error = row["Error"].as_str().unwrap_or_default();
            error.contains("network small has no free address left in 10.77.0.0/29")
        };
        rows.iter().any(full).then_some(())
    });
    daemon.ok(
        "service create --detach --name late --network small --endpoint-mode dnsrr hello:1 sleep 900",
    );
    daemon.ok("service scale --detach web=1");
    daemon.await_replicas("late", "1/1");
    daemon.await_replicas("web", "1/1");
}

#[test]
fn a_missing_image_is_the_tasks_error_and_heals_when_it_comes() {
    let daemon = Daemon::start();
    daemon.ok("swarm init --advertise-addr 127.0.0.1");
    daemon.ok("service create --detach --name web --restart-delay 100ms hello:1 sleep 900");
    until("it is said", || {
        daemon.ok("service ps web").contains("no such image: hello:1").then_some(())
    });
    daemon.load();
    daemon.await_replicas("web", "1/1");
}

#[test]
fn a_network_keeps_off_the_machines_own_addresses() {
    let host = Host::new();
    host.sh("ip link add lan type bridge
         ip addr add 10.0.1.9/24 dev lan
         ip link set lan up
         ip route add 10.0.2.0/24 dev lan
         ip route add default dev lan");
    let daemon = Daemon::start_on(std::sync::Arc::new(host));
    daemon.ok("swarm init --advertise-addr 127.0.0.1");
    daemon.ok("network create -d overlay chosen");
    let subnet = "network inspect chosen --format '{{(index .IPAM.Config 0).Subnet}}'";
    assert_eq!(daemon.ok(subnet).trim(), "10.0.3.0/24");
    let refused = |subnet: &str| {
        let asked = format!("network create -d overlay --subnet {subnet} asked");
        assert_eq!(daemon.refused(&asked), daemon.refused(&format!("{asked} --dry-run")));
        daemon.refused(&asked)
    };
    let told = refused("10.0.0.0/23");
    assert!(
        told.contains("overlaps with 10.0.1.0/24 of lan of this node: Pool overlaps"),
        "{told}"
    );
    assert!(refused("10.0.2.128/25").contains("10.0.2.0/24 of a route of this node"));
    let gateway = std::fs::read_to_string(daemon.data().join("gateway-subnet"));
    let gateway = gateway.expect("the block of the gateway bridge is kept");
    let told = refused("172.16.0.0/12");
    assert!(told.contains(&format!("{} of this node's gateway bridge", gateway.trim())), "{told}");
    daemon.ok("network create -d overlay --subnet 10.9.0.0/24 asked");
}
