//! Whatever a provider answers is read or refused without a panic, in memory that grows with it and no more, and what is
//! said of it is short and blames the right one.
//!
//! The first byte says what the rest is: the data of the events of a stream, of chat or of responses, one a line; a refusal,
//! after two bytes of status; or a whole answer.

#![no_main]

#[path = "../record/memory.rs"]
mod memory;

use http::{HeaderMap, HeaderValue};
use libfuzzer_sys::fuzz_target;
use thryd::Kind;
use thryd::connections::{Rejection, is_event_stream};
use thryd::error::{Failure, FailureClass};
use thryd::kinds::{Body, Chunk, Completion, CompletionRequest, EmbeddingRequest, Embeddings, ModelResponse, Ranking};
use thryd::kinds::{RerankRequest, ResponseAssembly, ResponsesRequest, StreamAssembly};
use thryd::provider::{classify, in_band, not_an_answer};

/// An empty list and an empty object are two bytes, and a parsed value forty, beside those that hold it.
const BYTES_PER_BYTE: usize = 256;

/// What reading takes that is given nothing: texts of messages, most of all.
const ROOM: usize = 64 << 10;

/// A first byte: what follows are events of the Responses API.
const RESPONSES: u8 = 3;

const MAX_MESSAGE_BYTES: usize = 500;
const MAX_BODY_BYTES: usize = 64 << 10;

fuzz_target!(|data: &[u8]| {
    let Some((what, rest)) = data.split_first() else { return };
    let ((), peak) = memory::peak(|| match *what {
        RESPONSES => a_stream_of_responses_is_what_it_showed(&String::from_utf8_lossy(rest)),
        what if what % 3 == 0 => a_stream_is_what_it_showed(&String::from_utf8_lossy(rest)),
        what if what % 3 == 1 => a_refusal_blames_the_right_one(rest),
        _ => a_whole_answer_is_read_or_named(rest),
    });
    let bound = BYTES_PER_BYTE * data.len() + ROOM;
    assert!(peak <= bound, "reading {} bytes took {peak} bytes of memory", data.len());
});

fn a_stream_is_what_it_showed(events: &str) {
    let (mut assembly, mut chunks) = (StreamAssembly::default(), Vec::new());
    for event in events.lines() {
        if let Some(failure) = in_band(event) {
            return check(&failure);
        }
        if let Err(failure) = assembly.push(event, &mut chunks) {
            return check(&failure);
        }
    }
    let shown = content(&chunks);
    assert_eq!(assembly.content(), shown);
    match assembly.finish() {
        Ok(answer) => {
            assert_eq!(answer.content, shown, "of {events:?}");
            let again = Completion::read(answer.raw(), &CompletionRequest::message("")).expect("it was an answer");
            assert_eq!((again.content, again.tool_calls), (answer.content, answer.tool_calls), "of {events:?}");
        }
        Err(failure) => check(&failure),
    }
}

fn a_stream_of_responses_is_what_it_showed(events: &str) {
    let (mut assembly, mut chunks) = (ResponseAssembly::default(), Vec::new());
    for event in events.lines() {
        if let Some(failure) = in_band(event) {
            return check(&failure);
        }
        if let Err(failure) = assembly.push(event, &mut chunks) {
            return check(&failure);
        }
    }
    assert_eq!(assembly.content(), content(&chunks));
    match assembly.finish() {
        Ok(answer) => a_response_is_what_its_stream_would_be(&answer),
        Err(failure) => check(&failure),
    }
}

/// Read once more, and as the events that a stream of it would have had, it is the same answer.
fn a_response_is_what_its_stream_would_be(answer: &ModelResponse) {
    let what = |answer: &ModelResponse| (answer.output_text.clone(), answer.tool_calls.clone(), answer.status.clone());
    let again = ModelResponse::read(answer.raw(), &responses_request()).expect("it was an answer");
    assert_eq!(what(&again), what(answer));
    let (mut assembly, mut chunks) = (ResponseAssembly::default(), Vec::new());
    for event in answer.events() {
        let Chunk::Event { data, .. } = event else { continue };
        assembly.push(&data, &mut chunks).expect("an event of ours");
    }
    let replayed = assembly.finish().expect("it has an end");
    assert_eq!(what(&replayed), what(answer));
    assert_eq!(content(&chunks), answer.output_text);
}

fn responses_request() -> ResponsesRequest {
    ModelResponse::request(Body::parse(r#"{"input":""}"#).expect("an object")).expect("a request")
}

fn content(chunks: &[Chunk]) -> String {
    chunks.iter().map(|chunk| if let Chunk::Content { delta } = chunk { delta.as_str() } else { "" }).collect()
}

fn a_refusal_blames_the_right_one(data: &[u8]) {
    let Some((status, body)) = data.split_at_checked(2) else { return };
    let status = 300 + u16::from_le_bytes([status[0], status[1]]) % 300;
    let (mut headers, body) = (HeaderMap::new(), String::from_utf8_lossy(body));
    // The first line is a header's, too.
    if let Ok(value) = HeaderValue::from_str(body.lines().next().unwrap_or_default()) {
        headers.insert("retry-after", value.clone());
        headers.insert("x-amzn-errortype", value);
    }
    let failure = classify(&Rejection { status, headers: &headers, body: &body });
    check(&failure);
    if matches!(status, 300..=399 | 401 | 402 | 404 | 408 | 429 | 500..) {
        assert_ne!(failure.class, FailureClass::Rejected, "{status} {body:?} is not the caller's fault");
    }
}

fn a_whole_answer_is_read_or_named(data: &[u8]) {
    let answer = data.to_vec().into();
    let reasons = [
        Completion::read(&answer, &CompletionRequest::message("")).err(),
        Embeddings::read(&answer, &EmbeddingRequest::input([""])).err(),
        Ranking::read(&answer, &RerankRequest::new("", [""])).err(),
        ModelResponse::read(&answer, &responses_request())
            .map(|response| a_response_is_what_its_stream_would_be(&response))
            .err(),
    ];
    for reason in reasons.into_iter().flatten() {
        check(&reason);
        check(&not_an_answer(&HeaderMap::new(), data, reason));
    }
    let is_stream = |content_type| is_event_stream(content_type, data, false);
    if is_stream(Some("application/json")) {
        assert!(is_stream(Some("text/event-stream")) && is_stream(None), "{data:?}");
    }
}

fn check(failure: &Failure) {
    assert!((1..=MAX_MESSAGE_BYTES).contains(&failure.message.len()), "{:?}", failure.message);
    assert!(failure.body.as_ref().is_none_or(|body| body.len() <= MAX_BODY_BYTES));
    assert!(failure.retry_after.is_none_or(|after| after.as_secs() <= 86_400), "{:?}", failure.retry_after);
}
