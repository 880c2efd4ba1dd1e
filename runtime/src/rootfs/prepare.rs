//! Makes a mounted root file system ready for the container library, which follows links in places: it puts `/dev/fd`
//! below whatever `/dev` points to. So what it mounts on or writes to must be real directories and files first.

use std::os::fd::BorrowedFd;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, openat, statat, symlinkat, unlinkat};
use rustix::io::Errno;

use super::path::{make_dirs, make_dirs_inside};
use crate::error::{Error, hostile};

/// Where the container library mounts something.
const DIRS: [&str; 4] = ["dev", "proc", "sys", "etc"];
/// The files that are ours, as Docker does it.
pub(crate) const FILES: [&str; 3] = ["hosts", "resolv.conf", "hostname"];

/// Makes the mount points; a link in their place is refused, or replaced where images honestly have one.
pub(crate) fn prepare(root: BorrowedFd<'_>, workdir: &str) -> Result<(), Error> {
    let mut etc = None;
    for dir in DIRS {
        let opened = make_dirs(root, dir.as_bytes()).map_err(|error| match error {
            Errno::LOOP | Errno::NOTDIR | Errno::XDEV => {
                hostile(format!("/{dir} is no directory of its own"))
            }
            error => io(format!("make /{dir}"), error),
        })?;
        if dir == "etc" {
            etc = Some(opened);
        }
    }
    let etc = etc.expect("etc is one of the directories");
    for file in FILES {
        match statat(&etc, file, AtFlags::SYMLINK_NOFOLLOW)
            .map(|s| FileType::from_raw_mode(s.st_mode))
        {
            Ok(FileType::RegularFile) => continue,
            // Debian's images link resolv.conf to a service's file that is not there.
            Ok(FileType::Symlink) => {
                unlinkat(&etc, file, AtFlags::empty())
                    .map_err(|e| io(format!("replace /etc/{file}"), e))?;
            }
            Err(Errno::NOENT) => {}
            Ok(_) => return Err(hostile(format!("/etc/{file} is no file"))),
            Err(error) => return Err(io(format!("look at /etc/{file}"), error)),
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        openat(&etc, file, flags, Mode::from(0o644))
            .map_err(|e| io(format!("make /etc/{file}"), e))?;
    }
    // What old programs read for a list of mounts, as Docker gives it to images without one.
    match symlinkat("/proc/mounts", &etc, "mtab") {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => return Err(io("make /etc/mtab".to_owned(), error)),
    }
    make_dirs_inside(root, workdir).map_err(|error| Error::BadSetting {
        message: format!("working directory {workdir:?}: {error}"),
    })
}

fn io(what: String, source: Errno) -> Error {
    Error::Io { what, source: source.into() }
}
