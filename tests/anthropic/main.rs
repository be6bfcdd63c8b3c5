//! Anthropic's dialect: what goes out as messages, and what comes back as a chat completion.

mod answers;
#[path = "../ask/mod.rs"]
mod ask;
mod back;
#[path = "../dummies/mod.rs"]
mod dummies;
mod laws;
mod requests;
mod routed;
mod streams;
#[path = "../support/mod.rs"]
mod support;

use std::sync::Arc;

use ask::{call, http, keyed};
use bytes::Bytes;
use serde_json::Value;
use thryd::Kind;
use thryd::error::Failure;
use thryd::kinds::{Body, Chunk, Completion, CompletionRequest, StreamAssembly};
use thryd::provider::Provider;

fn anthropic() -> Arc<dyn Provider> {
    keyed("anthropic")
}

fn request(body: &Value) -> CompletionRequest {
    Completion::request(Body::parse(&body.to_string()).unwrap()).unwrap()
}

/// What goes out for a request.
fn written(body: &Value) -> Value {
    serde_json::from_slice(&http::<Completion>(&*anthropic(), &request(body), false).body).unwrap()
}

/// A whole answer, in OpenAI's form.
fn read(answer: &Value) -> Result<Value, Failure> {
    let asked = CompletionRequest::message("a");
    let read = anthropic().read(&call::<Completion>(&asked, false), answer.to_string().into())?;
    Ok(serde_json::from_slice(&read).unwrap())
}

fn completion(answer: &Value) -> Completion {
    let raw = Bytes::from(read(answer).unwrap().to_string());
    Completion::read(&raw, &CompletionRequest::message("a")).unwrap()
}

/// What a stream of these events says, and how it ends.
fn stream<'a>(events: impl IntoIterator<Item = &'a str>) -> (Vec<Chunk>, Result<Completion, Failure>) {
    let asked = CompletionRequest::message("a");
    let mut reader = anthropic().event_reader(&call::<Completion>(&asked, true)).unwrap();
    let (mut assembly, mut chunks) = (StreamAssembly::default(), Vec::new());
    for event in events {
        let data = match reader.read(event.to_owned()) {
            Ok(Some(data)) => data,
            Ok(None) => continue,
            Err(failure) => return (chunks, Err(failure)),
        };
        if let Some(failure) = thryd::provider::in_band(&data) {
            return (chunks, Err(failure));
        }
        if let Err(failure) = assembly.push(&data, &mut chunks) {
            return (chunks, Err(failure));
        }
    }
    (chunks, assembly.finish())
}

fn raw(completion: &Completion) -> Value {
    serde_json::from_slice(completion.raw()).unwrap()
}
