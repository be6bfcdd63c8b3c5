//! Requests and whole answers.

use serde_json::{Value, json};
use thryd::Kind;
use thryd::error::FailureClass;
use thryd::kinds::{Body, ModelResponse, Usage};
use thryd::tokens::count_prompt;

use super::{read, request, said};

fn refused(body: &Value) -> String {
    ModelResponse::request(Body::parse(&body.to_string()).unwrap()).unwrap_err().to_string()
}

#[test]
fn a_request_is_refused_by_the_field_that_is_wrong() {
    for (body, field) in [
        (json!({}), "request.input"),
        (json!({ "messages": [] }), "request.input"),
        (json!({ "input": 5 }), "request.input"),
        (json!({ "input": ["hi"] }), "request.input[0]"),
        (json!({ "input": [{}] }), "request.input[0].role"),
        (json!({ "input": [{ "role": 1, "content": "a" }] }), "request.input[0].role"),
        (json!({ "input": [{ "role": "user" }] }), "request.input[0].content"),
        (json!({ "input": [{ "type": "message", "role": "user", "content": [1] }] }), "request.input[0].content"),
        (json!({ "input": [{ "type": 1 }] }), "request.input[0].type"),
        (json!({ "input": "a", "background": true }), "request.background"),
        (json!({ "input": "a", "background": 1 }), "request.background"),
        (json!({ "input": "a", "temperature": 3 }), "request.temperature"),
        (json!({ "input": "a", "max_output_tokens": 0 }), "request.max_output_tokens"),
        (json!({ "input": "a", "max_tool_calls": 0.5 }), "request.max_tool_calls"),
        (json!({ "input": "a", "previous_response_id": "" }), "request.previous_response_id"),
        (json!({ "input": "a", "previous_response_id": 1 }), "request.previous_response_id"),
        (json!({ "input": "a", "conversation": 1 }), "request.conversation"),
        (json!({ "input": "a", "conversation": {} }), "request.conversation"),
        (json!({ "input": "a", "instructions": 1 }), "request.instructions"),
        (json!({ "input": "a", "text": "json" }), "request.text"),
        (json!({ "input": "a", "reasoning": "low" }), "request.reasoning"),
        (json!({ "input": "a", "store": "no" }), "request.store"),
        (json!({ "input": "a", "include": "all" }), "request.include"),
        (json!({ "input": "a", "tools": [1] }), "request.tools[0]"),
    ] {
        let words = refused(&body);
        assert!(words.starts_with(&format!("{field}: ")), "{body}: {words}");
    }
    assert!(refused(&json!({ "input": "a", "background": true })).contains("cannot be fetched"));
}

#[test]
fn whatever_is_not_wrong_travels_to_the_letter() {
    let body = r#"{"input":[{"type":"x_new","y":1.10},{"role":"user","content":[{"type":"input_text","text":"a"}]}],"x":12345678901234567890,"model":"other","stream":true,"user":null}"#;
    let request = ModelResponse::request(Body::parse(body).unwrap()).unwrap();
    let sent = String::from_utf8(request.as_ref().write(&[("model", "m")]).to_vec()).unwrap();
    assert_eq!(
        sent,
        r#"{"model":"m","input":[{"type":"x_new","y":1.10},{"role":"user","content":[{"type":"input_text","text":"a"}]}],"x":12345678901234567890}"#
    );
    for body in
        [json!({ "prompt": { "id": "p" } }), json!({ "previous_response_id": "r" }), json!({ "conversation": "c" })]
    {
        request_is_taken(&body);
    }
}

fn request_is_taken(body: &Value) {
    assert!(ModelResponse::request(Body::parse(&body.to_string()).unwrap()).is_ok(), "{body}");
}

#[test]
fn all_texts_calls_and_counts_of_an_answer_are_read() {
    let mut answer = said("resp_1", "one ");
    answer["output"] = json!([
        { "type": "reasoning", "id": "rs", "summary": [{ "type": "summary_text", "text": "Hm." }] },
        answer["output"][0],
        { "type": "web_search_call", "id": "ws", "status": "completed" },
        { "type": "function_call", "id": "fc", "call_id": "call_1", "name": "f", "arguments": "{\"a\":1}" },
        { "type": "custom_tool_call", "id": "ct", "call_id": "call_2", "name": "g", "input": "free text" },
        { "type": "message", "id": "m2", "role": "assistant", "content": [
            { "type": "output_text", "text": "two" }, { "type": "refusal", "refusal": "no" }] },
    ]);
    answer["usage"] = json!({
        "input_tokens": 10, "input_tokens_details": { "cached_tokens": 4 },
        "output_tokens": 8, "output_tokens_details": { "reasoning_tokens": 5 }, "total_tokens": 18,
    });
    let read = read(&answer.to_string()).unwrap();
    assert_eq!((read.output_text.as_str(), read.id.as_str(), read.model()), ("one two", "resp_1", "served"));
    let calls: Vec<_> = read.tool_calls.iter().map(|call| (&*call.id, &*call.name, &*call.arguments)).collect();
    assert_eq!(calls, [("call_1", "f", "{\"a\":1}"), ("call_2", "g", "free text")]);
    let usage = Usage {
        prompt_tokens: 10,
        completion_tokens: 8,
        total_tokens: 18,
        cached_prompt_tokens: Some(4),
        reasoning_tokens: Some(5),
        ..Usage::default()
    };
    assert_eq!(read.usage(), Some(&usage));
    assert_eq!(read.raw(), answer.to_string().as_bytes());
    assert!(read.is_storable());
    assert_eq!(ModelResponse::load(&read.store()).unwrap().tool_calls, read.tool_calls);
}

