//! Directories whose content a container or an image made: removed, measured and copied without trusting any of it.
//! Every step goes from an open directory to what lies right in it; no path is walked twice, no link followed, no mount
//! crossed. Depth, width and names are the enemy's choice, so nothing here recurses, and what is open at a time is bounded.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Gid, IFlags, Mode, OFlags, RenameFlags, ResolveFlags, Stat,
    Timespec, Timestamps, Uid, fchmod, fchown, fstat, futimens, ioctl_getflags, ioctl_setflags,
    mkdirat, mkfifoat, openat, openat2, readlinkat, renameat_with, statat, symlinkat, unlinkat,
};
use rustix::io::Errno;

/// Directories open at a time while a tree is removed: what lies deeper is moved up first.
const OPEN_MAX: usize = 32;
/// Levels that are measured or copied: deeper than any program's own files; a copy refuses more, a size leaves it out.
const LEVELS_MAX: usize = 256;
/// Entries that are measured: seconds of a disk's time.
const ENTRIES_MAX: u64 = 4_000_000;
/// How often a directory is looked through again because it was not empty after all: file systems may pass over entries
/// while others are removed.
const PASSES_MAX: u32 = 8;

const HERE: ResolveFlags = ResolveFlags::BENEATH
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::NO_MAGICLINKS)
    .union(ResolveFlags::NO_XDEV);
const DIR: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// A directory on the way down.
struct Level {
    dir: Dir,
    /// Its name in the one above; empty for the first.
    name: CString,
    /// What could not be removed in it.
    kept: u64,
    passes: u32,
}

impl Level {
    fn new(fd: OwnedFd, name: &CStr) -> rustix::io::Result<Self> {
        Ok(Self { dir: Dir::new(fd)?, name: name.to_owned(), kept: 0, passes: 0 })
    }

