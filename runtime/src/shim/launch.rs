//! The last steps inside the container before the user's program: find it, filter, become it.
//! In place of the library's own, which says less about what failed, and leaves Rust's ignored SIGPIPE and the shim's
//! blocked signals to the program; and its filter, see `spec::seccomp`.

use std::collections::HashMap;
use std::ffi::{CString, NulError};
use std::fs;
use std::io::{self, Write as _};
use std::mem::ManuallyDrop;
use std::os::fd::{BorrowedFd, FromRawFd as _, RawFd};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::init::{self, Title};
use crate::error::words;
use libcontainer::oci_spec::runtime::Spec;
use libcontainer::workload::{
    Executor, ExecutorError, ExecutorSetEnvsError, ExecutorValidationError,
};
use nix::sys::signal::{SigHandler, SigSet, SigmaskHow, Signal, signal, sigprocmask};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::Signal as DeathSignal;

/// A compiled filter: the kernel's own words.
#[derive(Clone)]
pub(super) struct Filter(Vec<libc::sock_filter>);

impl Filter {
    /// Takes the bytes that libseccomp exports.
    pub(super) fn from_bytes(bytes: &[u8]) -> io::Result<Self> {
        let words = bytes.chunks_exact(8);
        if bytes.is_empty() || !words.remainder().is_empty() {
            return Err(io::Error::other("a filter of wrong length"));
        }
        let word = |b: &[u8]| libc::sock_filter {
            code: u16::from_ne_bytes([b[0], b[1]]),
            jt: b[2],
            jf: b[3],
            k: u32::from_ne_bytes([b[4], b[5], b[6], b[7]]),
        };
        Ok(Self(words.map(word).collect()))
    }

    /// Applies it to this process for good: `no_new_privs` is set, or a capability is there that makes it an administrator.
    fn apply(&self) -> io::Result<()> {
        let len = u16::try_from(self.0.len()).map_err(io::Error::other)?;
        let program = libc::sock_fprog { len, filter: self.0.as_ptr().cast_mut() };
        // SAFETY: the program points to `len` words that live beyond the call; the kernel copies and only reads them.
        let done = unsafe {
            libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program)
        };
        if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}

/// What runs inside. It crosses a clone of the process as it is, so it holds plain values only.
#[derive(Clone)]
pub(super) struct Launch {
    /// A pipe that closes when the program is executed, or first tells why it cannot be.
    pub(super) report: RawFd,
    /// A handle of the shim's process.
    pub(super) shim: RawFd,
    /// The filter of system calls, compiled.
    pub(super) filter: Filter,
    /// Numbers of the capabilities that are only there to apply it.
    pub(super) until_filtered: Vec<u32>,
    /// Whether this process stays, as the container's first, and the program is another.
    pub(super) init: Option<Title>,
    /// Whether standard input is a terminal that is to be the program's own; the library sees to the first process's.
    pub(super) terminal: bool,
}

impl Launch {
    fn report(&self, message: &str) {
        // SAFETY: the shim opened the pipe for this; it is not closed here, so it is owned only in name.
        let mut pipe = ManuallyDrop::new(unsafe { fs::File::from_raw_fd(self.report) });
        let _ = pipe.write_all(message.as_bytes());
    }

    /// A container's life hangs on its shim: without it nobody would let it start or see how it ends, so it ends with it,
    /// whether that dies later or is dead already. The latter is asked of the handle, since a parent outside has no number
    /// in here.
    fn end_with_shim(&self) -> io::Result<()> {
        rustix::process::set_parent_process_death_signal(Some(DeathSignal::KILL))?;
        // SAFETY: the shim opened the handle for this and closes it only after it made the process.
        let shim = unsafe { BorrowedFd::borrow_raw(self.shim) };
        let mut polled = [PollFd::from_borrowed_fd(shim, PollFlags::IN)];
        match poll(&mut polled, Some(&Timespec::default()))? {
            0 => Ok(()),
            // SAFETY: ends this process without running what others registered for its end.
            _ => unsafe { libc::_exit(libc::EXIT_FAILURE) },
        }
    }
}

impl Executor for Launch {
    /// The library's last call before it waits for the word to start, and after the user was changed: that would undo
    /// what is set here.
    fn validate(&self, spec: &Spec) -> Result<(), ExecutorValidationError> {
        if let Err(error) = self.end_with_shim() {
            let message = format!("tie the process to its shim: {error}");
            self.report(&message);
            return Err(ExecutorValidationError::ArgValidationError(message));
        }
        find(spec).map(drop).map_err(|message| {
            self.report(&message);
            ExecutorValidationError::ArgValidationError(message)
        })
    }

