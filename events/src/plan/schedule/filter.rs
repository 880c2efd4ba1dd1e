//! Whether a node may take a task at all. Each filter is checked here and named in the explanation.

use crate::node::{Availability, Node, NodeState};
use crate::state::index::Load;
use crate::task::explain::Finding;
use crate::task::spec::Resources;
use crate::unit::{Bytes, NanoCpus};

/// Why the node may not take it; `None` means it may.
pub fn ruled_out(node: &Node, load: Load, need: Resources) -> Option<Finding> {
    if node.state != NodeState::Ready {
        return Some(Finding::NotReady);
    }
    if node.availability != Availability::Active {
        return Some(Finding::NotActive);
    }
    too_little(node, load, need)
}

/// Whether the node has too little left.
pub fn too_little(node: &Node, load: Load, need: Resources) -> Option<Finding> {
    let cpus = node.description.cpus.0.saturating_sub(load.reserved.cpus.0);
    let memory = node.description.memory.0.saturating_sub(load.reserved.memory.0);
    if need.cpus.0 > cpus {
        return Some(Finding::Cpus { need: need.cpus.0, free: cpus });
    }
    if need.memory.0 > memory {
        return Some(Finding::Memory { need: need.memory.0, free: memory });
    }
    None
}

/// Adds one task to what a node carries.
pub fn carry(load: &mut Load, need: Resources) {
    load.tasks += 1;
    load.reserved = Resources {
        cpus: NanoCpus(load.reserved.cpus.0.saturating_add(need.cpus.0)),
        memory: Bytes(load.reserved.memory.0.saturating_add(need.memory.0)),
    };
}
