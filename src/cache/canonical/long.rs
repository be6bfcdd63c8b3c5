//! Long strings, which are not copied into a canonical text: a mark stands for each, and it is spelled where the text is read.

use super::Writer;
use super::text::{Reader, write_between};

/// Bytes from which on a string is long.
pub(super) const LONG_STRING_BYTES: usize = 64 << 10;

/// Bytes of a long string that are spelled at once.
const PIECE_BYTES: usize = 16 << 10;

/// Begins a mark, whose other four bytes are the place of the string among the long ones. No UTF-8 has it.
const MARK: u8 = 0xff;
const MARK_BYTES: usize = 5;

/// A canonical text, perhaps after others.
pub(in crate::cache) struct Canonical<'t> {
    /// With marks, from `start` on.
    pub out: Vec<u8>,
    start: usize,
    long: Vec<Long<'t>>,
}

impl<'t> Canonical<'t> {
    /// Nothing, after what is there.
    pub fn after(out: Vec<u8>) -> Self {
        Self { start: out.len(), out, long: Vec::new() }
    }

    /// Adds a value. What is not JSON stands for itself.
    pub(super) fn value(&mut self, text: &'t str, depth: usize) {
        let (start, long) = (self.out.len(), self.long.len());
        let reader = Reader { text: text.as_bytes(), at: 0 };
        let mut writer = Writer { reader, out: &mut self.out, long: &mut self.long, members: Vec::new() };
        let is_whole = writer.value(depth).is_some() && writer.reader.peek().is_none();
        if !is_whole {
            self.out.truncate(start);
            self.long.truncate(long);
            self.out.extend_from_slice(text.as_bytes());
        }
    }

    /// Bytes of the text, without what was there before.
    pub fn len(&self) -> usize {
        let mut sum = 0;
        self.pieces(|piece| {
            sum += match piece {
                Piece::Text(text) => text.len(),
                Piece::Long(long) => long.length,
            }
        });
        sum
    }

    /// Gives all of it in pieces, and first what was there before.
    pub fn give(&self, mut give: impl FnMut(&[u8])) {
        give(&self.out[..self.start]);
        self.pieces(|piece| match piece {
            Piece::Text(text) => give(text),
            // It was read to the end when it was marked.
            Piece::Long(long) => _ = long.give(&mut give),
        });
    }

    /// All of it.
    pub fn into_bytes(self) -> Vec<u8> {
        if self.long.is_empty() {
            return self.out;
        }
        // And room for an end.
        let mut out = Vec::with_capacity(self.start + self.len() + 1);
        self.give(|piece| out.extend_from_slice(piece));
        out
    }

    fn pieces(&self, mut give: impl FnMut(Piece<'_, 't>)) {
        let mut rest = &self.out[self.start..];
        while !self.long.is_empty()
            && let Some(end) = memchr::memchr(MARK, rest)
        {
            give(Piece::Text(&rest[..end]));
            let place = rest[end + 1..].first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes));
            give(Piece::Long(&self.long[place as usize]));
            rest = &rest[end + MARK_BYTES..];
        }
        give(Piece::Text(rest));
    }
}

enum Piece<'c, 't> {
    Text(&'c [u8]),
    Long(&'c Long<'t>),
}

/// A string of JSON that is longer than most requests.
pub(super) struct Long<'t> {
    /// What stands between its quotes.
    raw: &'t [u8],
    is_escaped: bool,
    /// Bytes of its canonical form.
    length: usize,
}

impl<'t> Long<'t> {
    /// Reads the string that comes next, if it is long.
    pub fn next(reader: &mut Reader<'t>) -> Option<Self> {
        let rest = reader.text.get(reader.at + 1..).filter(|rest| rest.len() > LONG_STRING_BYTES)?;
        let mut end = memchr::memchr2(b'"', b'\\', rest)?;
        let is_escaped = rest[end] == b'\\';
        while rest[end] == b'\\' {
            end += 2;
            end += memchr::memchr2(b'"', b'\\', rest.get(end..)?)?;
        }
        if end < LONG_STRING_BYTES {
            return None;
        }
        let mut long = Self { raw: &rest[..end], is_escaped, length: 0 };
        let mut length = 0;
        long.give(|piece| length += piece.len())?;
        long.length = length;
        reader.at += end + 2;
        Some(long)
    }

