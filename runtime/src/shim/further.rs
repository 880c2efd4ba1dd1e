//! A further process joins the container by the hand of a helper, a copy of the shim, which stays its parent and ends as it
//! does. Whatever holds the process on its way in (the container's root may stop it, being in the same process namespace)
//! holds the helper alone, for so long and no longer: the shim goes on reading output, answering and waiting for the end.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::{ForkResult, Pid, fork};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::Signal as DeathSignal;
use rustix::time::{ClockId, clock_gettime};

use super::container::Made;
use super::protocol::{Failure, Reply, send_line};
use crate::api::ExecSpec;

/// How long a process may take to join: a container's own start takes 40 ms.
pub(crate) const JOIN_MAX: Duration = Duration::from_secs(10);
/// Longest reply of a helper; the longest part is the reason why a program cannot be executed.
const REPLY_MAX: usize = 256 << 10;

/// One that was asked for and waits for its turn.
pub(super) struct Wanted {
    pub(super) client: u64,
    pub(super) exec: ExecSpec,
    pub(super) files: Vec<OwnedFd>,
}

/// One that is on its way in.
pub(super) struct Joining {
    pub(super) client: u64,
    pub(super) tied: bool,
    /// The helper.
    pub(super) helper: u32,
    report: File,
    said: Vec<u8>,
    deadline: Duration,
    /// The helper's status, if it ended before its report was read.
    pub(super) ended: Option<i32>,
}

fn now() -> Duration {
    let now = clock_gettime(ClockId::Monotonic);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or(0))
}

impl Joining {
    /// Makes the helper. `close` gives up, in the helper alone, what is the shim's.
    pub(super) fn begin(made: &mut Made, wanted: Wanted, close: impl FnOnce()) -> io::Result<Self> {
        let Wanted { client, exec, files } = wanted;
        let (report, inside) = pipe_with(PipeFlags::CLOEXEC)?;
        made.number_further();
        let shim = rustix::process::getpid();
        // SAFETY: the shim has one thread, so its copy may do anything.
        match unsafe { fork() }? {
            ForkResult::Parent { child } => {
                rustix::io::ioctl_fionbio(&report, true)?;
                Ok(Self {
                    client,
                    tied: exec.tied,
                    helper: u32::try_from(child.as_raw()).unwrap_or(0),
                    report: report.into(),
                    said: Vec::new(),
                    deadline: now() + JOIN_MAX,
                    ended: None,
                })
            }
            ForkResult::Child => {
                close();
                drop(report);
                let tied =
                    rustix::process::set_parent_process_death_signal(Some(DeathSignal::KILL));
                let alone = rustix::process::getppid() != Some(shim);
                let code = match (tied, alone) {
                    (Ok(()), false) => help(made, &exec, files, inside.into()),
                    _ => libc::EXIT_FAILURE,
                };
                // SAFETY: ends this process without running what the shim registered for its own end.
                unsafe { libc::_exit(code) }
            }
        }
    }

    pub(super) fn report(&self) -> BorrowedFd<'_> {
        self.report.as_fd()
    }

    /// How long it may still take.
    pub(super) fn left(&self) -> Duration {
        self.deadline.saturating_sub(now())
    }

    /// Takes in what the helper says; the reply once it is whole, or there will be none.
    pub(super) fn hear(&mut self) -> Option<Reply> {
        let broken = || {
            let text = "the process could not join the container: its helper ended";
            Some(Reply::Failed(Failure::Other(text.to_owned())))
        };
        let mut buffer = [0; 4096];
        loop {
            match self.report.read(&mut buffer) {
                Ok(0) => return broken(),
                Ok(length) => self.said.extend_from_slice(&buffer[..length]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
                Err(_) => return broken(),
            }
            if let Some(end) = self.said.iter().position(|byte| *byte == b'\n') {
                return serde_json::from_slice(&self.said[..end]).ok().or_else(broken);
            }
            if self.said.len() > REPLY_MAX {
                return broken();
            }
        }
    }

    /// What the one who asked is told when the time is over.
    pub(super) fn overdue() -> Reply {
        Reply::Failed(Failure::Other(format!(
            "the process did not join the container within {} s: something in the container holds it",
            JOIN_MAX.as_secs()
        )))
    }
}

/// The helper's life: its status is that of the process.
fn help(made: &mut Made, exec: &ExecSpec, files: Vec<OwnedFd>, mut report: File) -> i32 {
    let pid = match made.exec(exec, files) {
        Ok(pid) => pid,
        Err(error) => {
            let _ = send_line(&mut report, &Reply::Failed((&error).into()));
            return libc::EXIT_FAILURE;
        }
    };
    if send_line(&mut report, &Reply::ExecStarted { pid }).is_err() {
        return libc::EXIT_FAILURE;
    }
    drop(report);
    let pid = Pid::from_raw(i32::try_from(pid).unwrap_or(0));
    // Seen and not taken in: as long as nobody takes it in, its number is nobody else's. The shim does when we are gone.
    loop {
        match waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT) {
            Ok(WaitStatus::Exited(_, code)) => return code,
            Ok(WaitStatus::Signaled(_, signal, _)) => return 128 + signal as libc::c_int,
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(_) => return libc::EXIT_FAILURE,
        }
    }
}

/// Kills what a helper that is gone left halfway: its children are ours then, and none of those named is meant.
pub(super) fn kill_strays(known: impl Fn(u32) -> bool) {
    let children = std::fs::read_to_string("/proc/thread-self/children").unwrap_or_default();
    for pid in children.split_whitespace().filter_map(|pid| pid.parse::<u32>().ok()) {
        if !known(pid)
            && let Ok(pid) = i32::try_from(pid)
        {
            // SAFETY: the process is our child and not yet waited for, so the number is still its own.
            unsafe { libc::kill(pid, libc::SIGKILL) };
        }
    }
}
