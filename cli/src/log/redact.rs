//! `skein log redact`: erases the part of a record that may have to be forgotten; the chain still verifies.

use hyper::Method;
use serde_json::{Value, json};

use crate::args::{Because, Condition, Reason, position};
use crate::client;
use crate::failure::Failure;
use crate::session::Session;

/// Erase the detachable part of one record on every manager
///
/// A record's reason, environment values and the like can be erased; what happened, when and by whom
/// stays, and so does everything `skein verify` checks. There is no way back.
#[derive(Debug, clap::Args)]
pub(crate) struct Redact {
    /// Position of the record
    #[arg(value_name = "@N", value_parser = position)]
    position: u64,
    /// Reason, kept in the log
    #[arg(short = 'm', long = "message", required = true, value_name = "REASON")]
    message: String,
    #[command(flatten)]
    condition: Condition,
}

impl Redact {
    pub(crate) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        let body = client::json(&json!({ "position": self.position }));
        let because =
            Because { reason: Reason { message: Some(self.message) }, condition: self.condition };
        let answer: Value =
            session.client.change(Method::POST, "/skein/v1/redact", body, &because).await?;
        drop(answer); // the position the user already has
        session.screen.line(format_args!("@{} redacted", self.position))
    }
}
