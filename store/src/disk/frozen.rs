//! A disk that is only read: what the database writes is kept in memory and forgotten.
//! So a log is opened as a daemon would open it, repaired after a crash if need be, and no byte of it changes.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::{Disk, FileDisk};
use crate::error::Error;

/// What was written is kept in pieces of this size.
const PIECE: u64 = 4096;
const PIECE_BYTES: usize = 4096;

/// A directory that no daemon uses at present, and that stays as it is.
#[derive(Debug)]
pub struct FrozenDisk {
    root: PathBuf,
    _lock: FileDisk,
}

impl FrozenDisk {
    /// Takes the directory's lock, so that no daemon writes meanwhile.
    pub fn open(root: &Path) -> Result<Self, Error> {
        if !root.join(crate::log::FILE).exists() {
            return Err(Error::NoLog(root.display().to_string()));
        }
        Ok(Self { root: root.to_owned(), _lock: FileDisk::open(root)? })
    }
}

impl Disk for FrozenDisk {
    fn open(&self, name: &str) -> io::Result<Box<dyn redb::StorageBackend>> {
        let file = File::open(self.root.join(name))?;
        let len = file.metadata()?.len();
        Ok(Box::new(Frozen { file, whole: len, changed: Mutex::new(Changed::of(len)) }))
    }

    fn exists(&self, name: &str) -> io::Result<bool> {
        self.root.join(name).try_exists()
    }

    fn replace(&self, _: &str, _: &str) -> io::Result<()> {
        Err(io::Error::new(io::ErrorKind::ReadOnlyFilesystem, "this log is only read"))
    }

    fn swap(&self, _: &str, _: &str) -> io::Result<()> {
        Err(io::Error::new(io::ErrorKind::ReadOnlyFilesystem, "this log is only read"))
    }

    fn erase(&self, _: &str) -> io::Result<()> {
        Ok(()) // a file of an interrupted rewrite; not looked at
    }
}

#[derive(Debug)]
struct Frozen {
    file: File,
    whole: u64,
    changed: Mutex<Changed>,
}

#[derive(Debug)]
struct Changed {
    len: u64,
    /// What of the file was never cut off.
    below: u64,
    pieces: BTreeMap<u64, Vec<u8>>,
}

impl Changed {
    fn of(len: u64) -> Self {
        Self { len, below: len, pieces: BTreeMap::new() }
    }
}

impl Frozen {
    /// A piece as the file has it; zeros beyond its end.
    fn piece(&self, below: u64, number: u64) -> io::Result<Vec<u8>> {
        let (start, mut piece) = (number * PIECE, vec![0; PIECE_BYTES]);
        let there = below.min(self.whole).saturating_sub(start).min(PIECE);
        self.file.read_exact_at(&mut piece[..usize::try_from(there).expect("a piece")], start)?;
        Ok(piece)
    }

    /// Calls with each piece of a range: its number, where in it, and where in the range.
    fn pieces(
        offset: u64,
        len: usize,
        mut each: impl FnMut(u64, std::ops::Range<usize>, std::ops::Range<usize>) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut done = 0;
        while done < len {
            let at = offset + done as u64;
            let within = usize::try_from(at % PIECE).expect("within a piece");
            let count = (PIECE_BYTES - within).min(len - done);
            each(at / PIECE, within..within + count, done..done + count)?;
            done += count;
        }
        Ok(())
    }
}

impl redb::StorageBackend for Frozen {
    fn len(&self) -> io::Result<u64> {
        Ok(self.changed.lock().unwrap_or_else(PoisonError::into_inner).len)
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let changed = self.changed.lock().unwrap_or_else(PoisonError::into_inner);
        if offset + out.len() as u64 > changed.len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Self::pieces(offset, out.len(), |number, within, place| {
            match changed.pieces.get(&number) {
                Some(piece) => out[place].copy_from_slice(&piece[within]),
                None => out[place].copy_from_slice(&self.piece(changed.below, number)?[within]),
            }
            Ok(())
        })
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut changed = self.changed.lock().unwrap_or_else(PoisonError::into_inner);
        if len < changed.len {
            changed.below = changed.below.min(len);
            changed.pieces.split_off(&len.div_ceil(PIECE));
            let end = usize::try_from(len % PIECE).expect("within a piece");
            if end > 0
                && let Some(piece) = changed.pieces.get_mut(&(len / PIECE))
            {
                piece[end..].fill(0);
            }
        }
        changed.len = len;
        Ok(())
    }
    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut changed = self.changed.lock().unwrap_or_else(PoisonError::into_inner);
        let below = changed.below;
        Self::pieces(offset, data.len(), |number, within, place| {
            let piece = match changed.pieces.entry(number) {
                Entry::Vacant(vacant) => vacant.insert(self.piece(below, number)?),
                Entry::Occupied(there) => there.into_mut(),
            };
            piece[within].copy_from_slice(&data[place]);
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again_and_the_file_stays() {
        let root = tempfile::tempdir().unwrap();
        let whole: Vec<u8> = (0..10_000_u32).map(|n| (n % 251) as u8).collect();
        std::fs::write(root.path().join(crate::log::FILE), &whole).unwrap();
        let disk = FrozenDisk::open(root.path()).unwrap();
        let file = disk.open(crate::log::FILE).unwrap();
        let mut expected = whole.clone();
        let read = |expected: &[u8]| {
            assert_eq!(file.len().unwrap(), expected.len() as u64);
            for (offset, len) in [(0, 100), (4_090, 20), (4_000, 5_000), (8_191, 2)] {
                let end = (offset + len).min(expected.len());
                if offset >= end {
                    continue;
                }
                let mut out = vec![0; end - offset];
                file.read(offset as u64, &mut out).unwrap();
                assert_eq!(out, expected[offset..end], "{offset}");
            }
        };
        read(&expected);
        file.write(4_095, &[7; 3]).unwrap();
        expected[4_095..4_098].fill(7);
        read(&expected);
        // Cut off and grown again: zeros, not what the file has there.
        file.set_len(4_500).unwrap();
        file.set_len(9_500).unwrap();
        expected.truncate(4_500);
        expected.resize(9_500, 0);
        read(&expected);
        assert!(file.read(9_499, &mut [0; 2]).is_err());
        assert_eq!(std::fs::read(root.path().join(crate::log::FILE)).unwrap(), whole);
        let text = FileDisk::open(root.path()).unwrap_err().to_string();
        assert!(text.starts_with("data root in use"), "{text}");
    }
}
