//! A second attempt elsewhere when the first token is late: who is asked, who wins, and what it may cost.

mod dummies;

use std::time::Duration;

use dummies::{ask, ask_with, dummy, failing, request, router};
use serde_json::{Value, json};
use thryd::error::Outcome;
use thryd::fields::Fields;
use thryd::kinds::{Chunk, Completion};
use thryd::options::StreamOptions;
use thryd::provider::ProviderOptions;
use thryd::route::{Answer, Batch, Router};
use tokio::time::Instant;

const HANG: &str = r#"{ "faults": { "hang": 1 } }"#;

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// Two deployments, the first of which has been answering in 10 ms and now is as `first` says; nine of ten are waited for.
async fn warmed(first: Value, second: Value, more: Value) -> Router<Completion> {
    let mut options = json!({
        "providers": [dummy("first", json!({ "latencyMs": 10 })), dummy("second", second)],
        "groups": { "default": { "strategy": "first-available", "deployments": ["first::m", "second::m"] } },
        "retry": { "hedgeQuantile": 0.9 },
    });
    merge(&mut options, more);
    let router = router(options);
    for _ in 0..10 {
        ask_with(&router, "warm", json!({ "hedge": false })).await.unwrap();
    }
    change(&router, "first", first);
    router
}

fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            from.into_iter().for_each(|(name, value)| merge(into.entry(name).or_insert(Value::Null), value));
        }
        (into, from) => *into = from,
    }
}

fn change(router: &Router<Completion>, name: &str, options: Value) {
    let options = ProviderOptions::read(Fields::new("provider options", dummy(name, options)).unwrap()).unwrap();
    router.add_provider(options).unwrap();
}

fn hang() -> Value {
    serde_json::from_str(HANG).unwrap()
}

fn trail(answer: &Answer<Completion>) -> Vec<(&str, Outcome)> {
    answer.attempts.iter().map(|one| (one.deployment.as_str(), one.outcome)).collect()
}

#[tokio::test(start_paused = true)]
async fn a_late_first_token_is_asked_for_elsewhere_and_the_slow_one_is_left() {
    let router = warmed(hang(), json!({ "latencyMs": 5 }), json!({})).await;
    let begun = Instant::now();
    let answer = ask(&router, "hi").await.unwrap();
    assert_eq!(trail(&answer), [("first::m", Outcome::Cancelled), ("second::m", Outcome::Ok)]);
    assert!((14..30).contains(&begun.elapsed().as_millis()), "{:?}", begun.elapsed());
    assert!(answer.attempts[0].started_ms < answer.attempts[1].started_ms);
    let stats = router.stats();
    let deployments = &stats.groups["default"].deployments;
    assert_eq!(deployments.iter().map(|one| one.in_flight).collect::<Vec<_>>(), [0, 0]);
    assert_eq!(deployments[1].window.requests, 1, "both are charged");
    assert_eq!((deployments[0].failed, deployments[1].failed), (0, 0), "nothing is held against the slow one");
}

