//! Fear: a count that is not what the provider will charge, or a text that brings the process down.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use serde_json::{Value, json};
use thryd::Kind;
use thryd::kinds::{Body, Completion, CompletionRequest, Prompt};
use thryd::tokens::{count, count_messages, count_prompt, is_loaded, preload};

const ENCODINGS: [&str; 4] = ["o200k_base", "cl100k_base", "p50k_base", "r50k_base"];

/// Counts by other implementations; its first field says which.
fn vectors() -> Value {
    serde_json::from_str(include_str!("fixtures/tokens.json")).unwrap()
}

#[test]
fn every_vector_of_another_implementation_is_met() {
    let vectors = vectors();
    let texts = vectors["texts"].as_array().unwrap();
    assert!(texts.len() >= 60);
    for row in texts {
        let text = row["text"].as_str().unwrap();
        for encoding in ENCODINGS {
            assert_eq!(count(text, encoding).unwrap(), row[encoding].as_u64().unwrap(), "{encoding} {text:?}");
        }
    }
}

#[test]
fn every_published_count_is_met() {
    for row in vectors()["published"].as_array().unwrap() {
        let (text, encoding) = (row["text"].as_str().unwrap(), row["encoding"].as_str().unwrap());
        assert_eq!(count(text, encoding).unwrap(), row["tokens"].as_u64().unwrap(), "{encoding} {text:?}");
    }
}

#[test]
fn the_published_chat_costs_what_the_api_charged_for_it() {
    let vectors = vectors();
    let published = &vectors["publishedMessages"];
    for (model, tokens) in published["tokens"].as_object().unwrap() {
        assert_eq!(
            count_messages(&published["messages"].to_string(), model).unwrap(),
            tokens.as_u64().unwrap(),
            "{model}"
        );
    }
}

#[test]
fn a_model_is_counted_by_its_own_encoding() {
    // Japanese, which all but p50k and r50k divide differently, and indented code, which those two do.
    let text = "\u{304a}\u{8a95}\u{751f}\u{65e5}\u{304a}\u{3081}\u{3067}\u{3068}\u{3046}\n        return x";
    let families: [(&str, &[&str]); 4] = [
        (
            "o200k_base",
            &[
                "gpt-4o",
                "gpt-4o-2024-08-06",
                "gpt-4o-mini",
                "gpt-4.1",
                "gpt-4.1-nano",
                "gpt-5",
                "gpt-5.2-codex",
                "o1",
                "o1-mini",
                "o3",
                "o3-pro",
                "o4-mini",
                "chatgpt-4o-latest",
                "gpt-oss-120b",
                "ft:gpt-4o-2024-08-06:org::id",
                "openai::gpt-4o",
                "openai/gpt-4o",
                "openrouter::openai/gpt-5-mini",
                "o200k_harmony",
            ],
        ),
        (
            "cl100k_base",
            &[
                "gpt-4",
                "gpt-4-0613",
                "gpt-4-turbo",
                "gpt-4-32k",
                "gpt-3.5-turbo",
                "gpt-3.5-turbo-16k",
                "gpt-35-turbo",
                "text-embedding-3-small",
                "text-embedding-3-large",
                "text-embedding-ada-002",
                "ft:gpt-3.5-turbo:org::id",
                "davinci-002",
            ],
        ),
        (
            "p50k_base",
            &["text-davinci-003", "text-davinci-002", "code-davinci-002", "code-cushman-001", "text-davinci-edit-001"],
        ),
        ("r50k_base", &["davinci", "curie", "ada", "text-davinci-001", "gpt2", "code-search-ada-code-001"]),
    ];
    let counts: Vec<_> = families.iter().map(|(encoding, _)| count(text, encoding).unwrap()).collect();
    for (index, expected) in counts.iter().enumerate() {
        assert!(!counts[..index].contains(expected), "the text tells the encodings apart: {counts:?}");
    }
    for (encoding, models) in families {
        for model in models {
            assert_eq!(count(text, model), count(text, encoding), "{model}");
        }
    }
}

#[test]
fn an_unknown_model_is_refused_with_what_is_known() {
    for model in ["claude-sonnet-4", "", "gpt", "o", "llama3", "anthropic::claude", "o2"] {
        let refusal = count("text", model).unwrap_err();
        assert_eq!((refusal.field.as_str(), refusal.is_range), ("model", false), "{model}");
        assert!(refusal.expected.contains("gpt-4*") && refusal.expected.contains("o200k_base"));
        assert_eq!(refusal.got, format!("{model:?}"));
        assert_eq!(count_messages("[]", model).unwrap_err().field, "model");
    }
}

