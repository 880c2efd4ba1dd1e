//! Lists: tables to the letter, JSON with Docker's field names, ids for scripts, filters and the past.

use expect_test::expect;
use serde_json::json;

use super::fake::Daemon;
use super::skein;

const NODES: &str = "GET /v1.41/nodes";

fn nodes() -> String {
    let node = |id: &str, host: &str, role: &str, manager: serde_json::Value| {
        json!({
            "ID": id, "Version": {"Index": 9}, "CreatedAt": "2026-11-23T03:09:11.421286562Z",
            "Spec": {"Labels": {}, "Role": role, "Availability": "active"},
            "Description": {"Hostname": host, "Platform": {"Architecture": "x86_64", "OS": "linux"},
                "Engine": {"EngineVersion": "20.10.24+dfsg1", "Plugins": [{"Type": "Log", "Name": "gelf"}]}},
            "Status": {"State": "ready", "Addr": "10.77.0.2"}, "ManagerStatus": manager,
        })
    };
    json!([
        node("b1b1b1b1b1b1b1b1b1b1b1b1b", "n2", "worker", json!(null)),
        node(
            "a0a0a0a0a0a0a0a0a0a0a0a0a",
            "n1",
            "manager",
            json!({"Leader": true, "Reachability": "reachable", "Addr": "10.77.0.1:2377"})
        ),
    ])
    .to_string()
}

fn info() -> String {
    json!({"Swarm": {"NodeID": "a0a0a0a0a0a0a0a0a0a0a0a0a", "ControlAvailable": true}, "CgroupVersion": "1",
        "SystemTime": "2026-11-23T03:12:00.5Z"})
        .to_string()
}

