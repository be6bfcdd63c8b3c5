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

/// Levels of nesting that are canonicalised: what `serde_json` accepts when it builds a tree.
pub const MAX_DEPTH: usize = 128;

/// The canonical spelling of a JSON text. A text that is not JSON stands for itself.
#[must_use]
pub fn canonical_json(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    write_value(text, 0, &mut out);
    out
}

/// Appends the canonical object of these fields; each value is JSON text. Names are taken as distinct.
pub(super) fn write_object<'a>(fields: impl Iterator<Item = (&'a str, &'a str)>, out: &mut Vec<u8>) {
    let mut fields: Vec<_> = fields.collect();
    fields.sort_by(|(a, _), (b, _)| compare(a.as_bytes(), b.as_bytes()));
    out.push(b'{');
    for (index, (name, value)) in fields.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write_string(name.as_bytes(), out);
        out.push(b':');
        write_value(value, 1, out);
    }
    out.push(b'}');
}

fn write_value(text: &str, depth: usize, out: &mut Vec<u8>) {
    let start = out.len();
    let mut writer = Writer { text: text.as_bytes(), at: 0, out, members: Vec::new() };
    let is_whole = writer.value(depth).is_some() && writer.peek().is_none();
    if !is_whole {
        out.truncate(start);
        out.extend_from_slice(text.as_bytes());
    }
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
    text: &'t [u8],
    at: usize,
    out: &'o mut Vec<u8>,
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
impl<'t> Writer<'t, '_> {
    /// The next byte after white space.
    fn peek(&mut self) -> Option<u8> {
        while let Some(byte) = self.text.get(self.at) {
            if !matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
                return Some(*byte);
            }
            self.at += 1;
        }
        None
    }

    fn take(&mut self, wanted: u8) -> Option<()> {
        (self.peek()? == wanted).then(|| self.at += 1)
    }

    fn value(&mut self, depth: usize) -> Option<()> {
        match self.peek()? {
            b'{' | b'[' if depth >= MAX_DEPTH => self.letter(),
            b'{' => self.object(depth),
            b'[' => self.array(depth),
            b'"' => {
                let string = self.string()?;
                write_string_as_came(&string, self.out);
                Some(())
            }
            b'-' | b'0'..=b'9' => {
                let number = self.run(|byte| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E'));
                write_number(number, self.out)
            }
            _ => {
                let word = self.run(|byte| byte.is_ascii_lowercase());
                matches!(word, b"true" | b"false" | b"null").then(|| self.out.extend_from_slice(word))
            }
        }
    }

    fn run(&mut self, is_part: impl Fn(u8) -> bool) -> &'t [u8] {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let length = rest.iter().position(|byte| !is_part(*byte)).unwrap_or(rest.len());
        self.at += length;
        &rest[..length]
    }

    fn array(&mut self, depth: usize) -> Option<()> {
        self.take(b'[')?;
        self.out.push(b'[');
        if self.peek()? != b']' {
            loop {
                self.value(depth + 1)?;
                if self.peek()? != b',' {
                    break;
                }
                self.at += 1;
                self.out.push(b',');
            }
        }
        self.take(b']')?;
        self.out.push(b']');
        Some(())
    }

    fn object(&mut self, depth: usize) -> Option<()> {
        self.take(b'{')?;
        self.out.push(b'{');
        let (first, body) = (self.members.len(), self.out.len());
        if self.peek()? != b'}' {
            loop {
                let name = self.string()?;
                let start = self.out.len();
                write_string_as_came(&name, self.out);
                self.take(b':')?;
                self.out.push(b':');
                self.value(depth + 1)?;
                self.members.push(Member { name, start, end: self.out.len() });
                if self.peek()? != b',' {
                    break;
                }
                self.at += 1;
                self.out.push(b',');
            }
        }
        self.take(b'}')?;
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
        let start = self.at;
        let mut open = 0_usize;
        loop {
            match *self.text.get(self.at)? {
                b'"' => {
                    self.string()?;
                    continue;
                }
                b'{' | b'[' => open += 1,
                b'}' | b']' => open -= 1,
                _ => {}
            }
            self.at += 1;
            if open == 0 {
                self.out.extend_from_slice(&self.text[start..self.at]);
                return Some(());
            }
        }
    }

    /// Reads a string; borrowed if nothing in it was escaped.
    fn string(&mut self) -> Option<Cow<'t, [u8]>> {
        self.take(b'"')?;
        let mut decoded = Vec::new();
        loop {
            let rest = self.text.get(self.at..)?;
            let end = memchr::memchr2(b'"', b'\\', rest)?;
            self.at += end + 1;
            if rest[end] == b'"' && decoded.is_empty() {
                return Some(Cow::Borrowed(&rest[..end]));
            }
            decoded.extend_from_slice(&rest[..end]);
            if rest[end] == b'"' {
                return Some(Cow::Owned(decoded));
            }
            let escape = *self.text.get(self.at)?;
            self.at += 1;
            let plain = match escape {
                b'"' | b'\\' | b'/' => escape,
                b'b' => 0x08,
                b't' => b'\t',
                b'n' => b'\n',
                b'f' => 0x0c,
                b'r' => b'\r',
                b'u' => {
                    self.unicode(&mut decoded)?;
                    continue;
                }
                _ => return None,
            };
            decoded.push(plain);
        }
    }

    /// Reads what follows `\u`, and the second half of a surrogate pair.
    fn unicode(&mut self, decoded: &mut Vec<u8>) -> Option<()> {
        let unit = self.hex(self.at)?;
        self.at += 4;
        let mut code = unit;
        if (0xd800..0xdc00).contains(&unit) && self.text.get(self.at..self.at + 2) == Some(b"\\u") {
            let low = self.hex(self.at + 2)?;
            if (0xdc00..0xe000).contains(&low) {
                self.at += 6;
                code = 0x1_0000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
            }
        }
        match char::from_u32(code) {
            Some(character) => decoded.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
            None => decoded.extend_from_slice(&[0xed, low_bits(code >> 6), low_bits(code)]),
        }
        Some(())
    }

    fn hex(&self, at: usize) -> Option<u32> {
        let digits = self.text.get(at..at + 4)?;
        digits.iter().try_fold(0, |sum, digit| Some(sum << 4 | char::from(*digit).to_digit(16)?))
    }
}

