//! The only place that asks what time it is, and the only one that draws randomness.
//! Everything else gets moments and seeds as values; the simulator brings its own `Clock` and `Entropy`.

use std::sync::Mutex;

use skein_events::time::{Span, Time};

/// What tells time.
pub trait Clock: Send + Sync + 'static {
    /// The wall clock: may step and drift.
    fn wall(&self) -> Time;
    /// A clock that only goes forward, from an arbitrary beginning.
    fn steady(&self) -> Time;
}

/// What draws randomness.
pub trait Entropy: Send + Sync + 'static {
    /// 32 fresh bytes.
    fn seed(&self) -> [u8; 32];
}

/// This machine's clocks.
#[derive(Debug)]
pub struct SystemClock {
    start: std::time::Instant,
}

impl Default for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    fn default() -> Self {
        Self { start: std::time::Instant::now() }
    }
}

fn nanos(span: std::time::Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    fn wall(&self) -> Time {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Time(since.map(nanos).unwrap_or(0))
    }
    fn steady(&self) -> Time {
        Time(nanos(self.start.elapsed()))
    }
}

/// The kernel's randomness.
#[derive(Debug, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn seed(&self) -> [u8; 32] {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).expect("the kernel gives randomness");
        seed
    }
}

/// Cluster time is drawn toward the wall clock by at most one part in so many.
const SLEW: u64 = 10;

/// Cluster time: the last committed moment and the steady time since, drawn toward the wall clock by at most 10 %.
/// Never goes back and never jumps, whatever the wall clock does.
pub struct ClusterTime {
    clock: std::sync::Arc<dyn Clock>,
    base: Mutex<Base>,
}

#[derive(Clone, Copy)]
struct Base {
    at: Time,
    steady: Time,
}

impl ClusterTime {
    /// Starts at the wall clock's time; `observe` then leads it along the log.
    pub fn new(clock: std::sync::Arc<dyn Clock>) -> Self {
        let base = Base { at: clock.wall(), steady: clock.steady() };
        Self { clock, base: Mutex::new(base) }
    }

    /// Cluster time now.
    pub fn now(&self) -> Time {
        let base = *self.base.lock().expect("no holder of this lock panics");
        now(base, self.clock.steady(), self.clock.wall())
    }

    /// The wall clock, for display.
    pub fn wall(&self) -> Time {
        self.clock.wall()
    }

    /// A moment was committed: time goes on from there.
    pub fn observe(&self, at: Time) {
        let mut base = self.base.lock().expect("no holder of this lock panics");
        *base = Base { at, steady: self.clock.steady() };
    }

    /// How long until a moment of cluster time.
    pub fn until(&self, at: Time) -> Span {
        at.since(self.now())
    }
}

fn now(base: Base, steady: Time, wall: Time) -> Time {
    let elapsed = steady.since(base.steady).0;
    let plain = base.at.0.saturating_add(elapsed);
    let most = elapsed / SLEW;
    Time(if wall.0 >= plain {
        plain.saturating_add(most.min(wall.0 - plain))
    } else {
        plain - most.min(plain - wall.0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cluster_time_is_slewed_and_never_jumps() {
        let base = Base { at: Time(1_000), steady: Time(0) };
        assert_eq!(now(base, Time(100), Time(1_100)), Time(1_100), "agreeing clocks");
        assert_eq!(now(base, Time(100), Time(9_000)), Time(1_110), "wall stepped ahead");
        assert_eq!(now(base, Time(100), Time(5)), Time(1_090), "wall stepped back");
        assert_eq!(now(base, Time(100), Time(1_103)), Time(1_103), "close by");
        assert_eq!(now(base, Time(0), Time(0)), Time(1_000), "never back");
    }
}
