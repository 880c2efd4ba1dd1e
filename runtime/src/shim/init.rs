//! `--init`: the container's first process reaps what others leave and passes signals on to the user's program.
//! The launcher itself stays as that process, so nothing is mounted into the container and any image will do.

use std::fs;
use std::io;

use nix::errno::Errno;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, kill, sigprocmask};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork, getpid, setpgid};

/// What stands before the program's own command line in that of the first process; Docker's is `/sbin/docker-init --`.
const NAME: &str = "skein-init --";

/// Where the kernel finds this process's command line. It is written over: the shim's, which a copy of it shows as well,
/// is the host's and says nothing to whoever looks from inside.
#[derive(Clone, Copy, Debug)]
pub(super) struct Title {
    start: usize,
    length: usize,
}

impl Title {
    /// This process's, which has the arguments it was executed with.
    pub(super) fn own() -> io::Result<Self> {
        let stat = fs::read_to_string("/proc/self/stat")?;
        // Fields 48 and 49 of proc(5), counted from the third: the second is in parentheses and may hold anything.
        let numbers = stat.rsplit_once(") ").map_or("", |(_, rest)| rest).split(' ').skip(45);
        let numbers: Vec<usize> = numbers.take(2).filter_map(|text| text.parse().ok()).collect();
        match numbers[..] {
            [start, end] if start < end => Ok(Self { start, length: end - start }),
            _ => Err(io::Error::other("the kernel does not say where the command line is")),
        }
    }

    /// As much of it as there is room for.
    fn write(self, arguments: &[String]) {
        let mut text = format!("{NAME} {}", arguments.join(" ")).into_bytes();
        text.truncate(self.length.saturating_sub(2));
        // By a last byte that is none the kernel knows that the line was written over, and shows it to the first zero only.
        text.resize(self.length - 1, 0);
        text.push(1);
        let place = std::ptr::with_exposed_provenance_mut::<u8>(self.start);
        // SAFETY: the kernel put the arguments there, on the stack of this process, and nothing in it looks at them again.
        unsafe { std::ptr::copy_nonoverlapping(text.as_ptr(), place, self.length) };
    }
}

/// Makes the user's process and answers in it; stays in the first one until that ends, and ends as it did.
pub(super) fn split(title: Title, arguments: &[String]) -> Result<(), Errno> {
    // Nobody in the container may open our program through /proc/1/exe: see CVE-2019-5736.
    // SAFETY: changes only whether this process can be looked into.
    unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0) };
    // What `ps` in the container shows for it.
    nix::sys::prctl::set_name(c"skein-init")?;
    title.write(arguments);
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), None)?;
    // SAFETY: this process has one thread, so its copy may do anything.
    match unsafe { fork() }? {
        ForkResult::Child => {
            foreground();
            Ok(())
        }
        ForkResult::Parent { child } => {
            // The report of whether the program could be executed is the copy's alone.
            // SAFETY: nothing here uses a descriptor any more, not even the three standard ones.
            unsafe { libc::close_range(0, libc::c_uint::MAX, 0) };
            let code = attend(child);
            // SAFETY: ends this process without running what others registered for its end.
            unsafe { libc::_exit(code) }
        }
    }
}

/// A group of its own, and the terminal if there is one: what is typed there is sent to it once and not to us.
fn foreground() {
    let own = Pid::from_raw(0);
    let _ = setpgid(own, own);
    // Fails where there is no terminal. SIGTTOU is blocked, else a group in the background would be stopped here.
    // SAFETY: names a descriptor and a number only.
    unsafe { libc::tcsetpgrp(0, getpid().as_raw()) };
}

fn attend(child: Pid) -> i32 {
    let all = SigSet::all();
    loop {
        match all.wait() {
            Ok(Signal::SIGCHLD) => {
                if let Some(code) = reap(child) {
                    return code;
                }
            }
            // These are the terminal's word to us.
            Ok(Signal::SIGTTIN | Signal::SIGTTOU) => {}
            Ok(signal) => drop(kill(child, signal)),
            Err(_) => {}
        }
    }
}

/// Takes in whoever ended; the status to end with, once it is the user's process.
fn reap(child: Pid) -> Option<i32> {
    let mut code = None;
    loop {
        let (pid, status) = match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, status)) => (pid, status),
            Ok(WaitStatus::Signaled(pid, signal, _)) => (pid, 128 + signal as libc::c_int),
            Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return code,
            Ok(_) | Err(Errno::EINTR) => continue,
            Err(_) => return code,
        };
        if pid == child {
            code = Some(status);
        }
    }
}
