//! The log as a user meets it: cursors that resume, values that are erased, moments in every form.

use std::fs;

use serde_json::Value;

use crate::daemon::Daemon;

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect()
}

#[test]
fn a_tail_resumes_strictly_after_its_cursor_also_across_a_restart() {
    let mut daemon = Daemon::with_swarm();
    daemon.ok("network create -d overlay two");
    let read = "tail --from start | head -n 4";
    let first = lines(&daemon.sh(&format!("skein {read}")).stdout);
    assert_eq!(first.len(), 4);
    assert_eq!(first[0]["specversion"], "1.0");
    let cursor = first[3]["cursor"].as_str().expect("an event has a cursor").to_owned();
    daemon.kill();
    daemon.resume(&[]);
    let next = lines(&daemon.sh(&format!("skein tail --from {cursor} | head -n 1")).stdout);
    let position = |event: &Value| event["position"].as_u64().expect("an event has a position");
    assert_eq!(position(&next[0]), position(&first[3]) + 1);
    // The same position of another history.
    let (head, tail) = cursor.rsplit_once('.').expect("epoch.position.hash");
    let other = if tail.starts_with('0') { "1" } else { "0" };
    let foreign = format!("{head}.{other}{}", &tail[1..]);
    let said = daemon.skein(&format!("tail --from {foreign}"));
    assert_eq!(said.code, 1, "{said:?}");
    let path = format!("/skein/v1/tail?from={foreign}");
    let status = daemon.status_of(&path);
    assert_eq!(status, "HTTP/1.1 410 Gone");
}

#[test]
fn a_redacted_value_is_nowhere_and_everything_still_holds() {
    let mut daemon = Daemon::with_swarm();
    let secret = "hunter2-correct-horse-battery";
    daemon.ok(&format!("network create -d overlay -m 'the password is {secret}' two"));
    let position = daemon.head();
    daemon.ok("network create -d overlay three");
    let folder = daemon.data().join("swarm");
    assert!(holds(&folder, secret), "the test looks in the wrong place");
    let before = daemon.ok(&format!("network ls --at @{position}"));
    let refused = daemon.skein(&format!("log redact @{position}"));
    assert_ne!(refused.code, 0, "{refused:?}");
    daemon.ok(&format!("log redact @{position} -m 'a password slipped in'"));
    assert!(!holds(&folder, secret), "the value is still on disk");
    let holds_still = |daemon: &Daemon| {
        assert!(daemon.ok("verify").starts_with("ok: "));
        assert_eq!(daemon.ok(&format!("network ls --at @{position}")), before);
        let log = daemon.ok("log network/two");
        assert!(log.contains("(reason redacted)") && !log.contains(secret), "{log}");
        assert!(daemon.ok("log").contains("a password slipped in"));
        assert!(!daemon.ok("why two").contains(secret));
    };
    holds_still(&daemon);
    let again = daemon.refused(&format!("log redact @{position} -m again"));
    assert!(again.contains("nothing to redact"), "{again}");
    daemon.kill();
    daemon.resume(&[]);
    holds_still(&daemon);
    assert!(!holds(daemon.data(), secret));
}

fn holds(folder: &std::path::Path, text: &str) -> bool {
    let entries = fs::read_dir(folder).expect("the folder is readable");
    entries.map(|entry| entry.expect("the folder is readable").path()).any(|path| {
        if path.is_dir() {
            return holds(&path, text);
        }
        let bytes = fs::read(&path).unwrap_or_default();
        bytes.windows(text.len()).any(|window| window == text.as_bytes())
    })
}

#[test]
fn every_list_can_be_read_at_every_kind_of_moment() {
    let daemon = Daemon::with_swarm();
    daemon.ok(
        "service create --detach --name web --network shop --endpoint-mode dnsrr hello:1 sleep 900",
    );
    daemon.await_replicas("web", "1/1");
    let then = daemon.head();
    let time = lines(&daemon.ok("log -n 1 --format json"))[0]["time"].as_str().map(str::to_owned);
    let time = time.expect("a record has a time");
    let reads = ["service ls", "service ps web", "network ls", "node ls"];
    let before = reads.map(|read| daemon.ok(&format!("{read} -q")));
    daemon.ok("service rm web");
    crate::host::until("the tasks are gone", || {
        daemon.skein("network rm shop").code.eq(&0).then_some(())
    });
    assert_eq!(daemon.rows("service ls").len(), 0);
    for (read, before) in reads.iter().zip(&before) {
        assert_eq!(daemon.ok(&format!("{read} -q --at @{then}")), *before, "{read}");
        assert_eq!(daemon.ok(&format!("{read} -q --at {time}")), *before, "{read} at {time}");
    }
    // Ten minutes ago there was no swarm.
    for read in ["service ls", "network ls", "node ls"] {
        let said = daemon.skein(&format!("{read} --at -10m"));
        assert_ne!((said.code, said.stdout.lines().count()), (0, 2), "{read}: {said:?}");
    }
    assert!(daemon.ok(&format!("why web.1 --at @{then}")).contains("service web was created"));
    let beyond = daemon.skein("service ls --at @99999");
    assert_eq!(beyond.code, 1, "{beyond:?}");
}
