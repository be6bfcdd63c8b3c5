//! Byte pair encoding of pieces that are too long for [`Merge`], in linear time.
//!
//! Tokens one after the other are the encoding of their bytes if, and only if, each two neighbours are the encoding of
//! theirs. For let two neighbours be the first between which something would be joined: until then nothing was joined
//! across the ends of the two, so that within them the same was done as if they stood alone, and there nothing is joined
//! between them. And what is joined within two neighbours of an encoding is what is joined if they stand alone.
//!
//! So a piece is encoded in windows. Each begins with the last tokens of the one before; if its first token is the one
//! that stands there in the one before, all neighbours are right, wherever the windows were cut. If not, what stands
//! further behind reached further than was thought: a larger window is tried that begins further ahead.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::merge::{MOST, Merge};
use super::pairs::{NONE, Pairs};

/// A place between two tokens of which all before it are known.
#[derive(Clone, Copy)]
struct Seam {
    at: usize,
    /// Tokens before it.
    count: usize,
    /// The token that begins there.
    token: u32,
}

/// The number of tokens of a piece; windows are of so many bytes at first, at most [`MOST`].
pub(super) fn count(merge: &mut Merge, pairs: &Pairs, piece: &[u8], window: usize) -> usize {
    // One for each window, so that there is something to go back to.
    let mut seams: Vec<Seam> = Vec::new();
    let mut found = Vec::new();
    let (mut size, mut back) = (window, 0);
    loop {
        // The end of a window is uncertain for a few tokens, which the next one reads again.
        let begin = seams.last().copied().unwrap_or(Seam { at: 0, count: 0, token: NONE });
        let end = piece.len().min(begin.at + size);
        let bytes = &piece[begin.at..end];
        found.clear();
        if bytes.len() <= MOST {
            merge.count(pairs, bytes);
            found.extend(merge.tokens(bytes.len()));
        } else {
            heaped(pairs, bytes, &mut found);
        }
        let is_right = begin.token == NONE || found.first().is_some_and(|(_, token)| *token == begin.token);
        if is_right && end == piece.len() {
            return begin.count + found.len();
        }
        let overlap = size / 4;
        let seam = found.iter().rposition(|(at, _)| *at > 0 && at + overlap <= bytes.len());
        if let Some(seam) = seam.filter(|_| is_right) {
            let (at, token) = found[seam];
            seams.push(Seam { at: begin.at + at, count: begin.count + seam, token });
            continue;
        }
        // Never smaller again, so that it comes to an end: at the latest when a window is the whole piece.
        back = (back * 2).max(1);
        size *= 4;
        seams.truncate(seams.len().saturating_sub(back));
    }
}

/// The tokens of a piece: where each begins, and its rank. In time of `n log n`, and some thirty bytes for each byte.
fn heaped(pairs: &Pairs, piece: &[u8], found: &mut Vec<(usize, u32)>) {
    let length = piece.len();
    let mut ranks: Vec<u32> = piece.iter().map(|byte| pairs.byte(*byte)).collect();
    let mut next: Vec<usize> = (1..=length).collect();
    let mut previous: Vec<usize> = (0..length).map(|place| place.wrapping_sub(1)).collect();
    let keys = piece.windows(2).enumerate().map(|(place, pair)| Reverse((pairs.joined_bytes(pair[0], pair[1]), place)));
    let mut heap: BinaryHeap<_> = keys.filter(|Reverse((rank, _))| *rank != NONE).collect();
    while let Some(Reverse((rank, place))) = heap.pop() {
        // What was joined meanwhile is not there any more, or becomes something else.
        let gone = next[place];
        if ranks[place] == NONE || gone >= length || pairs.joined(ranks[place], ranks[gone]) != rank {
            continue;
        }
        let after = next[gone];
        (ranks[place], ranks[gone], next[place]) = (rank, NONE, after);
        let mut consider = |left: usize, right: usize| {
            let rank = pairs.joined(ranks[left], ranks[right]);
            if rank != NONE {
                heap.push(Reverse((rank, left)));
            }
        };
        if after < length {
            previous[after] = place;
            consider(place, after);
        }
        if place > 0 {
            consider(previous[place], place);
        }
    }
    let places = std::iter::successors(Some(0), |place: &usize| Some(next[*place]).filter(|next| *next < length));
    found.extend(places.map(|place| (place, ranks[place])));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tokens::Encoding;
    use crate::tokens::published::ENCODINGS;
    use crate::tokens::tests::published;
    use crate::tokens::vocabulary::tokens;

    /// Texts of few characters, so that what stands far behind matters.
    fn monotonous() -> impl Strategy<Value = String> {
        let alphabets =
            ["a", "ab", "abc", "aeinorst", " ", "\t ", "=", "=-", "\u{751f}\u{65e5}\u{4eba}", "\u{301}\u{323}"];
        let places = prop::collection::vec(any::<prop::sample::Index>(), 1..1500);
        (prop::sample::select(alphabets.to_vec()), places).prop_map(|(alphabet, places)| {
            let alphabet: Vec<_> = alphabet.chars().collect();
            places.iter().map(|place| *place.get(&alphabet)).collect()
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

        #[test]
        fn a_piece_comes_to_the_same_through_windows_of_any_size(text in monotonous(), window in 1..=MOST) {
            for encoding in [Encoding::O200k, Encoding::Cl100k, Encoding::P50k] {
                let expected = published(encoding).count_ordinary(&text);
                thread_local! {
                    static PAIRS: [Pairs; 4] = ENCODINGS.map(|encoding| tokens(encoding).pairs());
                }
                PAIRS.with(|pairs| {
                    let pairs = &pairs[encoding as usize];
                    let merge = &mut Merge::new();
                    assert_eq!(count(merge, pairs, text.as_bytes(), window), expected, "{encoding:?} {text:?} {window}");
                    // Some windows are small enough to be wrong more often than not.
                    assert_eq!(count(merge, pairs, text.as_bytes(), window % 30 + 1), expected, "{encoding:?} {text:?}");
                    let mut found = Vec::new();
                    heaped(pairs, text.as_bytes(), &mut found);
                    assert_eq!(found.len(), expected, "{encoding:?} {text:?}");
                });
            }
        }
    }
}
