//! Output of containers on disk: Docker's json-file lines, in files that are turned over by size.
//! The shim writes them, whoever asks for a container's output reads them (`read`); both sides of the format are here.

pub(crate) mod read;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::num::NonZeroU32;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use skein_events::time::Time;

/// Bytes of one file before it is turned over, if the user says nothing. Docker sets no limit, and fills disks.
const FILE_MAX: u64 = 10 << 20;
/// Files kept if the user says nothing: the newest is `log`, then `log.1`, `log.2`.
const FILES: NonZeroU32 = NonZeroU32::new(3).expect("three is not zero");
/// Longest piece of a line that is written as one; Docker's buffer is as long.
const PIECE_MAX: usize = 16 << 10;

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// One line of a log file: a line of output, or a piece of one if it does not end in a newline.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Line {
    /// The text, its newline included.
    pub log: String,
    /// Where it was written to.
    pub stream: Stream,
    /// When, in RFC 3339.
    #[serde(with = "rfc3339")]
    pub time: Time,
}

/// What becomes of a container's output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Keep {
    /// It is written to files.
    Files {
        /// Bytes of one before it is turned over.
        max_size: u64,
        /// How many.
        max_files: NonZeroU32,
    },
    /// It is thrown away.
    Nothing,
}

impl Keep {
    /// Files with these bounds, or where none is given with our own.
    pub fn files(max_size: Option<u64>, max_files: Option<NonZeroU32>) -> Self {
        Self::Files {
            max_size: max_size.unwrap_or(FILE_MAX),
            max_files: max_files.unwrap_or(FILES),
        }
    }
}

impl Default for Keep {
    fn default() -> Self {
        Self::files(None, None)
    }
}

mod rfc3339 {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};
    use skein_events::time::Time;

    pub(super) fn serialize<S: Serializer>(time: &Time, to: S) -> Result<S::Ok, S::Error> {
        let at = jiff::Timestamp::from_nanosecond(i128::from(time.0))
            .map_err(serde::ser::Error::custom)?;
        to.collect_str(&at)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Time, D::Error> {
        let at: jiff::Timestamp = String::deserialize(from)?.parse().map_err(D::Error::custom)?;
        u64::try_from(at.as_nanosecond()).map(Time).map_err(D::Error::custom)
    }
}

fn numbered(dir: &Path, n: u32) -> PathBuf {
    if n == 0 { dir.join("log") } else { dir.join(format!("log.{n}")) }
}

/// Cuts a stream of bytes into lines.
#[derive(Debug)]
pub(crate) struct Cutter {
    stream: Stream,
    rest: Vec<u8>,
}

impl Cutter {
    pub(crate) fn new(stream: Stream) -> Self {
        Self { stream, rest: Vec::new() }
    }

    /// Takes bytes in and writes the lines they complete.
    pub(crate) fn push(&mut self, bytes: &[u8], time: Time, to: &mut Writer) {
        self.rest.extend_from_slice(bytes);
        let mut done = 0;
        loop {
            let open = &self.rest[done..];
            let end = match open.iter().position(|byte| *byte == b'\n') {
                Some(newline) => (newline + 1).min(PIECE_MAX),
                None if open.len() >= PIECE_MAX => PIECE_MAX,
                None => break,
            };
            let end = if open[end - 1] == b'\n' { end } else { whole_letters(&open[..end]) };
            to.write(&open[..end], self.stream, time);
            done += end;
        }
        self.rest.drain(..done);
    }

    /// Writes what has no newline at the end of the stream.
    pub(crate) fn finish(&mut self, time: Time, to: &mut Writer) {
        if !self.rest.is_empty() {
            to.write(&self.rest, self.stream, time);
            self.rest.clear();
        }
    }
}

/// Where a piece ends that is cut by its length alone: not within a letter of UTF-8, which would be lost on both sides.
fn whole_letters(piece: &[u8]) -> usize {
    let begins = |byte: &u8| byte & 0b1100_0000 != 0b1000_0000;
    let last = piece.len() - piece.iter().rev().take(4).position(begins).map_or(0, |n| n + 1);
    match std::str::from_utf8(&piece[last..]) {
        Err(error) if error.error_len().is_none() && last > 0 => last,
        _ => piece.len(),
    }
}

/// The files of one container, as their one writer sees them.
#[derive(Debug)]
pub(crate) struct Writer {
    dir: PathBuf,
    /// None: nothing is kept.
    file: Option<File>,
    size: u64,
    max_size: u64,
    max_files: u32,
}

