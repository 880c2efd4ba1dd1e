//! Everything that can be asked for: by users, by nodes that saw something, by planners.
//! A command says what is wanted; `decide` finds whether it may be and what exactly happens.

use std::net::Ipv4Addr;

use crate::cluster::ClusterSpec;
use crate::id::{ClusterId, NetworkId, NodeId, ServiceId, TaskId};
use crate::name::Name;
use crate::network::NetworkSpec;
use crate::node::{Availability, Description, ImageChange, NodeState, Role, VolumeChange};
use crate::record::{Hash, Position};
use crate::service::ServiceSpec;
use crate::service::update::UpdateState;
use crate::task::explain::Explanation;
use crate::task::{TaskState, TaskStatus};
use crate::time::{Span, Time};
use crate::unit::Subnet;

/// A network as a user asks for it; what is left out is handed out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewNetwork {
    /// What was asked for.
    pub spec: NetworkSpec,
    /// A block of the user's choice.
    pub subnet: Option<Subnet>,
    /// A gateway of the user's choice.
    pub gateway: Option<Ipv4Addr>,
    /// The part of its addresses that tasks are to get.
    pub ip_range: Option<Subnet>,
    /// What the machine that was asked has in use itself: no network gets any of it. See docs/adr/0014-host-blocks.md.
    pub occupied: Vec<Occupied>,
}

/// A block of addresses that a machine has or reaches by itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Occupied {
    /// The block.
    pub block: Subnet,
    /// By what, e.g. `of eth0`.
    pub by: String,
}

/// A machine that is to be a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewNode {
    /// Its id.
    pub id: NodeId,
    /// What it is for.
    pub role: Role,
    /// Whether tasks may be put there.
    pub availability: Availability,
    /// Where others reach it.
    pub address: Ipv4Addr,
    /// Port of cluster management.
    pub port: u16,
    /// Its machine.
    pub description: Description,
}

/// A task that a planner wants to exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTask {
    /// Its place in the service.
    pub slot: u64,
    /// The ended task whose place it takes.
    pub replaces: Option<TaskId>,
    /// How long after now it may start at the earliest.
    pub delay: Span,
    /// It starts before the one it replaces ends.
    pub beside: bool,
}

/// Where a planner wants a task to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// The task.
    pub task: TaskId,
    /// The node.
    pub node: NodeId,
    /// What was looked at.
    pub explanation: Explanation,
}

/// A change of a node's images, as it is to be written down.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ImageNote {
    /// What happened.
    pub change: ImageChange,
    /// The name it happened to; empty if it was the image itself.
    pub name: String,
    /// The image, by the digest of its configuration.
    pub digest: String,
}

/// A change of a node's volumes, as it is to be written down.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct VolumeNote {
    /// What happened.
    pub change: VolumeChange,
    /// The volume.
    pub name: String,
}

/// What a node saw of a task.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Sighting {
    /// It came so far.
    Status(TaskStatus),
    /// Nothing of it is left.
    Gone,
}

