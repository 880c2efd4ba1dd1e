//! The daemon is killed at every named failpoint: what was acknowledged is there afterwards, and the work goes on.

use std::collections::BTreeMap;
use std::path::Path;

use crate::daemon::Daemon;
use crate::host::until;

/// What is typed on the way to a failpoint; commands with `{}` are said until the daemon dies.
struct Plan {
    point: &'static str,
    /// Environment beside the failpoint.
    environment: &'static [(&'static str, &'static str)],
    /// Whether the daemon starts with a swarm.
    swarm: bool,
    commands: &'static [&'static str],
}

const CREATE: &str = "network create -d overlay -m 'a reason' net{}";
const SERVICE: &str = "service create --detach --name svc{} --network shop --endpoint-mode dnsrr \
    --restart-delay 0s hello:1 sleep 900";

const fn plan(point: &'static str, commands: &'static [&'static str]) -> Plan {
    Plan { point, environment: &[], swarm: true, commands }
}

const fn first(point: &'static str, commands: &'static [&'static str]) -> Plan {
    Plan { point, environment: &[], swarm: false, commands }
}

const fn snapshot(point: &'static str) -> Plan {
    let environment = &[("SKEIN_SNAPSHOT_EVERY", "8")];
    Plan { point, environment, swarm: true, commands: &[CREATE] }
}

const INIT: &str = "swarm init --advertise-addr 127.0.0.1";

const PLANS: &[Plan] = &[
    first("init.files-written", &[INIT]),
    first("init.before-record", &[INIT]),
    first("init.after-record", &[INIT]),
    first("vote.before-fsync", &[INIT]),
    plan("vote.before-fsync", &[]),
    plan("vote.after-fsync", &[]),
    plan("log.before-fsync:4", &[CREATE]),
    plan("log.after-fsync:4", &[CREATE]),
    plan("flight.before-publish:3", &[CREATE]),
    plan("flight.before-answer:3", &[CREATE]),
    plan("flight.after-answer:3", &[CREATE]),
    snapshot("snapshot-part.before-fsync:2"),
    snapshot("snapshot-part.after-fsync:2"),
    snapshot("snapshot.before-fsync:2"),
    snapshot("snapshot.after-fsync:2"),
    plan("redact.ordered", &[CREATE, "log redact @6 -m why"]),
    plan("redact.before-replace", &[CREATE, "log redact @6 -m why"]),
    plan("redact.after-replace", &[CREATE, "log redact @6 -m why"]),
    plan("redact.overwritten", &[CREATE, "log redact @6 -m why"]),
    plan("redact.erased", &[CREATE, "log redact @6 -m why"]),
    plan("redact.confirmed", &[CREATE, "log redact @6 -m why"]),
    plan("agent.before-create:2", &[SERVICE]),
    plan("agent.after-create:2", &[SERVICE]),
    plan("agent.before-start:2", &[SERVICE]),
    plan("agent.after-start:2", &[SERVICE]),
    plan("agent.before-report", &[SERVICE, "service rm svc0"]),
    plan("leave.ended", &[CREATE, "swarm leave --force"]),
    plan("leave.stopped", &[CREATE, "swarm leave --force"]),
    plan("leave.erased", &[CREATE, "swarm leave --force"]),
];

#[test]
fn every_failpoint_is_on_the_list() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies there");
    let mut named = Vec::new();
    for folder in ["actors/src", "store/src"] {
        let mut folders = vec![root.join(folder)];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).expect("sources are readable").flatten() {
                if entry.path().is_dir() {
                    folders.push(entry.path());
                    continue;
                }
                let text = std::fs::read_to_string(entry.path()).expect("sources are text");
                let calls = text.split("failpoint(\"").skip(1);
                named.extend(calls.filter_map(|c| c.split('"').next().map(str::to_owned)));
            }
        }
    }
    assert!(named.len() > 15);
    for name in named {
        let listed = PLANS.iter().any(|p| p.point.split(':').next() == Some(name.as_str()));
        assert!(listed, "{name} is never tried");
    }
}

