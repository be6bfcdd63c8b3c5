//! What is counted: texts by kind, and the worst there are.

use std::fs;
use std::path::Path;

/// A name and a text.
pub type Text = (&'static str, String);

const MEGABYTE: usize = 1 << 20;

/// What people send, of this repository: each kind of at least 20 KiB and at most 200.
pub fn kinds() -> Vec<Text> {
    let english = ["docs/design.md", "docs/limits.md", "docs/wire.md", "docs/failures.md", "docs/cache.md"];
    let rust = ["src/route/group.rs", "src/kinds/prompt.rs", "src/tracker/tracker.rs", "src/gateway/respond.rs"];
    let typescript = ["js/router.ts", "js/encode.ts", "js/native.ts", "js/index.ts"];
    let languages = read(&["tests/fixtures/languages.txt"]);
    let eastern: Vec<_> = languages.lines().filter(|line| line.contains(['\u{3002}', '\u{b2e4}'])).collect();
    vec![
        ("English, Markdown", read(&english)),
        ("Rust", read(&rust)),
        ("TypeScript", read(&typescript)),
        ("JSON", read(&["tests/fixtures/tokens.json"])),
        ("32 languages", shuffled(&languages)),
        ("Chinese, Japanese, Korean", shuffled(&eastern.join("\n"))),
    ]
}

fn read(paths: &[&str]) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text: String = paths.iter().filter_map(|path| fs::read_to_string(root.join(path)).ok()).collect();
    assert!(!text.is_empty(), "{paths:?} can be read");
    text
}

/// Sentences in ever new orders, so that no stretch comes again soon.
fn shuffled(text: &str) -> String {
    let mut rng = fastrand::Rng::with_seed(1);
    let mut words: Vec<_> = text.split_inclusive([' ', '\n', '\u{3002}', '\u{3001}', '\u{ff0c}']).collect();
    let mut shuffled = String::new();
    while shuffled.len() < 100_000 {
        rng.shuffle(&mut words);
        shuffled.extend(words.iter().copied());
    }
    shuffled
}

/// Texts of a megabyte that counters have been slow for, or worse.
pub fn worst() -> Vec<Text> {
    let mut rng = fastrand::Rng::with_seed(2);
    let mut of = |alphabet: &str| {
        let alphabet: Vec<_> = alphabet.chars().collect();
        let mut text = String::with_capacity(MEGABYTE + 4);
        while text.len() < MEGABYTE {
            text.extend(rng.choice(&alphabet));
        }
        text
    };
    let letters = "abcdefghijklmnopqrstuvwxyz";
    let digits = "0123456789";
    vec![
        ("one letter", of("a")),
        ("random letters", of(letters)),
        ("spaces and line breaks", of(" \n")),
        ("spaces", of(" ")),
        ("base64", of(&format!("{letters}{}{digits}+/", letters.to_uppercase()))),
        ("digits", of(digits)),
        ("punctuation", of("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")),
        (
            "emoji, marks and CJK",
            of("\u{1f600}\u{1f3fd}\u{200d}\u{fe0f}\u{301}\u{323}\u{4e2d}\u{3042}\u{ac00}\u{9f98}\u{20ac7}"),
        ),
    ]
}
