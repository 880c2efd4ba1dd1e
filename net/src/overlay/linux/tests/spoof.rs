//! What a hostile container sends, as root and with packet sockets: held to what it was given, on both bridges.
//! Each attack is also made with the rules away, so that it is known to be one.

use super::frames::{EVERYBODY, Tap, arp, ethernet, holds, ip, ping, syn, udp, vxlan};
use super::*;

const IPV4: u16 = 0x0800;
const ARP: u16 = 0x0806;

impl Daemon {
    fn place(&self, file: &str) -> Netns {
        Netns::open(&self.run_root.join("netns").join(file)).unwrap()
    }
    fn tap(&self, task: TaskId, link: &str) -> Tap {
        Tap::open(&self.place(&task.to_string()), link)
    }
    fn in_outlet(&self, command: &str) -> String {
        stdout(command, self.in_file("net-gateway", command))
    }
}

/// The Ethernet address `ip` shows.
fn mac(shown: &str) -> Mac {
    let (_, rest) = shown.split_once("link/ether ").unwrap();
    let text = rest.split(' ').next().unwrap();
    let bytes: Vec<u8> = text.split(':').map(|b| u8::from_str_radix(b, 16).unwrap()).collect();
    Mac(bytes.try_into().unwrap())
}

/// Where in a packet its mark goes: behind the packet's end some machines cut it off.
const PLACE: &[u8] = b"<attack ___>";
const HONEST: &[u8] = b"<honest>";

fn mark(n: usize) -> Vec<u8> {
    format!("<attack {n:03}>").into_bytes()
}

/// Sends them all and then an honest one; which of them were heard.
fn heard(by: &Tap, from: &Tap, attacks: &[(String, Vec<u8>)], honest: &[u8]) -> Vec<String> {
    for (n, (_, frame)) in attacks.iter().enumerate() {
        let mut frame = frame.clone();
        match frame.windows(PLACE.len()).position(|window| window == PLACE) {
            Some(at) => frame[at..at + PLACE.len()].copy_from_slice(&mark(n)),
            None => frame.extend(mark(n)),
        }
        from.send(&frame);
    }
    from.send(honest);
    let frames = by.until(HONEST);
    let among = |n: usize| frames.iter().any(|frame| holds(frame, &mark(n)));
    let found = attacks.iter().enumerate().filter(|(n, _)| among(*n));
    found.map(|(_, (name, _))| name.clone()).collect()
}

/// Frames that a container at `own` may not send, to `to`, on a network on which these others are.
fn spoofed(
    own: (Mac, Ipv4Addr),
    to: (Mac, Ipv4Addr),
    others: &[(Mac, Ipv4Addr)],
) -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    let mut add = |name: String, frame: Vec<u8>| all.push((name, frame));
    let hello = |from: Ipv4Addr| udp((from, 1111), (to.1, 9999), PLACE);
    for at in [to.0, EVERYBODY] {
        for (mac, ip) in others {
            add(format!("source {ip}"), ethernet(at, own.0, IPV4, &hello(*ip)));
            add(format!("sender {mac}"), ethernet(at, *mac, IPV4, &hello(own.1)));
            add(format!("{mac} and {ip}"), ethernet(at, *mac, IPV4, &hello(*ip)));
            for what in [1, 2] {
                let say = |sender, ether| ethernet(at, ether, ARP, &arp(what, sender, to));
                add(format!("ARP {what}: {ip} is mine"), say((own.0, *ip), own.0));
                add(format!("ARP {what}: mine is at {mac}"), say((*mac, own.1), own.0));
                add(format!("ARP {what}: {ip} as {mac}"), say((*mac, *ip), own.0));
                add(format!("ARP {what}: sent as {mac}"), say(own, *mac));
                add(format!("ARP {what}: all {ip}"), say((*mac, *ip), *mac));
                // Gratuitous: sender and target are one.
                let told = arp(what, (own.0, *ip), (EVERYBODY, *ip));
                add(format!("ARP {what}: gratuitous {ip}"), ethernet(at, own.0, ARP, &told));
            }
        }
        for source in ["0.0.0.0", "127.0.0.1", "255.255.255.255", "224.0.0.1", "8.8.8.8"] {
            let from = source.parse().unwrap();
            add(format!("source {source}"), ethernet(at, own.0, IPV4, &hello(from)));
            let told = arp(1, (own.0, from), to);
            add(format!("ARP from {source}"), ethernet(at, own.0, ARP, &told));
        }
        let mut odd = arp(2, own, to);
        odd[4] = 8;
        add("ARP of another hardware".to_owned(), ethernet(at, own.0, ARP, &odd));
        let good = hello(own.1);
        for (name, tag) in [
            ("8100 0", [0x81, 0, 0, 0]),
            ("8100 5", [0x81, 0, 0, 5]),
            ("88a8 5", [0x88, 0xa8, 0, 5]),
        ] {
            let tagged = [&tag[2..], &[8, 0], &good].concat();
            let kind = u16::from_be_bytes([tag[0], tag[1]]);
            add(format!("VLAN {name}"), ethernet(at, own.0, kind, &tagged));
            let twice = [&tag[2..], &[0x81, 0, 0, 7, 8, 0], &good].concat();
            add(format!("VLAN twice {name}"), ethernet(at, own.0, kind, &twice));
        }
        let mut six = vec![0x60, 0, 0, 0, 0, 40, 59, 64];
        six.extend([0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1].repeat(2));
        for (kind, name) in [
            (0x86dd, "IPv6"),
            (0x8035, "RARP"),
            (0x8847, "MPLS"),
            (0x88cc, "LLDP"),
            (0x8864, "PPPoE"),
            (0x22f0, "AVB"),
            (0x88f7, "PTP"),
            (0x9000, "loopback"),
            (64, "LLC"),
            (0, "nothing"),
        ] {
            add(format!("a frame of {name}"), ethernet(at, own.0, kind, &six));
        }
    }
    all
}

