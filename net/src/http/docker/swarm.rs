//! The swarm as a whole: making one, leaving it, and how others would join.

use std::collections::HashMap;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use bollard_stubs::models;

use skein_events::cluster::{Cluster, ClusterSpec};

use crate::backend::{InitSwarm, JoinTokens};
use crate::http::body::Json;
use crate::http::caller::Caller;
use crate::http::error::ApiError;
use crate::http::filters::truthy;
use crate::http::moment::{At, rfc3339};
use crate::http::{App, Query, json};

use super::{signed, unsupported, version};

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/swarm", get(inspect))
        .route("/swarm/init", post(init))
        .route("/swarm/leave", post(leave))
}

async fn inspect(State(app): State<App>, At(state): At) -> Result<Response, ApiError> {
    let cluster = state.cluster.as_ref().ok_or(skein_events::refusal::Refusal::NotInSwarm)?;
    let JoinTokens { worker, manager } = app.backend.join_tokens()?;
    let models::ClusterInfo {
        id,
        version,
        created_at,
        updated_at,
        spec,
        tls_info,
        root_rotation_in_progress,
        data_path_port,
        default_addr_pool,
        subnet_size,
    } = info(cluster);
    let swarm = models::Swarm {
        id,
        version,
        created_at,
        updated_at,
        spec,
        tls_info,
        root_rotation_in_progress,
        data_path_port,
        default_addr_pool,
        subnet_size,
        join_tokens: Some(models::JoinTokens { worker: Some(worker), manager: Some(manager) }),
    };
    Ok(json(StatusCode::OK, &swarm))
}

#[derive(serde::Deserialize)]
struct InitRequest {
    #[serde(flatten)]
    published: models::SwarmInitRequest,
    // The docker CLI sends these; the published schema does not know them.
    #[serde(rename = "AutoLockManagers")]
    auto_lock: Option<bool>,
    #[serde(rename = "Availability")]
    availability: Option<String>,
}

async fn init(
    State(app): State<App>,
    Caller(caller): Caller,
    Json(request): Json<InitRequest>,
) -> Result<Response, ApiError> {
    let node = app.backend.init_swarm(caller, requested(request)?).await?;
    Ok(json(StatusCode::OK, &node.to_string()))
}

fn requested(request: InitRequest) -> Result<InitSwarm, ApiError> {
    let InitRequest { published, auto_lock, availability } = request;
    let models::SwarmInitRequest {
        listen_addr,
        advertise_addr,
        data_path_addr,
        data_path_port,
        default_addr_pool,
        force_new_cluster,
        subnet_size,
        spec,
    } = published;
    let sentence = if force_new_cluster == Some(true) {
        Some(
            "a swarm cannot be made again from what one manager has: leave out --force-new-cluster",
        )
    } else if data_path_addr.is_some_and(|a| !a.is_empty()) {
        Some("tunnels end at the advertised address: leave out --data-path-addr")
    } else if !matches!(availability.as_deref().unwrap_or(""), "" | "active") {
        Some("the first node takes tasks: leave out --availability")
    } else {
        None
    };
    if let Some(sentence) = sentence {
        return Err(unsupported(sentence).into());
    }
    let task_history = match spec {
        None => None,
        Some(spec) => settings(spec, auto_lock)?,
    };
    Ok(InitSwarm {
        advertise: advertise_addr.filter(|a| !a.is_empty()),
        listen: listen_addr.filter(|a| !a.is_empty()).unwrap_or_else(|| "0.0.0.0:2377".to_owned()),
        data_path_port: data_path_port.unwrap_or(0),
        pool: default_addr_pool.unwrap_or_default(),
        pool_prefix: subnet_size.unwrap_or(0),
        task_history,
    })
}

