//! The log as everybody but consensus sees it: committed batches by position, pulled at the reader's own pace, on any thread.
//! Opening checks the newest entries and refuses a damaged log; it never cuts one. What a torn write leaves is an
//! uncommitted transaction of the database, which the database drops; so a bad row is never a torn one.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, RwLock};

use bytes::Bytes;
use redb::{Database, ReadTransaction, ReadableDatabase, ReadableTable, TableHandle as _};
use skein_events::record::{Hash, Place, Position};
use tokio::sync::{mpsc, oneshot, watch};

use crate::disk::{Backend, Disk};
use crate::error::Error;
use crate::recent::Recent;
use crate::row::{Kind, Link, Row};
use crate::table::entries::{self, BASES, Budget, ENTRIES, MEMBERSHIPS};
use crate::table::meta::{self, META, Meta};
use crate::table::snapshots::{self, HEADS, PARTS, StateSnapshot};
use crate::writer::{Op, QUEUE, Writer};

/// Name of the log's file on its disk.
pub const FILE: &str = "log.redb";
/// Rows checked when the log is opened: what the last seconds before a crash can have written.
const CHECKED_AT_OPEN: u64 = 256;
/// Rows read from disk at once on behalf of one caller; bounds memory whatever the caller asks for.
const CHUNK: Budget = Budget { rows: 1024, bytes: 4 << 20 };

/// How the log is kept. The defaults are what docs/adr/0002-log-file.md decided.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Commit in two phases and keep the allocator's state, so that reopening after a crash is quick at any size.
    pub quick_repair: bool,
    /// Page cache of the database, in bytes.
    pub cache: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { quick_repair: true, cache: 2 << 20 }
    }
}

/// A handle on the log; clones share it.
#[derive(Clone, Debug)]
pub struct Log(pub(crate) Arc<Inner>);

#[derive(Debug)]
pub(crate) struct Inner {
    /// Replaced as a whole when a redaction rewrites the file; gone when the log is closed.
    pub(crate) database: RwLock<Option<Opened>>,
    pub(crate) recent: Mutex<Recent>,
    pub(crate) head: watch::Sender<Head>,
    pub(crate) queue: mpsc::Sender<Op>,
    /// The disk is full, and what is queued waits for space.
    pub(crate) held: AtomicBool,
}

/// Where the readable history ends: the last record that is committed and handed to the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The last record; @0 if there is none.
    pub position: Position,
    /// Hash of the entry that holds it; with the position it makes a cursor.
    pub h: Hash,
    /// Index of the last entry handed on, which may hold no records; `None` before the first.
    pub index: Option<u64>,
}

/// A file of the log, opened.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) database: Database,
    /// Ends when neither the database nor a reader of it is left.
    unused: oneshot::Receiver<()>,
}

/// One committed batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredBatch {
    /// Its place in the consensus log.
    pub place: Place,
    /// Position of its first record.
    pub first: Position,
    /// How many records it holds.
    pub count: u32,
    /// Hash of its entry.
    pub h: Hash,
    /// The batch, see `skein_events::record`.
    pub bytes: Bytes,
}

impl StoredBatch {
    /// Position of its last record.
    pub fn last(&self) -> Position {
        Position(self.first.0 + u64::from(self.count) - 1)
    }
}

/// How much one read returns; the first batch always fits.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    /// Batches.
    pub batches: usize,
    /// Bytes of batches.
    pub bytes: usize,
}

impl Default for Limit {
    fn default() -> Self {
        Self { batches: 256, bytes: 1 << 20 }
    }
}

impl Log {
    /// Opens the log of a disk, or makes an empty one. The `Writer` must run for anything to be written;
    /// `fatal` is told once if a write fails, and must end the process: nothing is acknowledged after it.
    pub fn open(
        disk: Arc<dyn Disk>,
        options: Options,
        fatal: impl Fn(&str) + Send + Sync + 'static,
    ) -> Result<(Self, Writer), Error> {
        disk.erase(crate::rewrite::FILE)?;
        if !disk.exists(FILE)? {
            // Made under another name, so that a file of this name always has its tables, and one that seems to have none is damaged.
            drop(make(disk.as_ref(), crate::rewrite::FILE, options)?);
            disk.replace(crate::rewrite::FILE, FILE)?;
        }
        let opened = open_database(disk.as_ref(), FILE, options)?;
        add_tables(&opened.database, options)?;
        let transaction = opened.database.begin_read()?;
        let known = Known::read(&transaction)?;
        let head = known.head(&transaction)?;
        drop(transaction);
        let (queue, operations) = mpsc::channel(QUEUE);
        let log = Self(Arc::new(Inner {
            database: RwLock::new(Some(opened)),
            recent: Mutex::new(known.recent()),
            head: watch::Sender::new(head),
            queue,
            held: AtomicBool::new(false),
        }));
        let writer =
            Writer::new(log.clone(), operations, known.meta, disk, options, Box::new(fatal));
        Ok((log, writer))
    }

