//! What holds for every conversation: nothing is lost on the way there and back, streamed or not.

use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use thryd::Kind;
use thryd::kinds::{Completion, CompletionRequest};

use super::ask::call;
use super::{anthropic, back, completion, raw, read, stream, written};

/// Not of white space alone, which is refused there.
fn text() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9 .,\"\\\\{}\n\u{e9}\u{1f600}]{0,8}[a-zA-Z0-9.{}\u{e9}\u{1f600}][a-zA-Z0-9 \n]{0,3}"
}

fn name() -> impl Strategy<Value = String> {
    "[a-z][a-z0-9_]{0,8}"
}

/// Data of a kind that both sides take as it is.
fn data() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![any::<i32>().prop_map(Value::from), text().prop_map(Value::from), Just(Value::Null)];
    vec((name(), leaf), 0..3).prop_map(|fields| Map::from_iter(fields).into())
}

fn mark() -> impl Strategy<Value = Option<Value>> {
    of(Just(json!({ "type": "ephemeral" })))
}

fn marked(mut value: Value, mark: Option<Value>) -> Value {
    if let Some(mark) = mark {
        value["cache_control"] = mark;
    }
    value
}

fn image() -> impl Strategy<Value = Value> {
    let url = prop_oneof!["https://host/[a-z]{1,5}", "data:image/(png|jpeg);base64,[A-Za-z0-9]{4}"];
    url.prop_map(|url| json!({ "type": "image_url", "image_url": { "url": url } }))
}

fn user() -> impl Strategy<Value = Value> {
    let part = (text(), mark()).prop_map(|(text, mark)| marked(json!({ "type": "text", "text": text }), mark));
    let parts = (vec(part, 0..3), vec(image(), 1..3)).prop_map(|(texts, images)| [texts, images].concat().into());
    prop_oneof![text().prop_map(Value::from), parts].prop_map(|content| json!({ "role": "user", "content": content }))
}

fn thinking() -> impl Strategy<Value = Value> {
    (text(), "[A-Za-z0-9]{4,12}")
        .prop_map(|(text, signature)| json!({ "type": "thinking", "thinking": text, "signature": signature }))
}

/// A turn of the model, with the results of what it called.
fn assistant() -> impl Strategy<Value = Vec<Value>> {
    let calls = vec((name(), data(), text()), 0..3);
    (text(), vec(thinking(), 0..2), calls, any::<bool>()).prop_map(|(text, thinking, calls, is_silent)| {
        let has_calls = !calls.is_empty();
        let mut message = json!({ "role": "assistant", "content": Some(text).filter(|_| !(is_silent && has_calls)) });
        if !thinking.is_empty() {
            message["thinking_blocks"] = thinking.into();
        }
        let mut messages = Vec::new();
        let mut made = Vec::new();
        for (place, (name, input, result)) in calls.into_iter().enumerate() {
            let id = format!("toolu_{place}");
            made.push(back::call(&json!({ "id": id, "name": name, "input": input })));
            messages.push(json!({ "role": "tool", "tool_call_id": id, "content": result }));
        }
        if has_calls {
            message["tool_calls"] = made.into();
        }
        messages.insert(0, message);
        messages
    })
}

fn tool() -> impl Strategy<Value = Value> {
    (name(), data(), of(any::<bool>()), mark()).prop_map(|(name, properties, strict, mark)| {
        let mut function = json!({ "name": name, "parameters": { "type": "object", "properties": properties } });
        if let Some(strict) = strict {
            function["strict"] = strict.into();
        }
        marked(json!({ "type": "function", "function": function }), mark)
    })
}

fn choice() -> impl Strategy<Value = Value> {
    let named = name().prop_map(|name| json!({ "type": "function", "function": { "name": name } }));
    prop_oneof![Just(json!("auto")), Just(json!("required")), Just(json!("none")), named]
}

