//! Model responses: what OpenAI's Responses API answers, read as far as thryd needs it, the rest kept as it came.

mod blob;
mod event;
mod items;
mod output;
mod prompt;
mod replay;
mod request;
mod state;
mod stream;

use std::borrow::Cow;

use bytes::Bytes;
use serde::de::MapAccess;
use serde_json::value::RawValue;

use self::output::Output;
pub(super) use self::stream::append_content;
pub use self::{request::ResponsesRequest, stream::ResponseAssembly};
use super::open::{Known, Named, set};
use super::wire::{object, response_usage, unreadable};
use super::{Assembly, Body, Chunk, Kind, Pieces, Prompt, Streaming, ToolCall, Usage};
use crate::error::{Failure, Invalid};

pub(crate) use self::replay::{Part as ResponsePart, write_events as write_response_events};

const COMPLETED: &str = "completed";
const INCOMPLETE: &str = "incomplete";

/// Why an answer is incomplete that would be so again: the same request ends at the same bound.
const AT_ITS_BOUND: &str = "max_output_tokens";

/// An answer of the Responses API: what was said and called, and the provider's own answer beside it.
#[derive(Clone, Debug)]
pub struct ModelResponse {
    /// The provider's id of it, for the `previous_response_id` of a later request; empty if it gave none.
    pub id: String,
    /// The texts of all its messages; empty if the model answered with calls alone.
    pub output_text: String,
    /// Calls of functions and of custom tools, in the model's order.
    pub tool_calls: Vec<ToolCall>,
    /// `completed`, or `incomplete`.
    pub status: String,
    /// Why it is incomplete: `max_output_tokens`, `content_filter`, ...
    pub incomplete_reason: Option<String>,
    conversation: Option<String>,
    /// The ids of its items, by which later requests may refer to them.
    item_ids: Vec<String>,
    model: String,
    usage: Option<Usage>,
    raw: Bytes,
    /// The pieces that it came in, if it was streamed.
    pieces: Option<Pieces>,
    /// Whether it is known to be what a whole answer would be.
    is_sure: bool,
    /// Whether what it calls can be called.
    has_whole_calls: bool,
    /// Text and arguments together, if there are calls.
    counted: Option<String>,
}

/// The text itself, so that `{response}` prints what the model said.
impl std::fmt::Display for ModelResponse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.output_text)
    }
}

impl ModelResponse {
    /// The provider's own answer.
    #[must_use]
    pub fn raw(&self) -> &Bytes {
        &self.raw
    }

    /// The reasoning that came with it: summaries and texts, end to end; empty if there is none.
    pub(super) fn reasoning(&self) -> String {
        let Ok(Named(answer)) = serde_json::from_slice::<Named<Answer<'_>>>(&self.raw) else { return String::new() };
        Output::read(answer.output).map(|output| output.reasoning).unwrap_or_default()
    }

    /// Whether it has more than this answer as the last event of a stream told it, if that told one: it was put together then.
    pub(crate) fn is_more_than(&self, told: Option<&str>) -> bool {
        let Some(raw) = told else { return true };
        if raw.as_bytes() == self.raw {
            return false;
        }
        let Ok(Named(told)) = serde_json::from_str::<Named<Answer<'_>>>(raw) else { return true };
        let Ok(Named(own)) = serde_json::from_slice::<Named<Answer<'_>>>(&self.raw) else { return false };
        let has_no_id = told.id.is_none_or(|id| id.is_empty());
        let items = Output::read(own.output).map_or(0, |own| own.items);
        let lacks = |told: Output| told.lacks_some_of(items, self.output_text.len(), self.tool_calls.len());
        (has_no_id && !self.id.is_empty()) || Output::read(told.output).is_none_or(lacks)
    }

    /// The same answer, which came in these pieces; `is_sure` unless some of it was put together here.
    fn in_pieces(self, pieces: Pieces, is_sure: bool) -> Self {
        Self { pieces: Some(pieces).filter(|pieces| !pieces.as_str().is_empty()), is_sure, ..self }
    }

