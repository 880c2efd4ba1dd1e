//! `/healthz`: the process lives and its threads answer. `/readyz`: the node can be sent requests.
//! Plain text, a check a line, so that a person with curl and a probe that reads only the status are both served.

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::App;

pub(crate) fn routes() -> Router<App> {
    Router::new().route("/healthz", get(healthz)).route("/readyz", get(readyz))
}

async fn healthz(State(app): State<App>) -> Response {
    let problem = app.backend.pulse().await.err().map(|failure| failure.to_string());
    told(&[("threads", problem)])
}

async fn readyz(State(app): State<App>) -> Response {
    let problem = app.backend.pulse().await.err().map(|failure| failure.to_string());
    let checks = app.backend.checks().into_iter().map(|check| (check.name, check.problem));
    told(&std::iter::once(("threads", problem)).chain(checks).collect::<Vec<_>>())
}

/// 200 when nothing is wrong, else 503.
fn told(checks: &[(&str, Option<String>)]) -> Response {
    let lines = checks.iter().map(|(name, problem)| match problem {
        None => format!("{name}: ok\n"),
        Some(problem) => format!("{name}: {problem}\n"),
    });
    let well = checks.iter().all(|(_, problem)| problem.is_none());
    let status = if well { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, lines.collect::<String>()).into_response()
}
