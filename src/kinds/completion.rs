//! Chat completions: OpenAI's answer, read as far as thryd needs it, the rest kept as it came.

use std::borrow::Cow;

use bytes::Bytes;
use serde::de::{IgnoredAny, MapAccess};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::merge::{Known, List, set, skip};
use super::wire::{object, unreadable, usage};
use super::{Assembly, Body, Chunk, CompletionRequest, Kind, Pieces, Prompt, StreamAssembly, Usage};
use crate::error::{Failure, Invalid};

/// Finish reasons of complete answers, in the words of OpenAI and of the servers that speak its dialect. `length` is
/// one: the same request would end there again. An answer that a filter cut short is not.
const COMPLETE: [&str; 9] =
    ["stop", "length", "tool_calls", "function_call", "end_turn", "eos", "eos_token", "stop_sequence", "model_length"];

/// The finish reason of a choice that failed, as OpenRouter and Mistral have it.
const FAILED: &str = "error";

/// A call that the model wants made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ToolCall {
    /// The provider's id of the call.
    pub id: String,
    /// The function's name.
    pub name: String,
    /// Its arguments, JSON text as the model wrote it.
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
    /// The pieces that it came in, if it was streamed.
    pieces: Option<Pieces>,
    /// Whether it is known to be what a whole answer would be: nobody knows how each field of a stream goes together.
    is_sure: bool,
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
            Ok((content, tool_calls, finish_reason, model, usage)) => {
                let counted = (!tool_calls.is_empty()).then(|| {
                    let arguments = tool_calls.iter().flat_map(|call| [call.name.as_str(), call.arguments.as_str()]);
                    std::iter::once(content.as_str()).chain(arguments).collect()
                });
                Ok(Self { content, tool_calls, finish_reason, model, usage, raw, pieces: None, is_sure: true, counted })
            }
            Err(reason) => Err(unreadable(reason, &raw)),
        }
    }

    #[allow(clippy::type_complexity, reason = "the parts of one struct, named where they are put together")]
    fn fields(raw: &[u8]) -> Result<(String, Vec<ToolCall>, String, String, Option<Usage>), String> {
        let answer: Answer<'_> = object(raw)?;
        let place = answer.choices.0.iter().position(|choice| choice.index.unwrap_or(0) == 0).unwrap_or(0);
        let choice = answer.choices.0.get(place).ok_or("`choices` is empty")?;
        let finish_reason = choice.finish_reason.as_deref().filter(|reason| !reason.is_empty());
        let finish_reason = finish_reason.ok_or("it has no finish reason, so it may be cut short")?.to_owned();
        if answer.choices.0.iter().any(|choice| choice.finish_reason.as_deref() == Some(FAILED)) {
            return Err(format!("its finish reason is `{FAILED}`"));
        }
        let content = content(choice.message.content).ok_or("`content` is neither text nor parts of text")?;
        let tool_calls = choice.message.tool_calls.iter().flat_map(|calls| &calls.0).map(WireToolCall::read).collect();
        let model = answer.model.unwrap_or_default().into_owned();
        Ok((content, tool_calls, finish_reason, model, usage(answer.usage)))
    }

    /// The reasoning that came with the answer, if any did.
    pub(super) fn reasoning(&self) -> Option<String> {
        let answer: Answer<'_> = serde_json::from_slice(&self.raw).ok()?;
        let place = answer.choices.0.iter().position(|choice| choice.index.unwrap_or(0) == 0).unwrap_or(0);
        reasoning(
            answer.choices.0.get(place)?.message.reasoning_content,
            answer.choices.0.get(place)?.message.reasoning,
        )
    }
}

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
        match &self.pieces {
            None => self.raw.clone(),
            Some(pieces) => [pieces.as_str().as_bytes(), b"\n", &self.raw].concat().into(),
        }
    }

    fn load(stored: &Bytes) -> Option<Self> {
        // An answer is a JSON object, which no line of pieces begins like.
        let line = memchr::memchr(b'\n', stored).and_then(|end| Some((end, std::str::from_utf8(&stored[..end]).ok()?)));
        match line.and_then(|(end, line)| Some((end, Pieces::parse(line)?))) {
            Some((end, pieces)) => Some(Self { pieces: Some(pieces), ..Self::parse(stored.slice(end + 1..)).ok()? }),
            None => Self::parse(stored.clone()).ok(),
        }
    }

    fn is_storable(&self) -> bool {
        self.is_sure
            && serde_json::from_slice(&self.raw)
                .is_ok_and(|answer: Answer<'_>| answer.choices.0.iter().all(Choice::is_complete))
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

    fn prompt(request: &CompletionRequest) -> Prompt {
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

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow, default)]
    model: Option<Cow<'a, str>>,
    #[serde(borrow)]
    choices: List<Choice<'a>>,
    #[serde(borrow, default)]
    usage: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(default)]
    index: Option<u64>,
    #[serde(borrow)]
    message: Message<'a>,
    #[serde(borrow, default)]
    finish_reason: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow, default)]
    content: Option<&'a RawValue>,
    #[serde(borrow, default)]
    reasoning_content: Option<&'a RawValue>,
    #[serde(borrow, default)]
    reasoning: Option<&'a RawValue>,
    #[serde(borrow, default)]
    tool_calls: Option<List<WireToolCall<'a>>>,
    #[serde(borrow, default)]
    function_call: Option<&'a RawValue>,
}

