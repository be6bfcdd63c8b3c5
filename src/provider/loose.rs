//! Answers as people write them (a string, a list of vectors) to the kinds' wire forms: for scripted and custom
//! providers.

mod response;

use serde_json::{Map, Value, json};

use crate::fields::describe;
use crate::kinds::{Completion, Embeddings, Kind, ModelResponse, Ranking, text_pieces};

/// A whole answer in the kind's wire form.
///
/// # Errors
/// What was expected, if the value is no such answer.
pub(super) fn whole(kind: &str, model: &str, value: Value) -> Result<Value, String> {
    match kind {
        Completion::NAME => completion(model, value),
        Embeddings::NAME => embeddings(model, value),
        Ranking::NAME => ranking(model, value),
        ModelResponse::NAME => response::whole(model, value),
        _ if value.is_object() => Ok(value),
        _ => Err(format!("expected an object, got {}", describe(&value))),
    }
}

fn completion(model: &str, value: Value) -> Result<Value, String> {
    let mut partial = match value {
        Value::String(content) => Map::from_iter([("content".to_owned(), content.into())]),
        Value::Object(map) if map.contains_key("choices") => return Ok(map.into()),
        Value::Object(map) if is_partial(&map) => map,
        other => {
            let expected = "a string, an object with `choices`, or one with `content` or `tool_calls`";
            return Err(format!("expected {expected}, got {}", describe(&other)));
        }
    };
    let usage = partial.remove("usage");
    let message = message(&mut partial)?;
    let finish_reason = finish_reason(&mut partial).unwrap_or_else(|| finish_of(&message).into());
    let mut answer = json!({
        "id": "local",
        "object": "chat.completion",
        "created": 0,
        "model": partial.remove("model").unwrap_or_else(|| model.into()),
        "choices": [{ "index": 0, "message": message, "finish_reason": finish_reason }],
    });
    if let Some(usage) = usage {
        answer["usage"] = usage;
    }
    Ok(answer)
}

/// Whether an object is a message or part of one.
fn is_partial(map: &Map<String, Value>) -> bool {
    ["content", "tool_calls", "toolCalls", "reasoning_content", "refusal"].iter().any(|name| map.contains_key(*name))
}

fn finish_of(message: &Value) -> &'static str {
    if message.get("tool_calls").is_some() { "tool_calls" } else { "stop" }
}

fn finish_reason(partial: &mut Map<String, Value>) -> Option<Value> {
    partial.remove("finish_reason").or_else(|| partial.remove("finishReason")).filter(|reason| !reason.is_null())
}

/// An assistant's message from its parts.
fn message(partial: &mut Map<String, Value>) -> Result<Value, String> {
    let mut message = json!({ "role": "assistant", "content": partial.remove("content").unwrap_or(Value::Null) });
    for name in ["reasoning_content", "reasoning", "refusal"] {
        if let Some(value) = partial.remove(name) {
            message[name] = value;
        }
    }
    let calls = partial.remove("tool_calls").or_else(|| partial.remove("toolCalls"));
    match calls {
        None | Some(Value::Null) => {}
        Some(Value::Array(calls)) if calls.is_empty() => {}
        Some(Value::Array(calls)) => {
            message["tool_calls"] = calls.into_iter().zip(0..).map(tool_call).collect::<Result<Value, _>>()?;
        }
        Some(other) => return Err(format!("expected an array as `tool_calls`, got {}", describe(&other))),
    }
    Ok(message)
}

/// A tool call in OpenAI's form, from that or from `{ id, name, arguments }`; arguments may be an object.
fn tool_call((call, place): (Value, usize)) -> Result<Value, String> {
    let Value::Object(mut call) = call else {
        return Err(format!("expected an object as a tool call, got {}", describe(&call)));
    };
    let mut function = match call.remove("function") {
        Some(Value::Object(function)) => function,
        _ => call.clone(),
    };
    let name = function.remove("name").filter(Value::is_string).ok_or("a tool call has no name")?;
    let arguments = match function.remove("arguments") {
        None | Some(Value::Null) => Value::from("{}"),
        Some(Value::String(text)) => text.into(),
        Some(other) => other.to_string().into(),
    };
    let id = call.remove("id").filter(Value::is_string).unwrap_or_else(|| format!("call_{place}").into());
    Ok(json!({ "id": id, "type": "function", "function": { "name": name, "arguments": arguments } }))
}

fn embeddings(model: &str, value: Value) -> Result<Value, String> {
    let (vectors, usage) = match value {
        Value::Object(map) if map.contains_key("data") => return Ok(map.into()),
        Value::Object(mut map) if map.contains_key("vectors") => (map.remove("vectors"), map.remove("usage")),
        other => (Some(other), None),
    };
    let vectors = match vectors {
        Some(Value::Array(vectors)) if vectors.iter().all(Value::is_array) => vectors,
        other => return Err(format!("expected an array of vectors, got {}", describe(&other.unwrap_or_default()))),
    };
    let data: Vec<_> =
        vectors.into_iter().enumerate().map(|(index, vector)| json!({ "index": index, "embedding": vector })).collect();
    Ok(with_usage(json!({ "object": "list", "data": data, "model": model }), usage))
}

fn ranking(model: &str, value: Value) -> Result<Value, String> {
    let (results, usage) = match value {
        Value::Object(mut map) if map.contains_key("results") => (map.remove("results"), map.remove("usage")),
        other => (Some(other), None),
    };
    let Some(Value::Array(items)) = results else {
        return Err(format!("expected an array of {{ index, score }}, got {}", describe(&results.unwrap_or_default())));
    };
    let items =
        items.into_iter().map(|item| match (item.get("index"), item.get("relevance_score").or(item.get("score"))) {
            (Some(index), Some(score)) => Ok(json!({ "index": index, "relevance_score": score })),
            _ => Err(format!("expected {{ index, score }}, got {}", describe(&item))),
        });
    let results = items.collect::<Result<Vec<_>, _>>()?;
    Ok(with_usage(json!({ "results": results, "model": model }), usage))
}

