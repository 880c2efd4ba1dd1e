//! Finds a free block for a network.

use crate::command::Occupied;
use crate::state::State;
use crate::unit::Subnet;

/// The first block of the pool that overlaps no network and nothing that is occupied; `None` when the pool is used up.
pub fn free(state: &State, occupied: &[Occupied]) -> Option<Subnet> {
    let spec = &state.cluster.as_ref()?.spec;
    let step = 1u64 << (32 - u32::from(spec.pool_prefix));
    let taken: Vec<Subnet> =
        state.networks.values().map(|n| n.subnet).chain(occupied.iter().map(|o| o.block)).collect();
    // The first block is kept for the ingress network, as Swarm does.
    (1..spec.pool.size() / step)
        .filter_map(|n| spec.pool.nth(n * step))
        .map(|base| Subnet::containing(base, spec.pool_prefix))
        .find(|block| !taken.iter().any(|t| t.overlaps(*block)))
}