#[test]
fn nothing_acknowledged_is_lost_at_any_failpoint() {
    let next = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(plan) =
                    PLANS.get(next.fetch_add(1, std::sync::atomic::Ordering::SeqCst))
                {
                    die_and_come_back(plan);
                }
            });
        }
    });
}

fn die_and_come_back(plan: &Plan) {
    let point = plan.point;
    let mut daemon = Daemon::start();
    if plan.swarm {
        daemon.make_swarm();
    }
    daemon.terminate();
    let mut environment = vec![("SKEIN_FAILPOINT", point)];
    environment.extend(plan.environment);
    daemon.spawn(&environment);
    let mut acknowledged: BTreeMap<String, bool> = BTreeMap::new();
    if !plan.commands.is_empty() {
        until("it answers or dies", || {
            let answers = daemon.skein("image ls").code == 0;
            (answers || daemon.ended().is_some()).then_some(())
        });
    }
    // What is numbered is said twice before what comes after it, and on and on if nothing comes after.
    let last = plan.commands.len().saturating_sub(1);
    'dying: for (n, command) in plan.commands.iter().enumerate() {
        let times = if n < last { 2 } else { 40 };
        for time in 0..times {
            let command = command.replace("{}", &time.to_string());
            let done = daemon.skein(&command).code == 0;
            acknowledged.insert(command, done);
            if daemon.ended().is_some() {
                break 'dying;
            }
        }
    }
    let status = until("it dies at its failpoint", || daemon.ended());
    let signal = std::os::unix::process::ExitStatusExt::signal(&status);
    assert_eq!(signal, Some(6), "{point}: {status}: {}", daemon.words());
    daemon.kill();
    daemon.resume(&[]);
    check(plan, &daemon, &acknowledged);
}

fn check(plan: &Plan, daemon: &Daemon, acknowledged: &BTreeMap<String, bool>) {
    let point = plan.point;
    let left = acknowledged.keys().any(|c| c.starts_with("swarm leave"));
    if daemon.skein("node ls").code != 0 {
        let was_made = acknowledged.iter().any(|(c, done)| c == INIT && *done);
        assert!((left || !plan.swarm) && !was_made, "{point}: the swarm is lost");
        // Whatever was left of the one makes room for the next.
        daemon.make_swarm();
        return;
    }
    assert!(daemon.ok("verify").starts_with("ok: "), "{point}");
    let names = |list: &str| -> Vec<String> {
        daemon.rows(list).iter().filter_map(|r| r["Name"].as_str().map(str::to_owned)).collect()
    };
    let (networks, services) = (names("network ls"), names("service ls"));
    for (command, done) in acknowledged {
        let words: Vec<&str> = command.split(' ').collect();
        let gone = acknowledged.contains_key(&format!("service rm {}", "svc0"));
        match words[..] {
            ["network", "create", .., name] if *done => {
                assert!(networks.iter().any(|n| n == name), "{point}: {name} is lost");
            }
            ["service", "create", "--detach", "--name", name, ..] if *done => {
                if name == "svc0" && gone {
                    continue;
                }
                assert!(services.iter().any(|n| n == name), "{point}: {name} is lost");
                daemon.await_replicas(name, "1/1");
            }
            ["log", "redact", at, ..] => {
                // Ordered is enough: the start goes on where the end came.
                let log = daemon.ok(&format!("log --since {at} --until {at}"));
                assert!(log.contains("(reason redacted)"), "{point}: {log}");
                let log = daemon.ok("log");
                let confirmed = log.contains("cluster.redaction-confirmed");
                assert!(confirmed, "{point}: the start confirms it: {log}");
            }
            _ => {}
        }
    }
    if !left {
        daemon.load();
        daemon.ok("network create -d overlay afterwards");
        daemon.ok("service create --detach --name afterwards --network afterwards \
             --endpoint-mode dnsrr hello:1 sleep 900");
        daemon.await_replicas("afterwards", "1/1");
    }
}
