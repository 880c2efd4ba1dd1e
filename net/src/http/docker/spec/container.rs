//! The container of a task, in Docker's words and in ours. What no spec of ours has a word for is refused here.

use bollard_stubs::models;

use skein_events::refusal::Refusal;
use skein_events::task::container::{ContainerSpec, Dns, Ulimit};
use skein_events::time::Span;

use super::{STOP_GRACE, health, map, mount, signed, sorted, unsigned, unsupported};

pub(super) fn container(
    spec: models::TaskSpecContainerSpec,
) -> Result<(ContainerSpec, Vec<String>), Refusal> {
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
    let absent = [
        (
            secrets.is_some_and(|s| !s.is_empty()),
            "secrets are not there yet: leave out --secret and give values with --env",
        ),
        (
            configs.is_some_and(|c| !c.is_empty()),
            "configs are not there yet: leave out --config and put the file into the image",
        ),
        (
            !matches!(isolation.unwrap_or(Isolation::EMPTY), Isolation::EMPTY | Isolation::DEFAULT),
            "other isolation is not there: leave out --isolation",
        ),
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
    let models::TaskSpecContainerSpecDnsConfig { nameservers, search, options } =
        dns_config.unwrap_or_default();
    let text = |text: Option<String>| text.filter(|text| !text.is_empty());
    let oom_score_adj = oom_score_adj.unwrap_or(0);
    let container = ContainerSpec {
        image,
        command: command.unwrap_or_default(),
        args: args.unwrap_or_default(),
        dir: text(dir),
        user: text(user),
        groups: groups.unwrap_or_default(),
        hostname: text(hostname),
        hosts: hosts.unwrap_or_default(),
        dns: Dns {
            nameservers: nameservers.unwrap_or_default(),
            search: search.unwrap_or_default(),
            options: options.unwrap_or_default(),
        },
        labels: sorted(labels),
        stop_signal: text(stop_signal),
        stop_grace: match stop_grace_period {
            None => STOP_GRACE,
            Some(_) => Span(unsigned("stop grace period", stop_grace_period)?),
        },
        mounts: mount::mounts(mounts)?,
        read_only: read_only == Some(true),
        tty: tty == Some(true),
        open_stdin: open_stdin == Some(true),
        init,
        health: health::health(health_check)?,
        cap_add: capabilities(capability_add),
        cap_drop: capabilities(capability_drop),
        ulimits: ulimits.unwrap_or_default().into_iter().map(ulimit).collect(),
        sysctls: sorted(sysctls),
        oom_score_adj: i32::try_from(oom_score_adj).map_err(|_| {
            Refusal::Invalid(format!(
                "Invalid value {oom_score_adj}, range for oom score adj is [-1000, 1000]"
            ))
        })?,
    };
    Ok((container, env.unwrap_or_default()))
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

/// Whole names in capitals, each once: clients send `NET_ADMIN` and `cap_net_admin` for the same.
fn capabilities(names: Option<Vec<String>>) -> Vec<String> {
    let whole = |name: &String| {
        let name = name.trim().to_ascii_uppercase();
        if name == "ALL" || name.starts_with("CAP_") { name } else { format!("CAP_{name}") }
    };
    let names: std::collections::BTreeSet<_> = names.iter().flatten().map(whole).collect();
    names.into_iter().collect()
}

fn ulimit(limit: models::ResourcesUlimits) -> Ulimit {
    let models::ResourcesUlimits { name, soft, hard } = limit;
    Ulimit {
        name: name.unwrap_or_default(),
        soft: soft.unwrap_or_default(),
        hard: hard.unwrap_or_default(),
    }
}

pub(super) fn model(
    spec: &ContainerSpec,
    env: &[String],
    defaults: bool,
) -> models::TaskSpecContainerSpec {
    let ContainerSpec {
        image,
        command,
        args,
        dir,
        user,
        groups,
        hostname,
        hosts,
        dns: Dns { nameservers, search, options },
        labels,
        stop_signal,
        stop_grace,
        mounts,
        read_only,
        tty,
        open_stdin,
        init,
        health,
        cap_add,
        cap_drop,
        ulimits,
        sysctls,
        oom_score_adj,
    } = spec;
    let list = |list: &[String]| (!list.is_empty()).then(|| list.to_vec());
    let pairs = |pairs: &[(String, String)]| (!pairs.is_empty()).then(|| map(pairs));
    models::TaskSpecContainerSpec {
        image: Some(image.clone()),
        labels: pairs(labels),
        command: list(command),
        args: list(args),
        hostname: hostname.clone(),
        env: list(env),
        dir: dir.clone(),
        user: user.clone(),
        groups: list(groups),
        privileges: None,
        tty: tty.then_some(true),
        open_stdin: open_stdin.then_some(true),
        read_only: read_only.then_some(true),
        mounts: (!mounts.is_empty()).then(|| mounts.iter().map(mount::model).collect()),
        stop_signal: stop_signal.clone(),
        stop_grace_period: (defaults || *stop_grace != STOP_GRACE).then(|| signed(stop_grace.0)),
        health_check: health::model(health),
        hosts: list(hosts),
        dns_config: Some(models::TaskSpecContainerSpecDnsConfig {
            nameservers: list(nameservers),
            search: list(search),
            options: list(options),
        }),
        secrets: None,
        oom_score_adj: (*oom_score_adj != 0).then_some(i64::from(*oom_score_adj)),
        configs: None,
        isolation: Some(models::TaskSpecContainerSpecIsolationEnum::DEFAULT),
        init: *init,
        sysctls: pairs(sysctls),
        capability_add: list(cap_add),
        capability_drop: list(cap_drop),
        ulimits: (!ulimits.is_empty()).then(|| ulimits.iter().map(ulimit_model).collect()),
    }
}

fn ulimit_model(limit: &Ulimit) -> models::ResourcesUlimits {
    let Ulimit { name, soft, hard } = limit;
    models::ResourcesUlimits { name: Some(name.clone()), soft: Some(*soft), hard: Some(*hard) }
}
