//! The kernel implementation against real kernel objects, in throw-away namespaces that stand for hosts.
//! Tools such as `ip`, `nft` and `ping` look on and interfere here; production code runs none.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::{Command, Output};

use skein_events::id::{NetworkId, TaskId};
use skein_events::unit::{Mac, Subnet, Vni};
use skein_events::view::overlay::{Leg, NodeNetwork, NodeOverlay, Peer};

use super::netns::{self, Netns};
use super::{Config, Linux};
use crate::overlay::{AttachLeg, Attached, Error, Kernel, Outside};

/// A namespace that stands for a machine.
struct Host(Netns);

impl Host {
    fn new() -> Self {
        let host = Self(netns::on_thread(netns::enter_new).unwrap());
        host.ok("ip link set lo up");
        host
    }
    /// Runs one command in there.
    fn sh(&self, command: &str) -> Output {
        sh_in(&self.0, command)
    }
    fn ok(&self, command: &str) -> String {
        stdout(command, self.sh(command))
    }
}

fn sh_in(place: &Netns, command: &str) -> Output {
    netns::on_thread(|| {
        place.enter().unwrap();
        Command::new("sh").args(["-c", command]).output().unwrap()
    })
}

fn stdout(command: &str, output: Output) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command}: {stderr}");
    String::from_utf8(output.stdout).unwrap()
}

/// Two machines on one wire: 10.9.0.1 and 10.9.0.2.
fn two_hosts() -> (Host, Host) {
    let (a, b) = (Host::new(), Host::new());
    let fd = std::os::fd::AsRawFd::as_raw_fd(&std::os::fd::AsFd::as_fd(&b.0));
    let file = format!("/proc/{}/fd/{fd}", std::process::id());
    a.ok("ip link add wire type veth peer name other");
    a.ok(&format!("ip link set other netns {file}"));
    b.ok("ip link set other name wire");
    for (host, ip) in [(&a, "10.9.0.1/24"), (&b, "10.9.0.2/24")] {
        host.ok(&format!("ip addr add {ip} dev wire"));
        host.ok("ip link set wire up");
    }
    (a, b)
}

/// A daemon's kernel objects on a host; removes them when dropped, also by a failing test.
struct Daemon {
    kernel: Linux,
    run_root: PathBuf,
    _dir: tempfile::TempDir,
}

impl Daemon {
    fn start(host: &Host, id: &str) -> Self {
        Self::try_start(host, id, tempfile::tempdir().unwrap()).unwrap()
    }
    fn try_start(host: &Host, id: &str, dir: tempfile::TempDir) -> Result<Self, Error> {
        let config = config(id, &dir);
        let kernel = netns::on_thread(|| {
            host.0.enter().unwrap();
            Linux::start(&config)
        })?;
        Ok(Self { kernel, run_root: config.run_root, _dir: dir })
    }
    fn sync(&self, desired: &NodeOverlay) {
        wait(self.kernel.sync(desired)).unwrap();
    }
    fn attach(&self, task: TaskId, legs: &[AttachLeg], outside: Outside) -> Attached {
        wait(self.kernel.attach(task, legs, outside)).unwrap()
    }
    /// Runs a command in the namespace of a task.
    fn in_task(&self, task: TaskId, command: &str) -> Output {
        self.in_file(&task.to_string(), command)
    }
    fn in_network(&self, network: NetworkId, command: &str) -> String {
        stdout(command, self.in_file(&format!("net-{network}"), command))
    }
    fn in_file(&self, file: &str, command: &str) -> Output {
        let file = self.run_root.join("netns").join(file);
        sh_in(&Netns::open(&file).unwrap(), command)
    }
    /// Whether one of a few packets is answered: the kernel opens a new bridge port a moment after its link is up.
    fn pings(&self, task: TaskId, ip: impl std::fmt::Display) -> bool {
        let ping = format!("busybox ping -c1 -W1 {ip}");
        (0..5).any(|_| self.in_task(task, &ping).status.success())
    }
    /// Whether one packet is lost.
    fn misses(&self, task: TaskId, ip: impl std::fmt::Display) -> bool {
        !self.in_task(task, &format!("busybox ping -c1 -W1 {ip}")).status.success()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        for entry in std::fs::read_dir(self.run_root.join("netns")).unwrap() {
            netns::unpin(&entry.unwrap().path()).unwrap();
        }
    }
}

