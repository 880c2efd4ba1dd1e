//! Options that describe what a service's tasks are: one file a group, each putting what was said into a spec.
//! Nothing is defaulted here: what the user did not say is not sent, the swarm decides and writes it down.

mod container;
mod endpoint;
mod health;
mod lists;
mod mode;
mod mount;
mod output;
mod placement;
mod resources;
mod restart;
mod rollout;
mod waiting;

use bollard_stubs::models::ServiceSpec;

use crate::failure::Failure;

pub(super) use endpoint::Attachment;
pub(super) use lists::{Changed, Given};
pub(super) use mode::Mode;
pub(super) use waiting::Waiting;

/// The options that mean the same when a service is made and when it is changed.
#[derive(Debug, clap::Args)]
pub(super) struct Shared {
    #[command(flatten)]
    endpoint: endpoint::Endpoint,
    #[command(flatten)]
    container: container::Container,
    #[command(flatten)]
    health: health::Health,
    #[command(flatten)]
    restart: restart::Restart,
    #[command(flatten)]
    update: rollout::Updating,
    #[command(flatten)]
    rollback: rollout::RollingBack,
    #[command(flatten)]
    resources: resources::Resources,
    #[command(flatten)]
    placement: placement::Placement,
    #[command(flatten)]
    output: output::Output,
    /// Do not hold the image to the content its tag has in its registry now
    #[arg(long)]
    pub(super) no_resolve_image: bool,
}

impl Shared {
    /// Changes what was said.
    pub(super) fn put_into(self, spec: &mut ServiceSpec) -> Result<(), Failure> {
        let Self {
            endpoint,
            container,
            health,
            restart,
            update,
            rollback,
            resources,
            placement,
            output,
            no_resolve_image: _,
        } = self;
        endpoint.put_into(&mut spec.endpoint_spec);
        update.put_into(&mut spec.update_config);
        rollback.put_into(&mut spec.rollback_config);
        let task = spec.task_template.get_or_insert_default();
        restart.put_into(&mut task.restart_policy);
        resources.put_into(&mut task.resources);
        placement.put_into(&mut task.placement);
        output.put_into(&mut task.log_driver);
        let spec = task.container_spec.get_or_insert_default();
        health.put_into(&mut spec.health_check);
        container.put_into(spec)
    }
}
