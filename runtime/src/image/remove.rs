//! The way out of the store: names, then the configuration, then the layers nothing needs any more.
//! What goes is decided with the tables locked and renamed aside; only the deleting itself happens after. A kill at any
//! point leaves an image without a name, a layer without an image, or something in `tmp`: the next start clears them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use skein_events::reference::Reference;

use super::config::ImageConfig;
use super::store::{ID_DIGITS_SHORT, Names, Store, Tables, sync_dir};
use super::{Digest, Prune, Pruned, Removed};
use crate::discard::Discard;
use crate::error::{Context as _, Error};

/// Digits of an id that a sentence shows.
const SHORT: usize = 12;

/// What one container on this machine needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Use {
    /// Docker's id of the container.
    pub(crate) container: String,
    pub(crate) running: bool,
    /// The image it was made of; containers of an older daemon do not say.
    pub(crate) image: Option<Digest>,
    pub(crate) layers: Vec<Digest>,
}

/// An image that is to go, with what stands against it.
struct Candidate<'a> {
    id: Digest,
    users: Vec<&'a Use>,
    held: bool,
}

impl Candidate<'_> {
    fn short(&self) -> String {
        self.id.hex()[..SHORT].to_owned()
    }
    fn user(&self, running: bool) -> Option<&str> {
        self.users.iter().find(|u| u.running == running).map(|u| &u.container[..SHORT])
    }
    /// What no force overcomes.
    fn hard(&self) -> Option<String> {
        let by = match (self.user(true), self.held) {
            (Some(container), _) => format!("running container {container}"),
            (None, true) => "a container that is about to start".to_owned(),
            (None, false) => return None,
        };
        let image = self.short();
        Some(format!(
            "conflict: unable to delete {image} (cannot be forced) - image is being used by {by}"
        ))
    }
    fn soft(&self) -> Option<String> {
        let (container, image) = (self.user(false)?, self.short());
        Some(format!(
            "conflict: unable to delete {image} (must be forced) - image is being used by stopped container {container}"
        ))
    }
}

/// What goes with a name or an image.
struct Removal {
    id: Digest,
    names: Vec<Reference>,
    /// Whether the image itself goes.
    image: bool,
}

fn untagged(name: &Reference) -> Removed {
    Removed::Untagged(name.familiar())
}

/// Layers and images that were renamed aside, and the bytes they have.
struct Cleared {
    places: Vec<PathBuf>,
    layers: Vec<Digest>,
    bytes: u64,
}

impl Cleared {
    /// Deletes them; the tables are not locked any more.
    fn delete(self, discard: &Discard) -> (Vec<Removed>, u64) {
        for place in self.places {
            // What cannot be moved now is when the store is opened next.
            if let Err(error) = discard.take(&place) {
                tracing::warn!(place = %place.display(), %error, "a layer is not cleared away yet");
            }
        }
        (self.layers.into_iter().map(Removed::Deleted).collect(), self.bytes)
    }
}

impl Store {
    /// Removes what a user named: a name, or the image when it was the last one; Docker's rules and sentences.
    pub(crate) fn remove(
        &self,
        text: &str,
        force: bool,
        uses: impl Fn() -> Result<Vec<Use>, Error>,
    ) -> Result<Vec<Removed>, Error> {
        let mut tables = self.tables();
        let uses = uses()?;
        let Removal { id, names, image } = self.removal(&tables, text, force, &uses)?;
        self.rename(&mut tables, |known| known.retain(|name, _| !names.contains(name)))?;
        let mut removed: Vec<Removed> = names.iter().map(untagged).collect();
        if image {
            self.delete_image(&id)?;
            removed.push(Removed::Deleted(id));
            let cleared = self.set_aside_unused(&tables, &uses)?;
            drop(tables);
            removed.extend(cleared.delete(self.discard()).0);
        }
        Ok(removed)
    }

