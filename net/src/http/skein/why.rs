//! `GET /skein/v1/why/{object}`: from what is back to the command that led to it; and `/timeline/{object}`, the other
//! way: what happened, in its order. One file, because both answer with steps.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};

use skein_events::envelope::Who;

use crate::backend::{Why, WhyStep};
use crate::http::error::ApiError;
use crate::http::moment::{MaybeMoment, rfc3339};
use crate::http::{App, Path, Query, json};

use super::log::number;

#[derive(Serialize)]
struct WhyModel {
    object: String,
    name: Option<String>,
    chain: Vec<StepModel>,
}

#[derive(Serialize)]
struct StepModel {
    position: u64,
    time: String,
    text: String,
    who: Who,
    reason: Option<String>,
    details: Vec<String>,
}

pub(super) async fn why(
    State(app): State<App>,
    MaybeMoment(moment): MaybeMoment,
    Path(object): Path<String>,
) -> Result<Response, ApiError> {
    Ok(told(app.backend.why(object, moment).await?))
}

/// Steps of a timeline unless the client says how many.
const STEPS: usize = 1_000;
/// Each step is a read of the log: more would keep a thread for seconds.
const STEPS_MAX: usize = 10_000;

#[derive(Debug, Default, Deserialize)]
pub(super) struct TimelineQuery {
    limit: Option<String>,
}

pub(super) async fn timeline(
    State(app): State<App>,
    MaybeMoment(moment): MaybeMoment,
    Path(object): Path<String>,
    Query(query): Query<TimelineQuery>,
) -> Result<Response, ApiError> {
    let limit = match number(query.limit.as_deref())? {
        Some(limit) => usize::try_from(limit).unwrap_or(STEPS_MAX).min(STEPS_MAX),
        None => STEPS,
    };
    Ok(told(app.backend.timeline(object, moment, limit).await?))
}

fn told(why: Why) -> Response {
    let Why { object, name, chain } = why;
    let chain = chain
        .into_iter()
        .map(|WhyStep { position, time, text, who, reason, details }| StepModel {
            position: position.0,
            time: rfc3339(time),
            text,
            who,
            reason,
            details,
        })
        .collect();
    json(StatusCode::OK, &WhyModel { object, name, chain })
}
