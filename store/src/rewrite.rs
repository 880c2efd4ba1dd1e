//! Redaction: writes the log's file anew without the erased values, then puts the new file in the place of the old.
//! Overwriting only the row would not do: the database copies pages on every change, so remains of older copies
//! lie anywhere in its free pages, in parts, and cannot be found again by what they held. For the same reason the old
//! file is overwritten as a whole before it is removed: its blocks would keep all of that until something else needs them.

use std::collections::BTreeMap;

use redb::{Durability, ReadableTable};
use skein_events::record::{BatchBytes, Position};
use tokio::sync::oneshot;

use crate::error::Error;
use crate::failpoint::failpoint;
use crate::log::{self, Limit, Log};
use crate::row::Row;
use crate::table::entries::{BASES, ENTRIES, MEMBERSHIPS};
use crate::table::meta::{self, META};
use crate::table::snapshots::{HEADS, PARTS};
use crate::writer::Writer;

/// The file under construction, and after the exchange the old one until it is erased. One that is there when the log is
/// opened is left from a crash and erased.
pub(crate) const FILE: &str = "log.new";
/// Rows in one transaction of the copy.
const CHUNK: u64 = 4096;

type Asked = (Position, oneshot::Sender<Result<(), Error>>);

/// Erases the detachable parts of the records at these positions, in one rewrite.
pub(crate) async fn redact(writer: &Writer, log: &Log, asked: Vec<Asked>) -> Result<(), Error> {
    let mut rows: BTreeMap<u64, Row> = BTreeMap::new();
    let mut told = Vec::new();
    let mut first = Position(u64::MAX);
    for (position, done) in asked {
        match erased(log, &rows, position) {
            Ok(row) => {
                rows.insert(row.index, row);
                first = first.min(position);
                told.push(done);
            }
            Err(error) => drop(done.send(Err(error))),
        }
    }
    if rows.is_empty() {
        return Ok(());
    }
    writer.disk.erase(FILE)?;
    let copied = log::make(writer.disk.as_ref(), FILE, writer.options).and_then(|new| {
        copy(log, &new.database, &rows, first, writer.options.quick_repair)?;
        Ok(new)
    });
    let new = match copied {
        Ok(new) => new,
        Err(error) if error.is_full() => {
            // The log stays as it is; what was ordered is done by the next start that has the space.
            writer.disk.erase(FILE)?;
            told.into_iter().for_each(|done| drop(done.send(Err(Error::Full))));
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    failpoint("redact.before-replace");
    writer.disk.swap(FILE, log::FILE)?;
    failpoint("redact.after-replace");
    let unused = log.exchange(Some(new));
    for row in rows.into_values() {
        log.recent().replace(row);
    }
    if let Some(unused) = unused {
        // Nobody sends: it ends with the last reader, who would find zeros otherwise.
        let _ = unused.await;
    }
    writer.disk.erase(FILE)?;
    failpoint("redact.overwritten");
    told.into_iter().for_each(|done| drop(done.send(Ok(()))));
    Ok(())
}

/// The row that holds a position, with that record's detachable part erased.
fn erased(log: &Log, done: &BTreeMap<u64, Row>, position: Position) -> Result<Row, Error> {
    let nothing = || Error::NothingToRedact(position);
    let batches = log.read(position, Limit { batches: 1, bytes: 1 })?;
    let batch = batches.first().filter(|batch| batch.first <= position).ok_or_else(nothing)?;
    let index = batch.place.index;
    let row = match done.get(&index) {
        Some(row) => row.clone(),
        None => log.row(index)?.ok_or_else(nothing)?,
    };
    let parts = BatchBytes::parse(&row.payload).expect("the row was checked");
    let n = usize::try_from(position.0 - row.first.0).expect("a batch has few records");
    let erased = parts.redacted(n).ok_or_else(nothing)?;
    let payload = erased.encode().expect("an erased batch is no larger").into();
    Ok(Row { payload, ..row })
}

fn copy(
    log: &Log,
    new: &redb::Database,
    rows: &BTreeMap<u64, Row>,
    first: Position,
    quick_repair: bool,
) -> Result<(), Error> {
    let old = log.transaction()?;
    let source = old.open_table(ENTRIES)?;
    let mut next = source.first()?.map(|(key, _)| key.value());
    while let Some(from) = next {
        let mut transaction = new.begin_write()?;
        transaction.set_durability(Durability::None).expect("this database is ours alone");
        let mut target = transaction.open_table(ENTRIES)?;
        for item in source.range(from..from + CHUNK)? {
            let (key, value) = item?;
            match rows.get(&key.value()) {
                Some(row) => target.insert(key.value(), row.encode().as_slice())?,
                None => target.insert(key.value(), value.value())?,
            };
        }
        drop(target);
        transaction.commit()?;
        next = source.range(from + CHUNK..)?.next().transpose()?.map(|(key, _)| key.value());
    }
    let mut transaction = new.begin_write()?;
    transaction.set_quick_repair(quick_repair);
    {
        let mut bases = transaction.open_table(BASES)?;
        for item in old.open_table(BASES)?.iter()? {
            let (key, value) = item?;
            bases.insert(key.value(), value.value())?;
        }
        let mut memberships = transaction.open_table(MEMBERSHIPS)?;
        for item in old.open_table(MEMBERSHIPS)?.iter()? {
            memberships.insert(item?.0.value(), ())?;
        }
        let meta = meta::get(&old.open_table(META)?)?;
        meta::put(&mut transaction.open_table(META)?, &meta)?;
        // A snapshot taken after the record may hold the value; it can be made again from the entries.
        let (heads, parts) = (old.open_table(HEADS)?, old.open_table(PARTS)?);
        let (mut new_heads, mut new_parts) =
            (transaction.open_table(HEADS)?, transaction.open_table(PARTS)?);
        for item in heads.range(..first.0)? {
            let (key, value) = item?;
            new_heads.insert(key.value(), value.value())?;
            for item in parts.range((key.value(), 0)..=(key.value(), u32::MAX))? {
                let (key, value) = item?;
                new_parts.insert(key.value(), value.value())?;
            }
        }
    }
    Ok(transaction.commit()?)
}
