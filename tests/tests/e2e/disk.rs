//! The disk below the data root: full, and damaged. Containers go on; what was acknowledged is there afterwards.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use crate::daemon::{Daemon, runs};
use crate::host::{Host, run, until};

const WEB: &str = "service create --detach --name web --replicas 2 --network shop \
    --endpoint-mode dnsrr --restart-delay 0s hello:1 sleep 3600";

/// A daemon on a small file system of its own.
fn on_a_small_disk() -> Daemon {
    let mut daemon = Daemon::stopped(Arc::new(Host::new()));
    let mount = ["-t", "tmpfs", "-o", "size=160m", "skein-e2e"];
    let said = run(Command::new("mount").args(mount).arg(daemon.data()));
    assert_eq!(said.code, 0, "{said:?}");
    daemon.resume(&[]);
    daemon.make_swarm();
    daemon
}

/// Takes all the space there is; removing the file gives it back.
fn fill(daemon: &Daemon) -> PathBuf {
    let filler = daemon.data().join("filler");
    let mut file = fs::File::create(&filler).expect("a file can be made");
    let block = vec![1; 1 << 16];
    while file.write_all(&block).is_ok() {}
    filler
}

#[test]
fn a_full_disk_refuses_commands_keeps_containers_and_heals() {
    let mut daemon = on_a_small_disk();
    daemon.ok(WEB);
    daemon.await_replicas("web", "2/2");
    let before = [daemon.process("web.1"), daemon.process("web.2")];
    let filler = fill(&daemon);
    for command in [
        "network create -d overlay more",
        "service scale --detach web=3",
        "node update --label-add a=b self",
    ] {
        let text = daemon.refused(command);
        assert!(text.contains("no space left on the disk of"), "{text}");
    }
    assert!(daemon.status_of("/readyz").starts_with("HTTP/1.1 503"));
    // What can be read still is, and what runs still does.
    assert_eq!(daemon.rows("network ls").len(), 1);
    assert!(before.iter().all(|pid| runs(*pid)), "a container ended");
    fs::remove_file(&filler).expect("the file is there");
    until("commands are taken again", || {
        (daemon.skein("network create -d overlay more").code == 0).then_some(())
    });
    assert!(before.iter().all(|pid| runs(*pid)), "a container ended");
    crate::daemon::signal(before[0], "KILL");
    until("its end is told", || {
        daemon.ok("service ps web").contains("task: non-zero exit (137)").then_some(())
    });
    daemon.await_replicas("web", "2/2");
    assert!(runs(before[1]), "a container ended");
    assert!(daemon.ok("verify").starts_with("ok: "));
    daemon.kill();
    daemon.resume(&[]);
    assert_eq!(daemon.rows("network ls").len(), 2);
    daemon.await_replicas("web", "2/2");
}

#[test]
fn a_container_that_ends_on_a_full_disk_keeps_its_exit_code() {
    let mut daemon = on_a_small_disk();
    daemon.ok(WEB);
    daemon.await_replicas("web", "2/2");
    let [first, second] = [daemon.process("web.1"), daemon.process("web.2")];
    let filler = fill(&daemon);
    // One ends while the daemon listens, the other while nobody does: then its shim's file is all there is.
    crate::daemon::signal(first, "KILL");
    until("the first container is gone", || (!runs(first)).then_some(()));
    daemon.kill();
    crate::daemon::signal(second, "KILL");
    until("the second container is gone", || (!runs(second)).then_some(()));
    fs::remove_file(&filler).expect("the file is there");
    daemon.resume(&[]);
    until("both ends are told", || {
        let told = daemon.ok("service ps --no-trunc web");
        (told.matches("task: non-zero exit (137)").count() == 2).then_some(())
    });
    daemon.await_replicas("web", "2/2");
}

#[test]
fn a_damaged_log_is_named_and_left_as_it_is() {
    let mut daemon = Daemon::start();
    daemon.ok("swarm init --advertise-addr 127.0.0.1");
    daemon.ok("network create -d overlay -m 'a reason to look for' shop");
    daemon.terminate();
    let file = daemon.data().join("swarm/log.redb");
    let whole = fs::read(&file).expect("the log is there");
    let wanted = b"a reason to look for";
    let mut bad = whole.clone();
    let mut at = 0;
    while let Some(found) = bad[at..].windows(wanted.len()).position(|w| w == wanted) {
        bad[at + found] ^= 1;
        at += found + 1;
    }
    assert!(at > 0, "the reason is in the log");
    fs::write(&file, &bad).expect("the log can be written");
    daemon.spawn(&[]);
    let status = until("the daemon gives up", || daemon.ended());
    assert_eq!(status.code(), Some(1), "{}", daemon.words());
    let words = daemon.words();
    assert!(words.contains("(records from @") && words.contains("is damaged: its hash"), "{words}");
    assert!(words.contains("the way out: put a copy of"), "{words}");
    fs::write(&file, &whole).expect("the log can be written");
    daemon.resume(&[]);
    assert_eq!(daemon.rows("network ls").len(), 1);
}
