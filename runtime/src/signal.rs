//! Signals by name and number, as images and users write them.

use std::fmt;
use std::str::FromStr;

/// A signal that exists: 1 to 64.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(try_from = "i32", into = "i32")]
pub struct Signal(i32);

/// Why a text is no signal.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid signal: {0}")]
pub struct InvalidSignal(pub String);

impl Signal {
    /// Asks to end.
    pub const TERM: Self = Self(15);
    /// Ends.
    pub const KILL: Self = Self(9);
    /// The number.
    pub fn number(self) -> i32 {
        self.0
    }
}

/// Linux's names on every architecture we run on but MIPS.
const NAMES: [(&str, i32); 31] = [
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("ILL", 4),
    ("TRAP", 5),
    ("ABRT", 6),
    ("BUS", 7),
    ("FPE", 8),
    ("KILL", 9),
    ("USR1", 10),
    ("SEGV", 11),
    ("USR2", 12),
    ("PIPE", 13),
    ("ALRM", 14),
    ("TERM", 15),
    ("STKFLT", 16),
    ("CHLD", 17),
    ("CONT", 18),
    ("STOP", 19),
    ("TSTP", 20),
    ("TTIN", 21),
    ("TTOU", 22),
    ("URG", 23),
    ("XCPU", 24),
    ("XFSZ", 25),
    ("VTALRM", 26),
    ("PROF", 27),
    ("WINCH", 28),
    ("IO", 29),
    ("PWR", 30),
    ("SYS", 31),
];

impl TryFrom<i32> for Signal {
    type Error = InvalidSignal;
    fn try_from(number: i32) -> Result<Self, InvalidSignal> {
        if (1..=64).contains(&number) {
            Ok(Self(number))
        } else {
            Err(InvalidSignal(number.to_string()))
        }
    }
}

impl From<Signal> for i32 {
    fn from(signal: Signal) -> i32 {
        signal.0
    }
}

impl FromStr for Signal {
    type Err = InvalidSignal;
    /// `SIGTERM`, `term`, `15`, `SIGRTMIN+3`.
    fn from_str(text: &str) -> Result<Self, InvalidSignal> {
        let invalid = || InvalidSignal(text.chars().take(32).collect());
        if let Ok(number) = text.parse::<i32>() {
            return Self::try_from(number).map_err(|_| invalid());
        }
        let upper = text.to_ascii_uppercase();
        let name = upper.strip_prefix("SIG").unwrap_or(&upper);
        if let Some(&(_, number)) = NAMES.iter().find(|(known, _)| *known == name) {
            return Ok(Self(number));
        }
        // The C library keeps 32 and 33 for itself, so the first real-time signal is 34.
        let number = match (name.strip_prefix("RTMIN"), name.strip_prefix("RTMAX")) {
            (Some(""), _) => Some(34),
            (_, Some("")) => Some(64),
            (Some(up), _) => {
                up.strip_prefix('+').and_then(|n| n.parse::<u8>().ok()).map(|n| 34 + i32::from(n))
            }
            (_, Some(down)) => {
                down.strip_prefix('-').and_then(|n| n.parse::<u8>().ok()).map(|n| 64 - i32::from(n))
            }
            (None, None) => None,
        };
        number.filter(|n| (34..=64).contains(n)).map(Self).ok_or_else(invalid)
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match NAMES.iter().find(|(_, number)| *number == self.0) {
            Some((name, _)) => write!(f, "SIG{name}"),
            None => write!(f, "{}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_by_name_and_number() {
        for (text, number) in
            [("SIGTERM", 15), ("term", 15), ("9", 9), ("SIGRTMIN+3", 37), ("RTMAX-1", 63)]
        {
            assert_eq!(text.parse::<Signal>().map(Signal::number), Ok(number), "{text}");
        }
        for text in ["", "0", "65", "SIGNOPE", "RTMIN+99", "-9", "RTMIN+"] {
            assert!(text.parse::<Signal>().is_err(), "{text}");
        }
        assert_eq!(Signal::KILL.to_string(), "SIGKILL");
    }
}
