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
use futures::stream::BoxStream;
use futures::{Stream, StreamExt};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::task::JoinHandle;
use tokio_util::io::ReaderStream;
use tokio_util::sync::CancellationToken;

use skein_events::id::TaskId;

use crate::backend::{ExecRequest, ExecSession, Failure, Resize, WindowSize};
use crate::http::body::{Json, OptionalJson};
use crate::http::caller::Caller;
use crate::http::error::ApiError;
use crate::http::{App, Path, Query, json};

use super::{container, unsupported};

/// Commands remembered for their exit codes; the oldest that ended goes first.
/// How long after a command's end its output is still told.
const LINGER: std::time::Duration = std::time::Duration::from_secs(1);
const SESSIONS_MAX: usize = 1024;
/// One read of a command's output: a pipe holds no more at once.
const CHUNK: usize = 64 << 10;

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/containers/{id}/exec", post(create))
        .route("/exec/{id}/start", post(start))
        .route("/exec/{id}/resize", post(resize))
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

#[derive(Clone)]
struct Session {
    task: TaskId,
    container: String,
    config: models::ExecConfig,
    progress: Progress,
    resize: Option<Resize>,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("task", &self.task).finish_non_exhaustive()
    }
}

impl Session {
    fn tty(&self) -> bool {
        self.config.tty == Some(true)
    }
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
            if let Progress::Ended { .. } = progress {
                // Nothing of a command is held that has ended.
                session.resize = None;
            }
        }
    }

    fn runs(&self, id: &str, pid: u32, resize: Option<Resize>) {
        if let Some(session) = self.table().by_id.get_mut(id) {
            session.progress = Progress::Running { pid };
            session.resize = resize;
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
    Keys::of(config.detach_keys.as_deref())?;
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
        resize: None,
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
    let session = app.sessions.begin(&id)?;
    let detach = options.detach == Some(true);
    let size = options.console_size.or_else(|| session.config.console_size.clone());
    let asked = asked(&session, on_upgrade.is_some() && !detach, size.as_deref());
    let running = match app.backend.exec(caller, asked).await {
        Ok(running) => running,
        Err(failure) => {
            let code = if let Failure::NotExecutable { code, .. } = &failure { *code } else { 126 };
            app.sessions.set(&id, Progress::Ended { pid: 0, code });
            if on_upgrade.is_none() || detach {
                return Err(failure.into());
            }
            // As Docker has it: the connection is taken over before anything is executed, and the reason is its output. Its
            // client shows nothing of an answer that takes over no connection.
            let text = format!("{failure}\r\n");
            let said = if session.tty() { text.into() } else { frame(1, text.as_bytes()) };
            let output = futures::stream::iter([Ok(said)]);
            return Ok(upgraded(on_upgrade, session.tty(), |connection| {
                talk(connection, None, output, tokio::spawn(async {}))
            }));
        }
    };
    let ExecSession { stdin, stdout, stderr, pid, exit, resize } = running;
    app.sessions.runs(&id, pid, resize);
    let sessions = Arc::clone(&app.sessions);
    // A spawn of its own: the exit code is kept even when the client goes away.
    let over = CancellationToken::new();
    let is_over = over.clone().drop_guard();
    let ended = tokio::spawn(async move {
        let code = exit.await;
        sessions.set(&id, Progress::Ended { pid, code });
        drop(is_over);
    });
    let attach = |wanted: Option<bool>| wanted != Some(false) && !detach;
    let stdout = heard(stdout, attach(session.config.attach_stdout));
    let stderr = heard(stderr, attach(session.config.attach_stderr));
    let output = if session.tty() { plain(stdout) } else { frames(stdout, stderr) };
    let output = until_over(output, over);
    if detach {
        return Ok(StatusCode::OK.into_response());
    }
    if on_upgrade.is_none() {
        // A client that cannot upgrade reads the output as a body.
        let body = Body::from_stream(output);
        return Ok(([(header::CONTENT_TYPE, kind(session.tty()))], body).into_response());
    }
    let keys =
        session.tty().then(|| Keys::of(session.config.detach_keys.as_deref())).transpose()?;
    let stdin = stdin.map(|stdin| Input { stdin, keys });
    Ok(upgraded(on_upgrade, session.tty(), |connection| talk(connection, stdin, output, ended)))
}

/// Output that ends with its command, or a moment after it: what the command left running in the background may hold its
/// output for as long as it likes, and nobody waits for that. It is read on, so that what still writes can.
fn until_over(output: Shown, over: CancellationToken) -> Shown {
    let begun = (output, over, None);
    Box::pin(futures::stream::unfold(begun, |(mut output, over, mut end)| async move {
        loop {
            let chunk = match end {
                None => tokio::select! {
                    biased;
                    chunk = output.next() => chunk,
                    () = over.cancelled() => {
                        end = Some(tokio::time::Instant::now() + LINGER);
                        continue;
                    }
                },
                Some(at) => match tokio::time::timeout_at(at, output.next()).await {
                    Ok(chunk) => chunk,
                    Err(_) => {
                        tokio::spawn(async move { while let Some(Ok(_)) = output.next().await {} });
                        return None;
                    }
                },
            };
            return chunk.map(|chunk| (chunk, (output, over, end)));
        }
    }))
}

/// Output of a terminal has no frames.
pub(super) const RAW: &str = "application/vnd.docker.raw-stream";
pub(super) const MULTIPLEXED: &str = "application/vnd.docker.multiplexed-stream";

/// What the output of a command is, by whether it has a terminal.
fn kind(tty: bool) -> &'static str {
    if tty { RAW } else { MULTIPLEXED }
}

