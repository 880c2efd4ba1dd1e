//! What Docker lacks: the log itself, asked and followed.

mod diff;
mod event;
pub(in crate::http) mod log;
mod redact;
mod tail;
mod verify;
mod why;
mod why_not;

use axum::Router;
use axum::routing::{get, post};

use super::App;

/// All routes under `/skein/v1`.
pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/log", get(log::log))
        .route("/tail", get(tail::tail))
        .route("/why/{*object}", get(why::why))
        .route("/why-not/{node}", get(why_not::why_not))
        .route("/timeline/{*object}", get(why::timeline))
        .route("/diff", get(diff::diff))
        .route("/verify", get(verify::verify))
        .route("/redact", post(redact::redact))
        .route("/requests/{id}", get(redact::request))
}
