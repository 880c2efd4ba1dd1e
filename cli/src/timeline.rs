//! `skein timeline`: what happened to an object and to what belongs to it, in its order.

use serde_json::Value;

use crate::args::At;
use crate::client::{Query, encode};
use crate::failure::Failure;
use crate::screen::Form;
use crate::session::Session;
use crate::why::{Answer, Link, heading, link};

/// Tell what happened to an object, the oldest first
///
/// A sentence for each record about it, with the time since the one before. A service's timeline
/// tells its tasks too, a node's the tasks that were put there; also of objects that are gone.
#[derive(Debug, clap::Args)]
pub(crate) struct Timeline {
    /// Object: a name (web, web.2), an id, or both with the noun (service/web)
    object: String,
    /// Show only the last N records
    #[arg(short = 'n', long, value_name = "N")]
    limit: Option<u64>,
    /// Form of the answer: table, json, or a Go template for each step, like '{{.position}} {{.text}}'
    #[arg(long, default_value = "table", hide_default_value = true)]
    format: Form,
    #[command(flatten)]
    at: At,
}

impl Timeline {
    pub(crate) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        let object = self.object.split('/').map(encode).collect::<Vec<_>>().join("/");
        let query = Query::default().with_some("limit", self.limit);
        let path = format!("/skein/v1/timeline/{object}{query}");
        let answer: Value = session.client.read(&path, &self.at).await?;
        if session.screen.answered(&self.format, &answer, Some("chain"))? {
            return Ok(());
        }
        let answer: Answer = serde_json::from_value(answer)
            .map_err(|error| Failure::Strange { request: path, reason: error.to_string() })?;
        session.screen.told(&heading(&answer))?;
        let mut before = None;
        for step in &answer.chain {
            let time = step.time.parse::<jiff::Timestamp>().ok();
            let passed = since(before, time);
            before = time.or(before);
            let Link { text, .. } = step;
            let text = if passed.is_empty() { text.clone() } else { format!("{passed}  {text}") };
            session.screen.told(&link(step, &text))?;
        }
        Ok(())
    }
}

/// The time since the record before, in seconds; nothing for the first.
fn since(before: Option<jiff::Timestamp>, time: Option<jiff::Timestamp>) -> String {
    match (before, time) {
        (Some(before), Some(time)) => {
            format!("+{:.3}s", time.duration_since(before).as_secs_f64())
        }
        (None, _) | (_, None) => String::new(),
    }
}
