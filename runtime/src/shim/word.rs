//! A shim's last word: how its container ended, in a file that had its place on the disk from the beginning.
//! Apart from other writing because it must succeed on a full disk: nothing else knows the exit status by then.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use crate::api::Exit;
use crate::error::{Context as _, Error};
use crate::image::store::sync_dir;

/// Bytes kept for it; the longest end takes about a hundred.
const ROOM: usize = 256;

/// The file, with blanks in it and under another name until there is something to say.
pub(super) struct LastWord {
    file: File,
    beside: PathBuf,
    place: PathBuf,
}

impl LastWord {
    /// Takes the room. Blanks and not a hole: what was written once can be written over without a new block.
    pub(super) fn reserve(place: &Path) -> Result<Self, Error> {
        let what = || format!("keep room for {}", place.display());
        let mut beside = place.as_os_str().to_owned();
        beside.push(".new");
        let beside = PathBuf::from(beside);
        let mut file = crate::private::create(&beside).context(what())?;
        file.write_all(&[b' '; ROOM]).context(what())?;
        // Else a disk that fills before the blanks are written back may refuse them then.
        file.sync_all().context(what())?;
        Ok(Self { file, beside, place: place.to_owned() })
    }

    /// A reader sees all of it or none.
    pub(super) fn say(&self, exit: &Exit) -> Result<(), Error> {
        let what = || format!("write {}", self.place.display());
        let json = serde_json::to_vec(exit).expect("an exit is four plain values");
        assert!(json.len() <= ROOM, "an exit is longer than its room");
        self.file.write_all_at(&json, 0).context(what())?;
        self.file.sync_all().context(what())?;
        fs::rename(&self.beside, &self.place).context(what())?;
        sync_dir(self.place.parent().expect("a file has a directory"))
    }
}

#[cfg(test)]
mod tests {
    use skein_events::time::Time;

    use super::*;

    #[test]
    fn the_longest_end_fits_and_takes_no_room_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("exit.json");
        let word = LastWord::reserve(&place).unwrap();
        assert!(!place.exists(), "the container still runs");
        let reserved = fs::metadata(&word.beside).unwrap().len();
        let exit = Exit { code: i32::MIN, signal: Some(i32::MIN), oom: false, at: Time(u64::MAX) };
        word.say(&exit).unwrap();
        let said = fs::read(&place).unwrap();
        assert_eq!(said.len() as u64, reserved);
        assert_eq!(serde_json::from_slice::<Exit>(&said).unwrap(), exit);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
