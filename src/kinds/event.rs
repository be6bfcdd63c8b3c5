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
}

impl<'de> Known<'de> for Event<'de> {
    fn take<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<bool, A::Error> {
        match name {
            "choices" => set(&mut self.choices, map),
            "usage" => set(&mut self.usage, map),
            "error" => set(&mut self.error, map),
            // Of one event alone.
            "obfuscation" => skip(map),
            _ => Ok(false),
        }
    }
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
