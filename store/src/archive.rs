//! A range of the log as a file: entries as they lie on disk, with what is needed to check them from any point.
//! Redacted records are in it as they are; see `docs/format.md` for the bytes.

use std::io::{self, Read};

use bytes::Bytes;
use skein_events::record::{BatchBytes, Detachable, Hash, Position};

use crate::error::{Damage, Error};
use crate::log::Log;
use crate::row::{Kind, Link, Row};
use crate::table::entries::Budget;

/// First bytes of an archive: what it is and in which format.
pub(crate) const MAGIC: &[u8; 8] = b"SKLOG\x00\x00\x01";
/// Entries read at once.
const CHUNK: Budget = Budget { rows: 1024, bytes: 4 << 20 };
/// No entry is larger: a batch is at most 1 MiB, its head less than a kilobyte.
const ENTRY_MAX: u32 = 2 << 20;
/// No archive begins with a higher number.
const COUNT_MAX: u64 = 1 << 62;

/// What the check of an archive found.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Checked {
    /// Entries that are whole.
    pub entries: u64,
    /// Records in them.
    pub records: u64,
    /// Its first record.
    pub first: Position,
    /// Its last record that is proven.
    pub last: Position,
    /// The chain before it: what the archive before this one ends with.
    pub before: Hash,
    /// The chain after its last whole entry.
    pub h: Hash,
    /// Records whose detachable part was erased.
    pub redacted: Vec<Position>,
    /// What is wrong, if anything: the first bad entry, by the position of its first record.
    pub bad: Option<(Position, String)>,
}

impl Log {
    /// The entries that hold the records from one to another, as an archive, piece by piece.
    pub fn export(
        &self,
        from: Position,
        to: Position,
    ) -> Result<impl Iterator<Item = Result<Bytes, Error>> + use<>, Error> {
        let head = self.head();
        let last = head.index.unwrap_or(0);
        let to = to.min(head.position);
        let missing = || Error::NoRecords { from, to };
        let begin = match from.0 {
            0 | 1 => 0,
            _ => self.find(from, last)?.ok_or_else(missing)?,
        };
        let end = match to == head.position {
            true => last + 1,
            false => self.find(to, last)?.ok_or_else(missing)? + 1,
        };
        if from > to || begin >= end {
            return Err(missing());
        }
        let before = match begin {
            0 => Link::GENESIS,
            _ => {
                let rows = self.rows(begin - 1..begin, CHUNK)?;
                rows.first().ok_or_else(missing)?.link()
            }
        };
        let log = self.clone();
        let (mut next, mut link, mut ended) = (begin, before, false);
        let mut first = Some(head_of(&before));
        Ok(std::iter::from_fn(move || {
            if let Some(head) = first.take() {
                return Some(Ok(head));
            }
            if ended {
                return None;
            }
            if next >= end {
                ended = true;
                return Some(Ok(tail_of(&link)));
            }
            match log.rows(next..end, CHUNK) {
                Ok(rows) if rows.is_empty() => {
                    ended = true;
                    let (index, first) = (next, link.position);
                    Some(Err(Error::Damaged { index, first, what: Damage::Missing }))
                }
                Ok(rows) => {
                    let mut out = Vec::new();
                    for row in rows {
                        let bytes = row.encode();
                        let length = u32::try_from(bytes.len()).expect("within ENTRY_MAX");
                        out.extend_from_slice(&length.to_le_bytes());
                        out.extend_from_slice(&bytes);
                        link = row.link();
                        next = row.index + 1;
                    }
                    Some(Ok(out.into()))
                }
                Err(error) => {
                    ended = true;
                    Some(Err(error))
                }
            }
        }))
    }
}

pub(crate) fn link_bytes(link: &Link) -> Vec<u8> {
    let mut out = link.index.to_le_bytes().to_vec();
    out.extend_from_slice(&link.term.to_le_bytes());
    out.extend_from_slice(&link.position.0.to_le_bytes());
    out.extend_from_slice(&link.h.0);
    out
}

fn head_of(before: &Link) -> Bytes {
    let mut out = MAGIC.to_vec();
    out.extend_from_slice(&link_bytes(before));
    out.into()
}

/// An entry of no length, and where the chain ends: a file that was cut off has none.
fn tail_of(after: &Link) -> Bytes {
    let mut out = 0_u32.to_le_bytes().to_vec();
    out.extend_from_slice(&link_bytes(after));
    out.into()
}

fn read_link(from: &mut impl Read) -> io::Result<Link> {
    let mut bytes = [0; 8 + 8 + 8 + 32];
    from.read_exact(&mut bytes)?;
    let u64_at = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
    Ok(Link {
        index: u64_at(0),
        term: u64_at(8),
        position: Position(u64_at(16)),
        h: Hash(bytes[24..].try_into().expect("the rest is a hash")),
    })
}

/// Checks an archive to its end; what is wrong in it is in the answer, what is wrong with reading it is an error.
pub fn check(mut archive: impl Read) -> io::Result<Checked> {
    let mut magic = [0; 8];
    archive.read_exact(&mut magic)?;
    if magic != *MAGIC {
        let text = "this is no archive of a log, or one of another format";
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    let mut link = read_link(&mut archive)?;
    // No log comes this far; counting on from there would run over.
    let sound = link.index < COUNT_MAX && (1..COUNT_MAX).contains(&link.position.0);
    let mut found = Checked {
        entries: 0,
        records: 0,
        first: link.position,
        last: Position(link.position.0.saturating_sub(1)),
        before: link.h,
        h: link.h,
        redacted: Vec::new(),
        bad: None,
    };
    if !sound {
        found.bad = Some((link.position, Damage::Place.to_string()));
        return Ok(found);
    }
    match entries(&mut archive, &mut link, &mut found) {
        Ok(None) => {}
        Ok(Some(what)) => found.bad = Some((link.position, what.to_string())),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            found.bad = Some((link.position, "the file ends before its end".to_owned()));
        }
        Err(error) => return Err(error),
    }
    Ok(found)
}

fn entries(
    archive: &mut impl Read,
    link: &mut Link,
    found: &mut Checked,
) -> io::Result<Option<Damage>> {
    loop {
        let mut length = [0; 4];
        archive.read_exact(&mut length)?;
        let length = u32::from_le_bytes(length);
        if length == 0 {
            let end = read_link(archive)?;
            let more = archive.read(&mut [0])? > 0;
            return Ok((end != *link || more).then_some(Damage::Place));
        }
        if length > ENTRY_MAX {
            return Ok(Some(Damage::Head));
        }
        let mut bytes = vec![0; usize::try_from(length).expect("32 bits fit")];
        archive.read_exact(&mut bytes)?;
        let row = match Row::decode(link.index, &bytes) {
            Ok(row) => row,
            Err(damage) => return Ok(Some(damage)),
        };
        if let Err(damage) = row.check(link) {
            return Ok(Some(damage));
        }
        if row.kind == Kind::Batch
            && let Ok(batch) = BatchBytes::parse(&row.payload)
        {
            let records = (row.first.0..).map(Position).zip(&batch.records);
            let erased = |d: &Detachable<'_>| matches!(d, Detachable::Redacted { .. });
            let erased = records.filter(|(_, record)| erased(&record.detachable));
            found.redacted.extend(erased.map(|(position, _)| position));
        }
        found.entries += 1;
        found.records += u64::from(row.count);
        *link = row.link();
        (found.last, found.h) = (Position(link.position.0 - 1), link.h);
    }
}
