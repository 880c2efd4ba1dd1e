//! Tasks of this machine as Docker's containers: enough for `docker exec` to find its way.
//! Which of them `docker ps` means stands in `list`, what one is made of in `details`, because only `inspect` asks for it.

mod details;
mod list;

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use bollard_stubs::models;

use skein_events::id::NodeId;
use skein_events::refusal::Refusal;
use skein_events::state;
use skein_events::task::{Task, TaskState};
use skein_events::time::Time;
use skein_events::view::summary;

use crate::backend::{Health, ImageDetails, Moment, Probe, Wellness};
use crate::http::caller::Caller;
use crate::http::error::ApiError;
use crate::http::filters::ListQuery;
use crate::http::moment::{At, MaybeMoment, rfc3339};
use crate::http::{App, Path, Query, json};

use super::{map, signed, unsupported};

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/containers/json", get(list::list))
        .route("/containers/prune", post(prune))
        .route("/containers/{id}/json", get(inspect))
}

/// A container is cleared away when its task has ended; what is left of it is what it said, and that is removed here.
/// It has no labels any more: with a filter by labels nothing is.
async fn prune(
    State(app): State<App>,
    Caller(caller): Caller,
    Query(query): Query<ListQuery>,
) -> Result<Response, ApiError> {
    let filters = query.filters(&["label", "label!", "until"])?;
    let until = filters.until(app.backend.wall())?;
    let by_labels = !filters.get("label").is_empty() || !filters.get("label!").is_empty();
    let logs = if by_labels { Vec::new() } else { app.backend.disk_usage().await?.logs };
    let old = logs.into_iter().filter(|log| until.is_none_or(|until| log.last < until));
    let tasks = old.map(|log| log.task).collect();
    let gone = app.backend.remove_logs(caller, tasks).await?;
    let bytes = gone.iter().map(|log| log.bytes).sum();
    let pruned = models::ContainerPruneResponse {
        containers_deleted: (!gone.is_empty())
            .then(|| gone.into_iter().map(|log| log.container).collect()),
        space_reclaimed: Some(signed(bytes)),
    };
    Ok(json(StatusCode::OK, &pruned))
}

/// Where a container is in its life, in Docker's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    Created,
    Running,
    Exited,
}

impl Life {
    /// A container that has not passed its health check yet runs all the same.
    fn of(task: &Task) -> Self {
        match task.status.state {
            TaskState::Running | TaskState::Starting => Self::Running,
            state if state.is_terminal() => Self::Exited,
            _ => Self::Created,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Running => "running",
            Self::Exited => "exited",
        }
    }
}

/// Whether its container runs.
pub(super) fn is_running(task: &Task) -> bool {
    Life::of(task) == Life::Running
}

fn is_starting(task: &Task) -> bool {
    task.status.state == TaskState::Starting
}

async fn inspect(
    State(app): State<App>,
    At(state): At,
    MaybeMoment(moment): MaybeMoment,
    Path(name): Path<String>,
) -> Result<Response, ApiError> {
    let task = find(&state, app.backend.local().node, &name)?;
    let health = health(&app, moment.as_ref(), task);
    let named = state.version_of(task).task.container.image.clone();
    // It may have been removed since; a task that runs keeps its layers.
    let image = app.backend.image(named).await?;
    Ok(json(StatusCode::OK, &details::model(&state, task, image.as_ref(), health)))
}

/// What checks of a container came to; of the past nobody knows, because the log does not say.
fn health(app: &App, past: Option<&Moment>, task: &Task) -> Option<Health> {
    if past.is_some() { None } else { app.backend.health(task.id) }
}

/// How well a container is; where no check tells, what the log says of it.
fn wellness(app: &App, past: Option<&Moment>, task: &Task) -> Option<Wellness> {
    if task.status.is_unwell() {
        return Some(Wellness::Unwell);
    }
    let found = health(app, past, task).map(|health| health.wellness);
    found.or_else(|| is_starting(task).then_some(Wellness::Starting))
}

/// In Docker's words.
fn health_model(health: Health) -> models::Health {
    let Health { wellness, streak, last } = health;
    let result = |probe: Probe| {
        let Probe { start, end, exit_code, output } = probe;
        models::HealthcheckResult {
            start: Some(rfc3339(start)),
            end: Some(rfc3339(end)),
            exit_code: Some(i64::from(exit_code)),
            output: Some(output),
        }
    };
    models::Health {
        status: Some(match wellness {
            Wellness::Starting => models::HealthStatusEnum::STARTING,
            Wellness::Well => models::HealthStatusEnum::HEALTHY,
            Wellness::Unwell => models::HealthStatusEnum::UNHEALTHY,
        }),
        failing_streak: Some(signed(streak)),
        log: Some(last.into_iter().map(result).collect()),
    }
}

