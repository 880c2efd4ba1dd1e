//! Terminals of a container: the first process's, which the container library makes, and those of further processes.
//! Apart from `container`, because the inside is not trusted: no path is looked up in there once the user's program runs.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd as _, AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg};
use rustix::fs::{Mode, OFlags, ResolveFlags, Uid, fchown, fstatfs, open, openat, openat2};
use rustix::io::Errno;
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use super::in_dir;
use crate::api::WindowSize;
use crate::error::{Context as _, Error};

const NAME: &str = "console";
const MAKE: &str = "make a terminal";
/// `DEVPTS_SUPER_MAGIC` of the kernel.
const DEVPTS: i64 = 0x1cd1;

/// Where the container library sends the outer end of the first process's terminal.
pub(super) struct Console {
    listener: UnixListener,
    pub(super) path: PathBuf,
}

impl Console {
    /// Listens in the container's directory.
    pub(super) fn listen(dir: &Path) -> Result<Self, Error> {
        let handle = std::fs::File::open(dir).context(MAKE)?;
        // Under a path longer than a socket's address may be.
        let listener = UnixListener::bind(in_dir(handle.as_fd(), NAME)).context(MAKE)?;
        Ok(Self { listener, path: dir.join(NAME) })
    }

    /// What was sent; the library has sent it before it said that the container is made.
    pub(super) fn receive(self) -> Result<OwnedFd, Error> {
        let (stream, _) = self.listener.accept().context("take over the terminal")?;
        let _ = std::fs::remove_file(&self.path);
        receive(&OwnedFd::from(stream))
    }
}

/// The directory of a container's terminals, opened while nothing of the user's had run in there.
///
/// Whatever is done to `/dev` later, a terminal comes from this file system: it is asked for one by this descriptor and
/// for the terminal's inner end by its outer end, never by a name that the inside could have changed.
pub(super) struct Terminals(OwnedFd);

/// The two ends of a terminal.
pub(super) struct Pair {
    pub(super) outer: OwnedFd,
    pub(super) inner: OwnedFd,
}

impl Terminals {
    /// Those of the container of this process; `None` if it has no file system of terminals.
    pub(super) fn of(pid: u32) -> Result<Option<Self>, Error> {
        let place = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = open(format!("/proc/{pid}/root"), place, Mode::empty());
        let root = root.map_err(io::Error::from).context("look into the container")?;
        let beneath =
            ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let found = match openat2(&root, "dev/pts", place, Mode::empty(), beneath) {
            Ok(found) => found,
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(None),
            Err(errno) => return Err(io::Error::from(errno)).context("open /dev/pts"),
        };
        let system = fstatfs(&found).map_err(io::Error::from).context("look at /dev/pts")?;
        Ok((system.f_type == DEVPTS).then_some(Self(found)))
    }

    /// A new one that belongs to a user of the container.
    pub(super) fn make(&self, size: WindowSize, uid: u32) -> Result<Pair, Error> {
        // It must not become ours.
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let outer =
            openat(&self.0, "ptmx", flags, Mode::empty()).map_err(io::Error::from).context(MAKE)?;
        unlockpt(&outer).map_err(io::Error::from).context(MAKE)?;
        resize(&outer, size).context(MAKE)?;
        let inner = own(&outer, uid)?;
        Ok(Pair { outer, inner })
    }
}

/// Makes a terminal's inner end its user's, so that he may open `/dev/stdout`; the group is that of terminals already.
pub(super) fn own(outer: &OwnedFd, uid: u32) -> Result<OwnedFd, Error> {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let inner = ioctl_tiocgptpeer(outer, flags).map_err(io::Error::from).context(MAKE)?;
    fchown(&inner, Some(Uid::from_raw(uid)), None).map_err(io::Error::from).context(MAKE)?;
    Ok(inner)
}

/// Gives a terminal, known by either end, another size.
pub(crate) fn resize(end: &OwnedFd, size: WindowSize) -> io::Result<()> {
    let WindowSize { rows, columns } = size;
    let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    Ok(tcsetwinsize(end, size)?)
}

/// Sends an open file over a socket.
pub(super) fn send(socket: &OwnedFd, file: &OwnedFd) -> Result<(), Error> {
    let files = [file.as_raw_fd()];
    let rights = [ControlMessage::ScmRights(&files)];
    let flags = MsgFlags::MSG_NOSIGNAL;
    sendmsg::<()>(socket.as_raw_fd(), &[IoSlice::new(&[0])], &rights, flags, None)
        .map(drop)
        .map_err(io::Error::from)
        .context("hand the terminal over")
}

/// Takes an open file that was sent over a socket.
pub(crate) fn receive(socket: &OwnedFd) -> Result<OwnedFd, Error> {
    let what = "take over the terminal";
    let mut bytes = [0; 256];
    let mut control = nix::cmsg_space!([RawFd; 1]);
    let mut slices = [IoSliceMut::new(&mut bytes)];
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    let message = recvmsg::<()>(socket.as_raw_fd(), &mut slices, Some(&mut control), flags)
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
