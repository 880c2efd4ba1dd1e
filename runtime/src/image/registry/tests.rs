//! Pulls from registries on this machine that do what no registry should. Real sockets, and answers byte by byte.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;
use skein_events::time::Time;
use tokio::sync::mpsc;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;
use tokio_rustls::rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::*;
use crate::image::pull::{Pull, Pulled, Sources, pull, resolve};
use crate::image::store::Store;
use crate::image::stream::Caps;

/// What a server sends.
enum Sent {
    Bytes(Vec<u8>),
    /// A head, then zeros as long as somebody reads.
    Endless(&'static str),
    /// Some bytes, then nothing more and no end either.
    Stalled(Vec<u8>),
    /// Some bytes, then one now and then for as long as somebody reads.
    Dripping(Vec<u8>),
}

struct Server {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    stop: Arc<AtomicBool>,
}

impl Server {
    /// Answers each request's head, in lower case, with what `answer` makes of it and of the server's own address.
    fn answering(answer: impl Fn(&str, &str) -> Sent + Send + Sync + 'static) -> Self {
        Self::start(None, answer)
    }

    /// The same with encryption, under a certificate that nobody vouches for and that is for another name.
    fn encrypted(answer: impl Fn(&str, &str) -> Sent + Send + Sync + 'static) -> Self {
        let made = rcgen::generate_simple_self_signed(["another.example".to_owned()]).unwrap();
        let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key.into())
            .unwrap();
        Self::start(Some(Arc::new(config)), answer)
    }

    fn start(
        tls: Option<Arc<ServerConfig>>,
        answer: impl Fn(&str, &str) -> Sent + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (asked, stop) =
            (Arc::<Mutex<Vec<String>>>::default(), Arc::new(AtomicBool::new(false)));
        let (log, stopped, answer) = (Arc::clone(&asked), Arc::clone(&stop), Arc::new(answer));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let (log, answer) = (Arc::clone(&log), Arc::clone(&answer));
                let (stream, tls) = (stream.unwrap(), tls.clone());
                std::thread::spawn(move || {
                    let heard = |head: &str| {
                        log.lock().unwrap().push(head.to_owned());
                        answer(head, &address.to_string())
                    };
                    match tls {
                        Some(tls) => {
                            let connection = ServerConnection::new(tls).unwrap();
                            serve(StreamOwned::new(connection, stream), heard);
                        }
                        None => serve(stream, heard),
                    }
                });
            }
        });
        Self { address, asked, stop }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
    fn count(&self, part: &str) -> usize {
        self.asked().iter().filter(|head| head.contains(part)).count()
    }
    fn name(&self) -> Reference {
        format!("{}/a/b:1", self.address).parse().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.address));
    }
}

/// Answers one request.
fn serve(mut stream: impl Read + Write, answer: impl Fn(&str) -> Sent) {
    let Some(head) = head(&mut stream) else { return };
    // The client may leave at any time.
    let _ = match answer(&head) {
        Sent::Bytes(bytes) => stream.write_all(&bytes).and_then(|()| stream.flush()),
        Sent::Endless(head) => stream.write_all(head.as_bytes()).and_then(|()| {
            loop {
                stream.write_all(&[b'0'; 8192])?;
            }
        }),
        Sent::Stalled(bytes) => {
            stream.write_all(&bytes).and_then(|()| stream.read(&mut [0]).map(|_| ()))
        }
        Sent::Dripping(bytes) => stream.write_all(&bytes).and_then(|()| {
            let (_never, pause) = std::sync::mpsc::channel::<()>();
            loop {
                stream.write_all(b" ").and_then(|()| stream.flush())?;
                let _ = pause.recv_timeout(Duration::from_millis(100));
            }
        }),
    };
}

/// A proxy that connects to one server, whichever was asked for.
fn tunnel(to: SocketAddr) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, asked) = (listener.local_addr().unwrap(), Arc::<Mutex<Vec<String>>>::default());
    let log = Arc::clone(&asked);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let Some(head) = head(&mut stream) else { continue };
            log.lock().unwrap().push(head);
            let mut there = TcpStream::connect(to).unwrap();
            stream.write_all(b"HTTP/1.1 200 X\r\n\r\n").unwrap();
            let (mut back, mut from) = (stream.try_clone().unwrap(), there.try_clone().unwrap());
            std::thread::spawn(move || std::io::copy(&mut stream, &mut there));
            std::thread::spawn(move || std::io::copy(&mut from, &mut back));
        }
    });
    (address, asked)
}

