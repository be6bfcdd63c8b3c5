//! What a caller of a router sees when deployments fail, limits bind and answers are cached: on a virtual clock, with
//! providers that misbehave on demand.

use std::time::Duration;

use futures_util::StreamExt;
use serde_json::{Value, json};
use thryd::error::{FailureClass, Outcome, Phase};
use thryd::fields::Fields;
use thryd::kinds::{Body, Completion, CompletionRequest, Embeddings, Ranking};
use thryd::options::{CacheUse, DeployOptions, GroupOptions, InvokeOptions, RouterOptions};
use thryd::provider::ProviderOptions;
use thryd::route::{Answer, CacheStatus, Router};
use thryd::{ErrorKind, Kind};

fn router(options: Value) -> Router<Completion> {
    router_of(options)
}

fn router_of<K: Kind>(options: Value) -> Router<K> {
    Router::new(RouterOptions::read(Fields::new("router options", options).unwrap()).unwrap()).unwrap()
}

fn dummy(name: &str, options: Value) -> Value {
    json!({ "type": "dummy", "name": name, "dummy": options })
}

fn failing(status: u16) -> Value {
    json!({ "responses": [{ "error": { "status": status, "message": "no" } }], "repeat": true })
}

fn request(text: &str) -> CompletionRequest {
    CompletionRequest::message(text)
}

async fn ask(router: &Router<Completion>, text: &str) -> thryd::Result<Answer<Completion>> {
    router.invoke("default", request(text), InvokeOptions::default()).await
}

async fn ask_with(router: &Router<Completion>, text: &str, options: Value) -> thryd::Result<Answer<Completion>> {
    let fields = Fields::new("invoke options", options).unwrap();
    router.invoke("default", request(text), InvokeOptions::read(fields, router.timeouts()).unwrap()).await
}

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
async fn a_deployment_that_fails_is_asked_once_more_and_then_another_answers() {
    let router = router(json!({
        "providers": [dummy("bad", failing(503)), dummy("good", json!({}))],
        "groups": { "default": { "strategy": "first-available", "deployments": ["bad::m", "good::m"] } },
    }));
    let answer = ask(&router, "hi").await.unwrap();
    let tried: Vec<_> = answer.attempts.iter().map(|one| (one.deployment.as_str(), one.outcome)).collect();
    let transient = ("bad::m", Outcome::Transient);
    assert_eq!(tried, [transient, transient, ("good::m", Outcome::Ok)]);
    assert!(answer.latency < Duration::from_millis(50), "nobody sleeps while another is healthy");
}

#[tokio::test(start_paused = true)]
async fn the_callers_own_fault_is_never_tried_twice() {
    let router = router(json!({
        "providers": [dummy("bad", failing(400)), dummy("good", json!({}))],
        "groups": { "default": { "strategy": "first-available", "deployments": ["bad::m", "good::m"] } },
    }));
    let error = ask(&router, "hi").await.unwrap_err();
    assert_eq!(error.code(), "ERR_PROVIDER");
    assert!(!error.is_retryable());
    assert_eq!(error.attempts().len(), 1);
    let ErrorKind::Provider { deployment, failure } = error.kind() else { panic!("{error}") };
    assert_eq!((deployment.as_str(), failure.status, failure.class), ("bad::m", Some(400), FailureClass::Rejected));
}

#[tokio::test(start_paused = true)]
async fn a_dead_key_is_not_asked_again_while_another_is_there() {
    let router = router(json!({
        "providers": [dummy("dead", failing(401)), dummy("good", json!({}))],
        "groups": { "default": { "strategy": "first-available", "deployments": ["dead::m", "good::m"] } },
    }));
    assert_eq!(ask(&router, "one").await.unwrap().attempts.len(), 2);
    assert_eq!(ask(&router, "two").await.unwrap().attempts.len(), 1);
    let stats = router.stats();
    let dead = &stats.groups["default"].deployments[0];
    assert!(dead.rest_ms > 0.0);
    assert_eq!(serde_json::to_value(dead.circuit).unwrap(), "open");
}

