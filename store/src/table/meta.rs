//! The named single values: format, epoch, vote, floors, the last index known to be committed.

use redb::{ReadableTable, Table, TableDefinition};
use serde::{Serialize, de::DeserializeOwned};

use super::{seal, unseal};
use crate::error::Error;

pub(crate) const META: TableDefinition<'static, &'static str, &'static [u8]> =
    TableDefinition::new("meta");

/// Of the tables' layout and the head of a row.
pub(crate) const FORMAT: u64 = 1;

pub(crate) const KEY_FORMAT: &str = "format";
pub(crate) const KEY_EPOCH: &str = "epoch";
pub(crate) const KEY_VOTE: &str = "vote";
/// What consensus believes is purged, `(term, index)`; the rows are still there.
pub(crate) const KEY_RAFT_FLOOR: &str = "raft floor";
/// Last `(term, index)` known to be committed when the value was written; may lag by one flight, never leads.
pub(crate) const KEY_COMMITTED: &str = "committed";

pub(crate) fn get<T: DeserializeOwned>(
    table: &impl ReadableTable<&'static str, &'static [u8]>,
    key: &'static str,
) -> Result<Option<T>, Error> {
    table.get(key)?.map(|value| unseal(key, value.value())).transpose()
}

pub(crate) fn put<T: Serialize>(
    table: &mut Table<'_, &'static str, &'static [u8]>,
    key: &'static str,
    value: &T,
) -> Result<(), Error> {
    table.insert(key, seal(key, value).as_slice())?;
    Ok(())
}
