//! `GET /skein/v1/verify`: every record is checked.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use crate::http::error::ApiError;
use crate::http::moment::Present;
use crate::http::{App, json};

pub(super) async fn verify(State(app): State<App>, _: Present) -> Result<Response, ApiError> {
    Ok(json(StatusCode::OK, &app.backend.verify().await?))
}
