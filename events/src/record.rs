//! A batch of records as bytes, the commitment of each record, and the hash chain over batches.
//! This is the one description of what is on disk and on the wire; docs/format.md draws it. Bytes are read in two steps:
//! bounds first (`BatchBytes::parse`), meaning only after the chain was checked (`Batch::decode`).
//!
//! Invariant: erasing a detachable part changes no commitment, so the chain holds before and after a redaction.

use std::fmt;
use std::str::FromStr;

use bytes_reader::Reader;

/// Largest encoded batch: one consensus entry must fit a message and a memory budget (DESIGN invariant 16).
pub const BATCH_MAX: usize = 1 << 20;
/// Most records in one batch: `count` is two bytes, and one plan makes at most 1,000 tasks.
pub const RECORDS_MAX: usize = 16_384;

const MAGIC: [u8; 4] = *b"SKB1";
const HEADER: usize = 4 + 2 + 2 + 4 + 4 + 32;
const RECORD_HEAD: usize = 2 + 2 + 1 + 3 + 4 + 4;

/// The dense count of records in the swarm's history; the first record is @1.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    rkyv::Archive,
    rkyv::Serialize,
    rkyv::Deserialize,
    serde::Serialize,
    serde::Deserialize,
)]
#[serde(transparent)]
pub struct Position(pub u64);

impl Position {
    /// The position after this one.
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "@{}", self.0)
    }
}

impl FromStr for Position {
    type Err = std::num::ParseIntError;
    /// Reads `@8123` or `8123`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.strip_prefix('@').unwrap_or(text).parse().map(Self)
    }
}

/// A blake3 hash: a commitment, or a link of the chain.
#[derive(
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    rkyv::Archive,
    rkyv::Serialize,
    rkyv::Deserialize,
)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// The first 8 hex digits, as cursors carry it.
    pub fn h8(self) -> String {
        let [a, b, c, d, ..] = self.0;
        format!("{a:02x}{b:02x}{c:02x}{d:02x}")
    }
}
/// Text that is no hash.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a hash is 64 hex digits")]
pub struct InvalidHash;

impl FromStr for Hash {
    type Err = InvalidHash;
    fn from_str(text: &str) -> Result<Self, InvalidHash> {
        let mut out = [0; 32];
        if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(InvalidHash);
        }
        for (byte, at) in out.iter_mut().zip((0..).step_by(2)) {
            *byte = u8::from_str_radix(&text[at..at + 2], 16).map_err(|_| InvalidHash)?;
        }
        Ok(Self(out))
    }
}
impl serde::Serialize for Hash {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        if to.is_human_readable() { to.collect_str(self) } else { self.0.serialize(to) }
    }
}
impl<'de> serde::Deserialize<'de> for Hash {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        if from.is_human_readable() {
            String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
        } else {
            <[u8; 32]>::deserialize(from).map(Self)
        }
    }
}
impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}
impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}…", self.h8())
    }
}

/// Bytes that are no batch. Says what was wrong; who reads knows where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Shorter or longer than its own lengths say.
    #[error("batch is cut off or has bytes left over")]
    Length,
    /// Not ours, or of a format this version does not read.
    #[error("batch has no magic number or an unknown format")]
    Magic,
    /// Over a limit.
    #[error("batch is over a limit")]
    Limit,
    /// The envelope or a record does not decode.
    #[error("{0}")]
    Content(String),
}

/// The detachable part of a record, as stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detachable<'a> {
    /// The record never had one.
    None,
    /// There, with the salt that makes its commitment unguessable.
    Present {
        /// 32 random bytes, erased together with the value.
        salt: [u8; 32],
        /// The value.
        bytes: &'a [u8],
    },
    /// Erased; what was committed to remains.
    Redacted {
        /// Commitment to the erased salt and value.
        commitment: Hash,
    },
}

impl Detachable<'_> {
    /// What the chain covers of this part.
    pub fn commitment(self) -> Option<Hash> {
        match self {
            Self::None => None,
            Self::Present { salt, bytes } => {
                Some(Hash(*blake3::keyed_hash(&salt, bytes).as_bytes()))
            }
            Self::Redacted { commitment } => Some(commitment),
        }
    }
}

/// One record inside a parsed batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordBytes<'a> {
    /// Kind code, see `kind`.
    pub kind: u16,
    /// Version of that kind's payload.
    pub version: u16,
    /// The fixed part.
    pub fixed: &'a [u8],
    /// The detachable part.
    pub detachable: Detachable<'a>,
}

impl RecordBytes<'_> {
    /// Commitment to the whole record: keyed by the batch's salt, covering both parts.
    pub fn commitment(&self, salt: &[u8; 32]) -> Hash {
        let mut hasher = blake3::Hasher::new_keyed(salt);
        hasher.update(&self.kind.to_le_bytes());
        hasher.update(&self.version.to_le_bytes());
        match self.detachable.commitment() {
            None => hasher.update(&[0]),
            Some(part) => hasher.update(&[1]).update(&part.0),
        };
        hasher.update(self.fixed);
        Hash(*hasher.finalize().as_bytes())
    }
}