    /// Reads a whole answer.
    pub(crate) fn parse(raw: Bytes) -> Result<Self, Failure> {
        let Named(answer): Named<Answer<'_>> = object(&raw).map_err(|reason| unreadable(reason, &raw))?;
        let status = answer.status.as_deref().filter(|status| !status.is_empty()).unwrap_or(COMPLETED).to_owned();
        if status != COMPLETED && status != INCOMPLETE {
            return Err(unreadable(format!("its status is `{status}`"), &raw));
        }
        if answer.output.is_none() {
            return Err(unreadable("missing field `output`", &raw));
        }
        let output = Output::read(answer.output).ok_or_else(|| unreadable("`output` is no list of items", &raw))?;
        let counted = (!output.calls.is_empty()).then(|| {
            let called = output.calls.iter().flat_map(|call| [call.name.as_str(), call.arguments.as_str()]);
            std::iter::once(output.text.as_str()).chain(called).collect()
        });
        let reason = answer.incomplete_details.and_then(|raw| named(raw, "reason"));
        Ok(Self {
            id: answer.id.unwrap_or_default().into_owned(),
            incomplete_reason: reason.filter(|_| status == INCOMPLETE),
            status,
            conversation: answer.conversation.and_then(|raw| text_or_id(raw.get())),
            item_ids: output.ids,
            model: answer.model.unwrap_or_default().into_owned(),
            usage: response_usage(answer.usage),
            has_whole_calls: output.has_whole_calls,
            output_text: output.text,
            tool_calls: output.calls,
            pieces: None,
            is_sure: true,
            counted,
            raw,
        })
    }
}

/// An answer, as far as it is read.
#[derive(Default)]
struct Answer<'a> {
    id: Option<Cow<'a, str>>,
    status: Option<Cow<'a, str>>,
    model: Option<Cow<'a, str>>,
    output: Option<&'a RawValue>,
    usage: Option<&'a RawValue>,
    incomplete_details: Option<&'a RawValue>,
    conversation: Option<&'a RawValue>,
}

impl<'de> Known<'de> for Answer<'de> {
    fn take<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<bool, A::Error> {
        match name {
            "id" => set(&mut self.id, map),
            "status" => set(&mut self.status, map),
            "model" => set(&mut self.model, map),
            "output" => set(&mut self.output, map),
            "usage" => set(&mut self.usage, map),
            "incomplete_details" => set(&mut self.incomplete_details, map),
            "conversation" => set(&mut self.conversation, map),
            _ => Ok(false),
        }
    }
}

/// A text in an object, by its name.
fn named(raw: &RawValue, name: &str) -> Option<String> {
    Body::parse(raw.get()).ok()?.read(name, "").ok().flatten()
}

/// An id that is given as itself, or as an object that has it.
fn text_or_id(raw: &str) -> Option<String> {
    let id: Option<String> = if raw.starts_with('"') {
        serde_json::from_str(raw).ok()
    } else {
        Body::parse(raw).ok()?.read("id", "").ok()?
    };
    id.filter(|id| !id.is_empty())
}

impl Streaming for ModelResponse {}

impl Kind for ModelResponse {
    type Request = ResponsesRequest;

    const NAME: &'static str = "response";
    const PATH: &'static str = "/responses";

    fn request(body: Body) -> Result<ResponsesRequest, Invalid> {
        ResponsesRequest::check(body)
    }

    fn read(answer: &Bytes, _request: &ResponsesRequest) -> Result<Self, Failure> {
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
        let is_whole = self.status == COMPLETED || self.incomplete_reason.as_deref() == Some(AT_ITS_BOUND);
        self.is_sure && is_whole && self.has_whole_calls
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

    fn prompt(request: &ResponsesRequest) -> Prompt<'_> {
        prompt::of(request.as_ref())
    }

    fn text(&self) -> Cow<'_, str> {
        Cow::Borrowed(self.counted.as_deref().unwrap_or(&self.output_text))
    }

    fn assembly() -> Option<Box<dyn Assembly<Self>>> {
        Some(Box::new(ResponseAssembly::default()))
    }

    fn chunks(&self) -> Vec<Chunk> {
        Self::chunks(self)
    }

    fn events(&self) -> Vec<Chunk> {
        Self::events(self)
    }

    fn builds_on(request: &ResponsesRequest) -> Vec<String> {
        request.builds_on()
    }

    fn changes_state(request: &ResponsesRequest) -> bool {
        request.as_ref().get("conversation").is_some()
    }

    fn state_ids(&self) -> Vec<String> {
        let id = Some(self.id.clone()).filter(|id| !id.is_empty());
        id.into_iter().chain(self.conversation.clone()).chain(self.item_ids.iter().cloned()).collect()
    }

    fn join(mut parts: Vec<Self>) -> Self {
        parts.swap_remove(0)
    }
}
