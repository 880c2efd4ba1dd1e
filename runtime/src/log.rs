//! Output of containers on disk: Docker's json-file lines, in files that are turned over by size.
//! The shim writes them, whoever follows a container's output reads them; both sides of the format are here.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use skein_events::time::Time;

/// Bytes of one file before it is turned over.
pub const FILE_MAX: u64 = 10 << 20;
/// Files kept: the newest is `log`, then `log.1`, `log.2`.
pub const FILES: u32 = 3;
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

/// The log files of the container whose directory this is, oldest first; those that are not there are left out.
pub fn files(dir: &Path) -> Vec<PathBuf> {
    (0..FILES).rev().map(|n| numbered(dir, n)).filter(|path| path.exists()).collect()
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

/// The files of one container, as their one writer sees them.
#[derive(Debug)]
pub(crate) struct Writer {
    dir: PathBuf,
    file: File,
    size: u64,
    file_max: u64,
}

impl Writer {
    pub(crate) fn open(dir: &Path) -> io::Result<Self> {
        Self::open_sized(dir, FILE_MAX)
    }

    fn open_sized(dir: &Path, file_max: u64) -> io::Result<Self> {
        let file = append(&numbered(dir, 0))?;
        let size = file.metadata()?.len();
        Ok(Self { dir: dir.to_owned(), file, size, file_max })
    }

    /// Writes one line. A container must not stand still because its log cannot be written: such a line is lost.
    fn write(&mut self, bytes: &[u8], stream: Stream, time: Time) {
        let line = Line { log: String::from_utf8_lossy(bytes).into_owned(), stream, time };
        let mut json = serde_json::to_vec(&line).expect("a line is text and two words");
        json.push(b'\n');
        let length = u64::try_from(json.len()).expect("a length fits 64 bits");
        if self.size > 0 && self.size + length > self.file_max {
            let _ = self.turn_over();
        }
        if self.file.write_all(&json).is_ok() {
            self.size += length;
        }
    }

    fn turn_over(&mut self) -> io::Result<()> {
        for n in (1..FILES).rev() {
            match fs::rename(numbered(&self.dir, n - 1), numbered(&self.dir, n)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        self.file = append(&numbered(&self.dir, 0))?;
        self.size = 0;
        Ok(())
    }
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(dir: &Path) -> Vec<Line> {
        files(dir)
            .iter()
            .flat_map(|path| {
                let text = fs::read_to_string(path).unwrap();
                text.lines().map(|l| serde_json::from_str(l).unwrap()).collect::<Vec<Line>>()
            })
            .collect()
    }

    #[test]
    fn lines_are_cut_and_pieces_kept_together() {
        let dir = tempfile::tempdir().unwrap();
        let mut to = Writer::open(dir.path()).unwrap();
        let (mut out, mut err) = (Cutter::new(Stream::Stdout), Cutter::new(Stream::Stderr));
        out.push(b"one\ntw", Time(1), &mut to);
        err.push(b"bad \xff\n", Time(2), &mut to);
        out.push(b"o\n", Time(1_500_000_000), &mut to);
        out.push(&vec![b'x'; PIECE_MAX + 3], Time(4), &mut to);
        out.finish(Time(5), &mut to);
        let lines = read(dir.path());
        let texts: Vec<&str> = lines.iter().map(|line| line.log.as_str()).collect();
        assert_eq!(texts[..3], ["one\n", "bad \u{fffd}\n", "two\n"]);
        assert_eq!((texts[3].len(), texts[4]), (PIECE_MAX, "xxx"));
        assert_eq!(lines[1].stream, Stream::Stderr);
        let raw = fs::read_to_string(dir.path().join("log")).unwrap();
        assert_eq!(
            raw.lines().nth(2),
            Some(r#"{"log":"two\n","stream":"stdout","time":"1970-01-01T00:00:01.5Z"}"#)
        );
    }

    #[test]
    fn files_are_turned_over_and_the_oldest_goes() {
        let dir = tempfile::tempdir().unwrap();
        let mut to = Writer::open_sized(dir.path(), 200).unwrap();
        let mut out = Cutter::new(Stream::Stdout);
        for n in 0..20 {
            out.push(format!("line {n}\n").as_bytes(), Time(0), &mut to);
        }
        let lines = read(dir.path());
        assert_eq!(files(dir.path()).len(), 3);
        assert_eq!(lines.last().unwrap().log, "line 19\n");
        assert!(lines.len() < 10 && lines.len() >= 5, "{}", lines.len());
    }
}