fn config(id: &str, dir: &tempfile::TempDir) -> Config {
    Config {
        id: id.to_owned(),
        data_root: dir.path().join("data"),
        run_root: dir.path().join("run"),
        avoid: vec!["10.0.0.0/8".parse().unwrap()],
    }
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

fn task(n: u8) -> TaskId {
    TaskId::from_random([n; 16])
}

fn leg(n: u8) -> Leg {
    let mac = Mac::from_random([2, 7, 7, 7, 7, n]);
    Leg { task: task(n), ip: Ipv4Addr::new(10, 0, 1, n), mac }
}

fn subnet() -> Subnet {
    "10.0.1.0/24".parse().unwrap()
}

fn plug(network: NetworkId, n: u8) -> AttachLeg {
    let Leg { ip, mac, .. } = leg(n);
    AttachLeg { network, ip, mac, subnet: subnet() }
}

fn net() -> NetworkId {
    NetworkId::from_random([200; 16])
}

fn overlay(local: &[u8], peers: &[(u8, Ipv4Addr)], members: &[Ipv4Addr]) -> NodeOverlay {
    let network = NodeNetwork {
        id: net(),
        vni: Vni(4096),
        subnet: subnet(),
        gateway: Ipv4Addr::new(10, 0, 1, 1),
        internal: false,
        local: local.iter().map(|n| leg(*n)).collect(),
        peers: peers.iter().map(|(n, vtep)| Peer { leg: leg(*n), vtep: *vtep }).collect(),
    };
    NodeOverlay { networks: vec![network], members: members.to_vec(), data_path_port: 4789 }
}

const A: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 1);
const B: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 2);

/// One container on each of two hosts: 10.0.1.2 on the first, 10.0.1.3 on the second.
fn two_nodes() -> ((Host, Daemon), (Host, Daemon)) {
    let (a, b) = two_hosts();
    let (one, two) = (Daemon::start(&a, "one"), Daemon::start(&b, "two"));
    one.sync(&overlay(&[2], &[(3, B)], &[A, B]));
    two.sync(&overlay(&[3], &[(2, A)], &[A, B]));
    one.attach(task(2), &[plug(net(), 2)], Outside::Reachable);
    two.attach(task(3), &[plug(net(), 3)], Outside::Reachable);
    ((a, one), (b, two))
}

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
fn containers_reach_each_other_over_two_hosts() {
    let ((_a, one), (_b, two)) = two_nodes();
    assert!(one.pings(task(2), "10.0.1.3"));
    assert!(two.pings(task(3), "10.0.1.2"));
    let routes = stdout("", one.in_task(task(2), "ip route"));
    assert!(routes.contains("default via 172."), "{routes}");
}

