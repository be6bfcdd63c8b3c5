//! Streamed completions: OpenAI's `chat.completion.chunk` events to chunks, and to one answer at the end.

use bytes::Bytes;
use serde_json::value::RawValue;

use super::calls::Calls;
use super::event::{Delta, Event, EventChoice};
use super::merge::Merge;
use super::open::{MAX_ITEMS, Open};
use super::parts::Parts;
use super::repeated::Repeated;
use super::text::{Half, content, has_more_than_text, reasoning, text, thinking};
use super::wire::{object_of, unreadable};
use super::{Assembly, Body, Chunk, Completion, Pieces};
use crate::error::{Failure, FailureClass};

/// Most bytes of an assembled answer, 16 MiB: far more than any model writes. It is held twice, here and for those who read
/// along.
pub(super) const MAX_ASSEMBLED_BYTES: usize = 16 << 20;

/// After how many bytes of events it is measured again.
pub(super) const MEASURED_EVERY: usize = 1 << 20;

/// What is wrong with a piece of content that cannot be read.
const NO_CONTENT: &str = "the content of an event is neither text nor parts of text";

/// Assembles a streamed completion from the data of its events, in the kind's wire form.
#[derive(Debug, Default)]
pub struct StreamAssembly {
    choices: Vec<Assembled>,
    usage: Option<Box<RawValue>>,
    /// The events' own fields, the last that came of each.
    top: Body,
    pieces: Pieces,
    /// The last event, if others are likely to differ from it in their content alone.
    repeated: Option<Repeated>,
    /// Bytes of events since it was measured.
    unmeasured: usize,
}

/// One choice as far as it has come.
#[derive(Debug, Default)]
struct Assembled {
    index: u64,
    role: Option<String>,
    content: String,
    /// Half a character that `content` is to go on with.
    half: Half,
    /// The content again, if it is more than text.
    parts: Option<Parts>,
    reasoning: String,
    /// The names that it came under.
    reasoning_names: Vec<&'static str>,
    refusal: String,
    tool_calls: Calls,
    finish_reason: Option<String>,
    /// Whether something came before its finish reason, and nothing after it.
    is_over: bool,
    /// Whether it went on after a finish reason: then none of them means anything.
    talks_on: bool,
    /// What else came of the choice, and of its message.
    rest: Merge,
    message_rest: Merge,
}

impl StreamAssembly {
    /// Takes the data of one event and appends what it says of the first choice to `chunks`.
    ///
    /// # Errors
    /// If the event cannot be read, or is an error that the provider sent inside the stream; or if the answer grows beyond
    /// 16 MiB.
    pub fn push(&mut self, data: &str, chunks: &mut Vec<Chunk>) -> Result<(), Failure> {
        let known = chunks.len();
        self.choices.iter_mut().for_each(|choice| choice.tool_calls.begin_event());
        if let Some(content) = self.repeated.as_ref().and_then(|repeated| repeated.content(data))
            && let Some(first) = self.choices.iter_mut().find(|choice| choice.index == 0)
        {
            first.push_text(content, chunks).map_err(|reason| unreadable(reason, data.as_bytes()))?;
            return self.note(data, &chunks[known..]);
        }
        let Open { known: event, rest }: Open<'_, Event<'_>> = object_of(data)
            .map_err(|reason| unreadable(format!("an event of the stream: {reason}"), data.as_bytes()))?;
        if event.error.is_some() {
            return Err(unreadable("an event of the stream is an error", data.as_bytes()));
        }
        let repeated = event.piece().and_then(|content| Repeated::around(data, content, event.obfuscation));
        for choice in event.choices.unwrap_or_default().0 {
            let index = choice.known.index.unwrap_or(0);
            let place = self.choices.iter().position(|known| known.index == index).unwrap_or_else(|| {
                self.choices.push(Assembled { index, ..Assembled::default() });
                self.choices.len() - 1
            });
            if let Some(assembled) = self.choices.get_mut(place) {
                let mut unheard = Vec::new();
                let heard = if index == 0 { &mut *chunks } else { &mut unheard };
                assembled.push(choice, heard).map_err(|reason| unreadable(reason, data.as_bytes()))?;
            }
        }
        let goes_on =
            |choice: &Assembled| choice.index == 0 && choice.parts.is_none() && choice.finish_reason.is_none();
        self.repeated = repeated.filter(|_| self.choices.iter().any(goes_on));
        if let Some(usage) = event.usage {
            self.usage = Some(usage.to_owned());
        }
        for (name, raw) in rest {
            if self.top.get(&name) != Some(raw.get()) {
                self.top.set(&name, &raw);
            }
        }
        if self.choices.len().max(self.top.iter().count()) > MAX_ITEMS {
            return Err(unreadable("its events have too many choices or fields", data.as_bytes()));
        }
        self.note(data, &chunks[known..])
    }

