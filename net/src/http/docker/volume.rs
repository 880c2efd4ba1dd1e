//! Volumes on this machine, as Docker shows and asks for them; they are no part of the swarm's state.

use std::collections::BTreeMap;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};

use bollard_stubs::models;

use crate::backend::{NewVolume, Volume};
use crate::http::body::Json;
use crate::http::caller::Caller;
use crate::http::error::ApiError;
use crate::http::filters::{Filters, ListQuery, YES_NO, truthy};
use crate::http::moment::{Present, rfc3339};
use crate::http::{App, Path, Query, json as answer};

use super::{map, signed, unsupported};

/// Most bytes of labels and options together: what is kept of a volume is read whole with every list.
const TEXT_MAX: usize = 64 << 10;

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/volumes", get(list))
        .route("/volumes/create", post(create))
        .route("/volumes/prune", post(prune))
        .route("/volumes/{name}", get(inspect).delete(remove))
}

async fn list(
    State(app): State<App>,
    _: Present,
    Query(query): Query<ListQuery>,
) -> Result<Response, ApiError> {
    let filters = query.filters(&["dangling", "driver", "label", "name"])?;
    filters.one_of("dangling", &YES_NO)?;
    let (dangling, names) = (filters.get("dangling"), filters.patterns("name")?);
    let fits = |volume: &Volume| {
        let idle = |wanted: &String| truthy(Some(wanted)) == (volume.users == 0);
        (dangling.is_empty() || dangling.iter().any(idle))
            && filters.prefix("driver", "local")
            && names.fit(&volume.name)
            && filters.labels(&volume.labels)
    };
    let volumes = app.backend.volumes().await?;
    let shown: Vec<Value> = volumes.iter().filter(|v| fits(v)).map(|v| shape(v, None)).collect();
    Ok(answer(StatusCode::OK, &json!({ "Volumes": shown, "Warnings": null })))
}

async fn inspect(
    State(app): State<App>,
    _: Present,
    Path(name): Path<String>,
) -> Result<Response, ApiError> {
    Ok(answer(StatusCode::OK, &shape(&app.backend.volume(name).await?, None)))
}

async fn create(
    State(app): State<App>,
    Caller(caller): Caller,
    Json(request): Json<models::VolumeCreateRequest>,
) -> Result<Response, ApiError> {
    let volume = app.backend.create_volume(caller, requested(request)?).await?;
    Ok(answer(StatusCode::CREATED, &shape(&volume, None)))
}

/// What Docker's request asks for, or why that cannot be had.
fn requested(request: models::VolumeCreateRequest) -> Result<NewVolume, ApiError> {
    let models::VolumeCreateRequest { name, driver, driver_opts, labels, cluster_volume_spec } =
        request;
    if cluster_volume_spec.is_some() {
        return Err(unsupported("cluster volumes are not there: make a volume of the node").into());
    }
    let driver = driver.unwrap_or_default();
    if !matches!(driver.as_str(), "" | "local") {
        let shown: String = driver.chars().take(64).collect();
        return Err(unsupported(format!(
            "volume driver {shown:?} is not there: use --driver local"
        ))
        .into());
    }
    let (options, labels) = (driver_opts.unwrap_or_default(), labels.unwrap_or_default());
    let size: usize = options.iter().chain(&labels).map(|(k, v)| k.len() + v.len()).sum();
    if size > TEXT_MAX {
        return Err(ApiError::invalid(format!(
            "labels and options of a volume are over the limit of {TEXT_MAX} bytes"
        )));
    }
    Ok(NewVolume {
        name: name.filter(|name| !name.is_empty()),
        options: options.into_iter().collect(),
        labels: labels.into_iter().collect(),
    })
}

#[derive(Debug, Default, serde::Deserialize)]
struct Remove {
    force: Option<String>,
}

async fn remove(
    State(app): State<App>,
    Caller(caller): Caller,
    Path(name): Path<String>,
    Query(query): Query<Remove>,
) -> Result<Response, ApiError> {
    app.backend.remove_volume(caller, name, truthy(query.force.as_deref())).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Removes volumes that no container uses: those whose names were made up, or with the filter `all` every one.
async fn prune(
    State(app): State<App>,
    Caller(caller): Caller,
    Query(query): Query<ListQuery>,
) -> Result<Response, ApiError> {
    let filters = query.filters(&["all", "label", "label!"])?;
    let all = filters.get("all").iter().any(|all| truthy(Some(all)));
    let chosen = |volume: &Volume| {
        volume.users == 0 && (all || volume.anonymous) && chosen(&filters, volume)
    };
    let found = app.backend.disk_usage().await?.volumes;
    let sizes: BTreeMap<String, u64> =
        found.into_iter().filter(|(v, _)| chosen(v)).map(|(v, bytes)| (v.name, bytes)).collect();
    let removed = app.backend.prune_volumes(caller, sizes.keys().cloned().collect()).await?;
    let reclaimed = removed.iter().filter_map(|name| sizes.get(name)).sum();
    let deleted = (!removed.is_empty()).then_some(removed);
    Ok(answer(
        StatusCode::OK,
        &json!({ "VolumesDeleted": deleted, "SpaceReclaimed": signed(reclaimed) }),
    ))
}

/// Whether the labels asked for are there, and those not wanted are not.
fn chosen(filters: &Filters, volume: &Volume) -> bool {
    filters.labels(&volume.labels) && filters.without_labels(&volume.labels)
}

/// A volume as Docker shows it, with its bytes where somebody counted them.
pub(super) fn shape(volume: &Volume, bytes: Option<u64>) -> Value {
    let Volume { name, options, labels, created, mountpoint, anonymous: _, users } = volume;
    let mut out = json!({
        "CreatedAt": rfc3339(*created),
        "Driver": "local",
        "Labels": if labels.is_empty() { Value::Null } else { json!(map(labels)) },
        "Mountpoint": mountpoint,
        "Name": name,
        "Options": if options.is_empty() { Value::Null } else { json!(options) },
        "Scope": "local",
    });
    if let Some(bytes) = bytes {
        out["UsageData"] = json!({ "RefCount": users, "Size": signed(bytes) });
    }
    out
}
