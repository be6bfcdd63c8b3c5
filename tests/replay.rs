//! Fears about a test suite that answers from the cache: that it sends, that a miss does not say what was changed, and that
//! it says too much.

mod dummies;

use std::path::Path;

use dummies::{ask_with, dummy, request, router, router_of};
use serde_json::{Value, json};
use thryd::Kind;
use thryd::kinds::{Body, Completion, CompletionRequest, Embeddings};
use thryd::options::{CacheUse, InvokeOptions};
use thryd::route::{CacheStatus, Router};

/// A router on this file whose dummy answers are kept.
fn on(path: &Path, mode: &str, model: &str) -> Router<Completion> {
    router(options(path, mode, model))
}

fn options(path: &Path, mode: &str, model: &str) -> Value {
    json!({
        "providers": [dummy("dummy", json!({ "cache": true }))],
        "groups": { "default": { "deployments": [format!("dummy::{model}")] } },
        "cache": { "path": path, "mode": mode },
    })
}

async fn record(path: &Path, requests: impl IntoIterator<Item = CompletionRequest>) {
    let recording = on(path, "record", "m");
    for request in requests {
        recording.invoke("default", request, InvokeOptions::default()).await.unwrap();
    }
    recording.close().await.unwrap();
}

/// What a replaying router says to a request.
async fn miss(router: &Router<Completion>, request: CompletionRequest) -> String {
    let error = router.invoke("default", request, InvokeOptions::default()).await.unwrap_err();
    assert_eq!(error.code(), "ERR_NOT_CACHED");
    assert!(error.attempts().is_empty(), "nothing was sent");
    error.to_string()
}

#[tokio::test]
async fn a_recording_that_is_not_written_yet_is_compared_with_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fixtures.thryd");
    // Both share what is in memory, which does not say what was asked.
    let (recording, replaying) = (on(&path, "record", "m"), on(&path, "replay", "m"));
    miss(&replaying, request("Hi")).await;
    for temperature in [0.5, 0.7] {
        let asked = request("Hi").set("temperature", temperature);
        recording.invoke("default", asked, InvokeOptions::default()).await.unwrap();
    }
    let text = miss(&replaying, request("Hi").set("temperature", 0.8)).await;
    assert!(text.contains("The nearest of 2 stored differs in: temperature: 0.7 is stored, 0.8 was asked"), "{text}");
}

#[tokio::test]
async fn a_miss_names_the_fields_in_which_the_nearest_recording_differs() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fixtures.thryd");
    let long = |word: &str| request(&word.repeat(200));
    record(&path, [long("What is "), long("Where is ").set("temperature", 0.7).set("seed", 1), request("Hi")]).await;
    let replaying = on(&path, "replay", "m");
    let start = format!("group \"default\": this request is not in the cache ({})", path.display());
    assert_eq!(
        miss(&replaying, long("Where is ").set("temperature", 0.8)).await,
        format!(
            "{start}. The nearest of 3 stored differs in: temperature: 0.7 is stored, 0.8 was asked; \
             seed: 1 is stored, asked without it"
        )
    );
    let text = miss(&replaying, long("Where was ")).await;
    let expected = "messages[0].content: \"What is What is What is What i…\" (1,600 bytes) is stored, \
                    \"Where was Where was Where was \u{2026}\" (2,000 bytes) was asked";
    assert!(text.ends_with(expected), "{text}");
    let hit = replaying.invoke("default", long("What is "), InvokeOptions::default()).await.unwrap();
    assert_eq!(hit.cache, CacheStatus::Disk);
    assert_eq!(replaying.stats().groups["default"].deployments[0].succeeded, 0);
}

#[tokio::test]
async fn no_more_than_five_differences_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c");
    record(&path, [request("Hi")]).await;
    let asked = (0..9).fold(request("Hi"), |request, number| request.set(&format!("x{number}"), "y".repeat(1000)));
    let text = miss(&on(&path, "replay", "m"), asked).await;
    assert!(text.ends_with("; and 4 more") && text.matches("stored without it").count() == 5, "{text}");
    assert!(text.len() < 1000, "{text}");
}

#[tokio::test]
async fn another_model_is_what_is_told_if_that_is_all() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c");
    record(&path, [request("Hi")]).await;
    let text = miss(&on(&path, "replay", "n"), request("Hi")).await;
    let expected =
        ". The one that is stored differs in: the group's models: [\"dummy::m\"] is stored, [\"dummy::n\"] was asked";
    assert!(text.ends_with(expected), "{text}");
}

#[tokio::test]
async fn of_another_tenants_requests_nothing_is_told_but_that_this_one_is_among_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c");
    let recording = on(&path, "record", "m");
    ask_with(&recording, "a secret plan", json!({ "namespace": "a" })).await.unwrap();
    recording.close().await.unwrap();
    let replaying = on(&path, "replay", "m");
    let told =
        async |text: &str| ask_with(&replaying, text, json!({ "namespace": "b" })).await.unwrap_err().to_string();
    let other = told("a secret plot").await;
    assert!(other.ends_with(", where nothing is stored that it could be compared with"), "{other}");
    let same = told("a secret plan").await;
    assert!(same.ends_with(". The same request is stored in another namespace"), "{same}");
}

#[tokio::test]
async fn a_recording_that_has_expired_is_said_to_have() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c");
    let recording = on(&path, "record", "m");
    ask_with(&recording, "hi", json!({ "cacheTtlMs": 1 })).await.unwrap();
    recording.close().await.unwrap();
    // The millisecond has to pass.
    let end = thryd::cache::now_ms() + 1;
    while thryd::cache::now_ms() <= end {
        tokio::task::yield_now().await;
    }
    let text = miss(&on(&path, "replay", "m"), request("hi")).await;
    assert!(text.ends_with(". The same request is stored, but its answer has expired"), "{text}");
}

#[tokio::test]
async fn the_part_of_an_embedding_that_is_missing_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c");
    let embed = async |router: &Router<Embeddings>, texts: Value| {
        let request = Embeddings::request(Body::parse(&json!({ "input": texts }).to_string()).unwrap()).unwrap();
        router.invoke("default", request, InvokeOptions::default()).await
    };
    let recording: Router<Embeddings> = router_of(options(&path, "record", "e"));
    embed(&recording, json!(["red", "blue"])).await.unwrap();
    recording.close().await.unwrap();
    let replaying: Router<Embeddings> = router_of(options(&path, "replay", "e"));
    assert_eq!(embed(&replaying, json!(["blue", "red"])).await.unwrap().vectors().len(), 2);
    let error = embed(&replaying, json!(["blue", "redder"])).await.unwrap_err().to_string();
    let expected = ". The nearest of 2 stored differs in: input[0]: \"red\" is stored, \"redder\" was asked";
    assert!(error.ends_with(expected), "{error}");
}

#[tokio::test]
async fn a_call_that_only_wants_what_is_cached_is_told_so_without_a_search() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c");
    let router = on(&path, "record", "m");
    ask_with(&router, "Hi", json!({})).await.unwrap();
    let options = InvokeOptions { cache: CacheUse::OnlyIfCached, ..InvokeOptions::default() };
    let error = router.invoke("default", request("Hi!"), options).await.unwrap_err();
    assert_eq!(error.to_string(), "group \"default\": this request is not in the cache");
}
