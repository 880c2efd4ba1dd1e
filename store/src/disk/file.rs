//! The real disk: a directory that one process holds.
//! The lock is a file of its own, because the log's file may be replaced while the daemon runs.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use super::Disk;
use crate::error::Error;

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
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(root.join("lock"))?;
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

impl Disk for FileDisk {
    fn open(&self, name: &str) -> io::Result<Box<dyn redb::StorageBackend>> {
        let path = self.root.join(name);
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        self.sync_directory()?;
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

    fn remove(&self, name: &str) -> io::Result<()> {
        match std::fs::remove_file(self.root.join(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
            Ok(()) => self.sync_directory(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
