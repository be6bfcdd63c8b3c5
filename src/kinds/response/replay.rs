//! A whole model response as the pieces and the events of a stream: for those who read them, when it came whole or from the
//! cache.

use std::borrow::Cow;
use std::collections::{HashSet, VecDeque};

use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::{INCOMPLETE, ModelResponse};
use crate::kinds::text::text;
use crate::kinds::{Body, Chunk, text_pieces};

/// Words in one chunk of a replayed answer: about what providers send.
const WORDS_PER_CHUNK: usize = 3;

impl ModelResponse {
    /// The chunks that a stream of this answer gives: those that it came in; of an answer that came whole the reasoning, the
    /// text in pieces of whole words, the calls.
    #[must_use]
    pub fn chunks(&self) -> Vec<Chunk> {
        let reasoning = self.reasoning();
        let as_it_came = |pieces: &crate::kinds::Pieces| pieces.chunks(&self.output_text, &reasoning, &self.tool_calls);
        if let Some(chunks) = self.pieces.as_ref().and_then(as_it_came) {
            return chunks;
        }
        let words = |text| text_pieces(text, WORDS_PER_CHUNK).map(ToOwned::to_owned);
        let named = |name: &String| Some(name.clone()).filter(|name| !name.is_empty());
        let calls = self.tool_calls.iter().zip(0..).map(|(call, index)| Chunk::ToolCall {
            index,
            id: named(&call.id),
            name: named(&call.name),
            arguments: call.arguments.clone(),
        });
        let reasoning = words(&reasoning).map(|delta| Chunk::Reasoning { delta });
        reasoning.chain(words(&self.output_text).map(|delta| Chunk::Content { delta })).chain(calls).collect()
    }

    /// The events that a stream of this answer would have had, its texts in the pieces that they came in or a few words each.
    #[must_use]
    pub fn events(&self) -> Vec<Chunk> {
        let (mut content, mut reasoning, mut calls) = (VecDeque::new(), VecDeque::new(), VecDeque::new());
        for chunk in self.chunks() {
            match chunk {
                Chunk::Content { delta } => content.push_back(delta),
                Chunk::Reasoning { delta } => reasoning.push_back(delta),
                Chunk::ToolCall { arguments, .. } => calls.push_back(arguments),
                Chunk::Restart { .. } | Chunk::Event { .. } => {}
            }
        }
        let cut = |part: Part, text: &str| {
            let pieces = match part {
                Part::Text => &mut content,
                Part::Reasoning => &mut reasoning,
                Part::Call => &mut calls,
            };
            next_pieces(pieces, text)
        };
        let raw = String::from_utf8_lossy(self.raw());
        let events = write_events(&raw, cut).unwrap_or_default();
        events.into_iter().map(|data| Chunk::Event { data }).collect()
    }
}

/// What a text is a part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Text,
    Reasoning,
    Call,
}

/// Takes the pieces of a text from those that are left; its words, if they are not its own.
fn next_pieces(left: &mut VecDeque<String>, text: &str) -> Vec<String> {
    let (mut rest, mut pieces) = (text, Vec::new());
    while !rest.is_empty() {
        let next = left.front().filter(|piece| !piece.is_empty() || !pieces.is_empty());
        match next.and_then(|piece| rest.strip_prefix(piece.as_str())) {
            Some(after) => {
                rest = after;
                pieces.extend(left.pop_front().filter(|piece| !piece.is_empty()));
            }
            None if left.front().is_some_and(String::is_empty) => drop(left.pop_front()),
            None => return text_pieces(text, WORDS_PER_CHUNK).map(ToOwned::to_owned).collect(),
        }
    }
    pieces
}

/// The events of a whole answer, whose texts are cut by `cut`. `None` if it is none.
pub(crate) fn write_events(raw: &str, cut: impl FnMut(Part, &str) -> Vec<String>) -> Option<Vec<String>> {
    let answer = Body::parse(raw).ok()?;
    let mut items: Vec<Body> = serde_json::from_str(answer.get("output")?).ok()?;
    let known: HashSet<_> = items.iter().filter_map(id_of).collect();
    let mended = items.iter_mut().enumerate().map(|(index, item)| name(item, index, &known) | part(item));
    let mut whole = Cow::Borrowed(raw);
    if mended.fold(false, |any, is_mended| any | is_mended) {
        let mut answer = answer.clone();
        answer.set("output", &items);
        whole = String::from_utf8_lossy(&answer.write(&[])).into_owned().into();
    }
    let mut writer = Writer { cut, events: Vec::new(), index: 0, id: String::new() };
    let mut begun = answer.clone();
    begun.set("status", &"in_progress");
    begun.set("output", &[(); 0]);
    for name in ["usage", "completed_at", "incomplete_details"] {
        if begun.iter().any(|(known, _)| known == name) {
            begun.set(name, &());
        }
    }
    for kind in ["response.created", "response.in_progress"] {
        writer.push(kind, &[("response", verbatim(&String::from_utf8_lossy(&begun.write(&[]))))], false);
    }
    for (index, item) in items.iter().enumerate() {
        (writer.index, writer.id) = (index, id_of(item).unwrap_or_default());
        writer.item(item);
    }
    let is_incomplete = answer.get("status").and_then(text).as_deref() == Some(INCOMPLETE);
    let end = if is_incomplete { "response.incomplete" } else { "response.completed" };
    writer.push(end, &[("response", verbatim(&whole))], false);
    Some(writer.events)
}

