//! The disk below the log: named files in one directory, each with the database's backend behind it.
//! A seam: `file` is the real one, `frozen` reads it and changes nothing, `sim` loses power.

mod file;
mod frozen;
mod sim;

use std::fmt::Debug;
use std::io;
use std::pin::Pin;

use tokio::sync::oneshot;

pub use file::FileDisk;
pub use frozen::FrozenDisk;
pub use sim::{SimDisk, SimMount};

/// A directory the log may use alone.
pub trait Disk: Debug + Send + Sync + 'static {
    /// Opens a file for reading and writing; makes it if it is not there.
    fn open(&self, name: &str) -> io::Result<Box<dyn redb::StorageBackend>>;

    /// Whether there is such a file.
    fn exists(&self, name: &str) -> io::Result<bool>;

    /// Gives one file the name of another, atomically and durably; the other is gone.
    fn replace(&self, from: &str, to: &str) -> io::Result<()>;

    /// Gives two files each other's names, atomically and durably.
    fn swap(&self, one: &str, other: &str) -> io::Result<()>;

    /// Overwrites what a file holds, durably, and then removes it; none is no error. A removed file's bytes would stay in
    /// free blocks of the device, for whoever reads that.
    fn erase(&self, name: &str) -> io::Result<()>;

    /// How long the next durable commit is to take. The writer waits for it before it begins one, because
    /// the database calls its backend synchronously and virtual time cannot pass inside.
    fn latency(&self) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(std::future::ready(()))
    }
}

/// The database wants a type, not a box. It takes no lock on the file: the directory is locked already.
#[derive(Debug)]
pub(crate) struct Backend {
    file: Box<dyn redb::StorageBackend>,
    /// Closed when nobody uses the file any more: a database that was let go of lives on in its readers.
    _used: oneshot::Sender<()>,
}

impl Backend {
    /// With what ends when nobody uses the file any more.
    pub(crate) fn new(file: Box<dyn redb::StorageBackend>) -> (Self, oneshot::Receiver<()>) {
        let (used, unused) = oneshot::channel();
        (Self { file, _used: used }, unused)
    }
}

impl redb::StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, out)
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }
    fn sync_data(&self) -> io::Result<()> {
        // Whatever the kind: after a failed sync nobody knows what is on the disk, so a full disk is no excuse here.
        self.file.sync_data().map_err(|error| io::Error::other(format!("cannot sync: {error}")))
    }
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.file.write(offset, data)
    }
    fn close(&self) -> io::Result<()> {
        self.file.close()
    }
}
