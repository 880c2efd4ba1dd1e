//! `GET /skein/v1/why/{object}`: from what is back to the command that led to it.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;

use skein_events::envelope::Who;

use crate::backend::{Why, WhyStep};
use crate::http::error::ApiError;
use crate::http::moment::{MaybeMoment, rfc3339};
use crate::http::{App, Path, json};

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
    let Why { object, name, chain } = app.backend.why(object, moment).await?;
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
    Ok(json(StatusCode::OK, &WhyModel { object, name, chain }))
}