#[test]
fn what_looks_like_a_special_token_is_text() {
    for encoding in ENCODINGS {
        assert!(count("<|endoftext|>", encoding).unwrap() > 1, "{encoding}");
    }
}

#[test]
fn a_megabyte_of_one_thing_is_counted_exactly() {
    // Counted by another implementation, or by hand: the longest token of each is so many times the unit.
    for (unit, tokens) in [(" ", 8192), ("a", 131_072), ("7", 349_526)] {
        let text = unit.repeat((1 << 20) / unit.len());
        assert_eq!(count(&text, "o200k_base"), Ok(tokens), "{unit:?}");
    }
}

#[test]
fn the_worst_texts_are_counted_and_nothing_overflows() {
    for unit in
        ["\n", "\u{3000}", " \n", "\u{1f600}", "-", "\u{751f}", "{\"a\":1},", "\u{301}", "\0", "ab", "'s", "\r\n/"]
    {
        let text = unit.repeat((128 << 10) / unit.len());
        for encoding in ENCODINGS {
            let tokens = count(&text, encoding).unwrap();
            assert!((text.len() as u64 / 128..=text.len() as u64).contains(&tokens), "{unit:?} {encoding}");
        }
    }
}

#[test]
fn a_prompt_counts_blank_texts_as_it_counts_others() {
    let blank = " ".repeat(1_280_000);
    let prompt = Prompt { texts: vec!["hello world".into(), blank.into()], overhead: 7, ..Prompt::default() };
    assert_eq!(count_prompt(&prompt, "gpt-4o"), 2 + 10_000 + 7);
}

#[test]
fn a_prompt_for_a_model_nobody_knows_is_counted_as_o200k_base() {
    let text = "\u{304a}\u{8a95}\u{751f}\u{65e5}";
    let prompt = Prompt { texts: vec![text.into()], overhead: 3, completion: Some(10), ..Prompt::default() };
    assert_eq!(count_prompt(&prompt, "some-llama"), count(text, "o200k_base").unwrap() + 3);
    assert_ne!(count_prompt(&prompt, "some-llama"), count_prompt(&prompt, "gpt-4"));
}

#[test]
fn a_preloaded_model_is_loaded() {
    // Other tests of this process may have loaded it, so only the end is certain.
    preload("gpt-4");
    assert!(is_loaded("gpt-4") && is_loaded("cl100k_base"));
}

fn framed(messages: &str) -> u64 {
    count_messages(messages, "gpt-4o").unwrap()
}

