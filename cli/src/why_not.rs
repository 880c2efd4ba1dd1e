//! `skein why-not`: why the tasks of a service are not on a node.

use serde::Deserialize;
use serde_json::Value;

use crate::args::At;
use crate::client::{Query, encode};
use crate::failure::Failure;
use crate::screen::Form;
use crate::session::Session;

/// Say why a service's tasks are not on a node
///
/// What the scheduler finds out about the node now, where the tasks are instead, and what the
/// waiting ones wait for. Without a service, every service is told.
#[derive(Debug, clap::Args)]
#[command(override_usage = "skein why-not [OPTIONS] [SERVICE|TASK] NODE")]
pub(crate) struct WhyNot {
    /// A service or a task, if only that one is asked for; then the node
    #[arg(value_name = "[SERVICE|TASK] NODE", num_args = 1..=2, required = true)]
    words: Vec<String>,
    /// Only this service
    #[arg(long, value_name = "SERVICE")]
    service: Option<String>,
    /// Form of the answer: table, json, or a Go template for each service, like '{{.name}} {{.here}}'
    #[arg(long, default_value = "table", hide_default_value = true)]
    format: Form,
    #[command(flatten)]
    at: At,
}

/// The daemon's answer.
#[derive(Deserialize)]
struct Answer {
    name: String,
    services: Vec<Absence>,
}

/// What is said about one service.
#[derive(Deserialize)]
struct Absence {
    service: String,
    name: String,
    here: u64,
    in_all: u64,
    lines: Vec<String>,
}

impl WhyNot {
    pub(crate) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        let (object, node) = match (self.words.as_slice(), self.service) {
            ([node], service) => (service, node),
            ([object, node], None) => (Some(object.clone()), node),
            _ => return Err(Failure::Usage("name the service once: why-not SERVICE NODE".into())),
        };
        let query = Query::default().with_some("object", object);
        let path = format!("/skein/v1/why-not/{}{query}", encode(node));
        let answer: Value = session.client.read(&path, &self.at).await?;
        if session.screen.answered(&self.format, &answer, Some("services"))? {
            return Ok(());
        }
        let answer: Answer = serde_json::from_value(answer)
            .map_err(|error| Failure::Strange { request: path, reason: error.to_string() })?;
        for Absence { service, name, here, in_all, lines } in &answer.services {
            let node = &answer.name;
            let head = format!("{name} (service/{service}): {here} of {in_all} tasks on {node}");
            session.screen.line(head)?;
            for line in lines {
                session.screen.line(format_args!("    {line}"))?;
            }
        }
        Ok(())
    }
}
