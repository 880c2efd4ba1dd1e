//! Finds a free address in a network. Goes round the whole block before an address comes again, so that
//! an old connection seldom meets a new owner.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use crate::network::Network;
use crate::state::State;

/// How many addresses nobody holds.
pub fn left(state: &State, network: &Network) -> u64 {
    let held: u64 = state.index.attached_to(network.id).map(|(_, n)| u64::from(n)).sum();
    // The block's own name, its broadcast address and the gateway are nobody's to hold.
    network.subnet.size().saturating_sub(3 + held)
}

/// Why a task on this network gets no address.
pub fn exhausted(network: &Network) -> String {
    format!("network {} has no free address left in {}", network.spec.name, network.subnet)
}

/// The next address nobody holds and `taken` does not name; `None` when the network is full.
pub fn free(
    state: &State,
    network: &Network,
    next_host: u64,
    taken: &BTreeSet<Ipv4Addr>,
) -> Option<Ipv4Addr> {
    if left(state, network) <= taken.len() as u64 {
        return None;
    }
    let size = network.subnet.size();
    let start = next_host % size;
    (start..size).chain(0..start).filter_map(|n| network.subnet.nth(n)).find(|ip| {
        *ip != network.subnet.base()
            && *ip != network.subnet.last()
            && *ip != network.gateway
            && !taken.contains(ip)
            && !state.index.addresses.contains_key(&(network.id, *ip))
    })
}
