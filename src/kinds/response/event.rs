//! One event of a streamed model response, as far as it is read.

use std::borrow::Cow;

use serde::de::MapAccess;
use serde_json::value::RawValue;

use super::output::Slot;
use crate::kinds::open::{Known, set, word};
use crate::kinds::text::text;

/// An event. A field that cannot be read is absent.
#[derive(Default)]
pub(super) struct Event<'a> {
    pub kind: Option<Cow<'a, str>>,
    pub response: Option<&'a RawValue>,
    pub item: Option<&'a RawValue>,
    pub part: Option<&'a RawValue>,
    pub annotation: Option<&'a RawValue>,
    pub delta: Option<&'a RawValue>,
    /// All of what came in pieces.
    pub whole: Option<&'a RawValue>,
    /// Of an error.
    pub message: Option<&'a RawValue>,
    pub item_id: Option<Cow<'a, str>>,
    pub output_index: Option<u64>,
    pub content_index: Option<u64>,
    pub summary_index: Option<u64>,
}

impl<'de> Known<'de> for Event<'de> {
    fn take<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<bool, A::Error> {
        match name {
            "type" => word(&mut self.kind, map),
            "response" => set(&mut self.response, map),
            "item" => set(&mut self.item, map),
            "part" => set(&mut self.part, map),
            "annotation" => set(&mut self.annotation, map),
            "delta" => set(&mut self.delta, map),
            "text" | "refusal" | "arguments" | "input" => set(&mut self.whole, map),
            "message" => set(&mut self.message, map),
            "item_id" => word(&mut self.item_id, map),
            "output_index" => index(&mut self.output_index, map),
            "content_index" => index(&mut self.content_index, map),
            "summary_index" => index(&mut self.summary_index, map),
            _ => Ok(false),
        }
    }
}

/// Reads an index, which some servers write as a text or with a point.
fn index<'de, A: MapAccess<'de>>(field: &mut Option<u64>, map: &mut A) -> Result<bool, A::Error> {
    let raw: &RawValue = map.next_value()?;
    let digits = raw.get().trim_matches('"');
    *field = digits.strip_suffix(".0").unwrap_or(digits).parse().ok();
    Ok(true)
}

impl Event<'_> {
    /// One about the text at this place.
    pub(super) fn at(slot: Slot, place: u64) -> Self {
        let place = Some(place);
        if slot == Slot::Summary {
            Self { summary_index: place, ..Self::default() }
        } else {
            Self { content_index: place, ..Self::default() }
        }
    }

    /// Where in its item it is, among the texts of this sort.
    pub(super) fn place(&self, slot: Slot) -> u64 {
        let index = if slot == Slot::Summary { self.summary_index } else { self.content_index };
        index.unwrap_or(0)
    }

    /// What it says, if it is an error that only the line before its data names one: a message, and nothing of an answer.
    pub(super) fn error(&self) -> Option<String> {
        let parts = [self.response, self.item, self.part, self.annotation, self.delta, self.whole];
        let is_of_an_answer = self.kind.is_some() || parts.iter().any(Option::is_some);
        text(self.message.filter(|_| !is_of_an_answer)?.get())
    }
}

/// What an event says a piece of, or all of.
pub(super) fn slot_of(kind: &str) -> Option<(Slot, bool)> {
    let (what, end) = kind.strip_prefix("response.")?.rsplit_once('.')?;
    let slot = match what {
        "output_text" => Slot::Text,
        "refusal" => Slot::Refusal,
        "reasoning_summary_text" => Slot::Summary,
        "reasoning_text" => Slot::Reasoning,
        _ => return None,
    };
    match end {
        "delta" => Some((slot, false)),
        "done" => Some((slot, true)),
        _ => None,
    }
}
