//! The overlay networks as one node's kernel should hold them: the desired set that a hand diffs against the kernel.
//! Only shapes and the pure projection; links, tables and rules are made in `net/src/overlay`.

use std::net::Ipv4Addr;

use crate::id::{NetworkId, TaskId};
use crate::unit::{Mac, Subnet, Vni};

/// Where one task is on one network.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct Leg {
    /// The task whose container has this leg.
    pub task: TaskId,
    /// Its address there.
    pub ip: Ipv4Addr,
    /// Its Ethernet address there.
    pub mac: Mac,
}

/// A leg on another node: reached through that node's tunnel endpoint.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct Peer {
    /// The leg.
    pub leg: Leg,
    /// Underlay address of the node it is on.
    pub vtep: Ipv4Addr,
}

/// One overlay network on one node.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct NodeNetwork {
    /// The network.
    pub id: NetworkId,
    /// Its VXLAN identifier.
    pub vni: Vni,
    /// Its addresses.
    pub subnet: Subnet,
    /// The bridge's own address in every namespace of this network.
    pub gateway: Ipv4Addr,
    /// No way out and no forwarding of unknown names.
    pub internal: bool,
    /// Legs of this node's containers, sorted.
    pub local: Vec<Leg>,
    /// Legs elsewhere, sorted.
    pub peers: Vec<Peer>,
}

/// Everything one node's kernel should hold, sorted by network.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct NodeOverlay {
    /// Networks with at least one leg here.
    pub networks: Vec<NodeNetwork>,
    /// Underlay addresses of all members: packets for the VXLAN port from elsewhere are dropped.
    pub members: Vec<Ipv4Addr>,
    /// UDP port of VXLAN in this swarm.
    pub data_path_port: u16,
}
