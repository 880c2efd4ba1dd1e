//! What is no request: malformed, oversized, cut off, endless. Each gets an answer or a closed connection, never a panic.

use axum::body::Body;
use axum::http::Method;
use proptest::prelude::{Strategy, any, prop};
use proptest::test_runner::{Config, TestRunner};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::client::Server;

const POSTS: &[&str] = &[
    "/swarm/init",
    "/networks/create",
    "/services/create",
    "/services/web/update?version=1",
    "/containers/web.1/exec",
    "/exec/x/start",
    "/skein/v1/redact",
];

/// Sends bytes as they are; gives what came back.
async fn raw(server: &Server, bytes: &[u8]) -> String {
    let mut stream = UnixStream::connect(server.path()).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn oversized_bodies_are_refused() {
    let server = Server::with_story().await;
    for path in POSTS {
        let body = Body::from(vec![b' '; (4 << 20) + 1]);
        let answer = server.ask(Method::POST, path, &[], body).await;
        assert_eq!(answer.json()["code"], "too_large", "{path}");
        answer.refused(413);
    }
    // So are heads, by the connection's end.
    let head = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(1 << 20));
    let mut stream = UnixStream::connect(server.path()).await.unwrap();
    _ = stream.write_all(head.as_bytes()).await;
    let mut answer = Vec::new();
    _ = stream.read_to_end(&mut answer).await;
    assert!(!answer.starts_with(b"HTTP/1.1 2"));
    server.get("/_ping").await.status.is_success().then_some(()).unwrap();
    server.stop().await;
}

#[tokio::test]
async fn deep_nesting_and_odd_bytes_are_refused() {
    let server = Server::with_story().await;
    let deep = "[".repeat(100_000);
    for path in POSTS {
        for body in [deep.as_bytes(), b"{\"Name\":", b"\xff\xfe", b"[1,2", b"\"text\"", b"7"] {
            let answer = server.ask(Method::POST, path, &[], Body::from(body.to_vec())).await;
            assert_eq!(answer.json()["code"], "invalid", "{path}: {}", answer.text());
        }
    }
    let bad_query = server.get("/services?filters=%ff&filters=1").await;
    assert!(bad_query.status.is_client_error());
    assert!(server.get("/services/%ff").await.status.is_client_error());
    let reason = b"DELETE /services/web HTTP/1.1\r\nhost: d\r\nskein-reason: \xff\r\nconnection: close\r\n\r\n";
    assert!(raw(&server, reason).await.starts_with("HTTP/1.1 400"));
    assert!(raw(&server, b"nonsense\r\n\r\n").await.starts_with("HTTP/1.1 400"));
    server.get("/services/web").await.done(200);
    server.stop().await;
}

/// Time passes only while nothing is left to do, so minutes of waiting take none.
#[tokio::test(start_paused = true)]
async fn clients_that_hang_hold_up_nobody_and_are_let_go() {
    let server = Server::with_story().await;
    let before = server.get("/networks").await.done(200);
    let (head, body) = (
        "GET /_ping HTTP/1.1\r\nHost: sl",
        "POST /networks/create HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n{",
    );
    let mut hanging = Vec::new();
    for start in ["", head, body].repeat(50) {
        let mut stream = UnixStream::connect(server.path()).await.unwrap();
        stream.write_all(start.as_bytes()).await.unwrap();
        hanging.push((start, stream));
    }
    assert_eq!(server.get("/networks").await.done(200), before);
    for (start, mut stream) in hanging {
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        let answer = String::from_utf8_lossy(&answer);
        let fits = if start == body {
            answer.starts_with("HTTP/1.1 408")
        } else {
            !answer.contains(" 200 ")
        };
        assert!(fits, "{start:?}: {answer}");
    }
    assert_eq!(server.get("/networks").await.done(200), before);
    server.stop().await;
}

#[tokio::test]
async fn a_body_that_is_cut_off_changes_nothing() {
    let server = Server::with_story().await;
    let body = super::docker::SERVICE.replace("web", "cut");
    let request = format!(
        "POST /services/create HTTP/1.1\r\nhost: d\r\ncontent-length: {}\r\n\r\n{body}",
        body.len() + 100
    );
    raw(&server, request.as_bytes()).await;
    server.get("/services/cut").await.refused(404);
    server.stop().await;
}

/// Any JSON, small.
fn json() -> impl Strategy<Value = Value> {
    let leaf = proptest::prop_oneof![
        proptest::strategy::Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[ -~äß]{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        proptest::prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[A-Za-z]{1,8}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// The spec of a service with one of its parts replaced by anything.
fn broken() -> impl Strategy<Value = Value> {
    let spec: Value =
        serde_json::from_str(include_str!("../../../testdata/service-create-rich.json")).unwrap();
    let mut paths = Vec::new();
    collect(&spec, String::new(), &mut paths);
    (prop::sample::select(paths), json()).prop_map(move |(path, part)| {
        let mut spec = spec.clone();
        *spec.pointer_mut(&path).unwrap() = part;
        spec
    })
}

fn collect(value: &Value, path: String, into: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            for (key, inner) in map {
                collect(inner, format!("{path}/{key}"), into);
            }
        }
        Value::Array(items) => {
            for (n, inner) in items.iter().enumerate() {
                collect(inner, format!("{path}/{n}"), into);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
    into.push(path);
}

#[test]
fn no_body_makes_a_panic() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let server = runtime.block_on(Server::with_story());
    let mut runner = TestRunner::new(Config { cases: 400, ..Config::default() });
    let bodies = proptest::prop_oneof![json(), broken()];
    runner
        .run(&(prop::sample::select(POSTS), bodies), |(path, body)| {
            // An answer at all means that no handler panicked: a panic closes the connection.
            let answer = runtime.block_on(server.post(path, &body.to_string()));
            assert!(
                answer.status.is_client_error()
                    || answer.status.is_server_error()
                    || answer.status.is_success()
            );
            Ok(())
        })
        .unwrap();
    runtime.block_on(server.stop());
}
