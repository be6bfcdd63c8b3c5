//! Which answers were asked for since they were last considered for removal.

use std::sync::atomic::{AtomicU64, Ordering};

use super::Key;

/// Bits: 128 KiB of them.
const BITS: usize = 1 << 20;

/// One bit per answer, as the clock algorithm has it, found by the answer's key. Two keys may share a bit, which does
/// no more than keep an answer for longer.
pub(super) struct Uses(Box<[AtomicU64]>);

impl Uses {
    /// Nothing was asked for yet.
    pub fn new() -> Self {
        Self(std::iter::repeat_with(AtomicU64::default).take(BITS / 64).collect())
    }

    /// Notes that an answer was asked for.
    pub fn note(&self, key: &Key) {
        let (word, bit) = self.place(key);
        // Mostly it is noted already, and a load leaves the cache line to all cores.
        if word.load(Ordering::Relaxed) & bit == 0 {
            word.fetch_or(bit, Ordering::Relaxed);
        }
    }

    /// Whether an answer was asked for since this was last asked.
    pub fn take(&self, key: &Key) -> bool {
        let (word, bit) = self.place(key);
        word.fetch_and(!bit, Ordering::Relaxed) & bit != 0
    }

    fn place(&self, key: &Key) -> (&AtomicU64, u64) {
        let [a, b, c, ..] = key.0;
        let place = u32::from_le_bytes([a, b, c, 0]) as usize % BITS;
        (&self.0[place / 64], 1 << (place % 64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_used_until_it_is_considered() {
        let uses = Uses::new();
        let (asked, other) = (Key([255; 32]), Key([1; 32]));
        uses.note(&asked);
        uses.note(&asked);
        assert!(!uses.take(&other));
        assert!(uses.take(&asked));
        assert!(!uses.take(&asked));
    }
}