/// A batch whose lengths were checked; its meaning was not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchBytes<'a> {
    /// Keys the commitments of this batch's records.
    pub salt: [u8; 32],
    /// The envelope.
    pub envelope: &'a [u8],
    /// The records in order; never empty.
    pub records: Vec<RecordBytes<'a>>,
}

impl<'a> BatchBytes<'a> {
    /// Splits bytes into parts, trusting no length.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        if bytes.len() > BATCH_MAX {
            return Err(Malformed::Limit);
        }
        let mut reader = Reader::new(bytes);
        if reader.array()? != MAGIC || reader.u16()? != 1 {
            return Err(Malformed::Magic);
        }
        let count = usize::from(reader.u16()?);
        let envelope_len = reader.length()?;
        if reader.length()? != bytes.len() {
            return Err(Malformed::Length);
        }
        if count == 0 || count > RECORDS_MAX {
            return Err(Malformed::Limit);
        }
        let salt = reader.array()?;
        let envelope = reader.take(envelope_len)?;
        let mut records = Vec::with_capacity(count.min(bytes.len() / RECORD_HEAD));
        for _ in 0..count {
            records.push(Self::record(&mut reader)?);
        }
        if reader.is_empty() {
            Ok(Self { salt, envelope, records })
        } else {
            Err(Malformed::Length)
        }
    }

    fn record(reader: &mut Reader<'a>) -> Result<RecordBytes<'a>, Malformed> {
        let (kind, version) = (reader.u16()?, reader.u16()?);
        let [flag, 0, 0, 0] = reader.array()? else { return Err(Malformed::Length) };
        let (fixed_len, detachable_len) = (reader.length()?, reader.length()?);
        let fixed = reader.take(fixed_len)?;
        let detachable = match (flag, detachable_len) {
            (0, 0) => Detachable::None,
            (1, 32..) => Detachable::Present {
                salt: reader.array()?,
                bytes: reader.take(detachable_len - 32)?,
            },
            (2, 32) => Detachable::Redacted { commitment: Hash(reader.array()?) },
            _ => return Err(Malformed::Length),
        };
        Ok(RecordBytes { kind, version, fixed, detachable })
    }

    /// Writes the parts again; `parse` of the result gives the same parts.
    pub fn encode(&self) -> Result<Vec<u8>, Malformed> {
        let body: usize = self
            .records
            .iter()
            .map(|r| RECORD_HEAD + r.fixed.len() + detachable_len(r.detachable))
            .sum();
        let total = HEADER + self.envelope.len() + body;
        if total > BATCH_MAX || self.records.is_empty() || self.records.len() > RECORDS_MAX {
            return Err(Malformed::Limit);
        }
        let length = |n: usize| u32::try_from(n).expect("within BATCH_MAX").to_le_bytes();
        let count = u16::try_from(self.records.len()).expect("within RECORDS_MAX");
        let mut out = Vec::with_capacity(total);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&1u16.to_le_bytes());
        out.extend_from_slice(&count.to_le_bytes());
        out.extend_from_slice(&length(self.envelope.len()));
        out.extend_from_slice(&length(total));
        out.extend_from_slice(&self.salt);
        out.extend_from_slice(self.envelope);
        for record in &self.records {
            out.extend_from_slice(&record.kind.to_le_bytes());
            out.extend_from_slice(&record.version.to_le_bytes());
            let flag = match record.detachable {
                Detachable::None => 0,
                Detachable::Present { .. } => 1,
                Detachable::Redacted { .. } => 2,
            };
            out.extend_from_slice(&[flag, 0, 0, 0]);
            out.extend_from_slice(&length(record.fixed.len()));
            out.extend_from_slice(&length(detachable_len(record.detachable)));
            out.extend_from_slice(record.fixed);
            match record.detachable {
                Detachable::None => {}
                Detachable::Present { salt, bytes } => {
                    out.extend_from_slice(&salt);
                    out.extend_from_slice(bytes);
                }
                Detachable::Redacted { commitment } => out.extend_from_slice(&commitment.0),
            }
        }
        Ok(out)
    }

    /// The same batch with the detachable part of its n-th record erased; `None` if that record has none to erase.
    pub fn redacted(&self, n: usize) -> Option<Self> {
        let record = self.records.get(n)?;
        let Detachable::Present { .. } = record.detachable else { return None };
        let commitment = record.detachable.commitment()?;
        let mut copy = self.clone();
        copy.records[n].detachable = Detachable::Redacted { commitment };
        Some(copy)
    }

    /// The hash of the entry that holds this batch.
    pub fn chain(&self, previous: Hash, place: Place) -> Hash {
        let mut hasher = link(previous, place, 1);
        hasher.update(&self.salt);
        hasher.update(&(self.envelope.len() as u64).to_le_bytes());
        hasher.update(self.envelope);
        for record in &self.records {
            hasher.update(&record.commitment(&self.salt).0);
        }
        Hash(*hasher.finalize().as_bytes())
    }
}

