//! Services: listing, making, scaling, removing.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use bollard_stubs::models;

use skein_events::command::Command;
use skein_events::envelope::Detached;
use skein_events::event::Event;
use skein_events::id::ServiceId;
use skein_events::record::Position;
use skein_events::refusal::Refusal;
use skein_events::service::update::{Update, UpdateState};
use skein_events::service::{EndpointMode, Mode, Previous, Service, ServiceSpec};
use skein_events::state;
use skein_events::task::TaskState;
use skein_events::view::summary;

use crate::http::body::Json;
use crate::http::caller::Caller;
use crate::http::error::ApiError;
use crate::http::filters::{ListQuery, truthy};
use crate::http::moment::{At, rfc3339};
use crate::http::{App, Path, Query, committed, json};

use super::spec::{self, Requested};
use super::{spelled, unsupported, version};

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/services", get(list))
        .route("/services/create", post(create))
        .route("/services/{id}", get(inspect).delete(remove))
        .route("/services/{id}/update", post(update))
}

async fn list(At(state): At, Query(query): Query<ListQuery>) -> Result<Response, ApiError> {
    let filters = query.filters(&["id", "label", "mode", "name", "runtime"])?;
    let status = truthy(query.status.as_deref());
    let services: Vec<ServiceModel> = state
        .services
        .values()
        .filter(|s| {
            filters.prefix("name", s.spec.name.as_str())
                && filters.id(s.id)
                && filters.exact("mode", mode_name(s.spec.mode))
                && filters.exact("runtime", "container")
                && filters.labels(&s.spec.labels)
        })
        .map(|s| {
            let mut shown = model(&state, s, false);
            shown.published.service_status = status.then(|| progress(&state, s.id));
            shown
        })
        .collect();
    Ok(spelled(StatusCode::OK, &services))
}

fn mode_name(mode: Mode) -> &'static str {
    match mode {
        Mode::Replicated { .. } => "replicated",
        Mode::Global => "global",
    }
}

#[derive(Debug, Default, serde::Deserialize)]
struct InspectQuery {
    #[serde(rename = "insertDefaults")]
    defaults: Option<String>,
}

async fn inspect(
    At(state): At,
    Path(name): Path<String>,
    Query(query): Query<InspectQuery>,
) -> Result<Response, ApiError> {
    let service = found(&state, &name)?;
    Ok(spelled(StatusCode::OK, &model(&state, service, truthy(query.defaults.as_deref()))))
}

fn found<'a>(state: &'a state::State, name: &str) -> Result<&'a Arc<Service>, Refusal> {
    let id = summary::service(state, name)?;
    Ok(state.services.get(&id).expect("a name found means an object"))
}

async fn create(
    State(app): State<App>,
    Caller(caller): Caller,
    Json(mut request): Json<models::ServiceSpec>,
) -> Result<Response, ApiError> {
    let state = app.backend.state()?;
    if request.name.as_ref().is_none_or(String::is_empty) {
        let seed = (app.backend.wall(), &caller.request);
        request.name = Some(invented_name(&request, &format!("{seed:?}")));
    }
    let Requested { spec, env } = spec::requested(&state, request)?;
    drop(state);
    let done =
        app.backend.submit(caller, Command::CreateService { spec: Box::new(spec), env }).await?;
    let id = done.batch.entries.iter().find_map(|entry| {
        if let Event::ServiceCreated(created) = &entry.event { Some(created.id) } else { None }
    });
    let id = id.ok_or_else(super::other_request)?;
    let body = models::ServiceCreateResponse { id: Some(id.to_string()), warnings: None };
    Ok(committed(json(StatusCode::CREATED, &body), done.last))
}

/// A name for a service whose user gave none: the image's, with a few characters that make it new.
fn invented_name(request: &models::ServiceSpec, seed: &str) -> String {
    let container = request.task_template.as_ref().and_then(|t| t.container_spec.as_ref());
    let image = container.and_then(|c| c.image.as_deref()).unwrap_or("service");
    let last = image.rsplit('/').next().unwrap_or(image);
    let base: String = last.chars().take_while(char::is_ascii_alphanumeric).take(40).collect();
    let base = if base.is_empty() { "service" } else { &base };
    format!("{base}-{}", &blake3::hash(seed.as_bytes()).to_hex()[..6])
}

#[derive(Debug, Default, serde::Deserialize)]
struct UpdateQuery {
    version: Option<String>,
    rollback: Option<String>,
}

async fn update(
    State(app): State<App>,
    Caller(caller): Caller,
    Path(name): Path<String>,
    Query(query): Query<UpdateQuery>,
    Json(request): Json<models::ServiceSpec>,
) -> Result<Response, ApiError> {
    let UpdateQuery { version: given, rollback } = query;
    let given = given.unwrap_or_default();
    let if_changed: u64 = given.parse().map_err(|_| {
        let shown: String = given.chars().take(32).collect();
        ApiError::invalid(format!("invalid service version '{shown}': it must be a number"))
    })?;
    let if_changed = Some(Position(if_changed));
    let state = app.backend.state()?;
    let command = match rollback.as_deref().unwrap_or("") {
        "" | "none" => changed(&state, &name, request, if_changed)?,
        "previous" => {
            let id = summary::service(&state, &name)?;
            Command::RollbackService { id, if_changed, failed: None }
        }
        other => {
            let shown: String = other.chars().take(32).collect();
            return Err(ApiError::invalid(format!("unrecognized rollback option {shown}")));
        }
    };
    drop(state);
    let done = app.backend.submit(caller, command).await?;
    let body = models::ServiceUpdateResponse { warnings: None };
    Ok(committed(json(StatusCode::OK, &body), done.last))
}

