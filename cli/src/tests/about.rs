//! `version` and `info`: both halves, one of them, and single fields.

use expect_test::expect;
use serde_json::json;

use super::fake::Daemon;
use super::skein;

fn versions() -> String {
    json!({"Platform": {"Name": "Skein"}, "Version": "0.9.0", "ApiVersion": "1.50", "MinAPIVersion": "1.24",
        "GitCommit": "", "GoVersion": "", "Os": "linux", "Arch": "amd64", "KernelVersion": "6.1.0"})
    .to_string()
}

fn info() -> String {
    json!({"ID": "6eb8aae7", "Containers": 4, "ContainersRunning": 3, "ContainersPaused": 0, "ContainersStopped": 1,
        "Images": 1, "Driver": "overlay2", "LoggingDriver": "json-file", "CgroupDriver": "cgroupfs",
        "CgroupVersion": "2", "Plugins": {"Volume": ["local"], "Network": ["overlay"], "Log": ["json-file", "none"]},
        "MemTotal": 25276514304u64, "NCPU": 2, "Name": "vm", "KernelVersion": "6.1.0", "OSType": "linux",
        "OperatingSystem": "Debian GNU/Linux 12 (bookworm)", "Architecture": "x86_64", "ServerVersion": "0.9.0",
        "SystemTime": "2026-11-23T01:00:00Z", "SecurityOptions": ["name=seccomp,profile=builtin"],
        "DockerRootDir": "/var/lib/skein",
        "Swarm": {"NodeID": "a0a0", "NodeAddr": "10.0.0.1", "LocalNodeState": "active", "ControlAvailable": true,
            "Error": "", "RemoteManagers": [{"NodeID": "a0a0", "Addr": "10.0.0.1:2377"}], "Nodes": 2, "Managers": 1,
            "Cluster": {"ID": "c1c1", "Spec": {"Orchestration": {"TaskHistoryRetentionLimit": 5},
                "Raft": {"SnapshotInterval": 10000, "KeepOldSnapshots": 0, "ElectionTick": 10, "HeartbeatTick": 1},
                "Dispatcher": {"HeartbeatPeriod": 5000000000u64}, "CAConfig": {"NodeCertExpiry": 7776000000000000u64}},
                "DefaultAddrPool": ["10.0.0.0/8"], "SubnetSize": 24, "DataPathPort": 4789}}})
    .to_string()
}

/// The program's own version, which changes.
fn fixed(text: &str) -> String {
    text.replace(env!("CARGO_PKG_VERSION"), "<version>")
}

#[test]
fn versions_are_those_of_both_halves() {
    let daemon = Daemon::answering([("GET /v1.41/version", 200, versions())]);
    expect![[r#"
        Client:
         Version:           <version>
         API version:       1.41
         OS/Arch:           linux/amd64

        Server: Skein
         Engine:
          Version:          0.9.0
          API version:      1.50 (minimum version 1.24)
          OS/Arch:          linux/amd64
          Kernel:           6.1.0
    "#]]
    .assert_eq(&fixed(&skein(&daemon, &["version"]).out()));
    let field = |format| skein(&daemon, &["version", "--format", format]).out();
    assert_eq!(field("{{.Server.Version}} {{.Client.ApiVersion}}"), "0.9.0 1.41\n");
    assert!(field("json").starts_with("{\"Client\":{"));
}

#[test]
fn without_a_daemon_the_clients_half_is_shown_and_the_command_fails() {
    let mut daemon = Daemon::answering([]);
    daemon.stop();
    for (command, out) in [
        ("version", "Client:\n Version:           <version>\n API version:       1.41\n"),
        ("info", "Client:\n Version:    <version>\n"),
    ] {
        let ran = skein(&daemon, &[command]);
        assert!(fixed(&ran.out).starts_with(out) && !ran.out.contains("Server"), "{}", ran.out);
        assert!(ran.err.starts_with("cannot connect to the skein daemon at "), "{}", ran.err);
        assert_eq!(ran.code, 1);
    }
    let ran = skein(&daemon, &["version", "--format", "{{.Client.ApiVersion}}"]);
    assert_eq!((ran.code, ran.out.as_str()), (1, "1.41\n"));
    let ran = skein(&daemon, &["version", "--format", "{{.Server.Version}}"]);
    assert!(ran.err.starts_with("cannot connect"), "{}", ran.err);
    let ran = skein(&daemon, &["info", "--format", "{{.Swarm.LocalNodeState}}"]);
    assert!(ran.code == 1 && ran.err.starts_with("cannot connect"), "{}", ran.err);
}

#[test]
fn info_tells_of_the_machine_and_its_swarm() {
    let daemon = Daemon::answering([("GET /v1.41/info", 200, info())]);
    expect![[r#"
        Client:
         Version:    <version>

        Server:
         Containers: 4
          Running: 3
          Paused: 0
          Stopped: 1
         Images: 1
         Server Version: 0.9.0
         Storage Driver: overlay2
         Logging Driver: json-file
         Cgroup Driver: cgroupfs
         Cgroup Version: 2
         Plugins:
          Volume: local
          Network: overlay
          Log: json-file none
         Swarm: active
          NodeID: a0a0
          Is Manager: true
          ClusterID: c1c1
          Managers: 1
          Nodes: 2
          Default Address Pool: 10.0.0.0/8
          SubnetSize: 24
          Data Path Port: 4789
          Orchestration:
           Task History Retention Limit: 5
          Raft:
           Snapshot Interval: 10000
           Number of Old Snapshots to Retain: 0
           Heartbeat Tick: 1
           Election Tick: 10
          Dispatcher:
           Heartbeat Period: 5 seconds
          CA Configuration:
           Expiry Duration: 3 months
          Node Address: 10.0.0.1
          Manager Addresses:
           10.0.0.1:2377
         Security Options:
          seccomp
           Profile: builtin
         Kernel Version: 6.1.0
         Operating System: Debian GNU/Linux 12 (bookworm)
         OSType: linux
         Architecture: x86_64
         CPUs: 2
         Total Memory: 23.54GiB
         Name: vm
         ID: 6eb8aae7
         Data Root Dir: /var/lib/skein
    "#]]
    .assert_eq(&fixed(&skein(&daemon, &["info"]).out()));
    let system =
        skein(&daemon, &["system", "info", "--format", "{{.Swarm.LocalNodeState}} {{.NCPU}}"]);
    assert_eq!(system.out(), "active 2\n");
    let alone = json!({"Name": "vm", "NCPU": 2, "Swarm": {"NodeID": "", "LocalNodeState": "inactive",
        "ControlAvailable": false, "Error": ""}});
    let daemon = Daemon::answering([("GET /v1.41/info", 200, alone.to_string())]);
    expect![[r#"
        Client:
         Version:    <version>

        Server:
         Swarm: inactive
         CPUs: 2
         Name: vm
    "#]]
    .assert_eq(&fixed(&skein(&daemon, &["info"]).out()));
}
