//! The packet rules as `nft` reads them.

use super::*;

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
        {"set":{"elem":[2377,7946,9323],"family":"ip","name":"guarded","table":"OURS","type":"inet_service"}}
        {"set":{"elem":["10.9.0.1","10.9.0.2"],"family":"ip","name":"members","table":"OURS","type":"ipv4_addr"}}
        {"chain":{"family":"ip","hook":"postrouting","name":"postrouting","policy":"accept","prio":100,"table":"OURS","type":"nat"}}
        {"chain":{"family":"ip","hook":"forward","name":"forward","policy":"accept","prio":0,"table":"OURS","type":"filter"}}
        {"chain":{"family":"ip","hook":"input","name":"input","policy":"accept","prio":0,"table":"OURS","type":"filter"}}
        {"chain":{"family":"ip","hook":"output","name":"output","policy":"accept","prio":0,"table":"OURS","type":"filter"}}
        {"rule":{"chain":"postrouting","expr":[{"match":{"left":{"payload":{"field":"saddr","protocol":"ip"}},"op":"==","right":{"prefix":{"addr":"BLOCK","len":20}}}},{"match":{"left":{"meta":{"key":"oifname"}},"op":"!=","right":"OURS"}},{"counter":{"bytes":0,"packets":0}},{"masquerade":null}],"family":"ip","table":"OURS"}}
        {"rule":{"chain":"forward","expr":[{"match":{"left":{"meta":{"key":"oifname"}},"op":"==","right":"OURS"}},{"match":{"left":{"ct":{"key":"state"}},"op":"in","right":["established","related"]}},{"accept":null}],"family":"ip","table":"OURS"}}
        {"rule":{"chain":"forward","expr":[{"match":{"left":{"meta":{"key":"oifname"}},"op":"==","right":"OURS"}},{"counter":{"bytes":0,"packets":0}},{"drop":null}],"family":"ip","table":"OURS"}}
        {"rule":{"chain":"input","expr":[{"match":{"left":{"meta":{"key":"iifname"}},"op":"==","right":"OURS"}},{"match":{"left":{"payload":{"field":"dport","protocol":"tcp"}},"op":"==","right":"@guarded"}},{"counter":{"bytes":0,"packets":0}},{"drop":null}],"family":"ip","table":"OURS"}}
        {"rule":{"chain":"input","expr":[{"match":{"left":{"meta":{"key":"iifname"}},"op":"==","right":"OURS"}},{"match":{"left":{"payload":{"field":"dport","protocol":"udp"}},"op":"==","right":"@guarded"}},{"counter":{"bytes":0,"packets":0}},{"drop":null}],"family":"ip","table":"OURS"}}
        {"rule":{"chain":"input","expr":[{"match":{"left":{"payload":{"field":"dport","protocol":"udp"}},"op":"==","right":4789}},{"match":{"left":{"payload":{"field":"saddr","protocol":"ip"}},"op":"!=","right":"@members"}},{"counter":{"bytes":0,"packets":0}},{"drop":null}],"family":"ip","table":"OURS"}}
        {"rule":{"chain":"input","expr":[{"match":{"left":{"payload":{"field":"dport","protocol":"udp"}},"op":"==","right":4789}},{"match":{"left":{"meta":{"key":"iifname"}},"op":"==","right":"lo"}},{"counter":{"bytes":0,"packets":0}},{"drop":null}],"family":"ip","table":"OURS"}}
        {"rule":{"chain":"input","expr":[{"match":{"left":{"payload":{"field":"dport","protocol":"udp"}},"op":"==","right":4789}},{"match":{"left":{"fib":{"flags":["saddr","iif"],"result":"oif"}},"op":"==","right":"0"}},{"counter":{"bytes":0,"packets":0}},{"drop":null}],"family":"ip","table":"OURS"}}
        {"rule":{"chain":"output","expr":[{"match":{"left":{"payload":{"field":"dport","protocol":"udp"}},"op":"==","right":4789}},{"match":{"left":{"payload":{"field":"daddr","protocol":"ip"}},"op":"==","right":"@members"}},{"match":{"left":{"meta":{"key":"skuid"}},"op":">=","right":0}},{"counter":{"bytes":0,"packets":0}},{"drop":null}],"family":"ip","table":"OURS"}}
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

