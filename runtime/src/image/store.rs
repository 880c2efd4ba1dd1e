//! The images on this machine: configurations and unpacked layers by digest, names by reference.
//! Nothing counts as there before its digest was checked and its bytes are on the disk: it then gets its name by rename.
//! What goes leaves in the other order, so that a crash in between leaves too much and never too little.
//!
//! ```text
//! images/names.json            reference → image id
//! images/config/<id>           the configuration, its digest is the id
//! images/layers/<diff id>/     fs/ the unpacked layer, size the bytes in it
//! images/partial/<digest>      what came of a download so far
//! images/tmp/                  what is being taken in; emptied at start
//! images/discarded/            what is being removed
//! ```

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use skein_events::reference::Reference;

use super::config::{self, CONFIG_MAX, Parsed};
use super::partial::Fetching;
use super::stream::{Caps, Refused};
use super::unpack::unpack;
use super::{Details, Digest, Image};
use crate::discard::Discard;
use crate::error::{Context as _, Error, hostile};
use crate::private;

/// Digits of an id that a container's image must give at least: shorter ones look like names.
pub(crate) const ID_DIGITS: usize = 12;
/// Digits that a user who looks at images must give at least.
pub(crate) const ID_DIGITS_SHORT: usize = 4;

pub(super) type Names = BTreeMap<Reference, Digest>;

/// The store, opened. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Store(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    root: PathBuf,
    discard: Discard,
    tables: Mutex<Tables>,
    fetching: Mutex<Fetching>,
}

/// What every change of the store goes through: whoever has it sees no other change.
#[derive(Debug)]
pub(super) struct Tables {
    pub(super) names: Names,
    /// Images and layers that somebody is about to use: they stay.
    pub(super) held: BTreeMap<Digest, usize>,
}

