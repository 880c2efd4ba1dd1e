//! Docker's routes: the bodies the docker CLI 28.2.2 sends, the statuses, texts and shapes it expects.

use axum::body::Body;
use axum::http::Method;
use expect_test::expect;
use serde_json::{Value, json};
use skein_events::id::TaskId;
use skein_events::time::Time;

use super::client::Server;
use super::fake::START;
use crate::backend::{Backend as _, Health, KeptLog, Probe, Wellness};

pub(super) const INIT: &str = include_str!("../../../testdata/swarm-init.json");
pub(super) const NETWORK: &str = include_str!("../../../testdata/network-create.json");
pub(super) const SERVICE: &str = include_str!("../../../testdata/service-create.json");
/// With everything that is not there yet.
const RICH: &str = include_str!("../../../testdata/service-create-rich.json");

fn edited(body: &str, edit: impl FnOnce(&mut Value)) -> String {
    let mut value = serde_json::from_str(body).unwrap();
    edit(&mut value);
    value.to_string()
}

#[tokio::test]
async fn the_handshake_is_dockers() {
    let server = Server::start();
    let ping = server.ask(Method::HEAD, "/_ping", &[], Body::empty()).await;
    assert_eq!((ping.status.as_u16(), ping.body.len()), (200, 0));
    assert_eq!(ping.headers["api-version"], "1.50");
    assert_eq!(ping.headers["ostype"], "linux");
    assert_eq!(ping.headers["swarm"], "inactive");
    assert_eq!(server.get("/v1.24/_ping").await.text(), "OK");
    let version = server.get("/v1.50/version").await.done(200);
    assert_eq!(
        (&version["ApiVersion"], &version["MinAPIVersion"]),
        (&json!("1.50"), &json!("1.24"))
    );
    assert_eq!(
        server.get("/v1.60/version").await.refused(400),
        "client version 1.60 is too new. Maximum supported API version is 1.50"
    );
    assert_eq!(server.get("/v1.41/nosuch").await.refused(404), "page not found");
    let put = server.ask(Method::PUT, "/v1.41/services", &[], Body::empty()).await;
    assert_eq!(put.refused(404), "page not found");
    server.stop().await;
}

#[tokio::test]
async fn outside_a_swarm_reads_say_so() {
    let server = Server::start();
    for path in ["/nodes", "/services", "/services/x", "/tasks", "/networks", "/swarm"] {
        let message = server.get(path).await.refused(503);
        assert!(message.contains("This node is not a swarm manager."), "{path}: {message}");
    }
    let info = server.get("/info").await.done(200);
    assert_eq!(info["Swarm"]["LocalNodeState"], "inactive");
    assert_eq!(server.post("/swarm/init", INIT).await.done(200).as_str().unwrap().len(), 25);
    let again = server.post("/swarm/init", INIT).await.refused(503);
    assert!(again.contains("already part of a swarm"), "{again}");
    let swarm = server.get("/swarm").await.done(200);
    assert_eq!(swarm["JoinTokens"]["Worker"], "SWMTKN-1-a-b");
    assert_eq!(swarm["Spec"]["Orchestration"]["TaskHistoryRetentionLimit"], 5);
    let info = server.get("/info").await.done(200);
    assert_eq!(info["Swarm"]["LocalNodeState"], "active");
    assert_eq!(info["Swarm"]["Managers"], 1);
    assert_eq!(
        (&info["CgroupVersion"], &info["LoggingDriver"]),
        (&json!("2"), &json!("json-file"))
    );
    let at = [("skein-at", "@1")];
    let past = server.ask(Method::GET, "/info", &at, Body::empty()).await.done(200);
    assert!(past["SystemTime"].as_str() < info["SystemTime"].as_str(), "{past}");
    let leave = server.post("/swarm/leave", "").await.refused(503);
    assert!(leave.contains("last manager"), "{leave}");
    server.post("/swarm/leave?force=1", "").await.done(200);
    server.get("/services").await.refused(503);
    server.stop().await;
}