fn with_usage(mut answer: Value, usage: Option<Value>) -> Value {
    if let Some(usage) = usage {
        answer["usage"] = usage;
    }
    answer
}

/// The data of one event of a stream.
pub(super) struct Event {
    pub data: String,
    /// Whether it is a piece of the answer itself: not the role, the finish or the usage.
    pub is_token: bool,
}

/// The events that stream a whole answer of a kind that can be streamed.
pub(super) fn events(kind: &str, whole: &Value) -> Vec<Event> {
    if kind == ModelResponse::NAME { response::events(whole) } else { completion_events(whole) }
}

/// The events of a completion: a role, a word an event, each tool call, the finish, the usage.
fn completion_events(whole: &Value) -> Vec<Event> {
    let event = |choices: Value| json!({ "id": whole["id"], "object": "chat.completion.chunk", "model": whole["model"], "choices": choices });
    let delta = |index: &Value, delta: Value| event(json!([{ "index": index, "delta": delta, "finish_reason": null }]));
    let mut events = Vec::new();
    let mut push = |event: &Value, is_token| events.push(Event { data: event.to_string(), is_token });
    for choice in whole["choices"].as_array().into_iter().flatten() {
        let (index, message) = (&choice["index"], &choice["message"]);
        push(&delta(index, json!({ "role": "assistant", "content": "" })), false);
        for name in ["reasoning_content", "content"] {
            for piece in text_pieces(message[name].as_str().unwrap_or_default(), 1) {
                push(&delta(index, Map::from_iter([(name.to_owned(), piece.into())]).into()), true);
            }
        }
        for (place, call) in message["tool_calls"].as_array().into_iter().flatten().enumerate() {
            let mut call = call.clone();
            call["index"] = place.into();
            push(&delta(index, json!({ "tool_calls": [call] })), true);
        }
        push(&event(json!([{ "index": index, "delta": {}, "finish_reason": choice["finish_reason"] }])), false);
    }
    if let Some(usage) = whole.get("usage") {
        let mut last = event(json!([]));
        last["usage"] = usage.clone();
        push(&last, false);
    }
    events
}

/// A stream that somebody writes piece by piece.
pub(super) enum Streamed {
    /// A completion, and whether its finish was said.
    Completion(bool),
    /// A model response.
    Response(Box<response::Stream>),
}

impl Streamed {
    /// A stream of this kind; `None` if it cannot be streamed.
    pub fn new(kind: &str, model: &str) -> Option<Self> {
        match kind {
            Completion::NAME => Some(Self::Completion(false)),
            ModelResponse::NAME => Some(Self::Response(Box::new(response::Stream::new(model.into())))),
            _ => None,
        }
    }

    /// Takes one piece, and gives the events that it makes.
    ///
    /// # Errors
    /// What was expected, if the value is no such piece.
    pub fn push(&mut self, value: Value) -> Result<Vec<String>, String> {
        match self {
            Self::Completion(is_finished) => {
                let (event, finishes) = event(value)?;
                *is_finished |= finishes;
                Ok(vec![event])
            }
            Self::Response(stream) => stream.push(value),
        }
    }

    /// The events at the end of a stream that simply ended, which say so.
    pub fn end(&mut self) -> Vec<String> {
        match self {
            Self::Completion(true) => Vec::new(),
            Self::Completion(false) => vec![content_event(&json!({}), Some("stop"))],
            Self::Response(stream) => stream.end(),
        }
    }
}

/// One piece of a streamed completion as an event, and whether it says that the answer is finished.
///
/// # Errors
/// What was expected, if the value is no such piece.
fn event(value: Value) -> Result<(String, bool), String> {
    let mut map = match value {
        Value::String(content) => return Ok((content_event(&json!({ "content": content }), None), false)),
        Value::Object(map) => map,
        other => return Err(format!("expected a string or an object, got {}", describe(&other))),
    };
    if let Some(choices) = map.get("choices") {
        let is_finished = choices.as_array().into_iter().flatten().any(|choice| choice["finish_reason"].is_string());
        return Ok((Value::Object(map).to_string(), is_finished));
    }
    // The chunks of thryd's own streams.
    let delta = match (map.get("type").and_then(Value::as_str), map.get("delta")) {
        (Some("content"), Some(delta)) => json!({ "content": delta }),
        (Some("reasoning"), Some(delta)) => json!({ "reasoning_content": delta }),
        (Some("tool-call"), _) => {
            let function = json!({ "name": map.get("name"), "arguments": map.get("arguments") });
            json!({ "tool_calls": [{ "index": map.get("index"), "id": map.get("id"), "type": "function", "function": function }] })
        }
        _ if is_partial(&map) || map.contains_key("usage") => {
            let usage = map.remove("usage");
            let finish = finish_reason(&mut map);
            let is_finished = finish.is_some();
            let message = message(&mut map)?;
            let choice = json!({ "index": 0, "delta": message, "finish_reason": finish });
            return Ok((with_usage(json!({ "choices": [choice] }), usage).to_string(), is_finished));
        }
        _ => {
            return Err(
                "expected a string, an event with `choices`, or an object with `content` or `tool_calls`".to_owned()
            );
        }
    };
    Ok((content_event(&delta, None), false))
}

fn content_event(delta: &Value, finish_reason: Option<&str>) -> String {
    json!({ "choices": [{ "index": 0, "delta": delta, "finish_reason": finish_reason }] }).to_string()
}