    /// Takes note of an event that said this of the first choice.
    fn note(&mut self, data: &str, said: &[Chunk]) -> Result<(), Failure> {
        said.iter().for_each(|chunk| self.pieces.push(chunk));
        self.unmeasured += data.len();
        if self.unmeasured >= MEASURED_EVERY {
            self.unmeasured = 0;
            if self.choices.iter().map(Assembled::len).sum::<usize>() > MAX_ASSEMBLED_BYTES {
                let reason = format!("it is larger than {} MiB", MAX_ASSEMBLED_BYTES >> 20);
                return Err(unreadable(reason, data.as_bytes()));
            }
        }
        Ok(())
    }

    /// The content of the first choice so far.
    #[must_use]
    pub fn content(&self) -> &str {
        self.choices.iter().find(|choice| choice.index == 0).map_or("", |choice| &choice.content)
    }

    /// Whether this many choices have come, and each to its end. Some servers give a finish reason with every piece, so one
    /// that comes with the first piece is not believed, and none after which something came.
    #[must_use]
    pub fn is_complete(&self, choices: usize) -> bool {
        self.choices.len() >= choices.max(1) && self.choices.iter().all(|choice| choice.is_over && !choice.talks_on)
    }

    /// Whether any choice has said something, as opposed to who will say it.
    #[must_use]
    pub fn has_spoken(&self) -> bool {
        self.choices.iter().any(|choice| {
            choice.finish_reason.is_some() || !choice.tool_calls.is_empty() || choice.len() > choice.rest.len()
        })
    }

    /// The last event with its tool calls numbered as they are, if somebody who believes its indices would mix them up.
    #[must_use]
    pub fn mended(&self, data: &str) -> Option<String> {
        if !self.choices.iter().any(|choice| choice.tool_calls.is_misread()) {
            return None;
        }
        let mut event = Body::parse(data).ok()?;
        let mut choices: Vec<Body> = serde_json::from_str(event.get("choices")?).ok()?;
        for choice in &mut choices {
            let index = choice.get("index").and_then(|raw| raw.parse().ok()).unwrap_or(0);
            let mut delta = choice.get("delta").and_then(|raw| Body::parse(raw).ok()).unwrap_or_default();
            let assembled = self.choices.iter().find(|known| known.index == index);
            let calls = delta.remove("tool_calls").filter(|raw| raw.get() != "null");
            if let Some(calls) = assembled.zip(calls).and_then(|(known, raw)| known.tool_calls.renumbered(&raw)) {
                delta.set("tool_calls", &calls);
                choice.set("delta", &delta);
            }
        }
        event.set("choices", &choices);
        Some(String::from_utf8_lossy(&event.write(&[])).into_owned())
    }

    /// The whole answer.
    ///
    /// # Errors
    /// [`FailureClass::Truncated`] if no finish reason came, or nothing of the first choice.
    pub fn finish(mut self) -> Result<Completion, Failure> {
        self.choices.sort_by_key(|choice| choice.index);
        // The others are not shown as they come, so an answer without it would be one that nobody saw.
        let has_first = self.choices.first().is_none_or(|choice| choice.index == 0);
        if !has_first {
            return Err(Failure::new(FailureClass::Truncated, "the stream ended without its first choice"));
        }
        let is_complete = !self.choices.is_empty() && self.choices.iter().all(|choice| choice.finish_reason.is_some());
        if !is_complete {
            return Err(Failure::new(FailureClass::Truncated, "the stream ended without a finish reason"));
        }
        let is_sure = self.choices.iter().all(Assembled::is_sure);
        let completion = Completion::parse(self.assemble())?;
        Ok(completion.in_pieces(self.pieces, is_sure))
    }

    /// One `chat.completion` object: the events' top-level fields, the last of each, and the choices.
    fn assemble(&self) -> Bytes {
        let mut answer = self.top.clone();
        answer.set("object", &"chat.completion");
        answer.set("choices", &self.choices.iter().map(Assembled::choice).collect::<Vec<_>>());
        answer.set("usage", &self.usage);
        answer.drop_nulls();
        answer.write(&[])
    }
}

