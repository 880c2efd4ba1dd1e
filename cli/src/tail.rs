//! `skein tail`: events as they happen, one CloudEvent a line, for programs.
//! Lines are passed on as the daemon writes them, bookmarks included, so that a reader can resume from any of them.

use std::time::Duration;

use hyper::Method;
use serde::Deserialize;
use serde_json::json;

use crate::args::{At, Because};
use crate::client::{self, Lines, Query, encode};
use crate::failure::Failure;
use crate::session::Session;

/// What was written out is acknowledged no later than this: often enough to repeat little after a failure.
const BATCH: Duration = Duration::from_secs(1);

/// Follow the log as CloudEvents, one JSON object a line
///
/// Each line carries a cursor; to resume strictly after it, give it to --from, or name a consumer,
/// whose place the swarm keeps. A consumer is told everything but checkpoints and the places of
/// consumers. With --ack what was written out is acknowledged about once a second and at the end;
/// what was not acknowledged comes again: each line at least once.
#[derive(Debug, clap::Args)]
pub(crate) struct Tail {
    /// Where to begin: a position, a cursor of an earlier line, start or now
    #[arg(long, value_name = "@N|start|now|CURSOR")]
    from: Option<String>,
    /// Begin after what this consumer has acknowledged
    #[arg(long, value_name = "NAME", conflicts_with = "from")]
    consumer: Option<String>,
    /// Acknowledge what was written out
    #[arg(long, requires = "consumer")]
    ack: bool,
    /// End with the newest record instead of waiting for more
    #[arg(long)]
    no_follow: bool,
}

/// What is looked at of a line.
#[derive(Deserialize)]
struct Line {
    /// Of an event.
    cursor: Option<String>,
}

impl Tail {
    pub(crate) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        let follow = if self.no_follow { "0" } else { "1" };
        let query = match (&self.consumer, &self.from) {
            (Some(name), _) => Query::default().with("consumer", name),
            (None, Some(from)) => Query::default().with("from", from),
            (None, None) => Query::default().with("from", "now"),
        };
        let path = format!("/skein/v1/tail{}", query.with("follow", follow));
        let mut lines = session.client.lines(&path, &At::default()).await?;
        match self.consumer.filter(|_| self.ack) {
            None => {
                while let Some(line) = lines.next().await? {
                    session.screen.line(String::from_utf8_lossy(&line))?;
                }
                Ok(())
            }
            Some(consumer) => acknowledging(session, &mut lines, &consumer).await,
        }
    }
}

/// Passes lines on and acknowledges them, the newest for all before it.
async fn acknowledging(
    session: &mut Session,
    lines: &mut Lines,
    consumer: &str,
) -> Result<(), Failure> {
    let mut beat = tokio::time::interval(BATCH);
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut written: Option<String> = None;
    loop {
        let next = tokio::select! {
            biased;
            _ = beat.tick(), if written.is_some() => None,
            line = lines.next() => Some(line?),
        };
        match next {
            Some(Some(line)) => {
                session.screen.line(String::from_utf8_lossy(&line))?;
                let read: Option<Line> = serde_json::from_slice(&line).ok();
                written = read.and_then(|line| line.cursor).or(written);
            }
            // Time to acknowledge, or the end.
            None => acknowledge(session, consumer, &mut written).await?,
            Some(None) => return acknowledge(session, consumer, &mut written).await,
        }
    }
}

async fn acknowledge(
    session: &Session,
    consumer: &str,
    written: &mut Option<String>,
) -> Result<(), Failure> {
    let Some(cursor) = written.take() else { return Ok(()) };
    let path = format!("/skein/v1/consumers/{}/ack", encode(consumer));
    let body = client::json(&json!({ "cursor": cursor }));
    session.client.order(Method::POST, &path, body, &Because::default()).await
}
