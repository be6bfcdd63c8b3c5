//! Cuts a text into the pieces that are encoded each on its own, as the published regexes do (`published.rs`).
//!
//! What a regex engine would find by going back and forth is found by looking ahead, because the alternatives leave few
//! choices; each function says which. A character is looked at a fixed number of times, so that no text is slow.

use super::Encoding;
use super::characters::{ASCII, BREAK, Characters, HEAD, LETTER, NUMBER, SIGN, SPACE, TAIL, WIDE};

/// A text that is cut.
#[derive(Clone, Copy)]
pub(super) struct Cutter<'a> {
    text: &'a [u8],
    characters: &'a Characters,
}

impl<'a> Cutter<'a> {
    pub(super) fn new(text: &'a str, characters: &'a Characters) -> Self {
        Self { text: text.as_bytes(), characters }
    }

    /// Where the piece ends that begins there, which is before the end of the text.
    #[inline]
    pub(super) fn end(&self, encoding: Encoding, at: usize) -> usize {
        match encoding {
            Encoding::O200k => self.end_o200k(at),
            Encoding::Cl100k => self.end_cl100k(at),
            Encoding::P50k | Encoding::R50k => self.end_r50k(at),
        }
    }

    #[inline]
    fn end_o200k(&self, at: usize) -> usize {
        let (kind, length) = self.kind(at);
        if kind & LETTER != 0 {
            let (end, _) = self.word(at);
            return self.contraction(end);
        }
        if kind & NUMBER != 0 {
            return self.digits(at + length);
        }
        if kind & BREAK == 0 {
            // `[^\r\n\p{L}\p{N}]?` takes it, if a word follows.
            let (end, is_mixed) = self.word(at + length);
            if end > at + length && is_mixed {
                return self.contraction(end);
            }
            // The first alternative again without it: a mark is a word by itself, if no lower case follows its capitals.
            if kind & HEAD != 0 {
                return self.contraction(at + length);
            }
            if end > at + length {
                return self.contraction(end);
            }
            if let Some(end) = self.signs(at, kind, length) {
                let is_tail = |byte: &u8| matches!(byte, b'\r' | b'\n' | b'/');
                return end + self.text[end..].iter().take_while(|byte| is_tail(byte)).count();
            }
        }
        self.blank(at, false)
    }

    #[inline]
    fn end_cl100k(&self, at: usize) -> usize {
        let (kind, length) = self.kind(at);
        if kind & LETTER != 0 {
            return self.run(at + length, LETTER);
        }
        if kind & NUMBER != 0 {
            return self.digits(at + length);
        }
        if kind & BREAK == 0 {
            let contraction = self.contraction(at);
            if contraction > at {
                return contraction;
            }
            let end = self.run(at + length, LETTER);
            if end > at + length {
                return end;
            }
            if let Some(end) = self.signs(at, kind, length) {
                return end + self.text[end..].iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
            }
        }
        self.blank(at, true)
    }

    #[inline]
    fn end_r50k(&self, at: usize) -> usize {
        let contraction = match self.text[at..] {
            [b'\'', b's' | b'd' | b'm' | b't', ..] => 2,
            [b'\'', b'l', b'l', ..] | [b'\'', b'v' | b'r', b'e', ..] => 3,
            _ => 0,
        };
        if contraction > 0 {
            return at + contraction;
        }
        // A space in front belongs to whatever it is that follows, if that is no white space.
        let first = if self.text[at] == b' ' { at + 1 } else { at };
        let (kind, length) = self.kind(first);
        match kind & (LETTER | NUMBER | SIGN) {
            0 => {
                let end = self.run(at, SPACE);
                if end == self.text.len() { end } else { self.all_but_last(at, end) }
            }
            same => self.run(first + length, same),
        }
    }

