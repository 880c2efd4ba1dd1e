//! Several daemons on one machine, and roots that are taken.

use std::sync::Arc;

use crate::daemon::Daemon;
use crate::host::{Host, run};

const WEB: &str = "service create --detach --name web --replicas 2 --network shop \
    --endpoint-mode dnsrr hello:1 sleep 3600";

#[test]
fn daemons_live_side_by_side_in_namespaces() {
    let daemons = [Daemon::with_swarm(), Daemon::with_swarm()];
    for daemon in &daemons {
        daemon.ok(WEB);
    }
    for daemon in &daemons {
        daemon.await_replicas("web", "2/2");
        assert_eq!(daemon.addresses("web.1", "web"), ["10.0.1.2", "10.0.1.3"]);
    }
    let [one, mut other] = daemons;
    one.ok("service rm web");
    drop(one);
    other.kill();
    other.resume(&[]);
    other.await_replicas("web", "2/2");
}

#[test]
fn daemons_live_side_by_side_in_one_namespace_on_ports_of_their_own() {
    let host = Arc::new(Host::new());
    let one = Daemon::start_on(Arc::clone(&host));
    let other = Daemon::start_on(host);
    one.make_swarm();
    let refused = other.refused("swarm init --advertise-addr 127.0.0.1");
    assert!(refused.contains("give one of them another --data-path-port"), "{refused}");
    // Nothing was made, so it can be said again.
    other.ok("swarm init --advertise-addr 127.0.0.1 --data-path-port 4790");
    other.load();
    other.ok("network create -d overlay shop");
    for daemon in [&one, &other] {
        daemon.ok(WEB);
    }
    for daemon in [&one, &other] {
        daemon.await_replicas("web", "2/2");
        assert_eq!(daemon.addresses("web.1", "web").len(), 2);
    }
}

#[test]
fn a_root_has_one_daemon() {
    let daemon = Daemon::start();
    let said = run(&mut daemon.command());
    assert_eq!(said.code, 1, "{said:?}");
    let roots = daemon.data().display();
    let taken = format!("another daemon, process {}, runs on {roots}", daemon.pid());
    assert!(said.stderr.contains(&taken), "{said:?}");
    daemon.ok("image ls");
    // Other roots, but the same socket.
    let other = tempfile::tempdir().expect("a folder");
    let mut command = daemon.host.command(crate::daemon::binary());
    command.arg("daemon").arg("--data-root").arg(other.path()).arg("--run-root");
    let said = run(command.arg(other.path()).arg("--host").arg(daemon.url()));
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.stderr.contains("another daemon listens on"), "{said:?}");
    daemon.ok("image ls");
    // Other data, but the same run root: what is there is not the newcomer's to clear away.
    let mut command = daemon.host.command(crate::daemon::binary());
    command.arg("daemon").arg("--data-root").arg(other.path()).arg("--run-root");
    let socket = format!("unix://{}", other.path().join("s.sock").display());
    let said = run(command.arg(daemon.run_root()).arg("--host").arg(socket));
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.stderr.contains("run root in use: another daemon, process"), "{said:?}");
}
