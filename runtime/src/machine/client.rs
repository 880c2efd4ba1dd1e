//! The daemon's end of a shim's socket.
//! One connection a question; whoever waits or has a process running in the container keeps his open.

use std::fs::File;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd, RawFd};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use rustix::pipe::{PipeFlags, pipe_with};
use skein_events::id::TaskId;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Interest};
use tokio::net::UnixStream;
use tokio::net::unix::pipe;

use super::terminal::Terminal;
use crate::api::{ExecSession, ExecSpec, Output};
use crate::error::{Context as _, Error};
use crate::shim::further::JOIN_MAX;
use crate::shim::protocol::{LINE_MAX, NOT_RUNNING, Reply, Request, send_line};
use crate::shim::{console, in_dir};

/// How long a shim may take to answer a question that it answers from memory.
pub(super) const ANSWER_MAX: Duration = Duration::from_secs(5);
/// How long it may take to run a further process: its own deadline for that, with others in front, and a moment.
const EXEC_MAX: Duration = JOIN_MAX.saturating_mul(3);

/// Waits for a shim, so long and no longer: a container may have a hold on it.
pub(super) async fn within<T>(
    id: TaskId,
    most: Duration,
    answer: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    match tokio::time::timeout(most, answer).await {
        Ok(answer) => answer,
        Err(_) => Err(Error::Silent { id, seconds: most.as_secs() }),
    }
}

/// An open connection to one shim.
pub(super) struct Link {
    id: TaskId,
    stream: BufReader<UnixStream>,
}

impl Link {
    /// Connects; `None` if nobody listens.
    pub(super) async fn connect(sockets: &Path, id: TaskId) -> Result<Option<Self>, Error> {
        let dir = File::open(sockets).context(format!("open {}", sockets.display()))?;
        let connected = UnixStream::connect(in_dir(dir.as_fd(), &id.to_string()));
        match within(id, ANSWER_MAX, connected.map(Ok)).await? {
            Ok(stream) => Ok(Some(Self { id, stream: BufReader::new(stream) })),
            Err(error)
                // Reset: it stopped listening before it took the connection.
                if gone(&error)
                    || matches!(
                        error.kind(),
                        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
                    ) =>
            {
                Ok(None)
            }
            Err(error) => Err(error).context(format!("ask the shim of task {id}")),
        }
    }

    fn what(&self) -> String {
        format!("ask the shim of task {}", self.id)
    }

    /// Sends a request, open files beside its first bytes.
    pub(super) async fn send(&mut self, request: &Request, files: &[RawFd]) -> Result<(), Error> {
        let mut line = Vec::new();
        send_line(&mut line, request).context(self.what())?;
        let stream = self.stream.get_mut();
        let mut sent = 0;
        if !files.is_empty() {
            let rights = [ControlMessage::ScmRights(files)];
            sent = stream
                .async_io(Interest::WRITABLE, || {
                    let fd = stream.as_raw_fd();
                    let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
                    sendmsg::<()>(fd, &[IoSlice::new(&line)], &rights, flags, None)
                        .map_err(io::Error::from)
                })
                .await
                .context(format!("ask the shim of task {}", self.id))?;
        }
        let what = self.what();
        self.stream.get_mut().write_all(&line[sent..]).await.context(what)
    }

    /// The next reply; `None` when the shim is gone.
    pub(super) async fn receive(&mut self) -> Result<Option<Reply>, Error> {
        let mut line = Vec::new();
        let limit = u64::try_from(LINE_MAX).expect("a constant that fits");
        match (&mut self.stream).take(limit).read_until(b'\n', &mut line).await {
            Ok(0) => Ok(None),
            Ok(_) => serde_json::from_slice(&line)
                .map(Some)
                .map_err(io::Error::from)
                .context(self.what()),
            Err(error) if gone(&error) => Ok(None),
            Err(error) => Err(error).context(self.what()),
        }
    }

    /// The newest of replies of which only the newest counts: what has come meanwhile stands for those before it.
    pub(super) async fn receive_latest(&mut self) -> Result<Option<Reply>, Error> {
        loop {
            let reply = self.receive().await?;
            if !self.stream.buffer().contains(&b'\n') {
                return Ok(reply);
            }
        }
    }

    /// The process id of the shim, by the kernel's word.
    pub(super) fn peer(&self) -> Option<i32> {
        self.stream.get_ref().peer_cred().ok()?.pid()
    }

