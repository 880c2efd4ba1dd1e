//! What a spec can say and nobody carries out yet: refused with what to type instead, never dropped.
//! One list; a line goes when the machine or the planners have learned it.

use skein_events::refusal::Refusal;
use skein_events::service::ServiceSpec;
use skein_events::task::container::{ContainerSpec, HealthCheck, HealthTest};
use skein_events::task::spec::TaskSpec;

use super::{Requested, unsupported};

/// Refuses the first thing of this request that is not there yet.
pub(super) fn check(requested: &Requested) -> Result<(), Refusal> {
    let Requested { spec, env: _ } = requested;
    let ServiceSpec { name: _, labels: _, mode: _, endpoint: _, update: _, rollback: _, task } =
        spec;
    let TaskSpec {
        container,
        reservations: _,
        limits: _,
        restart: _,
        placement: _,
        networks: _,
        log_driver: _,
        force_update: _,
    } = task;
    let ContainerSpec {
        image: _,
        command: _,
        args: _,
        dir: _,
        user: _,
        groups: _,
        hostname: _,
        hosts: _,
        dns: _,
        labels: _,
        stop_signal: _,
        stop_grace: _,
        mounts: _,
        read_only: _,
        tty: _,
        open_stdin: _,
        init: _,
        health,
        cap_add: _,
        cap_drop: _,
        ulimits: _,
        sysctls: _,
        oom_score_adj: _,
    } = container;
    // Nobody looks at it when there is nothing to run.
    let health = !matches!(health.test, HealthTest::None) && *health != HealthCheck::default();
    let absent = [(health, "health checks are not there yet: leave out the --health-… options")];
    match absent.iter().find(|(asked, _)| *asked) {
        Some((_, sentence)) => Err(unsupported(*sentence)),
        None => Ok(()),
    }
}
