//! The output of a model response: its items, and what is said and called in them.

use std::borrow::Cow;

use serde::de::MapAccess;
use serde_json::value::RawValue;

use crate::kinds::ToolCall;
use crate::kinds::open::{Known, List, Named, set, word};
use crate::kinds::text::text;

/// Most items of an answer, and most texts of an item: far more than any model makes. Each costs many times the memory of its text.
pub(super) const MAX_ITEMS: usize = 4096;

/// Where in an item a text stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    /// In a part of a message.
    Text,
    /// In a part of a message, instead of an answer.
    Refusal,
    /// In the summary of reasoning.
    Summary,
    /// In the reasoning itself.
    Reasoning,
}

/// One item, as far as it is read.
#[derive(Default)]
pub(super) struct Item<'a> {
    pub kind: Option<Cow<'a, str>>,
    pub id: Option<Cow<'a, str>>,
    call_id: Option<Cow<'a, str>>,
    name: Option<Cow<'a, str>>,
    /// Of a function.
    arguments: Option<&'a RawValue>,
    /// Of a custom tool.
    input: Option<&'a RawValue>,
    content: Option<&'a RawValue>,
    summary: Option<&'a RawValue>,
}

impl<'de> Known<'de> for Item<'de> {
    fn take<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<bool, A::Error> {
        match name {
            "type" => word(&mut self.kind, map),
            "id" => word(&mut self.id, map),
            "call_id" => word(&mut self.call_id, map),
            "name" => word(&mut self.name, map),
            "arguments" => set(&mut self.arguments, map),
            "input" => set(&mut self.input, map),
            "content" => set(&mut self.content, map),
            "summary" => set(&mut self.summary, map),
            _ => Ok(false),
        }
    }
}

/// A part of an item's content.
#[derive(Default)]
pub(super) struct Part<'a> {
    pub kind: Option<Cow<'a, str>>,
    text: Option<&'a RawValue>,
    refusal: Option<&'a RawValue>,
}

impl<'de> Known<'de> for Part<'de> {
    fn take<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<bool, A::Error> {
        match name {
            "type" => word(&mut self.kind, map),
            "text" => set(&mut self.text, map),
            "refusal" => set(&mut self.refusal, map),
            _ => Ok(false),
        }
    }
}

impl Part<'_> {
    /// What it says, and where such a part stands.
    pub(super) fn said(&self) -> Option<(Slot, String)> {
        let raw = self.refusal.or(self.text)?;
        let slot = match self.kind.as_deref() {
            Some("refusal") => Slot::Refusal,
            Some("summary_text") => Slot::Summary,
            Some("reasoning_text") => Slot::Reasoning,
            _ => Slot::Text,
        };
        Some((slot, text(raw.get())?))
    }
}

impl Item<'_> {
    /// Whether it is one of those that are read: a message, reasoning, a call.
    pub(super) fn is_known(&self) -> bool {
        self.is_call() || matches!(self.kind.as_deref(), Some("message" | "reasoning"))
    }

    fn is_call(&self) -> bool {
        matches!(self.kind.as_deref(), Some("function_call" | "custom_tool_call"))
    }

    /// Its texts, each with its place among those of its sort. `None` if they are no texts and no lists of parts.
    pub(super) fn texts(&self) -> Option<Vec<(Slot, u64, String)>> {
        match self.kind.as_deref() {
            Some("message") => parts(self.content, |slot| slot),
            Some("reasoning") => {
                let mut texts = parts(self.summary, |_| Slot::Summary)?;
                texts.extend(parts(self.content, |_| Slot::Reasoning)?);
                Some(texts)
            }
            _ => Some(Vec::new()),
        }
    }

    /// What it calls, if it is a call.
    pub(super) fn call(&self) -> Option<ToolCall> {
        self.is_call().then(|| ToolCall {
            id: self.call_id.as_deref().or(self.id.as_deref()).unwrap_or_default().to_owned(),
            name: self.name.as_deref().unwrap_or_default().to_owned(),
            arguments: called_with(self.arguments.or(self.input)),
        })
    }

    /// Whether it can be called: the arguments of a function are JSON.
    fn is_whole(&self) -> bool {
        self.kind.as_deref() != Some("function_call")
            || serde_json::from_str::<&RawValue>(&called_with(self.arguments)).is_ok()
    }
}

/// What is said in a list of parts, each in the slot that `place` puts it into.
fn parts(raw: Option<&RawValue>, place: fn(Slot) -> Slot) -> Option<Vec<(Slot, u64, String)>> {
    let Some(raw) = raw else { return Some(Vec::new()) };
    // Some servers write a message's text without a part around it.
    if let Some(text) = text(raw.get()) {
        return Some(vec![(place(Slot::Text), 0, text)]);
    }
    let List(parts): List<Named<Part<'_>>, MAX_ITEMS> = serde_json::from_str(raw.get()).ok()?;
    let said =
        |(index, Named(part)): (u64, Named<Part<'_>>)| part.said().map(|(slot, text)| (place(slot), index, text));
    Some((0..).zip(parts).filter_map(said).collect())
}

/// The text of arguments. Some servers send the object itself instead of its text.
fn called_with(raw: Option<&RawValue>) -> String {
    let raw = raw.map_or("\"\"", RawValue::get);
    text(raw).unwrap_or_else(|| raw.to_owned())
}

/// All that is read of an output.
#[derive(Debug, Default)]
pub(super) struct Output {
    /// Of all messages, end to end.
    pub text: String,
    pub reasoning: String,
    pub calls: Vec<ToolCall>,
    /// Those of its items that have one.
    pub ids: Vec<String>,
    pub has_whole_calls: bool,
    /// How many items there are.
    pub items: usize,
}

impl Output {
    /// Whether there are fewer items or calls, or less is said.
    pub(super) fn lacks_some_of(&self, items: usize, said: usize, calls: usize) -> bool {
        self.items < items || self.text.len() < said || self.calls.len() < calls
    }

    /// Reads a list of items. `None` for anything else.
    pub(super) fn read(raw: Option<&RawValue>) -> Option<Self> {
        let List(items): List<&RawValue, MAX_ITEMS> = serde_json::from_str(raw?.get()).ok()?;
        let mut output = Self { has_whole_calls: true, items: items.len(), ..Self::default() };
        for item in items {
            let Named(item): Named<Item<'_>> = serde_json::from_str(item.get()).ok()?;
            for (slot, _, text) in item.texts()? {
                match slot {
                    Slot::Text => output.text.push_str(&text),
                    Slot::Summary | Slot::Reasoning => output.reasoning.push_str(&text),
                    Slot::Refusal => {}
                }
            }
            output.calls.extend(item.call());
            output.ids.extend(item.id.as_deref().filter(|id| !id.is_empty()).map(ToOwned::to_owned));
            output.has_whole_calls &= item.is_whole();
        }
        Some(output)
    }
}
