//! Paths and query strings: percent-encoding, and Docker's `filters` parameter.
//! Names come from users, so nothing enters a path unencoded.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

/// One path segment or query value, with everything but unreserved characters encoded.
pub(crate) fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            write!(out, "%{byte:02X}").expect("a String takes everything");
        }
    }
    out
}

/// A query string under construction; prints with its question mark, or as nothing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Query(String);

impl Query {
    /// Adds one parameter.
    pub(crate) fn with(mut self, key: &str, value: &str) -> Self {
        let sign = if self.0.is_empty() { '?' } else { '&' };
        write!(self.0, "{sign}{key}={}", encode(value)).expect("a String takes everything");
        self
    }

    /// Adds a parameter if there is a value for it.
    pub(crate) fn with_some(self, key: &str, value: Option<impl fmt::Display>) -> Self {
        match value {
            Some(value) => self.with(key, &value.to_string()),
            None => self,
        }
    }

    /// Adds `filters` in the form Docker's own client sends: `{"label":{"a=b":true}}`; nothing when there are none.
    pub(crate) fn filtered(self, filters: &[(String, String)]) -> Self {
        if filters.is_empty() {
            return self;
        }
        let mut map: BTreeMap<&str, BTreeMap<&str, bool>> = BTreeMap::new();
        for (key, value) in filters {
            map.entry(key).or_default().insert(value, true);
        }
        let text = serde_json::to_string(&map).expect("a map of strings is JSON");
        self.with("filters", &text)
    }
}

impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_encoded_as_the_docker_client_encodes_them() {
        let filters = [("label".to_owned(), "tier=web".to_owned())];
        assert_eq!(
            Query::default().filtered(&filters).with("status", "true").to_string(),
            "?filters=%7B%22label%22%3A%7B%22tier%3Dweb%22%3Atrue%7D%7D&status=true"
        );
        assert_eq!(Query::default().filtered(&[]).to_string(), "");
    }
}
