//! The pieces of a streamed answer, packed: what they said end to end, and where each of them ends.

use std::fmt::Write as _;

use bytes::Bytes;

use super::response::append_content;
use super::{Chunk, StreamAssembly, ToolCall};

/// Chunks in the order in which they came, in about a tenth of the memory that they take one by one.
#[derive(Clone, Debug, Default)]
pub struct Script {
    text: String,
    marks: Vec<Mark>,
    /// Ids and names of tool calls, by the place of the mark that brings them.
    calls: Vec<(usize, Option<String>, Option<String>)>,
}

/// Where a piece ends in the text, and whose it is.
#[derive(Clone, Copy, Debug)]
struct Mark {
    end: usize,
    part: Part,
}

/// The part of an answer that a piece belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Content,
    Reasoning,
    Call(u32),
    Event,
}

impl Script {
    /// Appends a chunk. A restart says nothing of the answer and is left out.
    pub fn push(&mut self, chunk: &Chunk) {
        let (part, delta) = match chunk {
            Chunk::Content { delta } => (Part::Content, delta),
            Chunk::Reasoning { delta } => (Part::Reasoning, delta),
            Chunk::ToolCall { index, id, name, arguments } => {
                if id.is_some() || name.is_some() {
                    self.calls.push((self.marks.len(), id.clone(), name.clone()));
                }
                (Part::Call(*index), arguments)
            }
            Chunk::Event { data } => (Part::Event, data),
            Chunk::Restart { .. } => return,
        };
        self.text.push_str(delta);
        self.marks.push(Mark { end: self.text.len(), part });
    }

    /// How many chunks there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.marks.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.marks.is_empty()
    }

    /// What the chunks before this place weigh: their bytes, and one for each.
    #[must_use]
    pub fn weight(&self, place: usize) -> usize {
        place.checked_sub(1).and_then(|last| self.marks.get(last)).map_or(0, |mark| mark.end + place)
    }

    /// The chunks from this place on.
    #[must_use]
    pub fn since(&self, place: usize) -> Vec<Chunk> {
        (place..self.marks.len()).map(|place| self.chunk(place)).collect()
    }

    /// The content so far.
    #[must_use]
    pub fn content(&self) -> String {
        let mut content = String::new();
        let mut events = StreamAssembly::default();
        for place in 0..self.marks.len() {
            match self.marks[place].part {
                Part::Content => content.push_str(self.delta(place)),
                Part::Event if append_content(self.delta(place), &mut content) => {}
                // It has been read before, so this one does not fail.
                Part::Event => drop(events.push(self.delta(place), &mut Vec::new())),
                Part::Reasoning | Part::Call(_) => {}
            }
        }
        content.push_str(events.content());
        content
    }

    fn delta(&self, place: usize) -> &str {
        let start = place.checked_sub(1).map_or(0, |last| self.marks[last].end);
        &self.text[start..self.marks[place].end]
    }

    fn chunk(&self, place: usize) -> Chunk {
        let delta = self.delta(place).to_owned();
        match self.marks[place].part {
            Part::Content => Chunk::Content { delta },
            Part::Reasoning => Chunk::Reasoning { delta },
            Part::Call(index) => {
                let found = self.calls.binary_search_by_key(&place, |(at, ..)| *at).ok();
                let (_, id, name) = found.map(|found| self.calls[found].clone()).unwrap_or_default();
                Chunk::ToolCall { index, id, name, arguments: delta }
            }
            Part::Event => Chunk::Event { data: delta },
        }
    }
}

/// The lengths of the pieces that an answer came in: enough to stream it again as it came.
///
/// As text: words separated by spaces, each for pieces in a row of one part: `c:` (content), `r:` (reasoning) or `t0:`,
/// `t1:`, ... (arguments of a tool call), then the length in bytes of each piece: a letter, `a` for 0 to `z` for 25 and `A`
/// for 26 to `Z` for 51, or a longer one in parentheses, `(52)`. Letters, because what is stored is compressed together with
/// text, where letters are cheap.
#[derive(Clone, Debug, Default)]
pub struct Pieces {
    text: String,
    /// Whose pieces the last ones are.
    part: Option<Part>,
}

