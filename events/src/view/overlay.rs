//! The overlay networks as one node's kernel should hold them: the desired set that a hand diffs against the kernel.
//! Only shapes and the pure projection; links, tables and rules are made in `net/src/overlay`.

use std::net::Ipv4Addr;

use crate::id::{NetworkId, NodeId, TaskId};
use crate::node::NodeState;
use crate::state::State;
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
    /// How large a packet on it may be.
    pub mtu: u16,
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
    /// Underlay addresses of all members, this node's own too: packets for the VXLAN port from elsewhere are dropped.
    pub members: Vec<Ipv4Addr>,
    /// UDP port of VXLAN in this swarm.
    pub data_path_port: u16,
}

/// What a node's kernel should hold: its own legs on these networks, and everybody else's.
pub(super) fn node_overlay(state: &State, node: NodeId, networks: &[NetworkId]) -> NodeOverlay {
    let reachable = |id: &NodeId| state.nodes.get(id).filter(|n| n.state != NodeState::Down);
    let networks = networks.iter().filter_map(|id| state.networks.get(id)).map(|network| {
        let low = (network.id, Ipv4Addr::UNSPECIFIED);
        let held = state.index.addresses.range(low..).take_while(|((n, _), _)| *n == network.id);
        let (mut local, mut peers) = (Vec::new(), Vec::new());
        for ((_, ip), task) in held {
            let Some(task) = state.tasks.get(task) else { continue };
            let Some(mac) = task.legs.iter().find(|l| l.network == network.id).map(|l| l.mac)
            else {
                continue;
            };
            let leg = Leg { task: task.id, ip: *ip, mac };
            match task.node {
                Some(id) if id == node => local.push(leg),
                Some(id) => {
                    peers.extend(reachable(&id).map(|n| Peer { leg, vtep: n.address }));
                }
                None => {}
            }
        }
        local.sort();
        peers.sort();
        NodeNetwork {
            id: network.id,
            vni: network.vni,
            subnet: network.subnet,
            gateway: network.gateway,
            internal: network.spec.internal,
            mtu: network.spec.mtu(),
            local,
            peers,
        }
    });
    let mut members: Vec<Ipv4Addr> = state
        .nodes
        .values()
        .filter(|n| n.id == node || n.state != NodeState::Down)
        .map(|n| n.address)
        .collect();
    members.sort_unstable();
    members.dedup();
    NodeOverlay {
        networks: networks.collect(),
        members,
        data_path_port: state.cluster.as_ref().map_or(0, |c| c.spec.data_path_port),
    }
}
