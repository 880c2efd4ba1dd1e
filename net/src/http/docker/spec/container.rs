//! The container of a task, read from Docker's words: the longest list of what is not there yet.

use bollard_stubs::models;

use skein_events::refusal::Refusal;
use skein_events::task::container::ContainerSpec;
use skein_events::time::Span;

use super::{STOP_GRACE, sorted, unsigned, unsupported};

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
        ..ContainerSpec::default()
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
