//! Laws over any answers, pieces and bytes.

use proptest::prelude::*;
use serde_json::{Value, json};
use thryd::Kind;
use thryd::kinds::{Body, Chunk, ModelResponse, ResponseAssembly};
use thryd::tokens::count_prompt;

use super::{content_of, events, heard, read, request};

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z \u{e9}\u{1f600}\n\"]{0,40}", "\\PC{0,12}"]
}

fn item() -> impl Strategy<Value = Value> {
    let parts = prop::collection::vec(text(), 0..3);
    prop_oneof![
        parts.prop_map(|texts| {
            let part = |text| json!({ "type": "output_text", "text": text, "annotations": [] });
            json!({ "type": "message", "role": "assistant", "status": "completed", "content": texts.into_iter().map(part).collect::<Vec<_>>() })
        }),
        (text(), text()).prop_map(|(summary, thought)| json!({ "type": "reasoning",
            "summary": [{ "type": "summary_text", "text": summary }], "content": [{ "type": "reasoning_text", "text": thought }] })),
        (text(), "[a-z]{1,5}").prop_map(|(text, name)| json!({ "type": "function_call", "name": name,
            "arguments": json!({ "a": text }).to_string(), "status": "completed" })),
        text().prop_map(|input| json!({ "type": "custom_tool_call", "name": "free", "input": input })),
        text().prop_map(|refusal| json!({ "type": "message", "role": "assistant", "content": [{ "type": "refusal", "refusal": refusal }] })),
        Just(json!({ "type": "web_search_call", "status": "completed" })),
    ]
}

/// Whole answers: each item with an id of its own, and each call.
fn answer() -> impl Strategy<Value = Value> {
    (prop::collection::vec(item(), 0..5), any::<bool>()).prop_map(|(mut items, is_cut)| {
        for (place, item) in items.iter_mut().enumerate() {
            item["id"] = format!("item_{place}").into();
            if item["type"].as_str().unwrap().ends_with("tool_call") || item["type"] == "function_call" {
                item["call_id"] = format!("call_{place}").into();
            }
        }
        let reason = is_cut.then(|| json!({ "reason": "max_output_tokens" }));
        json!({ "id": "resp_1", "object": "response", "status": if is_cut { "incomplete" } else { "completed" },
            "error": null, "incomplete_details": reason, "model": "m", "output": items,
            "usage": { "input_tokens": 1, "output_tokens": 2, "total_tokens": 3 } })
    })
}

/// The pieces of a text, cut anywhere.
fn cut(text: &str, at: usize) -> Vec<String> {
    let letters: Vec<char> = text.chars().collect();
    let (first, second) = letters.split_at(at % (letters.len() + 1));
    [first.iter().collect::<String>(), second.iter().collect()].into_iter().filter(|piece| !piece.is_empty()).collect()
}

/// The same events with each delta cut in two.
fn recut(events: &[String], at: usize) -> Vec<String> {
    let mut all = Vec::new();
    for event in events {
        let mut value: Value = serde_json::from_str(event).unwrap();
        match value["delta"].as_str().map(|delta| cut(delta, at)) {
            None => all.push(event.clone()),
            Some(pieces) => {
                for piece in pieces {
                    value["delta"] = piece.into();
                    all.push(value.to_string());
                }
            }
        }
    }
    all
}

fn arguments_of(chunks: &[Chunk]) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for chunk in chunks {
        if let Chunk::ToolCall { index, arguments, .. } = chunk {
            let place = *index as usize;
            all.resize(all.len().max(place + 1), String::new());
            all[place].push_str(arguments);
        }
    }
    all
}

