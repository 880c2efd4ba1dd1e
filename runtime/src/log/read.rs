//! Reading what a container said: the last so many lines, a span of time, and on and on across turned-over files.
//! A line that was too long to be written at once is put together again, so that a line is a line for whoever reads.
//! Blocks, and is told from outside when there may be more; nothing here looks again by itself.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use super::{Line, Stream, numbered};
use crate::api::LogsSpec;

/// Bytes read at a time.
const CHUNK: usize = 64 << 10;
/// More files than anybody keeps.
const FILES_MAX: u32 = 10_000;
/// How often the files are listed before what was found is taken, be it of one moment or not: a shim that was killed
/// between two renames never makes the newest.
const LOOKS_MAX: u32 = 1_000;
/// Bytes of a line that are put together: what no terminal shows and no tool expects is told in parts as long as this.
const LINE_MAX: usize = 1 << 20;

/// One reader's place in the files of one container.
#[derive(Debug)]
pub(crate) struct Reader {
    dir: PathBuf,
    wanted: LogsSpec,
    /// The files not read to their end, the oldest first; they stay readable though they are renamed or removed.
    files: VecDeque<File>,
    /// The beginning of a line whose end is not there yet.
    rest: Vec<u8>,
    /// Lines of either stream whose last piece is not there yet.
    open: [Option<Line>; 2],
    /// Lines to pass over: they end before the last ones wanted, and among pieces of those.
    skip: u64,
    /// A line after the wanted time was seen.
    over: bool,
}

impl Reader {
    /// Opens what there is; an error of kind `NotFound` if this container has no directory.
    pub(crate) fn open(dir: &Path, wanted: LogsSpec) -> io::Result<Self> {
        fs::metadata(dir)?;
        let files = listed(dir)?.into_iter().rev().map(|(_, file)| file).collect();
        let (rest, open) = (Vec::new(), [None, None]);
        let mut reader =
            Self { dir: dir.to_owned(), wanted, files, rest, open, skip: 0, over: false };
        if let Some(lines) = reader.wanted.tail {
            reader.skip_to_last(lines)?;
        }
        Ok(reader)
    }

    /// Some lines, in order; none if there are no more for the moment.
    pub(crate) fn batch(&mut self) -> io::Result<Vec<Line>> {
        let mut buffer = vec![0; CHUNK];
        while !self.over {
            let read = match self.files.front_mut() {
                Some(file) => file.read(&mut buffer)?,
                None => 0,
            };
            if read == 0 {
                if !self.next_file()? {
                    break;
                }
                continue;
            }
            self.rest.extend_from_slice(&buffer[..read]);
            let lines = self.cut();
            if !lines.is_empty() {
                return Ok(lines);
            }
        }
        Ok(Vec::new())
    }

    /// What was said last without a newline, once nothing more will follow.
    pub(crate) fn finish(&mut self) -> Vec<Line> {
        let mut lines: Vec<Line> = self.open.iter_mut().filter_map(Option::take).collect();
        lines.sort_by_key(|line| line.time);
        lines.retain(|line| self.is_told(line));
        lines
    }

    /// Whether nothing more can be wanted.
    pub(crate) fn is_over(&self) -> bool {
        self.over
    }

    /// The whole lines of what was read.
    fn cut(&mut self) -> Vec<Line> {
        let mut lines = Vec::new();
        let mut done = 0;
        while let Some(newline) = self.rest[done..].iter().position(|byte| *byte == b'\n') {
            let line = parse(&self.rest[done..done + newline]);
            done += newline + 1;
            let Some(piece) = line else { continue };
            if self.wanted.until.is_some_and(|until| piece.time > until) {
                self.over = true;
                break;
            }
            if let Some(line) = self.joined(piece)
                && self.is_told(&line)
            {
                lines.push(line);
            }
        }
        self.rest.drain(..done);
        lines
    }

    /// The line that a piece completes. Its time is that of its end, which is when it was known.
    fn joined(&mut self, piece: Line) -> Option<Line> {
        let open = &mut self.open[index(piece.stream)];
        let line = match open.take() {
            None => piece,
            Some(mut line) => {
                line.log.push_str(&piece.log);
                Line { time: piece.time, ..line }
            }
        };
        if line.log.ends_with('\n') || line.log.len() >= LINE_MAX {
            return Some(line);
        }
        *open = Some(line);
        None
    }

    fn is_told(&mut self, line: &Line) -> bool {
        if !wants(&self.wanted, line) {
            return false;
        }
        let skipped = self.skip > 0;
        self.skip = self.skip.saturating_sub(1);
        !skipped
    }

