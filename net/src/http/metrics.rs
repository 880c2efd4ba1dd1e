//! `/metrics` in Prometheus' text form: what this process counted, and what its state says at this moment.
//! Names are those dockerd uses where dashboards know them, and `skein_…` for the rest; nothing is kept between two readings.

use std::collections::BTreeMap;
use std::fs;
use std::sync::atomic::AtomicU64;

use axum::Router;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus_client::encoding::prometheus_text::{CONTENT_TYPE, encode};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::registry::Registry;

use skein_events::node::{NodeState, Role};
use skein_events::state;
use skein_events::task::TaskState;

use super::App;
use super::skein::lag;
use crate::backend::{Backend, Local, Standing};
use crate::measures::{Labels, MEASURES};

pub(crate) fn routes() -> Router<App> {
    Router::new().route("/metrics", get(metrics))
}

async fn metrics(State(app): State<App>) -> Response {
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], text(&*app.backend).await).into_response()
}

/// Everything there is to tell.
async fn text(backend: &dyn Backend) -> String {
    let mut registry = Registry::default();
    machine(&mut registry, &backend.local());
    process(&mut registry);
    if let (Ok(state), Some(standing)) = (backend.state(), backend.standing()) {
        log(&mut registry, &state, standing);
        swarm(&mut registry, &state, standing);
        consumers(&mut registry, backend, &state).await;
    }
    let mut text = String::new();
    let written = encode(&mut text, &registry).and_then(|()| encode(&mut text, &MEASURES.registry));
    written.expect("a String takes everything");
    text
}

fn gauge(registry: &mut Registry, name: &str, help: &str, value: u64) {
    registry.register(name, help, ConstGauge::new(value));
}

fn counter(registry: &mut Registry, name: &str, help: &str, value: u64) {
    registry.register(name, help, ConstCounter::new(value));
}

/// One gauge with a series for each of these labels.
fn family(
    registry: &mut Registry,
    name: &str,
    help: &str,
    series: impl IntoIterator<Item = (Labels, u64)>,
) {
    let family = Family::<Labels, Gauge<u64, AtomicU64>>::default();
    for (labels, value) in series {
        family.get_or_create(&labels).set(value);
    }
    registry.register(name, help, family);
}

fn machine(registry: &mut Registry, local: &Local) {
    let Local {
        node: _,
        address: _,
        hostname: _,
        cpus,
        memory,
        kernel,
        system: _,
        cgroup: _,
        data_root: _,
        id,
    } = local;
    let version = env!("CARGO_PKG_VERSION").to_owned();
    let info = vec![
        ("architecture", std::env::consts::ARCH.to_owned()),
        ("daemon_id", id.clone()),
        ("kernel", kernel.clone()),
        ("os_type", "linux".to_owned()),
        ("version", version.clone()),
    ];
    family(registry, "engine_daemon_engine_info", "This engine and its host", [(info, 1)]);
    gauge(registry, "engine_daemon_engine_cpus_cpus", "Processors of the host", *cpus);
    gauge(registry, "engine_daemon_engine_memory_bytes", "Memory of the host", *memory);
    family(registry, "skein_build_info", "This program", [(vec![("version", version)], 1)]);
}

fn log(registry: &mut Registry, state: &state::State, standing: Standing) {
    let Standing { node: _, leads: _, leader_known, term, committed, applied } = standing;
    counter(registry, "engine_daemon_events", "Records of the log", applied.0);
    gauge(registry, "skein_log_committed_position", "The last record agreed on", committed.0);
    gauge(registry, "skein_log_applied_position", "The last record in the state", applied.0);
    let lag = committed.0.saturating_sub(applied.0);
    gauge(registry, "skein_log_apply_lag_records", "Records agreed on and not in the state", lag);
    gauge(registry, "skein_log_epoch", "Epoch of the history", u64::from(state.epoch));
    gauge(registry, "skein_raft_term", "Newest term of consensus", term);
    gauge(
        registry,
        "skein_leader_known",
        "Whether a manager is known to lead",
        leader_known.into(),
    );
    let diverged = state.diverged.is_some().into();
    let help = "Whether this state differs from a checkpoint of the log";
    gauge(registry, "skein_replay_diverged", help, diverged);
}

/// How far each consumer is behind. There are only so many consumers, so there are only so many series; one whose records
/// cannot be read now has none.
async fn consumers(registry: &mut Registry, backend: &dyn Backend, state: &state::State) {
    let mut series = Vec::new();
    for consumer in state.consumers.values() {
        if let Ok(lag) = lag(backend, state, consumer.at).await {
            series.push((vec![("consumer", consumer.name.to_string())], lag.records));
        }
    }
    let help = "Records a consumer of the log has not acknowledged and will be told";
    family(registry, "skein_consumer_lag_events", help, series);
}

