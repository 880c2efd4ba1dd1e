//! `POST /skein/v1/redact` erases the detachable part of a record; `GET /skein/v1/requests/{id}` says what a request led to.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};

use skein_events::record::Position;
use skein_events::refusal::Refusal;
use skein_events::state::Outcome;

use crate::http::body::Json;
use crate::http::caller::{Caller, request_id};
use crate::http::error::ApiError;
use crate::http::moment::{At, rfc3339};
use crate::http::{App, Path, committed, json};

#[derive(Deserialize)]
pub(super) struct RedactRequest {
    position: u64,
}

#[derive(Serialize)]
struct Redacted {
    position: u64,
    by: u64,
}

pub(super) async fn redact(
    State(app): State<App>,
    Caller(caller): Caller,
    Json(request): Json<RedactRequest>,
) -> Result<Response, ApiError> {
    if caller.reason.is_none() {
        return Err(ApiError::invalid(
            "a redaction needs a reason: add -m REASON, or the header Skein-Reason",
        ));
    }
    let done = app.backend.redact(caller, Position(request.position)).await?;
    let body = Redacted { position: request.position, by: done.first.0 };
    Ok(committed(json(StatusCode::OK, &body), done.last))
}

#[derive(Serialize)]
struct RequestModel {
    request: String,
    first: u64,
    last: u64,
    time: String,
}

pub(super) async fn request(At(state): At, Path(text): Path<String>) -> Result<Response, ApiError> {
    let Some(Outcome { first, last, at }) = state.requests.get(&request_id(&text)) else {
        let name = text.chars().take(128).collect();
        return Err(Refusal::NotFound { noun: "request", name }.into());
    };
    let body = RequestModel { request: text, first: first.0, last: last.0, time: rfc3339(*at) };
    Ok(json(StatusCode::OK, &body))
}