#[tokio::test(start_paused = true)]
async fn a_lone_deployment_with_a_dead_key_says_so_every_time_instead_of_making_its_users_wait() {
    let router = router(json!({
        "providers": [dummy("dead", failing(401))],
        "groups": { "default": { "deployments": ["dead::m"] } },
    }));
    for _ in 0..3 {
        let started = tokio::time::Instant::now();
        let error = ask(&router, "hi").await.unwrap_err();
        assert_eq!(error.code(), "ERR_PROVIDER", "{error}");
        assert_eq!(started.elapsed(), Duration::ZERO);
    }
}

#[tokio::test(start_paused = true)]
async fn a_lone_rate_limited_deployment_is_waited_for_as_long_as_it_says() {
    let script = json!({ "responses": [{ "error": { "status": 429, "retryAfterMs": 2000 } }, "done"] });
    let router = router(json!({
        "providers": [dummy("busy", script)],
        "groups": { "default": { "deployments": ["busy::m"] } },
    }));
    let answer = ask(&router, "hi").await.unwrap();
    assert_eq!(answer.content, "done");
    let outcomes: Vec<_> = answer.attempts.iter().map(|one| one.outcome).collect();
    assert_eq!(outcomes, [Outcome::RateLimited, Outcome::Ok]);
    assert!((2000..3000).contains(&answer.latency.as_millis()), "{:?}", answer.latency);
}

#[tokio::test(start_paused = true)]
async fn a_wait_longer_than_allowed_is_surfaced_and_never_slept() {
    let script = json!({ "responses": [{ "error": { "status": 429, "retryAfterMs": 600_000 } }], "repeat": true });
    let router = router(json!({
        "providers": [dummy("busy", script)],
        "groups": { "default": { "deployments": ["busy::m"] } },
    }));
    let started = tokio::time::Instant::now();
    let error = ask(&router, "hi").await.unwrap_err();
    assert!(started.elapsed() < Duration::from_secs(1));
    assert_eq!(error.code(), "ERR_RATE_LIMITED");
    assert_eq!(error.retry_after(), Some(Duration::from_secs(600)));
    assert_eq!(error.attempts().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn every_failure_is_kept_in_order_when_nobody_answers() {
    let router = router(json!({
        "providers": [dummy("a", failing(500)), dummy("b", failing(502))],
        "groups": { "default": { "strategy": "first-available", "deployments": ["a::m", "b::m"] } },
    }));
    let error = ask(&router, "hi").await.unwrap_err();
    let ErrorKind::Exhausted { errors, .. } = error.kind() else { panic!("{error}") };
    let status = |one: &thryd::Error| match one.kind() {
        ErrorKind::Provider { failure, .. } => failure.status,
        _ => None,
    };
    let statuses: Vec<_> = errors.iter().map(status).collect();
    assert_eq!(statuses, [Some(500), Some(500), Some(502), Some(502)]);
    assert_eq!(error.attempts().len(), 4, "one try and three retries");
    assert!(error.is_retryable());
}

#[tokio::test(start_paused = true)]
async fn a_fallback_group_answers_when_the_first_cannot() {
    let router = router(json!({
        "providers": [dummy("bad", failing(500)), dummy("good", json!({}))],
        "groups": {
            "default": { "deployments": ["bad::m"], "fallbacks": ["spare"] },
            "spare": { "deployments": ["good::m"] },
        },
    }));
    assert_eq!(ask(&router, "hi").await.unwrap().deployment, "good::m");
}

#[tokio::test(start_paused = true)]
async fn fallbacks_that_lead_back_are_refused() {
    let router = router(json!({}));
    let to = |name: &str| GroupOptions { fallbacks: vec![name.to_owned()], ..GroupOptions::default() };
    router.configure_group("a", to("b")).unwrap();
    router.configure_group("b", to("c")).unwrap();
    let error = router.configure_group("c", to("a")).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Invalid(_)), "{error}");
}

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
async fn equal_calls_in_flight_are_one_request_and_one_leaver_ends_nothing() {
    let router = router(json!({
        "providers": [dummy("dummy", json!({ "responses": ["only one"], "latencyMs": 100 }))],
        "groups": { "default": { "deployments": ["dummy::m"] } },
    }));
    let call = || {
        let router = router.clone();
        tokio::spawn(async move { ask(&router, "same").await })
    };
    let first = call();
    tokio::time::sleep(Duration::from_millis(50)).await;
    let others: Vec<_> = (0..199).map(|_| call()).collect();
    tokio::time::sleep(Duration::from_millis(10)).await;
    first.abort();
    for other in others {
        let answer = other.await.unwrap().unwrap();
        assert_eq!((answer.content.as_str(), answer.cache), ("only one", CacheStatus::Joined));
    }
    assert_eq!(router.stats().groups["default"].deployments[0].succeeded, 1);
}

