//! Counts the tokens of a text: cut into pieces, each of which is a token or else encoded.

use std::cell::RefCell;

use super::Encoding;
use super::characters::Characters;
use super::cut::Cutter;
use super::long;
use super::merge::{MOST, Merge};
use super::pairs::Pairs;
use super::recent::Recent;
use super::vocabulary;
use super::whole::{Whole, number};

/// What a thread counts with.
struct Workspace {
    merge: Merge,
    recent: Recent,
}

thread_local! {
    static WORKSPACE: RefCell<Option<Box<Workspace>>> = const { RefCell::new(None) };
}

/// A vocabulary, ready to count with.
pub(super) struct Counter {
    encoding: Encoding,
    characters: Characters,
    whole: Whole,
    pairs: Pairs,
}

impl Counter {
    pub(super) fn load(encoding: Encoding) -> Self {
        let tokens = vocabulary::tokens(encoding);
        Self { encoding, characters: Characters::load(), whole: tokens.whole(), pairs: tokens.pairs() }
    }

    /// Tokens of a text.
    pub(super) fn count(&self, text: &str) -> u64 {
        // So that the rule is chosen once and not for each piece.
        match self.encoding {
            Encoding::O200k => self.count_by(text, |cutter, at| cutter.end(Encoding::O200k, at)),
            Encoding::Cl100k => self.count_by(text, |cutter, at| cutter.end(Encoding::Cl100k, at)),
            Encoding::P50k | Encoding::R50k => self.count_by(text, |cutter, at| cutter.end(Encoding::R50k, at)),
        }
    }

    #[inline]
    fn count_by(&self, text: &str, end: impl Fn(&Cutter<'_>, usize) -> usize) -> u64 {
        let cutter = Cutter::new(text, &self.characters);
        let text = text.as_bytes();
        let (mut start, mut count) = (0, 0);
        WORKSPACE.with_borrow_mut(|workspace| {
            let new = || Box::new(Workspace { merge: Merge::new(), recent: Recent::new(self.encoding) });
            let Workspace { merge, recent } = &mut **workspace.get_or_insert_with(new);
            recent.begin(self.encoding);
            while start < text.len() {
                let end = end(&cutter, start);
                count += if end - start == 1 {
                    1
                } else {
                    let piece = &text[start..end];
                    match number(text, start, end) {
                        Some(number) => {
                            recent.count(number, || if self.whole.has(number) { 1 } else { self.encoded(merge, piece) })
                        }
                        None if self.whole.has_long(piece) => 1,
                        None => self.encoded(merge, piece),
                    }
                } as u64;
                start = end;
            }
        });
        count
    }

    #[cold]
    fn encoded(&self, merge: &mut Merge, piece: &[u8]) -> usize {
        if piece.len() <= MOST {
            return merge.count(&self.pairs, piece);
        }
        long::count(merge, &self.pairs, piece, MOST)
    }
}
