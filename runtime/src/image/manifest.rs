//! Manifests and indexes, Docker's schema 2 and OCI's alike: which configuration, which layers, for which machine.
//! Hostile until proven: bounded, of one meaning only, and every number is looked at before it is believed.

use std::collections::BTreeMap;

use super::Digest;
use super::config::{CONFIG_MAX, LAYERS_MAX};
use crate::error::{Error, hostile};

/// Entries of one index; real ones have a dozen.
const ENTRIES_MAX: usize = 1_000;
/// Indexes within indexes; real ones have none.
pub(crate) const DEPTH_MAX: usize = 4;
/// Longest media type and annotation that is looked at.
const TEXT_MAX: usize = 4_096;

/// Says where something is and how large.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Descriptor {
    #[serde(default)]
    pub(crate) media_type: String,
    pub(crate) digest: Digest,
    pub(crate) size: u64,
    #[serde(default)]
    pub(crate) platform: Option<Platform>,
    #[serde(default)]
    pub(crate) annotations: Option<BTreeMap<String, String>>,
    /// Layers that are not in the registry (Windows) name other places; nothing is fetched from there.
    #[serde(default)]
    urls: Option<Vec<String>>,
}

/// The machine an image is for.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Deserialize)]
pub(crate) struct Platform {
    #[serde(default)]
    pub(crate) architecture: String,
    #[serde(default)]
    pub(crate) os: String,
    #[serde(default)]
    pub(crate) variant: Option<String>,
}

impl Platform {
    /// This machine's names for itself.
    pub(crate) fn architecture_here() -> &'static str {
        match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        }
    }
    fn is_here(&self) -> bool {
        let fits = self.variant.as_deref().is_none_or(|v| matches!(v, "" | "v8" | "v1"));
        self.os == "linux" && self.architecture == Self::architecture_here() && fits
    }
}

/// One image: its configuration and its layers, lowest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Manifest {
    pub(crate) config: Descriptor,
    pub(crate) layers: Vec<Descriptor>,
}

/// What some bytes say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Document {
    Image(Manifest),
    Index(Vec<Descriptor>),
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    schema_version: u64,
    #[serde(default)]
    media_type: Option<String>,
    #[serde(default)]
    config: Option<Descriptor>,
    #[serde(default)]
    layers: Option<Vec<Descriptor>>,
    #[serde(default)]
    manifests: Option<Vec<Descriptor>>,
    /// Schema 1, of before 2016.
    #[serde(default)]
    fs_layers: Option<serde::de::IgnoredAny>,
}

/// Reads a manifest or an index. `said` is what its carrier called it; of two stories neither is believed.
pub(crate) fn parse(bytes: &[u8], said: Option<&str>, layer_max: u64) -> Result<Document, Error> {
    if u64::try_from(bytes.len()).map_or(true, |n| n > CONFIG_MAX) {
        return Err(hostile(format!("a manifest of over {CONFIG_MAX} bytes")));
    }
    let raw: Raw = serde_json::from_slice(bytes).map_err(|error| {
        // Not the reader's own text: it quotes, and what a registry sends may be a password it was sent.
        let (line, column) = (error.line(), error.column());
        hostile(format!("its manifest cannot be read at line {line}, column {column}"))
    })?;
    if raw.schema_version != 2 || raw.fs_layers.is_some() {
        return Err(Error::BadSetting {
            message: "image has a manifest of schema 1, which is not understood: push it again with a newer client"
                .to_owned(),
        });
    }
    if let (Some(said), Some(own)) = (said, &raw.media_type)
        && is_index(said).is_some()
        && said != own
    {
        return Err(hostile("its manifest came as another type than it says to be"));
    }
    let called = raw.media_type.as_deref().or(said).and_then(is_index);
    // What is both may be read as either (CVE-2021-41190).
    match (raw.config, raw.layers, raw.manifests) {
        (Some(config), Some(layers), None) if called != Some(true) => {
            check_image(&config, &layers, layer_max)?;
            Ok(Document::Image(Manifest { config, layers }))
        }
        (None, None, Some(manifests)) if called != Some(false) => {
            if manifests.len() > ENTRIES_MAX {
                return Err(hostile(format!("an index of over {ENTRIES_MAX} entries")));
            }
            if manifests.iter().any(|m| m.size > CONFIG_MAX) {
                return Err(hostile(format!("an index of a manifest of over {CONFIG_MAX} bytes")));
            }
            check_texts(&manifests)?;
            Ok(Document::Index(manifests))
        }
        _ => Err(hostile("its manifest is neither that of an image nor an index")),
    }
}

