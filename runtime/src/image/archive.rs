//! Archives of images. What `docker save` writes has a `manifest.json` that names configurations and layers, which lie
//! anywhere in the archive (`<id>/layer.tar`, or `blobs/sha256/…` since Docker 25); an OCI layout has an `index.json`. So
//! everything is put aside first, then read by name. An archive that is both means the same twice: the first is taken.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;

use skein_events::reference::Reference;

use super::config::{self, LAYERS_MAX};
use super::entry::{Entry, Extensions, Kind, read};
use super::store::{Staging, Store, read_limited, refusal};
use super::stream::{Caps, refused};
use super::{Digest, Loaded, layout};
use crate::error::{Context as _, Error, hostile};

/// Entries of the outer archive: a few for each layer of each image.
const FILES_MAX: u64 = 100_000;
/// Images of one archive.
const IMAGES_MAX: usize = 1_000;
/// Links between entries that are followed.
const HOPS_MAX: usize = 8;

#[derive(serde::Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ManifestItem {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

/// Where an entry of the archive was put: none ever gets a name of the archive's choosing.
enum Aside {
    File(PathBuf),
    Link(Vec<u8>),
}

/// The archive's files, by their names in it.
pub(super) struct Files(BTreeMap<Vec<u8>, Aside>);

/// Loads every image of an archive; blocks.
pub(crate) fn load(store: &Store, archive: impl Read, caps: Caps) -> Result<Vec<Loaded>, Error> {
    let staging = store.staging()?;
    let files =
        set_aside(archive, &staging, caps).map_err(|error| refusal(error, "read the archive"))?;
    let (docker, oci) = (files.has("manifest.json"), files.has("index.json"));
    let loaded = match (docker, oci) {
        (false, true) => layout::load(store, &files, caps),
        (true, _) | (false, false) => load_docker(store, &files, caps),
    };
    // What a refused image had brought already is needed by nobody: the machine collects it.
    drop(staging);
    loaded
}

fn load_docker(store: &Store, files: &Files, caps: Caps) -> Result<Vec<Loaded>, Error> {
    let manifest = read_limited(files.find("manifest.json")?)?;
    let items: Vec<ManifestItem> = serde_json::from_slice(&manifest)
        .map_err(|e| hostile(format!("its manifest.json cannot be read: {e}")))?;
    if items.is_empty() || items.len() > IMAGES_MAX {
        return Err(hostile(format!("{} images in one archive", items.len())));
    }
    let mut loaded = Vec::new();
    for item in items {
        loaded.extend(load_item(store, files, &item, caps)?);
    }
    Ok(loaded)
}

fn load_item(
    store: &Store,
    files: &Files,
    item: &ManifestItem,
    caps: Caps,
) -> Result<Vec<Loaded>, Error> {
    let names = item
        .repo_tags
        .iter()
        .flatten()
        .map(|tag| tag.parse().map_err(|e| hostile(format!("its name: {e}"))))
        .collect::<Result<Vec<Reference>, Error>>()?;
    let bytes = read_limited(files.find(&item.config)?)?;
    let said = item.config.rsplit('/').next().unwrap_or_default();
    if let Ok(said) = Digest::from_hex(said.strip_suffix(".json").unwrap_or(said))
        && said != Digest::of(&bytes)
    {
        return Err(hostile(format!("configuration {said} has other content")));
    }
    let parsed = config::parse(&bytes)?;
    if parsed.layers.len() != item.layers.len() || item.layers.len() > LAYERS_MAX {
        return Err(hostile("its manifest and configuration disagree on the layers"));
    }
    let _hold = store.hold(&parsed.layers);
    for (layer, path) in parsed.layers.iter().zip(&item.layers) {
        let file = File::open(files.find(path)?).context("open a layer's archive")?;
        store.add_layer(layer, file, caps)?;
    }
    let id = store.add_image(&bytes, &names)?;
    Ok(loaded(id, &names))
}

/// What to tell of an image that was loaded under some names.
pub(super) fn loaded(id: Digest, names: &[Reference]) -> Vec<Loaded> {
    if names.is_empty() {
        return vec![Loaded { id, name: None }];
    }
    names.iter().map(|name| Loaded { id, name: Some(name.familiar()) }).collect()
}

fn set_aside(archive: impl Read, staging: &Staging, caps: Caps) -> io::Result<Files> {
    // The whole may be compressed too: `docker load` takes that.
    let mut tar = tar::Archive::new(super::stream::LayerStream::new(archive, caps)?);
    let mut files = BTreeMap::new();
    let mut extensions = Extensions::default();
    for (number, entry) in (0_u64..).zip(tar.entries()?.raw(true)) {
        let mut entry = entry.map_err(|error| match error.kind() {
            io::ErrorKind::Other | io::ErrorKind::UnexpectedEof => {
                refused(format!("a broken archive: {error}"))
            }
            _ => error,
        })?;
        if number >= FILES_MAX {
            return Err(refused(format!("an archive of over {FILES_MAX} entries")));
        }
        if extensions.take(&mut entry)? {
            continue;
        }
        let Entry { path, kind, size, .. } = read(&entry, std::mem::take(&mut extensions))?;
        let aside = match kind {
            Kind::Dir => continue,
            Kind::File => {
                let place = staging.path().join(number.to_string());
                let copied = io::copy(&mut entry.take(size), &mut File::create_new(&place)?)?;
                if copied != size {
                    return Err(refused("it ends inside a file"));
                }
                Aside::File(place)
            }
            Kind::Symlink(target) => Aside::Link(beside(&path, &target)?),
            Kind::Hardlink(target) => Aside::Link(target),
            Kind::Fifo | Kind::Device(..) => return Err(refused("a device among its files")),
        };
        if files.insert(path, aside).is_some() {
            return Err(refused("two entries of the same name"));
        }
    }
    Ok(Files(files))
}

/// A relative link's target, as a path of the archive.
fn beside(path: &[u8], target: &[u8]) -> io::Result<Vec<u8>> {
    let mut parts: Vec<&[u8]> = path.split(|b| *b == b'/').collect();
    parts.pop();
    if target.starts_with(b"/") {
        return Err(refused("a link out of the archive"));
    }
    for part in target.split(|b| *b == b'/') {
        match part {
            b"" | b"." => {}
            b".." => {
                parts.pop().ok_or_else(|| refused("a link out of the archive"))?;
            }
            part => parts.push(part),
        }
    }
    Ok(parts.join(&b'/'))
}

impl Files {
    /// Whether the archive has an entry of this name.
    fn has(&self, name: &str) -> bool {
        self.0.contains_key(name.as_bytes())
    }

    /// Where a file of the archive was put, links followed.
    pub(super) fn find(&self, name: &str) -> Result<&PathBuf, Error> {
        let mut at = name.as_bytes();
        for _ in 0..HOPS_MAX {
            match self.0.get(at) {
                Some(Aside::File(place)) => return Ok(place),
                Some(Aside::Link(target)) => at = target,
                None => return Err(hostile(format!("{name:?} is missing from the archive"))),
            }
        }
        Err(hostile(format!("{name:?} is a link that leads nowhere")))
    }
}
