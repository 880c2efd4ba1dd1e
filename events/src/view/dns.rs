//! Names of one network and the addresses behind them.
//! The projection of State only; queries are answered in `net/src/dns.rs`.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use crate::id::NetworkId;

/// The names of one network. Keys are lower case, without a final dot.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Zone {
    /// The network whose names these are; its name also serves as a suffix: `web.NET`.
    pub network: NetworkId,
    /// The network's name, lower case.
    pub name: String,
    /// Whether this network is cut off from the outside.
    pub internal: bool,
    /// Name → addresses, sorted: services, aliases, `tasks.<service>`, task names.
    pub addresses: BTreeMap<String, Vec<Ipv4Addr>>,
    /// Address → task name, for PTR.
    pub pointers: BTreeMap<Ipv4Addr, String>,
}