impl Choice<'_> {
    /// Whether it came to its end, and what it calls can be called.
    fn is_complete(&self) -> bool {
        let is_json = |function: &WireFunction<'_>| serde_json::from_str::<&RawValue>(&function.arguments()).is_ok();
        let is_call = |call: &WireToolCall<'_>| call.function.as_ref().is_some_and(is_json);
        let is_old_call = |raw: &RawValue| {
            serde_json::from_str::<Option<WireFunction<'_>>>(raw.get())
                .is_ok_and(|function| function.as_ref().is_none_or(is_json))
        };
        self.finish_reason.as_deref().is_some_and(|reason| COMPLETE.contains(&reason))
            && self.message.tool_calls.iter().flat_map(|calls| &calls.0).all(is_call)
            && self.message.function_call.is_none_or(is_old_call)
    }
}

/// OpenAI's tool call, or a piece of one in a stream.
#[derive(Default, Deserialize)]
pub(super) struct WireToolCall<'a> {
    #[serde(default)]
    pub(super) index: Option<u64>,
    #[serde(borrow, default)]
    pub(super) id: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub(super) function: Option<WireFunction<'a>>,
}

#[derive(Deserialize)]
pub(super) struct WireFunction<'a> {
    #[serde(borrow, default)]
    pub(super) name: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    arguments: Option<&'a RawValue>,
}

impl<'de> Known<'de> for WireToolCall<'de> {
    fn take<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<bool, A::Error> {
        match name {
            "index" => set(&mut self.index, map),
            "id" => set(&mut self.id, map),
            "function" => set(&mut self.function, map),
            "type" => skip(map),
            _ => Ok(false),
        }
    }
}

impl WireFunction<'_> {
    /// The arguments' text. Some servers send the object itself instead of its text.
    pub(super) fn arguments(&self) -> String {
        let raw = self.arguments.map_or("\"\"", RawValue::get);
        serde_json::from_str(raw).unwrap_or_else(|_| if raw == "null" { String::new() } else { raw.to_owned() })
    }
}

impl WireToolCall<'_> {
    fn read(&self) -> ToolCall {
        let name = self.function.as_ref().and_then(|function| function.name.as_deref());
        ToolCall {
            id: self.id.as_deref().unwrap_or_default().to_owned(),
            name: name.unwrap_or_default().to_owned(),
            arguments: self.function.as_ref().map(WireFunction::arguments).unwrap_or_default(),
        }
    }
}

/// Content as text: a string, null, or an array of parts whose texts are joined. `None` for anything else.
pub(super) fn content(raw: Option<&RawValue>) -> Option<String> {
    #[derive(Deserialize)]
    struct Part {
        #[serde(default)]
        text: Option<String>,
    }
    let raw = raw.map_or("null", RawValue::get);
    if raw == "null" {
        return Some(String::new());
    }
    if let Ok(text) = serde_json::from_str(raw) {
        return Some(text);
    }
    let parts: Vec<Part> = serde_json::from_str(raw).ok()?;
    Some(parts.into_iter().filter_map(|part| part.text).collect())
}

/// Whether content or reasoning is more than text, e.g. a list with pictures.
pub(super) fn has_more_than_text(raw: Option<&RawValue>) -> bool {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Text {
        #[serde(default, rename = "type")]
        _type: IgnoredAny,
        #[serde(rename = "text")]
        _text: String,
    }
    let raw = raw.map_or("null", RawValue::get);
    !(raw == "null" || raw.starts_with('"') || serde_json::from_str::<Vec<Text>>(raw).is_ok())
}

/// Reasoning under either of its names, if it is text.
pub(super) fn reasoning(first: Option<&RawValue>, second: Option<&RawValue>) -> Option<String> {
    let text = |raw: Option<&RawValue>| serde_json::from_str::<String>(raw?.get()).ok().filter(|text| !text.is_empty());
    text(first).or_else(|| text(second))
}
