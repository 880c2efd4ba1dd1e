//! `GET /skein/v1/diff?from=@A&to=@B`: what differs between two moments, of one object or of all.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};

use skein_events::view::diff::{self, Difference};
use skein_events::view::summary;

use crate::http::error::ApiError;
use crate::http::moment::{self, Present};
use crate::http::{App, Query, json};

#[derive(Debug, Deserialize)]
pub(super) struct DiffQuery {
    from: Option<String>,
    to: Option<String>,
    object: Option<String>,
}

#[derive(Serialize)]
struct DiffModel {
    from: u64,
    to: u64,
    differences: Vec<Difference>,
}

pub(super) async fn diff(
    State(app): State<App>,
    _: Present,
    Query(query): Query<DiffQuery>,
) -> Result<Response, ApiError> {
    let Some(from) = query.from.as_deref().filter(|f| !f.is_empty()) else {
        return Err(ApiError::invalid("a difference needs a moment to begin with: from=@8000"));
    };
    let before = app.backend.at(moment::parse(from)?).await?;
    let after = match query.to.as_deref().filter(|t| !t.is_empty()) {
        Some(to) => app.backend.at(moment::parse(to)?).await?,
        None => app.backend.state()?,
    };
    let differences = match query.object.as_deref().filter(|o| !o.is_empty()) {
        None => diff::diff(&before, &after),
        Some(text) => {
            let object =
                summary::object(&after, text).or_else(|_| summary::object(&before, text))?;
            diff::of_object(&before, &after, object).into_iter().collect()
        }
    };
    let (from, to) = (before.position.0, after.position.0);
    Ok(json(StatusCode::OK, &DiffModel { from, to, differences }))
}
