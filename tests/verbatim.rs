//! Fears about streams that are read as events: that they say something else than chunks do, hide who says it, or lose count
//! of what was delivered.

use proptest::prelude::*;
use serde_json::{Value, json};
use thryd::ErrorKind;
use thryd::Kind;
use thryd::fields::Fields;
use thryd::kinds::{Chunk, Completion, CompletionRequest, StreamAssembly};
use thryd::options::{RouterOptions, StreamOptions};
use thryd::route::{Answer, Batch, CacheStatus, CompletionStream, Router};

const TEXT: &str = "one two three four five six";

fn router(dummies: &[Value]) -> Router<Completion> {
    let names = ["a", "b"];
    let dummy = |(name, options): (&&str, &Value)| json!({ "type": "dummy", "name": name, "dummy": options });
    let providers: Vec<_> = names.iter().zip(dummies).map(dummy).collect();
    let deployments: Vec<_> = names.iter().zip(dummies).map(|(name, _)| format!("{name}::m")).collect();
    let groups = json!({ "default": { "strategy": "first-available", "deployments": deployments } });
    let options = json!({ "providers": providers, "groups": groups, "cache": {}, "retry": { "baseDelayMs": 1 } });
    Router::new(RouterOptions::read(Fields::new("router options", options).unwrap()).unwrap()).unwrap()
}

fn talking(more: Value) -> Value {
    let mut options = json!({ "responses": [TEXT], "repeat": true, "tokenIntervalMs": 10, "cache": true });
    options.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    options
}

fn begin(router: &Router<Completion>, events: bool) -> CompletionStream {
    let options = StreamOptions { events, ..StreamOptions::default() };
    router.stream("default", &CompletionRequest::message("hi"), options).unwrap()
}

/// Reads to the end: all chunks, and how it ended.
async fn read(stream: &CompletionStream) -> (Vec<Chunk>, thryd::Result<Answer<Completion>>) {
    let mut all = Vec::new();
    loop {
        match stream.next().await.expect("an end before the silence") {
            Ok(Batch::Chunks(chunks)) => all.extend(chunks),
            Ok(Batch::End(answer)) => return (all, Ok(*answer)),
            Err(error) => return (all, Err(error)),
        }
    }
}

/// What the events say, as chunks.
fn heard(events: &[Chunk]) -> (Vec<Chunk>, StreamAssembly) {
    let (mut assembly, mut chunks) = (StreamAssembly::default(), Vec::new());
    for event in events {
        let Chunk::Event { data } = event else { panic!("{event:?} is no event") };
        assembly.push(data, &mut chunks).unwrap();
    }
    (chunks, assembly)
}

#[tokio::test(start_paused = true)]
async fn events_say_what_chunks_say_from_a_provider_and_from_the_cache() {
    let router = router(&[talking(json!({}))]);
    let (events, asked) = (begin(&router, true), begin(&router, false));
    let ((events, first), (chunks, second)) = tokio::join!(read(&events), read(&asked));
    assert_eq!((first.unwrap().cache, second.unwrap().cache), (CacheStatus::Miss, CacheStatus::Miss), "two readings");
    let kept = begin(&router, true);
    let (replayed, again) = read(&kept).await;
    assert_eq!(again.unwrap().cache, CacheStatus::Memory);
    for events in [events, replayed] {
        let (heard, assembly) = heard(&events);
        assert_eq!(heard, chunks);
        assert_eq!(assembly.finish().unwrap().content, TEXT);
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_comes_late_has_all_events() {
    let router = router(&[talking(json!({}))]);
    let early = begin(&router, true);
    let _first = early.next().await;
    let late = begin(&router, true);
    let (events, answer) = read(&late).await;
    assert_eq!(heard(&events).1.finish().unwrap().content, TEXT);
    assert_eq!(answer.unwrap().cache, CacheStatus::Joined);
    assert_eq!(late.origin().unwrap().cache, CacheStatus::Joined);
}

#[tokio::test(start_paused = true)]
async fn who_speaks_is_known_with_the_first_event() {
    let router = router(&[talking(json!({ "faults": { "status": { "503": 1 } } })), talking(json!({}))]);
    let stream = begin(&router, true);
    assert_eq!(stream.origin(), None);
    assert!(matches!(stream.next().await, Some(Ok(Batch::Chunks(_)))));
    let origin = stream.origin().unwrap();
    let (_, answer) = read(&stream).await;
    let answer = answer.unwrap();
    assert_eq!((origin.deployment.as_str(), origin.cache), ("b::m", CacheStatus::Miss));
    assert_eq!((origin.deployment, origin.attempts), (answer.deployment.clone(), answer.attempts.len()));
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_breaks_knows_what_its_events_have_delivered() {
    let router = router(&[talking(json!({ "faults": { "cut": 1 } }))]);
    let (events, outcome) = read(&begin(&router, true)).await;
    let error = outcome.unwrap_err();
    let ErrorKind::Interrupted { delivered, .. } = error.kind() else { panic!("{error}") };
    assert_eq!(delivered, heard(&events).1.content());
    assert_eq!(delivered, "one two three ");
}

/// A choice as some provider writes it: text, reasoning, calls, and fields that nobody knows.
fn choice() -> impl Strategy<Value = Value> {
    let text = || prop::option::of("[a-zé \"\\\\\n]{1,30}");
    let calls = prop::collection::vec(("[a-z]{1,5}", "[a-z ]{0,9}"), 0..3);
    (text(), text(), text(), calls, any::<bool>()).prop_map(|(content, reasoning, unknown, calls, has_logprobs)| {
        let call = |(name, text): &(String, String)| {
            let function = json!({ "name": name, "arguments": json!({ "x": text }).to_string() });
            json!({ "id": format!("id-{name}"), "type": "function", "function": function, "x_unknown": 1 })
        };
        let mut message = json!({ "role": "assistant", "content": content });
        let fields = [("reasoning_content", reasoning), ("x_unknown", unknown)];
        for (name, text) in fields.into_iter().filter_map(|(name, text)| Some((name, text?))) {
            message[name] = text.into();
        }
        if !calls.is_empty() {
            message["tool_calls"] = calls.iter().map(call).collect();
        }
        let mut choice = json!({ "message": message, "finish_reason": "stop" });
        if has_logprobs {
            choice["logprobs"] = json!({ "content": [{ "token": "a", "logprob": -0.5 }] });
        }
        choice
    })
}

proptest! {
    #[test]
    fn a_whole_answer_loses_nothing_as_a_stream(choices in prop::collection::vec(choice(), 1..4)) {
        let mut answer = json!({ "id": "x", "object": "chat.completion", "model": "m", "x_top": [1.5, { "a": null }] });
        answer["choices"] = choices.into_iter().zip(0..).map(|(mut choice, index)| {
            choice["index"] = json!(index);
            choice
        }).collect();
        let raw = answer.to_string().into();
        let events = Completion::read(&raw, &CompletionRequest::message("hi")).unwrap().events();
        let whole: Value = serde_json::from_slice(heard(&events).1.finish().unwrap().raw()).unwrap();
        // What said nothing is an empty text in an answer that is put together.
        for choice in answer["choices"].as_array_mut().unwrap() {
            let message = &mut choice["message"];
            if message["content"].is_null() && message.get("tool_calls").is_none() {
                message["content"] = "".into();
            }
        }
        prop_assert_eq!(whole, answer);
    }
}