fn id_of(item: &Body) -> Option<String> {
    item.get("id").and_then(text).filter(|id| !id.is_empty())
}

/// Gives an item an id, if it has none, and says whether it did: clients tell by it which item an event is about, and stop at
/// an item without one.
fn name(item: &mut Body, index: usize, known: &HashSet<String>) -> bool {
    if id_of(item).is_some() {
        return false;
    }
    // OpenAI takes an item back only under an id that begins as those of its sort do.
    let prefix = match item.get("type").and_then(text).as_deref() {
        Some("message") => "msg",
        Some("reasoning") => "rs",
        Some("function_call") => "fc",
        Some("custom_tool_call") => "ctc",
        _ => "item",
    };
    let mut id = format!("{prefix}_{index}");
    while known.contains(&id) {
        id.push('_');
    }
    item.set("id", &id);
    true
}

/// Puts texts of an item that stand without a part into one, and says whether there were any: events are about parts.
fn part(item: &mut Body) -> bool {
    let names: &[(&str, &str)] = match item.get("type").and_then(text).as_deref() {
        Some("message") => &[("content", "output_text")],
        Some("reasoning") => &[("summary", "summary_text"), ("content", "reasoning_text")],
        _ => &[],
    };
    let mut any = false;
    for (name, kind) in names {
        let Some(said) = item.get(name).and_then(text) else { continue };
        let mut part = json!({ "type": kind, "text": said });
        if *kind == "output_text" {
            part["annotations"] = json!([]);
        }
        item.set(name, &[part]);
        any = true;
    }
    any
}

struct Writer<F> {
    cut: F,
    events: Vec<String>,
    /// Of the item that is being written.
    index: usize,
    id: String,
}

impl<F: FnMut(Part, &str) -> Vec<String>> Writer<F> {
    fn push(&mut self, kind: &str, fields: &[(&str, Box<RawValue>)], is_of_item: bool) {
        let mut event = Body::new();
        event.set("type", &kind);
        event.set("sequence_number", &self.events.len());
        if is_of_item {
            event.set("output_index", &self.index);
        }
        for (name, value) in fields {
            event.set(name, value);
        }
        self.events.push(String::from_utf8_lossy(&event.write(&[])).into_owned());
    }

    /// An event about a text: `place` is the name of its index and that index.
    fn push_text(&mut self, kind: &str, place: Option<(&str, usize)>, fields: &[(&str, Value)]) {
        self.push_fields(kind, place, fields.iter().map(|(name, value)| (*name, json_of(value))));
    }

