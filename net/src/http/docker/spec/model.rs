//! Specs in Docker's words, as clients read them back.

use bollard_stubs::models;

use skein_events::service::{EndpointMode, Mode, ServiceSpec};
use skein_events::task::container::ContainerSpec;
use skein_events::task::spec::{
    Attachment, Limits, Resources, RestartCondition, RestartPolicy, TaskSpec,
};

use super::{MONITOR, STOP_GRACE, map, signed};

/// Writes a service's spec, with what Swarm assumes filled in when asked for.
pub(in crate::http::docker) fn model(
    spec: &ServiceSpec,
    env: &[String],
    defaults: bool,
) -> models::ServiceSpec {
    // The update settings are still the usual ones: others are refused.
    let ServiceSpec { name, labels, mode, endpoint, update: _, rollback: _, task } = spec;
    models::ServiceSpec {
        name: Some(name.to_string()),
        labels: Some(map(labels)),
        task_template: Some(task_model(task, env, defaults)),
        mode: Some(mode_model(*mode)),
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

fn mode_model(mode: Mode) -> models::ServiceSpecMode {
    match mode {
        Mode::Replicated { replicas } => models::ServiceSpecMode {
            replicated: Some(models::ServiceSpecModeReplicated {
                replicas: Some(signed(replicas)),
            }),
            ..models::ServiceSpecMode::default()
        },
        Mode::Global => models::ServiceSpecMode {
            global: Some(std::collections::HashMap::new()),
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
        placement: _, // these three are refused yet
        networks,
        log_driver: _,
        force_update: _,
    } = spec;
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
        // Not there yet: refused.
        groups: _,
        hosts: _,
        dns: _,
        mounts: _,
        read_only: _,
        tty: _,
        open_stdin: _,
        init: _,
        health: _,
        cap_add: _,
        cap_drop: _,
        ulimits: _,
        sysctls: _,
        oom_score_adj: _,
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
