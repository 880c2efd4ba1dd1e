//! The one writer: drains its queue, commits once, then tells those who wait.
//! An async loop and not a thread, so the simulator can run it on virtual time; the daemon blocks a thread of its own on it.
//!
//! Invariant: nobody is told before the commit that holds his write is durable; after a failed commit nobody is told anything.

use std::future::pending;
use std::sync::Arc;

use openraft::storage::IOFlushed;
use skein_events::record::Position;
use tokio::sync::{mpsc, oneshot};

use crate::disk::Disk;
use crate::error::Error;
use crate::failpoint::failpoint;
use crate::log::{Log, Options};
use crate::raft::{Types, Vote};
use crate::row::{Kind, Link, Row};
use crate::table::entries::{self, BASES, ENTRIES, MEMBERSHIPS};
use crate::table::meta::{self, META, Meta};
use crate::table::snapshots::{self, SNAPSHOTS, StateSnapshot};

/// Operations that may wait: one flight has at most this many entries, and consensus sends one flight at a time.
pub(crate) const QUEUE: usize = 4096;
/// Bytes of entries in one commit; more waits for the next, so a commit stays well below an election timeout.
const COMMIT_BYTES: usize = 16 << 20;

/// A write that waits for its turn.
pub(crate) enum Op {
    Append { rows: Vec<Row>, base: Option<Link>, done: IOFlushed<Types> },
    Vote { vote: Vote, done: oneshot::Sender<()> },
    Truncate { from: u64, done: oneshot::Sender<Option<Link>> },
    Floor { term: u64, index: u64 },
    Epoch { epoch: u64, done: oneshot::Sender<()> },
    Snapshot { snapshot: StateSnapshot, done: oneshot::Sender<()> },
    Redact { position: Position, done: oneshot::Sender<Result<(), Error>> },
    Beat { done: oneshot::Sender<()> },
    Close { done: oneshot::Sender<()> },
}

/// See the file's head.
pub struct Writer {
    log: Log,
    queue: mpsc::Receiver<Op>,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) options: Options,
    fatal: Box<dyn Fn(&str) + Send + Sync>,
    meta: Meta,
}

enum Told {
    Flushed(IOFlushed<Types>),
    Done(oneshot::Sender<()>),
    Truncated(oneshot::Sender<Option<Link>>, Option<Link>),
}

impl Writer {
    pub(crate) fn new(
        log: Log,
        queue: mpsc::Receiver<Op>,
        meta: Meta,
        disk: Arc<dyn Disk>,
        options: Options,
        fatal: Box<dyn Fn(&str) + Send + Sync>,
    ) -> Self {
        Self { log, queue, disk, options, fatal, meta }
    }

    /// Writes until the log is closed. Does not return after a failed write, so that nothing behind it is acknowledged.
    pub async fn run(mut self) {
        match self.work().await {
            Ok(closed) => {
                self.log.exchange(None);
                // The lock on the directory goes with this.
                drop(self);
                closed.map(|done| done.send(()));
            }
            Err(error) => {
                (self.fatal)(&error.to_string());
                pending::<()>().await;
            }
        }
    }

    async fn work(&mut self) -> Result<Option<oneshot::Sender<()>>, Error> {
        while let Some(first) = self.queue.recv().await {
            self.disk.latency().await;
            let (mut ops, mut redactions, mut beats, mut close) =
                (Vec::new(), Vec::new(), Vec::new(), None);
            let (mut next, mut bytes) = (Some(first), 0);
            while let Some(op) = next {
                match op {
                    Op::Redact { position, done } => redactions.push((position, done)),
                    Op::Beat { done } => beats.push(done),
                    Op::Close { done } => close = Some(done),
                    op => {
                        bytes += op.bytes();
                        ops.push(op);
                    }
                }
                // A redaction sees what was queued before it, so nothing is taken past one.
                let more = redactions.is_empty() && close.is_none() && bytes < COMMIT_BYTES;
                next = if more { self.queue.try_recv().ok() } else { None };
            }
            if !ops.is_empty() || close.is_some() {
                self.commit(ops)?;
            }
            if !redactions.is_empty() {
                crate::rewrite::redact(self, &self.log.clone(), redactions)?;
            }
            for done in beats {
                // Whoever asked may have stopped waiting.
                let _ = done.send(());
            }
            if close.is_some() {
                return Ok(close);
            }
        }
        Ok(None)
    }

