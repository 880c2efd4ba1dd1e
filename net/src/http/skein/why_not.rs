//! `GET /skein/v1/why-not/{node}`: why the tasks of a service, or of every service, are not on a node.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};

use skein_events::id::{NodeId, ObjectId};
use skein_events::state;
use skein_events::view::absence::{self, Absence};
use skein_events::view::summary;

use crate::http::error::ApiError;
use crate::http::moment::At;
use crate::http::{App, Path, Query, json};

#[derive(Debug, Deserialize)]
pub(super) struct WhyNotQuery {
    /// A service or one of its tasks; all services if it is left out.
    object: Option<String>,
}

#[derive(Serialize)]
struct WhyNotModel {
    position: u64,
    node: NodeId,
    name: String,
    services: Vec<Absence>,
}

pub(super) async fn why_not(
    State(_): State<App>,
    At(state): At,
    Path(node): Path<String>,
    Query(query): Query<WhyNotQuery>,
) -> Result<Response, ApiError> {
    let node = &state.nodes[&summary::node(&state, node.strip_prefix("node/").unwrap_or(&node))?];
    let services = match query.object.as_deref().filter(|o| !o.is_empty()) {
        None => state.services.values().map(|s| absence::why_not(&state, s, node)).collect(),
        Some(text) => vec![of(&state, text, node)?],
    };
    let (position, name) = (state.position.0, node.description.hostname.clone());
    Ok(json(StatusCode::OK, &WhyNotModel { position, node: node.id, name, services }))
}

fn of(
    state: &state::State,
    text: &str,
    node: &skein_events::node::Node,
) -> Result<Absence, ApiError> {
    let (service, task) = match summary::object(state, text)? {
        ObjectId::Service(id) => (id, None),
        ObjectId::Task(id) => (state.tasks[&id].service, Some(id)),
        other @ (ObjectId::Cluster(_) | ObjectId::Network(_) | ObjectId::Node(_)) => {
            let noun = other.noun();
            let text = format!("a {noun} is not placed on nodes: name a service or a task");
            return Err(ApiError::invalid(text));
        }
    };
    let Some(found) = state.services.get(&service) else {
        return Err(ApiError::invalid(format!("the service of {text} is removed")));
    };
    let mut absence = absence::why_not(state, found, node);
    if let Some(task) = task.and_then(|id| state.tasks.get(&id)) {
        let name = state.task_name(task);
        let place = task.node.and_then(|id| state.nodes.get(&id));
        if let Some(host) = place.map(|n| &n.description.hostname) {
            let line = format!("task {name} is on node {host}: skein why {name} tells the choice");
            absence.lines.insert(0, line);
        }
    }
    Ok(absence)
}
