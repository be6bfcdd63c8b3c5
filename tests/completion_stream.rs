//! Streams of completions: nothing is lost between the events and the answer, and nothing incomplete passes as whole.

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};
use thryd::Kind;
use thryd::error::{Failure, FailureClass};
use thryd::kinds::{Chunk, Completion, CompletionRequest, StreamAssembly};

fn assemble(events: &[Value]) -> (Vec<Chunk>, Result<Completion, Failure>) {
    let mut assembly = StreamAssembly::default();
    let mut chunks = Vec::new();
    for event in events {
        assembly.push(&event.to_string(), &mut chunks).unwrap();
    }
    (chunks, assembly.finish())
}

fn event(delta: &Value, finish_reason: &Value) -> Value {
    let choice = json!({ "index": 0, "delta": delta, "finish_reason": finish_reason });
    json!({ "id": "x", "model": "m", "created": 7, "choices": [choice] })
}

fn delta(delta: &Value) -> Value {
    event(delta, &Value::Null)
}

fn finish(reason: &str) -> Value {
    event(&json!({}), &json!(reason))
}

fn call(index: u32, id: &Value, name: &Value, arguments: &str) -> Value {
    let function = json!({ "name": name, "arguments": arguments });
    delta(&json!({ "tool_calls": [{ "index": index, "id": id, "function": function }] }))
}

#[test]
fn a_stream_becomes_the_answer_that_it_would_have_been() {
    let none = Value::Null;
    let usage = json!({ "prompt_tokens": 3, "completion_tokens": 4 });
    let (chunks, completion) = assemble(&[
        delta(&json!({ "role": "assistant", "content": "" })),
        delta(&json!({ "reasoning_content": "hm" })),
        delta(&json!({ "content": "Hel" })),
        delta(&json!({ "content": "lo" })),
        call(0, &json!("a"), &json!("f"), ""),
        call(0, &none, &none, "{\"x\":"),
        call(1, &json!("b"), &json!("g"), "{}"),
        call(0, &none, &none, "1}"),
        finish("tool_calls"),
        json!({ "id": "x", "model": "m", "choices": [], "usage": usage, "citations": ["u"] }),
    ]);
    let piece = |id: Option<&str>, name: Option<&str>, arguments: &str| Chunk::ToolCall {
        index: 0,
        id: id.map(str::to_owned),
        name: name.map(str::to_owned),
        arguments: arguments.to_owned(),
    };
    assert_eq!(chunks[0], Chunk::Reasoning { delta: "hm".into() });
    assert_eq!(chunks[1], Chunk::Content { delta: "Hel".into() });
    assert_eq!(chunks[3], piece(Some("a"), Some("f"), ""));
    assert_eq!(chunks[4], piece(None, None, "{\"x\":"));
    let completion = completion.unwrap();
    assert_eq!(completion.content, "Hello");
    let arguments: Vec<_> = completion.tool_calls.iter().map(|call| call.arguments.as_str()).collect();
    assert_eq!(arguments, ["{\"x\":1}", "{}"]);
    assert_eq!(completion.usage().unwrap().total_tokens, 7);
    let raw: Value = serde_json::from_slice(completion.raw()).unwrap();
    assert_eq!(
        (&raw["object"], &raw["created"], &raw["citations"]),
        (&json!("chat.completion"), &json!(7), &json!(["u"]))
    );
    assert_eq!(raw["choices"][0]["message"]["reasoning_content"], "hm");
    let again = Completion::read(completion.raw(), &CompletionRequest::message("a")).unwrap();
    assert_eq!((again.text(), again.tool_calls.len()), (completion.text(), 2));
}

#[test]
fn calls_that_share_an_index_are_told_apart_by_their_ids() {
    let (_, completion) = assemble(&[
        call(0, &json!("a"), &json!("f"), "{}"),
        call(0, &json!("b"), &json!("g"), "{}"),
        finish("tool_calls"),
    ]);
    let calls: Vec<_> = completion.unwrap().tool_calls.into_iter().map(|call| (call.name, call.arguments)).collect();
    assert_eq!(calls, [("f".into(), "{}".into()), ("g".into(), "{}".into())]);
}