fn swarm(registry: &mut Registry, state: &state::State, standing: Standing) {
    let node = state.nodes.get(&standing.node);
    let manager = node.is_some_and(|node| node.role == Role::Manager);
    gauge(registry, "swarm_node_manager", "Whether this node is a manager", manager.into());
    gauge(registry, "swarm_manager_leader", "Whether this manager leads", standing.leads.into());
    if let Some(cluster) = &state.cluster {
        let labels =
            vec![("node_id", standing.node.to_string()), ("swarm_id", cluster.id.to_string())];
        family(registry, "swarm_node_info", "This node and its swarm", [(labels, 1)]);
    }
    let help = "Objects of this kind in the swarm";
    gauge(registry, "swarm_manager_services_total", help, state.services.len() as u64);
    gauge(registry, "swarm_manager_networks_total", help, state.networks.len() as u64);
    let labelled = |counts: BTreeMap<String, u64>| -> Vec<(Labels, u64)> {
        counts.into_iter().map(|(name, count)| (vec![("state", name)], count)).collect()
    };
    let mut nodes: BTreeMap<String, u64> =
        ["disconnected", "down", "ready", "unknown"].map(|name| (name.to_owned(), 0)).into();
    for node in state.nodes.values() {
        *nodes.entry(node_state(node.state).to_owned()).or_default() += 1;
    }
    family(registry, "swarm_manager_nodes", "Nodes by state", labelled(nodes));
    let mut tasks: BTreeMap<String, u64> = TASK_STATES.map(|name| (name.to_owned(), 0)).into();
    let mut running = 0;
    for task in state.tasks.values() {
        *tasks.entry(task.status.state.as_str().to_owned()).or_default() += 1;
        let here = task.node == Some(standing.node);
        running += u64::from(here && task.status.state == TaskState::Running);
    }
    family(registry, "swarm_manager_tasks_total", "Tasks by state", labelled(tasks));
    let containers = BTreeMap::from([("paused".to_owned(), 0), ("running".to_owned(), running)]);
    let help = "Containers of this node by state";
    family(registry, "engine_daemon_container_states_containers", help, labelled(containers));
}

/// Docker's words, so that every series is there before its first task.
const TASK_STATES: [&str; 14] = [
    "new",
    "allocated",
    "pending",
    "assigned",
    "accepted",
    "preparing",
    "ready",
    "starting",
    "running",
    "complete",
    "shutdown",
    "failed",
    "rejected",
    "orphaned",
];

fn node_state(state: NodeState) -> &'static str {
    match state {
        NodeState::Unknown => "unknown",
        NodeState::Down => "down",
        NodeState::Ready => "ready",
    }
}

/// What every Prometheus client tells of its process; what `/proc` does not say is left out.
fn process(registry: &mut Registry) {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let stat = read("/proc/self/stat");
    // The name in parentheses may hold spaces; what follows it is fields from the third on.
    let fields: Vec<&str> =
        stat.rsplit_once(") ").map_or(Vec::new(), |(_, rest)| rest.split(' ').collect());
    let field = |number: usize| -> Option<u64> { fields.get(number - 3)?.parse().ok() };
    let ticks = rustix::param::clock_ticks_per_second();
    let page = rustix::param::page_size() as u64;
    if let (Some(user), Some(system)) = (field(14), field(15)) {
        #[expect(clippy::cast_precision_loss, reason = "ticks of a processor stay far below 2^52")]
        let seconds = (user + system) as f64 / ticks as f64;
        let help = "Processor time of this process, in seconds";
        registry.register("process_cpu_seconds", help, ConstCounter::new(seconds));
    }
    if let (Some(virtual_size), Some(resident)) = (field(23), field(24)) {
        gauge(
            registry,
            "process_virtual_memory_bytes",
            "Address space of this process",
            virtual_size,
        );
        gauge(registry, "process_resident_memory_bytes", "Memory of this process", resident * page);
    }
    let boot = read("/proc/stat");
    let boot = boot.lines().find_map(|line| line.strip_prefix("btime ")?.parse::<u64>().ok());
    if let (Some(boot), Some(started)) = (boot, field(22)) {
        let help = "When this process began, in seconds since 1970";
        gauge(registry, "process_start_time_seconds", help, boot + started / ticks);
    }
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        gauge(registry, "process_open_fds", "Open file descriptors", open.count() as u64);
    }
    let limits = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    if let Some(most) = limits.current {
        gauge(registry, "process_max_fds", "Most open file descriptors", most);
    }
}
