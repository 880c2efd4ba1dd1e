//! Tasks: one attempt to run a container. The noun and its life; what it runs is in `spec`, what happens to it in `event`.

pub mod container;
pub mod event;
pub mod explain;
pub(crate) mod fold;
pub mod mount;
pub mod output;
pub mod placement;
pub mod spec;
pub mod template;
pub(crate) mod v1;

use std::net::Ipv4Addr;

use crate::id::{NetworkId, NodeId, ServiceId, TaskId};
use crate::record::Position;
use crate::time::Time;
use crate::unit::Mac;

/// How far a task has come, and how far it should. Ordered; a task's state only grows (numbers are Swarm's by 32, with its gaps).
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    rkyv::Archive,
    rkyv::Serialize,
    rkyv::Deserialize,
    serde::Serialize,
    serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum TaskState {
    /// Waits for a node.
    Pending = 2,
    /// Has a node and addresses.
    Assigned = 6,
    /// The node knows of it.
    Accepted = 8,
    /// The node makes image, networks and container ready.
    Preparing = 10,
    /// All is ready; waits to be started.
    Ready = 12,
    /// The process is being started.
    Starting = 14,
    /// The process runs.
    Running = 16,
    /// It ended with success.
    Complete = 18,
    /// It was asked to end and did.
    Shutdown = 20,
    /// It ended with a failure.
    Failed = 22,
    /// It could not be started.
    Rejected = 24,
    /// Only desired: to be forgotten once ended.
    Remove = 25,
    /// Its node is gone for good.
    Orphaned = 26,
}

impl TaskState {
    /// All of them, in their order.
    pub const ALL: [Self; 13] = [
        Self::Pending,
        Self::Assigned,
        Self::Accepted,
        Self::Preparing,
        Self::Ready,
        Self::Starting,
        Self::Running,
        Self::Complete,
        Self::Shutdown,
        Self::Failed,
        Self::Rejected,
        Self::Remove,
        Self::Orphaned,
    ];

    /// Docker's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Assigned => "assigned",
            Self::Accepted => "accepted",
            Self::Preparing => "preparing",
            Self::Ready => "ready",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Complete => "complete",
            Self::Shutdown => "shutdown",
            Self::Failed => "failed",
            Self::Rejected => "rejected",
            Self::Remove => "remove",
            Self::Orphaned => "orphaned",
        }
    }
    /// Whether it ended.
    pub fn is_terminal(self) -> bool {
        self > Self::Running
    }
}

/// What a node last said of a task.
#[derive(
    Clone,
    Debug,
    PartialEq,
    Eq,
    rkyv::Archive,
    rkyv::Serialize,
    rkyv::Deserialize,
    serde::Serialize,
    serde::Deserialize,
)]
pub struct TaskStatus {
    /// How far it came.
    pub state: TaskState,
    /// What happens, in a few words.
    pub message: String,
    /// What went wrong.
    pub error: Option<String>,
    /// Id of the container, 64 hex digits.
    pub container: Option<String>,
    /// Process id on its node.
    pub pid: Option<u32>,
    /// Exit code.
    pub exit_code: Option<i32>,
}

impl TaskStatus {
    /// A status with a message only.
    pub fn new(state: TaskState, message: &str) -> Self {
        Self {
            state,
            message: message.to_owned(),
            error: None,
            container: None,
            pid: None,
            exit_code: None,
        }
    }

    /// Whether its end was the kernel's, for want of memory: then its error says so at its end.
    pub fn is_out_of_memory(&self) -> bool {
        self.error.as_deref().is_some_and(|error| error.ends_with(OUT_OF_MEMORY))
    }

    /// Whether it runs and was found unwell, so that it is about to be stopped.
    pub fn is_unwell(&self) -> bool {
        self.state == TaskState::Running && self.error.is_some()
    }
}

/// How the error ends of a task whose memory was not enough.
pub const OUT_OF_MEMORY: &str = ": out of memory";

/// Where a task is on one network; handed out when it is assigned.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    rkyv::Archive,
    rkyv::Serialize,
    rkyv::Deserialize,
    serde::Serialize,
    serde::Deserialize,
)]
pub struct TaskLeg {
    /// The network.
    pub network: NetworkId,
    /// Its address there.
    pub ip: Ipv4Addr,
    /// Its Ethernet address there.
    pub mac: Mac,
}

/// A task as the log tells it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Task {
    /// Its id.
    pub id: TaskId,
    /// Its service, which may be gone already.
    pub service: ServiceId,
    /// Which version of the service's spec it carries out.
    pub version: u64,
    /// Its place in the service, from 1.
    pub slot: u64,
    /// How far it should come.
    pub desired: TaskState,
    /// It is to be started no earlier.
    pub start_at: Option<Time>,
    /// The task whose place it took.
    pub replaces: Option<TaskId>,
    /// Where it runs.
    pub node: Option<NodeId>,
    /// Its addresses.
    pub legs: Vec<TaskLeg>,
    /// What its node last said.
    pub status: TaskStatus,
    /// When that was.
    pub status_at: Time,
    /// When it first was seen running.
    pub ran: Option<Time>,
    /// An update made it.
    pub by_update: bool,
    /// Why no node was found, while none is.
    pub obstacle: Option<String>,
    /// It answers no longer to its names, and every reader knows.
    pub withdrawn: bool,
    /// When it was asked to end.
    pub stopping_since: Option<Time>,
    /// The position from which no name leads to it.
    pub unnamed_from: Option<Position>,
    /// Nothing of it is left on its node: its addresses are free.
    pub gone: bool,
    /// When it was made.
    pub created: Time,
    /// When it last changed.
    pub updated: Time,
    /// The record that made it.
    pub born: Position,
    /// The last record about it.
    pub last: Position,
}

impl Task {
    /// Whether it counts as one of its service's tasks: it runs or may yet.
    pub fn is_live(&self) -> bool {
        self.desired <= TaskState::Running && !self.has_ended()
    }
    /// Which version of which service's spec it carries out.
    pub(crate) fn version_key(&self) -> (ServiceId, u64) {
        (self.service, self.version)
    }
    /// Which of a slot's tasks speaks for it: the highest, see `State::head_of_slot`.
    pub(crate) fn rank(&self) -> (bool, Position) {
        (self.desired <= TaskState::Running, self.born)
    }
    /// Whether its container has ended, or its node has lost it.
    pub fn has_ended(&self) -> bool {
        self.status.state.is_terminal() || self.gone
    }
    /// Whether nothing is left to do for it but to forget it.
    pub fn is_over(&self) -> bool {
        self.gone || (self.node.is_none() && self.desired > TaskState::Running)
    }
    /// When it ended.
    pub fn ended_at(&self) -> Option<Time> {
        self.has_ended().then_some(if self.status.state.is_terminal() {
            self.status_at
        } else {
            self.updated
        })
    }
    /// Whether it still holds what it reserved on its node.
    pub fn holds_resources(&self) -> bool {
        self.node.is_some() && !self.has_ended()
    }
}
