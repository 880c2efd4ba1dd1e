//! Where the container library sends the outer end of a container's terminal.

use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd as _, AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};

use super::in_dir;
use crate::error::{Context as _, Error};

const NAME: &str = "console";

pub(super) struct Console {
    listener: UnixListener,
    pub(super) path: PathBuf,
}

impl Console {
    /// Listens in the container's directory.
    pub(super) fn listen(dir: &Path) -> Result<Self, Error> {
        let handle = std::fs::File::open(dir).context("make a terminal")?;
        // Under a path longer than a socket's address may be.
        let listener =
            UnixListener::bind(in_dir(handle.as_fd(), NAME)).context("make a terminal")?;
        Ok(Self { listener, path: dir.join(NAME) })
    }

    /// What was sent; the library has sent it before it said that the container is made.
    pub(super) fn receive(self) -> Result<OwnedFd, Error> {
        let what = "take over the terminal";
        let (stream, _) = self.listener.accept().context(what)?;
        let _ = std::fs::remove_file(&self.path);
        let mut bytes = [0; 256];
        let mut control = nix::cmsg_space!([RawFd; 1]);
        let mut slices = [IoSliceMut::new(&mut bytes)];
        let flags = MsgFlags::MSG_CMSG_CLOEXEC;
        let message = recvmsg::<()>(stream.as_raw_fd(), &mut slices, Some(&mut control), flags)
            .map_err(io::Error::from)
            .context(what)?;
        let mut received = message.cmsgs().map_err(io::Error::from).context(what)?;
        let sent = received.find_map(|part| match part {
            ControlMessageOwned::ScmRights(fds) => fds.first().copied(),
            _ => None,
        });
        match sent {
            // SAFETY: the kernel has just opened it for us and nobody else knows it.
            Some(fd) => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
            None => Err(io::Error::other("nothing was sent")).context(what),
        }
    }
}
