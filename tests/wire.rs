//! The wire: whatever chat completions carry goes through the router in both directions, to the byte, known or unknown.
//!
//! The bodies are data (`tests/fixtures/wire`), so that a field that is missing in them is seen: all that OpenAI's own
//! client for Node, version 7.57, says a request, an answer and a stream may hold, and what others add to it.

mod support;

use serde_json::value::RawValue;
use serde_json::{Value, json};
use support::{Reply, Server};
use thryd::Kind;
use thryd::kinds::{Body, Chunk, Completion, CompletionRequest, EmbeddingRequest, Embeddings, Field, Usage};
use thryd::options::{DeployOptions, InvokeOptions, RouterOptions, StreamOptions};
use thryd::provider::ProviderOptions;
use thryd::route::retry::RetryOptions;
use thryd::route::{Answer, Batch, Router};

const REQUEST: &str = include_str!("fixtures/wire/request.json");
const ANSWER: &str = include_str!("fixtures/wire/answer.json");
const STREAM: &str = include_str!("fixtures/wire/stream.jsonl");
const ASSEMBLED: &str = include_str!("fixtures/wire/assembled.json");

/// Fields of the request that are no standard: of one provider, or of none.
const UNKNOWN: [&str; 3] = ["x_provider", "x_big", "chat_template_kwargs"];

/// The request on one line, as it is sent: its fields stand one on a line.
fn request_text() -> String {
    REQUEST.lines().collect()
}

fn request() -> CompletionRequest {
    Completion::request(Body::parse(REQUEST).unwrap()).unwrap()
}

fn router(kind: &str, server: &Server) -> Router<Completion> {
    let retry = RetryOptions { max_retries: 0, ..RetryOptions::default() };
    let router = Router::new(RouterOptions { retry, ..RouterOptions::default() }).unwrap();
    let options = ProviderOptions::new(kind).name("p").base_url(server.url("/v1")).api_key("sk-key");
    router.add_provider(options).unwrap();
    router.deploy("default", "p::m", DeployOptions::default()).unwrap();
    router
}

/// What a server received that was asked for a whole answer or for a stream, and what came of it.
async fn exchange(
    kind: &str,
    request: &CompletionRequest,
    is_stream: bool,
) -> (String, Vec<Chunk>, Answer<Completion>) {
    let server = Server::start(move |_| {
        let events = || STREAM.lines().fold(Reply::stream(), Reply::event).done();
        if is_stream { events() } else { Reply::json(200, ANSWER.trim_end()) }
    })
    .await;
    let router = router(kind, &server);
    let (mut shown, answer) = if is_stream {
        let stream = router.stream("default", request, StreamOptions::default()).unwrap();
        let mut shown = Vec::new();
        loop {
            match stream.next().await.unwrap().unwrap() {
                Batch::Chunks(chunks) => shown.extend(chunks),
                Batch::End(answer) => break (shown, *answer),
            }
        }
    } else {
        (Vec::new(), router.invoke("default", request.clone(), InvokeOptions::default()).await.unwrap())
    };
    shown.retain(|chunk| !matches!(chunk, Chunk::Content { delta } if delta.is_empty()));
    (server.requests()[0].text().to_owned(), shown, answer)
}

fn json_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn a_field_that_openai_documents_is_one_that_somebody_decided_about() {
    let body = Body::parse(REQUEST).unwrap();
    for (name, _) in body.iter().filter(|(name, _)| !UNKNOWN.contains(name)) {
        assert!(
            Field::of(name).is_some(),
            "{name} is in no row of src/kinds/field.rs, so the cache's key has not heard of it"
        );
    }
    // Of a stream, or under another name; the rest are of embeddings, reranking and responses (`tests/responses`).
    let elsewhere = [Field::Message, Field::Model, Field::Stream, Field::StreamOptions, Field::MaxTokens];
    let others = "dimensions documents embedding_types encoding_format input input_type late_chunking max_chunks_per_doc \
        max_tokens_per_doc normalized output_dimension output_dtype priority query rank_fields raw_scores return_documents \
        return_text task texts timeout top_k top_n truncate truncation truncation_direction \
        access_programs background context_management conversation image include instructions max_output_tokens \
        max_tool_calls previous_response_id prompt reasoning text";
    for field in Field::ALL.iter().filter(|field| !elsewhere.contains(field)) {
        let is_of_others = others.split(' ').any(|name| name == field.name());
        assert!(is_of_others || body.get(field.name()).is_some(), "{} is not driven through the router", field.name());
    }
}

