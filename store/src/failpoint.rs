//! Named places at which a test lets the process die as `kill -9` would: nothing is flushed, no destructor runs.
//! Here because the store is what everything above it shares. Without the feature `failpoints` there is nothing of it.

/// Ends the process if `SKEIN_FAILPOINT` names this place, or, as `name:3`, at the third time it is passed.
#[cfg(feature = "failpoints")]
pub fn failpoint(name: &str) {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    static WANTED: LazyLock<Option<(String, AtomicU64)>> = LazyLock::new(|| {
        let text = std::env::var("SKEIN_FAILPOINT").ok()?;
        let (name, times) = text.split_once(':').unwrap_or((&text, "1"));
        Some((name.to_owned(), AtomicU64::new(times.parse().ok()?)))
    });
    let Some((wanted, left)) = &*WANTED else { return };
    if wanted == name && left.fetch_sub(1, Ordering::SeqCst) == 1 {
        std::process::abort();
    }
}

/// Nothing: the feature `failpoints` is off.
#[cfg(not(feature = "failpoints"))]
#[inline(always)]
pub fn failpoint(_: &str) {}

/// How many records lie between two snapshots: `usual`, unless a test wants to see one sooner.
#[cfg(feature = "failpoints")]
pub fn snapshot_every(usual: u64) -> u64 {
    let sooner = std::env::var("SKEIN_SNAPSHOT_EVERY").ok().and_then(|n| n.parse().ok());
    sooner.unwrap_or(usual)
}

/// What is usual: the feature `failpoints` is off.
#[cfg(not(feature = "failpoints"))]
#[inline(always)]
pub fn snapshot_every(usual: u64) -> u64 {
    usual
}
