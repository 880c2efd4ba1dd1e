//! Images: the store of configurations and unpacked layers, the ways into it, and the way out.

pub(crate) mod archive;
mod change;
pub mod config;
#[cfg(test)]
mod corpus;
pub mod digest;
mod entry;
pub(crate) mod import;
mod layout;
mod manifest;
mod partial;
pub(crate) mod pull;
pub(crate) mod registry;
pub(crate) mod remove;
pub(crate) mod store;
pub(crate) mod stream;
mod unpack;
pub(crate) mod volumes;

use std::collections::BTreeMap;

use skein_events::reference::Reference;
use skein_events::time::Time;

pub use config::ImageConfig;
pub use digest::Digest;
pub use pull::{Progress, Pull, Pulled, Resolved, Step};
pub use registry::{Login, parse_insecure};

/// What a loaded archive brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// The image.
    pub id: Digest,
    /// The name it got, e.g. `busybox:latest`; an archive may leave an image unnamed.
    pub name: Option<String>,
}

/// One image on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Digest of its configuration.
    pub id: Digest,
    /// Names that point to it, as a user writes them, sorted.
    pub names: Vec<String>,
    /// Names by the digest of a manifest, `busybox@sha256:…`, sorted.
    pub digests: Vec<String>,
    /// Bytes of its layers, unpacked.
    pub size: u64,
    /// When it was built, as its configuration says; the beginning of time if it does not.
    pub created: Time,
    /// What it says about running it.
    pub config: ImageConfig,
    /// Its layers, lowest first, by the digest of their uncompressed archive.
    pub layers: Vec<Digest>,
}

/// An image with all that only a closer look shows.
#[derive(Clone, Debug, PartialEq)]
pub struct Details {
    /// The image.
    pub image: Image,
    /// Its whole configuration file. Data only: nothing of it becomes an option of the node.
    pub file: serde_json::Value,
    /// Bytes of each layer, unpacked, lowest first.
    pub layer_sizes: Vec<u64>,
}

/// A root file system that becomes an image of one layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    /// The name it is to have.
    pub name: Option<Reference>,
    /// What is said about it, kept in the image.
    pub comment: String,
    /// Instructions of a Dockerfile, e.g. `CMD ["sh"]`.
    pub changes: Vec<String>,
    /// When this is.
    pub now: Time,
}

/// One step of a removal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Removed {
    /// A name went.
    Untagged(String),
    /// An image or a layer went.
    Deleted(Digest),
}

/// Which images nobody needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prune {
    /// All that no container uses, and not only those without a name.
    pub all: bool,
    /// Only those built before.
    pub before: Option<Time>,
    /// Only those with these labels, `key` or `key=value`.
    pub labels: Vec<String>,
    /// Only those without any of these.
    pub without: Vec<String>,
}

/// What a prune did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Its steps.
    pub removed: Vec<Removed>,
    /// Bytes that are free again.
    pub reclaimed: u64,
}

/// What images, containers and volumes take on the disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes of every layer, each counted once.
    pub layers: BTreeMap<Digest, u64>,
    /// Bytes of downloads that did not end.
    pub partial: u64,
    /// Containers, ordered by task.
    pub containers: Vec<ContainerUsage>,
    /// What ended containers said, as far as it is kept; ordered by task.
    pub logs: Vec<KeptLog>,
    /// Bytes of every volume that is a directory; what is mounted from elsewhere is not of this disk.
    pub volumes: BTreeMap<String, u64>,
}

/// What a container said that is gone itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptLog {
    /// Its task.
    pub task: skein_events::id::TaskId,
    /// Bytes of its files.
    pub bytes: u64,
    /// When it said something last.
    pub last: Time,
}

/// What one container takes on the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerUsage {
    /// Its task.
    pub task: skein_events::id::TaskId,
    /// The image it was made of.
    pub image: Option<Digest>,
    /// Bytes it wrote.
    pub written: u64,
    /// Whether it has not ended.
    pub running: bool,
}
