//! The packed vocabularies, against the published ones.

use std::collections::HashMap;
use std::path::Path;

use tiktoken_rs::CoreBPE;

use super::*;
use crate::compression::pack;
use crate::tokens::tests::published;

/// The encodings and the ranks below which theirs are.
const ENDS: [(Encoding, u32); 4] =
    [(Encoding::O200k, 199_998), (Encoding::Cl100k, 100_256), (Encoding::P50k, 50_281), (Encoding::R50k, 50_256)];

/// The token of each rank; none where a special token has it.
fn token(vocabulary: &CoreBPE, rank: u32) -> Option<Vec<u8>> {
    let token = vocabulary.decode_bytes(&[rank]).ok()?;
    (token != b"<|endoftext|>").then_some(token)
}

#[test]
fn no_token_is_lost_changed_or_moved_by_the_packing() {
    for (encoding, end) in ENDS {
        let vocabulary = published(encoding);
        let found = tokens(encoding);
        let expected: Vec<_> = (0..end).map(|rank| token(vocabulary, rank).unwrap_or_default()).collect();
        assert!(found.iter().eq(expected.iter().map(Vec::as_slice)), "{encoding:?}");
        assert!(token(vocabulary, end).is_none() && vocabulary.decode_bytes(&[end + 1_200]).is_err());
    }
}

#[test]
fn every_token_is_joined_of_what_its_own_encoding_comes_to() {
    for (encoding, _) in ENDS {
        let found = tokens(encoding);
        let ranks: HashMap<_, _> = found.iter().zip(0..).collect();
        for [first, second, rank] in &found.joins {
            let expected = halves(found.token(*rank as usize), &ranks).map(|half| ranks[half]);
            assert_eq!(expected, [*first as usize, *second as usize], "{encoding:?} {rank}");
        }
    }
}

/// The two parts that byte pair encoding joins last, of a token.
fn halves<'a>(token: &'a [u8], ranks: &HashMap<&[u8], usize>) -> [&'a [u8]; 2] {
    let mut parts: Vec<_> = token.chunks(1).collect();
    while parts.len() > 2 {
        // Parts are neighbours, so two of them are as one begins and the other ends.
        let joined = |at: usize| {
            let start = parts[..at].iter().map(|part| part.len()).sum::<usize>();
            &token[start..start + parts[at].len() + parts[at + 1].len()]
        };
        let lowest =
            (0..parts.len() - 1).filter(|at| ranks.contains_key(joined(*at))).min_by_key(|at| ranks[joined(*at)]);
        let at = lowest.expect("a token is made of tokens");
        let both = joined(at);
        parts.splice(at..at + 2, [both]);
    }
    parts.try_into().expect("a token of more than one byte has two halves")
}

#[test]
#[ignore = "writes src/tokens/vocabulary"]
fn the_vocabularies_are_packed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/tokens/vocabulary");
    let names = [Some("o200k_base"), Some("cl100k_base"), None, Some("r50k_base")];
    for ((encoding, end), name) in ENDS.into_iter().zip(names) {
        // What p50k adds is no matter of packing.
        let Some(name) = name else { continue };
        let vocabulary = published(encoding);
        let tokens: Vec<_> = (0..end).map(|rank| vocabulary.decode_bytes(&[rank]).unwrap()).collect();
        let (bytes, longer) = tokens.split_at(BYTES);
        let ranks: HashMap<_, _> = tokens.iter().map(|token| &token[..]).zip(0..).collect();
        let halves: Vec<_> = longer.iter().map(|token| halves(token, &ranks).map(|half| ranks[half])).collect();
        let mut packed = pack(&bytes.concat());
        for half in 0..2 {
            for place in 0..RANK_BYTES {
                let plane: Vec<_> = halves.iter().map(|halves| halves[half].to_le_bytes()[place]).collect();
                packed.extend(pack(&plane));
            }
        }
        std::fs::write(folder.join(format!("{name}.zst")), packed).unwrap();
    }
}
