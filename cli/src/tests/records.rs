//! The log, its causes and its proof.

use expect_test::expect;
use serde_json::json;

use super::fake::Daemon;
use super::skein;

fn records() -> String {
    let user = json!({"position": 8101, "epoch": 1, "time": "2026-11-23T03:11:54.237744702Z", "wall": "2026-11-23T03:11:54.237Z",
        "kind": "service.scaled", "version": 1, "subject": "service/hupc", "name": "web", "who": {"type": "user", "uid": 0, "name": "root"},
        "client": "skein/0.1.0", "reason": "ticket-42", "cause": null, "data": {"replicas": 5}});
    let planned = json!({"position": 8123, "epoch": 1, "time": "2026-11-23T03:11:54.3Z", "wall": "2026-11-23T03:11:54.3Z",
        "kind": "task.assigned", "version": 1, "subject": "task/5uwx", "name": "web.2", "who": {"type": "planner", "name": "scheduler"},
        "client": "", "reason": {"redacted": true}, "cause": 8101, "data": {}});
    format!("{user}\n\n{planned}\n")
}

#[test]
fn log_is_a_line_a_record_and_json_is_passed_on() {
    let daemon = Daemon::answering([
        ("GET /skein/v1/log?object=service%2Fweb&from=%408000&limit=2", 200, records()),
        ("GET /skein/v1/log", 200, records()),
    ]);
    let words = ["log", "service/web", "-n", "2", "--since", "@8000", "--data"];
    expect![[r#"
        @8101     2026-11-23T03:11:54.237Z  service.scaled            web                       user root  "ticket-42"
                  {"replicas":5}
        @8123     2026-11-23T03:11:54.300Z  task.assigned             web.2                     planner scheduler  because of @8101  (reason redacted)
                  {}
    "#]]
    .assert_eq(&skein(&daemon, &words).out());
    assert_eq!(skein(&daemon, &["log", "--format", "json"]).out(), records().replace("\n\n", "\n"));
}

#[test]
fn redact_needs_a_position_and_a_reason() {
    let daemon =
        Daemon::answering([("POST /skein/v1/redact", 200, r#"{"position":8101}"#.to_owned())]);
    assert_eq!(skein(&daemon, &["log", "redact", "@8101"]).code, 125);
    assert_eq!(skein(&daemon, &["log", "redact", "web", "-m", "x"]).code, 125);
    assert_eq!(
        skein(&daemon, &["log", "redact", "@8101", "-m", "named a person"]).out(),
        "@8101 redacted\n"
    );
    expect![[r#"
        [
            "POST /skein/v1/redact\n  skein-reason: named a person\n  skein-request-id: 25 characters\n  {\"position\":8101}",
        ]
    "#]]
    .assert_debug_eq(&daemon.asked());
}

#[test]
fn why_is_told_from_the_newest_cause_to_the_users_command() {
    let answer = json!({"object": "task/5uwx", "name": "web.2", "chain": [
        {"position": 8123, "time": "2026-11-23T03:11:54.3Z", "text": "task web.2 was assigned to node n1",
         "who": {"type": "planner", "name": "scheduler"}, "reason": null,
         "details": ["node n1: chosen, 0 tasks of this service, 2 in all", "node n2: ruled out: not ready"]},
        {"position": 8101, "time": "2026-11-23T03:11:54.237Z", "text": "service web was scaled from 3 to 5",
         "who": {"type": "user", "uid": 1000}, "reason": "ticket-42", "details": []},
    ]});
    let daemon = Daemon::answering([("GET /skein/v1/why/web.2", 200, answer.to_string())]);
    expect![[r#"
        web.2 (task/5uwx)
        @8123     2026-11-23T03:11:54.300Z  task web.2 was assigned to node n1
                  by planner scheduler
                  node n1: chosen, 0 tasks of this service, 2 in all
                  node n2: ruled out: not ready
        @8101     2026-11-23T03:11:54.237Z  service web was scaled from 3 to 5
                  by user 1000: "ticket-42"
    "#]]
    .assert_eq(&skein(&daemon, &["why", "web.2", "--at", "@8200"]).out());
    assert_eq!(daemon.asked(), ["GET /skein/v1/why/web.2\n  skein-at: @8200"]);
}

#[test]
fn verify_fails_where_the_chain_breaks() {
    const PATH: &str = "GET /skein/v1/verify";
    let good = json!({"records": 12, "entries": 7, "head": "ab12", "ok": true, "first_bad": null, "redacted": [3, 9]});
    let daemon = Daemon::answering([(PATH, 200, good.to_string())]);
    expect![[r#"
        ok: 12 records in 7 entries
        head: ab12
        redacted: @3 @9
    "#]]
    .assert_eq(&skein(&daemon, &["verify"]).out());
    let bad = json!({"records": 5, "entries": 3, "head": "", "ok": false, "redacted": [],
        "first_bad": {"position": 5, "index": 4, "reason": "hash differs"}});
    let daemon = Daemon::answering([(PATH, 200, bad.to_string())]);
    expect![[r#"
        exit 1
        the log is bad from @5 (entry 4): hash differs
    "#]]
    .assert_eq(&skein(&daemon, &["verify"]).refusal());
    assert_eq!(skein(&daemon, &["verify", "--format", "json"]).out, format!("{bad}\n"));
}

#[test]
fn patches_stand_below_their_record() {
    let record = json!({"position": 8101, "time": "2026-11-23T03:11:54.237744702Z", "kind": "service.scaled",
        "name": "web", "who": {"type": "user", "uid": 0, "name": "root"}, "data": {}, "patch": [
            {"path": "spec.mode.replicated.replicas", "before": 3, "after": 5},
            {"path": "spec.labels", "before": null, "after": [["a", "b"]]},
            {"path": "obstacle", "before": "none", "after": null}]});
    let path = "GET /skein/v1/log?who=root&kind=service%2Cnode.joined&patch=1";
    let daemon = Daemon::answering([(path, 200, format!("{record}\n"))]);
    let words = ["log", "-p", "--who", "root", "--kind", "service", "--kind", "node.joined"];
    expect![[r#"
        @8101     2026-11-23T03:11:54.237Z  service.scaled            web                       user root
                  spec.mode.replicated.replicas: 3 -> 5
                  + spec.labels: [["a","b"]]
                  - obstacle: "none"
    "#]]
    .assert_eq(&skein(&daemon, &words).out());
}

#[test]
fn two_moments_are_compared() {
    let answer = json!({"from": 8000, "to": 8123, "differences": [
        {"object": "service/hupc", "name": "web", "change": "changed", "fields": [
            {"path": "spec.mode.replicated.replicas", "before": 3, "after": 5}]},
        {"object": "task/5uwx", "name": "web.4", "change": "added"},
        {"object": "task/8oxn", "name": "web.2", "change": "removed"}]});
    let daemon = Daemon::answering([
        ("GET /skein/v1/diff?from=%408000&to=%408123&object=web", 200, answer.to_string()),
        ("GET /skein/v1/diff?from=-1h", 200, answer.to_string()),
    ]);
    expect![[r#"
        @8000..@8123
        ~ web (service/hupc)
            spec.mode.replicated.replicas: 3 -> 5
        + web.4 (task/5uwx)
        - web.2 (task/8oxn)
    "#]]
    .assert_eq(&skein(&daemon, &["diff", "@8000..@8123", "web"]).out());
    assert_eq!(skein(&daemon, &["diff", "-1h..", "--format", "json"]).out(), format!("{answer}\n"));
    assert_eq!(skein(&daemon, &["diff", "@8000"]).code, 125);
    assert_eq!(skein(&daemon, &["diff", "yesterday..@3"]).code, 125);
}

#[test]
fn why_not_takes_a_node_or_a_service_and_a_node() {
    let answer = json!({"position": 9, "node": "n1id", "name": "n1", "services": [
        {"service": "hupc", "name": "web", "here": 0, "in_all": 2, "finding": {"verdict": "not-ready"},
         "lines": ["ruled out: not ready", "node n2 has 2 of them, 3 tasks in all"]}]});
    let daemon = Daemon::answering([
        ("GET /skein/v1/why-not/n1?object=web", 200, answer.to_string()),
        ("GET /skein/v1/why-not/n1", 200, answer.to_string()),
    ]);
    expect![[r#"
        web (service/hupc): 0 of 2 tasks on n1
            ruled out: not ready
            node n2 has 2 of them, 3 tasks in all
    "#]]
    .assert_eq(&skein(&daemon, &["why-not", "web", "n1"]).out());
    assert_eq!(skein(&daemon, &["why-not", "n1", "--service", "web"]).code, 0);
    assert_eq!(skein(&daemon, &["why-not", "n1", "--format", "json"]).out(), format!("{answer}\n"));
    assert_eq!(skein(&daemon, &["why-not", "web", "n1", "--service", "web"]).code, 125);
    assert_eq!(skein(&daemon, &["why-not"]).code, 125);
}

#[test]
fn a_timeline_says_how_long_each_step_took() {
    let answer = json!({"object": "task/5uwx", "name": "web.2", "chain": [
        {"position": 8101, "time": "2026-11-23T03:11:54.237Z", "text": "service web was scaled to 5",
         "who": {"type": "user", "uid": 1000}, "reason": "ticket-42", "details": []},
        {"position": 8123, "time": "2026-11-23T03:11:54.3Z", "text": "task web.2 was put on node n1",
         "who": {"type": "planner", "name": "scheduler"}, "reason": null, "details": ["1 node looked at"]}]});
    let daemon = Daemon::answering([(
        "GET /skein/v1/timeline/service/web?limit=2",
        200,
        answer.to_string(),
    )]);
    expect![[r#"
        web.2 (task/5uwx)
        @8101     2026-11-23T03:11:54.237Z  service web was scaled to 5
                  by user 1000: "ticket-42"
        @8123     2026-11-23T03:11:54.300Z  +0.063s  task web.2 was put on node n1
                  by planner scheduler
                  1 node looked at
    "#]]
    .assert_eq(&skein(&daemon, &["timeline", "service/web", "-n", "2"]).out());
}
