//! References: `busybox`, `busybox:latest` and `docker.io/library/busybox:latest` are one name.
//! The store keeps the full form, users see the short one.

use std::fmt;
use std::str::FromStr;

/// Longest reference: Docker's limit for the name part is 255.
const REFERENCE_MAX: usize = 512;

/// A reference in full: host, path, tag, and a digest if one was given.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reference {
    host: String,
    path: String,
    tag: String,
}

/// Why a text is no reference.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid reference format: {0:?}")]
pub struct InvalidReference(pub String);

impl Reference {
    /// As a user writes it: without Docker Hub's host and `library/`.
    pub fn familiar(&self) -> String {
        let Self { host, path, tag } = self;
        if host == "docker.io" {
            format!("{}:{tag}", path.strip_prefix("library/").unwrap_or(path))
        } else {
            format!("{host}/{path}:{tag}")
        }
    }
}

impl FromStr for Reference {
    type Err = InvalidReference;
    /// A digest after `@` is dropped: what is on this machine was loaded by name.
    fn from_str(text: &str) -> Result<Self, InvalidReference> {
        let invalid = || InvalidReference(text.chars().take(128).collect());
        if text.len() > REFERENCE_MAX {
            return Err(invalid());
        }
        let named = text.split_once('@').map_or(text, |(named, _)| named);
        let (first, rest) = named.split_once('/').unwrap_or(("", named));
        let is_host = first.contains(['.', ':']) || first == "localhost";
        let (host, remainder) = if is_host { (first, rest) } else { ("docker.io", named) };
        let host = if host == "index.docker.io" { "docker.io" } else { host };
        let (path, tag) = remainder.rsplit_once(':').unwrap_or((remainder, "latest"));
        let path_char =
            |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-');
        let tag_char = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        // A host has letters or digits at both ends too, or `../x` would be one.
        let host_char = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b':');
        let part_ok = |part: &str| {
            part.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric)
                && part.as_bytes().last().is_some_and(u8::is_ascii_alphanumeric)
                && part.bytes().all(path_char)
        };
        let tag_ok = (1..=128).contains(&tag.len())
            && tag.bytes().all(tag_char)
            && !tag.starts_with(['.', '-']);
        let host_ok = host.bytes().all(host_char)
            && host.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric)
            && host.as_bytes().last().is_some_and(u8::is_ascii_alphanumeric);
        if !host_ok || !path.split('/').all(part_ok) || !tag_ok {
            return Err(invalid());
        }
        let path = if host == "docker.io" && !path.contains('/') {
            format!("library/{path}")
        } else {
            path.to_owned()
        };
        Ok(Self { host: host.to_owned(), path, tag: tag.to_owned() })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}:{}", self.host, self.path, self.tag)
    }
}
impl serde::Serialize for Reference {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}
impl<'de> serde::Deserialize<'de> for Reference {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_image_has_one_name() {
        for text in [
            "busybox",
            "busybox:latest",
            "library/busybox",
            "docker.io/busybox",
            "index.docker.io/library/busybox:latest",
            "busybox@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        ] {
            let reference: Reference = text.parse().unwrap();
            assert_eq!(reference.to_string(), "docker.io/library/busybox:latest", "{text}");
            assert_eq!(reference.familiar(), "busybox:latest");
        }
        for (text, full) in [
            ("localhost:5000/a/b:1", "localhost:5000/a/b:1"),
            ("localhost/a", "localhost/a:latest"),
            ("ghcr.io/x/y", "ghcr.io/x/y:latest"),
            ("user/app:v1.2", "docker.io/user/app:v1.2"),
        ] {
            assert_eq!(text.parse::<Reference>().unwrap().to_string(), full, "{text}");
        }
    }

    #[test]
    fn text_that_is_no_reference_is_refused() {
        for bad in
            ["", "UPPER", "a//b", "a:", ":a", "../x", "a/..", "a b", "a:b c", "-a", "a\n", "a.io/"]
        {
            assert!(bad.parse::<Reference>().is_err(), "{bad:?}");
        }
    }
}
