//! What each task of a service is to run, need and join, read from Docker's words; the container itself is in `container`.

use bollard_stubs::models;

use skein_events::refusal::Refusal;
use skein_events::state::State;
use skein_events::task::spec::{
    Attachment, Limits, Resources, RestartCondition, RestartPolicy, TaskSpec,
};
use skein_events::time::Span;
use skein_events::unit::{Bytes, NanoCpus};
use skein_events::view::summary;

use super::container::container;
use super::{system, unsigned, unsupported};

pub(super) fn task(
    state: &State,
    template: models::TaskSpec,
    service_networks: Option<Vec<models::NetworkAttachmentConfig>>,
) -> Result<(TaskSpec, Vec<String>), Refusal> {
    let models::TaskSpec {
        plugin_spec,
        container_spec,
        network_attachment_spec,
        resources,
        restart_policy,
        placement,
        force_update,
        runtime,
        networks,
        log_driver,
    } = template;
    let (Some(container_spec), None, None) = (container_spec, plugin_spec, network_attachment_spec)
    else {
        return Err(Refusal::Invalid("mismatched Runtime and *Spec fields".to_owned()));
    };
    if !matches!(runtime.as_deref().unwrap_or(""), "" | "container") {
        return Err(Refusal::Invalid("mismatched Runtime and *Spec fields".to_owned()));
    }
    if force_update.is_some_and(|n| n != 0) {
        return Err(unsupported(
            "forced updates are not there yet: remove the service and create it again",
        ));
    }
    if log_driver.and_then(|d| d.name).is_some_and(|n| !n.is_empty()) {
        return Err(unsupported("log drivers are not there yet: leave out --log-driver"));
    }
    check_placement(placement.unwrap_or_default())?;
    let (container, env) = container(container_spec)?;
    let (reservations, limits) = amounts(resources.unwrap_or_default())?;
    let networks = match networks {
        Some(networks) if !networks.is_empty() => networks,
        _ => service_networks.unwrap_or_default(),
    };
    let networks = networks.into_iter().map(|n| attachment(state, n)).collect::<Result<_, _>>()?;
    let restart = restart(restart_policy)?;
    let task =
        TaskSpec { container, reservations, limits, restart, networks, ..TaskSpec::default() };
    Ok((task, env))
}

fn attachment(
    state: &State,
    config: models::NetworkAttachmentConfig,
) -> Result<Attachment, Refusal> {
    let models::NetworkAttachmentConfig { target, aliases, driver_opts } = config;
    if driver_opts.is_some_and(|o| !o.is_empty()) {
        return Err(unsupported(
            "options of a network attachment are not there: leave out driver-opt in --network",
        ));
    }
    let network = summary::network(state, target.as_deref().unwrap_or(""))?;
    let aliases = aliases
        .unwrap_or_default()
        .iter()
        .map(|a| a.parse().map_err(|e| Refusal::Invalid(format!("invalid alias {a:?}: {e}"))))
        .collect::<Result<_, _>>()?;
    Ok(Attachment { network, aliases })
}

fn check_placement(placement: models::TaskSpecPlacement) -> Result<(), Refusal> {
    let models::TaskSpecPlacement { constraints, preferences, max_replicas, platforms } = placement;
    if constraints.is_some_and(|c| !c.is_empty()) {
        return Err(unsupported("placement constraints are not there yet: leave out --constraint"));
    }
    if preferences.is_some_and(|p| !p.is_empty()) {
        return Err(unsupported(
            "placement preferences are not there yet: leave out --placement-pref",
        ));
    }
    if max_replicas.is_some_and(|n| n != 0) {
        return Err(unsupported(
            "a limit per node is not there yet: leave out --replicas-max-per-node",
        ));
    }
    // A client that asked a registry lists what the image runs on. All nodes are of this kind, so a list that names it
    // asks for nothing more.
    let platforms = platforms.unwrap_or_default();
    let here = platforms.iter().any(|models::Platform { architecture, os }| {
        let fits = |value: &Option<String>, these: &[&str]| {
            value.as_deref().is_none_or(|v| v.is_empty() || these.contains(&v))
        };
        fits(os, &["linux"])
            && fits(architecture, &[std::env::consts::ARCH, system::architecture()])
    });
    if platforms.is_empty() || here {
        return Ok(());
    }
    Err(unsupported(format!(
        "the image is not made for linux/{}: use one that is",
        system::architecture()
    )))
}

fn restart(policy: Option<models::TaskSpecRestartPolicy>) -> Result<RestartPolicy, Refusal> {
    use models::TaskSpecRestartPolicyConditionEnum as Condition;
    let default = RestartPolicy::default();
    let Some(models::TaskSpecRestartPolicy { condition, delay, max_attempts, window }) = policy
    else {
        return Ok(default);
    };
    Ok(RestartPolicy {
        condition: match condition.unwrap_or(Condition::EMPTY) {
            Condition::EMPTY | Condition::ANY => RestartCondition::Any,
            Condition::NONE => RestartCondition::None,
            Condition::ON_FAILURE => RestartCondition::OnFailure,
        },
        delay: match delay {
            None => default.delay,
            Some(_) => Span(unsigned("restart delay", delay)?),
        },
        max_attempts: unsigned("restart attempts", max_attempts)?,
        window: Span(unsigned("restart window", window)?),
    })
}

fn amounts(resources: models::TaskSpecResources) -> Result<(Resources, Limits), Refusal> {
    let models::TaskSpecResources { limits, reservations, swap_bytes, memory_swappiness } =
        resources;
    if swap_bytes.is_some_and(|n| n != 0) || memory_swappiness.is_some() {
        return Err(unsupported("settings of swap are not there yet: leave them out"));
    }
    let models::ResourceObject { nano_cpus, memory_bytes, generic_resources } =
        reservations.unwrap_or_default();
    if generic_resources.is_some_and(|g| !g.is_empty()) {
        return Err(unsupported(
            "generic resources are not there yet: leave out --generic-resource",
        ));
    }
    let reserved = Resources {
        cpus: NanoCpus(unsigned("cpu reservation", nano_cpus)?),
        memory: Bytes(unsigned("memory reservation", memory_bytes)?),
    };
    let models::Limit { nano_cpus, memory_bytes, pids } = limits.unwrap_or_default();
    let limits = Limits {
        resources: Resources {
            cpus: NanoCpus(unsigned("cpu limit", nano_cpus)?),
            memory: Bytes(unsigned("memory limit", memory_bytes)?),
        },
        pids: unsigned("limit of processes", pids)?,
    };
    Ok((reserved, limits))
}
