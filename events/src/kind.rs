//! Kinds of events by number and name. The number is on disk; the name is what users filter by.

use std::fmt;

/// The number of an event's kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kind {
    /// As on disk.
    pub code: u16,
    /// Version of the payload that is written now.
    pub version: u16,
    /// As users see it: `task.assigned`.
    pub name: &'static str,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}
