//! What goes out.

use serde_json::{Value, json};
use thryd::error::FailureClass;
use thryd::kinds::{Completion, EmbeddingRequest, Embeddings};
use thryd::provider::{Outgoing, ProviderOptions, create_provider};

use super::ask::{call, http, options, text_of};
use super::{anthropic, request, written};

fn asked() -> Value {
    json!({ "messages": [{ "role": "user", "content": "Hi" }], "max_completion_tokens": 9 })
}

/// A request with these fields beside its message.
fn with(fields: Value) -> Value {
    let mut body = asked();
    body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    body
}

/// The fields that go out for them, without what each request has.
fn fields(given: Value) -> Value {
    let mut out = written(&with(given));
    for name in ["model", "messages", "max_tokens"] {
        out.as_object_mut().unwrap().remove(name).unwrap();
    }
    out
}

#[test]
fn a_request_goes_to_messages_with_its_key_and_the_version_it_was_written_for() {
    let sent = http::<Completion>(&*anthropic(), &request(&asked()), true);
    let headers: Vec<_> = sent.headers.iter().map(|(name, value)| (name.as_str(), value.expose())).collect();
    if std::env::var_os("ANTHROPIC_BASE_URL").is_none() {
        assert_eq!(sent.url, "https://api.anthropic.com/v1/messages");
    }
    assert_eq!(headers, [("x-api-key", "sk-secret"), ("anthropic-version", "2023-06-01")]);
    assert_eq!(
        text_of(&sent),
        r#"{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"Hi"}],"stream":true}"#
    );
    assert!(!format!("{:?} {sent:?}", anthropic()).contains("sk-secret"));
}

#[test]
fn a_base_url_may_or_may_not_say_the_version() {
    for url in ["https://host", "https://host/v1", "https://host/v1/"] {
        let provider = create_provider(ProviderOptions::new("anthropic").api_key("k").base_url(url)).unwrap();
        assert_eq!(http::<Completion>(&*provider, &request(&asked()), false).url, "https://host/v1/messages");
    }
    let foundry = "https://r.services.ai.azure.com/anthropic";
    let provider = create_provider(ProviderOptions::new("anthropic").api_key("k").base_url(foundry)).unwrap();
    assert_eq!(http::<Completion>(&*provider, &request(&asked()), false).url, format!("{foundry}/v1/messages"));
}

#[test]
fn a_token_or_a_version_of_the_users_takes_the_place_of_ours() {
    let headers = json!({ "authorization": "Bearer t", "anthropic-version": "2024-01-01", "anthropic-beta": "a,b" });
    let provider = options(json!({ "type": "anthropic", "apiKey": "k", "headers": headers })).unwrap();
    let sent = http::<Completion>(&*provider, &request(&asked()), false);
    let mut headers: Vec<_> = sent.headers.iter().map(|(name, value)| (name.as_str(), value.expose())).collect();
    headers.sort_unstable();
    assert_eq!(
        headers,
        [("anthropic-beta", "a,b"), ("anthropic-version", "2024-01-01"), ("authorization", "Bearer t")]
    );
}

#[test]
fn it_has_completions_and_nothing_else() {
    assert!(anthropic().supports("completion") && !anthropic().supports("embedding"));
    let asked = EmbeddingRequest::input(["a"]);
    let error = anthropic().write(&call::<Embeddings>(&asked, false)).err().unwrap();
    assert_eq!(error.to_string(), "provider \"anthropic\" has no embedding endpoint");
}

