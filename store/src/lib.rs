//! The log of the swarm: on disk, agreed, and proven whole on every read.
//! A batch is bytes here: the store knows its lengths and its hash, and never what an event means.
//!
//! Invariants: acknowledged is fsynced; a hole is never cut away; bytes are checked against the chain before they are handed out.

#![forbid(unsafe_code)]

pub mod archive;
pub mod disk;
mod error;
pub mod failpoint;
mod log;
pub mod raft;
mod recent;
mod rewrite;
mod row;
mod table;
mod verify;
mod writer;

#[cfg(test)]
mod tests;

pub use disk::{Disk, FileDisk, FrozenDisk, SimDisk};
pub use error::{Damage, Error};
pub use failpoint::failpoint;
pub use log::{FILE, Head, Limit, Log, Options, StoredBatch};
pub use raft::{Delivery, SnapshotSource, Taken};
pub use row::Kind;
pub use table::snapshots::StateSnapshot;
pub use verify::{Bad, Report};
pub use writer::Writer;
