//! References: `busybox`, `busybox:latest` and `docker.io/library/busybox:latest` are one name.
//! Kept and compared in the full form, shown in the short one. Separate from the image store, because a service is
//! refused by its reference before any machine looks for the image.

use std::fmt;
use std::str::FromStr;

/// Longest repository name, Docker's limit.
const NAME_MAX: usize = 255;
/// Longest reference: a repository, a tag of 128 and a digest.
const REFERENCE_MAX: usize = 512;
/// The host of a reference that names none.
const HUB: &str = "docker.io";
/// Where repositories of one word are there.
const LIBRARY: &str = "library/";

/// A reference in full: host, path, and a tag, a digest or both.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reference {
    host: String,
    path: String,
    tag: Option<String>,
    digest: Option<String>,
}

/// Why a text is no reference.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidReference {
    /// Not of the form.
    #[error("invalid reference format: {0:?}")]
    Form(String),
    /// It would be one in lower case.
    #[error("invalid reference format: repository name must be lowercase")]
    UpperCase,
}

impl Reference {
    /// Host of the registry, perhaps with a port; `docker.io` when none was named.
    pub fn host(&self) -> &str {
        &self.host
    }
    /// Path of the repository on that host, e.g. `library/busybox`.
    pub fn path(&self) -> &str {
        &self.path
    }
    /// Its tag; a reference without a digest has one.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }
    /// Its digest, `sha256:` and 64 digits.
    pub fn digest(&self) -> Option<&str> {
        self.digest.as_deref()
    }
    /// What a store knows it by: with a digest, the tag says nothing.
    pub fn key(self) -> Self {
        match self.digest {
            Some(_) => Self { tag: None, ..self },
            None => self,
        }
    }
    /// The same repository and tag, held to this content.
    pub fn pinned(&self, digest: &str) -> Self {
        Self { digest: Some(digest.to_owned()), ..self.clone() }
    }
    /// Whether both are in one repository.
    pub fn same_repository(&self, other: &Self) -> bool {
        (&self.host, &self.path) == (&other.host, &other.path)
    }
    /// The repository as a user writes it: without Docker Hub's host and `library/`, where that is read as the same.
    pub fn familiar_repository(&self) -> String {
        let whole = || format!("{}/{}", self.host, self.path);
        if self.host != HUB {
            return whole();
        }
        let short = self.path.strip_prefix(LIBRARY).filter(|word| !word.contains('/'));
        let first = self.path.split_once('/').map(|(first, _)| first);
        match short {
            Some(word) => word.to_owned(),
            // It would be taken for a host.
            None if first.is_some_and(names_host) => whole(),
            None => self.path.clone(),
        }
    }
    /// As a user writes it.
    pub fn familiar(&self) -> String {
        format!("{}{}", self.familiar_repository(), self.suffix())
    }
    fn suffix(&self) -> String {
        let tag = self.tag.as_ref().map(|tag| format!(":{tag}")).unwrap_or_default();
        let digest = self.digest.as_ref().map(|digest| format!("@{digest}")).unwrap_or_default();
        format!("{tag}{digest}")
    }
}

/// Whether what stands before the first slash is a host.
fn names_host(first: &str) -> bool {
    first.contains(['.', ':']) || first == "localhost"
}

fn is_digest(text: &str) -> bool {
    text.strip_prefix("sha256:").is_some_and(|hex| {
        hex.len() == 64 && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    })
}

/// Letters and digits at both ends, or `../x` would be one; then a port perhaps.
fn is_host(text: &str) -> bool {
    let (name, port) = text.rsplit_once(':').map_or((text, None), |(name, p)| (name, Some(p)));
    let label = |label: &str| {
        label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && label.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric)
            && label.as_bytes().last().is_some_and(u8::is_ascii_alphanumeric)
    };
    name.split('.').all(label)
        && port.is_none_or(|p| (1..=5).contains(&p.len()) && p.bytes().all(|b| b.is_ascii_digit()))
}

/// Words of lower-case letters and digits, between them a dot, one or two underscores, or hyphens.
fn is_component(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let ends_in_words = text.as_bytes().first().is_some_and(|b| word(*b))
        && text.as_bytes().last().is_some_and(|b| word(*b));
    let separators = text.split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    let separated = separators
        .filter(|between| !between.is_empty())
        .all(|between| matches!(between, "." | "_" | "__") || between.bytes().all(|b| b == b'-'));
    ends_in_words && separated
}