    pub fn leave_a_mark(self, out: &mut Vec<u8>, all: &mut Vec<Self>) {
        out.push(MARK);
        // Each has 64 KiB of a text that is in memory.
        out.extend_from_slice(&u32::try_from(all.len()).unwrap_or_default().to_le_bytes());
        all.push(self);
    }

    /// Gives its canonical form in pieces; `None` if it has none.
    fn give(&self, mut give: impl FnMut(&[u8])) -> Option<()> {
        give(b"\"");
        if self.is_escaped {
            let mut reader = Reader { text: self.raw, at: 0 };
            let (mut decoded, mut out) = (Vec::with_capacity(2 * PIECE_BYTES), Vec::with_capacity(2 * PIECE_BYTES));
            while reader.at < self.raw.len() {
                decoded.clear();
                out.clear();
                while decoded.len() < PIECE_BYTES && reader.at < self.raw.len() {
                    piece(&mut reader, &mut decoded)?;
                }
                write_between(&decoded, &mut out);
                give(&out);
            }
        } else {
            give(self.raw);
        }
        give(b"\"");
        Some(())
    }
}

/// Reads what comes before the next escape, though not too much, or an escape.
fn piece(reader: &mut Reader<'_>, decoded: &mut Vec<u8>) -> Option<()> {
    let rest = &reader.text[reader.at..];
    let most = &rest[..rest.len().min(PIECE_BYTES)];
    match memchr::memchr(b'\\', most) {
        Some(0) => return reader.escape(decoded),
        Some(end) => {
            decoded.extend_from_slice(&rest[..end]);
            reader.at += end;
        }
        None => {
            // No character is cut in two.
            let is_begun = |at: &usize| rest.get(*at).is_none_or(|byte| byte & 0xc0 != 0x80);
            let end = (1..=most.len()).rev().find(is_begun).unwrap_or(most.len());
            decoded.extend_from_slice(&rest[..end]);
            reader.at += end;
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use std::iter::repeat_n;

    use proptest::prelude::*;

    use super::super::text::write_string_as_came;
    use super::super::{canonical_json, write_object};
    use super::*;

    fn repeated(unit: &str) -> String {
        repeat_n(unit, 2 * LONG_STRING_BYTES / unit.len() + 1).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn a_long_string_is_spelled_as_a_short_one_is(
            unit in "([a-c\u{e9}\u{d55c}\u{1f600}]|\\\\[nt/u\"\\\\]|\\\\u(00e9|d83d|DE00|001f|d55c)){1,9}",
            before in 0_usize..9,
        ) {
            let json = format!("\"{}{}\"", "x".repeat(before), repeated(&unit));
            let mut expected = Vec::new();
            match (Reader { text: json.as_bytes(), at: 0 }).string() {
                Some(read) => write_string_as_came(&read, &mut expected),
                _ => expected.extend_from_slice(json.as_bytes()),
            }
            prop_assert!(canonical_json(&json) == expected, "{unit}");
        }
    }

    #[test]
    fn long_strings_stand_where_their_names_are_sorted_to_and_the_last_of_a_name_counts() {
        let [one, two, three] = ["one ", "t\\u0077o\\n", "\u{ff}"].map(repeated);
        let text = format!(r#"{{"b":["{one}",{{"d":"{two}","c":1}}],"a":"{one}", "a" :"{three}"}}"#);
        let two = two.replace("\\u0077", "w");
        let expected = format!(r#"{{"a":"{three}","b":["{one}",{{"c":1,"d":"{two}"}}]}}"#);
        assert!(canonical_json(&text) == expected.as_bytes());
    }

    #[test]
    fn a_long_string_that_is_none_stands_for_itself() {
        for wrong in ["\\x", "\\u12g4", "\\"] {
            let text = format!(r#"{{"b":"{}","a":"{}{wrong}"}}"#, repeated("b"), repeated("a"));
            assert!(canonical_json(&text) == text.as_bytes(), "{wrong}");
        }
    }

    #[test]
    fn what_stands_before_is_not_taken_for_a_mark() {
        let (before, raw) = (vec![MARK; 9], format!("\"{}\"", repeated("a")));
        let canonical = write_object([("b", &*raw), ("a", "1")].into_iter(), before.clone());
        assert_eq!(canonical.len(), raw.len() + 12);
        assert!(canonical.out.len() < 64, "it was copied");
        let expected = [before, format!(r#"{{"a":1,"b":{raw}}}"#).into_bytes()].concat();
        assert!(canonical.into_bytes() == expected);
    }
}
