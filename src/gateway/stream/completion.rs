//! A streamed completion as events: `[DONE]` at its end, and its usage for whoever asked for it.

use memchr::memmem;
use serde_json::{Value, json};

use super::{Events, push_event};
use crate::gateway::refusal::Refusal;
use crate::kinds::{Body, Chunk, Completion};
use crate::route::Answer;

/// See the module.
#[derive(Debug, Default)]
pub(in crate::gateway) struct CompletionEvents {
    pub shows_usage: bool,
    /// The first fields of the last event that was seen, for one that is written here.
    last: Option<String>,
}

impl CompletionEvents {
    pub fn new(shows_usage: bool) -> Self {
        Self { shows_usage, ..Self::default() }
    }
}

impl Events<Completion> for CompletionEvents {
    fn text(&mut self, chunks: &[Chunk]) -> String {
        let mut text = String::with_capacity(chunks.len() * 256);
        for chunk in chunks {
            let Chunk::Event { data } = chunk else { continue };
            // It was asked for in the reader's name, and some readers expect a choice in every event.
            if self.shows_usage || !has_usage(data) {
                push_event(&mut text, data);
            } else if let Some(rest) = without_usage(data) {
                push_event(&mut text, &rest);
            }
        }
        if let Some(Chunk::Event { data }) = chunks.last().filter(|_| self.shows_usage && self.last.is_none()) {
            self.last = head_of(data);
        }
        text
    }

    fn end(&mut self, answer: &Answer<Completion>) -> String {
        let mut text = String::new();
        if self.shows_usage && answer.usage().estimated {
            let mut event = self.last.as_deref().and_then(|last| Body::parse(last).ok()).unwrap_or_default();
            event.set("choices", &[(); 0]);
            event.set("usage", &answer.usage().wire());
            push_event(&mut text, &String::from_utf8_lossy(&event.write(&[])));
        }
        push_event(&mut text, "[DONE]");
        text
    }

    fn broken(&self, refusal: &Refusal) -> String {
        let mut text = String::new();
        push_event(&mut text, &json!({ "error": refusal.error() }).to_string());
        text
    }
}

/// What every event of a stream begins with.
fn head_of(data: &str) -> Option<String> {
    let mut event = Body::parse(data).ok()?;
    let names: Vec<String> = event.iter().map(|(name, _)| name.to_owned()).collect();
    let is_kept = |name: &str| matches!(name, "id" | "object" | "created" | "model");
    for name in names.iter().filter(|name| !is_kept(name)) {
        event.remove(name);
    }
    Some(String::from_utf8_lossy(&event.write(&[])).into_owned())
}

/// An event without its usage, if it says anything else.
fn without_usage(data: &str) -> Option<String> {
    let mut event = Body::parse(data).ok()?;
    event.remove("usage");
    let is_frame = |name: &str| {
        let frame = ["id", "object", "created", "model", "system_fingerprint", "service_tier", "obfuscation"];
        frame.contains(&name)
    };
    // LiteLLM puts a choice beside it that says nothing.
    let choices: Vec<Value> = event.read("choices", "").ok().flatten().unwrap_or_default();
    let has_choice = !choices.iter().all(says_nothing);
    let says_more = has_choice || event.iter().any(|(name, raw)| !is_frame(name) && name != "choices" && raw != "null");
    says_more.then(|| String::from_utf8_lossy(&event.write(&[])).into_owned())
}

/// Whether nothing stands in it but its place.
fn says_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(fields) => fields.iter().all(|(name, value)| name == "index" || says_nothing(value)),
        _ => false,
    }
}

/// Whether an event says what the answer took.
fn has_usage(data: &str) -> bool {
    memmem::find(data.as_bytes(), b"\"usage\"").is_some()
        && Body::parse(data).is_ok_and(|event| event.get("usage").is_some_and(|usage| usage != "null"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_beside_a_usage_that_was_not_asked_for_is_kept() {
        let event = r#"{"id":"1","choices":[],"usage":{"total_tokens":1},"citations":["a"]}"#;
        assert_eq!(without_usage(event).as_deref(), Some(r#"{"id":"1","choices":[],"citations":["a"]}"#));
        assert_eq!(without_usage(r#"{"id":"1","choices":[],"usage":{"total_tokens":1},"x":null}"#), None);
    }

    #[test]
    fn only_an_event_of_nothing_else_is_kept_from_who_did_not_ask() {
        assert_eq!(without_usage(r#"{"choices":[],"usage":{"total_tokens":1}}"#), None);
        assert_eq!(without_usage(r#"{"usage":{}}"#), None);
        // As LiteLLM's proxy ends a stream.
        assert_eq!(without_usage(r#"{"choices":[{"index":0,"delta":{}}],"usage":{"total_tokens":8}}"#), None);
        for something in [r#"{"index":0,"delta":{"content":""}}"#, r#"{"index":0,"delta":{},"finish_reason":"stop"}"#] {
            let beside = without_usage(&format!(r#"{{"choices":[{something}],"usage":{{}}}}"#));
            assert_eq!(beside, Some(format!(r#"{{"choices":[{something}]}}"#)));
        }
        for nothing in [
            r#"{"choices":[],"usage":null}"#,
            r#"{"choices":[]}"#,
            r#"{"choices":[{"delta":{"content":"\"usage\""}}]}"#,
        ] {
            assert!(!has_usage(nothing), "{nothing}");
        }
    }
}