#[tokio::test]
async fn a_node_reads_as_docker_shows_it() {
    let server = Server::with_story().await;
    let nodes = server.get("/nodes?filters={%22role%22:{%22manager%22:true}}").await.done(200);
    expect![[r#"
        [
          {
            "CreatedAt": "2026-11-23T14:00:00.001Z",
            "Description": {
              "Engine": {
                "EngineVersion": "0.1.0",
                "Plugins": [
                  {
                    "Name": "overlay",
                    "Type": "Network"
                  }
                ]
              },
              "Hostname": "n1",
              "Platform": {
                "Architecture": "x86_64",
                "OS": "linux"
              },
              "Resources": {
                "MemoryBytes": 8589934592,
                "NanoCPUs": 2000000000
              },
              "TLSInfo": {
                "TrustRoot": "-----BEGIN CERTIFICATE-----\n"
              }
            },
            "ID": "7mxzxt6776nav15qyhbtgn2m9",
            "ManagerStatus": {
              "Addr": "192.0.2.1:2377",
              "Leader": true,
              "Reachability": "reachable"
            },
            "Spec": {
              "Availability": "active",
              "Labels": {},
              "Role": "manager"
            },
            "Status": {
              "Addr": "192.0.2.1",
              "State": "ready"
            },
            "UpdatedAt": "2026-11-23T14:00:00.002Z",
            "Version": {
              "Index": 2
            }
          }
        ]"#]]
    .assert_eq(&serde_json::to_string_pretty(&nodes).unwrap());
    assert_eq!(server.get("/nodes/n1").await.done(200)["Description"]["Hostname"], "n1");
    assert_eq!(server.get("/nodes/nosuch").await.refused(404), "node nosuch not found");
    server.get("/nodes?filters={%22role%22:[%22bogus%22]}").await.refused(400);
    let spec =
        json!({"Role": "manager", "Availability": "pause", "Labels": {"zone": "a", "ssd": ""}});
    let version = nodes[0]["Version"]["Index"].as_u64().unwrap();
    let update = |version: String| format!("/nodes/n1/update?version={version}");
    server.post(&update(version.to_string()), &spec.to_string()).await.done(200);
    let late = server.post(&update(version.to_string()), &spec.to_string()).await;
    assert_eq!(late.refused(500), "update out of sequence");
    server.post(&update("one".to_owned()), &spec.to_string()).await.refused(400);
    let node = server.get("/nodes/n1").await.done(200);
    assert_eq!(node["Spec"], spec);
    let version = node["Version"]["Index"].to_string();
    // What changes nothing is no record.
    let records = server.get("/skein/v1/log").await.lines().len();
    server.post(&update(version.clone()), &spec.to_string()).await.done(200);
    assert_eq!(server.get("/skein/v1/log").await.lines().len(), records);
    assert_eq!(server.get("/nodes/n1").await.done(200)["Version"]["Index"].to_string(), version);
    let worker = json!({"Role": "worker", "Availability": "active"}).to_string();
    let refused = server.post(&update(version), &worker).await.refused(501);
    assert!(refused.contains("roles of nodes cannot be changed yet"), "{refused}");
    let none = server.get("/nodes?filters={%22engine.label%22:[%22disk%22]}").await.done(200);
    assert_eq!(none, json!([]));
    let labelled = |label: &str| format!("/nodes?filters={{%22node.label%22:[%22{label}%22]}}");
    assert_eq!(server.get(&labelled("zone=a")).await.done(200).as_array().unwrap().len(), 1);
    assert_eq!(server.get(&labelled("zone=b")).await.done(200), json!([]));
    server.stop().await;
}

#[tokio::test]
async fn networks_are_made_found_and_removed() {
    let server = Server::with_story().await;
    let network = server.get("/v1.50/networks/demo?scope=swarm").await.done(200);
    assert_eq!(
        network["IPAM"]["Config"][0],
        json!({"Subnet": "10.0.1.0/24", "Gateway": "10.0.1.1"})
    );
    assert_eq!(network["Options"]["com.docker.network.driver.overlay.vxlanid_list"], "4097");
    assert_eq!(network["Driver"], "overlay");
    assert_eq!(
        server.post("/networks/create", NETWORK).await.refused(409),
        "network with name demo already exists"
    );
    let bridge = edited(NETWORK, |n| n["Driver"] = json!("bridge"));
    assert!(
        server.post("/networks/create", &bridge).await.refused(501).contains("--driver overlay")
    );
    let unknown = edited(NETWORK, |n| n["Driver"] = json!("nosuchdrv"));
    assert_eq!(
        server.post("/networks/create", &unknown).await.refused(404),
        "plugin \"nosuchdrv\" not found"
    );
    let bogus = edited(NETWORK, |n| n["IPAM"]["Config"] = json!([{"Subnet": "bogus"}]));
    assert_eq!(
        server.post("/networks/create", &bogus).await.refused(400),
        "Invalid subnet bogus : invalid CIDR address: bogus"
    );
    let with =
        |subnet: &str| edited(NETWORK, |n| n["IPAM"]["Config"] = json!([{"Subnet": subnet}]));
    assert_eq!(
        server.post("/networks/create", &with("10.60.0.5/24")).await.refused(400),
        "Invalid subnet 10.60.0.5/24 : it has bits set beyond its prefix, it should be 10.60.0.0/24"
    );
    let six = server.post("/networks/create", &with("fd00::/64")).await.refused(501);
    assert_eq!(six, "networks are IPv4 only: give an IPv4 --subnet");
    let inside = server.get("/networks/demo?verbose=true").await.done(200);
    assert_eq!(inside["Containers"].as_object().unwrap().len(), 2);
    assert_eq!(inside["Peers"], json!([{"Name": "7mxzxt6776na", "IP": "192.0.2.1"}]));
    let tasks = &inside["Services"]["web"]["Tasks"];
    assert_eq!(tasks.as_array().unwrap().len(), 2);
    assert_eq!(tasks[0]["EndpointIP"], "10.0.1.2");
    assert_eq!(tasks[0]["Info"]["Host IP"], "192.0.2.1");
    assert_eq!(server.get("/networks/demo").await.done(200)["Services"], Value::Null);
    let empty = edited(NETWORK, |n| n["Name"] = json!("empty"));
    server.post("/networks/create", &empty).await.done(201);
    // What `docker system prune` asks for, beside networks and images.
    for path in ["/v1.41/containers/prune?filters={%22until%22:[%2224h%22]}", "/v1.41/build/prune"]
    {
        assert_eq!(server.post(path, "").await.done(200)["SpaceReclaimed"], 0);
    }
    server.post("/containers/prune?filters={%22colour%22:[%22red%22]}", "").await.refused(400);
    let bad = server.post("/networks/prune?filters={%22until%22:[%22soon%22]}", "").await;
    bad.refused(400);
    let none = server.post("/networks/prune?filters={%22label%22:[%22no%22]}", "").await.done(200);
    assert_eq!(none, json!({}));
    let pruned = server.post("/networks/prune", "").await.done(200);
    assert_eq!(pruned, json!({"NetworksDeleted": ["empty"]}));
    let used = server.delete("/networks/demo").await.refused(400);
    assert!(used.contains("in use by service web"), "{used}");
    server.delete("/services/web").await.done(200);
    server.delete("/networks/demo").await.done(204);
    assert_eq!(server.get("/networks/demo").await.refused(404), "network demo not found");
    assert_eq!(
        server.get("/networks?filters={%22bogus%22:{%221%22:true}}").await.refused(400),
        "Invalid filter 'bogus'"
    );
    server.stop().await;
}

#[tokio::test]
async fn a_service_reads_back_as_it_was_sent() {
    let server = Server::with_story().await;
    let service = server.get("/services/web?insertDefaults=false").await.done(200);
    expect![[r#"
        {
          "EndpointSpec": {
            "Mode": "dnsrr"
          },
          "Labels": {},
          "Mode": {
            "Replicated": {
              "Replicas": 2
            }
          },
          "Name": "web",
          "TaskTemplate": {
            "ContainerSpec": {
              "Args": [
                "sleep",
                "1d"
              ],
              "DNSConfig": {},
              "Env": [
                "A=1"
              ],
              "Image": "busybox:latest",
              "Init": false,
              "Isolation": "default"
            },
            "ForceUpdate": 0,
            "Networks": [
              {
                "Target": "NETWORK"
              }
            ],
            "Placement": {},
            "Resources": {
              "Limits": {},
              "Reservations": {}
            },
            "Runtime": "container"
          }
        }"#]]
    .assert_eq(&{
        let network = server.get("/networks/demo").await.done(200)["Id"].clone();
        let text = serde_json::to_string_pretty(&service["Spec"]).unwrap();
        text.replace(network.as_str().unwrap(), "NETWORK")
    });
    let list = server.get("/v1.50/services?status=true").await.done(200);
    assert_eq!(
        list[0]["ServiceStatus"],
        json!({"RunningTasks": 2, "DesiredTasks": 2, "CompletedTasks": 0})
    );
    // Defaults only when asked for.
    let full = server.get("/services/web?insertDefaults=true").await.done(200);
    assert_eq!(full["Spec"]["TaskTemplate"]["RestartPolicy"]["Delay"], 5_000_000_000_u64);
    assert_eq!(
        full["Spec"]["TaskTemplate"]["ContainerSpec"]["StopGracePeriod"],
        10_000_000_000_u64
    );
    // By prefix of the id, by name prefix in filters, by exact name in paths.
    let id = service["ID"].as_str().unwrap();
    server.get(&format!("/services/{}", &id[..6])).await.done(200);
    let by_name = server.get("/services?filters={%22name%22:{%22we%22:true}}").await.done(200);
    assert_eq!(by_name.as_array().unwrap().len(), 1);
    assert_eq!(server.get("/services/we").await.refused(404), "service we not found");
    server.stop().await;
}

#[tokio::test]
async fn tasks_carry_their_addresses() {
    let server = Server::with_story().await;
    let filter = "{%22service%22:{%22web%22:true},%22_up-to-date%22:{%22true%22:true}}";
    let tasks = server.get(&format!("/tasks?filters={filter}")).await.done(200);
    let tasks = tasks.as_array().unwrap();
    assert_eq!(tasks.len(), 2);
    for task in tasks {
        assert_eq!(task["Status"]["State"], "running");
        assert_eq!(task["DesiredState"], "running");
        let attachment = &task["NetworksAttachments"][0];
        assert_eq!(attachment["Network"]["Spec"]["Name"], "demo");
        assert!(attachment["Addresses"][0].as_str().unwrap().ends_with("/24"), "{attachment}");
        assert_eq!(task["Status"]["ContainerStatus"]["ContainerID"].as_str().unwrap().len(), 64);
        let id = task["ID"].as_str().unwrap();
        assert_eq!(server.get(&format!("/tasks/{id}")).await.done(200)["ID"], task["ID"]);
    }
    assert_eq!(
        server.get("/tasks?filters={%22service%22:[%22nosuch%22]}").await.refused(404),
        "service nosuch not found"
    );
    assert_eq!(
        server.get("/tasks?filters={%22desired-state%22:[%22bogus%22]}").await.refused(400),
        "Invalid desired-state filter: 'bogus'"
    );
    let containers = server.get("/containers/json").await.done(200);
    assert_eq!(containers.as_array().unwrap().len(), 2);
    assert_eq!(containers[0]["Labels"]["com.docker.swarm.service.name"], "web");
    assert_eq!(
        server.get("/containers/nosuch/json").await.refused(404),
        "No such container: nosuch"
    );
    server.stop().await;
}

#[tokio::test]
async fn containers_are_listed_newest_first_and_found_by_what_they_are() {
    let server = Server::with_story().await;
    let list = async |query: &str| {
        let all = server.get(&format!("/containers/json?{query}")).await.done(200);
        let name =
            |c: &Value| c["Names"][0].as_str().unwrap().rsplit_once('.').unwrap().0.to_owned();
        all.as_array().unwrap().iter().map(name).collect::<Vec<_>>()
    };
    let by = async |key: &str, value: &str| {
        list(&format!("filters={{%22{key}%22:[%22{value}%22]}}")).await
    };
    assert_eq!(list("").await, ["/web.2", "/web.1"]);
    assert_eq!(list("limit=1").await, ["/web.2"]);
    assert_eq!(list("limit=-1").await.len(), 2);
    assert_eq!(by("since", "web.1").await, ["/web.2"]);
    assert_eq!(by("before", "web.2").await, ["/web.1"]);
    assert_eq!(by("name", "%5E/web.1").await, ["/web.1"]);
    for (key, value, found) in [
        ("network", "demo", 2),
        ("network", "nosuch", 0),
        ("health", "none", 2),
        ("health", "healthy", 0),
        ("status", "exited", 0),
        ("status", "created", 0),
        ("exited", "0", 0),
        ("volume", "data", 0),
        ("is-task", "true", 2),
        ("is-task", "false", 0),
        ("publish", "80", 0),
        ("ancestor", "busybox", 2),
        ("ancestor", "busybox:latest", 2),
        ("ancestor", "busybox:other", 0),
        ("ancestor", "nosuch", 0),
        ("label", "com.docker.swarm.service.name=web", 2),
    ] {
        assert_eq!(by(key, value).await.len(), found, "{key}={value}");
    }
    let refused = async |filter: &str| {
        server.get(&format!("/containers/json?filters={{{filter}}}")).await.refused(400)
    };
    expect!["Invalid filter 'status=bogus': it is one of created, restarting, running, removing, paused, exited, dead"]
        .assert_eq(&refused("%22status%22:[%22bogus%22]").await);
    expect!["Invalid filter 'exited=x': it is an exit code"]
        .assert_eq(&refused("%22exited%22:[%22x%22]").await);
    expect!["Invalid filter 'isolation'"].assert_eq(&refused("%22isolation%22:[%22x%22]").await);
    let found = server.get("/containers/json").await.done(200);
    assert_eq!(found[0]["SizeRw"], Value::Null);
    server.stop().await;
}

#[tokio::test]
async fn a_container_shows_what_its_checks_came_to() {
    let server = Server::with_story().await;
    let tasks = server.get("/tasks").await.done(200);
    let task: TaskId = tasks[0]["ID"].as_str().unwrap().parse().unwrap();
    let name = format!("/containers/{task}/json");
    let status = async || {
        let all = server.get("/containers/json").await.done(200);
        let of = |c: &&Value| c["Names"][0].as_str().unwrap().ends_with(&task.to_string());
        let status = all.as_array().unwrap().iter().find(of).unwrap()["Status"].clone();
        status.as_str().unwrap().to_owned()
    };
    assert!(!status().await.contains('('), "{}", status().await);
    assert_eq!(server.get(&name).await.done(200)["State"]["Health"], Value::Null);
    let probe = Probe {
        start: Time(1_795_442_400_000_000_000),
        end: Time(1_795_442_400_500_000_000),
        exit_code: 7,
        output: "no answer\n".to_owned(),
    };
    for (wellness, word) in [
        (Wellness::Starting, "(health: starting)"),
        (Wellness::Well, "(healthy)"),
        (Wellness::Unwell, "(unhealthy)"),
    ] {
        let health = Health { wellness, streak: 2, last: [probe.clone()].into() };
        server.fake.found(task, health);
        assert!(status().await.ends_with(word), "{}", status().await);
    }
    let found = server.get(&name).await.done(200);
    expect![[r#"{"FailingStreak":2,"Log":[{"End":"2026-11-23T14:00:00.5Z","ExitCode":7,"Output":"no answer\n","Start":"2026-11-23T14:00:00Z"}],"Status":"unhealthy"}"#]]
        .assert_eq(&found["State"]["Health"].to_string());
    assert_eq!(found["State"]["OOMKilled"], false);
    // The log does not say it, so nobody knows it of the past.
    let now = server.fake.state().unwrap().position.to_string();
    let past = server.ask(Method::GET, &name, &[("skein-at", &now)], Body::empty()).await;
    assert_eq!(past.done(200)["State"]["Health"], Value::Null);
    server.stop().await;
}

#[tokio::test]
async fn a_service_is_updated_in_sequence_and_taken_back() {
    let server = Server::with_story().await;
    let service = server.get("/services/web").await.done(200);
    let index = service["Version"]["Index"].as_u64().unwrap();
    let spec = service["Spec"].to_string();
    let scaled = edited(&spec, |s| s["Mode"]["Replicated"]["Replicas"] = json!(5));
    let update = |version: u64| {
        format!("/v1.50/services/web/update?registryAuthFrom=spec&version={version}")
    };
    assert_eq!(
        server.post(&update(index + 1), &scaled).await.refused(500),
        "update out of sequence"
    );
    let done = server.post(&update(index), &scaled).await;
    done.done(200);
    let position = done.headers["skein-position"].to_str().unwrap().to_owned();
    let after = server.get("/services/web").await.done(200);
    assert_eq!(after["Spec"]["Mode"]["Replicated"]["Replicas"], 5);
    let index = after["Version"]["Index"].as_u64().unwrap();
    assert_eq!(position, format!("@{index}"));
    assert_eq!(after["PreviousSpec"]["Mode"]["Replicated"]["Replicas"], 2);

    let name = edited(&spec, |s| s["Name"] = json!("other"));
    assert_eq!(
        server.post(&update(index), &name).await.refused(501),
        "renaming services is not supported"
    );
    let mode = edited(&spec, |s| s["Mode"] = json!({"Global": {}}));
    assert_eq!(
        server.post(&update(index), &mode).await.refused(501),
        "service mode change is not allowed"
    );
    let none = server.post("/services/web/update", &spec).await.refused(400);
    assert!(none.starts_with("invalid service version ''"), "{none}");
    let strange = format!("{}&rollback=sideways", update(index));
    server.post(&strange, &spec).await.refused(400);

    let changed = edited(&scaled, |s| {
        s["TaskTemplate"]["ContainerSpec"]["Image"] = json!("other:1");
        s["TaskTemplate"]["ContainerSpec"]["Env"] = json!(["A=2"]);
    });
    server.post(&update(index), &changed).await.done(200);
    let shown = |service: &Value| {
        let container = &service["Spec"]["TaskTemplate"]["ContainerSpec"];
        let before = &service["PreviousSpec"]["TaskTemplate"]["ContainerSpec"];
        format!(
            "{} {} before {} {}: {}",
            container["Image"],
            container["Env"],
            before["Image"],
            before["Env"],
            service["UpdateStatus"]["State"]
        )
    };
    let after = server.get("/services/web").await.done(200);
    assert_eq!(shown(&after), r#""other:1" ["A=2"] before "busybox:latest" ["A=1"]: "updating""#);
    // Only those that run what is asked for now; the nodes of this test are quick, so there is one a slot.
    let images = |tasks: Value| -> Vec<String> {
        let image = |t: &Value| t["Spec"]["ContainerSpec"]["Image"].as_str().unwrap().to_owned();
        tasks.as_array().unwrap().iter().map(image).collect()
    };
    let filter = "{%22service%22:{%22web%22:true},%22_up-to-date%22:{%22true%22:true}}";
    let new = images(server.get(&format!("/tasks?filters={filter}")).await.done(200));
    assert_eq!(new, ["other:1"; 5]);
    let all = "{%22service%22:{%22web%22:true}}";
    let all = images(server.get(&format!("/tasks?filters={all}")).await.done(200));
    assert!(all.contains(&"busybox:latest".to_owned()), "{all:?}");

    let index = after["Version"]["Index"].as_u64().unwrap();
    let back = format!("{}&rollback=previous", update(index));
    server.post(&back, &changed).await.done(200);
    let after = server.get("/services/web").await.done(200);
    let shown = shown(&after);
    assert!(
        shown.starts_with(r#""busybox:latest" ["A=1"] before "other:1" ["A=2"]: "rollback_"#),
        "{shown}"
    );
    server.stop().await;
}

#[tokio::test]
async fn what_is_not_there_yet_is_refused_with_a_way_out() {
    let server = Server::with_story().await;
    let mut rich: Value = serde_json::from_str(RICH).unwrap();
    let mut refused = Vec::new();
    // One thing after the other is taken away, as the sentence says, until the service can be made.
    for path in [
        "/TaskTemplate/ContainerSpec/Secrets",
        "/TaskTemplate/ContainerSpec/Configs",
        "/TaskTemplate/Resources/Reservations/GenericResources",
        "/EndpointSpec/Ports",
        "/EndpointSpec/Mode",
    ] {
        let message = server.post("/v1.50/services/create", &rich.to_string()).await.refused(501);
        refused.push(message);
        let (parent, key) = path.rsplit_once('/').unwrap();
        let removed = rich.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(key);
        assert!(removed.is_some(), "{path}");
        if path == "/EndpointSpec/Mode" {
            rich["EndpointSpec"]["Mode"] = json!("dnsrr");
        }
    }
    server.post("/v1.50/services/create", &rich.to_string()).await.done(201);
    expect![[r#"
        secrets are not there yet: leave out --secret and give values with --env
        configs are not there yet: leave out --config and put the file into the image
        generic resources are not there yet: leave out --generic-resource
        published ports are not there yet: leave out --publish and reach the service by its name on a network
        endpoint mode vip is not there yet: add --endpoint-mode dnsrr"#]]
    .assert_eq(&refused.join("\n"));
    for (method, path) in [
        (Method::POST, "/secrets/create"),
        (Method::POST, "/configs/create"),
        (Method::POST, "/swarm/join"),
        (Method::POST, "/build"),
        (Method::GET, "/events"),
        (Method::POST, "/containers/create"),
        (Method::POST, "/images/127.0.0.1:5000/bb/push"),
        (Method::DELETE, "/nodes/n1"),
    ] {
        let answer = server.ask(method, path, &[], Body::empty()).await;
        let message = answer.refused(501);
        assert!(message.contains("not") && answer.json()["code"] == "unsupported", "{path}");
    }
    // `docker stack rm` lists what a stack may have.
    for path in ["/secrets?filters={}", "/configs"] {
        assert_eq!(server.get(path).await.done(200), serde_json::json!([]), "{path}");
    }
    server.stop().await;
}

#[tokio::test]
async fn usual_mistakes_get_dockers_answers() {
    let server = Server::with_story().await;
    let create = "/v1.41/services/create";
    assert_eq!(
        server.post(create, SERVICE).await.refused(409),
        "name conflicts with an existing object: service web already exists"
    );
    assert_eq!(server.post(create, "").await.refused(400), "got EOF while reading request body");
    assert_eq!(server.post(create, "{}").await.refused(400), "mismatched Runtime and *Spec fields");
    let no_image = r#"{"Name":"a","TaskTemplate":{"ContainerSpec":{}}}"#;
    assert_eq!(
        server.post(create, no_image).await.refused(400),
        "ContainerSpec: image reference must be provided"
    );
    let no_network = edited(SERVICE, |s| {
        s["Name"] = json!("x");
        s["TaskTemplate"]["Networks"] = json!([{"Target": "nosuch"}]);
    });
    assert_eq!(server.post(create, &no_network).await.refused(404), "network nosuch not found");
    assert_eq!(server.delete("/services/nosuch").await.refused(404), "service nosuch not found");
    // Unknown fields are ignored, names are invented, keys are read without regard to case.
    let bare = r#"{"TaskTemplate":{"ContainerSpec":{"Image":"127.0.0.1:5000/bb:1"}},"Bogus":1,"Mode":{"replicated":{"Replicas":0}}}"#;
    let id = server.post(create, bare).await.done(201)["ID"].as_str().unwrap().to_owned();
    let made = server.get(&format!("/services/{id}")).await.done(200);
    assert!(made["Spec"]["Name"].as_str().unwrap().starts_with("bb-"), "{made}");
    assert_eq!(made["Spec"]["Mode"]["Replicated"]["Replicas"], 0);
    assert_eq!(made["Spec"]["EndpointSpec"]["Mode"], "vip");
    server.stop().await;
}

#[tokio::test]
async fn images_are_loaded_and_named() {
    let server = Server::with_story().await;
    let found = server.get("/v1.50/distribution/127.0.0.1:5000/bb:1/json").await.done(200);
    assert_eq!(found["Descriptor"]["digest"], format!("sha256:{}", "6c".repeat(32)));
    // Of one it does not have the docker CLI warns and goes on.
    server.get("/v1.50/distribution/127.0.0.1:5000/nosuch:1/json").await.refused(404);
    let archive = Body::from(vec![0; 3 << 20]);
    let loaded = server.ask(Method::POST, "/v1.50/images/load?quiet=1", &[], archive).await;
    assert_eq!(loaded.lines()[0], json!({"stream": "Loaded image: busybox:latest\n"}));
    let images = server.get("/v1.50/images/json").await.done(200);
    assert_eq!(
        (&images[0]["RepoTags"][0], &images[0]["Size"]),
        (&json!("busybox:latest"), &json!(3 << 20))
    );
    server.get("/images/busybox/json").await.done(200);
    server.get("/images/busybox:latest/json").await.done(200);
    server.get("/images/a6a6a6a6/json").await.done(200);
    assert_eq!(
        server.get("/images/nosuch/json").await.refused(404),
        "no such image: nosuch: No such image: nosuch:latest"
    );
    let listed = async |query: &str| {
        let path = format!("/images/json?filters={query}");
        server.get(&path).await.done(200).as_array().unwrap().len()
    };
    assert_eq!(listed("%7B%22reference%22:%5B%22busy*%22%5D%7D").await, 1);
    assert_eq!(listed("%7B%22dangling%22:%5B%22true%22%5D%7D").await, 0);
    assert_eq!(listed("%7B%22since%22:%5B%22busybox%22%5D%7D").await, 0);
    let until = |time: &str| format!("%7B%22until%22:%5B%22{time}%22%5D%7D");
    assert_eq!(listed(&until("2026-11-23T02:59:07Z")).await, 0);
    assert_eq!(listed(&until("2026-11-23T02:59:08Z")).await, 1);
    let unknown = server.get("/images/json?filters=%7B%22before%22:%5B%22nosuch%22%5D%7D").await;
    assert_eq!(unknown.refused(404), "No such image: nosuch:latest");
    for list in ["images/json", "networks", "volumes"] {
        let perhaps = format!("/{list}?filters=%7B%22dangling%22:%5B%22perhaps%22%5D%7D");
        let refused = server.get(&perhaps).await.refused(400);
        assert!(refused.contains("'dangling=perhaps'"), "{list}: {refused}");
    }
    server.stop().await;
}

#[tokio::test]
async fn images_are_looked_at_closely() {
    let server = Server::with_story().await;
    server.ask(Method::POST, "/images/load", &[], Body::from(vec![0; 9])).await.done(200);
    expect![[r#"{"Architecture":"amd64","Author":"","Comment":"Imported from -","Config":{"AttachStderr":false,"AttachStdin":false,"AttachStdout":false,"Cmd":["/bin/sh"],"Domainname":"","Entrypoint":null,"Env":null,"Healthcheck":{"Test":["NONE"]},"Hostname":"","Image":"","Labels":null,"OnBuild":null,"OpenStdin":false,"StdinOnce":false,"Tty":false,"User":"","Volumes":null,"WorkingDir":""},"Created":"2026-11-23T02:59:07.874961141Z","DockerVersion":"","GraphDriver":{"Data":null,"Name":"overlay2"},"Id":"sha256:a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6","Metadata":{"LastTagTime":"0001-01-01T00:00:00Z"},"Os":"linux","Parent":"","RepoDigests":[],"RepoTags":["busybox:latest"],"RootFS":{"Layers":["sha256:6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c"],"Type":"layers"},"Size":9,"VirtualSize":9}"#]]
    .assert_eq(&server.get("/v1.41/images/busybox/json").await.done(200).to_string());
    expect![[r#"[{"Comment":"","Created":1795402748,"CreatedBy":"CMD","Id":"sha256:a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6","Size":0,"Tags":["busybox:latest"]},{"Comment":"first","Created":1795402747,"CreatedBy":"ADD","Id":"<missing>","Size":7,"Tags":null}]"#]]
    .assert_eq(&server.get("/images/busybox/history").await.done(200).to_string());
    let df = server.get("/system/df").await.done(200);
    assert_eq!((&df["LayersSize"], &df["Images"][0]["Containers"]), (&json!(9), &json!(1)));
    assert_eq!(df["PartialSize"], 2);
    assert_eq!(df["Images"][0]["SharedSize"], 0);
    assert_eq!(
        (&df["Containers"][0]["SizeRw"], &df["Containers"][0]["SizeRootFs"]),
        (&json!(5), &json!(14))
    );
    server.stop().await;
}

#[tokio::test]
async fn what_ended_containers_said_is_counted_and_pruned() {
    let server = Server::with_story().await;
    let log = |n, hours: u64| KeptLog {
        task: TaskId::from_random([n; 16]),
        container: n.to_string().repeat(64),
        bytes: u64::from(n) * 10,
        last: Time(START - hours * 3_600_000_000_000),
    };
    server.fake.ended(log(2, 1));
    server.fake.ended(log(3, 48));
    let df = server.get("/system/df").await.done(200);
    let ended = &df["Containers"][1];
    assert_eq!((&ended["State"], &ended["SizeRw"]), (&json!("exited"), &json!(20)));
    assert_eq!((&ended["OnlyLog"], &df["Containers"][0]["OnlyLog"]), (&json!(true), &Value::Null));
    let prune = async |filters: &str| {
        let path = format!("/containers/prune?filters={{{filters}}}");
        server.post(&path, "").await.done(200)
    };
    let nothing = json!({ "SpaceReclaimed": 0 });
    assert_eq!(prune("%22label%22:[%22a=b%22]").await, nothing, "they have no labels");
    assert_eq!(prune("%22label!%22:[%22a=b%22]").await, nothing, "and may have had these");
    let old = json!({ "ContainersDeleted": ["3".repeat(64)], "SpaceReclaimed": 30 });
    assert_eq!(prune("%22until%22:[%2224h%22]").await, old);
    let rest = json!({ "ContainersDeleted": ["2".repeat(64)], "SpaceReclaimed": 20 });
    assert_eq!(prune("").await, rest);
    assert_eq!(prune("").await, nothing);
    server.stop().await;
}

#[tokio::test]
async fn images_get_names_and_lose_them() {
    let server = Server::with_story().await;
    server.ask(Method::POST, "/images/load", &[], Body::from(vec![0; 9])).await.done(200);
    let tag = "/v1.41/images/busybox:latest/tag?repo=docker.io%2Feco%2Fbb&tag=1";
    assert_eq!(server.post(tag, "").await.status, 201);
    let upper = server.post("/images/busybox/tag?repo=Eco/bb&tag=1", "").await.refused(400);
    assert_eq!(upper, "invalid reference format: repository name must be lowercase");
    let no_such = server.post("/images/nosuch/tag?repo=a&tag=1", "").await.refused(404);
    assert_eq!(no_such, "No such image: nosuch:latest");
    let one =
        server.get("/images/json?filters=%7B%22reference%22:%5B%22*/bb%22%5D%7D").await.done(200);
    assert_eq!(one[0]["RepoTags"], json!(["eco/bb:1"]), "only the names asked for");
    let gone = server.delete("/v1.41/images/busybox").await.done(200);
    assert_eq!(gone[0], json!({"Untagged": "busybox:latest"}));
    let conflict = server.delete("/images/eco/bb:1").await.refused(409);
    assert!(conflict.starts_with("conflict: unable to delete"), "{conflict}");
    server.delete("/images/eco/bb:1?force=1").await.done(200);
    let no_such = server.delete("/v1.41/images/nosuch").await.refused(404);
    assert_eq!(no_such, "No such image: nosuch:latest");
    let nothing = "/v1.41/images/prune?filters=%7B%22dangling%22%3A%7B%22true%22%3Atrue%7D%7D";
    assert_eq!(
        server.post(nothing, "").await.done(200),
        json!({"ImagesDeleted": null, "SpaceReclaimed": 0})
    );
    let all = "/v1.41/images/prune?filters=%7B%22dangling%22%3A%7B%22false%22%3Atrue%7D%7D";
    assert_eq!(server.post(all, "").await.done(200)["SpaceReclaimed"], 7);
    let import =
        "/v1.41/images/create?fromSrc=-&repo=a&tag=2&message=m&changes=CMD+x&changes=ENV+a%3Db";
    let imported = server.post(import, "archive").await.lines();
    assert_eq!(
        imported[0]["status"],
        "archive ImportImage { name: Some(Reference { host: \"docker.io\", path: \"library/a\", tag: Some(\"2\"), digest: None }), comment: \"m\", changes: [\"CMD x\", \"ENV a=b\"] }"
    );
    server.post("/images/create?fromSrc=http://x/y", "").await.refused(501);
    server.stop().await;
}

#[tokio::test]
async fn a_pull_says_how_it_goes_on() {
    let server = Server::start();
    let create = "/v1.41/images/create?fromImage=docker.io%2Flibrary%2Fbb&tag=1";
    let pulled = server.post(create, "").await.lines();
    let text: Vec<String> = pulled.iter().map(ToString::to_string).collect();
    expect![[r#"
        {"id":"1","status":"Pulling from library/bb"}
        {"id":"6c6c6c6c6c6c","progressDetail":{},"status":"Pulling fs layer"}
        {"id":"6c6c6c6c6c6c","progressDetail":{"current":3,"total":7},"status":"Downloading"}
        {"status":"Digest: sha256:6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c"}
        {"status":"Status: Downloaded newer image for bb:1"}"#]]
    .assert_eq(&text.join("\n"));
    let missing = server.post("/images/create?fromImage=nosuch&tag=1", "").await.refused(404);
    assert!(missing.starts_with("manifest for"), "{missing}");
    // {"username":"ada","password":"s3cret"}
    let auth = "eyJ1c2VybmFtZSI6ImFkYSIsInBhc3N3b3JkIjoiczNjcmV0In0=";
    let headers = [("x-registry-auth", auth)];
    let ended = server.ask(Method::POST, create, &headers, Body::empty()).await.lines();
    assert_eq!(ended[3]["errorDetail"]["message"], "it ended for Login(…)");
    let resolved = server.get("/distribution/127.0.0.1:5000/bb:1/json").await.done(200);
    assert_eq!(resolved["Descriptor"]["size"], 527);
    assert_eq!(resolved["Platforms"][0]["architecture"], "amd64");
    server.get("/distribution/nosuch/json").await.refused(404);
    server.post("/images/create?fromImage=bb&platform=linux/s390x", "").await.refused(501);
    let login = |user: &str, host: &str| {
        format!(r#"{{"username":"{user}","password":"s3cret","serveraddress":"{host}"}}"#)
    };
    for host in ["", "https://index.docker.io/v1/", "127.0.0.1:5000", "ghcr.io"] {
        let known = server.post("/auth", &login("ada", host)).await.done(200);
        assert_eq!(known["Status"], "Login Succeeded", "{host}");
    }
    let refused = server.post("/auth", &login("bob", "ghcr.io")).await.refused(401);
    assert_eq!(refused, "login to ghcr.io: unauthorized");
    let refused = server.post("/auth", &login("ada", "nohost")).await.refused(400);
    assert_eq!(refused, "\"nohost\" is no registry: give HOST[:PORT]");
    server.post("/auth", "{}").await.refused(400);
    // All tags, as Docker's API has a pull of none.
    let all = server.post("/images/create?fromImage=127.0.0.1:5000/team/bb", "").await.refused(501);
    assert!(all.contains("leave out --all-tags"), "{all}");
    server.post("/images/create?fromImage=127.0.0.1:5000/team/bb:1", "").await.lines();
    server.stop().await;
}

#[tokio::test]
async fn volumes_are_made_listed_and_removed() {
    let server = Server::with_story().await;
    let create = "/v1.50/volumes/create";
    let made = server.post(create, r#"{"Name":"data","Labels":{"a":"1"}}"#).await.done(201);
    expect![[r#"{"CreatedAt":"2026-11-23T14:00:00Z","Driver":"local","Labels":{"a":"1"},"Mountpoint":"/var/lib/skein/volumes/data/_data","Name":"data","Options":null,"Scope":"local"}"#]]
        .assert_eq(&made.to_string());
    server.post(create, r#"{"Name":"used"}"#).await.done(201);
    let unnamed = server.post(create, "{}").await.done(201);
    let unnamed = unnamed["Name"].as_str().unwrap().to_owned();
    assert_eq!(
        server.post(create, r#"{"Driver":"nfs"}"#).await.refused(501),
        "volume driver \"nfs\" is not there: use --driver local"
    );
    let long = json!({ "Labels": { "a": "x".repeat(65_537) } }).to_string();
    server.post(create, &long).await.refused(400);
    let names = |list: &Value| -> Vec<String> {
        let volumes = list["Volumes"].as_array().unwrap();
        volumes.iter().map(|v| v["Name"].as_str().unwrap().to_owned()).collect()
    };
    let listed = |filters: &str| format!("/volumes?filters={filters}");
    for (filters, found) in [
        (r#"{"dangling":["false"]}"#, vec!["used"]),
        (r#"{"label":{"a":true}}"#, vec!["data"]),
        (r#"{"name":["^us"]}"#, vec!["used"]),
        (r#"{"driver":["nfs"]}"#, vec![]),
    ] {
        let filters = filters.replace('"', "%22").replace('{', "%7B").replace('}', "%7D");
        assert_eq!(names(&server.get(&listed(&filters)).await.done(200)), found, "{filters}");
    }
    let usage = server.get("/system/df").await.done(200);
    assert_eq!(usage["Volumes"][2]["UsageData"], json!({ "RefCount": 1, "Size": 11 }));
    assert_eq!(server.get("/volumes/x").await.refused(404), "get x: no such volume");
    assert_eq!(
        server.delete("/volumes/used?force=1").await.refused(409),
        "remove used: volume is in use - [c]"
    );
    let pruned = server.post("/volumes/prune", "").await.done(200);
    assert_eq!(pruned, json!({ "VolumesDeleted": [unnamed], "SpaceReclaimed": 11 }));
    let all = "/volumes/prune?filters=%7B%22all%22:%5B%22true%22%5D%7D";
    let pruned = server.post(all, "").await.done(200);
    assert_eq!(pruned, json!({ "VolumesDeleted": ["data"], "SpaceReclaimed": 11 }));
    server.delete("/volumes/data").await.refused(404);
    server.delete("/volumes/data?force=1").await.done(204);
    server.stop().await;
}
