//! Volumes of Docker's driver `local`: directories that outlive containers, and who uses them.
//! All of it stands on disk, so a daemon that was killed finds it as it was; what was half made or half removed has a
//! name no volume can have, and goes at the next start.
//!
//! ```text
//! <data>/volumes/<name>/_data          what containers see
//! <data>/volumes/<name>/volume.json    labels and options; its time is when the volume was made
//! <data>/volumes/<name>/users/<task>   a container that uses it, if it is still there
//! <data>/volumes/.new-…, .gone-…       half made, half removed
//! <data>/volumes/.discarded/           what is being removed
//! ```

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};
use std::time::UNIX_EPOCH;

use nix::mount::{MsFlags, mount};
use rustix::fs::{AtFlags, Mode, StatxAttributes, StatxFlags, chmod, statx};
use skein_events::id::TaskId;
use skein_events::time::Time;

use crate::api::{Volume, VolumeSpec};
use crate::discard::Discard;
use crate::error::{Context as _, Error};
use crate::image::store::{sync_dir, write_atomically};
use crate::private;
use crate::rootfs::overlay::take_away;

/// What containers see of a volume.
pub(crate) const DATA: &str = "_data";
/// Left by the first container that filled or looked at it: see `rootfs::mount`.
pub(crate) const OPENED: &str = "opened";
const FILE: &str = "volume.json";
const USERS: &str = "users";
const HALF_MADE: &str = ".new-";
const HALF_REMOVED: &str = ".gone-";
const DISCARDED: &str = ".discarded";
/// Longest name: a file's.
const NAME_MAX: usize = 240;

#[derive(serde::Serialize, serde::Deserialize)]
struct Kept {
    labels: BTreeMap<String, String>,
    options: BTreeMap<String, String>,
    /// Made for one container, and gone with it.
    #[serde(default)]
    anonymous: bool,
}

/// The volumes of one data root.
#[derive(Debug)]
pub(crate) struct Volumes {
    dir: PathBuf,
    /// Where containers have their directories: a user without one is none.
    containers: PathBuf,
    /// What is no longer wanted.
    discard: Discard,
    /// Held while something is made, taken or removed.
    changing: Mutex<()>,
}

impl Volumes {
    /// Opens or makes the directory and clears away what an earlier life left half done.
    pub(crate) fn open(dir: PathBuf, containers: PathBuf) -> Result<Self, Error> {
        // Set-user-id files of containers are in there: nobody else passes (CVE-2021-41091).
        private::dir(&dir)?;
        let discard = Discard::open(dir.join(DISCARDED))?;
        let volumes = Self { dir, containers, discard, changing: Mutex::default() };
        for name in volumes.names()? {
            if name.starts_with(HALF_MADE) || name.starts_with(HALF_REMOVED) {
                volumes.destroy(&name)?;
            }
        }
        Ok(volumes)
    }

    /// Every volume, ordered by name.
    pub(crate) fn list(&self) -> Result<Vec<Volume>, Error> {
        let mut names = self.names()?;
        names.sort();
        let mut volumes = Vec::new();
        for name in names.iter().filter(|name| check_name(name).is_ok()) {
            volumes.extend(self.find(name)?);
        }
        Ok(volumes)
    }

    /// The volume of this name.
    pub(crate) fn find(&self, name: &str) -> Result<Option<Volume>, Error> {
        if check_name(name).is_err() {
            return Ok(None);
        }
        let what = || format!("read volume {name}");
        let file = self.dir.join(name).join(FILE);
        let json = match fs::read(&file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            json => json.context(what())?,
        };
        let Kept { labels, options, anonymous } =
            serde_json::from_slice(&json).map_err(io::Error::from).context(what())?;
        let made = fs::metadata(&file).and_then(|m| m.modified()).context(what())?;
        let since = made.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        Ok(Some(Volume {
            name: name.to_owned(),
            labels,
            options,
            anonymous,
            created: Time(u64::try_from(since).unwrap_or(u64::MAX)),
            mountpoint: self.dir.join(name).join(DATA),
            users: self.users(name)?,
        }))
    }

