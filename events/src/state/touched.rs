//! Which objects records were about, so that planning costs what changed and not the whole swarm.

use std::collections::BTreeSet;

use crate::id::ObjectId;

/// A set of objects to look at again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Touched {
    /// These.
    Objects(BTreeSet<ObjectId>),
    /// Every object there is: a new leader, or a test.
    Everything,
    /// Nobody will plan: pure replay.
    Ignored,
}

impl Default for Touched {
    fn default() -> Self {
        Self::Objects(BTreeSet::new())
    }
}

impl Touched {
    /// Adds one object.
    pub fn add(&mut self, object: ObjectId) {
        match self {
            Self::Objects(set) => {
                set.insert(object);
            }
            Self::Everything | Self::Ignored => {}
        }
    }
    /// Adds all of another set.
    pub fn merge(&mut self, other: Self) {
        match (&mut *self, other) {
            (_, Self::Ignored) => {}
            (Self::Objects(mine), Self::Objects(theirs)) => mine.extend(theirs),
            (_, Self::Everything) => *self = Self::Everything,
            (Self::Everything | Self::Ignored, Self::Objects(_)) => {}
        }
    }
    /// Whether there is nothing to look at.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Objects(set) => set.is_empty(),
            Self::Everything => false,
            Self::Ignored => true,
        }
    }
}
