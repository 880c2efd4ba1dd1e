//! What the log knows in memory: the end of the chain, the entries not yet on disk, and the last few that are.
//! Reads of the newest entries never touch the disk, and an entry is readable before it is durable, as consensus requires.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::raft::Vote;
use crate::row::{Link, Row};

/// Enough for followers and tails that keep up, some thousands of entries; whoever is further behind reads the disk.
const KEPT_BYTES: usize = 1 << 20;

#[derive(Debug)]
pub(crate) struct Recent {
    rows: BTreeMap<u64, Row>,
    bytes: usize,
    /// Entries below this index are on disk.
    durable: u64,
    /// The end of the chain.
    pub(crate) end: Link,
    /// No entry lies just before the end: what was there came as a snapshot, or never was.
    pub(crate) detached: bool,
    /// What consensus believes is purged, `(term, index)`.
    pub(crate) floor: Option<(u64, u64)>,
    pub(crate) vote: Option<Vote>,
    /// Last committed `(term, index)` consensus told.
    pub(crate) committed: Option<(u64, u64)>,
}

impl Recent {
    pub(crate) fn new(
        end: Link,
        floor: Option<(u64, u64)>,
        vote: Option<Vote>,
        committed: Option<(u64, u64)>,
    ) -> Self {
        Self {
            rows: BTreeMap::new(),
            bytes: 0,
            durable: end.index,
            end,
            detached: false,
            floor,
            vote,
            committed,
        }
    }

    /// Adds an entry at the end, copied: what it was made in lies among all else that was made for its command, and a kept
    /// entry would keep a page of the heap each.
    pub(crate) fn push(&mut self, mut row: Row) {
        row.payload = Bytes::copy_from_slice(&row.payload);
        self.end = row.link();
        self.detached = false;
        self.bytes += weight(&row);
        self.rows.insert(row.index, row);
    }

    /// Entries from `index` on are gone.
    pub(crate) fn truncate(&mut self, index: u64) {
        let gone = self.rows.split_off(&index);
        self.bytes -= gone.values().map(weight).sum::<usize>();
        self.durable = self.durable.min(index);
    }

    /// The chain goes on from `link`, after an entry that is not here.
    pub(crate) fn detach(&mut self, link: Link) {
        self.end = link;
        self.detached = true;
    }

    /// Entries below `index` are on disk now.
    pub(crate) fn flushed(&mut self, index: u64) {
        self.durable = index;
        while self.bytes > KEPT_BYTES
            && let Some(first) = self.rows.first_entry()
            && *first.key() < self.durable
        {
            self.bytes -= weight(&first.remove());
        }
    }

    /// Puts a redacted entry in the place of what it was.
    pub(crate) fn replace(&mut self, row: Row) {
        if let Some(place) = self.rows.get_mut(&row.index) {
            self.bytes = self.bytes + weight(&row) - weight(place);
            *place = row;
        }
    }

    /// Entries below this index are on disk.
    pub(crate) fn durable(&self) -> u64 {
        self.durable
    }

    pub(crate) fn get(&self, index: u64) -> Option<&Row> {
        self.rows.get(&index)
    }

    /// Index of the first entry in memory; all from here to the end are.
    pub(crate) fn first(&self) -> u64 {
        self.rows.keys().next().copied().unwrap_or(self.end.index)
    }

    /// Entries of a range that are in memory.
    pub(crate) fn range(&self, from: u64, to: u64) -> impl Iterator<Item = &Row> {
        self.rows.range(from..to.max(from)).map(|(_, row)| row)
    }
}

/// What an entry takes in memory, in bytes.
fn weight(row: &Row) -> usize {
    size_of::<(u64, Row)>() + row.payload.len()
}