    /// The next entry that is no way up or back.
    fn next(&mut self) -> Option<rustix::io::Result<(CString, FileType)>> {
        loop {
            match self.dir.read()? {
                Ok(entry) if matches!(entry.file_name().to_bytes(), b"." | b"..") => {}
                Ok(entry) => return Some(Ok((entry.file_name().to_owned(), entry.file_type()))),
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

/// Opens the directory itself, if it is one.
fn open(path: &Path) -> rustix::io::Result<OwnedFd> {
    openat(CWD, path, DIR | OFlags::NOFOLLOW, Mode::empty())
}

/// Opens a directory right in another one.
fn open_in(dir: BorrowedFd<'_>, name: &CStr) -> rustix::io::Result<OwnedFd> {
    openat2(dir, name, DIR | OFlags::NOFOLLOW, Mode::empty(), HERE)
}

/// Removes a directory and all below it. What cannot be removed (a mount, a broken disk) stays, with the directories above
/// it, and the error says how much and why; all else goes nevertheless.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    let root = match open(path) {
        Err(Errno::NOENT) => return Ok(()),
        Err(Errno::NOTDIR | Errno::LOOP) => return Ok(unlinkat(CWD, path, AtFlags::empty())?),
        root => root?,
    };
    let mut removal = Removal { moved: 0, first: None };
    let kept = removal.below(root)?;
    match removal.first {
        None => Ok(unlinkat(CWD, path, AtFlags::REMOVEDIR)?),
        Some((name, errno)) => {
            let name = name.to_string_lossy().escape_debug().to_string();
            let source = io::Error::from(errno);
            Err(io::Error::new(
                source.kind(),
                format!("{kept} entries stay, {name} first: {source}"),
            ))
        }
    }
}

struct Removal {
    /// Directories that were moved up; numbers their names.
    moved: u64,
    /// What could not be removed first, and why.
    first: Option<(CString, Errno)>,
}

impl Removal {
    /// Removes what is below a directory; how much stays in it.
    fn below(&mut self, root: OwnedFd) -> rustix::io::Result<u64> {
        unprotect(root.as_fd());
        let mut levels = vec![Level::new(root, c"")?];
        loop {
            let top = levels.len() - 1;
            match levels[top].next() {
                Some(entry) => {
                    let (name, _) = entry?;
                    if let Some(deeper) = self.entry(&mut levels, &name) {
                        levels.push(deeper);
                    }
                }
                None if top == 0 => {
                    // Whatever was moved up meanwhile is looked at by another pass.
                    let level = &mut levels[0];
                    let moved = std::mem::take(&mut self.moved);
                    level.passes += u32::from(moved == 0);
                    if level.kept > 0 && moved == 0 {
                        return Ok(level.kept);
                    }
                    level.dir.rewind();
                    match level.next() {
                        None => return Ok(0),
                        Some(_) if level.passes >= PASSES_MAX => {
                            self.first.get_or_insert_with(|| (c".".to_owned(), Errno::NOTEMPTY));
                            return Ok(1);
                        }
                        Some(_) => level.dir.rewind(),
                    }
                    level.kept = 0;
                }
                None => {
                    let Some(level) = levels.pop() else { return Ok(0) };
                    if level.kept > 0 {
                        levels[top - 1].kept += level.kept;
                        continue;
                    }
                    let above = levels[top - 1].dir.fd()?;
                    match unlinkat(above, &level.name, AtFlags::REMOVEDIR) {
                        Ok(()) | Err(Errno::NOENT) => {}
                        Err(Errno::NOTEMPTY) if level.passes < PASSES_MAX => {
                            let mut again = level;
                            again.dir.rewind();
                            again.passes += 1;
                            levels.push(again);
                        }
                        Err(errno) => self.keep(&mut levels[top - 1], &level.name, errno),
                    }
                }
            }
        }
    }

    fn keep(&mut self, level: &mut Level, name: &CStr, errno: Errno) {
        level.kept += 1;
        self.first.get_or_insert_with(|| (name.to_owned(), errno));
    }

    /// Removes an entry of the last level, or answers the level to go down to.
    fn entry(&mut self, levels: &mut [Level], name: &CStr) -> Option<Level> {
        let depth = levels.len();
        let result = (|| {
            let (root, dir) = (levels[0].dir.fd()?, levels[depth - 1].dir.fd()?);
            match unlinkat(dir, name, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => return Ok(None),
                // POSIX says EPERM of a directory, Linux EISDIR.
                Err(Errno::ISDIR) => {}
                Err(Errno::PERM) => {
                    if !is_dir(dir, name)? {
                        unprotect_entry(dir, name);
                        unlinkat(dir, name, AtFlags::empty())?;
                        return Ok(None);
                    }
                }
                Err(errno) => return Err(errno),
            }
            if unlinkat(dir, name, AtFlags::REMOVEDIR).is_ok() {
                return Ok(None);
            }
            let inner = open_in(dir, name)?;
            unprotect(inner.as_fd());
            if depth < OPEN_MAX {
                return Level::new(inner, name).map(Some);
            }
            drop(inner);
            self.move_up(dir, name, root)?;
            Ok(None)
        })();
        match result {
            Ok(deeper) => deeper,
            Err(errno) => {
                self.keep(&mut levels[depth - 1], name, errno);
                None
            }
        }
    }

    fn move_up(
        &mut self,
        from: BorrowedFd<'_>,
        name: &CStr,
        to: BorrowedFd<'_>,
    ) -> rustix::io::Result<()> {
        loop {
            self.moved += 1;
            let new = format!(".moved-up-{}-{}", std::process::id(), self.moved);
            match renameat_with(from, name, to, &new, RenameFlags::NOREPLACE) {
                Err(Errno::EXIST) => {}
                done => return done,
            }
        }
    }
}

fn is_dir(dir: BorrowedFd<'_>, name: &CStr) -> rustix::io::Result<bool> {
    let stat = statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(FileType::from_raw_mode(stat.st_mode) == FileType::Directory)
}

/// Takes away what makes an entry immutable, which a container with the capability for it may have given it.
fn unprotect(fd: BorrowedFd<'_>) {
    let guards = IFlags::IMMUTABLE | IFlags::APPEND;
    if let Ok(flags) = ioctl_getflags(fd)
        && flags.intersects(guards)
    {
        let _ = ioctl_setflags(fd, flags - guards);
    }
}

fn unprotect_entry(dir: BorrowedFd<'_>, name: &CStr) {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    if let Ok(file) = openat2(dir, name, flags | OFlags::NOCTTY, Mode::empty(), HERE) {
        unprotect(file.as_fd());
    }
}

/// Bytes on the disk below a directory that somebody may be changing: what has gone meanwhile, what lies in another file
/// system or too deep counts nothing.
pub(crate) fn bytes(path: &Path) -> u64 {
    let Ok(root) = open(path).and_then(|fd| Level::new(fd, c"")) else { return 0 };
    let (mut bytes, mut entries, mut levels) = (0, 0, vec![root]);
    while let Some(level) = levels.last_mut() {
        let Some(entry) = level.next() else {
            levels.pop();
            continue;
        };
        entries += 1;
        let (Ok((name, _)), true) = (entry, entries <= ENTRIES_MAX) else { break };
        let Ok(dir) = level.dir.fd() else { break };
        let Ok(stat) = statat(dir, &name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
        if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
            bytes += u64::try_from(stat.st_blocks).unwrap_or(0) * 512;
        } else if levels_left(levels.len())
            && let Some(dir) = levels.last().and_then(|level| level.dir.fd().ok())
            && let Ok(deeper) = open_in(dir, &name).and_then(|fd| Level::new(fd, &name))
        {
            levels.push(deeper);
        }
    }
    bytes
}

fn levels_left(levels: usize) -> bool {
    levels < LEVELS_MAX
}

/// Copies what is in one open directory into another, with owners, modes and times; links as links, devices and sockets
/// left out. `most` bounds the bytes of its files.
pub(crate) fn copy(from: OwnedFd, to: OwnedFd, most: u64) -> io::Result<()> {
    let mut left = most;
    finish(to.as_fd(), &fstat(&from)?)?;
    let mut levels = vec![(Level::new(from, c"")?, to)];
    while let Some((level, to)) = levels.last_mut() {
        let Some(entry) = level.next() else {
            // What was put into it changed its time.
            let (level, to) = levels.pop().expect("it is the last");
            finish(to.as_fd(), &fstat(level.dir.fd()?)?)?;
            continue;
        };
        let (name, _) = entry?;
        let dir = level.dir.fd()?;
        let stat = statat(dir, &name, AtFlags::SYMLINK_NOFOLLOW)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {
                let inner = open_in(dir, &name)?;
                mkdirat(&*to, &name, Mode::from(0o700))?;
                let copied = open_in(to.as_fd(), &name)?;
                if !levels_left(levels.len()) {
                    return Err(io::Error::other(format!("over {LEVELS_MAX} directories deep")));
                }
                levels.push((Level::new(inner, &name)?, copied));
            }
            FileType::RegularFile => {
                let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
                let source = File::from(openat2(dir, &name, flags, Mode::empty(), HERE)?);
                let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
                let mut copied = File::from(openat(&*to, &name, flags, Mode::from(0o600))?);
                let mut limited = io::Read::take(&source, left.saturating_add(1));
                left = left
                    .checked_sub(io::copy(&mut limited, &mut copied)?)
                    .ok_or_else(|| io::Error::other(format!("over {most} bytes")))?;
                finish(copied.as_fd(), &stat)?;
            }
            FileType::Symlink => {
                let target = readlinkat(dir, &name, Vec::new())?;
                symlinkat(&target, &*to, &name)?;
                let (uid, gid) = owner(&stat);
                rustix::fs::chownat(&*to, &name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)?;
            }
            FileType::Fifo => {
                mkfifoat(&*to, &name, Mode::from(0o600))?;
                let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
                finish(openat2(&*to, &name, flags, Mode::empty(), HERE)?.as_fd(), &stat)?;
            }
            FileType::Socket
            | FileType::CharacterDevice
            | FileType::BlockDevice
            | FileType::Unknown => {}
        }
    }
    Ok(())
}