    /// Goes on to the file after this one; `false` if this is the newest and read to its end.
    fn next_file(&mut self) -> io::Result<bool> {
        if self.files.len() < 2 {
            match self.successor()? {
                Some(next) => self.files.push_back(next),
                None => return Ok(false),
            }
            // It is written to no more, but was until we looked.
            let Some(file) = self.files.front_mut() else { return Ok(true) };
            let at = file.stream_position()?;
            if file.metadata()?.len() > at && self.files.len() > 1 {
                return Ok(true);
            }
        }
        if self.files.len() > 1 {
            self.files.pop_front();
            self.rest.clear();
        }
        Ok(true)
    }

    /// The file that took the place of the newest one we have.
    fn successor(&self) -> io::Result<Option<File>> {
        let ours = self.files.back().map(|newest| newest.metadata()).transpose()?;
        let ours = ours.map(|metadata| metadata.ino());
        if ours.is_some() && newest(&self.dir)? == ours {
            return Ok(None);
        }
        let mut files = listed(&self.dir)?;
        let at = files.iter().position(|(inode, _)| Some(*inode) == ours);
        Ok(match at {
            Some(0) => None,
            Some(at) => Some(files.swap_remove(at - 1).1),
            // Turned over so often that it is gone: some lines were missed, the next that are there follow.
            None => files.pop().map(|(_, file)| file),
        })
    }

    /// Goes to where the last `lines` wanted lines begin, looking from the end.
    fn skip_to_last(&mut self, lines: u64) -> io::Result<()> {
        let end = match self.files.back() {
            None => return Ok(()),
            Some(newest) => newest.metadata()?.len(),
        };
        let mut last = Last::of(lines, (self.files.len() - 1, end));
        for at in (0..self.files.len()).rev() {
            if last.look_through(&self.files[at], at, &self.wanted)? {
                break;
            }
        }
        if last.left == 0 {
            let (file, begin) = last.begin;
            self.skip = last.skip;
            self.files.drain(..file);
            self.files[0].seek(SeekFrom::Start(begin))?;
        }
        Ok(())
    }
}

fn index(stream: Stream) -> usize {
    match stream {
        Stream::Stdout => 0,
        Stream::Stderr => 1,
    }
}

/// Looks for the beginning of the last lines, piece by piece from the end. Pieces of the two streams lie among each other.
struct Last {
    /// Lines still to be found.
    left: u64,
    /// Where the first piece of those found lies: in which file, and where in it.
    begin: (usize, u64),
    /// Which streams have a piece after this.
    seen: [bool; 2],
    /// Which streams' earliest line found may begin in a piece before this.
    open: [bool; 2],
    /// Ends of lines not wanted since `begin`, and after it.
    passed: u64,
    skip: u64,
}

impl Last {
    fn of(lines: u64, end: (usize, u64)) -> Self {
        Self { left: lines, begin: end, seen: [false; 2], open: [false; 2], passed: 0, skip: 0 }
    }

    fn is_done(&self) -> bool {
        self.left == 0 && self.open == [false; 2]
    }

    /// Looks at one file from its end; answers whether all is found.
    fn look_through(&mut self, file: &File, at: usize, wanted: &LogsSpec) -> io::Result<bool> {
        let mut begin = file.metadata()?.len();
        let mut tail: Vec<u8> = Vec::new();
        while begin > 0 && !self.is_done() {
            let length = begin.min(u64::try_from(CHUNK).expect("a constant that fits"));
            begin -= length;
            let mut bytes = vec![0; usize::try_from(length).expect("at most a chunk")];
            file.read_exact_at(&mut bytes, begin)?;
            bytes.append(&mut tail);
            let mut end = bytes.len();
            while end > 0 && !self.is_done() {
                let start = bytes[..end - 1].iter().rposition(|byte| *byte == b'\n').map(|n| n + 1);
                let start = match start {
                    Some(start) => start,
                    None if begin == 0 => 0,
                    None => break,
                };
                if let Some(piece) = parse(&bytes[start..end])
                    && wants(wanted, &piece)
                {
                    let start = u64::try_from(start).expect("a length fits 64 bits");
                    self.take(&piece, (at, begin + start));
                }
                end = start;
            }
            bytes.truncate(end);
            tail = bytes;
        }
        Ok(self.is_done())
    }

