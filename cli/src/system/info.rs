//! `skein info`: the daemon's machine and its place in the swarm.
//! The lines are Docker's, as far as there is something to say; one list of labels and where their values are.

use serde_json::{Value, json};

use crate::args::At;
use crate::failure::Failure;
use crate::screen::{Form, human};
use crate::session::Session;
use crate::version;

/// Show what the daemon knows of its machine and swarm
#[derive(Debug, clap::Args)]
pub(crate) struct Info {
    /// Form of the answer: json, or a Go template like '{{.Swarm.LocalNodeState}}'; lines to read when absent
    #[arg(short, long, default_value = "table", hide_default_value = true)]
    format: Form,
    #[command(flatten)]
    at: At,
}

impl Info {
    pub(crate) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        let (mut info, failure) = match session.client.read("/info", &self.at).await {
            Ok(info) => (info, None),
            Err(failure) => (json!({}), Some(failure)),
        };
        info["ClientInfo"] = version::client();
        let shown = session.screen.answered(&self.format, &info, None);
        match (shown, failure) {
            (Ok(false), failure) => {
                session.screen.told(&page(&info, failure.is_none()))?;
                failure.map_or(Ok(()), Err)
            }
            // Of a daemon that does not answer no field is there, which is not the template's fault.
            (_, Some(failure)) => Err(failure),
            (shown, None) => shown.map(drop),
        }
    }
}

/// Labels with their indentation, and where in the answer their value is; a label without a place heads those below it.
const LINES: [(&str, &str); 47] = [
    (" Containers", "/Containers"),
    ("  Running", "/ContainersRunning"),
    ("  Paused", "/ContainersPaused"),
    ("  Stopped", "/ContainersStopped"),
    (" Images", "/Images"),
    (" Server Version", "/ServerVersion"),
    (" Storage Driver", "/Driver"),
    (" Logging Driver", "/LoggingDriver"),
    (" Cgroup Driver", "/CgroupDriver"),
    (" Cgroup Version", "/CgroupVersion"),
    (" Plugins", ""),
    ("  Volume", "/Plugins/Volume"),
    ("  Network", "/Plugins/Network"),
    ("  Log", "/Plugins/Log"),
    (" Swarm", "/Swarm/LocalNodeState"),
    ("  NodeID", "/Swarm/NodeID"),
    ("  Error", "/Swarm/Error"),
    ("  Is Manager", "/Swarm/ControlAvailable"),
    ("  ClusterID", "/Swarm/Cluster/ID"),
    ("  Managers", "/Swarm/Managers"),
    ("  Nodes", "/Swarm/Nodes"),
    ("  Default Address Pool", "/Swarm/Cluster/DefaultAddrPool"),
    ("  SubnetSize", "/Swarm/Cluster/SubnetSize"),
    ("  Data Path Port", "/Swarm/Cluster/DataPathPort"),
    ("  Orchestration", ""),
    (
        "   Task History Retention Limit",
        "/Swarm/Cluster/Spec/Orchestration/TaskHistoryRetentionLimit",
    ),
    ("  Raft", ""),
    ("   Snapshot Interval", "/Swarm/Cluster/Spec/Raft/SnapshotInterval"),
    ("   Number of Old Snapshots to Retain", "/Swarm/Cluster/Spec/Raft/KeepOldSnapshots"),
    ("   Heartbeat Tick", "/Swarm/Cluster/Spec/Raft/HeartbeatTick"),
    ("   Election Tick", "/Swarm/Cluster/Spec/Raft/ElectionTick"),
    ("  Dispatcher", ""),
    ("   Heartbeat Period", "/Swarm/Cluster/Spec/Dispatcher/HeartbeatPeriod"),
    ("  CA Configuration", ""),
    ("   Expiry Duration", "/Swarm/Cluster/Spec/CAConfig/NodeCertExpiry"),
    ("  Node Address", "/Swarm/NodeAddr"),
    ("  Manager Addresses", "/Swarm/RemoteManagers"),
    (" Security Options", "/SecurityOptions"),
    (" Kernel Version", "/KernelVersion"),
    (" Operating System", "/OperatingSystem"),
    (" OSType", "/OSType"),
    (" Architecture", "/Architecture"),
    (" CPUs", "/NCPU"),
    (" Total Memory", "/MemTotal"),
    (" Name", "/Name"),
    (" ID", "/ID"),
    (" Data Root Dir", "/DockerRootDir"),
];

fn page(info: &Value, answered: bool) -> String {
    let version = info["ClientInfo"]["Version"].as_str().unwrap_or_default();
    let mut page = format!("Client:\n Version:    {version}\n");
    if !answered {
        return page;
    }
    page += "\nServer:\n";
    let member = info["Swarm"]["LocalNodeState"] == "active";
    let mut heads: Vec<&str> = Vec::new();
    for (label, place) in LINES {
        let depth = |label: &str| label.len() - label.trim_start().len();
        heads.retain(|head| depth(head) < depth(label));
        if place.is_empty() {
            heads.push(label);
            continue;
        }
        let value = info.pointer(place).map(|value| shown(place, value)).unwrap_or_default();
        if value.is_empty() || (!member && place.starts_with("/Swarm/") && depth(label) > 1) {
            continue;
        }
        page.extend(heads.drain(..).map(|head| format!("{head}:\n")));
        let gap = if value.starts_with('\n') { "" } else { " " };
        page += &format!("{label}:{gap}{value}\n");
    }
    page
}

/// A value as it is read; those of lists below the label or beside it, as Docker has them.
fn shown(place: &str, value: &Value) -> String {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    match (place, value) {
        (_, Value::Null) => String::new(),
        ("/MemTotal", bytes) => human::memory(bytes.as_i64().unwrap_or_default()),
        ("/Swarm/Cluster/Spec/Dispatcher/HeartbeatPeriod", nanos)
        | ("/Swarm/Cluster/Spec/CAConfig/NodeCertExpiry", nanos) => {
            human::span(nanos.as_i64().unwrap_or_default())
        }
        ("/Swarm/RemoteManagers", Value::Array(managers)) => {
            let mut all: Vec<String> = managers.iter().map(|m| text(&m["Addr"])).collect();
            all.sort_unstable();
            all.iter().map(|address| format!("\n   {address}")).collect()
        }
        ("/SecurityOptions", Value::Array(options)) => {
            options.iter().map(|option| security(&text(option))).collect()
        }
        (_, Value::Array(words)) => words.iter().map(text).collect::<Vec<_>>().join(" "),
        (_, value) => text(value),
    }
}

/// `name=seccomp,profile=builtin`: the name, and below it whatever else is said.
fn security(option: &str) -> String {
    let mut lines = String::new();
    for pair in option.split(',') {
        lines += &match pair.split_once('=') {
            Some(("name", name)) => format!("\n  {name}"),
            Some((key, value)) => format!("\n   {}: {value}", human::title(key)),
            None => format!("\n  {pair}"),
        };
    }
    lines
}
