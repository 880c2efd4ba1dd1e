//! The log as consensus sees it: by index, unread below the floor it believes is purged.

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};

use bytes::Bytes;
use openraft::entry::EntryPayload;
use openraft::storage::{IOFlushed, LogState, RaftLogStorage};
use openraft::{OptionalSend, RaftLogReader};
use skein_events::record::Position;

use super::{EncodedBatch, Entry, LogId, Membership, StoredMembership, Types, Vote, log_id};
use crate::error::Error;
use crate::log::Log;
use crate::row::{Kind, Link, Row};
use crate::table::entries::{Budget, MEMBERSHIPS};
use crate::table::snapshots::{self, HEADS};
use crate::writer::Op;

/// Entries and bytes one read for replication returns.
const READ: Budget = Budget { rows: 4096, bytes: 4 << 20 };

/// What consensus writes through and reads from.
#[derive(Clone, Debug)]
pub struct Storage(Log);

impl Storage {
    /// The log must have its writer running.
    pub fn new(log: Log) -> Self {
        Self(log)
    }

    fn entries(&self, range: impl RangeBounds<u64>, budget: Budget) -> Result<Vec<Entry>, Error> {
        let start = match range.start_bound() {
            Bound::Included(n) => *n,
            Bound::Excluded(n) => n + 1,
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(n) => n + 1,
            Bound::Excluded(n) => *n,
            Bound::Unbounded => u64::MAX,
        };
        let (floor, end) = {
            let recent = self.0.recent();
            (recent.floor.map_or(0, |(_, index)| index + 1), end.min(recent.end.index))
        };
        let mut start = start.max(floor);
        let mut all: Vec<Row> = Vec::new();
        while start < end && all.len() < budget.rows {
            let chunk =
                self.0.rows(start..end, Budget { rows: budget.rows - all.len(), ..budget })?;
            let Some(last) = chunk.last() else { break };
            start = last.index + 1;
            all.extend(chunk);
            if budget.bytes != usize::MAX {
                break;
            }
        }
        all.into_iter().map(entry).collect()
    }
}

fn entry(row: Row) -> Result<Entry, Error> {
    let payload = match row.kind {
        Kind::Blank => EntryPayload::Blank,
        Kind::Batch => EntryPayload::Normal(EncodedBatch(row.payload)),
        Kind::Membership => EntryPayload::Membership(membership(&row.payload)?),
    };
    Ok(Entry { log_id: log_id(row.term, row.index), payload })
}

fn membership(bytes: &[u8]) -> Result<Membership, Error> {
    postcard::from_bytes(bytes).map_err(|_| Error::DamagedValue("membership"))
}

impl Log {
    /// Puts entries at the end of the chain in memory, where they are readable at once.
    fn stage(
        &self,
        new: impl IntoIterator<Item = Entry>,
    ) -> Result<(Vec<Row>, Option<Link>), Error> {
        let mut recent = self.recent();
        let (mut rows, mut base) = (Vec::new(), None);
        for entry in new {
            let (term, index) = (entry.log_id.committed_leader_id().term, entry.log_id.index);
            let (kind, payload) = match entry.payload {
                EntryPayload::Blank => (Kind::Blank, Bytes::new()),
                EntryPayload::Normal(batch) => (Kind::Batch, batch.0),
                EntryPayload::Membership(members) => {
                    let bytes = postcard::to_stdvec(&members).expect("a membership encodes");
                    (Kind::Membership, bytes.into())
                }
            };
            if index != recent.end.index {
                if recent.end != Link::GENESIS {
                    let text = format!("entry {index} would leave a hole");
                    return Err(io::Error::other(text).into());
                }
                recent.detach(Link { index, ..Link::GENESIS });
            }
            if recent.detached {
                base = Some(recent.end);
            }
            let row = Row::seal(&recent.end, term, kind, payload)
                .map_err(|malformed| io::Error::other(format!("proposed batch: {malformed}")))?;
            recent.push(row.clone());
            rows.push(row);
        }
        Ok((rows, base))
    }

    pub(super) async fn save_vote(&self, vote: Vote) -> Result<(), Error> {
        self.ask(|done| Op::Vote { vote, done }).await?;
        self.recent().vote = Some(vote);
        Ok(())
    }