/// What a service is to be; if only the number of its tasks is another, it is scaled.
fn changed(
    state: &state::State,
    name: &str,
    request: models::ServiceSpec,
    if_changed: Option<Position>,
) -> Result<Command, Refusal> {
    let service = found(state, name)?;
    let id = service.id;
    let models::ServiceSpecMode { replicated: _, global, replicated_job, global_job } =
        request.mode.clone().unwrap_or_default();
    let is_global = matches!(service.spec.mode, Mode::Global);
    if global.is_some() != is_global || replicated_job.is_some() || global_job.is_some() {
        return Err(unsupported("service mode change is not allowed"));
    }
    let Requested { spec, env } = spec::requested(state, request)?;
    let scaled = ServiceSpec { mode: spec.mode, ..service.spec.clone() };
    let only_scaled = spec == scaled && spec != service.spec && env == environment(state, service);
    if let Mode::Replicated { replicas } = spec.mode
        && only_scaled
    {
        return Ok(Command::ScaleService { id, replicas, if_changed });
    }
    Ok(Command::UpdateService { id, spec: Box::new(spec), env, if_changed })
}

async fn remove(
    State(app): State<App>,
    Caller(caller): Caller,
    Path(name): Path<String>,
) -> Result<Response, ApiError> {
    let id = summary::service(&*app.backend.state()?, &name)?;
    let done = app.backend.submit(caller, Command::RemoveService(id)).await?;
    Ok(committed(StatusCode::OK.into_response(), done.last))
}

/// Environment of a service's current version; none when it was redacted.
fn environment<'a>(state: &'a state::State, service: &Service) -> &'a [String] {
    environment_of(state, service.id, service.version)
}

/// Environment of a version of a service; none when it was redacted.
pub(super) fn environment_of(state: &state::State, service: ServiceId, version: u64) -> &[String] {
    let commitment = state.versions.get(&(service, version)).and_then(|v| v.detached);
    let detached: Option<&Arc<Detached>> = commitment.and_then(|c| state.detached.get(&c));
    detached.map_or(&[], |d| &d.env)
}

fn progress(state: &state::State, id: ServiceId) -> models::ServiceServiceStatus {
    let summary::Progress { running, desired } = summary::progress(state, id);
    let completed = state.tasks_of(id).filter(|t| t.status.state == TaskState::Complete).count();
    models::ServiceServiceStatus {
        running_tasks: Some(running),
        desired_tasks: Some(desired),
        completed_tasks: Some(completed as u64),
    }
}

/// A service as clients know it: the published schema forgets what it was before.
#[derive(serde::Serialize)]
struct ServiceModel {
    #[serde(flatten)]
    published: models::Service,
    #[serde(rename = "PreviousSpec", skip_serializing_if = "Option::is_none")]
    previous: Option<models::ServiceSpec>,
}

fn model(state: &state::State, service: &Service, defaults: bool) -> ServiceModel {
    let Service { id, spec, version: _, changed, previous, backwards: _, update, created, updated } =
        service;
    let endpoint = match spec.endpoint {
        EndpointMode::Dnsrr => spec::endpoint_model(spec.endpoint),
        EndpointMode::Unnamed => models::EndpointSpec::default(),
    };
    let published = models::Service {
        id: Some(id.to_string()),
        version: version(*changed),
        created_at: Some(rfc3339(*created)),
        updated_at: Some(rfc3339(*updated)),
        spec: Some(spec::model(spec, environment(state, service), defaults)),
        endpoint: Some(models::ServiceEndpoint {
            spec: Some(endpoint),
            ports: None,
            virtual_ips: None,
        }),
        update_status: update.as_ref().map(update_status),
        service_status: None,
        job_status: None,
    };
    let previous = previous.as_ref().map(|Previous { spec, version }| {
        spec::model(spec, environment_of(state, *id, *version), false)
    });
    ServiceModel { published, previous }
}

fn update_status(update: &Update) -> models::ServiceUpdateStatus {
    use models::ServiceUpdateStatusStateEnum as Model;
    let Update {
        state,
        message,
        started,
        ended,
        began: _,
        slots: _,
        failed: _,
        last_failed: _,
        until: _,
    } = update;
    models::ServiceUpdateStatus {
        state: Some(match state {
            UpdateState::Updating => Model::UPDATING,
            UpdateState::Paused => Model::PAUSED,
            UpdateState::Completed => Model::COMPLETED,
            UpdateState::RollbackStarted => Model::ROLLBACK_STARTED,
            UpdateState::RollbackPaused => Model::ROLLBACK_PAUSED,
            UpdateState::RollbackCompleted => Model::ROLLBACK_COMPLETED,
        }),
        started_at: Some(rfc3339(*started)),
        completed_at: ended.map(rfc3339),
        message: Some(message.clone()),
    }
}