fn owner(stat: &Stat) -> (Option<Uid>, Option<Gid>) {
    (Some(Uid::from_raw(stat.st_uid)), Some(Gid::from_raw(stat.st_gid)))
}

/// The owner first: changing it takes set-id bits away.
fn finish(fd: BorrowedFd<'_>, stat: &Stat) -> rustix::io::Result<()> {
    let (uid, gid) = owner(stat);
    fchown(fd, uid, gid)?;
    fchmod(fd, Mode::from_raw_mode(stat.st_mode & 0o7777))?;
    let time = |sec, nsec: u64| Timespec { tv_sec: sec, tv_nsec: i64::try_from(nsec).unwrap_or(0) };
    futimens(
        fd,
        &Timestamps {
            last_access: time(stat.st_atime, stat.st_atime_nsec),
            last_modification: time(stat.st_mtime, stat.st_mtime_nsec),
        },
    )
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

    use super::*;

    /// A chain of directories, deeper than any path reaches.
    fn chain(dir: &Path, levels: usize) {
        let mut at = open(dir).unwrap();
        let name = CString::new("d".repeat(255)).unwrap();
        for _ in 0..levels {
            mkdirat(&at, &name, Mode::from(0o755)).unwrap();
            at = open_in(at.as_fd(), &name).unwrap();
        }
        openat(&at, c"end", OFlags::CREATE | OFlags::WRONLY, Mode::from(0o644)).unwrap();
    }

    fn open_files() -> usize {
        fs::read_dir("/proc/self/fd").unwrap().count()
    }

    #[test]
    fn a_tree_of_any_depth_and_width_goes() {
        let dir = tempfile::tempdir().unwrap();
        let tree = dir.path().join("tree");
        fs::create_dir(&tree).unwrap();
        chain(&tree, 20_000);
        for n in 0..5_000 {
            fs::write(tree.join(format!("file-{n}")), "x").unwrap();
        }
        // One that has the names which are made up for what is moved.
        for n in 1..50 {
            fs::create_dir(tree.join(format!(".moved-up-{}-{n}", std::process::id()))).unwrap();
        }
        assert!(bytes(&tree) >= 5_000 * 512);
        // As little stack as a shim's or a pool's thread may have left.
        let small = std::thread::Builder::new().stack_size(128 << 10);
        let path = tree.clone();
        small.spawn(move || remove(&path).unwrap()).unwrap().join().unwrap();
        assert!(!tree.exists());
        remove(&tree).unwrap();
        assert!(open_files() < 64);
    }

    #[test]
    fn links_are_removed_and_not_followed_and_immutable_entries_go() {
        let dir = tempfile::tempdir().unwrap();
        let outside = dir.path().join("outside");
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("kept"), "x").unwrap();
        let tree = dir.path().join("tree");
        fs::create_dir_all(tree.join("locked/in")).unwrap();
        fs::write(tree.join("locked/file"), "x").unwrap();
        symlink(&outside, tree.join("link")).unwrap();
        symlink("/", tree.join("locked/root")).unwrap();
        for path in ["locked/file", "locked"] {
            let file = File::open(tree.join(path)).unwrap();
            if let Ok(flags) = ioctl_getflags(&file) {
                let _ = ioctl_setflags(&file, flags | IFlags::IMMUTABLE);
            }
        }
        remove(&tree).unwrap();
        assert!(!tree.exists() && outside.join("kept").exists());
        let link = dir.path().join("only-a-link");
        symlink(&outside, &link).unwrap();
        remove(&link).unwrap();
        assert!(fs::symlink_metadata(&link).is_err() && outside.join("kept").exists());
    }

    #[test]
    fn what_is_mounted_stays_is_named_and_the_rest_goes() {
        let dir = tempfile::tempdir().unwrap();
        let tree = dir.path().join("tree");
        fs::create_dir_all(tree.join("a/busy")).unwrap();
        fs::write(tree.join("a/gone"), "x").unwrap();
        nix::mount::mount(
            None::<&str>,
            &tree.join("a/busy"),
            Some("tmpfs"),
            nix::mount::MsFlags::empty(),
            None::<&str>,
        )
        .unwrap();
        fs::write(tree.join("a/busy/other"), "x").unwrap();
        let error = remove(&tree).unwrap_err();
        let there = tree.join("a/busy/other").exists();
        nix::mount::umount(&tree.join("a/busy")).unwrap();
        assert!(error.to_string().contains("1 entries stay, busy first"), "{error}");
        assert!(there && !tree.join("a/gone").exists());
        assert_eq!(bytes(&tree), 0);
        remove(&tree).unwrap();
        assert!(!tree.exists());
    }

    #[test]
    fn a_copy_is_what_was_there_and_follows_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        fs::create_dir_all(from.join("sub")).unwrap();
        fs::create_dir(&to).unwrap();
        fs::write(from.join("sub/file"), "text").unwrap();
        fs::set_permissions(from.join("sub/file"), fs::Permissions::from_mode(0o4750)).unwrap();
        std::os::unix::fs::chown(from.join("sub/file"), Some(7), Some(8)).unwrap();
        fs::set_permissions(from.join("sub/file"), fs::Permissions::from_mode(0o4750)).unwrap();
        symlink("/etc/shadow", from.join("link")).unwrap();
        mkfifoat(CWD, from.join("fifo"), Mode::from(0o640)).unwrap();
        let again = || (open(&from).unwrap(), open(&to).unwrap());
        let (source, target) = again();
        copy(source, target, 100).unwrap();
        let copied = fs::metadata(to.join("sub/file")).unwrap();
        assert_eq!((copied.mode() & 0o7777, copied.uid(), copied.gid()), (0o4750, 7, 8));
        let original = fs::metadata(from.join("sub/file")).unwrap();
        assert_eq!(copied.modified().unwrap(), original.modified().unwrap());
        assert_eq!(fs::read_link(to.join("link")).unwrap(), Path::new("/etc/shadow"));
        assert_eq!(fs::symlink_metadata(to.join("fifo")).unwrap().mode() & 0o777, 0o640);
        remove(&to).unwrap();
        fs::create_dir(&to).unwrap();
        let (source, target) = again();
        let error = copy(source, target, 3).unwrap_err();
        assert_eq!(error.to_string(), "over 3 bytes");
        remove(&from).unwrap();
        fs::create_dir(&from).unwrap();
        chain(&from, LEVELS_MAX + 2);
        remove(&to).unwrap();
        fs::create_dir(&to).unwrap();
        let (source, target) = again();
        assert!(copy(source, target, 3).unwrap_err().to_string().contains("directories deep"));
    }
}
