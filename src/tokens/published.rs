//! The rules that OpenAI published, which cut a text into the pieces that are looked up: what [`super::cut`] is held up
//! against.

use super::Encoding;

pub(super) const ENCODINGS: [Encoding; 4] = [Encoding::O200k, Encoding::Cl100k, Encoding::P50k, Encoding::R50k];

/// Alternatives, of which the first that fits counts.
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
