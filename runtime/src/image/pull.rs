//! An image comes from its registry: manifest, configuration, layers, each checked against the digest that led to it.
//! Everything is on this disk and checked before anything is unpacked; the rest is as for an archive.

use std::cell::Cell;
use std::fs::File;

use futures::{StreamExt as _, TryStreamExt as _};
use skein_events::reference::Reference;
use skein_events::time::Time;
use tokio::sync::mpsc;

use super::Digest;
use super::config;
use super::manifest::{DEPTH_MAX, Descriptor, Document, Manifest, for_this_machine, parse};
use super::partial::fetch;
use super::registry::{Access, Login, Registry};
use super::store::Store;
use super::stream::Caps;
use crate::error::{Context as _, Error, hostile};

/// Blobs of one image that come at the same time; as many as Docker's.
const CONNECTIONS: usize = 3;
/// Bytes between two words about how far a blob has come; Docker's.
const TOLD_EVERY: u64 = 512 << 10;

/// An image to fetch.
#[derive(Clone, Debug)]
pub struct Pull {
    /// Its name, by tag or by digest.
    pub name: Reference,
    /// Who asks.
    pub login: Option<Login>,
    /// When this is.
    pub now: Time,
    /// Hears how it goes on. Once nobody listens any more, the pull is given up.
    pub progress: mpsc::Sender<Progress>,
}

/// How a pull goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The registry has the image.
    Found,
    /// Something about one layer.
    Layer {
        /// The layer, by the digest of its blob.
        blob: Digest,
        /// What about it.
        step: Step,
    },
}

/// How far a layer has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It is here from before.
    Present,
    /// It is needed.
    Needed,
    /// So much of it is here.
    Coming {
        /// Bytes here.
        bytes: u64,
        /// Bytes of the whole.
        of: u64,
    },
    /// All of it is here.
    Came,
    /// It is unpacked.
    Unpacked,
}

/// What a pull brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pulled {
    /// The image.
    pub id: Digest,
    /// What its name means in the registry, by the digest of the manifest or index.
    pub digest: Digest,
    /// Whether anything is new: the image, or what its name means.
    pub fresh: bool,
}

/// What a name means in a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// Form of the manifest or index.
    pub media_type: String,
    /// Its digest.
    pub digest: Digest,
    /// Its bytes.
    pub size: u64,
    /// Machines it is for: architecture and operating system.
    pub platforms: Vec<(String, String)>,
}

/// Whom a machine pulls from.
#[derive(Clone, Debug)]
pub(crate) struct Sources {
    pub(crate) access: Access,
    pub(crate) caps: Caps,
}

/// Fetches an image; blocks for each write.
pub(crate) async fn pull(store: &Store, pull: &Pull, sources: &Sources) -> Result<Pulled, Error> {
    let Sources { access, caps } = sources;
    store.clear_partials(Some(pull.now))?;
    let registry = Registry::new(&pull.name, pull.login.clone(), access.clone())?;
    let (manifest, digest) = image_manifest(&registry, &pull.name, caps.bytes).await?;
    let id = manifest.config.digest;
    let names = names_of(&pull.name, &digest);
    tell(pull, Progress::Found).await;
    if let Some(fresh) = store.name(id, &names)? {
        return Ok(already_here(pull, &manifest, digest, fresh).await);
    }
    let bytes = registry.short_blob(&id, manifest.config.size).await?;
    let parsed = config::parse(&bytes)?;
    if parsed.layers.len() != manifest.layers.len() {
        return Err(hostile("its manifest and configuration disagree on the layers"));
    }
    let _hold = store.hold(&parsed.layers);
    let _claim = store.claim(manifest.layers.iter().map(|layer| layer.digest)).await;
    // Another pull, which this one waited for, may have brought it.
    if let Some(fresh) = store.name(id, &names)? {
        return Ok(already_here(pull, &manifest, digest, fresh).await);
    }
    let mut needed: Vec<&Descriptor> = Vec::new();
    for (layer, blob) in parsed.layers.iter().zip(&manifest.layers) {
        if store.has_layer(layer) {
            tell_step(pull, blob, Step::Present).await;
        } else {
            tell_step(pull, blob, Step::Needed).await;
            if needed.iter().all(|other| other.digest != blob.digest) {
                needed.push(blob);
            }
        }
    }
    let fetching = needed.iter().map(|blob| async {
        let last = Cell::new(0);
        let told = |bytes: u64| {
            if bytes - last.get().min(bytes) >= TOLD_EVERY {
                last.set(bytes);
                let step = Step::Coming { bytes, of: blob.size };
                // One who does not keep up hears of a later one.
                let _ = pull.progress.try_send(Progress::Layer { blob: blob.digest, step });
            }
        };
        fetch(store, &registry, blob, &told).await?;
        tell_step(pull, blob, Step::Came).await;
        Ok::<(), Error>(())
    });
    let fetching: Vec<_> = fetching.collect();
    futures::stream::iter(fetching).buffer_unordered(CONNECTIONS).try_collect::<()>().await?;
    for (layer, blob) in parsed.layers.iter().zip(&manifest.layers) {
        if store.has_layer(layer) {
            continue;
        }
        let file = File::open(store.partial(&blob.digest)).context("open a blob")?;
        let added = store.add_layer(layer, file, *caps);
        if let Err(Error::HostileImage { .. }) = added {
            store.drop_partial(&blob.digest);
        }
        added?;
        tell_step(pull, blob, Step::Unpacked).await;
    }
    let id = store.add_image(&bytes, &names)?;
    for blob in needed {
        store.drop_partial(&blob.digest);
    }
    Ok(Pulled { id, digest, fresh: true })
}

