//! A layer's archive becomes a directory that overlayfs can stack.
//! The archive is hostile: each path is opened below the layer's directory by the kernel, nothing is overwritten, and
//! what does not fit is refused, never skipped, so that no two readers see different images (reliability F16, F17).

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags, chownat, fchmod,
    fchown, fsetxattr, futimens, linkat, makedev, mkdirat, mknodat, openat, statat, symlinkat,
    unlinkat, utimensat,
};
use rustix::io::Errno;

use super::Digest;
use super::entry::{Entry, Extensions, Kind, read};
use super::stream::{Caps, LayerStream, refused};
use crate::rootfs::path;

const WHITEOUT: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";

/// What was unpacked: the digest of the uncompressed archive, and its bytes of file content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unpacked {
    pub(crate) digest: Digest,
    pub(crate) size: u64,
}

/// Unpacks one layer into an empty directory of ours. On an error the directory holds part of it: remove it.
pub(crate) fn unpack(archive: impl Read, into: &Path, caps: Caps) -> io::Result<Unpacked> {
    let mut unpacker = Unpacker { root: path::open_root(into)?, parent: None, dirs: Vec::new() };
    let mut tar = tar::Archive::new(LayerStream::new(archive, caps)?);
    let (mut entries, mut size) = (0_u64, 0_u64);
    let mut extensions = Extensions::default();
    for entry in tar.entries()?.raw(true) {
        let mut entry = entry.map_err(broken)?;
        entries += 1;
        if entries > caps.entries {
            return Err(refused(format!("a layer of over {} entries", caps.entries)));
        }
        if extensions.take(&mut entry)? {
            continue;
        }
        let description = read(&entry, std::mem::take(&mut extensions))?;
        size += description.size;
        unpacker.put(description, &mut entry)?;
    }
    if extensions.pending() {
        return Err(refused("an extension header without its entry"));
    }
    unpacker.finish_dirs()?;
    let (digest, _) = tar.into_inner().finish()?;
    Ok(Unpacked { digest, size })
}

/// The tar reader's own complaints are about the archive; those of the system below keep their kind.
fn broken(error: io::Error) -> io::Error {
    if error.get_ref().is_some_and(|inner| inner.is::<super::stream::Refused>()) {
        return error;
    }
    match error.kind() {
        io::ErrorKind::Other | io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData => {
            refused(format!("a broken archive: {error}"))
        }
        _ => error,
    }
}

struct Unpacker {
    root: OwnedFd,
    /// The directory the last entry was in: most follow one another.
    parent: Option<(Vec<u8>, OwnedFd)>,
    /// Directories get their time when nothing is put into them any more.
    dirs: Vec<(Vec<u8>, i64)>,
}

impl Unpacker {
    fn put(&mut self, entry: Entry, content: &mut impl Read) -> io::Result<()> {
        if entry.path.is_empty() {
            return self.put_root(&entry);
        }
        let (parent, name) = match entry.path.iter().rposition(|b| *b == b'/') {
            Some(slash) => (&entry.path[..slash], &entry.path[slash + 1..]),
            None => (&b""[..], &entry.path[..]),
        };
        if parent.split(|b| *b == b'/').any(|part| part.starts_with(WHITEOUT)) {
            return Err(refused("an entry below a whiteout"));
        }
        self.enter(parent)?;
        let Some((_, dir)) = &self.parent else { unreachable!("enter has just set it") };
        let dir = dir.as_fd();
        if name.starts_with(WHITEOUT) {
            return whiteout(dir, name, &entry);
        }
        match &entry.kind {
            Kind::Dir => {
                put_dir(dir, name, &entry)?;
                self.dirs.push((entry.path, entry.mtime));
                Ok(())
            }
            Kind::File => put_file(dir, name, &entry, content),
            Kind::Symlink(target) => {
                fresh(dir, name, || {
                    symlinkat(OsStr::from_bytes(target), dir, OsStr::from_bytes(name))
                })?;
                finish_unopened(dir, name, &entry, false)
            }
            Kind::Hardlink(target) => self.put_hardlink(dir, name, target),
            Kind::Fifo => {
                let make =
                    || mknodat(dir, OsStr::from_bytes(name), FileType::Fifo, Mode::from(0o600), 0);
                fresh(dir, name, make)?;
                finish_unopened(dir, name, &entry, true)
            }
            Kind::Device(major, minor) => {
                let device = makedev(*major, *minor);
                let kind = FileType::CharacterDevice;
                let make =
                    || mknodat(dir, OsStr::from_bytes(name), kind, Mode::from(0o600), device);
                fresh(dir, name, make)?;
                finish_unopened(dir, name, &entry, true)
            }
        }
    }

