//! How the past is looked up: by position and by object.
//! A trait, so that a daemon answers from its disk and a test from memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use skein_events::codec::{Apart, Batch};
use skein_events::envelope::Envelope;
use skein_events::event::Event;
use skein_events::id::ObjectId;
use skein_events::record::Position;
use skein_events::state::Record;

use crate::catalog::Catalog;

/// One record of the past, with the batch it came in.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// Its position.
    pub position: Position,
    /// The first position of its batch.
    pub first: Position,
    /// Its batch.
    pub batch: Arc<Batch>,
}

impl Recorded {
    /// The record at a position, if the batch holds it.
    pub fn of(position: Position, first: Position, batch: Arc<Batch>) -> Option<Self> {
        let nth = usize::try_from(position.0.checked_sub(first.0)?).ok()?;
        (nth < batch.entries.len()).then_some(Self { position, first, batch })
    }
    fn entry(&self) -> &skein_events::codec::Entry {
        let nth = usize::try_from(self.position.0 - self.first.0).expect("checked when made");
        &self.batch.entries[nth]
    }
    /// The record itself, as a state takes it.
    pub fn record(&self) -> Record<'_> {
        let Self { position, first: _, batch } = self;
        let (event, apart) = (self.event(), self.apart());
        Record { position: *position, envelope: &batch.envelope, event, apart }
    }
    /// What happened.
    pub fn event(&self) -> &Event {
        &self.entry().event
    }
    /// What may have to be forgotten of it.
    pub fn apart(&self) -> &Apart {
        &self.entry().apart
    }
    /// The position before its own.
    pub fn before(&self) -> Position {
        Position(self.position.0.saturating_sub(1))
    }
    /// Who, when, through what.
    pub fn envelope(&self) -> &Envelope {
        &self.batch.envelope
    }
}

/// A history that can be asked.
pub trait History {
    /// The record at a position; `None` if it is not there (any more).
    fn record(&self, position: Position) -> Option<Recorded>;
    /// Which records are about which object, and what objects were called.
    fn catalog(&self) -> &Catalog;

    /// Records about an object up to a position, the newest first.
    fn of_object(&self, object: ObjectId, upto: Position) -> Vec<Position> {
        let all = self.catalog().positions(object);
        let end = all.partition_point(|p| *p <= upto);
        all[..end].iter().rev().copied().collect()
    }
}

/// A history in memory, filled by reading the log once.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    batches: BTreeMap<Position, Arc<Batch>>,
    catalog: Catalog,
}

impl Memory {
    /// A history that goes on from what a catalog knows.
    pub fn after(catalog: Catalog) -> Self {
        Self { batches: BTreeMap::new(), catalog }
    }

    /// Adds a batch.
    pub fn add(&mut self, first: Position, batch: Arc<Batch>) {
        self.catalog.note(first, &batch);
        self.batches.insert(first, batch);
    }
}

impl History for Memory {
    fn record(&self, position: Position) -> Option<Recorded> {
        let (first, batch) = self.batches.range(..=position).next_back()?;
        Recorded::of(position, *first, Arc::clone(batch))
    }
    fn catalog(&self) -> &Catalog {
        &self.catalog
    }
}