impl Assembled {
    fn push(&mut self, event: Open<'_, EventChoice<'_>>, chunks: &mut Vec<Chunk>) -> Result<(), &'static str> {
        let Open { known: event, rest } = event;
        self.rest.push(rest);
        let (was_over, had_come) = (self.finish_reason.is_some(), self.has_come());
        if let Some(reason) = event.finish_reason.filter(|reason| !reason.is_empty()) {
            self.is_over = had_come;
            self.finish_reason = Some(reason);
        }
        let Some(Open { known: delta, rest }) = event.delta else { return Ok(()) };
        let known = chunks.len();
        self.message_rest.push(rest);
        if let Some(role) = delta.role.as_ref().filter(|role| !role.is_empty()) {
            self.role = Some(role.clone());
        }
        self.refusal.push_str(&delta.refusal.and_then(|raw| text(raw.get())).unwrap_or_default());
        self.push_reasoning(&delta, chunks);
        self.push_content(delta.content, chunks)?;
        for piece in delta.tool_calls.unwrap_or_default().0 {
            chunks.extend(self.tool_calls.push(piece)?);
        }
        self.talks_on |= was_over && chunks.len() > known;
        Ok(())
    }

    fn push_reasoning(&mut self, delta: &Delta<'_>, chunks: &mut Vec<Chunk>) {
        for (name, raw) in [("reasoning_content", delta.reasoning_content), ("reasoning", delta.reasoning)] {
            let Some(raw) = raw else { continue };
            if !raw.get().starts_with('"') {
                // Not text: it is not shown, but kept.
                self.message_rest.push(vec![(name.into(), raw)]);
            } else if raw.get() != "\"\"" && !self.reasoning_names.contains(&name) {
                self.reasoning_names.push(name);
            }
        }
        if let Some(delta) = reasoning(delta.reasoning_content, delta.reasoning) {
            self.reasoning.push_str(&delta);
            chunks.push(Chunk::Reasoning { delta });
        }
    }

    fn push_content(&mut self, raw: Option<&RawValue>, chunks: &mut Vec<Chunk>) -> Result<(), &'static str> {
        let Some(raw) = raw else { return Ok(()) };
        if self.parts.is_none() && raw.get().starts_with('"') {
            return self.push_text(raw.get(), chunks);
        }
        let joined = self.half.join(raw.get());
        let delta = content(Some(&joined)).ok_or(NO_CONTENT)?;
        if self.parts.is_none() && has_more_than_text(Some(raw)) {
            self.parts = Some(Parts::new(&self.content));
        }
        if let Some(parts) = &mut self.parts {
            parts.push(raw, &delta)?;
        }
        chunks.extend(thinking(Some(raw)).map(|delta| Chunk::Reasoning { delta }));
        if !delta.is_empty() {
            self.content.push_str(&delta);
            chunks.push(Chunk::Content { delta });
        }
        Ok(())
    }

    /// Takes a piece of content that is nothing but text, as JSON.
    fn push_text(&mut self, raw: &str, chunks: &mut Vec<Chunk>) -> Result<(), &'static str> {
        let delta = content(Some(&self.half.join(raw))).ok_or(NO_CONTENT)?;
        if !delta.is_empty() {
            self.content.push_str(&delta);
            chunks.push(Chunk::Content { delta });
        }
        Ok(())
    }

    /// Whether a part of the answer has come.
    fn has_come(&self) -> bool {
        let is_silent = self.content.is_empty() && self.reasoning.is_empty() && self.refusal.is_empty();
        !(is_silent && self.tool_calls.is_empty())
    }

    /// Bytes that it holds, about.
    fn len(&self) -> usize {
        let parts = self.parts.as_ref().map_or(0, Parts::len);
        let texts = self.content.len() + parts + self.reasoning.len() + self.refusal.len();
        texts + self.rest.len() + self.message_rest.len() + self.tool_calls.len()
    }

    /// Whether this is known to be what a whole answer would hold.
    fn is_sure(&self) -> bool {
        let rests = [&self.rest, &self.message_rest];
        self.parts.is_none() && rests.into_iter().all(Merge::is_sure) && self.tool_calls.is_sure()
    }

    fn choice(&self) -> Body {
        let mut choice = Body::new();
        choice.set("index", &self.index);
        choice.set("message", &self.message());
        choice.set("finish_reason", &self.finish_reason);
        self.rest.write(&mut choice);
        choice
    }

    fn message(&self) -> Body {
        let calls_something = !self.tool_calls.is_empty() || self.message_rest.has("function_call");
        let has_no_text = self.content.is_empty() && (calls_something || !self.refusal.is_empty());
        let mut message = Body::new();
        message.set("role", &self.role.as_deref().unwrap_or("assistant"));
        match &self.parts {
            Some(parts) => message.set("content", &parts.value()),
            None => message.set("content", &Some(&self.content).filter(|_| !has_no_text)),
        }
        for name in &self.reasoning_names {
            message.set(name, &self.reasoning);
        }
        if !self.refusal.is_empty() {
            message.set("refusal", &self.refusal);
        }
        if !self.tool_calls.is_empty() {
            message.set("tool_calls", &self.tool_calls.wire());
        }
        self.message_rest.write(&mut message);
        message
    }
}

impl Assembly<Completion> for StreamAssembly {
    fn push(&mut self, data: &str, chunks: &mut Vec<Chunk>) -> Result<(), Failure> {
        Self::push(self, data, chunks)
    }

    fn is_complete(&self, choices: usize) -> bool {
        Self::is_complete(self, choices)
    }

    fn has_spoken(&self) -> bool {
        Self::has_spoken(self)
    }

    fn mended(&self, data: &str) -> Option<String> {
        Self::mended(self, data)
    }

    fn finish(self: Box<Self>) -> Result<Completion, Failure> {
        Self::finish(*self)
    }
}

#[cfg(test)]
mod tests;
