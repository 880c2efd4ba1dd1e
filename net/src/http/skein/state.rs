//! `GET /skein/v1/state`: the whole state, now or as it was, with its digest.

use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use serde_json::Value;

use skein_events::view::whole;

use crate::http::error::ApiError;
use crate::http::json;
use crate::http::moment::{At, rfc3339};

#[derive(Serialize)]
struct StateModel {
    position: u64,
    time: String,
    digest: String,
    state: Value,
}

pub(super) async fn state(At(state): At) -> Result<Response, ApiError> {
    let digest = skein_events::state::State::clone(&state).digest();
    let (position, time) = (state.position.0, rfc3339(state.at));
    let (digest, state) = (digest.to_string(), whole::json(&state));
    Ok(json(StatusCode::OK, &StateModel { position, time, digest, state }))
}
