//! What clients were told: every acknowledged command, to be looked for in the log ever after.

use skein_events::codec::Batch;
use skein_events::id::RequestId;
use skein_events::record::Position;

/// An acknowledged command.
#[derive(Clone, Debug)]
pub(super) struct Acked {
    pub(super) request: RequestId,
    pub(super) first: Position,
    pub(super) last: Position,
    events: Vec<skein_events::event::Event>,
}

impl Acked {
    pub(super) fn new(request: RequestId, first: Position, last: Position, batch: &Batch) -> Self {
        let events = batch.entries.iter().map(|e| e.event.clone()).collect();
        Self { request, first, last, events }
    }
    /// Whether a batch says what was acknowledged; what is kept apart may have been redacted since.
    pub(super) fn same(&self, batch: &Batch) -> bool {
        batch.entries.iter().map(|e| &e.event).eq(&self.events)
    }
}

/// Everything clients were told.
#[derive(Debug, Default)]
pub(super) struct Book {
    pub(super) acked: Vec<Acked>,
    pub(super) refused: u64,
    pub(super) unknown: u64,
}