/// A picture's URL: the head of a PNG of that size.
fn png(width: u32, height: u32) -> String {
    let head = [b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", &width.to_be_bytes()[..], &height.to_be_bytes()].concat();
    format!("data:image/png;base64,{}", STANDARD.encode(head))
}

fn image(url: &str, detail: Option<&str>, model: &str) -> u64 {
    let count = |parts: Value| {
        let messages = json!([{ "role": "user", "content": parts }]);
        count_messages(&messages.to_string(), model).unwrap()
    };
    let image = json!([{ "type": "image_url", "image_url": { "url": url, "detail": detail } }]);
    count(image) - count(json!([]))
}

#[test]
fn an_image_costs_by_its_model_detail_and_size() {
    let square = png(1024, 1024);
    assert_eq!(image(&square, Some("low"), "gpt-4o"), 85);
    assert_eq!(image(&square, Some("high"), "gpt-4o"), 765);
    assert_eq!(image(&square, None, "gpt-4o"), 765);
    assert_eq!(image(&square, None, "gpt-4o-mini"), 25_501);
    assert_eq!(image(&square, None, "gpt-4.1-mini"), 1659);
    assert_eq!(image(&png(2048, 4096), None, "gpt-4o"), 1105);
}

#[test]
fn an_image_that_nobody_has_seen_costs_as_the_largest_does() {
    for url in ["https://a.b/c.png", "", "data:image/png;base64,AAAA", "data:image/svg+xml;base64,PHN2Zz4=", "data:,"] {
        assert_eq!(image(url, Some("low"), "gpt-4o"), 85, "{url}");
        assert_eq!(image(url, None, "gpt-4o"), 85 + 8 * 170, "{url}");
    }
    assert_eq!(image(&png(0, 1024), None, "gpt-4o"), 85 + 8 * 170);
}

#[test]
fn the_published_tools_cost_what_the_api_charged_for_them() {
    let vectors = vectors();
    let published = &vectors["publishedTools"];
    let body = json!({ "messages": published["messages"], "tools": published["tools"] });
    let request = Completion::request(Body::parse(&body.to_string()).unwrap()).unwrap();
    for (model, tokens) in published["tokens"].as_object().unwrap() {
        assert_eq!(count_prompt(&Completion::prompt(&request), model), tokens.as_u64().unwrap(), "{model}");
    }
}

proptest! {
    #[test]
    fn no_picture_makes_the_count_panic(
        url in prop_oneof!["\\PC{0,60}", "data:image/(png|jpeg|gif|webp);base64,[A-Za-z0-9+/=]{0,80}"],
        head in prop::sample::select(vec![&b"\x89PNG"[..], b"\xff\xd8\xff", b"GIF8", b"RIFF\0\0\0\0WEBPVP8 ", b""]),
        bytes in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        let garbage = format!("data:image/png;base64,{}", STANDARD.encode([head, &bytes].concat()));
        for url in [url, garbage] {
            for model in ["gpt-4o", "gpt-5-mini", "gpt-5.4"] {
                prop_assert!(image(&url, None, model) > 0);
            }
        }
    }

    /// A request that the strict walk takes is the same to the lenient one.
    #[test]
    fn messages_count_the_same_strictly_and_in_a_request(
        texts in prop::collection::vec("\\PC{0,20}", 1..4),
        name in prop::option::of("[a-z]{1,8}"),
        side in 1_u32..4000,
    ) {
        let picture = json!({ "type": "image_url", "image_url": { "url": png(side, 500) } });
        let parts: Vec<_> = texts.iter().map(|text| json!({ "type": "text", "text": text })).chain([picture]).collect();
        let messages = json!([{ "role": "user", "name": name, "content": parts }]);
        let request = CompletionRequest::messages(&messages);
        let strict = count_messages(&messages.to_string(), "gpt-4o").unwrap();
        prop_assert_eq!(count_prompt(&Completion::prompt(&request), "gpt-4o"), strict);
    }
}

#[test]
fn content_in_parts_costs_what_the_parts_cost() {
    let whole = framed(r#"[{"role":"user","content":"hello world"}]"#);
    let parts =
        framed(r#"[{"role":"user","content":[{"type":"text","text":"hello"},{"type":"text","text":" world"}]}]"#);
    assert_eq!(whole, parts);
    assert_eq!(whole, 3 + 3 + 1 + 2);
}

#[test]
fn tool_calls_cost_their_name_and_arguments() {
    let call = r#"{"id":"call_0123456789","type":"function","function":{"name":"hello","arguments":" world"}}"#;
    let called = framed(&format!(r#"[{{"role":"user","content":null,"tool_calls":[{call}]}}]"#));
    assert_eq!(called, framed(r#"[{"role":"user","content":"hello world"}]"#));
    let before = framed(r#"[{"role":"user","function_call":{"name":"hello","arguments":" world"}}]"#);
    assert_eq!(called, before);
}

#[test]
fn a_name_costs_one_more_than_its_tokens() {
    let named = framed(r#"[{"role":"user","name":"hello","content":""}]"#);
    assert_eq!(named, framed(r#"[{"role":"user","content":""}]"#) + 1 + 1);
}

#[test]
fn messages_of_another_form_are_refused_by_their_place() {
    for (messages, field) in [
        ("{", "messages"),
        ("{}", "messages"),
        ("[1]", "messages[0]"),
        (r#"[{"role":1}]"#, "messages[0].role"),
        (r#"[{},{"content":1}]"#, "messages[1].content"),
        (r#"[{"content":["a"]}]"#, "messages[0].content[0]"),
        (r#"[{"content":[{"type":"text","text":1}]}]"#, "messages[0].content[0].text"),
        (r#"[{"tool_calls":{}}]"#, "messages[0].tool_calls"),
        (r#"[{"tool_calls":[{"function":{"name":1}}]}]"#, "messages[0].name"),
    ] {
        let refusal = count_messages(messages, "gpt-4o").unwrap_err();
        assert_eq!((refusal.field.as_str(), refusal.is_range), (field, false), "{messages}: {refusal}");
    }
}
