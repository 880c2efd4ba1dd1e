//! A client that keeps its connection and costs little: the load must leave the processor to what is measured.
//! Knows only as much HTTP as the daemon's answers need: a status and a length.

use std::path::Path;

use anyhow::{Context, bail};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

/// Longest head of an answer.
const HEAD_MAX: usize = 16 << 10;

/// One connection.
pub(crate) struct Client {
    stream: UnixStream,
    buffer: Vec<u8>,
}

impl Client {
    /// Connects.
    pub(crate) async fn to(socket: &Path) -> anyhow::Result<Self> {
        let stream = UnixStream::connect(socket).await?;
        Ok(Self { stream, buffer: Vec::with_capacity(4096) })
    }

    /// Sends a request, waits for its answer: the status, and the body left in the buffer.
    async fn exchange(&mut self, request: &[u8]) -> anyhow::Result<(u16, std::ops::Range<usize>)> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        let head = loop {
            if let Some(end) = self.buffer.windows(4).position(|w| w == b"\r\n\r\n") {
                break end + 4;
            }
            if self.buffer.len() > HEAD_MAX || self.stream.read_buf(&mut self.buffer).await? == 0 {
                bail!("the answer's head does not end");
            }
        };
        let text = std::str::from_utf8(&self.buffer[..head])?;
        let status = text.get(9..12).context("no status")?.parse()?;
        let length = text.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>())
        });
        // RFC 9110 §15.3.5: an answer without content has no length either.
        let length =
            if status == 204 { 0 } else { length.context("an answer without a length")?? };
        let end = head + length;
        while self.buffer.len() < end {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                bail!("the answer's body does not end");
            }
        }
        Ok((status, head..end))
    }

    /// A request that has to be accepted; its answer is not looked at.
    pub(crate) async fn post(&mut self, path: &str, body: &str) -> anyhow::Result<()> {
        let (status, body) = self.exchange(&request("POST", path, body)).await?;
        if !(200..300).contains(&status) {
            bail!("{path}: {status}: {}", String::from_utf8_lossy(&self.buffer[body]));
        }
        Ok(())
    }

    /// A question that has to be answered; the answer's meaning is not looked at.
    pub(crate) async fn get(&mut self, path: &str) -> anyhow::Result<()> {
        let (status, body) = self.exchange(&request("GET", path, "")).await?;
        anyhow::ensure!(status == 200 && !body.is_empty(), "{path}: {status}");
        Ok(())
    }

    /// A request and the answer's meaning.
    pub(crate) async fn ask(
        &mut self,
        method: &str,
        path: &str,
        body: &str,
    ) -> anyhow::Result<Value> {
        let (status, body) = self.exchange(&request(method, path, body)).await?;
        let body = &self.buffer[body];
        if !(200..300).contains(&status) {
            bail!("{path}: {status}: {}", String::from_utf8_lossy(body));
        }
        Ok(if body.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(body).unwrap_or(Value::Null)
        })
    }

    /// Uploads an image.
    pub(crate) async fn load_image(&mut self, archive: &[u8]) -> anyhow::Result<()> {
        let mut request = format!(
            "POST /images/load HTTP/1.1\r\nhost: skein\r\ncontent-type: application/x-tar\r\ncontent-length: {}\r\n\r\n",
            archive.len()
        )
        .into_bytes();
        request.extend_from_slice(archive);
        self.stream.write_all(&request).await?;
        // The answer is a stream of progress of unknown length; a second connection sees when the image is there.
        self.buffer.clear();
        self.stream.read_buf(&mut self.buffer).await?;
        anyhow::ensure!(self.buffer.starts_with(b"HTTP/1.1 200"), "the image was refused");
        Ok(())
    }
}

fn request(method: &str, path: &str, body: &str) -> Vec<u8> {
    format!(
        "{method} {path} HTTP/1.1\r\nhost: skein\r\nuser-agent: bench\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}
