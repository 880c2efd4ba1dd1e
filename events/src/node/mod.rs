//! Nodes: machines that take part.

pub mod event;
pub(crate) mod fold;

use std::net::Ipv4Addr;

use crate::id::NodeId;
use crate::record::Position;
use crate::time::Time;
use crate::unit::{Bytes, NanoCpus};

/// What a node is for.
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
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Runs tasks.
    Worker,
    /// Runs tasks and keeps the log.
    Manager,
}

/// Whether tasks may be put on a node.
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
#[serde(rename_all = "lowercase")]
pub enum Availability {
    /// Yes.
    Active,
    /// No new ones.
    Pause,
    /// None at all.
    Drain,
}

/// What happened to an image on a node.
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
#[serde(rename_all = "lowercase")]
pub enum ImageChange {
    /// It came from an archive.
    Loaded,
    /// It came from a registry.
    Pulled,
    /// It was made of a root file system.
    Imported,
    /// It got a further name.
    Tagged,
    /// A name of it went, or itself.
    Removed,
}

/// What happened to a volume on a node.
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
#[serde(rename_all = "lowercase")]
pub enum VolumeChange {
    /// A user made it; one that a container needs is the task's affair.
    Created,
    /// A user removed it, and its content.
    Removed,
}

/// Whether a node is heard of.
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
#[serde(rename_all = "lowercase")]
pub enum NodeState {
    /// Its session is lost or not yet up; the grace is running.
    Unknown,
    /// Heard of, and it carries out what it was assigned.
    Ready,
    /// Not heard of for longer than the grace.
    Down,
}

/// What a node says of its machine.
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
pub struct Description {
    /// Host name.
    pub hostname: String,
    /// `linux`.
    pub os: String,
    /// `x86_64`.
    pub architecture: String,
    /// Processor time in all.
    pub cpus: NanoCpus,
    /// Memory in all.
    pub memory: Bytes,
    /// Version of Skein.
    pub engine: String,
}

/// A node as the log tells it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Node {
    /// Its id.
    pub id: NodeId,
    /// Its number in consensus, never reused.
    pub number: u64,
    /// What it is for.
    pub role: Role,
    /// Whether tasks may be put there.
    pub availability: Availability,
    /// Labels a user gave it, sorted by key.
    pub labels: Vec<(String, String)>,
    /// The record that last changed what users say of it: Docker's Version.Index.
    pub changed: Position,
    /// Where others reach it, and where its tunnels end.
    pub address: Ipv4Addr,
    /// Port of cluster management.
    pub port: u16,
    /// Its machine.
    pub description: Description,
    /// Whether it is heard of.
    pub state: NodeState,
    /// Since when.
    pub state_since: Time,
    /// The record that said so.
    pub state_at: Position,
    /// Down, and every reader of its addresses has let go of them.
    pub fenced: bool,
    /// When it joined.
    pub created: Time,
    /// When it last changed.
    pub updated: Time,
    /// The last record about it.
    pub last: Position,
}
