//! What the last pieces came to: words come again, and most of what a text is made of are a few hundred.
//!
//! Found here, a piece costs a look at memory that is near; the tables of a vocabulary are not, and encoding a piece that
//! is no token takes ten times as long.

#![expect(clippy::cast_possible_truncation, reason = "what is cast is a half, a place, or a number below 16")]

use super::Encoding;

/// A power of two of pieces, each in the one place that it can have.
const PIECES: usize = 1 << 12;

/// Bits of a piece; the number of its tokens stands above them.
const PIECE_BITS: u32 = 120;
const PIECE: u128 = (1 << PIECE_BITS) - 1;

/// The last pieces of up to 15 bytes.
pub(super) struct Recent {
    encoding: Encoding,
    entries: Vec<u128>,
}

impl Recent {
    pub(super) fn new(encoding: Encoding) -> Self {
        Self { encoding, entries: vec![0; PIECES] }
    }

    /// What follows is of this encoding.
    pub(super) fn begin(&mut self, encoding: Encoding) {
        if self.encoding != encoding {
            *self = Self::new(encoding);
        }
    }

    /// The tokens of a piece, by [`number`](super::whole::number); counted if it was not here.
    #[inline]
    pub(super) fn count(&mut self, piece: u128, count: impl FnOnce() -> usize) -> usize {
        if piece > PIECE {
            return count();
        }
        let entry = &mut self.entries[place(piece)];
        if *entry & PIECE == piece {
            return (*entry >> PIECE_BITS) as usize;
        }
        let tokens = count();
        *entry = (tokens as u128) << PIECE_BITS | piece;
        tokens
    }
}

#[inline]
fn place(piece: u128) -> usize {
    let (low, high) = (piece as u64, (piece >> 64) as u64);
    let mixed = (low ^ high.rotate_left(29)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 32) as usize % PIECES
}
