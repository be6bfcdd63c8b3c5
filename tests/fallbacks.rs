//! What a call has learned in one group holds in those that follow, and its own time is its own wherever it is.

mod dummies;

use std::time::Duration;

use dummies::{ask, ask_with, dummy, failing, router};
use serde_json::{Value, json};
use thryd::error::{Outcome, Phase};
use thryd::kinds::Completion;
use thryd::route::Router;
use thryd::{Error, ErrorKind};
use tokio::time::Instant;

/// Two groups, the second of which is the first one's fallback.
fn routed(providers: &[Value], first: &[&str], second: &[&str]) -> Router<Completion> {
    router(json!({
        "providers": providers,
        "groups": {
            "default": { "strategy": "first-available", "deployments": first, "fallbacks": ["second"] },
            "second": { "strategy": "first-available", "deployments": second },
        },
    }))
}

fn trail(result: thryd::Result<thryd::route::Answer<Completion>>) -> Vec<(String, Outcome)> {
    let attempts = result.map_or_else(|error| error.attempts().to_vec(), |answer| answer.attempts);
    attempts.into_iter().map(|one| (one.deployment, one.outcome)).collect()
}

#[tokio::test(start_paused = true)]
async fn who_cannot_serve_a_call_is_not_asked_again_by_it_under_another_group() {
    let too_long =
        json!({ "responses": [{ "error": { "status": 400, "code": "context_length_exceeded" } }], "repeat": true });
    let limited = json!({ "responses": [{ "error": { "status": 429, "retryAfterMs": 60_000 } }], "repeat": true });
    let table = [
        (too_long, Outcome::TooLong),
        (json!({ "faults": { "hang": 1 } }), Outcome::Silent),
        (failing(401), Outcome::Auth),
        (failing(402), Outcome::Quota),
        (limited, Outcome::RateLimited),
    ];
    for (script, outcome) in table {
        let router = routed(&[dummy("bad", script), dummy("good", json!({}))], &["bad::m"], &["bad::m", "good::n"]);
        let answer = ask_with(&router, "hi", json!({ "firstTokenMs": 300 })).await;
        assert_eq!(trail(answer), [("bad::m".to_owned(), outcome), ("good::n".to_owned(), Outcome::Ok)]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_bad_moment_is_given_another_chance_in_the_next_group() {
    let once = json!({ "responses": [{ "error": { "status": 503 } }, { "error": { "status": 503 } }, "back"] });
    let retry = json!({ "maxRetries": 1 });
    let router = router(json!({
        "providers": [dummy("bad", once)],
        "retry": retry,
        "groups": {
            "default": { "deployments": ["bad::m"], "fallbacks": ["second"] },
            "second": { "deployments": ["bad::m"] },
        },
    }));
    assert_eq!(ask(&router, "hi").await.unwrap().content, "back");
}

#[tokio::test(start_paused = true)]
async fn a_dead_key_beside_a_deployment_that_fails_now_is_no_reason_not_to_go_to_the_fallback_at_once() {
    let cuts = json!({ "responses": ["warm"], "repeat": true, "faults": { "cut": 1 } });
    let providers = [dummy("cuts", cuts), dummy("dead", failing(401)), dummy("good", json!({}))];
    let router = routed(&providers, &["cuts::m", "dead::m"], &["good::m"]);
    let names = |tried: Vec<(String, Outcome)>| tried.into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    assert_eq!(names(trail(ask(&router, "one").await)), ["cuts::m", "dead::m", "good::m"]);
    let begun = Instant::now();
    let tried = names(trail(ask(&router, "two").await));
    assert!(!tried.contains(&"dead::m".to_owned()) && tried.ends_with(&["good::m".to_owned()]), "it rests: {tried:?}");
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_deployment_that_fails_now_is_tried_as_often_as_a_lone_one_beside_a_dead_key() {
    let twice = json!({ "responses": [{ "error": { "status": 503 } }, { "error": { "status": 503 } }, "back"] });
    let router = router(json!({
        "providers": [dummy("dead", failing(401)), dummy("bad", twice)],
        "groups": { "default": { "strategy": "first-available", "deployments": ["dead::m", "bad::m"] } },
    }));
    let begun = Instant::now();
    assert_eq!(ask(&router, "hi").await.unwrap().content, "back");
    assert!(begun.elapsed() < Duration::from_secs(5), "nobody waits for a dead key: {:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_lone_fallback_is_asked_in_spite_of_its_dead_account() {
    let paid = json!({ "responses": [{ "error": { "status": 402 } }, "paid"], "repeat": true });
    let router = routed(&[dummy("down", failing(500)), dummy("paid", paid)], &["down::m"], &["paid::m"]);
    ask(&router, "finds the empty account").await.unwrap_err();
    assert_eq!(ask(&router, "hi").await.unwrap().content, "paid");
}

fn assert_total(error: &Error, begun: Instant) {
    let expected = Duration::from_millis(200);
    assert!(
        matches!(error.kind(), ErrorKind::Timeout { phase: Phase::Total, limit, deployment: None, .. } if *limit == expected),
        "{error}"
    );
    assert!((200..=202).contains(&begun.elapsed().as_millis()), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn the_whole_time_that_runs_out_in_the_line_says_so_and_sends_nothing_to_the_fallback() {
    for fallbacks in [json!([]), json!(["second"])] {
        let router = router(json!({
            "providers": [dummy("slow", json!({ "latencyMs": 5_000 })), dummy("idle", json!({}))],
            "groups": {
                "default": { "deployments": [{ "model": "slow::m", "maxConcurrent": 1 }], "fallbacks": fallbacks },
                "second": { "deployments": ["idle::m"] },
            },
        }));
        let busy = tokio::spawn({
            let router = router.clone();
            async move { ask(&router, "takes the slot").await }
        });
        tokio::task::yield_now().await;
        let begun = Instant::now();
        let error = ask_with(&router, "hi", json!({ "totalMs": 200 })).await.unwrap_err();
        assert_total(&error, begun);
        assert!(error.attempts().is_empty(), "nothing was sent");
        let idle = router.stats().groups["second"].deployments[0].clone();
        assert_eq!((idle.failed, idle.window.requests), (0, 0), "nothing is held against who was not asked");
        busy.await.unwrap().unwrap();
    }
}
