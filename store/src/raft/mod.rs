//! The one module that names the consensus library's types; the rest of the crate speaks of rows, places and positions.
//! Separate so that an upgrade of the library, or another one, is a change in this folder and in `actors/consensus`.

mod log;
mod machine;
mod runtime;

use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

pub use log::Storage;
pub use machine::{Delivery, Machine, SnapshotBuilder, SnapshotSource, Taken};
pub use runtime::LocalTokio;

/// The runtime below consensus: spawns on the current `LocalSet`, and draws randomness from a seed set by
/// `Runtime::scope`, in production as in the simulator.
pub type Runtime = openraft_rt::deterministic_rng::DeterministicRng<LocalTokio>;

openraft::declare_raft_types!(
    /// The types consensus runs with: terms name leaders, so a log id is (term, index).
    pub Types:
        D = EncodedBatch,
        R = Applied,
        NodeId = u64,
        Node = Peer,
        LeaderId = openraft::impls::leader_id_std::LeaderId<u64, u64>,
        AsyncRuntime = Runtime,
);

use openraft::type_config::alias::{LogIdOf, StoredMembershipOf, VoteOf};
pub(crate) type Entry = openraft::type_config::alias::EntryOf<Types>;
pub(crate) type LogId = LogIdOf<Types>;
pub(crate) type Membership = openraft::Membership<u64, Peer>;
pub(crate) type StoredMembership = StoredMembershipOf<Types>;
pub(crate) type Vote = VoteOf<Types>;

/// A batch as bytes. The store checks its lengths and hash and never its meaning.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EncodedBatch(pub Bytes);

impl fmt::Debug for EncodedBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EncodedBatch({} bytes)", self.0.len())
    }
}
impl fmt::Display for EncodedBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// Another manager, as the membership entries carry it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// Where its control link listens, `host:port`.
    pub addr: String,
}

/// What the proposer of an entry learns once the entry is applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// The first position of the batch; of an entry without records, the position the next record gets.
    pub first: skein_events::record::Position,
    /// How many records it holds.
    pub count: u32,
    /// The hash of the entry.
    pub h: skein_events::record::Hash,
}

pub(crate) fn log_id(term: u64, index: u64) -> LogId {
    LogId::new(term.into(), index)
}
