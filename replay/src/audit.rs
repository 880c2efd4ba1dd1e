//! Whether the checkpoints in a history say what its records give when they are folded again.

use skein_events::codec::{Apart, Batch};
use skein_events::event::Event;
use skein_events::record::{Hash, Position};
use skein_events::state::State;
use skein_events::state::digest::DIGEST_FORMAT;
use skein_events::state::touched::Touched;

use crate::at::{Broken, follows};

/// A checkpoint that says something else than the fold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Divergence {
    /// The checkpoint's own record.
    pub checkpoint: Position,
    /// The state it is about.
    pub upto: Position,
    /// The digest it wrote down.
    pub written: Hash,
    /// The digest of the fold.
    pub folded: Hash,
}

/// Folds a history from its beginning and compares on the way.
#[derive(Clone, Debug, Default)]
pub struct Audit {
    state: State,
    /// Batches read.
    pub batches: u64,
    /// Records read.
    pub records: u64,
    /// Checkpoints compared.
    pub checkpoints: u64,
    /// Checkpoints in a format this version does not know: reported, never judged.
    pub unjudged: Vec<Position>,
    /// Checkpoints that say something else, in order.
    pub divergences: Vec<Divergence>,
    /// Records whose detachable part was erased.
    pub redacted: Vec<Position>,
}

impl Audit {
    /// Reads the next batch.
    pub fn batch(&mut self, first: Position, batch: &Batch) -> Result<(), Broken> {
        follows(&self.state, first)?;
        self.batches += 1;
        for record in batch.records(first) {
            self.records += 1;
            if matches!(record.apart, Apart::Redacted { .. }) {
                self.redacted.push(record.position);
            }
            if let Event::Checkpointed(checkpoint) = record.event {
                if checkpoint.format == DIGEST_FORMAT && checkpoint.upto == self.state.position {
                    self.checkpoints += 1;
                    let (written, folded) = (checkpoint.digest, self.state.digest());
                    if written != folded {
                        let (checkpoint, upto) = (record.position, checkpoint.upto);
                        self.divergences.push(Divergence { checkpoint, upto, written, folded });
                    }
                } else {
                    self.unjudged.push(record.position);
                }
            }
            self.state.apply(record, &mut Touched::Ignored);
        }
        Ok(())
    }

    /// Whether every checkpoint that could be judged holds.
    pub fn holds(&self) -> bool {
        self.divergences.is_empty()
    }

    /// The state after everything read.
    pub fn state(&self) -> &State {
        &self.state
    }
}
