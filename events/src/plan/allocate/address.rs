//! Finds a free address in a network. Goes round the whole block before an address comes again, so that
//! an old connection seldom meets a new owner.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use crate::network::Network;
use crate::state::State;
use crate::unit::Subnet;

/// How many addresses nobody holds.
pub fn left(state: &State, network: &Network) -> u64 {
    let held: u64 = state.index.attached_to(network.id).map(|(_, n)| u64::from(n)).sum();
    let range = range(network);
    let nobodys = [network.subnet.base(), network.subnet.last(), network.gateway];
    let nobodys: BTreeSet<Ipv4Addr> =
        nobodys.into_iter().filter(|ip| range.contains(*ip)).collect();
    range.size().saturating_sub(nobodys.len() as u64 + held)
}

/// The addresses that are handed out: the block's own name, its broadcast address and the gateway are nobody's to hold.
fn range(network: &Network) -> Subnet {
    network.ip_range.unwrap_or(network.subnet)
}

/// Why a task on this network gets no address.
pub fn exhausted(network: &Network) -> String {
    format!("network {} has no free address left in {}", network.spec.name, range(network))
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
    let range = range(network);
    let low = u64::from(range.base().to_bits() - network.subnet.base().to_bits());
    let high = low + range.size();
    let start = if (low..high).contains(&next_host) { next_host } else { low };
    (start..high).chain(low..start).filter_map(|n| network.subnet.nth(n)).find(|ip| {
        *ip != network.subnet.base()
            && *ip != network.subnet.last()
            && *ip != network.gateway
            && !taken.contains(ip)
            && !state.index.addresses.contains_key(&(network.id, *ip))
    })
}
