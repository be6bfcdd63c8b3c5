//! A whole completion, as OpenAI writes it: the fields that thryd reads.

use std::borrow::Cow;

use serde::de::MapAccess;
use serde_json::value::RawValue;

use super::ToolCall;
use super::open::{Known, List, Named, Open, set};
use super::text::{reasoning, text, thinking};

/// An answer.
#[derive(Default)]
pub(super) struct Answer<'a> {
    pub(super) model: Option<Cow<'a, str>>,
    pub(super) choices: Option<List<Named<Choice<'a>>>>,
    pub(super) usage: Option<&'a RawValue>,
}

impl<'de> Known<'de> for Answer<'de> {
    fn take<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<bool, A::Error> {
        match name {
            "model" => set(&mut self.model, map),
            "choices" => set(&mut self.choices, map),
            "usage" => set(&mut self.usage, map),
            _ => Ok(false),
        }
    }
}

impl<'a> Answer<'a> {
    pub(super) fn choices(&self) -> impl Iterator<Item = &Choice<'a>> {
        self.choices.iter().flat_map(|choices| &choices.0).map(|Named(choice)| choice)
    }

    /// The one that callers see.
    pub(super) fn first(&self) -> Option<&Choice<'a>> {
        self.choices().find(|choice| choice.index.unwrap_or(0) == 0).or_else(|| self.choices().next())
    }
}

/// One of its choices.
#[derive(Default)]
pub(super) struct Choice<'a> {
    index: Option<u64>,
    pub(super) message: Option<Named<Message<'a>>>,
    pub(super) finish_reason: Option<Cow<'a, str>>,
    /// Where Moonshot reports what a stream cost.
    pub(super) usage: Option<&'a RawValue>,
}

impl<'de> Known<'de> for Choice<'de> {
    fn take<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<bool, A::Error> {
        match name {
            "index" => set(&mut self.index, map),
            "message" => set(&mut self.message, map),
            "finish_reason" => set(&mut self.finish_reason, map),
            "usage" => set(&mut self.usage, map),
            _ => Ok(false),
        }
    }
}

/// What it says.
#[derive(Default)]
pub(super) struct Message<'a> {
    pub(super) content: Option<&'a RawValue>,
    reasoning_content: Option<&'a RawValue>,
    reasoning: Option<&'a RawValue>,
    tool_calls: Option<List<Named<WireToolCall<'a>>>>,
    function_call: Option<&'a RawValue>,
}

impl<'de> Known<'de> for Message<'de> {
    fn take<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<bool, A::Error> {
        match name {
            "content" => set(&mut self.content, map),
            "reasoning_content" => set(&mut self.reasoning_content, map),
            "reasoning" => set(&mut self.reasoning, map),
            "tool_calls" => set(&mut self.tool_calls, map),
            "function_call" => set(&mut self.function_call, map),
            _ => Ok(false),
        }
    }
}

impl<'a> Message<'a> {
    pub(super) fn tool_calls(&self) -> impl Iterator<Item = &WireToolCall<'a>> {
        self.tool_calls.iter().flat_map(|calls| &calls.0).map(|Named(call)| call)
    }

    pub(super) fn reasoning(&self) -> Option<String> {
        reasoning(self.reasoning_content, self.reasoning).or_else(|| thinking(self.content))
    }

    /// Whether it calls something.
    pub(super) fn has_calls(&self) -> bool {
        self.function_call.is_some() || self.tool_calls().next().is_some()
    }

    /// Whether what it calls can be called.
    pub(super) fn has_whole_calls(&self) -> bool {
        let is_old_call = |raw: &RawValue| {
            serde_json::from_str::<Option<Open<'_, WireFunction<'_>>>>(raw.get())
                .is_ok_and(|function| function.as_ref().is_none_or(|function| function.known.is_whole()))
        };
        self.tool_calls().all(WireToolCall::is_whole) && self.function_call.is_none_or(is_old_call)
    }
}

/// OpenAI's tool call, or a piece of one in a stream.
#[derive(Default)]
pub(super) struct WireToolCall<'a> {
    pub(super) index: Option<u64>,
    pub(super) id: Option<Cow<'a, str>>,
    /// `function`, `custom`, or what a provider calls its own.
    pub(super) kind: Option<Cow<'a, str>>,
    pub(super) function: Option<Open<'a, WireFunction<'a>>>,
    pub(super) custom: Option<Open<'a, WireFunction<'a>>>,
}

impl<'de> Known<'de> for WireToolCall<'de> {
    fn take<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<bool, A::Error> {
        match name {
            "index" => set(&mut self.index, map),
            "id" => set(&mut self.id, map),
            "type" => set(&mut self.kind, map),
            "function" => set(&mut self.function, map),
            "custom" => set(&mut self.custom, map),
            _ => Ok(false),
        }
    }
}

impl<'a> WireToolCall<'a> {
    /// What is called: a function, or a custom tool.
    pub(super) fn called(&self) -> Option<&WireFunction<'a>> {
        self.function.as_ref().or(self.custom.as_ref()).map(|called| &called.known)
    }

    pub(super) fn read(&self) -> ToolCall {
        let called = self.called();
        ToolCall {
            id: self.id.as_deref().unwrap_or_default().to_owned(),
            name: called.and_then(|called| called.name.as_deref()).unwrap_or_default().to_owned(),
            arguments: called.map(WireFunction::arguments).unwrap_or_default(),
        }
    }

    fn is_whole(&self) -> bool {
        match &self.function {
            Some(function) => function.known.is_whole(),
            None => self.custom.is_some(),
        }
    }
}

/// What a tool call calls, and what with.
#[derive(Default)]
pub(super) struct WireFunction<'a> {
    pub(super) name: Option<Cow<'a, str>>,
    arguments: Option<&'a RawValue>,
    /// What a custom tool is called with.
    input: Option<&'a RawValue>,
}

impl<'de> Known<'de> for WireFunction<'de> {
    fn take<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<bool, A::Error> {
        match name {
            "name" => set(&mut self.name, map),
            "arguments" => set(&mut self.arguments, map),
            "input" => set(&mut self.input, map),
            _ => Ok(false),
        }
    }
}

impl WireFunction<'_> {
    /// The arguments' text. Some servers send the object itself instead of its text.
    pub(super) fn arguments(&self) -> String {
        let raw = self.arguments.or(self.input).map_or("\"\"", RawValue::get);
        text(raw).unwrap_or_else(|| if raw == "null" { String::new() } else { raw.to_owned() })
    }

    /// Whether the arguments are JSON.
    fn is_whole(&self) -> bool {
        serde_json::from_str::<&RawValue>(&self.arguments()).is_ok()
    }
}