#[test]
fn only_what_would_be_said_again_is_kept() {
    let with = |name: &str, value: Value| {
        let mut answer = said("r", "text");
        answer[name] = value;
        answer
    };
    let cut = |reason: &str| {
        let mut answer = with("status", json!("incomplete"));
        answer["incomplete_details"] = json!({ "reason": reason });
        answer
    };
    let call = |arguments: &str| {
        with("output", json!([{ "type": "function_call", "call_id": "c", "name": "f", "arguments": arguments }]))
    };
    for (answer, is_kept) in [
        (said("r", "text"), true),
        (cut("max_output_tokens"), true),
        (cut("content_filter"), false),
        (cut("steered"), false),
        (call("{}"), true),
        (call("{\"a\":"), false),
    ] {
        assert_eq!(read(&answer.to_string()).unwrap().is_storable(), is_kept, "{answer}");
    }
    assert_eq!(read(&cut("content_filter").to_string()).unwrap().incomplete_reason.as_deref(), Some("content_filter"));
}

#[test]
fn what_is_no_answer_is_a_failure_and_never_a_panic() {
    let status = |status: &str| {
        let mut answer = said("r", "text");
        answer["status"] = json!(status);
        answer.to_string()
    };
    for answer in [
        String::new(),
        "[]".to_owned(),
        "{".to_owned(),
        "{}".to_owned(),
        r#"{"status":"completed"}"#.to_owned(),
        r#"{"output":5}"#.to_owned(),
        r#"{"output":[5]}"#.to_owned(),
        r#"{"choices":[]}"#.to_owned(),
        r#"{"output":[{"type":"message","content":5}]}"#.to_owned(),
        r#"{"output":[{"type":"message","content":["a"]}]}"#.to_owned(),
        // More than any model makes, and each would cost many times the memory of its text.
        format!(r#"{{"output":[{}{{}}]}}"#, "{},".repeat(4096)),
        format!(r#"{{"output":[{{"type":"message","content":[{}{{}}]}}]}}"#, "{},".repeat(4096)),
        status("failed"),
        status("in_progress"),
        status("queued"),
        status("cancelled"),
    ] {
        assert_eq!(read(&answer).unwrap_err().class, FailureClass::Truncated, "{answer}");
    }
    for odd in [
        r#"{"output":[]}"#,
        r#"{"output":[{"type":"message"}]}"#,
        r#"{"output":[{"type":"message","content":"plain"}],"usage":{"input_tokens":"many"}}"#,
        r#"{"output":[{"type":"function_call","arguments":{"a":1}}],"incomplete_details":5,"conversation":[]}"#,
    ] {
        assert!(read(odd).is_ok(), "{odd}");
    }
}

#[test]
fn everything_that_the_model_reads_counts_as_prompt() {
    let count = |body: &Value| {
        let request = request(body);
        let prompt = ModelResponse::prompt(&request);
        (count_prompt(&prompt, "gpt-4o"), prompt.images.len())
    };
    let plain = count(&json!({ "input": "hello there" }));
    assert_eq!(plain, count(&json!({ "input": [{ "role": "user", "content": "hello there" }] })));
    let parts =
        json!([{ "type": "message", "role": "user", "content": [{ "type": "input_text", "text": "hello there" }] }]);
    assert_eq!(plain, count(&json!({ "input": parts })));
    let more = |name: &str, value: Value| {
        let mut body = json!({ "input": "hello there" });
        body[name] = value;
        count(&body).0
    };
    let words = "some words that count";
    for (name, value) in [
        ("instructions", json!(words)),
        ("text", json!({ "format": { "type": "json_schema", "name": words } })),
        ("tools", json!([{ "type": "function", "name": "f", "description": words, "parameters": {} }])),
        ("prompt", json!({ "id": "p", "variables": { "a": words } })),
    ] {
        assert!(more(name, value) >= plain.0 + 4, "{name}");
    }
    for item in [
        json!({ "type": "function_call", "call_id": "c", "name": "f", "arguments": words }),
        json!({ "type": "function_call_output", "call_id": "c", "output": words }),
        json!({ "type": "function_call_output", "call_id": "c", "output": [{ "type": "input_text", "text": words }] }),
        json!({ "type": "reasoning", "summary": [{ "type": "summary_text", "text": words }] }),
        json!({ "type": "x_new", "y": words }),
    ] {
        let (tokens, _) = count(&json!({ "input": [{ "role": "user", "content": "hello there" }, item] }));
        assert!(tokens >= plain.0 + 4, "{item}");
    }
    let seen = json!([{ "role": "user", "content": [
        { "type": "input_image", "image_url": "https://a/b.png", "detail": "low" }, { "type": "input_file", "file_id": "f" }] }]);
    assert_eq!(count(&json!({ "input": seen })).1, 2);
    let flat = json!([{ "type": "function", "name": "get", "description": "Gets.", "parameters": { "type": "object", "properties": {} } }]);
    let nested = json!([{ "type": "function", "function": { "name": "get", "description": "Gets.", "parameters": { "type": "object", "properties": {} } } }]);
    assert_eq!(more("tools", flat), more("tools", nested));
    assert_eq!(ModelResponse::prompt(&request(&json!({ "input": "a", "max_output_tokens": 7 }))).completion, Some(7));
}
