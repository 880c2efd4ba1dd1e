//! What Docker lacks: the log itself, asked and followed.

mod event;
mod log;
mod redact;
mod tail;
mod verify;
mod why;

use axum::Router;
use axum::routing::{get, post};

use super::App;

/// All routes under `/skein/v1`.
pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/log", get(log::log))
        .route("/tail", get(tail::tail))
        .route("/why/{*object}", get(why::why))
        .route("/verify", get(verify::verify))
        .route("/redact", post(redact::redact))
        .route("/requests/{id}", get(redact::request))
}
