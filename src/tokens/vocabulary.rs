//! The vocabularies that OpenAI published with tiktoken, as this library brings them: packed, a fifth of their text, and
//! unpacked when one is first needed.
//!
//! Byte pair encoding makes each token by joining two that it made before (Sennrich, Haddow, Birch: Neural Machine
//! Translation of Rare Words with Subword Units, 2016), so that their ranks are all there is to say of it. Frames, one after the other, hold the 256
//! tokens of one byte, then for all others, in the order of their ranks, the lowest bytes of the ranks of their first
//! halves, the middle ones and the highest ones, then those of their second halves.
//!
//! `cargo test --no-default-features --lib the_vocabularies_are_packed -- --ignored` writes them anew from those of
//! `tiktoken_rs`, which a release does without: a test holds each token and the rules against it.

use super::Encoding;
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

/// Bytes of a rank, and of the ranks of a token's halves.
const RANK_BYTES: usize = 3;

/// What p50k has beyond r50k: runs of so many spaces, of which the first has this rank.
const P50K_SPACES: std::ops::RangeInclusive<usize> = 2..=25;
const P50K_FIRST_RANK: u32 = 50_257;

/// The rule that cuts a text into the pieces that are looked up: alternatives, of which the first that fits counts.
const O200K_PATTERN: &str = concat!(
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
);
const CL100K_PATTERN: &str = concat!(
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+",
    r"|\s++$|\s*[\r\n]|\s+(?!\S)|\s",
);
const R50K_PATTERN: &str = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s";

/// The rule of an encoding.
pub(super) fn pattern(encoding: Encoding) -> &'static str {
    match encoding {
        Encoding::O200k => O200K_PATTERN,
        Encoding::Cl100k => CL100K_PATTERN,
        Encoding::P50k | Encoding::R50k => R50K_PATTERN,
    }
}

/// Each token of an encoding and its rank.
pub(super) fn tokens(encoding: Encoding) -> Vec<(Vec<u8>, u32)> {
    let packed = match encoding {
        Encoding::O200k => &O200K,
        Encoding::Cl100k => &CL100K,
        Encoding::P50k | Encoding::R50k => &R50K,
    };
    let joined = packed.tokens - BYTES;
    let unpacked = unpack(packed.frame, BYTES + joined * RANK_BYTES * 2);
    let (bytes, halves) = unpacked.split_at(BYTES);
    let (first, second) = halves.split_at(joined * RANK_BYTES);
    let mut tokens: Vec<_> = Vec::with_capacity(packed.tokens + P50K_SPACES.count());
    tokens.extend(bytes.iter().map(|byte| vec![*byte]));
    for (first, second) in ranks(first).zip(ranks(second)) {
        tokens.push([&*tokens[first], &*tokens[second]].concat());
    }
    let mut tokens: Vec<_> = tokens.into_iter().zip(0..).collect();
    if encoding == Encoding::P50k {
        tokens.extend(P50K_SPACES.map(|spaces| vec![b' '; spaces]).zip(P50K_FIRST_RANK..));
    }
    tokens
}

/// The ranks whose lowest bytes come first, then their middle ones, then their highest ones.
fn ranks(planes: &[u8]) -> impl Iterator<Item = usize> {
    let (low, rest) = planes.split_at(planes.len() / RANK_BYTES);
    let (middle, high) = rest.split_at(low.len());
    let bytes = low.iter().zip(middle).zip(high);
    bytes.map(|((low, middle), high)| usize::from(*low) | usize::from(*middle) << 8 | usize::from(*high) << 16)
}

#[cfg(test)]
mod tests;
