//! Which answers were asked for lately.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::Key;

/// Bits of a generation: 128 KiB of them.
const BITS: usize = 1 << 20;

type Bits = Box<[AtomicU64]>;

/// One bit per answer, as the clock algorithm has it, found by the answer's key. Answers share bits, so none is cleared
/// for one that was considered, as that would be forgetting others: instead a new generation begins each time that the
/// whole file was considered, and what this one or the last has seen is in use. To share a bit then does no more than
/// keep an answer for longer.
pub(super) struct Uses {
    generations: [Bits; 2],
    current: AtomicUsize,
    /// Answers considered since the current generation began.
    considered: AtomicU64,
}

impl Uses {
    /// Nothing was asked for yet.
    pub fn new() -> Self {
        let bits = || std::iter::repeat_with(AtomicU64::default).take(BITS / 64).collect();
        Self { generations: [bits(), bits()], current: AtomicUsize::new(0), considered: AtomicU64::new(0) }
    }

    /// Notes that an answer was asked for.
    pub fn note(&self, key: &Key) {
        let (word, bit) = place(key);
        let Some(word) = self.generations.get(self.current.load(Ordering::Relaxed)).and_then(|bits| bits.get(word))
        else {
            return;
        };
        // Mostly it is noted already, and a load leaves the cache line to all cores.
        if word.load(Ordering::Relaxed) & bit == 0 {
            word.fetch_or(bit, Ordering::Relaxed);
        }
    }

    /// Whether an answer was asked for since it was last considered, or a little before.
    pub fn is_noted(&self, key: &Key) -> bool {
        let (word, bit) = place(key);
        self.generations.iter().filter_map(|bits| bits.get(word)).any(|word| word.load(Ordering::Relaxed) & bit != 0)
    }

    /// Counts answers that were considered, of so many in the file.
    pub fn count_considered(&self, count: u64, of: u64) {
        if self.considered.fetch_add(count, Ordering::Relaxed) + count < of {
            return;
        }
        self.considered.store(0, Ordering::Relaxed);
        let next = 1 - self.current.load(Ordering::Relaxed);
        for word in self.generations.get(next).into_iter().flatten() {
            word.store(0, Ordering::Relaxed);
        }
        self.current.store(next, Ordering::Relaxed);
    }
}

/// The word and the bit of a key.
fn place(key: &Key) -> (usize, u64) {
    let [a, b, c, ..] = key.0;
    let place = u32::from_le_bytes([a, b, c, 0]) as usize % BITS;
    (place / 64, 1 << (place % 64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_asked_for_is_in_use_for_one_whole_round_and_forgotten_after_two() {
        let uses = Uses::new();
        let (asked, other) = (Key([255; 32]), Key([1; 32]));
        uses.count_considered(99, 100);
        uses.note(&asked);
        for _ in 0..100 {
            assert!(uses.is_noted(&asked) && !uses.is_noted(&other));
            uses.count_considered(1, 100);
        }
        uses.count_considered(100, 100);
        assert!(!uses.is_noted(&asked));
        uses.note(&asked);
        assert!(uses.is_noted(&asked));
    }
}
