//! Commands in containers: 101, frames, half-closed input, exit codes.

use axum::body::Body;
use axum::http::Method;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::client::Server;

/// Makes a command in the first task of `web`; gives its id.
async fn made(server: &Server, task: &str, stdin: bool, words: &[&str]) -> String {
    let body = json!({
        "User": "", "Privileged": false, "Tty": false, "AttachStdin": stdin, "AttachStderr": true,
        "AttachStdout": true, "Detach": false, "DetachKeys": "", "Env": null, "WorkingDir": "",
        "Cmd": words,
    });
    let answer = server.post(&format!("/v1.50/containers/{task}/exec"), &body.to_string()).await;
    answer.done(201)["Id"].as_str().unwrap().to_owned()
}

/// Starts a command over an upgraded connection, sends input and closes that half; gives all that came back.
async fn talked(server: &Server, id: &str, input: &[u8]) -> Vec<u8> {
    let headers = [("connection", "Upgrade"), ("upgrade", "tcp")];
    let start = Body::from(r#"{"Detach":false,"Tty":false}"#);
    let path = format!("/v1.50/exec/{id}/start");
    let response = server.send(Method::POST, &path, &headers, start).await;
    assert_eq!(response.status().as_u16(), 101);
    assert_eq!(response.headers()["upgrade"], "tcp");
    assert_eq!(response.headers()["content-type"], "application/vnd.docker.multiplexed-stream");
    let mut stream = TokioIo::new(hyper::upgrade::on(response).await.unwrap());
    stream.write_all(input).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut output = Vec::new();
    stream.read_to_end(&mut output).await.unwrap();
    output
}

/// The payloads of one stream, put together.
fn payload(mut frames: &[u8], stream: u8) -> String {
    let mut text = Vec::new();
    while let Some((head, rest)) = frames.split_at_checked(8) {
        let length = u32::from_be_bytes(head[4..].try_into().unwrap()) as usize;
        let (body, rest) = rest.split_at(length);
        if head[0] == stream {
            text.extend_from_slice(body);
        }
        frames = rest;
    }
    String::from_utf8(text).unwrap()
}

async fn inspected(server: &Server, id: &str) -> Value {
    server.get(&format!("/v1.50/exec/{id}/json")).await.done(200)
}

#[tokio::test]
async fn output_comes_in_frames_and_the_exit_code_is_known_after() {
    let server = Server::with_story().await;
    let id = made(&server, "web.1", false, &["sh", "-c", "x"]).await;
    assert_eq!(inspected(&server, &id).await["Running"], false);
    let output = talked(&server, &id, b"").await;
    assert_eq!(payload(&output, 1), "sh -c x");
    assert_eq!(payload(&output, 2), "err\n");
    let after = inspected(&server, &id).await;
    assert_eq!(
        (&after["Running"], &after["ExitCode"], &after["Pid"]),
        (&json!(false), &json!(7), &json!(99))
    );
    assert_eq!(after["ProcessConfig"]["entrypoint"], "sh");
    let again = server.post(&format!("/exec/{id}/start"), "{}").await.refused(409);
    assert!(again.contains("already run"), "{again}");
    server.stop().await;
}

#[tokio::test]
async fn input_reaches_the_command_until_the_client_closes_its_half() {
    let server = Server::with_story().await;
    let input = "hello\n".repeat(10_000);
    let id = made(&server, "web.2", true, &["cat"]).await;
    let output = talked(&server, &id, input.as_bytes()).await;
    assert_eq!(payload(&output, 1), input);
    assert_eq!(inspected(&server, &id).await["ExitCode"], 0);
    server.stop().await;
}

#[tokio::test]
async fn what_cannot_be_executed_says_so_on_its_output() {
    let server = Server::with_story().await;
    let id = made(&server, "web.1", false, &["nosuch"]).await;
    let output = talked(&server, &id, b"").await;
    assert_eq!(payload(&output, 1), "exec: \"nosuch\": executable file not found in $PATH\r\n");
    assert_eq!(inspected(&server, &id).await["ExitCode"], 127);
    server.stop().await;
}

#[tokio::test]
async fn a_terminal_has_no_frames_changes_its_size_and_can_be_left() {
    let server = Server::with_story().await;
    let body = json!({"Tty": true, "AttachStdin": true, "ConsoleSize": [24, 80], "Cmd": ["cat"]});
    let made = server.post("/containers/web.1/exec", &body.to_string()).await.done(201);
    let id = made["Id"].as_str().unwrap().to_owned();
    let resize = |h: u16| format!("/exec/{id}/resize?h={h}&w=100");
    server.post(&resize(30), "").await.refused(409);
    let headers = [("connection", "Upgrade"), ("upgrade", "tcp")];
    let start = Body::from(r#"{"Detach":false,"Tty":true}"#);
    let response = server.send(Method::POST, &format!("/exec/{id}/start"), &headers, start).await;
    assert_eq!(response.status().as_u16(), 101);
    assert_eq!(response.headers()["content-type"], "application/vnd.docker.raw-stream");
    let mut stream = TokioIo::new(hyper::upgrade::on(response).await.unwrap());
    let mut seen = [0; 7];
    stream.read_exact(&mut seen).await.unwrap();
    assert_eq!(&seen, b"24x80\r\n");
    server.post(&resize(30), "").await.done(200);
    let mut seen = [0; 8];
    stream.read_exact(&mut seen).await.unwrap();
    assert_eq!(&seen, b"30x100\r\n");
    server.post(&resize(0), "").await.done(200);
    stream.write_all(b"typed").await.unwrap();
    let mut seen = [0; 5];
    stream.read_exact(&mut seen).await.unwrap();
    assert_eq!(&seen, b"typed");
    // The keys end the connection, not the command.
    stream.write_all(b"\x10\x11").await.unwrap();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.unwrap();
    assert_eq!(
        (rest.as_slice(), &inspected(&server, &id).await["Running"]),
        (&b""[..], &json!(true))
    );
    server.stop().await;
}

#[tokio::test]
async fn containers_are_found_by_task_name_task_id_and_container_id() {
    let server = Server::with_story().await;
    let task = server.get("/tasks/web.1").await.done(200);
    let id = task["ID"].as_str().unwrap().to_owned();
    let container = task["Status"]["ContainerStatus"]["ContainerID"].as_str().unwrap().to_owned();
    for name in ["web.1", &id, &container, &container[..12], &format!("web.1.{id}")] {
        let found = server.get(&format!("/containers/{name}/json")).await.done(200);
        assert_eq!(found["Id"], container.as_str(), "{name}");
        assert_eq!(found["Name"], format!("/web.1.{id}"));
        assert_eq!(found["State"]["Running"], true);
        made(&server, name, false, &["true"]).await;
    }
    server.stop().await;
}

#[tokio::test]
async fn without_upgrade_the_frames_are_the_body() {
    let server = Server::with_story().await;
    let id = made(&server, "web.1", false, &["echo", "hi"]).await;
    let answer = server.post(&format!("/exec/{id}/start"), "").await;
    assert_eq!(payload(&answer.body, 1), "echo hi");
    assert_eq!(inspected(&server, &id).await["ExitCode"], 7);
    server.stop().await;
}

#[tokio::test]
async fn a_detached_command_runs_to_its_end() {
    let server = Server::with_story().await;
    let long = "x".repeat(100_000);
    let id = made(&server, "web.1", false, &["echo", &long]).await;
    server.post(&format!("/exec/{id}/start"), r#"{"Detach":true}"#).await.done(200);
    while inspected(&server, &id).await["Running"] == true {}
    assert_eq!(inspected(&server, &id).await["ExitCode"], 7);
    server.stop().await;
}

#[tokio::test]
async fn what_exec_cannot_do_is_refused() {
    let server = Server::with_story().await;
    let path = "/containers/web.1/exec";
    server.post(path, r#"{"Tty":true,"DetachKeys":"ctrl-A","Cmd":["sh"]}"#).await.refused(400);
    server.post(path, r#"{"Privileged":true,"Cmd":["sh"]}"#).await.refused(501);
    assert_eq!(server.post(path, r#"{"Cmd":[]}"#).await.refused(400), "No exec command specified");
    assert_eq!(
        server.post("/containers/nosuch/exec", r#"{"Cmd":["x"]}"#).await.refused(404),
        "No such container: nosuch"
    );
    server.post("/exec/nosuch/start", "{}").await.refused(404);
    server.stop().await;
}
