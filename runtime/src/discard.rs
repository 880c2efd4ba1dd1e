//! What is no longer wanted, out of its place at once and off the disk when there is time: what a container built may take
//! long to remove, or not be removable at all, and nobody waits for that; a daemon's start least of all.
//!
//! A folder on the same file system takes it in by a rename. One thread empties the folder and ends; what resists is named
//! in the log once, kept, and tried again with whatever comes next and at every start.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::{Context as _, Error};
use crate::{private, tree};

/// The folder. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Discard(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    dir: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// A thread is at work.
    working: bool,
    /// Something came while it was.
    more: bool,
    /// Numbers names.
    taken: u64,
    /// What could not be removed, and why.
    stuck: BTreeMap<OsString, String>,
}

impl Discard {
    /// Opens or makes the folder; what an earlier life left in it goes on being removed.
    pub(crate) fn open(dir: PathBuf) -> Result<Self, Error> {
        private::dir(&dir)?;
        let discard = Self(Arc::new(Inner { dir, state: Mutex::default() }));
        discard.empty();
        Ok(discard)
    }

    /// Takes a file or directory in; nothing there is nothing to do.
    pub(crate) fn take(&self, path: &Path) -> Result<(), Error> {
        let what = || format!("remove {}", path.display());
        loop {
            let taken = {
                let mut state = self.state();
                state.taken += 1;
                state.taken
            };
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            // Short enough whatever the name, and free: another life of the daemon may have had the number.
            let name: String = name.chars().take(60).collect();
            let place = self.0.dir.join(format!("{}-{taken}-{name}", std::process::id()));
            if fs::symlink_metadata(&place).is_ok() {
                continue;
            }
            match fs::rename(path, &place) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                renamed => renamed.context(what())?,
            }
            self.empty();
            return Ok(());
        }
    }

    /// What could not be removed so far, by name, with the reason.
    #[cfg(test)]
    pub(crate) fn stuck(&self) -> Vec<(String, String)> {
        let state = self.state();
        let text = |name: &OsString| self.0.dir.join(name).display().to_string();
        state.stuck.iter().map(|(name, reason)| (text(name), reason.clone())).collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sees to it that a thread empties the folder.
    fn empty(&self) {
        let mut state = self.state();
        if state.working {
            state.more = true;
            return;
        }
        state.working = true;
        drop(state);
        let this = self.clone();
        let thread = std::thread::Builder::new().name("discard".to_owned());
        if let Err(error) = thread.spawn(move || this.work()) {
            // Out of threads: it waits for what is discarded next.
            tracing::warn!(%error, "what is no longer wanted stays on the disk for now");
            self.state().working = false;
        }
    }

    fn work(&self) {
        loop {
            for entry in fs::read_dir(&self.0.dir).into_iter().flatten().flatten() {
                self.remove(&entry.path(), entry.file_name());
            }
            let mut state = self.state();
            if !std::mem::take(&mut state.more) {
                state.working = false;
                return;
            }
        }
    }

    fn remove(&self, path: &Path, name: OsString) {
        match tree::remove(path) {
            Ok(()) => drop(self.state().stuck.remove(&name)),
            Err(error) => {
                let known = self.state().stuck.insert(name, error.to_string());
                if known.is_none() {
                    tracing::warn!(place = %path.display(), %error, "cannot be removed; tried again later");
                }
            }
        }
    }

    #[cfg(test)]
    pub(crate) fn until_idle(&self) {
        while self.state().working {
            std::thread::yield_now();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_is_gone_at_once_and_what_resists_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let discard = Discard::open(dir.path().join("discarded")).unwrap();
        for n in 0..3 {
            let place = dir.path().join("same");
            fs::create_dir_all(place.join("in")).unwrap();
            fs::write(place.join("in/file"), n.to_string()).unwrap();
            discard.take(&place).unwrap();
            assert!(!place.exists());
        }
        discard.take(&dir.path().join("nothing")).unwrap();
        discard.until_idle();
        assert_eq!(fs::read_dir(dir.path().join("discarded")).unwrap().count(), 0);

        let place = dir.path().join("busy");
        fs::create_dir_all(place.join("mount")).unwrap();
        let none = None::<&str>;
        let flags = nix::mount::MsFlags::empty();
        nix::mount::mount(none, &place.join("mount"), Some("tmpfs"), flags, none).unwrap();
        discard.take(&place).unwrap();
        discard.until_idle();
        let stuck = discard.stuck();
        let (path, reason) = &stuck[0];
        assert!(reason.contains("mount first"), "{reason}");
        nix::mount::umount(&Path::new(path).join("mount")).unwrap();
        // A next life of the daemon takes it up again.
        let next = Discard::open(dir.path().join("discarded")).unwrap();
        next.until_idle();
        assert_eq!(fs::read_dir(dir.path().join("discarded")).unwrap().count(), 0);
        assert_eq!(next.stuck(), []);
    }
}
