//! Payloads to bytes and back, and whole batches with their meaning.
//! Callers check the chain before `Batch::decode`: checked access is no integrity check.

use rkyv::api::high::{HighDeserializer, HighSerializer, HighValidator};
use rkyv::rancor::BoxedError;
use rkyv::ser::allocator::ArenaHandle;
use rkyv::util::AlignedVec;

use crate::envelope::{Detached, Envelope};
use crate::event::Event;
use crate::id::IdSource;
use crate::record::{BatchBytes, Detachable, Hash, Malformed, RecordBytes};

/// A payload as bytes.
pub(crate) fn encode<T>(value: &T) -> Vec<u8>
where
    T: for<'a> rkyv::Serialize<HighSerializer<AlignedVec, ArenaHandle<'a>, BoxedError>>,
{
    rkyv::to_bytes::<BoxedError>(value).expect("writing to memory does not fail").into_vec()
}

/// A payload from bytes, bounds-checked.
pub(crate) fn decode<T>(bytes: &[u8]) -> Result<T, Malformed>
where
    T: rkyv::Archive,
    T::Archived: for<'a> rkyv::bytecheck::CheckBytes<HighValidator<'a, BoxedError>>
        + rkyv::Deserialize<T, HighDeserializer<BoxedError>>,
{
    rkyv::from_bytes::<T, BoxedError>(bytes).map_err(|e| Malformed::Content(e.to_string()))
}

/// What became of the detachable part of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Apart {
    /// There was none.
    None,
    /// It is there.
    Present {
        /// What the chain says of it.
        commitment: Hash,
        /// What it says.
        value: Detached,
    },
    /// It was erased.
    Redacted {
        /// What the chain says of it.
        commitment: Hash,
    },
}

impl Apart {
    /// What the chain says of it.
    pub fn commitment(&self) -> Option<Hash> {
        match self {
            Self::None => None,
            Self::Present { commitment, .. } | Self::Redacted { commitment } => Some(*commitment),
        }
    }
}

/// One event with its detachable part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What happened.
    pub event: Event,
    /// What may have to be forgotten of it.
    pub apart: Apart,
}

/// An accepted command: an envelope and its records, atomic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// What all records share.
    pub envelope: Envelope,
    /// The records, never empty.
    pub entries: Vec<Entry>,
}

/// A new event with what is to be kept apart from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEvent {
    /// What happened.
    pub event: Event,
    /// What may have to be forgotten; empty means nothing.
    pub detached: Detached,
}

impl<E: Into<Event>> From<E> for NewEvent {
    fn from(event: E) -> Self {
        Self { event: event.into(), detached: Detached::default() }
    }
}

impl Batch {
    /// Writes a batch of new events; gives its bytes and its meaning, as every reader will find it.
    pub fn write(
        envelope: Envelope,
        events: Vec<NewEvent>,
        ids: &mut IdSource,
    ) -> Result<(Vec<u8>, Self), Malformed> {
        struct Encoded {
            kind: crate::kind::Kind,
            fixed: Vec<u8>,
            detached: Option<([u8; 32], Vec<u8>)>,
        }
        let encoded: Vec<Encoded> = events
            .iter()
            .map(|new| Encoded {
                kind: new.event.kind(),
                fixed: new.event.encode(),
                detached: (!new.detached.is_empty())
                    .then(|| (ids.bytes32(), encode(&new.detached))),
            })
            .collect();
        let envelope_bytes = encode(&envelope);
        let raw = BatchBytes {
            salt: ids.bytes32(),
            envelope: &envelope_bytes,
            records: encoded
                .iter()
                .map(|e| RecordBytes {
                    kind: e.kind.code,
                    version: e.kind.version,
                    fixed: &e.fixed,
                    detachable: match &e.detached {
                        None => Detachable::None,
                        Some((salt, bytes)) => Detachable::Present { salt: *salt, bytes },
                    },
                })
                .collect(),
        };
        let bytes = raw.encode()?;
        let entries = events
            .into_iter()
            .zip(&raw.records)
            .map(|(new, raw)| Entry {
                event: new.event,
                apart: match raw.detachable.commitment() {
                    None => Apart::None,
                    Some(commitment) => Apart::Present { commitment, value: new.detached },
                },
            })
            .collect();
        Ok((bytes, Self { envelope, entries }))
    }

    /// The meaning of a batch whose chain was checked.
    pub fn decode(raw: &BatchBytes<'_>) -> Result<Self, Malformed> {
        let entries = raw
            .records
            .iter()
            .map(|record| {
                let apart = match record.detachable {
                    Detachable::None => Apart::None,
                    Detachable::Redacted { commitment } => Apart::Redacted { commitment },
                    Detachable::Present { bytes, .. } => Apart::Present {
                        commitment: record.detachable.commitment().expect("it is present"),
                        value: decode(bytes)?,
                    },
                };
                Ok(Entry {
                    event: Event::decode(record.kind, record.version, record.fixed)?,
                    apart,
                })
            })
            .collect::<Result<_, Malformed>>()?;
        Ok(Self { envelope: decode(raw.envelope)?, entries })
    }

    /// Parses and decodes bytes whose chain was checked.
    pub fn read(bytes: &[u8]) -> Result<Self, Malformed> {
        Self::decode(&BatchBytes::parse(bytes)?)
    }
}
