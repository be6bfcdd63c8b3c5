//! A streamed model response as events, each named by its type. The last one is held until the answer is known to be whole.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::json;

use super::{Events, push_event};
use crate::gateway::answer::with_usage;
use crate::gateway::refusal::Refusal;
use crate::kinds::{Body, Chunk, ModelResponse};
use crate::route::Answer;

/// See the module.
#[derive(Debug, Default)]
pub(in crate::gateway) struct ResponseEvents {
    /// The last event, which ends the stream.
    last: Option<String>,
    /// What the next event's number is.
    next: u64,
}

/// What is read of an event.
#[derive(Default, Deserialize)]
struct Event<'a> {
    #[serde(rename = "type", borrow, default)]
    kind: Option<Cow<'a, str>>,
    #[serde(default)]
    sequence_number: Option<u64>,
}

impl Events<ModelResponse> for ResponseEvents {
    fn text(&mut self, chunks: &[Chunk]) -> String {
        let mut text = String::with_capacity(chunks.len() * 256);
        for chunk in chunks {
            let Chunk::Event { data } = chunk else { continue };
            let event: Event<'_> = serde_json::from_str(data).unwrap_or_default();
            self.next = event.sequence_number.map_or(self.next, |number| number.saturating_add(1));
            match event.kind.as_deref() {
                Some("response.completed" | "response.incomplete") => self.last = Some(data.clone()),
                kind => push_named(&mut text, kind, data),
            }
        }
        text
    }

    fn end(&mut self, answer: &Answer<ModelResponse>) -> String {
        let mut text = String::new();
        if let Some(last) = self.last.take() {
            let event: Event<'_> = serde_json::from_str(&last).unwrap_or_default();
            push_named(&mut text, event.kind.as_deref(), &mended(&last, answer).unwrap_or_else(|| last.clone()));
        }
        text
    }

    fn broken(&self, refusal: &Refusal) -> String {
        let error = refusal.error();
        // Clients differ in where they look for it.
        let mut event = json!({ "type": "error", "sequence_number": self.next, "error": error });
        for name in ["code", "message", "param"] {
            event[name] = error[name].clone();
        }
        let mut text = String::new();
        push_named(&mut text, Some("error"), &event.to_string());
        text
    }
}

/// The last event with the whole answer, if it lacks some of what came before it, and with the usage that was counted here, if
/// the provider reported none. `None` if it lacks nothing.
fn mended(last: &str, answer: &Answer<ModelResponse>) -> Option<String> {
    let mut event = Body::parse(last).ok()?;
    let lacks_some = answer.is_more_than(event.get("response"));
    if !lacks_some && !answer.usage().estimated {
        return None;
    }
    let mut response: Body = if lacks_some {
        serde_json::from_slice(answer.raw()).ok()?
    } else {
        event.read("response", "").ok().flatten().unwrap_or_default()
    };
    if answer.usage().estimated {
        response = with_usage(response, &answer.usage().response_wire());
    }
    event.set("response", &response);
    Some(String::from_utf8_lossy(&event.write(&[])).into_owned())
}

fn push_named(text: &mut String, kind: Option<&str>, data: &str) {
    if let Some(kind) = kind.filter(|kind| !kind.contains(['\n', '\r'])) {
        text.push_str("event: ");
        text.push_str(kind);
        text.push('\n');
    }
    push_event(text, data);
}
