//! What clients send comes back as they sent it, and a spec of ours survives the way out and in again.

use serde_json::{Value, json};

use skein_events::state::State;

use super::{model, requested};
use crate::http::body;

/// Every option of Docker's client for containers, placement and updates, as it sends them.
fn everything() -> Value {
    json!({
        "Name": "all",
        "Labels": {"tier": "web"},
        "TaskTemplate": {
            "ContainerSpec": {
                "Image": "bb:1", "Labels": {"x": "y"}, "Command": ["sh"], "Args": ["-c", "true"],
                "Hostname": "h", "Env": ["A=1"], "Dir": "/tmp", "User": "7:8", "Groups": ["9"],
                "TTY": true, "OpenStdin": true, "ReadOnly": true,
                "Mounts": [
                    {"Type": "bind", "Source": "/a", "Target": "/b", "ReadOnly": true,
                        "BindOptions": {"Propagation": "rslave", "NonRecursive": true, "CreateMountpoint": true}},
                    {"Type": "volume", "Source": "v", "Target": "/v", "VolumeOptions": {"NoCopy": true,
                        "Labels": {"l": "1"}, "DriverConfig": {"Name": "local", "Options": {"o": "rw"}}, "Subpath": "s"}},
                    {"Type": "volume", "Target": "/w"},
                    {"Type": "tmpfs", "Target": "/t", "TmpfsOptions": {"SizeBytes": 1_048_576, "Mode": 448}},
                ],
                "StopSignal": "SIGINT", "StopGracePeriod": 5_000_000_000_u64,
                "Healthcheck": {"Test": ["CMD-SHELL", "true"], "Interval": 2_000_000_000_u64, "Timeout": 3_000_000_000_u64,
                    "Retries": 4, "StartPeriod": 5_000_000_000_u64, "StartInterval": 6_000_000_000_u64},
                "Hosts": ["1.2.3.4 a b"],
                "DNSConfig": {"Nameservers": ["1.1.1.1"], "Search": ["c.d"], "Options": ["ndots:2"]},
                "OomScoreAdj": -5, "Isolation": "default", "Init": false, "Sysctls": {"net.core.somaxconn": "512"},
                "CapabilityAdd": ["CAP_NET_ADMIN"], "CapabilityDrop": ["ALL"],
                "Ulimits": [{"Name": "nofile", "Soft": 100, "Hard": 200}],
            },
            "Resources": {
                "Limits": {"NanoCPUs": 500_000_000, "MemoryBytes": 67_108_864, "Pids": 9},
                "Reservations": {"NanoCPUs": 100_000_000, "MemoryBytes": 33_554_432},
            },
            "RestartPolicy": {"Condition": "on-failure", "Delay": 0, "MaxAttempts": 2, "Window": 1_000_000_000},
            "Placement": {"Constraints": ["node.role==manager"], "MaxReplicas": 1,
                "Preferences": [{"Spread": {"SpreadDescriptor": "node.labels.zone"}}]},
            "ForceUpdate": 3, "Runtime": "container",
            "LogDriver": {"Name": "json-file", "Options": {"max-size": "1m"}},
        },
        "Mode": {"Global": {}},
        "UpdateConfig": {"Parallelism": 0, "Delay": 1_000_000_000, "FailureAction": "rollback", "Monitor": 7_000_000_000_u64,
            "MaxFailureRatio": 0.25, "Order": "start-first"},
        "RollbackConfig": {"Parallelism": 2, "FailureAction": "continue", "Monitor": 5_000_000_000_u64,
            "MaxFailureRatio": 0.0, "Order": "stop-first"},
        "EndpointSpec": {"Mode": "vip"},
    })
}

/// What a client reads after it has sent this.
fn back(sent: &Value) -> Value {
    let spec = body::parse(sent.to_string().as_bytes()).unwrap();
    let read = requested(&State::default(), spec).unwrap();
    let shown = model(&read.spec, &read.env, false);
    // Sent again, it is the same: no task is replaced.
    let text = serde_json::to_string(&shown).unwrap();
    let again = requested(&State::default(), body::parse(text.as_bytes()).unwrap()).unwrap();
    assert_eq!(again, read);
    serde_json::from_str(&text.replace("\"HealthCheck\":", "\"Healthcheck\":")).unwrap()
}

