//! A new order for every answer, so that clients that take the first address spread themselves.
//! Seeded from outside and never secret: the same seed and the same questions give the same orders.

use std::sync::atomic::{AtomicU64, Ordering};

/// SplitMix64: its state is a counter, so that answers on several threads need no lock.
pub(super) struct Shuffle {
    state: AtomicU64,
}

impl Shuffle {
    pub(super) fn new(seed: u64) -> Self {
        Self { state: AtomicU64::new(seed) }
    }
    fn next(&self) -> u64 {
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut z = self.state.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }
    /// Fisher and Yates. The remainder's bias is under 2^-48 for any list that fits an answer.
    pub(super) fn shuffle<T>(&self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let bound = u64::try_from(last + 1).expect("a usize fits");
            let other = usize::try_from(self.next() % bound).expect("under the length");
            items.swap(last, other);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn every_order_comes_up_about_as_often() {
        let shuffle = Shuffle::new(7);
        let mut seen: BTreeMap<[u8; 3], u32> = BTreeMap::new();
        for _ in 0..6_000 {
            let mut items = [1, 2, 3];
            shuffle.shuffle(&mut items);
            *seen.entry(items).or_default() += 1;
        }
        assert_eq!(seen.len(), 6);
        assert!(seen.values().all(|n| (850..1150).contains(n)), "{seen:?}");
    }

    #[test]
    fn a_seed_replays() {
        let orders = |seed| {
            let (shuffle, mut items) = (Shuffle::new(seed), (0..50).collect::<Vec<u8>>());
            shuffle.shuffle(&mut items);
            items
        };
        assert_eq!(orders(1), orders(1));
        assert_ne!(orders(1), orders(2));
    }
}
