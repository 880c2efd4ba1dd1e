//! The images on this machine: configurations and unpacked layers by digest, names by reference.
//! Nothing counts as there before its digest was checked and its bytes are on the disk: it then gets its name by rename.
//!
//! ```text
//! images/names.json            reference → image id
//! images/config/<id>           the configuration, its digest is the id
//! images/layers/<diff id>/     fs/ the unpacked layer, size the bytes in it
//! images/tmp/                  what is being taken in; emptied at start
//! ```

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use super::config::{self, CONFIG_MAX, Parsed};
use super::reference::Reference;
use super::stream::{Caps, Refused};
use super::unpack::unpack;
use super::{Digest, Image};
use crate::error::{Context as _, Error, hostile};

/// Digits of an id that a user must give at least.
const ID_DIGITS_MIN: usize = 12;

type Names = BTreeMap<Reference, Digest>;

/// The store, opened.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    root: Arc<PathBuf>,
    names: Arc<Mutex<Names>>,
}

impl Store {
    /// Opens or makes the store below `root` and clears what an interrupted load left.
    pub(crate) fn open(root: PathBuf) -> Result<Self, Error> {
        for dir in ["config", "layers"] {
            let path = root.join(dir);
            fs::create_dir_all(&path).context(format!("make {}", path.display()))?;
        }
        let tmp = root.join("tmp");
        match fs::remove_dir_all(&tmp) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(error).context(format!("clear {}", tmp.display()));
            }
            _ => fs::create_dir(&tmp).context(format!("make {}", tmp.display()))?,
        }
        let path = root.join("names.json");
        let names = match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map_err(io::Error::from)
                .context(format!("read {}", path.display()))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Names::new(),
            Err(error) => return Err(error).context(format!("read {}", path.display())),
        };
        Ok(Self { root: Arc::new(root), names: Arc::new(Mutex::new(names)) })
    }

    fn names(&self) -> MutexGuard<'_, Names> {
        self.names.lock().expect("no call panics while it holds the names")
    }

    /// A directory for something being taken in, on the same file system as its place.
    pub(crate) fn staging(&self) -> Result<Staging, Error> {
        let mut random = [0; 16];
        getrandom::fill(&mut random)
            .map_err(|error| io::Error::other(error.to_string()))
            .context("draw a name")?;
        let path = self.root.join("tmp").join(super::digest::hex_of(&random));
        fs::create_dir(&path).context(format!("make {}", path.display()))?;
        Ok(Staging(path))
    }

    fn layer_dir(&self, layer: &Digest) -> PathBuf {
        self.root.join("layers").join(layer.hex())
    }

    /// The unpacked layers of an image, lowest first.
    pub(crate) fn layer_paths(&self, image: &Image) -> Vec<PathBuf> {
        image.layers.iter().map(|layer| self.layer_dir(layer).join("fs")).collect()
    }

    /// Takes one layer in, unless it is there already.
    pub(crate) fn add_layer(&self, layer: &Digest, archive: File, caps: Caps) -> Result<(), Error> {
        let place = self.layer_dir(layer);
        if place.exists() {
            return Ok(());
        }
        let staging = self.staging()?;
        let unpacked_at = staging.0.join("fs");
        fs::create_dir(&unpacked_at).context(format!("make {}", unpacked_at.display()))?;
        let unpacked = unpack(archive, &unpacked_at, caps)
            .map_err(|error| refusal(error, "unpack a layer"))?;
        if unpacked.digest != *layer {
            return Err(hostile(format!(
                "layer {layer} has content of digest {}",
                unpacked.digest
            )));
        }
        fs::write(staging.0.join("size"), unpacked.size.to_string())
            .context("write a layer's size")?;
        let dir = File::open(&staging.0).context("open a layer")?;
        rustix::fs::syncfs(&dir).context("write a layer to the disk")?;
        match fs::rename(&staging.0, &place) {
            // Somebody else brought the same layer meanwhile; its digest was checked as well.
            Err(_) if place.exists() => Ok(()),
            renamed => renamed.context(format!("place layer {layer}")),
        }?;
        sync_dir(&self.root.join("layers"))
    }

    /// Takes an image in, all of whose layers are there, and points `names` to it.
    pub(crate) fn add_image(&self, bytes: &[u8], names: &[Reference]) -> Result<Digest, Error> {
        let id = Digest::of(bytes);
        let place = self.root.join("config").join(id.hex());
        write_atomically(&place, bytes)?;
        let mut known = self.names();
        for name in names {
            known.insert(name.clone(), id);
        }
        let json = serde_json::to_vec_pretty(&*known).expect("names are texts");
        write_atomically(&self.root.join("names.json"), &json)?;
        Ok(id)
    }

    fn image(&self, id: &Digest) -> Result<Image, Error> {
        let bytes = fs::read(self.root.join("config").join(id.hex()))
            .context(format!("read image {id}"))?;
        if Digest::of(&bytes) != *id {
            return Err(Error::Io {
                what: format!("read image {id}"),
                source: io::Error::other("its configuration was changed on the disk"),
            });
        }
        let Parsed { created, config, layers } = config::parse(&bytes)?;
        let mut size = 0;
        for layer in &layers {
            let text = fs::read_to_string(self.layer_dir(layer).join("size"))
                .context(format!("read layer {layer}"))?;
            size += text.trim().parse::<u64>().unwrap_or(0);
        }
        let names = self
            .names()
            .iter()
            .filter(|(_, named)| *named == id)
            .map(|(name, _)| name.familiar())
            .collect();
        Ok(Image { id: *id, names, size, created, config, layers })
    }

    fn ids(&self) -> Result<Vec<Digest>, Error> {
        let mut ids = Vec::new();
        for entry in fs::read_dir(self.root.join("config")).context("list images")? {
            let name = entry.context("list images")?.file_name();
            // Other files are those of an interrupted write.
            ids.extend(name.to_str().and_then(|name| Digest::from_hex(name).ok()));
        }
        ids.sort();
        Ok(ids)
    }

    /// All images.
    pub(crate) fn images(&self) -> Result<Vec<Image>, Error> {
        self.ids()?.iter().map(|id| self.image(id)).collect()
    }

    /// The image some text means: a name first, then an id.
    pub(crate) fn find(&self, text: &str) -> Result<Option<Image>, Error> {
        let named = text
            .parse::<Reference>()
            .ok()
            .and_then(|reference| self.names().get(&reference).copied());
        if let Some(id) = named {
            return self.image(&id).map(Some);
        }
        let digits = text.strip_prefix("sha256:").unwrap_or(text);
        if digits.len() < ID_DIGITS_MIN || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Ok(None);
        }
        let ids = self.ids()?;
        let mut matching = ids.iter().filter(|id| id.hex().starts_with(digits));
        match (matching.next(), matching.next()) {
            (Some(id), None) => self.image(id).map(Some),
            _ => Ok(None),
        }
    }
}

