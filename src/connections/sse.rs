//! Bytes to server-sent events, pure: the grammar of the WHATWG HTML standard, section 9.2.6.
//!
//! Lines are split on bytes and decoded one by one. That equals decoding the whole stream first, as the standard says,
//! because no byte of a longer UTF-8 sequence is a line end.

use std::borrow::Cow;
use std::mem;

use memchr::{memchr, memchr2};

use crate::error::{Failure, FailureClass};

/// Most bytes of one event, 16 MiB: more than any model writes in one piece, and less than hurts.
const MAX_EVENT_BYTES: usize = 16 << 20;

/// Takes bytes as they come, split anywhere, and gives the data of each event.
///
/// Lines end with CR, LF or CRLF; a byte order mark at the start and comments are skipped; `data` lines of one event
/// are joined by LF; an event without `data`, and one that the stream leaves unfinished, is not given; the fields
/// `event`, `id` and `retry` say nothing here. Bytes that are not UTF-8 become U+FFFD. `[DONE]` is data like any other.
///
/// Every byte is looked at once, however small the pieces.
#[derive(Debug, Default)]
pub struct SseParser {
    /// The start of a line whose end has not come.
    line: Vec<u8>,
    /// The data of the event so far, if it has any; it may be empty.
    data: Option<String>,
    /// Whether the last byte was a CR, whose LF may still come.
    is_after_cr: bool,
    /// Whether a line has ended: only the first may start with a byte order mark.
    is_after_first_line: bool,
    /// Whether an event was beyond the bound: nothing after it can be trusted.
    is_broken: bool,
}

impl SseParser {
    /// Appends the data of every event that `bytes` completes.
    ///
    /// # Errors
    /// [`FailureClass::Truncated`] if an event grows beyond 16 MiB; so does every later call. The events before it have
    /// been appended.
    pub fn push(&mut self, mut bytes: &[u8], events: &mut Vec<String>) -> Result<(), Failure> {
        if self.is_after_cr && !bytes.is_empty() {
            self.is_after_cr = false;
            bytes = bytes.strip_prefix(b"\n").unwrap_or(bytes);
        }
        while let Some(end) = memchr2(b'\r', b'\n', bytes) {
            let (line, rest) = bytes.split_at(end);
            if self.line.is_empty() {
                self.check(line)?;
                self.end_line(line, events);
            } else {
                self.keep(line)?;
                let mut whole = mem::take(&mut self.line);
                self.end_line(&whole, events);
                whole.clear();
                self.line = whole;
            }
            bytes = match rest {
                [b'\r'] => {
                    self.is_after_cr = true;
                    &[]
                }
                [b'\r', b'\n', rest @ ..] | [_, rest @ ..] => rest,
                [] => &[],
            };
        }
        self.keep(bytes)
    }

    /// Keeps the start of a line.
    fn keep(&mut self, part: &[u8]) -> Result<(), Failure> {
        self.check(part)?;
        self.line.extend_from_slice(part);
        Ok(())
    }

    /// Refuses to grow beyond the bound.
    fn check(&mut self, part: &[u8]) -> Result<(), Failure> {
        let data = self.data.as_ref().map_or(0, String::len);
        if self.is_broken || data + self.line.len() + part.len() > MAX_EVENT_BYTES {
            *self = Self { is_broken: true, ..Self::default() };
            let message = format!("an event of the stream is larger than {} MiB", MAX_EVENT_BYTES >> 20);
            return Err(Failure::new(FailureClass::Truncated, message));
        }
        Ok(())
    }

