//! An OCI layout inside an archive: `index.json` leads to manifests, they to blobs, each named by its digest.
//! Everything is checked against the digest that led to it, so the only thing believed is the index's choice of names.

use std::fs::File;
use std::io::{self, Read};

use sha2::{Digest as _, Sha256};
use skein_events::reference::Reference;

use super::archive::{Files, loaded};
use super::config;
use super::manifest::{DEPTH_MAX, Descriptor, Document, Manifest, for_this_machine, parse};
use super::store::{Store, read_limited};
use super::stream::{Caps, refused};
use super::{Digest, Loaded};
use crate::error::{Context as _, Error, hostile};

/// Who says the whole name, and who perhaps only the tag.
const NAMES: [&str; 2] = ["io.containerd.image.name", "org.opencontainers.image.ref.name"];

/// Loads every image of a layout; blocks.
pub(super) fn load(store: &Store, files: &Files, caps: Caps) -> Result<Vec<Loaded>, Error> {
    let index = read_limited(files.find("index.json")?)?;
    let Document::Index(entries) = parse(&index, None, caps.bytes)? else {
        return Err(hostile("its index.json is no index"));
    };
    if entries.is_empty() {
        return Err(hostile("0 images in one archive"));
    }
    let mut done = Vec::new();
    for entry in &entries {
        let (manifest, digest) = manifest_of(files, entry, caps)?;
        done.extend(load_image(store, files, &manifest, name_of(entry, &digest)?, caps)?);
    }
    Ok(done)
}

/// Follows indexes to the manifest for this machine; the digest is that of the entry, which names the whole.
fn manifest_of(files: &Files, entry: &Descriptor, caps: Caps) -> Result<(Manifest, Digest), Error> {
    let mut at = entry.clone();
    for _ in 0..DEPTH_MAX {
        let said = Some(at.media_type.as_str()).filter(|text| !text.is_empty());
        match parse(&small_blob(files, &at)?, said, caps.bytes)? {
            Document::Image(manifest) => return Ok((manifest, entry.digest)),
            Document::Index(entries) => at = for_this_machine(&entries)?.clone(),
        }
    }
    Err(hostile(format!("more than {DEPTH_MAX} indexes within one another")))
}

/// The name an entry gives its image, by tag and by digest; a lone tag names no repository and so nothing.
fn name_of(entry: &Descriptor, digest: &Digest) -> Result<Vec<Reference>, Error> {
    let annotations = entry.annotations.as_ref();
    let said = NAMES.iter().find_map(|key| annotations.and_then(|map| map.get(*key)));
    let Some(said) = said else { return Ok(Vec::new()) };
    if !said.contains([':', '/']) {
        return Ok(Vec::new());
    }
    let name: Reference = said.parse().map_err(|e| hostile(format!("its name: {e}")))?;
    let pinned = name.pinned(&digest.to_string()).key();
    Ok(if name.digest().is_some() { vec![pinned] } else { vec![name, pinned] })
}

fn load_image(
    store: &Store,
    files: &Files,
    manifest: &Manifest,
    names: Vec<Reference>,
    caps: Caps,
) -> Result<Vec<Loaded>, Error> {
    let bytes = small_blob(files, &manifest.config)?;
    let parsed = config::parse(&bytes)?;
    if parsed.layers.len() != manifest.layers.len() {
        return Err(hostile("its manifest and configuration disagree on the layers"));
    }
    let _hold = store.hold(&parsed.layers);
    for (layer, blob) in parsed.layers.iter().zip(&manifest.layers) {
        let file = File::open(files.find(&path_of(&blob.digest))?).context("open a blob")?;
        let length = file.metadata().context("open a blob")?.len();
        if length != blob.size {
            return Err(hostile(format!(
                "blob {} has {length} bytes and not {}",
                blob.digest, blob.size
            )));
        }
        store.add_layer(layer, Checked::new(file, blob.digest), caps)?;
    }
    let id = store.add_image(&bytes, &names)?;
    let tagged: Vec<Reference> = names.into_iter().filter(|name| name.digest().is_none()).collect();
    Ok(loaded(id, &tagged))
}

fn path_of(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

fn small_blob(files: &Files, blob: &Descriptor) -> Result<Vec<u8>, Error> {
    let bytes = read_limited(files.find(&path_of(&blob.digest))?)?;
    if Digest::of(&bytes) != blob.digest {
        return Err(hostile(format!("blob {} has other content", blob.digest)));
    }
    Ok(bytes)
}

/// A blob as it is read, refused at its end if it was not what its name says.
struct Checked<R> {
    inner: R,
    hasher: Sha256,
    digest: Digest,
}

impl<R> Checked<R> {
    fn new(inner: R, digest: Digest) -> Self {
        Self { inner, hasher: Sha256::new(), digest }
    }
}

impl<R: Read> Read for Checked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..n]);
        if n == 0 && !buffer.is_empty() {
            let found = Digest::from_hasher(self.hasher.clone());
            if found != self.digest {
                return Err(refused(format!("blob {} has other content", self.digest)));
            }
        }
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_names_its_image_or_leaves_it_unnamed() {
        let digest = Digest::of(b"manifest");
        let entry = |key: &str, name: &str| -> Descriptor {
            let json = serde_json::json!({
                "digest": digest.to_string(), "size": 1, "annotations": { key: name },
            });
            serde_json::from_value(json).unwrap()
        };
        let names = |entry: &Descriptor| -> Vec<String> {
            name_of(entry, &digest).unwrap().iter().map(Reference::familiar).collect()
        };
        let both = ["app:1".to_owned(), format!("app@{digest}")];
        assert_eq!(names(&entry(NAMES[0], "docker.io/library/app:1")), both);
        assert_eq!(names(&entry(NAMES[1], "app:1")), both);
        assert_eq!(names(&entry(NAMES[1], "1.2")), [""; 0]);
        assert_eq!(names(&entry("other", "app:1")), [""; 0]);
        assert!(name_of(&entry(NAMES[0], "../x:1"), &digest).is_err());
    }
}
