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
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto::ring, pki_types::ServerName};

use super::origin::Origin;
use crate::error::Error;

/// Addresses of one name that are tried.
const ADDRESSES_MAX: usize = 8;
/// Bytes of a header block, all of it.
const HEADERS_MAX: usize = 64 << 10;
const AGENT: &str = concat!("skein/", env!("CARGO_PKG_VERSION"));

/// How long a registry is waited for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// Until there is a connection, and until an answer begins.
    pub(crate) begin: Duration,
    /// Until the next piece of an answer comes.
    pub(crate) piece: Duration,
    /// Until a short answer, a manifest or a token, is there as a whole.
    pub(crate) short: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self { begin: seconds(30), piece: seconds(60), short: seconds(120) }
    }
}

/// An answer whose body is still to be read.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    body: Incoming,
    patience: Patience,
    _connection: Connection,
}

/// The spawn that moves the bytes; ends with whoever waits for them.
struct Connection(JoinHandle<()>);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The certificates this machine trusts.
pub(super) fn trust() -> Result<Arc<ClientConfig>, io::Error> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        return Err(io::Error::other(
            "this machine trusts no certificate authority: install the package ca-certificates",
        ));
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring has ciphers for both versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

fn late() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "it does not answer")
}

/// Sends a GET and reads the answer's head.
pub(super) async fn get(
    origin: &Origin,
    tls: Option<Arc<ClientConfig>>,
    path: &str,
    headers: &[(header::HeaderName, HeaderValue)],
    patience: Patience,
) -> Result<Answer, Error> {
    let unreachable = |source| Error::RegistryUnreachable { registry: origin.authority(), source };
    let begun = timeout(patience.begin, async {
        let stream = connect(origin).await?;
        match tls {
            Some(config) => {
                let name = ServerName::try_from(origin.host.clone()).map_err(io::Error::other)?;
                let stream = TlsConnector::from(config).connect(name, stream).await?;
                send(stream, origin, path, headers).await
            }
            None => send(stream, origin, path, headers).await,
        }
    });
    let (response, connection) =
        begun.await.unwrap_or_else(|_| Err(late())).map_err(unreachable)?;
    let (parts, body) = response.into_parts();
    Ok(Answer {
        status: parts.status.as_u16(),
        headers: parts.headers,
        body,
        patience,
        _connection: connection,
    })
}

async fn connect(origin: &Origin) -> io::Result<TcpStream> {
    let found = tokio::net::lookup_host((origin.host.as_str(), origin.port)).await?;
    // What is spoken to in the clear because it is on this machine has to be on it.
    let here = |address: &SocketAddr| !origin.is_loopback() || address.ip().is_loopback();
    let mut last = io::Error::new(io::ErrorKind::NotFound, "its name has no address");
    for address in found.filter(here).take(ADDRESSES_MAX) {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn send(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    origin: &Origin,
    path: &str,
    headers: &[(header::HeaderName, HeaderValue)],
) -> io::Result<(Response<Incoming>, Connection)> {
    let mut request = Request::get(path.parse::<Uri>().map_err(io::Error::other)?)
        .header(header::HOST, origin.authority())
        .header(header::USER_AGENT, AGENT)
        .body(Empty::<Bytes>::new())
        .map_err(io::Error::other)?;
    for (name, value) in headers {
        request.headers_mut().insert(name, value.clone());
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
                    Ok(data) => return Ok(Some(data)),
                    // Trailers say nothing here.
                    Err(_) => {}
                },
            }
        }
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
