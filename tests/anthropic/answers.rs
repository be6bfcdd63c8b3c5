//! What comes back whole.

use serde_json::{Value, json};
use thryd::Kind;
use thryd::error::FailureClass;
use thryd::kinds::{Completion, CompletionRequest};

use super::ask::call;
use super::{anthropic, completion, raw, read};

/// <https://platform.claude.com/docs/en/build-with-claude/working-with-messages>.
fn hello() -> Value {
    json!({
        "id": "msg_01XFDUDYJgAACzvnptvVoYEL", "type": "message", "role": "assistant",
        "content": [{ "type": "text", "text": "Hello!" }], "model": "claude-opus-5",
        "stop_reason": "end_turn", "stop_sequence": null, "usage": { "input_tokens": 12, "output_tokens": 6 },
    })
}

fn ended(fields: Value) -> Value {
    let mut answer = hello();
    answer.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    answer
}

#[test]
fn a_message_is_a_chat_completion() {
    let answer = completion(&hello());
    assert_eq!((answer.content.as_str(), answer.finish_reason.as_str()), ("Hello!", "stop"));
    assert_eq!(answer.model(), "claude-opus-5");
    let usage = answer.usage().unwrap();
    assert_eq!((usage.prompt_tokens, usage.completion_tokens, usage.total_tokens), (12, 6, 18));
    assert!(answer.is_storable());
    assert_eq!(
        raw(&answer),
        json!({
            "id": "msg_01XFDUDYJgAACzvnptvVoYEL", "object": "chat.completion", "created": 0, "model": "claude-opus-5",
            "choices": [{
                "index": 0, "message": { "role": "assistant", "content": "Hello!" }, "finish_reason": "stop",
                "native_finish_reason": "end_turn",
            }],
            "usage": {
                "prompt_tokens": 12, "completion_tokens": 6, "total_tokens": 18, "input_tokens": 12, "output_tokens": 6,
            },
        })
    );
}

/// <https://platform.claude.com/docs/en/build-with-claude/handling-stop-reasons>.
#[test]
fn why_it_stopped_is_said_in_openais_words_and_kept_in_its_own() {
    for (reason, expected, is_complete) in [
        ("end_turn", "stop", true),
        ("stop_sequence", "stop", true),
        ("max_tokens", "length", true),
        ("model_context_window_exceeded", "length", true),
        ("tool_use", "tool_calls", true),
        ("refusal", "content_filter", false),
        ("pause_turn", "pause_turn", false),
        ("invented", "invented", false),
    ] {
        let answer = completion(&ended(json!({ "stop_reason": reason })));
        assert_eq!((answer.finish_reason.as_str(), answer.is_storable()), (expected, is_complete), "{reason}");
        assert_eq!(raw(&answer)["choices"][0]["native_finish_reason"], reason);
    }
    let stopped = ended(json!({ "stop_reason": "stop_sequence", "stop_sequence": "END" }));
    assert_eq!(raw(&completion(&stopped))["choices"][0]["stop_sequence"], "END");
    let details = json!({ "type": "refusal", "category": "cyber", "explanation": "No." });
    let refused = ended(json!({ "content": [], "stop_reason": "refusal", "stop_details": details }));
    let choice = &raw(&completion(&refused))["choices"][0];
    assert_eq!((&choice["message"]["refusal"], &choice["message"]["content"]), (&json!("No."), &json!(null)));
    assert_eq!(choice["stop_details"]["category"], "cyber");
}

/// <https://platform.claude.com/docs/en/build-with-claude/prompt-caching>: all three are tokens of the prompt.
#[test]
fn what_was_cached_is_part_of_the_prompt_and_what_was_read_is_not_charged() {
    let counts = json!({
        "input_tokens": 50, "cache_read_input_tokens": 100_000, "cache_creation_input_tokens": 200, "output_tokens": 500,
        "output_tokens_details": { "thinking_tokens": 300 }, "service_tier": "standard",
    });
    let answer = completion(&ended(json!({ "usage": counts })));
    let usage = answer.usage().unwrap();
    assert_eq!((usage.prompt_tokens, usage.completion_tokens, usage.total_tokens), (100_250, 500, 100_750));
    assert_eq!((usage.cached_prompt_tokens, usage.reasoning_tokens), (Some(100_000), Some(300)));
    assert_eq!(anthropic().charged_tokens(usage), 750);
    let kept = &raw(&answer)["usage"];
    assert_eq!((&kept["cache_creation_input_tokens"], &kept["service_tier"]), (&json!(200), &json!("standard")));
}

