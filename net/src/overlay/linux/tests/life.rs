//! Objects over time: healed, removed without a trace, found again, side by side with another daemon's, made fast.

use super::*;

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
        guarded: Vec::new(),
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