fn is_index(media_type: &str) -> Option<bool> {
    match media_type {
        "application/vnd.oci.image.index.v1+json"
        | "application/vnd.docker.distribution.manifest.list.v2+json" => Some(true),
        "application/vnd.oci.image.manifest.v1+json"
        | "application/vnd.docker.distribution.manifest.v2+json" => Some(false),
        _ => None,
    }
}

fn check_image(config: &Descriptor, layers: &[Descriptor], layer_max: u64) -> Result<(), Error> {
    if config.size > CONFIG_MAX {
        return Err(hostile(format!("a configuration of over {CONFIG_MAX} bytes")));
    }
    if layers.len() > LAYERS_MAX {
        return Err(hostile(format!("more than {LAYERS_MAX} layers")));
    }
    for layer in layers {
        if layer.size > layer_max {
            return Err(hostile(format!("a layer of over {layer_max} bytes")));
        }
        if layer.urls.as_ref().is_some_and(|urls| !urls.is_empty()) {
            return Err(hostile(format!("layer {} lies elsewhere", layer.digest)));
        }
    }
    check_texts(layers)
}

fn check_texts(descriptors: &[Descriptor]) -> Result<(), Error> {
    let long = |text: &str| text.len() > TEXT_MAX;
    let annotated =
        |d: &Descriptor| d.annotations.iter().flatten().any(|(k, v)| long(k) || long(v));
    if descriptors.iter().any(|d| long(&d.media_type) || annotated(d)) {
        return Err(hostile(format!("a text of over {TEXT_MAX} bytes in its manifest")));
    }
    Ok(())
}

