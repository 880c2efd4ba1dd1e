//! One entry of the log as it lies on disk: a fixed head, then the payload; and the check every read makes.
//! Knows the chain and nothing of tables, files or consensus.

use bytes::Bytes;
use skein_events::record::{BatchBytes, Hash, Malformed, Place, Position, chain_opaque};

use crate::error::Damage;

/// What an entry holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Nothing: a new leader's first entry.
    Blank,
    /// A batch of records.
    Batch,
    /// A configuration of managers.
    Membership,
}

/// Where the chain stands after an entry: all that the next entry needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    /// Index of the next entry.
    pub(crate) index: u64,
    /// Term of the entry before.
    pub(crate) term: u64,
    /// Hash of the entry before.
    pub(crate) h: Hash,
    /// First position of the next entry.
    pub(crate) position: Position,
}

impl Link {
    /// Before the first entry; the first record is @1.
    pub(crate) const GENESIS: Self =
        Self { index: 0, term: 0, h: Hash([0; 32]), position: Position(1) };
}

/// An entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) kind: Kind,
    pub(crate) index: u64,
    pub(crate) term: u64,
    /// Position of the first record, or the one the next record will get.
    pub(crate) first: Position,
    pub(crate) count: u32,
    pub(crate) h: Hash,
    pub(crate) payload: Bytes,
}

const MAGIC: [u8; 4] = *b"SKR1";
const HEAD: usize = 4 + 1 + 3 + 8 + 8 + 4 + 4 + 32;

impl Row {
    /// Makes the entry that follows `previous`: counts its records and computes its hash.
    pub(crate) fn seal(
        previous: &Link,
        term: u64,
        kind: Kind,
        payload: Bytes,
    ) -> Result<Self, Malformed> {
        let mut row = Self {
            kind,
            index: previous.index,
            term,
            first: previous.position,
            count: 0,
            h: Hash::default(),
            payload,
        };
        (row.count, row.h) = row.measure(previous.h)?;
        Ok(row)
    }

    /// Where the chain stands after this entry.
    pub(crate) fn link(&self) -> Link {
        Link {
            index: self.index + 1,
            term: self.term,
            h: self.h,
            position: Position(self.first.0 + u64::from(self.count)),
        }
    }

    /// Place in the consensus log. A term has one leader, so the leader's number says nothing more and is 0.
    pub(crate) fn place(&self) -> Place {
        Place { term: self.term, leader: 0, index: self.index }
    }

    /// Compares with what the entry before promises. Nothing of a row is used before this said yes.
    pub(crate) fn check(&self, previous: &Link) -> Result<(), Damage> {
        if self.index != previous.index || self.first != previous.position {
            return Err(Damage::Place);
        }
        match self.measure(previous.h) {
            Err(malformed) => Err(Damage::Batch(malformed)),
            Ok((count, _)) if count != self.count => Err(Damage::Count),
            Ok((_, h)) if h != self.h => Err(Damage::Hash),
            Ok(_) => Ok(()),
        }
    }

    fn measure(&self, previous: Hash) -> Result<(u32, Hash), Malformed> {
        match self.kind {
            Kind::Batch => {
                let batch = BatchBytes::parse(&self.payload)?;
                let count = u32::try_from(batch.records.len()).map_err(|_| Malformed::Limit)?;
                Ok((count, batch.chain(previous, self.place())))
            }
            // The kind is part of what is hashed, so that one cannot be turned into the other.
            Kind::Blank => Ok((0, chain_opaque(previous, self.place(), b"blank"))),
            Kind::Membership => Ok((0, chain_opaque(previous, self.place(), &self.payload))),
        }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let kind = match self.kind {
            Kind::Blank => 0,
            Kind::Batch => 1,
            Kind::Membership => 2,
        };
        let length = u32::try_from(self.payload.len()).expect("a payload is within BATCH_MAX");
        let mut out = Vec::with_capacity(HEAD + self.payload.len());
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&[kind, 0, 0, 0]);
        out.extend_from_slice(&self.term.to_le_bytes());
        out.extend_from_slice(&self.first.0.to_le_bytes());
        out.extend_from_slice(&self.count.to_le_bytes());
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(&self.h.0);
        out.extend_from_slice(&self.payload);
        out
    }

    /// Splits bytes into a head and a payload; trusts nothing, checks no hash.
    pub(crate) fn decode(index: u64, bytes: &[u8]) -> Result<Self, Damage> {
        let row = Self::decode_head(index, bytes)?;
        Ok(Self { payload: Bytes::copy_from_slice(&bytes[HEAD..]), ..row })
    }

    /// As `decode`, without copying the payload: for searching by position.
    pub(crate) fn decode_head(index: u64, bytes: &[u8]) -> Result<Self, Damage> {
        let (head, payload) = bytes.split_at_checked(HEAD).ok_or(Damage::Head)?;
        let u64_at = |at: usize| {
            u64::from_le_bytes(head[at..at + 8].try_into().expect("eight bytes were taken"))
        };
        let u32_at = |at: usize| {
            u32::from_le_bytes(head[at..at + 4].try_into().expect("four bytes were taken"))
        };
        let kind = match head[4..8] {
            [0, 0, 0, 0] => Kind::Blank,
            [1, 0, 0, 0] => Kind::Batch,
            [2, 0, 0, 0] => Kind::Membership,
            _ => return Err(Damage::Head),
        };
        let length = usize::try_from(u32_at(28)).map_err(|_| Damage::Head)?;
        if head[..4] != MAGIC || length != payload.len() || (kind == Kind::Blank && length != 0) {
            return Err(Damage::Head);
        }
        Ok(Self {
            kind,
            index,
            term: u64_at(8),
            first: Position(u64_at(16)),
            count: u32_at(24),
            h: Hash(head[32..HEAD].try_into().expect("the head ends with a hash")),
            payload: Bytes::new(),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use skein_events::record::{Detachable, RecordBytes};

    use super::*;

    fn batch() -> Bytes {
        let record =
            RecordBytes { kind: 1, version: 1, fixed: b"fixed", detachable: Detachable::None };
        BatchBytes { salt: [3; 32], envelope: b"who", records: vec![record, record] }
            .encode()
            .unwrap()
            .into()
    }

    #[test]
    fn positions_are_dense_over_batches_only() {
        let one = Row::seal(&Link::GENESIS, 1, Kind::Blank, Bytes::new()).unwrap();
        let two = Row::seal(&one.link(), 1, Kind::Batch, batch()).unwrap();
        let three = Row::seal(&two.link(), 2, Kind::Membership, Bytes::from_static(b"m")).unwrap();
        assert_eq!((one.first, two.first, three.first), (Position(1), Position(1), Position(3)));
        assert_eq!(three.link().position, Position(3));
    }

    proptest! {
        #[test]
        fn any_flipped_bit_of_a_row_is_seen(at in any::<prop::sample::Index>(), bit in 0u8..8) {
            let previous = Row::seal(&Link::GENESIS, 1, Kind::Blank, Bytes::new()).unwrap().link();
            let mut bytes = Row::seal(&previous, 1, Kind::Batch, batch()).unwrap().encode();
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            let seen = Row::decode(1, &bytes).and_then(|row| row.check(&previous));
            prop_assert!(seen.is_err(), "a flip at byte {at} was not seen");
        }
    }
}
