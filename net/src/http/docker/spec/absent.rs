//! What a spec can say and nobody carries out yet: refused with what to type instead, never dropped.
//! One list; a line goes when the machine or the planners have learned it.

use skein_events::refusal::Refusal;
use skein_events::service::{Mode, ServiceSpec};
use skein_events::task::container::{ContainerSpec, Dns, HealthCheck, HealthTest};
use skein_events::task::spec::TaskSpec;

use super::{Requested, unsupported};

/// Refuses the first thing of this request that is not there yet.
pub(super) fn check(requested: &Requested) -> Result<(), Refusal> {
    let Requested { spec, env } = requested;
    let ServiceSpec { name: _, labels: _, mode, endpoint: _, update: _, rollback: _, task } = spec;
    let TaskSpec {
        container,
        reservations: _,
        limits: _,
        restart: _,
        placement: _,
        networks: _,
        log_driver,
        force_update: _,
    } = task;
    let ContainerSpec {
        image: _,
        command: _,
        args: _,
        dir: _,
        user: _,
        groups,
        hostname,
        hosts,
        dns: Dns { nameservers, search, options },
        labels: _,
        stop_signal: _,
        stop_grace: _,
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
    } = container;
    // Nobody looks at it when there is nothing to run.
    let health = !matches!(health.test, HealthTest::None) && *health != HealthCheck::default();
    let absent = [
        (log_driver.is_some(), "log drivers are not there yet: leave out --log-driver"),
        (!groups.is_empty(), "further groups are not there yet: leave out --group"),
        (*tty, "terminals are not there yet: leave out --tty"),
        (*open_stdin, "an open standard input is not there: leave out OpenStdin"),
        (*read_only, "read-only containers are not there yet: leave out --read-only"),
        (
            !mounts.is_empty(),
            "mounts are not there yet: leave out --mount and put the files into the image",
        ),
        (health, "health checks are not there yet: leave out the --health-… options"),
        (!hosts.is_empty(), "entries in the hosts file are not there yet: leave out --host"),
        (
            !(nameservers.is_empty() && search.is_empty() && options.is_empty()),
            "own name servers are not there yet: leave out --dns, --dns-search and --dns-option",
        ),
        (
            *oom_score_adj != 0,
            "a score for running out of memory is not there yet: leave out --oom-score-adj",
        ),
        (*init == Some(true), "an init process is not there yet: leave out --init"),
        (!sysctls.is_empty(), "kernel parameters are not there yet: leave out --sysctl"),
        (
            !(cap_add.is_empty() && cap_drop.is_empty()),
            "other capabilities are not there yet: leave out --cap-add and --cap-drop",
        ),
        (!ulimits.is_empty(), "ulimits are not there yet: leave out --ulimit"),
        (
            env.iter().chain(hostname).any(|text| text.contains("{{")),
            "templates such as {{.Task.Slot}} are not there yet: write the value itself",
        ),
        (
            matches!(mode, Mode::Global),
            "mode global is not there yet: use --mode replicated --replicas N",
        ),
    ];
    match absent.iter().find(|(asked, _)| *asked) {
        Some((_, sentence)) => Err(unsupported(*sentence)),
        None => Ok(()),
    }
}