    /// Where the readable history ends.
    pub fn head(&self) -> Head {
        *self.0.head.borrow()
    }

    /// As `head`, to wait for more.
    pub fn watch_head(&self) -> watch::Receiver<Head> {
        self.0.head.subscribe()
    }

    /// The batch that holds `from` and those after it, in order, as far as the limit allows; none if `from` is not there yet.
    pub fn read(&self, from: Position, limit: Limit) -> Result<Vec<StoredBatch>, Error> {
        let head = self.head();
        let Some(last) = head.index.filter(|_| from <= head.position) else {
            return Ok(Vec::new());
        };
        let Some(mut next) = self.find(from, last)? else { return Ok(Vec::new()) };
        let (mut batches, mut bytes) = (Vec::new(), 0);
        while next <= last && batches.len() < limit.batches && bytes < limit.bytes {
            let budget = Budget {
                rows: CHUNK.rows.min(limit.batches - batches.len()),
                bytes: CHUNK.bytes.min(limit.bytes - bytes),
            };
            let rows = self.rows(next..last + 1, budget)?;
            let Some(end) = rows.last() else { break };
            next = end.index + 1;
            for row in rows.into_iter().filter(|row| row.kind == Kind::Batch) {
                bytes += row.payload.len();
                batches.push(stored(row));
            }
        }
        Ok(batches)
    }

    /// All batches from the one that holds `from` to the head of this moment.
    pub fn batches(
        &self,
        from: Position,
    ) -> impl Iterator<Item = Result<StoredBatch, Error>> + use<> {
        let log = self.clone();
        let end = self.head().position;
        let mut next = from.max(Position(1));
        let mut chunk = Vec::new().into_iter();
        let mut failed = false;
        std::iter::from_fn(move || {
            if let Some(batch) = chunk.next() {
                return Some(Ok(batch));
            }
            if failed || next > end {
                return None;
            }
            match log.read(next, Limit { batches: CHUNK.rows, bytes: CHUNK.bytes }) {
                Ok(batches) => {
                    next = batches.last()?.last().next();
                    chunk = batches.into_iter();
                    chunk.next().map(Ok)
                }
                Err(error) => {
                    failed = true;
                    Some(Err(error))
                }
            }
        })
    }

    /// Hash of the entry that holds a record: what a cursor at that position must show.
    pub fn hash_at(&self, position: Position) -> Result<Option<Hash>, Error> {
        let head = self.head();
        if position == head.position {
            return Ok(Some(head.h));
        }
        Ok(self.read(position, Limit { batches: 1, bytes: 1 })?.first().map(|batch| batch.h))
    }

    /// The epoch of this log; 0 until a fork.
    pub fn epoch(&self) -> Result<u64, Error> {
        let transaction = self.transaction()?;
        Ok(meta::get(&transaction.open_table(META)?)?.epoch)
    }

    /// Durably sets the epoch.
    pub async fn set_epoch(&self, epoch: u64) -> Result<(), Error> {
        self.ask(|done| Op::Epoch { epoch, done }).await
    }

    /// The newest snapshot that holds no record after `position`.
    pub fn snapshot_at_or_before(
        &self,
        position: Position,
    ) -> Result<Option<StateSnapshot>, Error> {
        let transaction = self.transaction()?;
        let head = snapshots::head_at_or_before(&transaction.open_table(HEADS)?, position)?;
        let parts = transaction.open_table(PARTS)?;
        head.map(|head| snapshots::whole(&parts, head)).transpose()
    }

    /// Where the newest snapshot was taken; @0 if there is none.
    pub fn newest_snapshot(&self) -> Result<Position, Error> {
        let heads = self.transaction()?.open_table(HEADS)?;
        Ok(Position(heads.last()?.map_or(0, |(position, _)| position.value())))
    }

    /// Erases the detachable part of a record, with its salt, from the batch, from the file and from memory; the chain
    /// still holds. Snapshots that may hold it are dropped. The file is written anew, so this takes as long as the log is large.
    pub async fn redact(&self, position: Position) -> Result<(), Error> {
        self.ask(|done| Op::Redact { position, done }).await?
    }

    /// Whether the disk is full, so that nothing can be written at present.
    pub fn is_held(&self) -> bool {
        self.0.held.load(Ordering::Relaxed)
    }

