//! A server on a socket of its own, and a client that speaks plain HTTP/1.1 to it.

use std::path::PathBuf;
use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::fake::Fake;

/// A server that ends with this value.
pub(super) struct Server {
    dir: tempfile::TempDir,
    pub(super) fake: Arc<Fake>,
    stop: Option<oneshot::Sender<()>>,
    running: Option<JoinHandle<()>>,
}

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Answer {
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    pub(super) fn lines(&self) -> Vec<Value> {
        self.text().lines().map(|l| serde_json::from_str(l).unwrap()).collect()
    }

    /// The message of an error of this status.
    pub(super) fn refused(&self, status: u16) -> String {
        assert_eq!(self.status.as_u16(), status, "{}", self.text());
        self.json()["message"].as_str().unwrap().to_owned()
    }

    /// The body of a success of this status.
    pub(super) fn done(&self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.text());
        if self.body.is_empty() { Value::Null } else { self.json() }
    }
}

impl Server {
    pub(super) fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(dir.path().join("s")).unwrap();
        let fake = Fake::new();
        let (stop, stopped) = oneshot::channel::<()>();
        let backend = Arc::clone(&fake);
        let running = tokio::spawn(async move {
            crate::http::serve(listener, backend, async { _ = stopped.await }).await;
        });
        Self { dir, fake, stop: Some(stop), running: Some(running) }
    }

    /// A server with a swarm, a network `demo` and a service `web` with two tasks on it.
    pub(super) async fn with_story() -> Self {
        let server = Self::start();
        server.post("/v1.50/swarm/init", super::docker::INIT).await.done(200);
        server.post("/v1.50/networks/create", super::docker::NETWORK).await.done(201);
        server.post("/v1.50/services/create", super::docker::SERVICE).await.done(201);
        server
    }

    pub(super) fn path(&self) -> PathBuf {
        self.dir.path().join("s")
    }

    /// Ends the server and waits until nothing of it is left.
    pub(super) async fn stop(mut self) {
        _ = self.stop.take().unwrap().send(());
        self.running.take().unwrap().await.unwrap();
    }

    pub(super) async fn get(&self, path: &str) -> Answer {
        self.ask(Method::GET, path, &[], Body::empty()).await
    }

    pub(super) async fn delete(&self, path: &str) -> Answer {
        self.ask(Method::DELETE, path, &[], Body::empty()).await
    }

    pub(super) async fn post(&self, path: &str, body: &str) -> Answer {
        self.ask(Method::POST, path, &[], Body::from(body.to_owned())).await
    }

    pub(super) async fn ask(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Body,
    ) -> Answer {
        let response = self.send(method, path, headers, body).await;
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes().to_vec();
        Answer { status: parts.status, headers: parts.headers, body }
    }

    /// An answer whose body is still to be read.
    pub(super) async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Body,
    ) -> hyper::Response<hyper::body::Incoming> {
        let stream = UnixStream::connect(self.path()).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection.with_upgrades());
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "docker")
            .header("user-agent", "Docker-Client/28.2.2 (linux)");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        sender.send_request(request.body(body).unwrap()).await.unwrap()
    }
}
