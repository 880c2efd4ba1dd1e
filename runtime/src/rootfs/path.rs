//! Paths inside a directory whose content an image chose: every step is resolved by the kernel below that directory.
//! `openat2` alone opens anything here; a joined path would follow a hostile symbolic link out of it (CVE-2018-15664).

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rustix::fs::{Mode, OFlags, ResolveFlags, mkdirat, openat2};
use rustix::io::Errno;

/// No symbolic link at all, nothing above, no other mount's magic.
const STRICT: ResolveFlags =
    ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_MAGICLINKS);
/// Symbolic links as the container itself would see them.
const INSIDE: ResolveFlags = ResolveFlags::IN_ROOT.union(ResolveFlags::NO_MAGICLINKS);
/// Of directories that are made because something lies below them.
const PASSABLE: Mode = Mode::from_bits_retain(0o755);
const DIR: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// Opens a directory that is our own, as the root for what follows.
pub(crate) fn open_root(path: &Path) -> io::Result<OwnedFd> {
    Ok(rustix::fs::open(path, DIR, Mode::empty())?)
}

/// Opens a directory below `root`, no symbolic link on the way; `""` is `root` itself.
pub(crate) fn open_dir(root: BorrowedFd<'_>, path: &[u8]) -> rustix::io::Result<OwnedFd> {
    let path = if path.is_empty() { b"." } else { path };
    openat2(root, OsStr::from_bytes(path), DIR, Mode::empty(), STRICT)
}

/// Opens a directory below `root` and makes what is missing, mode 755, owned by root.
pub(crate) fn make_dirs(root: BorrowedFd<'_>, path: &[u8]) -> rustix::io::Result<OwnedFd> {
    match open_dir(root, path) {
        Err(Errno::NOENT) => {}
        opened => return opened,
    }
    let mut at = open_dir(root, b"")?;
    for part in path.split(|b| *b == b'/').filter(|part| !part.is_empty()) {
        let made = match mkdirat(&at, OsStr::from_bytes(part), PASSABLE) {
            Ok(()) => true,
            Err(Errno::EXIST) => false,
            Err(error) => return Err(error),
        };
        at = open_dir(at.as_fd(), part)?;
        if made {
            rustix::fs::fchmod(&at, PASSABLE)?;
        }
    }
    Ok(at)
}

/// Opens a directory below `root` as the container will see it, symbolic links followed inside.
pub(crate) fn open_dir_through(root: BorrowedFd<'_>, path: &[u8]) -> rustix::io::Result<OwnedFd> {
    let path = if path.is_empty() { b"." } else { path };
    openat2(root, OsStr::from_bytes(path), DIR, Mode::empty(), INSIDE)
}

/// Opens a directory below `root` as the container will see it, symbolic links followed inside, and makes what is missing.
pub(crate) fn make_dirs_through(root: BorrowedFd<'_>, path: &[u8]) -> rustix::io::Result<OwnedFd> {
    let open = |path: &[u8]| open_dir_through(root, path);
    match open(path) {
        Err(Errno::NOENT) => {}
        opened => return opened,
    }
    let mut at = open(b"")?;
    let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(end, _)| end);
    let mut begin = 0;
    for end in ends.chain([path.len()]) {
        let part = &path[begin..end];
        at = match open(&path[..end]) {
            Err(Errno::NOENT) => {
                mkdirat(&at, OsStr::from_bytes(part), PASSABLE)?;
                let made = open(&path[..end])?;
                rustix::fs::fchmod(&made, PASSABLE)?;
                made
            }
            opened => opened?,
        };
        begin = end + 1;
    }
    Ok(at)
}

/// Makes a directory, and those above it, as the container would with `mkdir -p`: links are followed, inside.
pub(crate) fn make_dirs_inside(root: BorrowedFd<'_>, path: &str) -> rustix::io::Result<()> {
    let mut sofar = String::new();
    for part in path.split('/').filter(|part| !part.is_empty()) {
        let parent = if sofar.is_empty() { "." } else { sofar.as_str() };
        let at = openat2(root, parent, DIR, Mode::empty(), INSIDE)?;
        if part != ".." && part != "." {
            match mkdirat(&at, part, PASSABLE) {
                // The umask is not the container's.
                Ok(()) => rustix::fs::fchmod(open_dir(at.as_fd(), part.as_bytes())?, PASSABLE)?,
                Err(Errno::EXIST) => {}
                Err(error) => return Err(error),
            }
        }
        sofar = format!("{sofar}/{part}");
    }
    openat2(root, if sofar.is_empty() { "." } else { &sofar }, DIR, Mode::empty(), INSIDE)?;
    Ok(())
}

/// Opens what is there, as the container sees it, only as a place: a directory or a file, nothing made.
pub(crate) fn open_inside(root: BorrowedFd<'_>, path: &str) -> rustix::io::Result<OwnedFd> {
    let path = if path.is_empty() { "." } else { path };
    openat2(root, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), INSIDE)
}

