//! What a call is charged with and by whom it is held up, through the router.

mod dummies;
mod support;

use std::time::Duration;

use dummies::{ask, ask_with, dummy, request, router};
use serde_json::json;
use support::{Reply, Server};
use thryd::fields::Fields;
use thryd::options::{DeployOptions, InvokeOptions, StreamOptions};
use thryd::provider::ProviderOptions;
use thryd::route::DeploymentStats;
use thryd::{Router, kinds::Completion};

const ANSWER: &str = r#"{"model":"m","choices":[{"message":{"content":"hi"},"finish_reason":"stop"}],
    "usage":{"prompt_tokens":8,"completion_tokens":2,"total_tokens":10}}"#;

fn over_http(server: &Server, deployment: &serde_json::Value) -> Router<Completion> {
    let mut deployment = deployment.clone();
    deployment["model"] = "p::gpt-4o".into();
    router(json!({
        "providers": [{ "type": "openai-compatible", "name": "p", "baseUrl": server.url("/v1"), "apiKey": "sk-old" }],
        "groups": { "default": { "deployments": [deployment] } },
    }))
}

fn deployment(router: &Router<Completion>) -> DeploymentStats {
    router.stats().groups["default"].deployments[0].clone()
}

#[tokio::test]
async fn a_failure_inside_a_stream_is_not_free_whatever_status_it_names() {
    thryd::tokens::preload("gpt-4o");
    let delta = r#"{"id":"x","model":"m","choices":[{"delta":{"content":"word word word"}}]}"#;
    let failure = r#"{"error":{"code":429,"message":"rate limited"}}"#;
    let server = Server::start(move |_| Reply::stream().event(delta).event(delta).event(failure)).await;
    let router = over_http(&server, &json!({ "tpm": 100_000 }));
    let request = request("q").set("max_completion_tokens", 1_000);
    let stream = router.stream("default", &request, StreamOptions::default()).unwrap();
    while let Some(Ok(_)) = stream.next().await {}
    let spent = deployment(&router).window.tokens;
    assert!(spent > 1_000, "{spent}: tokens were made, nobody knows how many");
}

