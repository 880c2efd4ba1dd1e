//! What networks looked like when `network.created` was at version 1. Frozen: only read, from logs that hold it.

use std::net::Ipv4Addr;

use crate::id::NetworkId;
use crate::unit::{Subnet, Vni};

use super::{NetworkSpec, event};

crate::event::payloads! {
    /// `network.created`, version 1.
    NetworkCreated {
        /// Its id.
        id: NetworkId,
        /// What was asked for.
        spec: NetworkSpec,
        /// Its addresses.
        subnet: Subnet,
        /// Address of its bridge on every node.
        gateway: Ipv4Addr,
        /// Its VXLAN identifier.
        vni: Vni,
    }
}

impl From<NetworkCreated> for event::NetworkCreated {
    fn from(old: NetworkCreated) -> Self {
        let NetworkCreated { id, spec, subnet, gateway, vni } = old;
        Self { id, spec, subnet, gateway, ip_range: None, vni }
    }
}