/// The entry for this machine: the one that says so, or the only one if it does not say.
pub(crate) fn for_this_machine(entries: &[Descriptor]) -> Result<&Descriptor, Error> {
    let here = |d: &&Descriptor| d.platform.as_ref().is_some_and(Platform::is_here);
    let silent = |d: &Descriptor| d.platform.as_ref().is_none_or(|p| p.architecture.is_empty());
    match (entries.iter().find(here), entries) {
        (Some(found), _) => Ok(found),
        (None, [only]) if silent(only) => Ok(only),
        (None, _) => Err(Error::BadSetting {
            message: format!(
                "no matching manifest for linux/{} in the manifest list entries",
                Platform::architecture_here()
            ),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCEPTED: [&str; 4] = [
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    ];
    const D: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn refused(text: &str, said: Option<&str>) -> String {
        parse(text.as_bytes(), said, 1 << 20).expect_err(text).to_string()
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig { failure_persistence: None, ..Default::default() })]

        #[test]
        fn any_bytes_are_a_document_or_refused(
            noise: Vec<u8>,
            size in "-?[0-9]{1,20}",
            list in "[a-zA-Z]{0,9}",
            change in (proptest::prelude::any::<proptest::sample::Index>(), 0_u8..8),
        ) {
            let d = format!(r#"{{"mediaType":"{list}","digest":"{D}","size":{size}}}"#);
            let platform = r#""platform":{"architecture":"amd64","os":"linux"}"#;
            let mut bytes = format!(
                r#"{{"schemaVersion":2,"config":{d},"layers":[{d}],"manifests":[{}]}}"#,
                d.replacen('{', &format!("{{{platform},"), 1)
            )
            .into_bytes();
            let at = change.0.index(bytes.len());
            bytes[at] ^= 1 << change.1;
            for bytes in [&noise, &bytes] {
                for said in [None, Some(ACCEPTED[0]), Some(list.as_str())] {
                    if let Ok(Document::Index(entries)) = parse(bytes, said, 1 << 20) {
                        drop(for_this_machine(&entries));
                    }
                }
                drop((crate::image::config::parse(bytes), crate::image::config::platform(bytes)));
            }
        }
    }

    #[test]
    fn a_manifest_has_one_meaning() {
        let d = format!(r#"{{"mediaType":"x","digest":"{D}","size":3}}"#);
        let image = format!(r#"{{"schemaVersion":2,"config":{d},"layers":[{d}]}}"#);
        let index = format!(r#"{{"schemaVersion":2,"manifests":[{d}]}}"#);
        assert!(matches!(parse(image.as_bytes(), Some(ACCEPTED[1]), 9), Ok(Document::Image(_))));
        assert!(matches!(parse(index.as_bytes(), Some(ACCEPTED[0]), 9), Ok(Document::Index(_))));
        assert!(matches!(parse(image.as_bytes(), None, 9), Ok(Document::Image(_))));
        let neither = "image refused: its manifest is neither that of an image nor an index";
        for (text, said) in [
            (format!(r#"{{"schemaVersion":2,"config":{d},"layers":[],"manifests":[]}}"#), None),
            (r#"{"schemaVersion":2}"#.to_owned(), None),
            (image.clone(), Some(ACCEPTED[0])),
            (index, Some(ACCEPTED[3])),
        ] {
            assert_eq!(refused(&text, said), neither, "{text}");
        }
        let own = format!(r#"{{"mediaType":"{}",{}"#, ACCEPTED[1], &image[1..]);
        assert!(refused(&own, Some(ACCEPTED[3])).contains("came as"));
        assert!(parse(own.as_bytes(), Some(ACCEPTED[1]), 9).is_ok());
    }

    #[test]
    fn hostile_manifests_are_refused() {
        let d = |size: &str| format!(r#"{{"digest":"{D}","size":{size}}}"#);
        let image = |config: &str, layers: &str| {
            format!(r#"{{"schemaVersion":2,"config":{config},"layers":[{layers}]}}"#)
        };
        let index = |entries: &str| format!(r#"{{"schemaVersion":2,"manifests":[{entries}]}}"#);
        let one = d("1");
        let deep = format!("{}{}", "[".repeat(500), "]".repeat(500));
        let long = format!(r#"{{"digest":"{D}","size":1,"mediaType":"{}"}}"#, "x".repeat(5_000));
        let noted =
            format!(r#"{{"digest":"{D}","size":1,"annotations":{{"a":"{}"}}}}"#, "x".repeat(5_000));
        let elsewhere =
            format!(r#"{{"digest":"{D}","size":1,"urls":["http://169.254.169.254/"]}}"#);
        for (name, text, reason) in [
            ("no JSON", "<html>".to_owned(), "cannot be read"),
            ("deep", deep, "cannot be read"),
            ("negative size", image(&one, &d("-1")), "cannot be read"),
            ("size beyond 64 bits", image(&one, &d("18446744073709551616")), "cannot be read"),
            ("size as text", image(&one, &d("\"1\"")), "cannot be read"),
            ("fraction of a byte", image(&one, &d("0.5")), "cannot be read"),
            ("huge layer", image(&one, &d("18446744073709551615")), "a layer of over"),
            ("huge configuration", image(&d("99999999999"), &one), "a configuration of over"),
            ("huge manifest", index(&d("99999999999")), "a manifest of over"),
            (
                "many layers",
                image(&one, &vec![one.as_str(); 128].join(",")),
                "more than 127 layers",
            ),
            ("many entries", index(&vec![one.as_str(); 1_001].join(",")), "over 1000 entries"),
            (
                "path for a digest",
                image(&one, r#"{"digest":"sha256:../../etc","size":1}"#),
                "cannot be read",
            ),
            ("other digest", image(&one, r#"{"digest":"sha512:00","size":1}"#), "cannot be read"),
            ("no digest", image(&one, r#"{"size":1}"#), "cannot be read"),
            ("long type", image(&one, &long), "a text of over"),
            ("long annotation", index(&noted), "a text of over"),
            ("layer elsewhere", image(&one, &elsewhere), "lies elsewhere"),
            (
                "key twice",
                format!(r#"{{"schemaVersion":2,"config":{one},"config":{one},"layers":[]}}"#),
                "cannot be read",
            ),
        ] {
            let said = refused(&text, None);
            assert!(said.contains(reason), "{name}: {said}");
        }
        let padded = format!("{}{}", image(&one, &one), " ".repeat(5 << 20));
        assert!(refused(&padded, None).contains("a manifest of over"));
        let old = r#"{"schemaVersion":1,"fsLayers":[]}"#;
        assert!(refused(old, None).contains("schema 1"));
    }

    #[test]
    fn an_index_is_searched_for_this_machine() {
        let entry = |arch: &str, os: &str, size: u64| Descriptor {
            media_type: String::new(),
            digest: Digest::of(b""),
            size,
            platform: Some(Platform { architecture: arch.into(), os: os.into(), variant: None }),
            annotations: None,
            urls: None,
        };
        let here = Platform::architecture_here();
        let entries =
            [entry("s390x", "linux", 1), entry(here, "windows", 2), entry(here, "linux", 3)];
        assert_eq!(for_this_machine(&entries).unwrap().size, 3);
        let error = for_this_machine(&entries[..2]).unwrap_err().to_string();
        assert_eq!(
            error,
            format!("no matching manifest for linux/{here} in the manifest list entries")
        );
        let silent = [Descriptor { platform: None, ..entry("", "", 4) }];
        assert_eq!(for_this_machine(&silent).unwrap().size, 4);
        assert!(for_this_machine(&[]).is_err());
    }
}
