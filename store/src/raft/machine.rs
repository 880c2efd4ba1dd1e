//! The state machine consensus applies to: hands committed entries on, in order, and runs no rule itself.
//! The state lives with the consumer, who has replayed everything up to `Log::head` before this starts.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures::{Stream, StreamExt};
use openraft::OptionalSend;
use openraft::entry::EntryPayload;
use openraft::storage::{EntryResponder, RaftSnapshotBuilder, RaftStateMachine};
use openraft::type_config::alias::{SnapshotMetaOf, SnapshotOf};
use skein_events::record::{Hash, Place, Position};
use tokio::sync::mpsc;

use super::{Applied, LogId, StoredMembership, Types, log_id};
use crate::error::Error;
use crate::log::{Log, StoredBatch, stored};
use crate::table::snapshots::{Head, PART, StateSnapshot};
use crate::writer::Op;

/// What the consumer of committed entries gets, in order and once per run of the process.
#[derive(Clone, Debug)]
pub enum Delivery {
    /// A committed batch.
    Batch(StoredBatch),
    /// A committed entry without records: a leader's first, or a change of managers.
    Quiet(Place),
    /// A snapshot from another manager replaces the state.
    Installed(StateSnapshot),
}

/// Gives the bytes of a snapshot of the state.
pub trait SnapshotSource: Send + Sync + 'static {
    /// The state as of an entry the consumer has applied, not before `applied` was delivered to it; `None` if it cannot now.
    fn take(&self, applied: u64) -> Pin<Box<dyn Future<Output = Option<Taken>> + Send>>;
}

/// A snapshot as the consumer takes it.
#[derive(Clone, Debug)]
pub struct Taken {
    /// Index of the last entry it holds.
    pub index: u64,
    /// The last record it holds.
    pub position: Position,
    /// The state, in the consumer's format.
    pub bytes: Bytes,
}

/// See the file's head.
pub struct Machine {
    log: Log,
    last: Option<LogId>,
    membership: StoredMembership,
    out: mpsc::Sender<Delivery>,
    source: Arc<dyn SnapshotSource>,
}

impl fmt::Debug for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Machine").field("last", &self.last).finish_non_exhaustive()
    }
}

/// Builds snapshots beside the machine.
pub struct SnapshotBuilder {
    log: Log,
    last: Option<LogId>,
    membership: StoredMembership,
    source: Arc<dyn SnapshotSource>,
}

impl Machine {
    /// Starts after the last entry that was committed when the log was opened: the consumer has that already.
    pub fn new(
        log: Log,
        out: mpsc::Sender<Delivery>,
        source: Arc<dyn SnapshotSource>,
    ) -> Result<Self, Error> {
        let committed = log.recent().committed;
        let membership = match committed {
            Some((_, index)) => log.membership_at(index)?,
            None => StoredMembership::default(),
        };
        let last = committed.map(|(term, index)| log_id(term, index));
        Ok(Self { log, last, membership, out, source })
    }

    async fn hand_on(&self, delivery: Delivery) -> io::Result<()> {
        self.out
            .send(delivery)
            .await
            .map_err(|_| io::Error::other("nobody takes committed entries"))
    }
}

impl Log {
    /// Keeps a snapshot of the state: makes moments near its position quick to reach. The caller has applied the entry it names.
    pub async fn save_snapshot(&self, taken: Taken) -> Result<(), Error> {
        let membership = self.membership_at(taken.index)?;
        let row = self.row(taken.index)?.ok_or(Error::Closed)?;
        self.keep(taken, row.term, row.h, membership, true).await.map(drop)
    }

    /// Writes a snapshot, part after part. One that gives way is not kept on a full disk, and none is that a redaction
    /// overtakes; neither is an error.
    async fn keep(
        &self,
        taken: Taken,
        term: u64,
        h: Hash,
        membership: StoredMembership,
        gives_way: bool,
    ) -> Result<StateSnapshot, Error> {
        let Taken { index, position, bytes } = taken;
        let mut parts = 0;
        let mut left = bytes.clone();
        while !left.is_empty() {
            let part = left.split_to(PART.min(left.len()));
            self.ask(|done| Op::Part { of: (position, parts), bytes: part, gives_way, done })
                .await?;
            parts += 1;
        }
        let head = Head { position, index, term, h, membership: membership.clone(), parts };
        self.ask(|done| Op::Snapshot { head, done }).await?;
        Ok(StateSnapshot { position, index, term, h, bytes, membership })
    }

