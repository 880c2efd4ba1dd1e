//! Who did it, through what, when and why: what every record of a batch shares.
//! Separate from the events because it is the same for all kinds and is versioned on its own.

use std::fmt;

use crate::id::{NodeId, RequestId};
use crate::record::Position;
use crate::time::Time;

/// A pure part of Skein that proposes commands by itself.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    rkyv::Archive,
    rkyv::Serialize,
    rkyv::Deserialize,
    serde::Serialize,
    serde::Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Planner {
    /// Keeps as many tasks as a service asks for, and replaces those that ended.
    Replicated,
    /// Finds a node for each pending task.
    Scheduler,
    /// Declares nodes down.
    Liveness,
    /// Takes tasks out of DNS before they stop.
    Withdraw,
    /// Forgets tasks that ended long ago.
    Reaper,
    /// Writes digests of the state into the log.
    Checkpoint,
    /// Tasks follow what is asked for.
    Update,
    /// A task on each node.
    Global,
}

impl fmt::Display for Planner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Replicated => "replicated",
            Self::Scheduler => "scheduler",
            Self::Liveness => "liveness",
            Self::Withdraw => "withdraw",
            Self::Reaper => "reaper",
            Self::Checkpoint => "checkpoint",
            Self::Update => "update",
            Self::Global => "global",
        })
    }
}

/// Who caused a batch; authenticated by the hand that let the command in.
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
#[serde(rename_all = "kebab-case", tag = "type")]
pub enum Who {
    /// A user of the local socket, by the kernel's word (SO_PEERCRED).
    User {
        /// Unix user id.
        uid: u32,
        /// Unix group id.
        gid: u32,
        /// Login name when the host knows one.
        name: Option<String>,
    },
    /// A node, by its session.
    Node {
        /// Which.
        id: NodeId,
    },
    /// Skein itself.
    Planner {
        /// Which part of it.
        name: Planner,
    },
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User { name: Some(name), .. } => f.write_str(name),
            Self::User { uid, name: None, .. } => write!(f, "uid {uid}"),
            Self::Node { id } => write!(f, "node {}", id.short()),
            Self::Planner { name } => write!(f, "{name}"),
        }
    }
}

/// Envelope of a batch, version 1. Frozen: a change is a new version.
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
pub struct Envelope {
    /// Cluster time: never goes back.
    pub at: Time,
    /// The leader's wall clock beside it, for display.
    pub wall: Time,
    /// Who.
    pub who: Who,
    /// Through which client, e.g. `skein/0.1.0`.
    pub client: String,
    /// The request that this answers, so that a repeated one is answered the same.
    pub request: Option<RequestId>,
    /// The record that led to this batch.
    pub cause: Option<Position>,
    /// Epoch of the history.
    pub epoch: u32,
    /// Cluster level the leader wrote at.
    pub level: u16,
}

/// What may have to be forgotten of a record, version 1. Frozen: a change is a new version.
#[derive(
    Clone,
    Debug,
    Default,
    PartialEq,
    Eq,
    rkyv::Archive,
    rkyv::Serialize,
    rkyv::Deserialize,
    serde::Serialize,
    serde::Deserialize,
)]
pub struct Detached {
    /// Why, in the user's words.
    pub reason: Option<String>,
    /// Environment of a service's containers, `KEY=value`.
    pub env: Vec<String>,
}

impl Detached {
    /// Whether there is nothing to keep apart.
    pub fn is_empty(&self) -> bool {
        self.reason.is_none() && self.env.is_empty()
    }
}
