//! Commands that change something: what is sent, with which reason and request id, and what is printed.

use expect_test::expect;
use serde_json::json;

use super::fake::Daemon;
use super::skein;

const TOKENS: &str = r#"{"ID":"s","JoinTokens":{"Worker":"SWMTKN-1-w","Manager":"SWMTKN-1-m"}}"#;
const INFO: &str = r#"{"Swarm":{"NodeID":"n1"}}"#;
const SELF: &str = r#"{"ID":"n1","ManagerStatus":{"Leader":true,"Addr":"10.77.0.1:2377"}}"#;

fn swarm() -> Daemon {
    Daemon::answering([
        ("POST /v1.41/swarm/init", 200, "\"n1\"\n".to_owned()),
        ("GET /v1.41/swarm", 200, TOKENS.to_owned()),
        ("GET /v1.41/info", 200, INFO.to_owned()),
        ("GET /v1.41/nodes/n1", 200, SELF.to_owned()),
        ("POST /v1.41/swarm/leave?force=1", 200, String::new()),
        ("POST /v1.41/swarm/leave", 503, r#"{"message":"You are the last manager. "}"#.to_owned()),
    ])
}

#[test]
fn swarm_init_says_how_others_join() {
    let daemon = swarm();
    let ran =
        skein(&daemon, &["swarm", "init", "--advertise-addr", "10.77.0.1", "-m", "größer werden"]);
    expect![[r#"
        Swarm initialized: current node (n1) is now a manager.

        To add a worker to this swarm, run the following command:

            skein swarm join --token SWMTKN-1-w 10.77.0.1:2377

        To add a manager to this swarm, run 'skein swarm join-token manager' and follow the instructions.
    "#]]
    .assert_eq(&ran.out());
    expect![[r#"
        POST /v1.41/swarm/init
          skein-reason: größer werden
          skein-request-id: 25 characters
          {"AdvertiseAddr":"10.77.0.1","ListenAddr":"0.0.0.0:2377","Spec":{}}"#]]
    .assert_eq(&daemon.asked()[0]);
}

#[test]
fn join_token_and_leave() {
    let daemon = swarm();
    assert_eq!(skein(&daemon, &["swarm", "join-token", "-q", "manager"]).out(), "SWMTKN-1-m\n");
    expect![[r#"
        exit 1
        Error response from daemon: You are the last manager.
    "#]]
    .assert_eq(&skein(&daemon, &["swarm", "leave"]).refusal());
    assert_eq!(skein(&daemon, &["swarm", "leave", "--force"]).out(), "Node left the swarm.\n");
}

#[test]
fn network_create_sends_everything_it_was_told() {
    let created = r#"{"Id":"qeiji6lzvcnlyt5ykopgg3hmn","Warning":""}"#;
    let daemon = Daemon::answering([("POST /v1.41/networks/create", 201, created.to_owned())]);
    let words = [
        "network",
        "create",
        "--driver",
        "overlay",
        "--attachable",
        "--subnet",
        "10.50.0.0/24",
        "--gateway",
        "10.50.0.1",
        "--label",
        "a=b",
        "-o",
        "encrypted",
        "net1",
    ];
    assert_eq!(skein(&daemon, &words).out(), "qeiji6lzvcnlyt5ykopgg3hmn\n");
    expect![[r#"
        POST /v1.41/networks/create
          skein-request-id: 25 characters
          {"Attachable":true,"Driver":"overlay","IPAM":{"Config":[{"Gateway":"10.50.0.1","Subnet":"10.50.0.0/24"}],"Driver":"default"},"Internal":false,"Labels":{"a":"b"},"Name":"net1","Options":{"encrypted":""}}"#]]
    .assert_eq(&daemon.asked()[0]);
}

#[test]
fn a_refusal_is_one_line_and_its_hint_another() {
    let body = r#"{"message":"network net1 is in use by service \"web\"","code":"in_use","hint":"skein service rm web"}"#;
    let daemon = Daemon::answering([
        ("DELETE /v1.41/networks/net1", 409, body.to_owned()),
        ("DELETE /v1.41/networks/a%2Fb", 204, String::new()),
    ]);
    let ran = skein(&daemon, &["network", "rm", "net1", "a/b"]);
    assert_eq!((ran.code, ran.out.as_str()), (1, "a/b\n"));
    expect![[r#"
        Error response from daemon: network net1 is in use by service "web"
        hint: skein service rm web
    "#]]
    .assert_eq(&ran.err);
}

#[test]
fn service_create_sends_what_was_said_and_nothing_else() {
    let daemon = Daemon::answering([
        (
            "GET /v1.41/networks/net1?scope=swarm",
            200,
            r#"{"Name":"net1","Id":"net1id"}"#.to_owned(),
        ),
        (
            "POST /v1.41/services/create",
            201,
            r#"{"ID":"hupc","Warnings":["slow down"]}"#.to_owned(),
        ),
    ]);
    let ran = skein(&daemon, &["service", "create", "-d", "bb:1"]);
    assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (0, "hupc\n", "slow down\n"));
    let words = [
        "service",
        "create",
        "--detach",
        "--name",
        "web",
        "--replicas",
        "3",
        "--endpoint-mode",
        "dnsrr",
        "--network",
        "name=net1,alias=www",
        "--env",
        "A=1",
        "--label",
        "tier=web",
        "--container-label",
        "x=y",
        "--hostname",
        "h",
        "--workdir",
        "/tmp",
        "--user",
        "7",
        "--entrypoint",
        "sh -c",
        "--restart-condition",
        "on-failure",
        "--restart-delay",
        "0s",
        "--restart-max-attempts",
        "2",
        "--limit-memory",
        "64M",
        "--reserve-cpu",
        "0.1",
        "--constraint",
        "node.role==worker",
        "--stop-grace-period",
        "5s",
        "--stop-signal",
        "SIGINT",
        "--publish",
        "8080:80",
        "bb:1",
        "sleep",
        "-x",
        "--name",
        "5",
    ];
    assert_eq!(skein(&daemon, &words).out, "hupc\n");
    let asked = daemon.asked();
    expect![[r#"
        POST /v1.41/services/create
          skein-request-id: 25 characters
          {"Mode":{"Replicated":{}},"TaskTemplate":{"ContainerSpec":{"Image":"bb:1"}}}
        GET /v1.41/networks/net1?scope=swarm
        POST /v1.41/services/create
          skein-request-id: 25 characters
          {"EndpointSpec":{"Mode":"dnsrr","Ports":[{"Protocol":"tcp","PublishMode":"ingress","PublishedPort":8080,"TargetPort":80}]},"Labels":{"tier":"web"},"Mode":{"Replicated":{"Replicas":3}},"Name":"web","TaskTemplate":{"ContainerSpec":{"Args":["sleep","-x","--name","5"],"Command":["sh","-c"],"Dir":"/tmp","Env":["A=1"],"Hostname":"h","Image":"bb:1","Labels":{"x":"y"},"StopGracePeriod":5000000000,"StopSignal":"SIGINT","User":"7"},"Networks":[{"Aliases":["www"],"Target":"net1id"}],"Placement":{"Constraints":["node.role==worker"]},"Resources":{"Limits":{"MemoryBytes":67108864},"Reservations":{"NanoCPUs":100000000}},"RestartPolicy":{"Condition":"on-failure","Delay":0,"MaxAttempts":2}}}"#]]
    .assert_eq(&asked.join("\n"));
}

const ID: &str = "hupcddd1megu7ewf6h3iehxmj";
const STATUS: &str = "GET /v1.41/services?filters=%7B%22id%22%3A%7B%22hupcddd1megu7ewf6h3iehxmj%22%3Atrue%7D%7D&status=true";
const TASKS: &str =
    "GET /v1.41/tasks?filters=%7B%22service%22%3A%7B%22hupcddd1megu7ewf6h3iehxmj%22%3Atrue%7D%7D";

fn status(running: u32) -> String {
    json!([{"ID": ID, "Spec": {"Name": "web", "UpdateConfig": {"Parallelism": 1, "Monitor": 1}, "Mode": {"Replicated": {"Replicas": 2}}},
        "ServiceStatus": {"RunningTasks": running, "DesiredTasks": 2}}])
    .to_string()
}

fn failing() -> String {
    json!([
        {"ID": "t1", "Slot": 1, "CreatedAt": "2026-11-23T03:11:00Z", "Status": {"State": "running"}},
        {"ID": "t2", "Slot": 2, "CreatedAt": "2026-11-23T03:11:00Z", "Status": {"State": "failed", "Err": "task: non-zero exit (3)"}},
    ])
    .to_string()
}

#[test]
fn an_attached_create_waits_and_prints_only_what_changed() {
    let daemon = Daemon::answering([
        ("POST /v1.41/services/create", 201, json!({"ID": ID}).to_string()),
        (STATUS, 200, status(0)),
        (STATUS, 200, status(1)),
        (STATUS, 200, status(1)),
        (STATUS, 200, status(2)),
        (TASKS, 200, "[]".to_owned()),
        (TASKS, 200, failing()),
        (TASKS, 200, failing()),
        (TASKS, 200, "[]".to_owned()),
    ]);
    let ran = skein(&daemon, &["service", "create", "--name", "web", "--replicas", "2", "bb:1"]);
    expect![[r#"
        hupcddd1megu7ewf6h3iehxmj
        overall progress: 0 out of 2 tasks
        overall progress: 1 out of 2 tasks
        web.2: task: non-zero exit (3)
        overall progress: 2 out of 2 tasks
        verify: Waiting 0 seconds to verify that tasks are stable...
        verify: Service hupcddd1megu7ewf6h3iehxmj converged
    "#]]
    .assert_eq(&ran.out);
    assert_eq!((ran.code, ran.err.as_str()), (0, "hint: skein why web.2\n"));
}

#[test]
fn scale_sends_the_spec_back_with_only_the_number_changed() {
    let web = json!({"ID": ID, "Version": {"Index": 459}, "Spec": {"Name": "web", "Novelty": [1, {"x": null}],
        "Mode": {"Replicated": {"Replicas": 3}}}});
    let global = json!({"ID": "g", "Version": {"Index": 1}, "Spec": {"Mode": {"Global": {}}}});
    let daemon = Daemon::answering([
        ("GET /v1.41/services/web?insertDefaults=false", 200, web.to_string()),
        ("GET /v1.41/services/glob?insertDefaults=false", 200, global.to_string()),
        (
            "POST /v1.41/services/hupcddd1megu7ewf6h3iehxmj/update?version=459",
            200,
            r#"{"Warnings":null}"#.to_owned(),
        ),
    ]);
    let ran =
        skein(&daemon, &["service", "scale", "-d", "web=5", "glob=3", "nosuch=1", "-m", "more"]);
    assert_eq!((ran.code, ran.out.as_str()), (1, "web scaled to 5\n"));
    expect![[r#"
        glob: scale can only be used with replicated or replicated-job mode
        nosuch: Error response from daemon: page not found
    "#]]
    .assert_eq(&ran.err);
    expect![[r#"
        POST /v1.41/services/hupcddd1megu7ewf6h3iehxmj/update?version=459
          skein-reason: more
          skein-request-id: 25 characters
          {"Mode":{"Replicated":{"Replicas":5}},"Name":"web","Novelty":[1,{"x":null}]}"#]]
    .assert_eq(&daemon.asked()[1]);
}

#[test]
fn a_daemon_that_is_not_there_is_named() {
    let mut daemon = Daemon::answering([]);
    let host = daemon.host().to_owned();
    daemon.stop();
    let ran = skein(&daemon, &["service", "ls"]);
    assert_eq!((ran.code, ran.out.as_str()), (1, ""));
    let text = ran.err.replace(&host, "unix:///x");
    expect![[r#"
        cannot connect to the skein daemon at unix:///x: is it running? (start it with: skein daemon)
    "#]]
    .assert_eq(&text);
}
