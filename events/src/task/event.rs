//! What happens to tasks. Payloads are frozen: a change is a new version and an upcaster.

use crate::id::{NodeId, ServiceId, TaskId};
use crate::time::Time;

use super::explain::Explanation;
use super::{TaskLeg, TaskState, TaskStatus};

crate::event::payloads! {
    /// A task came to be, pending.
    TaskCreated {
        /// Its id.
        id: TaskId,
        /// Its service.
        service: ServiceId,
        /// Which version of the service's spec it carries out.
        version: u64,
        /// Its place in the service.
        slot: u64,
        /// Ready (prepare and wait) or Running.
        desired: TaskState,
        /// It is to be started no earlier.
        start_at: Option<Time>,
        /// The ended task whose place it takes.
        replaces: Option<TaskId>,
    }
    /// A node and addresses were handed to a task.
    TaskAssigned {
        /// The task.
        id: TaskId,
        /// The node.
        node: NodeId,
        /// Its address on each of its networks, in their order.
        legs: Vec<TaskLeg>,
        /// What the scheduler looked at.
        explanation: Explanation,
    }
    /// No node, or no address, was found for a task; it stays pending.
    TaskObstructed {
        /// The task.
        id: TaskId,
        /// Why, in one sentence.
        obstacle: String,
    }
    /// Its node said how far it came.
    TaskStatusChanged {
        /// The task.
        id: TaskId,
        /// What the node said.
        status: TaskStatus,
    }
    /// How far it should come changed.
    TaskDesiredChanged {
        /// The task.
        id: TaskId,
        /// How far it should come.
        desired: TaskState,
    }
    /// It answers to no name any more, and may be stopped.
    TaskWithdrawn {
        /// The task.
        id: TaskId,
        /// Ready nodes that had not yet said so when time was up.
        not_waited_for: Vec<NodeId>,
    }
    /// Nothing of it is left on its node: what was handed out to it is free.
    TaskGone {
        /// The task.
        id: TaskId,
    }
    /// It was forgotten.
    TaskRemoved {
        /// The task.
        id: TaskId,
    }
    /// A user ran a command inside it.
    TaskExecStarted {
        /// The task.
        id: TaskId,
        /// The command's first word; neither its arguments nor its input.
        program: String,
    }
}
