//! The state at any moment: the fold of everything up to it.

use std::borrow::Borrow;

use skein_events::codec::Batch;
use skein_events::record::Position;
use skein_events::state::State;
use skein_events::state::touched::Touched;

/// Why a history cannot be folded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// Records are missing, or come twice.
    #[error("the history has a gap: {expected} should follow, {found} does")]
    Gap {
        /// The next record.
        expected: Position,
        /// What came instead.
        found: Position,
    },
    /// The moment lies outside.
    #[error("there is no record {wanted} here: the history ends at {newest}")]
    Beyond {
        /// The moment.
        wanted: Position,
        /// The last record there is.
        newest: Position,
    },
    /// The moment lies before the state to start from.
    #[error("record {wanted} lies before the snapshot at {start}")]
    Before {
        /// The moment.
        wanted: Position,
        /// Where the fold starts.
        start: Position,
    },
}

/// Folds all batches into a state; the first one follows what the state holds.
pub fn fold<B: Borrow<Batch>, E: From<Broken>>(
    start: State,
    batches: impl IntoIterator<Item = Result<(Position, B), E>>,
) -> Result<State, E> {
    let mut state = start;
    for item in batches {
        let (first, batch) = item?;
        follows(&state, first)?;
        state.apply_batch(first, batch.borrow(), &mut Touched::Ignored);
    }
    Ok(state)
}

/// The state after one record. A batch is atomic for everyone who acts on it, but a record inside one can be named
/// all the same: then its batch's records up to that one are applied, and its request is not answered yet.
/// Batches after the moment are not read.
pub fn at<B: Borrow<Batch>, E: From<Broken>>(
    start: State,
    wanted: Position,
    batches: impl IntoIterator<Item = Result<(Position, B), E>>,
) -> Result<State, E> {
    let mut state = start;
    if wanted < state.position {
        return Err(Broken::Before { wanted, start: state.position }.into());
    }
    let mut batches = batches.into_iter();
    while state.position < wanted {
        let Some(item) = batches.next() else {
            return Err(Broken::Beyond { wanted, newest: state.position }.into());
        };
        let (first, batch) = item?;
        follows(&state, first)?;
        let batch = batch.borrow();
        if first.0 + batch.entries.len() as u64 <= wanted.0 + 1 {
            state.apply_batch(first, batch, &mut Touched::Ignored);
        } else {
            for record in batch.records(first).take_while(|r| r.position <= wanted) {
                state.apply(record, &mut Touched::Ignored);
            }
        }
    }
    Ok(state)
}

pub(crate) fn follows(state: &State, found: Position) -> Result<(), Broken> {
    let expected = state.position.next();
    if found == expected { Ok(()) } else { Err(Broken::Gap { expected, found }) }
}
