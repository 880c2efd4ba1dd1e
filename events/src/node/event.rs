//! What happens to nodes. Payloads are frozen: a change is a new version and an upcaster.

use std::net::Ipv4Addr;

use crate::id::NodeId;
use crate::record::Position;

use super::{Availability, Description, ImageChange, NodeState, Role, VolumeChange};

crate::event::payloads! {
    /// A node became a member.
    NodeJoined {
        /// Its id.
        id: NodeId,
        /// Its number in consensus.
        number: u64,
        /// What it is for.
        role: Role,
        /// Whether tasks may be put there.
        availability: Availability,
        /// Where others reach it.
        address: Ipv4Addr,
        /// Port of cluster management.
        port: u16,
        /// Its machine.
        description: Description,
    }
    /// Its machine is not what it was.
    NodeDescribed {
        /// The node.
        id: NodeId,
        /// Its machine.
        description: Description,
    }
    /// A user changed what may be put on it, or its labels.
    NodeUpdated {
        /// The node.
        id: NodeId,
        /// Whether tasks may be put there.
        availability: Availability,
        /// All its labels, sorted by key.
        labels: Vec<(String, String)>,
    }
    /// It is heard of, or no longer.
    NodeStateChanged {
        /// The node.
        id: NodeId,
        /// Whether it is heard of.
        state: NodeState,
        /// Why, in a few words.
        message: String,
    }
    /// Somebody changed the images of a node.
    NodeImageChanged {
        /// The node.
        node: NodeId,
        /// What happened.
        change: ImageChange,
        /// The name it happened to; empty if it was the image itself.
        name: String,
        /// The image, by the digest of its configuration.
        digest: String,
    }
    /// Somebody changed the volumes of a node.
    NodeVolumeChanged {
        /// The node.
        node: NodeId,
        /// What happened.
        change: VolumeChange,
        /// The volume.
        name: String,
    }
    /// A node that is down can do no harm: nobody sends to its addresses or takes packets from it.
    NodeFenced {
        /// The node.
        id: NodeId,
        /// Every ready node has applied at least this.
        at: Position,
    }
}
