//! Everything random of a simulated history: SplitMix64 streams, forked so that one part's draws do not move another's.

use skein_events::time::Span;

/// A stream of random numbers.
#[derive(Clone, Debug)]
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        let mut dice = Self(seed ^ 0x5eed_0f5c_e1e7_0001);
        dice.next();
        dice
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Another stream, named by a number so that it does not depend on when it is made.
    pub(super) fn fork(&self, name: u64) -> Self {
        Self::new(self.0 ^ name.wrapping_mul(0xa076_1d64_78bd_642f))
    }

    pub(super) fn below(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
    }

    pub(super) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub(super) fn millis(&mut self, least: u64, most: u64) -> Span {
        Span::millis(least + self.below(most - least + 1))
    }

    pub(super) fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).expect("below a length")
    }

    pub(super) fn pick<T: Clone>(&mut self, from: &[T]) -> Option<T> {
        (!from.is_empty()).then(|| from[self.index(from.len())].clone())
    }

    pub(super) fn bytes32(&mut self) -> [u8; 32] {
        let mut out = [0; 32];
        for part in out.chunks_exact_mut(8) {
            part.copy_from_slice(&self.next().to_le_bytes());
        }
        out
    }

    pub(super) fn bytes16(&mut self) -> [u8; 16] {
        let mut half = [0; 16];
        half.copy_from_slice(&self.bytes32()[..16]);
        half
    }
}
