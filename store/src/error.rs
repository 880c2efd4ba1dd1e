//! What can go wrong with the log, and how it is said to the user.
//! One type for the whole crate: every caller either ends the process or prints it.

use std::io;

use skein_events::record::{Malformed, Position};

/// Why an entry is not what was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// Its first bytes are not those of an entry.
    #[error("its head is unreadable")]
    Head,
    /// It says another place or first position than the entry before it promises.
    #[error("it does not follow the entry before it")]
    Place,
    /// Its batch does not split into records.
    #[error("its batch is unreadable: {0}")]
    Batch(Malformed),
    /// It says another number of records than it holds.
    #[error("its record count is wrong")]
    Count,
    /// Its content or an earlier one was changed.
    #[error("its hash does not match its content and the entry before it")]
    Hash,
    /// Its place in the log is empty although later entries are there.
    #[error("it is missing")]
    Missing,
}

/// The store's errors.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another process has the directory.
    #[error("data root in use: {by} runs on {root}")]
    InUse {
        /// The directory.
        root: String,
        /// Who has it.
        by: String,
    },
    /// A range without a record.
    #[error("there are no records from {from} to {to} here")]
    NoRecords {
        /// Its first position.
        from: Position,
        /// Its last.
        to: Position,
    },
    /// A directory that is to be read and has no log.
    #[error("there is no log in {0}")]
    NoLog(String),
    /// A file of another format, or none of ours.
    #[error("the log is of format {found}, this version reads format {known}")]
    Format {
        /// What the file says.
        found: u64,
        /// What this version reads.
        known: u64,
    },
    /// An entry is damaged or missing; never repaired by cutting the log.
    #[error("log entry {index} (records from {first}) is damaged: {what}")]
    Damaged {
        /// Raft's index of the first bad entry.
        index: u64,
        /// The position its first record has.
        first: Position,
        /// What is wrong.
        what: Damage,
    },
    /// The log is shorter than what is known to have been acknowledged.
    #[error("the log ends before entry {end}, but entries up to {committed} were acknowledged")]
    Short {
        /// Index of the first entry that is not there.
        end: u64,
        /// Index of the last acknowledged entry.
        committed: u64,
    },
    /// A small value beside the log does not match its checksum.
    #[error("the stored {0} is damaged")]
    DamagedValue(&'static str),
    /// No record, or no detachable part, at a position.
    #[error("record {0} has nothing to redact")]
    NothingToRedact(Position),
    /// A copy of the log, which a redaction makes, does not fit.
    #[error("the disk is full: the log cannot be written anew")]
    Full,
    /// The writer has ended.
    #[error("the log is closed")]
    Closed,
    /// The database refused.
    #[error("the log's database failed: {0}")]
    Database(#[from] Box<redb::Error>),
    /// The disk refused.
    #[error("the log's disk failed: {0}")]
    Disk(#[from] std::io::Error),
}

impl Error {
    /// Whether there was no space for what was to be written. Nothing is lost by it: what a transaction had written is dropped.
    pub(crate) fn is_full(&self) -> bool {
        let error = match self {
            Self::Disk(error) => error,
            Self::Database(error) => match &**error {
                redb::Error::Io(error) => error,
                // The list is the library's, and no other entry of it is about the disk.
                _ => return false,
            },
            Self::InUse { .. }
            | Self::NoRecords { .. }
            | Self::NoLog(_)
            | Self::Format { .. }
            | Self::Damaged { .. }
            | Self::Short { .. }
            | Self::DamagedValue(_)
            | Self::NothingToRedact(_)
            | Self::Full
            | Self::Closed => return false,
        };
        matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    }
}

macro_rules! from_redb {
    ($($kind:ident),*) => {$(
        impl From<redb::$kind> for Error {
            fn from(error: redb::$kind) -> Self {
                Self::Database(Box::new(error.into()))
            }
        }
    )*};
}
from_redb!(StorageError, TableError, TransactionError, CommitError, DatabaseError);

impl From<Error> for std::io::Error {
    fn from(error: Error) -> Self {
        Self::other(error)
    }
}
