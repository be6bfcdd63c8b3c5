//! What calls share: one request for equal calls in flight, and answers that were given before.

mod dummies;

use std::time::Duration;

use dummies::{ask, ask_with, dummy, request, router, router_of};
use serde_json::{Value, json};
use thryd::Kind;
use thryd::kinds::{Body, Embeddings};
use thryd::options::{CacheUse, InvokeOptions};
use thryd::route::{CacheStatus, Router};

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
async fn a_cached_answer_costs_nothing_and_charges_no_limit() {
    let deployment = json!({ "model": "dummy::m", "rpm": 1, "price": { "prompt": 1, "completion": 1 } });
    let router = router(json!({
        "providers": [dummy("dummy", json!({ "cache": true }))],
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
        "providers": [dummy("dummy", json!({ "responses": ["1", "2", "3"], "cache": true }))],
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
        "providers": [dummy("dummy", json!({ "responses": ["for a", "for b"], "cache": true }))],
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
        "providers": [dummy("dummy", json!({ "cache": true }))],
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
        "providers": [dummy("dummy", json!({ "cache": true }))],
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
async fn what_a_fallback_answered_is_not_taken_for_the_groups_own_answer() {
    let script = json!({ "responses": [{ "error": { "status": 401 } }, "own"], "cache": true });
    let router = router(json!({
        "providers": [dummy("own", script), dummy("spare", json!({ "responses": ["spare"], "repeat": true, "cache": true }))],
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

#[tokio::test(start_paused = true)]
async fn texts_whose_vectors_depend_on_their_neighbours_are_one_question() {
    let router: Router<Embeddings> = router_of(json!({
        "providers": [dummy("dummy", json!({ "cache": true }))],
        "groups": { "default": { "deployments": ["dummy::e"] } },
        "cache": {},
    }));
    let embed = async |texts: Value, late: bool| {
        let body = json!({ "input": texts, "late_chunking": late }).to_string();
        let request = Embeddings::request(Body::parse(&body).unwrap()).unwrap();
        let answer = router.invoke("default", request, InvokeOptions::default()).await.unwrap();
        (answer.cache, answer.vectors().len())
    };
    assert_eq!(embed(json!(["a", "b"]), true).await, (CacheStatus::Miss, 2));
    assert_eq!(embed(json!(["a", "b"]), true).await, (CacheStatus::Memory, 2));
    assert_eq!(embed(json!(["b", "a"]), true).await, (CacheStatus::Miss, 2));
    assert_eq!(embed(json!(["a"]), true).await, (CacheStatus::Miss, 1));
    assert_eq!(embed(json!(["a", "b"]), false).await, (CacheStatus::Miss, 2));
    assert_eq!(embed(json!(["b", "a"]), false).await, (CacheStatus::Memory, 2));
}
