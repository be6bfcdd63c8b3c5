//! Fears about the key: that two questions share one, or that one question has two.

use proptest::prelude::*;
use thryd::cache::{Key, KeyBuilder, Placement, placement};
use thryd::kinds::{Body, Field};

fn key(body: &str) -> Key {
    KeyBuilder::new("", "completion", ["openai::gpt-4o"].into_iter()).body(&Body::parse(body).unwrap())
}

// ------------------------------------------------------------------------------------------------ golden vectors

#[test]
fn a_key_is_the_hash_of_the_documented_bytes() {
    let text = |text: &str| [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat();
    let bytes = [
        vec![1],
        text("tenant"),
        text("completion"),
        2_u64.to_le_bytes().to_vec(),
        text("a::x"),
        text("b::y"),
        text(r#"{"messages":[{"content":"Hi","role":"user"}],"temperature":1}"#),
    ]
    .concat();
    let body =
        r#"{"temperature":1.0,"stream":true,"seed":null,"messages":[{"role":"user","content":"Hi"}],"user":"me"}"#;
    let models = ["b::y", "a::x", "b::y"];
    let key = KeyBuilder::new("tenant", "completion", models.into_iter()).body(&Body::parse(body).unwrap());
    assert_eq!(key.0, *blake3::hash(&bytes).as_bytes());
    assert_eq!(
        blake3::Hash::from(key.0).to_hex().as_str(),
        "5a9ef05c5d5d27313b126a2230886079ce1eb64e25d35cf04b1529be486a29d9"
    );
}

#[test]
fn keys_of_released_versions_do_not_move() {
    let golden = [
        (r#"{}"#, "4910d33b901cdb2fd079f809d1cbd326f543d3408cafcb77dbe01928cad78605"),
        (
            r#"{"messages":[{"role":"user","content":"Explain async."}],"temperature":0.7,"max_completion_tokens":200}"#,
            "92b38a57b4259ad7006e889dfb8507336c799a13997631a4a117124e9cfbc649",
        ),
        (r#"{"input":"żółw 🐢","dimensions":256}"#, "fb2ac628827d210df44d3c728c7598ba75d43c6d9c20c391a51191d8a8463afb"),
        (r#"{"service_tier":"flex","store":true}"#, "994708a3361478ed07070f5180d8f1427058c5bff7f9ae21f992a1a2bfb735ad"),
    ];
    for (body, expected) in golden {
        assert_eq!(blake3::Hash::from(key(body).0).to_hex().as_str(), expected, "{body}");
    }
}

/// The fields of the first version that knew them.
const KNOWN: &str = "audio dimensions documents embedding_types encoding_format frequency_penalty function_call functions \
     input input_type late_chunking logit_bias logprobs max_chunks_per_doc max_completion_tokens \
     max_tokens max_tokens_per_doc message messages metadata modalities model moderation n normalized \
     output_dimension output_dtype parallel_tool_calls prediction presence_penalty priority \
     prompt_cache_key prompt_cache_options prompt_cache_retention query rank_fields raw_scores \
     reasoning_effort response_format return_documents return_text safety_identifier seed service_tier \
     stop store stream stream_options task temperature texts timeout tool_choice tools top_k top_logprobs \
     top_n top_p truncate truncation truncation_direction user verbosity web_search_options";

/// One that moves from one side to the other, or is renamed, moves this key.
#[test]
fn the_key_of_all_known_fields_at_once_does_not_move() {
    let fields: Vec<_> = KNOWN.split(' ').map(|name| format!("\"{name}\":1")).collect();
    let key = key(&format!("{{{}}}", fields.join(",")));
    assert_eq!(
        blake3::Hash::from(key.0).to_hex().as_str(),
        "ae912fb51fe324071f88568a6c6270c9ba72c76aa970f72ce73ed26e832ca7d3"
    );
}

#[test]
fn two_names_of_one_model_share_a_key_when_they_stand_as_one() {
    // As `cacheAs` makes them: a name of the caller's own in the place of `provider::model`.
    let body = Body::parse(r#"{"messages":[]}"#).unwrap();
    let key = |models: &[&str]| KeyBuilder::new("", "completion", models.iter().copied()).body(&body);
    assert_eq!(
        blake3::Hash::from(key(&["gpt-4o"]).0).to_hex().as_str(),
        "8cbedf0d211ea977d75c3e1d6b0f3a5884ab26f5896e195ff41e0f3467cb700c"
    );
    assert_eq!(key(&["gpt-4o", "gpt-4o"]), key(&["gpt-4o"]));
    assert_ne!(key(&["openai::gpt-4o"]), key(&["gpt-4o"]));
}

// ---------------------------------------------------------------------------------------------- what is in the key
#[test]
fn what_does_not_decide_the_answer_is_left_out_and_all_else_is_in_the_key() {
    let plain = key(r#"{"a":[],"x":1}"#);
    for field in Field::ALL {
        let name = field.name();
        let is_left_out = placement(*field) != Placement::InKey;
        assert_eq!(key(&format!(r#"{{"a":[],"{name}":"anything","x":1}}"#)) == plain, is_left_out, "{name}");
        // Further down it is somebody else's field.
        let (with, without) = (format!(r#"{{"a":[],"x":1,"y":{{"{name}":1}}}}"#), r#"{"a":[],"x":1,"y":{}}"#);
        assert_ne!(key(&with), key(without), "{name}");
    }
}

#[test]
fn the_page_names_every_known_field_and_where_it_belongs() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/cache.md")).unwrap();
    let section = page.split("### The fields").nth(1).unwrap().split("\n## ").next().unwrap();
    let mut rows: Vec<(&str, String)> = Vec::new();
    for row in section.lines().filter(|line| line.starts_with("| `")) {
        let (names, place) = row.trim_matches('|').split_once('|').unwrap();
        rows.extend(names.split(", ").map(|name| (name.trim().trim_matches('`'), place.trim().to_owned())));
    }
    rows.sort_unstable();
    let expected = Field::ALL.iter().map(|field| match placement(*field) {
        Placement::InKey => (field.name(), "in the key".to_owned()),
        Placement::LeftOut(why) => (field.name(), format!("left out: {why}")),
    });
    assert_eq!(rows, expected.collect::<Vec<_>>());
}

#[test]
fn a_field_that_nobody_knows_is_part_of_the_question() {
    assert_ne!(key(r#"{"x_new":1}"#), key(r#"{"x_new":2}"#));
    assert_ne!(key(r#"{"x_new":1}"#), key("{}"));
}

#[test]
fn null_is_absent_at_the_top_and_a_value_below() {
    assert_eq!(key(r#"{"seed":null,"n": null }"#), key("{}"));
    assert_ne!(key(r#"{"messages":[{"content":null}]}"#), key(r#"{"messages":[{}]}"#));
}

#[test]
fn no_two_lists_of_texts_run_together() {
    let body = Body::parse("{}").unwrap();
    let lists: &[(&str, &str, &[&str])] = &[
        ("", "ab", &["c"]),
        ("a", "b", &["c"]),
        ("ab", "", &["c"]),
        ("", "a", &["b", "c"]),
        ("", "a", &["bc"]),
        ("", "a", &["b", "", "c"]),
        ("", "a", &["c"]),
        ("", "a", &[]),
        ("a", "", &[]),
        ("", "", &["a"]),
        ("", "a", &["b::c{}"]),
    ];
    let keys: std::collections::HashSet<_> = lists
        .iter()
        .map(|(space, kind, models)| KeyBuilder::new(space, kind, models.iter().copied()).body(&body))
        .collect();
    assert_eq!(keys.len(), lists.len());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_order_and_the_number_of_times_a_model_is_named_do_not_matter(
        models in prop::collection::vec("[ab]{0,2}", 0..6), other in prop::collection::vec("[ab]{0,2}", 0..6),
    ) {
        let body = Body::parse("{}").unwrap();
        let set = |models: &[String]| models.iter().cloned().collect::<std::collections::BTreeSet<_>>();
        let key = |models: &[String]| KeyBuilder::new("", "", models.iter().map(String::as_str)).body(&body);
        prop_assert_eq!(key(&models) == key(&other), set(&models) == set(&other));
    }
}

#[test]
fn nesting_without_end_blows_no_stack_and_mixes_nothing_up() {
    let deep = |core: &str| format!("{{\"x\":{}{core}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(key(&deep("1")), key(&deep("1")));
    assert_ne!(key(&deep("1")), key(&deep("2")));
    let shallow = |core: &str| format!("{{\"x\":{}{core}{}}}", "[".repeat(126), "]".repeat(126));
    assert_eq!(key(&shallow("{\"b\":1,\"a\":1.0}")), key(&shallow("{\"a\":1,\"b\":1}")));
}
