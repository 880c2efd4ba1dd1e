//! Commands run in a task's container: made, started over an upgraded connection, asked for their exit code.
//! Output goes out in Docker's frames of eight bytes and a payload; input comes back raw, until the client closes its half.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use bollard_stubs::models;
use bytes::{BufMut, BytesMut};
use futures::{Stream, StreamExt};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadHalf};
use tokio::task::JoinHandle;
use tokio_util::io::ReaderStream;

use skein_events::id::TaskId;

use crate::backend::{ExecRequest, ExecSession};
use crate::http::body::{Json, OptionalJson};
use crate::http::caller::Caller;
use crate::http::error::ApiError;
use crate::http::{App, Path, json};

use super::{container, unsupported};

/// Commands remembered for their exit codes; the oldest that ended goes first.
const SESSIONS_MAX: usize = 1024;
/// One read of a command's output: a pipe holds no more at once.
const CHUNK: usize = 64 << 10;

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/containers/{id}/exec", post(create))
        .route("/exec/{id}/start", post(start))
        .route("/exec/{id}/json", get(inspect))
}

/// Commands of this daemon's life, by id.
#[derive(Debug, Default)]
pub(crate) struct Sessions(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    by_id: BTreeMap<String, Session>,
    order: VecDeque<String>,
    made: u64,
}

#[derive(Clone, Debug)]
struct Session {
    task: TaskId,
    container: String,
    config: models::ExecConfig,
    progress: Progress,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    Made,
    Running { pid: u32 },
    Ended { pid: u32, code: i32 },
}

impl Sessions {
    fn table(&self) -> std::sync::MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, session: Session, seed: &str) -> Result<String, ApiError> {
        let mut table = self.table();
        while table.by_id.len() >= SESSIONS_MAX {
            let ended = |id: &String| {
                !matches!(table.by_id.get(id).map(|s| s.progress), Some(Progress::Running { .. }))
            };
            let Some(oldest) = table.order.iter().position(ended) else {
                return Err(ApiError::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "unavailable",
                    format!("{SESSIONS_MAX} commands run already: wait for one to end"),
                ));
            };
            if let Some(id) = table.order.remove(oldest) {
                table.by_id.remove(&id);
            }
        }
        table.made += 1;
        let id = blake3::hash(format!("{seed} {}", table.made).as_bytes()).to_hex().to_string();
        table.order.push_back(id.clone());
        table.by_id.insert(id.clone(), session);
        Ok(id)
    }

    fn get(&self, id: &str) -> Result<Session, ApiError> {
        self.table().by_id.get(id).cloned().ok_or_else(|| no_such(id))
    }

    /// Takes the one chance to start a command.
    fn begin(&self, id: &str) -> Result<Session, ApiError> {
        let mut table = self.table();
        let session = table.by_id.get_mut(id).ok_or_else(|| no_such(id))?;
        if session.progress != Progress::Made {
            return Err(ApiError::new(
                StatusCode::CONFLICT,
                "conflict",
                format!("Error: Exec command {id} has already run"),
            ));
        }
        session.progress = Progress::Running { pid: 0 };
        Ok(session.clone())
    }

    fn set(&self, id: &str, progress: Progress) {
        if let Some(session) = self.table().by_id.get_mut(id) {
            session.progress = progress;
        }
    }
}

fn no_such(id: &str) -> ApiError {
    let shown: String = id.chars().take(64).collect();
    ApiError::not_found(format!("No such exec instance: {shown}"))
}

async fn create(
    State(app): State<App>,
    Caller(caller): Caller,
    Path(name): Path<String>,
    Json(config): Json<models::ExecConfig>,
) -> Result<Response, ApiError> {
    if config.tty == Some(true) {
        return Err(unsupported("terminals are not there yet: use exec without -t").into());
    }
    if config.privileged == Some(true) {
        return Err(
            unsupported("more privileges are not there: use exec without --privileged").into()
        );
    }
    if config.cmd.as_ref().is_none_or(Vec::is_empty) {
        return Err(ApiError::invalid("No exec command specified"));
    }
    let state = app.backend.state()?;
    let task = container::find(&state, app.backend.local().node, &name)?;
    let session = Session {
        task: task.id,
        container: task.status.container.clone().unwrap_or_default(),
        config,
        progress: Progress::Made,
    };
    let local = app.backend.local();
    let seed = format!("{} {:?} {:?}", local.id, app.backend.wall(), caller.who);
    let id = app.sessions.add(session, &seed)?;
    Ok(json(StatusCode::CREATED, &serde_json::json!({ "Id": id })))
}

