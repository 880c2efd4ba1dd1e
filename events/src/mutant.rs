//! Faults planted on purpose, so that the simulator can show that it would find them. Only with the feature `mutants`, which
//! nothing but the simulator's own check of itself turns on: a release has neither this file nor the lines that ask it.

use std::cell::Cell;
use std::sync::Arc;

use crate::task::Task;
use crate::time::Time;

/// A planted fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// A write is acknowledged before it is durable.
    AckBeforeFsync,
    /// Applying a record reads a clock.
    ClockInApply,
    /// An address is handed out again while its holder is still stopping.
    AddressEarly,
    /// A planner does not wake for its deadline.
    DeadlineLost,
    /// A plan depends on the order of a hash table.
    HashOrder,
}

impl Mutant {
    /// Every planted fault.
    pub const ALL: &[Self] = &[
        Self::AckBeforeFsync,
        Self::ClockInApply,
        Self::AddressEarly,
        Self::DeadlineLost,
        Self::HashOrder,
    ];
}

thread_local! {
    static ACTIVE: Cell<Option<Mutant>> = const { Cell::new(None) };
}

/// Turns one fault on, or all off, on this thread.
pub fn activate(mutant: Option<Mutant>) {
    ACTIVE.set(mutant);
}

/// Whether a fault is on.
pub fn is(mutant: Mutant) -> bool {
    ACTIVE.get() == Some(mutant)
}

pub(crate) fn clock_in_apply(at: &mut Time) {
    if is(Mutant::ClockInApply) {
        #[expect(clippy::disallowed_methods, reason = "the fault")]
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        at.0 += now.map_or(0, |now| u64::from(now.subsec_nanos()) % 1_000);
    }
}

pub(crate) fn address_early(task: &Task) -> bool {
    is(Mutant::AddressEarly) && task.stopping_since.is_some()
}

pub(crate) fn hash_order(tasks: &mut Vec<&Arc<Task>>) {
    if is(Mutant::HashOrder) {
        #[expect(clippy::disallowed_types, reason = "the fault")]
        let mut table = std::collections::HashMap::new();
        table.extend(tasks.drain(..).map(|task| (task.id, task)));
        tasks.extend(table.into_values());
    }
}
