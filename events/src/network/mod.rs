//! Networks: overlays that tasks join.

pub mod event;
pub(crate) mod fold;
pub(crate) mod v1;

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

/// The driver option that says how large a packet of the machines' own network may be, as Docker's.
pub const MTU_OPTION: &str = "com.docker.network.driver.mtu";

/// What the machines' own network takes unless the option says otherwise.
const MTU: u16 = 1500;

/// The outer Ethernet, IP, UDP and VXLAN headers (RFC 7348 §5).
const TUNNEL_HEADERS: u16 = 50;

/// The smallest value of the option: every IPv4 host takes packets of 576 bytes (RFC 791).
pub(crate) const MTU_MIN: u16 = 576;

impl NetworkSpec {
    /// How large a packet on this network may be: what the machines' network takes, less the headers around it.
    pub fn mtu(&self) -> u16 {
        let given = self.options.iter().find(|(key, _)| key == MTU_OPTION);
        let given = given.and_then(|(_, value)| value.parse().ok()).filter(|n| *n >= MTU_MIN);
        given.unwrap_or(MTU) - TUNNEL_HEADERS
    }
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
    /// The part of its addresses that tasks get; all of them when absent.
    pub ip_range: Option<Subnet>,
    /// Its VXLAN identifier.
    pub vni: Vni,
    /// Where the search for a free address begins: addresses go round before one comes again.
    pub next_host: u64,
    /// When it was made.
    pub created: Time,
    /// The last record about it.
    pub last: Position,
}
