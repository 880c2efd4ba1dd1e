//! What containers said: frames with the three details of the swarm, in the order of their times.

use axum::body::Body;
use axum::http::Method;
use expect_test::expect;
use http_body_util::BodyExt;
use serde_json::json;

use super::client::Server;

/// Frames as lines: the stream's number, then what it carries, ids replaced.
async fn shown(server: &Server, path: &str) -> String {
    let answer = server.get(path).await;
    assert_eq!(answer.status.as_u16(), 200, "{path}");
    assert_eq!(answer.headers["content-type"], "application/vnd.docker.multiplexed-stream");
    let mut text = String::new();
    let mut rest = &answer.body[..];
    while let Some((head, after)) = rest.split_at_checked(8) {
        let length = u32::from_be_bytes(head[4..].try_into().unwrap()) as usize;
        let (line, after) = after.split_at(length);
        text.push_str(&format!("{} {}", head[0], String::from_utf8_lossy(line)));
        rest = after;
    }
    let list = server.get("/tasks").await.done(200);
    for task in list.as_array().unwrap() {
        let slot = &task["Slot"];
        text = text.replace(task["ID"].as_str().unwrap(), &format!("TASK{slot}"));
        text = text.replace(task["ServiceID"].as_str().unwrap(), "SERVICE");
        text = text.replace(task["NodeID"].as_str().unwrap(), "NODE");
    }
    text
}

#[tokio::test]
async fn lines_of_a_service_are_in_the_order_of_their_times() {
    let server = Server::with_story().await;
    let path = "/v1.50/services/web/logs?stdout=1&stderr=1&details=1&timestamps=1";
    expect![[r#"
        1 2026-11-23T14:00:01.000000001Z com.docker.swarm.node.id=NODE,com.docker.swarm.service.id=SERVICE,com.docker.swarm.task.id=TASK1 line 1
        1 2026-11-23T14:00:01.000000002Z com.docker.swarm.node.id=NODE,com.docker.swarm.service.id=SERVICE,com.docker.swarm.task.id=TASK2 line 2
        2 2026-11-23T14:00:02.000000001Z com.docker.swarm.node.id=NODE,com.docker.swarm.service.id=SERVICE,com.docker.swarm.task.id=TASK1 err 1
        2 2026-11-23T14:00:02.000000002Z com.docker.swarm.node.id=NODE,com.docker.swarm.service.id=SERVICE,com.docker.swarm.task.id=TASK2 err 2
    "#]].assert_eq(&shown(&server, path).await);
    let path = "/services/web/logs?stderr=1&tail=1&since=1795442402.000000002";
    expect![[r#"
        2 err 2
    "#]]
    .assert_eq(&shown(&server, path).await);
    let container = shown(&server, "/containers/web.2/logs?stdout=1&stderr=1&tail=1").await;
    assert_eq!(container, "2 err 2\n");
    assert_eq!(shown(&server, "/tasks/web.1/logs?stdout=1").await, "1 line 1\n");
    server.stop().await;
}

#[tokio::test]
async fn what_is_followed_has_the_lines_of_new_tasks_too() {
    let server = Server::with_story().await;
    let path = "/services/web/logs?stdout=1&follow=1";
    let response = server.send(Method::GET, path, &[], Body::empty()).await;
    assert_eq!(response.status().as_u16(), 200);
    let mut body = response.into_body();
    let mut seen = Vec::new();
    while seen.len() < 2 {
        seen.push(body.frame().await.unwrap().unwrap().into_data().unwrap().slice(8..));
    }
    let service = server.get("/services/web").await.done(200);
    let version = service["Version"]["Index"].as_u64().unwrap();
    let mut spec = service["Spec"].clone();
    spec["Mode"]["Replicated"]["Replicas"] = json!(3);
    server
        .post(&format!("/services/web/update?version={version}"), &spec.to_string())
        .await
        .done(200);
    seen.push(body.frame().await.unwrap().unwrap().into_data().unwrap().slice(8..));
    assert_eq!(seen, ["line 1\n", "line 2\n", "line 3\n"]);
    server.stop().await;
}

#[tokio::test]
async fn logs_that_mean_nothing_are_refused() {
    let server = Server::with_story().await;
    let refused = server.get("/services/web/logs").await.refused(400);
    assert_eq!(refused, "Bad parameters: you must choose at least one stream");
    server.get("/services/nosuch/logs?stdout=1").await.refused(404);
    server.get("/tasks/nosuch/logs?stdout=1").await.refused(404);
    server.get("/containers/nosuch/logs?stdout=1").await.refused(404);
    server.get("/services/web/logs?stdout=1&since=x").await.refused(400);
    server.stop().await;
}
