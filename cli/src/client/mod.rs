//! The HTTP client: one connection per request, over the daemon's unix socket.
//! It knows headers, statuses and the shape of errors; what is asked and shown is the commands' matter.

mod query;
mod stream;

use std::io;
use std::path::Path;

use bytes::Bytes;
use futures::TryStreamExt as _;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Empty, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::{Method, Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use skein_events::id::RequestId;
use tokio::net::UnixStream;
use tokio_util::io::StreamReader;

pub(crate) use query::{Query, encode};
pub(crate) use stream::{Frames, Hijacked, Lines, Stream};

use crate::args::{At, Because, Host};
use crate::failure::Failure;

/// The Engine API version spoken on Docker's routes: the oldest that has everything used here, so every dockerd
/// since 20.10 answers it too.
pub(crate) const API: &str = "/v1.41";
/// How the daemon's log names this program.
const AGENT: &str = concat!("skein/", env!("CARGO_PKG_VERSION"));

/// A request's body: nothing, JSON, or a file as it is read.
pub(crate) type Body = UnsyncBoxBody<Bytes, io::Error>;

/// A body of nothing.
pub(crate) fn nothing() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// A body of JSON.
pub(crate) fn json(value: &impl Serialize) -> Body {
    let text = serde_json::to_vec(value).expect("request models have string keys");
    Full::new(Bytes::from(text)).map_err(|never| match never {}).boxed_unsync()
}

/// The daemon, as seen from a command.
#[derive(Debug)]
pub(crate) struct Client {
    host: Host,
}

/// What makes a request more than its method and path.
struct Call<'a> {
    at: Option<&'a At>,
    because: Option<&'a Because>,
    /// Who asks a registry, as `X-Registry-Auth` has it.
    auth: Option<&'a str>,
    kind: &'static str,
    body: Body,
}

impl Call<'_> {
    /// One that changes no history.
    fn of(body: &impl Serialize) -> Self {
        let body = json(body);
        Self { at: None, because: None, auth: None, kind: "application/json", body }
    }
}

impl Client {
    /// A client of the daemon at `host`; connects at each request.
    pub(crate) fn new(host: Host) -> Self {
        Self { host }
    }

    /// Where the daemon is.
    pub(crate) fn host(&self) -> &Host {
        &self.host
    }

    /// Reads JSON as of now or as of `at`.
    pub(crate) async fn read<T: DeserializeOwned>(
        &self,
        path: &str,
        at: &At,
    ) -> Result<T, Failure> {
        let call = Call { at: Some(at), because: None, auth: None, kind: "", body: nothing() };
        decode(path, self.send(Method::GET, path, call).await?).await
    }

    /// Reads JSON that a registry is asked for.
    pub(crate) async fn read_as<T: DeserializeOwned>(
        &self,
        path: &str,
        auth: Option<&str>,
    ) -> Result<T, Failure> {
        let call = Call { at: None, because: None, auth, kind: "", body: nothing() };
        decode(path, self.send(Method::GET, path, call).await?).await
    }

    /// Reads a line at a time, as of now or as of `at`.
    pub(crate) async fn lines(&self, path: &str, at: &At) -> Result<Lines, Failure> {
        let call = Call { at: Some(at), because: None, auth: None, kind: "", body: nothing() };
        Ok(Lines::new(self.send(Method::GET, path, call).await?.into_body()))
    }

    /// Reads a body as it comes.
    pub(crate) async fn bytes(
        &self,
        path: &str,
    ) -> Result<impl tokio::io::AsyncRead + Unpin + use<>, Failure> {
        let call = Call { at: None, because: None, auth: None, kind: "", body: nothing() };
        let body = self.send(Method::GET, path, call).await?.into_body().into_data_stream();
        Ok(StreamReader::new(body.map_err(io::Error::other)))
    }

