//! Connections: accepts them, asks the kernel who is there, takes the version off the path, stamps the answers.
//! Separate from the routes because it deals in sockets and bytes, they in nouns.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, Request, Response, StatusCode, Uri, header, uri::PathAndQuery};
use axum::response::IntoResponse;
use hyper::body::Incoming;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::backend::Backend;
use crate::measures::MEASURES;

use super::caller::Names;
use super::error::ApiError;
use super::{API_VERSION, API_VERSION_MIN, App, rehearse, router};

/// How long nothing is accepted when the system has no descriptor left.
const PAUSE: Duration = Duration::from_millis(200);
/// Connections at once: each costs a descriptor and some kilobytes.
const CONNECTIONS_MAX: usize = 4096;
/// Request heads larger than this are no requests.
const HEAD_MAX: usize = 256 << 10;
/// A connection on which no request begins for so long is closed.
const IDLE_TIMEOUT: Duration = Duration::from_secs(300);
/// What is under way at shutdown may take so long to end.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// Serves the API on a socket until `shutdown` resolves; then ends tails, and gives requests a moment to finish.
pub async fn serve(
    listener: UnixListener,
    backend: Arc<dyn Backend>,
    shutdown: impl Future<Output = ()> + Send,
) {
    let app = App::new(backend);
    let closing = app.closing.clone();
    let server = Arc::new(Server {
        rehearsals: TowerToHyperService::new(router(app.rehearsing())),
        routes: TowerToHyperService::new(router(app)),
        names: Names::default(),
        closing: closing.clone(),
    });
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    let mut short = false;
    tokio::pin!(shutdown);
    loop {
        // A slot before a connection: those beyond the limit wait in the kernel's backlog.
        let accepted = async {
            let slot = Arc::clone(&slots).acquire_owned().await.expect("never closed");
            (slot, listener.accept().await)
        };
        tokio::select! {
            () = &mut shutdown => break,
            (slot, accepted) = accepted => match accepted {
                Ok((stream, _)) => {
                    short = false;
                    let server = Arc::clone(&server);
                    connections.spawn(async move {
                        server.connection(stream).await;
                        drop(slot);
                    });
                }
                Err(error) => {
                    // Out of descriptors, most likely: others give theirs back meanwhile. Said once until it is over.
                    if !std::mem::replace(&mut short, true) {
                        tracing::warn!(%error, "cannot accept connections");
                    }
                    sleep_until(Instant::now() + PAUSE).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
    closing.cancel();
    let drained = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(DRAIN_TIMEOUT, drained).await.is_err() {
        tracing::warn!("some requests did not end in time and are cut off");
        connections.shutdown().await;
    }
}

/// Connections to the metrics at once: a few scrapers and probes.
const METRICS_CONNECTIONS_MAX: usize = 32;
/// A scraper that has not sent its request by then is not one.
const METRICS_TIMEOUT: Duration = Duration::from_secs(10);

/// Serves metrics and probes over TCP, to anybody who reaches the listener, until `shutdown` resolves.
pub async fn serve_metrics(
    listener: TcpListener,
    backend: Arc<dyn Backend>,
    shutdown: CancellationToken,
) {
    let routes = super::probes().fallback(super::absent::answer).with_state(App::new(backend));
    let routes = TowerToHyperService::new(routes);
    let slots = Arc::new(Semaphore::new(METRICS_CONNECTIONS_MAX));
    loop {
        let slot = Arc::clone(&slots).acquire_owned().await.expect("never closed");
        let accepted = tokio::select! {
            () = shutdown.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else {
            sleep_until(Instant::now() + PAUSE).await;
            continue;
        };
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(METRICS_TIMEOUT)
            .serve_connection(TokioIo::new(stream), routes.clone());
        let shutdown = shutdown.clone();
        tokio::spawn(async move {
            tokio::select! {
                // A scraper that went away needs no answer.
                _ = connection => {}
                () = shutdown.cancelled() => {}
            }
            drop(slot);
        });
    }
}

struct Server {
    routes: TowerToHyperService<axum::Router>,
    rehearsals: TowerToHyperService<axum::Router>,
    names: Names,
    closing: CancellationToken,
}

impl Server {
    async fn connection(&self, stream: UnixStream) {
        let peer = match self.names.peer(&stream).await {
            Ok(peer) => peer,
            Err(error) => {
                tracing::warn!(%error, "a client without credentials is turned away");
                return;
            }
        };
        let service = service_fn(|mut request: Request<Incoming>| {
            request.extensions_mut().insert(peer.clone());
            self.answer(request)
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(IDLE_TIMEOUT)
            .max_buf_size(HEAD_MAX)
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        tokio::pin!(connection);
        let ended = tokio::select! {
            ended = &mut connection => ended,
            () = self.closing.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "a connection ended early");
        }
    }

    async fn answer(&self, mut request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
        let (began, method) = (Instant::now(), request.method().clone());
        let dry = rehearse::is_wanted(request.headers());
        let routes = if dry { &self.rehearsals } else { &self.routes };
        let mut response = match without_version(request.uri()) {
            Ok(None) => routes.call(request).await?,
            Ok(Some(uri)) => {
                *request.uri_mut() = uri;
                routes.call(request).await?
            }
            Err(error) => error.into_response(),
        };
        MEASURES.request(method.as_str(), response.status().as_u16(), began.elapsed());
        let headers = response.headers_mut();
        headers.insert("api-version", HeaderValue::from_static(API_VERSION));
        headers.insert("ostype", HeaderValue::from_static("linux"));
        headers.insert("docker-experimental", HeaderValue::from_static("false"));
        headers.insert(
            header::SERVER,
            HeaderValue::from_static(concat!("Skein/", env!("CARGO_PKG_VERSION"), " (linux)")),
        );
        Ok(response)
    }
}

/// The address without `/v1.47`, or `None` when there was no version in it.
fn without_version(uri: &Uri) -> Result<Option<Uri>, ApiError> {
    let Some(rest) = uri.path().strip_prefix("/v") else { return Ok(None) };
    let (version, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let Some(asked) = numbers(version) else { return Ok(None) };
    let (newest, oldest) = (numbers(API_VERSION), numbers(API_VERSION_MIN));
    let refused = |message| Err(ApiError::new(StatusCode::BAD_REQUEST, "api_version", message));
    if newest.is_some_and(|newest| asked > newest) {
        return refused(format!(
            "client version {version} is too new. Maximum supported API version is {API_VERSION}"
        ));
    }
    if oldest.is_some_and(|oldest| asked < oldest) {
        return refused(format!(
            "client version {version} is too old. Minimum supported API version is {API_VERSION_MIN}, \
             please upgrade your client to a newer version"
        ));
    }
    let path = match (path, uri.query()) {
        ("", None) => PathAndQuery::from_static("/"),
        (path, None) => path.parse().map_err(|_| ApiError::no_such_page())?,
        (path, Some(query)) => {
            format!("{path}?{query}").parse().map_err(|_| ApiError::no_such_page())?
        }
    };
    Ok(Some(Uri::from(path)))
}

/// `1.47` as numbers.
fn numbers(version: &str) -> Option<(u32, u32)> {
    let (major, minor) = version.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(uri: &str) -> Result<Option<String>, StatusCode> {
        without_version(&uri.parse().unwrap())
            .map(|u| u.map(|u| u.to_string()))
            .map_err(|e| e.status())
    }

    #[test]
    fn the_version_comes_off_the_path() {
        assert_eq!(path("/v1.41/services?status=true"), Ok(Some("/services?status=true".into())));
        assert_eq!(path("/v1.50/_ping"), Ok(Some("/_ping".into())));
        assert_eq!(path("/services"), Ok(None));
        assert_eq!(path("/volumes"), Ok(None));
        assert_eq!(path("/v1.60/version"), Err(StatusCode::BAD_REQUEST));
        assert_eq!(path("/v1.11/version"), Err(StatusCode::BAD_REQUEST));
        assert_eq!(path("/v1.50"), Ok(Some("/".into())));
    }
}
