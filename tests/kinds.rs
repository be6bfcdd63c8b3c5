//! Wire forms: what a request may be, what an answer is, and what is not one.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};
use thryd::Kind;
use thryd::error::{Failure, FailureClass, Invalid};
use thryd::kinds::{
    Body, Completion, CompletionRequest, EmbeddingRequest, Embeddings, Ranking, RerankRequest, StreamAssembly, Usage,
};

fn check<K: Kind>(body: &Value) -> Result<K::Request, Invalid> {
    K::request(Body::parse(&body.to_string()).unwrap())
}

fn wire<R: AsRef<Body>>(request: &R) -> Value {
    serde_json::from_slice(&request.as_ref().write(&[])).unwrap()
}

fn read<K: Kind>(answer: &str, request: &K::Request) -> Result<K, Failure> {
    K::read(&Bytes::from(answer.to_owned()), request)
}

#[track_caller]
fn refused<K: Kind>(body: &Value, is_range: bool, message: &str) {
    let invalid = check::<K>(body).unwrap_err();
    assert_eq!(invalid.to_string(), message);
    assert_eq!(invalid.is_range, is_range, "{invalid}");
}

fn answer(message: &Value, finish_reason: &Value) -> String {
    let usage = json!({
        "prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15,
        "prompt_tokens_details": { "cached_tokens": 4 }, "completion_tokens_details": { "reasoning_tokens": 2 },
    });
    let choice = json!({ "index": 0, "message": message, "finish_reason": finish_reason });
    json!({ "id": "x", "model": "gpt-4o-2024", "choices": [choice], "usage": usage }).to_string()
}

#[test]
fn message_and_messages_are_one_request() {
    let short = check::<Completion>(&json!({ "message": "Hi \"you\"", "temperature": 0.5 })).unwrap();
    let long = json!({ "messages": [{ "role": "user", "content": "Hi \"you\"" }], "temperature": 0.5 });
    assert_eq!(wire(&short), wire(&check::<Completion>(&long).unwrap()));
    assert_eq!(short.as_ref().iter().map(|(name, _)| name).collect::<Vec<_>>(), ["messages", "temperature"]);
    assert_eq!(wire(&CompletionRequest::message("Hi \"you\"").set("temperature", 0.5)), wire(&short));
}

#[test]
fn neither_and_both_of_message_and_messages_are_refused() {
    let neither = "request: expected either message or messages, got neither";
    refused::<Completion>(&json!({}), false, neither);
    refused::<Completion>(&json!({ "message": null }), false, neither);
    let both = json!({ "message": "a", "messages": [{ "role": "user", "content": "a" }] });
    refused::<Completion>(&both, false, "request: expected either message or messages, got both");
}

