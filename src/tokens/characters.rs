//! What kind of character each one is, as the rules that cut text tell them apart.
//!
//! The kinds are those of the Unicode version that the regexes of `tiktoken_rs` know. They are packed as runs of equal
//! characters, unpacked when a vocabulary is loaded, and written anew by
//! `cargo test --no-default-features --lib the_characters_are_packed -- --ignored`.

use crate::compression::unpack;

/// Stands where a word of o200k may begin: `[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]`.
pub(super) const HEAD: u8 = 1;
/// Stands where a word of o200k goes on: `[\p{Ll}\p{Lm}\p{Lo}\p{M}]`.
pub(super) const TAIL: u8 = 2;
/// `\p{L}`
pub(super) const LETTER: u8 = 4;
/// `\p{N}`
pub(super) const NUMBER: u8 = 8;
/// `\s`
pub(super) const SPACE: u8 = 16;
/// `[\r\n]`
pub(super) const BREAK: u8 = 32;
/// `[^\s\p{L}\p{N}]`, marks too.
pub(super) const SIGN: u8 = 64;
/// In [`ASCII`], a byte of a longer character.
pub(super) const WIDE: u8 = 128;

/// The kinds by their number in the packed runs.
const KINDS: [u8; 7] = [SIGN, LETTER | HEAD, LETTER | TAIL, LETTER | HEAD | TAIL, SIGN | HEAD | TAIL, NUMBER, SPACE];

/// Characters, ordered, in runs of one kind: four bytes each, the length times eight and the number of the kind.
static RUNS: &[u8] = include_bytes!("vocabulary/characters.zst");
const RUNS_COUNT: usize = 3191;

/// Code points, those of surrogates too.
const CODE_POINTS: usize = 0x11_0000;

/// The kinds of single bytes.
pub(super) static ASCII: [u8; 256] = {
    let mut kinds = [WIDE; 256];
    let mut byte = 0_u8;
    while byte < 128 {
        kinds[byte as usize] = match byte {
            b'A'..=b'Z' => LETTER | HEAD,
            b'a'..=b'z' => LETTER | TAIL,
            b'0'..=b'9' => NUMBER,
            b'\r' | b'\n' => SPACE | BREAK,
            b' ' | b'\t' | 0x0b | 0x0c => SPACE,
            _ => SIGN,
        };
        byte += 1;
    }
    kinds
};

/// Characters that share an entry of the index.
const BLOCK: usize = 64;

/// The kinds of all characters.
pub(super) struct Characters {
    /// Where the kinds of each block are.
    index: Vec<u16>,
    /// Kinds, block by block; equal blocks once.
    kinds: Vec<u8>,
}

impl Characters {
    pub(super) fn load() -> Self {
        let mut kinds = Vec::with_capacity(CODE_POINTS);
        for run in unpack(RUNS, RUNS_COUNT * 4).chunks_exact(4) {
            let run = u32::from_le_bytes(run.try_into().unwrap_or_default()) as usize;
            kinds.resize(kinds.len() + run / 8, KINDS[run % 8]);
        }
        kinds.resize(CODE_POINTS, SIGN);
        for space in ['\r', '\n'] {
            kinds[space as usize] |= BREAK;
        }
        let mut known = std::collections::HashMap::new();
        let mut characters = Self { index: Vec::new(), kinds: Vec::new() };
        for block in kinds.chunks_exact(BLOCK) {
            let place = *known.entry(block).or_insert_with(|| {
                characters.kinds.extend(block);
                u16::try_from(characters.kinds.len() / BLOCK - 1).unwrap_or_default()
            });
            characters.index.push(place);
        }
        characters
    }

    /// The kind of a character.
    #[inline]
    pub(super) fn kind(&self, code: u32) -> u8 {
        let code = code as usize;
        let block = self.index.get(code / BLOCK).copied().unwrap_or_default();
        self.kinds.get(usize::from(block) * BLOCK + code % BLOCK).copied().unwrap_or(SIGN)
    }

    /// The kind of the character that begins there, of more than one byte, and how many it has.
    #[inline]
    pub(super) fn wide(&self, text: &[u8], at: usize) -> (u8, usize) {
        let byte = |place: usize| u32::from(text.get(at + place).copied().unwrap_or_default());
        let more = |place: usize| byte(place) & 0x3f;
        match byte(0) {
            first @ ..0xe0 => (self.kind((first & 0x1f) << 6 | more(1)), 2),
            first @ 0xe0..0xf0 => (self.kind((first & 0x0f) << 12 | more(1) << 6 | more(2)), 3),
            first => (self.kind((first & 0x07) << 18 | more(1) << 12 | more(2) << 6 | more(3)), 4),
        }
    }
}

#[cfg(test)]
mod tests {
    use fancy_regex::Regex;

    use super::*;
    use crate::compression::pack;

    /// The number of each character's kind, as the regexes have it.
    fn kinds() -> Vec<u8> {
        let all: String = ('\0'..=char::MAX).collect();
        let mut kinds = vec![0; CODE_POINTS];
        let classes = [r"[\p{Lu}\p{Lt}]", r"\p{Ll}", r"[\p{Lm}\p{Lo}]", r"\p{M}", r"\p{N}", r"\s"];
        for (class, number) in classes.into_iter().zip(1..) {
            for found in Regex::new(&format!("{class}+")).unwrap().find_iter(&all) {
                for character in found.unwrap().as_str().chars() {
                    assert_eq!(kinds[character as usize], 0, "{character:?} is of one kind");
                    kinds[character as usize] = number;
                }
            }
        }
        kinds
    }

    #[test]
    fn every_character_is_of_the_kind_that_the_regexes_say() {
        let characters = Characters::load();
        let found = kinds();
        for character in '\0'..=char::MAX {
            let end = if matches!(character, '\r' | '\n') { BREAK } else { 0 };
            let expected = KINDS[usize::from(found[character as usize])] | end;
            let mut bytes = [0; 4];
            let length = character.encode_utf8(&mut bytes).len();
            assert_eq!(characters.kind(character.into()), expected, "{character:?}");
            if length > 1 {
                assert_eq!(characters.wide(&bytes, 0), (expected, length), "{character:?}");
            } else {
                assert_eq!(ASCII[character as usize], expected, "{character:?}");
            }
        }
    }

    #[test]
    #[ignore = "writes src/tokens/vocabulary"]
    fn the_characters_are_packed() {
        let kinds = kinds();
        let runs: Vec<_> = kinds.chunk_by(|left, right| left == right).collect();
        let bytes: Vec<_> = runs
            .iter()
            .flat_map(|run| (u32::try_from(run.len()).unwrap() * 8 + u32::from(run[0])).to_le_bytes())
            .collect();
        println!("{} runs", runs.len());
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/tokens/vocabulary/characters.zst");
        std::fs::write(path, pack(&bytes)).unwrap();
    }
}
