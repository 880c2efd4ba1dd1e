//! Whether the simulator would notice: plants one fault after another and demands a seed that shows it.
//! Built only with the feature `mutants`; see `events/src/mutant.rs` and `scripts/mutants.sh`.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::process::ExitCode;

use skein_events::mutant::{self, Mutant};
use skein_tests::sim::check::{Check, Violation};
use skein_tests::sim::{run, watch_panics};

/// A fault that so many histories do not show is not caught.
const SEEDS: u64 = 60;

/// Never the same twice: the keys of a new hash table, as a clock and as an order.
fn outside() -> u64 {
    RandomState::new().hash_one(0)
}

/// The checks of which one has to show a fault; none, if any check will do.
fn shown_by(mutant: Mutant) -> &'static [Check] {
    match mutant {
        Mutant::AckBeforeFsync
        | Mutant::ClockInApply
        | Mutant::AddressEarly
        | Mutant::DeadlineLost
        | Mutant::HashOrder => &[],
        Mutant::Anywhere | Mutant::Crowded => &[Check::Placement],
        Mutant::Broad | Mutant::Hasty => &[Check::Parallel],
        Mutant::NotAwaited | Mutant::EndedFirst => &[Check::Order],
        Mutant::AtOnce | Mutant::Tireless => &[Check::Restart],
        Mutant::NotPaused => &[Check::Held],
        // It goes on until it is complete.
        Mutant::Forgiving => &[Check::Held, Check::Failure],
        Mutant::NoWayBack => &[Check::Failure],
        Mutant::Unordered => &[Check::Start],
    }
}

/// The first seed that shows a fault, and how.
fn caught(mutant: Mutant) -> Option<(u64, String)> {
    mutant::activate(Some((mutant, outside)));
    let checks = shown_by(mutant);
    (0..SEEDS).find_map(|seed| {
        let one = run(seed, false);
        let shows = |v: &&Violation| checks.is_empty() || checks.contains(&v.check);
        if let Some(violation) = one.violations.iter().find(shows) {
            return Some((seed, violation.check.to_string()));
        }
        let twice = mutant == Mutant::HashOrder && one.trace != run(seed, false).trace;
        twice.then(|| (seed, "the same seed gave two histories".to_owned()))
    })
}

#[expect(clippy::print_stdout, reason = "a program that prints")]
fn main() -> ExitCode {
    watch_panics();
    let results: Vec<_> = std::thread::scope(|scope| {
        let all: Vec<_> = Mutant::ALL.iter().map(|m| (m, scope.spawn(|| caught(*m)))).collect();
        all.into_iter().map(|(m, thread)| (m, thread.join().ok().flatten())).collect()
    });
    for (mutant, result) in &results {
        match result {
            Some((seed, how)) => println!("{mutant:?}: caught by seed {seed}: {how}"),
            None => println!("{mutant:?}: NOT CAUGHT by {SEEDS} seeds"),
        }
    }
    if results.iter().all(|(_, r)| r.is_some()) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
