//! Images: what a reference names, and the store of configurations and unpacked layers.

pub(crate) mod archive;
pub mod config;
#[cfg(test)]
mod corpus;
pub mod digest;
mod entry;
pub mod reference;
pub(crate) mod store;
pub(crate) mod stream;
mod unpack;

use skein_events::time::Time;

pub use config::ImageConfig;
pub use digest::Digest;

/// A name an archive brought, e.g. `busybox:latest`; or the id of an image it left unnamed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoadedName {
    /// Named.
    Name(String),
    /// Unnamed.
    Id(Digest),
}

/// One image on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Digest of its configuration.
    pub id: Digest,
    /// Names that point to it, as a user writes them, sorted.
    pub names: Vec<String>,
    /// Bytes of its layers, unpacked.
    pub size: u64,
    /// When it was built, as its configuration says; the beginning of time if it does not.
    pub created: Time,
    /// What it says about running it.
    pub config: ImageConfig,
    /// Its layers, lowest first, by the digest of their uncompressed archive.
    pub layers: Vec<Digest>,
}
