//! What the kernel says of this bench's corner of the machine: processes, mounts, links, control groups, and what they cost.
//! The bench is the first process of a namespace of its own (scripts/bench.sh), so every process here is the daemon's or its child.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;

use crate::daemon::Daemon;

/// Length of a tick of /proc/PID/stat (USER_HZ).
const TICK: Duration = Duration::from_millis(10);

/// What is there of each kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Machine {
    pub(crate) processes: usize,
    pub(crate) mounts: usize,
    pub(crate) links: usize,
    pub(crate) groups: usize,
    pub(crate) namespaces: usize,
    /// Open files of the daemon.
    pub(crate) files: usize,
}

impl Machine {
    /// Looks.
    pub(crate) fn look(daemon: &Daemon<'_>) -> anyhow::Result<Self> {
        reap(daemon)?;
        let mounts = fs::read_to_string(format!("/proc/{}/mountinfo", daemon.pid()))?;
        let mut namespaces = Vec::new();
        for pid in processes()? {
            namespaces.extend(fs::read_link(format!("/proc/{pid}/ns/net")).ok());
        }
        namespaces.sort();
        namespaces.dedup();
        Ok(Self {
            processes: processes()?.len(),
            mounts: mounts.lines().count(),
            links: fs::read_dir("/sys/class/net")?.count(),
            groups: daemon.groups()?.iter().map(|g| folders(g)).sum(),
            namespaces: namespaces.len(),
            files: fs::read_dir(format!("/proc/{}/fd", daemon.pid()))?.count(),
        })
    }

    /// Whether this is no more than that was, open files aside: a pool keeps some.
    pub(crate) fn is_back_at(&self, before: &Self) -> bool {
        let Self { processes, mounts, links, groups, namespaces, files: _ } = before;
        self.processes <= *processes
            && self.mounts <= *mounts
            && self.links <= *links
            && self.groups <= *groups
            && self.namespaces <= *namespaces
    }
}

/// Memory of the daemon and of everything it started, each page counted once, in KiB.
pub(crate) fn memory(daemon: &Daemon<'_>) -> anyhow::Result<u64> {
    reap(daemon)?;
    let mut all = 0;
    for pid in processes()? {
        // Those that end meanwhile have none.
        let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
        all += line
            .and_then(|l| l.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok())
            .unwrap_or(0);
    }
    Ok(all)
}

/// Processor time of the daemon and of everything it started, whether it has ended or not.
pub(crate) fn processor_time(daemon: &Daemon<'_>) -> anyhow::Result<Duration> {
    reap(daemon)?;
    // Of those whose parents had gone and that ended here.
    let mut all = of_children("self").context("our own children")?;
    for pid in processes()? {
        all += of_children(&pid.to_string()).unwrap_or_default();
        all += of_threads(pid);
    }
    Ok(all)
}

fn of_threads(pid: i32) -> Duration {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let spent = tasks.filter_map(|task| {
        let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(spent.sum())
}

/// Time of the ended children of a process, proc(5): fields 16 and 17, counted after the name in brackets.
fn of_children(pid: &str) -> Option<Duration> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = text.rsplit_once(')')?.1.split_whitespace().skip(13);
    let (user, system): (u32, u32) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some(TICK * (user + system))
}

/// Every process but this one.
fn processes() -> anyhow::Result<Vec<i32>> {
    let own = i32::try_from(std::process::id())?;
    let names = fs::read_dir("/proc")?.flatten().map(|entry| entry.file_name());
    let pids = names.filter_map(|name| name.to_str()?.parse().ok());
    Ok(pids.filter(|pid| *pid != own).collect())
}

/// Waits for orphans that ended: nobody else does, this is the first process here.
fn reap(daemon: &Daemon<'_>) -> anyhow::Result<()> {
    for pid in processes()? {
        if pid != i32::try_from(daemon.pid())? {
            // Not a child, or not at its end: left alone.
            let _ = waitpid(Pid::from_raw(pid), Some(WaitPidFlag::WNOHANG));
        }
    }
    Ok(())
}

fn folders(path: &Path) -> usize {
    let inner = fs::read_dir(path).into_iter().flatten().flatten();
    inner.filter(|e| e.path().is_dir()).map(|e| 1 + folders(&e.path())).sum()
}