    fn push_fields<'f>(
        &mut self,
        kind: &str,
        place: Option<(&'f str, usize)>,
        fields: impl IntoIterator<Item = (&'f str, Box<RawValue>)>,
    ) {
        let mut all = vec![("item_id", json_of(&json!(self.id)))];
        all.extend(place.map(|(name, place)| (name, json_of(&json!(place)))));
        all.extend(fields);
        self.push(kind, &all, true);
    }

    fn item(&mut self, item: &Body) {
        let whole = verbatim(&String::from_utf8_lossy(&item.write(&[])));
        let mut begun = item.clone();
        if item.get("status").is_some() {
            begun.set("status", &"in_progress");
        }
        let emptied: &[(&str, Value)] = match item.get("type").and_then(text).as_deref() {
            Some("message") => &[("content", json!([]))],
            Some("reasoning") => &[("summary", json!([])), ("content", json!([])), ("encrypted_content", Value::Null)],
            Some("function_call") => &[("arguments", json!(""))],
            Some("custom_tool_call") => &[("input", json!(""))],
            _ => &[],
        };
        for (name, value) in emptied {
            if item.get(name).is_some() {
                begun.set(name, value);
            }
        }
        let begun = verbatim(&String::from_utf8_lossy(&begun.write(&[])));
        self.push("response.output_item.added", &[("item", begun)], true);
        match item.get("type").and_then(text).as_deref() {
            Some("message") => self.parts(item.get("content")),
            Some("reasoning") => {
                self.summary(item.get("summary"));
                self.parts(item.get("content"));
            }
            Some("function_call") => self.call("response.function_call_arguments", "arguments", item),
            Some("custom_tool_call") => self.call("response.custom_tool_call_input", "input", item),
            _ => {}
        }
        self.push("response.output_item.done", &[("item", whole)], true);
    }

    fn call(&mut self, kind: &str, name: &str, item: &Body) {
        let Some(whole) = item.get(name).and_then(text) else { return };
        for delta in (self.cut)(Part::Call, &whole) {
            self.push_text(&format!("{kind}.delta"), None, &[("delta", delta.into())]);
        }
        self.push_text(&format!("{kind}.done"), None, &[(name, whole.into())]);
    }

    fn summary(&mut self, parts: Option<&str>) {
        for (place, part) in list(parts).into_iter().enumerate() {
            let place = Some(("summary_index", place));
            let whole = part.get("text").and_then(text).unwrap_or_default();
            let mut begun = part.clone();
            begun.set("text", &"");
            self.push_part("response.reasoning_summary_part.added", place, &begun);
            for delta in (self.cut)(Part::Reasoning, &whole) {
                self.push_text("response.reasoning_summary_text.delta", place, &[("delta", delta.into())]);
            }
            self.push_text("response.reasoning_summary_text.done", place, &[("text", whole.into())]);
            self.push_part("response.reasoning_summary_part.done", place, &part);
        }
    }

    fn parts(&mut self, parts: Option<&str>) {
        for (index, part) in list(parts).into_iter().enumerate() {
            let place = Some(("content_index", index));
            let (name, kind, sort) = match part.get("type").and_then(text).as_deref() {
                Some("output_text") => ("text", "response.output_text", Part::Text),
                Some("refusal") => ("refusal", "response.refusal", Part::Text),
                Some("reasoning_text") => ("text", "response.reasoning_text", Part::Reasoning),
                _ => {
                    self.push_part("response.content_part.added", place, &part);
                    self.push_part("response.content_part.done", place, &part);
                    continue;
                }
            };
            let is_answer = kind == "response.output_text";
            let whole = part.get(name).and_then(text).unwrap_or_default();
            let mut begun = part.clone();
            begun.set(name, &"");
            for list in ["annotations", "logprobs"] {
                if part.get(list).is_some_and(|raw| raw.starts_with('[')) {
                    begun.set(list, &[(); 0]);
                }
            }
            self.push_part("response.content_part.added", place, &begun);
            // A refusal comes in no pieces that are remembered.
            let pieces = if name == "refusal" { vec![whole.clone()] } else { (self.cut)(sort, &whole) };
            for delta in pieces {
                let logprobs = is_answer.then(|| ("logprobs", json!([])));
                let fields: Vec<_> = [("delta", delta.into())].into_iter().chain(logprobs).collect();
                self.push_text(&format!("{kind}.delta"), place, &fields);
            }
            let annotations: Vec<&RawValue> =
                part.get("annotations").and_then(|raw| serde_json::from_str(raw).ok()).unwrap_or_default();
            for (at, annotation) in annotations.into_iter().enumerate() {
                let fields = [("annotation_index", json_of(&json!(at))), ("annotation", annotation.to_owned())];
                self.push_fields("response.output_text.annotation.added", place, fields);
            }
            let logprobs = part.get("logprobs").filter(|raw| raw.starts_with('[')).unwrap_or("[]");
            let logprobs = is_answer.then(|| ("logprobs", verbatim(logprobs)));
            let fields = [(name, json_of(&whole.into()))].into_iter().chain(logprobs);
            self.push_fields(&format!("{kind}.done"), place, fields);
            self.push_part("response.content_part.done", place, &part);
        }
    }

    fn push_part(&mut self, kind: &str, place: Option<(&str, usize)>, part: &Body) {
        let part = verbatim(&String::from_utf8_lossy(&part.write(&[])));
        self.push_fields(kind, place, [("part", part)]);
    }
}

/// A list of parts.
fn list(raw: Option<&str>) -> Vec<Body> {
    raw.and_then(|raw| serde_json::from_str(raw).ok()).unwrap_or_default()
}

fn json_of(value: &Value) -> Box<RawValue> {
    serde_json::value::to_raw_value(value).unwrap_or_default()
}

/// A JSON text as it stands.
fn verbatim(text: &str) -> Box<RawValue> {
    RawValue::from_string(text.to_owned()).unwrap_or_default()
}
