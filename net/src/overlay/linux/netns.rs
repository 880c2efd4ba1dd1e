//! Network namespaces, held open by bind mounts so that they outlive whoever made them.
//! Code runs in one only on a throw-away thread: a thread that changed its namespace never returns to a pool.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::thread;

use rustix::mount::{UnmountFlags, mount_bind, unmount};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space, unshare_unsafe};

/// What `statfs` says of a namespace file (linux/magic.h).
const NSFS_MAGIC: i64 = 0x6e73_6673;
/// The namespace of the thread that reads it.
const OWN: &str = "/proc/thread-self/ns/net";

/// A network namespace.
#[derive(Debug)]
pub(super) struct Netns {
    fd: OwnedFd,
}

impl Netns {
    /// The one this thread is in.
    pub(super) fn of_this_thread() -> io::Result<Self> {
        Ok(Self { fd: File::open(OWN)?.into() })
    }
    /// The one mounted at a file.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { fd: File::open(path)?.into() })
    }
    /// Moves this thread in. Only for threads of `on_thread`.
    pub(super) fn enter(&self) -> io::Result<()> {
        Ok(move_into_link_name_space(self.fd.as_fd(), Some(LinkNameSpaceType::Network))?)
    }
}
impl AsFd for Netns {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Runs a function on a thread of its own, which may change namespaces as it likes.
pub(super) fn on_thread<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| match scope.spawn(work).join() {
        Ok(result) => result,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}

/// Gives this thread a fresh network namespace. Only for threads of `on_thread`.
pub(super) fn enter_new() -> io::Result<Netns> {
    // SAFETY: only the network namespace is left, no file descriptor table; the thread is thrown away afterwards.
    unsafe { unshare_unsafe(UnshareFlags::NEWNET) }?;
    Netns::of_this_thread()
}

/// Mounts the namespace of this thread at a file, which it makes.
pub(super) fn pin_own(path: &Path) -> io::Result<()> {
    File::create(path)?;
    mount_bind(OWN, path).map_err(|error| {
        // The error that counts is the mount's; an empty file left behind is no namespace to anybody.
        let _ = fs::remove_file(path);
        error.into()
    })
}

/// Whether a namespace is mounted at a file.
pub(super) fn is_pinned(path: &Path) -> bool {
    rustix::fs::statfs(path).is_ok_and(|fs| fs.f_type == NSFS_MAGIC)
}

/// Unmounts and removes the file; nothing there is no error.
pub(super) fn unpin(path: &Path) -> io::Result<()> {
    // More than one mount may lie on it if two starts raced.
    while is_pinned(path) {
        unmount(path, UnmountFlags::DETACH)?;
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Sets a kernel parameter under `/proc/sys/net` of the namespace this thread is in; one the kernel does not have is skipped.
pub(super) fn sysctl(name: &str, value: &str) -> io::Result<()> {
    match fs::write(Path::new("/proc/sys/net").join(name), value) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