    /// Answers when the writer has done what was queued before: it lives, and the disk lets it go on.
    pub async fn beat(&self) -> Result<(), Error> {
        self.ask(|done| Op::Beat { done }).await
    }

    /// Ends the writer after what is queued is durable, and lets go of the disk: every other call fails after it.
    pub async fn close(&self) -> Result<(), Error> {
        self.ask(|done| Op::Close { done }).await
    }

    pub(crate) async fn ask<T>(
        &self,
        op: impl FnOnce(oneshot::Sender<T>) -> Op,
    ) -> Result<T, Error> {
        let (done, answer) = oneshot::channel();
        self.0.queue.send(op(done)).await.map_err(|_| Error::Closed)?;
        answer.await.map_err(|_| Error::Closed)
    }

    pub(crate) fn recent(&self) -> MutexGuard<'_, Recent> {
        self.0.recent.lock().expect("no panic while the recent entries are locked")
    }

    /// Does something with the database, unless the log is closed.
    pub(crate) fn with_database<T, E: Into<Error>>(
        &self,
        work: impl FnOnce(&Database) -> Result<T, E>,
    ) -> Result<T, Error> {
        let opened = self.0.database.read().expect("no panic while the file is exchanged");
        work(&opened.as_ref().ok_or(Error::Closed)?.database).map_err(Into::into)
    }

    /// Puts another file in the place of the present one; `None` closes the log. What it returns ends when nobody reads
    /// the one of before any more, which is soon: no reader waits for anything while it reads.
    pub(crate) fn exchange(&self, opened: Option<Opened>) -> Option<oneshot::Receiver<()>> {
        let mut place = self.0.database.write().expect("no panic while the file is exchanged");
        std::mem::replace(&mut *place, opened).map(|before| before.unused)
    }

    pub(crate) fn transaction(&self) -> Result<ReadTransaction, Error> {
        self.with_database(|database| database.begin_read())
    }

    /// Entries of a range, each checked; fewer if the budget or the log ends first.
    pub(crate) fn rows(&self, range: Range<u64>, budget: Budget) -> Result<Vec<Row>, Error> {
        let (mut newest, from_memory) = {
            // Memory first, disk second: an entry that moves from one to the other in between is seen twice, never missed.
            let recent = self.recent();
            let end = range.end.min(recent.end.index);
            let split = recent.first().clamp(range.start.min(end), end);
            (recent.range(split, end).take(budget.rows).cloned().collect::<Vec<_>>(), split)
        };
        if from_memory <= range.start {
            let mut bytes = 0;
            let fits = newest.iter().take_while(|row| {
                let before = bytes;
                bytes += row.payload.len();
                before < budget.bytes
            });
            let fits = fits.count();
            newest.truncate(fits);
            return Ok(newest);
        }
        let transaction = self.transaction()?;
        let (rows, bases) = (transaction.open_table(ENTRIES)?, transaction.open_table(BASES)?);
        let mut found = entries::read(&rows, &bases, range.start..from_memory, budget)?;
        let bytes: usize = found.iter().map(|row| row.payload.len()).sum();
        if found.last().is_none_or(|row| row.index + 1 == from_memory) && bytes < budget.bytes {
            let left = budget.rows - found.len();
            found.extend(newest.into_iter().take(left));
        }
        Ok(found)
    }

    /// One entry, checked.
    pub(crate) fn row(&self, index: u64) -> Result<Option<Row>, Error> {
        if let Some(row) = self.recent().get(index) {
            return Ok(Some(row.clone()));
        }
        let transaction = self.transaction()?;
        let (rows, bases) = (transaction.open_table(ENTRIES)?, transaction.open_table(BASES)?);
        if rows.get(index)?.is_none() {
            return Ok(None);
        }
        let one = Budget { rows: 1, bytes: 1 };
        Ok(entries::read(&rows, &bases, index..index + 1, one)?.pop())
    }

    /// Index of the first entry, up to `last`, after which the position is in the log.
    pub(crate) fn find(&self, position: Position, last: u64) -> Result<Option<u64>, Error> {
        let transaction = self.transaction()?;
        let rows = transaction.open_table(ENTRIES)?;
        let first = match rows.first()? {
            Some((key, _)) => key.value(),
            None => self.recent().first(),
        };
        let (mut low, mut high) = (first, last);
        while low < high {
            let middle = low + (high - low) / 2;
            let in_memory = self.recent().get(middle).map(Row::link);
            let link = match in_memory {
                Some(link) => link,
                None => entries::link_before_next(&rows, middle, high)?,
            };
            if link.position > position {
                high = middle;
            } else {
                low = (middle + 1).max(link.index);
            }
        }
        Ok(Some(low))
    }

    /// Tells readers that an entry is committed and handed to the state.
    pub(crate) fn advance(&self, index: u64, batch: Option<(Position, Hash)>) {
        self.0.head.send_modify(|head| {
            head.index = Some(index);
            if let Some((position, h)) = batch {
                (head.position, head.h) = (position, h);
            }
        });
    }
}