#[test]
fn a_number_out_of_range_says_so_with_field_range_and_value() {
    for (name, value, message) in [
        ("temperature", json!(2.5), "a number from 0 to 2, got 2.5"),
        ("temperature", json!(-0.1), "a number from 0 to 2, got -0.1"),
        ("temperature", json!("NaN"), "a number from 0 to 2, got NaN"),
        ("top_p", json!(1.01), "a number from 0 to 1, got 1.01"),
        ("top_p", json!("Infinity"), "a number from 0 to 1, got Infinity"),
        ("presence_penalty", json!(-3), "a number from -2 to 2, got -3"),
        ("frequency_penalty", json!("-Infinity"), "a number from -2 to 2, got -Infinity"),
        ("seed", json!(1.5), "an integer, got 1.5"),
        ("max_completion_tokens", json!(0), "an integer from 1 to 9007199254740991, got 0"),
        ("max_completion_tokens", json!(1.5), "an integer from 1 to 9007199254740991, got 1.5"),
        ("max_completion_tokens", json!("12n"), "an integer from 1 to 9007199254740991, got 12n"),
        ("max_tokens", json!(-1), "an integer from 1 to 9007199254740991, got -1"),
        ("n", json!(0), "an integer from 1 to 9007199254740991, got 0"),
    ] {
        let body = json!({ "message": "a", name: value });
        refused::<Completion>(&body, true, &format!("request.{name}: expected {message}"));
    }
    let huge = Body::parse(r#"{"message":"a","temperature":1e999}"#).unwrap();
    assert!(Completion::request(huge).unwrap_err().is_range);
}

#[test]
fn a_value_of_the_wrong_type_is_named_with_its_path() {
    let messages = |value: Value| json!({ "messages": value });
    let with = |name: &str, value: Value| json!({ "message": "a", name: value });
    let list = "request.messages: expected an array of messages that is not empty, got";
    for (body, message) in [
        (json!({ "message": 1 }), "request.message: expected a string, got 1"),
        (messages(json!("Hi")), &format!("{list} \"Hi\"")),
        (messages(json!([])), &format!("{list} an empty array")),
        (messages(json!(["Hi"])), "request.messages[0]: expected an object with a role, got \"Hi\""),
        (messages(json!([["user", "Hi"]])), "request.messages[0]: expected an object with a role, got an array of 2"),
        (messages(json!([{ "content": "a" }])), "request.messages[0].role: expected a string, got nothing"),
        (messages(json!([{ "role": "user" }, { "role": 1 }])), "request.messages[1].role: expected a string, got 1"),
        (
            messages(json!([{ "role": "user", "content": 7 }])),
            "request.messages[0].content: expected a string, an array of objects or null, got 7",
        ),
        (with("temperature", json!("hot")), "request.temperature: expected a number from 0 to 2, got \"hot\""),
        (with("tools", json!([1])), "request.tools[0]: expected an object, got 1"),
        (with("tools", json!({})), "request.tools: expected an array of objects, got an object"),
        (with("stop", json!([1])), "request.stop: expected a string or an array of strings, got an array of 1"),
        (with("response_format", json!("json")), "request.response_format: expected an object, got \"json\""),
        (with("reasoning_effort", json!(3)), "request.reasoning_effort: expected a string, got 3"),
    ] {
        refused::<Completion>(&body, false, message);
    }
}

#[test]
fn what_a_request_may_hold_is_not_refused() {
    let body = json!({
        "messages": [
            { "role": "user", "content": [{ "type": "text", "text": "a" }] },
            { "role": "assistant", "content": null, "tool_calls": [] },
            { "role": "tool", "content": "b", "tool_call_id": "1" },
        ],
        "temperature": 0, "top_p": 1, "max_completion_tokens": 1, "presence_penalty": -2, "frequency_penalty": 2,
        "stop": ["a"], "seed": -4, "tools": [{}], "response_format": {}, "reasoning_effort": "low", "x": { "a": [null] },
    });
    assert_eq!(wire(&check::<Completion>(&body).unwrap()), body);
}

#[test]
fn null_is_absent_and_what_is_thryds_is_dropped() {
    let body =
        json!({ "message": "a", "temperature": null, "model": "m", "stream": true, "stream_options": {}, "x": 1 });
    let request = check::<Completion>(&body).unwrap();
    assert_eq!(wire(&request), json!({ "messages": [{ "role": "user", "content": "a" }], "x": 1 }));
}

#[test]
fn a_completion_is_read_with_its_usage() {
    let request = CompletionRequest::message("a");
    let text = answer(&json!({ "role": "assistant", "content": "Hello" }), &json!("stop"));
    let completion: Completion = read(&text, &request).unwrap();
    assert_eq!((completion.content.as_str(), completion.finish_reason.as_str()), ("Hello", "stop"));
    assert_eq!(completion.model(), "gpt-4o-2024");
    let usage = completion.usage().unwrap();
    assert_eq!((usage.prompt_tokens, usage.completion_tokens, usage.total_tokens), (10, 5, 15));
    assert_eq!((usage.cached_prompt_tokens, usage.reasoning_tokens), (Some(4), Some(2)));
    assert!(completion.is_storable());
}

#[test]
fn content_may_be_null_or_parts_and_tool_calls_are_read() {
    let request = CompletionRequest::message("a");
    let call = json!({ "id": "c1", "type": "function", "function": { "name": "f", "arguments": "{\"a\":1}" } });
    let text = answer(&json!({ "content": null, "tool_calls": [call] }), &json!("tool_calls"));
    let called: Completion = read(&text, &request).unwrap();
    assert_eq!((called.content.as_str(), called.tool_calls[0].arguments.as_str()), ("", "{\"a\":1}"));
    assert_eq!(called.text(), "f{\"a\":1}");
    assert!(called.is_storable());
    let parts = json!({ "content": [{ "type": "thinking", "thinking": [] }, { "type": "text", "text": "a" }, { "text": "b" }] });
    assert_eq!(read::<Completion>(&answer(&parts, &json!("stop")), &request).unwrap().content, "ab");
}

#[test]
fn what_is_not_an_answer_is_a_failure_that_shows_it() {
    let long = format!("<html>{}", "\u{e9}".repeat(70_000));
    for (text, reason) in [
        ("", "it is empty"),
        ("<!doctype html>", "it is HTML or XML, not JSON"),
        (long.as_str(), "it is HTML or XML, not JSON"),
        ("{}", "missing field `choices`"),
        ("[]", "it is an array, not an object"),
        ("{\"choices\":", "it is not JSON"),
        ("{\"choices\":[]}", "`choices` is empty"),
        ("{\"choices\":5}", "invalid type"),
        ("{\"choices\":[{}]}", "missing field `message`"),
        ("{\"error\":{\"message\":\"no\"}}", "missing field `choices`"),
        ("{\"choices\":[{\"message\":{\"content\":5},\"finish_reason\":\"stop\"}]}", "`content` is neither"),
        ("{\"choices\":[{\"message\":{\"content\":\"a\"},\"finish_reason\":null}]}", "no finish reason"),
        ("{\"choices\":[{\"message\":{\"content\":\"a\"}}]}", "no finish reason"),
    ] {
        let failure = read::<Completion>(text, &CompletionRequest::message("a")).unwrap_err();
        assert_eq!(failure.class, FailureClass::Truncated);
        assert!(failure.message.contains(reason), "{text}: {}", failure.message);
        let body = failure.body.unwrap();
        assert!(text.starts_with(body.trim_end_matches('\u{fffd}')) && body.len() <= 64 << 10);
        assert!(body.len() + 4 >= text.len().min(64 << 10));
    }
}

#[test]
fn usage_that_cannot_be_read_costs_no_answer() {
    let text = r#"{"choices":[{"message":{"content":"a"},"finish_reason":"stop"}],"usage":{"prompt_tokens":"many"}}"#;
    assert!(read::<Completion>(text, &CompletionRequest::message("a")).unwrap().usage().is_none());
}

#[test]
fn an_answer_that_a_filter_cut_short_is_not_kept() {
    let storable = |message: Value, reason: &str| {
        read::<Completion>(&answer(&message, &json!(reason)), &CompletionRequest::message("a")).unwrap().is_storable()
    };
    assert!(storable(json!({ "content": "a" }), "length"));
    assert!(!storable(json!({ "content": "a" }), "content_filter"));
    let broken =
        json!({ "content": null, "tool_calls": [{ "id": "1", "function": { "name": "f", "arguments": "{\"a\":" } }] });
    assert!(!storable(broken, "length"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// No answer of any shape makes a reader panic.
    #[test]
    fn no_bytes_make_a_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..64), text in "[\\[\\]{}\":,a-z0-9]{0,40}") {
        for bytes in [bytes, text.into_bytes()] {
            let bytes = Bytes::from(bytes);
            let _ = Completion::load(&bytes);
            let _ = Embeddings::load(&bytes);
            let _ = Ranking::load(&bytes);
            let _ = Embeddings::read(&bytes, &EmbeddingRequest::input(["a"]));
            let _ = Ranking::read(&bytes, &RerankRequest::new("q", ["a"]));
            if let Ok(data) = std::str::from_utf8(&bytes) {
                let _ = StreamAssembly::default().push(data, &mut Vec::new());
            }
        }
    }

    /// Split, batch, unbatch and join lose nothing: neither a vector, its place, nor a token.
    #[test]
    fn a_request_in_parts_is_the_request(count in 2_usize..9, size in 1_usize..5, prompt_tokens in 0_u64..1000) {
        let inputs: Vec<String> = (0..count).map(|place| format!("text {place}")).collect();
        let whole = EmbeddingRequest::input(inputs).set("dimensions", 2);
        let parts = Embeddings::split(&whole).unwrap();
        prop_assert_eq!(parts.len(), count);
        prop_assert_eq!(wire(&Embeddings::batch(&parts)), wire(&whole));
        let mut answers = Vec::new();
        for batch in parts.chunks(size) {
            let request = Embeddings::batch(batch);
            let place = |text: &str| text[5..].parse::<u16>().unwrap();
            let items = request.inputs().iter().enumerate();
            let data: Vec<_> = items.map(|(index, text)| json!({ "index": index, "embedding": [place(text), 1] })).collect();
            let usage = json!({ "prompt_tokens": prompt_tokens, "total_tokens": prompt_tokens });
            let text = json!({ "data": data, "model": "e", "usage": usage }).to_string();
            answers.extend(read::<Embeddings>(&text, &request).unwrap().unbatch());
        }
        let stored: Vec<_> = answers.iter().map(|part| Embeddings::load(&part.store()).unwrap()).collect();
        prop_assert_eq!(&stored, &answers);
        let joined = Embeddings::join(answers);
        let firsts: Vec<_> = joined.vectors().iter().map(|vector| vector[0]).collect();
        let expected: Vec<f32> = (0..u16::try_from(count).unwrap()).map(f32::from).collect();
        prop_assert_eq!(firsts, expected);
        prop_assert_eq!(joined.usage().unwrap().total_tokens, prompt_tokens * count.div_ceil(size) as u64);
    }

    /// A record with a changed or missing byte is a miss or another record, never a panic.
    #[test]
    fn a_damaged_record_is_no_panic(place in 0_usize..60, byte in any::<u8>(), cut in 0_usize..60) {
        let text = json!({ "data": [{ "index": 0, "embedding": [1, 2, 3] }], "model": "e" }).to_string();
        let stored = read::<Embeddings>(&text, &EmbeddingRequest::input(["a"])).unwrap().store();
        prop_assert!(Embeddings::load(&stored.slice(..cut.min(stored.len() - 1))).is_none());
        let mut damaged = stored.to_vec();
        damaged[place] = byte;
        let _ = Embeddings::load(&damaged.into());
    }
}

#[test]
fn one_text_and_a_list_of_it_are_one_request() {
    let one = check::<Embeddings>(&json!({ "input": "a", "encoding_format": "float", "user": "u" })).unwrap();
    assert_eq!(wire(&one), json!({ "input": ["a"], "user": "u" }));
    assert_eq!(wire(&check::<Embeddings>(&json!({ "input": ["a"], "user": "u" })).unwrap()), wire(&one));
}

#[test]
fn inputs_that_are_no_texts_are_refused() {
    let list = "request.input: expected an array of strings that is not empty, got";
    for (body, message) in [
        (json!({}), format!("{list} nothing")),
        (json!({ "input": [] }), format!("{list} an empty array")),
        (json!({ "input": 5 }), format!("{list} 5")),
        (json!({ "input": "" }), "request.input: expected a string that is not empty, got \"\"".into()),
        (json!({ "input": ["a", ""] }), "request.input[1]: expected a string that is not empty, got \"\"".into()),
        (json!({ "input": ["a", 2] }), "request.input[1]: expected a string, got 2".into()),
    ] {
        refused::<Embeddings>(&body, false, &message);
    }
    let dimensions = "request.dimensions: expected an integer from 1 to 9007199254740991, got";
    refused::<Embeddings>(&json!({ "input": "a", "dimensions": 0 }), true, &format!("{dimensions} 0"));
    refused::<Embeddings>(&json!({ "input": "a", "dimensions": "8" }), false, &format!("{dimensions} \"8\""));
}

fn base64_of(vector: &[f32]) -> Value {
    STANDARD.encode(vector.iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<_>>()).into()
}

#[test]
fn vectors_come_in_the_order_of_the_inputs_whatever_order_they_were_sent_in() {
    let data = json!([
        { "index": 2, "embedding": [0.5, 1] },
        { "index": 0, "embedding": base64_of(&[0.1, -2.0]) },
        { "index": 1, "embedding": [3, 4] },
    ]);
    let text = json!({ "model": "e", "usage": { "prompt_tokens": 3, "total_tokens": 3 }, "data": data }).to_string();
    let embeddings: Embeddings = read(&text, &EmbeddingRequest::input(["a", "b", "c"])).unwrap();
    assert_eq!(embeddings.vectors(), [vec![0.1, -2.0], vec![3.0, 4.0], vec![0.5, 1.0]]);
    assert_eq!((embeddings.model(), embeddings.usage().unwrap().total_tokens), ("e", 3));
}

#[test]
fn vectors_that_do_not_fit_the_inputs_are_a_failure() {
    let item = |index: i64, vector: Value| json!({ "index": index, "embedding": vector });
    let after = |second: Value| json!([item(0, json!([1])), second]);
    for (data, reason) in [
        (json!([item(0, json!([1]))]), "1 vectors for 2 inputs"),
        (after(item(0, json!([1]))), "index 0 stands twice"),
        (after(item(2, json!([1]))), "index 2 of 2 inputs"),
        (after(item(-1, json!([1]))), "invalid value"),
        (after(json!({ "embedding": [1] })), "missing field `index`"),
        (after(item(1, json!([1, 2]))), "different lengths"),
        (json!([item(0, json!([])), item(1, json!([]))]), "empty"),
        (after(item(1, json!(["x"]))), "not made of numbers"),
        (after(item(1, json!([1e39]))), "not made of numbers"),
        (after(item(1, json!("AAAA!"))), "not made of numbers"),
        (after(item(1, json!("AAAA"))), "not made of numbers"),
        (after(item(1, base64_of(&[f32::NAN]))), "not made of numbers"),
        (json!("x"), "invalid type"),
    ] {
        let text = json!({ "data": data }).to_string();
        let failure = read::<Embeddings>(&text, &EmbeddingRequest::input(["a", "b"])).unwrap_err();
        assert_eq!(failure.class, FailureClass::Truncated);
        assert!(failure.message.contains(reason), "{text}: {}", failure.message);
    }
}

#[test]
fn one_input_is_not_split_and_estimates_stay_estimates() {
    assert!(Embeddings::split(&EmbeddingRequest::input(["a"])).is_none());
    let text = json!({ "data": [{ "index": 0, "embedding": [1] }] }).to_string();
    let mut embeddings: Embeddings = read(&text, &EmbeddingRequest::input(["a"])).unwrap();
    embeddings.set_usage(Usage::estimated(5, 0));
    assert!(Embeddings::load(&embeddings.store()).unwrap().usage().unwrap().estimated);
}

#[test]
fn a_rerank_without_a_query_or_documents_is_refused() {
    let list = "request.documents: expected an array of strings that is not empty, got";
    for (body, message) in [
        (json!({ "documents": ["a"] }), "request.query: expected a string that is not empty, got nothing".to_owned()),
        (
            json!({ "query": "", "documents": ["a"] }),
            "request.query: expected a string that is not empty, got \"\"".into(),
        ),
        (json!({ "query": "q" }), format!("{list} nothing")),
        (json!({ "query": "q", "documents": [] }), format!("{list} an empty array")),
        (json!({ "query": "q", "documents": [{}] }), "request.documents[0]: expected a string, got an object".into()),
    ] {
        refused::<Ranking>(&body, false, &message);
    }
    let body = json!({ "query": "q", "documents": ["a"], "top_n": 0 });
    refused::<Ranking>(&body, true, "request.top_n: expected an integer from 1 to 9007199254740991, got 0");
}

fn results(scores: &[(i64, f64)]) -> Value {
    scores.iter().map(|(index, score)| json!({ "index": index, "relevance_score": score })).collect()
}

#[test]
fn a_ranking_is_best_first_and_no_longer_than_asked() {
    let request = RerankRequest::new("q", ["a", "b", "c", "d"]).set("top_n", 3);
    let scores = results(&[(3, 0.5), (0, -1.0), (1, 0.5), (2, 0.9)]);
    let text = json!({ "model": "r", "usage": { "total_tokens": 9 }, "results": scores }).to_string();
    let ranking: Ranking = read(&text, &request).unwrap();
    assert_eq!(ranking.results().iter().map(|ranked| ranked.index).collect::<Vec<_>>(), [2, 1, 3]);
    assert_eq!(ranking.usage().unwrap().prompt_tokens, 9);
    assert_eq!(Ranking::load(&ranking.store()).unwrap(), ranking);
}

#[test]
fn a_ranking_of_documents_that_are_not_there_is_a_failure() {
    let request = RerankRequest::new("q", ["a", "b"]);
    for second in [2, 0, -1] {
        let text = json!({ "results": results(&[(0, 1.0), (second, 1.0)]) }).to_string();
        assert_eq!(read::<Ranking>(&text, &request).unwrap_err().class, FailureClass::Truncated, "{text}");
    }
    for text in ["{\"results\":[]}", "{}", "[]"] {
        assert_eq!(read::<Ranking>(text, &request).unwrap_err().class, FailureClass::Truncated, "{text}");
    }
}

#[test]
fn coheres_search_units_are_not_tokens() {
    let read = |meta: Value| {
        let text = json!({ "results": results(&[(0, 1.0)]), "meta": meta }).to_string();
        read::<Ranking>(&text, &RerankRequest::new("q", ["a"])).unwrap()
    };
    assert!(read(json!({ "billed_units": { "search_units": 1 } })).usage().is_none());
    assert_eq!(read(json!({ "tokens": { "input_tokens": 6 } })).usage().unwrap().total_tokens, 6);
}