    /// The environment is passed on with `execve`, in its order; the shim's own is never changed.
    fn setup_envs(&self, _: HashMap<String, String>) -> Result<(), ExecutorSetEnvsError> {
        Ok(())
    }

    fn exec(&self, spec: &Spec) -> Result<(), ExecutorError> {
        let message = become_program(self, spec);
        self.report(&message);
        Err(ExecutorError::Other(message))
    }
}

/// Returns only with the reason why not.
fn become_program(launch: &Launch, spec: &Spec) -> String {
    let path = match find(spec) {
        Ok(path) => path,
        Err(message) => return message,
    };
    let failed = |error: io::Error| format!("exec {}: {}", path.display(), words(&error));
    let prepared = || -> Result<(CString, Vec<CString>, Vec<CString>), NulError> {
        let texts = |list: &[String]| -> Result<Vec<CString>, NulError> {
            list.iter().map(|text| CString::new(text.as_str())).collect()
        };
        Ok((
            CString::new(path.as_os_str().as_encoded_bytes())?,
            texts(arguments(spec))?,
            texts(environment(spec))?,
        ))
    };
    let Ok((program, args, env)) = prepared() else {
        return failed(io::Error::from(io::ErrorKind::InvalidInput));
    };
    if launch.terminal
        && let Err(errno) = rustix::process::ioctl_tiocsctty(rustix::stdio::stdin())
    {
        return failed(errno.into());
    }
    if let Err(error) = launch.filter.apply() {
        return format!("filter system calls: {error}");
    }
    if let Err(error) = give_up(&launch.until_filtered) {
        return format!("give capabilities up: {error}");
    }
    if let Some(title) = launch.init
        && let Err(errno) = init::split(title, arguments(spec))
    {
        return format!("make the first process: {}", errno.desc());
    }
    if let Err(error) = settle() {
        return failed(error);
    }
    match nix::unistd::execve(&program, &args, &env) {
        Err(errno) => failed(errno.into()),
    }
}

/// Takes capabilities out of every set, those of programs executed later among them.
fn give_up(capabilities: &[u32]) -> io::Result<()> {
    if capabilities.is_empty() {
        return Ok(());
    }
    for number in capabilities {
        // SAFETY: takes numbers only.
        if unsafe { libc::prctl(libc::PR_CAPBSET_DROP, *number, 0, 0, 0) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    let bits = capabilities.iter().fold(0, |bits, number| bits | 1u64 << number);
    let gone = rustix::thread::CapabilitySet::from_bits_retain(bits);
    let mut sets = rustix::thread::capabilities(None)?;
    for set in [&mut sets.effective, &mut sets.permitted, &mut sets.inheritable] {
        set.remove(gone);
    }
    Ok(rustix::thread::set_capabilities(None, sets)?)
}

/// What Rust and the shim changed for themselves is as a program expects it.
fn settle() -> io::Result<()> {
    // SAFETY: the default action is no handler of ours.
    unsafe { signal(Signal::SIGPIPE, SigHandler::SigDfl) }?;
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)?;
    Ok(())
}

fn arguments(spec: &Spec) -> &[String] {
    spec.process().as_ref().and_then(|process| process.args().as_deref()).unwrap_or_default()
}

fn environment(spec: &Spec) -> &[String] {
    spec.process().as_ref().and_then(|process| process.env().as_deref()).unwrap_or_default()
}

/// Looks the program up as Docker's users know it from `exec.LookPath`, with its messages.
fn find(spec: &Spec) -> Result<PathBuf, String> {
    let name = arguments(spec).first().map(String::as_str).unwrap_or_default();
    if name.contains('/') {
        return match executable(Path::new(name)) {
            Ok(()) => Ok(PathBuf::from(name)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(format!("exec: {name:?}: stat {name}: {}", words(&error)))
            }
            Err(error) => Err(format!("exec: {name:?}: {}", words(&error))),
        };
    }
    let path = environment(spec).iter().find_map(|variable| variable.strip_prefix("PATH="));
    let mut denied = None;
    for dir in path.unwrap_or_default().split(':').filter(|dir| dir.starts_with('/')) {
        let candidate = Path::new(dir).join(name);
        match executable(&candidate) {
            Ok(()) if !name.is_empty() => return Ok(candidate),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => denied = Some(error),
            _ => {}
        }
    }
    Err(match denied {
        Some(error) => format!("exec: {name:?}: {}", words(&error)),
        None => format!("exec: {name:?}: executable file not found in $PATH"),
    })
}

fn executable(path: &Path) -> io::Result<()> {
    let metadata = fs::metadata(path)?;
    if metadata.is_dir() || metadata.permissions().mode() & 0o111 == 0 {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    Ok(())
}
