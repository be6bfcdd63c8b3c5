//! What comes back piece by piece: the streams of Anthropic's documentation,
//! <https://platform.claude.com/docs/en/build-with-claude/streaming>, shortened.

use serde_json::json;
use thryd::Kind;
use thryd::error::FailureClass;
use thryd::kinds::{Body, Chunk, Completion, CompletionRequest};

use super::ask::{call, http, text_of};
use super::{anthropic, raw, stream};

pub const HELLO: [&str; 8] = [
    r#"{"type": "message_start", "message": {"id": "msg_1nZdL29xx5MUA1yADyHTEsnR8uuvGzszyY", "type": "message", "role": "assistant", "content": [], "model": "claude-opus-4-6", "stop_reason": null, "stop_sequence": null, "usage": {"input_tokens": 25, "output_tokens": 1}}}"#,
    r#"{"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}"#,
    r#"{"type": "ping"}"#,
    r#"{"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hello"}}"#,
    r#"{"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "!"}}"#,
    r#"{"type": "content_block_stop", "index": 0}"#,
    r#"{"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence":null}, "usage": {"output_tokens": 15}}"#,
    r#"{"type": "message_stop"}"#,
];

const WEATHER: [&str; 14] = [
    r#"{"type":"message_start","message":{"id":"msg_014p7gG3wDgGV9EUtLvnow3U","type":"message","role":"assistant","model":"claude-opus-4-6","stop_sequence":null,"usage":{"input_tokens":472,"output_tokens":2},"content":[],"stop_reason":null}}"#,
    r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#,
    r#"{"type": "ping"}"#,
    r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Okay, let's check"}}"#,
    r#"{"type":"content_block_stop","index":0}"#,
    r#"{"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"toolu_01T1x1fJ34qAmk2tNTrN7Up6","name":"get_weather","input":{}}}"#,
    r#"{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":""}}"#,
    r#"{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{\"location\":"}}"#,
    r#"{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":" \"San Francisco, CA\"}"}}"#,
    r#"{"type":"content_block_stop","index":1}"#,
    r#"{"type":"content_block_start","index":2,"content_block":{"type":"tool_use","id":"toolu_2","name":"now","input":{}}}"#,
    r#"{"type":"content_block_stop","index":2}"#,
    r#"{"type":"message_delta","delta":{"stop_reason":"tool_use","stop_sequence":null},"usage":{"output_tokens":89}}"#,
    r#"{"type":"message_stop"}"#,
];

pub const THINKING: [&str; 11] = [
    r#"{"type": "message_start", "message": {"id": "msg_01...", "type": "message", "role": "assistant", "content": [], "model": "claude-opus-4-6", "stop_reason": null, "stop_sequence": null}}"#,
    r#"{"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": ""}}"#,
    r#"{"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "1071 = 2 × 462 + 147"}}"#,
    r#"{"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "\n462 = 3 × 147 + 21"}}"#,
    r#"{"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "EqQBCgIYAhIM1gbcDa9GJwZA2b3h"}}"#,
    r#"{"type": "content_block_stop", "index": 0}"#,
    r#"{"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}}"#,
    r#"{"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "The greatest common divisor of 1071 and 462 is **21**."}}"#,
    r#"{"type": "content_block_stop", "index": 1}"#,
    r#"{"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": null}}"#,
    r#"{"type": "message_stop"}"#,
];

