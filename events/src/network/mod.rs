//! Networks: overlays that tasks join.

pub mod event;
pub(crate) mod fold;

use std::net::Ipv4Addr;

use crate::id::NetworkId;
use crate::name::Name;
use crate::record::Position;
use crate::time::Time;
use crate::unit::{Subnet, Vni};

/// What a user asked for.
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
pub struct NetworkSpec {
    /// Its name.
    pub name: Name,
    /// No way out.
    pub internal: bool,
    /// Containers that are no tasks may join.
    pub attachable: bool,
    /// Labels, sorted by key.
    pub labels: Vec<(String, String)>,
    /// Driver options, sorted by key.
    pub options: Vec<(String, String)>,
}

/// A network as the log tells it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Network {
    /// Its id.
    pub id: NetworkId,
    /// What was asked for.
    pub spec: NetworkSpec,
    /// Its addresses.
    pub subnet: Subnet,
    /// Address of its bridge on every node.
    pub gateway: Ipv4Addr,
    /// Its VXLAN identifier.
    pub vni: Vni,
    /// Where the search for a free address begins: addresses go round before one comes again.
    pub next_host: u64,
    /// When it was made.
    pub created: Time,
    /// The last record about it.
    pub last: Position,
}