    /// Makes a volume; one that is there already is answered as it is, as Docker does.
    pub(crate) fn create(&self, spec: &VolumeSpec) -> Result<Volume, Error> {
        let _changing = self.changing();
        self.create_unlocked(spec, false)
    }

    /// Removes a volume that no container uses; with `force` it need not be there.
    pub(crate) fn remove(&self, name: &str, force: bool) -> Result<(), Error> {
        let _changing = self.changing();
        let Some(volume) = self.find(name)? else {
            return if force { Ok(()) } else { Err(Error::NoSuchVolume(name.to_owned())) };
        };
        if !volume.users.is_empty() {
            return Err(Error::VolumeInUse { name: name.to_owned(), users: volume.users });
        }
        let gone = format!("{HALF_REMOVED}{name}");
        // It may be a mount; it goes under its old name, since a mount point is not renamed.
        take_away(&self.dir.join(name).join(DATA))?;
        let what = || format!("remove volume {name}");
        fs::rename(self.dir.join(name), self.dir.join(&gone)).context(what())?;
        sync_dir(&self.dir)?;
        self.destroy(&gone)
    }

    /// Notes that a container uses a volume, makes it if need be, mounts what it stands for.
    pub(crate) fn take(
        &self,
        spec: &VolumeSpec,
        anonymous: bool,
        user: TaskId,
    ) -> Result<Volume, Error> {
        let _changing = self.changing();
        let volume = self.create_unlocked(spec, anonymous)?;
        let users = self.dir.join(&volume.name).join(USERS);
        let what = || format!("use volume {}", volume.name);
        fs::create_dir_all(&users).context(what())?;
        private::create(&users.join(user.to_string())).context(what())?;
        self.mount(&volume)?;
        Ok(volume)
    }

    /// Notes that a container uses a volume no more.
    pub(crate) fn give_back(&self, name: &str, user: TaskId) -> Result<(), Error> {
        let _changing = self.changing();
        let marker = self.dir.join(name).join(USERS).join(user.to_string());
        match fs::remove_file(&marker) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            done => done.context(format!("give volume {name} back"))?,
        }
        let Some(volume) = self.find(name)? else { return Ok(()) };
        if !volume.users.is_empty() {
            return Ok(());
        }
        if !volume.options.is_empty() {
            take_away(&volume.mountpoint)?;
        }
        if volume.anonymous { self.destroy(name) } else { Ok(()) }
    }

    fn create_unlocked(&self, spec: &VolumeSpec, anonymous: bool) -> Result<Volume, Error> {
        let VolumeSpec { name, options, labels } = spec;
        check_name(name)?;
        device(name, options)?;
        if let Some(known) = self.find(name)? {
            return Ok(known);
        }
        let what = || format!("make volume {name}");
        let new = self.dir.join(format!("{HALF_MADE}{name}"));
        fs::create_dir_all(new.join(DATA)).context(what())?;
        // What every user in a container passes through.
        chmod(new.join(DATA), Mode::from(0o755)).context(what())?;
        let kept = Kept { labels: labels.clone(), options: options.clone(), anonymous };
        let json = serde_json::to_vec(&kept).expect("a volume is texts");
        write_atomically(&new.join(FILE), &json)?;
        fs::rename(&new, self.dir.join(name)).context(what())?;
        sync_dir(&self.dir)?;
        self.find(name)?.ok_or_else(|| Error::NoSuchVolume(name.clone()))
    }

    /// Mounts what the options name, if it is not; the content of a directory volume is simply there.
    fn mount(&self, volume: &Volume) -> Result<(), Error> {
        let Some(device) = device(&volume.name, &volume.options)? else { return Ok(()) };
        if is_mount_point(&volume.mountpoint)? {
            return Ok(());
        }
        let (flags, data) = split_options(&device.options);
        mount(
            Some(device.source.as_str()),
            &volume.mountpoint,
            Some(device.kind.as_str()),
            flags,
            Some(data.as_str()).filter(|data| !data.is_empty()),
        )
        .map_err(|errno| Error::BadSetting {
            message: format!(
                "failed to mount local volume: mount {}:{}, data: {}: {}",
                device.source,
                volume.mountpoint.display(),
                device.options,
                errno.desc().to_lowercase(),
            ),
        })
    }

    fn users(&self, name: &str) -> Result<Vec<TaskId>, Error> {
        let entries = match fs::read_dir(self.dir.join(name).join(USERS)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.context(format!("list the users of volume {name}"))?,
        };
        let mut users: Vec<TaskId> = entries
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .filter(|id: &TaskId| self.containers.join(id.to_string()).exists())
            .collect();
        users.sort();
        Ok(users)
    }

    fn names(&self) -> Result<Vec<String>, Error> {
        let entries = fs::read_dir(&self.dir).context("list the volumes")?;
        Ok(entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect())
    }

    fn destroy(&self, name: &str) -> Result<(), Error> {
        let dir = self.dir.join(name);
        take_away(&dir.join(DATA))?;
        self.discard.take(&dir)
    }

    fn changing(&self) -> MutexGuard<'_, ()> {
        self.changing.lock().expect("no holder of this lock panics")
    }
}

