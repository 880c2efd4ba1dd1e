//! Whether a service's spec may be written: every value of it is looked at here, whichever command brings it.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::reference::Reference;
use crate::refusal::Refusal;
use crate::service::update::UpdateConfig;
use crate::service::{EndpointMode, Mode, ServiceSpec};
use crate::state::State;
use crate::task::container::{ContainerSpec, Dns, HealthCheck, Ulimit};
use crate::task::mount::{Mount, MountSource};
use crate::task::spec::{LogDriver, Resources, TaskSpec};

use super::check;

/// Docker's shortest time between two health checks, nanoseconds.
const HEALTH_MIN: u64 = 1_000_000;
/// As many as a C library asks (`MAXNS`).
const NAME_SERVERS_MAX: usize = 3;
/// Most of any list of options: far beyond what containers have, and short enough to be looked at each time.
const OPTIONS_MAX: usize = 1_000;

pub(super) fn check(state: &State, spec: &ServiceSpec) -> Result<(), Refusal> {
    let ServiceSpec { name: _, labels, mode, endpoint, update, rollback, task } = spec;
    check::labels(labels)?;
    match mode {
        Mode::Replicated { replicas: asked } => replicas(*asked)?,
        Mode::Global => {}
    }
    config(update)?;
    config(rollback)?;
    self::task(state, task)?;
    if (*endpoint == EndpointMode::Dnsrr) && task.networks.is_empty() {
        return Err(invalid("endpoint mode dnsrr needs a network: add --network NAME"));
    }
    if (*endpoint == EndpointMode::Unnamed) && !task.networks.is_empty() {
        return Err(Refusal::Unsupported(
            "a service on a network needs a name to resolve: add --endpoint-mode dnsrr".to_owned(),
        ));
    }
    if crate::codec::encode(spec).len() > check::SPEC_MAX {
        return Err(Refusal::TooLarge("the service's spec", check::SPEC_MAX));
    }
    Ok(())
}

pub(super) fn replicas(replicas: u64) -> Result<(), Refusal> {
    if replicas > check::REPLICAS_MAX {
        return Err(invalid(format!(
            "invalid replicas value {replicas}: it must be at most {}",
            check::REPLICAS_MAX
        )));
    }
    Ok(())
}

fn invalid(text: impl Into<String>) -> Refusal {
    Refusal::Invalid(text.into())
}

fn config(config: &UpdateConfig) -> Result<(), Refusal> {
    let UpdateConfig {
        parallelism: _,
        delay: _,
        failure_action: _,
        monitor: _,
        max_failure_ratio,
        order: _,
    } = config;
    if max_failure_ratio.0 > 1_000_000 {
        return Err(invalid("update-maxfailureratio cannot be less than 0 or bigger than 1"));
    }
    Ok(())
}

fn task(state: &State, task: &TaskSpec) -> Result<(), Refusal> {
    let TaskSpec {
        container: asked,
        reservations,
        limits,
        restart,
        placement: _, // valid once parsed; a key that does not exist meets no node, as in Swarm
        networks,
        log_driver,
        force_update: _,
    } = task;
    container(asked)?;
    if let Some(Err(sentence)) = log_driver.as_ref().map(LogDriver::output) {
        return Err(Refusal::Unsupported(sentence));
    }
    if restart.max_attempts > check::ATTEMPTS_MAX {
        return Err(invalid(format!(
            "invalid restart-max-attempts value {}: it must be at most {}",
            restart.max_attempts,
            check::ATTEMPTS_MAX
        )));
    }
    for Resources { cpus, memory } in [limits.resources, *reservations] {
        if memory.0 != 0 && memory.0 < check::MEMORY_MIN {
            return Err(invalid(format!(
                "invalid memory value {}: Must be at least 4MiB",
                memory.0
            )));
        }
        if cpus.0 != 0 && cpus.0 < 1_000_000 {
            return Err(invalid(format!("invalid cpu value {}: Must be at least 0.001", cpus.0)));
        }
    }
    for (n, attachment) in networks.iter().enumerate() {
        let network = check::network(state, attachment.network)?;
        if networks[..n].iter().any(|a| a.network == attachment.network) {
            return Err(invalid(format!("network {} is given twice", network.spec.name)));
        }
    }
    Ok(())
}

