//! Daemons die, containers go on, and the next daemon finds out.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use skein_runtime::api::{Condition, Container, Runtime as _};
use skein_runtime::error::Error;
use skein_runtime::log::Stream;

use super::run::until;
use crate::rig::{Rig, open};

/// The daemon of the test below: makes the containers it is given, says so, and stays until it is killed.
pub(crate) fn daemon(args: &[String]) -> ExitCode {
    let [dir, containers] = args else { return ExitCode::FAILURE };
    let machine = open(Path::new(dir));
    let containers: Vec<Container> = serde_json::from_str(containers).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        for container in containers {
            machine.create(container.clone()).await.unwrap();
            machine.start(container.id).await.unwrap();
        }
        println!("ready");
        std::future::pending::<()>().await;
    });
    ExitCode::SUCCESS
}

pub(crate) fn outlives() {
    let rig = Rig::new();
    let lives = rig.container("while [ ! -e /stop ]; do sleep 0.05; done; echo done; exit 42");
    let ends =
        rig.container("while [ ! -e /dev/shm/x ]; do sleep 0.05; touch /dev/shm/x; done; exit 43");
    let containers = serde_json::to_string(&[&lives, &ends]).unwrap();
    let mut daemon = Command::new("/proc/self/exe")
        .args(["daemon", rig.dir.path().to_str().unwrap(), &containers])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(daemon.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    daemon.kill().unwrap();
    daemon.wait().unwrap();

    assert_eq!(rig.run(rig.machine.wait(ends.id)).unwrap().code, 43);
    let next = open(rig.dir.path());
    let mut found = rig.run(next.adopt()).unwrap();
    found.sort_by_key(|found| found.id != lives.id);
    assert!(matches!(found[0].state, Condition::Running { .. }), "{found:?}");
    let Condition::Exited(exit) = found[1].state else { panic!("{found:?}") };
    assert_eq!(exit.code, 43);

    let (one, two) = (next.wait(lives.id), next.wait(lives.id));
    assert_eq!(rig.shell(lives.id, "touch /stop").code, 0);
    assert_eq!(rig.run(one).unwrap().code, 42);
    assert_eq!(rig.run(two).unwrap().code, 42);
    assert_eq!(rig.log(lives.id, Stream::Stdout), "done\n");
    for id in [lives.id, ends.id] {
        rig.run(next.remove(id)).unwrap();
    }
    assert_eq!(rig.remains(), [""; 0]);
}

pub(crate) fn lost() {
    let rig = Rig::new();
    let container = rig.container("while :; do sleep 0.05; done");
    let pid = rig.start(&container);
    kill(parent(pid));
    // Nobody could tell how it ends any more, so it ends.
    until(|| ended(pid));
    assert!(matches!(rig.run(rig.machine.wait(container.id)), Err(Error::NoSuchContainer(_))));
    let found = rig.run(rig.machine.adopt()).unwrap();
    assert_eq!(found[0].state, Condition::Lost);
    rig.run(rig.machine.remove(container.id)).unwrap();
    assert_eq!(rig.remains(), [""; 0]);
}

pub(crate) fn lost_before_start() {
    let rig = Rig::new();
    let container = rig.container("true");
    let pid = rig.run(rig.machine.create(container.clone())).unwrap().pid;
    kill(parent(pid));
    // Nobody could tell it to start any more.
    until(|| ended(pid));
    let id = container.id;
    assert!(matches!(rig.run(rig.machine.start(id)), Err(Error::NoSuchContainer(_))));
    assert_eq!(rig.run(open(rig.dir.path()).adopt()).unwrap()[0].state, Condition::Lost);
    rig.run(rig.machine.remove(id)).unwrap();
    assert_eq!(rig.remains(), [""; 0]);
}

/// The steps by what they leave to be seen, each some times: where in a step it is killed is up to the scheduler.
pub(crate) fn killed_while_making() {
    let rig = Rig::new();
    let dir = rig.dir.path().to_owned();
    let steps: [fn(&Rig, &Path, &str) -> bool; 6] = [
        |_, _, _| true,
        |_, dir, id| dir.join(format!("data/containers/{id}/rootfs/bin")).exists(),
        |_, dir, id| dir.join(format!("run/library/{id}/notify.sock")).exists(),
        |rig, _, id| rig.control(id.parse().unwrap(), "cgroup.procs").is_some(),
        |_, _, id| processes_of(id).len() > 2,
        |_, dir, id| dir.join(format!("run/shim/{id}")).exists(),
    ];
    for step in steps.iter().cycle().take(4 * steps.len()) {
        let container = rig.container("true");
        let id = container.id.to_string();
        let creating = rig.spawn(rig.machine.create(container.clone()));
        // The first is the shim, those after it are its copies on their way to become the container.
        until(|| creating.is_finished() || !processes_of(&id).is_empty());
        until(|| creating.is_finished() || step(&rig, &dir, &id));
        if let Some(shim) = processes_of(&id).first() {
            kill(*shim);
        }
        // It fails, or just had succeeded; it answers in any case.
        if rig.run(creating).unwrap().is_ok() {
            rig.run(rig.machine.remove(container.id)).unwrap();
        }
        assert_eq!(rig.remains(), [""; 0]);
        assert_eq!(processes_of(&id), [0; 0]);
    }
}

pub(crate) fn forgotten() {
    let rig = Rig::new();
    let container = rig.container("true");
    rig.run(rig.machine.create(container.clone())).unwrap();
    rig.run(rig.machine.remove(container.id)).unwrap();
    let group = rig.make_control_group(container.id);
    assert!(group.exists());
    let found = rig.run(rig.machine.adopt()).unwrap();
    assert_eq!(found[0].id, container.id);
    assert_eq!(found[0].state, Condition::Lost);
    rig.run(rig.machine.remove(container.id)).unwrap();
    assert_eq!(rig.remains(), [""; 0]);
}

fn kill(pid: i32) {
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    // It may just have ended.
    let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
}

fn ended(pid: u32) -> bool {
    let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    state.is_empty() || state.contains(") Z ")
}

/// The shim of a container and its copies, by the command line they share; oldest first, the dead left out.
pub(super) fn processes_of(id: &str) -> Vec<i32> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        if String::from_utf8_lossy(&line).contains(&format!("shim\0{id}")) {
            found.push(pid);
        }
    }
    found.sort_unstable();
    found
}

/// The parent of a process: of a container's, its shim.
pub(crate) fn parent(pid: u32) -> i32 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("PPid:")).unwrap();
    line.trim().parse().unwrap()
}
