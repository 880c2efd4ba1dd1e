//! `GET /skein/v1/export?from=@A&to=@B`: a range of the log as an archive, to be kept elsewhere and checked there.

use axum::body::Body;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use skein_events::record::Position;

use crate::http::error::ApiError;
use crate::http::moment::{self, Present};
use crate::http::{App, Query};

#[derive(Debug, Deserialize)]
pub(super) struct ExportQuery {
    from: Option<String>,
    to: Option<String>,
}

pub(super) async fn export(
    State(app): State<App>,
    _: Present,
    Query(query): Query<ExportQuery>,
) -> Result<Response, ApiError> {
    let from = match query.from.as_deref().filter(|f| !f.is_empty()) {
        None => Position(1),
        Some(text) => moment::position(&app, text).await?,
    };
    let to = match query.to.as_deref().filter(|t| !t.is_empty()) {
        None => app.backend.head()?.borrow().position,
        Some(text) => moment::position(&app, text).await?,
    };
    let archive = app.backend.export(from, to).await?;
    let headers = [(header::CONTENT_TYPE, "application/octet-stream")];
    Ok((headers, Body::from_stream(archive)).into_response())
}