/// Opens a directory of the image itself, links followed as the container sees them, but into nothing that is mounted.
pub(crate) fn open_image_dir(root: BorrowedFd<'_>, path: &str) -> rustix::io::Result<OwnedFd> {
    openat2(root, path, DIR, Mode::empty(), INSIDE.union(ResolveFlags::NO_XDEV))
}

/// Opens a directory as the container sees it, made if it is not there.
pub(crate) fn open_dir_inside(root: BorrowedFd<'_>, path: &str) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    match openat2(root, path, flags, Mode::empty(), INSIDE) {
        Err(Errno::NOENT) => {
            make_dirs_inside(root, path)?;
            openat2(root, path, flags, Mode::empty(), INSIDE)
        }
        opened => opened,
    }
}

/// Opens a file as the container sees it, made if it is not there, and the directories above it.
pub(crate) fn open_file_inside(root: BorrowedFd<'_>, path: &str) -> rustix::io::Result<OwnedFd> {
    let fd = match open_inside(root, path) {
        Err(Errno::NOENT) => {
            let (parent, _) = path.rsplit_once('/').unwrap_or_default();
            make_dirs_inside(root, parent)?;
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOCTTY;
            let mode = Mode::from(0o644);
            let made = openat2(root, path, flags | OFlags::NONBLOCK, mode, INSIDE)?;
            rustix::fs::fchmod(made, mode)?;
            open_inside(root, path)?
        }
        opened => opened?,
    };
    let kind = rustix::fs::FileType::from_raw_mode(rustix::fs::fstat(&fd)?.st_mode);
    if kind == rustix::fs::FileType::Directory { Err(Errno::ISDIR) } else { Ok(fd) }
}

/// Reads a regular file as the container would see it; `None` if there is none, an error if it has over `max` bytes.
pub(crate) fn read_inside(
    root: BorrowedFd<'_>,
    path: &str,
    max: u64,
) -> io::Result<Option<Vec<u8>>> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = match openat2(root, path, flags, Mode::empty(), INSIDE) {
        Ok(fd) => File::from(fd),
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    let mut bytes = Vec::new();
    let read = file.take(max + 1).read_to_end(&mut bytes)?;
    if u64::try_from(read).is_ok_and(|read| read > max) {
        return Err(io::Error::other(format!("over {max} bytes")));
    }
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn links_do_not_lead_out() {
        let outside = tempfile::tempdir().unwrap();
        let inside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("secret"), "x").unwrap();
        symlink(outside.path(), inside.path().join("abs")).unwrap();
        symlink("../../../../../..", inside.path().join("up")).unwrap();
        std::fs::create_dir(inside.path().join("d")).unwrap();
        symlink("d", inside.path().join("rel")).unwrap();
        let root = open_root(inside.path()).unwrap();
        for bad in ["abs", "up", "rel", "../x", "d/../../x"] {
            assert!(open_dir(root.as_fd(), bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(make_dirs(root.as_fd(), b"abs/new").is_err());
        assert_eq!(read_inside(root.as_fd(), "abs/secret", 10).unwrap(), None);
        assert_eq!(read_inside(root.as_fd(), "up/etc/passwd", 10).unwrap(), None);
        for bad in ["/abs/made", "/up/made", "/../made", "/abs/../../made"] {
            open_dir_inside(root.as_fd(), &format!("{bad}-dir")).ok();
            open_file_inside(root.as_fd(), &format!("{bad}-file")).ok();
            assert!(open_inside(root.as_fd(), &format!("{bad}/secret")).is_err(), "{bad}");
        }
        assert!(!outside.path().parent().unwrap().join("made-dir").exists());
        assert!(open_inside(root.as_fd(), "/abs/secret").is_err());
        open_file_inside(root.as_fd(), "/rel/new/file").unwrap();
        assert!(inside.path().join("d/new/file").is_file());
        assert_eq!(open_file_inside(root.as_fd(), "/rel/new").unwrap_err(), Errno::ISDIR);
        assert!(open_dir_inside(root.as_fd(), "/rel/new/file").is_err());
        make_dirs_inside(root.as_fd(), "/rel/a/../b").unwrap();
        assert!(inside.path().join("d/b").is_dir());
        make_dirs(root.as_fd(), b"x/y/z").unwrap();
        assert!(inside.path().join("x/y/z").is_dir());
        assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 1);
    }

    #[test]
    fn long_and_odd_files_are_refused() {
        let inside = tempfile::tempdir().unwrap();
        std::fs::write(inside.path().join("long"), "12345").unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, inside.path().join("fifo"), Mode::from(0o600))
            .unwrap();
        let root = open_root(inside.path()).unwrap();
        assert!(read_inside(root.as_fd(), "long", 4).is_err());
        assert_eq!(read_inside(root.as_fd(), "long", 5).unwrap().unwrap(), b"12345");
        assert!(read_inside(root.as_fd(), "fifo", 4).is_err());
        assert!(read_inside(root.as_fd(), ".", 4).is_err());
    }
}
