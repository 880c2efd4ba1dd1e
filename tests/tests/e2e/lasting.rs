//! Containers outlive the daemon: stopped or killed, its next start takes them over, and nothing acknowledged is lost.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::daemon::{Daemon, runs, signal};
use crate::host::{run, until};

const WEB: &str = "service create --detach --name web --replicas 2 --network shop \
    --endpoint-mode dnsrr --restart-delay 0s hello:1 sleep 3600";

/// Ends the daemon in some way, and starts it again.
fn survives(end: fn(&mut Daemon)) {
    let mut daemon = Daemon::with_swarm();
    daemon.ok(WEB);
    daemon.await_replicas("web", "2/2");
    let before = ["web.1", "web.2"].map(|task| (daemon.process(task), daemon.running(task)));
    end(&mut daemon);
    for (pid, _) in &before {
        assert!(runs(*pid), "a container ended with its daemon");
    }
    assert_ne!(daemon.skein("node ls").code, 0);
    daemon.resume(&[]);
    daemon.await_replicas("web", "2/2");
    let after = ["web.1", "web.2"].map(|task| (daemon.process(task), daemon.running(task)));
    for (before, after) in before.iter().zip(&after) {
        let id = |task: &Option<serde_json::Value>| task.as_ref().map(|t| t["ID"].clone());
        assert_eq!((before.0, id(&before.1)), (after.0, id(&after.1)), "another task runs");
    }
    // The names are answered by the new process.
    assert_eq!(daemon.addresses("web.1", "web").len(), 2);
    assert_eq!(daemon.skein("exec web.2 sh -c 'exit 3'").code, 3);
    daemon.ok("service scale --detach web=3");
    daemon.await_replicas("web", "3/3");
    assert!(daemon.ok("verify").starts_with("ok: "));
}

#[test]
fn containers_outlive_a_stopped_daemon() {
    survives(Daemon::terminate);
}

#[test]
fn containers_outlive_a_killed_daemon() {
    survives(Daemon::kill);
}

#[test]
fn a_task_whose_network_was_taken_away_is_replaced() {
    let mut daemon = Daemon::with_swarm();
    daemon.ok(&WEB.replace("--name", "--stop-grace-period 0s --name"));
    daemon.await_replicas("web", "2/2");
    daemon.kill();
    for mount in daemon.mounts() {
        if mount.contains("/netns/") && !mount.contains("/netns/net-") {
            run(Command::new("umount").arg("-l").arg(&mount));
            std::fs::remove_file(&mount).expect("a namespace's file goes");
        }
    }
    daemon.resume(&[]);
    until("both that have no network are ended", || {
        let history = daemon.ok("service ps web --no-trunc");
        (history.matches("the container lost its network").count() == 2).then_some(())
    });
    daemon.await_replicas("web", "2/2");
    assert_eq!(daemon.addresses("web.1", "web").len(), 2);
    let history = daemon.ok("service ps web --no-trunc");
    assert!(history.contains("the container lost its network"), "{history}");
}

#[test]
fn health_checks_go_on_after_a_restart() {
    let mut daemon = Daemon::with_swarm();
    daemon.ok(
        "service create --detach --name web --replicas 1 --network shop --endpoint-mode dnsrr \
         --restart-condition none --stop-grace-period 0s --health-cmd 'test ! -e /sick' \
         --health-interval 50ms --health-retries 2 hello:1 sleep 3600",
    );
    daemon.await_replicas("web", "1/1");
    let pid = daemon.process("web.1");
    daemon.kill();
    daemon.resume(&[]);
    daemon.await_replicas("web", "1/1");
    assert_eq!(daemon.process("web.1"), pid, "another task runs");
    daemon.ok("exec web.1 touch /sick");
    until("it is found unhealthy", || {
        let told = daemon.ok("service ps web --no-trunc");
        told.contains("unhealthy container: 2 checks in a row failed: exit code 1").then_some(())
    });
}

/// How often a check has looked, told by the check itself.
const LOOKED: &str = "exec web.1 wc -l /looked";

