//! Docker's filters: `{"label":{"a=b":true}}` from Go clients, `{"label":["a=b"]}` from the others.
//! Values of one key are alternatives, different keys must all hold.

use std::collections::BTreeMap;

use serde_json::Value;

use super::error::ApiError;

/// Most values a query may hold: beyond it a list would cost more than its answer.
const VALUES_MAX: usize = 10_000;

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
        self.get("label").iter().all(|wanted| match wanted.split_once('=') {
            Some((key, value)) => labels.iter().any(|(k, v)| k == key && v == value),
            None => labels.iter().any(|(k, _)| k == wanted),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn yes_and_no_are_dockers() {
        for no in [None, Some(""), Some("0"), Some("False"), Some("none"), Some("no")] {
            assert!(!truthy(no), "{no:?}");
        }
        for yes in ["1", "true", "True", "anything"] {
            assert!(truthy(Some(yes)), "{yes}");
        }
    }
}
