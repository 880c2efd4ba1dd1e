//! The real disk: a directory that one process holds.
//! The lock is a file of its own, because the log's file may be replaced while the daemon runs.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use super::Disk;
use crate::error::Error;

/// A file is overwritten in pieces of so many bytes: few calls, and little memory.
const ZEROS: usize = 1 << 20;

/// A directory, locked for this process as long as the value lives.
#[derive(Debug)]
pub struct FileDisk {
    root: PathBuf,
    _lock: File,
}

impl FileDisk {
    /// Makes the directory if it is not there and takes its lock.
    pub fn open(root: &Path) -> Result<Self, Error> {
        std::fs::create_dir_all(root)?;
        let lock = private(&root.join("lock"))?;
        match lock.try_lock() {
            Ok(()) => {
                sign(&lock);
                Ok(Self { root: root.to_owned(), _lock: lock })
            }
            Err(TryLockError::WouldBlock) => {
                Err(Error::InUse { root: root.display().to_string(), by: holder(&lock) })
            }
            Err(TryLockError::Error(error)) => Err(error.into()),
        }
    }

    /// The directory, closed to everybody else: what is in it is the swarm's.
    pub fn open_private(root: &Path) -> Result<Self, Error> {
        std::fs::create_dir_all(root)?;
        std::fs::set_permissions(root, std::fs::Permissions::from_mode(0o700))?;
        Self::open(root)
    }

    /// Bytes that may still be written below `root`; none when the file system is read-only.
    pub fn room(root: &Path) -> io::Result<u64> {
        let found = rustix::fs::statvfs(root)?;
        if found.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY) {
            return Ok(0);
        }
        Ok(found.f_bavail.saturating_mul(found.f_frsize))
    }

    fn sync_directory(&self) -> io::Result<()> {
        File::open(&self.root)?.sync_all()
    }
}

/// A file for reading and writing that only its owner may open, also one that an earlier version left open to others.
fn private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    let file = options.open(path)?;
    file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
    Ok(file)
}

/// Writes down who holds the lock. Only for the message to others, so it may fail: a full disk must not stop a start.
fn sign(lock: &File) {
    let text = format!("{}\n", std::process::id());
    if let Err(error) =
        lock.write_all_at(text.as_bytes(), 0).and_then(|()| lock.set_len(text.len() as u64))
    {
        tracing::debug!(%error, "the lock does not say who holds it");
    }
}

/// Who holds a lock, as far as it says.
fn holder(lock: &File) -> String {
    let mut text = [0; 16];
    let read = lock.read_at(&mut text, 0).unwrap_or(0);
    let pid =
        std::str::from_utf8(&text[..read]).ok().and_then(|text| text.trim().parse::<u32>().ok());
    pid.map_or_else(|| "another daemon".to_owned(), |pid| format!("another daemon, process {pid},"))
}

/// Makes what is read from now on what is on the medium. After a failed fsync ext4 and XFS call the pages clean and keep
/// them: an earlier life of this daemon ended at that error, and its successor would read from memory what was never
/// written (Rebello et al., "Can Applications Recover from fsync Failures?", USENIX ATC 2020, §3). So what is still to be
/// written is written first, and if that fails the log does not open; then the clean pages are dropped.
fn forget_cached(file: &File) -> io::Result<()> {
    file.sync_all()?;
    Ok(rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed)?)
}

/// Writes zeros over all a file holds, and waits until they are on the medium. Holes stay: there is nothing in them, and
/// to fill them takes space, which a full disk does not have.
fn overwrite(file: &File) -> io::Result<()> {
    let zeros = vec![0; ZEROS];
    let mut end = 0;
    loop {
        let start = match rustix::fs::seek(file, rustix::fs::SeekFrom::Data(end)) {
            Err(rustix::io::Errno::NXIO) => break, // no more data
            start => start?,
        };
        end = rustix::fs::seek(file, rustix::fs::SeekFrom::Hole(start))?;
        let mut at = start;
        while at < end {
            let count = usize::try_from(end - at).map_or(ZEROS, |left| left.min(ZEROS));
            file.write_all_at(&zeros[..count], at)?;
            at += count as u64;
        }
    }
    file.sync_all()
}

impl Disk for FileDisk {
    fn open(&self, name: &str) -> io::Result<Box<dyn redb::StorageBackend>> {
        let file = private(&self.root.join(name))?;
        self.sync_directory()?;
        forget_cached(&file)?;
        let backend = redb::backends::FileBackend::new(file).map_err(io::Error::other)?;
        Ok(Box::new(backend))
    }

    fn exists(&self, name: &str) -> io::Result<bool> {
        self.root.join(name).try_exists()
    }

    fn replace(&self, from: &str, to: &str) -> io::Result<()> {
        std::fs::rename(self.root.join(from), self.root.join(to))?;
        self.sync_directory()
    }

    fn swap(&self, one: &str, other: &str) -> io::Result<()> {
        // Any file system that takes an overlay's upper layer, as a data root's must, knows how.
        let root = File::open(&self.root)?;
        rustix::fs::renameat_with(&root, one, &root, other, rustix::fs::RenameFlags::EXCHANGE)?;
        root.sync_all()
    }

    fn erase(&self, name: &str) -> io::Result<()> {
        let path = self.root.join(name);
        let file = match OpenOptions::new().write(true).open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            file => file?,
        };
        match overwrite(&file) {
            // One that needs space to write over what is there does not write in its place: nothing is won by trying again.
            Err(error) if error.kind() == io::ErrorKind::StorageFull => {
                tracing::warn!(%error, "cannot overwrite {} before its removal", path.display());
            }
            done => done?,
        }
        std::fs::remove_file(path)?;
        self.sync_directory()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes of a file that are in memory, by util-linux's fincore.
    fn cached(path: &Path) -> u64 {
        let out = std::process::Command::new("fincore")
            .args(["--bytes", "--noheadings", "--output", "RES"])
            .arg(path)
            .output()
            .expect("fincore is part of util-linux");
        String::from_utf8_lossy(&out.stdout).trim().parse().expect("a number")
    }

    #[test]
    fn what_is_opened_is_read_from_the_medium_and_not_from_memory() {
        let root = tempfile::tempdir().unwrap();
        let in_memory = rustix::fs::statfs(root.path()).unwrap().f_type == 0x0102_1994;
        if in_memory {
            return; // a tmpfs is its pages: there is nothing below to read
        }
        let path = root.path().join("file");
        std::fs::write(&path, vec![7; 1 << 20]).unwrap();
        assert!(cached(&path) >= 1 << 20, "the test sees pages");
        let disk = FileDisk::open(root.path()).unwrap();
        drop(disk.open("file").unwrap());
        assert!(cached(&path) < 1 << 16, "{} bytes are still in memory", cached(&path));
        assert_eq!(std::fs::read(&path).unwrap(), vec![7; 1 << 20], "and nothing is lost");
    }

    #[test]
    fn second_daemon_on_one_root_is_told_so() {
        let root = tempfile::tempdir().unwrap();
        let first = FileDisk::open(root.path()).unwrap();
        let text = FileDisk::open(root.path()).unwrap_err().to_string();
        let by =
            format!("data root in use: another daemon, process {}, runs on /", std::process::id());
        assert!(text.starts_with(&by), "{text}");
        drop(first);
        FileDisk::open(root.path()).unwrap();
    }
}
