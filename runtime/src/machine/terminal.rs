//! The outer end of a terminal, read and written without blocking.
//! Apart from pipes because a terminal has one end for both ways, and says by an error that nobody has it open any more.

use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::api::WindowSize;
use crate::shim::console;

/// One holder of it; it hangs up when the last one is dropped.
#[derive(Clone, Debug)]
pub(super) struct Terminal(Arc<AsyncFd<OwnedFd>>);

impl Terminal {
    pub(super) fn new(outer: OwnedFd) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(&outer, true)?;
        // SAFETY: an owned descriptor stays open and the same until it is dropped, and is not handed out.
        let registered = unsafe { AsyncFd::register(outer) }?;
        Ok(Self(Arc::new(registered)))
    }

    /// Changes its size as long as somebody else holds it.
    pub(super) fn resizer(&self) -> impl Fn(WindowSize) -> io::Result<()> + Send + Sync + use<> {
        let weak = Arc::downgrade(&self.0);
        move |size| match weak.upgrade() {
            Some(held) => console::resize(held.get_ref(), size),
            None => Ok(()),
        }
    }
}

impl AsyncRead for Terminal {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            let mut guard = ready!(self.0.poll_read_ready(context))?;
            let read = guard
                .try_io(|held| Ok(rustix::io::read(held.get_ref(), buffer.initialize_unfilled())?));
            match read {
                Ok(Ok(length)) => {
                    buffer.advance(length);
                    return Poll::Ready(Ok(()));
                }
                Ok(Err(error)) if error.raw_os_error() == Some(libc::EIO) => {
                    return Poll::Ready(Ok(()));
                }
                Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(Err(error)) => return Poll::Ready(Err(error)),
                Err(_not_ready) => {}
            }
        }
    }
}

impl AsyncWrite for Terminal {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            let mut guard = ready!(self.0.poll_write_ready(context))?;
            match guard.try_io(|held| Ok(rustix::io::write(held.get_ref(), bytes)?)) {
                Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(written) => return Poll::Ready(written),
                Err(_not_ready) => {}
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// A terminal has no end of input: whoever reads it goes on, as under Docker.
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
