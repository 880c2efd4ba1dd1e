//! Docker's filters: `{"label":{"a=b":true}}` from Go clients, `{"label":["a=b"]}` from the others.
//! Values of one key are alternatives, different keys must all hold.

use std::collections::BTreeMap;

use regex::{Regex, RegexBuilder};
use serde_json::Value;
use skein_events::time::Time;

use crate::backend::Moment;

use super::error::ApiError;
use super::moment;

/// What a filter that is on or off may say.
pub(crate) const YES_NO: [&str; 4] = ["true", "false", "1", "0"];
/// Most values a query may hold: beyond it a list would cost more than its answer.
const VALUES_MAX: usize = 10_000;
/// Bytes a pattern may be compiled into: any that a person writes; one made to be large is refused.
const PATTERN_MAX: usize = 64 << 10;

/// A query's filters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Filters(BTreeMap<String, Vec<String>>);

/// The part of a query that lists share.
#[derive(Debug, Default, serde::Deserialize)]
pub(crate) struct ListQuery {
    /// Filters as JSON.
    pub(crate) filters: Option<String>,
    /// Whether services come with their progress.
    pub(crate) status: Option<String>,
    /// Whether ended containers are listed too.
    pub(crate) all: Option<String>,
}

/// Alternatives that are regular expressions, as Docker's for names: one that is part of a text or matches a part of it.
/// Made once a list, because making one costs more than asking it.
pub(crate) struct Patterns<'a> {
    literal: &'a [String],
    patterns: Vec<Regex>,
}

impl Patterns<'_> {
    /// Whether one of the alternatives fits; none asked for means everything.
    pub(crate) fn fit(&self, text: &str) -> bool {
        self.literal.is_empty()
            || self.literal.iter().any(|whole| whole == text)
            || self.patterns.iter().any(|pattern| pattern.is_match(text))
    }
}

impl ListQuery {
    /// The filters, all of whose keys are known to the route.
    pub(crate) fn filters(&self, known: &[&str]) -> Result<Filters, ApiError> {
        Filters::parse(self.filters.as_deref().unwrap_or(""), known)
    }
}

/// Docker's idea of yes.
pub(crate) fn truthy(value: Option<&str>) -> bool {
    let value = value.unwrap_or("").to_ascii_lowercase();
    !matches!(value.trim(), "" | "0" | "no" | "false" | "none")
}