#[test]
fn node_ls_marks_the_node_that_was_asked() {
    let daemon = Daemon::answering([(NODES, 200, nodes()), ("GET /v1.41/info", 200, info())]);
    expect![[r#"
        ID                            HOSTNAME   STATUS    AVAILABILITY   MANAGER STATUS   ENGINE VERSION
        a0a0a0a0a0a0a0a0a0a0a0a0a *   n1         Ready     Active         Leader           20.10.24+dfsg1
        b1b1b1b1b1b1b1b1b1b1b1b1b     n2         Ready     Active                          20.10.24+dfsg1
    "#]]
    .assert_eq(&skein(&daemon, &["node", "ls"]).out());
    expect![[r#"
        {"Availability":"Active","EngineVersion":"20.10.24+dfsg1","Hostname":"n1","ID":"a0a0a0a0a0a0a0a0a0a0a0a0a","Labels":"","ManagerStatus":"Leader","Self":true,"Status":"Ready","TLSStatus":"Ready"}
        {"Availability":"Active","EngineVersion":"20.10.24+dfsg1","Hostname":"n2","ID":"b1b1b1b1b1b1b1b1b1b1b1b1b","Labels":"","ManagerStatus":"","Self":false,"Status":"Ready","TLSStatus":"Ready"}
    "#]]
    .assert_eq(&skein(&daemon, &["node", "ls", "--format", "json"]).out());
}

#[test]
fn lists_take_templates_with_dockers_field_names() {
    let daemon = Daemon::answering([(NODES, 200, nodes()), ("GET /v1.41/info", 200, info())]);
    let shown = |format: &str| skein(&daemon, &["node", "ls", "--format", format]).out();
    assert_eq!(shown("{{.Hostname}}{{if .Self}}*{{end}}"), "n1*\nn2\n");
    expect![[r#"
        HOSTNAME   MANAGER STATUS
        n1         Leader
        n2         none
    "#]]
    .assert_eq(&shown(r#"table {{.Hostname}}\t{{or .ManagerStatus "none"}}"#));
    expect![[r#"
        exit 125
        map has no entry for key: Host
        hint: the fields are .ID, .Hostname, .Status, .Availability, .ManagerStatus, .EngineVersion, .Self, .TLSStatus, .Labels
    "#]]
    .assert_eq(&skein(&daemon, &["node", "ls", "--format", "{{.Host}}"]).refusal());
}

#[test]
fn every_read_of_a_list_looks_at_the_same_past() {
    let daemon = Daemon::answering([(NODES, 200, nodes()), ("GET /v1.41/info", 200, info())]);
    skein(&daemon, &["node", "ls", "--at", "-10m"]).out();
    expect![[r#"
        [
            "GET /v1.41/nodes\n  skein-at: -10m",
            "GET /v1.41/info\n  skein-at: -10m",
        ]
    "#]]
    .assert_debug_eq(&daemon.asked());
}

#[test]
fn network_ls_shows_short_ids_and_sends_filters_as_docker_does() {
    let networks = json!([
        {"Name": "web10", "Id": "qqqqqqqqqqqqqqqqqqqqqqqqq", "Created": "2026-11-23T03:10:48.11742703Z",
         "Scope": "swarm", "Driver": "overlay", "EnableIPv6": false, "Internal": true, "Labels": null},
        {"Name": "web9", "Id": "9b99abe22068aaaaaaaaaaaaa", "Created": "2026-11-23T03:10:48.11742703Z",
         "Scope": "local", "Driver": "bridge", "EnableIPv6": false, "Internal": false, "Labels": {"a": "b"}},
    ]);
    let filtered = "GET /v1.41/networks?filters=%7B%22driver%22%3A%7B%22overlay%22%3Atrue%7D%7D";
    let daemon = Daemon::answering([
        ("GET /v1.41/networks", 200, networks.to_string()),
        (filtered, 200, "[]".to_owned()),
    ]);
    expect![[r#"
        NETWORK ID     NAME      DRIVER    SCOPE
        9b99abe22068   web9      bridge    local
        qqqqqqqqqqqq   web10     overlay   swarm
    "#]]
    .assert_eq(&skein(&daemon, &["network", "ls"]).out());
    assert_eq!(skein(&daemon, &["network", "ls", "-q", "--filter", "driver=overlay"]).out(), "");
    expect![[r#"
        {"CreatedAt":"2026-11-23T03:10:48.11742703Z","Driver":"bridge","ID":"9b99abe22068aaaaaaaaaaaaa","IPv4":"false","IPv6":"false","Internal":"false","Labels":"a=b","Name":"web9","Scope":"local"}
        {"CreatedAt":"2026-11-23T03:10:48.11742703Z","Driver":"overlay","ID":"qqqqqqqqqqqqqqqqqqqqqqqqq","IPv4":"false","IPv6":"false","Internal":"true","Labels":"","Name":"web10","Scope":"swarm"}
    "#]]
    .assert_eq(&skein(&daemon, &["network", "ls", "--format=json"]).out());
}

#[test]
fn image_ls_has_a_line_a_tag() {
    let image = json!({"Containers": -1, "Created": 1_795_402_747, "ParentId": "", "RepoDigests": null,
        "Id": "sha256:a60017dbc85b146484c7c6cbe28a1fd1cf809920ba33be1c6d3075f011c435fd", "Labels": null,
        "RepoTags": ["busybox:latest", "127.0.0.1:5000/bb:1"], "SharedSize": -1, "Size": 1_984_162, "VirtualSize": 1_984_162});
    let daemon = Daemon::answering([("GET /v1.41/images/json", 200, json!([image]).to_string())]);
    expect![[r#"
        REPOSITORY          TAG       IMAGE ID       CREATED          SIZE
        busybox             latest    a60017dbc85b   13 minutes ago   1.98MB
        127.0.0.1:5000/bb   1         a60017dbc85b   13 minutes ago   1.98MB
    "#]]
    .assert_eq(&skein(&daemon, &["image", "ls"]).out());
}

#[test]
fn image_ls_shows_digests_when_asked() {
    let digest = format!("sha256:{}", "d".repeat(64));
    let image = |tags: serde_json::Value, digests: serde_json::Value| {
        json!({"Containers": -1, "Created": 1_795_402_747, "ParentId": "", "RepoDigests": digests,
            "Id": "sha256:a60017dbc85b146484c7c6cbe28a1fd1cf809920ba33be1c6d3075f011c435fd", "Labels": null,
            "RepoTags": tags, "SharedSize": -1, "Size": 1_984_162})
    };
    let images = json!([
        image(json!(["bb:1", "other:1"]), json!([format!("bb@{digest}")])),
        image(json!([]), json!([format!("bb@{digest}")])),
        image(json!([]), json!([])),
    ]);
    let daemon = Daemon::answering([("GET /v1.41/images/json", 200, images.to_string())]);
    expect![[r#"
        REPOSITORY   TAG       DIGEST                                                                    IMAGE ID       CREATED          SIZE
        bb           1         sha256:dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd   a60017dbc85b   13 minutes ago   1.98MB
        other        1         <none>                                                                    a60017dbc85b   13 minutes ago   1.98MB
        bb           <none>    sha256:dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd   a60017dbc85b   13 minutes ago   1.98MB
        <none>       <none>    <none>                                                                    a60017dbc85b   13 minutes ago   1.98MB
    "#]]
    .assert_eq(&skein(&daemon, &["image", "ls", "-a", "--digests"]).out());
}

#[test]
fn system_df_sums_what_is_used_and_what_could_go() {
    let usage = json!({
        "LayersSize": 3_500_000, "PartialSize": 500_000, "Volumes": [], "BuildCache": [],
        "Images": [
            {"Id": "sha256:a60017dbc85b", "RepoTags": ["bb:1"], "Created": 1_795_402_747, "Size": 2_000_000, "SharedSize": 1_000_000, "Containers": 1},
            {"Id": "sha256:b60017dbc85b", "RepoTags": [], "Created": 0, "Size": 2_000_000, "SharedSize": 1_000_000, "Containers": 0},
        ],
        "Containers": [
            {"Id": "cccccccccccccccc", "Names": ["/web.1.x"], "Image": "bb:1", "State": "running", "Status": "Up 2 minutes", "SizeRw": 5},
            {"Id": "dddddddddddddddd", "Names": ["/web.2.y"], "Image": "bb:1", "State": "exited", "Status": "Exited (0)", "SizeRw": 7},
            {"Id": "eeeeeeeeeeeeeeee", "Names": ["/web.3.z"], "Image": "bb:1", "State": "exited", "Status": "Exited (1)", "SizeRw": 9, "OnlyLog": true},
        ],
    });
    let daemon = Daemon::answering([("GET /v1.41/system/df", 200, usage.to_string())]);
    expect![[r#"
        TYPE            TOTAL     ACTIVE    SIZE      RECLAIMABLE
        Images          2         1         3.5MB     1.5MB (42%)
        Containers      2         1         12B       7B (58%)
        Local Volumes   0         0         0B        0B (0%)
        Ended Logs      1         0         9B        9B (100%)
    "#]]
    .assert_eq(&skein(&daemon, &["system", "df"]).out());
    expect![[r#"
        Images space usage:

        IMAGE     IMAGE ID       CREATED          SIZE      SHARED SIZE   UNIQUE SIZE   CONTAINERS
        bb:1      a60017dbc85b   13 minutes ago   2MB       1MB           1MB           1
        <none>    b60017dbc85b   N/A              2MB       1MB           1MB           0

        Downloads that did not end: 500kB

        Containers space usage:

        CONTAINER ID   IMAGE     SIZE      STATUS         NAMES
        cccccccccccc   bb:1      5B        Up 2 minutes   web.1.x
        dddddddddddd   bb:1      7B        Exited (0)     web.2.y

        Local Volumes space usage:

        VOLUME NAME   LINKS     SIZE

        Logs of ended tasks space usage:

        CONTAINER ID   NAMES     SIZE
        eeeeeeeeeeee   web.3.z   9B
    "#]]
    .assert_eq(&skein(&daemon, &["system", "df", "-v"]).out());
}

#[test]
fn service_ls_counts_tasks() {
    let service = |name: &str, mode: serde_json::Value, ports: serde_json::Value| {
        json!({
            "ID": format!("{name}00000000000000000000000"), "Version": {"Index": 115},
            "Spec": {"Name": name, "TaskTemplate": {"ContainerSpec": {"Image": "bb:1", "DNSConfig": {}},
                "Placement": {}, "ForceUpdate": 0}, "Mode": mode, "EndpointSpec": {"Mode": "dnsrr"}},
            "Endpoint": {"Spec": {}, "Ports": ports},
            "ServiceStatus": {"RunningTasks": 2, "DesiredTasks": 3, "CompletedTasks": 1},
        })
    };
    let port = json!([{"Protocol": "tcp", "TargetPort": 80, "PublishedPort": 8080, "PublishMode": "ingress"}]);
    let services = json!([
        service("web", json!({"Replicated": {"Replicas": 3}}), port),
        service("job", json!({"ReplicatedJob": {"TotalCompletions": 3}}), json!(null)),
        service("all", json!({"Global": {}}), json!(null)),
    ]);
    let daemon =
        Daemon::answering([("GET /v1.41/services?status=true", 200, services.to_string())]);
    expect![[r#"
        ID             NAME      MODE             REPLICAS              IMAGE     PORTS
        all000000000   all       global           2/3                   bb:1
        job000000000   job       replicated job   2/3 (1/3 completed)   bb:1
        web000000000   web       replicated       2/3                   bb:1      *:8080->80/tcp
    "#]]
    .assert_eq(&skein(&daemon, &["service", "ls"]).out());
    assert_eq!(
        skein(&daemon, &["service", "ls", "-q"]).out(),
        "all000000000\njob000000000\nweb000000000\n"
    );
}

fn ps_daemon() -> Daemon {
    let task = |id: &str, slot: u32, state: &str, created: &str, error: &str| {
        json!({
            "ID": format!("{id}00000000000000000000000"), "CreatedAt": created, "ServiceID": "web0000000000000000000000",
            "Spec": {"ContainerSpec": {"Image": "bb:1"}}, "Slot": slot, "NodeID": "a0a0a0a0a0a0a0a0a0a0a0a0a",
            "Status": {"Timestamp": "2026-11-23T03:11:58.34040469Z", "State": state, "Err": error,
                "ContainerStatus": {"ContainerID": "66c2a941", "PID": 13547, "ExitCode": 0}, "PortStatus": {}},
            "DesiredState": "running",
        })
    };
    let tasks = json!([
        task(
            "t3",
            1,
            "failed",
            "2026-11-23T03:11:00.5Z",
            "no suitable node (scheduling constraints not satisfied)"
        ),
        task("t2", 10, "running", "2026-11-23T03:11:01Z", ""),
        task("t1", 1, "running", "2026-11-23T03:11:02Z", ""),
    ]);
    let service = json!({"ID": "web0000000000000000000000", "Spec": {"Name": "web"}});
    let of_service = "GET /v1.41/tasks?filters=%7B%22service%22%3A%7B%22web0000000000000000000000%22%3Atrue%7D%7D";
    Daemon::answering([
        ("GET /v1.41/services/web", 200, service.to_string()),
        ("GET /v1.41/services/nosuch", 404, r#"{"message":"service nosuch not found"}"#.to_owned()),
        (of_service, 200, tasks.to_string()),
        (NODES, 200, nodes()),
        ("GET /v1.41/info", 200, info()),
    ])
}

#[test]
fn service_ps_shows_forerunners_below_the_newest_task_of_a_slot() {
    let daemon = ps_daemon();
    expect![[r#"
        ID             NAME        IMAGE     NODE      DESIRED STATE   CURRENT STATE            ERROR                              PORTS
        t10000000000   web.1       bb:1      n1        Running         Running 55 seconds ago
        t30000000000    \_ web.1   bb:1      n1        Running         Failed 55 seconds ago    "no suitable node (scheduling …"
        t20000000000   web.10      bb:1      n1        Running         Running 55 seconds ago
    "#]]
    .assert_eq(&skein(&daemon, &["service", "ps", "web"]).out());
    let json = skein(&daemon, &["service", "ps", "--format", "json", "web"]).out();
    expect![[r#"{"ContainerID":"66c2a941","CurrentState":"Running 55 seconds ago","DesiredState":"Running","Error":"","ID":"t100000000000000000000000","Image":"bb:1","Name":"web.1","Node":"n1","PID":13547,"Ports":""}"#]]
    .assert_eq(json.lines().next().unwrap());
}

#[test]
fn service_ps_shows_what_there_is_and_fails_for_what_there_is_not() {
    let daemon = ps_daemon();
    let ran = skein(&daemon, &["service", "ps", "-q", "web", "nosuch"]);
    assert_eq!((ran.code, ran.err.as_str()), (1, "no such service: nosuch\n"));
    // Ids alone are whole, as Docker's.
    let whole = ["t1", "t3", "t2"].map(|id| format!("{id}00000000000000000000000\n")).concat();
    assert_eq!(ran.out, whole);
}

#[test]
fn tasks_of_the_past_are_as_old_as_they_were_then() {
    let daemon = ps_daemon();
    let shown =
        skein(&daemon, &["service", "ps", "--at", "@5", "--format", "{{.CurrentState}}", "web"]);
    assert_eq!(shown.out().lines().next(), Some("Running 2 seconds ago"));
    let asked = daemon.asked();
    assert!(asked.contains(&"GET /v1.41/info\n  skein-at: @5".to_owned()), "{asked:?}");
}

#[test]
fn a_node_may_be_meant_by_self_in_filters_of_tasks() {
    let daemon = ps_daemon();
    skein(&daemon, &["service", "ps", "-f", "node=self", "-f", "name=web", "web"]);
    let asked = daemon.asked();
    let tasks = asked.iter().find(|line| line.contains("/tasks")).unwrap();
    assert!(tasks.contains("%22node%22%3A%7B%22a0a0a0a0a0a0a0a0a0a0a0a0a%22"), "{tasks}");
    assert!(tasks.contains("%22name%22%3A%7B%22web%22"), "{tasks}");
}

#[test]
fn a_label_is_asked_for_by_its_name() {
    let volumes = json!({"Volumes": [
        {"Name": "data", "Driver": "local", "Mountpoint": "/m", "Labels": {"com.x.tier": "db", "b": "2"}, "Scope": "local", "Options": {}},
        {"Name": "rest", "Driver": "local", "Mountpoint": "/m", "Labels": {}, "Scope": "local", "Options": {}},
    ]});
    let daemon = Daemon::answering([
        ("GET /v1.41/volumes", 200, volumes.to_string()),
        (NODES, 200, nodes()),
        ("GET /v1.41/info", 200, info()),
    ]);
    let shown = |format: &str| skein(&daemon, &["volume", "ls", "--format", format]).out();
    assert_eq!(shown(r#"{{.Name}}={{.Label "com.x.tier"}}"#), "data=db\nrest=\n");
    assert_eq!(shown("{{.Labels}}"), "b=2,com.x.tier=db\n\n");
    expect![[r#"
        VOLUME NAME   tier
        data          db
        rest
    "#]]
    .assert_eq(&shown(r#"table {{.Name}}\t{{.Label "com.x.tier"}}"#));
    let nodes = skein(&daemon, &["node", "ls", "--format", r#"{{.TLSStatus}}{{.Label "zone"}}"#]);
    assert_eq!(nodes.out(), "Ready\nReady\n");
}
