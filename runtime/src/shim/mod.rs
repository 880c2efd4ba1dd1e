//! The shim: one small process a container, the same binary run again, which outlives the daemon.
//! It is the container's parent, so it alone can know how it ended; everything about why is in docs/adr/0003-shim.md.

pub(crate) mod console;
mod container;
pub(crate) mod further;
mod init;
mod launch;
pub(crate) mod program;
pub(crate) mod protocol;
mod serve;
mod within;
mod word;

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

use nix::sys::signal::{SigSet, SigmaskHow, sigprocmask};

use crate::error::{Context as _, Error};
use protocol::{Order, Reply, send_line};
pub(crate) use serve::{in_dir, now};

/// The sub-command under which the binary is run again.
pub const COMMAND: &str = "shim";

/// Longest order; the largest part is the user's environment.
const ORDER_MAX: u64 = 16 << 20;

/// Runs a shim to its end. Call it before any thread is started and before anything is opened: `main` should look for
/// [`COMMAND`] as its first argument and come here at once. What to do stands on standard input; the rest of the
/// command line is for whoever reads `ps`.
pub fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Standard error is a file in the container's directory.
            let _ = writeln!(io::stderr(), "{error}: {:?}", std::error::Error::source(&error));
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Error> {
    detach().context("detach from the daemon")?;
    let mut daemon = UnixStream::from(take_stdin().context("open standard input")?);
    let mut json = Vec::new();
    (&daemon).take(ORDER_MAX).read_to_end(&mut json).context("read the order")?;
    let order: Order =
        serde_json::from_slice(&json).map_err(io::Error::from).context("read the order")?;
    drop(json);
    let made = container::Made::create(&order).and_then(|made| serve::Server::new(&order, made));
    let (reply, server) = match made {
        Ok(server) => (Reply::Created { pid: server.pid() }, Ok(server)),
        Err(error) => (Reply::Failed((&error).into()), Err(error)),
    };
    // A daemon that died meanwhile finds the container by its socket.
    let _ = send_line(&mut daemon, &reply);
    drop((daemon, order));
    let server = server?;
    // SAFETY: malloc_trim only gives free memory back to the kernel; no other thread exists.
    unsafe { libc::malloc_trim(0) };
    server.run()
}

/// Own session, no inherited files but the three standard ones, no signal that a terminal or the daemon's supervisor
/// meant for others; orphans of the container come to us.
fn detach() -> io::Result<()> {
    // SAFETY: nothing in this process has opened a file beyond standard error yet: see `main`.
    if unsafe { libc::close_range(3, libc::c_uint::MAX, 0) } != 0 {
        return Err(io::Error::last_os_error());
    }
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), None)?;
    // Fails only for a session's leader, which the daemon's child never is; by hand it may be.
    let _ = rustix::process::setsid();
    // Executed through a descriptor, it would be named after its number.
    let _ = nix::sys::prctl::set_name(program::NAME);
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    rustix::process::umask(rustix::fs::Mode::from(0o022));
    rustix::process::chdir("/")?;
    Ok(())
}

/// Moves the daemon's end away from descriptor 0, where the container is to find nothing.
fn take_stdin() -> io::Result<OwnedFd> {
    // SAFETY: descriptor 0 is ours, and is duplicated without being owned here.
    let stdin = unsafe { std::os::fd::BorrowedFd::borrow_raw(0) };
    let moved = rustix::io::fcntl_dupfd_cloexec(stdin, 3)?;
    let null = File::open("/dev/null")?;
    // SAFETY: descriptor 0 is open, so an OwnedFd of it is sound; it is forgotten again, never closed.
    let mut zero = unsafe { OwnedFd::from_raw_fd(0) };
    let result = rustix::io::dup2(&null, &mut zero);
    debug_assert_eq!(zero.as_raw_fd(), 0);
    std::mem::forget(zero);
    result?;
    Ok(moved)
}