impl Writer {
    pub(crate) fn open(dir: &Path, keep: Keep) -> io::Result<Self> {
        let nothing = Self { dir: dir.to_owned(), file: None, size: 0, max_size: 0, max_files: 0 };
        let Keep::Files { max_size, max_files } = keep else { return Ok(nothing) };
        let file = append(&numbered(dir, 0))?;
        let size = file.metadata()?.len();
        Ok(Self { file: Some(file), size, max_size, max_files: max_files.get(), ..nothing })
    }

    /// Writes one line. A container must not stand still because its log cannot be written: such a line is lost.
    fn write(&mut self, bytes: &[u8], stream: Stream, time: Time) {
        if self.file.is_none() {
            return;
        }
        let line = Line { log: String::from_utf8_lossy(bytes).into_owned(), stream, time };
        let mut json = serde_json::to_vec(&line).expect("a line is text and two words");
        json.push(b'\n');
        let length = u64::try_from(json.len()).expect("a length fits 64 bits");
        if self.size > 0 && self.size + length > self.max_size {
            let _ = self.turn_over();
        }
        if self.file.as_mut().is_some_and(|file| file.write_all(&json).is_ok()) {
            self.size += length;
        }
    }

    /// The next file is another one even if only one is kept: who reads sees by that what happened.
    fn turn_over(&mut self) -> io::Result<()> {
        let missing_is_fine = |done: io::Result<()>| match done {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        };
        for n in (1..self.max_files).rev() {
            missing_is_fine(fs::rename(numbered(&self.dir, n - 1), numbered(&self.dir, n)))?;
        }
        if self.max_files == 1 {
            missing_is_fine(fs::remove_file(numbered(&self.dir, 0)))?;
        }
        self.file = Some(append(&numbered(&self.dir, 0))?);
        self.size = 0;
        Ok(())
    }
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::LogsSpec;

    fn read(dir: &Path) -> Vec<Line> {
        let mut reader = read::Reader::open(dir, LogsSpec::default()).unwrap();
        let mut lines: Vec<Line> =
            std::iter::from_fn(|| Some(reader.batch().unwrap()).filter(|b| !b.is_empty()))
                .flatten()
                .collect();
        lines.extend(reader.finish());
        lines
    }

    #[test]
    fn lines_are_cut_and_pieces_kept_together() {
        let dir = tempfile::tempdir().unwrap();
        let mut to = Writer::open(dir.path(), Keep::default()).unwrap();
        let (mut out, mut err) = (Cutter::new(Stream::Stdout), Cutter::new(Stream::Stderr));
        out.push(b"one\ntw", Time(1), &mut to);
        err.push(b"bad \xff\n", Time(2), &mut to);
        out.push(b"o\n", Time(1_500_000_000), &mut to);
        out.push(&vec![b'x'; PIECE_MAX + 3], Time(4), &mut to);
        out.finish(Time(5), &mut to);
        let lines = read(dir.path());
        let texts: Vec<&str> = lines.iter().map(|line| line.log.as_str()).collect();
        assert_eq!(texts[..3], ["one\n", "bad \u{fffd}\n", "two\n"]);
        assert_eq!((texts.len(), texts[3].len()), (4, PIECE_MAX + 3));
        assert_eq!(lines[1].stream, Stream::Stderr);
        let raw = fs::read_to_string(dir.path().join("log")).unwrap();
        assert_eq!(
            raw.lines().nth(2),
            Some(r#"{"log":"two\n","stream":"stdout","time":"1970-01-01T00:00:01.5Z"}"#)
        );
    }

    #[test]
    fn files_are_turned_over_and_the_oldest_goes() {
        for (max_files, at_least) in [(3, 5), (1, 1)] {
            let dir = tempfile::tempdir().unwrap();
            let max_files = NonZeroU32::new(max_files).unwrap();
            let keep = Keep::Files { max_size: 200, max_files };
            let mut to = Writer::open(dir.path(), keep).unwrap();
            let mut out = Cutter::new(Stream::Stdout);
            for n in 0..20 {
                out.push(format!("line {n}\n").as_bytes(), Time(0), &mut to);
            }
            let lines = read(dir.path());
            let files = fs::read_dir(dir.path()).unwrap().count();
            assert_eq!(files, max_files.get() as usize);
            assert_eq!(lines.last().unwrap().log, "line 19\n");
            assert!(lines.len() < 10 && lines.len() >= at_least, "{}", lines.len());
        }
    }

    #[test]
    fn what_is_not_kept_leaves_no_file() {
        let dir = tempfile::tempdir().unwrap();
        let mut to = Writer::open(dir.path(), Keep::Nothing).unwrap();
        Cutter::new(Stream::Stdout).push(b"gone\n", Time(0), &mut to);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
