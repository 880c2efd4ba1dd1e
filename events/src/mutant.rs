//! Faults planted on purpose, so that the simulator can show that it would find them. Only with the feature `mutants`, which
//! nothing but the simulator's own check of itself turns on: a release has neither this file nor the lines that ask it.

use std::cell::Cell;

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
    /// A task is put on a node that takes none.
    Anywhere,
    /// A node gets more tasks of a service than it may.
    Crowded,
    /// An update has more tasks on their way than it may.
    Broad,
    /// An update does not wait for its delay.
    Hasty,
    /// A task is told to run before the one it follows has stopped.
    NotAwaited,
    /// An update that is to start the new task first ends the old one first.
    EndedFirst,
    /// A restarted task is told to run before its delay is over.
    AtOnce,
    /// Attempts are not counted.
    Tireless,
    /// An update that is paused goes on.
    NotPaused,
    /// An update goes on whatever fails.
    Forgiving,
    /// The way back leads to what is asked for now.
    NoWayBack,
    /// A node starts a task as soon as it is ready.
    Unordered,
}

impl Mutant {
    /// Every planted fault.
    pub const ALL: &[Self] = &[
        Self::AckBeforeFsync,
        Self::ClockInApply,
        Self::AddressEarly,
        Self::DeadlineLost,
        Self::HashOrder,
        Self::Anywhere,
        Self::Crowded,
        Self::Broad,
        Self::Hasty,
        Self::NotAwaited,
        Self::EndedFirst,
        Self::AtOnce,
        Self::Tireless,
        Self::NotPaused,
        Self::Forgiving,
        Self::NoWayBack,
        Self::Unordered,
    ];
}

/// What is outside and never the same twice, made by whoever plants the fault: the core itself cannot ask for it.
pub type Outside = fn() -> u64;

thread_local! {
    static ACTIVE: Cell<Option<(Mutant, Outside)>> = const { Cell::new(None) };
}

/// Turns one fault on, or all off, on this thread.
pub fn activate(mutant: Option<(Mutant, Outside)>) {
    ACTIVE.set(mutant);
}

/// Whether a fault is on. Places that ask in the middle of a rule do it by `mutated!`, which is nothing in a release.
pub fn is(mutant: Mutant) -> bool {
    outside(mutant).is_some()
}

fn outside(mutant: Mutant) -> Option<Outside> {
    ACTIVE.get().filter(|(on, _)| *on == mutant).map(|(_, outside)| outside)
}

pub(crate) fn clock_in_apply(at: &mut Time) {
    if let Some(clock) = outside(Mutant::ClockInApply) {
        at.0 += clock() % 1_000;
    }
}

pub(crate) fn hash_order<T>(items: &mut [T]) {
    if let Some(hash) = outside(Mutant::HashOrder) {
        items.sort_by_cached_key(|_| hash());
    }
}
