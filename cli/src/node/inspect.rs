//! `skein node inspect`: whole nodes as JSON, or a page to read about each.

use bollard_stubs::models::Node;

use super::{hostname, named};
use crate::args::Inspecting;
use crate::client::encode;
use crate::failure::Failure;
use crate::screen::human;
use crate::session::{self, Session};

/// Show nodes in full
#[derive(Debug, clap::Args)]
pub(crate) struct Inspect {
    /// Show a page to read instead of JSON
    #[arg(long, conflicts_with = "format")]
    pretty: bool,
    /// Nodes, by host name or id; self is the one asked
    #[arg(value_name = "NODE", default_value = "self")]
    nodes: Vec<String>,
    #[command(flatten)]
    inspecting: Inspecting,
}

impl Inspect {
    pub(crate) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        let nodes = named(session, self.nodes, &self.inspecting.at).await?;
        if !self.pretty {
            return session::inspect(session, "/nodes", &nodes, &self.inspecting).await;
        }
        for (n, node) in nodes.iter().enumerate() {
            let path = format!("/nodes/{}", encode(node));
            let node: Node = session.client.read(&path, &self.inspecting.at).await?;
            let gap = if n == 0 { "" } else { "\n" };
            session.screen.told(&format!("{gap}{}", page(node)))?;
        }
        Ok(())
    }
}

/// What is known of a node, laid out as Docker's users know it.
fn page(node: Node) -> String {
    let mut lines = Vec::new();
    let host = hostname(&node).to_owned();
    let spec = node.spec.unwrap_or_default();
    let about = node.description.unwrap_or_default();
    let status = node.status.unwrap_or_default();
    let title = |word: Option<String>| human::title(&word.unwrap_or_default());
    lines.push(format!("ID:\t\t\t{}", node.id.unwrap_or_default()));
    let mut labels: Vec<(String, String)> = spec.labels.unwrap_or_default().into_iter().collect();
    labels.sort();
    if !labels.is_empty() {
        lines.push("Labels:".to_owned());
        lines.extend(labels.iter().map(|(key, value)| format!(" - {key}={value}")));
    }
    lines.push(format!("Hostname:\t\t{host}"));
    lines.push(format!("Joined at:\t\t{}", node.created_at.unwrap_or_default()));
    lines.push("Status:".to_owned());
    lines.push(format!(" State:\t\t\t{}", title(status.state.map(|s| s.to_string()))));
    lines.push(format!(" Availability:\t\t{}", title(spec.availability.map(|a| a.to_string()))));
    lines.push(format!(" Address:\t\t{}", status.addr.unwrap_or_default()));
    if let Some(manager) = node.manager_status {
        let leads = if manager.leader == Some(true) { "Yes" } else { "No" };
        lines.push("Manager Status:".to_owned());
        lines.push(format!(" Address:\t\t{}", manager.addr.unwrap_or_default()));
        lines.push(format!(
            " Raft Status:\t\t{}",
            title(manager.reachability.map(|r| r.to_string()))
        ));
        lines.push(format!(" Leader:\t\t{leads}"));
    }
    let platform = about.platform.unwrap_or_default();
    lines.push("Platform:".to_owned());
    lines.push(format!(" Operating System:\t{}", platform.os.unwrap_or_default()));
    lines.push(format!(" Architecture:\t\t{}", platform.architecture.unwrap_or_default()));
    let resources = about.resources.unwrap_or_default();
    lines.push("Resources:".to_owned());
    lines.push(format!(" CPUs:\t\t\t{}", resources.nano_cpus.unwrap_or_default() / 1_000_000_000));
    lines
        .push(format!(" Memory:\t\t{}", human::memory(resources.memory_bytes.unwrap_or_default())));
    let engine = about.engine.unwrap_or_default();
    lines.push(format!("Engine Version:\t\t{}", engine.engine_version.unwrap_or_default()));
    lines.join("\n") + "\n"
}
