//! `skein why`: the chain of causes of an object, from what is now down to the user's command.

use serde::Deserialize;
use serde_json::Value;

use crate::args::At;
use crate::client::encode;
use crate::failure::Failure;
use crate::log::{reason, short_time, who};
use crate::screen::Form;
use crate::session::Session;

/// Say why an object is as it is
///
/// Walks from what happened last to what caused it, down to a user's command; where the scheduler
/// chose, every node it considered is named with the verdict.
#[derive(Debug, clap::Args)]
pub(crate) struct Why {
    /// Object: a name (web, web.2), an id, or both with the noun (service/web)
    object: String,
    /// Form of the answer: table, json, or a Go template for each step, like '{{.position}} {{.text}}'
    #[arg(long, default_value = "table", hide_default_value = true)]
    format: Form,
    #[command(flatten)]
    at: At,
}

/// The daemon's answer.
#[derive(Deserialize)]
pub(crate) struct Answer {
    object: String,
    #[serde(default)]
    name: Option<String>,
    pub(crate) chain: Vec<Link>,
}

/// One cause or step.
#[derive(Deserialize)]
pub(crate) struct Link {
    pub(crate) position: u64,
    pub(crate) time: String,
    pub(crate) text: String,
    #[serde(default)]
    who: Value,
    #[serde(default)]
    reason: Value,
    #[serde(default)]
    details: Vec<String>,
}

impl Why {
    pub(crate) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        // An object may carry its noun before a slash; each part is a segment of its own.
        let object = self.object.split('/').map(encode).collect::<Vec<_>>().join("/");
        let path = format!("/skein/v1/why/{object}");
        let answer: Value = session.client.read(&path, &self.at).await?;
        if session.screen.answered(&self.format, &answer, Some("chain"))? {
            return Ok(());
        }
        let answer: Answer = serde_json::from_value(answer)
            .map_err(|error| Failure::Strange { request: path, reason: error.to_string() })?;
        session.screen.told(&story(&answer))
    }
}

fn story(answer: &Answer) -> String {
    let steps = answer.chain.iter().map(|step| link(step, &step.text));
    std::iter::once(heading(answer)).chain(steps).collect()
}

/// The first line: what it is about.
pub(crate) fn heading(answer: &Answer) -> String {
    match answer.name.as_deref().filter(|name| !name.is_empty()) {
        Some(name) => format!("{name} ({})\n", answer.object),
        None => format!("{}\n", answer.object),
    }
}

/// The lines of one step.
pub(crate) fn link(link: &Link, text: &str) -> String {
    let position = format!("@{}", link.position);
    let mut story = format!("{position:<8}  {}  {text}\n", short_time(&link.time));
    let by = who(&link.who);
    let by = match (by.is_empty(), reason(&link.reason)) {
        (false, Some(reason)) => format!("by {by}: {reason}"),
        (false, None) => format!("by {by}"),
        (true, Some(reason)) => reason,
        (true, None) => String::new(),
    };
    for line in
        std::iter::once(by).chain(link.details.iter().cloned()).filter(|line| !line.is_empty())
    {
        story.push_str(&format!("          {line}\n"));
    }
    story
}
