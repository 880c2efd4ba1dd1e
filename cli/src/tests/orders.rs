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

const LOADED: &str =
    r#"{"message":"no registry is asked for bb:1: every node uses the image","code":"loaded"}"#;

#[test]
fn service_create_sends_what_was_said_and_nothing_else() {
    let daemon = Daemon::answering([
        (
            "GET /v1.41/networks/net1?scope=swarm",
            200,
            r#"{"Name":"net1","Id":"net1id"}"#.to_owned(),
        ),
        ("GET /v1.41/distribution/bb:1/json", 500, LOADED.to_owned()),
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
        GET /v1.41/distribution/bb:1/json
        POST /v1.41/services/create
          skein-request-id: 25 characters
          {"Mode":{"Replicated":{}},"TaskTemplate":{"ContainerSpec":{"Image":"bb:1"}}}
        GET /v1.41/networks/net1?scope=swarm
        GET /v1.41/distribution/bb:1/json
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
        ("GET /v1.41/distribution/bb:1/json", 500, LOADED.to_owned()),
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

/// A service as a daemon sends it, with a field no schema knows.
fn shop() -> Daemon {
    let web = json!({"ID": "w", "Version": {"Index": 7}, "Spec": {"Name": "web", "Labels": {"tier": "web"},
        "TaskTemplate": {
            "ContainerSpec": {"Image": "bb:1", "Args": ["sleep", "9"], "Env": ["A=1", "B=2"], "Init": false,
                "Mounts": [{"Type": "volume", "Source": "v", "Target": "/v"}, {"Type": "tmpfs", "Target": "/t"}],
                "Healthcheck": {"Test": ["CMD-SHELL", "true"], "Interval": 2_000_000_000_u64},
                "DNSConfig": {}, "Isolation": "default", "Novelty": 1},
            "Resources": {"Limits": {"MemoryBytes": 67_108_864}, "Reservations": {}}, "Placement": {"Constraints": ["node.role==worker"]},
            "Networks": [{"Target": "n1"}], "ForceUpdate": 0, "Runtime": "container"},
        "Mode": {"Replicated": {"Replicas": 3}}, "EndpointSpec": {"Mode": "vip"}}});
    let global = json!({"ID": "g", "Version": {"Index": 1}, "Spec": {"Mode": {"Global": {}}}});
    Daemon::answering([
        ("GET /v1.41/services/web?insertDefaults=false", 200, web.to_string()),
        ("GET /v1.41/services/glob?insertDefaults=false", 200, global.to_string()),
        ("GET /v1.41/networks/old?scope=swarm", 200, r#"{"Id":"n1"}"#.to_owned()),
        ("GET /v1.41/networks/new?scope=swarm", 200, r#"{"Id":"n2"}"#.to_owned()),
        ("GET /v1.41/distribution/bb:2/json", 500, LOADED.to_owned()),
        ("POST /v1.41/services/w/update?version=7", 200, r#"{"Warnings":["careful"]}"#.to_owned()),
        ("POST /v1.41/services/w/update?rollback=previous&version=7", 200, "{}".to_owned()),
    ])
}

#[test]
fn an_update_changes_what_it_names_and_nothing_else() {
    let daemon = shop();
    let words = [
        "service",
        "update",
        "-d",
        "--image",
        "bb:2",
        "--args",
        "sleep '1 0'",
        "--env-add",
        "C=3",
        "--env-add",
        "B=4",
        "--env-rm",
        "A",
        "--label-rm",
        "tier",
        "--label-add",
        "l=1",
        "--mount-rm",
        "/t",
        "--mount-add",
        "type=bind,source=/srv,target=/srv,ro",
        "--limit-pids",
        "9",
        "--constraint-rm",
        "node.role==worker",
        "--constraint-add",
        "node.role==manager",
        "--health-retries",
        "2",
        "--update-order",
        "start-first",
        "--network-rm",
        "old",
        "--network-add",
        "name=new,alias=www",
        "--replicas",
        "4",
        "--force",
        "web",
    ];
    let ran = skein(&daemon, &words);
    assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (0, "web\n", "careful\n"));
    expect![[r#"
        POST /v1.41/services/w/update?version=7
          skein-request-id: 25 characters
          {"EndpointSpec":{"Mode":"vip"},"Labels":{"l":"1"},"Mode":{"Replicated":{"Replicas":4}},"Name":"web","TaskTemplate":{"ContainerSpec":{"Args":["sleep","1 0"],"DNSConfig":{},"Env":["B=4","C=3"],"Healthcheck":{"Interval":2000000000,"Retries":2,"Test":["CMD-SHELL","true"]},"Image":"bb:2","Init":false,"Isolation":"default","Mounts":[{"Source":"v","Target":"/v","Type":"volume"},{"ReadOnly":true,"Source":"/srv","Target":"/srv","Type":"bind"}],"Novelty":1},"ForceUpdate":1,"Networks":[{"Aliases":["www"],"Target":"n2"}],"Placement":{"Constraints":["node.role==manager"]},"Resources":{"Limits":{"MemoryBytes":67108864,"Pids":9},"Reservations":{}},"Runtime":"container"},"UpdateConfig":{"FailureAction":"pause","MaxFailureRatio":0.0,"Monitor":5000000000,"Order":"start-first","Parallelism":1}}"#]].assert_eq(daemon.asked().last().unwrap());
    let ran = skein(&daemon, &["service", "update", "-d", "web"]);
    assert_eq!(ran.code, 0);
    expect![[r#"
        POST /v1.41/services/w/update?version=7
          skein-request-id: 25 characters
          {"EndpointSpec":{"Mode":"vip"},"Labels":{"tier":"web"},"Mode":{"Replicated":{"Replicas":3}},"Name":"web","TaskTemplate":{"ContainerSpec":{"Args":["sleep","9"],"DNSConfig":{},"Env":["A=1","B=2"],"Healthcheck":{"Interval":2000000000,"Test":["CMD-SHELL","true"]},"Image":"bb:1","Init":false,"Isolation":"default","Mounts":[{"Source":"v","Target":"/v","Type":"volume"},{"Target":"/t","Type":"tmpfs"}],"Novelty":1},"ForceUpdate":0,"Networks":[{"Target":"n1"}],"Placement":{"Constraints":["node.role==worker"]},"Resources":{"Limits":{"MemoryBytes":67108864},"Reservations":{}},"Runtime":"container"}}"#]].assert_eq(daemon.asked().last().unwrap());
}

#[test]
fn a_service_is_held_to_what_its_tag_means_in_the_registry() {
    let digest = format!("sha256:{}", "a6".repeat(32));
    let found = json!({
        "Descriptor": { "mediaType": "m", "digest": digest, "size": 1 },
        "Platforms": [{ "architecture": "amd64", "os": "linux" }],
    });
    let web = json!({"ID": "w", "Version": {"Index": 7}, "Spec": {"Name": "web",
        "TaskTemplate": {"ContainerSpec": {"Image": format!("bb:1@{digest}")}}}});
    let daemon = Daemon::answering([
        ("GET /v1.41/distribution/bb:latest/json", 200, found.to_string()),
        ("GET /v1.41/distribution/10.0.0.1:5000/a/bb:2/json", 200, found.to_string()),
        ("POST /v1.41/services/create", 201, r#"{"ID":"hupc"}"#.to_owned()),
        ("GET /v1.41/services/web?insertDefaults=false", 200, web.to_string()),
        ("POST /v1.41/services/w/update?version=7", 200, "{}".to_owned()),
    ]);
    let create = |words: &[&str]| {
        let words = [&["service", "create", "-d"], words].concat();
        skein(&daemon, &words)
    };
    let sent = || daemon.asked().pop().unwrap();
    assert_eq!(create(&["docker.io/library/bb"]).out(), "hupc\n");
    let image = format!(r#""Image":"bb:latest@{digest}""#);
    assert!(sent().contains(&image), "{}", sent());
    let platforms = r#""Platforms":[{"Architecture":"amd64","OS":"linux"}]"#;
    assert!(sent().contains(platforms), "{}", sent());

    let update = ["service", "update", "-d", "--image", "10.0.0.1:5000/a/bb:2", "web"];
    assert_eq!(skein(&daemon, &update).out(), "web\n");
    assert!(sent().contains(&format!(r#""10.0.0.1:5000/a/bb:2@{digest}""#)), "{}", sent());

    // A registry that cannot be asked is no obstacle, whatever the reason; the name stays as it was written.
    let ran = create(&["other"]);
    assert_eq!((ran.code, ran.out.as_str()), (0, "hupc\n"));
    expect![[r#"
        image other:latest could not be accessed on a registry to record
        its digest. Each node will access other:latest independently,
        possibly leading to different nodes running different
        versions of the image.

    "#]]
    .assert_eq(&ran.err);
    assert!(sent().contains(r#""Image":"other""#), "{}", sent());

    // Nobody is asked where there is no question.
    let before = daemon.asked().len();
    assert_eq!(create(&["--no-resolve-image", "bb"]).out(), "hupc\n");
    assert_eq!(create(&[&format!("bb@{digest}")]).out(), "hupc\n");
    assert_eq!(skein(&daemon, &["service", "update", "-d", "--force", "web"]).out(), "web\n");
    let asked = daemon.asked().split_off(before);
    assert!(!asked.iter().any(|line| line.contains("/distribution/")), "{asked:?}");
}

#[test]
fn a_rollback_goes_alone() {
    let daemon = shop();
    assert_eq!(skein(&daemon, &["service", "rollback", "-d", "web"]).out(), "web\n");
    assert_eq!(skein(&daemon, &["service", "update", "-d", "--rollback", "web"]).out(), "web\n");
    let ran = skein(&daemon, &["service", "update", "--rollback", "--image", "x", "web"]);
    expect![[r#"
        exit 125
        other flags may not be combined with --rollback
    "#]]
    .assert_eq(&ran.refusal());
    let ran = skein(&daemon, &["service", "update", "--replicas", "2", "glob"]);
    expect![[r#"
        exit 1
        replicas can only be used with replicated mode
    "#]]
    .assert_eq(&ran.refusal());
}

#[test]
fn every_option_of_a_container_is_sent() {
    let daemon =
        Daemon::answering([("POST /v1.41/services/create", 201, r#"{"ID":"hupc"}"#.to_owned())]);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("variables");
    std::fs::write(&file, "# comment\n\nF=from a file\nA=0\n").unwrap();
    let mut words = vec!["service", "create", "-d", "--mode", "global", "--env-file"];
    words.push(file.to_str().unwrap());
    words.extend(
        "-e A=1 --mount type=tmpfs,target=/t --placement-pref spread=node.labels.zone --replicas-max-per-node 1 \
         --update-parallelism 2 --rollback-monitor 1s --group 9 --host db:10.0.0.7 --dns 1.1.1.1 --dns-search a.b \
         --dns-option ndots:2 --health-cmd true --health-interval 2s --init --read-only --cap-add net_admin \
         --cap-drop CHOWN --ulimit nofile=1024:2048 --sysctl net.core.somaxconn=512 --tty=false --oom-score-adj -5 \
         --log-driver json-file --log-opt max-size=1m --no-resolve-image bb:1"
            .split_whitespace(),
    );
    assert_eq!(skein(&daemon, &words).out(), "hupc\n");
    expect![[r#"
        POST /v1.41/services/create
          skein-request-id: 25 characters
          {"Mode":{"Global":{}},"RollbackConfig":{"FailureAction":"pause","MaxFailureRatio":0.0,"Monitor":1000000000,"Order":"stop-first","Parallelism":1},"TaskTemplate":{"ContainerSpec":{"CapabilityAdd":["CAP_NET_ADMIN"],"CapabilityDrop":["CAP_CHOWN"],"DNSConfig":{"Nameservers":["1.1.1.1"],"Options":["ndots:2"],"Search":["a.b"]},"Env":["F=from a file","A=1"],"Groups":["9"],"HealthCheck":{"Interval":2000000000,"Test":["CMD-SHELL","true"]},"Hosts":["10.0.0.7 db"],"Image":"bb:1","Init":true,"Mounts":[{"Target":"/t","Type":"tmpfs"}],"OomScoreAdj":-5,"ReadOnly":true,"Sysctls":{"net.core.somaxconn":"512"},"TTY":false,"Ulimits":[{"Hard":2048,"Name":"nofile","Soft":1024}]},"LogDriver":{"Name":"json-file","Options":{"max-size":"1m"}},"Placement":{"MaxReplicas":1,"Preferences":[{"Spread":{"SpreadDescriptor":"node.labels.zone"}}]}},"UpdateConfig":{"FailureAction":"pause","MaxFailureRatio":0.0,"Monitor":5000000000,"Order":"stop-first","Parallelism":2}}"#]].assert_eq(&daemon.asked()[0]);
    let nothing = skein(&daemon, &["service", "create", "--log-opt", "a=b", "bb:1"]);
    assert_eq!(nothing.code, 125);
}

#[test]
fn a_service_is_laid_out_to_be_read() {
    let web = json!({"ID": "w", "Spec": {"Name": "web", "Labels": {"tier": "web"},
        "TaskTemplate": {
            "ContainerSpec": {"Image": "bb:1", "Args": ["sleep", "9"], "Env": ["A=1"], "Init": false, "User": "7",
                "Hostname": "h", "ReadOnly": true, "Labels": {"x": "y"}, "StopGracePeriod": 5_000_000_000_u64,
                "DNSConfig": {"Nameservers": ["1.1.1.1"]}, "Hosts": ["1.2.3.4 a"],
                "CapabilityAdd": ["CAP_NET_ADMIN"], "Sysctls": {"net.core.somaxconn": "512"},
                "Ulimits": [{"Name": "nofile", "Soft": 1, "Hard": 2}],
                "Mounts": [{"Type": "volume", "Source": "v", "Target": "/v"}],
                "Healthcheck": {"Test": ["CMD-SHELL", "true"], "Interval": 2_000_000_000_u64}},
            "Resources": {"Limits": {"MemoryBytes": 67_108_864, "Pids": 9}, "Reservations": {"NanoCPUs": 100_000_000}},
            "RestartPolicy": {"Condition": "on-failure", "Delay": 0, "MaxAttempts": 2},
            "Placement": {"Constraints": ["node.role==worker"], "MaxReplicas": 2,
                "Preferences": [{"Spread": {"SpreadDescriptor": "node.labels.zone"}}]},
            "LogDriver": {"Name": "json-file", "Options": {"max-size": "1m"}},
            "Networks": [{"Target": "n1"}]},
        "Mode": {"Replicated": {"Replicas": 3}},
        "UpdateConfig": {"Parallelism": 1, "Delay": 1_000_000_000, "FailureAction": "pause", "Monitor": 5_000_000_000_u64,
            "MaxFailureRatio": 0, "Order": "stop-first"},
        "RollbackConfig": {"Parallelism": 1, "FailureAction": "pause", "MaxFailureRatio": 0, "Order": "stop-first"},
        "EndpointSpec": {"Mode": "vip"}},
        "UpdateStatus": {"State": "completed", "StartedAt": "2026-11-23T03:11:53Z", "CompletedAt": "2026-11-23T03:12:23Z",
            "Message": "update completed"}});
    let daemon = Daemon::answering([
        ("GET /v1.41/services/web?insertDefaults=true", 200, web.to_string()),
        ("GET /v1.41/networks/n1?scope=swarm", 200, r#"{"Name":"net1"}"#.to_owned()),
    ]);
    expect![[r#"

        ID:		w
        Name:		web
        Labels:
         tier=web
        Service Mode:	Replicated
         Replicas:	3
        UpdateStatus:
         State:		completed
         Started:	about a minute ago
         Completed:	30 seconds ago
         Message:	update completed
        Placement:
         Constraints:	[node.role==worker]
         Preferences:   [spread=node.labels.zone]
         Max Replicas Per Node:   2
        UpdateConfig:
         Parallelism:	1
         Delay:		1s
         On failure:	pause
         Monitoring Period: 5s
         Max failure ratio: 0
         Update order:      stop-first
        RollbackConfig:
         Parallelism:	1
         On failure:	pause
         Max failure ratio: 0
         Rollback order:    stop-first
        RestartPolicy:
         Condition:	on-failure
         Delay:		0s
         Max attempts:	2
        ContainerSpec:
         Image:		bb:1
         Args:		sleep 9
         Env:		A=1
         Hostname:	h
         Init:		false
         User: 7
         ReadOnly:	true
         StopGracePeriod: 5s
         Labels:
          x=y
         DNS:		1.1.1.1
         Host:		1.2.3.4 a
        Capabilities:
         Add: CAP_NET_ADMIN
        SysCtls:
         net.core.somaxconn: 512
        Ulimits:
         nofile: 1:2
        Mounts:
         Target:	/v
          Source:	v
          ReadOnly:	false
          Type:		volume
        Log Driver:
         Name:		json-file
         LogOpts:
          max-size:       1m
        Resources:
         Reservations:
          CPU:		0.1
         Limits:
          Memory:	64MiB
          PIDs:		9
        Networks: net1
        Endpoint Mode:	vip
         Healthcheck:
          Interval = 2s
          Retries = 0
          StartPeriod =	0s
          Timeout =	0s
          Tests:
        	 Test = CMD-SHELL
        	 Test = true
    "#]]
    .assert_eq(&skein(&daemon, &["service", "inspect", "--pretty", "web"]).out());
    let ran =
        skein(&daemon, &["service", "inspect", "--format", "{{.Spec.Name}}", "web", "nosuch"]);
    assert_eq!(
        (ran.code, ran.out.as_str(), ran.err.as_str()),
        (1, "web\n", "no such service: nosuch\n")
    );
}

#[test]
fn image_rm_tells_each_step_and_goes_on_after_a_refusal() {
    let steps = r#"[{"Untagged":"bb:1"},{"Deleted":"sha256:a6"}]"#;
    let conflict = r#"{"message":"conflict: unable to delete a60017dbc85b (must be forced)"}"#;
    let daemon = Daemon::answering([
        ("DELETE /v1.41/images/127.0.0.1%3A5000%2Fbb%3A1?force=1", 200, steps.to_owned()),
        ("DELETE /v1.41/images/a60017dbc85b", 409, conflict.to_owned()),
        ("DELETE /v1.41/images/bb", 200, steps.to_owned()),
    ]);
    let ran = skein(&daemon, &["image", "rm", "-f", "127.0.0.1:5000/bb:1"]);
    assert_eq!(ran.out(), "Untagged: bb:1\nDeleted: sha256:a6\n");
    let ran = skein(&daemon, &["image", "rm", "a60017dbc85b", "bb"]);
    assert_eq!((ran.code, ran.out.as_str()), (1, "Untagged: bb:1\nDeleted: sha256:a6\n"));
    assert!(ran.err.contains("must be forced"), "{}", ran.err);
}

#[test]
fn image_tag_sends_repository_and_tag() {
    let path = "POST /v1.41/images/bb%3A1/tag?repo=127.0.0.1%3A5000%2Fshop%2Fbb&tag=2";
    let daemon = Daemon::answering([(path, 201, String::new())]);
    assert_eq!(skein(&daemon, &["image", "tag", "bb:1", "127.0.0.1:5000/shop/bb:2"]).out(), "");
    let ran = skein(&daemon, &["image", "tag", "bb:1", "Shop"]);
    assert!(ran.code == 125 && ran.err.contains("must be lowercase"), "{}", ran.err);
}

#[test]
fn a_prune_is_not_begun_unasked() {
    let pruned = r#"{"ImagesDeleted":[{"Deleted":"sha256:a6"}],"SpaceReclaimed":1984162}"#;
    let path = "POST /v1.41/images/prune?filters=%7B%22dangling%22%3A%7B%22false%22%3Atrue%7D%2C%22label%21%22%3A%7B%22keep%22%3Atrue%7D%7D";
    let daemon = Daemon::answering([(path, 200, pruned.to_owned())]);
    let told = "Deleted Images:\nDeleted: sha256:a6\n\nTotal reclaimed space: 1.98MB\n";
    let words = ["image", "prune", "-af", "--filter", "label!=keep"];
    assert_eq!(skein(&daemon, &words).out(), told);
}

#[test]
fn a_system_prune_is_one_of_each_kind() {
    const NETWORKS: &str =
        "POST /v1.41/networks/prune?filters=%7B%22label%22%3A%7B%22tier%3Ddb%22%3Atrue%7D%7D";
    const VOLUMES: &str =
        "POST /v1.41/volumes/prune?filters=%7B%22label%22%3A%7B%22tier%3Ddb%22%3Atrue%7D%7D";
    const LOGS: &str =
        "POST /v1.41/containers/prune?filters=%7B%22label%22%3A%7B%22tier%3Ddb%22%3Atrue%7D%7D";
    const IMAGES: &str = "POST /v1.41/images/prune?filters=%7B%22dangling%22%3A%7B%22true%22%3Atrue%7D%2C%22label%22%3A%7B%22tier%3Ddb%22%3Atrue%7D%7D";
    let daemon = Daemon::answering([
        (LOGS, 200, r#"{"ContainersDeleted":["c1","c2"],"SpaceReclaimed":20000}"#.to_owned()),
        (NETWORKS, 200, r#"{"NetworksDeleted":["old"]}"#.to_owned()),
        (VOLUMES, 200, r#"{"VolumesDeleted":["a0"],"SpaceReclaimed":1000}"#.to_owned()),
        (IMAGES, 200, r#"{"ImagesDeleted":null,"SpaceReclaimed":1984162}"#.to_owned()),
    ]);
    let words = ["system", "prune", "-f", "--volumes", "--filter", "label=tier=db"];
    expect![[r#"
        Deleted Logs:
        c1
        c2

        Deleted Networks:
        old

        Deleted Volumes:
        a0

        Total reclaimed space: 2.01MB
    "#]]
    .assert_eq(&skein(&daemon, &words).out());
    let asked = daemon.asked().len();
    let refused =
        |words: &[&str]| skein(&daemon, &[&["system", "prune"], words].concat()).refusal();
    expect![[r#"
        exit 125
        the "until" filter is not supported with "--volumes"
    "#]]
    .assert_eq(&refused(&["-f", "--volumes", "--filter", "until=24h"]));
    assert_eq!(daemon.asked().len(), asked, "nothing was asked for");
    // A dry run is one of each kind as well, and nothing is asked beforehand.
    let told = |text: &str| json!({ "message": text, "code": "dry_run" }).to_string();
    let daemon = Daemon::answering([
        (
            LOGS,
            422,
            told(
                "dry run at @9: nothing was changed\n  20000 bytes of the disk would be free again",
            ),
        ),
        (NETWORKS, 422, told("dry run at @9: nothing was changed\n  +1    one (root)")),
        (VOLUMES, 422, told("dry run at @9: nothing was changed; there is nothing to do")),
        (IMAGES, 422, told("dry run at @9: nothing was changed\n  +1    two (root)")),
    ]);
    let words = ["system", "prune", "--volumes", "--filter", "label=tier=db", "--dry-run"];
    expect![[r#"
        Logs: dry run at @9: nothing was changed
          20000 bytes of the disk would be free again
        Networks: dry run at @9: nothing was changed
          +1    one (root)
        Volumes: dry run at @9: nothing was changed; there is nothing to do
        Images: dry run at @9: nothing was changed
          +1    two (root)
    "#]]
    .assert_eq(&skein(&daemon, &words).out());
    assert!(daemon.asked().iter().all(|line| line.contains("skein-dry-run: 1")));
}

#[test]
fn an_attached_update_waits_for_its_end() {
    let look = |state: &str| {
        json!([{"ID": ID, "Spec": {"Name": "web", "UpdateConfig": {"Parallelism": 1, "Monitor": 1}},
            "UpdateStatus": {"State": state, "Message": "task failed"},
            "ServiceStatus": {"RunningTasks": 2, "DesiredTasks": 2}}])
        .to_string()
    };
    let update = "POST /v1.41/services/hupcddd1megu7ewf6h3iehxmj/update?version=7";
    let web = json!({"ID": ID, "Version": {"Index": 7}, "Spec": {"Name": "web"}}).to_string();
    let daemon = Daemon::answering([
        ("GET /v1.41/services/web?insertDefaults=false", 200, web),
        (update, 200, "{}".to_owned()),
        // As many tasks as wanted run all the time.
        (STATUS, 200, look("updating")),
        (STATUS, 200, look("updating")),
        (STATUS, 200, look("updating")),
        (STATUS, 200, look("paused")),
        (TASKS, 200, "[]".to_owned()),
    ]);
    let ran = skein(&daemon, &["service", "update", "--force", "web"]);
    assert_eq!(ran.code, 1, "{}", ran.out);
    assert_eq!(ran.err, "service update paused: task failed\n");
}

#[test]
fn an_update_that_was_taken_back_says_so_and_fails() {
    let look = |state: &str, running: u64| {
        json!([{"ID": ID, "Spec": {"Name": "web", "UpdateConfig": {"Parallelism": 1, "Monitor": 1}},
            "UpdateStatus": {"State": state, "Message": "update rolled back due to failure of task 7"},
            "ServiceStatus": {"RunningTasks": running, "DesiredTasks": 2}}])
        .to_string()
    };
    let update = "POST /v1.41/services/hupcddd1megu7ewf6h3iehxmj/update?version=7";
    let web = json!({"ID": ID, "Version": {"Index": 7}, "Spec": {"Name": "web"}}).to_string();
    let answers = |looks: [String; 4]| {
        let [one, two, three, four] = looks;
        Daemon::answering([
            ("GET /v1.41/services/web?insertDefaults=false", 200, web.clone()),
            (update, 200, "{}".to_owned()),
            (STATUS, 200, one),
            (STATUS, 200, two),
            (STATUS, 200, three),
            (STATUS, 200, four),
            (TASKS, 200, "[]".to_owned()),
        ])
    };
    let (began, back) = (look("updating", 2), look("rollback_started", 1));
    let over = look("rollback_completed", 2);
    let daemon = answers([began.clone(), back.clone(), over.clone(), over.clone()]);
    let ran = skein(&daemon, &["service", "update", "--force", "web"]);
    expect![[r#"
        web
        overall progress: 2 out of 2 tasks
        rollback: update rolled back due to failure of task 7
        overall progress: rolling back update: 1 out of 2 tasks
        overall progress: rolling back update: 2 out of 2 tasks
        verify: Waiting 0 seconds to verify that tasks are stable...
    "#]]
    .assert_eq(&ran.out);
    let told = "service update rolled back: update rolled back due to failure of task 7\n";
    assert_eq!((ran.code, ran.err.as_str()), (1, told));
    // Quietly it waits all the same.
    let daemon = answers([began, back, over.clone(), over.clone()]);
    let ran = skein(&daemon, &["service", "update", "-q", "--force", "web"]);
    assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (1, "web\n", told));
    // What an earlier update came to is not this one's, which changed no task.
    let daemon = answers([over.clone(), over.clone(), over.clone(), over]);
    let ran = skein(&daemon, &["service", "update", "-q", "--label-add", "a=b", "web"]);
    assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (0, "web\n", ""));
}

#[test]
fn a_task_that_is_not_started_again_is_not_waited_for() {
    let status = json!([{"ID": ID, "Spec": {"Name": "web",
        "TaskTemplate": {"RestartPolicy": {"Condition": "none"}}},
        "ServiceStatus": {"RunningTasks": 0, "DesiredTasks": 1}}]);
    let tasks = json!([{"ID": "t", "Slot": 1, "DesiredState": "shutdown", "CreatedAt": "2026-11-23T14:00:00Z",
        "Status": {"State": "failed", "Err": "task: non-zero exit (1)"}}]);
    let daemon = Daemon::answering([
        ("GET /v1.41/distribution/bb:1/json", 500, LOADED.to_owned()),
        ("POST /v1.41/services/create", 201, json!({"ID": ID}).to_string()),
        (STATUS, 200, status.to_string()),
        (TASKS, 200, tasks.to_string()),
    ]);
    let ran = skein(&daemon, &["service", "create", "-q", "--restart-condition", "none", "bb:1"]);
    let told =
        "web.1: task: non-zero exit (1); it is not started again (--restart-condition none)\n";
    assert_eq!((ran.code, ran.err.as_str()), (1, told));
}

#[test]
fn a_value_may_begin_with_a_hyphen_and_is_refused_by_its_option() {
    let daemon = Daemon::answering([]);
    for (option, value) in [
        ("--replicas", "-1"),
        ("--limit-pids", "-1"),
        ("--restart-delay", "-1s"),
        ("--health-retries", "-1"),
    ] {
        let ran = skein(&daemon, &["service", "create", option, value, "hello:1"]);
        let first = ran.err.lines().next().unwrap_or_default().to_owned();
        assert!(
            first.starts_with(&format!("error: invalid value '{value}' for '{option}")),
            "{first}"
        );
    }
    assert!(daemon.asked().is_empty());
}

#[test]
fn help_is_a_word_too_and_an_empty_name_is_none() {
    let daemon = Daemon::answering([]);
    let run = |words: &[&str]| {
        let words = ["skein"].iter().chain(words).map(std::ffi::OsString::from).collect();
        crate::asked_for_help(words)
    };
    assert_eq!(run(&["help", "service", "create"]), ["skein", "service", "create", "--help"]);
    assert_eq!(run(&["help"]), ["skein", "--help"]);
    assert_eq!(run(&["service", "help"]), ["skein", "service", "help"]);
    expect![[r#"
        exit 125
        a name is empty
    "#]]
    .assert_eq(&skein(&daemon, &["service", "rm", "web", ""]).refusal());
    assert!(daemon.asked().is_empty());
}

#[test]
fn two_mounts_on_one_place_are_the_daemons_to_refuse() {
    let refused = r#"{"message":"Duplicate mount point: /x"}"#.to_owned();
    let daemon = Daemon::answering([("POST /v1.41/services/create", 400, refused)]);
    let mounts = ["--mount", "type=volume,dst=/x", "--mount", "type=tmpfs,dst=/x", "hello:1"];
    skein(&daemon, &[&["service", "create", "-d"][..], &mounts].concat()).refusal();
    let sent = daemon.asked().pop().unwrap_or_default();
    let both = r#""Mounts":[{"Target":"/x","Type":"volume"},{"Target":"/x","Type":"tmpfs"}]"#;
    assert!(sent.contains(both), "{sent}");
}
