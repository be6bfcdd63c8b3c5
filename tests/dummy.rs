//! The dummy: its script, its clock, its faults, and answers that anyone can predict.

mod ask;

use std::sync::Arc;
use std::time::Duration;

use ask::{call, local, options, streamed};
use futures_util::StreamExt;
use serde_json::{Value, json};
use thryd::Kind;
use thryd::error::FailureClass;
use thryd::fields::Fields;
use thryd::kinds::{Completion, CompletionRequest, EmbeddingRequest, Embeddings, Ranking, RerankRequest};
use thryd::provider::{DummyOptions, Fault, Outgoing, Provider, ProviderOptions, Reply, Response, create_provider};
use tokio::time::{Instant, timeout};

fn dummy(dummy: Value) -> Arc<dyn Provider> {
    options(json!({ "type": "dummy", "dummy": dummy })).unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_dummy_echoes_the_last_message_and_counts_words() {
    let request = CompletionRequest::messages(&json!([
        { "role": "system", "content": "be brief" },
        { "role": "user", "content": [{ "type": "text", "text": "one two" }, { "type": "text", "text": " three" }] },
    ]));
    let completion: Completion = local(&*dummy(json!({})), &request).await.unwrap();
    assert_eq!(
        (completion.content.as_str(), completion.finish_reason.as_str(), completion.model()),
        ("one two three", "stop", "m")
    );
    let usage = completion.usage().unwrap();
    assert_eq!((usage.prompt_tokens, usage.completion_tokens, usage.total_tokens), (5, 3, 8));
}

#[tokio::test(start_paused = true)]
async fn the_script_is_used_in_order_and_then_runs_out() {
    let call = json!({ "id": "1", "name": "f", "arguments": { "a": 1 } });
    let wire =
        json!({ "model": "other", "choices": [{ "message": { "content": "wire" }, "finish_reason": "length" }] });
    let script = json!(["first", { "tool_calls": [call] }, wire]);
    let provider = dummy(json!({ "responses": script }));
    let request = CompletionRequest::message("a");
    assert_eq!(local::<Completion>(&*provider, &request).await.unwrap().content, "first");
    let called = local::<Completion>(&*provider, &request).await.unwrap();
    assert_eq!((called.finish_reason.as_str(), called.tool_calls[0].arguments.as_str()), ("tool_calls", "{\"a\":1}"));
    let wired = local::<Completion>(&*provider, &request).await.unwrap();
    assert_eq!((wired.content.as_str(), wired.model(), wired.usage().unwrap().completion_tokens), ("wire", "other", 1));
    let failure = local::<Completion>(&*provider, &request).await.unwrap_err();
    assert!(failure.is_exhausted && !failure.is_sent, "{failure:?}");
    let repeated = dummy(json!({ "responses": ["x", "y"], "repeat": true }));
    for expected in ["x", "y", "x"] {
        assert_eq!(local::<Completion>(&*repeated, &request).await.unwrap().content, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn latency_and_token_intervals_pass_on_the_clock_of_the_runtime() {
    let provider =
        dummy(json!({ "latencyMs": 200, "tokenIntervalMs": 10, "responses": ["one two three"], "repeat": true }));
    let request = CompletionRequest::message("a");
    let start = Instant::now();
    local::<Completion>(&*provider, &request).await.unwrap();
    assert_eq!(start.elapsed(), Duration::from_millis(200));
    let start = Instant::now();
    let (content, completion) = streamed(&*provider, &request).await;
    assert_eq!((content.as_str(), completion.unwrap().usage().unwrap().total_tokens), ("one two three", 4));
    // A role, three words, a finish, a usage: five gaps.
    assert_eq!(start.elapsed(), Duration::from_millis(200 + 5 * 10));
}

#[tokio::test(start_paused = true)]
async fn a_latency_range_is_drawn_from_the_seed() {
    let run = async |seed: u64| {
        let provider = dummy(json!({ "latencyMs": [100, 300], "seed": seed }));
        let mut times = Vec::new();
        for _ in 0..8 {
            let start = Instant::now();
            local::<Completion>(&*provider, &CompletionRequest::message("a")).await.unwrap();
            times.push(start.elapsed().as_millis());
        }
        times
    };
    let times = run(1).await;
    assert!(times.iter().all(|time| (100..=301).contains(time)), "{times:?}");
    assert_eq!(times, run(1).await);
    assert_ne!(times, run(2).await);
}

#[tokio::test(start_paused = true)]
async fn faults_come_in_their_shares() {
    let provider = dummy(json!({ "faults": { "reset": 0.3, "cut": 0.2, "malformed": 0.1 }, "seed": 7 }));
    let (mut reset, mut unread, mut fine) = (0, 0, 0);
    for _ in 0..1000 {
        match local::<Completion>(&*provider, &CompletionRequest::message("a b c")).await {
            Ok(_) => fine += 1,
            Err(failure) if failure.class == FailureClass::Transient => reset += 1,
            Err(failure) => {
                assert_eq!(failure.class, FailureClass::Truncated);
                unread += 1;
            }
        }
    }
    assert!(
        (250..350).contains(&reset) && (250..350).contains(&unread) && (350..450).contains(&fine),
        "{reset} {unread} {fine}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_cut_stream_gives_some_of_the_answer_and_then_fails() {
    for fault in ["cut", "malformed"] {
        let provider = dummy(json!({ "faults": { fault: 1 }, "responses": ["one two three four"] }));
        let (content, completion) = streamed(&*provider, &CompletionRequest::message("a")).await;
        assert!("one two three four".starts_with(&content) && !content.is_empty(), "{content}");
        assert_eq!(completion.unwrap_err().class, FailureClass::Truncated);
    }
}

#[tokio::test(start_paused = true)]
async fn a_scripted_fault_comes_after_as_many_tokens_as_the_script_says() {
    let question = CompletionRequest::message("one two three");
    for (fault, after, expected) in [
        ("cut", json!(0), ""),
        ("cut", json!(1), "one "),
        ("cut", json!(null), "one two "),
        ("end", json!(2), "one two "),
        ("malformed", json!(2), "one two "),
        ("errorEvent", json!(2), "one two "),
        ("end", json!(3), "one two three"),
        ("malformed", json!(9), "one two three"),
    ] {
        let provider = dummy(json!({ "responses": [{ "fault": fault, "afterTokens": after }, "well"] }));
        let (content, completion) = streamed(&*provider, &question).await;
        assert_eq!(content, expected, "{fault} after {after}");
        assert_eq!(completion.unwrap_err().class, FailureClass::Truncated, "{fault} after {after}");
        let (content, completion) = streamed(&*provider, &question).await;
        assert!(content == "well" && completion.is_ok(), "the script goes on after {fault}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_stalls_never_goes_on() {
    let provider = dummy(json!({ "responses": [{ "fault": "stall", "afterTokens": 1 }] }));
    let request = CompletionRequest::message("one two three");
    let Outgoing::Local(answer) = provider.write(&call::<Completion>(&request, true)).unwrap() else {
        panic!("a socket")
    };
    let Ok(Reply::Events(mut events)) = answer.await else { panic!("not a stream") };
    let hour = Duration::from_secs(3600);
    // The role and one token.
    for _ in 0..2 {
        assert!(timeout(hour, events.next()).await.unwrap().unwrap().is_ok());
    }
    assert!(timeout(hour, events.next()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn an_answer_without_choices_can_go_wrong_too() {
    for (name, _) in Fault::ALL.into_iter().filter(|(name, _)| !["hang", "stall", "html", "empty"].contains(name)) {
        let provider = dummy(json!({ "responses": [{ "choices": [] }], "faults": { name: 1 } }));
        assert!(streamed(&*provider, &CompletionRequest::message("a")).await.1.is_err(), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_does_not_fail_uses_up_its_answer() {
    let provider = dummy(json!({ "responses": ["x"], "faults": { "noDone": 1 } }));
    let request = CompletionRequest::message("a");
    assert_eq!(local::<Completion>(&*provider, &request).await.unwrap().content, "x");
    assert!(local::<Completion>(&*provider, &request).await.unwrap_err().is_exhausted);
}

#[tokio::test(start_paused = true)]
async fn a_fault_does_not_use_up_an_answer() {
    let provider = dummy(json!({ "faults": { "reset": 0.5 }, "responses": ["x", "y"], "seed": 3 }));
    let mut contents = Vec::new();
    for _ in 0..100 {
        match local::<Completion>(&*provider, &CompletionRequest::message("a")).await {
            Ok(completion) => contents.push(completion.content),
            Err(failure) if failure.is_exhausted => break,
            Err(_) => {}
        }
    }
    assert_eq!(contents, ["x", "y"]);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_hangs_never_answers() {
    let provider = dummy(json!({ "faults": { "hang": 1 } }));
    let request = CompletionRequest::message("a");
    let answer = local::<Completion>(&*provider, &request);
    assert!(tokio::time::timeout(Duration::from_secs(3600), answer).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn vectors_depend_only_on_the_text() {
    let one: Embeddings =
        local(&*dummy(json!({ "seed": 1 })), &EmbeddingRequest::input(["red", "blue"])).await.unwrap();
    let other: Embeddings = local(&*dummy(json!({ "seed": 2 })), &EmbeddingRequest::input(["blue"])).await.unwrap();
    assert_eq!(one.vectors()[1], other.vectors()[0]);
    assert_ne!(one.vectors()[0], one.vectors()[1]);
    for vector in one.vectors() {
        assert_eq!(vector.len(), 8);
        assert!((vector.iter().map(|number| number * number).sum::<f32>() - 1.0).abs() < 1e-5);
    }
    let wide: Embeddings = local(&*dummy(json!({ "dimensions": 5 })), &EmbeddingRequest::input(["a"])).await.unwrap();
    let asked: Embeddings =
        local(&*dummy(json!({})), &EmbeddingRequest::input(["a"]).set("dimensions", 3)).await.unwrap();
    assert_eq!((wide.vectors()[0].len(), asked.vectors()[0].len()), (5, 3));
}

#[tokio::test(start_paused = true)]
async fn documents_rank_by_the_words_they_share_with_the_query() {
    let request = RerankRequest::new("red Apple", ["the sky", "an apple, red", "a red car"]);
    let ranking: Ranking = local(&*dummy(json!({})), &request).await.unwrap();
    let found: Vec<_> = ranking.results().iter().map(|ranked| (ranked.index, ranked.score)).collect();
    assert_eq!(found, [(1, 1.0), (2, 0.5), (0, 0.0)]);
    let scripted = DummyOptions::scripted([json!([{ "index": 2, "score": 0.7 }])]);
    let scripted = create_provider(ProviderOptions::new("dummy").dummy(scripted)).unwrap();
    assert_eq!(local::<Ranking>(&*scripted, &request).await.unwrap().results()[0].index, 2);
}

#[test]
fn dummy_options_that_are_wrong_are_named() {
    for (value, message) in [
        (json!({ "response": [] }), ".response: expected one of the options"),
        (json!({ "responses": "a" }), ".responses: expected an array"),
        (json!({ "responses": ["a", { "error": 5 }] }), ".responses[1].error: expected an object, got 5"),
        (json!({ "latencyMs": 1e20 }), ".latencyMs: expected a number from 0 to 9007199254740991, got 1e+20"),
        (json!({ "responses": ["a", 1] }), ".responses[1]: expected a string or an object, got 1"),
        (
            json!({ "responses": [{ "error": { "status": 200 } }] }),
            ".responses[0].error.status: expected a number from 400 to 599, got 200",
        ),
        (json!({ "repeat": 1 }), ".repeat: expected true or false"),
        (json!({ "latencyMs": -1 }), ".latencyMs: expected a number of at least 0, got -1"),
        (json!({ "latencyMs": [1] }), ".latencyMs: expected a number or [min, max]"),
        (json!({ "latencyMs": [1, "x"] }), ".latencyMs[1]: expected a number of at least 0, got \"x\""),
        (json!({ "latencyMs": [9, 1] }), ".latencyMs: expected [min, max] with min not above max, got [9, 1]"),
        (json!({ "faults": { "reset": 1.5 } }), ".faults.reset: expected a number from 0 to 1, got 1.5"),
        (
            json!({ "faults": { "rest": 0.5 } }),
            ".faults.rest: expected one of the options status, reset, hang, cut, malformed, close, stall, end, errorEvent",
        ),
        (
            json!({ "responses": [{ "fault": "cutt" }] }),
            ".responses[0].fault: expected one of reset, hang, cut, malformed, close, stall, end, errorEvent, noDone, html",
        ),
        (json!({ "responses": [{ "fault": true }] }), ".responses[0].fault: expected a string, got true"),
        (
            json!({ "responses": [{ "fault": "cut", "afterTokens": -1 }] }),
            ".responses[0].afterTokens: expected an integer from 0 to 9007199254740991, got -1",
        ),
        (
            json!({ "responses": [{ "fault": "cut", "after": 1 }] }),
            ".responses[0].after: expected one of the options fault, afterTokens",
        ),
        (json!({ "faults": { "status": { "200": 0.1 } } }), ".faults.status: expected HTTP statuses from 400 to 599"),
        (
            json!({ "faults": { "status": { "500": 0.6 }, "reset": 0.6 } }),
            ".faults: expected shares that add up to at most 1, got 1.2",
        ),
        (json!({ "dimensions": 0 }), ".dimensions: expected an integer"),
        (json!({ "dimensions": 100_000 }), ".dimensions: expected an integer from 1 to 65536"),
        (json!({ "seed": -1 }), ".seed: expected an integer"),
    ] {
        let error = options(json!({ "type": "dummy", "dummy": value })).unwrap_err().to_string();
        assert!(error.starts_with(&format!("provider options.dummy{message}")), "{error}");
    }
    let read = |value| DummyOptions::read(Fields::new("provider options.dummy", value).unwrap()).unwrap();
    assert_eq!(read(json!({ "faults": { "reset": 0.7, "cut": 0.2, "hang": 0.1 } })).faults.others[&Fault::Hang], 0.1);
    let error = json!({ "status": 429, "message": "slow", "retryAfterMs": 50, "code": "x" });
    let expected = Response::Error {
        status: 429,
        error: json!({ "message": "slow", "code": "x" }),
        retry_after: Some(Duration::from_millis(50)),
    };
    assert_eq!(read(json!({ "responses": [{ "error": error }] })).responses, Some(vec![expected]));
}
