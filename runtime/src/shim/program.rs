//! The program that shims run, so that no container reaches the host's file of it.
//!
//! A container's first process, and each further one, is a copy of its shim until it executes the user's program. Until
//! then, and for ever where an image makes `/proc/self/exe` its entrypoint or a script's interpreter, its `exe` link leads
//! whoever is inside to the file (CVE-2019-5736). So a shim is executed through a mount of that one file which is nowhere
//! in the tree and can only be read: mode, owner, attributes and content cannot be changed through it. Where the kernel
//! does not make such a mount, a sealed copy in memory serves instead, at the price of its size.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use rustix::mount::{MountAttrFlags, OpenTreeFlags, open_tree};

use crate::error::{Context as _, Error};
use crate::rootfs::mount::set_attributes;

/// What the kernel shows as the name of a shim.
pub(super) const NAME: &std::ffi::CStr = c"skein-shim";

/// The program, open for being executed.
#[derive(Debug)]
pub(crate) struct Program(OwnedFd);

impl Program {
    /// Takes the program of a path as it is now.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let taken = detached(path).or_else(|error| {
            tracing::warn!(%error, "no mount of the program by itself: shims run from a copy in memory");
            copied(path)
        });
        taken.map(Self).context("set the shims' program apart")
    }

    /// Where this process executes it.
    pub(crate) fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.0.as_raw_fd()))
    }
}

fn detached(path: &Path) -> io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let tree = open_tree(CWD, path, flags)?;
    let read_only = MountAttrFlags::MOUNT_ATTR_RDONLY | MountAttrFlags::MOUNT_ATTR_NOSUID;
    set_attributes(&tree, read_only, libc::MS_PRIVATE)?;
    Ok(tree)
}

fn copied(path: &Path) -> io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let mut memory = File::from(memfd_create(NAME, flags)?);
    io::copy(&mut File::open(path)?, &mut memory)?;
    // Also its owner may not change its mode to set-user-id then: the seal is of Linux 6.3, and the file nobody's anyway.
    let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
    fcntl_add_seals(&memory, seals)?;
    Ok(memory.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{Mode, OFlags, XattrFlags};
    use rustix::io::Errno;

    #[test]
    fn nothing_can_be_done_to_the_file_through_it() {
        let dir = tempfile::tempdir_in("/var/tmp").unwrap();
        let path = dir.path().join("program");
        std::fs::copy("/proc/self/exe", &path).unwrap();
        let program = Program::open(&path).unwrap();
        let opened = rustix::fs::open(program.path(), OFlags::RDONLY, Mode::empty()).unwrap();
        assert_eq!(rustix::fs::fchmod(&opened, Mode::from(0o4777)), Err(Errno::ROFS));
        assert_eq!(rustix::fs::fchown(&opened, None, None), Err(Errno::ROFS));
        let set = rustix::fs::fsetxattr(&opened, "user.x", b"y", XattrFlags::empty());
        assert_eq!(set, Err(Errno::ROFS));
        let write = rustix::fs::open(program.path(), OFlags::WRONLY, Mode::empty());
        assert_eq!(write.map(drop), Err(Errno::ROFS));
        let copied = Program(copied(&path).unwrap());
        let write = rustix::fs::open(copied.path(), OFlags::RDWR, Mode::empty()).unwrap();
        assert_eq!(rustix::io::write(write, b"x"), Err(Errno::PERM));
        // Either is executed: a test binary lists its tests.
        for program in [program, copied] {
            let output = std::process::Command::new(program.path()).arg("--list").output().unwrap();
            assert!(output.status.success() && !output.stdout.is_empty());
        }
    }
}
