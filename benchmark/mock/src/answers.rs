//! The answers, which the benchmark makes, so that it alone knows what they say.

use std::io::{BufRead, Error, Result};

/// What the numbered answer has where its number goes.
const PLACEHOLDER: &[u8] = b"00000000";

/// Whole responses, and the parts of one that is sent in pieces.
#[derive(Default)]
pub struct Answers {
    /// An answer of a kilobyte.
    pub whole: Vec<u8>,
    /// A stream that is all there.
    pub streamed: Vec<u8>,
    /// A list of vectors.
    pub embedded: Vec<u8>,
    /// An answer of two kilobytes with a number in it, and where.
    numbered: Vec<u8>,
    number_start: usize,
    /// The head of a stream that is sent in pieces, one event before and after its text, and what ends it.
    pub head: Vec<u8>,
    pub before: Vec<u8>,
    pub after: Vec<u8>,
    pub end: Vec<u8>,
    /// Pieces of a stream.
    pub chunks: usize,
}

impl Answers {
    /// Reads them: for each a line with its name and its length in bytes, then those bytes. `chunks` has a number instead,
    /// and comes last.
    pub fn read(input: &mut impl BufRead) -> Result<Self> {
        let mut answers = Self::default();
        loop {
            let mut line = String::new();
            input.read_line(&mut line)?;
            let parts = line.trim_end().split_once(' ');
            let parts = parts.and_then(|(name, number)| Some((name, number.parse::<usize>().ok()?)));
            let Some((name, number)) = parts else { return Err(unknown(&line)) };
            let bytes = match name {
                "chunks" => {
                    answers.chunks = number;
                    let start = memchr::memmem::find(&answers.numbered, PLACEHOLDER);
                    answers.number_start = start.ok_or_else(|| unknown("an answer without a number"))?;
                    return Ok(answers);
                }
                "whole" => &mut answers.whole,
                "streamed" => &mut answers.streamed,
                "embedded" => &mut answers.embedded,
                "numbered" => &mut answers.numbered,
                "head" => &mut answers.head,
                "before" => &mut answers.before,
                "after" => &mut answers.after,
                "end" => &mut answers.end,
                _ => return Err(unknown(&line)),
            };
            bytes.resize(number, 0);
            input.read_exact(bytes)?;
        }
    }

    /// The answer to the question of this number, into `out`.
    pub fn numbered(&self, number: &[u8], out: &mut Vec<u8>) {
        out.clear();
        out.extend_from_slice(&self.numbered);
        out[self.number_start..self.number_start + number.len()].copy_from_slice(number);
    }
}

fn unknown(line: &str) -> Error {
    Error::other(format!("expected answers on the standard input, got {line:?}"))
}
