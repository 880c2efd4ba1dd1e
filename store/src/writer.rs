//! The one writer: drains its queue, commits once, then tells those who wait.
//! An async loop and not a thread, so the simulator can run it on virtual time; the daemon blocks a thread of its own on it.
//!
//! Invariant: nobody is told before the commit that holds his write is durable; after a failed commit nobody is told anything.
//!
//! A full disk is no failed commit: the transaction is dropped and the same writes are tried again, until there is space
//! or the log is closed. Only a failed sync leaves in doubt what is on the disk, and that ends the process.

use std::collections::VecDeque;
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use openraft::storage::IOFlushed;
use skein_events::record::Position;
use tokio::sync::{mpsc, oneshot};

use crate::disk::Disk;
use crate::error::Error;
use crate::failpoint::failpoint;
use crate::log::{self, Log, Options};
use crate::raft::{Types, Vote};
use crate::row::{Kind, Link, Row};
use crate::table::entries::{self, BASES, ENTRIES, MEMBERSHIPS};
use crate::table::meta::{self, META, Meta};
use crate::table::snapshots::{self, HEADS, PARTS, Writing};

/// Operations that may wait: one flight has at most this many entries, and consensus sends one flight at a time.
pub(crate) const QUEUE: usize = 4096;
/// Bytes of entries in one commit; more waits for the next, so a commit stays well below an election timeout.
const COMMIT_BYTES: usize = 16 << 20;
/// A full disk is tried again after so long: soon for a user who has freed space, and no load.
const FULL_RETRY: Duration = Duration::from_millis(500);

/// A write that waits for its turn.
pub(crate) enum Op {
    Append {
        rows: Vec<Row>,
        base: Option<Link>,
        done: IOFlushed<Types>,
    },
    Vote {
        vote: Vote,
        done: oneshot::Sender<()>,
    },
    Truncate {
        from: u64,
        done: oneshot::Sender<Option<Link>>,
    },
    Floor {
        term: u64,
        index: u64,
    },
    Epoch {
        epoch: u64,
        done: oneshot::Sender<()>,
    },
    /// A part of the snapshot at a position, and which; one that gives way is not worth waiting for space.
    Part {
        of: (Position, u32),
        bytes: Bytes,
        gives_way: bool,
        done: oneshot::Sender<()>,
    },
    Snapshot {
        head: snapshots::Head,
        done: oneshot::Sender<()>,
    },
    Redact {
        position: Position,
        done: oneshot::Sender<Result<(), Error>>,
    },
    Beat {
        done: oneshot::Sender<()>,
    },
    Close {
        done: oneshot::Sender<()>,
    },
}

/// See the file's head.
pub struct Writer {
    log: Log,
    queue: mpsc::Receiver<Op>,
    /// What came while the disk was full.
    waiting: VecDeque<Op>,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) options: Options,
    fatal: Box<dyn Fn(&str) + Send + Sync>,
    meta: Meta,
    snapshot: Writing,
}

/// The last entry left by each truncation of a commit, in their order.
type Left = VecDeque<Option<Link>>;

impl Writer {
    pub(crate) fn new(
        log: Log,
        queue: mpsc::Receiver<Op>,
        meta: Meta,
        disk: Arc<dyn Disk>,
        options: Options,
        fatal: Box<dyn Fn(&str) + Send + Sync>,
    ) -> Self {
        Self {
            log,
            queue,
            waiting: VecDeque::new(),
            disk,
            options,
            fatal,
            meta,
            snapshot: Writing::default(),
        }
    }