fn head(stream: &mut impl Read) -> Option<String> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        // The first byte of TLS, which is not spoken here.
        if stream.read(&mut byte).ok()? == 0 || (head.is_empty() && byte == [0x16]) {
            return None;
        }
        head.push(byte[0]);
    }
    // Paths and credentials are told apart by their letters, names of headers are not.
    let text = String::from_utf8(head).ok()?;
    Some(text.replace("Range:", "range:").replace("Authorization:", "authorization:"))
}

fn answer(status: u16, headers: &str, body: &[u8]) -> Sent {
    let length = body.len();
    let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {length}\r\n{headers}\r\n");
    Sent::Bytes([head.as_bytes(), body].concat())
}

/// An honest image of one layer.
#[derive(Clone)]
struct Honest {
    layer: Vec<u8>,
    config: Vec<u8>,
    manifest: Vec<u8>,
}

impl Honest {
    fn new() -> Self {
        let mut tar = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(300_000);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        tar.append_data(&mut header, "file", std::io::repeat(7).take(300_000)).unwrap();
        let layer = tar.into_inner().unwrap();
        let config = json!({
            "architecture": crate::image::manifest::Platform::architecture_here(), "os": "linux",
            "config": {}, "rootfs": { "type": "layers", "diff_ids": [Digest::of(&layer)] },
        });
        let config = config.to_string().into_bytes();
        let described = |bytes: &[u8]| json!({ "digest": Digest::of(bytes), "size": bytes.len() });
        let manifest = json!({
            "schemaVersion": 2, "config": described(&config), "layers": [described(&layer)],
        });
        let manifest = manifest.to_string().into_bytes();
        Self { layer, config, manifest }
    }

    fn layer_path(&self) -> String {
        format!("blobs/{}", Digest::of(&self.layer))
    }

    fn answer(&self, head: &str) -> Sent {
        if head.contains("/manifests/") {
            let kind = "Content-Type: application/vnd.oci.image.manifest.v1+json\r\n";
            return answer(200, kind, &self.manifest);
        }
        if head.contains(&Digest::of(&self.config).to_string()) {
            return answer(200, "", &self.config);
        }
        match head.split_once("range: bytes=").and_then(|(_, rest)| rest.split_once('-')) {
            Some((from, _)) => {
                let rest = &self.layer[from.parse::<usize>().unwrap()..];
                let end = self.layer.len();
                answer(206, &format!("Content-Range: bytes {from}-{}/{end}\r\n", end - 1), rest)
            }
            None => answer(200, "", &self.layer),
        }
    }
}

struct Rig {
    dir: tempfile::TempDir,
    store: Store,
    access: Access,
}

impl Rig {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().join("images")).unwrap();
        Self { dir, store, access: access() }
    }

    async fn pull_as(&self, name: Reference, login: Option<Login>) -> Result<Pulled, String> {
        let (progress, mut heard) = mpsc::channel(8);
        let order = Pull { name, login, now: Time(0), progress };
        let hears = tokio::spawn(async move { while heard.recv().await.is_some() {} });
        let sources = Sources { access: self.access.clone(), caps: Caps::default() };
        let pulled = pull(&self.store, &order, &sources).await;
        drop(order);
        hears.await.unwrap();
        pulled.map_err(|error| {
            let source = std::error::Error::source(&error).map(|source| format!(": {source}"));
            format!("{error}{}", source.unwrap_or_default())
        })
    }

    async fn pull(&self, server: &Server) -> Result<Pulled, String> {
        self.pull_as(server.name(), None).await
    }

    /// Bytes of each partial blob.
    fn partials(&self) -> Vec<u64> {
        let dir = std::fs::read_dir(self.dir.path().join("images/partial")).unwrap();
        dir.map(|entry| entry.unwrap().metadata().unwrap().len()).collect()
    }
}

fn access() -> Access {
    let (piece, pace) = (Duration::from_millis(300), Duration::from_secs(1));
    let patience = Patience { piece, pace, ..Patience::default() };
    Access { insecure: Arc::new([]), proxies: Arc::new(Proxies::all("", "")), patience }
}

fn ada() -> Option<Login> {
    Some(Login::Password { user: "ada".into(), password: "s3cret".into() })
}
const ADA: &str = "authorization: Basic YWRhOnMzY3JldA==";