    /// What [`Store::remove`] would do.
    pub(crate) fn would_remove(
        &self,
        text: &str,
        force: bool,
        uses: impl Fn() -> Result<Vec<Use>, Error>,
    ) -> Result<Pruned, Error> {
        let tables = self.tables();
        let uses = uses()?;
        let Removal { id, names, image } = self.removal(&tables, text, force, &uses)?;
        let removed = names.iter().map(untagged).collect();
        let gone = if image { vec![id] } else { Vec::new() };
        self.foreseen(&tables, &uses, removed, &gone)
    }

    /// What goes with what a user named.
    fn removal(
        &self,
        tables: &Tables,
        text: &str,
        force: bool,
        uses: &[Use],
    ) -> Result<Removal, Error> {
        let Some((id, name)) = self.look_up(&tables.names, text, ID_DIGITS_SHORT)? else {
            return Err(Error::NoSuchImage(text.to_owned()));
        };
        let candidate = self.candidate(tables, id, uses)?;
        let names = names_of(&tables.names, &id);
        let going: Vec<Reference> = match name {
            Some(name) => {
                if let (false, true, Some(user)) =
                    (force, one_name(&names), candidate.users.first())
                {
                    return Err(Error::Conflict(format!(
                        "conflict: unable to remove repository reference {text:?} (must force) - container {} is using its referenced image {}",
                        &user.container[..SHORT],
                        candidate.short(),
                    )));
                }
                with_its_digests(name, &names)
            }
            None => {
                let several = !one_name(&names) && !force;
                let against = candidate.hard().or_else(|| {
                    several.then(|| {
                        let image = candidate.short();
                        format!(
                            "conflict: unable to delete {image} (must be forced) - image is referenced in multiple repositories"
                        )
                    })
                });
                let against = against.or_else(|| candidate.soft().filter(|_| !force));
                if let Some(sentence) = against {
                    return Err(Error::Conflict(sentence));
                }
                names.clone()
            }
        };
        // With its last name goes the image, unless a container still stands on it.
        let last = names.len() == going.len();
        let image = last && candidate.hard().is_none() && (force || candidate.users.is_empty());
        Ok(Removal { id, names: going, image })
    }

    /// Removes what nobody needs.
    pub(crate) fn prune(
        &self,
        wanted: &Prune,
        uses: impl Fn() -> Result<Vec<Use>, Error>,
    ) -> Result<Pruned, Error> {
        let mut tables = self.tables();
        let uses = uses()?;
        let mut removed = Vec::new();
        for (id, names) in self.prunable(&tables, wanted, &uses)? {
            self.rename(&mut tables, |known| known.retain(|_, named| *named != id))?;
            removed.extend(names.iter().map(untagged));
            self.delete_image(&id)?;
            removed.push(Removed::Deleted(id));
        }
        let cleared = self.set_aside_unused(&tables, &uses)?;
        drop(tables);
        let (layers, reclaimed) = cleared.delete(self.discard());
        removed.extend(layers);
        Ok(Pruned { removed, reclaimed })
    }

    /// What [`Store::prune`] would do.
    pub(crate) fn would_prune(
        &self,
        wanted: &Prune,
        uses: impl Fn() -> Result<Vec<Use>, Error>,
    ) -> Result<Pruned, Error> {
        let tables = self.tables();
        let uses = uses()?;
        let going = self.prunable(&tables, wanted, &uses)?;
        let removed = going.iter().flat_map(|(_, names)| names.iter().map(untagged)).collect();
        let gone: Vec<Digest> = going.into_iter().map(|(id, _)| id).collect();
        self.foreseen(&tables, &uses, removed, &gone)
    }

