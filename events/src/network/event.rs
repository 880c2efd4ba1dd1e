//! What happens to networks. Payloads are frozen: a change is a new version and an upcaster.

use std::net::Ipv4Addr;

use crate::id::NetworkId;
use crate::unit::{Subnet, Vni};

use super::NetworkSpec;

crate::event::payloads! {
    /// A network came to be, with all that was handed out to it.
    NetworkCreated {
        /// Its id.
        id: NetworkId,
        /// What was asked for, defaults filled in.
        spec: NetworkSpec,
        /// Its addresses.
        subnet: Subnet,
        /// Address of its bridge on every node.
        gateway: Ipv4Addr,
        /// The part of its addresses that tasks get; all of them when absent.
        ip_range: Option<Subnet>,
        /// Its VXLAN identifier.
        vni: Vni,
    }
    /// It was removed.
    NetworkRemoved {
        /// The network.
        id: NetworkId,
    }
}
