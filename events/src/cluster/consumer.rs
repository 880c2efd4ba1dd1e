//! Named readers of the log: how far each has acknowledged what it read, so that it can stop and go on.
//! Part of the swarm's state and not of a connection, because a reader's place has to outlive both.

use crate::name::Name;
use crate::record::Position;
use crate::time::Time;

/// Most consumers: each is kept in the state and in every snapshot.
pub const CONSUMERS_MAX: usize = 1_000;

/// A named reader of the log.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Consumer {
    /// Its name.
    pub name: Name,
    /// The last record it acknowledged: reading goes on after it.
    pub at: Position,
    /// When it last said so, if ever.
    pub acknowledged: Option<Time>,
    /// When it was made.
    pub created: Time,
    /// The last record about it.
    pub last: Position,
}
