//! Streams: what their events say, and how they end.

use serde_json::{Value, json};
use thryd::Kind;
use thryd::error::FailureClass;
use thryd::kinds::Chunk;
use thryd::provider::in_band;

use super::{content_of, events, heard, read, said};

/// As the API writes a call, reasoning and a message, each with its own events.
fn rich() -> Value {
    let mut answer = said("resp_1", "It is sunny in Oslo.");
    answer["output"] = json!([
        { "type": "reasoning", "id": "rs_1", "summary": [{ "type": "summary_text", "text": "Let me look." }] },
        { "type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "weather", "arguments": "{\"city\":\"Oslo\"}", "status": "completed" },
        answer["output"][0],
        { "type": "web_search_call", "id": "ws_1", "status": "completed", "action": { "query": "x" } },
    ]);
    answer
}

fn strs(events: &[String]) -> Vec<&str> {
    events.iter().map(String::as_str).collect()
}

#[test]
fn events_are_read_as_chunks_of_every_type() {
    let events = events(&rich());
    let (chunks, answer) = heard(strs(&events));
    let answer = answer.unwrap();
    assert_eq!(answer.raw(), rich().to_string().as_bytes(), "the answer of the last event, to the letter");
    assert_eq!(content_of(&chunks), "It is sunny in Oslo.");
    let calls: Vec<_> = chunks.iter().filter(|chunk| matches!(chunk, Chunk::ToolCall { .. })).collect();
    let Chunk::ToolCall { index: 0, id: Some(id), name: Some(name), arguments } = calls[0] else { panic!("{calls:?}") };
    assert_eq!((id.as_str(), name.as_str(), arguments.as_str()), ("call_1", "weather", ""));
    let arguments: String = calls
        .iter()
        .map(|chunk| if let Chunk::ToolCall { arguments, .. } = chunk { arguments.as_str() } else { "" })
        .collect();
    assert_eq!(arguments, "{\"city\":\"Oslo\"}");
    assert!(chunks.iter().any(|chunk| matches!(chunk, Chunk::Reasoning { delta } if delta.contains("look"))));
    assert!(answer.is_storable());
}

#[test]
fn texts_without_parts_around_them_come_in_events_too() {
    let mut answer = said("r", "");
    answer["output"] = json!([
        { "type": "reasoning", "id": "rs_1", "summary": "Let me look.", "content": "So." },
        { "type": "message", "id": "msg_1", "role": "assistant", "content": "It is sunny in Oslo." },
    ]);
    let all = events(&answer);
    let deltas = |kind: &str| {
        let events = all.iter().map(|event| serde_json::from_str::<Value>(event).unwrap());
        let delta = |event: Value| event["delta"].as_str().unwrap().to_owned();
        events.filter(|event| event["type"] == kind).map(delta).collect::<String>()
    };
    assert_eq!(deltas("response.output_text.delta"), "It is sunny in Oslo.");
    assert_eq!(deltas("response.reasoning_summary_text.delta"), "Let me look.");
    assert_eq!(deltas("response.reasoning_text.delta"), "So.");
    let (chunks, again) = heard(strs(&all));
    let raw: Value = serde_json::from_slice(again.unwrap().raw()).unwrap();
    assert_eq!(content_of(&chunks), "It is sunny in Oslo.");
    let done = |event: &String| serde_json::from_str::<Value>(event).unwrap();
    let done = all.iter().map(done).filter(|event| event["type"] == "response.output_item.done");
    assert_eq!(raw["output"], Value::from_iter(done.map(|event| event["item"].clone())), "clients go by parts");
    assert_eq!(raw["output"][0]["summary"], json!([{ "type": "summary_text", "text": "Let me look." }]));
    let part = json!([{ "type": "output_text", "text": "It is sunny in Oslo.", "annotations": [] }]);
    assert_eq!(raw["output"][1]["content"], part);
}

#[test]
fn numbers_of_events_ascend_and_each_has_its_type() {
    for (place, event) in events(&rich()).iter().enumerate() {
        let event: Value = serde_json::from_str(event).unwrap();
        assert_eq!(event["sequence_number"], place, "{event}");
        assert!(event["type"].as_str().unwrap().starts_with("response."), "{event}");
    }
}

#[test]
fn a_stream_without_its_last_event_is_never_an_answer() {
    let events = events(&rich());
    for end in 0..events.len() - 1 {
        let (_, answer) = heard(strs(&events[..end]));
        assert_eq!(answer.unwrap_err().class, FailureClass::Truncated, "after {end} events");
    }
}

#[test]
fn a_last_event_that_lacks_the_output_is_made_up_for_by_the_items() {
    for hollow in [json!({ "output": [] }), json!({}), Value::Null] {
        let mut events = events(&rich());
        let mut last: Value = serde_json::from_str(&events.pop().unwrap()).unwrap();
        last["response"] = hollow.clone();
        events.push(last.to_string());
        let (chunks, answer) = heard(strs(&events));
        let answer = answer.unwrap();
        assert_eq!((answer.output_text.as_str(), answer.tool_calls.len()), ("It is sunny in Oslo.", 1), "{hollow}");
        assert_eq!((answer.id.as_str(), answer.status.as_str()), ("resp_1", "completed"));
        let raw: Value = serde_json::from_slice(answer.raw()).unwrap();
        assert_eq!(raw["output"], rich()["output"]);
        assert!(answer.is_storable(), "each item said itself how it ended");
        assert_eq!(content_of(&chunks), "It is sunny in Oslo.");
    }
}

#[test]
fn items_that_nobody_ended_are_put_together_and_not_kept() {
    let is_kept = |event: &&String| {
        let event: Value = serde_json::from_str(event).unwrap();
        let kind = event["type"].as_str().unwrap();
        !kind.ends_with(".done") && kind != "response.completed"
    };
    let all = events(&rich());
    let mut some: Vec<_> = all.iter().filter(is_kept).map(String::as_str).collect();
    some.push(r#"{"type":"response.completed","response":{"output":[],"usage":null}}"#);
    let (_, answer) = heard(some);
    let answer = answer.unwrap();
    assert_eq!((answer.output_text.as_str(), answer.tool_calls.len()), ("It is sunny in Oslo.", 1));
    assert_eq!(answer.tool_calls[0].arguments, "{\"city\":\"Oslo\"}");
    assert!(!answer.is_storable());
}

#[test]
fn what_comes_only_at_an_end_is_shown_as_well() {
    let all = events(&rich());
    let kind = |event: &str| serde_json::from_str::<Value>(event).unwrap()["type"].as_str().unwrap().to_owned();
    for kept in [".done", "completed"] {
        let some: Vec<_> = all
            .iter()
            .map(String::as_str)
            .filter(|event| kind(event).ends_with(kept) || kind(event).ends_with("completed"))
            .collect();
        let (chunks, answer) = heard(some);
        assert_eq!(content_of(&chunks), "It is sunny in Oslo.", "{kept}");
        assert_eq!(answer.unwrap().output_text, "It is sunny in Oslo.");
        assert!(chunks.iter().any(|chunk| matches!(chunk, Chunk::ToolCall { .. })), "{kept}");
    }
}

#[test]
fn an_incomplete_answer_is_one() {
    let mut answer = said("r", "cut off in the");
    answer["status"] = json!("incomplete");
    answer["incomplete_details"] = json!({ "reason": "max_output_tokens" });
    let events = events(&answer);
    assert!(events.last().unwrap().contains("response.incomplete"));
    let (_, answer) = heard(strs(&events));
    let answer = answer.unwrap();
    assert_eq!(
        (answer.status.as_str(), answer.incomplete_reason.as_deref()),
        ("incomplete", Some("max_output_tokens"))
    );
}

#[test]
fn a_failure_in_a_stream_is_what_its_code_says() {
    let failed = |code: &str| {
        json!({ "type": "response.failed", "sequence_number": 3, "response": {
            "id": "r", "status": "failed", "error": { "code": code, "message": "it said so" } } })
    };
    let error = |code: &str| json!({ "type": "error", "code": code, "message": "it said so", "param": null, "sequence_number": 3 });
    let nested = |code: &str| json!({ "type": "error", "sequence_number": 3, "error": { "type": "x", "code": code, "message": "it said so" } });
    for (code, class) in [
        ("server_error", FailureClass::Transient),
        ("rate_limit_exceeded", FailureClass::RateLimited),
        ("invalid_prompt", FailureClass::Rejected),
        ("image_content_policy_violation", FailureClass::Rejected),
        ("insufficient_quota", FailureClass::Quota),
        ("context_length_exceeded", FailureClass::TooLong),
        ("x_new", FailureClass::Transient),
    ] {
        for event in [failed(code), error(code), nested(code)] {
            let failure = in_band(&event.to_string()).unwrap_or_else(|| panic!("{event}"));
            assert_eq!((failure.class, failure.message.as_str()), (class, "it said so"), "{event}");
            assert!(heard([event.to_string().as_str()]).1.is_err());
        }
    }
    let silent = json!({ "type": "response.failed", "response": { "error": null } });
    assert_eq!(in_band(&silent.to_string()).unwrap().class, FailureClass::Transient);
    for event in events(&rich()) {
        assert!(in_band(&event).is_none(), "{event}");
    }
}

#[test]
fn events_of_servers_that_number_nothing_are_read_too() {
    let (chunks, answer) = heard([
        r#"{"type":"response.output_text.delta","delta":"Hel"}"#,
        r#"{"type":"response.output_text.delta","delta":"lo"}"#,
        r#"{"type":"response.x_new","delta":"?"}"#,
        r#"{"type":"response.completed","response":{"id":"r","output":[{"type":"message","content":[{"type":"output_text","text":"Hello"}]}]}}"#,
        r#"{"type":"response.output_text.delta","delta":"after the end"}"#,
    ]);
    assert_eq!((content_of(&chunks).as_str(), answer.unwrap().output_text.as_str()), ("Hello", "Hello"));
}

/// Deltas without an index, some with an id that nobody announces, and then events that have both.
#[test]
fn what_was_said_of_no_item_is_said_once_when_its_item_comes() {
    let delta = |id: &str, delta: &str| {
        let mut event = json!({ "type": "response.output_text.delta", "delta": delta });
        if !id.is_empty() {
            event["item_id"] = json!(id);
        }
        event.to_string()
    };
    let part = |text: &str| json!({ "type": "output_text", "text": text, "annotations": [] });
    let message = |parts: &[&str]| json!({ "type": "message", "id": "msg_1", "role": "assistant", "content": parts.iter().map(|text| part(text)).collect::<Vec<_>>() });
    let thought = json!({ "type": "reasoning", "id": "rs_1", "summary": [{ "type": "summary_text", "text": "Hm." }] });
    let item = |kind: &str, index: u32, item: &Value| {
        json!({ "type": format!("response.output_item.{kind}"), "output_index": index, "item": item }).to_string()
    };
    let whole = |items: &[&Value]| {
        json!({ "type": "response.completed", "response": { "id": "r", "status": "completed", "output": items } })
            .to_string()
    };
    let placed = |kind: &str, name: &str, value: Value| {
        json!({ "type": kind, "item_id": "msg_1", "output_index": 0, "content_index": 0, name: value }).to_string()
    };
    let (said, parts) = (message(&["Hello you there"]), message(&["Hello ", "you there"]));
    for id in ["", "other", "msg_1"] {
        let pieces = || vec![delta(id, "Hello "), delta(id, "you there")];
        let hm = || r#"{"type":"response.reasoning_summary_text.delta","delta":"Hm."}"#.to_owned();
        for (events, items) in [
            (vec![item("done", 0, &said)], vec![&said]),
            (vec![item("added", 0, &message(&[])), item("done", 0, &said)], vec![&said]),
            (
                vec![placed("response.output_text.done", "text", json!("Hello you there")), item("done", 0, &said)],
                vec![&said],
            ),
            (
                vec![placed("response.content_part.done", "part", part("Hello you there")), item("done", 0, &said)],
                vec![&said],
            ),
            (vec![hm(), item("done", 0, &thought), item("done", 1, &said)], vec![&thought, &said]),
        ] {
            let all: Vec<_> = pieces().into_iter().chain(events).chain([whole(&items)]).collect();
            let (chunks, answer) = heard(strs(&all));
            assert_eq!(content_of(&chunks), "Hello you there", "{all:?}");
            assert_eq!(chunks.len(), 1 + items.len(), "{all:?}: {chunks:?}");
            let raw: Value = serde_json::from_slice(answer.unwrap().raw()).unwrap();
            assert_eq!(raw["output"], json!(items), "{all:?}");
        }
    }
    for id in ["", "other"] {
        let all = [delta(id, "Hello "), delta(id, "you there"), item("done", 0, &parts), whole(&[&parts])];
        assert_eq!(content_of(&heard(strs(&all)).0), "Hello you there", "in two parts");
    }
    let late = placed("response.output_text.delta", "delta", json!(" there"));
    let all = [delta("", "Hello"), delta("", " you"), late, item("done", 0, &said), whole(&[&said])];
    let (chunks, answer) = heard(strs(&all));
    assert_eq!(
        (content_of(&chunks).as_str(), answer.unwrap().output_text.as_str()),
        ("Hello you there", "Hello you there")
    );
    let (other, all) = (message(&["Bye"]), [delta("", "Hello"), item("done", 0, &message(&["Bye"])), whole(&[])]);
    let raw: Value = serde_json::from_slice(heard(strs(&all)).1.unwrap().raw()).unwrap();
    assert_eq!((raw["output"].as_array().unwrap().len(), &raw["output"][0]), (2, &other), "another item is another");
}

#[test]
fn an_event_that_only_its_line_calls_an_error_is_one_and_keeps_its_words() {
    let (_, answer) = heard([r#"{"message":"boom","code":"server_error"}"#]);
    let failure = answer.unwrap_err();
    assert!(failure.message.contains("boom"), "{}", failure.message);
    let (_, answer) = heard([
        r#"{"delta":"a","message":"of something else"}"#,
        r#"{"type":"response.x_new","message":"of something else"}"#,
        r#"{"message":{"role":"assistant"}}"#,
        r#"{"type":"response.completed","response":{"id":"r","output":[]}}"#,
    ]);
    assert!(answer.is_ok());
}

#[test]
fn fields_that_cannot_be_read_are_passed_over() {
    let added = |index: &str| {
        format!(
            r#"{{"type":"response.output_item.added","output_index":{index},"item":{{"type":"message","id":"m{}","content":[]}}}}"#,
            index.len()
        )
    };
    for index in ["1", "\"1\"", "1.0"] {
        let (chunks, answer) = heard([
            r#"{"type":"response.output_text.delta","delta":null}"#,
            r#"{"type":"response.output_text.delta","delta":""}"#,
            r#"{"type":"response.output_text.done","text":""}"#,
            r#"{"type":"response.output_text.annotation.added","annotation":null}"#,
            r#"{"type":"response.function_call_arguments.delta","delta":null}"#,
            r#"{"type":"response.function_call_arguments.done","arguments":""}"#,
            r#"{"type":"response.output_item.added","item":5}"#,
            r#"{"type":5,"item_id":{}}"#,
            &added(index),
            &format!(
                r#"{{"type":"response.output_text.delta","output_index":{index},"content_index":-1,"item_id":5,"delta":"Hello"}}"#
            ),
            r#"{"type":"response.output_item.done","output_index":0,"item":{"type":"x_new","name":5,"id":{},"call_id":[]}}"#,
            r#"{"type":"response.completed","response":{"id":"r","output":[]}}"#,
        ]);
        let answer = answer.unwrap();
        assert_eq!((content_of(&chunks).as_str(), chunks.len()), ("Hello", 1), "{index}");
        let raw: Value = serde_json::from_slice(answer.raw()).unwrap();
        let kinds: Vec<_> =
            raw["output"].as_array().unwrap().iter().map(|item| item["type"].as_str().unwrap()).collect();
        assert_eq!(kinds, ["x_new", "message"], "{raw}");
        assert_eq!(raw["output"][1]["content"][0]["text"], "Hello");
    }
    let mut answer = said("r", "Hello");
    answer["output"].as_array_mut().unwrap().push(json!({ "type": "x_new", "name": 5, "id": 7 }));
    assert_eq!(read(&answer.to_string()).unwrap().output_text, "Hello");
}

#[test]
fn items_whose_ids_change_with_every_event_are_told_by_their_place() {
    let delta = |id: &str, index: u32, delta: &str| {
        json!({ "type": "response.function_call_arguments.delta", "item_id": id, "output_index": index, "delta": delta }).to_string()
    };
    let added = |id: &str, index: u32| {
        let item = json!({ "type": "function_call", "id": id, "call_id": format!("call_{index}"), "name": "f", "arguments": "" });
        json!({ "type": "response.output_item.added", "output_index": index, "item": item }).to_string()
    };
    let end = r#"{"type":"response.completed","response":{"output":[]}}"#.to_owned();
    let all = [added("a", 0), added("b", 1), delta("c", 0, "{}"), delta("d", 1, "[1"), delta("e", 1, "]"), end];
    let (_, answer) = heard(all.iter().map(String::as_str));
    let answer = answer.unwrap();
    let calls: Vec<_> = answer.tool_calls.iter().map(|call| (&*call.id, &*call.arguments)).collect();
    assert_eq!(calls, [("call_0", "{}"), ("call_1", "[1]")]);
}

#[test]
fn a_stream_that_never_ends_is_no_answer() {
    let piece =
        json!({ "type": "response.output_text.delta", "output_index": 0, "delta": "x".repeat(1 << 20) }).to_string();
    let (_, answer) = heard(std::iter::repeat_n(piece.as_str(), 18));
    assert!(answer.unwrap_err().message.contains("larger than 16 MiB"));
    let items: Vec<_> = (0..5000)
        .map(|index| {
            json!({ "type": "response.output_item.added", "output_index": index, "item": { "type": "x" } }).to_string()
        })
        .collect();
    assert!(heard(strs(&items)).1.unwrap_err().message.contains("too many items"));
}
