//! Answers that come piece by piece: lines of a stream, and the two directions of a connection taken over.
//! Apart from the client, because these outlive the request.

use bytes::{Buf as _, Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, ReadHalf, WriteHalf};

use crate::failure::Failure;

/// Longest line taken; a batch of the log is at most 1 MiB, and JSON with escapes at most six times that.
const LINE_LIMIT: usize = 8 << 20;

/// A body read a line at a time, as the daemon sends it.
pub(crate) struct Lines {
    body: Incoming,
    buffer: BytesMut,
    searched: usize,
}

impl Lines {
    pub(super) fn new(body: Incoming) -> Self {
        Self { body, buffer: BytesMut::new(), searched: 0 }
    }

    /// The next line without its end; `None` when the body has ended. Empty lines (heartbeats) are skipped.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        loop {
            if let Some(end) = self.buffer[self.searched..].iter().position(|byte| *byte == b'\n') {
                let line = self.buffer.split_to(self.searched + end).freeze();
                self.buffer.advance(1);
                self.searched = 0;
                if !line.is_empty() {
                    return Ok(Some(line));
                }
                continue;
            }
            self.searched = self.buffer.len();
            if self.searched > LINE_LIMIT {
                return Err(Failure::failed("the daemon sent a line of more than 8 MiB"));
            }
            match self.body.frame().await {
                Some(frame) => {
                    if let Ok(data) = frame.map_err(Failure::Cut)?.into_data() {
                        self.buffer.extend_from_slice(&data);
                    }
                }
                None if self.buffer.is_empty() => return Ok(None),
                None => {
                    self.searched = 0;
                    return Ok(Some(self.buffer.split().freeze()));
                }
            }
        }
    }
}

/// Which of the process's streams a frame belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    Out,
    Err,
}

/// A connection taken over: bytes to the process, frames from it.
pub(crate) struct Hijacked {
    /// What the process reads as its standard input; shutting it down is the end of that input.
    pub(crate) input: WriteHalf<TokioIo<Upgraded>>,
    /// What the process writes: frames, or plain bytes of a terminal.
    pub(crate) output: ReadHalf<TokioIo<Upgraded>>,
}

impl Hijacked {
    pub(super) fn new(upgraded: Upgraded) -> Self {
        let (output, input) = tokio::io::split(TokioIo::new(upgraded));
        Self { input, output }
    }
}

/// Docker's multiplexed stream: eight bytes of header (stream, three zeros, length) before each piece.
pub(crate) struct Frames<R> {
    reader: R,
    stream: Stream,
    left: usize,
}

impl<R: tokio::io::AsyncRead + Unpin> Frames<R> {
    pub(crate) fn new(reader: R) -> Self {
        Self { reader, stream: Stream::Out, left: 0 }
    }

    /// The next frame as a whole; `None` at the end.
    pub(crate) async fn whole(&mut self) -> Result<Option<(Stream, Vec<u8>)>, Failure> {
        let mut piece = vec![0; 16 << 10];
        let mut whole = Vec::new();
        while let Some((stream, read)) = self.next(&mut piece).await? {
            whole.extend_from_slice(&piece[..read]);
            if self.left == 0 {
                return Ok(Some((stream, whole)));
            }
            if whole.len() > LINE_LIMIT {
                return Err(Failure::failed("the daemon sent a line of more than 8 MiB"));
            }
        }
        Ok(None)
    }

    /// The next piece, at most a buffer's length; `None` when the process has closed its streams.
    pub(crate) async fn next(
        &mut self,
        buffer: &mut [u8],
    ) -> Result<Option<(Stream, usize)>, Failure> {
        while self.left == 0 {
            let mut header = [0; 8];
            match self.reader.read_exact(&mut header).await {
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(None),
                Err(error) => return Err(Failure::Io(error)),
            }
            let [stream, _, _, _, length @ ..] = header;
            self.stream = if stream == 2 { Stream::Err } else { Stream::Out };
            self.left = usize::try_from(u32::from_be_bytes(length)).expect("32 bits fit a length");
        }
        let wanted = self.left.min(buffer.len());
        let read = self.reader.read(&mut buffer[..wanted]).await?;
        if read == 0 {
            return Err(Failure::failed("the daemon closed the stream in the middle of a frame"));
        }
        self.left -= read;
        Ok(Some((self.stream, read)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn frames_are_taken_apart_and_a_cut_one_is_an_error() {
        let bytes: &[u8] = b"\x01\0\0\0\0\0\0\x05hello\x02\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\x03err\x01\0\0\0\0\0\0\x09cu";
        let mut frames = Frames::new(bytes);
        let mut buffer = [0; 4];
        let mut seen = Vec::new();
        let end = loop {
            match frames.next(&mut buffer).await {
                Ok(Some((stream, length))) => {
                    seen.push((stream, String::from_utf8_lossy(&buffer[..length]).into_owned()));
                }
                other => break other,
            }
        };
        let expected =
            [(Stream::Out, "hell"), (Stream::Out, "o"), (Stream::Err, "err"), (Stream::Out, "cu")];
        assert_eq!(seen, expected.map(|(stream, text)| (stream, text.to_owned())));
        assert!(end.is_err());
    }
}