#[test]
fn only_the_first_choice_is_shown_but_all_are_kept() {
    let choice = |index: u32, content: &str| json!({ "choices": [{ "index": index, "delta": { "content": content }, "finish_reason": "stop" }] });
    let (chunks, completion) = assemble(&[choice(1, "second"), choice(0, "first")]);
    let raw: Value = serde_json::from_slice(completion.unwrap().raw()).unwrap();
    let contents: Vec<_> =
        raw["choices"].as_array().unwrap().iter().map(|choice| &choice["message"]["content"]).collect();
    assert_eq!(chunks, [Chunk::Content { delta: "first".into() }]);
    assert_eq!(contents, ["first", "second"]);
}

#[test]
fn a_stream_without_a_finish_reason_is_truncated() {
    for events in [vec![], vec![delta(&json!({ "content": "a" }))]] {
        assert_eq!(assemble(&events).1.unwrap_err().class, FailureClass::Truncated);
    }
}

#[test]
fn an_event_that_cannot_be_read_is_truncated_and_shown() {
    let odd = "{\"choices\":[{\"delta\":{\"content\":5}}]}";
    for data in ["{\"choices\":[{", "nonsense", "7", "[[]]", odd, "{\"error\":{\"message\":\"x\"}}"] {
        let failure = StreamAssembly::default().push(data, &mut Vec::new()).unwrap_err();
        assert_eq!((failure.class, failure.body.as_deref()), (FailureClass::Truncated, Some(data)));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Replaying a stored answer gives the very text, and pieces of it are never empty.
    #[test]
    fn a_replayed_answer_is_the_answer(text in "(\\PC|[ \n\t]){0,80}", reasoning in "[a-z ]{0,20}") {
        let message = json!({ "content": text, "reasoning_content": reasoning });
        let raw = json!({ "choices": [{ "index": 0, "message": message, "finish_reason": "stop" }] }).to_string();
        let completion = Completion::read(&raw.into(), &CompletionRequest::message("a")).unwrap();
        let loaded = Completion::load(&completion.store()).unwrap();
        let (mut content, mut thoughts) = (String::new(), String::new());
        for chunk in loaded.chunks() {
            match chunk {
                Chunk::Content { delta } => {
                    prop_assert!(!delta.is_empty());
                    content.push_str(&delta);
                }
                Chunk::Reasoning { delta } => thoughts.push_str(&delta),
                other => prop_assert!(false, "{other:?}"),
            }
        }
        prop_assert_eq!(content, text);
        prop_assert_eq!(thoughts, reasoning);
    }

    /// However a text is cut into events, it is assembled to itself.
    #[test]
    fn a_text_survives_any_cut_into_events(pieces in prop::collection::vec("\\PC{0,12}", 0..12)) {
        let mut events: Vec<Value> = pieces.iter().map(|piece| delta(&json!({ "content": piece }))).collect();
        events.push(finish("stop"));
        let (chunks, completion) = assemble(&events);
        let heard: String = chunks.into_iter().map(|chunk| match chunk {
            Chunk::Content { delta } => delta,
            other => format!("{other:?}"),
        }).collect();
        prop_assert_eq!(&heard, &pieces.concat());
        prop_assert_eq!(completion.unwrap().content, heard);
    }
}

#[test]
fn a_replay_feels_like_a_stream() {
    let message = json!({ "content": "one two three four five six seven" });
    let raw = json!({ "choices": [{ "message": message, "finish_reason": "stop" }] }).to_string();
    let completion = Completion::read(&Bytes::from(raw), &CompletionRequest::message("a")).unwrap();
    let deltas = ["one two three ", "four five six ", "seven"].map(|delta| Chunk::Content { delta: delta.to_owned() });
    assert_eq!(completion.chunks(), deltas);
}
