//! A service's spec, in Docker's words and in ours: each part has both directions in one file.
//! What is read is written back the same, with the defaults clients always send left out, so that sending again what was
//! read changes nothing. What is not there yet is refused with what to type instead, never dropped.

mod container;
mod health;
mod mount;
mod rollout;
mod task;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use bollard_stubs::models;

use skein_events::refusal::Refusal;
use skein_events::service::update::UpdateConfig;
use skein_events::service::{EndpointMode, Mode, ServiceSpec};
use skein_events::state::State;
use skein_events::time::Span;

use super::{map, signed, sorted, system, unsigned, unsupported};

pub(super) use task::task_model;

/// How long a process may take to end when nobody said so.
const STOP_GRACE: Span = Span::seconds(10);

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Requested {
    /// The spec.
    pub(super) spec: ServiceSpec,
    /// Environment, `KEY=value`.
    pub(super) env: Vec<String>,
}

/// Reads a spec that can be carried out.
pub(super) fn requested(state: &State, spec: models::ServiceSpec) -> Result<Requested, Refusal> {
    let models::ServiceSpec {
        name,
        labels,
        task_template,
        mode,
        update_config,
        rollback_config,
        networks,
        endpoint_spec,
    } = spec;
    let name = name.unwrap_or_default();
    let name = name.parse().map_err(|e| Refusal::Invalid(format!("invalid service name: {e}")))?;
    let (task, env) = task::task(state, task_template.unwrap_or_default(), networks)?;
    let spec = ServiceSpec {
        name,
        labels: sorted(labels),
        mode: self::mode(mode.unwrap_or_default())?,
        endpoint: endpoint(endpoint_spec.unwrap_or_default(), task.networks.is_empty())?,
        update: rollout::update(update_config)?,
        rollback: rollout::rollback(rollback_config)?,
        task,
    };
    Ok(Requested { spec, env })
}

fn mode(mode: models::ServiceSpecMode) -> Result<Mode, Refusal> {
    let models::ServiceSpecMode { replicated, global, replicated_job, global_job } = mode;
    if replicated_job.is_some() || global_job.is_some() {
        return Err(unsupported(
            "jobs are not there yet: use --mode replicated with --restart-condition none",
        ));
    }
    match (replicated, global) {
        (Some(_), Some(_)) => {
            Err(Refusal::Invalid("must specify only one service mode".to_owned()))
        }
        (None, Some(_)) => Ok(Mode::Global),
        (replicated, None) => {
            // Without a number Swarm means one.
            let replicas = replicated.and_then(|r| r.replicas).map_or(Ok(1), u64::try_from);
            let negative = |_| Refusal::Invalid("replicas must not be negative".to_owned());
            Ok(Mode::Replicated { replicas: replicas.map_err(negative)? })
        }
    }
}

fn endpoint(spec: models::EndpointSpec, alone: bool) -> Result<EndpointMode, Refusal> {
    let models::EndpointSpec { mode, ports } = spec;
    if ports.is_some_and(|p| !p.is_empty()) {
        return Err(unsupported(
            "published ports are not there yet: leave out --publish and reach the service by its name on a network",
        ));
    }
    match mode.unwrap_or(models::EndpointSpecModeEnum::EMPTY) {
        models::EndpointSpecModeEnum::DNSRR => Ok(EndpointMode::Dnsrr),
        // Clients always say vip; a service without networks has no name to answer, in whatever way.
        models::EndpointSpecModeEnum::VIP | models::EndpointSpecModeEnum::EMPTY if alone => {
            Ok(EndpointMode::Unnamed)
        }
        models::EndpointSpecModeEnum::VIP | models::EndpointSpecModeEnum::EMPTY => {
            Err(unsupported("endpoint mode vip is not there yet: add --endpoint-mode dnsrr"))
        }
    }
}

/// Writes a service's spec, with what Swarm assumes filled in when asked for.
pub(in crate::http::docker) fn model(
    spec: &ServiceSpec,
    env: &[String],
    defaults: bool,
) -> models::ServiceSpec {
    let ServiceSpec { name, labels, mode, endpoint, update, rollback, task } = spec;
    let shown = |config: &UpdateConfig| defaults || *config != UpdateConfig::default();
    models::ServiceSpec {
        name: Some(name.to_string()),
        labels: Some(map(labels)),
        task_template: Some(task_model(task, env, defaults)),
        mode: Some(mode_model(*mode)),
        update_config: shown(update).then(|| rollout::update_model(update)),
        rollback_config: shown(rollback).then(|| rollout::rollback_model(rollback)),
        networks: None,
        endpoint_spec: Some(endpoint_model(*endpoint)),
    }
}

fn mode_model(mode: Mode) -> models::ServiceSpecMode {
    match mode {
        Mode::Replicated { replicas } => models::ServiceSpecMode {
            replicated: Some(models::ServiceSpecModeReplicated {
                replicas: Some(signed(replicas)),
            }),
            ..models::ServiceSpecMode::default()
        },
        Mode::Global => models::ServiceSpecMode {
            global: Some(HashMap::new()),
            ..models::ServiceSpecMode::default()
        },
    }
}

/// How a service's name is answered, in Docker's words; for a service without networks it is the word it always sends.
pub(in crate::http::docker) fn endpoint_model(endpoint: EndpointMode) -> models::EndpointSpec {
    let mode = match endpoint {
        EndpointMode::Dnsrr => models::EndpointSpecModeEnum::DNSRR,
        EndpointMode::Unnamed => models::EndpointSpecModeEnum::VIP,
    };
    models::EndpointSpec { mode: Some(mode), ports: None }
}

/// A struct of Docker's, unless nothing in it is set.
fn some<T: Default + PartialEq>(model: T) -> Option<T> {
    (model != T::default()).then_some(model)
}