#[tokio::test]
async fn a_refusal_by_status_costs_a_request_and_no_tokens() {
    thryd::tokens::preload("gpt-4o");
    let server = Server::start(|_| Reply::json(400, r#"{"error":{"message":"no"}}"#)).await;
    let router = over_http(&server, &json!({ "tpm": 100_000 }));
    ask(&router, "q").await.unwrap_err();
    let window = deployment(&router).window;
    assert_eq!((window.requests, window.tokens), (1, 0));
}

#[tokio::test]
async fn where_no_usage_is_reported_the_reservation_stays() {
    thryd::tokens::preload("gpt-4o");
    let answer = r#"{"model":"m","choices":[{"message":{"content":"hi"},"finish_reason":"stop"}]}"#;
    let server = Server::start(move |_| Reply::json(200, answer)).await;
    let router = over_http(&server, &json!({ "tpm": 100_000 }));
    let request = request("q").set("max_completion_tokens", 500);
    let answer = router.invoke("default", request, InvokeOptions::default()).await.unwrap();
    assert!(answer.usage().estimated && answer.usage().total_tokens < 100);
    assert!(deployment(&router).window.tokens > 500);
}

#[tokio::test]
async fn a_new_key_is_not_held_by_what_was_said_of_the_old_one() {
    let server = Server::start(|_| {
        let reply = Reply::json(200, ANSWER).header("x-ratelimit-remaining-requests", "0");
        reply.header("x-ratelimit-limit-requests", "1000").header("x-ratelimit-reset-requests", "50s")
    })
    .await;
    let router = over_http(&server, &json!({}));
    ask(&router, "one").await.unwrap();
    assert_eq!(deployment(&router).learned.rpm, Some(1_000));
    let held = router.estimate_wait("default", &request("two")).unwrap();
    assert!(held > Duration::from_secs(40), "{held:?}");
    let options = ProviderOptions::new("openai-compatible").name("p").base_url(server.url("/v1")).api_key("sk-new");
    router.add_provider(options).unwrap();
    assert_eq!(router.estimate_wait("default", &request("two")).unwrap(), Duration::ZERO);
    ask_with(&router, "two", json!({ "queueMs": 0 })).await.unwrap();
}

#[tokio::test]
async fn a_limit_that_the_provider_named_refuses_no_request_for_ever() {
    thryd::tokens::preload("gpt-4o");
    let server = Server::start(|_| Reply::json(200, ANSWER).header("anthropic-ratelimit-tokens-limit", "38000")).await;
    let router = over_http(&server, &json!({}));
    let large = |text| request(text).set("max_completion_tokens", 64_000);
    router.invoke("default", large("one"), InvokeOptions::default()).await.unwrap();
    assert_eq!(deployment(&router).learned.tpm, Some(38_000));
    let answer = router.invoke("default", large("two"), InvokeOptions::default()).await;
    assert!(
        answer.as_ref().is_ok_and(|answer| answer.queued.is_zero())
            || answer.is_err_and(|error| error.code() == "ERR_RATE_LIMITED")
    );
}

#[tokio::test(start_paused = true)]
async fn calls_that_wait_uncounted_are_counted_when_a_limit_of_tokens_comes() {
    thryd::tokens::preload("gpt-4o");
    let router = router(json!({
        "providers": [dummy("dummy", json!({ "latencyMs": 1_000 }))],
        "groups": { "default": { "deployments": [{ "model": "dummy::gpt-4o", "rpm": 1 }] } },
        "timeouts": { "queueMs": 9_000_000 },
    }));
    ask(&router, "first").await.unwrap();
    for number in 0..20 {
        let router = router.clone();
        let request = request(&format!("{number} {}", "word ".repeat(100))).set("max_completion_tokens", 500);
        tokio::spawn(async move { router.invoke("default", request, InvokeOptions::default()).await });
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    let limits = Fields::new("deploy options", json!({ "rpm": 100, "tpm": 1_000 })).unwrap();
    router.deploy("default", "dummy::gpt-4o", DeployOptions::read(limits).unwrap()).unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let deployment = deployment(&router);
    assert!(deployment.in_flight <= 1 && deployment.window.tokens <= 1_000, "{deployment:?}");
}

#[tokio::test(start_paused = true)]
async fn an_estimate_is_that_of_the_line_in_which_the_call_would_stand() {
    thryd::tokens::preload("gpt-4o");
    let router = router(json!({
        "providers": [dummy("dummy", json!({}))],
        "groups": { "default": { "deployments": [
            { "model": "dummy::gpt-4o", "contextWindow": 10 },
            { "model": "dummy::large", "rpm": 1 },
        ] } },
        "timeouts": { "queueMs": 6_000_000 },
    }));
    let long = "word ".repeat(100);
    for number in 0..4 {
        let (router, text) = (router.clone(), format!("{number} {long}"));
        tokio::spawn(async move { ask(&router, &text).await });
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(router.stats().waiting, 3);
    let wait = router.estimate_wait("default", &request(&long)).unwrap();
    assert!(wait > Duration::from_secs(240), "{wait:?}");
    let error = ask_with(&router, &long, json!({ "queueMs": 1 })).await.unwrap_err();
    assert_eq!(error.retry_after(), Some(wait));
}

#[tokio::test(start_paused = true)]
async fn nobody_is_told_to_come_back_at_once_who_was_just_refused() {
    let router = router(json!({
        "providers": [dummy("dummy", json!({ "latencyMs": 60_000 }))],
        "groups": { "default": { "deployments": [{ "model": "dummy::m", "maxConcurrent": 1 }] } },
    }));
    let busy = tokio::spawn({
        let router = router.clone();
        async move { ask(&router, "first").await }
    });
    tokio::time::sleep(Duration::from_millis(100)).await;
    let error = ask_with(&router, "second", json!({ "queueMs": 0 })).await.unwrap_err();
    assert!(error.retry_after().unwrap() > Duration::ZERO);
    assert_eq!(error.retry_after(), Some(router.estimate_wait("default", &request("second")).unwrap()));
    busy.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn nobody_is_refused_for_a_full_deployment_while_another_will_have_rested_in_time() {
    let busy = json!({ "responses": [{ "error": { "status": 429, "retryAfterMs": 2_000 } }, "a", "b", "c"] });
    let router = router(json!({
        "providers": [dummy("full", json!({})), dummy("busy", busy)],
        "groups": { "default": { "strategy": "first-available", "deployments": [{ "model": "full::m", "rpm": 1 }, "busy::m"] } },
    }));
    ask(&router, "first").await.unwrap();
    let calls = ["second", "third", "fourth"].map(|text| {
        let router = router.clone();
        tokio::spawn(async move { ask_with(&router, text, json!({ "queueMs": 10_000 })).await })
    });
    for call in calls {
        assert_eq!(call.await.unwrap().unwrap().deployment, "busy::m");
    }
}