    /// Writes until the log is closed. Does not return after a failed write, so that nothing behind it is acknowledged.
    pub async fn run(mut self) {
        match self.work().await {
            Ok(closed) => {
                drop(self.log.exchange(None));
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
        while let Some(first) = self.next().await {
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
                next = if more {
                    self.waiting.pop_front().or_else(|| self.queue.try_recv().ok())
                } else {
                    None
                };
            }
            if !ops.is_empty() || close.is_some() {
                let Some(left) = self.committed(&ops, &mut close).await? else {
                    return Ok(close);
                };
                tell(ops, left);
            }
            if !redactions.is_empty() {
                // What was taken before now may hold what is erased.
                self.snapshot.give_up(self.log.head().position);
                crate::rewrite::redact(self, &self.log.clone(), redactions).await?;
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

    async fn next(&mut self) -> Option<Op> {
        match self.waiting.pop_front() {
            Some(op) => Some(op),
            None => self.queue.recv().await,
        }
    }

    /// Commits, however long the disk is full; `None` if the log is closed meanwhile, and then nobody is told.
    async fn committed(
        &mut self,
        ops: &[Op],
        close: &mut Option<oneshot::Sender<()>>,
    ) -> Result<Option<Left>, Error> {
        loop {
            let error = match self.commit(ops) {
                Ok(left) => {
                    if self.log.0.held.swap(false, Ordering::Relaxed) {
                        tracing::warn!("there is space on the disk again: the log goes on");
                    }
                    return Ok(Some(left));
                }
                Err(error) if error.is_full() || matches!(error, Error::Closed) => error,
                Err(error) => return Err(error),
            };
            if !self.log.0.held.swap(true, Ordering::Relaxed) {
                tracing::error!("{error}: nothing is written until there is space on the disk");
            }
            // Entries need the space more.
            for op in ops {
                if let Op::Part { of: (position, _), gives_way: true, .. } = op {
                    self.snapshot.give_up(*position);
                }
            }
            if close.is_some() || !self.wait(close).await {
                return Ok(None);
            }
            self.reopen()?;
        }
    }

    /// Lets some time pass, in which it goes on to say that it lives; `false` if the log is closed.
    async fn wait(&mut self, close: &mut Option<oneshot::Sender<()>>) -> bool {
        #[expect(clippy::disallowed_methods, reason = "nobody tells when a disk has space again")]
        let mut over = std::pin::pin!(tokio::time::sleep(FULL_RETRY));
        loop {
            let op = tokio::select! {
                () = &mut over => return true,
                op = self.queue.recv(), if self.waiting.len() < QUEUE => op,
            };
            match op {
                Some(Op::Beat { done }) => drop(done.send(())),
                Some(Op::Close { done }) => {
                    *close = Some(done);
                    return false;
                }
                Some(op) => self.waiting.push_back(op),
                None => return false,
            }
        }
    }

    /// A database that could not write does nothing more: it is opened anew, as after a crash.
    fn reopen(&mut self) -> Result<(), Error> {
        drop(self.log.exchange(None));
        match log::open_database(self.disk.as_ref(), log::FILE, self.options) {
            Ok(opened) => drop(self.log.exchange(Some(opened))),
            // The commit that comes next finds it closed, and so it is tried again.
            Err(error) if error.is_full() => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// One durable commit for all of them.
    fn commit(&mut self, ops: &[Op]) -> Result<Left, Error> {
        let mut transaction = self.log.with_database(|database| database.begin_write())?;
        transaction.set_quick_repair(self.options.quick_repair);
        let (before, after) = names(ops);
        let (mut end, mut left) = (None, Left::new());
        let mut snapshot = self.snapshot;
        {
            let mut rows = transaction.open_table(ENTRIES)?;
            for op in ops {
                match op {
                    Op::Append { rows: new, base, done: _ } => {
                        if let Some(base) = base {
                            entries::put_base(&mut transaction.open_table(BASES)?, base)?;
                        }
                        for row in new {
                            rows.insert(row.index, row.encode().as_slice())?;
                            if row.kind == Kind::Membership {
                                transaction.open_table(MEMBERSHIPS)?.insert(row.index, ())?;
                            }
                        }
                        end = new.last().map(|row| row.index + 1).or(end);
                    }
                    Op::Vote { vote, done: _ } => self.meta.vote = Some(*vote),
                    Op::Truncate { from, done: _ } => {
                        let from = *from;
                        rows.retain_in(from.., |_, _| false)?;
                        transaction.open_table(BASES)?.retain_in(from.., |_, _| false)?;
                        transaction.open_table(MEMBERSHIPS)?.retain_in(from.., |_, ()| false)?;
                        end = Some(from);
                        left.push_back(entries::end(&rows)?);
                    }
                    Op::Floor { term, index } => self.meta.floor = Some((*term, *index)),
                    Op::Epoch { epoch, done: _ } => self.meta.epoch = *epoch,
                    Op::Part { of, bytes, gives_way: _, done: _ } => {
                        if snapshot.takes(*of) {
                            let mut parts = transaction.open_table(PARTS)?;
                            let heads = transaction.open_table(HEADS)?;
                            snapshots::put_part(&mut parts, &heads, *of, bytes)?;
                        }
                    }
                    Op::Snapshot { head, done: _ } => {
                        if snapshot.is_whole(head) {
                            snapshots::put_head(&mut transaction.open_table(HEADS)?, head)?;
                        }
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
            // What is told after this commit is on no disk yet.
            transaction.set_durability(redb::Durability::None).expect("there are no savepoints");
        }
        transaction.commit()?;
        failpoint(after);
        self.snapshot = snapshot;
        if let Some(end) = end {
            self.log.recent().flushed(end);
        }
        Ok(left)
    }
}

/// Tells those who wait that their writes are durable. Who no longer listens does not need to know.
fn tell(ops: Vec<Op>, mut left: Left) {
    for op in ops {
        match op {
            Op::Append { done, .. } => done.io_completed(Ok(())),
            Op::Vote { done, .. }
            | Op::Epoch { done, .. }
            | Op::Part { done, .. }
            | Op::Snapshot { done, .. }
            | Op::Beat { done }
            | Op::Close { done } => drop(done.send(())),
            Op::Truncate { done, .. } => drop(done.send(left.pop_front().flatten())),
            Op::Redact { done, .. } => drop(done.send(Ok(()))),
            Op::Floor { .. } => {}
        }
    }
}

/// The failpoints around a commit, after what is in it.
fn names(ops: &[Op]) -> (&'static str, &'static str) {
    let has = |wanted: fn(&Op) -> bool| ops.iter().any(wanted);
    if has(|op| matches!(op, Op::Part { .. })) {
        ("snapshot-part.before-fsync", "snapshot-part.after-fsync")
    } else if has(|op| matches!(op, Op::Snapshot { .. })) {
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
            Self::Part { bytes, .. } => bytes.len(),
            Self::Snapshot { .. }
            | Self::Vote { .. }
            | Self::Truncate { .. }
            | Self::Floor { .. }
            | Self::Epoch { .. }
            | Self::Redact { .. }
            | Self::Beat { .. }
            | Self::Close { .. } => 0,
        }
    }
}
