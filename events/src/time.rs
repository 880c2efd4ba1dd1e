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
    /// In Docker's words, coarser the longer it is: `Less than a second`, `18 minutes`, `About an hour`.
    pub fn roughly(self) -> String {
        let seconds = self.0 / 1_000_000_000;
        let minutes = seconds / 60;
        let hours = (minutes + 30) / 60; // Docker rounds hours and nothing else
        match seconds {
            0 => "Less than a second".to_owned(),
            1 => "1 second".to_owned(),
            _ if seconds < 60 => format!("{seconds} seconds"),
            _ if minutes == 1 => "About a minute".to_owned(),
            _ if minutes < 60 => format!("{minutes} minutes"),
            _ if hours == 1 => "About an hour".to_owned(),
            _ if hours < 48 => format!("{hours} hours"),
            _ if hours < 24 * 7 * 2 => format!("{} days", hours / 24),
            _ if hours < 24 * 30 * 2 => format!("{} weeks", hours / 24 / 7),
            _ if hours < 24 * 365 * 2 => format!("{} months", hours / 24 / 30),
            _ => format!("{} years", hours / 24 / 365),
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_are_said_in_dockers_words() {
        let words = [
            (0, "Less than a second"),
            (58, "58 seconds"),
            (90, "About a minute"),
            (18 * 60, "18 minutes"),
            (45 * 60, "45 minutes"),
            (3 * 3600, "3 hours"),
            (50 * 3600, "2 days"),
            (20 * 86_400, "2 weeks"),
        ];
        for (seconds, text) in words {
            assert_eq!(Span::seconds(seconds).roughly(), text);
        }
    }
}
