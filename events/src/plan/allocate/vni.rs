//! Finds a free VXLAN network identifier.

use crate::state::State;
use crate::unit::Vni;

/// Swarm's first identifier; the one after it belongs to the ingress network.
const FIRST: u32 = 4097;
const LAST: u32 = (1 << 24) - 1;

/// The lowest identifier no network holds.
pub fn free(state: &State) -> Option<Vni> {
    let mut next = FIRST;
    for taken in state.index.vnis.iter() {
        if taken.0 > next {
            break;
        }
        if taken.0 == next {
            next += 1;
        }
    }
    (next <= LAST).then_some(Vni(next))
}
