//! Snapshots of the state, by the position they were taken at. The bytes are the caller's; here they are only kept whole.
//!
//! A snapshot is as large as the swarm, and commits wait for what is written with them. So it is written in parts, each with
//! a commit of its own, and its head last: without a head there is no snapshot, only parts to be cleared away.

use bytes::Bytes;
use redb::{ReadableTable, Table, TableDefinition};
use serde::{Deserialize, Serialize};
use skein_events::record::{Hash, Position};

use super::{seal, unseal};
use crate::error::Error;
use crate::raft::StoredMembership;
use crate::row::Link;

/// Position → head.
pub(crate) const HEADS: TableDefinition<'static, u64, &'static [u8]> =
    TableDefinition::new("snapshot heads");
/// Position and number of the part, from 0 → part.
pub(crate) const PARTS: TableDefinition<'static, (u64, u32), &'static [u8]> =
    TableDefinition::new("snapshot parts");

/// Bytes of a part: what a commit may take longer for the sake of a snapshot.
pub(crate) const PART: usize = 256 << 10;

/// A snapshot as it is sent.
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

/// What makes parts a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Head {
    pub(crate) position: Position,
    pub(crate) index: u64,
    pub(crate) term: u64,
    pub(crate) h: Hash,
    pub(crate) membership: StoredMembership,
    pub(crate) parts: u32,
}

type Row = (u64, u32);

/// The snapshot that is being written. It is a cache: where it stands in the way it is given up.
#[derive(Clone, Copy, Default)]
pub(crate) struct Writing {
    /// Where it was taken, and how many of its parts are written.
    begun: Option<(Position, u32)>,
    /// What was taken up to here is not kept.
    given_up: Position,
}

impl Writing {
    /// Whether this part is the next one.
    pub(crate) fn takes(&mut self, (position, nth): (Position, u32)) -> bool {
        if nth == 0 && position > self.given_up {
            self.begun = Some((position, 0));
        }
        let next = self.begun == Some((position, nth));
        if next {
            self.begun = Some((position, nth + 1));
        }
        next
    }
    /// Whether all parts are there.
    pub(crate) fn is_whole(&self, head: &Head) -> bool {
        head.position > self.given_up
            && (head.parts == 0 || self.begun == Some((head.position, head.parts)))
    }
    /// Keeps nothing of what was taken so far.
    pub(crate) fn give_up(&mut self, upto: Position) {
        *self = Self { begun: None, given_up: self.given_up.max(upto) };
    }
}

pub(crate) fn put_head(
    heads: &mut Table<'_, u64, &'static [u8]>,
    head: &Head,
) -> Result<(), Error> {
    heads.insert(head.position.0, seal("snapshot", head).as_slice())?;
    Ok(())
}

/// Writes a part; with the first, what is left of a snapshot that got no head is cleared away.
pub(crate) fn put_part(
    parts: &mut Table<'_, Row, &'static [u8]>,
    heads: &impl ReadableTable<u64, &'static [u8]>,
    (position, nth): (Position, u32),
    bytes: &Bytes,
) -> Result<(), Error> {
    if nth == 0 {
        let whole = heads.last()?.map_or(0, |(key, _)| key.value() + 1);
        parts.retain_in((whole, 0).., |_, _| false)?;
    }
    let sealed = seal("part of a snapshot", &(position, nth, bytes));
    parts.insert((position.0, nth), sealed.as_slice())?;
    Ok(())
}

pub(crate) fn head_at_or_before(
    heads: &impl ReadableTable<u64, &'static [u8]>,
    position: Position,
) -> Result<Option<Head>, Error> {
    let Some(item) = heads.range(..=position.0)?.next_back() else { return Ok(None) };
    let (_, value) = item?;
    unseal("snapshot", value.value()).map(Some)
}

/// The snapshot of a head.
pub(crate) fn whole(
    parts: &impl ReadableTable<Row, &'static [u8]>,
    head: Head,
) -> Result<StateSnapshot, Error> {
    let Head { position, index, term, h, membership, parts: count } = head;
    let damaged = || Error::DamagedValue("part of a snapshot");
    let mut bytes = Vec::with_capacity(count as usize * PART);
    for nth in 0..count {
        let value = parts.get((position.0, nth))?.ok_or_else(damaged)?;
        let part: (Position, u32, Bytes) = unseal("part of a snapshot", value.value())?;
        if (part.0, part.1) != (position, nth) {
            return Err(damaged());
        }
        bytes.extend_from_slice(&part.2);
    }
    Ok(StateSnapshot { position, index, term, h, bytes: bytes.into(), membership })
}

/// Where the chain stands after the newest snapshot, if it was taken at `index`.
pub(crate) fn end_at(
    heads: &impl ReadableTable<u64, &'static [u8]>,
    index: u64,
) -> Result<Option<Link>, Error> {
    let newest = head_at_or_before(heads, Position(u64::MAX))?;
    Ok(newest.filter(|head| head.index == index).map(|head| Link {
        index: index + 1,
        term: head.term,
        h: head.h,
        position: head.position.next(),
    }))
}
