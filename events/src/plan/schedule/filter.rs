//! Whether a node may take a task at all. Each filter is checked here and named in the explanation.

use crate::id::ServiceId;
use crate::node::{Availability, Node, NodeState};
use crate::service::Service;
use crate::state::State;
use crate::state::index::Load;
use crate::task::explain::Finding;
use crate::task::spec::{Resources, TaskSpec};
use crate::unit::{Bytes, NanoCpus};

use super::constraint;

/// What is to be placed.
#[derive(Clone, Copy, Debug)]
pub struct Need<'a> {
    /// What the task runs and asks for.
    pub spec: &'a TaskSpec,
    /// The number of the only node it may be on, if it belongs to one.
    pub only: Option<u64>,
}

/// What a node has already.
#[derive(Clone, Copy, Debug, Default)]
pub struct Has {
    /// What it carries.
    pub load: Load,
    /// Tasks of the same service there.
    pub of_service: u32,
}

impl Has {
    /// What a node has as of a state.
    pub fn of(state: &State, service: ServiceId, node: &Node) -> Self {
        let load = state.index.loads.get(&node.id).copied().unwrap_or_default();
        let of_service = state.index.spread.get(&(service, node.id)).copied().unwrap_or(0);
        Self { load, of_service }
    }
    /// Adds one task.
    pub fn carry(&mut self, need: Resources) {
        let reserved = self.load.reserved;
        self.of_service += 1;
        self.load.tasks += 1;
        self.load.reserved = Resources {
            cpus: NanoCpus(reserved.cpus.0.saturating_add(need.cpus.0)),
            memory: Bytes(reserved.memory.0.saturating_add(need.memory.0)),
        };
    }
}

/// What the scheduler would find out about a node for the next task of a service.
pub fn verdict(state: &State, service: &Service, node: &Node) -> Finding {
    let has = Has::of(state, service.id, node);
    let need = Need { spec: &service.spec.task, only: None };
    ruled_out(node, has, need)
        .unwrap_or(Finding::Fit { of_service: has.of_service, in_all: has.load.tasks })
}

/// Why the node may not take it; `None` means it may. What seldom changes is looked at first, so that a reason that was
/// told stays the reason while other tasks come and go.
pub fn ruled_out(node: &Node, has: Has, need: Need<'_>) -> Option<Finding> {
    if need.only.is_some_and(|number| number != node.number) {
        return Some(Finding::NotItsNode);
    }
    if node.state != NodeState::Ready {
        return Some(Finding::NotReady);
    }
    if node.availability != Availability::Active && !mutated!(Anywhere) {
        return Some(Finding::NotActive);
    }
    if let Some(unmet) = constraint::unmet(&need.spec.placement.constraints, node) {
        return Some(Finding::Constraint { unmet: unmet.to_string() });
    }
    let max = need.spec.placement.max_per_node;
    if max > 0 && u64::from(has.of_service) >= max && !mutated!(Crowded) {
        return Some(Finding::MaxPerNode { max });
    }
    too_little(node, has.load, need.spec.reservations)
}

/// Whether the node has too little left.
fn too_little(node: &Node, load: Load, need: Resources) -> Option<Finding> {
    let cpus = node.description.cpus.0.saturating_sub(load.reserved.cpus.0);
    let memory = node.description.memory.0.saturating_sub(load.reserved.memory.0);
    if need.cpus.0 > cpus {
        return Some(Finding::Cpus { need: need.cpus.0, free: cpus });
    }
    if need.memory.0 > memory {
        return Some(Finding::Memory { need: need.memory.0, free: memory });
    }
    None
}
