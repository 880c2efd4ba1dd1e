//! `skein verify`: reads the whole log, or an archive of it, and checks its chain of hashes.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;
use skein_store::archive::{self, Checked};

use crate::args::At;
use crate::client::encode;
use crate::failure::Failure;
use crate::screen::Form;
use crate::session::Session;

/// Check the whole log, or an archive of it, against its chain of hashes
///
/// An archive is checked without a daemon, from whatever point it begins; of several, each also has
/// to begin where the one before it ends.
#[derive(Debug, clap::Args)]
pub(crate) struct Verify {
    /// Archives made by `skein log export`, in their order, or the directory of `skein log archive`
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Also check that the history has this head, noted elsewhere before: a cursor, as verify prints it
    #[arg(long, value_name = "CURSOR", conflicts_with = "files", value_parser = cursor)]
    against: Option<String>,
    /// Form of the answer: table, json, or a Go template, like '{{.records}} {{.head}}'
    #[arg(long, default_value = "table", hide_default_value = true)]
    format: Form,
}

/// The daemon's answer.
#[derive(Deserialize)]
struct Answer {
    records: u64,
    entries: u64,
    head: String,
    #[serde(default)]
    cursor: Option<String>,
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
        if !self.files.is_empty() {
            return archives(session, &self.files, &self.format);
        }
        const PATH: &str = "/skein/v1/verify";
        let value: Value = session.client.read(PATH, &At::default()).await?;
        let told = session.screen.answered(&self.format, &value, None)?;
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
        if let Some(noted) = &self.against {
            against(session, noted).await?;
        }
        if told {
            return Ok(());
        }
        session
            .screen
            .line(format_args!("ok: {} records in {} entries", answer.records, answer.entries))?;
        session.screen.line(format_args!("head: {}", answer.head))?;
        if let Some(cursor) = &answer.cursor {
            session.screen.line(format_args!("cursor: {cursor}"))?;
        }
        if let Some(noted) = &self.against {
            session.screen.line(format_args!("against: {noted} is on this history"))?;
        }
        if answer.redacted.is_empty() {
            return Ok(());
        }
        let list: Vec<String> =
            answer.redacted.iter().map(|position| format!("@{position}")).collect();
        session.screen.line(format_args!("redacted: {}", list.join(" ")))
    }
}

/// `EPOCH.POSITION.H8`: anything else would be on every history.
fn cursor(text: &str) -> Result<String, String> {
    let parts: Vec<&str> = text.split('.').collect();
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let hex = |part: &str| part.len() == 8 && part.bytes().all(|b| b.is_ascii_hexdigit());
    match parts[..] {
        [epoch, position, h] if digits(epoch) && digits(position) && hex(h) => Ok(text.to_owned()),
        _ => Err("a cursor such as 1.8123.9f3c2ab1, as skein verify prints it".to_owned()),
    }
}

/// A chain is whole in itself, also an older copy of it: only who noted its head elsewhere can tell.
async fn against(session: &mut Session, noted: &str) -> Result<(), Failure> {
    let path = format!("/skein/v1/tail?from={}", encode(noted));
    match session.client.bytes(&path).await {
        Ok(_) => Ok(()),
        Err(Failure::Refused { status: 410, .. }) => Err(Failure::failed(format!(
            "the history does not have {noted}: an older copy of the log, or another one, is in its place"
        ))),
        Err(failure) => Err(failure),
    }
}

/// Checks archives one after another; ends at the first that is bad.
fn archives(session: &mut Session, files: &[PathBuf], form: &Form) -> Result<(), Failure> {
    let mut last: Option<Checked> = None;
    for file in &whole(files)? {
        let name = file.display();
        let found = checked(file)?;
        let answer = serde_json::to_value(&found).expect("numbers and text are JSON");
        if !session.screen.answered(form, &answer, None)? && found.bad.is_none() {
            let Checked { first, last, records, entries, h, .. } = &found;
            let what = format!("{name}: {first}..{last}, {records} records in {entries} entries");
            session.screen.line(format_args!("ok: {what}, head {h}"))?;
            if !found.redacted.is_empty() {
                let all: Vec<_> = found.redacted.iter().map(ToString::to_string).collect();
                session.screen.line(format_args!("redacted: {}", all.join(" ")))?;
            }
        }
        if let Some((position, what)) = &found.bad {
            return Err(Failure::failed(format!("{name} is bad from {position}: {what}")));
        }
        if last.is_some_and(|l| l.h != found.before || l.last.next() != found.first) {
            return Err(Failure::failed(format!(
                "{name} does not begin where the one before ends"
            )));
        }
        last = Some(found);
    }
    Ok(())
}

/// The files that are meant: in the place of a directory, as `log archive` fills it, its archives in their order.
fn whole(files: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let mut all = Vec::new();
    for file in files {
        if !file.is_dir() {
            all.push(file.clone());
            continue;
        }
        let named = |error| Failure::failed(format!("{}: {error}", file.display()));
        let mut below = Vec::new();
        for entry in std::fs::read_dir(file).map_err(named)? {
            below.push(entry.map_err(named)?.path());
        }
        below.retain(|path| path.extension().is_some_and(|ending| ending == "sklog"));
        if below.is_empty() {
            let text = format!("{}: there is no archive in this directory", file.display());
            return Err(Failure::failed(text));
        }
        below.sort();
        all.extend(below);
    }
    Ok(all)
}

/// What the check of an archive finds.
pub(crate) fn checked(file: &Path) -> Result<Checked, Failure> {
    let named = |error| Failure::failed(format!("{}: {error}", file.display()));
    let open = std::fs::File::open(file).map_err(named)?;
    archive::check(std::io::BufReader::new(open)).map_err(named)
}