#[test]
fn on_an_overlay_a_container_is_held_to_its_addresses() {
    let ((_a, one), (_b, two)) = two_nodes();
    let desired = overlay(&[2, 4, 5], &[(3, B)], &[A, B]);
    one.sync(&desired);
    two.sync(&overlay(&[3], &[(2, A), (4, A), (5, A)], &[A, B]));
    one.attach(task(4), &[plug(net(), 4)], Outside::Closed);
    one.attach(task(5), &[plug(net(), 5)], Outside::Closed);
    let own = |n: u8| (leg(n).mac, leg(n).ip);
    let bridge = mac(&one.in_network(net(), "ip -o link show br0"));
    let gateway = (bridge, Ipv4Addr::new(10, 0, 1, 1));
    let nobody = (Mac([2, 0, 0, 0, 0, 9]), Ipv4Addr::new(10, 0, 1, 99));
    let attacks = spoofed(own(2), own(4), &[own(4), own(5), own(3), gateway, nobody]);
    let honest = ethernet(own(4).0, own(2).0, IPV4, &udp((own(2).1, 1), (own(4).1, 9), HONEST));
    assert!(one.pings(task(2), own(4).1));
    let (from, by) = (one.tap(task(2), "eth0"), one.tap(task(4), "eth0"));
    assert_eq!(heard(&by, &from, &attacks, &honest), [""; 0]);
    // Nor over the tunnel: what is for a container elsewhere.
    let remote = spoofed(own(2), own(3), &[own(3), own(5), nobody]);
    let far = ethernet(own(3).0, own(2).0, IPV4, &udp((own(2).1, 1), (own(3).1, 9), HONEST));
    let there = two.tap(task(3), "eth0");
    assert_eq!(heard(&there, &from, &remote, &far), [""; 0]);
    // Frames a bridge keeps for itself teach it nothing and are answered by nobody: not to whom they claim to be from.
    let groups = |text: &'static [u8]| {
        move |last: u8| {
            let asked = ping(own(4).1, gateway.1, text);
            ethernet(Mac([1, 0x80, 0xc2, 0, 0, last]), own(2).0, IPV4, &asked)
        }
    };
    let reflected = || {
        for last in 0..16 {
            from.send(&groups(b"reflected?")(last));
        }
        from.send(&honest);
        by.until(HONEST).iter().filter(|frame| holds(frame, b"reflected?")).count()
    };
    assert_eq!(reflected(), 0);
    for last in 0..16 {
        let group = Mac([1, 0x80, 0xc2, 0, 0, last]);
        let claimed = udp((own(4).1, 1), (own(5).1, 9), PLACE);
        from.send(&ethernet(group, own(4).0, IPV4, &claimed));
        from.send(&ethernet(group, own(4).0, 0x88cc, &claimed));
    }
    assert_eq!(heard(&by, &from, &[], &honest), [""; 0]);
    let fdb = one.in_network(net(), "bridge fdb show br br0");
    let rows: Vec<_> = fdb.lines().filter(|l| l.starts_with(&own(4).0.to_string())).collect();
    assert_eq!(rows.len(), 1, "{fdb}");
    assert!(
        rows[0].contains(&format!("t-{} ", task(4).short())) && rows[0].contains("static"),
        "{fdb}"
    );
    one.in_task(task(5), "ip neigh flush all");
    assert!(one.pings(task(5), own(4).1));
    // The same frames without the rules, and with them again.
    one.in_network(net(), "nft flush ruleset; echo 0 >/proc/sys/net/ipv4/conf/all/rp_filter");
    let open = heard(&by, &from, &attacks, &honest);
    assert!(open.len() > attacks.len() * 8 / 10, "{} of {}", open.len(), attacks.len());
    assert!(reflected() > 0);
    one.sync(&desired);
    assert_eq!(heard(&by, &from, &attacks, &honest), [""; 0]);
    // Those lies were believed.
    let poisoned = stdout("", one.in_task(task(4), "ip neigh"));
    assert!(poisoned.contains(&format!("{} dev eth0 lladdr {}", own(5).1, own(2).0)), "{poisoned}");
    one.in_task(task(4), "ip neigh flush all");
    one.in_task(task(5), "ip neigh flush all");
    for damage in [
        "nft flush set bridge skein grants",
        "nft add rule bridge skein prerouting accept; nft insert rule bridge skein prerouting accept",
    ] {
        one.in_network(net(), damage);
        one.sync(&desired);
        assert!(one.pings(task(5), own(4).1), "{damage}");
        assert_eq!(heard(&by, &from, &attacks, &honest), [""; 0], "{damage}");
    }
}