#[test]
fn rows_removed_by_hand_are_healed() {
    let ((a, one), (_b, _two)) = two_nodes();
    let desired = overlay(&[2], &[(3, B)], &[A, B]);
    let mac = leg(3).mac;
    let damages: [&dyn Fn() -> String; 7] = [
        &|| one.in_network(net(), &format!("ip link del t-{}", task(2).short())),
        &|| one.in_network(net(), &format!("bridge fdb del {mac} dev vxlan0 dst {B} self")),
        &|| {
            one.in_network(net(), "ip neigh replace 10.0.1.3 lladdr 02:00:00:00:00:01 dev vxlan0 nud permanent; bridge fdb add 02:00:00:00:00:01 dev vxlan0 dst 10.9.0.9")
        },
        &|| one.in_network(net(), "ip link del vxlan0"),
        &|| one.in_network(net(), "ip link set br0 down; ip addr flush dev br0"),
        &|| one.in_network(net(), &format!("ip link set t-{} nomaster", task(2).short())),
        &|| one.in_network(net(), "ip link del br0"),
    ];
    for (n, damage) in damages.iter().enumerate() {
        damage();
        let flush = || one.in_task(task(2), "ip neigh flush all");
        flush();
        let broken = one.misses(task(2), "10.0.1.3") || n == 4;
        assert!(broken, "damage {n} did nothing");
        one.sync(&desired);
        flush();
        assert!(one.pings(task(2), "10.0.1.3"), "damage {n} was not healed");
        let fdb = one.in_network(net(), "bridge fdb show dev vxlan0");
        assert!(!fdb.contains("02:00:00:00:00:01"), "{fdb}");
        assert!(one.in_network(net(), "ip addr show br0").contains("10.0.1.1/24"));
    }
    let before = a.ok("nft list ruleset");
    a.ok("nft flush ruleset; ip link set $(ip -br link | grep -o '^skein-[0-9a-f]*') down");
    one.sync(&desired);
    assert_eq!(a.ok("nft list ruleset"), before);
    assert!(a.ok("ip -br link").lines().any(|l| l.starts_with("skein-") && l.contains("UP")));
}