/// The task whose container a text means: a container's id or the beginning of one, a task's id or name.
pub(super) fn find<'a>(
    state: &'a state::State,
    here: Option<NodeId>,
    name: &str,
) -> Result<&'a Arc<Task>, ApiError> {
    let no_such = || {
        let shown: String = name.chars().take(128).collect();
        ApiError::not_found(format!("No such container: {shown}"))
    };
    let text = name.strip_prefix('/').unwrap_or(name);
    let by_task = summary::task(state, text).map(|id| state.tasks.get(&id).expect("it was found"));
    let by_container = || {
        let hex = text.len() >= 4 && text.bytes().all(|b| b.is_ascii_hexdigit());
        let mut fits = here
            .into_iter()
            .filter(|_| hex)
            .flat_map(|node| of_node(state, node))
            .filter(|t| t.status.container.as_ref().is_some_and(|c| c.starts_with(text)));
        let first = fits.next()?;
        fits.next().is_none().then_some(first)
    };
    let task = match by_task {
        Ok(task) => task,
        Err(_) => by_container().ok_or_else(no_such)?,
    };
    match task.node {
        Some(node) if Some(node) != here => {
            let node = state
                .nodes
                .get(&node)
                .map_or_else(|| node.to_string(), |n| n.description.hostname.clone());
            Err(unsupported(format!(
                "task {} runs on node {node}: repeat the command there",
                state.task_name(task)
            ))
            .into())
        }
        _ if task.status.container.is_none() => Err(Refusal::Invalid(format!(
            "task {} has no container: it is {}",
            state.task_name(task),
            task.status.state.as_str()
        ))
        .into()),
        _ => Ok(task),
    }
}

/// The tasks of a node that have or had a container, those that ended among them until they are forgotten.
pub(super) fn of_node(state: &state::State, node: NodeId) -> impl Iterator<Item = &Arc<Task>> {
    let its = move |task: &&Arc<Task>| task.node == Some(node) && task.status.container.is_some();
    state.tasks.values().filter(its)
}

/// A container's name: the task's with its id.
fn full_name(state: &state::State, task: &Task) -> String {
    format!("{}.{}", state.task_name(task), task.id)
}

/// Labels of a container: the user's, and those by which tools find their way back to the swarm.
fn labels(state: &state::State, task: &Task) -> Vec<(String, String)> {
    let version = state.version_of(task);
    let own = [
        ("com.docker.swarm.node.id", task.node.map(|n| n.to_string()).unwrap_or_default()),
        ("com.docker.swarm.service.id", task.service.to_string()),
        ("com.docker.swarm.service.name", version.name.to_string()),
        ("com.docker.swarm.task", String::new()),
        ("com.docker.swarm.task.id", task.id.to_string()),
        ("com.docker.swarm.task.name", full_name(state, task)),
    ];
    let mut labels = version.task.container.labels.clone();
    labels.extend(own.map(|(k, v)| (k.to_owned(), v)));
    labels
}

fn networks(state: &state::State, task: &Task) -> Vec<(String, models::EndpointSettings)> {
    let endpoint = |leg: &skein_events::task::TaskLeg| {
        let network = state.networks.get(&leg.network)?;
        let settings = models::EndpointSettings {
            network_id: Some(leg.network.to_string()),
            gateway: Some(network.gateway.to_string()),
            ip_address: Some(leg.ip.to_string()),
            ip_prefix_len: Some(i64::from(network.subnet.prefix())),
            mac_address: Some(leg.mac.to_string()),
            ..models::EndpointSettings::default()
        };
        Some((network.spec.name.to_string(), settings))
    };
    task.legs.iter().filter_map(endpoint).collect()
}

pub(super) fn summary_model(
    state: &state::State,
    task: &Task,
    image: Option<&ImageDetails>,
    now: Time,
    wellness: Option<Wellness>,
) -> models::ContainerSummary {
    let container = &state.version_of(task).task.container;
    let ago = now.since(task.status_at).roughly();
    let (life, status) = match Life::of(task) {
        Life::Created => (models::ContainerSummaryStateEnum::CREATED, "Created".to_owned()),
        Life::Running => {
            let health = match wellness {
                None => "",
                Some(Wellness::Starting) => " (health: starting)",
                Some(Wellness::Well) => " (healthy)",
                Some(Wellness::Unwell) => " (unhealthy)",
            };
            (models::ContainerSummaryStateEnum::RUNNING, format!("Up {ago}{health}"))
        }
        Life::Exited => {
            let code = task.status.exit_code.unwrap_or(0);
            (models::ContainerSummaryStateEnum::EXITED, format!("Exited ({code}) {ago} ago"))
        }
    };
    models::ContainerSummary {
        id: task.status.container.clone(),
        names: Some(vec![format!("/{}", full_name(state, task))]),
        image: Some(container.image.clone()),
        image_id: Some(image.map_or_else(String::new, |image| image.summary.id.clone())),
        command: Some(details::words(container, image).join(" ")),
        created: Some(signed(task.created.0 / 1_000_000_000)),
        ports: Some(Vec::new()),
        labels: Some(map(&labels(state, task))),
        state: Some(life),
        status: Some(status),
        host_config: Some(models::ContainerSummaryHostConfig {
            network_mode: Some("default".to_owned()),
            annotations: None,
        }),
        network_settings: Some(models::ContainerSummaryNetworkSettings {
            networks: Some(networks(state, task).into_iter().collect()),
        }),
        mounts: Some(details::mounts(state, task)),
        ..models::ContainerSummary::default()
    }
}
