//! `--init`: the container's first process reaps what others leave and passes signals on to the user's program.
//! The launcher itself stays as that process, so nothing is mounted into the container and any image will do.

use nix::errno::Errno;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, kill, sigprocmask};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork, getpid, setpgid};

/// Makes the user's process and answers in it; stays in the first one until that ends, and ends as it did.
pub(super) fn split() -> Result<(), Errno> {
    // Nobody in the container may open our program through /proc/1/exe: see CVE-2019-5736.
    // SAFETY: changes only whether this process can be looked into.
    unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0) };
    // What `ps` in the container shows for it.
    nix::sys::prctl::set_name(c"init")?;
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