fn looked(daemon: &Daemon) -> Option<u32> {
    daemon.skein(LOOKED).stdout.split(' ').next()?.parse().ok()
}

#[test]
fn failed_health_checks_are_counted_across_restarts() {
    let mut daemon = Daemon::with_swarm();
    daemon.ok(
        "service create --detach --name web --replicas 1 --network shop --endpoint-mode dnsrr \
         --restart-condition none --stop-grace-period 0s --health-interval 1s --health-retries 4 \
         --health-cmd 'echo >>/looked; false' hello:1 sleep 3600",
    );
    for failures in [1, 2, 3] {
        until("a check has failed", || (looked(&daemon)? >= failures).then_some(()));
        daemon.kill();
        daemon.resume(&[]);
    }
    until("it is found unhealthy", || {
        let told = daemon.ok("service ps web --no-trunc");
        told.contains("unhealthy container: 4 checks in a row failed: exit code 1").then_some(())
    });
}

#[test]
#[expect(clippy::disallowed_methods, reason = "how long a start period is, is what is tested")]
fn a_restart_does_not_begin_the_start_period_anew() {
    let mut daemon = Daemon::with_swarm();
    daemon.ok(
        "service create --detach --name web --replicas 1 --network shop --endpoint-mode dnsrr \
         --restart-condition none --stop-grace-period 0s --health-interval 100ms \
         --health-retries 1 --health-start-period 12s --health-start-interval 100ms \
         --health-cmd 'echo >>/looked; false' hello:1 sleep 3600",
    );
    until("it is checked", || looked(&daemon));
    let began = Instant::now();
    // Each life of the daemon is shorter than the start period, all together are longer.
    while began.elapsed() < Duration::from_secs(9) {
        daemon.kill();
        daemon.resume(&[]);
        until("it is checked", || looked(&daemon));
        let told = daemon.ok("service ps web --no-trunc");
        assert!(told.contains("Starting"), "failures in the start period count: {told}");
    }
    daemon.kill();
    daemon.resume(&[]);
    let again = Instant::now();
    until("it is found unhealthy", || {
        daemon.ok("service ps web").contains("unhealthy container").then_some(())
    });
    assert!(again.elapsed() < Duration::from_secs(8), "the start period began anew");
}

#[test]
fn exit_codes_are_kept_while_no_daemon_runs() {
    let mut daemon = Daemon::with_swarm();
    daemon.ok(
        "service create --detach --name job --replicas 1 --network shop --endpoint-mode dnsrr \
         --restart-condition none hello:1 \
         sh -c 'trap \"exit 42\" TERM; while :; do sleep 0.1; done'",
    );
    daemon.await_replicas("job", "1/1");
    let pid = daemon.process("job.1");
    daemon.kill();
    signal(pid, "TERM");
    until("the container ends", || (!runs(pid)).then_some(()));
    daemon.resume(&[]);
    until("its exit code is told", || {
        daemon.ok("service ps job").contains("task: non-zero exit (42)").then_some(())
    });
}

#[test]
fn a_task_whose_container_died_meanwhile_is_replaced() {
    let mut daemon = Daemon::with_swarm();
    daemon.ok(WEB);
    daemon.await_replicas("web", "2/2");
    let pid = daemon.process("web.1");
    daemon.terminate();
    signal(pid, "KILL");
    until("the container ends", || (!runs(pid)).then_some(()));
    daemon.resume(&[]);
    until("it is replaced", || {
        daemon.running("web.1")?;
        (daemon.process("web.1") != pid).then_some(())
    });
    daemon.await_replicas("web", "2/2");
    assert!(daemon.ok("service ps web").contains("task: non-zero exit (137)"));
}