#[test]
fn calls_and_thinking_come_as_openais_and_as_blocks_that_can_be_sent_back() {
    let thinking = json!({ "type": "thinking", "thinking": "To Paris.", "signature": "EqQBCgIYAhIM" });
    let redacted = json!({ "type": "redacted_thinking", "data": "EmwKAhgBEgy3va3pzix" });
    let answer = completion(&ended(json!({
        "content": [
            thinking, redacted, { "type": "text", "text": "Let me look." },
            {
                "type": "tool_use", "id": "toolu_01A09q90qw90lq917835lq9", "name": "get_weather",
                "input": { "location": "San Francisco, CA", "unit": "celsius" }, "caller": { "type": "direct" },
            },
        ],
        "stop_reason": "tool_use",
    })));
    assert_eq!(answer.content, "Let me look.");
    assert_eq!(answer.tool_calls[0].id, "toolu_01A09q90qw90lq917835lq9");
    let arguments: Value = serde_json::from_str(&answer.tool_calls[0].arguments).unwrap();
    assert_eq!(arguments, json!({ "location": "San Francisco, CA", "unit": "celsius" }));
    let message = &raw(&answer)["choices"][0]["message"];
    assert_eq!(message["reasoning_content"], "To Paris.");
    assert_eq!(message["thinking_blocks"], json!([thinking, redacted]));
    assert_eq!(message.get("content_blocks"), None);
}

#[test]
fn blocks_that_openai_has_no_place_for_are_kept_whole() {
    let text = |text: &str| json!({ "type": "text", "text": text });
    let call = json!({ "type": "tool_use", "id": "a", "name": "b", "input": {} });
    let program =
        json!({ "type": "tool_use", "id": "a", "name": "b", "input": {}, "caller": { "type": "code_execution" } });
    for blocks in [
        json!([text("a"), { "type": "server_tool_use", "id": "s", "name": "web_search", "input": {} }, text("b")]),
        json!([{ "type": "text", "text": "ab", "citations": [{ "type": "char_location" }] }]),
        json!([text("a"), text("b")]),
        json!([text("a"), call, text("b")]),
        json!([text("ab"), program]),
    ] {
        let message = &read(&ended(json!({ "content": blocks }))).unwrap()["choices"][0]["message"];
        assert_eq!((&message["content_blocks"], &message["content"]), (&blocks, &json!("ab")));
    }
    let plain = json!([{ "type": "text", "text": "a", "citations": null }]);
    let message = &read(&ended(json!({ "content": plain }))).unwrap()["choices"][0]["message"];
    assert_eq!(message.get("content_blocks"), None);
}

#[test]
fn fields_of_the_answer_that_nobody_knows_travel() {
    let answer = read(&ended(json!({ "container": { "id": "c" }, "x": 1.10 }))).unwrap();
    assert_eq!((&answer["container"]["id"], &answer["x"]), (&json!("c"), &json!(1.10)));
}

#[test]
fn an_answer_that_is_no_message_is_a_failure_that_shows_it() {
    let asked = CompletionRequest::message("a");
    let error = r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#;
    for answer in
        ["", "[]", "null", "<html>", "{}", r#"{"type":"message"}"#, r#"{"type":"message","content":"a"}"#, error]
    {
        let failure = anthropic().read(&call::<Completion>(&asked, false), answer.into()).unwrap_err();
        assert_eq!((failure.class, failure.body.as_deref()), (FailureClass::Truncated, Some(answer)));
    }
    // One that was never said to be over may be cut short.
    let open = read(&ended(json!({ "stop_reason": null }))).unwrap().to_string();
    assert!(Completion::read(&open.into(), &asked).is_err());
}