#[tokio::test(start_paused = true)]
async fn the_last_to_leave_cancels_and_leaves_nothing_in_flight() {
    let router = router(json!({
        "providers": [dummy("dummy", json!({ "faults": { "hang": 1 } }))],
        "groups": { "default": { "deployments": ["dummy::m"] } },
    }));
    let calls: Vec<_> = (0..10)
        .map(|_| {
            let router = router.clone();
            tokio::spawn(async move { ask(&router, "same").await })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(router.stats().groups["default"].deployments[0].in_flight, 1);
    calls.iter().for_each(tokio::task::JoinHandle::abort);
    tokio::time::sleep(Duration::from_millis(1)).await;
    let stats = router.stats();
    assert_eq!((stats.in_flight, stats.groups["default"].deployments[0].in_flight), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_clock_names_its_phase() {
    let clocks = [("firstTokenMs", Phase::FirstToken), ("attemptMs", Phase::Attempt), ("totalMs", Phase::Total)];
    for (field, phase) in clocks {
        let router = router(json!({
            "providers": [dummy("dummy", json!({ "faults": { "hang": 1 } }))],
            "groups": { "default": { "deployments": ["dummy::m"] } },
        }));
        let started = tokio::time::Instant::now();
        let error = ask_with(&router, "hi", json!({ field: 300 })).await.unwrap_err();
        let ErrorKind::Timeout { phase: found, .. } = error.kind() else { panic!("{error}") };
        assert_eq!(*found, phase);
        assert_eq!(started.elapsed().as_millis(), 300);
    }
}

#[tokio::test(start_paused = true)]
async fn a_cached_answer_costs_nothing_and_charges_no_limit() {
    let deployment = json!({ "model": "dummy::m", "rpm": 1, "price": { "prompt": 1, "completion": 1 } });
    let router = router(json!({
        "providers": [dummy("dummy", json!({}))],
        "groups": { "default": { "deployments": [deployment] } },
        "cache": {},
    }));
    assert_eq!(ask(&router, "hi").await.unwrap().cache, CacheStatus::Miss);
    for _ in 0..5 {
        let hit = ask(&router, "hi").await.unwrap();
        assert_eq!((hit.cache, hit.content.as_str(), hit.attempts.len()), (CacheStatus::Memory, "hi", 0));
        assert_eq!(hit.usage().cost, Some(0.0));
    }
    assert_eq!(router.stats().groups["default"].deployments[0].window.requests, 1);
}

#[tokio::test(start_paused = true)]
async fn fetchs_cache_modes_mean_what_they_say() {
    let router = router(json!({
        "providers": [dummy("dummy", json!({ "responses": ["1", "2", "3"] }))],
        "groups": { "default": { "deployments": ["dummy::m"] } },
        "cache": {},
    }));
    let with = |cache| router.invoke("default", request("hi"), InvokeOptions { cache, ..InvokeOptions::default() });
    let missing = with(CacheUse::OnlyIfCached).await.unwrap_err();
    assert_eq!(missing.code(), "ERR_NOT_CACHED");
    assert_eq!(with(CacheUse::NoStore).await.unwrap().content, "1");
    assert_eq!(with(CacheUse::Default).await.unwrap().content, "2");
    assert_eq!(with(CacheUse::Default).await.unwrap().content, "2");
    assert_eq!(with(CacheUse::Reload).await.unwrap().content, "3");
    assert_eq!(with(CacheUse::OnlyIfCached).await.unwrap().content, "3");
    let error = with(CacheUse::Reload).await.unwrap_err();
    assert_eq!(error.code(), "ERR_EXHAUSTED", "the script has run out");
}

#[tokio::test(start_paused = true)]
async fn two_tenants_never_see_each_others_answers() {
    let router = router(json!({
        "providers": [dummy("dummy", json!({ "responses": ["for a", "for b"] }))],
        "groups": { "default": { "deployments": ["dummy::m"] } },
        "cache": {},
    }));
    for (tenant, answer) in [("a", "for a"), ("b", "for b"), ("a", "for a")] {
        assert_eq!(ask_with(&router, "hi", json!({ "namespace": tenant })).await.unwrap().content, answer);
    }
}

#[tokio::test]
async fn another_router_finds_the_answer_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    let options = json!({
        "providers": [dummy("dummy", json!({}))],
        "groups": { "default": { "deployments": ["dummy::m"] } },
        "cache": { "path": folder.path().join("answers.redb"), "memoryBytes": 0 },
    });
    let first = router(options.clone());
    assert_eq!(ask(&first, "hi").await.unwrap().cache, CacheStatus::Miss);
    first.close().await.unwrap();
    assert_eq!(ask(&first, "hi").await.unwrap_err().code(), "ERR_CLOSED");
    drop(first);
    assert_eq!(ask(&router(options), "hi").await.unwrap().cache, CacheStatus::Disk);
}

#[tokio::test]
async fn a_cache_that_cannot_be_opened_costs_caching_and_no_answer() {
    let folder = tempfile::tempdir().unwrap();
    let router = router(json!({
        "providers": [dummy("dummy", json!({}))],
        "groups": { "default": { "deployments": ["dummy::m"] } },
        "cache": folder.path(),
    }));
    assert_eq!(ask(&router, "hi").await.unwrap().content, "hi");
    assert!(router.stats().cache.unwrap().write_errors > 0);
}

#[tokio::test(start_paused = true)]
async fn embeddings_are_cached_one_by_one_and_only_the_missing_are_sent() {
    let router: Router<Embeddings> = router_of(json!({
        "providers": [dummy("dummy", json!({}))],
        "groups": { "default": { "deployments": ["dummy::e"] } },
        "cache": {},
    }));
    let embed = async |texts: Value| {
        let request = Embeddings::request(Body::parse(&json!({ "input": texts }).to_string()).unwrap()).unwrap();
        router.invoke("default", request, InvokeOptions::default()).await.unwrap()
    };
    let first = embed(json!(["a", "b"])).await;
    assert_eq!((first.cache, first.vectors().len()), (CacheStatus::Miss, 2));
    let alone = embed(json!("b")).await;
    assert_eq!((alone.cache, &alone.vectors()[0]), (CacheStatus::Memory, &first.vectors()[1]));
    let mixed = embed(json!(["c", "b", "c", "a"])).await;
    assert_eq!(mixed.cache, CacheStatus::Miss);
    assert_eq!(mixed.vectors()[0], mixed.vectors()[2]);
    assert_eq!((&mixed.vectors()[1], &mixed.vectors()[3]), (&first.vectors()[1], &first.vectors()[0]));
    assert_eq!(router.stats().groups["default"].deployments[0].succeeded, 2);
    assert_eq!(embed(json!(["a", "b", "c"])).await.cache, CacheStatus::Memory);
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
async fn what_a_fallback_answered_is_not_taken_for_the_groups_own_answer() {
    let script = json!({ "responses": [{ "error": { "status": 401 } }, "own"] });
    let router = router(json!({
        "providers": [dummy("own", script), dummy("spare", json!({ "responses": ["spare"], "repeat": true }))],
        "groups": {
            "default": { "deployments": ["own::m"], "fallbacks": ["spare"] },
            "spare": { "deployments": ["spare::m"] },
        },
        "cache": {},
    }));
    assert_eq!(ask(&router, "hi").await.unwrap().content, "spare");
    assert_eq!(ask(&router, "hi").await.unwrap().content, "own");
}

#[tokio::test(start_paused = true)]
async fn retries_are_counted_over_all_groups_but_each_fallback_gets_its_try() {
    let router = router(json!({
        "providers": [dummy("bad", failing(500)), dummy("good", json!({}))],
        "groups": {
            "default": { "deployments": ["bad::a"], "fallbacks": ["second", "third"] },
            "second": { "deployments": ["bad::b"] },
            "third": { "deployments": ["good::m"] },
        },
        "retry": { "maxRetries": 2 },
    }));
    let answer = ask(&router, "hi").await.unwrap();
    let tried: Vec<_> = answer.attempts.iter().map(|one| one.deployment.as_str()).collect();
    assert_eq!(tried, ["bad::a", "bad::a", "bad::a", "bad::b", "good::m"]);
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

#[tokio::test(start_paused = true)]
async fn a_call_that_runs_out_of_its_time_says_what_it_was_waiting_for() {
    let router = router(json!({
        "providers": [dummy("hung", json!({ "faults": { "hang": 1 } })), dummy("good", json!({}))],
        "groups": { "default": { "strategy": "first-available", "deployments": ["hung::m", "good::m"] } },
    }));
    let error = ask_with(&router, "hi", json!({ "totalMs": 2000 })).await.unwrap_err();
    let ErrorKind::Timeout { phase, .. } = error.kind() else { panic!("{error}") };
    assert_eq!(*phase, Phase::Total);
    let tried: Vec<_> = error.attempts().iter().map(|one| (one.deployment.as_str(), one.outcome)).collect();
    assert_eq!(tried, [("hung::m", Outcome::Silent)]);
    assert_eq!(router.stats().groups["default"].deployments[0].failed, 1);
}

#[tokio::test(start_paused = true)]
async fn those_who_wait_for_a_probe_go_as_soon_as_it_is_back() {
    let script =
        json!({ "responses": [{ "error": { "status": 429, "retryAfterMs": 200 } }, "1", "2", "3"], "latencyMs": 20 });
    let router = router(json!({
        "providers": [dummy("dummy", script)],
        "groups": { "default": { "deployments": ["dummy::m"] } },
    }));
    let started = tokio::time::Instant::now();
    let calls = ["a", "b", "c"].map(|text| ask(&router, text));
    for result in futures_util::future::join_all(calls).await {
        result.unwrap();
    }
    assert!(started.elapsed() < Duration::from_millis(300), "{:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_fallback_answers_at_once_while_the_first_group_only_rests() {
    let script = json!({ "responses": [{ "error": { "status": 429, "retryAfterMs": 3000 } }], "repeat": true });
    let router = router(json!({
        "providers": [dummy("busy", script), dummy("good", json!({}))],
        "groups": {
            "default": { "deployments": ["busy::m"], "fallbacks": ["spare"] },
            "spare": { "deployments": ["good::m"] },
        },
    }));
    let started = tokio::time::Instant::now();
    for text in ["one", "two"] {
        assert_eq!(ask(&router, text).await.unwrap().deployment, "good::m");
    }
    assert_eq!(started.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_new_key_is_tried_at_once() {
    let router = router(json!({
        "providers": [dummy("own", failing(401)), dummy("spare", json!({}))],
        "groups": { "default": { "strategy": "first-available", "deployments": ["own::m", "spare::m"] } },
    }));
    assert_eq!(ask(&router, "one").await.unwrap().deployment, "spare::m");
    let fixed = Fields::new("provider options", dummy("own", json!({}))).unwrap();
    router.add_provider(ProviderOptions::read(fixed).unwrap()).unwrap();
    assert_eq!(ask(&router, "two").await.unwrap().deployment, "own::m");
}

#[tokio::test(start_paused = true)]
async fn calls_begun_together_are_one_even_if_the_first_leaves_at_once() {
    let router = router(json!({
        "providers": [dummy("dummy", json!({ "responses": ["only one"], "latencyMs": 100 }))],
        "groups": { "default": { "deployments": ["dummy::m"] } },
        "cache": {},
    }));
    let begin = || match router.begin("default", request("same"), InvokeOptions::default()) {
        thryd::route::Begun::Pending(call) => call,
        thryd::route::Begun::Ready(result) => panic!("{result:?}"),
    };
    let mut calls: Vec<_> = (0..200).map(|_| begin()).collect();
    drop(calls.remove(0));
    for result in futures_util::future::join_all(calls).await {
        assert_eq!(result.unwrap().content, "only one");
    }
    assert_eq!(router.stats().groups["default"].deployments[0].succeeded, 1);
}