#[test]
fn a_container_ends_with_its_shim_and_is_replaced() {
    let mut daemon = Daemon::with_swarm();
    daemon.ok(WEB);
    daemon.await_replicas("web", "2/2");
    let task = daemon.running("web.1").expect("it runs")["ID"].clone();
    let task = task.as_str().expect("an id is text");
    let (pid, other) = (daemon.process("web.1"), daemon.process("web.2"));
    // A running task has a mount, a control group, a socket of its shim and an output that is written to.
    assert!(leavings(&daemon, task).len() > 1, "{:?}", leavings(&daemon, task));
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let shim = status.lines().find_map(|line| line.strip_prefix("PPid:"));
    signal(shim.and_then(|pid| pid.trim().parse().ok()).expect("it has a parent"), "KILL");
    until("the container ends", || (!runs(pid)).then_some(()));
    until("it is replaced", || {
        let row = daemon.running("web.1")?;
        (row["ID"] != task).then_some(())
    });
    daemon.await_replicas("web", "2/2");
    assert_eq!(daemon.process("web.2"), other, "the other task is not touched");
    let told = daemon.rows("service ps web --no-trunc");
    let failed = told.iter().find(|row| row["ID"] == task).expect("it is remembered");
    assert!(failed["CurrentState"].as_str().is_some_and(|s| s.starts_with("Failed")), "{failed}");
    assert_eq!(failed["DesiredState"], "Shutdown");
    assert!(failed["Error"].as_str().is_some_and(|e| e.contains("shim")), "{failed}");
    let why = daemon.ok("why web.1");
    assert!(why.contains(&format!("in the place of {}", &task[..12])), "{why}");
    until("nothing of it is left", || leavings(&daemon, task).is_empty().then_some(()));

    daemon.ok("service rm web");
    daemon.ok("swarm leave --force");
    daemon.terminate();
    assert_eq!(daemon.remains(), Vec::<String>::new());
}

/// What there is of a task on the machine: mounts, control groups, sockets.
fn leavings(daemon: &Daemon, task: &str) -> Vec<String> {
    let mut found = daemon.remains();
    let run = daemon.socket();
    let shims = run.parent().expect("a socket lies in a folder").join("shim");
    let entries = std::fs::read_dir(shims).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path()).chain(daemon.groups());
    found.extend(paths.map(|path| path.display().to_string()));
    found.retain(|what| what.contains(task));
    found
}

#[test]
fn what_was_acknowledged_survives_a_kill_in_the_middle_of_it() {
    let mut daemon = Daemon::with_swarm();
    let mut acknowledged = Vec::new();
    std::thread::scope(|scope| {
        let shared = &daemon;
        let clients: Vec<_> = (0..4)
            .map(|client| {
                scope.spawn(move || {
                    let mut done = Vec::new();
                    for n in 0.. {
                        let name = format!("net-{client}-{n}");
                        if shared.skein(&format!("network create -d overlay {name}")).code != 0 {
                            return done;
                        }
                        done.push(name);
                    }
                    done
                })
            })
            .collect();
        until("some are acknowledged", || (shared.rows("network ls").len() > 12).then_some(()));
        signal(shared.pid(), "KILL");
        for client in clients {
            acknowledged.extend(client.join().expect("a client ends by itself"));
        }
    });
    daemon.kill();
    daemon.resume(&[]);
    let rows = daemon.rows("network ls");
    assert!(acknowledged.len() > 8);
    for name in acknowledged {
        assert!(rows.iter().any(|row| row["Name"] == *name), "{name} is lost");
    }
    assert!(daemon.ok("verify").starts_with("ok: "));
}

#[test]
fn leaving_leaves_nothing() {
    let mut daemon = Daemon::with_swarm();
    daemon.ok(WEB);
    daemon.await_replicas("web", "2/2");
    daemon.ok("swarm leave --force");
    assert!(daemon.refused("node ls").contains("not a swarm manager"));
    until("the containers are gone", || (daemon.processes().len() == 1).then_some(()));
    assert!(!daemon.data().join("swarm").exists());
    // A new swarm on the same roots begins at nothing.
    daemon.ok("swarm init --advertise-addr 127.0.0.1");
    assert_eq!(daemon.rows("service ls").len(), 0);
    daemon.ok("swarm leave --force");
    daemon.terminate();
    assert_eq!(daemon.remains(), Vec::<String>::new());
    let links = daemon.host.sh("ip -o link show; nft list ruleset");
    assert!(!links.contains("skein"), "{links}");
}
