//! Tasks as Docker shows them, with the addresses its published schema forgets.

use axum::Router;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use bollard_stubs::models;
use serde::Serialize;

use skein_events::network::Network;
use skein_events::node::NodeState;
use skein_events::plan::update::is_dirty;
use skein_events::state::State;
use skein_events::task::{Task, TaskLeg, TaskState, TaskStatus};
use skein_events::view::summary;

use crate::http::error::ApiError;
use crate::http::filters::{Filters, ListQuery, truthy};
use crate::http::moment::{At, rfc3339};
use crate::http::{App, Path, Query};

use super::{map, service, signed, spec, spelled, version};

pub(crate) fn routes() -> Router<App> {
    Router::new().route("/tasks", get(list)).route("/tasks/{id}", get(inspect))
}

/// A task as clients know it: Traefik and Prometheus read addresses that the schema does not list.
#[derive(Serialize)]
struct TaskModel {
    #[serde(flatten)]
    published: models::Task,
    #[serde(rename = "NetworksAttachments", skip_serializing_if = "Vec::is_empty")]
    networks: Vec<AttachmentModel>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct AttachmentModel {
    network: NetworkModel,
    addresses: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct NetworkModel {
    #[serde(rename = "ID")]
    id: String,
    version: Option<models::ObjectVersion>,
    created_at: String,
    updated_at: String,
    spec: NetworkSpecModel,
    driver_state: DriverModel,
    #[serde(rename = "IPAMOptions")]
    ipam: IpamModel,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct NetworkSpecModel {
    name: String,
    labels: std::collections::HashMap<String, String>,
    driver_configuration: DriverModel,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    internal: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    attachable: bool,
    scope: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct DriverModel {
    name: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    options: Option<std::collections::BTreeMap<&'static str, String>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct IpamModel {
    driver: DriverModel,
    configs: Vec<models::IpamConfig>,
}

async fn list(At(state): At, Query(query): Query<ListQuery>) -> Result<Response, ApiError> {
    let known =
        ["_up-to-date", "desired-state", "id", "label", "name", "node", "runtime", "service"];
    let filters = query.filters(&known)?;
    let wanted = Wanted::of(&state, &filters)?;
    // `stack rm` asks for the tasks of a service without a pause: those come from the index.
    let tasks: Vec<TaskModel> = match wanted.services.as_deref() {
        Some([one]) => {
            let mut tasks: Vec<&Task> =
                state.tasks_of(*one).map(|t| &**t).filter(|t| wanted.has(&state, t)).collect();
            tasks.sort_by_key(|t| t.id);
            tasks.into_iter().map(|t| model(&state, t)).collect()
        }
        _ => {
            let all = state.tasks.values().map(|t| &**t);
            all.filter(|t| wanted.has(&state, t)).map(|t| model(&state, t)).collect()
        }
    };
    Ok(spelled(StatusCode::OK, &tasks))
}

async fn inspect(At(state): At, Path(name): Path<String>) -> Result<Response, ApiError> {
    let id = summary::task(&state, &name)?;
    let task = state.tasks.get(&id).expect("a name found means an object");
    Ok(spelled(StatusCode::OK, &model(&state, task)))
}

struct Wanted<'a> {
    filters: &'a Filters,
    services: Option<Vec<skein_events::id::ServiceId>>,
    nodes: Option<Vec<skein_events::id::NodeId>>,
    desired: Vec<TaskState>,
    up_to_date: bool,
}

impl<'a> Wanted<'a> {
    fn of(state: &State, filters: &'a Filters) -> Result<Self, ApiError> {
        let services = filters.get("service").iter().map(|s| summary::service(state, s));
        let nodes = filters.get("node").iter().map(|n| summary::node(state, n));
        // Swarm knows a task that is new, too; here each is pending from the first.
        let desired = filters.get("desired-state").iter().map(|word| {
            let lower = word.to_ascii_lowercase();
            let lower = if lower == "new" { "pending" } else { &lower };
            TaskState::ALL.into_iter().find(|state| state.as_str() == lower).ok_or_else(|| {
                let shown: String = word.chars().take(64).collect();
                ApiError::invalid(format!("Invalid desired-state filter: '{shown}'"))
            })
        });
        Ok(Self {
            filters,
            services: filtered(services.collect::<Result<_, _>>()?),
            nodes: filtered(nodes.collect::<Result<_, _>>()?),
            desired: desired.collect::<Result<_, _>>()?,
            up_to_date: filters.get("_up-to-date").iter().any(|v| truthy(Some(v))),
        })
    }

    fn has(&self, state: &State, task: &Task) -> bool {
        self.services.as_ref().is_none_or(|all| all.contains(&task.service))
            && self.nodes.as_ref().is_none_or(|all| task.node.is_some_and(|n| all.contains(&n)))
            && (self.desired.is_empty() || self.desired.contains(&task.desired))
            && (!self.up_to_date
                || state.services.get(&task.service).is_some_and(|s| !is_dirty(state, s, task)))
            && self.filters.id(task.id)
            && (self.filters.get("name").is_empty()
                || self.filters.prefix("name", &state.task_name(task)))
            && self.filters.exact("runtime", "container")
            && (self.filters.get("label").is_empty()
                || state
                    .services
                    .get(&task.service)
                    .is_some_and(|s| self.filters.labels(&s.spec.labels)))
    }
}

fn filtered<T>(ids: Vec<T>) -> Option<Vec<T>> {
    (!ids.is_empty()).then_some(ids)
}

fn model(state: &State, task: &Task) -> TaskModel {
    let Task {
        id,
        service,
        version: of,
        slot,
        desired,
        start_at: _,
        replaces: _,
        node,
        legs,
        status,
        status_at,
        ran: _,
        by_update: _,
        obstacle,
        withdrawn: _,
        stopping_since: _,
        unnamed_from: _,
        gone: _,
        created,
        updated,
        born: _,
        last,
    } = task;
    let runs = state.version_of(task);
    let env = service::environment_of(state, *service, *of);
    let labels = state.services.get(service).map(|s| map(&s.spec.labels));
    let lost = node
        .and_then(|id| state.nodes.get(&id))
        .is_some_and(|n| n.state == NodeState::Down && !status.state.is_terminal());
    TaskModel {
        published: models::Task {
            id: Some(id.to_string()),
            version: version(*last),
            created_at: Some(rfc3339(*created)),
            updated_at: Some(rfc3339(*updated)),
            name: None,
            labels: Some(labels.unwrap_or_default()),
            spec: Some(spec::task_model(&runs.task, env, false)),
            service_id: Some(service.to_string()),
            slot: (!runs.global).then(|| signed(*slot)),
            node_id: node.map(|n| n.to_string()),
            assigned_generic_resources: None,
            status: Some(models::TaskStatus {
                timestamp: Some(rfc3339(*status_at)),
                ..status_model(status, obstacle.as_deref(), lost)
            }),
            desired_state: Some(state_model(*desired)),
            job_iteration: None,
        },
        networks: legs.iter().filter_map(|leg| attachment_model(state, leg)).collect(),
    }
}

fn status_model(status: &TaskStatus, obstacle: Option<&str>, lost: bool) -> models::TaskStatus {
    let TaskStatus { state, message, error, container, pid, exit_code } = status;
    let lost = || lost.then(|| "its node is down; this is what it last said".to_owned());
    models::TaskStatus {
        timestamp: None,
        state: Some(state_model(*state)),
        message: Some(message.clone()),
        err: error.clone().or_else(|| obstacle.map(str::to_owned)).or_else(lost),
        container_status: (*state > TaskState::Assigned).then(|| models::ContainerStatus {
            container_id: Some(container.clone().unwrap_or_default()),
            pid: Some(pid.map_or(0, i64::from)),
            exit_code: Some(exit_code.map_or(0, i64::from)),
        }),
        port_status: Some(models::PortStatus { ports: None }),
    }
}

fn state_model(state: TaskState) -> models::TaskState {
    match state {
        TaskState::Pending => models::TaskState::PENDING,
        TaskState::Assigned => models::TaskState::ASSIGNED,
        TaskState::Accepted => models::TaskState::ACCEPTED,
        TaskState::Preparing => models::TaskState::PREPARING,
        TaskState::Ready => models::TaskState::READY,
        TaskState::Starting => models::TaskState::STARTING,
        TaskState::Running => models::TaskState::RUNNING,
        TaskState::Complete => models::TaskState::COMPLETE,
        TaskState::Shutdown => models::TaskState::SHUTDOWN,
        TaskState::Failed => models::TaskState::FAILED,
        TaskState::Rejected => models::TaskState::REJECTED,
        TaskState::Remove => models::TaskState::REMOVE,
        TaskState::Orphaned => models::TaskState::ORPHANED,
    }
}

/// A task's leg; its network may be gone already.
fn attachment_model(state: &State, leg: &TaskLeg) -> Option<AttachmentModel> {
    let TaskLeg { network, ip, mac: _ } = leg;
    let Network { id, spec, subnet, gateway, ip_range, vni, next_host: _, created, last } =
        &**state.networks.get(network)?;
    let vni = [("com.docker.network.driver.overlay.vxlanid_list", vni.0.to_string())];
    Some(AttachmentModel {
        network: NetworkModel {
            id: id.to_string(),
            version: version(*last),
            created_at: rfc3339(*created),
            updated_at: rfc3339(*created),
            spec: NetworkSpecModel {
                name: spec.name.to_string(),
                labels: map(&spec.labels),
                driver_configuration: DriverModel { name: "overlay", options: None },
                internal: spec.internal,
                attachable: spec.attachable,
                scope: "swarm",
            },
            driver_state: DriverModel { name: "overlay", options: Some(vni.into()) },
            ipam: IpamModel {
                driver: DriverModel { name: "default", options: None },
                configs: vec![models::IpamConfig {
                    subnet: Some(subnet.to_string()),
                    ip_range: ip_range.map(|range| range.to_string()),
                    gateway: Some(gateway.to_string()),
                    auxiliary_addresses: None,
                }],
            },
        },
        addresses: vec![format!("{ip}/{}", subnet.prefix())],
    })
}
