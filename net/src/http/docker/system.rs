//! The daemon itself: ping, version, info. What every client asks first.

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bollard_stubs::models;

use skein_events::node::Role;
use skein_events::state;

use crate::backend::{Cgroup, Failure, Local};
use crate::http::error::ApiError;
use crate::http::moment::{MaybeMoment, rfc3339, time_of};
use crate::http::{API_VERSION, API_VERSION_MIN, App, json};

use super::signed;

/// The version of this program.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/_ping", get(ping))
        .route("/version", get(version))
        .route("/info", get(info))
}

async fn ping(State(app): State<App>) -> Response {
    let swarm = if app.backend.local().node.is_some() { "active/manager" } else { "inactive" };
    let mut headers = HeaderMap::new();
    headers.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static("no-cache, no-store, must-revalidate"),
    );
    headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
    headers.insert(HeaderName::from_static("swarm"), HeaderValue::from_static(swarm));
    // A HEAD request is answered by the same route; hyper leaves the body out.
    (headers, "OK").into_response()
}

/// Docker's word for this processor.
pub(super) fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

async fn version(State(app): State<App>) -> Response {
    let details =
        [("ApiVersion", API_VERSION), ("MinAPIVersion", API_VERSION_MIN), ("Os", "linux")];
    let kernel = app.backend.local().kernel;
    let more = [
        ("Arch", architecture()),
        ("Experimental", "false"),
        ("KernelVersion", &kernel),
        ("GitCommit", ""),
        ("GoVersion", ""),
        ("BuildTime", ""),
    ];
    let details = details.iter().chain(&more).map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
    let version = models::SystemVersion {
        platform: Some(models::SystemVersionPlatform { name: "Skein".to_owned() }),
        components: Some(vec![models::SystemVersionComponents {
            name: "Engine".to_owned(),
            version: VERSION.to_owned(),
            details: Some(details.collect()),
        }]),
        version: Some(VERSION.to_owned()),
        api_version: Some(API_VERSION.to_owned()),
        min_api_version: Some(API_VERSION_MIN.to_owned()),
        git_commit: Some(String::new()),
        go_version: Some(String::new()),
        os: Some("linux".to_owned()),
        arch: Some(architecture().to_owned()),
        kernel_version: Some(kernel.clone()),
        experimental: Some(false),
        build_time: Some(String::new()),
    };
    json(StatusCode::OK, &version)
}

async fn info(
    State(app): State<App>,
    MaybeMoment(moment): MaybeMoment,
) -> Result<Response, ApiError> {
    let local = app.backend.local();
    let state = match &moment {
        None => app.backend.state(),
        Some(moment) => app.backend.at(*moment).await,
    };
    let state = match state {
        Ok(state) => Some(state),
        // A machine outside a swarm has much to tell, too.
        Err(Failure::Refused(_)) => None,
        Err(other) => return Err(other.into()),
    };
    let now = app.backend.wall();
    let now = state.as_deref().map_or(now, |state| time_of(moment.as_ref(), state, now));
    let images = app.backend.images().await?.len();
    let here = state.as_deref().map(|s| containers(s, &local)).unwrap_or_default();
    let Local {
        node: _,
        address: _,
        hostname,
        cpus,
        memory,
        kernel,
        system,
        cgroup,
        data_root,
        id,
    } = &local;
    let info = models::SystemInfo {
        id: Some(id.clone()),
        containers: Some(here.all),
        containers_running: Some(here.running),
        containers_paused: Some(0),
        containers_stopped: Some(here.all - here.running),
        images: Some(i64::try_from(images).unwrap_or(i64::MAX)),
        driver: Some("overlay2".to_owned()),
        docker_root_dir: Some(data_root.clone()),
        plugins: Some(models::PluginsInfo {
            volume: Some(vec!["local".to_owned()]),
            network: Some(vec!["overlay".to_owned()]),
            authorization: None,
            log: Some(["json-file", "local", "none"].map(str::to_owned).into()),
        }),
        memory_limit: Some(true),
        cpu_cfs_period: Some(true),
        cpu_cfs_quota: Some(true),
        pids_limit: Some(true),
        ipv4_forwarding: Some(true),
        system_time: Some(rfc3339(now)),
        kernel_version: Some(kernel.clone()),
        operating_system: Some(system.clone()),
        logging_driver: Some("json-file".to_owned()),
        cgroup_driver: Some(models::SystemInfoCgroupDriverEnum::CGROUPFS),
        cgroup_version: Some(match cgroup {
            Cgroup::V1 => models::SystemInfoCgroupVersionEnum::_1,
            Cgroup::V2 => models::SystemInfoCgroupVersionEnum::_2,
        }),
        os_type: Some("linux".to_owned()),
        architecture: Some(std::env::consts::ARCH.to_owned()),
        ncpu: Some(signed(*cpus)),
        mem_total: Some(signed(*memory)),
        name: Some(hostname.clone()),
        labels: Some(Vec::new()),
        experimental_build: Some(false),
        server_version: Some(VERSION.to_owned()),
        live_restore_enabled: Some(true),
        security_options: Some(vec!["name=seccomp,profile=builtin".to_owned()]),
        swarm: Some(swarm(state.as_deref(), &local)),
        ..models::SystemInfo::default()
    };
    Ok(json(StatusCode::OK, &info))
}

#[derive(Default)]
struct Containers {
    all: i64,
    running: i64,
}

fn containers(state: &state::State, local: &Local) -> Containers {
    let mut count = Containers::default();
    let Some(node) = local.node else { return count };
    for task in super::container::of_node(state, node) {
        count.all += 1;
        count.running += i64::from(super::container::is_running(task));
    }
    count
}

fn swarm(state: Option<&state::State>, local: &Local) -> models::SwarmInfo {
    let address = local.address.map(|a| a.to_string()).unwrap_or_default();
    let (Some(state), Some(node)) = (state, local.node) else {
        return models::SwarmInfo {
            node_id: Some(String::new()),
            node_addr: Some(String::new()),
            local_node_state: Some(models::LocalNodeState::INACTIVE),
            control_available: Some(false),
            error: Some(String::new()),
            remote_managers: None,
            nodes: None,
            managers: None,
            cluster: None,
        };
    };
    let managers: Vec<models::PeerNode> = state
        .nodes
        .values()
        .filter(|n| n.role == Role::Manager)
        .map(|n| models::PeerNode {
            node_id: Some(n.id.to_string()),
            addr: Some(format!("{}:{}", n.address, n.port)),
        })
        .collect();
    let count = |n: usize| Some(i64::try_from(n).unwrap_or(i64::MAX));
    models::SwarmInfo {
        node_id: Some(node.to_string()),
        node_addr: Some(address),
        local_node_state: Some(models::LocalNodeState::ACTIVE),
        control_available: Some(true),
        error: Some(String::new()),
        nodes: count(state.nodes.len()),
        managers: count(managers.len()),
        remote_managers: Some(managers),
        cluster: state.cluster.as_ref().map(|c| super::swarm::info(c)),
    }
}
