//! One field that is not what it was, and how it reads: lengths of time, moments and amounts as people write them.
//! Apart from what is compared, because programs get the numbers and only the line is for people.

use std::fmt::{self, Write as _};

use serde_json::Value;

use crate::time::{Span, Time};

/// One field that is not what it was. As a line: `spec.mode.replicated.replicas: 3 -> 5`; what was not there before,
/// or is not any more, stands alone behind `+` or `-`.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Field {
    /// Where, e.g. `spec.mode.replicated.replicas`.
    pub path: String,
    /// What it was; null if it was not there.
    pub before: Value,
    /// What it is; null if it is not there any more.
    pub after: Value,
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, before, after } = self;
        let unit = Unit::of(path);
        let text = |value| unit.text(value);
        match (before.is_null(), after.is_null()) {
            (true, _) => write!(f, "+ {path}: {}", text(after)),
            (false, true) => write!(f, "- {path}: {}", text(before)),
            (false, false) => write!(f, "{path}: {} -> {}", text(before), text(after)),
        }
    }
}

/// What a number counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Moment,
    Length,
    Bytes,
    Cpus,
    Millionths,
    None,
}

impl Unit {
    /// By the name of the field, which means the same in every noun.
    fn of(path: &str) -> Self {
        match path.rsplit('.').next().unwrap_or(path) {
            "until" | "started" | "ended" | "start_at" | "ran" | "stopping_since" => Self::Moment,
            "delay" | "monitor" | "window" | "node_grace" | "stop_grace" | "interval"
            | "timeout" | "start_period" | "start_interval" => Self::Length,
            "memory" => Self::Bytes,
            "cpus" => Self::Cpus,
            "max_failure_ratio" => Self::Millionths,
            _ => Self::None,
        }
    }

    fn text(self, value: &Value) -> String {
        let number = value.as_u64();
        match (self, number, value) {
            (Self::Moment, Some(nanos), _) => moment(Time(nanos)),
            (Self::Length, Some(nanos), _) => length(Span(nanos)),
            (Self::Bytes, Some(n), _) => bytes(n),
            (Self::Cpus, Some(n), _) => decimal(n, 9),
            (Self::Millionths, Some(n), _) => decimal(n, 6),
            (_, _, Value::String(text)) if is_plain(text) => text.clone(),
            _ => value.to_string(),
        }
    }
}

/// Whether a text needs no quotes to be seen as one word.
fn is_plain(text: &str) -> bool {
    let plain = |c: char| c.is_alphanumeric() || "._:/@=+-,%{}".contains(c);
    !text.is_empty() && text.chars().all(plain)
}

/// A number of parts of one, `digits` of them, without zeros at its end: `0.5`.
fn decimal(parts: u64, digits: u32) -> String {
    let one = 10_u64.pow(digits);
    let width = usize::try_from(digits).expect("a few digits");
    let rest = format!("{:0width$}", parts % one);
    let rest = rest.trim_end_matches('0');
    let point = if rest.is_empty() { "" } else { "." };
    format!("{}{point}{rest}", parts / one)
}

fn length(span: Span) -> String {
    match span.0 {
        0 => "0s".to_owned(),
        // What the coarser form says exactly.
        nanos
            if nanos.is_multiple_of(1_000_000_000)
                || (nanos < 1_000_000_000 && nanos.is_multiple_of(1_000_000)) =>
        {
            span.to_string()
        }
        nanos => format!("{}s", decimal(nanos, 9)),
    }
}

fn bytes(n: u64) -> String {
    const UNITS: [(&str, u32); 4] = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];
    let whole = UNITS.iter().find(|(_, bits)| n > 0 && n.is_multiple_of(1 << bits));
    let large = || UNITS.iter().find(|(_, bits)| n >> bits > 0);
    match (whole, large()) {
        (Some((unit, bits)), _) if n >> bits < 10_000 => format!("{}{unit}", n >> bits),
        (_, Some((unit, bits))) => {
            let thousandths = (u128::from(n) * 1_000) >> bits;
            let thousandths = u64::try_from(thousandths).expect("at most 1000 times what fits");
            format!("{}{unit}", decimal(thousandths, 3))
        }
        _ => format!("{n}B"),
    }
}

/// RFC 3339 in UTC, to the millisecond. The day by Howard Hinnant's `civil_from_days`: years begin in March, so that
/// the leap day is the last of its year.
fn moment(time: Time) -> String {
    let (seconds, millis) = (time.0 / 1_000_000_000, time.0 / 1_000_000 % 1_000);
    let (days, second) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let mut text = format!("{year:04}-{month:02}-{day:02}T");
    let (hour, minute) = (second / 3_600, second / 60 % 60);
    let _ = write!(text, "{hour:02}:{minute:02}:{:02}.{millis:03}Z", second % 60);
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_field_reads_as_people_write_it() {
        let line =
            |path: &str, before, after| Field { path: path.to_owned(), before, after }.to_string();
        for (path, before, after, expected) in [
            ("spec.replicas", json!(3), json!(5), "spec.replicas: 3 -> 5"),
            ("spec.node_grace", json!(null), json!(15_000_000_000_u64), "+ spec.node_grace: 15s"),
            ("restart.delay", json!(0), json!(90_000_000_000_u64), "restart.delay: 0s -> 1m30s"),
            (
                "update.monitor",
                json!(300_000_000),
                json!(1_500_000_000),
                "update.monitor: 300ms -> 1.5s",
            ),
            ("limits.cpus", json!(500_000_000), json!(2_000_000_000), "limits.cpus: 0.5 -> 2"),
            ("limits.memory", json!(67_108_864), json!(null), "- limits.memory: 64MiB"),
            (
                "machine.memory",
                json!(25_276_063_744_u64),
                json!(1_000),
                "machine.memory: 23.54GiB -> 1000B",
            ),
            (
                "update.max_failure_ratio",
                json!(null),
                json!(250_000),
                "+ update.max_failure_ratio: 0.25",
            ),
            ("image", json!("hello:1"), json!("a b"), r#"image: hello:1 -> "a b""#),
            ("args", json!([]), json!(["a"]), r#"args: [] -> ["a"]"#),
            ("labels.delay", json!("5"), json!(""), r#"labels.delay: 5 -> """#),
        ] {
            assert_eq!(line(path, before, after), expected);
        }
    }

    #[test]
    fn moments_are_days_of_the_calendar() {
        for (nanos, expected) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000_000_000, "2000-02-29T00:00:00.000Z"),
            (1_709_164_800_000_000_000, "2024-02-29T00:00:00.000Z"),
            (1_735_689_599_999_000_000, "2024-12-31T23:59:59.999Z"),
            (1_795_402_747_120_000_000, "2026-11-23T02:59:07.120Z"),
            (4_107_542_400_000_000_000, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(moment(Time(nanos)), expected);
        }
    }
}