fn container(spec: &ContainerSpec) -> Result<(), Refusal> {
    let ContainerSpec {
        image,
        command: _, // the node checks these three against the image
        args: _,
        dir,
        user: _,
        groups,
        hostname,
        hosts,
        dns: Dns { nameservers, search, options },
        labels,
        stop_signal: _,
        stop_grace: _,
        mounts,
        read_only: _,
        tty: _,
        open_stdin: _,
        init: _,
        health,
        cap_add,
        cap_drop,
        ulimits,
        sysctls,
        oom_score_adj,
    } = spec;
    if image.is_empty() {
        return Err(invalid("ContainerSpec: image reference must be provided"));
    }
    if let Err(error) = image.parse::<Reference>() {
        return Err(invalid(error.to_string()));
    }
    if let Some(dir) = dir.as_ref().filter(|dir| !dir.starts_with('/')) {
        let dir: String = dir.chars().take(128).collect();
        return Err(invalid(format!(
            "the working directory '{dir}' is invalid, it needs to be an absolute path"
        )));
    }
    check::labels(labels)?;
    let lists = [groups, hosts, nameservers, search, options, cap_add, cap_drop];
    let longest = lists.into_iter().map(Vec::len).max().unwrap_or(0);
    if longest.max(mounts.len()).max(ulimits.len()).max(sysctls.len()) > OPTIONS_MAX {
        return Err(invalid(format!(
            "a list of the container's options is longer than {OPTIONS_MAX}"
        )));
    }
    if let Some(bad) = nameservers.iter().find(|text| text.parse::<IpAddr>().is_err()) {
        return Err(invalid(format!("name server {bad:?} is no IP address")));
    }
    if nameservers.len() > NAME_SERVERS_MAX {
        return Err(invalid(format!("a container asks at most {NAME_SERVERS_MAX} name servers")));
    }
    // Each stands in a line of resolv.conf, with others.
    let one_word = |text: &&String| {
        !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || c.is_control())
    };
    if let Some(bad) = search.iter().chain(options).find(|text| !one_word(text)) {
        return Err(invalid(format!("{bad:?} is no word of resolv.conf")));
    }
    for line in hosts {
        let mut words = line.split_whitespace();
        let address = words.next().is_some_and(|word| word.parse::<IpAddr>().is_ok());
        if !address || words.next().is_none() || line.contains(['\n', '\0']) {
            return Err(invalid(format!(
                "invalid entry of the hosts file {line:?}: write HOST:IP"
            )));
        }
    }
    for capability in cap_add.iter().chain(cap_drop) {
        let known = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_';
        if capability.is_empty() || !capability.bytes().all(known) {
            return Err(invalid(format!("unknown capability: {capability:?}")));
        }
    }
    for Ulimit { name, soft, hard } in ulimits {
        if *hard >= 0 && (*soft > *hard || *soft < 0) {
            return Err(invalid(format!(
                "ulimit {name}: the soft limit {soft} is above the hard limit {hard}"
            )));
        }
    }
    if let Some((key, _)) = sysctls.iter().find(|(key, _)| key.is_empty() || key.contains("..")) {
        return Err(invalid(format!("invalid kernel parameter {key:?}")));
    }
    if !(-1000..=1000).contains(oom_score_adj) {
        return Err(invalid(format!(
            "Invalid value {oom_score_adj}, range for oom score adj is [-1000, 1000]"
        )));
    }
    if let Some(hostname) = hostname {
        check::placeholders("hostname", hostname)?;
    }
    healthy(health)?;
    self::mounts(mounts)
}

fn healthy(health: &HealthCheck) -> Result<(), Refusal> {
    let HealthCheck { test: _, interval, timeout, retries: _, start_period, start_interval } =
        health;
    let spans = [
        ("Interval", interval),
        ("Timeout", timeout),
        ("StartPeriod", start_period),
        ("StartInterval", start_interval),
    ];
    match spans.into_iter().find(|(_, span)| span.0 != 0 && span.0 < HEALTH_MIN) {
        Some((name, _)) => Err(invalid(format!("{name} in Healthcheck cannot be less than 1ms"))),
        None => Ok(()),
    }
}

fn mounts(mounts: &[Mount]) -> Result<(), Refusal> {
    let mut targets = BTreeSet::new();
    for Mount { target, read_only: _, source } in mounts {
        if !target.starts_with('/') || target.contains('\0') || target.trim_matches('/').is_empty()
        {
            return Err(invalid(format!(
                "invalid mount target, must be an absolute path in the container: {target:?}"
            )));
        }
        if !targets.insert(target.trim_end_matches('/')) {
            return Err(invalid(format!("Duplicate mount point: {target}")));
        }
        match source {
            MountSource::Bind { path, .. } if !path.starts_with('/') || path.contains('\0') => {
                return Err(invalid(format!(
                    "invalid bind mount source, must be an absolute path: {path:?}"
                )));
            }
            MountSource::Volume { subpath: Some(path), .. }
                if path.starts_with('/') || path.split('/').any(|part| part == "..") =>
            {
                return Err(invalid(format!(
                    "invalid volume subpath {path:?}: it must be relative"
                )));
            }
            MountSource::Bind { path, .. } => check::placeholders("bind mount source", path)?,
            MountSource::Volume { name, labels, options, .. } => {
                let texts = labels.iter().chain(options).map(|(_, value)| value);
                name.iter()
                    .chain(texts)
                    .try_for_each(|text| check::placeholders("volume", text))?;
            }
            MountSource::Tmpfs { .. } => {}
        }
    }
    Ok(())
}
