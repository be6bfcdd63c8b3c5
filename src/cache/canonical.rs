//! The one spelling of a JSON value: RFC 8785 (JSON Canonicalization Scheme), written from the text that came.
//!
//! Property names are sorted by their UTF-16 code units at every depth, numbers are written as ECMAScript writes them
//! (so `1`, `1.0` and `1e0` are one number), strings with as few escapes as can be and their Unicode untouched.
//! Three things differ from the RFC, each so that two questions are never taken for one:
//!
//! - A number beyond 2^53 in magnitude keeps its exact decimal digits, laid out as ECMAScript would: a double would
//!   merge it with its neighbours.
//! - A lone surrogate, which the RFC refuses, stays as the escape it came as, in lower case.
//! - A value nested deeper than [`MAX_DEPTH`] stands for itself, to the letter.
//!
//! Of a name that stands twice in an object the last one counts, as in `JSON.parse`.

use std::borrow::Cow;
use std::cmp::Ordering;

use super::number::write_number;

mod long;
mod text;

pub(super) use long::Canonical;
use long::{LONG_STRING_BYTES, Long};
use text::{Reader, write_string, write_string_as_came};

/// Levels of nesting that are canonicalised: what `serde_json` accepts when it builds a tree.
pub const MAX_DEPTH: usize = 128;

/// The canonical spelling of a JSON text. A text that is not JSON stands for itself.
#[must_use]
pub fn canonical_json(text: &str) -> Vec<u8> {
    let mut canonical = Canonical::after(Vec::with_capacity(text.len().min(LONG_STRING_BYTES)));
    canonical.value(text, 0);
    let mut out = Vec::with_capacity(canonical.len());
    canonical.give(|piece| out.extend_from_slice(piece));
    out
}

/// The canonical object of these fields, after what is in `out`; each value is JSON text. Names are taken as distinct.
pub(super) fn write_object<'a>(fields: impl Iterator<Item = (&'a str, &'a str)>, out: Vec<u8>) -> Canonical<'a> {
    let mut fields: Vec<_> = fields.collect();
    fields.sort_by(|(a, _), (b, _)| compare(a.as_bytes(), b.as_bytes()));
    let mut canonical = Canonical::after(out);
    canonical.out.push(b'{');
    for (index, (name, value)) in fields.into_iter().enumerate() {
        if index > 0 {
            canonical.out.push(b',');
        }
        write_string(name.as_bytes(), &mut canonical.out);
        canonical.out.push(b':');
        canonical.value(value, 1);
    }
    canonical.out.push(b'}');
    canonical
}

/// Order of UTF-16 code units, asked of UTF-8: it differs from the order of bytes only in that U+E000 to U+FFFF (first
/// byte EE or EF) come after what UTF-16 writes as surrogates (first byte F0 to F4).
fn compare(a: &[u8], b: &[u8]) -> Ordering {
    let rank = |byte: u8| if byte == 0xee || byte == 0xef { u16::from(byte) + 0x100 } else { u16::from(byte) };
    match a.iter().zip(b).find(|(a, b)| a != b) {
        Some((&a, &b)) => rank(a).cmp(&rank(b)),
        None => a.len().cmp(&b.len()),
    }
}

/// Reads JSON text once, from left to right, and appends its canonical form.
struct Writer<'t, 'o> {
    reader: Reader<'t>,
    out: &'o mut Vec<u8>,
    long: &'o mut Vec<Long<'t>>,
    /// The members of the objects that are open, innermost last.
    members: Vec<Member<'t>>,
}

struct Member<'t> {
    /// Decoded, in UTF-8 where lone surrogates are written as if they were characters.
    name: Cow<'t, [u8]>,
    /// Where `"name":value` stands in the output.
    start: usize,
    end: usize,
}

// `None` means that the text is not JSON.
impl Writer<'_, '_> {
    fn value(&mut self, depth: usize) -> Option<()> {
        match self.reader.peek()? {
            b'{' | b'[' if depth >= MAX_DEPTH => self.letter(),
            b'{' => self.object(depth),
            b'[' => self.array(depth),
            b'"' => {
                match Long::next(&mut self.reader) {
                    Some(long) => long.leave_a_mark(self.out, self.long),
                    None => write_string_as_came(&self.reader.string()?, self.out),
                }
                Some(())
            }
            b'-' | b'0'..=b'9' => {
                let number = self.reader.run(|byte| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E'));
                write_number(number, self.out)
            }
            _ => {
                let word = self.reader.run(|byte| byte.is_ascii_lowercase());
                matches!(word, b"true" | b"false" | b"null").then(|| self.out.extend_from_slice(word))
            }
        }
    }

    fn array(&mut self, depth: usize) -> Option<()> {
        self.reader.take(b'[')?;
        self.out.push(b'[');
        if self.reader.peek()? != b']' {
            loop {
                self.value(depth + 1)?;
                if self.reader.peek()? != b',' {
                    break;
                }
                self.reader.at += 1;
                self.out.push(b',');
            }
        }
        self.reader.take(b']')?;
        self.out.push(b']');
        Some(())
    }

    fn object(&mut self, depth: usize) -> Option<()> {
        self.reader.take(b'{')?;
        self.out.push(b'{');
        let (first, body) = (self.members.len(), self.out.len());
        if self.reader.peek()? != b'}' {
            loop {
                let name = self.reader.string()?;
                let start = self.out.len();
                write_string_as_came(&name, self.out);
                self.reader.take(b':')?;
                self.out.push(b':');
                self.value(depth + 1)?;
                self.members.push(Member { name, start, end: self.out.len() });
                if self.reader.peek()? != b',' {
                    break;
                }
                self.reader.at += 1;
                self.out.push(b',');
            }
        }
        self.reader.take(b'}')?;
        self.sort(first, body);
        self.out.push(b'}');
        Some(())
    }

    /// Brings the members of the innermost object, written from `body` on, into their order.
    fn sort(&mut self, first: usize, body: usize) {
        let mut members = self.members.split_off(first);
        if members.is_sorted_by(|a, b| compare(&a.name, &b.name).is_lt()) {
            return;
        }
        // Reversed before the stable sort, so that of equal names the last comes first and is the one that is kept.
        members.reverse();
        members.sort_by(|a, b| compare(&a.name, &b.name));
        members.dedup_by(|next, kept| next.name == kept.name);
        let unsorted = self.out.split_off(body);
        for (index, member) in members.iter().enumerate() {
            if index > 0 {
                self.out.push(b',');
            }
            self.out.extend_from_slice(&unsorted[member.start - body..member.end - body]);
        }
    }

    /// Copies an array or an object to the letter. Iterative: its depth is not bounded.
    fn letter(&mut self) -> Option<()> {
        let start = self.reader.at;
        let mut open = 0_usize;
        loop {
            match *self.reader.text.get(self.reader.at)? {
                b'"' => {
                    self.reader.string()?;
                    continue;
                }
                b'{' | b'[' => open += 1,
                b'}' | b']' => open -= 1,
                _ => {}
            }
            self.reader.at += 1;
            if open == 0 {
                self.out.extend_from_slice(&self.reader.text[start..self.reader.at]);
                return Some(());
            }
        }
    }
}