    fn put_root(&mut self, entry: &Entry) -> io::Result<()> {
        if entry.kind != Kind::Dir {
            return Err(refused("a root that is no directory"));
        }
        finish(self.root.as_fd(), entry)?;
        self.dirs.push((Vec::new(), entry.mtime));
        Ok(())
    }

    fn enter(&mut self, parent: &[u8]) -> io::Result<()> {
        if self.parent.as_ref().is_none_or(|(path, _)| path != parent) {
            let dir = path::make_dirs_through(self.root.as_fd(), parent)
                .map_err(|error| refused_path(parent, error))?;
            self.parent = Some((parent.to_vec(), dir));
        }
        Ok(())
    }

    fn put_hardlink(&self, dir: BorrowedFd<'_>, name: &[u8], target: &[u8]) -> io::Result<()> {
        let (parent, base) = match target.iter().rposition(|b| *b == b'/') {
            Some(slash) => (&target[..slash], &target[slash + 1..]),
            None => (&b""[..], target),
        };
        let from = path::open_dir_through(self.root.as_fd(), parent)
            .map_err(|error| refused_path(target, error))?;
        let base = OsStr::from_bytes(base);
        let stat = statat(&from, base, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|error| refused_path(target, error))?;
        // Of a symbolic link it is another name of the link, which is not followed.
        let kind = FileType::from_raw_mode(stat.st_mode);
        if !matches!(kind, FileType::RegularFile | FileType::Symlink) {
            return Err(refused("a hard link to something that is no file"));
        }
        let to = OsStr::from_bytes(name);
        fresh(dir, name, || linkat(&from, base, dir, to, AtFlags::empty()))
    }

    fn finish_dirs(&self) -> io::Result<()> {
        for (path, mtime) in self.dirs.iter().rev() {
            let dir = path::open_dir_through(self.root.as_fd(), path)?;
            futimens(&dir, &times(*mtime))?;
        }
        Ok(())
    }
}

/// A parent that cannot be opened is a link, a file or a loop: the archive's doing.
fn refused_path(path: &[u8], error: Errno) -> io::Error {
    match error {
        Errno::LOOP
        | Errno::NOTDIR
        | Errno::XDEV
        | Errno::NOENT
        | Errno::EXIST
        | Errno::NAMETOOLONG => refused(format!(
            "path {:?} leads through something that is no directory",
            String::from_utf8_lossy(&path[..path.len().min(80)])
        )),
        other => other.into(),
    }
}

/// Makes something new. A whiteout of the same name hides what lower layers had, which the new thing does as well; of two
/// entries of one name the later counts, as where they are unpacked one after another.
fn fresh(
    dir: BorrowedFd<'_>,
    name: &[u8],
    make: impl Fn() -> rustix::io::Result<()>,
) -> io::Result<()> {
    match make() {
        Err(Errno::EXIST) if is_whiteout(dir, name)? => {
            unlinkat(dir, OsStr::from_bytes(name), AtFlags::empty())?;
            Ok(make()?)
        }
        Err(Errno::EXIST) => match unlinkat(dir, OsStr::from_bytes(name), AtFlags::empty()) {
            Ok(()) => Ok(make()?),
            Err(Errno::ISDIR | Errno::PERM) => Err(refused(format!(
                "two entries named {:?}, one a directory",
                String::from_utf8_lossy(&name[..name.len().min(80)])
            ))),
            Err(error) => Err(error.into()),
        },
        done => Ok(done?),
    }
}

fn is_whiteout(dir: BorrowedFd<'_>, name: &[u8]) -> io::Result<bool> {
    let stat = statat(dir, OsStr::from_bytes(name), AtFlags::SYMLINK_NOFOLLOW)?;
    let device = FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice;
    Ok(device && stat.st_rdev == 0)
}

