//! Gemini's OpenAI-compatible endpoint where it is not OpenAI's. The events and refusals are those that its users posted.

mod ask;

use ask::{call, http, keyed, text_of};
use serde_json::{Value, json};
use thryd::Kind;
use thryd::connections::Rejection;
use thryd::error::{Failure, FailureClass};
use thryd::kinds::{Body, Chunk, Completion, CompletionRequest, StreamAssembly};

fn stream(events: &[Value]) -> (Vec<Chunk>, Result<Completion, Failure>) {
    let asked = CompletionRequest::message("a");
    let provider = keyed("gemini");
    let mut reader = provider.event_reader(&call::<Completion>(&asked, true)).unwrap();
    let (mut assembly, mut chunks) = (StreamAssembly::default(), Vec::new());
    for event in events {
        let data = reader.read(event.to_string()).unwrap().unwrap();
        assembly.push(&data, &mut chunks).unwrap();
    }
    (chunks, assembly.finish())
}

fn event(delta: Value, finish: Value) -> Value {
    json!({
        "choices": [{ "delta": delta, "index": 0, "finish_reason": finish }],
        "model": "gemini-3.8-flash", "object": "chat.completion.chunk",
    })
}

/// As <https://github.com/THU-MAIC/OpenMAIC/issues/1556> and <https://github.com/open-webui/computer/issues/224> have it.
fn piece(id: &str, name: &str, arguments: &str, signature: Option<&str>) -> Value {
    let mut piece = json!({ "function": { "arguments": arguments, "name": name }, "id": id, "type": "function" });
    if let Some(signature) = signature {
        piece["extra_content"] = json!({ "google": { "thought_signature": signature } });
    }
    piece
}

#[test]
fn what_it_refuses_and_no_answer_depends_on_is_not_sent() {
    // https://github.com/ed-donner/agents/issues/45, https://github.com/leookun/cursor-byok/issues/112
    let body = json!({
        "messages": [{ "role": "user", "content": "a" }], "store": false, "metadata": { "a": "b" }, "user": "u",
        "prompt_cache_key": "k", "safety_identifier": "s", "reasoning_effort": "low", "seed": 1,
        "extra_body": { "google": { "thinking_config": { "include_thoughts": true } } },
    });
    let request = Completion::request(Body::parse(&body.to_string()).unwrap()).unwrap();
    let sent: Value = serde_json::from_str(text_of(&http::<Completion>(&*keyed("gemini"), &request, false))).unwrap();
    let names: Vec<_> = sent.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(names, ["extra_body", "messages", "model", "reasoning_effort", "seed"]);
    // Others take them.
    let sent: Value = serde_json::from_str(text_of(&http::<Completion>(&*keyed("groq"), &request, false))).unwrap();
    assert_eq!((&sent["store"], &sent["user"]), (&json!(false), &json!("u")));
}

#[test]
fn calls_without_an_index_are_told_apart_and_the_answer_ends_with_them() {
    let call = |piece| json!({ "role": "assistant", "tool_calls": [piece] });
    let (chunks, answer) = stream(&[
        event(call(piece("call_1", "read", "{\"a\":1}", Some("sig"))), json!(null)),
        event(call(piece("call_2", "read", "{\"b\":", None)), json!(null)),
        event(call(json!({ "function": { "arguments": "2}" } })), json!(null)),
        event(json!({ "role": "assistant" }), json!("stop")),
    ]);
    let answer = answer.unwrap();
    let calls: Vec<_> = answer.tool_calls.iter().map(|call| (call.id.as_str(), call.arguments.as_str())).collect();
    assert_eq!(calls, [("call_1", "{\"a\":1}"), ("call_2", "{\"b\":2}")]);
    assert_eq!((answer.finish_reason.as_str(), chunks.len()), ("tool_calls", 3));
    let raw: Value = serde_json::from_slice(answer.raw()).unwrap();
    let kept = &raw["choices"][0]["message"]["tool_calls"][0]["extra_content"];
    assert_eq!(kept["google"]["thought_signature"], "sig");
    assert!(answer.is_storable());
}

#[test]
fn calls_that_come_together_or_with_their_end_are_told_apart_too() {
    let both = [piece("call_1", "read", "{}", None), piece("call_2", "write", "{}", None)];
    for finish in ["stop", "STOP", "tool_calls"] {
        let (_, answer) = stream(&[event(json!({ "tool_calls": both }), json!(finish))]);
        let answer = answer.unwrap();
        assert_eq!((answer.tool_calls.len(), answer.finish_reason.as_str()), (2, "tool_calls"));
    }
}

#[test]
fn an_index_that_is_there_and_an_end_that_is_another_stay() {
    let mut indexed = piece("call_1", "read", "{}", None);
    indexed["index"] = 4.into();
    let provider = keyed("gemini");
    let asked = CompletionRequest::message("a");
    let mut reader = provider.event_reader(&call::<Completion>(&asked, true)).unwrap();
    let event = event(json!({ "tool_calls": [indexed] }), json!("length"));
    let read: Value = serde_json::from_str(&reader.read(event.to_string()).unwrap().unwrap()).unwrap();
    assert_eq!(read, event);
}

#[test]
fn text_passes_to_the_letter() {
    let provider = keyed("gemini");
    let asked = CompletionRequest::message("a");
    let mut reader = provider.event_reader(&call::<Completion>(&asked, true)).unwrap();
    for data in [r#"{"choices":[ {"delta":{"content":"a"},"finish_reason":"stop"}]}"#, "{", "[]", "\"tool_calls\""] {
        assert_eq!(reader.read(data.to_owned()).unwrap().as_deref(), Some(data));
        assert_eq!(&provider.read(&call::<Completion>(&asked, false), data.into()).unwrap()[..], data.as_bytes());
    }
}

#[test]
fn a_whole_answer_that_calls_ends_with_its_calls() {
    let answer = |calls: Value| {
        let message = json!({ "role": "assistant", "content": null, "tool_calls": calls });
        let whole = json!({ "model": "g", "choices": [{ "index": 0, "message": message, "finish_reason": "stop" }] });
        let asked = CompletionRequest::message("a");
        let read = keyed("gemini").read(&call::<Completion>(&asked, false), whole.to_string().into()).unwrap();
        Completion::read(&read, &asked).unwrap().finish_reason
    };
    assert_eq!(answer(json!([piece("call_1", "read", "{}", None)])), "tool_calls");
    assert_eq!(answer(json!([])), "stop");
}

#[test]
fn its_refusals_are_lists_and_are_read() {
    // https://github.com/FuzzAnything/PromptFuzz/issues/42
    let body = r#"[{"error":{"code":400,"message":"Invalid JSON payload received. Unknown name \"web_search_options\": Cannot find field.","status":"INVALID_ARGUMENT"}}]"#;
    let headers = Default::default();
    let failure = keyed("gemini").classify(&Rejection { status: 400, headers: &headers, body });
    assert_eq!(failure.class, FailureClass::Rejected);
    assert!(failure.message.contains("Unknown name"), "{}", failure.message);
}