/// The same of the bridges: one of a network, and that of the ways out.
#[test]
fn nft_reads_the_rules_of_bridges_as_meant() {
    let (a, _b) = two_hosts();
    let daemon = Daemon::start(&a, "one");
    daemon.sync(&overlay(&[2], &[(3, B)], &[A, B]));
    let attached = daemon.attach(task(2), &[plug(net(), 2)], Outside::Reachable);
    let network = daemon.in_network(net(), "nft -s list ruleset");
    let short = |text: String| text.replace(&*task(2).short(), "SHORT").replace('\t', "    ");
    expect_test::expect![[r#"
        table bridge skein {
            set grants {
                type ifname . ether_addr . ipv4_addr
                elements = { "t-SHORT" . 02:07:07:07:07:02 . 10.0.1.2,
                         "vxlan0" . 02:07:07:07:07:03 . 10.0.1.3 }
            }

            chain prerouting {
                type filter hook prerouting priority filter; policy drop;
                iifname . ether saddr . ip saddr @grants accept
                arp htype 1 arp ptype ip arp hlen 6 arp plen 4 iifname . ether saddr . arp saddr ip @grants iifname . arp saddr ether . arp saddr ip @grants accept
                counter drop
            }

            chain input {
                type filter hook input priority filter; policy accept;
                ether daddr 01:80:c2:00:00:00/40 counter drop
            }
        }
    "#]].assert_eq(&short(network));
    let outlet = stdout("", daemon.in_file("net-gateway", "nft -s list ruleset"));
    let [a, b, ..] = daemon.kernel.inner.subnet.base().octets();
    let ip = attached.gateway_ip.unwrap();
    let names = &daemon.kernel.inner.names;
    let block = daemon.kernel.inner.subnet;
    let outlet = outlet
        .replace(&names.gateway_port(ip), "PORT")
        .replace(&names.gateway_mac(ip).to_string(), "MAC")
        .replace(&block.to_string(), "BLOCK")
        .replace(&block.last().to_string(), "LAST")
        .replace(&ip.to_string(), "OWN")
        .replace(&super::super::gateway::address(block).to_string(), "HOST");
    assert!(!outlet.contains(&format!("{a}.{b}.")), "{outlet}");
    expect_test::expect![[r#"
        table bridge skein {
            set grants {
                type ifname . ether_addr . ipv4_addr
                elements = { "PORT" . MAC . OWN }
            }

            set tunnels {
                type inet_service
                elements = { 4789 }
            }

            set guarded {
                type inet_service
                elements = { 2377, 7946, 9323 }
            }

            set hosts {
                type ipv4_addr
                elements = { 10.9.0.1, 10.9.0.2,
                         127.0.0.1, HOST,
                         LAST, 255.255.255.255 }
            }

            chain prerouting {
                type filter hook prerouting priority filter; policy drop;
                iifname "up0" accept
                ip daddr 127.0.0.0/8 counter drop
                ether type ip udp dport @tunnels counter drop
                ip daddr @hosts tcp dport @guarded counter drop
                ip daddr @hosts udp dport @guarded counter drop
                ip daddr HOST iifname . ether saddr . ip saddr @grants accept
                ip daddr BLOCK counter drop
                iifname . ether saddr . ip saddr @grants accept
                arp htype 1 arp ptype ip arp hlen 6 arp plen 4 iifname . ether saddr . arp saddr ip @grants iifname . arp saddr ether . arp saddr ip @grants accept
                counter drop
            }

            chain input {
                type filter hook input priority filter; policy accept;
                ether daddr 01:80:c2:00:00:00/40 counter drop
            }
        }
    "#]].assert_eq(&short(outlet));
}
