//! How long a call waits for a limit, behind whom, and when it does not wait at all.

mod dummies;

use std::time::Duration;

use dummies::{ask, ask_with, dummy, failing, request, router};
use serde_json::json;
use thryd::ErrorKind;
use thryd::fields::Fields;
use thryd::options::{DeployOptions, InvokeOptions};

#[tokio::test(start_paused = true)]
async fn no_window_holds_more_than_rpm_however_many_ask() {
    let router = router(json!({
        "providers": [dummy("dummy", json!({}))],
        "groups": { "default": { "deployments": [{ "model": "dummy::m", "rpm": 20 }] } },
        "timeouts": { "queueMs": 600_000 },
    }));
    let calls = (0..50).map(|number| {
        let router = router.clone();
        async move { ask(&router, &format!("question {number}")).await.map(|_| tokio::time::Instant::now()) }
    });
    let times: Vec<_> = futures_util::future::join_all(calls).await.into_iter().map(Result::unwrap).collect();
    assert!(times.is_sorted(), "answers come in the order of arrival");
    for window in times.windows(21) {
        assert!(window[20] - window[0] >= Duration::from_secs(60));
    }
    assert!(times[49] - times[0] < Duration::from_secs(123));
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_cannot_end_in_time_fails_at_once_and_says_when() {
    let router = router(json!({
        "providers": [dummy("dummy", json!({}))],
        "groups": { "default": { "deployments": [{ "model": "dummy::m", "rpm": 1 }] } },
    }));
    ask(&router, "first").await.unwrap();
    let started = tokio::time::Instant::now();
    let error = ask_with(&router, "second", json!({ "queueMs": 1000 })).await.unwrap_err();
    assert_eq!(started.elapsed(), Duration::ZERO);
    assert_eq!(error.code(), "ERR_RATE_LIMITED");
    let wait = error.retry_after().unwrap();
    assert!(wait > Duration::from_secs(59) && wait <= Duration::from_millis(60_250), "{wait:?}");
    assert_eq!(router.estimate_wait("default", &request("second")).unwrap(), wait);
    tokio::time::advance(wait).await;
    ask_with(&router, "second", json!({ "queueMs": 0 })).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_request_that_can_never_fit_is_refused_with_both_numbers() {
    let router = router(json!({
        "providers": [dummy("dummy", json!({}))],
        "groups": { "default": { "deployments": [{ "model": "dummy::gpt-4o", "tpm": 50 }] } },
    }));
    let big = request("hi").set("max_completion_tokens", 100);
    let error = router.invoke("default", big, InvokeOptions::default()).await.unwrap_err();
    let ErrorKind::TooLarge { tokens, limit, field } = error.kind() else { panic!("{error}") };
    assert_eq!((*limit, *field), (50, "tpm"));
    assert!((101..120).contains(tokens), "{tokens}");
}

#[tokio::test(start_paused = true)]
async fn reserved_tokens_become_real_ones_when_the_answer_is_there() {
    let router = router(json!({
        "providers": [dummy("dummy", json!({ "latencyMs": 100 }))],
        "groups": { "default": { "deployments": [{ "model": "dummy::gpt-4o", "tpm": 10_000 }] } },
    }));
    thryd::tokens::preload("gpt-4o");
    let call = tokio::spawn({
        let router = router.clone();
        let request = request("hello").set("max_completion_tokens", 5000);
        async move { router.invoke("default", request, InvokeOptions::default()).await }
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    let reserved = router.stats().groups["default"].deployments[0].window.tokens;
    assert!(reserved > 5000, "{reserved}");
    let usage = call.await.unwrap().unwrap().usage();
    assert_eq!(router.stats().groups["default"].deployments[0].window.tokens, usage.total_tokens);
}

#[tokio::test(start_paused = true)]
async fn a_deployment_that_leaves_hands_its_waiters_to_the_others_or_fails_them() {
    let router = router(json!({
        "providers": [dummy("dummy", json!({}))],
        "groups": { "default": { "deployments": [{ "model": "dummy::a", "rpm": 1 }] } },
    }));
    ask(&router, "first").await.unwrap();
    let waiting = |text: &'static str| {
        let router = router.clone();
        tokio::spawn(async move { ask_with(&router, text, json!({ "queueMs": 120_000 })).await })
    };
    let second = waiting("second");
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(router.stats().waiting, 1);
    let limits = Fields::new("deploy options", json!({ "rpm": 1 })).unwrap();
    router.deploy("default", "dummy::b", DeployOptions::read(limits).unwrap()).unwrap();
    assert_eq!(second.await.unwrap().unwrap().deployment, "dummy::b");
    let third = waiting("third");
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(router.undeploy("default", "dummy::a") && router.undeploy("default", "dummy::b"));
    assert_eq!(third.await.unwrap().unwrap_err().code(), "ERR_NO_GROUP");
    assert!(!router.undeploy("default", "dummy::b"));
}

#[tokio::test(start_paused = true)]
async fn a_wait_beyond_the_end_of_the_call_is_not_begun() {
    let router = router(json!({
        "providers": [dummy("dummy", json!({}))],
        "groups": { "default": { "deployments": [{ "model": "dummy::m", "rpm": 1 }] } },
    }));
    ask(&router, "first").await.unwrap();
    let started = tokio::time::Instant::now();
    let error = ask_with(&router, "second", json!({ "totalMs": 5000 })).await.unwrap_err();
    assert_eq!((error.code(), started.elapsed()), ("ERR_RATE_LIMITED", Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn a_wait_for_a_deployment_that_rests_says_what_put_it_to_rest() {
    let router = router(json!({
        "providers": [dummy("bad", failing(500))],
        "groups": { "default": { "deployments": ["bad::m"] } },
    }));
    assert_eq!(ask(&router, "hi").await.unwrap_err().code(), "ERR_EXHAUSTED");
    let error = ask_with(&router, "hi", json!({ "queueMs": 0 })).await.unwrap_err();
    assert_eq!(error.code(), "ERR_RATE_LIMITED");
    assert!(error.to_string().contains("its deployments rest: bad::m: "), "{error}");
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_behind_a_call_that_waits_for_another_deployment() {
    let busy = json!({ "responses": [{ "error": { "status": 429, "retryAfterMs": 4000 } }, "late"], "repeat": true });
    let cut = json!({ "responses": ["a b c"], "faults": { "cut": 1 }, "repeat": true });
    let router = router(json!({
        "providers": [dummy("busy", busy), dummy("cut", cut), dummy("good", json!({}))],
        "groups": { "default": { "strategy": "first-available", "deployments": ["busy::m", "cut::m"] } },
    }));
    let first = tokio::spawn({
        let router = router.clone();
        async move { ask(&router, "first").await }
    });
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert_eq!(router.stats().waiting, 1, "for the one that rests, because the other failed it");
    router.undeploy("default", "cut::m");
    router.deploy("default", "good::m", DeployOptions::default()).unwrap();
    let started = tokio::time::Instant::now();
    assert_eq!(ask(&router, "second").await.unwrap().deployment, "good::m");
    assert_eq!(started.elapsed(), Duration::ZERO);
    assert_eq!(first.await.unwrap().unwrap().deployment, "good::m", "it looks again when something changes");
}
