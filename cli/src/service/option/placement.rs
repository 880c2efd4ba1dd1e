//! Options of where tasks may run.

use bollard_stubs::models::TaskSpecPlacement;

#[derive(Debug, clap::Args)]
pub(in crate::service) struct Placement {
    /// Condition a node has to meet, like node.role==worker
    #[arg(long, value_name = "CONSTRAINT")]
    constraint: Vec<String>,
    /// Most tasks on one node
    #[arg(long, value_name = "N")]
    replicas_max_per_node: Option<u32>,
}

impl Placement {
    /// The part of the request; absent when nothing was said.
    pub(in crate::service) fn rules(self) -> Option<TaskSpecPlacement> {
        let Self { constraint, replicas_max_per_node } = self;
        if constraint.is_empty() && replicas_max_per_node.is_none() {
            return None;
        }
        Some(TaskSpecPlacement {
            constraints: (!constraint.is_empty()).then_some(constraint),
            max_replicas: replicas_max_per_node.map(i64::from),
            ..TaskSpecPlacement::default()
        })
    }
}