#[test]
fn openais_options_are_said_in_its_words() {
    let schema =
        json!({ "type": "object", "properties": { "a": { "type": "string" } }, "additionalProperties": false });
    let format = json!({ "type": "json_schema", "json_schema": { "name": "a", "strict": true, "schema": schema } });
    for (given, expected) in [
        (json!({ "stop": "a" }), json!({ "stop_sequences": ["a"] })),
        (json!({ "stop": ["a", "b"] }), json!({ "stop_sequences": ["a", "b"] })),
        (json!({ "temperature": 0.5, "top_p": 0.9 }), json!({ "temperature": 0.5, "top_p": 0.9 })),
        (json!({ "temperature": 1.7 }), json!({ "temperature": 1 })),
        (json!({ "user": "u" }), json!({ "metadata": { "user_id": "u" } })),
        (json!({ "user": "u", "safety_identifier": "s" }), json!({ "metadata": { "user_id": "s" } })),
        (json!({ "user": "u", "metadata": { "user_id": "m", "tag": 1 } }), json!({ "metadata": { "user_id": "m" } })),
        (json!({ "metadata": { "tag": "t" } }), json!({})),
        (json!({ "service_tier": "auto" }), json!({ "service_tier": "auto" })),
        (json!({ "service_tier": "default" }), json!({ "service_tier": "standard_only" })),
        (json!({ "service_tier": "flex" }), json!({})),
        (json!({ "reasoning_effort": "high" }), json!({ "output_config": { "effort": "high" } })),
        (json!({ "reasoning_effort": "minimal" }), json!({ "output_config": { "effort": "low" } })),
        (json!({ "reasoning_effort": "none" }), json!({ "thinking": { "type": "disabled" } })),
        (
            json!({ "reasoning_effort": "low", "output_config": { "effort": "max", "x": 1 } }),
            json!({ "output_config": { "effort": "max", "x": 1 } }),
        ),
        (json!({ "response_format": { "type": "text" } }), json!({})),
        (
            json!({ "response_format": format, "reasoning_effort": "low" }),
            json!({ "output_config": { "effort": "low", "format": { "type": "json_schema", "schema": schema } } }),
        ),
        (
            json!({
                "seed": 1, "store": false, "n": 1, "logprobs": false, "presence_penalty": 0.1, "frequency_penalty": 0.1,
                "logit_bias": { "1": 2 }, "prediction": { "type": "content", "content": "a" }, "verbosity": "low",
                "modalities": ["text"], "prompt_cache_key": "k", "parallel_tool_calls": false, "tool_choice": "auto",
                "tools": [],
            }),
            json!({}),
        ),
    ] {
        assert_eq!(fields(given.clone()), expected, "{given}");
    }
}

#[test]
fn whoever_names_no_limit_gets_one_that_every_model_takes() {
    let messages = json!([{ "role": "user", "content": "Hi" }]);
    assert_eq!(written(&json!({ "messages": messages }))["max_tokens"], 32_000);
    assert_eq!(written(&json!({ "messages": messages, "max_tokens": 7 }))["max_tokens"], 7);
    assert_eq!(written(&json!({ "messages": messages, "max_tokens": 7, "max_completion_tokens": 8 }))["max_tokens"], 8);
}

#[test]
fn thinking_leaves_room_for_the_answer() {
    for (budget, expected) in [(1_024, 32_000), (31_000, 47_000), (60_000, 64_000), (70_000, 70_001)] {
        let thinking = json!({ "type": "enabled", "budget_tokens": budget });
        let messages = json!([{ "role": "user", "content": "Hi" }]);
        assert_eq!(written(&json!({ "messages": messages, "thinking": thinking }))["max_tokens"], expected, "{budget}");
    }
}

#[test]
fn nothing_that_a_system_says_is_lost_wherever_it_stands() {
    let own = json!([{ "type": "text", "text": "Rules", "cache_control": { "type": "ephemeral" } }]);
    let messages = json!([
        { "role": "user", "content": "Hi" },
        { "role": "assistant", "content": "\n\n" },
        { "role": "system", "content": "Never mention it" },
        { "role": "user", "content": "And?" },
    ]);
    let out = written(&json!({ "system": own, "messages": messages, "response_format": { "type": "json_object" } }));
    assert_eq!(out["system"][0], own[0]);
    assert_eq!(out["system"][1]["text"], "Never mention it");
    assert!(out["system"][2]["text"].as_str().unwrap().contains("one JSON object"), "{out}");
    assert_eq!(out["messages"].as_array().unwrap().len(), 2, "white space alone is refused there: {out}");
    let out = written(&json!({ "system": "Rules", "messages": messages }));
    assert_eq!(out["system"][0]["text"], "Rules");
}

#[test]
fn results_of_one_turn_stay_together_though_a_system_message_stands_between() {
    let call = |id: &str| json!({ "id": id, "type": "function", "function": { "name": "f", "arguments": "{}" } });
    let result = |id: &str| json!({ "role": "tool", "tool_call_id": id, "content": "done" });
    let out = written(&json!({ "messages": [
        { "role": "user", "content": "Hi" },
        { "role": "assistant", "content": null, "tool_calls": [call("a"), call("b")] },
        result("a"), { "role": "system", "content": "Hurry" }, result("b"),
    ] }));
    assert_eq!(out["messages"].as_array().unwrap().len(), 3, "{out}");
    assert_eq!(out["messages"][2]["content"].as_array().unwrap().len(), 2, "{out}");
}