/// Hands the connection over once the client has it.
fn upgraded<F: Future<Output = ()> + Send + 'static>(
    on_upgrade: Option<OnUpgrade>,
    tty: bool,
    talk: impl FnOnce(TokioIo<Upgraded>) -> F + Send + 'static,
) -> Response {
    if let Some(on_upgrade) = on_upgrade {
        tokio::spawn(async move {
            match on_upgrade.await {
                Ok(upgraded) => talk(TokioIo::new(upgraded)).await,
                Err(error) => tracing::debug!(%error, "an exec's client went away"),
            }
        });
    }
    let headers = [
        (header::CONNECTION, HeaderValue::from_static("Upgrade")),
        (header::UPGRADE, HeaderValue::from_static("tcp")),
        (header::CONTENT_TYPE, HeaderValue::from_static(kind(tty))),
    ];
    (StatusCode::SWITCHING_PROTOCOLS, headers).into_response()
}

#[derive(Debug, Default, serde::Deserialize)]
struct SizeQuery {
    h: Option<u16>,
    w: Option<u16>,
}

async fn resize(
    State(app): State<App>,
    Path(id): Path<String>,
    Query(query): Query<SizeQuery>,
) -> Result<Response, ApiError> {
    let session = app.sessions.get(&id)?;
    let resize = session.resize.filter(|_| matches!(session.progress, Progress::Running { .. }));
    let Some(resize) = resize else {
        return Err(ApiError::new(
            StatusCode::CONFLICT,
            "conflict",
            format!("exec process is not running with a terminal: {id}"),
        ));
    };
    let SizeQuery { h, w } = query;
    resize(WindowSize { rows: h.unwrap_or(0), columns: w.unwrap_or(0) }).await?;
    Ok(StatusCode::OK.into_response())
}