fn detachable_len(part: Detachable<'_>) -> usize {
    match part {
        Detachable::None => 0,
        Detachable::Present { bytes, .. } => 32 + bytes.len(),
        Detachable::Redacted { .. } => 32,
    }
}

/// Where an entry stands in the consensus log; part of its hash, so an entry cannot be moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Raft's term.
    pub term: u64,
    /// Raft's number of the leader that proposed it.
    pub leader: u64,
    /// Raft's index.
    pub index: u64,
}

/// The hash of an entry without records (blank or membership), whose payload is opaque here.
pub fn chain_opaque(previous: Hash, place: Place, payload: &[u8]) -> Hash {
    let mut hasher = link(previous, place, 0);
    hasher.update(&[0; 32]); // the zero salt
    hasher.update(blake3::hash(payload).as_bytes());
    Hash(*hasher.finalize().as_bytes())
}

fn link(previous: Hash, place: Place, holds_records: u8) -> blake3::Hasher {
    let mut hasher = blake3::Hasher::new_derive_key("skein log v1");
    hasher.update(&previous.0);
    hasher.update(&place.term.to_le_bytes());
    hasher.update(&place.leader.to_le_bytes());
    hasher.update(&place.index.to_le_bytes());
    hasher.update(&[holds_records]);
    hasher
}

mod bytes_reader {
    //! Reads little-endian numbers and slices without ever indexing past the end.

    use super::Malformed;

    pub(super) struct Reader<'a>(&'a [u8]);

    impl<'a> Reader<'a> {
        pub(super) fn new(bytes: &'a [u8]) -> Self {
            Self(bytes)
        }
        pub(super) fn is_empty(&self) -> bool {
            self.0.is_empty()
        }
        pub(super) fn take(&mut self, n: usize) -> Result<&'a [u8], Malformed> {
            let (head, tail) = self.0.split_at_checked(n).ok_or(Malformed::Length)?;
            self.0 = tail;
            Ok(head)
        }
        pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
            Ok(self.take(N)?.try_into().expect("take gives what was asked"))
        }
        pub(super) fn u16(&mut self) -> Result<u16, Malformed> {
            self.array().map(u16::from_le_bytes)
        }
        pub(super) fn length(&mut self) -> Result<usize, Malformed> {
            self.array().map(|b| u32::from_le_bytes(b) as usize)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sample() -> Vec<u8> {
        BatchBytes {
            salt: [7; 32],
            envelope: b"envelope",
            records: vec![
                RecordBytes { kind: 1, version: 1, fixed: b"one", detachable: Detachable::None },
                RecordBytes {
                    kind: 2,
                    version: 1,
                    fixed: b"two",
                    detachable: Detachable::Present { salt: [9; 32], bytes: b"secret" },
                },
            ],
        }
        .encode()
        .unwrap()
    }
    const PLACE: Place = Place { term: 3, leader: 1, index: 5 };

    #[test]
    fn redaction_erases_the_value_and_keeps_the_chain() {
        let bytes = sample();
        let whole = BatchBytes::parse(&bytes).unwrap();
        let erased = whole.redacted(1).unwrap().encode().unwrap();
        let parsed = BatchBytes::parse(&erased).unwrap();
        assert_eq!(parsed.chain(Hash::default(), PLACE), whole.chain(Hash::default(), PLACE));
        assert!(!erased.windows(6).any(|w| w == b"secret"));
        assert!(!erased.windows(32).any(|w| w == [9; 32]));
        assert_eq!(parsed.redacted(1), None);
        assert_eq!(whole.redacted(0), None);
    }

    #[test]
    fn a_chain_binds_place_and_order() {
        let bytes = sample();
        let batch = BatchBytes::parse(&bytes).unwrap();
        let h = batch.chain(Hash::default(), PLACE);
        assert_ne!(h, batch.chain(Hash([1; 32]), PLACE));
        assert_ne!(h, batch.chain(Hash::default(), Place { index: 6, ..PLACE }));
        let mut swapped = batch.clone();
        swapped.records.swap(0, 1);
        assert_ne!(h, swapped.chain(Hash::default(), PLACE));
    }

    proptest! {
        #[test]
        fn any_flipped_byte_is_seen(at in 0usize..200, flip in 1u8..) {
            let bytes = sample();
            let good = BatchBytes::parse(&bytes).unwrap().chain(Hash::default(), PLACE);
            let mut bad = bytes;
            let at = at % bad.len();
            bad[at] ^= flip;
            if let Ok(batch) = BatchBytes::parse(&bad) {
                prop_assert_ne!(batch.chain(Hash::default(), PLACE), good);
            }
        }

        #[test]
        fn noise_never_panics(noise in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = BatchBytes::parse(&noise);
        }
    }
}
