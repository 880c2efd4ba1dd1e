//! One task on each node that fits. Only tells which slots are to be filled and which given up; what a slot needs is
//! found as for replicated services. The slot is the node's number, which no other node ever gets, so a task needs no
//! other word for its node, and the scheduler may put it there only.

use crate::node::{Availability, Node, NodeState};
use crate::record::Position;
use crate::service::{Mode, Service};
use crate::state::State;
use crate::task::{Task, TaskState};

use super::schedule::constraint;

/// Whether a node may keep a task of the service.
pub fn fits(service: &Service, node: &Node) -> bool {
    node.state != NodeState::Down
        && node.availability != Availability::Drain
        && constraint::unmet(&service.spec.task.placement.constraints, node).is_none()
}

/// Whether a node is to get one.
fn takes(service: &Service, node: &Node) -> bool {
    fits(service, node)
        && node.state == NodeState::Ready
        && node.availability == Availability::Active
}

/// Whether a slot may get a task: always, unless it stands for a node.
pub(crate) fn may_fill(state: &State, service: &Service, slot: u64) -> bool {
    match service.spec.mode {
        Mode::Replicated { .. } => true,
        Mode::Global => state.node_numbered(slot).is_some_and(|node| takes(service, node)),
    }
}

/// Whether the newest task of a slot ended only because its node did not fit, or is not what is asked for now although
/// no update is under way: then the node gets another at once.
pub(super) fn is_due(state: &State, service: &Service, task: &Task) -> bool {
    if service.spec.mode != Mode::Global || !may_fill(state, service, task.slot) {
        return false;
    }
    let by_itself = match task.status.state {
        TaskState::Complete | TaskState::Failed | TaskState::Rejected => true,
        TaskState::Pending
        | TaskState::Assigned
        | TaskState::Accepted
        | TaskState::Preparing
        | TaskState::Ready
        | TaskState::Starting
        | TaskState::Running
        | TaskState::Shutdown
        | TaskState::Remove
        | TaskState::Orphaned => false,
    };
    let told = task.desired == TaskState::Shutdown && !by_itself && super::restart::is_over(task);
    let settled = service.update.as_ref().is_none_or(|update| update.state.is_complete());
    told || task.is_live() && settled && super::update::is_dirty(state, service, task)
}

/// What the nodes say of a service's slots.
#[derive(Default)]
pub(super) struct Count<'a> {
    /// Slots without a task whose node is to get one.
    pub(super) missing: Vec<u64>,
    /// Slots whose node does not fit, the tasks that are to run there, and the record that tells why they are not to.
    pub(super) unfit: Vec<(u64, Vec<&'a Task>, Position)>,
}

/// Looks at every node.
pub(super) fn count<'a>(state: &'a State, service: &Service) -> Count<'a> {
    let mut out = Count::default();
    for node in state.nodes.values() {
        let slot = node.number;
        if !fits(service, node) {
            let wanted = state
                .tasks_of_slot(service.id, slot)
                .map(|t| &**t)
                .filter(|t| t.desired <= TaskState::Running);
            out.unfit.push((slot, wanted.collect(), node.changed.max(node.state_at)));
        } else if takes(service, node) && !state.index.slots.contains(&(service.id, slot)) {
            out.missing.push(slot);
        }
    }
    out.missing.sort_unstable();
    out
}
