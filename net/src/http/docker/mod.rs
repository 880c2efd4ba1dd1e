//! Docker's Engine API, a noun a file: its routes, and the conversions between Docker's models and ours.
//! Conversions destructure without `..`, so that the compiler lists what a new field has to become.

pub(crate) mod container;
pub(crate) mod exec;
pub(crate) mod image;
pub(crate) mod logs;
pub(crate) mod network;
pub(crate) mod node;
pub(crate) mod service;
pub(crate) mod spec;
pub(crate) mod swarm;
pub(crate) mod system;
pub(crate) mod task;
pub(crate) mod usage;
pub(crate) mod volume;

use std::collections::{BTreeMap, HashMap};

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use bollard_stubs::models::ObjectVersion;
use serde::Serialize;

use skein_events::record::Position;
use skein_events::refusal::Refusal;

use super::{App, json, ordered};

/// All routes of Docker's that are there.
pub(crate) fn routes() -> Router<App> {
    Router::new()
        .merge(system::routes())
        .merge(swarm::routes())
        .merge(node::routes())
        .merge(network::routes())
        .merge(service::routes())
        .merge(task::routes())
        .merge(image::routes())
        .merge(usage::routes())
        .merge(volume::routes())
        .merge(container::routes())
        .merge(exec::routes())
        .merge(logs::routes())
}

/// Docker's Version of an object.
fn version(position: Position) -> Option<ObjectVersion> {
    Some(ObjectVersion { index: Some(position.0) })
}

/// A number of ours as Docker's, which has a sign.
fn signed(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// A number of Docker's, which may not be negative.
fn unsigned(what: &str, n: Option<i64>) -> Result<u64, Refusal> {
    u64::try_from(n.unwrap_or(0))
        .map_err(|_| Refusal::Invalid(format!("invalid {what}: it must not be negative")))
}

/// A map of the user's, sorted by key.
fn sorted(map: Option<HashMap<String, String>>) -> Vec<(String, String)> {
    let sorted: BTreeMap<_, _> = map.unwrap_or_default().into_iter().collect();
    sorted.into_iter().collect()
}

/// Pairs as Docker's map.
fn map(pairs: &[(String, String)]) -> HashMap<String, String> {
    pairs.iter().cloned().collect()
}

/// A list or an object as JSON. The published schema writes `HealthCheck`, daemons and their clients `Healthcheck`; no
/// map of the user's has an object for a value, so nothing else is renamed.
fn spelled(status: StatusCode, value: &impl Serialize) -> Response {
    match ordered::to_string(value) {
        Ok(text) if text.contains(HEALTH) => {
            let text = text.replace(HEALTH, "\"Healthcheck\":{");
            (status, [(header::CONTENT_TYPE, "application/json")], text).into_response()
        }
        Ok(text) => (status, [(header::CONTENT_TYPE, "application/json")], text).into_response(),
        Err(_) => json(status, value),
    }
}

/// How the models write it.
const HEALTH: &str = "\"HealthCheck\":{";

/// Not there yet; says what to type instead.
fn unsupported(sentence: impl Into<String>) -> Refusal {
    Refusal::Unsupported(sentence.into())
}

/// The request id was used before, for something else.
fn other_request() -> Refusal {
    Refusal::Invalid("this Skein-Request-Id was used for another request: use a new one".to_owned())
}
