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

    /// However the pieces of several calls are mixed, each goes to its own, by its index, or without one by its id.
    #[test]
    fn calls_survive_any_mix_of_their_pieces(
        calls in prop::collection::vec(("[fg]", prop::collection::vec("[a-z{}\"\\\\:]{0,3}", 0..5)), 1..4),
        turns in prop::collection::vec(any::<prop::sample::Index>(), 0..24),
        (has_index, repeats_id, repeats_name) in any::<(bool, bool, bool)>(),
    ) {
        let wanted: Vec<String> = calls.iter().map(|(_, pieces)| json!({ "a": pieces.concat() }).to_string()).collect();
        let cut = |(place, (_, pieces)): (usize, &(String, Vec<String>))| {
            let whole = wanted[place].as_bytes();
            let size = whole.len().div_ceil(pieces.len() + 1);
            (place, whole.chunks(size).map(|piece| std::str::from_utf8(piece).unwrap()).collect::<Vec<_>>())
        };
        let mut left: Vec<_> = calls.iter().enumerate().map(cut).collect();
        let mut seen = Vec::new();
        let mut events = Vec::new();
        let mut turns = turns.into_iter();
        while !left.is_empty() {
            let turn = turns.next().map_or(0, |turn| turn.index(left.len()));
            let (place, pieces) = &mut left[turn];
            let is_first = !seen.contains(place);
            if is_first {
                seen.push(*place);
            }
            let mut function = json!({ "arguments": pieces.remove(0) });
            if is_first || repeats_name {
                function["name"] = calls[*place].0.as_str().into();
            }
            let mut piece = json!({ "function": function });
            if is_first || repeats_id || !has_index {
                piece["id"] = format!("id-{place}").into();
            }
            if has_index {
                piece["index"] = seen.iter().position(|known| known == place).into();
            }
            events.push(delta(&json!({ "tool_calls": [piece] })));
            if pieces.is_empty() {
                left.remove(turn);
            }
        }
        events.push(finish("tool_calls"));
        let (chunks, completion) = assemble(&events);
        let expected: Vec<&String> = seen.iter().map(|place| &wanted[*place]).collect();
        let mut heard = vec![String::new(); expected.len()];
        for chunk in chunks {
            let Chunk::ToolCall { index, arguments, .. } = chunk else { panic!("{chunk:?} is no call") };
            heard[index as usize].push_str(&arguments);
        }
        prop_assert_eq!(heard.iter().collect::<Vec<_>>(), expected.clone());
        let whole = completion.unwrap().tool_calls;
        prop_assert_eq!(whole.iter().map(|call| &call.arguments).collect::<Vec<_>>(), expected);
        for (call, place) in whole.iter().zip(&seen) {
            prop_assert_eq!((&call.id, &call.name), (&format!("id-{place}"), &calls[*place].0));
        }
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

/// The answer of a stream of these choices, as `raw` shows it, and whether it may be kept.
fn assemble_choices(choices: &[Value]) -> (Value, bool) {
    let events: Vec<Value> = choices.iter().map(|choice| json!({ "model": "m", "choices": [choice] })).collect();
    let completion = assemble(&events).1.unwrap();
    (serde_json::from_slice::<Value>(completion.raw()).unwrap()["choices"][0].clone(), completion.is_storable())
}

/// The same of these deltas, with this finish reason.
fn assemble_deltas(deltas: &[Value], finish_reason: &str) -> (Value, bool) {
    let mut choices: Vec<Value> = deltas.iter().map(|delta| json!({ "delta": delta })).collect();
    choices.push(json!({ "delta": {}, "finish_reason": finish_reason }));
    let (choice, is_storable) = assemble_choices(&choices);
    (choice["message"].clone(), is_storable)
}

#[test]
fn the_probabilities_of_every_event_are_in_the_answer() {
    let token = |token: &str| json!({ "token": token, "logprob": -0.5, "bytes": null, "top_logprobs": [] });
    let (choice, is_storable) = assemble_choices(&[
        json!({ "delta": { "content": "a" }, "logprobs": { "content": [token("a")], "refusal": null } }),
        json!({ "delta": { "content": "aa" }, "logprobs": { "content": [token("a"), token("a")] } }),
        json!({ "delta": {}, "logprobs": { "content": [] } }),
        json!({ "delta": { "refusal": "no" }, "logprobs": { "refusal": [token("no")] } }),
        json!({ "delta": {}, "logprobs": null, "finish_reason": "stop" }),
    ]);
    let expected = json!({ "content": [token("a"), token("a"), token("a")], "refusal": [token("no")] });
    assert_eq!((&choice["logprobs"], is_storable), (&expected, true));
}

#[test]
fn a_function_call_of_the_old_form_is_put_together() {
    let (message, is_storable) = assemble_deltas(
        &[
            json!({ "function_call": { "name": "f", "arguments": "" }, "content": null }),
            json!({ "function_call": { "arguments": "{\"x\":" } }),
            json!({ "function_call": { "arguments": "1}" } }),
        ],
        "function_call",
    );
    assert_eq!(message["function_call"], json!({ "name": "f", "arguments": "{\"x\":1}" }));
    assert_eq!((&message["content"], is_storable), (&Value::Null, true));
}

#[test]
fn annotations_citations_and_sound_are_in_the_answer() {
    let (message, is_storable) = assemble_deltas(
        &[
            json!({ "annotations": [{ "url": "a" }], "citations": ["u"], "audio": { "id": "x", "data": "AA" } }),
            json!({ "annotations": [], "audio": { "data": "AA", "transcript": "h" } }),
            json!({ "annotations": [{ "url": "b" }], "citations": ["u"], "audio": { "transcript": "i" } }),
        ],
        "stop",
    );
    assert_eq!(message["annotations"], json!([{ "url": "a" }, { "url": "b" }]));
    assert_eq!(message["citations"], json!(["u"]));
    assert_eq!(message["audio"], json!({ "id": "x", "data": "AAAA", "transcript": "hi" }));
    assert!(is_storable);
}

#[test]
fn what_a_tool_call_holds_beside_its_function_is_in_the_answer() {
    let signature = json!({ "google": { "thought_signature": "s" } });
    let (message, is_storable) = assemble_deltas(
        &[
            json!({ "tool_calls": [{ "index": 0, "id": "a", "function": { "name": "f" }, "extra_content": signature }] }),
            json!({ "tool_calls": [{ "index": 0, "function": { "arguments": "{}" } }] }),
        ],
        "tool_calls",
    );
    let function = json!({ "name": "f", "arguments": "{}" });
    let expected = json!([{ "id": "a", "type": "function", "function": function, "extra_content": signature }]);
    assert_eq!((&message["tool_calls"], is_storable), (&expected, true));
}

#[test]
fn a_call_of_a_custom_tool_is_put_together() {
    let call = |custom: Value| json!({ "tool_calls": [{ "index": 0, "id": "a", "type": "custom", "custom": custom }] });
    let (message, _) =
        assemble_deltas(&[call(json!({ "name": "f", "input": "x" })), call(json!({ "input": "y" }))], "tool_calls");
    let expected = json!([{ "id": "a", "type": "custom", "custom": { "name": "f", "input": "xy" } }]);
    assert_eq!(message["tool_calls"], expected);
}

#[test]
fn of_a_filters_verdicts_the_last_counts() {
    let verdict = |severity: &str| json!({ "hate": { "filtered": false, "severity": severity } });
    let (choice, is_storable) = assemble_choices(&[
        json!({ "delta": { "content": "a" }, "content_filter_results": verdict("safe") }),
        json!({ "delta": { "content": "b" }, "content_filter_results": verdict("low") }),
        json!({ "delta": {}, "content_filter_results": {}, "finish_reason": "stop" }),
    ]);
    assert_eq!((&choice["content_filter_results"], is_storable), (&verdict("low"), true));
}

#[test]
fn a_field_that_says_the_same_in_every_event_says_it_once() {
    let (message, is_storable) =
        assemble_deltas(&[json!({ "x": "same", "y": [1] }), json!({ "x": "same", "y": [1] })], "stop");
    assert_eq!((&message["x"], &message["y"], is_storable), (&json!("same"), &json!([1]), true));
}

#[test]
fn an_answer_of_pieces_that_nobody_knows_how_to_join_is_shown_but_not_kept() {
    let cases = [
        (json!({ "x": "a" }), json!({ "x": "b" }), json!({ "x": "ab" })),
        (json!({ "x": [1] }), json!({ "x": [2] }), json!({ "x": [1, 2] })),
        (json!({ "x": 1 }), json!({ "x": 2 }), json!({ "x": 2 })),
        (json!({ "x": "a" }), json!({ "x": [2] }), json!({ "x": [2] })),
        (json!({ "x": { "y": 1 } }), json!({ "x": { "z": 2 } }), json!({ "x": { "y": 1, "z": 2 } })),
    ];
    for (first, second, expected) in cases {
        let (message, is_storable) = assemble_deltas(&[first, json!({ "content": "c" }), second], "stop");
        assert_eq!((&message["x"], is_storable), (&expected["x"], false));
    }
}

#[test]
fn an_answer_with_pictures_among_its_text_is_not_kept_without_them() {
    let text = json!({ "content": [{ "type": "text", "text": "a" }] });
    let picture = json!({ "content": [{ "type": "image_url", "image_url": { "url": "https://a.example" } }] });
    assert!(assemble_deltas(std::slice::from_ref(&text), "stop").1);
    assert!(!assemble_deltas(&[text, picture], "stop").1);
}

#[test]
fn what_an_event_in_the_middle_says_of_the_answer_is_not_lost() {
    let (_, completion) = assemble(&[
        delta(&json!({ "content": "a" })),
        json!({ "choices": [], "search_results": ["u"], "obfuscation": "xyz" }),
        finish("stop"),
    ]);
    let raw: Value = serde_json::from_slice(completion.unwrap().raw()).unwrap();
    assert_eq!((&raw["search_results"], raw.get("obfuscation")), (&json!(["u"]), None));
}

#[test]
fn a_choice_that_failed_is_no_answer() {
    let (_, answer) = assemble(&[delta(&json!({ "content": "half" })), finish("error")]);
    assert_eq!(answer.unwrap_err().class, FailureClass::Truncated);
    let whole = json!({ "choices": [{ "message": { "content": "half" }, "finish_reason": "error" }] });
    let request = CompletionRequest::message("hi");
    assert!(Completion::read(&Bytes::from(whole.to_string()), &request).is_err());
}

#[test]
fn an_answer_of_which_nothing_was_shown_is_none() {
    let second = json!({ "choices": [{ "index": 1, "delta": { "content": "a" }, "finish_reason": "stop" }] });
    let (chunks, answer) = assemble(&[second]);
    assert!(chunks.is_empty());
    assert!(answer.unwrap_err().message.contains("first choice"));
}
