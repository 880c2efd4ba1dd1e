//! Snapshots of the state, by the position they were taken at. The bytes are the caller's; here they are only kept whole.

use bytes::Bytes;
use redb::{ReadableTable, TableDefinition};
use serde::{Deserialize, Serialize};
use skein_events::record::{Hash, Position};

use super::{seal, unseal};
use crate::error::Error;
use crate::raft::StoredMembership;
use crate::row::Link;

pub(crate) const SNAPSHOTS: TableDefinition<'static, u64, &'static [u8]> =
    TableDefinition::new("snapshots");

/// A snapshot as it is stored and sent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateSnapshot {
    /// The last record it holds.
    pub position: Position,
    /// Index of the last consensus entry it holds.
    pub index: u64,
    /// Term of that entry.
    pub term: u64,
    /// The chain after that entry.
    pub h: Hash,
    /// The state, in the caller's format.
    pub bytes: Bytes,
    /// The managers at that entry.
    pub(crate) membership: StoredMembership,
}

pub(crate) fn encode(snapshot: &StateSnapshot) -> Vec<u8> {
    seal("snapshot", snapshot)
}

pub(crate) fn at_or_before(
    table: &impl ReadableTable<u64, &'static [u8]>,
    position: Position,
) -> Result<Option<StateSnapshot>, Error> {
    let Some(item) = table.range(..=position.0)?.next_back() else { return Ok(None) };
    let (_, value) = item?;
    unseal("snapshot", value.value()).map(Some)
}

/// Where the chain stands after the newest snapshot, if it was taken at `index`.
pub(crate) fn end_at(
    table: &impl ReadableTable<u64, &'static [u8]>,
    index: u64,
) -> Result<Option<Link>, Error> {
    let newest = at_or_before(table, Position(u64::MAX))?;
    Ok(newest.filter(|snapshot| snapshot.index == index).map(|snapshot| Link {
        index: index + 1,
        term: snapshot.term,
        h: snapshot.h,
        position: snapshot.position.next(),
    }))
}