/// A request of OpenAI's in the words that both have.
fn request() -> impl Strategy<Value = Value> {
    let system = prop_oneof![
        text().prop_map(Value::from),
        text().prop_map(|text| json!([{ "type": "text", "text": text, "cache_control": { "type": "ephemeral" } }])),
    ];
    let system = system.prop_map(|content| json!({ "role": "system", "content": content }));
    let turns = vec((user(), assistant()), 0..3)
        .prop_map(|turns| turns.into_iter().flat_map(|(user, rest)| [vec![user], rest].concat()).collect::<Vec<_>>());
    let messages = (vec(system, 0..3), turns, user())
        .prop_map(|(system, turns, last)| Value::from([system, turns, vec![last]].concat()));
    let tools = of((vec(tool(), 1..3), choice(), any::<bool>()));
    let options =
        (of(vec(text(), 1..3)), of(0.0..1.0_f64), of(text()), of("low|medium|high"), of(data()), of(1..99_u32));
    (messages, tools, options, 1..9999_u32).prop_map(|(messages, tools, options, limit)| {
        let mut body = json!({ "messages": messages, "max_completion_tokens": limit });
        let mut set = |name: &str, value: Option<Value>| value.map(|value| body[name] = value);
        let (stop, temperature, user, effort, properties, top_k) = options;
        set("stop", stop.map(Value::from));
        set("temperature", temperature.map(Value::from));
        set("user", user.map(Value::from));
        set("reasoning_effort", effort.map(Value::from));
        set("top_k", top_k.map(Value::from));
        let format = |schema| json!({ "type": "json_schema", "json_schema": { "name": "answer", "schema": schema } });
        set("response_format", properties.map(format));
        if let Some((tools, choice, is_single)) = tools {
            let is_none = choice == "none";
            set("tools", Some(tools.into()));
            set("tool_choice", Some(choice));
            set("parallel_tool_calls", (is_single && !is_none).then(|| false.into()));
        }
        body
    })
}

/// Blocks that OpenAI's fields have no place for, each kind that is documented.
fn own() -> impl Strategy<Value = Value> {
    let uses = |kind: &'static str| {
        (name(), data()).prop_map(move |(name, input)| {
            let mut block = json!({ "type": kind, "id": "srvtoolu_1", "name": name, "input": input });
            if kind == "mcp_tool_use" {
                block["server_name"] = "mine".into();
            }
            block
        })
    };
    let results = prop::sample::select(vec![
        "web_search_tool_result",
        "web_fetch_tool_result",
        "code_execution_tool_result",
        "bash_code_execution_tool_result",
        "text_editor_code_execution_tool_result",
        "tool_search_tool_result",
        "advisor_tool_result",
        "mcp_tool_result",
    ]);
    let result =
        (results, data()).prop_map(|(kind, content)| json!({ "type": kind, "tool_use_id": "a", "content": content }));
    let cited = (text(), vec(data(), 1..4))
        .prop_map(|(text, citations)| json!({ "type": "text", "text": text, "citations": citations }));
    let compaction = (of(text()), of("[a-z]{1,9}"))
        .prop_map(|(content, sealed)| json!({ "type": "compaction", "content": content, "encrypted_content": sealed }));
    prop_oneof![
        Just(json!({ "type": "redacted_thinking", "data": "EmwKAhgB" })),
        Just(json!({ "type": "container_upload", "file_id": "file_1" })),
        Just(json!({ "type": "fallback", "from": { "model": "a" }, "to": { "model": "b" } })),
        (text(), text()).prop_map(|(text, seal)| json!({ "type": "invented", "note": text, "seal": { "a": seal } })),
        uses("server_tool_use"),
        uses("mcp_tool_use"),
        result,
        cited,
        compaction,
    ]
}

/// A message of Anthropic's; most of them such that OpenAI's fields say all of it.
fn message() -> impl Strategy<Value = Value> {
    let said = || text().prop_map(|text| json!({ "type": "text", "text": text }));
    let uses = || {
        (name(), data())
            .prop_map(|(name, input)| json!({ "type": "tool_use", "id": "toolu_1", "name": name, "input": input }))
    };
    let plain = (vec(thinking(), 0..2), of(said()), vec(uses(), 0..3))
        .prop_map(|(thinking, text, calls)| [thinking, text.into_iter().collect(), calls].concat());
    let any = vec(prop_oneof![thinking(), said(), uses(), own(), own(), own()], 0..6);
    let counts = (0..999_u32, of(0..999_u32), of(0..999_u32), 1..999_u32);
    let reason = prop::sample::select(vec![
        "end_turn",
        "max_tokens",
        "tool_use",
        "stop_sequence",
        "refusal",
        "pause_turn",
        "compaction",
        "model_context_window_exceeded",
    ]);
    let late = (of(data()), of(data()), of(data()));
    (prop_oneof![2 => plain.boxed(), 1 => any.boxed()], counts, reason, late).prop_map(
        |(content, counts, reason, late)| {
            let (input, cached, written, output) = counts;
            let mut usage = json!({ "input_tokens": input, "output_tokens": output });
            if let Some(cached) = cached {
                usage["cache_read_input_tokens"] = cached.into();
            }
            if let Some(written) = written {
                usage["cache_creation_input_tokens"] = written.into();
            }
            let mut message = json!({
                "id": "msg_1", "type": "message", "role": "assistant", "model": "claude", "content": content,
                "stop_reason": reason, "stop_sequence": null, "usage": usage,
            });
            let (container, context, transformed) = late;
            for (name, value) in
                [("container", container), ("context_management", context), ("input_transformations", transformed)]
            {
                if let Some(value) = value {
                    message[name] = value;
                }
            }
            message
        },
    )
}

