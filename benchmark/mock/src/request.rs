//! What a request wants, read no further than needed.

use std::time::Duration;

use memchr::memmem;

use crate::answers::Answers;

const DIGITS: usize = 8;

/// A whole request at the beginning of what has come.
pub struct Request<'a> {
    head: &'a [u8],
    body: &'a [u8],
    /// Its bytes, head and body.
    pub length: usize,
    /// `/after/50/v1/...` is answered 50 ms after it has come.
    pub delay: Option<Duration>,
}

/// The answer that a request wants.
pub enum Wish<'a> {
    /// What is there as it is.
    Ready(&'a [u8]),
    /// The answer to the question of this number, in eight digits.
    Numbered(&'a [u8]),
    /// A stream with one chunk in so much time.
    Paced(Duration),
}

impl<'a> Request<'a> {
    /// The request at the beginning of these bytes, if all of it has come.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let body_start = memmem::find(bytes, b"\r\n\r\n")? + 4;
        let (head, rest) = bytes.split_at(body_start);
        let body = rest.get(..content_length(head))?;
        let after = memmem::find(head, b" /after/").map(|at| &head[at + b" /after/".len()..]);
        let delay = after.and_then(number).map(Duration::from_millis);
        Some(Self { head, body, length: body_start + body.len(), delay })
    }

    /// What it wants.
    pub fn wish(&self, answers: &'a Answers) -> Wish<'a> {
        let after = |words: &[u8]| memmem::find(self.body, words).map(|at| &self.body[at + words.len()..]);
        if memmem::find(self.head, b"/embeddings HTTP").is_some() {
            return Wish::Ready(&answers.embedded);
        }
        if let Some(milliseconds) = after(b"one chunk every ").and_then(number) {
            return Wish::Paced(Duration::from_millis(milliseconds));
        }
        let numbered = after(b"(question ").and_then(|rest| rest.get(..DIGITS));
        if let Some(digits) = numbered.filter(|digits| digits.iter().all(u8::is_ascii_digit)) {
            return Wish::Numbered(digits);
        }
        let is_stream = after(b"\"stream\":true").or_else(|| after(b"\"stream\": true")).is_some();
        Wish::Ready(if is_stream { &answers.streamed } else { &answers.whole })
    }
}

/// Bytes that a request that has begun to come still misses, as far as its head says.
pub fn missing(bytes: &[u8]) -> usize {
    let Some(end) = memmem::find(bytes, b"\r\n\r\n") else { return 0 };
    (end + 4 + content_length(&bytes[..end + 4])).saturating_sub(bytes.len())
}

/// The length of the body; 0 if the head does not say.
fn content_length(head: &[u8]) -> usize {
    const NAME: &[u8] = b"content-length:";
    let mut lines = head.split(|byte| *byte == b'\n');
    let line = lines.find(|line| line.get(..NAME.len()).is_some_and(|name| name.eq_ignore_ascii_case(NAME)));
    let value = line.and_then(|line| number(line[NAME.len()..].trim_ascii_start()));
    value.and_then(|value| usize::try_from(value).ok()).unwrap_or(0)
}

/// The number that these bytes begin with.
fn number(bytes: &[u8]) -> Option<u64> {
    let end = bytes.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(bytes.len());
    std::str::from_utf8(&bytes[..end]).ok()?.parse().ok()
}
