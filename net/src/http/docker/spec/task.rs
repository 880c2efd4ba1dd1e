//! What each task of a service is to run, need and join, in Docker's words and in ours; the container itself is in `container`.

use bollard_stubs::models;

use skein_events::refusal::Refusal;
use skein_events::state::State;
use skein_events::task::placement::{Placement, Spread};
use skein_events::task::spec::{
    Attachment, Limits, LogDriver, Resources, RestartCondition, RestartPolicy, TaskSpec,
};
use skein_events::time::Span;
use skein_events::unit::{Bytes, NanoCpus};
use skein_events::view::summary;

use super::container::{self, container};
use super::{map, signed, sorted, system, unsigned, unsupported};

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
    let (container, env) = container(container_spec)?;
    let (reservations, limits) = amounts(resources.unwrap_or_default())?;
    let networks = match networks {
        Some(networks) if !networks.is_empty() => networks,
        _ => service_networks.unwrap_or_default(),
    };
    let task = TaskSpec {
        container,
        reservations,
        limits,
        restart: restart(restart_policy)?,
        placement: self::placement(placement.unwrap_or_default())?,
        networks: networks.into_iter().map(|n| attachment(state, n)).collect::<Result<_, _>>()?,
        log_driver: self::log_driver(log_driver),
        force_update: force_update.unwrap_or(0),
    };
    Ok((task, env))
}

fn log_driver(driver: Option<models::TaskSpecLogDriver>) -> Option<LogDriver> {
    let models::TaskSpecLogDriver { name, options } = driver?;
    let name = name.filter(|name| !name.is_empty())?;
    Some(LogDriver { name, options: sorted(options) })
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

fn placement(placement: models::TaskSpecPlacement) -> Result<Placement, Refusal> {
    let models::TaskSpecPlacement { constraints, preferences, max_replicas, platforms } = placement;
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
    if !platforms.is_empty() && !here {
        return Err(unsupported(format!(
            "the image is not made for linux/{}: use one that is",
            system::architecture()
        )));
    }
    let constraints = constraints
        .unwrap_or_default()
        .into_iter()
        .map(|text| text.parse().map_err(|error| Refusal::Invalid(format!("{error}"))));
    let preferences = preferences.unwrap_or_default().into_iter().map(|preference| {
        let models::TaskSpecPlacementPreferences { spread } = preference;
        let over = spread.and_then(|spread| spread.spread_descriptor).unwrap_or_default();
        if over.is_empty() {
            return Err(Refusal::Invalid(
                "a placement preference spreads over a label: write spread=node.labels.NAME"
                    .to_owned(),
            ));
        }
        Ok(Spread { over })
    });
    Ok(Placement {
        constraints: constraints.collect::<Result<_, _>>()?,
        preferences: preferences.collect::<Result<_, _>>()?,
        max_per_node: unsigned("limit of tasks per node", max_replicas)?,
    })
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

/// Writes what a task runs.
pub(in crate::http::docker) fn task_model(
    spec: &TaskSpec,
    env: &[String],
    defaults: bool,
) -> models::TaskSpec {
    let TaskSpec {
        container,
        reservations,
        limits,
        restart,
        placement,
        networks,
        log_driver,
        force_update,
    } = spec;
    let networks = networks.iter().map(|Attachment { network, aliases }| {
        let aliases: Vec<String> = aliases.iter().map(ToString::to_string).collect();
        models::NetworkAttachmentConfig {
            target: Some(network.to_string()),
            aliases: (!aliases.is_empty()).then_some(aliases),
            driver_opts: None,
        }
    });
    let networks: Vec<models::NetworkAttachmentConfig> = networks.collect();
    models::TaskSpec {
        plugin_spec: None,
        container_spec: Some(container::model(container, env, defaults)),
        network_attachment_spec: None,
        resources: Some(amounts_model(*reservations, *limits)),
        restart_policy: (defaults || *restart != RestartPolicy::default())
            .then(|| restart_model(*restart)),
        placement: Some(placement_model(placement)),
        force_update: Some(*force_update),
        runtime: Some("container".to_owned()),
        networks: (!networks.is_empty()).then_some(networks),
        log_driver: log_driver.as_ref().map(|LogDriver { name, options }| {
            models::TaskSpecLogDriver {
                name: Some(name.clone()),
                options: (!options.is_empty()).then(|| map(options)),
            }
        }),
    }
}

fn placement_model(placement: &Placement) -> models::TaskSpecPlacement {
    let Placement { constraints, preferences, max_per_node } = placement;
    let preferences: Vec<_> = preferences
        .iter()
        .map(|Spread { over }| models::TaskSpecPlacementPreferences {
            spread: Some(models::TaskSpecPlacementSpread { spread_descriptor: Some(over.clone()) }),
        })
        .collect();
    models::TaskSpecPlacement {
        constraints: (!constraints.is_empty())
            .then(|| constraints.iter().map(ToString::to_string).collect()),
        preferences: (!preferences.is_empty()).then_some(preferences),
        max_replicas: (*max_per_node != 0).then(|| signed(*max_per_node)),
        platforms: None,
    }
}

fn amounts_model(reservations: Resources, limits: Limits) -> models::TaskSpecResources {
    let some = |n: u64| (n != 0).then(|| signed(n));
    let Limits { resources: Resources { cpus, memory }, pids } = limits;
    models::TaskSpecResources {
        limits: Some(models::Limit {
            nano_cpus: some(cpus.0),
            memory_bytes: some(memory.0),
            pids: some(pids),
        }),
        reservations: Some(models::ResourceObject {
            nano_cpus: some(reservations.cpus.0),
            memory_bytes: some(reservations.memory.0),
            generic_resources: None,
        }),
        swap_bytes: None,
        memory_swappiness: None,
    }
}

fn restart_model(policy: RestartPolicy) -> models::TaskSpecRestartPolicy {
    use models::TaskSpecRestartPolicyConditionEnum as Condition;
    let RestartPolicy { condition, delay, max_attempts, window } = policy;
    models::TaskSpecRestartPolicy {
        condition: Some(match condition {
            RestartCondition::Any => Condition::ANY,
            RestartCondition::None => Condition::NONE,
            RestartCondition::OnFailure => Condition::ON_FAILURE,
        }),
        delay: Some(signed(delay.0)),
        max_attempts: Some(signed(max_attempts)),
        window: (window.0 != 0).then(|| signed(window.0)),
    }
}