impl Filters {
    pub(crate) fn parse(text: &str, known: &[&str]) -> Result<Self, ApiError> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        let invalid =
            |error: &dyn std::fmt::Display| ApiError::invalid(format!("invalid filters: {error}"));
        let raw: BTreeMap<String, Value> =
            serde_json::from_str(text).map_err(|error| invalid(&error))?;
        let mut all = BTreeMap::new();
        for (key, values) in raw {
            if !known.contains(&key.as_str()) {
                let shown: String = key.chars().take(64).collect();
                return Err(ApiError::invalid(format!("Invalid filter '{shown}'")));
            }
            let values: Vec<String> = match values {
                Value::Object(map) => map
                    .into_iter()
                    .filter(|(_, v)| *v == Value::Bool(true))
                    .map(|(k, _)| k)
                    .collect(),
                Value::Array(items) => items
                    .into_iter()
                    .map(|item| match item {
                        Value::String(text) => Ok(text),
                        Value::Bool(_) | Value::Number(_) => Ok(item.to_string()),
                        Value::Null | Value::Array(_) | Value::Object(_) => {
                            Err(invalid(&"a value is no text"))
                        }
                    })
                    .collect::<Result<_, _>>()?,
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                    return Err(invalid(&"each key needs a list of values"));
                }
            };
            if values.len() > VALUES_MAX {
                return Err(invalid(&format!("more than {VALUES_MAX} values")));
            }
            if !values.is_empty() {
                all.insert(key, values);
            }
        }
        Ok(Self(all))
    }

    /// The alternatives of a key; none means everything.
    pub(crate) fn get(&self, key: &str) -> &[String] {
        self.0.get(key).map_or(&[], Vec::as_slice)
    }

    /// Whether the text begins with one of the alternatives.
    pub(crate) fn prefix(&self, key: &str, text: &str) -> bool {
        let wanted = self.get(key);
        wanted.is_empty() || wanted.iter().any(|w| text.starts_with(w.as_str()))
    }

    /// The alternatives of a key as patterns.
    pub(crate) fn patterns(&self, key: &str) -> Result<Patterns<'_>, ApiError> {
        let literal = self.get(key);
        let pattern = |text: &String| {
            RegexBuilder::new(text).size_limit(PATTERN_MAX).build().map_err(|_| {
                let shown: String = text.chars().take(64).collect();
                ApiError::invalid(format!(
                    "Invalid filter '{key}={}': it is no regular expression, or too large a one",
                    shown.escape_debug()
                ))
            })
        };
        Ok(Patterns { literal, patterns: literal.iter().map(pattern).collect::<Result<_, _>>()? })
    }

    /// Refuses an alternative of a key that has only these.
    pub(crate) fn one_of(&self, key: &str, known: &[&str]) -> Result<(), ApiError> {
        match self.get(key).iter().find(|value| !known.contains(&value.as_str())) {
            None => Ok(()),
            Some(bad) => {
                let shown: String = bad.chars().take(64).collect();
                Err(ApiError::invalid(format!(
                    "Invalid filter '{key}={shown}': it is one of {}",
                    known.join(", ")
                )))
            }
        }
    }

    /// Whether none of the labels not wanted, `key` or `key=value`, is there.
    pub(crate) fn without_labels(&self, labels: &[(String, String)]) -> bool {
        !self.get("label!").iter().any(|unwanted| has_label(labels, unwanted))
    }

    /// The moment before which an object must have been made: an age such as `24h`, a time, or seconds since 1970.
    pub(crate) fn until(&self, now: Time) -> Result<Option<Time>, ApiError> {
        let [text] = self.get("until") else {
            return match self.get("until") {
                [] => Ok(None),
                _ => Err(ApiError::invalid("more than one until filter specified")),
            };
        };
        let invalid = || {
            let shown: String = text.chars().take(64).collect();
            ApiError::invalid(format!(
                "invalid filter 'until={shown}': write an age such as 24h, or 2026-11-23T14:00:00Z"
            ))
        };
        if let Some(age) = moment::span(text) {
            return Ok(Some(Time(now.0.saturating_sub(age.0))));
        }
        if let Ok(seconds) = text.parse::<u32>() {
            return Ok(Some(Time(u64::from(seconds) * 1_000_000_000)));
        }
        match moment::parse(text) {
            Ok(Moment::Wall(time)) => Ok(Some(time)),
            Ok(Moment::Position(_) | Moment::Ago(_)) | Err(_) => Err(invalid()),
        }
    }

    /// Whether an id begins with one of the alternatives; the id is only written out when asked for.
    pub(crate) fn id(&self, id: impl std::fmt::Display) -> bool {
        self.get("id").is_empty() || self.prefix("id", &id.to_string())
    }

    /// Whether the text is one of the alternatives.
    pub(crate) fn exact(&self, key: &str, text: &str) -> bool {
        let wanted = self.get(key);
        wanted.is_empty() || wanted.iter().any(|w| w == text)
    }

    /// Whether all labels asked for, `key` or `key=value`, are there.
    pub(crate) fn labels(&self, labels: &[(String, String)]) -> bool {
        self.all_labels("label", labels)
    }

    /// The same for labels asked for by another key.
    pub(crate) fn all_labels(&self, key: &str, labels: &[(String, String)]) -> bool {
        self.get(key).iter().all(|wanted| has_label(labels, wanted))
    }
}

