//! The vocabularies that OpenAI published with tiktoken, as this library brings them: packed, a fifth of their text, and
//! unpacked when one is first needed.
//!
//! A frame holds the length of each token, in the order of their ranks, then the tokens themselves, in the same order.
//! `cargo test --no-default-features --lib the_vocabularies_are_packed -- --ignored` writes them anew from those of
//! `tiktoken_rs`, which a release does without: a test holds each token and the rules against it.

use super::Encoding;
use crate::compression::unpack;

/// A vocabulary, packed.
struct Packed {
    frame: &'static [u8],
    /// Tokens it has: their ranks are those below.
    tokens: usize,
    /// Bytes of the frame, unpacked.
    length: usize,
}

static O200K: Packed =
    Packed { frame: include_bytes!("vocabulary/o200k_base.zst"), tokens: 199_998, length: 1_597_668 };
static CL100K: Packed =
    Packed { frame: include_bytes!("vocabulary/cl100k_base.zst"), tokens: 100_256, length: 744_086 };
static R50K: Packed = Packed { frame: include_bytes!("vocabulary/r50k_base.zst"), tokens: 50_256, length: 371_070 };

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
    let bytes = unpack(packed.frame, packed.length);
    let (lengths, mut rest) = bytes.split_at(packed.tokens);
    let mut tokens: Vec<_> = Vec::with_capacity(packed.tokens + P50K_SPACES.count());
    for (length, rank) in lengths.iter().zip(0..) {
        let (token, after) = rest.split_at(usize::from(*length));
        tokens.push((token.to_vec(), rank));
        rest = after;
    }
    if encoding == Encoding::P50k {
        tokens.extend(P50K_SPACES.map(|spaces| vec![b' '; spaces]).zip(P50K_FIRST_RANK..));
    }
    tokens
}

#[cfg(test)]
mod tests;