#[tokio::test(start_paused = true)]
async fn the_first_one_may_still_win_and_then_the_second_is_left() {
    let router = warmed(json!({ "latencyMs": 40 }), json!({ "latencyMs": 1000 }), json!({})).await;
    let begun = Instant::now();
    let answer = ask(&router, "hi").await.unwrap();
    assert_eq!(trail(&answer), [("first::m", Outcome::Ok), ("second::m", Outcome::Cancelled)]);
    assert!((40..60).contains(&begun.elapsed().as_millis()), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_call_that_forbids_it_is_never_attempted_twice_at_once_nor_joined_with_one_that_is() {
    let router = warmed(json!({ "latencyMs": 40 }), json!({ "latencyMs": 5 }), json!({})).await;
    let forbidden = ask_with(&router, "hi", json!({ "hedge": false }));
    let (forbidden, allowed) = tokio::join!(forbidden, ask(&router, "hi"));
    assert_eq!(trail(&forbidden.unwrap()), [("first::m", Outcome::Ok)]);
    assert_eq!(trail(&allowed.unwrap()), [("first::m", Outcome::Cancelled), ("second::m", Outcome::Ok)]);
}

#[tokio::test(start_paused = true)]
async fn what_is_on_time_is_asked_for_once() {
    let router = warmed(json!({ "latencyMs": 9 }), json!({}), json!({})).await;
    assert_eq!(trail(&ask(&router, "hi").await.unwrap()), [("first::m", Outcome::Ok)]);
    assert_eq!(router.stats().groups["default"].deployments[1].window.requests, 0);
}

#[tokio::test(start_paused = true)]
async fn without_enough_answers_to_judge_by_nobody_is_called_late() {
    let router = router(json!({
        "providers": [dummy("first", json!({ "latencyMs": 50 })), dummy("second", json!({}))],
        "groups": { "default": { "strategy": "first-available", "deployments": ["first::m", "second::m"] } },
        "retry": { "hedgeQuantile": 0.5 },
    }));
    for _ in 0..5 {
        assert_eq!(trail(&ask(&router, "hi").await.unwrap()), [("first::m", Outcome::Ok)]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_second_attempt_is_a_retry_of_the_call_and_of_the_budget() {
    let none = json!({ "retry": { "maxRetries": 0 } });
    let router = warmed(json!({ "latencyMs": 100 }), json!({}), none).await;
    assert_eq!(trail(&ask(&router, "hi").await.unwrap()), [("first::m", Outcome::Ok)]);

    let floor = json!({ "retry": { "budget": 0 } });
    let router = warmed(json!({ "latencyMs": 100 }), json!({}), floor).await;
    let texts: Vec<_> = (0..300).map(|number| number.to_string()).collect();
    let answers = futures_util::future::join_all(texts.iter().map(|text| ask(&router, text))).await;
    let hedged = answers.iter().filter(|answer| answer.as_ref().unwrap().attempts.len() == 2).count();
    assert_eq!(hedged, 100, "ten a second, ten seconds together");
}

#[tokio::test(start_paused = true)]
async fn a_second_attempt_takes_no_room_that_is_not_there_and_pushes_in_before_nobody() {
    let full = json!({ "groups": { "default": { "deployments": ["first::m", { "model": "second::m", "maxConcurrent": 1 }] } } });
    let router = warmed(json!({ "latencyMs": 100 }), json!({ "latencyMs": 1000 }), full).await;
    let (one, two) = tokio::join!(ask(&router, "one"), ask(&router, "two"));
    let attempts = [one.unwrap().attempts.len(), two.unwrap().attempts.len()];
    assert_eq!(attempts.iter().sum::<usize>(), 3, "{attempts:?}: one of them found the second full");
    let stats = router.stats();
    assert_eq!(stats.groups["default"].deployments[1].in_flight, 0);
}

#[tokio::test(start_paused = true)]
async fn when_the_first_one_fails_meanwhile_the_second_is_its_retry() {
    let script = json!({ "latencyMs": 30, "responses": [{ "error": { "status": 500 } }], "repeat": true });
    let router = warmed(script, json!({ "latencyMs": 50 }), json!({})).await;
    let answer = ask(&router, "hi").await.unwrap();
    assert_eq!(trail(&answer), [("first::m", Outcome::Transient), ("second::m", Outcome::Ok)]);
}

#[tokio::test(start_paused = true)]
async fn when_both_fail_both_are_told_in_the_order_in_which_they_began() {
    let slow = |latency: u64, status: u16| {
        let mut options = failing(status);
        options["latencyMs"] = latency.into();
        options
    };
    let router = warmed(slow(100, 402), slow(1, 401), json!({})).await;
    let error = ask(&router, "hi").await.unwrap_err();
    let outcomes: Vec<_> = error.attempts().iter().map(|one| one.outcome).collect();
    assert_eq!((error.code(), outcomes), ("ERR_EXHAUSTED", vec![Outcome::Quota, Outcome::Auth]));
}

#[tokio::test(start_paused = true)]
async fn what_the_second_one_calls_the_callers_fault_does_not_take_away_the_answer_of_the_first() {
    let router = warmed(json!({ "latencyMs": 50 }), failing(400), json!({})).await;
    let answer = ask(&router, "hi").await.unwrap();
    assert_eq!(trail(&answer), [("first::m", Outcome::Ok), ("second::m", Outcome::Rejected)]);

    let mut refusing = failing(400);
    refusing["latencyMs"] = 50.into();
    let router = warmed(refusing, json!({ "latencyMs": 500 }), json!({})).await;
    let error = ask(&router, "hi").await.unwrap_err();
    let outcomes: Vec<_> = error.attempts().iter().map(|one| one.outcome).collect();
    assert_eq!((error.code(), outcomes), ("ERR_PROVIDER", vec![Outcome::Rejected, Outcome::Cancelled]));
}

#[tokio::test(start_paused = true)]
async fn the_whole_time_ends_both_and_says_so() {
    let router = warmed(hang(), hang(), json!({ "timeouts": { "totalMs": 500 } })).await;
    let error = ask(&router, "hi").await.unwrap_err();
    assert_eq!((error.code(), error.attempts().len()), ("ERR_TIMEOUT", 2), "{error}");
    assert_eq!(router.stats().groups["default"].deployments.iter().map(|one| one.in_flight).sum::<u64>(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_reader_sees_one_answer_and_no_word_of_the_other() {
    for (slow, is_second) in [(40, false), (10_000, true)] {
        let first = json!({ "latencyMs": slow, "tokenIntervalMs": 20, "responses": ["one two three"], "repeat": true });
        let second = json!({ "latencyMs": 60, "tokenIntervalMs": 20, "responses": ["four five six"], "repeat": true });
        let router = warmed(first, second, json!({})).await;
        let stream = router.stream("default", &request("hi"), StreamOptions::default()).unwrap();
        let mut text = String::new();
        let answer = loop {
            match stream.next().await.unwrap().unwrap() {
                Batch::Chunks(chunks) => chunks.into_iter().for_each(|chunk| match chunk {
                    Chunk::Content { delta } => text += &delta,
                    other => panic!("{other:?}"),
                }),
                Batch::End(answer) => break answer,
            }
        };
        let (expected, winner) = if is_second { ("four five six", 1) } else { ("one two three", 0) };
        assert_eq!((text.as_str(), answer.content.as_str()), (expected, expected));
        assert_eq!(answer.attempts.len(), 2);
        assert_eq!(answer.attempts[winner].outcome, Outcome::Ok);
        assert_eq!(answer.attempts[1 - winner].outcome, Outcome::Cancelled);
    }
}

#[tokio::test(start_paused = true)]
async fn the_time_of_who_was_left_counts_so_that_it_does_not_look_fast() {
    let router = warmed(hang(), json!({ "latencyMs": 200 }), json!({})).await;
    for _ in 0..20 {
        ask(&router, "hi").await.unwrap();
    }
    let stats = router.stats();
    let p99 = stats.groups["default"].deployments[0].first_token_ms.p99;
    assert!(p99 >= ms(200).as_secs_f64() * 1000.0, "{p99}");
}

#[tokio::test(start_paused = true)]
async fn a_second_attempt_that_was_not_needed_does_not_make_its_deployment_look_fast() {
    let router = router(json!({
        "providers": [dummy("first", json!({ "latencyMs": 100 })), dummy("second", json!({ "latencyMs": 100 }))],
        "groups": { "default": { "strategy": "first-available", "deployments": ["first::m", "second::m"] } },
        "retry": { "hedgeQuantile": 0.9 },
    }));
    for call in 0..10 {
        ask(&router, &call.to_string()).await.unwrap();
    }
    change(&router, "first", json!({ "latencyMs": 105 }));
    let answer = ask(&router, "a little late").await.unwrap();
    assert_eq!(trail(&answer), [("first::m", Outcome::Ok), ("second::m", Outcome::Cancelled)]);
    let fast = router.stats().groups["default"].deployments[1].first_token_ms.p50;
    assert!(fast == 0.0 || fast >= 100.0, "{fast}");
}

#[tokio::test(start_paused = true)]
async fn a_deployment_with_a_dead_key_is_no_second() {
    let router = warmed(hang(), failing(401), json!({})).await;
    let begun = Instant::now();
    let late = async |text: &str| {
        ask_with(&router, text, json!({ "firstTokenMs": 300 })).await.map_err(|error| {
            error.attempts().iter().map(|one| (one.deployment.clone(), one.outcome)).collect::<Vec<_>>()
        })
    };
    let once = late("one").await.unwrap_err();
    assert!(once.contains(&("second::m".to_owned(), Outcome::Auth)), "{once:?}");
    for text in ["two", "three", "four"] {
        let tried = late(text).await.unwrap_err();
        assert_eq!(tried, [("first::m".to_owned(), Outcome::Silent)], "it rests");
    }
    assert!(begun.elapsed() < Duration::from_secs(20));
}
