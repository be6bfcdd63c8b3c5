//! Counts, against those of `tiktoken_rs`, and cuts, against the published rules. What is exact is in `tests/tokens.rs`.

use std::sync::LazyLock;

use fancy_regex::Regex;
use proptest::prelude::*;
use tiktoken_rs::CoreBPE;

use super::characters::Characters;
use super::cut::Cutter;
use super::published::{ENCODINGS, pattern};
use super::*;

/// What `tiktoken_rs` has for an encoding.
pub(super) fn published(encoding: Encoding) -> &'static CoreBPE {
    static PUBLISHED: LazyLock<[CoreBPE; 4]> = LazyLock::new(|| {
        let vocabularies =
            [tiktoken_rs::o200k_base(), tiktoken_rs::cl100k_base(), tiktoken_rs::p50k_base(), tiktoken_rs::r50k_base()];
        vocabularies.map(Result::unwrap)
    });
    &PUBLISHED[encoding as usize]
}

/// Texts that pass through every class of character that a rule tells apart, and every pair of them.
fn mixed() -> impl Strategy<Value = String> {
    let scraps = prop_oneof![
        4 => "[ \t\r\n]{1,4}",
        2 => "[a-zA-Z]{1,6}",
        2 => "[0-9]{1,5}",
        2 => "[-'/\"(){},.:;<|>_=+*&$#@!?\\\\]{1,4}",
        2 => prop::sample::select(vec![
            "'s", "'S", "'ll", "'LL", "'re", "'v", "'\u{17f}", "\u{2019}s", "\u{85}", "\u{a0}", "\u{2028}", "\u{3000}",
            "\u{b}", "\u{1c}", "\u{0}", "\u{301}", "\u{93f}", "\u{24b6}", "\u{2160}", "\u{bd}", "\u{660}", "\u{ff11}",
            "\u{1c5}", "\u{2b0}", "\u{e01}", "\u{200d}", "\u{fe0f}", "\u{1f600}", "\u{3042}", "\u{30fc}", "\u{751f}",
            "\u{3001}", "\u{3002}", "\u{ff0c}", "\u{201c}", "\u{ac00}", "\u{ff41}", "<|endoftext|>", "\u{212a}",
        ]).prop_map(str::to_owned),
        1 => "\\PC{1,4}",
        1 => any::<char>().prop_map(String::from),
    ];
    prop::collection::vec(scraps, 0..24).prop_map(|scraps| scraps.concat())
}

fn pieces(encoding: Encoding, text: &str) -> Vec<&str> {
    static CHARACTERS: LazyLock<Characters> = LazyLock::new(Characters::load);
    let cutter = Cutter::new(text, &CHARACTERS);
    let next = |start: &usize| (*start < text.len()).then(|| cutter.end(encoding, *start));
    let starts: Vec<_> = std::iter::successors(Some(0), next).collect();
    starts.windows(2).map(|window| &text[window[0]..window[1]]).collect()
}

fn published_pieces(encoding: Encoding, text: &str) -> Vec<&str> {
    static RULES: LazyLock<[Regex; 4]> =
        LazyLock::new(|| ENCODINGS.map(|encoding| Regex::new(pattern(encoding)).unwrap()));
    RULES[encoding as usize].find_iter(text).map(|found| found.unwrap().as_str()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, ..ProptestConfig::default() })]

    #[test]
    fn no_text_is_cut_otherwise_than_the_rule_says(text in mixed()) {
        for encoding in ENCODINGS {
            prop_assert_eq!(pieces(encoding, &text), published_pieces(encoding, &text), "{:?} {:?}", encoding, &text);
        }
    }

    #[test]
    fn no_text_counts_otherwise_than_tiktoken_says(text in mixed()) {
        for encoding in ENCODINGS {
            let expected = published(encoding).count_ordinary(&text) as u64;
            prop_assert_eq!(encoding.count(&text), expected, "{:?} {:?}", encoding, &text);
        }
    }
}

/// Languages, code, emoji: what people send.
#[test]
fn no_page_of_any_language_counts_otherwise_than_tiktoken_says() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let files =
        ["tests/fixtures/languages.txt", "docs/design.md", "js/encode.ts", "src/tokens/tests.rs", "package.json"];
    for file in files {
        let text = std::fs::read_to_string(root.join(file)).unwrap();
        for encoding in ENCODINGS {
            for line in text.lines().chain([&*text]) {
                let expected = published(encoding).count_ordinary(line) as u64;
                assert_eq!(encoding.count(line), expected, "{encoding:?} {file}: {line:?}");
            }
        }
    }
}

/// What no regex comes to an end with, counted piece by piece of the same text.
#[test]
fn a_run_of_white_space_counts_as_its_parts_do() {
    for encoding in ENCODINGS {
        let longest = published(encoding).count_ordinary(&" ".repeat(128 * 100)) as u64;
        assert_eq!(encoding.count(&" ".repeat(128 * 100 * 90)), longest * 90, "{encoding:?}");
    }
}

/// Below this no text of so many bytes counts, so that a limit can be seen to be met or missed without counting.
#[test]
fn no_token_is_longer_than_the_bound_says() {
    for encoding in ENCODINGS {
        let longest = vocabulary::tokens(encoding).iter().map(<[u8]>::len).max();
        assert!(longest <= Some(LONGEST_TOKEN), "{encoding:?} {longest:?}");
    }
}

/// One of each kind of character that a rule tells apart.
const ALPHABET: [char; 15] =
    ['A', 'a', '\u{1c5}', '\u{2b0}', '\u{751f}', '\u{301}', '1', ' ', '\u{3000}', '\n', '\r', '\'', 's', '/', '!'];

#[test]
fn every_short_text_of_every_kind_of_character_is_cut_as_the_rule_says() {
    let mut text = String::new();
    for number in 0..ALPHABET.len().pow(4) {
        text.clear();
        let mut rest = number;
        while rest > 0 {
            text.push(ALPHABET[rest % ALPHABET.len()]);
            rest /= ALPHABET.len();
        }
        for encoding in ENCODINGS {
            assert_eq!(pieces(encoding, &text), published_pieces(encoding, &text), "{encoding:?} {text:?}");
        }
    }
}