fn whiteout(dir: BorrowedFd<'_>, name: &[u8], entry: &Entry) -> io::Result<()> {
    if entry.kind != Kind::File || entry.size != 0 {
        return Err(refused("a whiteout that is more than an empty file"));
    }
    if name == OPAQUE {
        return opaque(dir);
    }
    let hidden = &name[WHITEOUT.len()..];
    if hidden.is_empty() || hidden == b"." || hidden == b".." || hidden.starts_with(WHITEOUT) {
        return Err(refused(format!("whiteout {:?}", String::from_utf8_lossy(name))));
    }
    let hidden_name = OsStr::from_bytes(hidden);
    match mknodat(dir, hidden_name, FileType::CharacterDevice, Mode::empty(), makedev(0, 0)) {
        Ok(()) => Ok(()),
        // It is in this layer too, and a layer hides only what lies below it.
        Err(Errno::EXIST) if is_whiteout(dir, hidden)? => Err(refused("a whiteout given twice")),
        Err(Errno::EXIST) => match path::open_dir(dir, hidden) {
            Ok(inner) => opaque(inner.as_fd()),
            Err(Errno::NOTDIR | Errno::LOOP) => Ok(()),
            Err(error) => Err(error.into()),
        },
        Err(error) => Err(error.into()),
    }
}

fn opaque(dir: BorrowedFd<'_>) -> io::Result<()> {
    Ok(fsetxattr(dir, "trusted.overlay.opaque", b"y", XattrFlags::empty())?)
}

fn put_dir(dir: BorrowedFd<'_>, name: &[u8], entry: &Entry) -> io::Result<()> {
    let as_os = OsStr::from_bytes(name);
    match mkdirat(dir, as_os, Mode::from(0o700)) {
        Ok(()) => {}
        // A directory may be named twice, and may have been made for an earlier entry below it.
        Err(Errno::EXIST) if is_whiteout(dir, name)? => {
            unlinkat(dir, as_os, AtFlags::empty())?;
            mkdirat(dir, as_os, Mode::from(0o700))?;
            opaque(path::open_dir(dir, name)?.as_fd())?;
        }
        Err(Errno::EXIST) => {}
        Err(error) => return Err(error.into()),
    }
    let made = path::open_dir(dir, name).map_err(|error| refused_path(name, error))?;
    finish(made.as_fd(), entry)
}

fn put_file(
    dir: BorrowedFd<'_>,
    name: &[u8],
    entry: &Entry,
    content: &mut impl Read,
) -> io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = std::cell::OnceCell::new();
    fresh(dir, name, || {
        let fd = openat(dir, OsStr::from_bytes(name), flags, Mode::from(0o600))?;
        let _ = file.set(File::from(fd));
        Ok(())
    })?;
    let mut file = file.into_inner().ok_or_else(|| io::Error::other("the file was not made"))?;
    let copied = io::copy(&mut content.take(entry.size), &mut file).map_err(broken)?;
    if copied != entry.size {
        return Err(refused("it ends inside a file"));
    }
    finish(file.as_fd(), entry)?;
    futimens(&file, &times(entry.mtime))?;
    Ok(())
}

/// Owner, attributes, mode: in this order, since changing the owner clears set-user-id and capabilities.
fn finish(made: BorrowedFd<'_>, entry: &Entry) -> io::Result<()> {
    fchown(made, Some(Uid::from_raw(entry.uid)), Some(Gid::from_raw(entry.gid)))?;
    fchmod(made, Mode::from_raw_mode(entry.mode))?;
    for (name, value) in &entry.xattrs {
        match fsetxattr(made, name.as_str(), value, XattrFlags::empty()) {
            Err(Errno::INVAL | Errno::RANGE | Errno::TOOBIG) => {
                return Err(refused(format!("extended attribute {name:?} of wrong form")));
            }
            other => other?,
        }
    }
    Ok(())
}

/// The same for what must not be opened, through its directory and without following it.
fn finish_unopened(
    dir: BorrowedFd<'_>,
    name: &[u8],
    entry: &Entry,
    has_mode: bool,
) -> io::Result<()> {
    if !entry.xattrs.is_empty() {
        return Err(refused("extended attributes of something that is no file or directory"));
    }
    let as_os = OsStr::from_bytes(name);
    let (uid, gid) = (Uid::from_raw(entry.uid), Gid::from_raw(entry.gid));
    chownat(dir, as_os, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
    if has_mode {
        // There is no fchmodat without following on older kernels; a path handle says which inode is meant.
        let handle =
            openat(dir, as_os, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
        let path = format!("/proc/self/fd/{}", handle.as_raw_fd());
        rustix::fs::chmod(path, Mode::from_raw_mode(entry.mode))?;
    }
    utimensat(dir, as_os, &times(entry.mtime), AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(())
}

fn times(mtime: i64) -> Timestamps {
    let at = Timespec { tv_sec: mtime, tv_nsec: 0 };
    Timestamps { last_access: at, last_modification: at }
}
