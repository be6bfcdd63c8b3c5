//! Byte pair encoding of a piece: of all neighbours that are joined, those of the lowest rank, and of equal ones the
//! first, are the next, until none are left.
//!
//! Pieces are short, so the next ones are found by looking at all: at the least of each block of neighbours, and within
//! the block only when it changed. Neither needs more than a few registers; a heap is slower up to a few hundred bytes.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "places are below MOST, ranks have RANK_BITS"
)]

use super::pairs::{NONE, Pairs, RANK_BITS};

/// The most bytes of a piece that is encoded here.
pub(super) const MOST: usize = 1 << PLACE_BITS;
const PLACE_BITS: u32 = 9;
const _: () = assert!(RANK_BITS + PLACE_BITS < i32::BITS);

/// Places that share an entry of `least`.
const BLOCK: usize = 16;

/// Nothing to be joined. Signed, because the oldest x86-64 compares no other numbers four at a time.
const NEVER: i32 = i32::MAX;

/// Where pieces are encoded. A token is known by the place of its first byte.
pub(super) struct Merge {
    /// What a token and its neighbour become, above the place: the least is the next.
    keys: [i32; MOST],
    /// The least of each block.
    least: [i32; MOST / BLOCK],
    ranks: [u32; MOST],
    next: [u16; MOST],
    previous: [u16; MOST],
}

impl Merge {
    pub(super) const fn new() -> Self {
        Self {
            keys: [NEVER; MOST],
            least: [NEVER; MOST / BLOCK],
            ranks: [NONE; MOST],
            next: [0; MOST],
            previous: [0; MOST],
        }
    }

    /// The number of tokens of a piece of at least one and at most [`MOST`] bytes.
    pub(super) fn count(&mut self, pairs: &Pairs, piece: &[u8]) -> usize {
        let length = piece.len();
        let blocks = length.div_ceil(BLOCK);
        for (place, byte) in piece.iter().enumerate() {
            self.ranks[place] = pairs.byte(*byte);
            self.next[place] = narrow(place + 1);
            self.previous[place] = narrow(place.wrapping_sub(1));
            self.keys[place] = match piece.get(place + 1) {
                Some(after) => key(pairs.joined_bytes(*byte, *after), place),
                None => NEVER,
            };
        }
        self.keys[length..blocks * BLOCK].fill(NEVER);
        for block in 0..blocks {
            self.look(block);
        }
        let mut count = length;
        loop {
            let best = self.least[..blocks].iter().copied().min().unwrap_or(NEVER);
            if best == NEVER {
                return count;
            }
            let (rank, place) = ((best >> PLACE_BITS) as u32, best as usize % MOST);
            let gone = usize::from(self.next[place]) % MOST;
            let after = usize::from(self.next[gone]);
            self.ranks[place] = rank;
            self.next[place] = narrow(after);
            self.keys[gone] = NEVER;
            self.keys[place] = NEVER;
            if after < length {
                self.previous[after] = narrow(place);
                self.keys[place] = key(pairs.joined(rank, self.ranks[after]), place);
            }
            let block = place / BLOCK;
            if place > 0 {
                let before = usize::from(self.previous[place]) % MOST;
                self.keys[before] = key(pairs.joined(self.ranks[before], rank), before);
                if before / BLOCK != block {
                    self.look(before / BLOCK);
                }
            }
            if gone / BLOCK != block {
                self.look(gone / BLOCK);
            }
            self.look(block);
            count -= 1;
        }
    }

    /// Finds the least of a block.
    #[inline]
    fn look(&mut self, block: usize) {
        let keys = &self.keys[block * BLOCK..][..BLOCK];
        self.least[block] = keys.iter().copied().fold(NEVER, i32::min);
    }

    /// The tokens of the piece that was encoded last, of so many bytes: where each begins, and its rank.
    pub(super) fn tokens(&self, length: usize) -> impl Iterator<Item = (usize, u32)> {
        let next = move |place: &usize| Some(usize::from(self.next[*place])).filter(|next| *next < length);
        std::iter::successors(Some(0), next).map(|place| (place, self.ranks[place]))
    }
}

#[inline]
fn key(rank: u32, place: usize) -> i32 {
    if rank == NONE { NEVER } else { (rank << PLACE_BITS | place as u32) as i32 }
}

#[inline]
fn narrow(place: usize) -> u16 {
    place as u16
}
