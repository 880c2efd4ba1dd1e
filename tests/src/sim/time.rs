//! Time in the simulator: naps on tokio's paused clock, and clocks of a machine that step and drift.

use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};

use skein_actors::clock::{Clock, Entropy};
use skein_events::time::{Span, Time};

use super::dice::Dice;

/// Wall time at which every history begins.
const BEGINNING: u64 = 1_790_000_000_000_000_000;

/// Virtual time passes.
pub(super) async fn nap(span: Span) {
    #[expect(clippy::disallowed_methods, reason = "virtual time")]
    tokio::time::sleep(span.as_std()).await;
}

/// The simulated world's own time, which no machine can read.
#[derive(Clone, Copy, Debug)]
pub(super) struct TrueTime(tokio::time::Instant);

impl TrueTime {
    pub(super) fn start() -> Self {
        Self(tokio::time::Instant::now())
    }
    pub(super) fn elapsed(self) -> Span {
        let passed = tokio::time::Instant::now().duration_since(self.0);
        Span(u64::try_from(passed.as_nanos()).expect("a history is shorter than 584 years"))
    }
    pub(super) fn wall(self) -> Time {
        Time(BEGINNING).after(self.elapsed())
    }
}

/// The clocks of one machine.
#[derive(Debug)]
pub(super) struct SimClock {
    time: TrueTime,
    wall_ppm: i64,
    steady_ppm: i64,
    stepped: AtomicI64,
}

impl SimClock {
    pub(super) fn new(time: TrueTime, wall_ppm: i64, steady_ppm: i64) -> Self {
        Self { time, wall_ppm, steady_ppm, stepped: AtomicI64::new(0) }
    }
    /// The wall clock is set to another time.
    pub(super) fn step(&self, by: i64) {
        self.stepped.fetch_add(by, Ordering::Relaxed);
    }
    fn drifted(&self, ppm: i64) -> u64 {
        let elapsed = self.time.elapsed().0;
        let part = elapsed / 1_000_000;
        elapsed.saturating_add_signed(i64::try_from(part).unwrap_or(0).saturating_mul(ppm))
    }
}

impl Clock for SimClock {
    fn wall(&self) -> Time {
        let plain = BEGINNING.saturating_add(self.drifted(self.wall_ppm));
        Time(plain.saturating_add_signed(self.stepped.load(Ordering::Relaxed)))
    }
    fn steady(&self) -> Time {
        Time(self.drifted(self.steady_ppm))
    }
}

/// Randomness of one machine, all from the seed.
#[derive(Debug)]
pub(super) struct SimEntropy(pub(super) Mutex<Dice>);

impl Entropy for SimEntropy {
    fn seed(&self) -> [u8; 32] {
        self.0.lock().expect("no holder of this lock panics").bytes32()
    }
}
