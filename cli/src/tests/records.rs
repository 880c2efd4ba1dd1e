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
        "client": "", "reason": {"redacted": true}, "cause": 8101, "data": {}, "detail": "hello:1 pulled"});
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
        @8123     2026-11-23T03:11:54.300Z  task.assigned             web.2                     planner scheduler  hello:1 pulled  because of @8101  (reason redacted)
                  {}
    "#]]
    .assert_eq(&skein(&daemon, &words).out());
    assert_eq!(skein(&daemon, &["log", "--format", "json"]).out(), records().replace("\n\n", "\n"));
    assert_eq!(skein(&daemon, &["log", "-q"]).out(), "8101\n8123\n");
    let lines = ["log", "--format", "{{.position}} {{.who.name}}{{if .cause}} @{{.cause}}{{end}}"];
    assert_eq!(skein(&daemon, &lines).out(), "8101 root\n8123 scheduler @8101\n");
    expect![[r#"
        KIND             NAME
        service.scaled   root
        task.assigned    scheduler
    "#]]
    .assert_eq(&skein(&daemon, &["log", "--format", r"table {{.kind}}\t{{.who.name}}"]).out());
    expect![[r#"
        exit 125
        map has no entry for key: nosuch
        hint: the fields are .cause, .client, .data, .epoch, .kind, .name, .position, .reason, .subject, .time, .version, .wall, .who
    "#]].assert_eq(&skein(&daemon, &["log", "--format", "{{.nosuch}}"]).refusal());
}

#[test]
fn the_logs_filters_are_its_options_by_another_name() {
    let path = "GET /skein/v1/log?who=root&kind=service%2Cnode";
    let daemon = Daemon::answering([(path, 200, records())]);
    let filters = ["log", "-q", "-f", "kind=service", "-f", "who=root", "-f", "kind=node"];
    assert_eq!(skein(&daemon, &filters).out(), "8101\n8123\n");
    for wrong in [&["-f", "who=a", "-f", "who=b"][..], &["-f", "colour=red"]] {
        assert_eq!(skein(&daemon, &[&["log"], wrong].concat()).code, 125);
    }
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
    let lines = ["why", "web.2", "--at", "@8200", "--format", "{{.position}} {{.who.type}}"];
    assert_eq!(skein(&daemon, &lines).out(), "8123 planner\n8101 user\n");
    assert_eq!(daemon.asked(), ["GET /skein/v1/why/web.2\n  skein-at: @8200"; 2]);
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
    let line = ["verify", "--format", "{{.head}} {{.records}}"];
    assert_eq!(skein(&daemon, &line).out(), "ab12 12\n");
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
                  - obstacle: none
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
    let lines = ["diff", "-1h..", "--format", "{{.change}} {{.name}}"];
    assert_eq!(skein(&daemon, &lines).out(), "changed web\nadded web.4\nremoved web.2\n");
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
    let lines = ["why-not", "n1", "--format", "{{.name}} {{.here}}/{{.in_all}}"];
    assert_eq!(skein(&daemon, &lines).out(), "web 0/2\n");
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
    let lines = ["timeline", "service/web", "-n", "2", "--format", "{{.text}}"];
    assert_eq!(
        skein(&daemon, &lines).out(),
        "service web was scaled to 5\ntask web.2 was put on node n1\n"
    );
}

#[test]
fn a_dry_run_prints_what_would_happen_and_succeeds() {
    let text = "dry run at @9: nothing was changed\n  +1    service web was removed (root)";
    let told = json!({"message": text, "code": "dry_run", "rehearsal": {}}).to_string();
    let changed = json!({"message": "service web changed at @8, after @7", "code": "changed"});
    let daemon = Daemon::answering([
        ("DELETE /v1.41/services/web", 422, told.clone()),
        ("DELETE /v1.41/services/api", 422, told),
        ("DELETE /v1.41/services/db", 412, changed.to_string()),
    ]);
    let ran = skein(&daemon, &["service", "rm", "--dry-run", "web", "api"]).out();
    assert_eq!(ran, format!("{text}\n{text}\n"));
    expect![[r#"
        exit 3
        Error response from daemon: service web changed at @8, after @7
    "#]]
    .assert_eq(&skein(&daemon, &["service", "rm", "--if-at", "@7", "db"]).refusal());
    let asked = daemon.asked();
    assert!(asked[0].contains("skein-dry-run: 1") && asked[1].contains("skein-dry-run: 1"));
    assert!(asked[2].contains("skein-if-at: @7") && !asked[2].contains("dry-run"));
}

#[test]
fn consumers_are_made_listed_moved_and_removed() {
    let list = json!([
        {"name": "audit", "position": 8101, "lag": 22, "lag_is_more": false,
         "acknowledged": "2026-11-23T03:11:54.237744702Z", "created": "2026-11-23T03:00:00Z"},
        {"name": "mirror", "position": 0, "lag": 8123, "lag_is_more": true, "acknowledged": null,
         "created": "2026-11-23T03:00:00Z"}]);
    let daemon = Daemon::answering([
        ("POST /skein/v1/consumers", 201, String::new()),
        ("GET /skein/v1/consumers", 200, list.to_string()),
        ("POST /skein/v1/consumers/audit/seek", 204, String::new()),
        ("DELETE /skein/v1/consumers/audit", 204, String::new()),
    ]);
    assert_eq!(skein(&daemon, &["consumer", "create", "audit", "--from", "now"]).out(), "audit\n");
    expect![[r#"
        NAME      POSITION   LAG          ACKNOWLEDGED
        audit     @8101      22           2026-11-23T03:11:54.237Z
        mirror    @0         up to 8123   never
    "#]]
    .assert_eq(&skein(&daemon, &["consumer", "ls"]).out());
    assert_eq!(skein(&daemon, &["consumer", "ls", "-q"]).out(), "audit\nmirror\n");
    assert_eq!(skein(&daemon, &["consumer", "ls", "-q", "-f", "name=mir"]).out(), "mirror\n");
    assert_eq!(skein(&daemon, &["consumer", "ls", "-f", "lag=0"]).code, 125);
    let moved = skein(&daemon, &["consumer", "seek", "audit", "@7"]).out();
    assert_eq!(moved, "audit reads on from @7\n");
    assert_eq!(skein(&daemon, &["consumer", "rm", "audit"]).out(), "audit\n");
    assert!(daemon.asked()[0].ends_with(r#"{"from":"now","name":"audit"}"#));
}

#[test]
fn what_was_written_out_is_acknowledged_once_for_all_of_it() {
    let line = |n: u64| json!({"position": n, "cursor": format!("1.{n}.abababab")}).to_string();
    let lines = format!("{}\n{}\n{}\n", line(4), line(5), r#"{"bookmark":"1.5.abababab"}"#);
    let path = "GET /skein/v1/tail?consumer=audit&follow=0";
    let daemon = Daemon::answering([
        (path, 200, lines.clone()),
        ("POST /skein/v1/consumers/audit/ack", 204, String::new()),
    ]);
    let words = ["tail", "--consumer", "audit", "--no-follow"];
    assert_eq!(skein(&daemon, &words).out(), lines);
    assert_eq!(daemon.asked().len(), 1, "nothing is acknowledged unless it is asked for");
    assert_eq!(skein(&daemon, &[&words[..], &["--ack"]].concat()).out(), lines);
    let asked = daemon.asked();
    let acks: Vec<_> = asked.iter().filter(|a| a.contains("/ack")).collect();
    assert!(acks.last().unwrap().ends_with(r#"{"cursor":"1.5.abababab"}"#), "{acks:?}");
    assert_eq!(skein(&daemon, &["tail", "--ack"]).code, 125);
    assert_eq!(skein(&daemon, &["tail", "--consumer", "audit", "--from", "now"]).code, 125);
}

#[test]
fn a_bisection_asks_a_command_of_half_as_much_each_time() {
    let (first, count) = (100, 64);
    let state = |n: u64| {
        let state = json!({"position": n, "digest": "ab", "state": {"position": n}}).to_string();
        ("GET /skein/v1/state", 200, state)
    };
    // The command reads the position from the state; every one from @131 on is bad.
    let script = "read line; n=${line#*:}; n=${n%\\}}; test \"@$n\" = \"$SKEIN_POSITION\" || exit 126; test \"$n\" -lt 131";
    let middles = [100, 164, 132, 116, 124, 128, 130, 131];
    let record = json!({"position": 131, "time": "2026-11-23T03:11:54.3Z", "kind": "service.scaled",
        "name": "web", "who": {"type": "user", "uid": 0, "name": "root"}, "reason": "oops",
        "patch": [{"path": "spec.mode.replicated.replicas", "before": 3, "after": 0}]});
    let log = "GET /skein/v1/log?from=%40131&to=%40131&patch=1";
    let answers = middles.map(state).into_iter().chain([(log, 200, format!("{record}\n"))]);
    let daemon = Daemon::answering(answers);
    let (good, bad) = (format!("@{first}"), format!("@{}", first + count));
    let words = ["bisect", "--good", &good, "--bad", &bad, "--", "sh", "-c", script];
    let ran = skein(&daemon, &words);
    expect![[r#"
        @131 is the first bad record:
        @131      2026-11-23T03:11:54.300Z  service.scaled            web                       user root  "oops"
                  spec.mode.replicated.replicas: 3 -> 0
    "#]]
    .assert_eq(&ran.out);
    assert_eq!((ran.code, ran.err.lines().count()), (0, middles.len()), "{}", ran.err);
    // What is asked for has to be so, and a command that does not work judges nothing.
    let daemon = Daemon::answering([state(100)]);
    let ran = skein(&daemon, &["bisect", "--good", "@100", "--bad", "@101", "--", "false"]);
    assert_eq!(ran.err, "@100 bad\nthe command says of @100 that it is bad, not good\n");
    let ran =
        skein(&daemon, &["bisect", "--good", "@1", "--bad", "@9", "--", "sh", "-c", "exit 127"]);
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("neither good nor bad"), "{}", ran.err);
    assert_eq!(skein(&daemon, &["bisect", "--good", "@9", "--bad", "@9", "--", "true"]).code, 125);
}

#[test]
fn a_replay_is_the_state_or_its_digest() {
    let state = json!({"position": 20, "digest": "ab12", "state": {"position": 20, "nodes": {}}});
    let daemon = Daemon::answering([("GET /skein/v1/state", 200, state.to_string())]);
    expect![[r#"
        {
          "nodes": {},
          "position": 20
        }
    "#]]
    .assert_eq(&skein(&daemon, &["replay", "--to", "@20"]).out());
    assert_eq!(daemon.asked(), ["GET /skein/v1/state\n  skein-at: @20"]);
    assert_eq!(skein(&daemon, &["replay", "--digest"]).out(), "@20 ab12\n");
    let refusal = skein(&daemon, &["replay", "--data-root", "/nowhere"]).refusal();
    assert!(refusal.contains("/nowhere: ") && refusal.contains("there is no log in"), "{refusal}");
}