    /// The kind of the character there and its length; nothing at the end.
    #[inline]
    fn kind(&self, at: usize) -> (u8, usize) {
        match self.text.get(at).map(|byte| ASCII[usize::from(*byte)]) {
            Some(WIDE) => self.characters.wide(self.text, at),
            Some(kind) => (kind, 1),
            None => (0, 0),
        }
    }

    /// Where the characters of these kinds end that begin there.
    #[inline]
    fn run(&self, mut at: usize, kinds: u8) -> usize {
        loop {
            let Some(byte) = self.text.get(at) else { return at };
            let kind = ASCII[usize::from(*byte)];
            if kind & kinds != 0 {
                at += 1;
            } else if kind != WIDE {
                return at;
            } else {
                let (kind, length) = self.characters.wide(self.text, at);
                if kind & kinds == 0 {
                    return at;
                }
                at += length;
            }
        }
    }

    /// A word of o200k, without what may stand in front of it: `[HEAD]*[TAIL]+`, which is what `true` means, or else
    /// `[HEAD]+`.
    ///
    /// The heads end somewhere. If a tail follows that is no head, the tails from there on are the word's. If not, the
    /// last of the heads that is a tail too ends the word. If there is none they are all capitals: the second alternative.
    #[inline]
    fn word(&self, start: usize) -> (usize, bool) {
        let (mut at, mut last) = (start, start);
        loop {
            let (kind, length) = self.kind(at);
            if kind & HEAD == 0 {
                if kind & TAIL != 0 {
                    return (self.run(at + length, TAIL), true);
                }
                break;
            }
            at += length;
            if kind & TAIL != 0 {
                last = at;
            }
        }
        if last > start { (last, true) } else { (at, false) }
    }

    /// Where it ends if one of `(?i:'s|'t|'re|'ve|'m|'ll|'d)` stands there. The long s is an s to it, U+017F.
    #[inline]
    fn contraction(&self, at: usize) -> usize {
        if self.text.get(at) != Some(&b'\'') {
            return at;
        }
        match self.text[at + 1..] {
            [b's' | b'S' | b't' | b'T' | b'm' | b'M' | b'd' | b'D', ..] => at + 2,
            [b'l' | b'L', b'l' | b'L', ..] | [b'v' | b'V' | b'r' | b'R', b'e' | b'E', ..] | [0xc5, 0xbf, ..] => at + 3,
            _ => at,
        }
    }

    /// At most two more digits.
    #[inline]
    fn digits(&self, mut at: usize) -> usize {
        for _ in 0..2 {
            let (kind, length) = self.kind(at);
            if kind & NUMBER == 0 {
                break;
            }
            at += length;
        }
        at
    }

    /// ` ?[^\s\p{L}\p{N}]+`
    #[inline]
    fn signs(&self, at: usize, kind: u8, length: usize) -> Option<usize> {
        if kind & SIGN != 0 {
            return Some(self.run(at + length, SIGN));
        }
        if self.text[at] != b' ' {
            return None;
        }
        Some(self.run(at + 1, SIGN)).filter(|end| *end > at + 1)
    }

    /// White space: `\s*[\r\n]` up to the last line break, and else all but the last one, which may belong to what
    /// follows. At the end of the text all, but only if there is no line break or `is_end_first` (`\s++$` comes first).
    #[inline]
    fn blank(&self, at: usize, is_end_first: bool) -> usize {
        let end = self.run(at, SPACE);
        if is_end_first && end == self.text.len() {
            return end;
        }
        if let Some(last) = self.text[at..end].iter().rposition(|byte| matches!(byte, b'\r' | b'\n')) {
            return at + last + 1;
        }
        if end == self.text.len() { end } else { self.all_but_last(at, end) }
    }

    /// `\s+(?!\S)`, or `\s` if that is nothing, of white space that something follows.
    #[inline]
    fn all_but_last(&self, at: usize, end: usize) -> usize {
        let is_start = |byte: &u8| byte & 0xc0 != 0x80;
        let last = self.text[at..end].iter().rposition(is_start).unwrap_or_default();
        if last == 0 { end } else { at + last }
    }
}
