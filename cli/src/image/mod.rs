//! `skein image`: images of the node that is asked; they are no part of the swarm's state.
//! Only the list of sub-commands, and what several of them do with an answer.

mod history;
mod import;
mod inspect;
mod load;
mod ls;
mod prune;
mod pull;
mod rm;
mod tag;

use std::io;

use bytes::Bytes;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use serde::Deserialize;
use tokio::io::AsyncRead;
use tokio_util::io::ReaderStream;

use futures::{Stream, TryStreamExt as _};

use crate::client::Body;
use crate::failure::Failure;
use crate::session::Session;

pub(crate) use prune::pruned;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Image {
    History(history::History),
    Import(import::Import),
    Inspect(inspect::Inspect),
    Load(load::Load),
    Ls(ls::Ls),
    Prune(prune::Prune),
    Pull(pull::Pull),
    Rm(rm::Rm),
    Tag(tag::Tag),
}

impl Image {
    pub(crate) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        match self {
            Self::History(history) => history.run(session).await,
            Self::Import(import) => import.run(session).await,
            Self::Inspect(inspect) => inspect.run(session).await,
            Self::Load(load) => load.run(session).await,
            Self::Ls(ls) => ls.run(session).await,
            Self::Prune(prune) => prune.run(session).await,
            Self::Pull(pull) => pull.run(session).await,
            Self::Rm(rm) => rm.run(session).await,
            Self::Tag(tag) => tag.run(session).await,
        }
    }
}

/// One step of a removal, as the daemon tells it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Step {
    #[serde(default)]
    untagged: Option<String>,
    #[serde(default)]
    deleted: Option<String>,
}

impl Step {
    fn show(&self, session: &mut Session) -> Result<(), Failure> {
        let Self { untagged, deleted } = self;
        let untagged = untagged.iter().map(|name| format!("Untagged: {name}"));
        let deleted = deleted.iter().map(|digest| format!("Deleted: {digest}"));
        untagged.chain(deleted).try_for_each(|line| session.screen.line(line))
    }
}

/// A body read from a file as it is sent, so that an archive of any size needs no memory.
fn body(reader: impl AsyncRead + Send + 'static) -> Body {
    body_of(ReaderStream::new(reader))
}

fn body_of(pieces: impl Stream<Item = io::Result<Bytes>> + Send + 'static) -> Body {
    StreamBody::new(pieces.map_ok(Frame::data)).boxed_unsync()
}

/// A file as a body.
async fn file(path: &std::path::Path) -> Result<Body, Failure> {
    let opened = tokio::fs::File::open(path).await;
    opened.map(body).map_err(|error| Failure::failed(format!("open {}: {error}", path.display())))
}
