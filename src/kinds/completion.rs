//! Chat completions: OpenAI's answer, read as far as thryd needs it, the rest kept as it came.

use std::borrow::Cow;

use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;

use super::open::Named;
use super::text::content;
use super::whole::{Answer, Choice, Message, WireToolCall};
use super::wire::{object, unreadable, usage};
use super::{Assembly, Body, Chunk, CompletionRequest, Kind, Pieces, Prompt, StreamAssembly, Streaming, Usage};
use crate::error::{Failure, Invalid};

/// Finish reasons of complete answers, in the words of OpenAI and of the servers that speak its dialect. `length` is
/// one: the same request would end there again. An answer that a filter cut short is not.
const COMPLETE: [&str; 9] =
    ["stop", "length", "tool_calls", "function_call", "end_turn", "eos", "eos_token", "stop_sequence", "model_length"];

/// The finish reason of a choice that failed, as OpenRouter and Mistral have it.
const FAILED: &str = "error";

/// The finish reason of a choice that a filter cut short.
pub(crate) const FILTERED: &str = "content_filter";

/// A call that the model wants made, of a function or of a custom tool.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ToolCall {
    /// The provider's id of the call.
    pub id: String,
    /// The function's name.
    pub name: String,
    /// Its arguments, JSON text as the model wrote it; of a custom tool its input, any text.
    pub arguments: String,
}

/// A chat completion: the first choice, and the provider's own answer beside it.
#[derive(Clone, Debug)]
pub struct Completion {
    /// Text; empty if the model answered with tool calls alone.
    pub content: String,
    /// Tool calls, in the model's order.
    pub tool_calls: Vec<ToolCall>,
    /// Why it ended: `stop`, `length`, `tool_calls`, ...
    pub finish_reason: String,
    model: String,
    usage: Option<Usage>,
    raw: Bytes,
    /// Where the content stands in that, if it is one string there: where it begins, and where it ends.
    content_at: Option<(usize, usize)>,
    /// The pieces that it came in, if it was streamed.
    pieces: Option<Pieces>,
    /// Whether it is known to be what a whole answer would be: nobody knows how each field of a stream goes together.
    is_sure: bool,
    /// Whether every choice came to its end; not known if some call something, whose arguments would have to be read for it.
    is_whole: Option<bool>,
    /// Content and arguments together, if there are tool calls.
    counted: Option<String>,
}

/// The content itself, so that `{completion}` prints what the model said.
impl std::fmt::Display for Completion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.content)
    }
}

impl Completion {
    /// The provider's own answer, in OpenAI's shape.
    #[must_use]
    pub fn raw(&self) -> &Bytes {
        &self.raw
    }

    /// The provider's own answer without the content: what stands before it, and what after it. `None` if the content is not one
    /// string there that says what [`Completion::content`] does.
    #[must_use]
    pub fn around_content(&self) -> Option<(&[u8], &[u8])> {
        let (start, end) = self.content_at?;
        Some((self.raw.get(..start)?, self.raw.get(end..)?))
    }

    /// The same answer, which came in these pieces; `is_sure` unless it is not known how some of them go together.
    pub(super) fn in_pieces(self, pieces: Pieces, is_sure: bool) -> Self {
        Self { pieces: Some(pieces).filter(|pieces| !pieces.as_str().is_empty()), is_sure, ..self }
    }

    /// The pieces that it came in, if it was streamed.
    pub(super) fn pieces(&self) -> Option<&Pieces> {
        self.pieces.as_ref()
    }

    /// Reads OpenAI's answer.
    pub(super) fn parse(raw: Bytes) -> Result<Self, Failure> {
        match Self::fields(&raw) {
            Ok((content, content_at, tool_calls, finish_reason, model, usage, is_whole)) => {
                let counted = (!tool_calls.is_empty()).then(|| {
                    let arguments = tool_calls.iter().flat_map(|call| [call.name.as_str(), call.arguments.as_str()]);
                    std::iter::once(content.as_str()).chain(arguments).collect()
                });
                let (pieces, is_sure) = (None, true);
                Ok(Self {
                    content,
                    tool_calls,
                    finish_reason,
                    model,
                    usage,
                    raw,
                    content_at,
                    pieces,
                    is_sure,
                    is_whole,
                    counted,
                })
            }
            Err(reason) => Err(unreadable(reason, &raw)),
        }
    }

