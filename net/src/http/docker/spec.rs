//! A service's spec, from Docker's words into ours and back.
//! What is not there yet is refused with what to type instead, never dropped. Defaults that clients always send are known.

use bollard_stubs::models;

use skein_events::refusal::Refusal;
use skein_events::service::{EndpointMode, Mode, ServiceSpec};
use skein_events::state::State;
use skein_events::task::spec::{
    Attachment, ContainerSpec, Limits, Resources, RestartCondition, RestartPolicy, TaskSpec,
};
use skein_events::time::Span;
use skein_events::unit::{Bytes, NanoCpus};
use skein_events::view::summary;

use super::{map, signed, sorted, unsigned, unsupported};

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
    let (task, env) = task(state, task_template.unwrap_or_default(), networks)?;
    let endpoint = endpoint(endpoint_spec.unwrap_or_default(), task.networks.is_empty())?;
    let mode = replicated(mode.unwrap_or_default())?;
    Ok(Requested { spec: ServiceSpec { name, labels: sorted(labels), mode, endpoint, task }, env })
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

/// Swarm's default for how long a new task is watched.
const MONITOR: i64 = 5_000_000_000;

fn task(
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
    Ok((TaskSpec { container, reservations, limits, restart, networks }, env))
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
            && fits(architecture, &[std::env::consts::ARCH, super::system::architecture()])
    });
    if platforms.is_empty() || here {
        return Ok(());
    }
    Err(unsupported(format!(
        "the image is not made for linux/{}: use one that is",
        super::system::architecture()
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

fn container(spec: models::TaskSpecContainerSpec) -> Result<(ContainerSpec, Vec<String>), Refusal> {
    use models::TaskSpecContainerSpecIsolationEnum as Isolation;
    let models::TaskSpecContainerSpec {
        image,
        labels,
        command,
        args,
        hostname,
        env,
        dir,
        user,
        groups,
        privileges,
        tty,
        open_stdin,
        read_only,
        mounts,
        stop_signal,
        stop_grace_period,
        health_check,
        hosts,
        dns_config,
        secrets,
        oom_score_adj,
        configs,
        isolation,
        init,
        sysctls,
        capability_add,
        capability_drop,
        ulimits,
    } = spec;
    let some = |list: &Option<Vec<String>>| list.as_ref().is_some_and(|l| !l.is_empty());
    let dns = dns_config.unwrap_or_default();
    let models::TaskSpecContainerSpecDnsConfig { nameservers, search, options } = dns;
    let absent = [
        (some(&groups), "further groups are not there yet: leave out --group"),
        (tty == Some(true), "terminals are not there yet: leave out --tty"),
        (open_stdin == Some(true), "an open standard input is not there: leave out OpenStdin"),
        (read_only == Some(true), "read-only containers are not there yet: leave out --read-only"),
        (
            mounts.is_some_and(|m| !m.is_empty()),
            "mounts are not there yet: leave out --mount and put the files into the image",
        ),
        (
            health_check.is_some_and(|h| h.test.is_some_and(|t| !t.is_empty() && t != ["NONE"])),
            "health checks are not there yet: leave out the --health-… options",
        ),
        (some(&hosts), "entries in the hosts file are not there yet: leave out --host"),
        (
            some(&nameservers) || some(&search) || some(&options),
            "own name servers are not there yet: leave out --dns, --dns-search and --dns-option",
        ),
        (
            secrets.is_some_and(|s| !s.is_empty()),
            "secrets are not there yet: leave out --secret and give values with --env",
        ),
        (
            configs.is_some_and(|c| !c.is_empty()),
            "configs are not there yet: leave out --config and put the file into the image",
        ),
        (
            oom_score_adj.is_some_and(|n| n != 0),
            "a score for running out of memory is not there yet: leave out --oom-score-adj",
        ),
        (
            !matches!(isolation.unwrap_or(Isolation::EMPTY), Isolation::EMPTY | Isolation::DEFAULT),
            "other isolation is not there: leave out --isolation",
        ),
        (init == Some(true), "an init process is not there yet: leave out --init"),
        (
            sysctls.is_some_and(|s| !s.is_empty()),
            "kernel parameters are not there yet: leave out --sysctl",
        ),
        (
            some(&capability_add) || some(&capability_drop),
            "other capabilities are not there yet: leave out --cap-add and --cap-drop",
        ),
        (ulimits.is_some_and(|u| !u.is_empty()), "ulimits are not there yet: leave out --ulimit"),
        (
            is_privileged(privileges),
            "other privileges are not there yet: leave out --credential-spec and security options",
        ),
    ];
    if let Some((_, sentence)) = absent.iter().find(|(asked, _)| *asked) {
        return Err(unsupported(*sentence));
    }
    let image = image.unwrap_or_default();
    if image.is_empty() {
        return Err(Refusal::Invalid("ContainerSpec: image reference must be provided".to_owned()));
    }
    let env = env.unwrap_or_default();
    let hostname = hostname.filter(|h| !h.is_empty());
    if env.iter().chain(&hostname).any(|text| text.contains("{{")) {
        return Err(unsupported(
            "templates such as {{.Task.Slot}} are not there yet: write the value itself",
        ));
    }
    let stop_grace = match stop_grace_period {
        None => STOP_GRACE,
        Some(_) => Span(unsigned("stop grace period", stop_grace_period)?),
    };
    let container = ContainerSpec {
        image,
        command: command.unwrap_or_default(),
        args: args.unwrap_or_default(),
        dir: dir.filter(|d| !d.is_empty()),
        user: user.filter(|u| !u.is_empty()),
        hostname,
        labels: sorted(labels),
        stop_signal: stop_signal.filter(|s| !s.is_empty()),
        stop_grace,
    };
    Ok((container, env))
}

/// `stack deploy` sends the struct with nothing in it.
fn is_privileged(privileges: Option<models::TaskSpecContainerSpecPrivileges>) -> bool {
    let Some(models::TaskSpecContainerSpecPrivileges {
        credential_spec,
        se_linux_context,
        seccomp,
        app_armor,
        no_new_privileges,
    }) = privileges
    else {
        return false;
    };
    credential_spec.is_some()
        || se_linux_context.is_some()
        || seccomp.is_some()
        || app_armor.is_some()
        || no_new_privileges == Some(true)
}

/// Writes a service's spec, with what Swarm assumes filled in when asked for.
pub(super) fn model(spec: &ServiceSpec, env: &[String], defaults: bool) -> models::ServiceSpec {
    let ServiceSpec { name, labels, mode: Mode::Replicated { replicas }, endpoint, task } = spec;
    models::ServiceSpec {
        name: Some(name.to_string()),
        labels: Some(map(labels)),
        task_template: Some(task_model(task, env, defaults)),
        mode: Some(models::ServiceSpecMode {
            replicated: Some(models::ServiceSpecModeReplicated {
                replicas: Some(signed(*replicas)),
            }),
            global: None,
            replicated_job: None,
            global_job: None,
        }),
        update_config: defaults.then_some(models::ServiceSpecUpdateConfig {
            parallelism: Some(1),
            delay: None,
            failure_action: Some(models::ServiceSpecUpdateConfigFailureActionEnum::PAUSE),
            monitor: Some(MONITOR),
            max_failure_ratio: Some(0.0),
            order: Some(models::ServiceSpecUpdateConfigOrderEnum::STOP_FIRST),
        }),
        rollback_config: defaults.then_some(models::ServiceSpecRollbackConfig {
            parallelism: Some(1),
            delay: None,
            failure_action: Some(models::ServiceSpecRollbackConfigFailureActionEnum::PAUSE),
            monitor: Some(MONITOR),
            max_failure_ratio: Some(0.0),
            order: Some(models::ServiceSpecRollbackConfigOrderEnum::STOP_FIRST),
        }),
        networks: None,
        endpoint_spec: Some(endpoint_model(*endpoint)),
    }
}

/// How a service's name is answered, in Docker's words; for a service without networks it is the word it always sends.
pub(super) fn endpoint_model(endpoint: EndpointMode) -> models::EndpointSpec {
    let mode = match endpoint {
        EndpointMode::Dnsrr => models::EndpointSpecModeEnum::DNSRR,
        EndpointMode::Unnamed => models::EndpointSpecModeEnum::VIP,
    };
    models::EndpointSpec { mode: Some(mode), ports: None }
}

/// Writes what a task runs.
pub(super) fn task_model(spec: &TaskSpec, env: &[String], defaults: bool) -> models::TaskSpec {
    let TaskSpec { container, reservations, limits, restart, networks } = spec;
    let ContainerSpec {
        image,
        command,
        args,
        dir,
        user,
        hostname,
        labels,
        stop_signal,
        stop_grace,
    } = container;
    let some = |list: &[String]| (!list.is_empty()).then(|| list.to_vec());
    let networks: Vec<models::NetworkAttachmentConfig> = networks
        .iter()
        .map(|Attachment { network, aliases }| models::NetworkAttachmentConfig {
            target: Some(network.to_string()),
            aliases: (!aliases.is_empty())
                .then(|| aliases.iter().map(ToString::to_string).collect()),
            driver_opts: None,
        })
        .collect();
    models::TaskSpec {
        plugin_spec: None,
        container_spec: Some(models::TaskSpecContainerSpec {
            image: Some(image.clone()),
            labels: (!labels.is_empty()).then(|| map(labels)),
            command: some(command),
            args: some(args),
            hostname: hostname.clone(),
            env: some(env),
            dir: dir.clone(),
            user: user.clone(),
            stop_signal: stop_signal.clone(),
            stop_grace_period: (defaults || *stop_grace != STOP_GRACE)
                .then(|| signed(stop_grace.0)),
            dns_config: Some(models::TaskSpecContainerSpecDnsConfig::default()),
            isolation: Some(models::TaskSpecContainerSpecIsolationEnum::DEFAULT),
            init: Some(false),
            ..models::TaskSpecContainerSpec::default()
        }),
        network_attachment_spec: None,
        resources: Some(amounts_model(*reservations, *limits)),
        restart_policy: (defaults || *restart != RestartPolicy::default())
            .then(|| restart_model(*restart)),
        placement: Some(models::TaskSpecPlacement::default()),
        force_update: Some(0),
        runtime: Some("container".to_owned()),
        networks: (!networks.is_empty()).then_some(networks),
        log_driver: None,
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