    /// The images nobody needs, with their names.
    fn prunable(
        &self,
        tables: &Tables,
        wanted: &Prune,
        uses: &[Use],
    ) -> Result<Vec<(Digest, Vec<Reference>)>, Error> {
        let mut found = Vec::new();
        for id in self.ids()? {
            let candidate = self.candidate(tables, id, uses)?;
            let names = names_of(&tables.names, &id);
            let dangling = names.iter().all(|name| name.digest().is_some());
            let parsed = self.parsed(&id)?;
            let chosen = parsed.is_some_and(|parsed| {
                wanted.before.is_none_or(|before| parsed.created < before)
                    && chosen_by_labels(wanted, &parsed.config)
            });
            let free = candidate.users.is_empty() && !candidate.held;
            if chosen && free && (dangling || wanted.all) {
                found.push((id, names));
            }
        }
        Ok(found)
    }

    /// What would be removed with these images, after what is removed anyway.
    fn foreseen(
        &self,
        tables: &Tables,
        uses: &[Use],
        mut removed: Vec<Removed>,
        gone: &[Digest],
    ) -> Result<Pruned, Error> {
        removed.extend(gone.iter().copied().map(Removed::Deleted));
        let mut reclaimed = 0;
        for layer in self.unused(tables, uses, gone)? {
            reclaimed += self.layer_size(&layer)?;
            removed.push(Removed::Deleted(layer));
        }
        Ok(Pruned { removed, reclaimed })
    }

    /// Clears away every layer that no image, no container and nothing under way needs.
    pub(crate) fn collect(&self, uses: impl Fn() -> Result<Vec<Use>, Error>) -> Result<u64, Error> {
        let tables = self.tables();
        let cleared = self.set_aside_unused(&tables, &uses()?)?;
        drop(tables);
        Ok(cleared.delete(self.discard()).1)
    }

    fn candidate<'a>(
        &self,
        tables: &Tables,
        id: Digest,
        uses: &'a [Use],
    ) -> Result<Candidate<'a>, Error> {
        let layers = self.parsed(&id)?.map(|parsed| parsed.layers);
        let of_it = |u: &&Use| match u.image {
            Some(image) => image == id,
            None => Some(&u.layers) == layers.as_ref(),
        };
        let users = uses.iter().filter(of_it).collect();
        Ok(Candidate { id, users, held: tables.held.contains_key(&id) })
    }

    fn delete_image(&self, id: &Digest) -> Result<(), Error> {
        let path = self.config_path(id);
        fs::remove_file(&path).context(format!("remove image {id}"))?;
        sync_dir(path.parent().expect("a file has a directory"))
    }

    /// Layers that nothing needs, if some images were not there.
    fn unused(&self, tables: &Tables, uses: &[Use], gone: &[Digest]) -> Result<Vec<Digest>, Error> {
        let mut needed: BTreeSet<Digest> = tables.held.keys().copied().collect();
        needed.extend(uses.iter().flat_map(|u| u.layers.iter().copied()));
        for id in self.ids()?.iter().filter(|id| !gone.contains(id)) {
            // An image that cannot be read stops this: what it needs is not known.
            needed.extend(self.parsed(id)?.map(|parsed| parsed.layers).unwrap_or_default());
        }
        Ok(self.layers()?.into_keys().filter(|layer| !needed.contains(layer)).collect())
    }

    fn set_aside_unused(&self, tables: &Tables, uses: &[Use]) -> Result<Cleared, Error> {
        let mut cleared = Cleared { places: Vec::new(), layers: Vec::new(), bytes: 0 };
        for layer in self.unused(tables, uses, &[])? {
            cleared.bytes += self.layer_size(&layer)?;
            let place = self.aside()?;
            fs::rename(self.layer_dir(&layer), &place).context(format!("clear layer {layer}"))?;
            cleared.places.push(place);
            cleared.layers.push(layer);
        }
        Ok(cleared)
    }

    /// Every layer there is, with its bytes.
    pub(crate) fn layers(&self) -> Result<BTreeMap<Digest, u64>, Error> {
        let mut layers = BTreeMap::new();
        for entry in fs::read_dir(self.layers_dir()).context("list layers")? {
            let name = entry.context("list layers")?.file_name();
            if let Some(layer) = name.to_str().and_then(|name| Digest::from_hex(name).ok()) {
                layers.insert(layer, self.layer_size(&layer)?);
            }
        }
        Ok(layers)
    }
}