const LETTERS: &[u8; 52] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

impl Pieces {
    /// Appends the length of a chunk. A restart says nothing of the answer and is left out, and an event is no piece.
    pub fn push(&mut self, chunk: &Chunk) {
        let (part, length) = match chunk {
            Chunk::Content { delta } => (Part::Content, delta.len()),
            Chunk::Reasoning { delta } => (Part::Reasoning, delta.len()),
            Chunk::ToolCall { index, arguments, .. } => (Part::Call(*index), arguments.len()),
            Chunk::Restart { .. } | Chunk::Event { .. } => return,
        };
        if self.part.replace(part) != Some(part) {
            let space = if self.text.is_empty() { "" } else { " " };
            // Writing to a string never fails.
            let _ = match part {
                Part::Content => write!(self.text, "{space}c:"),
                Part::Reasoning => write!(self.text, "{space}r:"),
                Part::Call(index) => write!(self.text, "{space}t{index}:"),
                Part::Event => Ok(()),
            };
        }
        match LETTERS.get(length) {
            Some(letter) => self.text.push(char::from(*letter)),
            None => _ = write!(self.text, "({length})"),
        }
    }

    /// Reads what [`Pieces::as_str`] gave. `None` for what does not begin like it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        text.starts_with(['c', 'r', 't']).then(|| Self { text: text.to_owned(), part: None })
    }

    /// What is kept of an answer: itself, and the pieces in a line before it if there are any.
    pub(super) fn write_before(pieces: Option<&Self>, raw: &Bytes) -> Bytes {
        match pieces {
            None => raw.clone(),
            Some(pieces) => [pieces.as_str().as_bytes(), b"\n", raw].concat().into(),
        }
    }

    /// Reads what [`Pieces::write_before`] wrote.
    pub(super) fn read_before(stored: &Bytes) -> (Option<Self>, Bytes) {
        // An answer is a JSON object, which no line of pieces begins like.
        let line = memchr::memchr(b'\n', stored).and_then(|end| Some((end, std::str::from_utf8(&stored[..end]).ok()?)));
        match line.and_then(|(end, line)| Some((end, Self::parse(line)?))) {
            Some((end, pieces)) => (Some(pieces), stored.slice(end + 1..)),
            None => (None, stored.clone()),
        }
    }

    /// As text, one line; empty if there are no pieces.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The chunks of an answer that came in these pieces. `None` if they are not those of this answer.
    #[must_use]
    pub fn chunks(&self, content: &str, reasoning: &str, calls: &[ToolCall]) -> Option<Vec<Chunk>> {
        let (mut content, mut reasoning) = (content, reasoning);
        let mut arguments: Vec<(&str, bool)> = calls.iter().map(|call| (call.arguments.as_str(), true)).collect();
        let mut chunks = Vec::new();
        for word in self.text.split(' ') {
            let (part, mut lengths) = word.split_once(':')?;
            let part = read_part(part)?;
            while let Some(length) = next_length(&mut lengths)? {
                chunks.push(match part {
                    Part::Content => Chunk::Content { delta: cut(&mut content, length)? },
                    Part::Reasoning => Chunk::Reasoning { delta: cut(&mut reasoning, length)? },
                    Part::Call(index) => {
                        let place = usize::try_from(index).ok()?;
                        let (rest, is_first) = arguments.get_mut(place)?;
                        let arguments = cut(rest, length)?;
                        let call = Some(&calls[place]).filter(|_| std::mem::take(is_first));
                        let named = |name: &String| Some(name.clone()).filter(|name| !name.is_empty());
                        let id = call.and_then(|call| named(&call.id));
                        Chunk::ToolCall { index, id, name: call.and_then(|call| named(&call.name)), arguments }
                    }
                    Part::Event => return None,
                });
            }
        }
        let is_all_said = arguments.iter().all(|(rest, is_first)| rest.is_empty() && !is_first);
        (content.is_empty() && reasoning.is_empty() && is_all_said).then_some(chunks)
    }
}

