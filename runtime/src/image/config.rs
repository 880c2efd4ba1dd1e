//! What an image says about running it: the part of its configuration file that is used, and no more.
//! Labels are data of their own and never become options of the node or the runtime (CVE-2026-53488).

use std::collections::BTreeMap;

use skein_events::time::Time;

use super::Digest;
use super::manifest::Platform;
use crate::error::{Error, hostile};

/// Bytes a configuration or manifest may have; real ones have a few thousand.
pub(crate) const CONFIG_MAX: u64 = 4 << 20;
/// Layers an image may have; overlayfs takes 500, Docker builds 127.
pub(crate) const LAYERS_MAX: usize = 127;

/// The `config` object of an image, what a container of it inherits.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ImageConfig {
    /// Variables, `NAME=value`.
    #[serde(deserialize_with = "null_as_default")]
    pub env: Vec<String>,
    /// Program and leading arguments.
    #[serde(deserialize_with = "null_as_default")]
    pub entrypoint: Vec<String>,
    /// Further arguments, or the program if there is no entrypoint.
    #[serde(deserialize_with = "null_as_default")]
    pub cmd: Vec<String>,
    /// `user[:group]`.
    #[serde(deserialize_with = "null_as_default")]
    pub user: String,
    /// Working directory.
    #[serde(deserialize_with = "null_as_default")]
    pub working_dir: String,
    /// Labels.
    #[serde(deserialize_with = "null_as_default")]
    pub labels: BTreeMap<String, String>,
    /// Signal that asks the process to end.
    #[serde(deserialize_with = "null_as_default")]
    pub stop_signal: String,
    /// How it is found out whether the program is well.
    pub healthcheck: Option<ImageCheck>,
    /// What a shell's line is given to.
    #[serde(deserialize_with = "null_as_default")]
    pub shell: Vec<String>,
    /// Directories that are volumes of their own in every container; the values say nothing.
    #[serde(deserialize_with = "null_as_default")]
    pub volumes: BTreeMap<String, serde_json::Value>,
}

/// The `Healthcheck` of an image; spans in nanoseconds, 0 where it says nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ImageCheck {
    /// `CMD` and words, or `CMD-SHELL` and a line, or `NONE`.
    #[serde(deserialize_with = "null_as_default")]
    pub test: Vec<String>,
    /// Time between two checks.
    pub interval: i64,
    /// How long one may take.
    pub timeout: i64,
    /// Time in which failures do not count.
    pub start_period: i64,
    /// Time between two checks meanwhile.
    pub start_interval: i64,
    /// Failures in a row that mean unwell.
    pub retries: i64,
}

/// Go writes `null` for an empty list.
fn null_as_default<'de, D, T>(from: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: serde::Deserialize<'de> + Default,
{
    use serde::Deserialize as _;
    Ok(Option::<T>::deserialize(from)?.unwrap_or_default())
}

#[derive(serde::Deserialize)]
struct File {
    #[serde(default)]
    os: Option<String>,
    #[serde(default)]
    architecture: Option<String>,
    #[serde(default)]
    created: Option<String>,
    #[serde(default)]
    config: Option<ImageConfig>,
    rootfs: Layers,
}

#[derive(serde::Deserialize)]
struct Layers {
    #[serde(default, deserialize_with = "null_as_default")]
    diff_ids: Vec<Digest>,
}

/// A whole configuration file, read.
#[derive(Clone, Debug)]
pub(crate) struct Parsed {
    pub(crate) created: Time,
    pub(crate) config: ImageConfig,
    pub(crate) layers: Vec<Digest>,
}

/// Reads a configuration file of a Linux image for this processor.
pub(crate) fn parse(bytes: &[u8]) -> Result<Parsed, Error> {
    let file: File = serde_json::from_slice(bytes).map_err(unreadable)?;
    if file.rootfs.diff_ids.len() > LAYERS_MAX {
        return Err(hostile(format!("more than {LAYERS_MAX} layers")));
    }
    let here = Platform::architecture_here();
    let (os, arch) = (file.os.unwrap_or_default(), file.architecture.unwrap_or_default());
    if !(os.is_empty() || os == "linux") || !(arch.is_empty() || arch == here) {
        return Err(Error::BadSetting {
            message: format!("image is for {os}/{arch}, this machine is linux/{here}"),
        });
    }
    let created = file
        .created
        .and_then(|text| text.parse::<jiff::Timestamp>().ok())
        .and_then(|at| u64::try_from(at.as_nanosecond()).ok())
        .map(Time)
        .unwrap_or_default();
    Ok(Parsed { created, config: file.config.unwrap_or_default(), layers: file.rootfs.diff_ids })
}

/// The machine an image is for, as its configuration says.
pub(super) fn platform(bytes: &[u8]) -> Result<Option<(String, String)>, Error> {
    let file: File = serde_json::from_slice(bytes).map_err(unreadable)?;
    Ok(file.architecture.zip(file.os))
}

/// Not the reader's own text, which quotes: see `manifest`.
#[expect(clippy::needless_pass_by_value, reason = "as map_err wants it")]
fn unreadable(error: serde_json::Error) -> Error {
    let (line, column) = (error.line(), error.column());
    hostile(format!("its configuration cannot be read at line {line}, column {column}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_and_null_are_empty() {
        let parsed = parse(
            br#"{"architecture":"amd64","os":"linux","created":"1970-01-01T00:00:01Z",
                "config":{"Env":null,"Cmd":["sh"],"Labels":{"a":"b"}},"rootfs":{"type":"layers","diff_ids":[]}}"#,
        )
        .unwrap();
        assert_eq!(parsed.created, Time(1_000_000_000));
        assert_eq!(parsed.config.cmd, ["sh"]);
        assert!(parsed.config.env.is_empty() && parsed.config.entrypoint.is_empty());
    }

    #[test]
    fn image_for_another_machine_is_refused() {
        let error =
            parse(br#"{"architecture":"mips","os":"plan9","rootfs":{"diff_ids":[]}}"#).unwrap_err();
        assert!(error.to_string().starts_with("image is for plan9/mips"), "{error}");
    }

    #[test]
    fn nonsense_is_refused() {
        for bad in [&b""[..], b"{}", b"[]", br#"{"rootfs":{"diff_ids":["sha256:.."]}}"#] {
            assert!(matches!(parse(bad), Err(Error::HostileImage { .. })));
        }
    }
}