#[test]
fn on_the_gateway_bridge_a_container_is_held_to_its_address_and_off_daemons_ports() {
    let (a, _b) = two_hosts();
    let daemon = Daemon::start(&a, "one");
    let desired = overlay(&[2, 3], &[], &[A, B]);
    daemon.sync(&desired);
    let ip_of = |n: u8| {
        let attached = daemon.attach(task(n), &[plug(net(), n)], Outside::Reachable);
        attached.gateway_ip.unwrap()
    };
    let names = crate::overlay::linux::names::Names::new("one", &daemon.run_root);
    let (own, other) = (ip_of(2), ip_of(3));
    let (own, other) = ((names.gateway_mac(own), own), (names.gateway_mac(other), other));
    let host = (names.mac("gateway"), super::super::gateway::address(daemon.kernel.inner.subnet));
    assert!(daemon.pings(task(2), B) && daemon.pings(task(3), B));
    let from = daemon.tap(task(2), "eth1");
    let by = Tap::open(&a.0, &names.gateway());
    let honest = ethernet(host.0, own.0, IPV4, &udp((own.1, 1), (host.1, 9), HONEST));
    let resolver = (Mac([2, 0, 0, 0, 0, 9]), B);
    let mut attacks = spoofed(own, host, &[other, host, resolver]);
    let spoofs = attacks.len();
    let mut add = |name: &str, packet: Vec<u8>| {
        attacks.push((name.to_owned(), ethernet(host.0, own.0, IPV4, &packet)));
    };
    let everybody = [daemon.kernel.inner.subnet.last(), Ipv4Addr::BROADCAST];
    for there in [host.1, A, B, everybody[0], everybody[1]] {
        for port in [2377, 7946, 9323] {
            add(&format!("TCP {there}:{port}"), syn((own.1, 1), (there, port), PLACE));
            add(&format!("UDP {there}:{port}"), udp((own.1, 1), (there, port), PLACE));
        }
        add(&format!("VXLAN to {there}"), udp((own.1, 1), (there, 4789), &vxlan(4096, PLACE)));
    }
    add("VXLAN to anybody", udp((own.1, 1), (Ipv4Addr::new(192, 0, 2, 1), 4789), PLACE));
    add("VXLAN with a piece to follow", {
        let mut packet = udp((own.1, 1), (host.1, 4789), PLACE);
        packet[6] = 0x20;
        packet
    });
    add("loopback", udp((own.1, 1), (Ipv4Addr::new(127, 0, 0, 1), 53), PLACE));
    add("loopback 2", syn((own.1, 1), (Ipv4Addr::new(127, 9, 9, 9), 80), PLACE));
    add("the neighbour", ip(own.1, other.1, 1, &[&[8, 0, 0, 0], PLACE].concat()));
    // By way of the members, what a container sends has this machine's address: it must not leave.
    assert_eq!(heard(&by, &from, &attacks, &honest), [""; 0]);
    // The rules of the host are of no account for that.
    a.ok("nft flush ruleset");
    assert_eq!(heard(&by, &from, &attacks, &honest), [""; 0]);
    daemon.sync(&desired);
    // A socket of the host that is connected to its resolver hears nobody else.
    let socket = netns::on_thread(|| {
        a.0.enter().unwrap();
        let socket = std::net::UdpSocket::bind((A, 0)).unwrap();
        socket.connect((B, 53)).unwrap();
        socket.set_nonblocking(true).unwrap();
        socket
    });
    let port = socket.local_addr().unwrap().port();
    let forged = ethernet(host.0, own.0, IPV4, &udp((B, 53), (A, port), PLACE));
    assert_eq!(heard(&by, &from, &[("forged".to_owned(), forged)], &honest), [""; 0]);
    assert!(socket.recv(&mut [0; 99]).is_err());
    // Who is where is told by rows.
    let rows = a.ok("ip neigh show");
    for (mac, ip) in [own, other] {
        let row = format!("{ip} dev {} lladdr {mac} PERMANENT", names.gateway());
        assert!(rows.contains(&row), "{rows}");
    }
    // Without the rules of the ways out most of it passes, and some daemons' ports are still closed by the host's.
    daemon.in_outlet("nft flush ruleset");
    let open = heard(&by, &from, &attacks, &honest);
    assert!(open.len() > spoofs * 8 / 10, "{} of {}", open.len(), attacks.len());
    daemon.sync(&desired);
    assert_eq!(heard(&by, &from, &attacks, &honest), [""; 0]);
    assert!(daemon.pings(task(2), B) && daemon.pings(task(3), B), "honest ones pass");
    assert!(daemon.misses(task(2), other.1));
}