fn read_part(word: &str) -> Option<Part> {
    match word {
        "c" => Some(Part::Content),
        "r" => Some(Part::Reasoning),
        _ => Some(Part::Call(word.strip_prefix('t')?.parse().ok()?)),
    }
}

/// Takes the next length; inside `None` at the end, outside for what is no length.
#[allow(clippy::option_option, reason = "two answers to two questions")]
fn next_length(lengths: &mut &str) -> Option<Option<usize>> {
    let Some(first) = lengths.bytes().next() else { return Some(None) };
    if first != b'(' {
        *lengths = lengths.get(1..)?;
        return LETTERS.iter().position(|letter| *letter == first).map(Some);
    }
    let (length, rest) = lengths.get(1..)?.split_once(')')?;
    *lengths = rest;
    length.parse().ok().map(Some)
}

/// Takes the first `length` bytes.
fn cut(rest: &mut &str, length: usize) -> Option<String> {
    let (piece, remainder) = rest.split_at_checked(length)?;
    *rest = remainder;
    Some(piece.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn script(chunks: &[Chunk]) -> Script {
        let mut script = Script::default();
        for chunk in chunks {
            script.push(chunk);
        }
        script
    }

    fn call(index: u32, first: bool, arguments: &str) -> Chunk {
        let named = |name: &str| first.then(|| format!("{name}{index}"));
        Chunk::ToolCall { index, id: named("id"), name: named("name"), arguments: arguments.to_owned() }
    }

    /// Chunks as a provider sends them: a call brings its id and name with its first piece.
    fn chunks() -> impl Strategy<Value = Vec<Chunk>> {
        prop::collection::vec((0..4_u32, prop_oneof!["\\PC{0,6}", "[a-z]{40,70}"]), 0..20).prop_map(|pieces| {
            let mut known = 0;
            let chunk = |(kind, delta): (u32, String)| match kind {
                0 => Chunk::Content { delta },
                1 => Chunk::Reasoning { delta },
                kind => {
                    let index = (kind - 2).min(known);
                    let is_first = index == known;
                    known += u32::from(is_first);
                    call(index, is_first, &delta)
                }
            };
            pieces.into_iter().map(chunk).collect()
        })
    }

    proptest! {
        #[test]
        fn what_was_pushed_comes_back_from_any_place(chunks in chunks()) {
            let script = script(&chunks);
            for place in 0..=chunks.len() {
                prop_assert_eq!(script.since(place), &chunks[place..]);
            }
            prop_assert_eq!((script.weight(0), script.len()), (0, chunks.len()));
        }

        #[test]
        fn an_answer_is_cut_again_into_the_pieces_that_it_came_in(chunks in chunks()) {
            let (mut content, mut reasoning) = (String::new(), String::new());
            let mut calls: Vec<ToolCall> = Vec::new();
            for chunk in &chunks {
                match chunk {
                    Chunk::Content { delta } => content.push_str(delta),
                    Chunk::Reasoning { delta } => reasoning.push_str(delta),
                    Chunk::ToolCall { index, id, name, arguments } => {
                        if let (Some(id), Some(name)) = (id.clone(), name.clone()) {
                            calls.push(ToolCall { id, name, arguments: String::new() });
                        }
                        calls[*index as usize].arguments.push_str(arguments);
                    }
                    Chunk::Restart { .. } | Chunk::Event { .. } => {}
                }
            }
            let mut pieces = Pieces::default();
            for chunk in &chunks {
                pieces.push(chunk);
            }
            let Some(pieces) = Pieces::parse(pieces.as_str()) else {
                prop_assert!(chunks.is_empty());
                return Ok(());
            };
            prop_assert_eq!(pieces.chunks(&content, &reasoning, &calls), Some(chunks));
            content.push('x');
            prop_assert_eq!(pieces.chunks(&content, &reasoning, &calls), None, "of another answer");
        }

        #[test]
        fn no_text_makes_cutting_panic(text in "[crt][a-e0-9:() ]{0,30}", content in "\\PC{0,10}") {
            let calls = [ToolCall::default()];
            if let Some(pieces) = Pieces::parse(&text) {
                let _ = pieces.chunks(&content, "", &calls);
            }
        }
    }
}
