//! `skein log`: what happened, record by record, oldest first; its sub-commands make a record forget, and keep the log as files.

mod export;
mod redact;

use serde::Deserialize;
use serde_json::Value;
use skein_events::view::field::Field;

use crate::args::{At, Moment};
use crate::client::Query;
use crate::failure::Failure;
use crate::screen::Form;
use crate::session::Session;

/// Show what happened to the swarm or to one object
///
/// Every record of the log is one line, the oldest first: its position, its time, what happened to
/// what, who caused it (or which record did), and the reason if one was given.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_value_name = "redact|export|archive")]
pub(crate) struct Log {
    #[command(subcommand)]
    verb: Option<Verb>,
    /// Object: a name (web, web.2), an id, or both with the noun (service/web)
    object: Option<String>,
    /// Show only the last N records
    #[arg(short = 'n', long, value_name = "N")]
    limit: Option<u64>,
    /// Begin there
    #[arg(long, value_name = "@N|-10m|TIME", allow_hyphen_values = true)]
    since: Option<Moment>,
    /// End there
    #[arg(long, visible_alias = "at", value_name = "@N|-10m|TIME", allow_hyphen_values = true)]
    until: Option<Moment>,
    /// Show only what this one did: a user's name or id, user, node, planner, or a planner's name
    #[arg(long, value_name = "WHO")]
    who: Option<String>,
    /// Show only events of this kind, like service.scaled, or of this noun, like service; may be repeated
    #[arg(long, value_name = "KIND")]
    kind: Vec<String>,
    /// Show what each record changed of its object
    #[arg(short, long)]
    patch: bool,
    /// Show each record's content too
    #[arg(short, long)]
    data: bool,
    /// Show only positions
    #[arg(short, long)]
    quiet: bool,
    /// Show only what matches: kind=KIND, which may be repeated, or who=WHO
    #[arg(short, long, value_name = "KEY=VALUE", value_parser = crate::parse::key_value)]
    filter: Vec<(String, String)>,
    /// Form of the lines: table, json, or a Go template like '{{.position}} {{.kind}}'
    #[arg(long, default_value = "table", hide_default_value = true)]
    format: Form,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    Redact(redact::Redact),
    Export(export::Export),
    Archive(export::Archive),
}

/// A record as the daemon tells it; `--format json` passes the daemon's own line on.
#[derive(Deserialize)]
struct Record {
    position: u64,
    time: String,
    kind: String,
    #[serde(default)]
    subject: String,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    detail: Option<String>,
    #[serde(default)]
    who: Value,
    #[serde(default)]
    reason: Value,
    #[serde(default)]
    cause: Option<u64>,
    #[serde(default)]
    data: Value,
    #[serde(default)]
    patch: Vec<Field>,
}

impl Log {
    pub(crate) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        match self.verb {
            Some(Verb::Redact(redact)) => return redact.run(session).await,
            Some(Verb::Export(export)) => return export.run(session).await,
            Some(Verb::Archive(archive)) => return archive.run(session).await,
            None => {}
        }
        let (mut who, mut kinds) = (self.who, self.kind);
        for (key, value) in self.filter {
            match key.as_str() {
                "kind" => kinds.push(value),
                "who" if who.is_none() => who = Some(value),
                "who" => return Err(Failure::Usage("name one WHO".to_owned())),
                _ => {
                    let text =
                        format!("invalid filter '{key}': records are filtered by kind and who");
                    return Err(Failure::Usage(text));
                }
            }
        }
        let query = Query::default()
            .with_some("object", self.object)
            .with_some("from", self.since)
            .with_some("to", self.until)
            .with_some("limit", self.limit)
            .with_some("who", who)
            .with_some("kind", (!kinds.is_empty()).then(|| kinds.join(",")))
            .with_some("patch", self.patch.then_some(1));
        let form = match self.format {
            Form::Table if self.quiet => "{{.position}}".parse().expect("it is a template"),
            form => form,
        };
        print(session, &query, &form, self.data).await
    }
}

/// Prints one record with what it changed.
pub(crate) async fn one(session: &mut Session, position: u64) -> Result<(), Failure> {
    let at = format!("@{position}");
    let query = Query::default().with("from", &at).with("to", &at).with("patch", "1");
    print(session, &query, &Form::Table, false).await
}

async fn print(
    session: &mut Session,
    query: &Query,
    form: &Form,
    data: bool,
) -> Result<(), Failure> {
    let path = format!("/skein/v1/log{query}");
    let mut lines = session.client.lines(&path, &At::default()).await?;
    // A table's columns are as wide as their widest cell, so it waits for the last record; all else is told as it comes.
    let mut all = Vec::new();
    while let Some(line) = lines.next().await? {
        if matches!(form, Form::Json) {
            session.screen.line(String::from_utf8_lossy(&line))?;
            continue;
        }
        let strange = |error: serde_json::Error| Failure::Strange {
            request: path.clone(),
            reason: error.to_string(),
        };
        let record: Value = serde_json::from_slice(&line).map_err(strange)?;
        if matches!(form, Form::Columns(_)) {
            all.push(record);
        } else if !session.screen.answered(form, &record, None)? {
            show(session, &serde_json::from_value(record).map_err(strange)?, data)?;
        }
    }
    if matches!(form, Form::Columns(_)) {
        session.screen.answered(form, &serde_json::json!({"records": all}), Some("records"))?;
    }
    Ok(())
}

fn show(session: &mut Session, record: &Record, data: bool) -> Result<(), Failure> {
    session.screen.line(sentence(record))?;
    for field in &record.patch {
        session.screen.line(format_args!("          {field}"))?;
    }
    if data {
        session.screen.line(format_args!("          {}", record.data))?;
    }
    Ok(())
}

fn sentence(record: &Record) -> String {
    let position = format!("@{}", record.position);
    let name = record.name.as_deref().filter(|name| !name.is_empty()).unwrap_or(&record.subject);
    let mut line = format!(
        "{position:<8}  {}  {:<24}  {name:<24}  {}",
        short_time(&record.time),
        record.kind,
        who(&record.who)
    );
    if let Some(detail) = &record.detail {
        line.push_str(&format!("  {detail}"));
    }
    if let Some(cause) = record.cause {
        line.push_str(&format!("  because of @{cause}"));
    }
    if let Some(reason) = reason(&record.reason) {
        line.push_str(&format!("  {reason}"));
    }
    line
}

/// Time to the millisecond, always as long, so that lines stand below each other.
pub(crate) fn short_time(text: &str) -> String {
    text.parse::<jiff::Timestamp>().map_or_else(|_| text.to_owned(), |time| format!("{time:.3}"))
}

/// Who stands behind a record, in a few words.
pub(crate) fn who(who: &Value) -> String {
    let text = |key: &str| who[key].as_str().unwrap_or_default();
    match text("type") {
        "user" if text("name").is_empty() => format!("user {}", who["uid"]),
        "user" => format!("user {}", text("name")),
        "planner" => format!("planner {}", text("name")),
        "node" => format!("node {}", text("id")),
        other => other.to_owned(),
    }
}

/// The reason in quotes, or that it has been redacted; nothing when none was given.
pub(crate) fn reason(reason: &Value) -> Option<String> {
    match reason {
        Value::String(text) => Some(format!("\"{text}\"")),
        Value::Object(_) if reason["redacted"] == true => Some("(reason redacted)".to_owned()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            None
        }
    }
}
