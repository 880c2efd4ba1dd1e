//! When a digest of the state is written: after 1,024 records, or 10 s after the first record since the last one.

use crate::command::Command;
use crate::envelope::Planner;
use crate::state::State;
use crate::time::{Span, Time};

use super::{Plan, Proposal};

/// So many records are left unchecked at most.
pub const RECORDS: u64 = 1_024;
/// A record is left unchecked for so long at most.
pub const AFTER: Span = Span::seconds(10);

/// When the next checkpoint is due; never while idle.
pub(super) fn deadline(state: &State) -> Option<Time> {
    state.unchecked_since.map(|since| since.after(AFTER))
}

pub(super) fn plan(state: &State, now: Time, plan: &mut Plan) {
    let many = state.position.0 - state.checkpoint.0 >= RECORDS;
    if many || deadline(state).is_some_and(|at| at <= now) {
        plan.proposals.push(Proposal {
            planner: Planner::Checkpoint,
            cause: None,
            command: Command::Checkpoint,
        });
    }
}
