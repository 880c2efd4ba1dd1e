//! One record told to people: a sentence, who, why, and what was looked at.

use std::fmt::Write as _;

use skein_events::codec::Apart;
use skein_events::envelope::Who;
use skein_events::record::Position;
use skein_events::time::Time;

use crate::history::{History, Recorded};
use crate::text;

/// One record told to people.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Step {
    /// The record.
    pub position: Position,
    /// Its cluster time.
    pub at: Time,
    /// The wall clock beside it.
    pub wall: Time,
    /// Its kind, e.g. `task.assigned`.
    pub kind: &'static str,
    /// What it is about, e.g. `task/5uwx…`.
    pub subject: Option<String>,
    /// What happened, in one sentence.
    pub text: String,
    /// Who did it.
    pub who: Who,
    /// Through which client.
    pub client: String,
    /// Why, in the user's words.
    pub reason: Option<String>,
    /// What was looked at: the scheduler's verdicts, addresses, an exit code.
    pub details: Vec<String>,
}

impl Step {
    /// Tells a record.
    pub fn of(history: &impl History, recorded: &Recorded) -> Self {
        let (event, envelope) = (recorded.event(), recorded.envelope());
        let mut details = text::details(history.catalog(), event, envelope.at);
        // The reason of a command stands in its first record.
        let reason = match &recorded.batch.entries[0].apart {
            Apart::Present { value, .. } => value.reason.clone(),
            Apart::None | Apart::Redacted { .. } => None,
        };
        if matches!(recorded.apart(), Apart::Redacted { .. }) {
            details.push("what was kept apart from this record was redacted".to_owned());
        }
        Self {
            position: recorded.position,
            at: envelope.at,
            wall: envelope.wall,
            kind: event.kind().name,
            subject: event.subject().map(|object| object.to_string()),
            text: text::sentence(history.catalog(), event),
            who: envelope.who.clone(),
            client: envelope.client.clone(),
            reason,
            details,
        }
    }

    /// As one line, for tests and logs.
    pub fn line(&self) -> String {
        let mut line = format!("{} {} ({}", self.position, self.text, self.who);
        if let Some(reason) = &self.reason {
            let _ = write!(line, ": {reason:?}");
        }
        line.push(')');
        line
    }
}
