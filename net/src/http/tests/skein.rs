//! The log's own routes: asked, followed, looked back at.

use axum::body::Body;
use axum::http::Method;
use expect_test::expect;
use http_body_util::BodyExt;
use serde_json::{Value, json};

use super::client::Server;

/// One line of a stream that goes on.
struct Lines {
    body: hyper::body::Incoming,
    buffer: Vec<u8>,
}

impl Lines {
    async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.buffer.iter().position(|b| *b == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                return Some(serde_json::from_slice(&line).unwrap());
            }
            let frame = self.body.frame().await?.unwrap();
            self.buffer.extend_from_slice(&frame.into_data().unwrap());
        }
    }
}

async fn follow(server: &Server, query: &str) -> Lines {
    let path = format!("/skein/v1/tail?follow=1&{query}");
    let response = server.send(Method::GET, &path, &[], Body::empty()).await;
    assert_eq!(response.status().as_u16(), 200);
    Lines { body: response.into_body(), buffer: Vec::new() }
}

#[tokio::test]
async fn the_log_tells_who_did_what_and_why() {
    let server = Server::start();
    server.post("/swarm/init", super::docker::INIT).await.done(200);
    let headers = [("skein-reason", "ticket-42 für Ana"), ("skein-request-id", "abc")];
    let body = Body::from(super::docker::NETWORK);
    server.ask(Method::POST, "/v1.50/networks/create", &headers, body).await.done(201);
    let mut line = server.get("/skein/v1/log?object=network/demo").await.lines().remove(0);
    assert_eq!(line["who"]["type"], "user");
    assert_eq!(line["who"]["uid"], nix::unistd::getuid().as_raw());
    line["who"] = json!("a user");
    expect![[r#"
        {
          "cause": null,
          "client": "Docker-Client/28.2.2 (linux)",
          "data": {
            "gateway": "10.0.1.1",
            "id": "evtdem3ubjd8f4r9rw7jhrdqz",
            "ip_range": null,
            "spec": {
              "attachable": true,
              "internal": false,
              "labels": [],
              "name": "demo",
              "options": []
            },
            "subnet": "10.0.1.0/24",
            "vni": 4097
          },
          "detail": null,
          "epoch": 1,
          "kind": "network.created",
          "name": "demo",
          "position": 4,
          "reason": "ticket-42 für Ana",
          "request": "aqxsllb60byeyqyuhd86gkg9w",
          "subject": "network/evtdem3ubjd8f4r9rw7jhrdqz",
          "time": "2026-11-23T14:00:00.003Z",
          "version": 2,
          "wall": "2026-11-23T14:00:00.003Z",
          "who": "a user"
        }"#]]
    .assert_eq(&serde_json::to_string_pretty(&line).unwrap());

    // The same request again has one effect and the same answer.
    let body = Body::from(super::docker::NETWORK);
    let again = server.ask(Method::POST, "/v1.50/networks/create", &headers, body).await;
    again.done(201);
    assert_eq!(again.headers["skein-position"], "@4");
    assert_eq!(server.get("/skein/v1/requests/abc").await.done(200)["first"], 4);
    server.get("/skein/v1/requests/other").await.refused(404);
    server.stop().await;
}

#[tokio::test]
async fn the_log_finds_what_is_gone() {
    let server = Server::with_story().await;
    let task = server.get("/tasks/web.1").await.done(200)["ID"].as_str().unwrap().to_owned();
    server.delete("/services/web").await.done(200);
    server.delete("/networks/demo").await.done(204);
    let kinds = |lines: Vec<Value>| -> Vec<String> {
        lines.iter().map(|l| l["kind"].as_str().unwrap().to_owned()).collect()
    };
    let web = server.get("/skein/v1/log?object=web").await.lines();
    assert!(web.iter().all(|l| l["name"] == "web"), "{web:?}");
    assert_eq!(kinds(web), ["service.created", "service.removed"]);
    let demo = server.get("/skein/v1/log?object=network/demo").await.lines();
    assert_eq!(kinds(demo), ["network.created", "network.removed"]);
    for object in ["web.1", &task, &task[..8]] {
        let lines = server.get(&format!("/skein/v1/log?object={object}")).await.lines();
        assert_eq!(kinds(lines)[..2], ["task.created", "task.assigned"], "{object}");
    }
    assert_eq!(
        server.get("/skein/v1/log?object=nosuch").await.refused(404),
        "object nosuch not found"
    );
    // Bounds are positions, both included.
    let some = server.get("/skein/v1/log?from=@2&to=@4").await.lines();
    assert_eq!(some.iter().map(|l| l["position"].as_u64().unwrap()).collect::<Vec<_>>(), [2, 3, 4]);
    // A limit means the newest ones, in order.
    let positions = |lines: Vec<Value>| -> Vec<u64> {
        lines.iter().map(|l| l["position"].as_u64().unwrap()).collect()
    };
    let all = positions(server.get("/skein/v1/log").await.lines());
    let newest = positions(server.get("/skein/v1/log?limit=2").await.lines());
    assert_eq!(newest, all[all.len() - 2..]);
    let web = positions(server.get("/skein/v1/log?object=web").await.lines());
    let newest = positions(server.get("/skein/v1/log?object=web&limit=1").await.lines());
    assert_eq!(newest, web[web.len() - 1..]);
    assert!(server.get("/skein/v1/log?limit=0").await.lines().is_empty());
    let newest = positions(server.get("/skein/v1/log?to=@4&limit=2").await.lines());
    assert_eq!(newest, [3, 4]);
    server.get("/skein/v1/log?from=yesterday").await.refused(400);
    // Moments are bounds, too, and so is the header.
    assert!(server.get("/skein/v1/log?to=-10m").await.lines().is_empty());
    let all = server.get("/skein/v1/log").await.lines().len();
    assert_eq!(server.get("/skein/v1/log?from=-10m").await.lines().len(), all);
    let headers = [("skein-at", "@2")];
    let early = server.ask(Method::GET, "/skein/v1/log", &headers, Body::empty()).await;
    assert_eq!(early.lines().len(), 2);
    let images = server.ask(Method::GET, "/images/json", &headers, Body::empty()).await;
    assert!(images.refused(400).contains("leave out --at"));
    server.stop().await;
}

#[tokio::test]
async fn a_redacted_reason_is_shown_as_such() {
    let server = Server::start();
    server.post("/swarm/init", super::docker::INIT).await.done(200);
    let body = Body::from(super::docker::NETWORK);
    let headers = [("skein-reason", "the password is hunter2")];
    server.ask(Method::POST, "/networks/create", &headers, body).await.done(201);
    let without = server.post("/skein/v1/redact", r#"{"position":4}"#).await.refused(400);
    assert!(without.contains("-m REASON"), "{without}");
    let headers = [("skein-reason", "a password slipped in")];
    let body = Body::from(r#"{"position":4}"#);
    server.ask(Method::POST, "/skein/v1/redact", &headers, body).await.done(200);
    let line = server.get("/skein/v1/log?object=demo").await.lines().remove(0);
    assert_eq!(line["reason"], json!({"redacted": true}));
    server.stop().await;
}

#[tokio::test]
async fn a_tail_resumes_strictly_after_its_cursor() {
    let server = Server::with_story().await;
    let all = server.get("/skein/v1/tail?from=start").await.lines();
    let positions: Vec<u64> = all.iter().map(|l| l["position"].as_u64().unwrap()).collect();
    let expected: Vec<u64> = (1..=positions.len() as u64).collect();
    assert_eq!(positions, expected);
    for line in &all {
        assert_eq!(line["specversion"], "1.0");
        assert_eq!(line["source"], all[0]["source"]);
        assert_eq!(line["id"], format!("{}.{}", line["epoch"], line["position"]));
        let cursor = line["cursor"].as_str().unwrap();
        let rest = server.get(&format!("/skein/v1/tail?from={cursor}")).await.lines();
        let first = rest.first().map(|l| l["position"].as_u64().unwrap());
        assert_eq!(
            first,
            positions.get(usize::try_from(line["position"].as_u64().unwrap()).unwrap()).copied()
        );
    }
    assert_eq!(all[0]["type"], "io.skein.cluster.created.v1");
    let from = server.get("/skein/v1/tail?from=@3").await.lines();
    assert_eq!(from[0]["position"], 3);
    assert!(server.get("/skein/v1/tail?from=now").await.lines().is_empty());
    server.get("/skein/v1/tail?from=nonsense").await.refused(400);
    server.stop().await;
}

#[tokio::test]
async fn a_cursor_of_another_history_is_gone() {
    let server = Server::with_story().await;
    let lines = server.get("/skein/v1/tail?from=start").await.lines();
    let cursor = lines[5]["cursor"].as_str().unwrap().to_owned();
    let beyond = format!("1.{}.00000000", lines.len() + 100);
    server.fake.fork();
    for cursor in [cursor.as_str(), &beyond, "2.1.00000000"] {
        let answer = server.get(&format!("/skein/v1/tail?from={cursor}")).await;
        let message = answer.refused(410);
        assert!(message.contains("not on this history"), "{message}");
        assert!(answer.json().as_object().unwrap().contains_key("ancestor"));
    }
    server.stop().await;
}

#[tokio::test]
async fn a_follower_hears_news_and_where_it_is() {
    let server = Server::with_story().await;
    // The answer begins before there is anything to say, and bookmarks come even when nothing happens.
    let mut lines = follow(&server, "from=now&heartbeat=100ms").await;
    let bookmark = lines.next().await.unwrap()["bookmark"].as_str().unwrap().to_owned();
    let end = server.get("/skein/v1/tail").await.lines().pop().unwrap();
    assert_eq!(end["cursor"], bookmark.as_str());
    let network = super::docker::NETWORK.replace("demo", "other");
    server.post("/networks/create", &network).await.done(201);
    let event = loop {
        let line = lines.next().await.unwrap();
        if line["type"].is_string() {
            break line;
        }
    };
    assert_eq!(
        (&event["type"], &event["name"]),
        (&json!("io.skein.network.created.v2"), &json!("other"))
    );
    // Whoever kept the bookmark misses nothing.
    let rest = server.get(&format!("/skein/v1/tail?from={bookmark}")).await.lines();
    assert_eq!(rest[0]["cursor"], event["cursor"]);
    // The end of the server is the end of the stream, not an error.
    server.stop().await;
    while lines.next().await.is_some() {}
}

#[tokio::test]
async fn reads_look_back() {
    let server = Server::with_story().await;
    let made =
        server.get("/skein/v1/log?object=web").await.lines()[0]["position"].as_u64().unwrap();
    let at = |moment: String| {
        let server = &server;
        async move {
            let headers = [("skein-at", moment.as_str())];
            server.ask(Method::GET, "/v1.50/services", &headers, Body::empty()).await
        }
    };
    assert_eq!(at(format!("@{}", made - 1)).await.done(200), json!([]));
    assert_eq!(at(made.to_string()).await.done(200)[0]["Spec"]["Name"], "web");
    assert_eq!(at("-10m".to_owned()).await.done(200), json!([]));
    assert_eq!(at("2026-11-23T15:00:00Z".to_owned()).await.done(200)[0]["Spec"]["Name"], "web");
    at("last tuesday".to_owned()).await.refused(400);
    let headers = [("skein-at", "@3")];
    let change = server.ask(Method::DELETE, "/services/web", &headers, Body::empty()).await;
    assert!(change.refused(400).contains("the past cannot be changed"));
    server.stop().await;
}

#[tokio::test]
async fn why_and_verify_answer() {
    let server = Server::with_story().await;
    let headers = [("skein-at", "@5")];
    let why = server.ask(Method::GET, "/skein/v1/why/task/web.1", &headers, Body::empty()).await;
    expect![[r#"
        {
          "chain": [
            {
              "details": [
                "n1 chosen"
              ],
              "position": 7,
              "reason": "ticket-42",
              "text": "asked at Some(Position(Position(5)))",
              "time": "2026-11-23T14:00:00Z",
              "who": {
                "name": "scheduler",
                "type": "planner"
              }
            }
          ],
          "name": null,
          "object": "task/web.1"
        }"#]]
    .assert_eq(&serde_json::to_string_pretty(&why.done(200)).unwrap());
    assert_eq!(server.get("/skein/v1/verify").await.done(200)["ok"], true);
    assert_eq!(server.get("/skein/v1/nosuch").await.refused(404), "page not found");
    server.stop().await;
}

#[tokio::test]
async fn two_moments_are_compared() {
    let server = Server::with_story().await;
    let before = server.get("/skein/v1/log").await.lines().len();
    server.delete("/services/web").await.done(200);
    let path = format!("/skein/v1/diff?from=@{before}&object=web");
    let answer = server.get(&path).await.done(200);
    assert_eq!(answer["from"], before);
    assert_eq!(answer["differences"][0]["change"], "removed");
    assert_eq!(answer["differences"][0]["name"], "web");
    let all = server.get(&format!("/skein/v1/diff?from=@4&to=@{before}")).await.done(200);
    let names: Vec<_> = all["differences"].as_array().unwrap().iter().map(|d| &d["name"]).collect();
    assert!(names.contains(&&json!("web")) && names.contains(&&json!("web.1")), "{names:?}");
    assert!(server.get("/skein/v1/diff").await.refused(400).contains("from=@8000"));
    server.get("/skein/v1/diff?from=@1&object=nosuch").await.refused(404);
    server.stop().await;
}

#[tokio::test]
async fn the_log_is_asked_by_who_and_kind_and_tells_patches() {
    let server = Server::with_story().await;
    let headers = [("skein-reason", "more")];
    let spec = server.get("/services/web").await.done(200);
    let (version, mut spec) = (spec["Version"]["Index"].clone(), spec["Spec"].clone());
    spec["Mode"]["Replicated"]["Replicas"] = json!(3);
    let path = format!("/services/web/update?version={version}");
    let body = Body::from(spec.to_string());
    server.ask(Method::POST, &path, &headers, body).await.done(200);
    let kinds = |lines: Vec<Value>| -> Vec<String> {
        lines.iter().map(|l| l["kind"].as_str().unwrap().to_owned()).collect()
    };
    let path = "/skein/v1/log?kind=service.created,network";
    let some = server.get(path).await.lines();
    assert_eq!(kinds(some), ["network.created", "service.created"]);
    expect![[r#"there is no kind of event "serv": the nouns are cluster, consumer, exec, image, network, node, service, task, volume, and a kind is such as service.scaled"#]]
        .assert_eq(&server.get("/skein/v1/log?kind=serv").await.refused(400));
    let audit = json!({"name": "audit", "from": "@1"}).to_string();
    server.post("/skein/v1/consumers", &audit).await.done(201);
    let moved = server.get("/skein/v1/log?kind=consumer").await.lines();
    assert_eq!(moved[0]["detail"], "audit");
    assert_eq!(kinds(moved), ["cluster.consumer-created"]);
    let far = json!({"name": "far", "from": "@99999999"}).to_string();
    let refused = server.post("/skein/v1/consumers", &far).await.refused(400);
    assert!(refused.starts_with("there is no record @99999999 yet"), "{refused}");
    let planned = server.get("/skein/v1/log?who=planner%20scheduler&kind=task").await.lines();
    assert!(!planned.is_empty() && kinds(planned).iter().all(|k| k == "task.assigned"));
    let user = server.get("/skein/v1/log?who=user&limit=1&patch=1").await.lines();
    expect!["[]"].assert_eq(&user[0]["patch"].to_string());
    // Of a new object a patch is what was asked for; without the question there is none.
    let created = server.get("/skein/v1/log?kind=network.created&patch=1").await.lines();
    let patch = created[0]["patch"].as_array().unwrap();
    assert!(patch.contains(&json!({"path": "spec.name", "before": null, "after": "demo"})));
    assert!(server.get("/skein/v1/log?limit=1").await.lines()[0].get("patch").is_none());
    server.stop().await;
}

#[tokio::test]
async fn why_not_is_asked_of_a_node() {
    let server = Server::with_story().await;
    let node = server.get("/nodes").await.done(200)[0]["Description"]["Hostname"].clone();
    let path = format!("/skein/v1/why-not/{}", node.as_str().unwrap());
    let all = server.get(&path).await.done(200);
    assert_eq!(all["services"][0]["name"], "web");
    assert_eq!(all["services"][0]["here"], 2);
    let task = server.get(&format!("{path}?object=web.1")).await.done(200);
    let line = task["services"][0]["lines"][0].as_str().unwrap();
    assert!(line.starts_with("task web.1 is on node "), "{line}");
    assert!(server.get(&format!("{path}?object=demo")).await.refused(400).contains("a network"));
    server.get("/skein/v1/why-not/nosuch").await.refused(404);
    let steps = server.get("/skein/v1/timeline/service/web?limit=5").await.done(200);
    assert_eq!(steps["object"], "service/web, the last 5");
    server.stop().await;
}

#[tokio::test]
async fn a_dry_run_says_what_would_happen_and_changes_nothing() {
    let server = Server::with_story().await;
    let before = server.get("/skein/v1/log").await.lines();
    let headers = [("skein-dry-run", "1"), ("skein-reason", "what if")];
    let ask =
        |method, path, body: &'static str| server.ask(method, path, &headers, Body::from(body));
    let answer = ask(Method::DELETE, "/v1.50/services/web", "").await.done(422);
    assert_eq!(answer["code"], "dry_run");
    assert_eq!(answer["rehearsal"]["valid_at"], before.len());
    assert_eq!(answer["rehearsal"]["steps"][0]["text"], "service.removed");
    let text = answer["message"].as_str().unwrap();
    assert!(
        text.starts_with("dry run at @") && text.contains("\n  +1    service.removed"),
        "{text}"
    );
    // What would be refused is refused with its own status, and what only this machine does is not played through.
    ask(Method::DELETE, "/services/nosuch", "").await.refused(404);
    let text = ask(Method::POST, "/swarm/leave?force=1", "").await.refused(501);
    assert!(text.contains("leave out --dry-run"), "{text}");
    ask(Method::POST, "/images/load", "x").await.refused(501);
    // A prune of several networks tells all of them.
    for name in ["one", "two"] {
        let network = json!({"Name": name, "Driver": "overlay"}).to_string();
        server.post("/networks/create", &network).await.done(201);
    }
    let before = server.get("/skein/v1/log").await.lines();
    let pruned = ask(Method::POST, "/networks/prune", "").await.done(422);
    let steps = pruned["rehearsal"]["steps"].as_array().unwrap();
    let at: Vec<u64> = steps.iter().map(|step| step["position"].as_u64().unwrap()).collect();
    let head = before.len() as u64;
    assert_eq!(at, [head + 1, head + 2]);
    assert_eq!(server.get("/skein/v1/log").await.lines(), before);
    // Reading is as ever, and a header that says no is none.
    ask(Method::GET, "/services", "").await.done(200);
    let off = [("skein-dry-run", "0")];
    server.ask(Method::DELETE, "/services/web", &off, Body::empty()).await.done(200);
    server.stop().await;
}

#[tokio::test]
async fn a_change_may_ask_that_nothing_changed_before() {
    let server = Server::with_story().await;
    let created = server.get("/skein/v1/log?kind=service.created").await.lines();
    let at = created[0]["position"].as_u64().unwrap();
    let ask = |position: String| {
        let headers: Vec<(&'static str, String)> = vec![("skein-if-at", position)];
        let server = &server;
        async move {
            let headers: Vec<(&str, &str)> =
                headers.iter().map(|(k, v)| (*k, v.as_str())).collect();
            server.ask(Method::DELETE, "/services/web", &headers, Body::empty()).await
        }
    };
    let text = ask(format!("@{}", at - 1)).await.refused(412);
    assert_eq!(text, format!("service web changed at @{at}, after @{}", at - 1));
    assert!(ask("@9999".to_owned()).await.refused(400).contains("no record @9999"));
    assert!(ask("yesterday".to_owned()).await.refused(400).contains("Skein-If-At"));
    ask(format!("@{at}")).await.done(200);
    server.stop().await;
}

#[tokio::test]
async fn a_consumer_goes_on_where_it_acknowledged() {
    let server = Server::with_story().await;
    let post = |path: &'static str, body: Value| {
        let server = &server;
        async move { server.post(path, &body.to_string()).await }
    };
    post("/skein/v1/consumers", json!({"name": "audit"})).await.done(201);
    post("/skein/v1/consumers", json!({"name": "audit"})).await.refused(409);
    post("/skein/v1/consumers", json!({"name": "a b"})).await.refused(400);
    let listed = server.get("/skein/v1/consumers").await.done(200);
    assert_eq!(listed[0]["position"], 0);
    assert_eq!(listed[0]["acknowledged"], Value::Null);
    let tail = "/skein/v1/tail?consumer=audit";
    let all = server.get(tail).await.lines();
    assert_eq!(listed[0]["lag"], all.len());
    let third = all[2]["cursor"].clone();
    let ack = "/skein/v1/consumers/audit/ack";
    post(ack, json!({ "cursor": third })).await.done(204);
    let rest = server.get(tail).await.lines();
    // The record of the acknowledgement itself is not told: acknowledging it would never end.
    assert_eq!(rest[..], all[3..]);
    let last = all.last().unwrap()["cursor"].clone();
    post(ack, json!({ "cursor": last })).await.done(204);
    assert!(server.get(tail).await.lines().is_empty());
    let listed = server.get("/skein/v1/consumers").await.done(200);
    assert_eq!(listed[0]["lag"], 0, "{listed}");
    assert!(listed[0]["acknowledged"].is_string());
    // One that comes late changes nothing; one of another history is refused, and so is one of the future.
    let before = server.get("/skein/v1/log").await.lines().len();
    post(ack, json!({ "cursor": third })).await.done(204);
    assert_eq!(server.get("/skein/v1/log").await.lines().len(), before);
    post(ack, json!({ "cursor": "1.3.00000000" })).await.refused(410);
    post(ack, json!({ "cursor": "@99999" })).await.refused(400);
    post("/skein/v1/consumers/audit/seek", json!({ "to": "@2" })).await.done(204);
    assert_eq!(server.get(tail).await.lines()[0]["position"], 2);
    let both = server.get("/skein/v1/tail?consumer=audit&from=now").await.refused(400);
    assert!(both.contains("leave out from"), "{both}");
    server.delete("/skein/v1/consumers/audit").await.done(204);
    server.get(tail).await.refused(404);
    server.stop().await;
}