    fn take(&mut self, piece: &Line, at: (usize, u64)) {
        let stream = index(piece.stream);
        let is_end = piece.log.ends_with('\n') || !self.seen[stream];
        self.seen[stream] = true;
        if is_end {
            self.open[stream] = self.left > 0;
            if self.left == 0 {
                self.passed += 1;
                return;
            }
            self.left -= 1;
        } else if !self.open[stream] {
            return;
        }
        self.begin = at;
        self.skip += std::mem::take(&mut self.passed);
    }
}

/// The number of the newest file on its file system.
fn newest(dir: &Path) -> io::Result<Option<u64>> {
    match fs::metadata(numbered(dir, 0)) {
        Ok(metadata) => Ok(Some(metadata.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// All files with their numbers on the file system, the newest first, as they were at one moment.
///
/// A turn-over renames the oldest first and the newest last, so at each moment one name at most is missing between two,
/// and a file met by looking upwards can only have moved to where we have yet to look. While the newest stays the same
/// there was one turn-over at most; otherwise we look again.
fn listed(dir: &Path) -> io::Result<Vec<(u64, File)>> {
    let mut files = Vec::new();
    for _ in 0..LOOKS_MAX {
        files.clear();
        let before = newest(dir)?;
        let mut missing = false;
        for n in 0..FILES_MAX {
            match File::open(numbered(dir, n)) {
                Ok(file) => {
                    missing = false;
                    let inode = file.metadata()?.ino();
                    if files.iter().all(|(seen, _)| *seen != inode) {
                        files.push((inode, file));
                    }
                }
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Err(_) if missing => break,
                Err(_) => missing = true,
            }
        }
        if before.is_some() && before == newest(dir)? {
            break;
        }
    }
    Ok(files)
}

/// A line that was cut off by a full disk is no line.
fn parse(json: &[u8]) -> Option<Line> {
    serde_json::from_slice(json).ok()
}

fn wants(wanted: &LogsSpec, line: &Line) -> bool {
    let LogsSpec { follow: _, tail: _, since, until, stdout, stderr } = wanted;
    let stream = match line.stream {
        Stream::Stdout => *stdout,
        Stream::Stderr => *stderr,
    };
    stream
        && since.is_none_or(|since| line.time >= since)
        && until.is_none_or(|until| line.time <= until)
}

#[cfg(test)]
mod tests {
    use super::super::{Cutter, Keep, Writer};
    use super::*;
    use skein_events::time::Time;
    use std::num::NonZeroU32;

    fn writer(dir: &Path, max_size: u64) -> Writer {
        let max_files = NonZeroU32::new(3).unwrap();
        Writer::open(dir, Keep::Files { max_size, max_files }).unwrap()
    }

    fn say(to: &mut Writer, numbers: std::ops::Range<u64>) {
        let (mut out, mut err) = (Cutter::new(Stream::Stdout), Cutter::new(Stream::Stderr));
        for n in numbers {
            let cutter = if n % 2 == 0 { &mut out } else { &mut err };
            cutter.push(format!("{n}\n").as_bytes(), Time(n), to);
        }
    }

    fn rest(reader: &mut Reader) -> Vec<u64> {
        std::iter::from_fn(|| Some(reader.batch().unwrap()).filter(|b| !b.is_empty()))
            .flatten()
            .map(|line| line.log.trim().parse().unwrap())
            .collect()
    }

    fn all(dir: &Path, wanted: LogsSpec) -> Vec<u64> {
        rest(&mut Reader::open(dir, wanted).unwrap())
    }

    #[test]
    fn the_last_lines_are_found_over_all_files() {
        let dir = tempfile::tempdir().unwrap();
        say(&mut writer(dir.path(), 200_000), 0..9_000);
        let spec = LogsSpec::default();
        let kept = all(dir.path(), spec);
        assert_eq!(kept.last(), Some(&8_999));
        assert!(kept.len() > 2_000 && kept.len() < 9_000, "{}", kept.len());
        for n in [0, 1, 2, 1_000, 2_500, u64::MAX] {
            let count = usize::try_from(n).unwrap().min(kept.len());
            let tail = LogsSpec { tail: Some(n), ..spec };
            assert_eq!(all(dir.path(), tail), kept[kept.len() - count..], "{n}");
        }
        let errors = LogsSpec { tail: Some(3), stdout: false, ..spec };
        assert_eq!(all(dir.path(), errors), [8_995, 8_997, 8_999]);
        let times =
            LogsSpec { tail: Some(2), since: Some(Time(8_000)), until: Some(Time(8_500)), ..spec };
        assert_eq!(all(dir.path(), times), [8_499, 8_500]);
        let since = LogsSpec { since: Some(Time(8_998)), ..spec };
        assert_eq!(all(dir.path(), since), [8_998, 8_999]);
    }

    #[test]
    fn a_reader_follows_through_turned_over_files() {
        let dir = tempfile::tempdir().unwrap();
        // Two lines a file.
        let mut to = writer(dir.path(), 130);
        let mut reader = Reader::open(dir.path(), LogsSpec::default()).unwrap();
        assert_eq!(rest(&mut reader), [0; 0]);
        let mut expected = 0..;
        for step in [1, 1, 1, 3, 2, 3, 0, 1] {
            let from = expected.start;
            say(&mut to, from..from + step);
            let heard = rest(&mut reader);
            let due: Vec<u64> = expected.by_ref().take(step.try_into().unwrap()).collect();
            assert_eq!(heard, due);
        }
        // One too slow misses what was thrown away, and nothing else.
        let from = expected.start;
        say(&mut to, from..from + 40);
        let heard = rest(&mut reader);
        assert_eq!(heard.last(), Some(&(from + 39)));
        assert!(heard.len() >= 3 && heard.len() < 40, "{heard:?}");
        assert!(heard.windows(2).all(|pair| pair[1] > pair[0]));
    }

    #[test]
    fn a_long_line_is_one_line_however_it_was_written() {
        let dir = tempfile::tempdir().unwrap();
        // Turned over in the midst of them, with the other stream's lines among their pieces.
        let mut to = writer(dir.path(), 100_000);
        let (mut out, mut err) = (Cutter::new(Stream::Stdout), Cutter::new(Stream::Stderr));
        let mut lines = Vec::new();
        for n in 0u64..5 {
            let long: String =
                (0..13_000).map(|i| char::from(b'a' + u8::try_from(i % 26).unwrap())).collect();
            let long = format!("{n}é{long}é{long}é{long}\n");
            for (at, part) in long.as_bytes().chunks(10_001).enumerate() {
                out.push(part, Time(n), &mut to);
                if at == 2 {
                    err.push(format!("e{n}\n").as_bytes(), Time(n), &mut to);
                    lines.push(format!("e{n}\n"));
                }
            }
            lines.push(long);
        }
        out.push(b"no end", Time(9), &mut to);
        out.finish(Time(9), &mut to);
        lines.push("no end".to_owned());
        let told = |tail: Option<u64>, stderr: bool| {
            let spec = LogsSpec { tail, stderr, ..LogsSpec::default() };
            let mut reader = Reader::open(dir.path(), spec).unwrap();
            let mut told = Vec::new();
            loop {
                let batch = reader.batch().unwrap();
                if batch.is_empty() {
                    break;
                }
                told.extend(batch);
            }
            told.extend(reader.finish());
            told.into_iter().map(|line| line.log).collect::<Vec<_>>()
        };
        assert_eq!(told(None, true), lines);
        for n in 0..=lines.len() {
            let tail = Some(u64::try_from(n).unwrap());
            assert_eq!(told(tail, true), lines[lines.len() - n..], "{n}");
        }
        lines.retain(|line| !line.starts_with('e'));
        assert_eq!(told(Some(3), false), lines[lines.len() - 3..]);
    }

    #[test]
    fn a_line_without_an_end_is_told_in_parts() {
        let dir = tempfile::tempdir().unwrap();
        let mut to = writer(dir.path(), 100 << 20);
        let mut out = Cutter::new(Stream::Stdout);
        out.push(&vec![b'x'; 3 * LINE_MAX + 5], Time(1), &mut to);
        out.push(b"\n", Time(2), &mut to);
        let mut reader = Reader::open(dir.path(), LogsSpec::default()).unwrap();
        let lengths: Vec<usize> =
            std::iter::from_fn(|| Some(reader.batch().unwrap()).filter(|b| !b.is_empty()))
                .flatten()
                .map(|line| line.log.len())
                .collect();
        assert_eq!(lengths, [LINE_MAX, LINE_MAX, LINE_MAX, 6]);
    }

    #[test]
    fn what_is_no_line_is_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("log"), "{\"log\":\"cut\nnot json\n").unwrap();
        say(&mut writer(dir.path(), 10_000), 0..2);
        assert_eq!(all(dir.path(), LogsSpec::default()), [0, 1]);
        assert_eq!(all(dir.path(), LogsSpec { tail: Some(1), ..LogsSpec::default() }), [1]);
    }
}
