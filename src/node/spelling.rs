//! How the face spells requests (`js/spelling.ts`), and the JSON that they are.
//!
//! JSON would have every letter looked at by JavaScript, for those that must be escaped. This has each string as it is, after its
//! length, so that a request that is only looked up is not written as JSON at all. Long strings are beside it, in their order.

use std::iter::empty;

use super::text::{Long, Spoken};

/// What a spelled request begins with; JSON never does.
const MARK: char = '*';

/// Whether all of a request is in its text.
pub fn is_whole(spoken: &Spoken) -> bool {
    spoken.long.is_empty()
}

/// The JSON of a request, spelled or written; `None` if it is neither.
pub fn json(spoken: Spoken) -> Option<String> {
    let Spoken { text, long } = spoken;
    if !text.starts_with(MARK) {
        return long.is_empty().then(|| text.into_string());
    }
    let bytes = long.iter().map(|long| long.length).sum();
    written(&text, bytes, long.into_iter().map(|long| move |out: &mut Vec<u8>| Long::append(long, out)))
}

/// The same of a text that is all there is.
pub fn json_of(text: &str) -> Option<String> {
    if text.starts_with(MARK) {
        written(text, 0, empty::<fn(&mut Vec<u8>) -> Option<()>>())
    } else {
        Some(text.to_owned())
    }
}

/// `long` appends the long strings, of so many bytes, one after the other.
fn written<A: FnOnce(&mut Vec<u8>) -> Option<()>>(
    text: &str,
    bytes: usize,
    long: impl Iterator<Item = A>,
) -> Option<String> {
    let spelled = text.strip_prefix(MARK)?;
    let out = Vec::with_capacity(text.len() + bytes + 64);
    let mut reader = Reader { rest: spelled, is_ascii: spelled.is_ascii(), long, out };
    reader.value()?;
    if !reader.rest.is_empty() || reader.long.next().is_some() {
        return None;
    }
    String::from_utf8(reader.out).ok()
}

struct Reader<'t, L> {
    rest: &'t str,
    is_ascii: bool,
    long: L,
    out: Vec<u8>,
}

impl<'t, A: FnOnce(&mut Vec<u8>) -> Option<()>, L: Iterator<Item = A>> Reader<'t, L> {
    fn take(&mut self, length: usize) -> Option<&'t str> {
        let (taken, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(taken)
    }

    /// Everything before this letter, which is passed over.
    fn until(&mut self, end: u8) -> Option<&'t str> {
        let length = memchr::memchr(end, self.rest.as_bytes())?;
        let taken = self.take(length)?;
        self.take(1)?;
        Some(taken)
    }

    fn value(&mut self) -> Option<()> {
        match self.take(1)? {
            "\"" => self.string()?,
            "L" => self.long_string()?,
            "#" => {
                let number = self.until(b';')?;
                self.out.extend_from_slice(number.as_bytes());
            }
            "t" => self.out.extend_from_slice(b"true"),
            "f" => self.out.extend_from_slice(b"false"),
            "n" => self.out.extend_from_slice(b"null"),
            "[" => self.list(b'[', b']', Self::value)?,
            "{" => self.list(b'{', b'}', |reader| {
                reader.string()?;
                reader.out.push(b':');
                reader.value()
            })?,
            _ => return None,
        }
        Some(())
    }

    fn list(&mut self, open: u8, close: u8, item: impl Fn(&mut Self) -> Option<()>) -> Option<()> {
        self.out.push(open);
        let mut is_first = true;
        while *self.rest.as_bytes().first()? != close {
            if !std::mem::replace(&mut is_first, false) {
                self.out.push(b',');
            }
            item(self)?;
        }
        self.take(1)?;
        self.out.push(close);
        Some(())
    }

    fn long_string(&mut self) -> Option<()> {
        self.out.push(b'"');
        let start = self.out.len();
        self.long.next()?(&mut self.out)?;
        escape_from(start, &mut self.out);
        self.out.push(b'"');
        Some(())
    }

    /// A string after its length, which is that of JavaScript: in units of UTF-16.
    fn string(&mut self) -> Option<()> {
        let units: usize = self.until(b':')?.parse().ok()?;
        let length = if self.is_ascii { units } else { bytes_of(self.rest, units)? };
        let text = self.take(length)?;
        write_string(text.as_bytes(), &mut self.out);
        Some(())
    }
}