/// A byte of UTF-8 that goes on: its lowest six bits.
fn low_bits(code: u32) -> u8 {
    0x80 | (code & 0x3f) as u8
}

/// A string that came without escapes needs none.
#[allow(clippy::ptr_arg, reason = "whether it is borrowed is what tells")]
fn write_string_as_came(string: &Cow<'_, [u8]>, out: &mut Vec<u8>) {
    match string {
        Cow::Owned(decoded) => write_string(decoded, out),
        Cow::Borrowed(plain) => {
            out.push(b'"');
            out.extend_from_slice(plain);
            out.push(b'"');
        }
    }
}

fn write_string(decoded: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    let mut rest = decoded;
    while let Some(place) = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0xed | 0..0x20)) {
        out.extend_from_slice(&rest[..place]);
        let byte = rest[place];
        rest = &rest[place + 1..];
        let short = match byte {
            b'"' | b'\\' => byte,
            0x08 => b'b',
            b'\t' => b't',
            b'\n' => b'n',
            0x0c => b'f',
            b'\r' => b'r',
            // ED 80 to 9F begins a character, ED A0 to BF a lone surrogate.
            0xed => {
                let [middle, last] = *rest.first_chunk().unwrap_or(&[0, 0]);
                rest = rest.get(2..).unwrap_or_default();
                if middle < 0xa0 {
                    out.extend_from_slice(&[byte, middle, last]);
                } else {
                    write_escape(0xd000 | u32::from(middle & 0x3f) << 6 | u32::from(last & 0x3f), out);
                }
                continue;
            }
            _ => {
                write_escape(u32::from(byte), out);
                continue;
            }
        };
        out.extend_from_slice(&[b'\\', short]);
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

fn write_escape(unit: u32, out: &mut Vec<u8>) {
    out.extend_from_slice(format!("\\u{unit:04x}").as_bytes());
}
