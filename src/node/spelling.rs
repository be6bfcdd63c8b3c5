//! How the face spells requests (`js/spelling.ts`), and the JSON that they are.
//!
//! JSON would have every letter looked at by JavaScript, for those that must be escaped. This has each string as it is, after its
//! length, so that a request that is only looked up is not written as JSON at all. Long strings are beside it, in their order.

use super::text::Spoken;

/// What a spelled request begins with; JSON never does.
const MARK: char = '*';

/// Whether all of a request is in its text.
pub fn is_whole(spoken: &Spoken) -> bool {
    spoken.long.is_empty()
}

/// The JSON of a request, spelled or written; `None` if it is neither.
pub fn json(spoken: Spoken) -> Option<String> {
    let Spoken { text, long } = spoken;
    if text.starts_with(MARK) { written(&text, long) } else { long.is_empty().then(|| text.into_string()) }
}

/// The same of a text that is all there is.
pub fn json_of(text: &str) -> Option<String> {
    if text.starts_with(MARK) { written(text, Vec::new()) } else { Some(text.to_owned()) }
}

fn written(text: &str, long: Vec<String>) -> Option<String> {
    let spelled = text.strip_prefix(MARK)?;
    let room = text.len() + long.iter().map(String::len).sum::<usize>() + 64;
    let (out, long) = (Vec::with_capacity(room), long.into_iter());
    let mut reader = Reader { rest: spelled, is_ascii: spelled.is_ascii(), long, out };
    reader.value()?;
    if !reader.rest.is_empty() || reader.long.next().is_some() {
        return None;
    }
    String::from_utf8(reader.out).ok()
}

struct Reader<'t> {
    rest: &'t str,
    is_ascii: bool,
    long: std::vec::IntoIter<String>,
    out: Vec<u8>,
}

impl<'t> Reader<'t> {
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
            // Let go of as soon as it is written.
            "L" => write_string(self.long.next()?.as_bytes(), &mut self.out),
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

    /// A string after its length, which is that of JavaScript: in units of UTF-16.
    fn string(&mut self) -> Option<()> {
        let units: usize = self.until(b':')?.parse().ok()?;
        let length = if self.is_ascii { units } else { bytes_of(self.rest, units)? };
        let text = self.take(length)?;
        write_string(text.as_bytes(), &mut self.out);
        Some(())
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
        match rest[place] {
            byte @ (b'"' | b'\\') => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\t' => out.extend_from_slice(b"\\t"),
            b'\r' => out.extend_from_slice(b"\\r"),
            0x08 => out.extend_from_slice(b"\\b"),
            0x0c => out.extend_from_slice(b"\\f"),
            byte => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
        }
        rest = &rest[place + 1..];
    }
    out.extend_from_slice(rest);
    out.push(b'"');
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
        let long = || vec!["a\n".to_owned(), "\u{e9}\"".to_owned()];
        let expected = r#"{"a":"a\n","b":["é\"",1]}"#;
        assert_eq!(written("*{1:aL1:b[L#1;]}", long()).as_deref(), Some(expected));
        for wrong in ["*{1:aL}", "*{1:aL1:b[LL]}", "*{Ln}"] {
            assert_eq!(written(wrong, long()), None, "{wrong}");
        }
    }

    #[test]
    fn what_is_not_spelled_well_is_nothing() {
        for text in ["*", "*{", "*{}}", "*{1:a", "*{9:a\"1:b}", "*{1:a\"1:\u{1f600}}", "*#1", "*{1:a?}", "*{x:a}"] {
            assert_eq!(json_of(text), None, "{text}");
        }
    }
}