#[test]
fn a_large_network_fits() {
    const PEERS: u32 = 4_000;
    let (a, _b) = two_hosts();
    let daemon = Daemon::start(&a, "one");
    let mut desired = overlay(&[2], &[], &[A, B]);
    let network = &mut desired.networks[0];
    network.subnet = "10.0.0.0/16".parse().unwrap();
    network.peers = (0..PEERS)
        .map(|n| {
            let [_, _, high, low] = n.to_be_bytes();
            let ip = Ipv4Addr::from_bits(Ipv4Addr::new(10, 0, 16, 0).to_bits() + n);
            let mac = Mac::from_random([2, 0, 0, 1, high, low]);
            Peer { leg: Leg { task: task(9), ip, mac }, vtep: B }
        })
        .collect();
    desired.members = (0..PEERS).map(|n| Ipv4Addr::from_bits(A.to_bits() + n)).collect();
    daemon.sync(&desired);
    let count = |command: &str| daemon.in_network(net(), command).trim().parse::<u32>().unwrap();
    assert_eq!(count("ip neigh show dev vxlan0 | wc -l"), PEERS);
    assert_eq!(count("bridge fdb show dev vxlan0 | grep -c 'dst 10.9.0.2'"), PEERS);
    daemon.sync(&overlay(&[2], &[], &[A, B]));
    assert_eq!(count("ip neigh show dev vxlan0 | wc -l"), 0);
    assert_eq!(count("bridge fdb show dev vxlan0 | grep -c static || true"), 0);
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

#[test]
fn detaching_and_removing_leave_nothing() {
    let (a, _b) = two_hosts();
    // Names only: the state of a link follows a moment later.
    let names = "ip -br link | cut -d' ' -f1";
    let all = format!(
        "{names}; ip -4 -o addr | awk '{{print $2, $4}}'; ip route | sed 's/ linkdown//'; nft list ruleset; ip neigh"
    );
    let before = a.ok(&all);
    let daemon = Daemon::start(&a, "one");
    daemon.sync(&overlay(&[2, 3], &[(9, B)], &[A, B]));
    let host_view = || a.ok(&format!("{names}; nft list ruleset"));
    let net_view = || daemon.in_network(net(), &format!("{names}; bridge fdb; ip neigh"));
    let synced = (host_view(), net_view());
    for outside in [Outside::Reachable, Outside::Closed] {
        daemon.attach(task(2), &[plug(net(), 2)], outside);
        assert_eq!(wait(daemon.kernel.attached()).unwrap(), [task(2)]);
        assert_ne!(net_view(), synced.1);
        wait(daemon.kernel.detach(task(2))).unwrap();
        wait(daemon.kernel.detach(task(2))).unwrap();
        assert_eq!((host_view(), net_view()), synced);
        assert_eq!(wait(daemon.kernel.attached()).unwrap(), []);
    }
    daemon.attach(task(2), &[plug(net(), 2)], Outside::Reachable);
    let lost =
        wait(daemon.kernel.attach(task(3), &[plug(net(), 3), plug(net(), 3)], Outside::Reachable));
    assert!(lost.is_err(), "two legs on one network");
    assert_eq!(wait(daemon.kernel.attached()).unwrap(), [task(2)]);
    wait(daemon.kernel.detach(task(2))).unwrap();
    assert_eq!((host_view(), net_view()), synced, "a failed attach leaves nothing");
    let NodeOverlay { members, data_path_port, .. } = overlay(&[], &[], &[A, B]);
    daemon.sync(&NodeOverlay { networks: Vec::new(), members, data_path_port });
    assert_eq!(std::fs::read_dir(daemon.run_root.join("netns")).unwrap().count(), 0);
    wait(daemon.kernel.remove_all()).unwrap();
    assert_eq!(a.ok(&all), before);
}

#[test]
fn a_restarted_daemon_finds_its_containers() {
    let host = Host::new();
    let dir = tempfile::tempdir().unwrap();
    let first = Daemon::try_start(&host, "one", dir).unwrap();
    first.sync(&overlay(&[2, 3], &[], &[]));
    let attached = first.attach(task(2), &[plug(net(), 2)], Outside::Reachable);
    let rules = |daemon: &Daemon| stdout("", daemon.in_task(task(2), "nft list ruleset"));
    let (old_rules, old_ip) = (rules(&first), attached.gateway_ip);
    drop(attached);
    let config = Config {
        id: "one".to_owned(),
        data_root: first.run_root.with_file_name("data"),
        run_root: first.run_root.clone(),
        avoid: Vec::new(),
    };
    let again = netns::on_thread(|| {
        host.0.enter().unwrap();
        Linux::start(&config).unwrap()
    });
    assert_eq!(wait(again.attached()).unwrap(), [task(2)]);
    let found = wait(again.reattach(task(2))).unwrap();
    assert_eq!(found.gateway_ip, old_ip);
    assert_ne!(rules(&first), old_rules, "they lead to the new sockets");
    let next = wait(again.attach(task(3), &[plug(net(), 3)], Outside::Reachable)).unwrap();
    assert_ne!(next.gateway_ip, old_ip, "an address in use is not handed out again");
    assert!(matches!(wait(again.reattach(task(9))), Err(Error::UnknownTask(t)) if t == task(9)));
}

#[test]
fn daemons_share_a_host_but_no_port() {
    let host = Host::new();
    let (one, two) = (Daemon::start(&host, "one"), Daemon::start(&host, "two"));
    one.sync(&overlay(&[2], &[], &[]));
    let clash = wait(two.kernel.sync(&overlay(&[3], &[], &[]))).unwrap_err().to_string();
    let root = one.run_root.with_file_name("data").display().to_string();
    assert!(clash.contains(&root) && clash.contains("4789"), "{clash}");
    assert!(matches!(wait(two.kernel.claim(4789)), Err(Error::PortClash { port: 4789, .. })));
    host.ok("ip link add foreign type vxlan id 7 dstport 4791; ip link set foreign up");
    let foreign = wait(two.kernel.claim(4791)).unwrap_err().to_string();
    assert!(foreign.contains("4791 is in use"), "{foreign}");
    // The same network identifier on another port is another network.
    two.sync(&NodeOverlay { data_path_port: 4790, ..overlay(&[3], &[], &[]) });
    one.attach(task(2), &[plug(net(), 2)], Outside::Reachable);
    two.attach(task(3), &[plug(net(), 3)], Outside::Reachable);
    assert!(one.misses(task(2), "10.0.1.3"), "two swarms, two networks");
    let bridges: Vec<_> = host.ok("ip -br -4 addr").lines().map(str::to_owned).collect();
    assert_eq!(bridges.iter().filter(|l| l.starts_with("skein-")).count(), 2, "{bridges:?}");
    wait(one.kernel.remove_all()).unwrap();
    wait(two.kernel.claim(4789)).unwrap();
    let alias =
        "ip link set $(ip -br link | grep -o '^skein-[0-9a-f]*') alias 'skein x 0 /elsewhere'";
    host.ok(alias);
    let dir = tempfile::tempdir().unwrap();
    let taken = Daemon::try_start(&host, "two", dir).err().unwrap().to_string();
    assert!(taken.contains("/elsewhere"), "{taken}");
}

#[test]
fn questions_for_names_arrive_at_the_sockets() {
    use std::io::{Read as _, Write as _};
    let host = Host::new();
    let daemon = Daemon::start(&host, "one");
    daemon.sync(&overlay(&[2], &[], &[]));
    let dns = daemon.attach(task(2), &[plug(net(), 2)], Outside::Closed).dns.unwrap();
    dns.udp.set_nonblocking(false).unwrap();
    dns.tcp.set_nonblocking(false).unwrap();
    let inside = Netns::open(&daemon.run_root.join("netns").join(task(2).to_string())).unwrap();
    let (answer, taken) = netns::on_thread(|| {
        inside.enter().unwrap();
        // The container's own port 53 stays free.
        let taken = std::net::UdpSocket::bind(("0.0.0.0", 53)).is_ok();
        let client = std::net::UdpSocket::bind(("127.0.0.1", 0)).unwrap();
        client.connect(("127.0.0.11", 53)).unwrap();
        client.send(b"who").unwrap();
        let mut buffer = [0; 16];
        let (n, from) = dns.udp.recv_from(&mut buffer).unwrap();
        dns.udp.send_to(&buffer[..n], from).unwrap();
        let n = client.recv(&mut buffer).unwrap();
        let mut stream = std::net::TcpStream::connect(("127.0.0.11", 53)).unwrap();
        let (mut accepted, _) = dns.tcp.accept().unwrap();
        stream.write_all(b"me").unwrap();
        accepted.read_exact(&mut buffer[n..n + 2]).unwrap();
        (buffer[..n + 2].to_vec(), taken)
    });
    assert_eq!(answer, b"whome");
    assert!(taken);
}

/// What `nft` reads back of the rules we encode; goldens, because a rule that is merely accepted may still mean something else.
#[test]
fn nft_reads_the_rules_as_meant() {
    let host = Host::new();
    let daemon = Daemon::start(&host, "one");
    daemon.sync(&overlay(&[2], &[], &[A, B]));
    let dns = daemon.attach(task(2), &[plug(net(), 2)], Outside::Closed).dns.unwrap();
    let read = |json: String| {
        let rules: serde_json::Value = serde_json::from_str(&json).unwrap();
        let mut lines = String::new();
        for mut object in rules["nftables"].as_array().unwrap().clone() {
            for kind in ["table", "chain", "rule", "set"] {
                object.get_mut(kind).and_then(|o| o.as_object_mut()?.remove("handle"));
            }
            if object.get("metainfo").is_none() {
                lines.push_str(&format!("{object}\n"));
            }
        }
        lines
    };
    let bridge = host.ok("ip -br link | grep -o '^skein-[0-9a-f]*'");
    let rules = read(host.ok("nft -j list ruleset")).replace(bridge.trim(), "OURS");
    let (start, end) = (rules.find("172.").unwrap(), rules.find("\",\"len\":20").unwrap());
    expect_test::expect![[r#"
        {"table":{"family":"ip","name":"OURS"}}
        {"set":{"elem":["10.9.0.1","10.9.0.2"],"family":"ip","name":"members","table":"OURS","type":"ipv4_addr"}}
        {"chain":{"family":"ip","hook":"postrouting","name":"postrouting","policy":"accept","prio":100,"table":"OURS","type":"nat"}}
        {"chain":{"family":"ip","hook":"forward","name":"forward","policy":"accept","prio":0,"table":"OURS","type":"filter"}}
        {"chain":{"family":"ip","hook":"input","name":"input","policy":"accept","prio":0,"table":"OURS","type":"filter"}}
        {"rule":{"chain":"postrouting","expr":[{"match":{"left":{"payload":{"field":"saddr","protocol":"ip"}},"op":"==","right":{"prefix":{"addr":"BLOCK","len":20}}}},{"match":{"left":{"meta":{"key":"oifname"}},"op":"!=","right":"OURS"}},{"counter":{"bytes":0,"packets":0}},{"masquerade":null}],"family":"ip","table":"OURS"}}
        {"rule":{"chain":"forward","expr":[{"match":{"left":{"meta":{"key":"oifname"}},"op":"==","right":"OURS"}},{"match":{"left":{"ct":{"key":"state"}},"op":"in","right":["established","related"]}},{"accept":null}],"family":"ip","table":"OURS"}}
        {"rule":{"chain":"forward","expr":[{"match":{"left":{"meta":{"key":"oifname"}},"op":"==","right":"OURS"}},{"counter":{"bytes":0,"packets":0}},{"drop":null}],"family":"ip","table":"OURS"}}
        {"rule":{"chain":"input","expr":[{"match":{"left":{"payload":{"field":"dport","protocol":"udp"}},"op":"==","right":4789}},{"match":{"left":{"payload":{"field":"saddr","protocol":"ip"}},"op":"!=","right":"@members"}},{"counter":{"bytes":0,"packets":0}},{"drop":null}],"family":"ip","table":"OURS"}}
    "#]].assert_eq(&rules.replace(&rules[start..end], "BLOCK"));
    let inside = stdout("", daemon.in_task(task(2), "nft -j list ruleset"));
    let inside = read(inside)
        .replace(&dns.udp.local_addr().unwrap().port().to_string(), "UDP")
        .replace(&dns.tcp.local_addr().unwrap().port().to_string(), "TCP");
    expect_test::expect![[r#"
        {"table":{"family":"ip","name":"skein"}}
        {"chain":{"family":"ip","hook":"output","name":"output","policy":"accept","prio":-100,"table":"skein","type":"nat"}}
        {"rule":{"chain":"output","expr":[{"match":{"left":{"payload":{"field":"daddr","protocol":"ip"}},"op":"==","right":"127.0.0.11"}},{"match":{"left":{"payload":{"field":"dport","protocol":"udp"}},"op":"==","right":53}},{"dnat":{"addr":"127.0.0.11","port":UDP}}],"family":"ip","table":"skein"}}
        {"rule":{"chain":"output","expr":[{"match":{"left":{"payload":{"field":"daddr","protocol":"ip"}},"op":"==","right":"127.0.0.11"}},{"match":{"left":{"payload":{"field":"dport","protocol":"tcp"}},"op":"==","right":53}},{"dnat":{"addr":"127.0.0.11","port":TCP}}],"family":"ip","table":"skein"}}
    "#]].assert_eq(&inside);
}

/// Not a benchmark, a ceiling: what a container's start waits for must stay near its few milliseconds, also when tests share the cores.
#[test]
#[expect(clippy::disallowed_methods, reason = "measures the real kernel")]
fn attaching_takes_milliseconds() {
    let host = Host::new();
    let daemon = Daemon::start(&host, "one");
    daemon.sync(&overlay(&[2], &[], &[]));
    let mut spans: Vec<_> = (2..12)
        .map(|n| {
            let start = std::time::Instant::now();
            daemon.attach(task(n), &[plug(net(), n)], Outside::Reachable);
            start.elapsed()
        })
        .collect();
    spans.sort();
    println!("attach: median {:?}, worst {:?}", spans[5], spans[9]);
    assert!(spans[5].as_millis() < 100, "{spans:?}");
}

/// Asks from inside a container as its C library would: through 127.0.0.11, our sockets, and the host's resolver.
#[test]
fn containers_find_names_and_the_outside() {
    use crate::dns::{ContainerZones, DnsServer};
    use std::sync::Arc;

    let (a, b) = two_hosts();
    let daemon = Daemon::start(&a, "one");
    daemon.sync(&overlay(&[2], &[], &[]));
    let attached = daemon.attach(task(2), &[plug(net(), 2)], Outside::Closed);
    let zone = skein_events::view::dns::Zone {
        network: net(),
        name: "front".to_owned(),
        internal: false,
        addresses: [("web".to_owned(), vec![leg(2).ip, leg(3).ip])].into(),
        pointers: [(leg(2).ip, "web.1.abc".to_owned())].into(),
    };
    let zones = ContainerZones { zones: vec![Arc::new(zone)], forward: true };
    let view = Arc::new(arc_swap::ArcSwap::from_pointee(zones));
    let resolv_conf = daemon.run_root.join("resolv.conf");
    std::fs::write(&resolv_conf, format!("nameserver 127.0.0.11\nnameserver {B}\n")).unwrap();
    // The host's resolver, on the other host: it knows every name under one address, and none that begins with "no".
    let resolver = netns::on_thread(|| {
        b.0.enter().unwrap();
        std::net::UdpSocket::bind((B, 53)).unwrap()
    });
    std::thread::scope(|scope| {
        let resolver = &resolver;
        scope.spawn(move || {
            let mut buffer = [0; 512];
            while let Ok((n, from)) = resolver.recv_from(&mut buffer) {
                if n == 0 {
                    return;
                }
                resolver.send_to(&upstream(&buffer[..n]), from).unwrap();
            }
        });
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let (ready, is_ready) = std::sync::mpsc::channel();
        let (host, dns) = (&a, attached.dns.unwrap());
        let (path, serving) = (&resolv_conf, view.clone());
        scope.spawn(move || {
            host.0.enter().unwrap();
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let server = DnsServer::new(path, 1).unwrap();
                server.serve(task(2), dns, serving).unwrap();
                ready.send(()).unwrap();
                let _ = stopped.await;
            });
        });
        is_ready.recv().unwrap();
        let look_up = |name: &str| {
            let output = daemon.in_task(task(2), &format!("busybox nslookup {name} 127.0.0.11"));
            String::from_utf8_lossy(&output.stdout).into_owned()
        };
        let looked_up =
            [look_up("web"), look_up("web.front"), look_up("10.0.1.2"), look_up("example.org")];
        let nothing = look_up("no.example.org");
        view.store(Arc::new(ContainerZones {
            forward: false,
            ..ContainerZones::clone(&view.load())
        }));
        let internal = look_up("example.org");
        stop.send(()).unwrap();
        let end = || std::net::UdpSocket::bind((B, 0)).unwrap().send_to(&[], (B, 53)).unwrap();
        netns::on_thread(|| {
            b.0.enter().unwrap();
            end();
        });
        for text in &looked_up[..2] {
            assert!(text.contains("10.0.1.2") && text.contains("10.0.1.3"), "{text}");
        }
        assert!(looked_up[2].contains("web.1.abc.front"), "{}", looked_up[2]);
        assert!(looked_up[3].contains("192.0.2.7"), "{}", looked_up[3]);
        assert!(nothing.contains("NXDOMAIN"), "{nothing}");
        assert!(internal.contains("NXDOMAIN") && !internal.contains("192.0.2.7"), "{internal}");
    });
}

/// What the resolver of that test answers.
fn upstream(question: &[u8]) -> Vec<u8> {
    use hickory_proto::op::{Message, ResponseCode};
    use hickory_proto::rr::rdata::A;
    use hickory_proto::rr::{RData, Record, RecordType};

    let asked = Message::from_vec(question).unwrap();
    let query = asked.queries[0].clone();
    let mut answer = Message::response(asked.metadata.id, asked.metadata.op_code);
    let known = !query.name().to_string().starts_with("no.");
    if known && query.query_type() == RecordType::A {
        let ip = A(Ipv4Addr::new(192, 0, 2, 7));
        answer.add_answer(Record::from_rdata(query.name().clone(), 60, RData::A(ip)));
    } else if !known {
        answer.metadata.response_code = ResponseCode::NXDomain;
    }
    answer.add_query(query);
    answer.to_vec().unwrap()
}