#[test]
fn options_of_a_stream_stay_behind_wherever_they_come_from() {
    let plain = request(&asked());
    let body = thryd::kinds::Body::parse(r#"{"messages":[],"stream_options":{"include_usage":true}}"#).unwrap();
    let asked = thryd::provider::Call { body: &body, ..call::<Completion>(&plain, true) };
    let Outgoing::Http(sent) = anthropic().write(&asked).unwrap() else { panic!("it is not sent") };
    assert!(!text_of(&sent).contains("stream_options"), "{}", text_of(&sent));
}

#[test]
fn json_alone_is_asked_for_in_words_where_there_is_no_field() {
    let out = fields(json!({ "response_format": { "type": "json_object" } }));
    assert!(out["system"].as_str().unwrap().contains("one JSON object"), "{out}");
}

#[test]
fn fields_that_are_not_openais_travel_to_the_letter() {
    let given = r#"{"messages":[{"role":"user","content":[{"type":"text","text":"a","cache_control":{"ttl":"1h", "type":"ephemeral"}}]}],
        "thinking":{"type":"adaptive", "display":"summarized"},"top_k":7,"x_big":12345678901234567890123,"max_tokens":1}"#;
    let request = <Completion as thryd::Kind>::request(thryd::kinds::Body::parse(given).unwrap()).unwrap();
    let sent = http::<Completion>(&*anthropic(), &request, false);
    for part in [
        r#""cache_control":{"ttl":"1h", "type":"ephemeral"}"#,
        r#""thinking":{"type":"adaptive", "display":"summarized"}"#,
        r#""x_big":12345678901234567890123"#,
    ] {
        assert!(text_of(&sent).contains(part), "{}", text_of(&sent));
    }
}

/// The weather of Anthropic's documentation, as OpenAI's,
/// <https://platform.claude.com/docs/en/agents-and-tools/tool-use/overview>.
#[test]
fn tools_and_choices_are_its_own() {
    let schema =
        json!({ "type": "object", "properties": { "location": { "type": "string" } }, "required": ["location"] });
    let function = json!({ "name": "get_weather", "description": "The weather", "parameters": schema, "strict": true });
    let tool = json!({ "type": "function", "function": function, "cache_control": { "type": "ephemeral" } });
    let search = json!({ "type": "web_search_20250305", "name": "web_search", "max_uses": 5 });
    let bare = json!({ "type": "function", "function": { "name": "now", "parameters": null } });
    let out = fields(json!({ "tools": [tool, search, bare] }));
    assert_eq!(
        out["tools"],
        json!([
            {
                "name": "get_weather", "description": "The weather", "input_schema": schema, "strict": true,
                "cache_control": { "type": "ephemeral" },
            },
            { "type": "web_search_20250305", "name": "web_search", "max_uses": 5 },
            { "name": "now", "input_schema": { "type": "object", "properties": {} } },
        ])
    );
    let named = json!({ "type": "function", "function": { "name": "now" } });
    let own = json!({ "type": "tool", "name": "now", "disable_parallel_tool_use": true });
    for (choice, parallel, expected) in [
        (json!("auto"), json!(null), json!({ "type": "auto" })),
        (json!("required"), json!(true), json!({ "type": "any" })),
        (json!("required"), json!(false), json!({ "type": "any", "disable_parallel_tool_use": true })),
        (json!("none"), json!(false), json!({ "type": "none" })),
        (json!(null), json!(false), json!({ "type": "auto", "disable_parallel_tool_use": true })),
        (named, json!(null), json!({ "type": "tool", "name": "now" })),
        (own.clone(), json!(null), own),
    ] {
        let given = json!({ "tools": [bare], "tool_choice": choice, "parallel_tool_calls": parallel });
        assert_eq!(fields(given.clone())["tool_choice"], expected, "{given}");
    }
}

