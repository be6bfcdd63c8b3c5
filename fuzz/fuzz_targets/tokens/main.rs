//! Any text has as many tokens as `tiktoken_rs` says, in every encoding.
//!
//! The first byte says how often the rest is repeated, so that pieces become longer than the fuzzer makes inputs, and how
//! it begins. White space stays far below what `tiktoken_rs` panics on.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use thryd::tokens::count;
use tiktoken_rs::CoreBPE;

static PUBLISHED: LazyLock<[(&str, CoreBPE); 4]> = LazyLock::new(|| {
    [
        ("o200k_base", tiktoken_rs::o200k_base().unwrap()),
        ("cl100k_base", tiktoken_rs::cl100k_base().unwrap()),
        ("p50k_base", tiktoken_rs::p50k_base().unwrap()),
        ("r50k_base", tiktoken_rs::r50k_base().unwrap()),
    ]
});

/// The most bytes of a text.
const LONGEST: usize = 16 << 10;

fuzz_target!(|data: &[u8]| {
    let Some((how, rest)) = data.split_first() else { return };
    let unit = String::from_utf8_lossy(rest);
    let times = match how % 8 {
        0 => LONGEST / unit.len().max(1),
        few => usize::from(few),
    };
    let begin = ["", "x", " ", "'"][usize::from(how / 8) % 4];
    let text = format!("{begin}{}", unit.repeat(times.max(1)));
    for (encoding, published) in &*PUBLISHED {
        let expected = published.count_ordinary(&text) as u64;
        assert_eq!(count(&text, encoding), Ok(expected), "{encoding} {text:?}");
    }
});
