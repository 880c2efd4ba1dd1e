//! One request over one connection: resolve, connect, perhaps TLS, send, and a body read with patience that ends.
//! Nothing is kept between requests, so a daemon that pulls nothing pays nothing; a pull makes a handful of them.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Request, Response, Uri};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::{ClientConfig, pki_types::ServerName};

use super::origin::Origin;
use super::proxy::{Proxies, Proxy};
use crate::error::Error;

/// Addresses of one name that are tried.
const ADDRESSES_MAX: usize = 8;
/// Bytes of a header block, all of it.
const HEADERS_MAX: usize = 64 << 10;
/// How long a server may take over the first word of TLS before it counts as one that speaks in the clear.
const ENCRYPTION_MAX: Duration = Duration::from_secs(5);
/// Bytes a second below which a server is given up: a telephone line of 1995 had more.
const RATE_MIN: u64 = 1_000;
const AGENT: &str = concat!("skein/", env!("CARGO_PKG_VERSION"));

/// How long a registry is waited for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// Until there is a connection, and until an answer begins.
    pub(crate) begin: Duration,
    /// Until the next piece of an answer comes.
    pub(crate) piece: Duration,
    /// Over which a long answer is at least [`RATE_MIN`].
    pub(crate) pace: Duration,
    /// Until a short answer, a manifest or a token, is there as a whole.
    pub(crate) short: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self { begin: seconds(30), piece: seconds(60), pace: seconds(60), short: seconds(120) }
    }
}

/// An answer whose body is still to be read.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    body: Incoming,
    patience: Patience,
    /// When the present span of the pace began, and what came in it.
    span: (Instant, u64),
    _connection: Connection,
}

/// The spawn that moves the bytes; ends with whoever waits for them.
struct Connection(JoinHandle<()>);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn late() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "it does not answer")
}

/// How a request gets to its server.
pub(super) struct Way<'a> {
    pub(super) origin: &'a Origin,
    pub(super) proxies: &'a Proxies,
    /// Whose certificates are taken; `None` in the clear.
    pub(super) tls: Option<Arc<ClientConfig>>,
    pub(super) patience: Patience,
}

/// A connection of whatever kind.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Whether a server speaks TLS.
pub(super) async fn is_encrypted(way: Way<'_>) -> bool {
    let patience = way.patience.begin.min(ENCRYPTION_MAX);
    timeout(patience, open(&way)).await.is_ok_and(|opened| opened.is_ok())
}

/// Sends a GET and reads the answer's head.
pub(super) async fn get(
    way: Way<'_>,
    path: &str,
    headers: &[(header::HeaderName, HeaderValue)],
) -> Result<Answer, Error> {
    let Way { origin, patience, .. } = &way;
    let unreachable = |source| Error::RegistryUnreachable { registry: origin.authority(), source };
    let begun = timeout(patience.begin, async {
        let (stream, proxy) = open(&way).await?;
        send(stream, origin, proxy, path, headers).await
    });
    let (response, connection) =
        begun.await.unwrap_or_else(|_| Err(late())).map_err(unreachable)?;
    let (parts, body) = response.into_parts();
    Ok(Answer {
        status: parts.status.as_u16(),
        headers: parts.headers,
        body,
        patience: *patience,
        span: (Instant::now(), 0),
        _connection: connection,
    })
}

/// A connection over which the server hears, and the proxy that has to be told where requests go.
async fn open(way: &Way<'_>) -> io::Result<(Box<dyn Stream>, Option<Proxy>)> {
    let Way { origin, proxies, tls, .. } = way;
    let proxy = proxies.towards(origin)?;
    let stream = match &proxy {
        Some(proxy) => connect(&proxy.host, proxy.port, |_| true).await.map_err(|error| {
            io::Error::new(error.kind(), format!("its proxy cannot be reached: {error}"))
        })?,
        // What is spoken to in the clear because it is on this machine has to be on it.
        None => {
            let here = |at: &SocketAddr| !origin.is_loopback() || at.ip().is_loopback();
            connect(&origin.host, origin.port, here).await?
        }
    };
    let Some(config) = tls else { return Ok((Box::new(stream), proxy)) };
    let name = ServerName::try_from(origin.host.clone()).map_err(io::Error::other)?;
    let connector = TlsConnector::from(Arc::clone(config));
    Ok(match proxy {
        Some(proxy) => {
            let tunnel = proxy.tunnel(stream, origin).await?;
            (Box::new(connector.connect(name, tunnel).await?), None)
        }
        None => (Box::new(connector.connect(name, stream).await?), None),
    })
}