/// <https://platform.claude.com/docs/en/agents-and-tools/tool-use/handle-tool-calls> and
/// <https://platform.claude.com/docs/en/build-with-claude/vision>.
#[test]
fn a_conversation_with_calls_pictures_and_thinking_becomes_turns_of_blocks() {
    let thinking = json!({ "type": "thinking", "thinking": "Hm.", "signature": "EqQBCgIYAhIM" });
    let call = |id: &str, arguments: &str| json!({ "id": id, "type": "function", "function": { "name": "get_weather", "arguments": arguments } });
    let out = written(&json!({ "messages": [
        { "role": "system", "content": "Be brief." },
        { "role": "user", "name": "ada", "content": [
            { "type": "text", "text": "What is this?" },
            { "type": "text", "text": "" },
            { "type": "image_url", "image_url": { "url": "data:image/png;base64,iVBORw0KGgo=", "detail": "low" } },
            { "type": "image_url", "image_url": { "url": "https://host/a.jpg" }, "cache_control": { "type": "ephemeral" } },
            { "type": "file", "file": { "filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0=" } },
            { "type": "file", "file": { "file_data": "data:text/plain;base64,aGk=" } },
            { "type": "search_result", "source": "s", "title": "t", "content": [] },
        ] },
        {
            "role": "assistant", "content": null, "reasoning_content": "Hm.", "thinking_blocks": [thinking], "refusal": null,
            "annotations": [], "tool_calls": [call("toolu_1", "{\"location\": \"Paris\"}"), call("toolu_2", "")],
        },
        { "role": "tool", "tool_call_id": "toolu_1", "content": "15 degrees" },
        { "role": "tool", "tool_call_id": "toolu_2", "content": [{ "type": "text", "text": "no" }], "is_error": true },
        { "role": "developer", "content": [{ "type": "text", "text": "In English.", "cache_control": { "type": "ephemeral" } }] },
        { "role": "assistant", "content": "" },
        { "role": "user", "content": "Thanks", "cache_control": { "type": "ephemeral" } },
    ] }));
    let mark = json!({ "type": "ephemeral" });
    assert_eq!(
        out["system"],
        json!([{ "type": "text", "text": "Be brief." }, { "type": "text", "text": "In English.", "cache_control": mark }])
    );
    let turns = json!([
        { "role": "user", "content": [
            { "type": "text", "text": "What is this?" },
            { "type": "image", "source": { "type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo=" } },
            { "type": "image", "source": { "type": "url", "url": "https://host/a.jpg" }, "cache_control": mark },
            {
                "type": "document", "title": "a.pdf",
                "source": { "type": "base64", "media_type": "application/pdf", "data": "JVBERi0=" },
            },
            { "type": "document", "source": { "type": "text", "media_type": "text/plain", "data": "hi" } },
            { "type": "search_result", "source": "s", "title": "t", "content": [] },
        ] },
        { "role": "assistant", "content": [
            thinking,
            { "type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": { "location": "Paris" } },
            { "type": "tool_use", "id": "toolu_2", "name": "get_weather", "input": {} },
        ] },
        { "role": "user", "content": [
            { "type": "tool_result", "tool_use_id": "toolu_1", "content": "15 degrees" },
            {
                "type": "tool_result", "tool_use_id": "toolu_2", "is_error": true,
                "content": [{ "type": "text", "text": "no" }],
            },
        ] },
        { "role": "user", "content": [{ "type": "text", "text": "Thanks", "cache_control": mark }] },
    ]);
    assert_eq!(out["messages"], turns);
}

#[tokio::test]
async fn what_it_cannot_say_is_refused_unsent_so_that_others_are_asked() {
    let audio = json!({ "type": "input_audio", "input_audio": { "data": "", "format": "wav" } });
    let call = json!({ "id": "a", "type": "function", "function": { "name": "f", "arguments": "{\"a\":" } });
    for (given, what) in [
        (with(json!({ "n": 2 })), "`n` above 1"),
        (with(json!({ "logprobs": true })), "`logprobs`"),
        (with(json!({ "modalities": ["text", "audio"], "audio": { "voice": "a" } })), "`audio` as an answer"),
        (with(json!({ "functions": [{ "name": "a" }] })), "`functions`, only `tools`"),
        (with(json!({ "stop": ["\n"] })), "a `stop` of white space alone"),
        (with(json!({ "web_search_options": {} })), "`web_search_options`"),
        (with(json!({ "response_format": { "type": "json_schema" } })), "`response_format` without a schema"),
        (with(json!({ "tools": [{ "type": "custom", "custom": { "name": "a" } }] })), "tools of type `custom`"),
        (with(json!({ "messages": [{ "role": "user", "content": [audio] }] })), "audio"),
        (
            with(json!({ "messages": [{ "role": "assistant", "content": null, "tool_calls": [call] }] })),
            "arguments of `f` that are no JSON object",
        ),
        (with(json!({ "messages": [{ "role": "function", "name": "a", "content": "b" }] })), "role `function`"),
    ] {
        let asked = request(&given);
        let Outgoing::Local(refusal) = anthropic().write(&super::call::<Completion>(&asked, false)).unwrap() else {
            panic!("it was sent: {given}")
        };
        let failure = refusal.await.err().unwrap();
        assert_eq!((failure.class, failure.is_sent), (FailureClass::Unsupported, false));
        assert!(failure.message.contains(what), "{}", failure.message);
    }
}

#[test]
fn a_turn_that_came_with_blocks_of_its_own_goes_back_as_it_came() {
    let blocks = json!([
        { "type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": { "query": "a" } },
        { "type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": [] },
        { "type": "text", "text": "b", "citations": [{ "type": "web_search_result_location", "url": "c" }] },
    ]);
    let said = json!({ "role": "assistant", "content": "b", "content_blocks": blocks });
    let out = written(&json!({ "messages": [{ "role": "user", "content": "a" }, said] }));
    assert_eq!(out["messages"][1], json!({ "role": "assistant", "content": blocks }));
}