#[tokio::test]
async fn an_image_comes_once_and_has_its_names() {
    let honest = Honest::new();
    let server = Server::answering({
        let honest = honest.clone();
        move |head, _| honest.answer(head)
    });
    let rig = Rig::new();
    let (one, two) = tokio::join!(rig.pull(&server), rig.pull(&server));
    let (id, digest) = (Digest::of(&honest.config), Digest::of(&honest.manifest));
    // Whichever was there first brought it.
    let pulled = |fresh| Ok(Pulled { id, digest, fresh });
    let fresh = one.as_ref().is_ok_and(|pulled| pulled.fresh);
    assert_eq!((one, two), (pulled(fresh), pulled(!fresh)));
    assert_eq!(server.count(&honest.layer_path()), 1, "two pulls fetch a layer once");
    assert_eq!(rig.pull(&server).await, Ok(Pulled { id, digest, fresh: false }));
    let images = rig.store.images().unwrap();
    assert_eq!(images[0].names, [server.name().familiar()]);
    assert_eq!(images[0].digests, [format!("{}/a/b@{digest}", server.address)]);
    assert_eq!(rig.partials(), [0; 0]);
    let pinned = server.name().pinned(&digest.to_string());
    assert!(rig.pull_as(pinned, None).await.is_ok());
    let other = server.name().pinned(&id.to_string());
    assert!(rig.pull_as(other, None).await.is_err_and(|e| e.contains("has other content")));
    let sources = Sources { access: access(), caps: Caps::default() };
    let resolved = resolve(&server.name(), None, &sources).await.unwrap();
    assert_eq!((resolved.digest, resolved.platforms.len()), (digest, 1));
}