fn is_tag(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
        && !text.starts_with(['.', '-'])
}

fn parse(text: &str) -> Option<Reference> {
    if text.len() > REFERENCE_MAX {
        return None;
    }
    let (named, digest) = match text.split_once('@') {
        Some((named, digest)) if is_digest(digest) => (named, Some(digest.to_owned())),
        Some(_) => return None,
        None => (text, None),
    };
    let (first, rest) = named.split_once('/').unwrap_or(("", named));
    let (host, remainder) = if names_host(first) { (first, rest) } else { (HUB, named) };
    let host = if host == "index.docker.io" { HUB } else { host };
    let (path, tag) = match remainder.rsplit_once(':') {
        Some((path, tag)) => (path, Some(tag)),
        None => (remainder, None),
    };
    let sound = is_host(host)
        && path.split('/').all(is_component)
        && tag.is_none_or(is_tag)
        && host.len() + path.len() < NAME_MAX;
    if !sound {
        return None;
    }
    let path = if host == HUB && !path.contains('/') {
        format!("{LIBRARY}{path}")
    } else {
        path.to_owned()
    };
    let tag = tag.or_else(|| digest.is_none().then_some("latest")).map(str::to_owned);
    Some(Reference { host: host.to_owned(), path, tag, digest })
}

impl FromStr for Reference {
    type Err = InvalidReference;
    fn from_str(text: &str) -> Result<Self, InvalidReference> {
        parse(text).ok_or_else(|| {
            // The tag may have capitals; only the name before it is at fault.
            let lower = text.to_ascii_lowercase();
            if lower != *text && parse(&lower).is_some() {
                InvalidReference::UpperCase
            } else {
                InvalidReference::Form(text.chars().take(128).collect())
            }
        })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}{}", self.host, self.path, self.suffix())
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

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn one_image_has_one_name() {
        for text in [
            "busybox",
            "busybox:latest",
            "library/busybox",
            "docker.io/busybox",
            "index.docker.io/library/busybox:latest",
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
            ("a__b/c---d/e.f:X_1", "docker.io/a__b/c---d/e.f:X_1"),
        ] {
            assert_eq!(text.parse::<Reference>().unwrap().to_string(), full, "{text}");
        }
    }

    #[test]
    fn a_digest_says_which_content_is_meant() {
        let both: Reference = format!("127.0.0.1:5000/bb:1@{DIGEST}").parse().unwrap();
        assert_eq!((both.tag(), both.digest()), (Some("1"), Some(DIGEST)));
        assert_eq!(both.clone().key().to_string(), format!("127.0.0.1:5000/bb@{DIGEST}"));
        let tagged: Reference = "127.0.0.1:5000/bb:1".parse().unwrap();
        assert_eq!(tagged.pinned(DIGEST), both);
        assert!(tagged.same_repository(&both));
        assert_eq!(tagged.clone().key(), tagged);
        let alone: Reference = format!("busybox@{DIGEST}").parse().unwrap();
        assert_eq!((alone.tag(), alone.familiar()), (None, format!("busybox@{DIGEST}")));
        for bad in ["busybox@", "busybox@sha256:12", "busybox@md5:0123", "@sha256:12"] {
            assert!(bad.parse::<Reference>().is_err(), "{bad}");
        }
        assert!(format!("busybox@{}", DIGEST.to_uppercase()).parse::<Reference>().is_err());
    }

    #[test]
    fn text_that_is_no_reference_is_refused() {
        for bad in [
            "",
            "a//b",
            "a:",
            ":a",
            "../x",
            "a/..",
            "a b",
            "a:b c",
            "-a",
            "a-",
            "a\n",
            "a.io/",
            "a..b",
            "a___b",
            "a._b",
            "a.io:x/b",
            "a.io:/b",
            ".io/b",
            "a:-x",
            "http://a/b",
            "a/b:c/d",
        ] {
            let error = bad.parse::<Reference>().unwrap_err();
            assert_eq!(error, InvalidReference::Form(bad.to_owned()), "{bad:?}");
        }
        for bad in ["UPPER", "a/B", "a.io/Repo:TAG"] {
            assert_eq!(bad.parse::<Reference>(), Err(InvalidReference::UpperCase), "{bad}");
        }
        assert!("a/".repeat(300).parse::<Reference>().is_err());
    }
}
