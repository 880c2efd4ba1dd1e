//! Ages, sizes and order as Docker's client shows them.
//! Pure functions, so that tables can be checked to the letter.

use std::cmp::Ordering;

use jiff::Timestamp;
use skein_events::time::Span;
use skein_events::unit::Bytes;

/// How long before `now` the RFC 3339 time `then` was, in Docker's words, `ago` included; empty when it is no time.
pub(crate) fn ago(then: &str, now: Timestamp) -> String {
    match then.parse::<Timestamp>() {
        Ok(then) => {
            let seconds = u64::try_from(now.as_second() - then.as_second()).unwrap_or(0);
            format!("{} ago", Span::seconds(seconds).roughly().to_lowercase())
        }
        Err(_) => String::new(),
    }
}

/// A length of time in nanoseconds, in Docker's words: `3 months`.
pub(crate) fn span(nanos: i64) -> String {
    Span(u64::try_from(nanos).unwrap_or(0)).roughly().to_lowercase()
}

/// An image's name without the digest it is held to, unless `whole` or there is no other name.
pub(crate) fn image(name: &str, whole: bool) -> &str {
    match name.rsplit_once('@') {
        Some((tagged, _))
            if !whole && tagged.rsplit('/').next().is_some_and(|n| n.contains(':')) =>
        {
            tagged
        }
        _ => name,
    }
}

/// A time in nanoseconds as Go writes it: `1m30s`, `1.5s`, `300ms`.
pub(crate) fn duration(nanos: i64) -> String {
    let fraction = |whole: i64, unit: i64| {
        let digits = unit.ilog10() as usize;
        let rest = format!("{:0digits$}", whole % unit);
        let rest = rest.trim_end_matches('0');
        let point = if rest.is_empty() { "" } else { "." };
        format!("{}{point}{rest}", whole / unit)
    };
    match nanos {
        0 => "0s".to_owned(),
        _ if nanos < 1_000 => format!("{nanos}ns"),
        _ if nanos < 1_000_000 => format!("{}µs", fraction(nanos, 1_000)),
        _ if nanos < 1_000_000_000 => format!("{}ms", fraction(nanos, 1_000_000)),
        _ => {
            let minutes = nanos / 60_000_000_000;
            let seconds = fraction(nanos % 60_000_000_000, 1_000_000_000);
            match (minutes / 60, minutes % 60) {
                (0, 0) => format!("{seconds}s"),
                (0, minutes) => format!("{minutes}m{seconds}s"),
                (hours, minutes) => format!("{hours}h{minutes}m{seconds}s"),
            }
        }
    }
}

/// Processors from billionths: `0.5`, `2`.
pub(crate) fn cpus(nanos: i64) -> String {
    let rest = format!("{:09}", nanos % 1_000_000_000);
    let rest = rest.trim_end_matches('0');
    let point = if rest.is_empty() { "" } else { "." };
    format!("{}{point}{rest}", nanos / 1_000_000_000)
}

/// Bytes in decimal units with three digits: `1.98MB`.
pub(crate) fn size(bytes: i64) -> String {
    Bytes(u64::try_from(bytes).unwrap_or(0)).decimal()
}

/// Bytes in binary units with four digits: `23.54GiB`.
pub(crate) fn memory(bytes: i64) -> String {
    const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let bytes = u64::try_from(bytes).unwrap_or(0);
    let unit =
        (0..UNITS.len() - 1).find(|n| bytes >> (10 * (n + 1)) == 0).unwrap_or(UNITS.len() - 1);
    let (whole, divisor) = (bytes >> (10 * unit), 1u128 << (10 * unit));
    let digits = match whole {
        0..10 => 3,
        10..100 => 2,
        100..1000 => 1,
        _ => 0,
    };
    let scale = 10u128.pow(digits);
    let scaled = (u128::from(bytes) * scale * 2 / divisor).div_ceil(2);
    let (front, back) = (scaled / scale, scaled % scale);
    let width = usize::try_from(digits).expect("digits is at most 3");
    let fraction = format!("{back:0width$}");
    let fraction = fraction.trim_end_matches('0');
    let point =
        if digits == 0 || fraction.is_empty() { String::new() } else { format!(".{fraction}") };
    format!("{front}{point}{}", UNITS[unit])
}

/// The first twelve characters of an id, with the name of its hash taken off.
pub(crate) fn short(id: &str, whole: bool) -> String {
    if whole {
        return id.to_owned();
    }
    id.strip_prefix("sha256:").unwrap_or(id).chars().take(12).collect()
}

/// A word with a capital.
pub(crate) fn title(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

/// Order in which `web.2` stands before `web.10`.
pub(crate) fn natural(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a, b);
    loop {
        let (left, right) = (digits(a), digits(b));
        if left > 0 && right > 0 {
            let (x, y) = (a[..left].trim_start_matches('0'), b[..right].trim_start_matches('0'));
            let order = x.len().cmp(&y.len()).then_with(|| x.cmp(y)).then(left.cmp(&right));
            if order.is_ne() {
                return order;
            }
            (a, b) = (&a[left..], &b[right..]);
            continue;
        }
        let (mut rest_a, mut rest_b) = (a.chars(), b.chars());
        match (rest_a.next(), rest_b.next()) {
            (None, None) => return Ordering::Equal,
            (x, y) if x != y => return x.cmp(&y),
            _ => (a, b) = (rest_a.as_str(), rest_b.as_str()),
        }
    }
}

fn digits(text: &str) -> usize {
    text.bytes().take_while(u8::is_ascii_digit).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_amounts_are_as_go_writes_them() {
        for (nanos, text) in [
            (0, "0s"),
            (300_000_000, "300ms"),
            (1_500_000, "1.5ms"),
            (1_000_000_000, "1s"),
            (90_000_000_000, "1m30s"),
            (3_600_000_000_000, "1h0m0s"),
            (5_250_000_000, "5.25s"),
        ] {
            assert_eq!(duration(nanos), text);
        }
        assert_eq!((cpus(100_000_000), cpus(2_000_000_000)), ("0.1".into(), "2".into()));
        for (bytes, text) in [
            (67_108_864, "64MiB"),
            (1_610_612_736, "1.5GiB"),
            (1000, "1000B"),
            (1_234_567, "1.177MiB"),
        ] {
            assert_eq!(memory(bytes), text);
        }
    }

    #[test]
    fn an_image_is_shown_by_its_tag() {
        for (name, short) in [
            ("bb:1", "bb:1"),
            ("bb:1@sha256:00", "bb:1"),
            ("127.0.0.1:5000/bb@sha256:00", "127.0.0.1:5000/bb@sha256:00"),
            ("127.0.0.1:5000/bb:1@sha256:00", "127.0.0.1:5000/bb:1"),
        ] {
            assert_eq!((image(name, false), image(name, true)), (short, name));
        }
    }

    #[test]
    fn memory_has_four_digits() {
        for (bytes, text) in [
            (0, "0B"),
            (1023, "1023B"),
            (8 << 30, "8GiB"),
            (25_276_063_744, "23.54GiB"),
            (268_435_456_000, "250GiB"),
            (1_610_612_736, "1.5GiB"),
        ] {
            assert_eq!(memory(bytes), text);
        }
    }

    #[test]
    fn numbers_in_names_are_ordered_as_numbers() {
        let mut names = ["web.10", "web.2", "web", "api.1", "web.02"];
        names.sort_by(|a, b| natural(a, b));
        assert_eq!(names, ["api.1", "web", "web.2", "web.02", "web.10"]);
    }
}
