//! What a caller of a router sees while all goes well, and what the router refuses.

mod dummies;

use std::time::Duration;

use dummies::{ask, dummy, request, router, router_of};
use futures_util::StreamExt;
use serde_json::json;
use thryd::Kind;
use thryd::error::Outcome;
use thryd::fields::Fields;
use thryd::kinds::{Body, Ranking};
use thryd::options::{DeployOptions, InvokeOptions};
use thryd::provider::ProviderOptions;
use thryd::route::{CacheStatus, Router};

#[tokio::test(start_paused = true)]
async fn an_answer_says_who_gave_it_and_what_it_took() {
    let router = router(json!({
        "providers": [dummy("dummy", json!({ "latencyMs": 250 }))],
        "groups": { "default": { "deployments": [{ "model": "dummy::echo", "price": { "prompt": 1e6, "completion": 2e6 } }] } },
    }));
    let answer = ask(&router, "one two three").await.unwrap();
    assert_eq!(answer.content, "one two three");
    assert_eq!(answer.deployment, "dummy::echo");
    assert_eq!(answer.cache, CacheStatus::Off);
    assert!(answer.latency >= Duration::from_millis(250));
    let [attempt] = &answer.attempts[..] else { panic!("one attempt") };
    assert_eq!((attempt.outcome, attempt.deployment.as_str()), (Outcome::Ok, "dummy::echo"));
    let usage = answer.usage();
    assert_eq!(usage.total_tokens, usage.prompt_tokens + usage.completion_tokens);
    #[allow(clippy::cast_precision_loss, reason = "a few tokens")]
    let cost = usage.prompt_tokens as f64 + 2.0 * usage.completion_tokens as f64;
    assert_eq!(usage.cost, Some(cost));
}

#[tokio::test(start_paused = true)]
async fn an_unknown_group_lists_the_groups_there_are() {
    let router = router(json!({
        "providers": [dummy("dummy", json!({}))],
        "groups": { "chat": { "deployments": ["dummy::a"] }, "batch": { "deployments": ["dummy::a"] } },
    }));
    let error = ask(&router, "hi").await.unwrap_err();
    assert_eq!(error.code(), "ERR_NO_GROUP");
    assert_eq!(error.to_string(), "no group \"default\"; there are: batch, chat");
}

#[tokio::test(start_paused = true)]
async fn a_ranking_is_best_first() {
    let router: Router<Ranking> = router_of(json!({
        "providers": [dummy("dummy", json!({}))],
        "groups": { "default": { "deployments": ["dummy::r"] } },
    }));
    let body = json!({ "query": "red apple", "documents": ["blue sky", "a red apple", "red car"], "top_n": 2 });
    let request = Ranking::request(Body::parse(&body.to_string()).unwrap()).unwrap();
    let ranking = router.invoke("default", request, InvokeOptions::default()).await.unwrap();
    assert_eq!(ranking.results().iter().map(|one| one.index).collect::<Vec<_>>(), [1, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_missing_provider_is_named_when_deploying_and_its_deployments_leave_with_it() {
    let router = router(json!({ "providers": [dummy("dummy", json!({}))] }));
    let error = router.deploy("default", "openai::gpt-4o", DeployOptions::default()).unwrap_err();
    assert_eq!(error.code(), "ERR_NO_PROVIDER");
    assert!(error.to_string().contains("there are: dummy"), "{error}");
    router.deploy("default", "dummy::m", DeployOptions::default()).unwrap();
    assert!(router.remove_provider("dummy"));
    assert_eq!(ask(&router, "hi").await.unwrap_err().code(), "ERR_NO_GROUP");
    assert!(!router.remove_provider("dummy"));
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_is_added_again_serves_with_its_new_settings() {
    let router = router(json!({
        "providers": [dummy("dummy", json!({ "responses": ["old"], "repeat": true }))],
        "groups": { "default": { "deployments": ["dummy::m"] } },
    }));
    assert_eq!(ask(&router, "hi").await.unwrap().content, "old");
    let new = dummy("dummy", json!({ "responses": ["new"], "repeat": true }));
    router.add_provider(ProviderOptions::read(Fields::new("provider options", new).unwrap()).unwrap()).unwrap();
    assert_eq!(ask(&router, "hi").await.unwrap().content, "new");
}

#[tokio::test(start_paused = true)]
async fn a_thousand_questions_get_their_own_answers() {
    let deployments = json!(["dummy::a", { "model": "dummy::b", "maxConcurrent": 5 }]);
    let router = router(json!({
        "providers": [dummy("dummy", json!({ "latencyMs": [1, 50], "seed": 7 }))],
        "groups": { "default": { "strategy": "round-robin", "deployments": deployments } },
    }));
    let requests = (0..1000).map(|number| request(&format!("question {number}")));
    let answers: Vec<_> = router.invoke_many("default", requests, &InvokeOptions::default(), 64).collect().await;
    for (number, answer) in answers.into_iter().enumerate() {
        assert_eq!(answer.unwrap().content, format!("question {number}"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_closing_router_waits_for_its_calls() {
    let router = router(json!({
        "providers": [dummy("dummy", json!({ "latencyMs": 1000 }))],
        "groups": { "default": { "deployments": ["dummy::m"] } },
    }));
    let call = tokio::spawn({
        let router = router.clone();
        async move { ask(&router, "hi").await }
    });
    tokio::time::sleep(Duration::from_millis(1)).await;
    router.close().await.unwrap();
    assert!(call.await.unwrap().is_ok());
}

/// A provider with a defect.
#[derive(Debug)]
struct Panicking;

impl thryd::provider::Provider for Panicking {
    fn name(&self) -> &'static str {
        "panicking"
    }

    fn supports(&self, _kind: &str) -> bool {
        true
    }

    fn write(&self, _call: &thryd::provider::Call<'_>) -> thryd::Result<thryd::provider::Outgoing> {
        panic!("a defect in a provider");
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_a_provider_fails_its_callers_and_nobody_else() {
    let router = router(json!({ "providers": [dummy("dummy", json!({}))] }));
    router.add(std::sync::Arc::new(Panicking));
    router.deploy("default", "panicking::m", DeployOptions::default()).unwrap();
    let calls = (0..3).map(|_| ask(&router, "same"));
    for result in futures_util::future::join_all(calls).await {
        let error = result.unwrap_err();
        assert_eq!(error.code(), "ERR_BUG");
        assert!(error.to_string().contains("a defect in a provider"), "{error}");
    }
    let stream = router.stream("default", &request("hi"), thryd::options::StreamOptions::default()).unwrap();
    assert_eq!(stream.next().await.unwrap().unwrap_err().code(), "ERR_BUG");
    router.deploy("other", "dummy::m", DeployOptions::default()).unwrap();
    assert!(router.invoke("other", request("hi"), InvokeOptions::default()).await.is_ok());
    assert_eq!(router.stats().groups["default"].deployments[0].in_flight, 0);
}

#[tokio::test(start_paused = true)]
async fn a_provider_without_such_an_endpoint_is_refused_when_deploying() {
    let router = router(json!({ "providers": [{ "type": "jina", "apiKey": "k" }] }));
    let error = router.deploy("default", "jina::m", DeployOptions::default()).unwrap_err();
    assert_eq!(error.code(), "ERR_UNSUPPORTED", "{error}");
}