/// Docker's rule and words.
fn check_name(name: &str) -> Result<(), Error> {
    if name.len() < 2 {
        return Err(Error::BadSetting {
            message:
                "volume name is too short, names should be at least two alphanumeric characters"
                    .to_owned(),
        });
    }
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    let sound = name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.chars().all(inner);
    if sound && name.len() <= NAME_MAX {
        return Ok(());
    }
    Err(Error::BadSetting {
        message: format!(
            "create {name}: {name:?} includes invalid characters for a local volume name, only \
             \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to pass a host directory, use absolute path"
        ),
    })
}

struct Device {
    kind: String,
    source: String,
    options: String,
}

/// What the options ask to be mounted; none is a plain directory.
fn device(name: &str, options: &BTreeMap<String, String>) -> Result<Option<Device>, Error> {
    let bad = |message: String| Error::BadSetting { message: format!("create {name}: {message}") };
    if options.is_empty() {
        return Ok(None);
    }
    if let Some(other) = options.keys().find(|key| !["type", "device", "o"].contains(&key.as_str()))
    {
        return Err(bad(format!("invalid option: {other:?}")));
    }
    let get = |key: &str| options.get(key).filter(|value| !value.is_empty()).cloned();
    let missing = |key: &str| bad(format!("missing required option: {key:?}"));
    let kind = get("type").ok_or_else(|| missing("type"))?;
    let source = get("device").ok_or_else(|| missing("device"))?;
    if kind.starts_with("nfs") || kind == "cifs" {
        return Err(bad(format!(
            "volumes of type {kind} are not there yet: mount it on the host and use --mount type=bind"
        )));
    }
    Ok(Some(Device { kind, source, options: get("o").unwrap_or_default() }))
}

/// What the kernel takes as flags, and what is for the file system.
fn split_options(options: &str) -> (MsFlags, String) {
    let mut flags = MsFlags::empty();
    let mut data = Vec::new();
    for option in options.split(',').filter(|option| !option.is_empty()) {
        match option {
            "bind" => flags |= MsFlags::MS_BIND,
            "rbind" => flags |= MsFlags::MS_BIND | MsFlags::MS_REC,
            "ro" => flags |= MsFlags::MS_RDONLY,
            "rw" | "defaults" => {}
            "nosuid" => flags |= MsFlags::MS_NOSUID,
            "nodev" => flags |= MsFlags::MS_NODEV,
            "noexec" => flags |= MsFlags::MS_NOEXEC,
            "noatime" => flags |= MsFlags::MS_NOATIME,
            "nodiratime" => flags |= MsFlags::MS_NODIRATIME,
            "relatime" => flags |= MsFlags::MS_RELATIME,
            "sync" => flags |= MsFlags::MS_SYNCHRONOUS,
            other => data.push(other),
        }
    }
    (flags, data.join(","))
}

