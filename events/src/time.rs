//! Cluster time and spans, in nanoseconds.
//! Only values: nothing here can ask a clock, because `events/` never learns the present except from a command's context.

use std::fmt;

/// A moment of cluster time: nanoseconds since 1970-01-01T00:00:00Z.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    rkyv::Archive,
    rkyv::Serialize,
    rkyv::Deserialize,
    serde::Serialize,
    serde::Deserialize,
)]
#[serde(transparent)]
pub struct Time(pub u64);

/// A length of time in nanoseconds, as Docker's API writes durations.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    rkyv::Archive,
    rkyv::Serialize,
    rkyv::Deserialize,
    serde::Serialize,
    serde::Deserialize,
)]
#[serde(transparent)]
pub struct Span(pub u64);

impl Time {
    /// This moment and a span later; saturates at the end of time (year 2554).
    pub fn after(self, span: Span) -> Self {
        Self(self.0.saturating_add(span.0))
    }
    /// How long ago `earlier` was; nothing if it was not earlier.
    pub fn since(self, earlier: Self) -> Span {
        Span(self.0.saturating_sub(earlier.0))
    }
}

impl Span {
    /// So many seconds.
    pub const fn seconds(n: u64) -> Self {
        Self(n * 1_000_000_000)
    }
    /// So many milliseconds.
    pub const fn millis(n: u64) -> Self {
        Self(n * 1_000_000)
    }
    /// For timers of the hands.
    pub fn as_std(self) -> std::time::Duration {
        std::time::Duration::from_nanos(self.0)
    }
}

impl fmt::Display for Span {
    /// As Go prints durations, coarsely: `5s`, `100ms`, `2m0s`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, millis) = (self.0 / 1_000_000_000, self.0 / 1_000_000 % 1000);
        match (seconds, millis) {
            (0, _) => write!(f, "{millis}ms"),
            (1..60, 0) => write!(f, "{seconds}s"),
            (1..60, _) => write!(f, "{seconds}.{millis:03}s"),
            (60..3600, _) => write!(f, "{}m{}s", seconds / 60, seconds % 60),
            _ => write!(f, "{}h{}m{}s", seconds / 3600, seconds / 60 % 60, seconds % 60),
        }
    }
}
