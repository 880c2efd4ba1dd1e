//! The one option of where tasks may run that has one value; constraints and preferences stand in `lists`.

use bollard_stubs::models::TaskSpecPlacement;

#[derive(Debug, clap::Args)]
pub(in crate::service) struct Placement {
    /// Most tasks on one node; 0 means any number
    #[arg(long, value_name = "N")]
    replicas_max_per_node: Option<u32>,
}

impl Placement {
    /// Changes what was said.
    pub(in crate::service) fn put_into(self, placement: &mut Option<TaskSpecPlacement>) {
        if let Some(most) = self.replicas_max_per_node {
            placement.get_or_insert_default().max_replicas = Some(i64::from(most));
        }
    }
}
