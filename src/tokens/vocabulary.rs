//! The vocabularies that OpenAI published with tiktoken, as this library brings them: packed, a fifth of their text, and
//! unpacked when one is first needed.
//!
//! Byte pair encoding makes each token by joining two that it made before (Sennrich, Haddow, Birch: Neural Machine
//! Translation of Rare Words with Subword Units, 2016), so that their ranks are all there is to say of it. Frames, one after the other, hold the 256
//! tokens of one byte, then for all others, in the order of their ranks, the lowest bytes of the ranks of their first
//! halves, the middle ones and the highest ones, then those of their second halves.
//!
//! `cargo test --no-default-features --lib the_vocabularies_are_packed -- --ignored` writes them anew from those of
//! `tiktoken_rs`, which a release does without: a test holds each token against it.

use super::Encoding;
use super::pairs::Pairs;
use super::whole::Whole;
use crate::compression::unpack;

/// A vocabulary, packed.
struct Packed {
    frame: &'static [u8],
    /// Tokens it has: their ranks are those below.
    tokens: usize,
}

static O200K: Packed = Packed { frame: include_bytes!("vocabulary/o200k_base.zst"), tokens: 199_998 };
static CL100K: Packed = Packed { frame: include_bytes!("vocabulary/cl100k_base.zst"), tokens: 100_256 };
static R50K: Packed = Packed { frame: include_bytes!("vocabulary/r50k_base.zst"), tokens: 50_256 };

/// Tokens of one byte.
const BYTES: usize = 256;

/// The rank of the first of the others.
const FIRST_JOINED: u32 = 256;

/// Bytes of a rank, and of the ranks of a token's halves.
const RANK_BYTES: usize = 3;

/// What p50k has beyond r50k: runs of so many spaces, of which the first has this rank.
const P50K_SPACES: std::ops::RangeInclusive<u32> = 2..=25;
const P50K_FIRST_RANK: u32 = 50_257;

/// The tokens of an encoding, by their ranks.
pub(super) struct Tokens {
    /// The bytes of all, one after the other, and where each ends.
    bytes: Vec<u8>,
    ends: Vec<usize>,
    /// The halves of those of more than one byte, and what they are together.
    joins: Vec<[u32; 3]>,
}

impl Tokens {
    /// The bytes of each, in the order of their ranks.
    pub(super) fn iter(&self) -> impl Iterator<Item = &[u8]> + Clone {
        (0..self.ends.len()).map(|token| self.token(token))
    }

    fn token(&self, token: usize) -> &[u8] {
        let start = token.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[start..self.ends[token]]
    }

    fn join(&mut self, first: u32, second: u32, rank: u32) {
        for half in [first, second] {
            let end = self.ends[half as usize];
            let start = end - self.token(half as usize).len();
            self.bytes.extend_from_within(start..end);
        }
        self.ends.push(self.bytes.len());
        self.joins.push([first, second, rank]);
    }

    /// Adds what p50k has beyond r50k: runs of spaces, beyond the rank of a special token.
    fn join_spaces(&mut self) {
        self.ends.push(self.bytes.len());
        let space = self.bytes.iter().take(BYTES).zip(0..).find_map(|(byte, rank)| (*byte == b' ').then_some(rank));
        let rank = |spaces: u32| match spaces {
            1 => space.unwrap_or_default(),
            more => P50K_FIRST_RANK + more - P50K_SPACES.start(),
        };
        for spaces in P50K_SPACES {
            // The fewer they are together, the lower is their rank.
            let mut parts: Vec<u32> = vec![1; spaces as usize];
            while let Some(at) =
                (0..parts.len() - 1).min_by_key(|at| parts[*at] + parts[at + 1]).filter(|_| parts.len() > 2)
            {
                let second = parts.remove(at + 1);
                parts[at] += second;
            }
            self.join(rank(parts[0]), rank(parts[1]), rank(spaces));
        }
    }

    pub(super) fn whole(&self) -> Whole {
        Whole::new(self.iter().filter(|token| token.len() > 1))
    }

    pub(super) fn pairs(&self) -> Pairs {
        let mut ranks = [0; BYTES];
        for (byte, rank) in self.bytes.iter().take(BYTES).zip(0..) {
            ranks[usize::from(*byte)] = rank;
        }
        let mut pairs = Pairs::new(&ranks, self.joins.len());
        for [first, second, rank] in &self.joins {
            pairs.insert(*first, *second, *rank);
        }
        pairs.finish();
        pairs
    }
}

/// The tokens of an encoding.
pub(super) fn tokens(encoding: Encoding) -> Tokens {
    let packed = match encoding {
        Encoding::O200k => &O200K,
        Encoding::Cl100k => &CL100K,
        Encoding::P50k | Encoding::R50k => &R50K,
    };
    let joined = packed.tokens - BYTES;
    let unpacked = unpack(packed.frame, BYTES + joined * RANK_BYTES * 2);
    let (bytes, halves) = unpacked.split_at(BYTES);
    let (first, second) = halves.split_at(joined * RANK_BYTES);
    let mut tokens = Tokens { bytes: bytes.to_vec(), ends: (1..=BYTES).collect(), joins: Vec::with_capacity(joined) };
    for ((first, second), rank) in ranks(first).zip(ranks(second)).zip(FIRST_JOINED..) {
        tokens.join(first, second, rank);
    }
    if encoding == Encoding::P50k {
        tokens.join_spaces();
    }
    tokens
}

/// The ranks whose lowest bytes come first, then their middle ones, then their highest ones.
fn ranks(planes: &[u8]) -> impl Iterator<Item = u32> {
    let (low, rest) = planes.split_at(planes.len() / RANK_BYTES);
    let (middle, high) = rest.split_at(low.len());
    let bytes = low.iter().zip(middle).zip(high);
    bytes.map(|((low, middle), high)| u32::from_le_bytes([*low, *middle, *high, 0]))
}

#[cfg(test)]
mod tests;