/// Settings that may be given with `init`; all others are not there yet.
fn settings(spec: models::SwarmSpec, auto_lock: Option<bool>) -> Result<Option<u64>, ApiError> {
    let models::SwarmSpec {
        name,
        labels,
        orchestration,
        raft,
        dispatcher,
        ca_config,
        encryption_config,
        task_defaults,
    } = spec;
    let encrypted = encryption_config.and_then(|e| e.auto_lock_managers);
    if auto_lock == Some(true) || encrypted == Some(true) {
        return Err(unsupported("locking managers is not there yet: leave out --autolock").into());
    }
    let heartbeat = dispatcher.and_then(|d| d.heartbeat_period).unwrap_or(0);
    if heartbeat != 0 && heartbeat != HEARTBEAT {
        return Err(unsupported(
            "nodes send a sign of life every 5 s: leave out --dispatcher-heartbeat",
        )
        .into());
    }
    if let Some(models::SwarmSpecRaft {
        snapshot_interval,
        keep_old_snapshots,
        log_entries_for_slow_followers: _, // not settable from the CLI, and only about memory
        election_tick: _,
        heartbeat_tick: _,
    }) = raft
    {
        let other = snapshot_interval.is_some_and(|n| n != 0 && n != SNAPSHOT_INTERVAL)
            || keep_old_snapshots.is_some_and(|n| n != 0);
        if other {
            return Err(unsupported(
                "the log keeps all of history: leave out --snapshot-interval and --max-snapshots",
            )
            .into());
        }
    }
    if let Some(models::SwarmSpecCaConfig {
        node_cert_expiry,
        external_cas,
        signing_ca_cert,
        signing_ca_key,
        force_rotate,
    }) = ca_config
    {
        let other = node_cert_expiry.is_some_and(|n| n != 0 && n != CERT_EXPIRY)
            || external_cas.is_some_and(|c| !c.is_empty())
            || signing_ca_cert.is_some_and(|c| !c.is_empty())
            || signing_ca_key.is_some_and(|k| !k.is_empty())
            || force_rotate.is_some_and(|n| n != 0);
        if other {
            return Err(unsupported(
                "the certificate authority is Skein's own: leave out --cert-expiry and --external-ca",
            )
            .into());
        }
    }
    if task_defaults.and_then(|t| t.log_driver).and_then(|d| d.name).is_some_and(|n| !n.is_empty())
    {
        return Err(unsupported("a default log driver is not there yet: leave it out").into());
    }
    let named = name.is_some_and(|n| !n.is_empty() && n != "default");
    if named || labels.is_some_and(|l| !l.is_empty()) {
        return Err(unsupported("a swarm has no labels and no other name: leave them out").into());
    }
    let history = orchestration.and_then(|o| o.task_history_retention_limit);
    match history.map(u64::try_from) {
        None => Ok(None),
        Some(Ok(n)) => Ok(Some(n)),
        Some(Err(_)) => {
            Err(ApiError::invalid("invalid task history limit: it must not be negative"))
        }
    }
}

#[derive(Debug, Default, serde::Deserialize)]
struct LeaveQuery {
    force: Option<String>,
}

async fn leave(
    State(app): State<App>,
    Caller(caller): Caller,
    Query(query): Query<LeaveQuery>,
) -> Result<Response, ApiError> {
    app.backend.leave_swarm(caller, truthy(query.force.as_deref())).await?;
    Ok(StatusCode::OK.into_response())
}

const HEARTBEAT: i64 = 5_000_000_000;
const SNAPSHOT_INTERVAL: u64 = 10_000;
const CERT_EXPIRY: i64 = 7_776_000_000_000_000;

/// What nodes trust.
pub(super) fn tls(cluster: &Cluster) -> models::TlsInfo {
    models::TlsInfo {
        trust_root: Some(cluster.ca_certificate.clone()),
        cert_issuer_subject: None,
        cert_issuer_public_key: None,
    }
}

/// The swarm as `/info` shows it, without its tokens.
pub(super) fn info(cluster: &Cluster) -> models::ClusterInfo {
    let Cluster {
        id,
        spec,
        ca_certificate: _, // see `tls`
        worker_token: _,
        manager_token: _,
        created,
        last,
        redacted: _,
    } = cluster;
    let ClusterSpec { pool, pool_prefix, data_path_port, task_history, node_grace: _ } = spec;
    models::ClusterInfo {
        id: Some(id.to_string()),
        version: version(*last),
        created_at: Some(rfc3339(*created)),
        updated_at: Some(rfc3339(*created)),
        spec: Some(models::SwarmSpec {
            name: Some("default".to_owned()),
            labels: Some(HashMap::new()),
            orchestration: Some(models::SwarmSpecOrchestration {
                task_history_retention_limit: Some(signed(*task_history)),
            }),
            raft: Some(models::SwarmSpecRaft {
                snapshot_interval: Some(SNAPSHOT_INTERVAL),
                keep_old_snapshots: Some(0),
                log_entries_for_slow_followers: Some(500),
                election_tick: Some(10),
                heartbeat_tick: Some(1),
            }),
            dispatcher: Some(models::SwarmSpecDispatcher { heartbeat_period: Some(HEARTBEAT) }),
            ca_config: Some(models::SwarmSpecCaConfig {
                node_cert_expiry: Some(CERT_EXPIRY),
                external_cas: None,
                signing_ca_cert: None,
                signing_ca_key: None,
                force_rotate: None,
            }),
            encryption_config: Some(models::SwarmSpecEncryptionConfig {
                auto_lock_managers: Some(false),
            }),
            task_defaults: Some(models::SwarmSpecTaskDefaults { log_driver: None }),
        }),
        tls_info: Some(tls(cluster)),
        root_rotation_in_progress: Some(false),
        data_path_port: Some(u32::from(*data_path_port)),
        default_addr_pool: Some(vec![pool.to_string()]),
        subnet_size: Some(u32::from(*pool_prefix)),
    }
}
