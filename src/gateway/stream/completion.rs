//! A streamed completion as events: `[DONE]` at its end, and its usage for whoever asked for it.

use memchr::memmem;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::json;

use super::{Events, push_event};
use crate::error::Error;
use crate::gateway::refusal::Refusal;
use crate::kinds::{Body, Chunk, Completion};
use crate::route::Answer;

/// See the module.
#[derive(Debug, Default)]
pub(in crate::gateway) struct CompletionEvents {
    pub shows_usage: bool,
    /// Whether the provider said what it took.
    has_usage: bool,
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
            let usage = usage_in(data);
            self.has_usage |= usage != Told::No;
            // It was asked for in the reader's name, and some readers expect a choice in every event.
            if self.shows_usage || usage != Told::Alone {
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
        if self.shows_usage && !self.has_usage {
            let mut event = self.last.as_deref().and_then(|last| Body::parse(last).ok()).unwrap_or_default();
            event.set("choices", &[(); 0]);
            event.set("usage", &answer.usage().wire());
            push_event(&mut text, &String::from_utf8_lossy(&event.write(&[])));
        }
        push_event(&mut text, "[DONE]");
        text
    }

    fn broken(&self, error: &Error) -> String {
        let mut text = String::new();
        push_event(&mut text, &json!({ "error": Refusal::from(error).error() }).to_string());
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
        let frame =
            ["id", "object", "created", "model", "choices", "system_fingerprint", "service_tier", "obfuscation"];
        frame.contains(&name)
    };
    let says_more = event.iter().any(|(name, raw)| !is_frame(name) && raw != "null");
    says_more.then(|| String::from_utf8_lossy(&event.write(&[])).into_owned())
}

/// Whether an event says what the answer took.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Told {
    No,
    /// With something of the answer.
    Beside,
    /// And nothing else.
    Alone,
}

fn usage_in(data: &str) -> Told {
    #[derive(Deserialize)]
    struct Event {
        #[serde(default)]
        choices: Option<Vec<IgnoredAny>>,
        #[serde(default)]
        usage: Option<IgnoredAny>,
    }
    if memmem::find(data.as_bytes(), b"\"usage\"").is_none() {
        return Told::No;
    }
    match serde_json::from_str(data) {
        Ok(Event { usage: Some(_), choices }) if choices.as_ref().is_none_or(Vec::is_empty) => Told::Alone,
        Ok(Event { usage: Some(_), .. }) => Told::Beside,
        _ => Told::No,
    }
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
        assert!(usage_in(r#"{"choices":[],"usage":{"total_tokens":1}}"#) == Told::Alone);
        assert!(usage_in(r#"{"usage":{}}"#) == Told::Alone);
        assert!(usage_in(r#"{"choices":[{"index":0}],"usage":{}}"#) == Told::Beside);
        for nothing in [
            r#"{"choices":[],"usage":null}"#,
            r#"{"choices":[]}"#,
            r#"{"choices":[{"delta":{"content":"\"usage\""}}]}"#,
        ] {
            assert!(usage_in(nothing) == Told::No, "{nothing}");
        }
    }
}
