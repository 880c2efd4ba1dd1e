//! Amounts and pairs as users type them for Docker: `1m30s`, `64M`, `0.5`, `key=value`.
//! Pure functions from text, used as clap value parsers, so a mistake is a usage error that names the option.

use std::num::IntErrorKind;

use skein_events::unit::{Bytes, InvalidBytes};

/// `KEY=VALUE`; the key must not be empty.
pub(crate) fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("expected KEY=VALUE".to_owned()),
    }
}

/// A label: `KEY` or `KEY=VALUE`.
pub(crate) fn label(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').unwrap_or((text, ""));
    if key.is_empty() {
        Err("a label needs a key".to_owned())
    } else if key.contains(char::is_whitespace) {
        // Docker's words.
        Err(format!("label '{key}' contains whitespaces"))
    } else {
        Ok((key.to_owned(), value.to_owned()))
    }
}

/// Nanoseconds of a duration made of numbers with units, largest first or not: `300ms`, `1.5h`, `2m30s`; a bare `0` too.
pub(crate) fn duration(text: &str) -> Result<i64, String> {
    const WRONG: &str =
        "a duration is a number with a unit (ns, us, ms, s, m, h), like 300ms, 10s or 1m30s";
    if text == "0" {
        return Ok(0);
    }
    let mut rest = text;
    let mut total: i64 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or(WRONG)?;
        let (number, tail) = rest.split_at(digits);
        let letters = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        let unit = match unit {
            "ns" => 1,
            "us" | "µs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return Err(WRONG.to_owned()),
        };
        let part = scaled(number, unit).ok_or(WRONG)?;
        total = total.checked_add(part).ok_or("the duration is too long")?;
        rest = tail;
    }
    if text.is_empty() { Err(WRONG.to_owned()) } else { Ok(total) }
}

/// A time: RFC 3339, or a date with or without a time of day, which is then this machine's, as Docker's client has it.
pub(crate) fn time(text: &str) -> Option<jiff::Timestamp> {
    if let Ok(time) = text.parse::<jiff::Timestamp>() {
        return Some(time);
    }
    let local: jiff::civil::DateTime = text.parse().ok()?;
    jiff::tz::TimeZone::system().to_timestamp(local).ok()
}

/// Yes or no as Go reads them.
pub(crate) fn yes_or_no(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err("expected true or false".to_owned()),
    }
}

/// A part of a whole, from 0 to 1.
pub(crate) fn ratio(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(ratio) if (0.0..=1.0).contains(&ratio) => Ok(ratio),
        _ => Err("a ratio is a number from 0 to 1, like 0.25".to_owned()),
    }
}

/// Words of a command as a shell splits them: blanks, both kinds of quotes, backslashes; no expansion.
pub(crate) fn words(text: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match (letter, quote) {
            (_, Some(open)) if letter == open => quote = None,
            ('\\', None | Some('"')) => word.get_or_insert_default().extend(letters.next()),
            ('\'' | '"', None) => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (' ' | '\t', None) => words.extend(word.take()),
            _ => word.get_or_insert_default().push(letter),
        }
    }
    if quote.is_some() {
        return Err(format!("a quote has no end in: {text}"));
    }
    words.extend(word);
    Ok(words)
}

/// Bytes of an amount of memory: `64M`, `1.5g`, `512MiB`, `1048576`.
pub(crate) fn memory(text: &str) -> Result<i64, String> {
    let Bytes(bytes) = text.parse().map_err(|error: InvalidBytes| error.to_string())?;
    i64::try_from(bytes).map_err(|_| format!("{text} is more than there can be"))
}

/// Billionths of a processor: `0.5`, `2`.
pub(crate) fn cpus(text: &str) -> Result<i64, String> {
    let wrong = || "processors are a number like 0.5 or 2".to_owned();
    let amount = scaled(text, 1_000_000_000).ok_or_else(wrong)?;
    // Less than a billionth would be no limit at all.
    if amount == 0 && text.bytes().any(|digit| (b'1'..=b'9').contains(&digit)) {
        return Err(format!("{text} is too precise: nine digits after the point count"));
    }
    Ok(amount)
}

/// A replica count of at least zero.
pub(crate) fn replicas(text: &str) -> Result<i64, String> {
    text.parse::<u32>().map(i64::from).map_err(|error| match error.kind() {
        IntErrorKind::PosOverflow => format!("too many replicas: {text}"),
        _ => format!("invalid replicas value {text}: a whole number from 0"),
    })
}

/// A decimal number times `unit`.
fn scaled(number: &str, unit: u64) -> Option<i64> {
    skein_events::unit::scaled(number, unit).and_then(|amount| i64::try_from(amount).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_be_dropped_in_silence_is_refused() {
        assert_eq!(cpus("0.000000001"), Ok(1));
        assert_eq!(cpus("0"), Ok(0));
        assert!(cpus("0.0000000001").unwrap_err().contains("too precise"));
        assert!(label("a b=c").unwrap_err().contains("whitespaces"));
        assert_eq!(label("a=b c"), Ok(("a".to_owned(), "b c".to_owned())));
    }

    #[test]
    fn durations_are_read_as_go_writes_them() {
        for (text, nanos) in [
            ("0", 0),
            ("5s", 5_000_000_000),
            ("1m30s", 90_000_000_000),
            ("1.5h", 5_400_000_000_000),
            ("300ms", 300_000_000),
            (".5s", 500_000_000),
        ] {
            assert_eq!(duration(text), Ok(nanos), "{text}");
        }
        for wrong in ["", "5", "s", "5 s", "-5s", "1d", "99999999h"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig { failure_persistence: None, ..Default::default() })]

        #[test]
        fn any_text_is_an_amount_or_refused(
            text: String,
            near in "[0-9.]{0,22}(ns|us|µs|ms|s|m|h|k|M|GiB|é)?[0-9.]{0,3}[smh]?",
        ) {
            for text in [&text, &near] {
                drop((duration(text), memory(text), cpus(text), ratio(text), replicas(text)));
                drop((key_value(text), label(text), yes_or_no(text)));
            }
        }

        #[test]
        fn words_are_read_as_they_were_quoted(text: String, said in proptest::collection::vec(".{0,8}", 0..5)) {
            drop(words(&text));
            let quoted: Vec<_> =
                said.iter().map(|word| format!("'{}'", word.replace('\'', r"'\''"))).collect();
            proptest::prop_assert_eq!(words(&quoted.join(" ")), Ok(said));
        }
    }

    #[test]
    fn commands_are_split_like_a_shell_does() {
        let split = |text| words(text).unwrap();
        assert_eq!(split("/bin/sh -c 'echo  \"a b\"'"), ["/bin/sh", "-c", "echo  \"a b\""]);
        assert_eq!(split(r#"a\ b "c\"d" '' e"#), ["a b", "c\"d", "", "e"]);
        assert!(words("'open").is_err());
    }

    #[test]
    fn memory_and_cpus_are_exact() {
        assert_eq!(memory("64M"), Ok(67_108_864));
        assert_eq!(memory("1.5g"), Ok(1_610_612_736));
        assert_eq!(memory("1048576"), Ok(1_048_576));
        assert_eq!(memory("512MiB"), Ok(536_870_912));
        assert!(memory("lots").is_err());
        assert_eq!(cpus("0.1"), Ok(100_000_000));
        assert_eq!(cpus("2"), Ok(2_000_000_000));
        assert!(cpus(".").is_err());
    }
}
