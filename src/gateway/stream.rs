//! A streamed answer as server-sent events: the provider's own, and `[DONE]` only after a whole answer.

use std::sync::{Mutex, MutexGuard, PoisonError};

use memchr::memmem;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::json;

use super::refusal::Refusal;
use super::response::{Head, Response, origin};
use crate::error::{Error, ErrorKind};
use crate::kinds::{Body, Chunk};
use crate::route::{Batch, CompletionStream, Hosts, Origin, Poll};

/// What one read gives.
#[derive(Debug)]
pub enum Part {
    /// The first: what comes before the body, and its beginning.
    Begin(Head, String),
    /// More of the body.
    More(String),
    /// The end of the body. There is nothing after it.
    End(String),
    /// An answer of another kind instead, because nothing has come. There is nothing after it.
    Refused(Response),
    /// The body ends early: the event that says so, and why. There is nothing after it.
    Broken(String, Error),
}

/// A streamed answer, for one reader. Dropping it cancels, as with [`CompletionStream`].
#[derive(Debug)]
pub struct ResponseStream {
    stream: CompletionStream,
    shows_usage: bool,
    hosts: Hosts,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    has_begun: bool,
    /// Whether the provider said what it took.
    has_usage: bool,
    /// The first fields of the last event that was seen, for one that is written here.
    last: Option<String>,
    /// What comes after the beginning, if all was there at once.
    end: Option<String>,
}

impl ResponseStream {
    pub(super) fn new(stream: CompletionStream, shows_usage: bool, hosts: Hosts) -> Self {
        Self { stream, shows_usage, hosts, state: Mutex::default() }
    }

    /// What has arrived, without waiting; `None` if nothing has. Needs the context of a Tokio runtime.
    #[must_use]
    pub fn try_next(&self) -> Option<Part> {
        if let Some(end) = self.state().end.take() {
            return Some(Part::End(end));
        }
        loop {
            match self.stream.try_next() {
                Poll::Waiting => return None,
                Poll::Ready(batch) => {
                    if let Some(part) = self.part(batch) {
                        return Some(part);
                    }
                }
            }
        }
    }

    /// What has arrived, waiting for something to arrive.
    pub async fn next(&self) -> Part {
        if let Some(end) = self.state().end.take() {
            return Part::End(end);
        }
        loop {
            if let Some(part) = self.part(self.stream.next().await) {
                return part;
            }
        }
    }

    /// Leaves the call.
    pub fn cancel(&self) {
        self.stream.cancel();
    }

    /// What a failure is to the reader, as far as it has read: another answer, or the end of this one. There is nothing after it.
    pub fn fail(&self, error: Error) -> Part {
        let refusal = Refusal::of(&error, &self.hosts);
        if !self.state().has_begun {
            return Part::Refused(refusal.into());
        }
        // Clients of OpenAI's fail at an event with an `error`; no such client fails at a body that only ends.
        let mut text = String::new();
        push_event(&mut text, &json!({ "error": refusal.error() }).to_string());
        Part::Broken(text, error)
    }

    /// `None` if nothing of it is for the reader.
    fn part(&self, batch: Option<Result<Batch, Error>>) -> Option<Part> {
        let mut state = self.state();
        let (origin, text) = match batch {
            Some(Ok(Batch::Chunks(chunks))) => {
                let text = self.text(&mut state, &chunks);
                if text.is_empty() {
                    return None;
                }
                (self.stream.origin(), text)
            }
            Some(Ok(Batch::End(answer))) => {
                let mut text = String::new();
                if self.shows_usage && !state.has_usage {
                    let mut event = state.last.as_deref().and_then(|last| Body::parse(last).ok()).unwrap_or_default();
                    event.set("choices", &[(); 0]);
                    event.set("usage", &answer.usage().wire());
                    push_event(&mut text, &String::from_utf8_lossy(&event.write(&[])));
                }
                push_event(&mut text, "[DONE]");
                if state.has_begun {
                    return Some(Part::End(text));
                }
                state.end = Some(String::new());
                (Some(origin(&answer)), text)
            }
            Some(Err(error)) => {
                drop(state);
                return Some(self.fail(error));
            }
            // Never a clean end without a whole answer.
            None => return Some(Part::Broken(String::new(), ErrorKind::Cancelled.into())),
        };
        if std::mem::replace(&mut state.has_begun, true) {
            return Some(Part::More(text));
        }
        let mut head = Head::new(200, "text/event-stream; charset=utf-8");
        head.headers.push(("cache-control", "no-cache".to_owned()));
        let head = origin.as_ref().map_or_else(|| head.clone(), |origin: &Origin| head.clone().from(origin));
        Some(Part::Begin(head, text))
    }

    fn text(&self, state: &mut State, chunks: &[Chunk]) -> String {
        let mut text = String::with_capacity(chunks.len() * 256);
        for chunk in chunks {
            let Chunk::Event { data } = chunk else { continue };
            let usage = usage_in(data);
            state.has_usage |= usage != Told::No;
            // It was asked for in the reader's name, and some readers expect a choice in every event.
            if self.shows_usage || usage != Told::Alone {
                push_event(&mut text, data);
            } else if let Some(rest) = without_usage(data) {
                push_event(&mut text, &rest);
            }
        }
        if let Some(Chunk::Event { data }) = chunks.last().filter(|_| self.shows_usage && state.last.is_none()) {
            state.last = head_of(data);
        }
        text
    }

    // A std mutex: nothing is awaited while it is held.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
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

/// One event. Whatever came in lines goes out in lines.
fn push_event(text: &mut String, data: &str) {
    for line in data.split(['\n', '\r']) {
        text.push_str("data: ");
        text.push_str(line);
        text.push('\n');
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_of_several_lines_is_still_one() {
        let mut text = String::new();
        push_event(&mut text, "{\n\"a\":1}");
        assert_eq!(text, "data: {\ndata: \"a\":1}\n\n");
    }

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