#[test]
fn ways_out_taken_away_by_hand_are_healed_and_end_with_the_last_container() {
    let (a, _b) = two_hosts();
    let daemon = Daemon::start(&a, "one");
    let desired = overlay(&[2, 3], &[], &[A, B]);
    daemon.sync(&desired);
    daemon.attach(task(2), &[plug(net(), 2)], Outside::Reachable);
    daemon.attach(task(3), &[plug(net(), 3)], Outside::Reachable);
    let outlet = daemon.run_root.join("netns/net-gateway");
    let damages: [&dyn Fn() -> String; 7] = [
        &|| daemon.in_outlet("ip link del $(ip -br link | grep -o '^sk[-0-9a-f]*' | head -1)"),
        &|| daemon.in_outlet("ip link del up0"),
        &|| daemon.in_outlet("ip link set up0 nomaster; ip link set br0 down"),
        &|| daemon.in_outlet("ip link del br0"),
        &|| a.ok("ip link del $(ip -br link | grep -o '^skein-[0-9a-f]*')"),
        &|| {
            netns::unpin(&outlet).unwrap();
            String::new()
        },
        &|| {
            daemon.in_outlet("nft flush ruleset; nft add table bridge skein; nft add chain bridge skein prerouting '{ type filter hook prerouting priority -200; policy drop; }'")
        },
    ];
    for (n, damage) in damages.iter().enumerate() {
        damage();
        let lost = daemon.misses(task(2), B) || daemon.misses(task(3), B);
        // A namespace without its file is still there.
        assert!(lost || n == 5, "damage {n} did nothing");
        daemon.sync(&desired);
        assert!(daemon.pings(task(2), B) && daemon.pings(task(3), B), "damage {n} stays");
        let routes = stdout("", daemon.in_task(task(2), "ip route show default"));
        assert_eq!(routes.lines().count(), 1, "{routes}");
    }
    wait(daemon.kernel.detach(task(2))).unwrap();
    assert!(daemon.pings(task(3), B) && outlet.exists());
    wait(daemon.kernel.detach(task(3))).unwrap();
    assert!(!outlet.exists());
    assert!(!a.ok("ip -br link").contains("su"), "the wire goes too");
}