    fn whole_snapshot(&self) -> Result<Option<StateSnapshot>, Error> {
        self.snapshot_at_or_before(Position(u64::MAX))
    }
}

fn snapshot_of(snapshot: StateSnapshot) -> SnapshotOf<Types, StateSnapshot> {
    let meta = SnapshotMetaOf::<Types> {
        last_log_id: Some(log_id(snapshot.term, snapshot.index)),
        last_membership: snapshot.membership.clone(),
    };
    SnapshotOf::<Types, StateSnapshot> { meta, snapshot }
}

impl RaftSnapshotBuilder<Types> for SnapshotBuilder {
    type SnapshotData = StateSnapshot;

    async fn build_snapshot(&mut self) -> Result<SnapshotOf<Types, StateSnapshot>, io::Error> {
        let Some(last) = self.last else {
            // Consensus may ask before the first entry; that snapshot is of nothing and is not kept.
            let snapshot = StateSnapshot::default();
            return Ok(SnapshotOf::<Types, StateSnapshot> { meta: Default::default(), snapshot });
        };
        let taken = self.source.take(last.index).await;
        let taken = taken.ok_or_else(|| io::Error::other("the state gave no snapshot"))?;
        let (term, h, membership) = match self.log.row(taken.index)? {
            Some(row) => (row.term, row.h, self.log.membership_at(taken.index)?),
            // Below an installed snapshot there are no rows; that snapshot knows the chain.
            None => {
                let installed = self.log.whole_snapshot()?.filter(|s| s.index == taken.index);
                let h = installed.map(|s| s.h).unwrap_or_default();
                (last.committed_leader_id().term, h, self.membership.clone())
            }
        };
        let kept = self.log.keep(taken, term, h, membership, true).await?;
        Ok(snapshot_of(kept))
    }
}

impl RaftStateMachine<Types> for Machine {
    type SnapshotData = StateSnapshot;
    type SnapshotBuilder = SnapshotBuilder;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), io::Error> {
        Ok((self.last, self.membership.clone()))
    }

    async fn apply<S>(&mut self, mut entries: S) -> Result<(), io::Error>
    where
        S: Stream<Item = Result<EntryResponder<Types>, io::Error>> + Unpin + OptionalSend,
    {
        while let Some(item) = entries.next().await {
            let (entry, responder) = item?;
            let id = entry.log_id;
            let place = Place { term: id.committed_leader_id().term, leader: 0, index: id.index };
            let applied = match entry.payload {
                EntryPayload::Normal(_) => {
                    let row = self.log.row(id.index)?;
                    let row = row.filter(|row| row.term == place.term);
                    let text = || {
                        io::Error::other(format!("committed entry {} is not in the log", id.index))
                    };
                    let batch = stored(row.ok_or_else(text)?);
                    let applied = Applied { first: batch.first, count: batch.count, h: batch.h };
                    self.log.advance(id.index, Some((batch.last(), batch.h)));
                    self.hand_on(Delivery::Batch(batch)).await?;
                    applied
                }
                EntryPayload::Blank | EntryPayload::Membership(_) => {
                    if let EntryPayload::Membership(membership) = entry.payload {
                        self.membership = StoredMembership::new(Some(id), membership);
                    }
                    self.log.advance(id.index, None);
                    self.hand_on(Delivery::Quiet(place)).await?;
                    let head = self.log.head();
                    Applied { first: head.position.next(), count: 0, h: head.h }
                }
            };
            self.last = Some(id);
            if let Some(responder) = responder {
                responder.send(applied);
            }
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> SnapshotBuilder {
        SnapshotBuilder {
            log: self.log.clone(),
            last: self.last,
            membership: self.membership.clone(),
            source: Arc::clone(&self.source),
        }
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMetaOf<Types>,
        snapshot: StateSnapshot,
    ) -> Result<(), io::Error> {
        let StateSnapshot { position, index, term, h, bytes, membership: _ } = snapshot;
        let taken = Taken { index, position, bytes };
        let membership = meta.last_membership.clone();
        let kept = self.log.keep(taken, term, h, membership.clone(), false).await?;
        self.last = meta.last_log_id;
        self.membership = membership;
        self.log.advance(index, Some((position, h)));
        self.hand_on(Delivery::Installed(kept)).await
    }

    async fn get_current_snapshot(
        &mut self,
    ) -> Result<Option<SnapshotOf<Types, StateSnapshot>>, io::Error> {
        Ok(self.log.whole_snapshot()?.map(snapshot_of))
    }
}
