//! Files and directories for root alone: what images bring, containers write and users put into environments is for
//! nobody else on this machine. The mode is set here and not left to the umask, which is whoever's started the daemon.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::{Mode, chmod};

use crate::error::{Context as _, Error};

/// Makes a directory if it is not there, and closes one that an earlier version left open.
pub(crate) fn dir(path: &Path) -> Result<(), Error> {
    std::fs::create_dir_all(path).context(format!("make {}", path.display()))?;
    chmod(path, Mode::from(0o700)).context(format!("close {}", path.display()))
}

/// A file to be written, empty.
pub(crate) fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)
}

/// Writes a file as a whole.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    create(path)?.write_all(bytes)
}
