//! Counts of texts that come again: each turn of a chat sends all that was said before.
//!
//! A text is known by 128 bits of its BLAKE3, which nobody can make equal for two texts; so a count is always that of
//! the text. Short ones are counted sooner than they are found.

use std::sync::LazyLock;

use quick_cache::sync::Cache;

use super::Encoding;

/// Bytes from which on a text is remembered: twice as many as take as long to be counted as to be looked up.
const LEAST: usize = 1 << 10;

/// Texts that are remembered, a megabyte at the most.
const MOST: usize = 10_000;

type Key = ([u8; 16], Encoding);

static COUNTS: LazyLock<Cache<Key, u64>> = LazyLock::new(|| Cache::new(MOST));

/// What [`Encoding::count`] says.
pub(super) fn count(encoding: Encoding, text: &str) -> u64 {
    if text.len() < LEAST {
        return encoding.count(text);
    }
    let hash = blake3::hash(text.as_bytes());
    let key = (hash.as_bytes().first_chunk().copied().unwrap_or_default(), encoding);
    COUNTS.get(&key).unwrap_or_else(|| {
        let count = encoding.count(text);
        COUNTS.insert(key, count);
        count
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_counts_the_same_the_second_time_and_by_each_encoding() {
        let text = "\u{304a}\u{8a95}\u{751f}\u{65e5} 1234 ".repeat(LEAST);
        let other = format!("{text}!");
        for encoding in [Encoding::O200k, Encoding::Cl100k] {
            for text in [&text, &other, &text, &other] {
                assert_eq!(count(encoding, text), encoding.count(text), "{encoding:?}");
            }
        }
        assert_ne!(count(Encoding::O200k, &text), count(Encoding::Cl100k, &text));
    }
}