    /// Takes one whole line, without its end.
    fn end_line(&mut self, mut line: &[u8], events: &mut Vec<String>) {
        if !mem::replace(&mut self.is_after_first_line, true) {
            line = line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(line);
        }
        if line.is_empty() {
            events.extend(self.data.take());
            return;
        }
        // A comment has an empty name.
        let (name, value) = match memchr(b':', line) {
            Some(colon) => line.split_at(colon),
            None => (line, &[][..]),
        };
        if name != b"data" {
            return;
        }
        let value = value.strip_prefix(b":").unwrap_or(value);
        let value = value.strip_prefix(b" ").unwrap_or(value);
        // The check alone is many times as fast as what repairs.
        let value = std::str::from_utf8(value).map_or_else(|_| String::from_utf8_lossy(value), Cow::Borrowed);
        match &mut self.data {
            Some(data) => {
                data.push('\n');
                data.push_str(&value);
            }
            None => self.data = Some(value.into_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(bytes: &[u8]) -> Vec<String> {
        parse_pieces([bytes])
    }

    fn parse_pieces<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<String> {
        let (mut parser, mut events) = (SseParser::default(), Vec::new());
        for piece in pieces {
            parser.push(piece, &mut events).unwrap();
        }
        events
    }

    #[test]
    fn the_grammar_of_the_standard_is_read() {
        let table: &[(&[u8], &[&str])] = &[
            (b"", &[]),
            (b"data: a\n\n", &["a"]),
            (b"data: a\r\r", &["a"]),
            (b"data: a\r\n\r\n", &["a"]),
            (b"data: a\r\n\ndata: b\n\r\n", &["a", "b"]),
            (b"data:a\n\n", &["a"]),
            (b"data:  a \n\n", &[" a "]),
            (b"data: a\ndata\ndata: b\n\n", &["a\n\nb"]),
            (b"data\n\ndata\ndata\n\ndata:", &["", "\n"]),
            (b": comment\ndata: a\n: more\n\n", &["a"]),
            (b":\n\n", &[]),
            (b"event: x\nid: 1\nretry: 5\n\n", &[]),
            (b"event: error\ndata: a\nid\n\n", &["a"]),
            (b"datas: a\nDATA: b\n data: c\n\n", &[]),
            (b"data: a:b\n\n", &["a:b"]),
            (b"\xEF\xBB\xBFdata: a\n\n", &["a"]),
            (b"\xEF\xBB\xBF\xEF\xBB\xBFdata: a\n\n", &[]),
            (b"data: a\n\n\xEF\xBB\xBFdata: b\n\n", &["a"]),
            (b"\n\n\n\ndata: a\n\n\n\n", &["a"]),
            (b"data: unfinished\n", &[]),
            (b"data: [DONE]\n\n", &["[DONE]"]),
            (b"data: caf\xC3\xA9\n\n", &["caf\u{e9}"]),
            (b"data: \xFF\xC3\ndata: \xE2\x82\n\n", &["\u{fffd}\u{fffd}\n\u{fffd}"]),
        ];
        for (bytes, expected) in table {
            assert_eq!(parse(bytes), *expected, "{}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn an_event_beyond_the_bound_ends_the_stream_and_frees_its_memory() {
        let (mut parser, mut events) = (SseParser::default(), Vec::new());
        parser.push(b"data: first\n\ndata: ", &mut events).unwrap();
        let mebibyte = vec![b'a'; 1 << 20];
        let refused = (0..17).find_map(|_| parser.push(&mebibyte, &mut events).err()).unwrap();
        assert_eq!(refused.class, FailureClass::Truncated);
        assert_eq!(events, ["first"]);
        assert!(parser.line.capacity() == 0 && parser.data.is_none());
        assert!(parser.push(b"\n\ndata: later\n\n", &mut events).is_err());
        assert_eq!(events, ["first"]);
    }

    #[test]
    fn an_empty_piece_between_cr_and_lf_does_not_make_two_line_ends() {
        let pieces: [&[u8]; 4] = [b"data: a\r", b"", b"\n", b"data: b\n\n"];
        assert_eq!(parse_pieces(pieces), ["a\nb"]);
    }

    #[test]
    fn many_data_lines_do_not_slip_past_the_bound() {
        let (mut parser, mut events) = (SseParser::default(), Vec::new());
        let line = [b"data:", vec![b'a'; 1 << 20].as_slice(), b"\n"].concat();
        assert!((0..17).any(|_| parser.push(&line, &mut events).is_err()));
    }

    fn stream() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            4 => prop::sample::select(vec!["\r", "\n", "\r\n", "data: ", "data", ":", " ", "\u{feff}", "event: x", "[DONE]"])
                .prop_map(|text| text.as_bytes().to_vec()),
            2 => "[a-z{}\"\u{e9}\u{20ac}\u{1f600}]{0,6}".prop_map(String::into_bytes),
            1 => prop::collection::vec(any::<u8>(), 0..4),
        ];
        prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
    }

    /// The standard's algorithm as it is written: decode everything, split everything, then read line by line.
    fn oracle(bytes: &[u8]) -> Vec<String> {
        let text = String::from_utf8_lossy(bytes).replace("\r\n", "\n").replace('\r', "\n");
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        let Some((lines, _unfinished)) = text.rsplit_once('\n') else { return Vec::new() };
        let (mut events, mut data) = (Vec::new(), String::new());
        for line in lines.split('\n') {
            let (name, value) = line.split_once(':').unwrap_or((line, ""));
            if line.is_empty() && !data.is_empty() {
                data.pop();
                events.push(mem::take(&mut data));
            } else if name == "data" {
                data += value.strip_prefix(' ').unwrap_or(value);
                data.push('\n');
            }
        }
        events
    }

    proptest! {
        #[test]
        fn any_split_parses_like_the_standard_says(bytes in stream(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8)) {
            let expected = oracle(&bytes);
            prop_assert_eq!(parse(&bytes), expected.clone());
            prop_assert_eq!(parse_pieces(bytes.chunks(1)), expected.clone());
            let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            places.extend([0, bytes.len()]);
            places.sort_unstable();
            prop_assert_eq!(parse_pieces(places.windows(2).map(|pair| &bytes[pair[0]..pair[1]])), expected);
        }
    }
}
