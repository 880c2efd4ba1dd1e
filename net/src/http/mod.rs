//! The one API: Docker's Engine routes where Docker has them, `/skein/v1/…` for what it lacks.
//! Handlers translate and ask the `Backend`; nothing is decided here.

mod absent;
mod body;
mod caller;
mod docker;
mod error;
mod filters;
mod health;
mod metrics;
mod moment;
mod ordered;
mod rehearse;
mod rendered;
mod serve;
mod skein;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::Router;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;

use skein_events::record::Position;

use crate::backend::Backend;

use docker::exec::Sessions;
use error::ApiError;

pub use serve::{serve, serve_metrics};

/// The newest version of Docker's API that is spoken.
pub const API_VERSION: &str = "1.50";
/// The oldest.
pub const API_VERSION_MIN: &str = "1.24";

/// Where a change is in the log, for clients that want to wait for it or ask why.
const POSITION: HeaderName = HeaderName::from_static("skein-position");

/// What every handler has.
#[derive(Clone)]
pub(crate) struct App {
    backend: Arc<dyn Backend>,
    sessions: Arc<Sessions>,
    rendered: Arc<rendered::Rendered>,
    closing: CancellationToken,
}

impl App {
    fn new(backend: Arc<dyn Backend>) -> Self {
        Self {
            backend,
            sessions: Arc::default(),
            rendered: Arc::default(),
            closing: CancellationToken::new(),
        }
    }

    /// The same for dry runs.
    fn rehearsing(&self) -> Self {
        let backend = Arc::new(rehearse::Rehearsing(Arc::clone(&self.backend)));
        Self {
            backend,
            sessions: Arc::default(),
            rendered: Arc::default(),
            closing: self.closing.clone(),
        }
    }
}

/// All routes, without the version prefix.
fn router(app: App) -> Router {
    Router::new()
        .merge(docker::routes())
        .merge(probes())
        .nest("/skein/v1", skein::routes())
        .fallback(absent::answer)
        .method_not_allowed_fallback(absent::answer)
        .layer(axum::middleware::from_fn_with_state(app.clone(), rendered::lists))
        .with_state(app)
}

/// What watches over a daemon and changes nothing, on the socket and on the listener for metrics.
fn probes() -> Router<App> {
    health::routes().merge(metrics::routes())
}

/// A query string, refused in our own words when it is not one.
pub(crate) struct Query<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        match axum::extract::Query::from_request_parts(parts, state).await {
            Ok(axum::extract::Query(value)) => Ok(Self(value)),
            Err(error) => Err(ApiError::invalid(format!("invalid query: {error}"))),
        }
    }
}

/// A path parameter, refused in our own words when it is not text.
pub(crate) struct Path<T>(pub(crate) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        match axum::extract::Path::from_request_parts(parts, state).await {
            Ok(axum::extract::Path(value)) => Ok(Self(value)),
            Err(error) => Err(ApiError::invalid(format!("invalid path: {error}"))),
        }
    }
}

/// A value as JSON, its maps in order.
fn json(status: StatusCode, value: &impl Serialize) -> Response {
    match ordered::to_string(value) {
        Ok(bytes) => (status, [(header::CONTENT_TYPE, "application/json")], bytes).into_response(),
        Err(error) => ApiError::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            format!("cannot write the answer: {error}"),
        )
        .into_response(),
    }
}

/// The answer to an accepted change, with its position.
fn committed(mut response: Response, position: Position) -> Response {
    let value = HeaderValue::from_str(&position.to_string()).expect("a position is ASCII");
    response.headers_mut().insert(POSITION, value);
    response
}
