//! A service's spec, from Docker's words into ours and back.
//! What is not there yet is refused with what to type instead, never dropped. Defaults that clients always send are known.

mod container;
mod model;
mod task;

use bollard_stubs::models;

use skein_events::refusal::Refusal;
use skein_events::service::update::UpdateConfig;
use skein_events::service::{EndpointMode, Mode, ServiceSpec};
use skein_events::state::State;
use skein_events::time::Span;

use super::{map, signed, sorted, system, unsigned, unsupported};

pub(super) use model::{endpoint_model, model, task_model};

/// How long a process may take to end when nobody said so.
const STOP_GRACE: Span = Span::seconds(10);

/// Swarm's default for how long a new task is watched.
const MONITOR: i64 = 5_000_000_000;

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Requested {
    /// The spec.
    pub(super) spec: ServiceSpec,
    /// Environment, `KEY=value`.
    pub(super) env: Vec<String>,
}

/// Reads a spec.
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
    check_update(update_config)?;
    check_rollback(rollback_config)?;
    let (task, env) = task::task(state, task_template.unwrap_or_default(), networks)?;
    let endpoint = endpoint(endpoint_spec.unwrap_or_default(), task.networks.is_empty())?;
    let mode = replicated(mode.unwrap_or_default())?;
    let spec = ServiceSpec {
        name,
        labels: sorted(labels),
        mode,
        endpoint,
        update: UpdateConfig::default(),
        rollback: UpdateConfig::default(),
        task,
    };
    Ok(Requested { spec, env })
}

fn replicated(mode: models::ServiceSpecMode) -> Result<Mode, Refusal> {
    let models::ServiceSpecMode { replicated, global, replicated_job, global_job } = mode;
    if global.is_some() {
        return Err(unsupported(
            "mode global is not there yet: use --mode replicated --replicas N",
        ));
    }
    if replicated_job.is_some() || global_job.is_some() {
        return Err(unsupported(
            "jobs are not there yet: use --mode replicated with --restart-condition none",
        ));
    }
    // Without a number Swarm means one.
    let replicas = replicated.and_then(|r| r.replicas).map_or(Ok(1), u64::try_from);
    let replicas =
        replicas.map_err(|_| Refusal::Invalid("replicas must not be negative".to_owned()))?;
    Ok(Mode::Replicated { replicas })
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

/// Rolling updates are not there, so only what Swarm does anyway may be asked for.
fn check_update(config: Option<models::ServiceSpecUpdateConfig>) -> Result<(), Refusal> {
    use models::{
        ServiceSpecUpdateConfigFailureActionEnum as Action,
        ServiceSpecUpdateConfigOrderEnum as Order,
    };
    let Some(models::ServiceSpecUpdateConfig {
        parallelism,
        delay,
        failure_action,
        monitor,
        max_failure_ratio,
        order,
    }) = config
    else {
        return Ok(());
    };
    let usual = parallelism.is_none_or(|n| n == 1)
        && delay.is_none_or(|n| n == 0)
        && failure_action.is_none_or(|a| matches!(a, Action::EMPTY | Action::PAUSE))
        && monitor.is_none_or(|n| n == 0 || n == MONITOR)
        && max_failure_ratio.is_none_or(|r| r == 0.0)
        && order.is_none_or(|o| matches!(o, Order::EMPTY | Order::STOP_FIRST));
    if usual {
        return Ok(());
    }
    Err(unsupported("rolling updates are not there yet: leave out the --update-… options"))
}

fn check_rollback(config: Option<models::ServiceSpecRollbackConfig>) -> Result<(), Refusal> {
    use models::{
        ServiceSpecRollbackConfigFailureActionEnum as Action,
        ServiceSpecRollbackConfigOrderEnum as Order,
    };
    let Some(models::ServiceSpecRollbackConfig {
        parallelism,
        delay,
        failure_action,
        monitor,
        max_failure_ratio,
        order,
    }) = config
    else {
        return Ok(());
    };
    let usual = parallelism.is_none_or(|n| n == 1)
        && delay.is_none_or(|n| n == 0)
        && failure_action.is_none_or(|a| matches!(a, Action::EMPTY | Action::PAUSE))
        && monitor.is_none_or(|n| n == 0 || n == MONITOR)
        && max_failure_ratio.is_none_or(|r| r == 0.0)
        && order.is_none_or(|o| matches!(o, Order::EMPTY | Order::STOP_FIRST));
    if usual {
        return Ok(());
    }
    Err(unsupported("rollbacks are not there yet: leave out the --rollback-… options"))
}