    /// One request and its reply; `None` when the shim is gone.
    pub(super) async fn ask(&mut self, request: &Request) -> Result<Option<Reply>, Error> {
        within(self.id, ANSWER_MAX, self.ask_patiently(request)).await
    }

    /// The same for what has no end of its own that is known.
    pub(super) async fn ask_patiently(
        &mut self,
        request: &Request,
    ) -> Result<Option<Reply>, Error> {
        match self.send(request, &[]).await {
            Err(Error::Io { source, .. }) if gone(&source) => Ok(None),
            Err(error) => Err(error),
            Ok(()) => self.receive().await,
        }
    }

    /// Runs a further process with pipes of our making; its output never passes through the shim.
    pub(super) async fn exec(mut self, exec: ExecSpec) -> Result<ExecSession, Error> {
        if exec.terminal.is_some() {
            return self.exec_in_terminal(exec).await;
        }
        let id = self.id;
        let what = || format!("run a process for task {id}");
        let make = || pipe_with(PipeFlags::CLOEXEC).context(what());
        let (stdout, stdout_inside) = make()?;
        let (stderr, stderr_inside) = make()?;
        let mut inside = vec![stdout_inside, stderr_inside];
        let mut stdin = None;
        if exec.stdin {
            let (stdin_inside, ours) = make()?;
            inside.push(stdin_inside);
            stdin = Some(ours);
        }
        let pid = self.begin(&Request::Exec(exec), inside).await?;
        let input = |pipe: OwnedFd| nonblocking(pipe).and_then(pipe::Receiver::from_owned_fd);
        let output = |pipe: OwnedFd| nonblocking(pipe).and_then(pipe::Sender::from_owned_fd);
        Ok(ExecSession {
            pid,
            stdin: match stdin {
                Some(pipe) => Some(Box::pin(output(pipe).context(what())?) as Output),
                None => None,
            },
            stdout: Box::pin(input(stdout).context(what())?),
            stderr: Box::pin(input(stderr).context(what())?),
            resize: None,
            exit: self.ended().boxed(),
        })
    }

    /// The same with a terminal of the container's, whose outer end only we hold.
    async fn exec_in_terminal(mut self, exec: ExecSpec) -> Result<ExecSession, Error> {
        let id = self.id;
        let what = || format!("make a terminal for task {id}");
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().context(what())?;
        let stdin = exec.stdin;
        let pid = self.begin(&Request::ExecInTerminal(exec), vec![theirs.into()]).await?;
        let outer = console::receive(&ours.into())?;
        let terminal = Terminal::new(outer).context(what())?;
        let resizer = terminal.resizer();
        Ok(ExecSession {
            pid,
            stdin: stdin.then(|| Box::pin(terminal.clone()) as Output),
            stdout: Box::pin(terminal),
            stderr: Box::pin(tokio::io::empty()),
            resize: Some(Arc::new(move |size| {
                resizer(size).context(format!("change the terminal of task {id}"))
            })),
            exit: self.ended().boxed(),
        })
    }

    /// Asks for a further process with files of its own; its process id.
    async fn begin(&mut self, request: &Request, inside: Vec<OwnedFd>) -> Result<u32, Error> {
        let id = self.id;
        let files: Vec<RawFd> = inside.iter().map(|file| file.as_raw_fd()).collect();
        let sent = self.send(request, &files).await;
        // Only the process holds these now, so its end is the end of its output.
        drop(inside);
        let reply = match sent {
            Err(Error::Io { source, .. }) if gone(&source) => None,
            Err(error) => return Err(error),
            Ok(()) => within(id, EXEC_MAX, self.receive()).await?,
        };
        match reply {
            Some(Reply::ExecStarted { pid }) => Ok(pid),
            Some(Reply::Failed(failure)) => Err(failure.into_error(id)),
            Some(_) | None => Err(Error::Busy { id, state: NOT_RUNNING }),
        }
    }

    /// How the further process ended.
    async fn ended(mut self) -> Result<i32, Error> {
        match self.receive().await? {
            Some(Reply::ExecEnded { code }) => Ok(code),
            // The container ended, and took the process with it.
            Some(_) | None => Ok(137),
        }
    }
}

fn nonblocking(pipe: OwnedFd) -> io::Result<OwnedFd> {
    rustix::io::ioctl_fionbio(&pipe, true)?;
    Ok(pipe)
}

fn gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
}