#[tokio::test]
async fn hostile_registries_are_refused_and_leave_nothing() {
    type Answers = fn(&Honest, &str, &str) -> Sent;
    const ENDLESS: &str = "HTTP/1.1 200 X\r\nConnection: close\r\n\r\n";
    let cases: [(&str, Answers, &str); 18] = [
        (
            "dripping",
            |_, _, _| Sent::Dripping(b"HTTP/1.1 200 X\r\nContent-Length: 4000\r\n\r\n".into()),
            "less than 1000 bytes a second",
        ),
        ("endless manifest", |_, _, _| Sent::Endless(ENDLESS), "a manifest of over"),
        ("no HTTP", |_, _, _| Sent::Bytes(b"SSH-2.0-x\r\n".to_vec()), "cannot be reached"),
        ("endless head", |_, _, _| Sent::Endless("HTTP/1.1 200 X\r\nA: "), "cannot be reached"),
        (
            "stalled",
            |_, _, _| Sent::Stalled(b"HTTP/1.1 200 X\r\nContent-Length: 9\r\n\r\n1".into()),
            "does not answer",
        ),
        (
            "another blob",
            |h, head, _| {
                if head.contains(&h.layer_path()) {
                    answer(200, "", &vec![1; h.layer.len()])
                } else {
                    h.answer(head)
                }
            },
            "has other content",
        ),
        (
            "a longer blob",
            |h, head, _| {
                if head.contains(&h.layer_path()) { Sent::Endless(ENDLESS) } else { h.answer(head) }
            },
            "longer than its manifest says",
        ),
        (
            "another configuration",
            |h, head, _| {
                if head.contains("/blobs/") { answer(200, "", b"{}") } else { h.answer(head) }
            },
            "has other content",
        ),
        (
            "a list that is none",
            |h, _, _| {
                let kind = "Content-Type: application/vnd.oci.image.index.v1+json\r\n";
                answer(200, kind, &h.manifest)
            },
            "neither that of an image nor an index",
        ),
        (
            "round and round",
            |_, _, _| answer(307, "Location: /v2/a/b/manifests/1\r\n", b""),
            "more than 5 times",
        ),
        (
            "on to the clear",
            |_, _, _| answer(307, "Location: http://169.254.169.254/\r\n", b""),
            "an address without encryption",
        ),
        ("on to nothing", |_, _, _| answer(302, "", b""), "no address"),
        (
            "on to no text",
            |_, _, _| {
                Sent::Bytes(
                    b"HTTP/1.1 302 X\r\nLocation: /\xff\r\nContent-Length: 0\r\n\r\n".into(),
                )
            },
            "no address",
        ),
        (
            "401 for ever",
            |_, head, own| {
                if head.contains("/token?") {
                    return answer(200, "", br#"{"token":"t"}"#);
                }
                answer(
                    401,
                    &format!("WWW-Authenticate: Bearer realm=\"http://{own}/token\"\r\n"),
                    b"",
                )
            },
            "pull access denied",
        ),
        (
            "401 in no text",
            |_, _, _| {
                Sent::Bytes(b"HTTP/1.1 401 X\r\nWWW-Authenticate: Bearer realm=\"\xff\"\r\nContent-Length: 0\r\n\r\n".into())
            },
            "pull access denied",
        ),
        (
            "tokens in the clear",
            |_, _, _| {
                answer(401, "WWW-Authenticate: Bearer realm=\"http://10.0.0.1/token\"\r\n", b"")
            },
            "an address without encryption",
        ),
        (
            "an endless token",
            |_, head, own| {
                if head.contains("/token?") {
                    return Sent::Endless(ENDLESS);
                }
                answer(
                    401,
                    &format!("WWW-Authenticate: Bearer realm=\"http://{own}/token\"\r\n"),
                    b"",
                )
            },
            "a token that cannot be read",
        ),
        (
            "a token with a line break",
            |_, head, own| {
                if head.contains("/token?") {
                    return answer(200, "", br#"{"token":"t\r\nHost: x"}"#);
                }
                answer(
                    401,
                    &format!("WWW-Authenticate: Bearer realm=\"http://{own}/token\"\r\n"),
                    b"",
                )
            },
            "its credentials are no header",
        ),
    ];
    for (name, answers, reason) in cases {
        let honest = Honest::new();
        let server = Server::answering(move |head, own| answers(&honest, head, own));
        let rig = Rig::new();
        let refused = rig.pull_as(server.name(), ada()).await.expect_err(name);
        assert!(refused.contains(reason), "{name}: {refused}");
        assert!(!refused.contains("s3cret") && !refused.contains("YWRhO"), "{name}: {refused}");
        assert_eq!(rig.partials(), [0; 0], "{name}");
        assert_eq!(rig.store.images().unwrap(), [], "{name}");
        assert!(server.asked().len() < 10, "{name}");
    }
}

#[tokio::test]
async fn an_echoed_password_gets_into_no_error() {
    for status in [400, 403, 404, 418, 429, 500] {
        let server = Server::answering(move |head, _| {
            if !head.contains("authorization") {
                return answer(401, "WWW-Authenticate: Basic realm=\"x\"\r\n", b"");
            }
            let body = json!({ "errors": [{ "code": head, "message": head, "detail": head }] });
            answer(status, "", body.to_string().as_bytes())
        });
        let refused = Rig::new().pull_as(server.name(), ada()).await.unwrap_err();
        assert_eq!(server.count(ADA), 1, "it was sent");
        assert!(!refused.contains("YWRhO") && refused.len() < 200, "{refused}");
    }
}

#[tokio::test]
async fn a_password_stays_with_its_registry() {
    let honest = Honest::new();
    let elsewhere = Server::answering({
        let honest = honest.clone();
        move |head, _| honest.answer(head)
    });
    let there = elsewhere.address;
    let registry = Server::answering(move |head, _| {
        if !head.contains(ADA) {
            return answer(401, "WWW-Authenticate: Basic realm=\"x\"\r\n", b"");
        }
        let path = head.split(' ').nth(1).unwrap();
        if path.contains("/blobs/") {
            return answer(307, &format!("Location: http://{there}{path}\r\n"), b"");
        }
        honest.answer(head)
    });
    let rig = Rig::new();
    assert!(rig.pull_as(registry.name(), ada()).await.is_ok());
    assert_eq!(elsewhere.asked().len(), 2, "configuration and layer");
    assert_eq!(elsewhere.count("authorization"), 0);
    let denied = Rig::new().pull(&registry).await.unwrap_err();
    assert!(denied.starts_with("pull access denied for "), "{denied}");
}

#[tokio::test]
async fn a_registry_of_this_machine_may_be_encrypted() {
    let honest = Honest::new();
    let guarded = |honest: Honest| {
        move |head: &str, _: &str| match head.contains(ADA) {
            true => honest.answer(head),
            false => answer(401, "WWW-Authenticate: Basic realm=\"x\"\r\n", b""),
        }
    };
    let server = Server::encrypted(guarded(honest.clone()));
    let rig = Rig::new();
    let pulled = rig.pull_as(server.name(), ada()).await;
    assert_eq!(pulled.map(|p| p.digest), Ok(Digest::of(&honest.manifest)));
    assert_eq!(server.count(ADA), 3, "manifest, configuration, layer");

    // What began with encryption does not go on without, not even on this machine.
    let clear = Server::answering(guarded(honest));
    let location = format!("Location: http://{}/x\r\n", clear.address);
    let server = Server::encrypted(move |_, _| answer(307, &location, b""));
    let refused = Rig::new().pull_as(server.name(), ada()).await.unwrap_err();
    assert!(refused.contains("an address without encryption"), "{refused}");
    assert_eq!(clear.asked(), [""; 0]);
}

#[tokio::test]
async fn registries_are_reached_through_proxies() {
    let honest = Honest::new();
    let name: Reference = "registry.example:5000/a/b:1".parse().unwrap();
    let through = |proxy: SocketAddr, insecure: &[&str]| {
        let proxies = Proxies::all(&format!("http://eve:pr0xy@{proxy}"), "");
        let insecure = insecure.iter().map(|host| (*host).to_owned()).collect();
        Rig { access: Access { insecure, proxies: Arc::new(proxies), ..access() }, ..Rig::new() }
    };
    // eve:pr0xy
    let eve = "proxy-authorization: Basic ZXZlOnByMHh5";
    let listed = &["registry.example:5000"];

    // With encryption, of which it sees nothing.
    let server = Server::encrypted({
        let honest = honest.clone();
        move |head, _| honest.answer(head)
    });
    let (proxy, asked) = tunnel(server.address);
    assert!(through(proxy, listed).pull_as(name.clone(), ada()).await.is_ok());
    for head in &*asked.lock().unwrap() {
        assert!(head.starts_with("CONNECT registry.example:5000 HTTP/1.1\r\n"), "{head}");
        assert!(head.contains(eve) && !head.contains("/v2/"), "{head}");
    }
    assert_eq!(server.count("proxy-"), 0, "the registry does not hear who asks the proxy");
    // Nobody's certificate is taken for that of a registry that is not listed.
    let refused = through(proxy, &[]).pull_as(name.clone(), ada()).await.unwrap_err();
    assert!(refused.contains("cannot be reached"), "{refused}");
    assert_eq!(server.count("/v2/"), 3, "manifest, configuration, layer, and nothing after");

    // In the clear, where that is allowed.
    let proxy = Server::answering(move |head, _| match head.starts_with("CONNECT ") {
        true => answer(405, "", b""),
        false => honest.answer(head),
    });
    assert!(through(proxy.address, listed).pull_as(name.clone(), None).await.is_ok());
    let first = proxy.asked().swap_remove(1);
    assert!(first.starts_with("GET http://registry.example:5000/v2/a/b/manifests/1 "), "{first}");
    assert!(first.contains("Host: registry.example:5000\r\n") || first.contains("host: registry"));
    assert_eq!(proxy.count(eve), proxy.asked().len());

    // One that does not want to.
    let refused = through(proxy.address, &[]).pull_as(name, None).await.unwrap_err();
    assert!(refused.ends_with("its proxy does not connect to it: status 405"), "{refused}");
    // This machine is reached without one.
    let direct = Server::answering(|_, _| answer(404, "", b""));
    let missing = through(proxy.address, &[]).pull_as(direct.name(), None).await.unwrap_err();
    assert!(missing.contains("not found"), "{missing}");
}

#[tokio::test]
async fn a_token_is_asked_for_this_repository_only() {
    let honest = Honest::new();
    let server = Server::answering(move |head, own| {
        if head.starts_with("GET /token?") {
            return answer(200, "", br#"{"access_token":"t0ken"}"#);
        }
        if !head.contains("authorization: Bearer t0ken") {
            let asks = format!(
                "WWW-Authenticate: Bearer realm=\"http://{own}/token\",service=\"a b\",scope=\"repository:other:push\"\r\n"
            );
            return answer(401, &asks, b"");
        }
        honest.answer(head)
    });
    assert!(Rig::new().pull_as(server.name(), ada()).await.is_ok());
    let tokens: Vec<String> =
        server.asked().into_iter().filter(|head| head.contains("/token?")).collect();
    let [token] = &tokens[..] else { panic!("one token does: {tokens:?}") };
    assert!(token.starts_with("GET /token?service=a%20b&scope=repository%3Aa%2Fb%3Apull "));
    assert!(token.contains(ADA));
    assert_eq!(server.count(ADA), 1, "the password goes for the token only");
}

#[tokio::test]
async fn what_came_is_gone_on_with() {
    let honest = Honest::new();
    let half = honest.layer.len() / 2;
    let cut = move |honest: &Honest| {
        let head = format!("HTTP/1.1 200 X\r\nContent-Length: {}\r\n\r\n", honest.layer.len());
        Sent::Bytes([head.as_bytes(), &honest.layer[..half]].concat())
    };
    // A broken connection is tried again at once.
    let server = Server::answering({
        let honest = honest.clone();
        move |head, _| {
            let whole = head.contains(&honest.layer_path()) && !head.contains("range:");
            if whole { cut(&honest) } else { honest.answer(head) }
        }
    });
    assert!(Rig::new().pull(&server).await.is_ok());
    assert_eq!(server.count(&format!("range: bytes={half}-")), 1);

    // A registry that brings nothing more is given up, and the next pull goes on.
    let rig = Rig::new();
    let broken = Server::answering({
        let honest = honest.clone();
        move |head, _| match head {
            head if head.contains("range:") => Sent::Bytes(Vec::new()),
            head if head.contains(&honest.layer_path()) => cut(&honest),
            head => honest.answer(head),
        }
    });
    let refused = rig.pull(&broken).await.unwrap_err();
    assert!(refused.contains("cannot be reached"), "{refused}");
    assert_eq!(rig.partials(), [half as u64]);
    let again = Store::open(rig.dir.path().join("images")).unwrap();
    let rig = Rig { store: again, ..rig };
    let healed = Server::answering({
        let honest = honest.clone();
        move |head, _| honest.answer(head)
    });
    assert!(rig.pull(&healed).await.is_ok());
    assert_eq!(healed.count(&format!("range: bytes={half}-")), 1);
    assert_eq!(rig.partials(), [0; 0]);
}

#[tokio::test]
async fn ranges_may_be_ignored_or_wrong_and_partials_spoilt() {
    let honest = Honest::new();
    let (path, layer) = (Digest::of(&honest.layer).hex(), honest.layer.clone());
    let wrong: [fn(&Honest, &str) -> Sent; 4] = [
        |honest, head| honest.answer(head),
        |honest, _| answer(200, "", &honest.layer),
        |honest, head| match head.contains("range:") {
            true => answer(206, "Content-Range: bytes 0-1/2\r\n", &honest.layer[..2]),
            false => answer(200, "", &honest.layer),
        },
        |honest, head| match head.contains("range:") {
            true => answer(416, "", b""),
            false => answer(200, "", &honest.layer),
        },
    ];
    for (number, layers) in wrong.into_iter().enumerate() {
        let server = Server::answering({
            let honest = honest.clone();
            move |head, _| match head.contains(&honest.layer_path()) {
                true => layers(&honest, head),
                false => honest.answer(head),
            }
        });
        for spoilt in
            [layer[..1000].to_vec(), vec![9; 1000], vec![9; layer.len()], vec![9; 1 << 20]]
        {
            let rig = Rig::new();
            std::fs::write(rig.store.partial_dir().join(&path), &spoilt).unwrap();
            let pulled = rig.pull(&server).await;
            assert!(pulled.is_ok(), "{number}, {} bytes: {pulled:?}", spoilt.len());
            assert_eq!(rig.partials(), [0; 0]);
        }
        let rig = Rig::new();
        std::fs::write(rig.store.partial_dir().join(&path), &layer).unwrap();
        let before = server.count(&honest.layer_path());
        assert!(rig.pull(&server).await.is_ok());
        assert_eq!(server.count(&honest.layer_path()), before, "it is here as a whole");
    }
}

#[tokio::test]
async fn downloads_that_nobody_is_at_are_cleared_away() {
    let rig = Rig::new();
    let (here, there) = (Digest::of(b"here"), Digest::of(b"there"));
    for digest in [here, there] {
        std::fs::write(rig.store.partial_dir().join(digest.hex()), b"1234").unwrap();
    }
    let claim = rig.store.claim([here]).await;
    assert_eq!(rig.store.clear_partials(Some(Time(0))).unwrap(), 0, "they are not old");
    assert_eq!(rig.store.clear_partials(None).unwrap(), 4);
    drop(claim);
    let late = Time(u64::MAX);
    assert_eq!(rig.store.clear_partials(Some(late)).unwrap(), 4);
}