    /// One durable commit for all of them.
    fn commit(&mut self, ops: Vec<Op>) -> Result<(), Error> {
        let mut transaction = self.log.with_database(|database| database.begin_write())?;
        transaction.set_quick_repair(self.options.quick_repair);
        let (before, after) = names(&ops);
        let mut told = Vec::with_capacity(ops.len());
        let mut end = None;
        {
            let mut rows = transaction.open_table(ENTRIES)?;
            for op in ops {
                match op {
                    Op::Append { rows: new, base, done } => {
                        if let Some(base) = base {
                            entries::put_base(&mut transaction.open_table(BASES)?, &base)?;
                        }
                        for row in &new {
                            rows.insert(row.index, row.encode().as_slice())?;
                            if row.kind == Kind::Membership {
                                transaction.open_table(MEMBERSHIPS)?.insert(row.index, ())?;
                            }
                        }
                        end = new.last().map(|row| row.index + 1).or(end);
                        told.push(Told::Flushed(done));
                    }
                    Op::Vote { vote, done } => {
                        self.meta.vote = Some(vote);
                        told.push(Told::Done(done));
                    }
                    Op::Truncate { from, done } => {
                        rows.retain_in(from.., |_, _| false)?;
                        transaction.open_table(BASES)?.retain_in(from.., |_, _| false)?;
                        transaction.open_table(MEMBERSHIPS)?.retain_in(from.., |_, ()| false)?;
                        end = Some(from);
                        told.push(Told::Truncated(done, entries::end(&rows)?));
                    }
                    Op::Floor { term, index } => self.meta.floor = Some((term, index)),
                    Op::Epoch { epoch, done } => {
                        self.meta.epoch = epoch;
                        told.push(Told::Done(done));
                    }
                    Op::Snapshot { snapshot, done } => {
                        let bytes = snapshots::encode(&snapshot);
                        transaction
                            .open_table(SNAPSHOTS)?
                            .insert(snapshot.position.0, bytes.as_slice())?;
                        told.push(Told::Done(done));
                    }
                    Op::Redact { .. } | Op::Beat { .. } | Op::Close { .. } => {
                        unreachable!("redactions, beats and the end are taken out before a commit")
                    }
                }
            }
            // How far consensus has committed goes along with whatever is written and costs no sync of its own, so it may
            // lag by a flight. It never leads: an entry that is not on disk with this commit is not named.
            let (durable, committed) = {
                let recent = self.log.recent();
                (end.unwrap_or_else(|| recent.durable()), recent.committed)
            };
            self.meta.committed = committed.filter(|(_, i)| *i < durable).or(self.meta.committed);
            meta::put(&mut transaction.open_table(META)?, &self.meta)?;
        }
        failpoint(before);
        #[cfg(feature = "mutants")]
        if skein_events::mutant::is(skein_events::mutant::Mutant::AckBeforeFsync) {
            std::mem::take(&mut told).into_iter().for_each(Told::tell);
        }
        transaction.commit()?;
        failpoint(after);
        if let Some(end) = end {
            self.log.recent().flushed(end);
        }
        told.into_iter().for_each(Told::tell);
        Ok(())
    }
}

impl Told {
    fn tell(self) {
        match self {
            Self::Flushed(done) => done.io_completed(Ok(())),
            // Who no longer listens does not need to know.
            Self::Done(done) => drop(done.send(())),
            Self::Truncated(done, link) => drop(done.send(link)),
        }
    }
}

/// The failpoints around a commit, after what is in it.
fn names(ops: &[Op]) -> (&'static str, &'static str) {
    let has = |wanted: fn(&Op) -> bool| ops.iter().any(wanted);
    if has(|op| matches!(op, Op::Snapshot { .. })) {
        ("snapshot.before-fsync", "snapshot.after-fsync")
    } else if has(|op| matches!(op, Op::Append { .. })) {
        ("log.before-fsync", "log.after-fsync")
    } else if has(|op| matches!(op, Op::Vote { .. })) {
        ("vote.before-fsync", "vote.after-fsync")
    } else {
        ("mark.before-fsync", "mark.after-fsync")
    }
}

impl Op {
    fn bytes(&self) -> usize {
        match self {
            Self::Append { rows, .. } => rows.iter().map(|row| row.payload.len()).sum(),
            Self::Snapshot { snapshot, .. } => snapshot.bytes.len(),
            Self::Vote { .. }
            | Self::Truncate { .. }
            | Self::Floor { .. }
            | Self::Epoch { .. }
            | Self::Redact { .. }
            | Self::Beat { .. }
            | Self::Close { .. } => 0,
        }
    }
}
