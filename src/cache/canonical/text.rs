//! Strings of JSON: read, and written with as few escapes as can be. A lone surrogate is three bytes, as if it were a character.

use std::borrow::Cow;

/// Reads JSON text from left to right. `None` means that it is not JSON.
pub(super) struct Reader<'t> {
    pub text: &'t [u8],
    pub at: usize,
}

impl<'t> Reader<'t> {
    /// The next byte after white space.
    pub fn peek(&mut self) -> Option<u8> {
        while let Some(byte) = self.text.get(self.at) {
            if !matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
                return Some(*byte);
            }
            self.at += 1;
        }
        None
    }

    pub fn take(&mut self, wanted: u8) -> Option<()> {
        (self.peek()? == wanted).then(|| self.at += 1)
    }

    pub fn run(&mut self, is_part: impl Fn(u8) -> bool) -> &'t [u8] {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let length = rest.iter().position(|byte| !is_part(*byte)).unwrap_or(rest.len());
        self.at += length;
        &rest[..length]
    }

    /// Reads a string; borrowed if nothing in it was escaped.
    pub fn string(&mut self) -> Option<Cow<'t, [u8]>> {
        self.take(b'"')?;
        let mut decoded = Vec::new();
        loop {
            let rest = self.text.get(self.at..)?;
            let end = memchr::memchr2(b'"', b'\\', rest)?;
            self.at += end;
            if rest[end] == b'"' && decoded.is_empty() {
                self.at += 1;
                return Some(Cow::Borrowed(&rest[..end]));
            }
            decoded.extend_from_slice(&rest[..end]);
            if rest[end] == b'"' {
                self.at += 1;
                return Some(Cow::Owned(decoded));
            }
            self.escape(&mut decoded)?;
        }
    }

    /// Reads an escape, which is what comes next.
    pub fn escape(&mut self, decoded: &mut Vec<u8>) -> Option<()> {
        let escape = *self.text.get(self.at + 1)?;
        self.at += 2;
        let plain = match escape {
            b'"' | b'\\' | b'/' => escape,
            b'b' => 0x08,
            b't' => b'\t',
            b'n' => b'\n',
            b'f' => 0x0c,
            b'r' => b'\r',
            b'u' => return self.unicode(decoded),
            _ => return None,
        };
        decoded.push(plain);
        Some(())
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
pub(super) fn write_string_as_came(string: &Cow<'_, [u8]>, out: &mut Vec<u8>) {
    match string {
        Cow::Owned(decoded) => write_string(decoded, out),
        Cow::Borrowed(plain) => {
            out.push(b'"');
            out.extend_from_slice(plain);
            out.push(b'"');
        }
    }
}

pub(super) fn write_string(decoded: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    write_between(decoded, out);
    out.push(b'"');
}

/// What stands between the quotes.
pub(super) fn write_between(decoded: &[u8], out: &mut Vec<u8>) {
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
}

fn write_escape(unit: u32, out: &mut Vec<u8>) {
    out.extend_from_slice(format!("\\u{unit:04x}").as_bytes());
}
