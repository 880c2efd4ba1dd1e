//! Nodes as Docker shows them.

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use bollard_stubs::models;

use skein_events::command::Command;
use skein_events::node::{Availability, Description, Node, NodeState, Role};
use skein_events::record::Position;
use skein_events::state;
use skein_events::view::summary;

use crate::http::body::Json;
use crate::http::caller::Caller;
use crate::http::error::ApiError;
use crate::http::filters::ListQuery;
use crate::http::moment::{At, rfc3339};
use crate::http::{App, Path, Query, committed, json, rehearse};

use super::{signed, sorted, unsupported, version};

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/nodes", get(list))
        .route("/nodes/{id}", get(inspect))
        .route("/nodes/{id}/update", post(update))
}

async fn list(
    State(app): State<App>,
    At(state): At,
    Query(query): Query<ListQuery>,
) -> Result<Response, ApiError> {
    let known = ["engine.label", "id", "label", "membership", "name", "node.label", "role"];
    let filters = query.filters(&known)?;
    filters.one_of("role", &["worker", "manager"])?;
    filters.one_of("membership", &["accepted", "pending"])?;
    let names = filters.patterns("name")?;
    let local = app.backend.local().node;
    let nodes: Vec<models::Node> = state
        .nodes
        .values()
        .filter(|n| {
            filters.id(n.id)
                && names.fit(&n.description.hostname)
                && filters.exact("role", role(n.role).as_ref())
                && filters.exact("membership", "accepted")
                // A daemon here has no labels of its own.
                && filters.labels(&[])
                && filters.all_labels("engine.label", &[])
                && filters.all_labels("node.label", &n.labels)
        })
        .map(|n| model(&state, n, Some(n.id) == local))
        .collect();
    Ok(json(StatusCode::OK, &nodes))
}

async fn inspect(
    State(app): State<App>,
    At(state): At,
    Path(name): Path<String>,
) -> Result<Response, ApiError> {
    let id = summary::node(&state, &name)?;
    let node = state.nodes.get(&id).expect("a name found means an object");
    let here = app.backend.local().node == Some(id);
    Ok(json(StatusCode::OK, &model(&state, node, here)))
}

#[derive(Debug, Default, serde::Deserialize)]
struct UpdateQuery {
    version: Option<String>,
}

async fn update(
    State(app): State<App>,
    Caller(caller): Caller,
    Path(name): Path<String>,
    Query(query): Query<UpdateQuery>,
    headers: HeaderMap,
    Json(spec): Json<models::NodeSpec>,
) -> Result<Response, ApiError> {
    let version = query.version.as_deref().unwrap_or("").parse().map_err(|_| {
        let shown: String = query.version.unwrap_or_default().chars().take(64).collect();
        ApiError::invalid(format!("invalid node version '{shown}': a number is needed"))
    })?;
    let state = app.backend.state()?;
    let node = state.nodes.get(&summary::node(&state, &name)?).expect("a name found is an object");
    let models::NodeSpec { name: alias, labels, role: wanted, availability } = spec;
    if alias.is_some_and(|alias| !alias.is_empty()) {
        return Err(unsupported("nodes are named by their hosts: leave out the name").into());
    }
    if wanted.is_some_and(|wanted| wanted != role(node.role)) {
        return Err(
            unsupported("roles of nodes cannot be changed yet: leave the role as it is").into()
        );
    }
    let availability = match availability {
        None => node.availability,
        Some(models::NodeSpecAvailabilityEnum::ACTIVE) => Availability::Active,
        Some(models::NodeSpecAvailabilityEnum::PAUSE) => Availability::Pause,
        Some(models::NodeSpecAvailabilityEnum::DRAIN) => Availability::Drain,
        Some(models::NodeSpecAvailabilityEnum::EMPTY) => {
            return Err(ApiError::invalid("invalid Availability: it is active, pause or drain"));
        }
    };
    let labels = sorted(labels);
    let same = availability == node.availability && labels == node.labels;
    if same && Position(version) == node.changed && !rehearse::is_wanted(&headers) {
        // Nothing happens, and so nothing is written down.
        return Ok(committed(StatusCode::OK.into_response(), node.changed));
    }
    let if_changed = Some(Position(version));
    let command = Command::UpdateNode { id: node.id, availability, labels, if_changed };
    let done = app.backend.submit(caller, command).await?;
    Ok(committed(StatusCode::OK.into_response(), done.last))
}

fn role(role: Role) -> models::NodeSpecRoleEnum {
    match role {
        Role::Worker => models::NodeSpecRoleEnum::WORKER,
        Role::Manager => models::NodeSpecRoleEnum::MANAGER,
    }
}

/// A node as Docker shows it; the node that answers is the one that leads.
fn model(state: &state::State, node: &Node, leads: bool) -> models::Node {
    let Node {
        id,
        number: _,
        role: is,
        availability,
        labels,
        changed,
        address,
        port,
        description,
        state: condition,
        state_since: _,
        state_at: _,
        fenced: _,
        created,
        updated,
        last: _,
    } = node;
    let Description { hostname, os, architecture, cpus, memory, engine } = description;
    let manager_status = (*is == Role::Manager).then(|| models::ManagerStatus {
        leader: leads.then_some(true),
        reachability: Some(match condition {
            NodeState::Ready => models::Reachability::REACHABLE,
            NodeState::Down => models::Reachability::UNREACHABLE,
            NodeState::Unknown => models::Reachability::UNKNOWN,
        }),
        addr: Some(format!("{address}:{port}")),
    });
    models::Node {
        id: Some(id.to_string()),
        version: version(*changed),
        created_at: Some(rfc3339(*created)),
        updated_at: Some(rfc3339(*updated)),
        spec: Some(models::NodeSpec {
            name: None,
            labels: Some(labels.iter().cloned().collect()),
            role: Some(role(*is)),
            availability: Some(match availability {
                Availability::Active => models::NodeSpecAvailabilityEnum::ACTIVE,
                Availability::Pause => models::NodeSpecAvailabilityEnum::PAUSE,
                Availability::Drain => models::NodeSpecAvailabilityEnum::DRAIN,
            }),
        }),
        description: Some(models::NodeDescription {
            hostname: Some(hostname.clone()),
            platform: Some(models::Platform {
                architecture: Some(architecture.clone()),
                os: Some(os.clone()),
            }),
            resources: Some(models::ResourceObject {
                nano_cpus: Some(signed(cpus.0)),
                memory_bytes: Some(signed(memory.0)),
                generic_resources: None,
            }),
            engine: Some(models::EngineDescription {
                engine_version: Some(engine.clone()),
                labels: None,
                plugins: Some(vec![models::EngineDescriptionPlugins {
                    typ: Some("Network".to_owned()),
                    name: Some("overlay".to_owned()),
                }]),
            }),
            tls_info: state.cluster.as_ref().map(|c| super::swarm::tls(c)),
        }),
        status: Some(models::NodeStatus {
            state: Some(match condition {
                NodeState::Ready => models::NodeState::READY,
                NodeState::Down => models::NodeState::DOWN,
                NodeState::Unknown => models::NodeState::UNKNOWN,
            }),
            message: None,
            addr: Some(address.to_string()),
        }),
        manager_status,
    }
}