async fn start(
    State(app): State<App>,
    Caller(caller): Caller,
    Path(id): Path<String>,
    mut request: Request,
) -> Result<Response, ApiError> {
    let upgrade = request.headers().contains_key(header::UPGRADE);
    let on_upgrade = request.extensions_mut().remove::<OnUpgrade>().filter(|_| upgrade);
    let OptionalJson(options) =
        OptionalJson::<models::ExecStartConfig>::from_request(request, &()).await?;
    if options.tty == Some(true) {
        return Err(unsupported("terminals are not there yet: use exec without -t").into());
    }
    let session = app.sessions.begin(&id)?;
    let detach = options.detach == Some(true);
    let asked = asked(&session, on_upgrade.is_some() && !detach);
    let running = match app.backend.exec(caller, asked).await {
        Ok(running) => running,
        Err(failure) => {
            app.sessions.set(&id, Progress::Ended { pid: 0, code: 126 });
            return Err(failure.into());
        }
    };
    let ExecSession { stdin, stdout, stderr, pid, exit } = running;
    app.sessions.set(&id, Progress::Running { pid });
    let sessions = Arc::clone(&app.sessions);
    // A spawn of its own: the exit code is kept even when the client goes away.
    let ended = tokio::spawn(async move {
        let code = exit.await;
        sessions.set(&id, Progress::Ended { pid, code });
    });
    let attach = |wanted: Option<bool>| wanted != Some(false) && !detach;
    let output = frames(
        heard(stdout, attach(session.config.attach_stdout)),
        heard(stderr, attach(session.config.attach_stderr)),
    );
    match on_upgrade {
        _ if detach => Ok(StatusCode::OK.into_response()),
        Some(on_upgrade) => {
            tokio::spawn(async move {
                match on_upgrade.await {
                    Ok(upgraded) => talk(TokioIo::new(upgraded), stdin, output, ended).await,
                    Err(error) => tracing::debug!(%error, "an exec's client went away"),
                }
            });
            let headers = [
                (header::CONNECTION, HeaderValue::from_static("Upgrade")),
                (header::UPGRADE, HeaderValue::from_static("tcp")),
                (header::CONTENT_TYPE, HeaderValue::from_static(MULTIPLEXED)),
            ];
            Ok((StatusCode::SWITCHING_PROTOCOLS, headers).into_response())
        }
        // A client that cannot upgrade reads the frames as a body.
        None => {
            let last = futures::stream::once(ended).filter_map(|_| async { None });
            let body = Body::from_stream(output.chain(last));
            Ok(([(header::CONTENT_TYPE, MULTIPLEXED)], body).into_response())
        }
    }
}

/// Output of a terminal has no frames.
pub(super) const RAW: &str = "application/vnd.docker.raw-stream";
pub(super) const MULTIPLEXED: &str = "application/vnd.docker.multiplexed-stream";

fn asked(session: &Session, upgraded: bool) -> ExecRequest {
    let some = |text: &Option<String>| text.clone().filter(|t| !t.is_empty());
    ExecRequest {
        task: session.task,
        args: session.config.cmd.clone().unwrap_or_default(),
        env: session.config.env.clone().unwrap_or_default(),
        user: some(&session.config.user),
        dir: some(&session.config.working_dir),
        stdin: upgraded && session.config.attach_stdin == Some(true),
    }
}

/// One side of a command's output.
type Output = Box<dyn AsyncRead + Send + Unpin>;

/// An output that somebody wants; any other is read to its end all the same, so that the command can go on.
fn heard(mut output: Output, wanted: bool) -> Option<Output> {
    if wanted {
        return Some(output);
    }
    tokio::spawn(async move { tokio::io::copy(&mut output, &mut tokio::io::sink()).await });
    None
}

