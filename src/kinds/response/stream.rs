//! Streamed model responses: the events of the Responses API to chunks, and to one answer at the end.

use std::borrow::Cow;

use bytes::Bytes;
use memchr::memmem;
use serde_json::value::RawValue;

use super::event::{Event, slot_of};
use super::items::{StreamedItems, rest};
use super::output::{Item, MAX_ITEMS, Output, Part, Slot};
use super::{COMPLETED, INCOMPLETE, ModelResponse};
use crate::error::{Failure, FailureClass};
use crate::kinds::open::Named;
use crate::kinds::stream::{MAX_ASSEMBLED_BYTES, MEASURED_EVERY};
use crate::kinds::text::text;
use crate::kinds::wire::{object, unreadable};
use crate::kinds::{Assembly, Body, Chunk, Pieces, ToolCall};

/// Assembles a streamed model response from the data of its events.
#[derive(Debug, Default)]
pub struct ResponseAssembly {
    items: StreamedItems,
    calls: Vec<ToolCall>,
    /// What was said so far: content and reasoning.
    content: String,
    reasoning: String,
    /// The response as it began.
    begun: Option<Box<RawValue>>,
    /// The response as it ended, if the last event has it, and the status that the event stands for.
    last: Option<(Option<Box<RawValue>>, &'static str)>,
    pieces: Pieces,
    has_spoken: bool,
    /// Bytes of events since it was measured.
    unmeasured: usize,
}

const TEXT_DELTA: &str = "response.output_text.delta";

/// Appends the text in an event to `content`, and says whether it is an event of the Responses API that has one.
pub(in crate::kinds) fn append_content(data: &str, content: &mut String) -> bool {
    let is_named = memmem::find(data.as_bytes(), TEXT_DELTA.as_bytes()).is_some();
    let event = || serde_json::from_str(data).ok().map(|Named(event): Named<Event<'_>>| event);
    match is_named.then(event).flatten() {
        Some(event) if event.kind.as_deref() == Some(TEXT_DELTA) => {
            content.push_str(&event.delta.and_then(|raw| text(raw.get())).unwrap_or_default());
            true
        }
        _ => false,
    }
}

impl ResponseAssembly {
    /// Takes the data of one event and appends what it says to `chunks`.
    ///
    /// # Errors
    /// If the event cannot be read, or is an error that the provider sent inside the stream; or if the answer grows beyond
    /// 16 MiB.
    pub fn push(&mut self, data: &str, chunks: &mut Vec<Chunk>) -> Result<(), Failure> {
        let unusable = |reason: &str| unreadable(reason, data.as_bytes());
        let Named(event): Named<Event<'_>> =
            object(data.as_bytes()).map_err(|reason| unusable(&format!("an event of the stream: {reason}")))?;
        if self.last.is_some() {
            return Ok(());
        }
        if let Some(message) = event.error() {
            return Err(unusable(&format!("an event of the stream is an error: {message}")));
        }
        let known = chunks.len();
        self.take(&event, chunks).map_err(unusable)?;
        self.has_spoken |= chunks.len() > known;
        for chunk in &chunks[known..] {
            self.pieces.push(chunk);
            match chunk {
                Chunk::Content { delta } => self.content.push_str(delta),
                Chunk::Reasoning { delta } => self.reasoning.push_str(delta),
                _ => {}
            }
        }
        self.unmeasured += data.len();
        if self.unmeasured >= MEASURED_EVERY {
            self.unmeasured = 0;
            if self.len() > MAX_ASSEMBLED_BYTES {
                return Err(unusable(&format!("it is larger than {} MiB", MAX_ASSEMBLED_BYTES >> 20)));
            }
        }
        Ok(())
    }

    fn take(&mut self, event: &Event<'_>, chunks: &mut Vec<Chunk>) -> Result<(), &'static str> {
        let kind = event.kind.as_deref().unwrap_or_default();
        match kind {
            "response.created" | "response.queued" | "response.in_progress" => {
                self.begun = event.response.map(ToOwned::to_owned).or(self.begun.take());
            }
            "response.output_item.added" => self.item(event, false, chunks)?,
            "response.output_item.done" => self.item(event, true, chunks)?,
            "response.content_part.added" | "response.content_part.done" => {
                let part = event.part.and_then(|raw| serde_json::from_str(raw.get()).ok());
                if let Some((slot, text)) = part.and_then(|Named(part): Named<Part<'_>>| part.said()) {
                    self.catch_up(event, slot, &text, chunks)?;
                }
            }
            "response.function_call_arguments.delta" | "response.custom_tool_call_input.delta" => {
                let piece = event.delta.and_then(|raw| text(raw.get())).unwrap_or_default();
                if piece.is_empty() {
                    return Ok(());
                }
                let (place, known) = self.call(event, "")?;
                known.arguments.push_str(&piece);
                chunks.extend(piece_of(place, None, None, piece));
            }
            "response.function_call_arguments.done" | "response.custom_tool_call_input.done" => {
                let whole = event.whole.and_then(|raw| text(raw.get())).unwrap_or_default();
                if whole.is_empty() && !self.items.has(event.output_index, event.item_id.as_deref()) {
                    return Ok(());
                }
                let (place, known) = self.call(event, "")?;
                let rest = rest(&mut known.arguments, &whole).unwrap_or_default();
                chunks.extend(piece_of(place, None, None, rest));
            }
            "response.output_text.annotation.added" => {
                let Some(annotation) = event.annotation else { return Ok(()) };
                let item = self.items.item(event.output_index, event.item_id.as_deref())?;
                item.text(Slot::Text, event.place(Slot::Text))?.annotate(annotation);
            }
            "response.completed" | "response.incomplete" => {
                let status = if kind == "response.completed" { COMPLETED } else { INCOMPLETE };
                self.has_spoken = true;
                self.last = Some((event.response.map(ToOwned::to_owned), status));
                self.catch_up_with_all(event.response, chunks);
            }
            "error" | "response.failed" | "response.error" => return Err("an event of the stream is an error"),
            _ => {
                let Some((slot, is_done)) = slot_of(kind) else { return Ok(()) };
                if is_done {
                    let whole = event.whole.and_then(|raw| text(raw.get())).unwrap_or_default();
                    return self.catch_up(event, slot, &whole, chunks);
                }
                // One that says nothing begins no item.
                let Some(delta) = event.delta.filter(|raw| raw.get().starts_with('"') && raw.get() != "\"\"") else {
                    return Ok(());
                };
                let item = self.items.item(event.output_index, event.item_id.as_deref())?;
                let delta = item.text(slot, event.place(slot))?.push(delta);
                self.say(slot, delta, chunks);
            }
        }
        Ok(())
    }

    /// An item as it begins or ends, with whatever of it has not come in pieces.
    fn item(&mut self, event: &Event<'_>, is_done: bool, chunks: &mut Vec<Chunk>) -> Result<(), &'static str> {
        let Some(raw) = event.item else { return Ok(()) };
        // What is no object is passed over.
        let Ok(Named(item)) = serde_json::from_str::<Named<Item<'_>>>(raw.get()) else { return Ok(()) };
        let id = item.id.as_deref().or(event.item_id.as_deref());
        let texts = item.texts().ok_or("an item cannot be read")?;
        self.items.adopt(event.output_index, id, &texts)?;
        self.items.item(event.output_index, id)?.keep(raw, &item, is_done);
        // What only begins to think or to speak has said nothing; what a provider's own tools do is a part of the answer.
        self.has_spoken |= is_done || !item.is_known();
        for (slot, place, text) in texts {
            let at = Event { output_index: event.output_index, ..Event::at(slot, place) };
            let at = Event { item_id: id.map(Cow::Borrowed), ..at };
            self.catch_up(&at, slot, &text, chunks)?;
        }
        if let Some(call) = item.call() {
            let (place, known) = self.call(event, item.id.as_deref().unwrap_or_default())?;
            let new = |known: &mut String, given: String| {
                let is_new = known.is_empty() && !given.is_empty();
                is_new.then(|| known.clone_from(&given)).map(|()| given)
            };
            let (id, name) = (new(&mut known.id, call.id), new(&mut known.name, call.name));
            let rest = rest(&mut known.arguments, &call.arguments).unwrap_or_default();
            chunks.extend(piece_of(place, id, name, rest));
        }
        Ok(())
    }

    /// What of a text has not come in pieces.
    fn catch_up(
        &mut self,
        event: &Event<'_>,
        slot: Slot,
        whole: &str,
        chunks: &mut Vec<Chunk>,
    ) -> Result<(), &'static str> {
        let (index, id, place) = (event.output_index, event.item_id.as_deref(), event.place(slot));
        if whole.is_empty() && !self.items.has(index, id) {
            return Ok(());
        }
        self.items.adopt(index, id, &[(slot, place, whole.to_owned())])?;
        let rest = self.items.item(index, id)?.text(slot, place)?.catch_up(whole);
        self.say(slot, rest, chunks);
        Ok(())
    }

    /// What of the whole answer has not come in any event before it.
    fn catch_up_with_all(&self, response: Option<&RawValue>, chunks: &mut Vec<Chunk>) {
        let output = response.and_then(|raw| Body::parse(raw.get()).ok()?.remove("output"));
        let Some(output) = Output::read(output.as_deref()) else { return };
        let missing = |so_far: &str, whole: &str| rest(&mut so_far.to_owned(), whole);
        chunks.extend(missing(&self.reasoning, &output.reasoning).map(|delta| Chunk::Reasoning { delta }));
        chunks.extend(missing(&self.content, &output.text).map(|delta| Chunk::Content { delta }));
        if self.calls.is_empty() {
            let calls = output.calls.into_iter().enumerate();
            chunks.extend(calls.filter_map(|(place, ToolCall { id, name, arguments })| {
                piece_of(place, Some(id), Some(name), arguments)
            }));
        }
    }

    fn say(&mut self, slot: Slot, delta: Option<String>, chunks: &mut Vec<Chunk>) {
        self.has_spoken |= delta.is_some();
        chunks.extend(delta.and_then(|delta| match slot {
            Slot::Text => Some(Chunk::Content { delta }),
            Slot::Summary | Slot::Reasoning => Some(Chunk::Reasoning { delta }),
            Slot::Refusal => None,
        }));
    }

    /// The call that an event is about, and its place.
    fn call(&mut self, event: &Event<'_>, id: &str) -> Result<(usize, &mut ToolCall), &'static str> {
        let id = if id.is_empty() { event.item_id.as_deref().unwrap_or_default() } else { id };
        let item = self.items.item(event.output_index, Some(id))?;
        let place = *item.call.get_or_insert_with(|| {
            self.calls.push(ToolCall::default());
            self.calls.len() - 1
        });
        self.calls.get_mut(place).map(|call| (place, call)).ok_or("its output has too many calls")
    }

    /// Whether the last event has come.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.last.is_some()
    }

    /// Whether anything was said of the answer itself.
    #[must_use]
    pub fn has_spoken(&self) -> bool {
        self.has_spoken
    }

    /// The content so far.
    #[must_use]
    pub fn content(&self) -> &str {
        &self.content
    }

    fn len(&self) -> usize {
        let raw = |raw: Option<&RawValue>| raw.map_or(0, |raw| raw.get().len());
        let calls = self.calls.iter().map(|call| call.arguments.len()).sum::<usize>();
        self.items.len() + calls + self.content.len() + self.reasoning.len() + raw(self.begun.as_deref())
    }

    /// The whole answer: that of the last event, or the items that came, if it lacks some of what was said.
    ///
    /// # Errors
    /// [`FailureClass::Truncated`] if the last event has not come.
    pub fn finish(self) -> Result<ModelResponse, Failure> {
        let Some((last, status)) = &self.last else {
            return Err(Failure::new(FailureClass::Truncated, "the stream ended without the end of its response"));
        };
        let raw = last.as_ref().map_or("{}", |raw| raw.get());
        let mut answer =
            Body::parse(raw).map_err(|_| unreadable("the response at its end is no object", raw.as_bytes()))?;
        let mut begun = self.begun.as_ref().and_then(|raw| Body::parse(raw.get()).ok()).unwrap_or_default();
        begun.drop_nulls();
        let mut is_as_told = true;
        let mut lack = |answer: &mut Body, name: &str, value: &RawValue| {
            if !answer.iter().any(|(known, _)| known == name) {
                answer.set(name, &value);
                is_as_told = false;
            }
        };
        for (name, value) in begun.iter().filter(|(name, _)| !matches!(*name, "status" | "output" | "usage" | "error"))
        {
            if let Ok(value) = serde_json::from_str(value) {
                lack(&mut answer, name, value);
            }
        }
        if answer.get("status").is_none() {
            answer.set("status", status);
            is_as_told = false;
        }
        let told = answer.get("output").and_then(|raw| Output::read(serde_json::from_str(raw).ok()));
        let is_less =
            told.is_none_or(|told| told.lacks_some_of(self.items.0.len(), self.content.len(), self.calls.len()));
        let is_put_together = is_less && !self.items.0.is_empty();
        if is_put_together {
            answer.set("output", &self.items.output(&self.calls));
        }
        let is_sure = !is_put_together || self.items.0.iter().all(super::items::StreamedItem::is_done);
        let raw =
            if is_put_together || !is_as_told { answer.write(&[]) } else { Bytes::copy_from_slice(raw.as_bytes()) };
        Ok(ModelResponse::parse(raw)?.in_pieces(self.pieces, is_sure))
    }
}

/// A piece of a call, if it says anything.
fn piece_of(place: usize, id: Option<String>, name: Option<String>, arguments: String) -> Option<Chunk> {
    let index = u32::try_from(place).ok().filter(|_| place < MAX_ITEMS)?;
    let says_something = id.is_some() || name.is_some() || !arguments.is_empty();
    says_something.then_some(Chunk::ToolCall { index, id, name, arguments })
}

impl Assembly<ModelResponse> for ResponseAssembly {
    fn push(&mut self, data: &str, chunks: &mut Vec<Chunk>) -> Result<(), Failure> {
        Self::push(self, data, chunks)
    }

    fn is_complete(&self, _choices: usize) -> bool {
        self.is_over()
    }

    fn has_spoken(&self) -> bool {
        Self::has_spoken(self)
    }

    fn is_over(&self) -> bool {
        Self::is_over(self)
    }

    fn finish(self: Box<Self>) -> Result<ModelResponse, Failure> {
        Self::finish(*self)
    }
}
