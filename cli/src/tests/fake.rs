//! A daemon that answers from a script and remembers what it was asked.

use std::convert::Infallible;
use std::path::Path;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixListener;

/// One answer: method and path, status, body. Answers to the same request are given in order, the last one again and again.
pub(crate) type Answer = (&'static str, u16, String);

/// A fake daemon on its own thread; gone when dropped.
pub(crate) struct Daemon {
    host: String,
    asked: Arc<Mutex<Vec<String>>>,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
    _dir: tempfile::TempDir,
}

impl Daemon {
    /// A daemon that gives these answers and 404 to everything else.
    pub(crate) fn answering(script: impl IntoIterator<Item = Answer>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("s");
        let asked = Arc::new(Mutex::new(Vec::new()));
        let script = Arc::new(Mutex::new(script.into_iter().collect::<Vec<_>>()));
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let (ready, is_ready) = std::sync::mpsc::channel();
        let thread = std::thread::spawn({
            let (socket, asked) = (socket.clone(), Arc::clone(&asked));
            move || {
                let runtime =
                    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(async {
                    let serve = serve(&socket, &script, &asked, || ready.send(()).unwrap());
                    tokio::select! { () = serve => {}, _ = stopped => {} }
                });
            }
        });
        is_ready.recv().unwrap();
        let host = format!("unix://{}", socket.display());
        Self { host, asked, stop: Some(stop), thread: Some(thread), _dir: dir }
    }

    /// Its address, for `-H`.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// Ends it; its socket stays, as after a crash.
    pub(crate) fn stop(&mut self) {
        drop(self.stop.take());
        self.thread.take().map(std::thread::JoinHandle::join);
    }

    /// Every request so far: method, path, the headers that matter, body.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.stop();
    }
}

async fn serve(
    socket: &Path,
    script: &Arc<Mutex<Vec<Answer>>>,
    asked: &Arc<Mutex<Vec<String>>>,
    ready: impl FnOnce(),
) {
    let listener = UnixListener::bind(socket).unwrap();
    ready();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let (script, asked) = (Arc::clone(script), Arc::clone(asked));
        let service =
            service_fn(move |request| answer(request, Arc::clone(&script), Arc::clone(&asked)));
        let connection = hyper::server::conn::http1::Builder::new()
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        tokio::spawn(connection);
    }
}

async fn answer(
    mut request: Request<Incoming>,
    script: Arc<Mutex<Vec<Answer>>>,
    asked: Arc<Mutex<Vec<String>>>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let upgrade =
        request.headers().contains_key("upgrade").then(|| hyper::upgrade::on(&mut request));
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let line = format!("{} {}", head.method, head.uri);
    let mut told = line.clone();
    for name in
        ["skein-at", "skein-reason", "skein-request-id", "skein-dry-run", "skein-if-at", "upgrade"]
    {
        if let Some(value) = head.headers.get(name) {
            let value = std::str::from_utf8(value.as_bytes()).unwrap();
            let value = if name == "skein-request-id" {
                format!("{} characters", value.len())
            } else {
                value.into()
            };
            told.push_str(&format!("\n  {name}: {value}"));
        }
    }
    if !body.is_empty() {
        let text = serde_json::from_slice::<serde_json::Value>(&body)
            .map_or_else(|_| format!("{} bytes", body.len()), |json| json.to_string());
        told.push_str(&format!("\n  {text}"));
    }
    asked.lock().unwrap().push(told);
    let (status, body) = take(&mut script.lock().unwrap(), &line);
    if let (Some(upgrade), 101) = (upgrade, status) {
        tokio::spawn(async move {
            let mut stream = TokioIo::new(upgrade.await.unwrap());
            let mut input = Vec::new();
            stream.read_to_end(&mut input).await.unwrap();
            asked.lock().unwrap().push(format!("input: {}", String::from_utf8_lossy(&input)));
            stream.write_all(body.as_bytes()).await.unwrap();
            stream.shutdown().await.unwrap();
        });
        let response = Response::builder()
            .status(101)
            .header("upgrade", "tcp")
            .header("connection", "Upgrade");
        return Ok(response.body(Full::default()).unwrap());
    }
    let status = StatusCode::from_u16(status).unwrap();
    Ok(Response::builder().status(status).body(Full::new(Bytes::from(body))).unwrap())
}

fn take(script: &mut Vec<Answer>, line: &str) -> (u16, String) {
    let matches = script.iter().filter(|(request, _, _)| *request == line).count();
    let Some(at) = script.iter().position(|(request, _, _)| *request == line) else {
        return (404, r#"{"message":"page not found"}"#.to_owned());
    };
    let (_, status, body) = if matches > 1 { script.remove(at) } else { script[at].clone() };
    (status, body)
}
