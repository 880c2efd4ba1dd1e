//! The past put back: an older copy of the log, none, or another swarm's, under a node that knows better.

use std::fs;

use crate::daemon::Daemon;
use crate::host::{run, until};

/// Starts a daemon that is to refuse, and answers what it said.
fn refused(daemon: &Daemon) -> String {
    let said = run(&mut daemon.command());
    assert_eq!(said.code, 1, "{said:?}");
    said.stderr
}

#[test]
fn a_log_that_was_put_back_is_refused_and_named() {
    let mut daemon = Daemon::with_swarm();
    let swarm = daemon.data().join("swarm");
    let kept = daemon.run_root().join("log.old");
    daemon.terminate();
    fs::copy(swarm.join("log.redb"), &kept).expect("a copy");
    daemon.resume(&[]);
    daemon.ok("network create -d overlay later");
    let verified = daemon.ok("verify");
    let cursor = verified.lines().find_map(|line| line.strip_prefix("cursor: ")).expect("a cursor");
    let against = format!("verify --against {cursor}");
    assert!(daemon.ok(&against).contains("is on this history"));
    let head = daemon.head();
    until("the head is noted", || {
        let text = fs::read_to_string(swarm.join("head.json")).ok()?;
        let noted: serde_json::Value = serde_json::from_str(&text).ok()?;
        (noted["position"].as_u64()? >= head).then_some(())
    });
    daemon.terminate();

    let newest = daemon.run_root().join("log.new");
    fs::copy(swarm.join("log.redb"), &newest).expect("a copy");
    fs::copy(&kept, swarm.join("log.redb")).expect("a copy");
    let text = refused(&daemon);
    assert!(text.contains("an older copy of it") && text.contains("head.json"), "{text}");
    // No log at all is no new beginning either: keys and containers are still this swarm's.
    fs::remove_file(swarm.join("log.redb")).expect("it is there");
    let text = refused(&daemon);
    assert!(text.contains("or none, is in its place"), "{text}");
    assert!(swarm.join("member.json").exists(), "nothing was erased");

    fs::copy(&newest, swarm.join("log.redb")).expect("a copy");
    daemon.resume(&[]);
    assert_eq!(daemon.rows("network ls").len(), 2);
    daemon.terminate();
    // Whoever wants the older one says so; who noted the head elsewhere still notices.
    fs::copy(&kept, swarm.join("log.redb")).expect("a copy");
    fs::remove_file(swarm.join("head.json")).expect("it is there");
    daemon.resume(&[]);
    assert_eq!(daemon.rows("network ls").len(), 1);
    let text = daemon.refused(&against);
    assert!(text.contains("the history does not have"), "{text}");
}
