//! What happens to the swarm as a whole. Payloads are frozen: a change is a new version and an upcaster.

use crate::id::{ClusterId, NodeId};
use crate::name::Name;
use crate::record::{Hash, Position};

use super::ClusterSpec;

crate::event::payloads! {
    /// The first record of a history.
    ClusterCreated {
        /// The swarm's id.
        id: ClusterId,
        /// Its settings, defaults filled in.
        spec: ClusterSpec,
        /// Certificate of its root, PEM; the key is not here.
        ca_certificate: String,
        /// blake3 of the worker token's secret.
        worker_token: Hash,
        /// blake3 of the manager token's secret.
        manager_token: Hash,
    }
    /// What the state was at a position, for every manager to compare with its own.
    Checkpointed {
        /// The position.
        upto: Position,
        /// How the digest is made.
        format: u16,
        /// The digest.
        digest: Hash,
    }
    /// From here on newer kinds may be written.
    LevelRaised {
        /// The level.
        level: u16,
    }
    /// The detachable part of a record is to be erased everywhere.
    RecordRedacted {
        /// Which record.
        position: Position,
        /// What the chain says of the erased part.
        commitment: Hash,
    }
    /// A named reader of the log begins.
    ConsumerCreated {
        /// Its name.
        name: Name,
        /// It reads what comes after this record.
        at: Position,
    }
    /// A named reader of the log has read so far, or was told to go on elsewhere.
    ConsumerMoved {
        /// Its name.
        name: Name,
        /// It reads what comes after this record.
        at: Position,
        /// Whether it was told to, instead of having acknowledged what lies before.
        sought: bool,
    }
    /// A named reader of the log is forgotten.
    ConsumerRemoved {
        /// Its name.
        name: Name,
    }
    /// A manager has erased it.
    RedactionConfirmed {
        /// Which record.
        position: Position,
        /// The manager's node.
        node: NodeId,
    }
}
