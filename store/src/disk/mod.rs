//! The disk below the log: named files in one directory, each with the database's backend behind it.
//! A seam: `file` is the real one, `frozen` reads it and changes nothing, `sim` loses power.

mod file;
mod frozen;
mod sim;

use std::fmt::Debug;
use std::io;
use std::pin::Pin;

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

    /// Removes a file; none is no error.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// How long the next durable commit is to take. The writer waits for it before it begins one, because
    /// the database calls its backend synchronously and virtual time cannot pass inside.
    fn latency(&self) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(std::future::ready(()))
    }
}

/// The database wants a type, not a box. It takes no lock on the file: the directory is locked already.
#[derive(Debug)]
pub(crate) struct Backend(pub(crate) Box<dyn redb::StorageBackend>);

impl redb::StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read(offset, out)
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }
    fn sync_data(&self) -> io::Result<()> {
        // Whatever the kind: after a failed sync nobody knows what is on the disk, so a full disk is no excuse here.
        self.0.sync_data().map_err(|error| io::Error::other(format!("cannot sync: {error}")))
    }
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write(offset, data)
    }
    fn close(&self) -> io::Result<()> {
        self.0.close()
    }
}
