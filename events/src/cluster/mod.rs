//! The swarm as a whole: its identity, its settings, its tokens' hashes.

pub mod consumer;
pub mod event;
pub(crate) mod fold;

use crate::id::ClusterId;
use crate::record::{Hash, Position};
use crate::time::{Span, Time};
use crate::unit::Subnet;

/// Settings of a swarm; the defaults are Swarm's.
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
pub struct ClusterSpec {
    /// Networks that name no subnet get one of these blocks.
    pub pool: Subnet,
    /// Prefix length of such a subnet.
    pub pool_prefix: u8,
    /// UDP port of VXLAN.
    pub data_path_port: u16,
    /// How many ended tasks a slot keeps.
    pub task_history: u64,
    /// A node is down when it was not heard of for so long.
    pub node_grace: Span,
}

/// The swarm as the log tells it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Cluster {
    /// Its id.
    pub id: ClusterId,
    /// Its settings.
    pub spec: ClusterSpec,
    /// Certificate of its root, PEM.
    pub ca_certificate: String,
    /// blake3 of the worker token's secret.
    pub worker_token: Hash,
    /// blake3 of the manager token's secret.
    pub manager_token: Hash,
    /// When it was made.
    pub created: Time,
    /// The last record about it.
    pub last: Position,
    /// Positions whose detachable part was ordered to be erased.
    pub redacted: Vec<Position>,
}