const SEARCH: [&str; 13] = [
    r#"{"type":"message_start","message":{"id":"msg_01G...","type":"message","role":"assistant","model":"claude-opus-4-6","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":2679,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":3}}}"#,
    r#"{"type":"content_block_start","index":1,"content_block":{"type":"server_tool_use","id":"srvtoolu_014hJH82Qum7Td6UV8gDXThB","name":"web_search","input":{}}}"#,
    r#"{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{\"query\": \"weather"}}"#,
    r#"{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":" NYC today\"}"}}"#,
    r#"{"type":"content_block_stop","index":1 }"#,
    r#"{"type":"content_block_start","index":2,"content_block":{"type":"web_search_tool_result","tool_use_id":"srvtoolu_014hJH82Qum7Td6UV8gDXThB","content":[{"type":"web_search_result","title":"Weather","url":"https://world-weather.info","encrypted_content":"Ev0DCioIAxgC","page_age":null}]}}"#,
    r#"{"type":"content_block_stop","index":2}"#,
    r#"{"type":"content_block_start","index":3,"content_block":{"type":"text","text":"","citations":[]}}"#,
    r#"{"type":"content_block_delta","index":3,"delta":{"type":"text_delta","text":"It rains."}}"#,
    r#"{"type":"content_block_delta","index":3,"delta":{"type":"citations_delta","citation":{"type":"web_search_result_location","url":"https://world-weather.info"}}}"#,
    r#"{"type":"content_block_stop","index":3}"#,
    r#"{"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"input_tokens":10682,"cache_creation_input_tokens":0,"cache_read_input_tokens":40,"output_tokens":510,"server_tool_use":{"web_search_requests":1}}}"#,
    r#"{"type":"message_stop"}"#,
];

fn content(delta: &str) -> Chunk {
    Chunk::Content { delta: delta.to_owned() }
}

#[test]
fn text_comes_as_it_is_said_with_all_that_it_cost() {
    let (chunks, answer) = stream(HELLO);
    let answer = answer.unwrap();
    assert_eq!(chunks, [content("Hello"), content("!")]);
    assert_eq!(
        (answer.content.as_str(), answer.finish_reason.as_str(), answer.model()),
        ("Hello!", "stop", "claude-opus-4-6")
    );
    let usage = answer.usage().unwrap();
    assert_eq!((usage.prompt_tokens, usage.completion_tokens, usage.total_tokens), (25, 15, 40));
    assert!(answer.is_storable());
}

#[test]
fn what_else_a_message_has_is_there_at_its_end_however_often_it_is_told() {
    let [start, open, _, delta, .., stop] = HELLO;
    let end = r#"{"type": "message_delta", "delta": {"stop_reason": "end_turn", "container": {"id": "c_1"}}, "context_management": {"applied_edits": []}}"#;
    let later = r#"{"type": "message_delta", "delta": {}, "usage": {"output_tokens": 15}}"#;
    let (_, answer) = stream([start, open, delta, end, later, stop]);
    let answer = answer.unwrap();
    let raw = raw(&answer);
    assert_eq!((&raw["container"]["id"], &raw["context_management"]), (&json!("c_1"), &json!({ "applied_edits": [] })));
    assert_eq!((answer.content.as_str(), answer.finish_reason.as_str()), ("Hello", "stop"));
}

