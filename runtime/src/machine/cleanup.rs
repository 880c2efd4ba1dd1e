//! Taking away what a container left in the kernel and on disk, whether its shim did its part or was killed.
//! Nothing here follows a link out of what is ours.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::error::{Context as _, Error};
use crate::tree;

const CGROUP_ROOT: &str = "/sys/fs/cgroup";
/// How long a killed process may take to go before it counts as stuck in the kernel.
const DEATH_WAIT: Timespec = Timespec { tv_sec: 10, tv_nsec: 0 };

/// Kills every process of a cgroup and removes it, in whatever hierarchies there are.
pub(super) fn kill_cgroup(cgroup: &str) -> Result<(), Error> {
    for dir in in_hierarchies(cgroup)? {
        remove_cgroup(&dir)?;
    }
    Ok(())
}

/// Removes a cgroup wherever nothing is in it.
pub(super) fn remove_empty_cgroup(cgroup: &str) -> Result<(), Error> {
    for dir in in_hierarchies(cgroup)? {
        // The kernel refuses while something is in it, which is what is wanted.
        let _ = fs::remove_dir(dir);
    }
    Ok(())
}

/// Names of the cgroups right below one, whatever hierarchy they are in.
pub(super) fn cgroups_below(cgroup: &str) -> Result<Vec<OsString>, Error> {
    let mut names = Vec::new();
    for dir in in_hierarchies(cgroup)? {
        let entries = match fs::read_dir(&dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            entries => entries.context(format!("list {}", dir.display()))?,
        };
        names.extend(entries.flatten().map(|entry| entry.file_name()));
    }
    Ok(names)
}

fn in_hierarchies(cgroup: &str) -> Result<Vec<PathBuf>, Error> {
    let relative = cgroup.trim_start_matches('/');
    let mut hierarchies = vec![PathBuf::from(CGROUP_ROOT)];
    for entry in fs::read_dir(CGROUP_ROOT).context("list cgroups")?.flatten() {
        // Links are other names of hierarchies that are listed anyway.
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            hierarchies.push(entry.path());
        }
    }
    Ok(hierarchies.into_iter().map(|hierarchy| hierarchy.join(relative)).collect())
}

fn remove_cgroup(dir: &Path) -> Result<(), Error> {
    let what = || format!("remove cgroup {}", dir.display());
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.context(what())?,
    };
    for entry in entries.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_cgroup(&entry.path())?;
        }
    }
    loop {
        let pids = match fs::read_to_string(dir.join("cgroup.procs")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            text => text.context(what())?,
        };
        if pids.trim().is_empty() {
            break;
        }
        for pid in pids.lines().filter_map(|pid| pid.parse().ok()).filter_map(Pid::from_raw) {
            kill_and_wait(pid).context(what())?;
        }
    }
    match fs::remove_dir(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error).context(what()),
        _ => Ok(()),
    }
}

/// Kills one process, and waits until it is gone.
pub(super) fn kill_process(pid: i32) -> Result<(), Error> {
    Pid::from_raw(pid).map_or(Ok(()), kill_and_wait).context(format!("kill process {pid}"))
}

/// Through a pidfd: the number may be somebody else's by now, and its end can be waited for.
fn kill_and_wait(pid: Pid) -> io::Result<()> {
    use rustix::io::Errno;
    let process = match pidfd_open(pid, PidfdFlags::empty()) {
        Err(Errno::SRCH) => return Ok(()),
        opened => opened?,
    };
    match pidfd_send_signal(&process, Signal::KILL) {
        Err(Errno::SRCH) => return Ok(()),
        sent => sent?,
    }
    let mut polled = [PollFd::new(&process, PollFlags::IN)];
    match poll(&mut polled, Some(&DEATH_WAIT))? {
        0 => Err(io::Error::from(io::ErrorKind::TimedOut)),
        _ => Ok(()),
    }
}

/// Removes a directory of ours and all below it.
pub(super) fn remove_tree(dir: &Path) -> Result<(), Error> {
    tree::remove(dir).context(format!("remove {}", dir.display()))
}

/// Removes a file.
pub(super) fn remove_file(file: &Path) -> Result<(), Error> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).context(format!("remove {}", file.display()))
        }
        _ => Ok(()),
    }
}