fn asked(session: &Session, upgraded: bool, size: Option<&[usize]>) -> ExecRequest {
    let some = |text: &Option<String>| text.clone().filter(|t| !t.is_empty());
    ExecRequest {
        task: session.task,
        args: session.config.cmd.clone().unwrap_or_default(),
        env: session.config.env.clone().unwrap_or_default(),
        user: some(&session.config.user),
        dir: some(&session.config.working_dir),
        stdin: upgraded && session.config.attach_stdin == Some(true),
        terminal: session.tty().then(|| {
            let side = |n: usize| size.and_then(|s| s.get(n)).and_then(|s| u16::try_from(*s).ok());
            WindowSize { rows: side(0).unwrap_or(0), columns: side(1).unwrap_or(0) }
        }),
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

/// What a terminal shows.
fn plain(output: Option<Output>) -> Shown {
    let chunks = output.map(|output| ReaderStream::with_capacity(output, CHUNK));
    futures::stream::iter(chunks).flatten().boxed()
}

/// Both outputs in Docker's frames, in the order they come.
fn frames(stdout: Option<Output>, stderr: Option<Output>) -> Shown {
    let one = |source: Option<Output>, stream: u8| {
        let chunks = source.map(|s| ReaderStream::with_capacity(s, CHUNK));
        futures::stream::iter(chunks).flatten().map(move |c| c.map(|c| frame(stream, &c)))
    };
    futures::stream::select(one(stdout, 1), one(stderr, 2)).boxed()
}

/// Output as it goes out.
type Shown = BoxStream<'static, io::Result<Bytes>>;

pub(super) fn frame(stream: u8, payload: &[u8]) -> Bytes {
    let length = u32::try_from(payload.len()).expect("a chunk is at most CHUNK long");
    let mut frame = BytesMut::with_capacity(8 + payload.len());
    frame.put_slice(&[stream, 0, 0, 0]);
    frame.put_u32(length);
    frame.put_slice(payload);
    frame.freeze()
}

/// A command's input, and the keys by which the user lets go of it.
struct Input {
    stdin: Box<dyn AsyncWrite + Send + Unpin>,
    keys: Option<Keys>,
}

/// Carries a command's output to the client and the client's input to the command, until the command has ended or the
/// user lets go of it.
async fn talk(
    connection: TokioIo<Upgraded>,
    stdin: Option<Input>,
    mut output: impl Stream<Item = io::Result<Bytes>> + Send + Unpin + 'static,
    ended: JoinHandle<()>,
) {
    let (from_client, mut to_client) = tokio::io::split(connection);
    let mut input = stdin.map(|stdin| tokio::spawn(feed(from_client, stdin)));
    let mut client_is_there = true;
    loop {
        let let_go = async {
            match &mut input {
                Some(input) => input.await.unwrap_or(None),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            chunk = output.next() => {
                let Some(Ok(chunk)) = chunk else { break };
                // Output is read to its end even when nobody listens, so that the command can go on.
                if client_is_there && to_client.write_all(&chunk).await.is_err() {
                    client_is_there = false;
                }
            }
            let_go = let_go => {
                input = None;
                if let Some(stdin) = let_go {
                    // Its input stays open and its output is read: the command goes on as if somebody were there.
                    tokio::spawn(async move {
                        while let Some(Ok(_)) = output.next().await {}
                        drop(stdin);
                    });
                    goodbye(to_client).await;
                    return;
                }
            }
        }
    }
    // The exit code is known before the connection closes: clients ask for it right then.
    if let Err(error) = ended.await {
        tracing::debug!(%error, "an exec was cut off");
    }
    if client_is_there {
        goodbye(to_client).await;
    }
    if let Some(input) = input {
        input.abort();
    }
}

async fn goodbye(mut to_client: WriteHalf<TokioIo<Upgraded>>) {
    if let Err(error) = to_client.shutdown().await {
        tracing::debug!(%error, "an exec's client went away");
    }
}

/// The client's input, until it closes its half, and the command then reads its end; given back if the user let go.
async fn feed(
    mut from_client: ReadHalf<TokioIo<Upgraded>>,
    input: Input,
) -> Option<Box<dyn AsyncWrite + Send + Unpin>> {
    let Input { mut stdin, mut keys } = input;
    let mut read = vec![0; CHUNK];
    let mut passed = Vec::new();
    loop {
        let length = match from_client.read(&mut read).await {
            Ok(0) => break,
            Ok(length) => length,
            Err(error) => {
                tracing::debug!(%error, "input of an exec ended early");
                break;
            }
        };
        passed.clear();
        let let_go = match &mut keys {
            Some(keys) => keys.pass(&read[..length], &mut passed),
            None => {
                passed.extend_from_slice(&read[..length]);
                false
            }
        };
        if let Err(error) = stdin.write_all(&passed).await {
            tracing::debug!(%error, "a command closed its input first");
            break;
        }
        if let_go {
            return Some(stdin);
        }
        if let Err(error) = stdin.flush().await {
            tracing::debug!(%error, "a command closed its input first");
            break;
        }
    }
    if let Err(error) = stdin.shutdown().await {
        tracing::debug!(%error, "a command closed its input first");
    }
    None
}

/// Keys that, typed one after the other, leave a command running and let go of it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Keys {
    sequence: Vec<u8>,
    seen: usize,
}

impl Keys {
    /// Docker's notation: letters, or `ctrl-` and one of `a` to `z`, `@`, `[`, `\\`, `]`, `^`, `_`, with commas between.
    fn of(text: Option<&str>) -> Result<Self, ApiError> {
        let text = text.filter(|text| !text.is_empty()).unwrap_or("ctrl-p,ctrl-q");
        let key = |key: &str| {
            let control = key.strip_prefix("ctrl-");
            match (control.unwrap_or(key).as_bytes(), control) {
                ([letter @ (b'a'..=b'z' | b'@' | b'['..=b'_')], Some(_)) => Ok(letter & 0x1f),
                ([letter], None) => Ok(*letter),
                _ => Err(ApiError::invalid(format!("Unknown character: '{key}'"))),
            }
        };
        let sequence = text.split(',').map(key).collect::<Result<Vec<u8>, _>>()?;
        Ok(Self { sequence, seen: 0 })
    }

    /// Passes input on, but for the keys; true once all of them were typed.
    fn pass(&mut self, input: &[u8], to: &mut Vec<u8>) -> bool {
        for byte in input {
            if *byte == self.sequence[self.seen] {
                self.seen += 1;
                if self.seen == self.sequence.len() {
                    return true;
                }
                continue;
            }
            to.extend_from_slice(&self.sequence[..self.seen]);
            self.seen = usize::from(*byte == self.sequence[0]);
            if self.seen == 0 {
                to.push(*byte);
            }
        }
        false
    }
}

async fn inspect(State(app): State<App>, Path(id): Path<String>) -> Result<Response, ApiError> {
    let Session { task: _, container, config, progress, resize: _ } = app.sessions.get(&id)?;
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
            tty: Some(config.tty == Some(true)),
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
    fn keys_that_let_go_are_not_passed_on() {
        let mut keys = Keys::of(None).unwrap();
        let mut passed = Vec::new();
        assert!(!keys.pass(b"ab\x10", &mut passed));
        assert_eq!(passed, b"ab");
        assert!(!keys.pass(b"c\x10\x10", &mut passed));
        assert_eq!(passed, b"ab\x10c\x10");
        assert!(keys.pass(b"\x11rest", &mut passed));
        assert_eq!(passed, b"ab\x10c\x10");
        assert_eq!(Keys::of(Some("ctrl-[,x")).unwrap().sequence, [0x1b, b'x']);
        for wrong in ["ctrl-", "ctrl-A", "ab", "a,,b"] {
            assert!(Keys::of(Some(wrong)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn frames_carry_stream_and_length() {
        assert_eq!(&frame(2, b"err\n")[..], b"\x02\0\0\0\0\0\0\x04err\n");
    }
}
