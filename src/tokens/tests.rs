//! The laws of dividing a text, against the tokenizer counting it whole. What is exact is in `tests/tokens.rs`.

use proptest::prelude::*;

use super::split::{Run, check, segments, segments_of};
use super::*;

const ENCODINGS: [Encoding; 4] = [Encoding::O200k, Encoding::Cl100k, Encoding::P50k, Encoding::R50k];

/// Texts that pass through every class of character that a regex tells apart, and every pair of them.
pub(super) fn mixed() -> impl Strategy<Value = String> {
    let scraps = prop_oneof![
        4 => "[ \t\r\n]{1,4}",
        2 => "[a-zA-Z]{1,6}",
        2 => "[0-9]{1,5}",
        2 => "[-'/\"(){},.:;<|>_=+*&$#@!?\\\\]{1,4}",
        2 => prop::sample::select(vec![
            "'s", "'S", "'ll", "'LL", "'re", "'v", "'\u{17f}", "\u{2019}s", "\u{85}", "\u{a0}", "\u{2028}", "\u{3000}",
            "\u{b}", "\u{1c}", "\u{0}", "\u{301}", "\u{93f}", "\u{24b6}", "\u{2160}", "\u{bd}", "\u{660}", "\u{ff11}",
            "\u{1c5}", "\u{2b0}", "\u{e01}", "\u{200d}", "\u{fe0f}", "\u{1f600}", "\u{3042}", "\u{30fc}", "\u{751f}",
            "\u{3001}", "\u{3002}", "\u{ff0c}", "\u{201c}", "\u{ac00}", "\u{ff41}", "<|endoftext|>",
        ]).prop_map(str::to_owned),
        1 => "\\PC{1,4}",
        1 => any::<char>().prop_map(String::from),
    ];
    prop::collection::vec(scraps, 0..24).prop_map(|scraps| scraps.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, ..ProptestConfig::default() })]

    #[test]
    fn dividing_a_text_at_every_cut_never_changes_its_tokens(text in mixed()) {
        for encoding in ENCODINGS {
            let vocabulary = encoding.vocabulary();
            let divided: Vec<_> = segments_of(&text, 1).flat_map(|segment| vocabulary.encode_ordinary(segment)).collect();
            prop_assert_eq!(divided, vocabulary.encode_ordinary(&text), "{:?} {:?}", encoding, &text);
        }
    }

    #[test]
    fn the_segments_are_the_text_and_none_is_empty(text in mixed(), size in 0_usize..40) {
        let segments: Vec<_> = segments_of(&text, size).collect();
        prop_assert_eq!(&segments.concat(), &text);
        prop_assert!(segments.iter().all(|segment| !segment.is_empty()));
        let (_, full) = segments.split_last().unwrap_or((&"", &[]));
        prop_assert!(full.iter().all(|segment| segment.len() >= size));
    }
}

#[test]
fn a_long_text_counts_as_it_does_whole() {
    let text =
        "\"The quick brown fox\", 123 times:\n  it's na\u{ef}ve \u{1f600}\u{3001}\u{751f}\u{65e5}!\r\n\r\n".repeat(900);
    for encoding in ENCODINGS {
        assert_eq!(encoding.count(&text).unwrap(), encoding.vocabulary().count_ordinary(&text) as u64, "{encoding:?}");
    }
}

#[test]
fn ordinary_text_of_any_kind_is_divided_often() {
    let megabyte = |unit: &str| unit.repeat((1 << 20) / unit.len());
    for unit in [
        "lorem ipsum, dolor\n",
        "{\"a\":[1,2,null]},",
        "aGVsbG8gd29ybGQ7",
        "\u{751f}\u{65e5}\u{3092}\u{3001}",
        "word\n",
        "a\tb",
    ] {
        let text = megabyte(unit);
        assert!(segments(&text).all(|segment| segment.len() < 5000), "{unit:?}");
    }
}

#[test]
fn a_run_that_the_regex_engine_would_panic_on_is_refused() {
    for unit in [" ", "\n", "\t", " \n", "\u{3000}"] {
        let text = unit.repeat(1_100_000 / unit.chars().count());
        assert_eq!(check(&text), Err(Run::Blank(1_100_000)), "{unit:?}");
        assert_eq!(check(&format!("word{text}x word")), Err(Run::Blank(1_100_000)), "{unit:?} between words");
    }
}

#[test]
fn the_longest_run_of_white_space_that_is_let_through_is_counted() {
    let text = format!("{}x", " ".repeat(500_000));
    assert_eq!(check(&text), Ok(()));
    for encoding in [Encoding::O200k, Encoding::Cl100k, Encoding::R50k] {
        assert!(encoding.count(&text).is_ok(), "{encoding:?}");
    }
}

#[test]
fn a_letter_without_end_is_refused_before_anything_is_counted() {
    assert_eq!(check(&"a".repeat(3 << 20)), Err(Run::Unbroken(3 << 20)));
    assert_eq!(check(&"a".repeat(2 << 20)), Ok(()));
}