impl Store {
    /// Opens or makes the store below `root` and clears what an interrupted load left.
    pub(crate) fn open(root: PathBuf) -> Result<Self, Error> {
        // Layers hold set-user-id files and whatever else images bring.
        private::dir(&root)?;
        for dir in ["config", "layers", "partial"] {
            private::dir(&root.join(dir))?;
        }
        let discard = Discard::open(root.join("discarded"))?;
        discard.take(&root.join("tmp"))?;
        private::dir(&root.join("tmp"))?;
        let path = root.join("names.json");
        let names = match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map_err(io::Error::from)
                .context(format!("read {}", path.display()))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Names::new(),
            Err(error) => return Err(error).context(format!("read {}", path.display())),
        };
        let tables = Mutex::new(Tables { names, held: BTreeMap::new() });
        Ok(Self(Arc::new(Inner { root, discard, tables, fetching: Mutex::default() })))
    }

    pub(super) fn tables(&self) -> MutexGuard<'_, Tables> {
        self.0.tables.lock().expect("no call panics while it holds the tables")
    }

    pub(super) fn fetching(&self) -> MutexGuard<'_, Fetching> {
        self.0.fetching.lock().expect("no call panics while it looks who fetches what")
    }

    /// A directory for something being taken in, on the same file system as its place.
    pub(crate) fn staging(&self) -> Result<Staging, Error> {
        let path = self.aside()?;
        fs::create_dir(&path).context(format!("make {}", path.display()))?;
        Ok(Staging { path, discard: self.0.discard.clone() })
    }

    /// What is no longer wanted.
    pub(crate) fn discard(&self) -> &Discard {
        &self.0.discard
    }

    /// A fresh name in `tmp`.
    pub(super) fn aside(&self) -> Result<PathBuf, Error> {
        let mut random = [0; 16];
        getrandom::fill(&mut random)
            .map_err(|error| io::Error::other(error.to_string()))
            .context("draw a name")?;
        Ok(self.0.root.join("tmp").join(super::digest::hex_of(&random)))
    }

    pub(super) fn layers_dir(&self) -> PathBuf {
        self.0.root.join("layers")
    }

    pub(super) fn layer_dir(&self, layer: &Digest) -> PathBuf {
        self.layers_dir().join(layer.hex())
    }

    pub(super) fn config_path(&self, id: &Digest) -> PathBuf {
        self.0.root.join("config").join(id.hex())
    }

    /// Where downloads that did not end wait for being gone on with.
    pub(crate) fn partial_dir(&self) -> PathBuf {
        self.0.root.join("partial")
    }

    /// The unpacked layers of an image, lowest first.
    pub(crate) fn layer_paths(&self, image: &Image) -> Vec<PathBuf> {
        image.layers.iter().map(|layer| self.layer_dir(layer).join("fs")).collect()
    }

    /// Whether a layer is there.
    pub(crate) fn has_layer(&self, layer: &Digest) -> bool {
        self.layer_dir(layer).exists()
    }

    /// Keeps images and layers from being cleared away, whether they are there yet or not.
    pub(crate) fn hold(&self, digests: &[Digest]) -> Hold {
        let mut tables = self.tables();
        for digest in digests {
            *tables.held.entry(*digest).or_default() += 1;
        }
        Hold { store: self.clone(), digests: digests.to_vec() }
    }

    /// Takes one layer in, unless it is there already. Whoever asks holds it.
    pub(crate) fn add_layer(
        &self,
        layer: &Digest,
        archive: impl Read,
        caps: Caps,
    ) -> Result<(), Error> {
        if self.has_layer(layer) {
            return Ok(());
        }
        let (staging, found) = self.unpack_aside(archive, caps)?;
        if found != *layer {
            return Err(hostile(format!("layer {layer} has content of digest {found}")));
        }
        self.place_layer(&staging, layer)
    }

    /// Takes in a layer of which nobody said what it is.
    pub(crate) fn add_new_layer(
        &self,
        archive: impl Read,
        caps: Caps,
    ) -> Result<(Digest, Hold), Error> {
        let (staging, layer) = self.unpack_aside(archive, caps)?;
        let hold = self.hold(&[layer]);
        self.place_layer(&staging, &layer)?;
        Ok((layer, hold))
    }

    fn unpack_aside(&self, archive: impl Read, caps: Caps) -> Result<(Staging, Digest), Error> {
        let staging = self.staging()?;
        let unpacked_at = staging.path.join("fs");
        fs::create_dir(&unpacked_at).context(format!("make {}", unpacked_at.display()))?;
        let unpacked = unpack(archive, &unpacked_at, caps)
            .map_err(|error| refusal(error, "unpack a layer"))?;
        private::write(&staging.path.join("size"), unpacked.size.to_string().as_bytes())
            .context("write a layer's size")?;
        Ok((staging, unpacked.digest))
    }

    fn place_layer(&self, staging: &Staging, layer: &Digest) -> Result<(), Error> {
        let place = self.layer_dir(layer);
        let dir = File::open(&staging.path).context("open a layer")?;
        rustix::fs::syncfs(&dir).context("write a layer to the disk")?;
        match fs::rename(&staging.path, &place) {
            // Somebody else brought the same layer meanwhile; its digest was checked as well.
            Err(_) if place.exists() => Ok(()),
            renamed => renamed.context(format!("place layer {layer}")),
        }?;
        sync_dir(&self.layers_dir())
    }

    /// Takes an image in, all of whose layers are there and held, and points `names` to it.
    pub(crate) fn add_image(&self, bytes: &[u8], names: &[Reference]) -> Result<Digest, Error> {
        let id = Digest::of(bytes);
        let mut tables = self.tables();
        write_atomically(&self.config_path(&id), bytes)?;
        self.rename(&mut tables, |known| {
            for name in names {
                known.insert(name.clone().key(), id);
            }
        })?;
        Ok(id)
    }

    /// Points names to an image that is here as a whole and says whether one of them meant something else; `None` if the
    /// image is not here.
    pub(super) fn name(&self, id: Digest, names: &[Reference]) -> Result<Option<bool>, Error> {
        let mut tables = self.tables();
        let Some(parsed) = self.parsed(&id)? else { return Ok(None) };
        if !parsed.layers.iter().all(|layer| self.has_layer(layer)) {
            return Ok(None);
        }
        let moved = names.iter().any(|name| tables.names.get(&name.clone().key()) != Some(&id));
        self.rename(&mut tables, |known| {
            known.extend(names.iter().map(|name| (name.clone().key(), id)));
        })?;
        Ok(Some(moved))
    }

    /// Gives an image a further name; `None` if there is no such image.
    pub(crate) fn tag(&self, text: &str, name: &Reference) -> Result<Option<Digest>, Error> {
        let mut tables = self.tables();
        let Some((id, _)) = self.look_up(&tables.names, text, ID_DIGITS_SHORT)? else {
            return Ok(None);
        };
        self.rename(&mut tables, |known| {
            known.insert(name.clone().key(), id);
        })?;
        Ok(Some(id))
    }

    /// Changes the names, on the disk first.
    pub(super) fn rename(
        &self,
        tables: &mut Tables,
        change: impl FnOnce(&mut Names),
    ) -> Result<(), Error> {
        let mut names = tables.names.clone();
        change(&mut names);
        if names != tables.names {
            let json = serde_json::to_vec_pretty(&names).expect("names are texts");
            write_atomically(&self.0.root.join("names.json"), &json)?;
            tables.names = names;
        }
        Ok(())
    }

    fn bytes(&self, id: &Digest) -> Result<Option<Vec<u8>>, Error> {
        let bytes = match fs::read(self.config_path(id)) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).context(format!("read image {id}")),
        };
        if Digest::of(&bytes) != *id {
            return Err(Error::Io {
                what: format!("read image {id}"),
                source: io::Error::other("its configuration was changed on the disk"),
            });
        }
        Ok(Some(bytes))
    }

    /// What an image's configuration says; `None` if it has gone.
    pub(super) fn parsed(&self, id: &Digest) -> Result<Option<Parsed>, Error> {
        self.bytes(id)?.map(|bytes| config::parse(&bytes)).transpose()
    }

    /// Bytes of a layer; 0 if it has gone.
    pub(super) fn layer_size(&self, layer: &Digest) -> Result<u64, Error> {
        match fs::read_to_string(self.layer_dir(layer).join("size")) {
            Ok(text) => Ok(text.trim().parse().unwrap_or(0)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            Err(error) => Err(error).context(format!("read layer {layer}")),
        }
    }

    fn read_image(&self, names: &Names, id: &Digest) -> Result<Option<Image>, Error> {
        let Some(Parsed { created, config, layers }) = self.parsed(id)? else { return Ok(None) };
        let mut size = 0;
        for layer in &layers {
            size += self.layer_size(layer)?;
        }
        let of_it = names.iter().filter(|(_, named)| *named == id).map(|(name, _)| name);
        let (digests, names): (Vec<&Reference>, _) = of_it.partition(|n| n.digest().is_some());
        let shown = |names: Vec<&Reference>| names.into_iter().map(Reference::familiar).collect();
        Ok(Some(Image {
            id: *id,
            names: shown(names),
            digests: shown(digests),
            size,
            created,
            config,
            layers,
        }))
    }

    pub(super) fn ids(&self) -> Result<Vec<Digest>, Error> {
        let mut ids = Vec::new();
        for entry in fs::read_dir(self.0.root.join("config")).context("list images")? {
            let name = entry.context("list images")?.file_name();
            // Other files are those of an interrupted write.
            ids.extend(name.to_str().and_then(|name| Digest::from_hex(name).ok()));
        }
        ids.sort();
        Ok(ids)
    }

    /// All images.
    pub(crate) fn images(&self) -> Result<Vec<Image>, Error> {
        let names = self.tables().names.clone();
        let mut images = Vec::new();
        for id in self.ids()? {
            images.extend(self.read_image(&names, &id)?);
        }
        Ok(images)
    }

    /// The image some text means, and the name if it was one: a name counts before an id.
    pub(super) fn look_up(
        &self,
        names: &Names,
        text: &str,
        digits: usize,
    ) -> Result<Option<(Digest, Option<Reference>)>, Error> {
        let name = text.parse::<Reference>().ok().map(Reference::key);
        if let Some((name, id)) = name.and_then(|name| names.get_key_value(&name)) {
            return Ok(Some((*id, Some(name.clone()))));
        }
        let hex = text.strip_prefix("sha256:").unwrap_or(text);
        if hex.len() < digits || !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Ok(None);
        }
        let ids = self.ids()?;
        let matching: Vec<&Digest> = ids.iter().filter(|id| id.hex().starts_with(hex)).collect();
        match matching.as_slice() {
            [] => Ok(None),
            [id] => Ok(Some((**id, None))),
            many => {
                let label = |id: &&Digest| {
                    let named = names.iter().find(|(_, named)| *named == *id);
                    let name =
                        named.map_or_else(|| "<none>".to_owned(), |(name, _)| name.familiar());
                    format!("{name} ({:.12})", id.hex())
                };
                let candidates = many.iter().map(label).collect();
                Err(Error::AmbiguousImage { name: text.to_owned(), candidates })
            }
        }
    }

    /// The image some text means.
    pub(crate) fn find(&self, text: &str, digits: usize) -> Result<Option<Image>, Error> {
        let names = self.tables().names.clone();
        match self.look_up(&names, text, digits)? {
            Some((id, _)) => self.read_image(&names, &id),
            None => Ok(None),
        }
    }

    /// The image of a container about to be made, held together with its layers.
    pub(crate) fn lease(&self, text: &str) -> Result<Option<(Image, Hold)>, Error> {
        let mut tables = self.tables();
        let Some((id, _)) = self.look_up(&tables.names, text, ID_DIGITS)? else { return Ok(None) };
        let Some(image) = self.read_image(&tables.names, &id)? else { return Ok(None) };
        let digests: Vec<Digest> = image.layers.iter().copied().chain([id]).collect();
        for digest in &digests {
            *tables.held.entry(*digest).or_default() += 1;
        }
        Ok(Some((image, Hold { store: self.clone(), digests })))
    }

    /// The image some text means, seen closely.
    pub(crate) fn details(&self, text: &str) -> Result<Option<Details>, Error> {
        let Some(image) = self.find(text, ID_DIGITS_SHORT)? else { return Ok(None) };
        let Some(bytes) = self.bytes(&image.id)? else { return Ok(None) };
        let file = serde_json::from_slice(&bytes)
            .map_err(io::Error::from)
            .context(format!("read image {}", image.id))?;
        let layer_sizes =
            image.layers.iter().map(|layer| self.layer_size(layer)).collect::<Result<_, _>>()?;
        Ok(Some(Details { image, file, layer_sizes }))
    }
}

/// Keeps images and layers where they are until it is dropped.
#[derive(Debug)]
pub(crate) struct Hold {
    store: Store,
    digests: Vec<Digest>,
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut tables = self.store.tables();
        for digest in &self.digests {
            if let Some(count) = tables.held.get_mut(digest) {
                *count -= 1;
                if *count == 0 {
                    tables.held.remove(digest);
                }
            }
        }
    }
}

/// A directory that goes away unless it was renamed to its place.
#[derive(Debug)]
pub(crate) struct Staging {
    path: PathBuf,
    discard: Discard,
}

impl Staging {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // What cannot be moved now is when the store is opened next.
        let _ = self.discard.take(&self.path);
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
    let mut file = private::create(beside.as_ref()).context(what())?;
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
