//! The entries by index, the places where the chain starts anew, and which entries are memberships.
//! Every read here checks each row against the one before it.

use std::ops::Range;

use redb::{ReadableTable, Table, TableDefinition};
use serde::{Deserialize, Serialize};
use skein_events::record::{Hash, Position};

use super::{seal, unseal};
use crate::error::{Damage, Error};
use crate::row::{Link, Row};

pub(crate) type EntriesDefinition = TableDefinition<'static, u64, &'static [u8]>;

/// Index → row.
pub(crate) const ENTRIES: EntriesDefinition = TableDefinition::new("entries");
/// Index → the link before it, for an entry whose predecessor is not here (its history came as a snapshot).
pub(crate) const BASES: EntriesDefinition = TableDefinition::new("bases");
/// Indices of membership entries.
pub(crate) const MEMBERSHIPS: TableDefinition<'static, u64, ()> =
    TableDefinition::new("memberships");

#[derive(Serialize, Deserialize)]
struct Base {
    index: u64,
    term: u64,
    h: Hash,
    position: Position,
}

/// How much one read may return; the first row always fits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget {
    pub(crate) rows: usize,
    pub(crate) bytes: usize,
}

/// Records that the chain starts anew at `link.index`.
pub(crate) fn put_base(
    table: &mut Table<'_, u64, &'static [u8]>,
    link: &Link,
) -> Result<(), Error> {
    let Link { index, term, h, position } = *link;
    let base = Base { index, term, h, position };
    table.insert(index, seal("base", &base).as_slice())?;
    Ok(())
}

fn base(bases: &impl ReadableTable<u64, &'static [u8]>, at: u64) -> Result<Option<Link>, Error> {
    let Some(value) = bases.get(at)? else { return Ok(None) };
    let Base { index, term, h, position } = unseal("base", value.value())?;
    if index == at {
        Ok(Some(Link { index, term, h, position }))
    } else {
        Err(Error::DamagedValue("base"))
    }
}

/// Where the chain stands before the entry at `index`. The row before is read, not checked.
pub(crate) fn link_before(
    entries: &impl ReadableTable<u64, &'static [u8]>,
    bases: &impl ReadableTable<u64, &'static [u8]>,
    index: u64,
) -> Result<Link, Error> {
    if let Some(previous) = index.checked_sub(1)
        && let Some(value) = entries.get(previous)?
    {
        let row = Row::decode_head(previous, value.value()).map_err(|what| Error::Damaged {
            index: previous,
            first: Position(0),
            what,
        })?;
        return Ok(row.link());
    }
    match base(bases, index)? {
        Some(link) => Ok(link),
        None if index == 0 => Ok(Link::GENESIS),
        None => Err(missing(index - 1, Position(0))),
    }
}

fn missing(index: u64, first: Position) -> Error {
    Error::Damaged { index, first, what: Damage::Missing }
}

/// Reads rows in order and checks each. Stops at the end of the range, of the table, or of the budget.
/// A gap without a base is an error, and so is an end before `range.end` (callers know how far the log goes).
pub(crate) fn read(
    entries: &impl ReadableTable<u64, &'static [u8]>,
    bases: &impl ReadableTable<u64, &'static [u8]>,
    range: Range<u64>,
    budget: Budget,
) -> Result<Vec<Row>, Error> {
    let mut rows: Vec<Row> = Vec::new();
    let mut bytes = 0;
    for item in entries.range(range.clone())? {
        let (key, value) = item?;
        let index = key.value();
        let previous = match rows.last().map(Row::link) {
            Some(link) if link.index == index => link,
            None if index == range.start => link_before(entries, bases, index)?,
            before => match base(bases, index)? {
                Some(link) => link,
                None if before.is_none() && index == 0 => Link::GENESIS,
                None => {
                    let first = before.map_or(Position(0), |link| link.position);
                    return Err(missing(before.map_or(range.start, |link| link.index), first));
                }
            },
        };
        let row = Row::decode(index, value.value())
            .and_then(|row| row.check(&previous).map(|()| row))
            .map_err(|what| Error::Damaged { index, first: previous.position, what })?;
        bytes += row.payload.len();
        rows.push(row);
        if rows.len() >= budget.rows || bytes >= budget.bytes {
            return Ok(rows);
        }
    }
    let end = rows.last().map_or(range.start, |row| row.index + 1);
    if end < range.end && base(bases, range.end)?.is_none() {
        return Err(missing(end, rows.last().map_or(Position(0), |row| row.link().position)));
    }
    Ok(rows)
}

/// Where the chain stands at the end of the table.
pub(crate) fn end(entries: &impl ReadableTable<u64, &'static [u8]>) -> Result<Option<Link>, Error> {
    let Some((key, value)) = entries.last()? else { return Ok(None) };
    let row = Row::decode_head(key.value(), value.value()).map_err(|what| Error::Damaged {
        index: key.value(),
        first: Position(0),
        what,
    })?;
    Ok(Some(row.link()))
}

/// Where the chain stands after the first row at or after `index`; none up to `last` counts as the end.
pub(crate) fn link_before_next(
    entries: &impl ReadableTable<u64, &'static [u8]>,
    index: u64,
    last: u64,
) -> Result<Link, Error> {
    let Some(item) = entries.range(index..=last)?.next() else {
        return Ok(Link { index: last, position: Position(u64::MAX), ..Link::GENESIS });
    };
    let (key, value) = item?;
    let row = Row::decode_head(key.value(), value.value()).map_err(|what| Error::Damaged {
        index: key.value(),
        first: Position(0),
        what,
    })?;
    Ok(row.link())
}