fn is_mount_point(path: &Path) -> Result<bool, Error> {
    let flags = AtFlags::SYMLINK_NOFOLLOW;
    let stat = statx(rustix::fs::CWD, path, flags, StatxFlags::empty())
        .context(format!("look at {}", path.display()))?;
    Ok(stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(name: &str) -> VolumeSpec {
        VolumeSpec { name: name.to_owned(), ..VolumeSpec::default() }
    }

    fn with(options: &[(&str, &str)]) -> VolumeSpec {
        let text = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        VolumeSpec { options: options.iter().map(text).collect(), ..spec("data") }
    }

    fn open(dir: &Path) -> Volumes {
        Volumes::open(dir.join("volumes"), dir.join("containers")).unwrap()
    }

    #[test]
    fn a_used_volume_stays_and_a_killed_daemon_leaves_no_user() {
        let dir = tempfile::tempdir().unwrap();
        let volumes = open(dir.path());
        let user = TaskId::from_random([1; 16]);
        let container = dir.path().join("containers").join(user.to_string());
        fs::create_dir_all(&container).unwrap();
        let volume = volumes.take(&spec("data"), false, user).unwrap();
        fs::write(volume.mountpoint.join("x"), "kept").unwrap();
        let error = volumes.remove("data", false).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("remove data: volume is in use - [{}]", crate::api::container_id(user))
        );
        // The container is gone, and nobody was there to say so.
        fs::remove_dir(&container).unwrap();
        let again = open(dir.path());
        assert_eq!(
            fs::read(again.find("data").unwrap().unwrap().mountpoint.join("x")).unwrap(),
            b"kept"
        );
        assert_eq!(again.list().unwrap().len(), 1);
        again.remove("data", false).unwrap();
        assert_eq!(again.list().unwrap(), []);
        assert!(matches!(again.remove("data", false), Err(Error::NoSuchVolume(_))));
        again.remove("data", true).unwrap();
        again.remove("../containers", true).unwrap();
    }

    #[test]
    fn half_made_and_half_removed_ones_go() {
        let dir = tempfile::tempdir().unwrap();
        for name in [".new-a", ".gone-b"] {
            fs::create_dir_all(dir.path().join("volumes").join(name).join(DATA)).unwrap();
        }
        let volumes = open(dir.path());
        assert_eq!(volumes.names().unwrap(), [DISCARDED]);
    }

    #[test]
    fn an_anonymous_volume_goes_with_its_container() {
        let dir = tempfile::tempdir().unwrap();
        let volumes = open(dir.path());
        let user = TaskId::from_random([1; 16]);
        volumes.take(&spec("0123"), true, user).unwrap();
        volumes.take(&spec("named"), false, user).unwrap();
        for name in ["0123", "named", "nosuch"] {
            volumes.give_back(name, user).unwrap();
        }
        let left: Vec<String> = volumes.list().unwrap().into_iter().map(|v| v.name).collect();
        assert_eq!(left, ["named"]);
    }

    #[test]
    fn names_and_options_are_checked() {
        let dir = tempfile::tempdir().unwrap();
        let volumes = open(dir.path());
        for name in ["", "a", ".hidden", "a/b", "../x", "ab c", &"x".repeat(300)] {
            assert!(matches!(volumes.create(&spec(name)), Err(Error::BadSetting { .. })), "{name}");
            assert_eq!(volumes.find(name).unwrap(), None);
        }
        for (options, text) in [
            (&[("size", "1g")][..], "create data: invalid option: \"size\""),
            (&[("type", "tmpfs")], "create data: missing required option: \"device\""),
            (&[("o", "x"), ("device", "d")], "create data: missing required option: \"type\""),
            (
                &[("type", "nfs"), ("device", ":/x")],
                "create data: volumes of type nfs are not there yet: mount it on the host and use --mount type=bind",
            ),
        ] {
            assert_eq!(volumes.create(&with(options)).unwrap_err().to_string(), text);
        }
        let (flags, data) = split_options("ro,size=1m,bind,uid=1");
        assert_eq!(
            (flags, data.as_str()),
            (MsFlags::MS_RDONLY | MsFlags::MS_BIND, "size=1m,uid=1")
        );
    }
}
