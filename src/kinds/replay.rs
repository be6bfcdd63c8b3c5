//! An answer that is there already, in pieces as a stream gives them.

use super::{Chunk, Completion};

/// Words in one chunk of a replayed answer: about what providers send.
const WORDS_PER_CHUNK: usize = 3;

impl Completion {
    /// The chunks that a stream of this answer gives: those that it came in; of an answer that came whole the reasoning,
    /// the content in pieces of whole words, the tool calls.
    #[must_use]
    pub fn chunks(&self) -> Vec<Chunk> {
        let reasoning = self.reasoning().unwrap_or_default();
        let as_it_came = self.pieces().and_then(|pieces| pieces.chunks(&self.content, &reasoning, &self.tool_calls));
        if let Some(chunks) = as_it_came {
            return chunks;
        }
        let reasoning = pieces(&reasoning, WORDS_PER_CHUNK).map(|delta| Chunk::Reasoning { delta: delta.to_owned() });
        let content = pieces(&self.content, WORDS_PER_CHUNK).map(|delta| Chunk::Content { delta: delta.to_owned() });
        let calls = self.tool_calls.iter().zip(0..).map(|(call, index)| Chunk::ToolCall {
            index,
            id: Some(call.id.clone()).filter(|id| !id.is_empty()),
            name: Some(call.name.clone()).filter(|name| !name.is_empty()),
            arguments: call.arguments.clone(),
        });
        reasoning.chain(content).chain(calls).collect()
    }
}

/// A text in pieces of `words` words, each with the space after it; together they are the text.
pub(crate) fn pieces(text: &str, words: usize) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let mut begun = 0;
        let mut was_space = true;
        let next = rest.char_indices().find(|(_, letter)| {
            let begins = was_space && !letter.is_whitespace();
            was_space = letter.is_whitespace();
            begun += usize::from(begins);
            begun > words
        });
        let (piece, remainder) = rest.split_at(next.map_or(rest.len(), |(end, _)| end));
        rest = remainder;
        Some(piece)
    })
}