async fn already_here(pull: &Pull, manifest: &Manifest, digest: Digest, fresh: bool) -> Pulled {
    for layer in &manifest.layers {
        tell_step(pull, layer, Step::Present).await;
    }
    Pulled { id: manifest.config.digest, digest, fresh }
}

/// Asks the registry of a name whether it knows who asks.
pub(crate) async fn check_login(
    name: &Reference,
    login: Login,
    sources: &Sources,
) -> Result<(), Error> {
    Registry::new(name, Some(login), sources.access.clone())?.check_login().await
}

/// Asks a registry what a name means, without fetching it.
pub(crate) async fn resolve(
    name: &Reference,
    login: Option<Login>,
    sources: &Sources,
) -> Result<Resolved, Error> {
    let Sources { access, caps } = sources;
    let registry = Registry::new(name, login, access.clone())?;
    let fetched = registry.manifest(name, wanted(name)).await?;
    let (digest, size) = (Digest::of(&fetched.bytes), fetched.bytes.len());
    let document = parse(&fetched.bytes, fetched.media_type.as_deref(), caps.bytes)?;
    let platforms = match &document {
        Document::Index(entries) => entries
            .iter()
            .filter_map(|entry| entry.platform.as_ref())
            // Attestations say that they are for no machine.
            .filter(|platform| platform.os != "unknown")
            .map(|platform| (platform.architecture.clone(), platform.os.clone()))
            .collect(),
        Document::Image(manifest) => {
            let config = registry.short_blob(&manifest.config.digest, manifest.config.size).await?;
            config::platform(&config)?.into_iter().collect()
        }
    };
    let kind = match document {
        Document::Index(_) => "application/vnd.oci.image.index.v1+json",
        Document::Image(_) => "application/vnd.oci.image.manifest.v1+json",
    };
    let media_type = fetched.media_type.unwrap_or_else(|| kind.to_owned());
    let size = u64::try_from(size).expect("a length fits 64 bits");
    Ok(Resolved { media_type, digest, size, platforms })
}

fn wanted(name: &Reference) -> &str {
    name.digest().or_else(|| name.tag()).unwrap_or("latest")
}

/// Follows indexes to the manifest for this machine; the digest is that of what the name means.
async fn image_manifest(
    registry: &Registry,
    name: &Reference,
    layer_max: u64,
) -> Result<(Manifest, Digest), Error> {
    let mut fetched = registry.manifest(name, wanted(name)).await?;
    let digest = Digest::of(&fetched.bytes);
    for _ in 0..DEPTH_MAX {
        match parse(&fetched.bytes, fetched.media_type.as_deref(), layer_max)? {
            Document::Image(manifest) => return Ok((manifest, digest)),
            Document::Index(entries) => {
                let at = for_this_machine(&entries)?;
                fetched = registry.manifest(name, &at.digest.to_string()).await?;
            }
        }
    }
    Err(hostile(format!("more than {DEPTH_MAX} indexes within one another")))
}

/// The names an image gets: what was asked for, and the repository with the digest.
fn names_of(name: &Reference, digest: &Digest) -> Vec<Reference> {
    let pinned = name.pinned(&digest.to_string()).key();
    if name.digest().is_some() { vec![pinned] } else { vec![name.clone(), pinned] }
}

async fn tell(pull: &Pull, progress: Progress) {
    // Nobody listens: then whoever runs this gives it up.
    let _ = pull.progress.send(progress).await;
}

async fn tell_step(pull: &Pull, blob: &Descriptor, step: Step) {
    tell(pull, Progress::Layer { blob: blob.digest, step }).await;
}
