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