/// Whether a label, `key` or `key=value`, is there.
fn has_label(labels: &[(String, String)], wanted: &str) -> bool {
    match wanted.split_once('=') {
        Some((key, value)) => labels.iter().any(|(k, v)| k == key && v == value),
        None => labels.iter().any(|(k, _)| k == wanted),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn any_text_is_read_or_refused(text: String, inner in "[\\[\\]{}\":,a-z0-9!^$]{0,40}", now: u64) {
            for text in [text, inner.clone(), format!("{{\"until\":[\"{inner}\"]}}")] {
                if let Ok(filters) = Filters::parse(&text, &["until", "name", "label"]) {
                    drop(filters.until(Time(now)));
                    drop(filters.patterns("name").map(|all| all.fit(&inner)));
                    filters.labels(&[(inner.clone(), text)]);
                }
            }
        }
    }

    #[test]
    fn both_encodings_mean_the_same() {
        let go = Filters::parse(r#"{"label":{"a=b":true,"c":false}}"#, &["label"]);
        let others = Filters::parse(r#"{"label":["a=b"]}"#, &["label"]);
        assert_eq!(go, others);
        assert!(go.unwrap().labels(&[("a".to_owned(), "b".to_owned())]));
    }

    #[test]
    fn unknown_keys_and_nonsense_are_refused() {
        assert!(Filters::parse(r#"{"bogus":["1"]}"#, &["label"]).is_err());
        assert!(Filters::parse("{bad", &["label"]).is_err());
        assert!(Filters::parse(r#"{"label":7}"#, &["label"]).is_err());
        assert_eq!(Filters::parse("{}", &[]), Ok(Filters::default()));
    }

    #[test]
    fn parts_of_names_are_found_as_docker_finds_them() {
        for (wanted, fits) in [
            ("ho", true),
            ("^sh", true),
            ("op$", true),
            ("^shop$", true),
            ("^ho", false),
            ("x", false),
            ("s.op", true),
            ("web|shop", true),
            ("^s[ghi]+o", true),
            ("SHOP", false),
            (r"sh\\.op", false),
        ] {
            let text = format!(r#"{{"name":["{wanted}"]}}"#);
            let filters = Filters::parse(&text, &["name"]).unwrap();
            assert_eq!(filters.patterns("name").unwrap().fit("shop"), fits, "{wanted}");
        }
    }

    #[test]
    fn a_pattern_that_is_none_or_too_large_is_refused() {
        for bad in ["(", "[a", "a{99999}", "((a{100}){100}){100}"] {
            let filters = Filters::parse(&format!(r#"{{"name":["{bad}"]}}"#), &["name"]).unwrap();
            assert!(filters.patterns("name").is_err(), "{bad}");
        }
    }

    #[test]
    fn until_is_an_age_a_time_or_seconds() {
        let now = Time(10_000_000_000);
        let until = |text: &str| {
            let text = format!(r#"{{"until":["{text}"]}}"#);
            Filters::parse(&text, &["until"]).unwrap().until(now)
        };
        assert_eq!(until("4s"), Ok(Some(Time(6_000_000_000))));
        assert_eq!(until("24h"), Ok(Some(Time(0))));
        assert_eq!(until("7"), Ok(Some(Time(7_000_000_000))));
        assert_eq!(until("1970-01-01T00:00:02Z"), Ok(Some(Time(2_000_000_000))));
        assert!(until("yesterday").is_err() && until("@4").is_err());
        assert_eq!(Filters::default().until(now), Ok(None));
    }

    #[test]
    fn yes_and_no_are_dockers() {
        for no in [None, Some(""), Some("0"), Some("False"), Some("none"), Some("no")] {
            assert!(!truthy(no), "{no:?}");
        }
        for yes in ["1", "true", "True", "anything"] {
            assert!(truthy(Some(yes)), "{yes}");
        }
    }
}
