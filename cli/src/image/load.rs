//! `skein image load`: images from an archive as `docker save` writes it, or an OCI layout, without any registry.
//! A directory is made an archive while it is sent: the daemon reads one form, and none of the client's files.

use std::fs::File;
use std::io::{self, IsTerminal as _};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use futures::StreamExt as _;
use serde::Deserialize;
use tokio_util::io::ReaderStream;

use super::{body, body_of, file};
use crate::args::Change;
use crate::client::Body;
use crate::failure::Failure;
use crate::session::{self, Session};

/// Load images from an archive
#[derive(Debug, clap::Args)]
pub(crate) struct Load {
    /// Archive to read, or the directory of an OCI layout; standard input when absent
    #[arg(short, long, value_name = "FILE")]
    input: Option<PathBuf>,
    /// Do not report progress
    #[arg(short, long)]
    quiet: bool,
    #[command(flatten)]
    change: Change,
}

/// One message of the daemon's answer.
#[derive(Deserialize)]
struct Message {
    stream: Option<String>,
    error: Option<String>,
}

impl Load {
    pub(crate) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        let unread = Unread::default();
        let body = match &self.input {
            Some(path) if path.is_dir() => directory(path, &unread)?,
            Some(path) => file(path).await?,
            None if std::io::stdin().is_terminal() => {
                return Err(Failure::Usage(
                    "image load reads an archive: name it with -i FILE or pipe it in".to_owned(),
                ));
            }
            None => body(session::standard_input()?),
        };
        let path = format!("/images/load?quiet={}", u8::from(self.quiet));
        let why = self.change.into();
        let sent = session.client.upload(&path, "application/x-tar", body, &why).await;
        let mut lines = match (sent, unread.get()) {
            (Err(_), Some(why)) => return Err(Failure::failed(why)),
            (sent, _) => sent?,
        };
        while let Some(line) = lines.next().await? {
            let message: Message = serde_json::from_slice(&line).map_err(|error| {
                Failure::Strange { request: path.clone(), reason: error.to_string() }
            })?;
            if let Some(error) = message.error {
                return Err(Failure::failed(error));
            }
            if let Some(text) = message.stream {
                session.screen.line(text.trim_end())?;
            }
        }
        Ok(())
    }
}

/// What a directory must have of: an OCI layout the first, an unpacked archive of `docker save` the second.
const MARKS: [&str; 2] = ["index.json", "manifest.json"];

/// Why a directory could not be sent whole.
type Unread = Arc<OnceLock<String>>;

/// A directory as a body.
fn directory(path: &Path, unread: &Unread) -> Result<Body, Failure> {
    if !MARKS.iter().any(|mark| path.join(mark).is_file()) {
        return Err(Failure::failed(format!(
            "{} is no OCI layout: it has no index.json, and no manifest.json as docker save writes it",
            path.display()
        )));
    }
    let (ours, theirs) = io::pipe()?;
    let root = path.to_owned();
    let packed = tokio::task::spawn_blocking(move || {
        let mut archive = tar::Builder::new(io::BufWriter::with_capacity(1 << 16, theirs));
        archive.append_dir_all("", &root)?;
        archive.into_inner()?.into_inner().map(drop).map_err(io::IntoInnerError::into_error)
    });
    let read = tokio::fs::File::from_std(File::from(OwnedFd::from(ours)));
    let (unread, shown) = (Arc::clone(unread), path.display().to_string());
    let whole = async move {
        let packed = packed.await.map_err(io::Error::other).and_then(|packed| packed);
        if let Err(error) = &packed {
            // The first is the one to tell.
            let _ = unread.set(format!("read {shown}: {error}"));
        }
        packed.map(|()| Bytes::new())
    };
    // A file that cannot be read breaks the request off: half a layout is not sent as a whole one.
    Ok(body_of(ReaderStream::new(read).chain(futures::stream::once(whole))))
}
