//! `skein node update`: reads the node, changes what was named, sends it back with the version it was read at.

use bollard_stubs::models::{Node, NodeSpec, NodeSpecAvailabilityEnum};
use clap::builder::PossibleValuesParser;
use hyper::Method;

use super::named;
use crate::args::{At, Because};
use crate::client::{encode, json};
use crate::failure::Failure;
use crate::parse;
use crate::session::Session;

/// Change whether a node takes tasks, and its labels
#[derive(Debug, clap::Args)]
pub(crate) struct Update {
    /// active takes tasks, pause takes no new ones, drain gives up those it has
    #[arg(long, value_name = "STATE", value_parser = PossibleValuesParser::new(["active", "pause", "drain"]))]
    availability: Option<String>,
    /// Label to add or change
    #[arg(long, value_name = "KEY[=VALUE]", value_parser = parse::label)]
    label_add: Vec<(String, String)>,
    /// Label to remove
    #[arg(long, value_name = "KEY")]
    label_rm: Vec<String>,
    /// Node, by host name or id; self is the one asked
    node: String,
    #[command(flatten)]
    because: Because,
}

impl Update {
    pub(crate) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        let now = At::default();
        let id = named(session, vec![self.node.clone()], &now).await?.remove(0);
        let path = format!("/nodes/{}", encode(&id));
        let node: Node = session.client.read(&path, &now).await?;
        let version = node.version.and_then(|v| v.index).unwrap_or_default();
        let id = node.id.unwrap_or_default();
        let mut spec: NodeSpec = node.spec.unwrap_or_default();
        if let Some(word) = &self.availability {
            spec.availability = word.parse::<NodeSpecAvailabilityEnum>().ok();
        }
        let labels = spec.labels.get_or_insert_default();
        for key in &self.label_rm {
            if labels.remove(key).is_none() {
                return Err(Failure::failed(format!("node {} has no label {key}", self.node)));
            }
        }
        labels.extend(self.label_add);
        let path = format!("/nodes/{id}/update?version={version}");
        session.client.order(Method::POST, &path, json(&spec), &self.because).await?;
        session.screen.line(self.node)
    }
}