/// Escapes what stands from here on, in its place: a copy of it would be one too many.
fn escape_from(start: usize, out: &mut Vec<u8>) {
    let Some(first) = first_escaped(&out[start..]) else { return };
    let start = start + first;
    let more = |byte: &u8| escape(*byte).map_or(0, |(_, length)| length - 1);
    let longer: usize = out[start..].iter().map(more).sum();
    let (mut from, mut to) = (out.len(), out.len() + longer);
    out.resize(to, 0);
    // From the end, so that nothing is written over that is yet to be read.
    while from < to {
        from -= 1;
        if let Some((escaped, length)) = escape(out[from]) {
            to -= length;
            out[to..to + length].copy_from_slice(&escaped[..length]);
        } else {
            to -= 1;
            out[to] = out[from];
        }
    }
}

/// How many bytes the first units of UTF-16 take.
fn bytes_of(text: &str, units: usize) -> Option<usize> {
    let mut left = units;
    let mut characters = text.char_indices();
    while left > 0 {
        let (_, character) = characters.next()?;
        left = left.checked_sub(character.len_utf16())?;
    }
    Some(characters.offset())
}

/// As `JSON.stringify` does.
fn write_string(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    let mut rest = text;
    while let Some(place) = first_escaped(rest) {
        out.extend_from_slice(&rest[..place]);
        if let Some((escaped, length)) = escape(rest[place]) {
            out.extend_from_slice(&escaped[..length]);
        }
        rest = &rest[place + 1..];
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

/// A byte that has to be escaped, as it is written, and how long that is.
fn escape(byte: u8) -> Option<([u8; 6], usize)> {
    let short = match byte {
        b'"' | b'\\' => byte,
        b'\n' => b'n',
        b'\t' => b't',
        b'\r' => b'r',
        0x08 => b'b',
        0x0c => b'f',
        0..0x20 => {
            let digit = |value: u8| if value < 10 { b'0' + value } else { b'a' + value - 10 };
            return Some(([b'\\', b'u', b'0', b'0', digit(byte >> 4), digit(byte & 15)], 6));
        }
        _ => return None,
    };
    Some(([b'\\', short, 0, 0, 0, 0], 2))
}

/// Where the first byte stands that JSON has to escape.
fn first_escaped(text: &[u8]) -> Option<usize> {
    const BLOCK: usize = 32;
    let is_escaped = |byte: &u8| matches!(*byte, b'"' | b'\\' | 0..0x20);
    // Without a way out of a block, it is compared at once.
    let has_none = |block: &&[u8]| !block.iter().fold(false, |any, byte| any | is_escaped(byte));
    let start = text.chunks(BLOCK).take_while(has_none).map(<[u8]>::len).sum();
    text.get(start..)?.iter().position(is_escaped).map(|place| start + place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_spelled_is_the_json_that_it_stands_for() {
        for (spelled, expected) in [
            ("*{}", "{}"),
            ("*{1:a\"2:hi1:b#1.5;1:c[tfn[]{}]}", r#"{"a":"hi","b":1.5,"c":[true,false,null,[],{}]}"#),
            ("*{3:a\"b\"3:\\\n\u{1}}", r#"{"a\"b":"\\\n\u0001"}"#),
            ("*{2:\u{1f600}\"4:é\u{1f600}b}", "{\"\u{1f600}\":\"é\u{1f600}b\"}"),
            ("{\"a\":1}", "{\"a\":1}"),
        ] {
            assert_eq!(json_of(spelled).as_deref(), Some(expected), "{spelled}");
        }
    }

    #[test]
    fn long_strings_stand_where_they_are_named_in_their_order() {
        let write = |text| {
            let append = |long: &'static str| {
                move |out: &mut Vec<u8>| {
                    out.extend_from_slice(long.as_bytes());
                    Some(())
                }
            };
            written(text, 0, ["a\n", "\u{1}\u{e9}\u{8}\"\u{1f600}\\"].map(append).into_iter())
        };
        let expected = "{\"a\":\"a\\n\",\"b\":[\"\\u0001é\\b\\\"\u{1f600}\\\\\",1]}";
        assert_eq!(write("*{1:aL1:b[L#1;]}").as_deref(), Some(expected));
        for wrong in ["*{1:aL}", "*{1:aL1:b[LL]}", "*{Ln}"] {
            assert_eq!(write(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_is_not_spelled_well_is_nothing() {
        for text in ["*", "*{", "*{}}", "*{1:a", "*{9:a\"1:b}", "*{1:a\"1:\u{1f600}}", "*#1", "*{1:a?}", "*{x:a}"] {
            assert_eq!(json_of(text), None, "{text}");
        }
    }
}