/// A directory that goes away unless it was renamed to its place.
#[derive(Debug)]
pub(crate) struct Staging(PathBuf);

impl Staging {
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // What cannot be removed now is when the store is opened next.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Tells what the archive did from what the machine could not.
pub(crate) fn refusal(error: io::Error, what: &str) -> Error {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Refused>()) {
        Some(Refused(reason)) => hostile(reason.clone()),
        None => Error::Io { what: what.to_owned(), source: error },
    }
}

pub(crate) fn sync_dir(dir: &Path) -> Result<(), Error> {
    File::open(dir).and_then(|dir| dir.sync_all()).context(format!("sync {}", dir.display()))
}

/// Writes beside, to the disk, then renames: a reader sees the old or the new.
pub(crate) fn write_atomically(place: &Path, bytes: &[u8]) -> Result<(), Error> {
    let what = || format!("write {}", place.display());
    let mut beside = place.as_os_str().to_owned();
    beside.push(".new");
    let mut file = File::create(&beside).context(what())?;
    file.write_all(bytes).context(what())?;
    file.sync_all().context(what())?;
    fs::rename(&beside, place).context(what())?;
    sync_dir(place.parent().expect("a file has a directory"))
}

/// Reads a file of limited size that an archive brought.
pub(crate) fn read_limited(path: &Path) -> Result<Vec<u8>, Error> {
    let length = fs::metadata(path).context("read an archive's file")?.len();
    if length > CONFIG_MAX {
        return Err(hostile(format!("a manifest or configuration of over {CONFIG_MAX} bytes")));
    }
    fs::read(path).context("read an archive's file")
}
