//! What Docker lacks: the log itself, asked and followed.

mod consumer;
mod diff;
mod event;
mod export;
pub(in crate::http) mod log;
mod redact;
mod state;
mod tail;
mod verify;
mod why;
mod why_not;

use axum::Router;
use axum::routing::{delete, get, post};

use super::App;

pub(in crate::http) use consumer::lag;

/// All routes under `/skein/v1`.
pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/log", get(log::log))
        .route("/tail", get(tail::tail))
        .route("/why/{*object}", get(why::why))
        .route("/why-not/{node}", get(why_not::why_not))
        .route("/timeline/{*object}", get(why::timeline))
        .route("/state", get(state::state))
        .route("/diff", get(diff::diff))
        .route("/verify", get(verify::verify))
        .route("/consumers", get(consumer::list).post(consumer::create))
        .route("/consumers/{name}", delete(consumer::remove))
        .route("/consumers/{name}/ack", post(consumer::ack))
        .route("/consumers/{name}/seek", post(consumer::seek))
        .route("/export", get(export::export))
        .route("/redact", post(redact::redact))
        .route("/requests/{id}", get(redact::request))
}