#[test]
fn every_option_comes_back_as_it_was_sent() {
    assert_eq!(back(&everything()), everything());
}

#[test]
fn what_says_nothing_is_normalised() {
    // `docker service create IMAGE`, and `stack deploy` with empty structs.
    let bare = json!({"Name": "bare", "Labels": {}, "TaskTemplate": {
        "ContainerSpec": {"Image": "bb:1", "Init": false, "DNSConfig": {}, "Privileges": {"CredentialSpec": null},
            "Healthcheck": {}, "Mounts": [], "Env": null},
        "Resources": {"Limits": {}, "Reservations": {}}, "Placement": {}, "ForceUpdate": 0},
        "Mode": {"Replicated": {}}, "EndpointSpec": {"Mode": "vip"},
        "UpdateConfig": {"Parallelism": 1, "FailureAction": "pause", "Monitor": 5_000_000_000_u64, "MaxFailureRatio": 0, "Order": "stop-first"}});
    let expected = json!({"Name": "bare", "Labels": {}, "TaskTemplate": {
        "ContainerSpec": {"Image": "bb:1", "Init": false, "DNSConfig": {}, "Isolation": "default"},
        "Resources": {"Limits": {}, "Reservations": {}}, "Placement": {}, "ForceUpdate": 0, "Runtime": "container"},
        "Mode": {"Replicated": {"Replicas": 1}}, "EndpointSpec": {"Mode": "vip"}});
    assert_eq!(back(&bare), expected);
}

#[test]
fn what_means_nothing_is_refused() {
    let refused = |pointer: &str, value: Value| {
        let mut spec = everything();
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        spec.pointer_mut(parent).unwrap()[key] = value;
        let spec = body::parse(spec.to_string().as_bytes()).unwrap();
        requested(&State::default(), spec).unwrap_err().to_string()
    };
    let container = "/TaskTemplate/ContainerSpec";
    let cases = [
        (format!("{container}/Mounts"), json!([{"Type": "tmpfs", "Source": "x", "Target": "/t"}])),
        (
            format!("{container}/Mounts"),
            json!([{"Type": "bind", "Target": "/t", "VolumeOptions": {}}]),
        ),
        (format!("{container}/Mounts"), json!([{"Target": "/t"}])),
        (format!("{container}/Mounts"), json!([{"Type": "npipe", "Target": "/t"}])),
        (format!("{container}/Healthcheck"), json!({"Test": ["true"]})),
        (format!("{container}/Healthcheck"), json!({"Test": ["CMD"]})),
        (format!("{container}/Healthcheck"), json!({"Test": ["CMD", "true"], "Timeout": 999_999})),
        (format!("{container}/Secrets"), json!([{"SecretName": "s"}])),
        ("/TaskTemplate/Placement/Constraints".to_owned(), json!(["foo"])),
        ("/TaskTemplate/Placement/Preferences".to_owned(), json!([{}])),
        ("/UpdateConfig/MaxFailureRatio".to_owned(), json!(1.5)),
        ("/Mode".to_owned(), json!({"Global": {}, "Replicated": {}})),
        ("/Mode".to_owned(), json!({"GlobalJob": {}})),
    ];
    let sentences: Vec<String> =
        cases.into_iter().map(|(pointer, value)| refused(&pointer, value)).collect();
    expect_test::expect![[r#"
        mount /t: a tmpfs has no source
        mount /t: VolumeOptions are of another type
        mount /t has no type
        named pipes are of Windows: use type=bind, type=volume or type=tmpfs
        Healthcheck: a test begins with NONE, CMD or CMD-SHELL, not "true"
        Healthcheck: there is no command after CMD
        Timeout in Healthcheck cannot be less than 1ms
        secrets are not there yet: leave out --secret and give values with --env
        invalid constraint "foo": write KEY==VALUE or KEY!=VALUE, such as node.labels.disk==ssd
        a placement preference spreads over a label: write spread=node.labels.NAME
        update-maxfailureratio cannot be less than 0 or bigger than 1
        must specify only one service mode
        jobs are not there yet: use --mode replicated with --restart-condition none"#]]
    .assert_eq(&sentences.join("\n"));
}
