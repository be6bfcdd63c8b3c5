//! OpenAI's Responses API: what may be asked, what is read of an answer and of a stream, and who is asked.

#[path = "../ask/mod.rs"]
mod ask;
#[path = "../dummies/mod.rs"]
mod dummies;
mod kind;
mod laws;
mod providers;
mod routed;
mod state;
mod streams;
#[path = "../support/mod.rs"]
mod support;

use serde_json::{Value, json};
use thryd::Kind;
use thryd::error::Failure;
use thryd::kinds::{Body, Chunk, ModelResponse, ResponseAssembly, ResponsesRequest};

fn request(body: &Value) -> ResponsesRequest {
    ModelResponse::request(Body::parse(&body.to_string()).unwrap()).unwrap()
}

fn hi() -> ResponsesRequest {
    ResponsesRequest::input("hi")
}

fn read(answer: &str) -> Result<ModelResponse, Failure> {
    ModelResponse::read(&answer.to_owned().into(), &hi())
}

/// An answer of one message.
fn said(id: &str, text: &str) -> Value {
    json!({
        "id": id, "object": "response", "created_at": 1, "status": "completed", "error": null, "model": "served",
        "output": [{
            "type": "message", "id": "msg_1", "status": "completed", "role": "assistant",
            "content": [{ "type": "output_text", "text": text, "annotations": [] }],
        }],
        "usage": { "input_tokens": 3, "output_tokens": 2, "total_tokens": 5 },
    })
}

/// The events of an answer, as it would have been streamed.
fn events(answer: &Value) -> Vec<String> {
    let data = |chunk| match chunk {
        Chunk::Event { data } => data,
        other => panic!("{other:?} is no event"),
    };
    read(&answer.to_string()).unwrap().events().into_iter().map(data).collect()
}

/// What events say, and the answer that they make.
fn heard<'a>(events: impl IntoIterator<Item = &'a str>) -> (Vec<Chunk>, Result<ModelResponse, Failure>) {
    let (mut assembly, mut chunks) = (ResponseAssembly::default(), Vec::new());
    for event in events {
        if let Err(failure) = assembly.push(event, &mut chunks) {
            return (chunks, Err(failure));
        }
    }
    (chunks, assembly.finish())
}

fn content_of(chunks: &[Chunk]) -> String {
    let content = |chunk: &Chunk| match chunk {
        Chunk::Content { delta } => delta.clone(),
        _ => String::new(),
    };
    chunks.iter().map(content).collect()
}
