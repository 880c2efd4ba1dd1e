//! `skein verify`: reads the whole log and checks its chain of hashes.

use serde::Deserialize;
use serde_json::Value;

use crate::args::{At, Format};
use crate::failure::Failure;
use crate::session::Session;

/// Check the whole log against its chain of hashes
#[derive(Debug, clap::Args)]
pub(crate) struct Verify {
    /// Form of the answer: table or json
    #[arg(long, default_value = "table", hide_default_value = true)]
    format: Format,
}

/// The daemon's answer.
#[derive(Deserialize)]
struct Answer {
    records: u64,
    entries: u64,
    head: String,
    ok: bool,
    #[serde(default)]
    first_bad: Option<Bad>,
    #[serde(default)]
    redacted: Vec<u64>,
}

/// Where the chain breaks.
#[derive(Deserialize)]
struct Bad {
    position: u64,
    index: u64,
    reason: String,
}

impl Verify {
    pub(crate) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        const PATH: &str = "/skein/v1/verify";
        let value: Value = session.client.read(PATH, &At::default()).await?;
        if self.format == Format::Json {
            session.screen.line(&value)?;
        }
        let answer: Answer = serde_json::from_value(value).map_err(|error| Failure::Strange {
            request: PATH.to_owned(),
            reason: error.to_string(),
        })?;
        if !answer.ok {
            let bad = answer.first_bad.map_or_else(
                || "the log does not match its hashes".to_owned(),
                |bad| {
                    format!(
                        "the log is bad from @{} (entry {}): {}",
                        bad.position, bad.index, bad.reason
                    )
                },
            );
            return Err(Failure::failed(bad));
        }
        if self.format == Format::Json {
            return Ok(());
        }
        session
            .screen
            .line(format_args!("ok: {} records in {} entries", answer.records, answer.entries))?;
        session.screen.line(format_args!("head: {}", answer.head))?;
        if answer.redacted.is_empty() {
            return Ok(());
        }
        let list: Vec<String> =
            answer.redacted.iter().map(|position| format!("@{position}")).collect();
        session.screen.line(format_args!("redacted: {}", list.join(" ")))
    }
}
