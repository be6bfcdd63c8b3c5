//! One event of a streamed completion, as OpenAI writes it: the fields that thryd reads.

use serde::de::MapAccess;
use serde_json::value::RawValue;

use super::open::{Known, List, Open, set, skip};
use super::whole::WireToolCall;

/// An event.
#[derive(Default)]
pub(super) struct Event<'a> {
    pub(super) choices: Option<List<Open<'a, EventChoice<'a>>>>,
    pub(super) usage: Option<&'a RawValue>,
    pub(super) error: Option<&'a RawValue>,
    /// Padding, of one event alone.
    pub(super) obfuscation: Option<&'a RawValue>,
}

impl<'de> Known<'de> for Event<'de> {
    fn take<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<bool, A::Error> {
        match name {
            "choices" => set(&mut self.choices, map),
            "usage" => set(&mut self.usage, map),
            "error" => set(&mut self.error, map),
            "obfuscation" => set(&mut self.obfuscation, map),
            _ => Ok(false),
        }
    }
}

impl<'a> Event<'a> {
    /// The content that it adds to the first choice, if it says nothing else that could be told twice.
    pub(super) fn piece(&self) -> Option<&'a RawValue> {
        let [Open { known: choice, rest }] = &self.choices.as_ref()?.0[..] else { return None };
        let Open { known: delta, rest: delta_rest } = choice.delta.as_ref()?;
        // What has no pieces: a field that says so again has said it.
        let is_idle = |(_, raw): &(_, &RawValue)| !raw.get().starts_with(['"', '[', '{']) || is_empty(raw);
        let is_first = choice.index.unwrap_or(0) == 0;
        let is_open = choice.finish_reason.as_ref().is_none_or(String::is_empty);
        let others = [self.usage, self.error, delta.reasoning_content, delta.reasoning, delta.refusal];
        let is_alone = others.iter().all(Option::is_none) && delta.tool_calls.is_none();
        let is_plain = is_first && is_open && is_alone && rest.iter().chain(delta_rest).all(is_idle);
        delta.content.filter(|content| is_plain && content.get().starts_with('"'))
    }
}

/// How servers say that they have nothing to say.
pub(super) fn is_empty(raw: &RawValue) -> bool {
    matches!(raw.get(), "\"\"" | "[]" | "{}")
}

/// What it says of one choice.
#[derive(Default)]
pub(super) struct EventChoice<'a> {
    pub(super) index: Option<u64>,
    pub(super) delta: Option<Open<'a, Delta<'a>>>,
    pub(super) finish_reason: Option<String>,
}

impl<'de> Known<'de> for EventChoice<'de> {
    fn take<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<bool, A::Error> {
        match name {
            "index" => set(&mut self.index, map),
            "delta" => set(&mut self.delta, map),
            "finish_reason" => set(&mut self.finish_reason, map),
            // Some servers send what has come so far in every event.
            "message" => skip(map),
            _ => Ok(false),
        }
    }
}

/// What it adds to a choice's message.
#[derive(Default)]
pub(super) struct Delta<'a> {
    pub(super) role: Option<String>,
    pub(super) content: Option<&'a RawValue>,
    pub(super) reasoning_content: Option<&'a RawValue>,
    pub(super) reasoning: Option<&'a RawValue>,
    pub(super) refusal: Option<&'a RawValue>,
    pub(super) tool_calls: Option<List<Open<'a, WireToolCall<'a>>>>,
}

impl<'de> Known<'de> for Delta<'de> {
    fn take<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<bool, A::Error> {
        match name {
            "role" => set(&mut self.role, map),
            "content" => set(&mut self.content, map),
            "reasoning_content" => set(&mut self.reasoning_content, map),
            "reasoning" => set(&mut self.reasoning, map),
            "refusal" => set(&mut self.refusal, map),
            "tool_calls" => set(&mut self.tool_calls, map),
            _ => Ok(false),
        }
    }
}
