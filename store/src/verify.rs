//! Checks the whole history: every hash from the first entry to the last, and that nothing is missing in between.

use redb::ReadableTable;
use skein_events::record::{Hash, Position};

use crate::error::{Damage, Error};
use crate::log::Log;
use crate::row::Link;
use crate::table::entries::{self, BASES, Budget, ENTRIES};

/// Rows checked in one transaction: the database can free old pages between two.
const CHUNK: Budget = Budget { rows: 4096, bytes: 8 << 20 };

/// What `verify` found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Entries that are whole, including those without records.
    pub entries: u64,
    /// Records in them.
    pub records: u64,
    /// The last record that is proven.
    pub last: Position,
    /// The chain after the last whole entry.
    pub h: Hash,
    /// Index of the first entry that is here; more than 0 if older history came as a snapshot.
    pub first_index: u64,
    /// The first entry that is not whole.
    pub bad: Option<Bad>,
}

/// An entry that is not whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bad {
    /// Its index.
    pub index: u64,
    /// Position its first record has.
    pub first: Position,
    /// What is wrong with it.
    pub what: Damage,
}

impl Log {
    /// Checks all that is on disk; calls `progress` with (checked, all) entries now and then.
    pub fn verify(&self, mut progress: impl FnMut(u64, u64)) -> Result<Report, Error> {
        let (first, end) = {
            let transaction = self.transaction()?;
            let rows = transaction.open_table(ENTRIES)?;
            let first = rows.first()?.map_or(0, |(key, _)| key.value());
            (first, entries::end(&rows)?.map_or(first, |link| link.index))
        };
        let mut report = Report {
            entries: 0,
            records: 0,
            last: Position(0),
            h: Link::GENESIS.h,
            first_index: first,
            bad: None,
        };
        let mut next = first;
        while next < end {
            let transaction = self.transaction()?;
            let (rows, bases) = (transaction.open_table(ENTRIES)?, transaction.open_table(BASES)?);
            match entries::read(&rows, &bases, next..end, CHUNK) {
                Ok(read) => {
                    for row in &read {
                        report.entries += 1;
                        report.records += u64::from(row.count);
                        report.last = Position(row.link().position.0 - 1);
                        report.h = row.h;
                    }
                    let Some(last) = read.last() else { break };
                    next = last.index + 1;
                }
                Err(Error::Damaged { index, first, what }) => {
                    // Count what is whole before it, then name it.
                    let before =
                        entries::read(&rows, &bases, next..index, CHUNK).unwrap_or_default();
                    report.entries += u64::try_from(before.len()).unwrap_or(0);
                    report.records += before.iter().map(|row| u64::from(row.count)).sum::<u64>();
                    if let Some(row) = before.last() {
                        report.last = Position(row.link().position.0 - 1);
                        report.h = row.h;
                    }
                    report.bad = Some(Bad { index, first, what });
                    return Ok(report);
                }
                Err(error) => return Err(error),
            }
            progress(next - first, end - first);
        }
        Ok(report)
    }
}