#[test]
fn half_a_character_costs_itself_and_not_the_text_nor_the_arguments() {
    let [start, open, ..] = HELLO;
    let [.., end, stop] = HELLO;
    let said = |text: &str| {
        format!(r#"{{"type": "content_block_delta", "index": 0, "delta": {{"type": "text_delta", "text": "{text}"}}}}"#)
    };
    let (cut, rest, lone) = (said(r"a\ud83d"), said(r"\ude00b"), said(r"c\ud83d"));
    let (_, answer) = stream([start, open, &cut, &rest, &lone, end, stop]);
    assert_eq!(answer.unwrap().content, "a\u{1f600}bc");
    let asked = CompletionRequest::message("a");
    let whole = r#"{"type":"message","role":"assistant","content":[{"type":"text","text":"long\ud83d"}],"stop_reason":"end_turn"}"#;
    let read = anthropic().read(&call::<Completion>(&asked, false), whole.into()).unwrap();
    assert_eq!(Completion::read(&read, &asked).unwrap().content, "long\u{fffd}");
    for half in [r"\ud83d", r"\\ud83d"] {
        let call = format!(
            r#"{{"id":"1","type":"function","function":{{"name":"f","arguments":"{{\"name\":\"{half}\",\"amount\":100}}"}}}}"#
        );
        let body =
            format!(r#"{{"messages":[{{"role":"user","content":"a"}},{{"role":"assistant","tool_calls":[{call}]}}]}}"#);
        let request = Completion::request(Body::parse(&body).unwrap()).unwrap();
        let out = http::<Completion>(&*anthropic(), &request, false);
        assert!(text_of(&out).contains(r#""amount":100"#), "{}", text_of(&out));
    }
}

#[test]
fn calls_come_in_pieces_that_are_whole_together() {
    let (chunks, answer) = stream(WEATHER);
    let answer = answer.unwrap();
    let calls: Vec<_> = answer.tool_calls.iter().map(|call| (call.name.as_str(), call.arguments.as_str())).collect();
    assert_eq!(calls, [("get_weather", r#"{"location": "San Francisco, CA"}"#), ("now", "{}")]);
    assert_eq!((answer.tool_calls[1].id.as_str(), answer.finish_reason.as_str()), ("toolu_2", "tool_calls"));
    let places = chunks.iter().filter_map(|chunk| match chunk {
        Chunk::ToolCall { index, .. } => Some(*index),
        _ => None,
    });
    assert_eq!(places.collect::<Vec<_>>(), [0, 0, 0, 1, 1]);
    assert!(answer.is_storable());
}

#[test]
fn thinking_is_reasoning_and_keeps_its_signature() {
    let (chunks, answer) = stream(THINKING);
    let answer = answer.unwrap();
    assert!(matches!(&chunks[0], Chunk::Reasoning { delta } if delta == "1071 = 2 × 462 + 147"), "{chunks:?}");
    let thinking = "1071 = 2 × 462 + 147\n462 = 3 × 147 + 21";
    let message = &raw(&answer)["choices"][0]["message"];
    assert_eq!(message["reasoning_content"], thinking);
    let block = json!({ "type": "thinking", "thinking": thinking, "signature": "EqQBCgIYAhIM1gbcDa9GJwZA2b3h" });
    assert_eq!(message["thinking_blocks"], json!([block]));
    assert!(answer.usage().is_none() && answer.is_storable());
}

#[test]
fn a_search_is_kept_with_its_results_and_citations() {
    let (chunks, answer) = stream(SEARCH);
    let answer = answer.unwrap();
    assert_eq!(chunks, [content("It rains.")]);
    let blocks = &raw(&answer)["choices"][0]["message"]["content_blocks"];
    assert_eq!(blocks[0]["input"], json!({ "query": "weather NYC today" }));
    assert_eq!(blocks[1]["content"][0]["encrypted_content"], "Ev0DCioIAxgC");
    assert_eq!(blocks[2]["citations"][0]["url"], "https://world-weather.info");
    let usage = answer.usage().unwrap();
    assert_eq!((usage.prompt_tokens, usage.cached_prompt_tokens, usage.total_tokens), (10722, Some(40), 11232));
    assert!(answer.tool_calls.is_empty() && answer.is_storable());
}

/// <https://platform.claude.com/docs/en/build-with-claude/compaction>: it comes in one piece, after silence.
#[test]
fn a_compaction_is_kept_as_it_has_to_go_back() {
    let [start, open, ping, hello, rest @ ..] = HELLO;
    let compaction = |delta| {
        [
            r#"{"type":"content_block_start","index":0,"content_block":{"type":"compaction","content":null,"encrypted_content":null}}"#,
            delta,
            r#"{"type":"content_block_stop","index":0}"#,
        ]
    };
    for (delta, expected) in [
        (
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"compaction_delta","content":"Hi was said.","encrypted_content":"Ev0D"}}"#,
            json!({ "type": "compaction", "content": "Hi was said.", "encrypted_content": "Ev0D" }),
        ),
        (
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"compaction_delta","content":null,"encrypted_content":"Ev0D"}}"#,
            json!({ "type": "compaction", "content": null, "encrypted_content": "Ev0D" }),
        ),
    ] {
        let events = [start].into_iter().chain(compaction(delta)).chain([open, ping, hello]).chain(rest);
        let (chunks, answer) = stream(events);
        assert_eq!(chunks, [content("Hello"), content("!")]);
        let blocks = &raw(&answer.unwrap())["choices"][0]["message"]["content_blocks"];
        assert_eq!(blocks, &json!([expected, { "type": "text", "text": "Hello!" }]));
    }
}

#[test]
fn a_stream_that_does_not_stop_is_cut() {
    for events in [&HELLO[..], &WEATHER[..], &THINKING[..]] {
        for end in 0..events.len() {
            let (_, answer) = stream(events[..end].iter().copied());
            assert_eq!(answer.unwrap_err().class, FailureClass::Truncated, "after {end}");
        }
    }
}

/// <https://platform.claude.com/docs/en/build-with-claude/streaming#error-events>.
#[test]
fn an_error_in_the_stream_is_what_it_would_be_outside() {
    for (kind, class) in [
        ("overloaded_error", FailureClass::RateLimited),
        ("rate_limit_error", FailureClass::RateLimited),
        ("api_error", FailureClass::Transient),
        ("invalid_request_error", FailureClass::Rejected),
    ] {
        let error = json!({ "type": "error", "error": { "type": kind, "message": "Overloaded" } }).to_string();
        let (chunks, answer) = stream(HELLO[..4].iter().copied().chain([error.as_str()]));
        assert_eq!((chunks.len(), answer.unwrap_err().class), (1, class), "{kind}");
    }
}

#[test]
fn events_that_will_be_invented_say_nothing() {
    let new = [
        r#"{"type":"invented","x":1}"#,
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"invented_delta"}}"#,
    ];
    let (chunks, answer) = stream(HELLO[..4].iter().copied().chain(new).chain(HELLO[4..].iter().copied()));
    assert_eq!((chunks.len(), answer.unwrap().content.as_str()), (2, "Hello!"));
}

#[test]
fn a_piece_that_is_null_says_nothing() {
    let null =
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":null,"stop_reason":null}}"#;
    let (chunks, answer) = stream(HELLO[..4].iter().copied().chain([null]).chain(HELLO[4..].iter().copied()));
    assert_eq!((chunks.len(), answer.unwrap().content.as_str()), (2, "Hello!"));
}

#[test]
fn a_block_whose_beginning_was_lost_is_said_all_the_same() {
    let begun = |event: &&&str| !event.contains("content_block_start");
    let (chunks, answer) = stream(HELLO.iter().filter(begun).copied());
    assert_eq!(chunks, [content("Hello"), content("!")]);
    assert_eq!(answer.unwrap().content, "Hello!");
    let (_, whole) = stream(THINKING);
    let (_, answer) = stream(THINKING.iter().filter(begun).copied());
    assert_eq!(raw(&answer.unwrap()), raw(&whole.unwrap()));
}

#[test]
fn a_call_whose_beginning_was_lost_is_a_cut_and_no_answer_without_it() {
    let begun = |event: &&&str| !event.contains("content_block_start");
    let (_, answer) = stream(WEATHER.iter().filter(begun).copied());
    let failure = answer.unwrap_err();
    assert_eq!(failure.class, FailureClass::Truncated);
    assert!(failure.message.contains("block 1"), "{failure:?}");
    let unknown = r#"{"type":"content_block_delta","index":7,"delta":{"type":"new_delta","new":"a"}}"#;
    let [start, rest @ ..] = HELLO;
    let (_, answer) = stream([start, unknown].into_iter().chain(rest));
    assert_eq!(answer.unwrap().content, "Hello!");
}

#[test]
fn events_that_are_none_are_a_cut() {
    for event in ["", "[]", "{", "<html>", "5"] {
        assert_eq!(stream([event]).1.unwrap_err().class, FailureClass::Truncated, "{event}");
    }
}