async fn connect(
    host: &str,
    port: u16,
    fits: impl Fn(&SocketAddr) -> bool,
) -> io::Result<TcpStream> {
    let found = tokio::net::lookup_host((host, port)).await?;
    let mut last = io::Error::new(io::ErrorKind::NotFound, "its name has no address");
    for address in found.filter(fits).take(ADDRESSES_MAX) {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn send(
    stream: Box<dyn Stream>,
    origin: &Origin,
    proxy: Option<Proxy>,
    path: &str,
    headers: &[(header::HeaderName, HeaderValue)],
) -> io::Result<(Response<Incoming>, Connection)> {
    // A proxy is told the whole address.
    let target = match &proxy {
        Some(_) => format!("http://{}{path}", origin.authority()),
        None => path.to_owned(),
    };
    let mut request = Request::get(target.parse::<Uri>().map_err(io::Error::other)?)
        .header(header::HOST, origin.authority())
        .header(header::USER_AGENT, AGENT)
        .body(Empty::<Bytes>::new())
        .map_err(io::Error::other)?;
    for (name, value) in headers {
        request.headers_mut().insert(name, value.clone());
    }
    if let Some(auth) = proxy.and_then(|proxy| proxy.auth) {
        request.headers_mut().insert(header::PROXY_AUTHORIZATION, auth);
    }
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(HEADERS_MAX)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(io::Error::other)?;
    let connection = Connection(tokio::spawn(async move {
        // How it ended, the reader of the body sees.
        drop(connection.await);
    }));
    let response = sender.send_request(request).await.map_err(io::Error::other)?;
    Ok((response, connection))
}

impl Answer {
    pub(super) fn header(&self, name: header::HeaderName) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The next piece of the body.
    pub(super) async fn piece(&mut self) -> io::Result<Option<Bytes>> {
        loop {
            let frame =
                timeout(self.patience.piece, self.body.frame()).await.map_err(|_| late())?;
            match frame {
                None => return Ok(None),
                Some(Err(error)) => return Err(io::Error::other(error)),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) if data.is_empty() => {}
                    Ok(data) => {
                        self.keep_pace(data.len() as u64)?;
                        return Ok(Some(data));
                    }
                    // Trailers say nothing here.
                    Err(_) => {}
                },
            }
        }
    }

    /// A server that sends a byte now and then is given up like one that is silent: what waits for it holds a thread.
    fn keep_pace(&mut self, bytes: u64) -> io::Result<()> {
        let (began, came) = &mut self.span;
        *came += bytes;
        if began.elapsed() < self.patience.pace {
            return Ok(());
        }
        if *came < RATE_MIN.saturating_mul(self.patience.pace.as_secs().max(1)) {
            let text = format!("it sends less than {RATE_MIN} bytes a second");
            return Err(io::Error::new(io::ErrorKind::TimedOut, text));
        }
        self.span = (Instant::now(), 0);
        Ok(())
    }

    /// The whole of a short body; `None` if it is longer than `most`.
    pub(super) async fn short(&mut self, most: u64) -> io::Result<Option<Vec<u8>>> {
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let patience = self.patience.short;
        let read = async {
            let mut whole = Vec::new();
            while let Some(piece) = self.piece().await? {
                if whole.len() + piece.len() > most {
                    return Ok(None);
                }
                whole.extend_from_slice(&piece);
            }
            Ok(Some(whole))
        };
        timeout(patience, read).await.unwrap_or_else(|_| Err(late()))
    }
}