fn names_of(names: &Names, id: &Digest) -> Vec<Reference> {
    names.iter().filter(|(_, named)| *named == id).map(|(name, _)| name.clone()).collect()
}

/// At most one tag, and all names in one repository.
fn one_name(names: &[Reference]) -> bool {
    names.iter().filter(|name| name.digest().is_none()).count() <= 1
        && names.iter().all(|name| names.first().is_some_and(|first| first.same_repository(name)))
}

/// A tag takes the digests of its repository along when it was the last tag there.
fn with_its_digests(name: Reference, names: &[Reference]) -> Vec<Reference> {
    let siblings = || names.iter().filter(|other| **other != name && other.same_repository(&name));
    let last_tag = name.digest().is_none() && siblings().all(|other| other.digest().is_some());
    let digests: Vec<Reference> = if last_tag { siblings().cloned().collect() } else { Vec::new() };
    std::iter::once(name).chain(digests).collect()
}

fn chosen_by_labels(wanted: &Prune, config: &ImageConfig) -> bool {
    let has = |text: &String| match text.split_once('=') {
        Some((key, value)) => config.labels.get(key).is_some_and(|found| found == value),
        None => config.labels.contains_key(text),
    };
    wanted.labels.iter().all(has) && !wanted.without.iter().any(has)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::stream::Caps;

    struct World {
        _dir: tempfile::TempDir,
        store: Store,
    }

    /// A layer with one file, as an archive.
    fn layer(content: &str) -> Vec<u8> {
        let mut tar = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1);
        tar.append_data(&mut header, "f", content.as_bytes()).unwrap();
        tar.into_inner().unwrap()
    }

    impl World {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let store = Store::open(dir.path().join("images")).unwrap();
            Self { _dir: dir, store }
        }
        /// An image of some layers and names; its id.
        fn image(&self, layers: &[&str], names: &[&str]) -> Digest {
            let mut ids = Vec::new();
            for content in layers {
                let archive = layer(content);
                let id = Digest::of(&archive);
                self.store.add_layer(&id, archive.as_slice(), Caps::default()).unwrap();
                ids.push(id.to_string());
            }
            let config = serde_json::json!({
                "os": "linux", "created": "2020-01-01T00:00:00Z",
                "config": {"Labels": {"tier": layers.concat()}},
                "rootfs": {"type": "layers", "diff_ids": ids},
            });
            let names: Vec<Reference> = names.iter().map(|name| name.parse().unwrap()).collect();
            self.store.add_image(config.to_string().as_bytes(), &names).unwrap()
        }
        fn remove(&self, text: &str, force: bool, uses: &[Use]) -> Result<String, String> {
            let foreseen = self.store.would_remove(text, force, || Ok(uses.to_vec()));
            let removed = self.store.remove(text, force, || Ok(uses.to_vec()));
            match (&foreseen, &removed) {
                (Ok(foreseen), Ok(removed)) => assert_eq!(foreseen.removed, *removed),
                (foreseen, removed) => assert!(foreseen.is_err() && removed.is_err()),
            }
            let shown = |step: &Removed| match step {
                Removed::Untagged(name) => format!("-{name}"),
                Removed::Deleted(_) => "!".to_owned(),
            };
            removed
                .map(|steps| steps.iter().map(shown).collect::<Vec<_>>().join(" "))
                .map_err(|error| error.to_string())
        }
        fn layers(&self) -> usize {
            self.store.layers().unwrap().len()
        }
    }

    fn user(image: Digest, running: bool) -> Use {
        Use { container: "c".repeat(64), running, image: Some(image), layers: Vec::new() }
    }

    #[test]
    fn an_id_that_two_images_begin_with_names_both() {
        let world = World::new();
        // Two configurations whose digests begin alike: a few hundred are enough.
        let config = |n: u32| {
            format!(
                r#"{{"os":"linux","comment":"{n}","rootfs":{{"type":"layers","diff_ids":[]}}}}"#
            )
        };
        let mut seen = std::collections::BTreeMap::new();
        let alike = (0..).find_map(|n| {
            let hex = Digest::of(config(n).as_bytes()).hex();
            seen.insert(hex[..ID_DIGITS_SHORT].to_owned(), n).map(|earlier| (earlier, n))
        });
        let (one, two) = alike.unwrap();
        let add = |n: u32, name: &str| self::add(&world, &config(n), name).hex();
        let ids = [add(one, "one:1"), add(two, "two:1")];
        let prefix = &ids[0][..ID_DIGITS_SHORT];
        let refused = world.remove(prefix, true, &[]).unwrap_err();
        assert!(refused.starts_with(&format!("image {prefix} is ambiguous: ")), "{refused}");
        for (id, name) in ids.iter().zip(["one:1", "two:1"]) {
            assert!(refused.contains(&format!("{name} ({})", &id[..12])), "{refused}");
            assert!(world.store.find(id, ID_DIGITS_SHORT).unwrap().is_some());
        }
    }

    fn add(world: &World, config: &str, name: &str) -> Digest {
        world.store.add_image(config.as_bytes(), &[name.parse().unwrap()]).unwrap()
    }

    #[test]
    fn a_name_goes_alone_and_the_last_one_takes_the_image() {
        let world = World::new();
        let id = world.image(&["a", "b"], &["one:1", "two:1"]);
        world.image(&["a"], &["other"]);
        assert_eq!(world.remove("nosuch", false, &[]).unwrap_err(), "no such image: nosuch");
        assert_eq!(world.remove("one:1", false, &[]).unwrap(), "-one:1");
        assert_eq!(world.layers(), 2);
        // The layer that the other image has too stays.
        assert_eq!(world.remove("two:1", false, &[]).unwrap(), "-two:1 ! !");
        assert_eq!((world.layers(), world.store.images().unwrap().len()), (1, 1));
        assert!(world.store.find(&id.hex(), ID_DIGITS_SHORT).unwrap().is_none());
        let tmp = world.store.staging().unwrap();
        assert_eq!(fs::read_dir(tmp.path().parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn the_last_tag_takes_its_repositorys_digests_along() {
        let world = World::new();
        let digest = format!("one@{}", Digest::of(b"manifest"));
        let id = world.image(&["a"], &["one:1", &digest, "two:1"]);
        assert_eq!(world.remove("one:1", false, &[]).unwrap(), format!("-one:1 -{digest}"));
        assert_eq!(world.store.images().unwrap()[0].names, ["two:1"]);
        assert_eq!(world.remove(&id.hex()[..12], false, &[]).unwrap(), "-two:1 ! !");
    }

    #[test]
    fn an_image_of_several_names_is_not_removed_by_its_id_without_force() {
        let world = World::new();
        let id = world.image(&["a"], &["one:1", "two:1"]);
        let short = &id.hex()[..12];
        assert_eq!(
            world.remove(short, false, &[]).unwrap_err(),
            format!(
                "conflict: unable to delete {short} (must be forced) - image is referenced in multiple repositories"
            )
        );
        assert_eq!(world.store.images().unwrap()[0].names, ["one:1", "two:1"]);
        assert_eq!(world.remove(short, true, &[]).unwrap(), "-one:1 -two:1 ! !");
        assert_eq!(world.layers(), 0);
    }

    #[test]
    fn containers_keep_their_image_and_always_their_layers() {
        let world = World::new();
        let id = world.image(&["a"], &["one:1"]);
        let short = &id.hex()[..12];
        let layers = world.store.images().unwrap()[0].layers.clone();
        let running = [Use { layers: layers.clone(), ..user(id, true) }];
        let stopped = [Use { layers, ..user(id, false) }];
        assert_eq!(
            world.remove(short, true, &running).unwrap_err(),
            format!(
                "conflict: unable to delete {short} (cannot be forced) - image is being used by running container cccccccccccc"
            )
        );
        assert_eq!(
            world.remove(short, false, &stopped).unwrap_err(),
            format!(
                "conflict: unable to delete {short} (must be forced) - image is being used by stopped container cccccccccccc"
            )
        );
        assert_eq!(
            world.remove("one:1", false, &stopped).unwrap_err(),
            format!(
                "conflict: unable to remove repository reference \"one:1\" (must force) - container cccccccccccc is using its referenced image {short}"
            )
        );
        // By name and with force only the name goes while a container runs.
        assert_eq!(world.remove("one:1", true, &running).unwrap(), "-one:1");
        assert_eq!(world.store.images().unwrap()[0].names, [""; 0]);
        assert_eq!(world.remove(short, true, &stopped).unwrap(), "!");
        assert_eq!(world.layers(), 1, "a stopped container can still be looked at");
        assert_eq!(world.store.collect(|| Ok(Vec::new())).unwrap(), 1);
        assert_eq!(world.layers(), 0);
    }

    #[test]
    fn a_container_of_an_older_daemon_is_known_by_its_layers() {
        let world = World::new();
        world.image(&["a"], &["one:1"]);
        let layers = world.store.images().unwrap()[0].layers.clone();
        let old = Use { container: "c".repeat(64), running: true, image: None, layers };
        assert!(world.remove("one:1", false, &[old]).unwrap_err().contains("is using"));
    }

    #[test]
    fn what_is_held_stays() {
        let world = World::new();
        let id = world.image(&["a"], &["one:1"]);
        let (_, lease) = world.store.lease("one:1").unwrap().unwrap();
        let refused = world.remove(&id.hex(), true, &[]).unwrap_err();
        assert!(refused.ends_with("a container that is about to start"), "{refused}");
        assert_eq!(
            world.store.prune(&Prune { all: true, ..Prune::default() }, || Ok(Vec::new())).unwrap(),
            Pruned::default()
        );
        drop(lease);
        let archive = layer("new");
        let new = Digest::of(&archive);
        let hold = world.store.hold(&[new]);
        world.store.add_layer(&new, archive.as_slice(), Caps::default()).unwrap();
        world.store.collect(|| Ok(Vec::new())).unwrap();
        assert!(world.store.has_layer(&new));
        drop(hold);
        world.store.collect(|| Ok(Vec::new())).unwrap();
        assert!(!world.store.has_layer(&new));
    }

    #[test]
    fn a_prune_takes_the_nameless_or_all_that_nobody_uses() {
        let world = World::new();
        world.image(&["old"], &["one:1"]);
        let used = world.image(&["used"], &["two:1"]);
        world.image(&["new"], &["one:1"]);
        let prune = |prune: Prune, uses: &[Use]| {
            let pruned = world.store.prune(&prune, || Ok(uses.to_vec())).unwrap();
            (pruned.removed.len(), pruned.reclaimed)
        };
        let labelled = Prune { labels: vec!["tier=new".to_owned()], ..Prune::default() };
        assert_eq!(prune(labelled, &[]), (0, 0));
        let before = Prune { before: Some(skein_events::time::Time(1)), ..Prune::default() };
        assert_eq!(prune(before, &[]), (0, 0));
        assert_eq!(prune(Prune::default(), &[]), (2, 3), "the image and its layer");
        assert_eq!(prune(Prune { all: true, ..Prune::default() }, &[user(used, true)]), (3, 3));
        assert_eq!(world.store.images().unwrap()[0].names, ["two:1"]);
    }
}
