//! What is mounted into a container besides its image. How it is mounted is `runtime/`.

use crate::unit::Bytes;

/// One mount.
#[derive(
    Clone,
    Debug,
    PartialEq,
    Eq,
    rkyv::Archive,
    rkyv::Serialize,
    rkyv::Deserialize,
    serde::Serialize,
    serde::Deserialize,
)]
pub struct Mount {
    /// Where it appears inside, absolute.
    pub target: String,
    /// Nothing can be written through it.
    pub read_only: bool,
    /// What appears there.
    pub source: MountSource,
}

/// What a mount shows.
#[derive(
    Clone,
    Debug,
    PartialEq,
    Eq,
    rkyv::Archive,
    rkyv::Serialize,
    rkyv::Deserialize,
    serde::Serialize,
    serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum MountSource {
    /// A file or directory of the node.
    Bind {
        /// Its path, absolute.
        path: String,
        /// Whether later mounts below it are seen on the other side.
        propagation: Propagation,
        /// Mounts below it are left out.
        non_recursive: bool,
        /// It is made when it is not there.
        create: bool,
    },
    /// A volume of the node, made when it is not there.
    Volume {
        /// Its name; without one a new volume that goes with the container.
        name: Option<String>,
        /// A new volume stays empty instead of taking what the image has there.
        no_copy: bool,
        /// Labels of a new volume, sorted by key.
        labels: Vec<(String, String)>,
        /// Its driver; `local` when absent.
        driver: Option<String>,
        /// Options for the driver, sorted by key.
        options: Vec<(String, String)>,
        /// Only this directory of it.
        subpath: Option<String>,
    },
    /// Memory.
    Tmpfs {
        /// How much; zero means no limit of its own.
        size: Bytes,
        /// Mode bits of its directory; 0o1777 when absent.
        mode: Option<u32>,
    },
}

/// Whether mounts made below a bind are seen on the other side, as in mount(2).
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    rkyv::Archive,
    rkyv::Serialize,
    rkyv::Deserialize,
    serde::Serialize,
    serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "the words of mount(2)")]
pub enum Propagation {
    #[default]
    Rprivate,
    Private,
    Rshared,
    Shared,
    Rslave,
    Slave,
}