    #[allow(clippy::type_complexity, reason = "the parts of one struct, named where they are put together")]
    fn fields(
        raw: &[u8],
    ) -> Result<(String, Option<(usize, usize)>, Vec<ToolCall>, String, String, Option<Usage>, Option<bool>), String>
    {
        let Named(answer): Named<Answer<'_>> = object(raw)?;
        if answer.choices.is_none() {
            return Err("missing field `choices`".to_owned());
        }
        let choice = answer.first().ok_or("`choices` is empty")?;
        // A provider that was stopped by its filter may have nothing to show for it.
        let is_filtered = |choice: &Choice<'_>| choice.finish_reason.as_deref() == Some(FILTERED);
        if answer.choices().any(|choice| choice.message.is_none() && !is_filtered(choice)) {
            return Err("missing field `message`".to_owned());
        }
        let nothing = Message::default();
        let message = choice.message.as_ref().map_or(&nothing, |Named(message)| message);
        let finish_reason = choice.finish_reason.as_deref().filter(|reason| !reason.is_empty());
        let finish_reason = finish_reason.ok_or("it has no finish reason, so it may be cut short")?.to_owned();
        if answer.choices().any(|choice| choice.finish_reason.as_deref() == Some(FAILED)) {
            return Err(format!("its finish reason is `{FAILED}`"));
        }
        let text = content(message.content.map(RawValue::get)).ok_or("`content` is neither text nor parts of text")?;
        let tool_calls = message.tool_calls().map(WireToolCall::read).collect();
        let usage = usage(answer.usage).or_else(|| usage(choice.usage));
        let at = message.content.and_then(|content| place_of(raw, content.get(), &text));
        let is_whole = (!answer.choices().any(calls)).then(|| answer.choices().all(is_complete));
        Ok((text, at, tool_calls, finish_reason, answer.model.unwrap_or_default().into_owned(), usage, is_whole))
    }

    /// The reasoning that came with the answer, if any did.
    pub(super) fn reasoning(&self) -> Option<String> {
        let Named(answer): Named<Answer<'_>> = serde_json::from_slice(&self.raw).ok()?;
        answer.first()?.message.as_ref()?.0.reasoning()
    }
}

/// Where this string, whose text is this, stands in the bytes that it was read from.
fn place_of(raw: &[u8], string: &str, text: &str) -> Option<(usize, usize)> {
    // Half a character was replaced: its string says something else.
    if !string.starts_with('"') || text.contains(char::REPLACEMENT_CHARACTER) {
        return None;
    }
    let start = (string.as_ptr() as usize).checked_sub(raw.as_ptr() as usize)?;
    let end = start + string.len();
    raw.get(start..end).filter(|there| std::ptr::eq(*there, string.as_bytes())).map(|_| (start, end))
}

/// Whether a choice calls something.
fn calls(choice: &Choice<'_>) -> bool {
    choice.message.as_ref().is_some_and(|Named(message)| message.has_calls())
}

/// Whether a choice came to its end, and what it calls can be called.
fn is_complete(choice: &Choice<'_>) -> bool {
    choice.finish_reason.as_deref().is_some_and(|reason| COMPLETE.contains(&reason))
        && choice.message.as_ref().is_none_or(|Named(message)| message.has_whole_calls())
}

impl Streaming for Completion {}

impl Kind for Completion {
    type Request = CompletionRequest;

    const NAME: &'static str = "completion";
    const PATH: &'static str = "/chat/completions";

    fn request(body: Body) -> Result<CompletionRequest, Invalid> {
        CompletionRequest::check(body)
    }

    fn read(answer: &Bytes, _request: &CompletionRequest) -> Result<Self, Failure> {
        Self::parse(answer.clone())
    }

    /// The answer itself; of a streamed one the line of its [`Pieces`] before it.
    fn store(&self) -> Bytes {
        Pieces::write_before(self.pieces.as_ref(), &self.raw)
    }

    fn load(stored: &Bytes) -> Option<Self> {
        let (pieces, raw) = Pieces::read_before(stored);
        Some(Self { pieces, ..Self::parse(raw).ok()? })
    }

    fn is_storable(&self) -> bool {
        let by_its_calls = || {
            serde_json::from_slice(&self.raw)
                .is_ok_and(|Named(answer): Named<Answer<'_>>| answer.choices().all(is_complete))
        };
        self.is_sure && self.is_whole.unwrap_or_else(by_its_calls)
    }

    fn model(&self) -> &str {
        &self.model
    }

    fn usage(&self) -> Option<&Usage> {
        self.usage.as_ref()
    }

    fn set_usage(&mut self, usage: Usage) {
        self.usage = Some(usage);
    }

    fn prompt(request: &CompletionRequest) -> Prompt<'_> {
        request.prompt()
    }

    fn text(&self) -> Cow<'_, str> {
        Cow::Borrowed(self.counted.as_deref().unwrap_or(&self.content))
    }

    fn assembly() -> Option<Box<dyn Assembly<Self>>> {
        Some(Box::new(StreamAssembly::default()))
    }

    fn choices(request: &CompletionRequest) -> usize {
        request.as_ref().get("n").and_then(|n| n.parse().ok()).unwrap_or(1)
    }

    fn chunks(&self) -> Vec<Chunk> {
        Self::chunks(self)
    }

    fn events(&self) -> Vec<Chunk> {
        Self::events(self)
    }

    fn join(mut parts: Vec<Self>) -> Self {
        parts.swap_remove(0)
    }
}
