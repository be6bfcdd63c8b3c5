//! Which completions may be kept: those that are complete in every choice, since `raw` shows them all.

use bytes::Bytes;
use serde_json::{Value, json};
use thryd::Kind;
use thryd::kinds::{Completion, CompletionRequest};

fn is_storable(choices: &Value) -> bool {
    let raw = Bytes::from(json!({ "choices": choices }).to_string());
    Completion::read(&raw, &CompletionRequest::message("a")).unwrap().is_storable()
}

/// An answer of two choices: one that is complete, and this one.
fn is_storable_with(message: &Value, finish_reason: &Value) -> bool {
    let first = json!({ "index": 0, "message": { "content": "a" }, "finish_reason": "stop" });
    is_storable(&json!([first, { "index": 1, "message": message, "finish_reason": finish_reason }]))
}

#[test]
fn an_answer_is_not_kept_if_any_choice_was_filtered_or_cut_short() {
    let message = json!({ "content": "b" });
    assert!(is_storable_with(&message, &json!("stop")));
    assert!(is_storable_with(&message, &json!("length")));
    for reason in [json!("content_filter"), json!(""), Value::Null] {
        assert!(!is_storable_with(&message, &reason), "{reason}");
    }
}

#[test]
fn an_answer_is_not_kept_if_any_choice_calls_with_broken_arguments() {
    let call = |arguments: &str| {
        let function = json!({ "name": "f", "arguments": arguments });
        let tool_calls = json!([{ "id": "1", "type": "function", "function": function }]);
        is_storable_with(&json!({ "content": null, "tool_calls": tool_calls }), &json!("tool_calls"))
    };
    assert!(call("{}"));
    assert!(!call("{\"a\":") && !call(""));
}

#[test]
fn an_answer_is_not_kept_if_its_function_call_of_the_old_form_is_broken() {
    let call = |function_call: &Value| {
        let message = json!({ "content": null, "function_call": function_call });
        is_storable(&json!([{ "index": 0, "message": message, "finish_reason": "function_call" }]))
    };
    assert!(call(&json!({ "name": "f", "arguments": "{\"a\":1}" })));
    assert!(call(&Value::Null));
    for broken in [json!({ "name": "f", "arguments": "{\"a\":" }), json!({ "name": "f" }), json!("f")] {
        assert!(!call(&broken), "{broken}");
    }
}