#[tokio::test]
async fn a_provider_gets_what_the_caller_wrote_to_the_byte() {
    let (received, ..) = exchange("openai-compatible", &request(), false).await;
    assert_eq!(received, request_text().replacen('{', r#"{"model":"m","#, 1));
}

#[tokio::test]
async fn a_stream_is_asked_for_with_the_same_bytes_and_its_usage() {
    let (received, ..) = exchange("openai-compatible", &request(), true).await;
    let asked = request_text().replacen('{', r#"{"model":"m","#, 1);
    let asked =
        format!("{},\"stream\":true,\"stream_options\":{{\"include_usage\":true}}}}", &asked[..asked.len() - 1]);
    assert_eq!(received, asked);
}

#[tokio::test]
async fn a_caller_is_given_what_the_provider_said_to_the_byte() {
    let (.., answer) = exchange("openai-compatible", &request(), false).await;
    assert_eq!(answer.raw(), ANSWER.trim_end().as_bytes());
    assert_eq!((answer.content.as_str(), answer.finish_reason.as_str()), ("x \u{e9} \u{1f600}", "tool_calls"));
    check_calls_and_usage(&answer);
}

#[tokio::test]
async fn a_stream_says_all_of_it_and_loses_nothing() {
    let (_, shown, answer) = exchange("openai-compatible", &request(), true).await;
    // Numbers as they were written: what is compared is their text.
    assert_eq!(std::str::from_utf8(answer.raw()).unwrap(), ASSEMBLED.trim_end());
    check_calls_and_usage(&answer);
    let contents: String = shown.iter().filter_map(|chunk| as_content(chunk)).collect();
    assert_eq!(contents, "x \u{e9} \u{1f600}");
    let of_call = |wanted: u32| -> String {
        let arguments = |chunk: &Chunk| match chunk {
            Chunk::ToolCall { index, arguments, .. } if *index == wanted => Some(arguments.clone()),
            _ => None,
        };
        shown.iter().filter_map(arguments).collect()
    };
    assert_eq!((of_call(0).as_str(), of_call(1).as_str()), ("{\"city\": \"Bonn\"}", "x = 1"));
}

fn as_content(chunk: &Chunk) -> Option<&str> {
    match chunk {
        Chunk::Content { delta } => Some(delta),
        _ => None,
    }
}

fn check_calls_and_usage(answer: &Answer<Completion>) {
    let calls: Vec<_> =
        answer.tool_calls.iter().map(|call| (call.id.as_str(), call.name.as_str(), call.arguments.as_str())).collect();
    assert_eq!(calls, [("call_1", "weather", "{\"city\": \"Bonn\"}"), ("call_2", "code", "x = 1")]);
    let usage = answer.usage();
    assert_eq!((usage.prompt_tokens, usage.completion_tokens, usage.total_tokens), (11, 7, 18));
    assert_eq!((usage.cached_prompt_tokens, usage.reasoning_tokens, usage.estimated), (Some(4), Some(2), false));
}

#[tokio::test]
async fn a_callers_stream_options_go_out_with_a_stream_beside_ours() {
    let asked = json!({ "include_obfuscation": false, "include_usage": false });
    let request = request().set("stream_options", asked);
    let sent = json_of(&exchange("openai-compatible", &request, true).await.0);
    assert_eq!(sent["stream_options"], json!({ "include_obfuscation": false, "include_usage": true }));
    // Whole answers know no such thing, and some providers do not either.
    let sent = json_of(&exchange("openai-compatible", &request, false).await.0);
    assert_eq!(sent.get("stream_options"), None);
    let sent = json_of(&exchange("mistral", &request, true).await.0);
    assert_eq!((&sent["stream"], sent.get("stream_options")), (&json!(true), None));
    let refused = Completion::request(Body::parse(r#"{"message":"a","stream_options":[1]}"#).unwrap());
    assert_eq!(refused.unwrap_err().to_string(), "request.stream_options: expected an object, got an array of 1");
}

/// A whole answer that says this of its choice's message and of what it cost.
fn answer_of(message: &str, usage: &str) -> Completion {
    let choice = format!(r#"{{"index":0,"message":{message},"finish_reason":"stop"}}"#);
    let text = format!(r#"{{"model":"m","choices":[{choice}],"usage":{usage}}}"#);
    Completion::read(&text.into(), &CompletionRequest::message("a")).unwrap()
}

#[test]
fn a_name_that_stands_twice_counts_once_as_in_javascript() {
    let text = r#"{"model":"a","choices":[],"model":"b","choices":[{"index":0,"index":0,"message":{"content":"x","content":"y"},
        "finish_reason":"length","finish_reason":"stop"}]}"#;
    let answer = Completion::read(&text.into(), &CompletionRequest::message("a")).unwrap();
    assert_eq!((answer.model(), answer.content.as_str(), answer.finish_reason.as_str()), ("b", "y", "stop"));
    let mut assembly = thryd::kinds::StreamAssembly::default();
    let event =
        r#"{"choices":[{"delta":{"content":"x","content":"y","z":1,"z":2},"finish_reason":"stop"}],"w":1,"w":2}"#;
    assembly.push(event, &mut Vec::new()).unwrap();
    let raw = json_of(std::str::from_utf8(assembly.finish().unwrap().raw()).unwrap());
    let message = &raw["choices"][0]["message"];
    assert_eq!((&message["content"], &message["z"], &raw["w"]), (&json!("y"), &json!(2), &json!(2)));
}

#[test]
fn half_a_character_costs_no_answer() {
    assert_eq!(answer_of(r#"{"content":"a\ud83d"}"#, "null").content, "a\u{fffd}");
}

#[test]
fn what_others_call_their_counts_is_read_as_ours() {
    let counted = |usage: &str| {
        let Usage { prompt_tokens, completion_tokens, total_tokens, cached_prompt_tokens, reasoning_tokens, .. } =
            *answer_of(r#"{"content":"a"}"#, usage).usage().unwrap();
        (prompt_tokens, completion_tokens, total_tokens, cached_prompt_tokens, reasoning_tokens)
    };
    for (whose, usage, expected) in [
        (
            "OpenAI: the reasoning is part of the answer",
            r#"{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15,"completion_tokens_details":{"reasoning_tokens":2}}"#,
            (10, 5, 15, None, Some(2)),
        ),
        (
            "xAI: the reasoning stands beside the answer",
            r#"{"prompt_tokens":32,"completion_tokens":9,"total_tokens":135,"completion_tokens_details":{"reasoning_tokens":94}}"#,
            (32, 103, 135, None, Some(94)),
        ),
        (
            "DeepSeek: hits of its cache",
            r#"{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15,"prompt_cache_hit_tokens":8,"prompt_cache_miss_tokens":2}"#,
            (10, 5, 15, Some(8), None),
        ),
        (
            "Moonshot: without details",
            r#"{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15,"cached_tokens":8}"#,
            (10, 5, 15, Some(8), None),
        ),
        ("no total", r#"{"prompt_tokens":10,"completion_tokens":5.0}"#, (10, 5, 15, None, None)),
        (
            "details of another type",
            r#"{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15,"prompt_tokens_details":[1]}"#,
            (10, 5, 15, None, None),
        ),
    ] {
        assert_eq!(counted(usage), expected, "{whose}");
    }
}

/// The assembled message of a stream of these deltas.
fn streamed(deltas: &[Value]) -> (Vec<Chunk>, Value) {
    let (mut assembly, mut chunks) = (thryd::kinds::StreamAssembly::default(), Vec::new());
    for delta in deltas {
        let event = json!({ "choices": [{ "index": 0, "delta": delta, "finish_reason": null }] });
        assembly.push(&event.to_string(), &mut chunks).unwrap();
    }
    assembly.push(r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#, &mut chunks).unwrap();
    let raw: &RawValue = &serde_json::from_slice::<Box<RawValue>>(assembly.finish().unwrap().raw()).unwrap();
    (chunks, json_of(raw.get())["choices"][0]["message"].clone())
}

#[test]
fn content_that_comes_in_parts_is_there_in_parts() {
    let thought = |text: &str| json!({ "type": "thinking", "thinking": [{ "type": "text", "text": text }] });
    let reference = json!({ "type": "reference", "reference_ids": [1] });
    let (chunks, message) = streamed(&[
        json!({ "content": [thought("Hm")] }),
        json!({ "content": [thought(".")] }),
        json!({ "content": "It " }),
        json!({ "content": [{ "type": "text", "text": "is" }, reference] }),
        json!({ "content": "." }),
    ]);
    let texts = json!([{ "type": "text", "text": "Hm" }, { "type": "text", "text": "." }]);
    let expected = json!([
        { "type": "thinking", "thinking": texts },
        { "type": "text", "text": "It is" },
        reference,
        { "type": "text", "text": "." },
    ]);
    assert_eq!(message["content"], expected);
    let contents: String = chunks.iter().filter_map(as_content).collect();
    assert_eq!(contents, "It is.");
    assert_eq!(chunks[0], Chunk::Reasoning { delta: "Hm".to_owned() });
}

#[test]
fn reasoning_is_kept_under_the_names_under_which_it_came() {
    let (_, message) = streamed(&[json!({ "reasoning": "H" }), json!({ "reasoning": "m" }), json!({ "content": "a" })]);
    assert_eq!((&message["reasoning"], message.get("reasoning_content")), (&json!("Hm"), None));
    let (_, message) = streamed(&[json!({ "reasoning": "Hm", "reasoning_content": "Hm" })]);
    assert_eq!((&message["reasoning"], &message["reasoning_content"]), (&json!("Hm"), &json!("Hm")));
    let (_, message) = streamed(&[json!({ "reasoning": { "steps": 2 }, "content": "a" })]);
    assert_eq!(message["reasoning"], json!({ "steps": 2 }));
}

#[test]
fn a_call_of_a_sort_that_nobody_knows_keeps_its_name() {
    let call =
        json!({ "index": 0, "id": "a", "type": "builtin_function", "function": { "name": "$web", "arguments": "{}" } });
    let (_, message) = streamed(&[json!({ "tool_calls": [call] })]);
    assert_eq!(message["tool_calls"][0]["type"], "builtin_function");
}

#[test]
fn a_usage_that_stands_in_a_choice_is_no_estimate() {
    let (mut assembly, mut chunks) = (thryd::kinds::StreamAssembly::default(), Vec::new());
    let usage = json!({ "prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7 });
    let choice = json!({ "index": 0, "delta": { "content": "a" }, "finish_reason": "stop", "usage": usage });
    assembly.push(&json!({ "choices": [choice] }).to_string(), &mut chunks).unwrap();
    assert_eq!(assembly.finish().unwrap().usage().map(|usage| usage.total_tokens), Some(7));
}

#[test]
fn vectors_in_base64_are_read_with_their_slashes_escaped_too() {
    // 0x3FFFFFFF, little-endian, is `////Pw==`.
    let number = f32::from_bits(0x3fff_ffff);
    for base64 in [r"////Pw==", r"\/\/\/\/Pw=="] {
        let text = format!(r#"{{"data":[{{"index":0,"embedding":"{base64}"}}]}}"#);
        let embeddings = Embeddings::read(&text.into(), &EmbeddingRequest::input(["a"])).unwrap();
        assert_eq!(embeddings.vectors(), [[number]]);
    }
}