    /// Drops entries from an index on; returns when no reader sees them any more.
    async fn truncate(&self, from: u64) -> Result<(), Error> {
        {
            let mut recent = self.recent();
            if from >= recent.end.index {
                return Ok(());
            }
            if recent.committed.is_some_and(|(_, committed)| from <= committed) {
                let text = format!("consensus asked to drop committed entry {from}");
                return Err(io::Error::other(text).into());
            }
            recent.truncate(from);
        }
        let end = self.ask(|done| Op::Truncate { from, done }).await?;
        let mut recent = self.recent();
        recent.end = end.unwrap_or(Link::GENESIS);
        recent.detached = false;
        let below = recent.floor.filter(|(_, floor)| *floor >= recent.end.index);
        drop(recent);
        below.map_or(Ok(()), |(term, index)| self.detach_after(term, index))
    }

    /// Raises the floor of consensus. The rows stay: they are the history.
    async fn raise_floor(&self, term: u64, index: u64) -> Result<(), Error> {
        let beyond = {
            let mut recent = self.recent();
            if recent.floor.is_some_and(|(_, floor)| floor >= index) {
                return Ok(());
            }
            recent.floor = Some((term, index));
            index >= recent.end.index
        };
        if beyond {
            self.detach_after(term, index)?;
        }
        self.0.queue.send(Op::Floor { term, index }).await.map_err(|_| Error::Closed)
    }

    /// The chain goes on after an entry that is not here: from a snapshot taken there, if there is one.
    fn detach_after(&self, term: u64, index: u64) -> Result<(), Error> {
        let table = self.transaction()?.open_table(HEADS)?;
        let link = snapshots::end_at(&table, index)?;
        let mut recent = self.recent();
        let carried = Link { index: index + 1, term, ..recent.end };
        recent.detach(link.unwrap_or(carried));
        Ok(())
    }

    /// The managers as of an entry, by the last membership entry up to it.
    pub(crate) fn membership_at(&self, index: u64) -> Result<StoredMembership, Error> {
        let in_memory = {
            let recent = self.recent();
            let found = recent.range(0, index.saturating_add(1));
            found.filter(|row| row.kind == Kind::Membership).last().cloned()
        };
        let row = match in_memory {
            Some(row) => Some(row),
            None => {
                let transaction = self.transaction()?;
                let found = transaction
                    .open_table(MEMBERSHIPS)?
                    .range(..=index)?
                    .next_back()
                    .transpose()?;
                match found {
                    Some((key, _)) => self.row(key.value())?,
                    None => None,
                }
            }
        };
        match row {
            Some(row) => {
                if row.kind != Kind::Membership {
                    return Err(Error::DamagedValue("list of memberships"));
                }
                let at = Some(log_id(row.term, row.index));
                Ok(StoredMembership::new(at, membership(&row.payload)?))
            }
            None => {
                let heads = self.transaction()?.open_table(HEADS)?;
                let newest = snapshots::head_at_or_before(&heads, Position(u64::MAX))?;
                Ok(newest.map(|head| head.membership).unwrap_or_default())
            }
        }
    }
}

impl RaftLogReader<Types> for Storage {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<Entry>, io::Error> {
        Ok(self.entries(range, Budget { rows: usize::MAX, bytes: usize::MAX })?)
    }

    async fn limited_get_log_entries(
        &mut self,
        start: u64,
        end: u64,
    ) -> Result<Vec<Entry>, io::Error> {
        Ok(self.entries(start..end, READ)?)
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, io::Error> {
        Ok(self.0.recent().vote)
    }
}

impl RaftLogStorage<Types> for Storage {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<Types>, io::Error> {
        let recent = self.0.recent();
        let floor = recent.floor.map(|(term, index)| log_id(term, index));
        let last = recent.end.index.checked_sub(1).map(|index| log_id(recent.end.term, index));
        Ok(LogState { last_purged_log_id: floor, last_log_id: last })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), io::Error> {
        Ok(self.0.save_vote(*vote).await?)
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), io::Error> {
        // The writer takes it along with the next commit.
        if let Some(id) = committed {
            self.0.recent().committed = Some((id.committed_leader_id().term, id.index));
        }
        Ok(())
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, io::Error> {
        Ok(self.0.recent().committed.map(|(term, index)| log_id(term, index)))
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<Types>) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let (rows, base) = self.0.stage(entries)?;
        let op = Op::Append { rows, base, done: callback };
        self.0.0.queue.send(op).await.map_err(|_| Error::Closed)?;
        Ok(())
    }

    async fn truncate_after(&mut self, last: Option<LogId>) -> Result<(), io::Error> {
        Ok(self.0.truncate(last.map_or(0, |id| id.index + 1)).await?)
    }

    async fn purge(&mut self, upto: LogId) -> Result<(), io::Error> {
        Ok(self.0.raise_floor(upto.committed_leader_id().term, upto.index).await?)
    }
}