#[test]
fn rules_that_somebody_flushed_are_back_at_once_and_two_daemons_do_not_chase_each_other() {
    let host = Host::new();
    let (one, two) = (Daemon::start(&host, "one"), Daemon::start(&host, "two"));
    one.sync(&overlay(&[2], &[], &[A, B]));
    two.sync(&NodeOverlay { data_path_port: 4790, ..overlay(&[3], &[], &[A, B]) });
    let before = host.ok("nft list ruleset | sort");
    for by in [
        "flush ruleset",
        "delete table ip $(nft list tables | grep -o 'skein-[0-9a-f]*' | head -1)",
    ] {
        host.ok(&format!("nft {by}"));
        let healed = (0..500).any(|_| host.ok("nft list ruleset | sort") == before);
        assert!(healed, "{by}: {}", host.ok("nft list ruleset"));
    }
    let generation = || host.ok("nft -a list ruleset");
    let settled = (0..500).any(|_| generation() == generation());
    assert!(settled);
}

#[test]
fn the_tunnels_port_hears_members_by_their_own_way_only() {
    let ((a, one), (b, _two)) = two_nodes();
    // A second wire into the first machine, by which members do not come.
    a.ok("ip link add side type veth peer name edge; ip addr add 10.8.0.1/24 dev side; ip link set side up; ip link set edge up");
    let frame = |text: &str| {
        let inner = udp((leg(3).ip, 1111), (leg(2).ip, 9999), text.as_bytes());
        vxlan(4096, &ethernet(leg(2).mac, leg(3).mac, IPV4, &inner))
    };
    let send = |host: &Host, from: Ipv4Addr, to: Ipv4Addr| {
        netns::on_thread(|| {
            host.0.enter().unwrap();
            let socket = std::net::UdpSocket::bind((from, 0)).unwrap();
            socket.send_to(&frame("from-a-program"), (to, 4789)).is_ok()
        })
    };
    let by = one.tap(task(2), "eth0");
    assert!(one.pings(task(2), leg(3).ip));
    // No program of a member speaks to a tunnel's port, here or there; to others it may.
    assert!(!send(&a, A, A) && !send(&b, B, A) && !send(&a, A, B));
    assert!(send(&a, A, Ipv4Addr::new(10, 9, 0, 7)));
    // Nor with the rules of that away, from here: with a member's address, whoever's it is.
    a.ok("nft flush chain ip $(nft list tables | grep -o 'skein-[0-9a-f]*') output");
    send(&a, A, A);
    a.ok("ip addr add 10.9.0.2/32 dev lo");
    send(&a, B, A);
    a.ok("ip addr del 10.9.0.2/32 dev lo");
    let edge = Tap::open(&a.0, "edge");
    let side = mac(&a.ok("ip -o link show side"));
    let packet = udp((B, 1111), (A, 4789), &frame("from-the-side"));
    edge.send(&ethernet(side, Mac([2, 0, 0, 0, 0, 7]), IPV4, &packet));
    // Nor a sender that is nobody's there, though a member says it.
    let inner = udp((Ipv4Addr::new(10, 0, 1, 77), 1), (leg(2).ip, 9), b"from-nobody");
    let nobody = vxlan(4096, &ethernet(leg(2).mac, Mac([2, 0, 0, 0, 0, 8]), IPV4, &inner));
    let (wire, near) = (Tap::open(&b.0, "wire"), mac(&a.ok("ip -o link show wire")));
    let by_wire = |text: &[u8]| {
        let packet = udp((B, 1111), (A, 4789), text);
        wire.send(&ethernet(near, Mac([2, 0, 0, 0, 0, 7]), IPV4, &packet));
    };
    by_wire(&nobody);
    by_wire(&frame("<honest>"));
    let frames = by.until(b"<honest>");
    assert!(!frames.iter().any(|frame| holds(frame, b"from-")), "{frames:?}");
    let six = a.ok("ss -Hlun6 'sport = 4789' || true");
    assert_eq!(six, "", "the tunnel does not listen on IPv6");
}