/// The same with arguments as data: their white space is nobody's.
fn parsed(mut answer: Value) -> Value {
    let calls = answer.pointer_mut("/choices/0/message/tool_calls");
    for call in calls.and_then(Value::as_array_mut).into_iter().flatten() {
        let arguments = &mut call["function"]["arguments"];
        *arguments = serde_json::from_str(arguments.as_str().unwrap()).unwrap();
    }
    answer
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_request_that_goes_there_and_back_is_the_same(request in request()) {
        let sent = written(&request);
        prop_assert_eq!(back::request(&sent), request, "{}", sent);
    }

    #[test]
    fn a_streamed_answer_is_the_whole_answer(message in message(), size in 1..9_usize) {
        let events = back::events(&message, size);
        let (_, streamed) = stream(events.iter().map(String::as_str));
        let streamed = streamed.unwrap();
        prop_assert_eq!(parsed(raw(&streamed)), parsed(read(&message).unwrap()));
        prop_assert_eq!(streamed.is_storable(), completion(&message).is_storable());
    }

    #[test]
    fn an_answer_that_is_sent_back_is_the_turn_that_it_was(message in message()) {
        prop_assume!(!message["content"].as_array().unwrap().is_empty());
        let said = read(&message).unwrap()["choices"][0]["message"].clone();
        let sent = written(&json!({ "messages": [{ "role": "user", "content": "a" }, said] }));
        let content = &sent["messages"][1]["content"];
        let blocks = match content.as_str() {
            Some(text) => json!([{ "type": "text", "text": text }]),
            None => content.clone(),
        };
        prop_assert_eq!(&blocks, &message["content"]);
    }

    #[test]
    fn no_answer_and_no_event_makes_it_panic(text in "[\\[\\]{}\":,0-9nulltypecontentmessage_startdelta]{0,60}") {
        let asked = CompletionRequest::message("a");
        let _ = anthropic().read(&call::<Completion>(&asked, false), text.clone().into());
        let _ = stream([text.as_str()]);
    }

    #[test]
    fn a_value_in_the_wrong_place_breaks_at_most_the_answer(
        message in message(), seed in any::<u64>(), odd in prop_oneof![data(), Just(json!([])), Just(json!(5)), Just(json!("a"))],
    ) {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut whole = message.clone();
        misplace(&mut whole, odd.clone(), &mut rng);
        let _ = read(&whole);
        let mut events: Vec<Value> =
            back::events(&message, 3).iter().map(|event| serde_json::from_str(event).unwrap()).collect();
        let place = rng.usize(..events.len());
        misplace(&mut events[place], odd, &mut rng);
        let events: Vec<_> = events.iter().map(Value::to_string).collect();
        let _ = stream(events.iter().map(String::as_str));
    }

    #[test]
    fn a_request_with_a_value_in_the_wrong_place_goes_out_or_is_refused(request in request(), seed in any::<u64>(), odd in data()) {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut changed = request;
        misplace(&mut changed, odd, &mut rng);
        if let Ok(asked) = Completion::request(thryd::kinds::Body::parse(&changed.to_string()).unwrap()) {
            let _ = anthropic().write(&call::<Completion>(&asked, false));
        }
    }
}

/// Puts a value where another was, somewhere below.
fn misplace(value: &mut Value, odd: Value, rng: &mut fastrand::Rng) {
    let below: Vec<&mut Value> = match value {
        Value::Object(map) => map.values_mut().collect(),
        Value::Array(items) => items.iter_mut().collect(),
        _ => Vec::new(),
    };
    match (below.is_empty(), rng.u8(..4)) {
        (true, _) => *value = odd,
        (false, depth) => {
            let place = rng.usize(..below.len());
            match below.into_iter().nth(place) {
                Some(below) if depth > 0 => misplace(below, odd, rng),
                Some(below) => *below = odd,
                None => {}
            }
        }
    }
}

#[test]
fn an_answer_survives_the_cache() {
    let message = json!({
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude", "stop_reason": "tool_use",
        "content": [{ "type": "thinking", "thinking": "a", "signature": "b" }, { "type": "text", "text": "c" }],
    });
    let (chunks, streamed) = stream(back::events(&message, 1).iter().map(String::as_str));
    let kept = Completion::load(&streamed.unwrap().store()).unwrap();
    assert_eq!(kept.chunks(), chunks);
    assert_eq!(raw(&kept)["choices"][0]["message"]["thinking_blocks"][0]["signature"], "b");
}
