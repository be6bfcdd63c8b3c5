//! The packed vocabularies, against the published ones.

use std::path::Path;

use tiktoken_rs::CoreBPE;

use super::*;
use crate::compression::pack;

/// The encodings, the vocabularies of `tiktoken_rs` for them, and the ranks below which theirs are.
fn published() -> [(Encoding, CoreBPE, u32); 4] {
    [
        (Encoding::O200k, tiktoken_rs::o200k_base().unwrap(), 199_998),
        (Encoding::Cl100k, tiktoken_rs::cl100k_base().unwrap(), 100_256),
        (Encoding::P50k, tiktoken_rs::p50k_base().unwrap(), 50_281),
        (Encoding::R50k, tiktoken_rs::r50k_base().unwrap(), 50_256),
    ]
}

/// The token of each rank; none where a special token has it.
fn token(vocabulary: &CoreBPE, rank: u32) -> Option<Vec<u8>> {
    let token = vocabulary.decode_bytes(&[rank]).ok()?;
    (token != b"<|endoftext|>").then_some(token)
}

#[test]
fn no_token_is_lost_changed_or_moved_by_the_packing() {
    for (encoding, vocabulary, end) in published() {
        let found = tokens(encoding);
        let expected = (0..end).filter_map(|rank| Some((token(&vocabulary, rank)?, rank)));
        assert!(found.iter().cloned().eq(expected), "{encoding:?}");
        assert!(token(&vocabulary, end).is_none() && vocabulary.decode_bytes(&[end + 1_200]).is_err());
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 400, ..Default::default() })]

    #[test]
    fn no_text_is_cut_by_another_rule_than_the_published_one(text in crate::tokens::tests::mixed()) {
        thread_local! {
            static PUBLISHED: [(Encoding, CoreBPE, u32); 4] = published();
        }
        PUBLISHED.with(|published| for (encoding, vocabulary, _) in published {
            let expected = vocabulary.encode_ordinary(&text);
            assert_eq!(encoding.vocabulary().encode_ordinary(&text), expected, "{encoding:?} {text:?}");
        });
    }
}

#[test]
#[ignore = "writes src/tokens/vocabulary"]
fn the_vocabularies_are_packed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/tokens/vocabulary");
    for ((_, vocabulary, end), name) in published().into_iter().zip(["o200k_base", "cl100k_base", "", "r50k_base"]) {
        if name.is_empty() {
            continue;
        }
        let tokens: Vec<_> = (0..end).map(|rank| vocabulary.decode_bytes(&[rank]).unwrap()).collect();
        let lengths = tokens.iter().map(|token| u8::try_from(token.len()).unwrap());
        let bytes = lengths.chain(tokens.iter().flatten().copied()).collect::<Vec<_>>();
        println!("{name}: {} tokens, {} bytes", tokens.len(), bytes.len());
        std::fs::write(folder.join(format!("{name}.zst")), pack(&bytes)).unwrap();
    }
}
