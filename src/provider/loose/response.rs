//! Model responses as people write them, whole and piece by piece, to the events and the answer of the Responses API.

use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Map, Value, json};

use super::{Event, finish_reason, is_partial, message};
use crate::fields::describe;
use crate::kinds::{ResponsePart, text_pieces, write_response_events};

const EXPECTED: &str = "a string, an object with `output`, or one with `content`, `output_text` or `tool_calls`";

/// Ids tell whose an answer is, so that there are no two alike.
static NEXT: AtomicU64 = AtomicU64::new(1);

fn next_id() -> String {
    format!("resp_local_{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A whole answer in the wire form.
pub(super) fn whole(model: &str, value: Value) -> Result<Value, String> {
    let mut partial = match value {
        Value::String(content) => Map::from_iter([("content".to_owned(), content.into())]),
        Value::Object(mut map) if map.contains_key("output") => {
            for (name, value) in [("object", "response"), ("status", "completed"), ("model", model)] {
                map.entry(name).or_insert_with(|| value.into());
            }
            if map.get("id").is_none_or(|id| id.is_null() || id == "") {
                map.insert("id".to_owned(), next_id().into());
            }
            return Ok(map.into());
        }
        Value::Object(map) if is_response(&map) => map,
        other => return Err(format!("expected {EXPECTED}, got {}", describe(&other))),
    };
    let usage = partial.remove("usage").map(in_input_and_output);
    let model = partial.remove("model").unwrap_or_else(|| model.into());
    let mut stream = Stream::new(model);
    stream.take(&mut partial)?;
    stream.close();
    Ok(stream.answer(usage))
}

/// Whether an object is an answer or part of one.
fn is_response(map: &Map<String, Value>) -> bool {
    is_partial(map) || ["output_text", "outputText"].iter().any(|name| map.contains_key(*name))
}

/// A usage, also one in the words of chat completions.
fn in_input_and_output(usage: Value) -> Value {
    let Value::Object(mut usage) = usage else { return usage };
    for (old, new) in [("prompt_tokens", "input_tokens"), ("completion_tokens", "output_tokens")] {
        if let Some(tokens) = usage.remove(old) {
            usage.entry(new).or_insert(tokens);
        }
    }
    usage.into()
}

/// The events that stream a whole answer, a word an event.
pub(super) fn events(whole: &Value) -> Vec<Event> {
    let cut = |part: ResponsePart, text: &str| match part {
        ResponsePart::Call => vec![text.to_owned()],
        ResponsePart::Text | ResponsePart::Reasoning => text_pieces(text, 1).map(ToOwned::to_owned).collect(),
    };
    let events = write_response_events(&whole.to_string(), cut).unwrap_or_default();
    let event = |data: String| Event { is_token: data.contains(".delta\",\"sequence_number\""), data };
    events.into_iter().map(event).collect()
}

/// A stream that somebody writes piece by piece.
pub(in crate::provider) struct Stream {
    id: String,
    model: Value,
    sequence: u64,
    /// The items that are done.
    output: Vec<Value>,
    /// The item that is being written.
    open: Option<Open>,
    usage: Option<Value>,
    incomplete: Option<&'static str>,
    status: Option<Value>,
    events: Vec<String>,
    /// Whether its own events are written, or those of its writer handed on.
    has_begun: bool,
    is_foreign: bool,
    pub is_finished: bool,
}

struct Open {
    sort: Sort,
    text: String,
    /// Of a call: which, its id and its name.
    index: u64,
    id: String,
    name: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sort {
    Message,
    Refusal,
    Reasoning,
    Call,
}

impl Stream {
    pub(super) fn new(model: Value) -> Self {
        Self {
            id: next_id(),
            model,
            sequence: 0,
            output: Vec::new(),
            open: None,
            usage: None,
            incomplete: None,
            status: None,
            events: Vec::new(),
            has_begun: false,
            is_foreign: false,
            is_finished: false,
        }
    }

    /// Takes one piece, and gives the events that it makes.
    ///
    /// # Errors
    /// What was expected, if it is no piece.
    pub(super) fn push(&mut self, value: Value) -> Result<Vec<String>, String> {
        let mut map = match value {
            Value::String(text) => Map::from_iter([("content".to_owned(), text.into())]),
            Value::Object(map) => map,
            other => return Err(format!("expected a string or an object, got {}", describe(&other))),
        };
        let kind = map.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
        if kind.starts_with("response.") || kind == "error" {
            self.is_foreign = true;
            let ends = ["response.completed", "response.incomplete", "response.failed", "error"];
            self.is_finished |= ends.contains(&kind.as_str());
            return Ok(vec![Value::Object(map).to_string()]);
        }
        self.begin();
        // The chunks of thryd's own streams.
        match (kind.as_str(), map.remove("delta")) {
            ("content", Some(Value::String(delta))) => self.say(Sort::Message, &delta),
            ("reasoning", Some(Value::String(delta))) => self.say(Sort::Reasoning, &delta),
            ("tool-call", _) => {
                let text = |name: &str| map.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
                let index = map.get("index").and_then(Value::as_u64).unwrap_or(0);
                self.call(index, &text("id"), &text("name"), &text("arguments"));
            }
            _ if is_response(&map) || map.contains_key("usage") => {
                self.usage = map.remove("usage").map(in_input_and_output).or(self.usage.take());
                self.take(&mut map)?;
            }
            _ => return Err(format!("expected {EXPECTED}, or an event of the Responses API")),
        }
        Ok(std::mem::take(&mut self.events))
    }

    /// The events at the end of a stream that ended by itself.
    pub(super) fn end(&mut self) -> Vec<String> {
        if self.is_foreign || self.is_finished {
            return Vec::new();
        }
        self.is_finished = true;
        self.begin();
        self.close();
        let usage = self.usage.take();
        let answer = self.answer(usage);
        let kind = if answer["status"] == "incomplete" { "response.incomplete" } else { "response.completed" };
        self.event(kind, json!({ "response": answer }));
        std::mem::take(&mut self.events)
    }

    /// Takes an answer or a part of one.
    fn take(&mut self, partial: &mut Map<String, Value>) -> Result<(), String> {
        for name in ["output_text", "outputText"] {
            if let Some(text) = partial.remove(name) {
                partial.entry("content").or_insert(text);
            }
        }
        self.status = partial.remove("status").filter(Value::is_string).or(self.status.take());
        match finish_reason(partial).as_ref().and_then(Value::as_str) {
            Some("length") => self.incomplete = Some("max_output_tokens"),
            Some("content_filter") => self.incomplete = Some("content_filter"),
            _ => {}
        }
        let message = message(partial)?;
        for (name, sort) in [
            ("reasoning_content", Sort::Reasoning),
            ("reasoning", Sort::Reasoning),
            ("content", Sort::Message),
            ("refusal", Sort::Refusal),
        ] {
            match &message[name] {
                Value::Null => {}
                Value::String(text) => self.say(sort, text),
                other => return Err(format!("expected a string as `{name}`, got {}", describe(other))),
            }
        }
        for (index, call) in (0..).zip(message["tool_calls"].as_array().into_iter().flatten()) {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let function = &call["function"];
            self.call(index, &text(&call["id"]), &text(&function["name"]), &text(&function["arguments"]));
        }
        Ok(())
    }

    fn begin(&mut self) {
        if std::mem::replace(&mut self.has_begun, true) {
            return;
        }
        let mut begun = self.answer(None);
        begun["status"] = "in_progress".into();
        for kind in ["response.created", "response.in_progress"] {
            self.event(kind, json!({ "response": begun }));
        }
    }

    fn event(&mut self, kind: &str, mut event: Value) {
        if !self.has_begun {
            return;
        }
        event["type"] = kind.into();
        event["sequence_number"] = self.sequence.into();
        self.sequence += 1;
        self.events.push(event.to_string());
    }

    fn say(&mut self, sort: Sort, text: &str) {
        if text.is_empty() {
            return;
        }
        if self.open.as_ref().is_none_or(|open| open.sort != sort) {
            self.open(Open { sort, text: String::new(), index: 0, id: String::new(), name: String::new() });
        }
        self.append(text);
    }

    fn call(&mut self, index: u64, id: &str, name: &str, arguments: &str) {
        let goes_on =
            |open: &Open| open.sort == Sort::Call && open.index == index && (name.is_empty() || open.name == name);
        if !self.open.as_ref().is_some_and(goes_on) {
            let id = if id.is_empty() { format!("call_{index}") } else { id.to_owned() };
            self.open(Open { sort: Sort::Call, text: String::new(), index, id, name: name.to_owned() });
        }
        self.append(arguments);
    }

    fn open(&mut self, open: Open) {
        self.close();
        let item = open.item(self.output.len(), "in_progress");
        let (sort, index) = (open.sort, self.output.len());
        self.open = Some(open);
        self.event("response.output_item.added", json!({ "output_index": index, "item": item }));
        let part = sort.part("");
        match sort {
            Sort::Call => {}
            Sort::Reasoning => self.of_item("response.reasoning_summary_part.added", json!({ "part": part })),
            Sort::Message | Sort::Refusal => self.of_item("response.content_part.added", json!({ "part": part })),
        }
    }

    fn append(&mut self, text: &str) {
        let Some(open) = self.open.as_mut().filter(|_| !text.is_empty()) else { return };
        open.text.push_str(text);
        let kind = format!("response.{}.delta", open.sort.event());
        self.of_item(&kind, json!({ "delta": text }));
    }

    fn close(&mut self) {
        let Some((sort, text)) = self.open.as_ref().map(|open| (open.sort, open.text.clone())) else { return };
        let part = sort.part(&text);
        let field = if sort == Sort::Call {
            "arguments"
        } else if sort == Sort::Refusal {
            "refusal"
        } else {
            "text"
        };
        self.of_item(&format!("response.{}.done", sort.event()), json!({ field: text }));
        match sort {
            Sort::Call => {}
            Sort::Reasoning => self.of_item("response.reasoning_summary_part.done", json!({ "part": part })),
            Sort::Message | Sort::Refusal => self.of_item("response.content_part.done", json!({ "part": part })),
        }
        let Some(open) = self.open.take() else { return };
        let (index, item) = (self.output.len(), open.item(self.output.len(), "completed"));
        self.output.push(item.clone());
        self.event("response.output_item.done", json!({ "output_index": index, "item": item }));
    }

    /// An event about the item that is being written.
    fn of_item(&mut self, kind: &str, mut event: Value) {
        let Some(open) = &self.open else { return };
        event["item_id"] = open.item_id(self.output.len()).into();
        event["output_index"] = self.output.len().into();
        match open.sort {
            Sort::Call => {}
            Sort::Reasoning => event["summary_index"] = 0.into(),
            Sort::Message | Sort::Refusal => event["content_index"] = 0.into(),
        }
        if kind.starts_with("response.output_text.") {
            event["logprobs"] = json!([]);
        }
        self.event(kind, event);
    }

    fn answer(&self, usage: Option<Value>) -> Value {
        let status = self.incomplete.map_or("completed", |_| "incomplete");
        let mut answer = json!({
            "id": self.id,
            "object": "response",
            "created_at": 0,
            "status": self.status.clone().unwrap_or_else(|| status.into()),
            "error": null,
            "incomplete_details": self.incomplete.map(|reason| json!({ "reason": reason })),
            "model": self.model,
            "output": self.output,
        });
        if let Some(usage) = usage {
            answer["usage"] = usage;
        }
        answer
    }
}

impl Sort {
    /// What events call it.
    fn event(self) -> &'static str {
        match self {
            Self::Message => "output_text",
            Self::Refusal => "refusal",
            Self::Reasoning => "reasoning_summary_text",
            Self::Call => "function_call_arguments",
        }
    }

    fn part(self, text: &str) -> Value {
        match self {
            Self::Message => json!({ "type": "output_text", "text": text, "annotations": [] }),
            Self::Refusal => json!({ "type": "refusal", "refusal": text }),
            Self::Reasoning => json!({ "type": "summary_text", "text": text }),
            Self::Call => Value::Null,
        }
    }
}

impl Open {
    fn item_id(&self, place: usize) -> String {
        let prefix = match self.sort {
            Sort::Message | Sort::Refusal => "msg",
            Sort::Reasoning => "rs",
            Sort::Call => "fc",
        };
        format!("{prefix}_{place}")
    }

    fn item(&self, place: usize, status: &str) -> Value {
        let id = self.item_id(place);
        let parts = if status == "completed" { json!([self.sort.part(&self.text)]) } else { json!([]) };
        match self.sort {
            Sort::Message | Sort::Refusal => {
                json!({ "type": "message", "id": id, "status": status, "role": "assistant", "content": parts })
            }
            Sort::Reasoning => json!({ "type": "reasoning", "id": id, "summary": parts }),
            Sort::Call => json!({
                "type": "function_call", "id": id, "call_id": self.id, "name": self.name, "arguments": self.text, "status": status,
            }),
        }
    }
}