/// Something asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Make a swarm with this machine as its only manager.
    CreateCluster {
        /// The swarm's id.
        id: ClusterId,
        /// Its settings.
        spec: ClusterSpec,
        /// Certificate of its root, PEM.
        ca_certificate: String,
        /// blake3 of the worker token's secret.
        worker_token: Hash,
        /// blake3 of the manager token's secret.
        manager_token: Hash,
        /// The first manager.
        node: NewNode,
    },
    /// Make a machine a member.
    JoinNode(NewNode),
    /// A node's machine changed.
    DescribeNode {
        /// The node.
        id: NodeId,
        /// Its machine.
        description: Description,
    },
    /// What users say of a node: whether it takes tasks, and its labels.
    UpdateNode {
        /// The node.
        id: NodeId,
        /// Whether tasks may be put there.
        availability: Availability,
        /// All its labels, sorted by key.
        labels: Vec<(String, String)>,
        /// Only if what users say of it was last changed by this record.
        if_changed: Option<Position>,
    },
    /// A node is heard of, or no longer.
    SetNodeState {
        /// The node.
        id: NodeId,
        /// Whether it is heard of.
        state: NodeState,
        /// Why.
        message: String,
    },
    /// A node that is down can do no harm any more.
    FenceNode {
        /// The node.
        id: NodeId,
        /// Every ready node has applied at least this.
        at: Position,
    },
    /// The images of a node were changed.
    NoteImages {
        /// The node.
        node: NodeId,
        /// What happened, in order.
        notes: Vec<ImageNote>,
    },
    /// The volumes of a node were changed.
    NoteVolumes {
        /// The node.
        node: NodeId,
        /// What happened, in order.
        notes: Vec<VolumeNote>,
    },
    /// Make a network.
    CreateNetwork(NewNetwork),
    /// Remove a network.
    RemoveNetwork(NetworkId),
    /// Make a service.
    CreateService {
        /// What is asked for.
        spec: Box<ServiceSpec>,
        /// Environment, `KEY=value`.
        env: Vec<String>,
    },
    /// Begin a named reader of the log.
    CreateConsumer {
        /// Its name.
        name: Name,
        /// It reads what comes after this record.
        at: Position,
    },
    /// A named reader has acknowledged so far, or goes on elsewhere.
    MoveConsumer {
        /// Its name.
        name: Name,
        /// It reads what comes after this record.
        to: Position,
        /// Whether it may go back.
        seek: bool,
    },
    /// Forget a named reader.
    RemoveConsumer(Name),
    /// Give a service another number of tasks.
    ScaleService {
        /// The service.
        id: ServiceId,
        /// How many.
        replicas: u64,
        /// Only if its spec was last changed by this record.
        if_changed: Option<Position>,
    },
    /// Ask for something else of a service.
    UpdateService {
        /// The service.
        id: ServiceId,
        /// What is asked for.
        spec: Box<ServiceSpec>,
        /// Environment, `KEY=value`.
        env: Vec<String>,
        /// Only if its spec was last changed by this record.
        if_changed: Option<Position>,
    },
    /// Ask for what was asked for before.
    RollbackService {
        /// The service.
        id: ServiceId,
        /// Only if its spec was last changed by this record.
        if_changed: Option<Position>,
        /// A planner asks, because this task of the update failed.
        failed: Option<TaskId>,
    },
    /// The update of a service comes to an end or is held up.
    SetUpdateState {
        /// The service.
        id: ServiceId,
        /// The record that began the update.
        began: Position,
        /// How far it is.
        state: UpdateState,
        /// Docker's words for it.
        message: String,
    },
    /// The update of a service waits.
    DelayUpdate {
        /// The service.
        id: ServiceId,
        /// The record that began the update.
        began: Position,
        /// Until then; for its tasks only when absent.
        until: Option<Time>,
    },
    /// Remove a service.
    RemoveService(ServiceId),
    /// Erase the detachable part of a record.
    Redact {
        /// Which record.
        position: Position,
        /// What the chain says of the part.
        commitment: Hash,
    },
    /// A manager has erased it.
    ConfirmRedaction {
        /// Which record.
        position: Position,
        /// The manager's node.
        node: NodeId,
    },
    /// A user runs a command in a task.
    StartExec {
        /// The task.
        task: TaskId,
        /// The command's first word.
        program: String,
    },
    /// What a node saw of its tasks.
    Report {
        /// The node.
        node: NodeId,
        /// What it saw, in order.
        sightings: Vec<(TaskId, Sighting)>,
    },
    /// Tasks of one service are to exist.
    CreateTasks {
        /// The service.
        service: ServiceId,
        /// Which.
        tasks: Vec<NewTask>,
    },
    /// Tasks should come so far and no further.
    SetDesired {
        /// The last record the wish knows of: what happened since to a task, its slot, its service or its node takes it back.
        seen: Position,
        /// Which, and how far.
        tasks: Vec<(TaskId, TaskState)>,
    },
    /// Tasks are to run on nodes, or cannot.
    Schedule {
        /// Placements.
        placements: Vec<Placement>,
        /// Tasks without a node, and why.
        obstacles: Vec<(TaskId, String)>,
    },
    /// Tasks answer to no name any more.
    Withdraw {
        /// Which, and the nodes that were not waited for.
        tasks: Vec<(TaskId, Vec<NodeId>)>,
    },
    /// Tasks are to be forgotten.
    RemoveTasks {
        /// Which.
        tasks: Vec<TaskId>,
    },
    /// Write down what the state is.
    Checkpoint,
}
