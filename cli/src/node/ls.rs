//! `skein node ls`: every member, the one asked marked with an asterisk.

use bollard_stubs::models::{ManagerStatus, Node, Reachability};
use serde_json::Value;

use super::hostname;
use crate::args::Listing;
use crate::client::Query;
use crate::failure::Failure;
use crate::screen::{Cell, Column, human};
use crate::session::Session;

/// List the nodes of the swarm
#[derive(Debug, clap::Args)]
#[command(visible_alias = "list")]
pub(crate) struct Ls {
    #[command(flatten)]
    listing: Listing,
}

const COLUMNS: [Column; 9] = [
    Column::new("ID", "ID"),
    Column::new("Hostname", "HOSTNAME"),
    Column::new("Status", "STATUS"),
    Column::new("Availability", "AVAILABILITY"),
    Column::new("ManagerStatus", "MANAGER STATUS"),
    Column::new("EngineVersion", "ENGINE VERSION"),
    Column::extra("Self", "SELF"),
    Column::extra("TLSStatus", "TLS STATUS"),
    Column::extra("Labels", "LABELS"),
];

impl Ls {
    pub(crate) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        let listing = self.listing;
        let path = format!("/nodes{}", Query::default().filtered(&listing.filter));
        let mut nodes: Vec<Node> = session.client.read(&path, &listing.at).await?;
        let info: Value = session.client.read("/info", &listing.at).await?;
        let own = info["Swarm"]["NodeID"].as_str().unwrap_or_default();
        nodes.sort_by(|a, b| human::natural(hostname(a), hostname(b)));
        let rows: Vec<_> = nodes.iter().map(|node| row(node, own)).collect();
        session.screen.list(&listing, &COLUMNS, &rows)
    }
}

fn row(node: &Node, own: &str) -> [Cell; COLUMNS.len()] {
    let id = node.id.as_deref().unwrap_or_default();
    let own = id == own;
    let state = node.status.as_ref().and_then(|status| status.state.as_ref());
    let state = state.map(|state| human::title(&state.to_string())).unwrap_or_default();
    let availability = node.spec.as_ref().and_then(|spec| spec.availability.as_ref());
    let availability = availability.map(|word| human::title(word.as_ref())).unwrap_or_default();
    let manager = node.manager_status.as_ref().map(manager_status).unwrap_or_default();
    let engine = node.description.as_ref().and_then(|about| about.engine.as_ref());
    let engine = engine.and_then(|engine| engine.engine_version.clone()).unwrap_or_default();
    let host = hostname(node).to_owned();
    let id = if own { Cell::from(id).marked(format!("{id} *")) } else { id.into() };
    let rest = [host, state, availability, manager, engine].map(Cell::from);
    let [host, state, availability, manager, engine] = rest;
    let labels = node.spec.iter().filter_map(|spec| spec.labels.as_ref()).flatten();
    // Certificates are renewed by themselves, and a root is never changed.
    let tls = "Ready";
    [id, host, state, availability, manager, engine, own.into(), tls.into(), Cell::labels(labels)]
}

fn manager_status(status: &ManagerStatus) -> String {
    if status.leader == Some(true) {
        return "Leader".to_owned();
    }
    match status.reachability {
        Some(Reachability::REACHABLE) => "Reachable".to_owned(),
        Some(Reachability::UNREACHABLE) => "Unreachable".to_owned(),
        Some(Reachability::UNKNOWN) | None => "Unknown".to_owned(),
    }
}