    /// Changes something and reads the answer.
    pub(crate) async fn change<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Body,
        because: &Because,
    ) -> Result<T, Failure> {
        let call =
            Call { at: None, because: Some(because), auth: None, kind: "application/json", body };
        decode(path, self.send(method, path, call).await?).await
    }

    /// Changes something whose answer is only that it happened.
    pub(crate) async fn order(
        &self,
        method: Method,
        path: &str,
        body: Body,
        because: &Because,
    ) -> Result<(), Failure> {
        let call =
            Call { at: None, because: Some(because), auth: None, kind: "application/json", body };
        drop(self.send(method, path, call).await?);
        Ok(())
    }

    /// Sends a file and reads the answer a line at a time.
    pub(crate) async fn upload(
        &self,
        path: &str,
        kind: &'static str,
        body: Body,
        because: &Because,
    ) -> Result<Lines, Failure> {
        let call = Call { at: None, because: Some(because), auth: None, kind, body };
        Ok(Lines::new(self.send(Method::POST, path, call).await?.into_body()))
    }

    /// Has an image pulled and reads how it goes on, a line at a time.
    pub(crate) async fn pull(
        &self,
        path: &str,
        auth: Option<&str>,
        because: &Because,
    ) -> Result<Lines, Failure> {
        let call = Call { at: None, because: Some(because), auth, kind: "", body: nothing() };
        Ok(Lines::new(self.send(Method::POST, path, call).await?.into_body()))
    }

    /// Posts something that changes no history (an exec) and reads the answer.
    pub(crate) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, Failure> {
        let call = Call::of(body);
        decode(path, self.send(Method::POST, path, call).await?).await
    }

    /// Posts and takes the connection over, as `exec` and `attach` do.
    pub(crate) async fn hijack(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<Hijacked, Failure> {
        let call = Call::of(body);
        let mut request = self.request(Method::POST, path, call);
        request
            .headers_mut()
            .insert(header::CONNECTION, header::HeaderValue::from_static("Upgrade"));
        request.headers_mut().insert(header::UPGRADE, header::HeaderValue::from_static("tcp"));
        let response = accepted(self.exchange(request).await.map_err(Unanswered::plain)?).await?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            let reason = format!("status {} instead of a stream", response.status());
            return Err(Failure::Strange { request: path.to_owned(), reason });
        }
        Ok(Hijacked::new(hyper::upgrade::on(response).await.map_err(Failure::Cut)?))
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        call: Call<'_>,
    ) -> Result<Response<Incoming>, Failure> {
        let changes = call.because.is_some();
        let request = self.request(method, path, call);
        let sent = self.exchange(request).await;
        accepted(sent.map_err(if changes { Unanswered::unknown } else { Unanswered::plain })?).await
    }

    fn request(&self, method: Method, path: &str, call: Call<'_>) -> Request<Body> {
        let version = if path.starts_with("/skein/") { "" } else { API };
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{version}{path}"))
            .header(header::HOST, "skein")
            .header(header::USER_AGENT, AGENT);
        if !call.kind.is_empty() {
            request = request.header(header::CONTENT_TYPE, call.kind);
        }
        if let Some(auth) = call.auth {
            request = request.header("X-Registry-Auth", auth);
        }
        if let Some(at) = call.at.and_then(|at| at.at.as_ref()) {
            request = request.header("Skein-At", at.to_string());
        }
        if let Some(because) = call.because {
            request = request.header("Skein-Request-Id", request_id().to_string());
            if let Some(reason) = &because.reason.message {
                request = request.header("Skein-Reason", reason.as_bytes());
            }
            if because.condition.dry_run {
                request = request.header("Skein-Dry-Run", "1");
            }
            if let Some(position) = because.condition.if_at {
                request = request.header("Skein-If-At", format!("@{position}"));
            }
        }
        request.body(call.body).expect("paths are encoded and header values are visible")
    }

    /// Connects, sends, and hands the connection to a spawn that lives as long as the answer.
    async fn exchange(&self, request: Request<Body>) -> Result<Response<Incoming>, Unanswered> {
        let stream = connect(self.host.socket())
            .await
            .map_err(|source| Unanswered::Unsent(self.unreachable(source)))?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(Unanswered::Cut)?;
        tokio::spawn(connection.with_upgrades());
        sender.send_request(request).await.map_err(Unanswered::Cut)
    }

    fn unreachable(&self, source: io::Error) -> Failure {
        let host = self.host.to_string();
        match source.kind() {
            io::ErrorKind::PermissionDenied => Failure::Forbidden { host },
            _ => Failure::Unreachable { host, source },
        }
    }
}

async fn connect(socket: &Path) -> io::Result<UnixStream> {
    UnixStream::connect(socket).await
}

/// Why there is no answer: nothing was sent, or the connection ended after the request was on its way.
enum Unanswered {
    Unsent(Failure),
    Cut(hyper::Error),
}

impl Unanswered {
    fn plain(self) -> Failure {
        match self {
            Self::Unsent(failure) => failure,
            Self::Cut(error) => Failure::Cut(error),
        }
    }
    fn unknown(self) -> Failure {
        match self {
            Self::Unsent(failure) => failure,
            Self::Cut(error) => Failure::Unknown(error),
        }
    }
}

/// A fresh name for one request, so that the daemon can tell a repetition from a second wish.
fn request_id() -> RequestId {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).expect("the kernel has randomness");
    RequestId::from_random(bytes)
}

/// The error object of both APIs.
#[derive(serde::Deserialize)]
struct ErrorBody {
    message: String,
    #[serde(default)]
    hint: Option<String>,
    #[serde(default)]
    code: Option<String>,
}

/// Turns an error status into the refusal its body describes.
async fn accepted(response: Response<Incoming>) -> Result<Response<Incoming>, Failure> {
    let status = response.status();
    if !(status.is_client_error() || status.is_server_error()) {
        return Ok(response);
    }
    let body = response.into_body().collect().await.map_err(Failure::Cut)?.to_bytes();
    let error = serde_json::from_slice::<ErrorBody>(&body).unwrap_or_else(|_| ErrorBody {
        message: format!("{status}: {}", String::from_utf8_lossy(&body).trim()),
        hint: None,
        code: None,
    });
    let message = error.message.trim_end().to_owned();
    if error.code.as_deref() == Some("dry_run") {
        return Err(Failure::Rehearsed(message));
    }
    Err(Failure::Refused { status: status.as_u16(), code: error.code, message, hint: error.hint })
}

async fn decode<T: DeserializeOwned>(
    path: &str,
    response: Response<Incoming>,
) -> Result<T, Failure> {
    let body = response.into_body().collect().await.map_err(Failure::Cut)?.to_bytes();
    serde_json::from_slice(&body)
        .map_err(|error| Failure::Strange { request: path.to_owned(), reason: error.to_string() })
}
