//! `skein diff`: what differs between two moments of the swarm.

use std::str::FromStr;

use serde::Deserialize;
use serde_json::Value;
use skein_events::view::field::Field;

use crate::args::{At, Moment};
use crate::client::Query;
use crate::failure::Failure;
use crate::screen::Form;
use crate::session::Session;

/// Show what differs between two moments
///
/// Objects that came, went or changed, with every field that is not what it was.
#[derive(Debug, clap::Args)]
pub(crate) struct Diff {
    /// Two moments: @8100..@8123, -1h..-10m; without the second, now
    #[arg(value_name = "@A..@B", allow_hyphen_values = true)]
    range: Range,
    /// Only this object: a name, an id, or both with the noun (service/web)
    object: Option<String>,
    /// Form of the answer: table, json, or a Go template for each object, like '{{.change}} {{.object}}'
    #[arg(long, default_value = "table", hide_default_value = true)]
    format: Form,
}

/// Two moments.
#[derive(Clone, Debug)]
struct Range {
    from: Moment,
    to: Option<Moment>,
}

impl FromStr for Range {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let Some((from, to)) = text.split_once("..") else {
            return Err("two moments are @A..@B, or @A.. for what changed since".to_owned());
        };
        let to = (!to.is_empty()).then(|| to.parse()).transpose()?;
        Ok(Self { from: from.parse()?, to })
    }
}

/// The daemon's answer.
#[derive(Deserialize)]
struct Answer {
    from: u64,
    to: u64,
    differences: Vec<Difference>,
}

/// One object that differs.
#[derive(Deserialize)]
struct Difference {
    object: String,
    name: String,
    change: String,
    #[serde(default)]
    fields: Vec<Field>,
}

impl Diff {
    pub(crate) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        let query = Query::default()
            .with("from", &self.range.from.to_string())
            .with_some("to", self.range.to)
            .with_some("object", self.object);
        let path = format!("/skein/v1/diff{query}");
        let answer: Value = session.client.read(&path, &At::default()).await?;
        if session.screen.answered(&self.format, &answer, Some("differences"))? {
            return Ok(());
        }
        let answer: Answer = serde_json::from_value(answer)
            .map_err(|error| Failure::Strange { request: path, reason: error.to_string() })?;
        session.screen.line(format_args!("@{}..@{}", answer.from, answer.to))?;
        for Difference { object, name, change, fields } in &answer.differences {
            let (sign, known) = match change.as_str() {
                "added" => ('+', true),
                "removed" => ('-', true),
                "changed" => ('~', true),
                _ => ('?', false),
            };
            let said = if known { String::new() } else { format!(" {change}") };
            session.screen.line(format_args!("{sign} {name} ({object}){said}"))?;
            for field in fields {
                session.screen.line(format_args!("    {field}"))?;
            }
        }
        Ok(())
    }
}
