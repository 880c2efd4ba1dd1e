//! What the log says of itself beside its entries: format, epoch, vote, floor, how far it is committed.
//! One sealed value and not a row each: a row that is missing cannot be told from one that was never written, and a
//! forgotten vote would let this manager vote twice.

use redb::{ReadableTable, Table, TableDefinition};
use serde::{Deserialize, Serialize};

use super::{seal, unseal};
use crate::error::Error;
use crate::raft::Vote;

pub(crate) const META: TableDefinition<'static, (), &'static [u8]> = TableDefinition::new("meta");

/// Of the tables' layout and the head of a row.
pub(crate) const FORMAT: u64 = 1;

const NAME: &str = "description of the log";

/// See the file's head.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Meta {
    pub(crate) format: u64,
    pub(crate) epoch: u64,
    pub(crate) vote: Option<Vote>,
    /// What consensus believes is purged, `(term, index)`; the rows are still there.
    pub(crate) floor: Option<(u64, u64)>,
    /// Last `(term, index)` known to be committed when this was written; may lag by one flight, never leads.
    pub(crate) committed: Option<(u64, u64)>,
}

impl Meta {
    pub(crate) const NEW: Self =
        Self { format: FORMAT, epoch: 0, vote: None, floor: None, committed: None };
}

pub(crate) fn get(table: &impl ReadableTable<(), &'static [u8]>) -> Result<Meta, Error> {
    let value = table.get(())?.ok_or(Error::DamagedValue(NAME))?;
    let meta: Meta = unseal(NAME, value.value())?;
    if meta.format == FORMAT {
        Ok(meta)
    } else {
        Err(Error::Format { found: meta.format, known: FORMAT })
    }
}

pub(crate) fn put(table: &mut Table<'_, (), &'static [u8]>, meta: &Meta) -> Result<(), Error> {
    table.insert((), seal(NAME, meta).as_slice())?;
    Ok(())
}