proptest! {
    #[test]
    fn a_replayed_answer_is_the_answer_however_its_pieces_are_cut(answer in answer(), at in 0..40_usize) {
        let whole = read(&answer.to_string()).unwrap();
        for events in [events(&answer), recut(&events(&answer), at)] {
            let (chunks, again) = heard(events.iter().map(String::as_str));
            let again = again.unwrap();
            prop_assert_eq!(again.raw(), whole.raw());
            prop_assert_eq!(content_of(&chunks), whole.output_text.clone());
            let arguments: Vec<_> = whole.tool_calls.iter().map(|call| call.arguments.clone()).collect();
            prop_assert_eq!(arguments_of(&chunks), arguments);
            // Kept and read again, it streams in the pieces that it came in.
            let kept = ModelResponse::load(&again.store()).unwrap();
            prop_assert_eq!(kept.chunks(), chunks.clone());
            let data = |chunk| if let Chunk::Event { data } = chunk { data } else { String::new() };
            let replayed: Vec<String> = kept.events().into_iter().map(data).collect();
            let (rechunked, third) = heard(replayed.iter().map(String::as_str));
            let third = third.unwrap();
            prop_assert_eq!(third.raw(), whole.raw());
            prop_assert_eq!(rechunked, chunks);
        }
    }

    #[test]
    fn what_lacks_its_output_at_the_end_is_made_up_for(answer in answer()) {
        let mut events = events(&answer);
        let mut last: Value = serde_json::from_str(&events.pop().unwrap()).unwrap();
        last["response"]["output"] = json!([]);
        events.push(last.to_string());
        let (_, again) = heard(events.iter().map(String::as_str));
        let again = again.unwrap();
        let raw: Value = serde_json::from_slice(again.raw()).unwrap();
        prop_assert_eq!(&raw["output"], &answer["output"]);
    }

    #[test]
    fn items_without_ids_have_the_same_ones_in_all_events(answer in answer(), kept in prop::collection::vec(any::<bool>(), 5)) {
        let mut answer = answer;
        for (item, _) in answer["output"].as_array_mut().unwrap().iter_mut().zip(kept).filter(|(_, is_kept)| !is_kept) {
            item.as_object_mut().unwrap().remove("id");
        }
        let events: Vec<Value> = events(&answer).iter().map(|event| serde_json::from_str(event).unwrap()).collect();
        let output = events.last().unwrap()["response"]["output"].as_array().unwrap().clone();
        let ids: Vec<&str> = output.iter().map(|item| item["id"].as_str().unwrap()).collect();
        prop_assert!(ids.iter().all(|id| !id.is_empty()));
        prop_assert_eq!(ids.iter().collect::<std::collections::HashSet<_>>().len(), ids.len());
        for event in events.iter().filter(|event| event.get("output_index").is_some()) {
            let id = ids[usize::try_from(event["output_index"].as_u64().unwrap()).unwrap()];
            let said = event.get("item").map_or(&event["item_id"], |item| &item["id"]);
            prop_assert_eq!(said, id, "{}", event);
        }
        for (item, known) in output.iter().zip(answer["output"].as_array().unwrap()) {
            let mut known = known.clone();
            known["id"] = item["id"].clone();
            prop_assert_eq!(item, &known);
        }
    }

    #[test]
    fn no_events_make_it_panic(events in prop::collection::vec(garbage(), 0..8)) {
        let (mut assembly, mut chunks) = (ResponseAssembly::default(), Vec::new());
        for event in &events {
            if assembly.push(event, &mut chunks).is_err() {
                return Ok(());
            }
        }
        if let Ok(answer) = assembly.finish() {
            let _ = (answer.chunks(), answer.events(), ModelResponse::load(&answer.store()));
        }
    }

    #[test]
    fn no_body_and_no_answer_make_it_panic(text in garbage()) {
        let _ = read(&text).map(|answer| (answer.chunks(), answer.events(), answer.store()));
        let _ = ModelResponse::load(&text.clone().into());
        if let Ok(Ok(request)) = Body::parse(&text).map(ModelResponse::request) {
            let _ = ModelResponse::prompt(&request);
        }
    }
}

/// Items that clients send back, with base64 in the places that are for it, and in others.
fn with_base64(place: usize, data: &str) -> Value {
    let url = format!("data:image/png;base64,{data}");
    match place {
        0 => {
            json!({ "type": "computer_call_output", "call_id": "c", "output": { "type": "computer_screenshot", "image_url": url } })
        }
        1 => json!({ "type": "image_generation_call", "id": "ig_1", "status": "completed", "result": data }),
        2 => json!({ "type": "code_interpreter_call", "code": "plot()", "outputs": [{ "type": "image", "url": url }] }),
        3 => json!({ "type": "compaction", "encrypted_content": data }),
        4 => json!({ "type": "reasoning", "summary": [], "encrypted_content": data }),
        5 => json!({ "type": "x_new", "encrypted_state": { "of": [data] }, "b64_json": data }),
        6 => json!({ "type": "x_new", "deep": [{ "source": { "data": data } }] }),
        7 => {
            json!({ "role": "user", "content": [{ "type": "image_url", "image_url": { "url": url } }, { "type": "x", "y": url }] })
        }
        8 => {
            json!({ "type": "function_call_output", "call_id": "c", "output": [{ "type": "input_image", "image_url": url }] })
        }
        _ => json!({ "type": "message", "role": "user", "content": [{ "type": "input_file", "file_data": url }] }),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn base64_never_counts_as_text(place in 0..10_usize, seed in any::<u64>(), length in 60_000..90_000_u64) {
        use base64::Engine;
        let data = (0..length).map(|at| (seed.wrapping_add(at).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8);
        let data = base64::engine::general_purpose::STANDARD.encode(data.collect::<Vec<_>>());
        let request = request(&json!({ "input": [with_base64(place, &data)] }));
        let prompt = ModelResponse::prompt(&request);
        let tokens = usize::try_from(count_prompt(&prompt, "gpt-4o")).unwrap();
        prop_assert!(tokens < data.len() / 16, "{} bytes count {tokens} in {}", data.len(), with_base64(place, "..."));
        let pictures = if matches!(place, 3 | 4 | 6) { 0 } else { 1 };
        prop_assert!(prompt.images.len() >= pictures, "{}", with_base64(place, "..."));
    }
}

/// Events and answers whose fields are of any type.
fn garbage() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (0..5_u64).prop_map(Value::from),
        text().prop_map(Value::from),
        prop::sample::select(vec![
            "message",
            "reasoning",
            "function_call",
            "output_text",
            "completed",
            "incomplete",
            "response.output_text.delta",
            "response.output_item.added",
            "response.output_item.done",
            "response.completed",
            "response.content_part.added",
            "response.function_call_arguments.delta",
            "response.output_text.annotation.added",
            "response.created",
        ])
        .prop_map(Value::from),
    ];
    let names = prop::sample::select(vec![
        "type",
        "output",
        "content",
        "text",
        "delta",
        "item",
        "part",
        "response",
        "output_index",
        "content_index",
        "id",
        "call_id",
        "arguments",
        "summary",
        "status",
        "usage",
        "input",
        "role",
        "annotation",
        "item_id",
    ]);
    let value = leaf.prop_recursive(4, 40, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((names.clone(), inner), 0..6).prop_map(|fields| fields
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect::<serde_json::Map<_, _>>()
                .into()),
        ]
    });
    prop_oneof![8 => value.prop_map(|value| value.to_string()), 1 => "\\PC{0,20}"]
}
