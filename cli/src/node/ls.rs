//! `skein node ls`: every member, the one asked marked with an asterisk.

use bollard_stubs::models::{ManagerStatus, Node, Reachability};
use serde_json::{Value, json};

use crate::args::Listing;
use crate::client::Query;
use crate::failure::Failure;
use crate::screen::{Row, human};
use crate::session::Session;

/// List the nodes of the swarm
#[derive(Debug, clap::Args)]
#[command(visible_alias = "list")]
pub(crate) struct Ls {
    #[command(flatten)]
    listing: Listing,
}

const HEADERS: [&str; 6] =
    ["ID", "HOSTNAME", "STATUS", "AVAILABILITY", "MANAGER STATUS", "ENGINE VERSION"];

impl Ls {
    pub(crate) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        let listing = self.listing;
        let path = format!("/nodes{}", Query::default().filtered(&listing.filter));
        let mut nodes: Vec<Node> = session.client.read(&path, &listing.at).await?;
        let own = if listing.quiet {
            String::new()
        } else {
            let info: Value = session.client.read("/info", &listing.at).await?;
            info["Swarm"]["NodeID"].as_str().unwrap_or_default().to_owned()
        };
        nodes.sort_by(|a, b| human::natural(hostname(a), hostname(b)));
        let rows: Vec<Row> = nodes.iter().map(|node| row(node, &own)).collect();
        session.screen.list(&listing, &HEADERS, &rows)
    }
}

fn hostname(node: &Node) -> &str {
    node.description.as_ref().and_then(|about| about.hostname.as_deref()).unwrap_or_default()
}

fn row(node: &Node, own: &str) -> Row {
    let id = node.id.clone().unwrap_or_default();
    let own = id == own;
    let state = node.status.as_ref().and_then(|status| status.state.as_ref());
    let state = state.map(|state| human::title(&state.to_string())).unwrap_or_default();
    let availability = node.spec.as_ref().and_then(|spec| spec.availability.as_ref());
    let availability = availability.map(|word| human::title(word.as_ref())).unwrap_or_default();
    let manager = node.manager_status.as_ref().map(manager_status).unwrap_or_default();
    let engine = node.description.as_ref().and_then(|about| about.engine.as_ref());
    let engine = engine.and_then(|engine| engine.engine_version.clone()).unwrap_or_default();
    let host = hostname(node).to_owned();
    let json = json!({
        "Availability": availability, "EngineVersion": engine, "Hostname": host, "ID": id,
        "ManagerStatus": manager, "Self": own, "Status": state,
    });
    let marked = if own { format!("{id} *") } else { id.clone() };
    Row { id, cells: vec![marked, host, state, availability, manager, engine], json }
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