/// Both outputs in Docker's frames, in the order they come.
fn frames(
    stdout: Option<Output>,
    stderr: Option<Output>,
) -> impl Stream<Item = io::Result<Bytes>> + Send + Unpin {
    let one = |source: Option<Output>, stream: u8| {
        let chunks = source.map(|s| ReaderStream::with_capacity(s, CHUNK));
        futures::stream::iter(chunks).flatten().map(move |c| c.map(|c| frame(stream, &c)))
    };
    futures::stream::select(one(stdout, 1), one(stderr, 2))
}

pub(super) fn frame(stream: u8, payload: &[u8]) -> Bytes {
    let length = u32::try_from(payload.len()).expect("a chunk is at most CHUNK long");
    let mut frame = BytesMut::with_capacity(8 + payload.len());
    frame.put_slice(&[stream, 0, 0, 0]);
    frame.put_u32(length);
    frame.put_slice(payload);
    frame.freeze()
}

/// Carries a command's output to the client and the client's input to the command, until the command has ended.
async fn talk(
    connection: TokioIo<Upgraded>,
    stdin: Option<Box<dyn AsyncWrite + Send + Unpin>>,
    mut output: impl Stream<Item = io::Result<Bytes>> + Unpin,
    ended: JoinHandle<()>,
) {
    let (from_client, mut to_client) = tokio::io::split(connection);
    let input = stdin.map(|stdin| tokio::spawn(feed(from_client, stdin)));
    let mut client_is_there = true;
    while let Some(chunk) = output.next().await {
        let Ok(chunk) = chunk else { break };
        // Output is read to its end even when nobody listens, so that the command can go on.
        if client_is_there && to_client.write_all(&chunk).await.is_err() {
            client_is_there = false;
        }
    }
    // The exit code is known before the connection closes: clients ask for it right then.
    if let Err(error) = ended.await {
        tracing::debug!(%error, "an exec was cut off");
    }
    if client_is_there && let Err(error) = to_client.shutdown().await {
        tracing::debug!(%error, "an exec's client went away");
    }
    if let Some(input) = input {
        input.abort();
    }
}

/// The client's input, until it closes its half; the command then reads its end.
async fn feed(
    mut from_client: ReadHalf<TokioIo<Upgraded>>,
    mut stdin: Box<dyn AsyncWrite + Send + Unpin>,
) {
    if let Err(error) = tokio::io::copy(&mut from_client, &mut stdin).await {
        tracing::debug!(%error, "input of an exec ended early");
    }
    if let Err(error) = stdin.shutdown().await {
        tracing::debug!(%error, "a command closed its input first");
    }
}

async fn inspect(State(app): State<App>, Path(id): Path<String>) -> Result<Response, ApiError> {
    let Session { task: _, container, config, progress } = app.sessions.get(&id)?;
    let (running, pid, code) = match progress {
        Progress::Made => (false, 0, None),
        Progress::Running { pid } => (true, pid, None),
        Progress::Ended { pid, code } => (false, pid, Some(i64::from(code))),
    };
    let mut words = config.cmd.unwrap_or_default().into_iter();
    let inspect = models::ExecInspectResponse {
        can_remove: Some(false),
        detach_keys: Some(String::new()),
        id: Some(id),
        running: Some(running),
        exit_code: code,
        process_config: Some(models::ProcessConfig {
            privileged: Some(false),
            user: config.user,
            tty: Some(false),
            entrypoint: Some(words.next().unwrap_or_default()),
            arguments: Some(words.collect()),
        }),
        open_stdin: Some(config.attach_stdin == Some(true)),
        open_stderr: Some(config.attach_stderr != Some(false)),
        open_stdout: Some(config.attach_stdout != Some(false)),
        container_id: Some(container),
        pid: Some(i64::from(pid)),
    };
    Ok(json(StatusCode::OK, &inspect))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_carry_stream_and_length() {
        assert_eq!(&frame(2, b"err\n")[..], b"\x02\0\0\0\0\0\0\x04err\n");
    }
}
