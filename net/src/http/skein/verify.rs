//! `GET /skein/v1/verify`: every record is checked.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use skein_events::record::Position;

use crate::backend::Verification;
use crate::http::error::ApiError;
use crate::http::moment::Present;
use crate::http::{App, json};

use super::tail::cursor_at;

/// What was found, and the head as a cursor: who notes it elsewhere can ask later whether the history still has it.
#[derive(serde::Serialize)]
struct Answer {
    #[serde(flatten)]
    found: Verification,
    cursor: Option<String>,
}

pub(super) async fn verify(State(app): State<App>, _: Present) -> Result<Response, ApiError> {
    let found = app.backend.verify().await?;
    let last = Position(found.records);
    let cursor = if found.ok { cursor_at(&*app.backend, last).await? } else { None };
    let cursor = cursor.map(|cursor| cursor.to_string());
    Ok(json(StatusCode::OK, &Answer { found, cursor }))
}