pub(crate) fn stored(row: Row) -> StoredBatch {
    StoredBatch {
        place: row.place(),
        first: row.first,
        count: row.count,
        h: row.h,
        bytes: row.payload,
    }
}

pub(crate) fn open_database(
    disk: &dyn Disk,
    name: &str,
    options: Options,
) -> Result<Opened, Error> {
    let (backend, unused) = Backend::new(disk.open(name)?);
    let database =
        redb::Builder::new().set_cache_size(options.cache).create_with_backend(backend)?;
    Ok(Opened { database, unused })
}

/// Makes a file with its tables, all empty.
pub(crate) fn make(disk: &dyn Disk, name: &str, options: Options) -> Result<Opened, Error> {
    let opened = open_database(disk, name, options)?;
    let mut transaction = opened.database.begin_write()?;
    transaction.set_quick_repair(options.quick_repair);
    transaction.open_table(ENTRIES)?;
    transaction.open_table(BASES)?;
    transaction.open_table(MEMBERSHIPS)?;
    meta::put(&mut transaction.open_table(META)?, &Meta::NEW)?;
    transaction.commit()?;
    add_tables(&opened.database, options)?;
    Ok(opened)
}

/// Makes the tables of snapshots, which files of before they were written in parts do not have.
fn add_tables(database: &Database, options: Options) -> Result<(), Error> {
    let there = database.begin_read()?.list_tables()?.any(|table| table.name() == PARTS.name());
    if !there {
        let mut transaction = database.begin_write()?;
        transaction.set_quick_repair(options.quick_repair);
        transaction.open_table(HEADS)?;
        transaction.open_table(PARTS)?;
        transaction.commit()?;
    }
    Ok(())
}

/// What a file says when it is opened.
struct Known {
    end: Link,
    detached: bool,
    meta: Meta,
}

impl Known {
    fn recent(&self) -> Recent {
        let Meta { format: _, epoch: _, vote, floor, committed } = self.meta;
        let mut recent = Recent::new(self.end, floor, vote, committed);
        recent.detached = self.detached;
        recent
    }

    fn read(transaction: &ReadTransaction) -> Result<Self, Error> {
        let meta = meta::get(&transaction.open_table(META)?)?;
        let (rows, bases) = (transaction.open_table(ENTRIES)?, transaction.open_table(BASES)?);
        let mut end = entries::end(&rows)?.unwrap_or(Link::GENESIS);
        let from = end.index.saturating_sub(CHECKED_AT_OPEN);
        let first = rows.first()?.map_or(end.index, |(key, _)| key.value()).max(from);
        let all = Budget { rows: usize::MAX, bytes: usize::MAX };
        entries::read(&rows, &bases, first..end.index, all)?;
        let beyond = meta.floor.filter(|(_, index)| *index >= end.index);
        if let Some((term, index)) = beyond {
            end = snapshots::end_at(&transaction.open_table(HEADS)?, index)?.unwrap_or(Link {
                index: index + 1,
                term,
                ..end
            });
        }
        match meta.committed {
            Some((_, committed)) if committed >= end.index => {
                Err(Error::Short { end: end.index, committed })
            }
            _ => Ok(Self { end, detached: beyond.is_some(), meta }),
        }
    }

    /// The last record among the committed entries.
    fn head(&self, transaction: &ReadTransaction) -> Result<Head, Error> {
        let mut head = Head { position: Position(0), h: Hash::default(), index: None };
        let Some((_, index)) = self.meta.committed else { return Ok(head) };
        head.index = Some(index);
        let rows = transaction.open_table(ENTRIES)?;
        for item in rows.range(..=index)?.rev() {
            let (key, value) = item?;
            let row = Row::decode_head(key.value(), value.value())
                .map_err(|what| Error::Damaged { index: key.value(), first: Position(0), what })?;
            if row.kind == Kind::Batch {
                head.position = Position(row.link().position.0 - 1);
                head.h = row.h;
                return Ok(head);
            }
        }
        let heads = transaction.open_table(HEADS)?;
        if let Some(snapshot) = snapshots::head_at_or_before(&heads, Position(u64::MAX))? {
            (head.position, head.h) = (snapshot.position, snapshot.h);
        }
        Ok(head)
    }
}
