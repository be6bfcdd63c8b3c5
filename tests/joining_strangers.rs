//! Fears about equal calls that differ in all that the key leaves out: clocks, priority, group, company. What one of them
//! wants, may or suffers must not become another's.

mod dummies;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use dummies::{ask, dummy, request, router, router_of};
use serde_json::{Value, json};
use thryd::Result;
use thryd::cache::{Cache, CacheOptions};
use thryd::error::FailureClass;
use thryd::kinds::{Completion, EmbeddingRequest, Embeddings};
use thryd::options::{CacheUse, DeployOptions, InvokeOptions, RouterOptions, StreamOptions, Timeouts};
use thryd::provider::{CustomCall, CustomHandler, CustomProvider, LocalFuture, Reply};
use thryd::route::{Answer, Batch, CacheStatus, CompletionStream, Router};
use tokio::time::{Instant, sleep, timeout};

fn slow(text: &str, ms: u64) -> Value {
    json!({ "responses": [text], "repeat": true, "latencyMs": ms })
}

async fn read(stream: &CompletionStream) -> Result<Answer<Completion>> {
    loop {
        match stream.next().await.expect("an end") {
            Ok(Batch::Chunks(_)) => {}
            Ok(Batch::End(answer)) => return Ok(*answer),
            Err(error) => return Err(error),
        }
    }
}

fn first_token(ms: u64) -> InvokeOptions {
    let timeouts = Timeouts { first_token: Some(Duration::from_millis(ms)), ..Timeouts::default() };
    InvokeOptions { timeouts: Some(timeouts), ..InvokeOptions::default() }
}

async fn ask_in(router: &Router<Completion>, group: &str, options: InvokeOptions) -> Result<Answer<Completion>> {
    router.invoke(group, request("same"), options).await
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_joins_another_call_is_woken_by_it() {
    let router = router(json!({
        "providers": [dummy("a", slow("late", 200))],
        "groups": { "default": { "deployments": ["a::m"] } },
    }));
    let hasty =
        router.stream("default", &request("same"), StreamOptions { invoke: first_token(50), ..Default::default() });
    let patient = router.stream("default", &request("same"), StreamOptions::default()).unwrap();
    let hasty = hasty.unwrap();
    // Tasks of their own, as the addon has them: a wake-up of one must not poll the other.
    let hasty = tokio::spawn(async move { read(&hasty).await });
    let patient = tokio::spawn(async move { read(&patient).await });
    let hasty = hasty.await.unwrap();
    let patient =
        timeout(Duration::from_secs(3600), patient).await.expect("an hour has passed: nobody woke it").unwrap();
    assert!(hasty.is_err());
    assert_eq!(patient.unwrap().content, "late");
}

#[tokio::test(start_paused = true)]
async fn two_short_clocks_of_the_starter_are_not_the_clocks_of_the_others() {
    let router = router(json!({
        "providers": [dummy("a", slow("late", 200)), dummy("b", slow("late", 200))],
        "groups": { "default": { "deployments": ["a::m", "b::m"] } },
    }));
    let (hasty, patient) =
        tokio::join!(ask_in(&router, "default", first_token(50)), ask_in(&router, "default", InvokeOptions::default()));
    assert!(hasty.is_err());
    assert_eq!(patient.unwrap().content, "late");
}

/// Two groups of one deployment, which refuses its key; `loose` has a fallback, `strict` has none. What both say to one
/// question, asked in this order.
async fn loose_and_strict(groups: [&str; 2]) -> [std::result::Result<String, String>; 2] {
    let refusal = json!({ "error": { "status": 401, "message": "no" } });
    let router = router(json!({
        "providers": [
            dummy("x", json!({ "responses": [refusal], "repeat": true, "latencyMs": 100 })),
            dummy("y", slow("fallback", 10)),
        ],
        "groups": {
            "other": { "deployments": ["y::cheap"] },
            "loose": { "deployments": ["x::m"], "fallbacks": ["other"] },
            "strict": { "deployments": ["x::m"] },
        },
    }));
    let ask = async |group| {
        let answer = ask_in(&router, group, InvokeOptions::default()).await;
        answer.map(|answer| answer.deployment).map_err(|error| error.code().to_owned())
    };
    tokio::join!(ask(groups[0]), ask(groups[1])).into()
}

#[tokio::test(start_paused = true)]
async fn groups_take_no_fallback_from_each_other_and_no_failure_whoever_came_first() {
    let (loose, strict) = (Ok("y::cheap".to_owned()), Err("ERR_PROVIDER".to_owned()));
    assert_eq!(loose_and_strict(["loose", "strict"]).await, [loose.clone(), strict.clone()]);
    assert_eq!(loose_and_strict(["strict", "loose"]).await, [strict, loose]);
}

#[tokio::test(start_paused = true)]
async fn a_dead_deployment_of_one_group_fails_no_call_of_another() {
    let router = router(json!({
        "providers": [
            dummy("dead", json!({ "responses": [{ "error": { "status": 401, "message": "no" } }], "repeat": true, "latencyMs": 100 })),
            dummy("well", slow("well", 10)),
        ],
        "groups": {
            "one": { "deployments": [{ "model": "dead::m", "cacheAs": "m" }] },
            "two": { "deployments": [{ "model": "well::m", "cacheAs": "m" }] },
        },
    }));
    let (one, two) = tokio::join!(
        ask_in(&router, "one", InvokeOptions::default()),
        ask_in(&router, "two", InvokeOptions::default())
    );
    assert!(one.is_err());
    assert_eq!(two.map(|answer| answer.deployment).map_err(|error| error.to_string()), Ok("well::m".to_owned()));
}

/// Refuses whatever contains "BAD", after a while.
struct Picky;

impl CustomHandler for Picky {
    fn call(&self, call: CustomCall) -> LocalFuture {
        let body: Value = serde_json::from_str(&call.body_json).unwrap();
        Box::pin(async move {
            sleep(Duration::from_millis(50)).await;
            let texts = body["input"].as_array().cloned().unwrap_or_default();
            if texts.iter().any(|text| text == "BAD") {
                return Err(thryd::error::Failure::new(FailureClass::Rejected, "the text is refused"));
            }
            let vectors: Vec<_> = texts.iter().map(|_| json!([1.0, 2.0])).collect();
            Ok(Reply::Whole(Bytes::from(Value::from(vectors).to_string())))
        })
    }
}

#[tokio::test(start_paused = true)]
async fn a_bad_text_of_one_caller_fails_no_good_text_of_another() {
    let router: Router<Embeddings> =
        Router::new(RouterOptions::read(thryd::fields::Fields::new("router options", json!({})).unwrap()).unwrap())
            .unwrap();
    router.add(Arc::new(CustomProvider::new("mine", ["embedding"], Arc::new(Picky)).unwrap()));
    router.deploy("default", "mine::m", DeployOptions::default()).unwrap();
    let embed = |texts: &[&'static str]| {
        router.invoke("default", EmbeddingRequest::input(texts.to_vec()), InvokeOptions::default())
    };
    assert!(embed(&["good"]).await.is_ok(), "alone it is embedded");
    let (both, good) = tokio::join!(embed(&["good", "BAD"]), embed(&["good"]));
    assert!(both.is_err());
    assert_eq!(good.map(|_| ()).map_err(|error| error.to_string()), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn who_will_not_wait_in_line_does_not_wait_for_another_who_will() {
    let router = router(json!({
        "providers": [dummy("a", slow("answer", 20_000))],
        "groups": { "default": { "deployments": [{ "model": "a::m", "maxConcurrent": 1 }] } },
    }));
    let begun = Instant::now();
    let busy = router.invoke("default", request("other"), InvokeOptions::default());
    let hasty = Timeouts { queue: Duration::ZERO, ..Timeouts::default() };
    let calls = async {
        tokio::task::yield_now().await;
        let hasty = async {
            tokio::task::yield_now().await;
            let options = InvokeOptions { timeouts: Some(hasty), ..InvokeOptions::default() };
            let outcome = ask_in(&router, "default", options).await;
            (outcome.map(|_| ()).map_err(|error| error.code()), begun.elapsed())
        };
        tokio::join!(ask_in(&router, "default", InvokeOptions::default()), hasty)
    };
    let (_, (patient, (hasty, after))) = tokio::join!(busy, calls);
    assert!(patient.is_ok());
    assert!(after < Duration::from_secs(1), "queueMs 0 waited {after:?} and got {hasty:?}");
}

#[tokio::test(start_paused = true)]
async fn who_gives_up_after_50_ms_without_a_token_does_so_also_when_it_has_joined() {
    let router = router(json!({
        "providers": [dummy("a", slow("late", 20_000))],
        "groups": { "default": { "deployments": ["a::m"] } },
    }));
    let begun = Instant::now();
    let hasty = async { (ask_in(&router, "default", first_token(50)).await.map(|_| ()), begun.elapsed()) };
    let (patient, (hasty, after)) = tokio::join!(ask_in(&router, "default", InvokeOptions::default()), hasty);
    assert!(patient.is_ok());
    assert!(
        after < Duration::from_secs(1),
        "firstTokenMs 50 waited {after:?} and got {:?}",
        hasty.map_err(|error| error.code())
    );
}

#[tokio::test(start_paused = true)]
async fn an_urgent_call_that_joins_goes_first_as_well() {
    let router = router(json!({
        "providers": [dummy("a", slow("answer", 1_000))],
        "groups": { "default": { "deployments": [{ "model": "a::m", "maxConcurrent": 1 }] } },
    }));
    let begun = Instant::now();
    let mut crowd: Vec<_> = (0..10)
        .map(|number| {
            let router = router.clone();
            tokio::spawn(async move { ask(&router, &format!("other {number}")).await.map(|_| ()) })
        })
        .collect();
    sleep(Duration::from_millis(10)).await;
    let lazy = router.clone();
    crowd.push(tokio::spawn(async move { ask(&lazy, "same").await.map(|_| ()) }));
    sleep(Duration::from_millis(10)).await;
    let options = InvokeOptions { priority: 10, ..InvokeOptions::default() };
    ask_in(&router, "default", options).await.unwrap();
    let after = begun.elapsed();
    assert!(after < Duration::from_secs(3), "priority 10 waited {after:?} behind ten calls of priority 0");
}

#[tokio::test(start_paused = true)]
async fn the_vectors_of_one_answer_are_of_one_model() {
    let responses =
        |number: f64| json!({ "responses": [[[number, number]], [[number, number], [number, number]]], "cache": true });
    let router: Router<Embeddings> = router_of(json!({
        "providers": [dummy("a", responses(1.0)), dummy("b", responses(2.0))],
        "groups": { "default": { "strategy": "round-robin", "deployments": ["a::m", "b::other-model"] } },
        "cache": {},
    }));
    let embed = |texts: &[&'static str]| {
        router.invoke("default", EmbeddingRequest::input(texts.to_vec()), InvokeOptions::default())
    };
    let (one, two) = (embed(&["x"]).await.unwrap().deployment.clone(), embed(&["y"]).await.unwrap().deployment.clone());
    assert_ne!(one, two);
    let both = embed(&["x", "y"]).await.unwrap();
    let vectors = both.vectors();
    assert_eq!(vectors[0], vectors[1], "{} is said to have given both", both.deployment);
}

#[tokio::test(start_paused = true)]
async fn a_call_ends_when_all_who_are_left_were_told_that_it_is_over() {
    let cut =
        json!({ "responses": ["one two three four"], "repeat": true, "tokenIntervalMs": 10, "faults": { "cut": 1 } });
    let router = router(json!({
        "providers": [dummy("a", cut), dummy("b", slow("answer", 100_000))],
        "groups": { "default": { "strategy": "first-available", "deployments": ["a::m", "b::m"] } },
    }));
    let strict = router.stream("default", &request("same"), StreamOptions::default()).unwrap();
    let whole = router.clone();
    let whole = tokio::spawn(async move { ask(&whole, "same").await.map(|_| ()) });
    sleep(Duration::from_secs(1)).await;
    whole.abort();
    sleep(Duration::from_secs(1)).await;
    let in_flight = router.stats().groups["default"].deployments[1].in_flight;
    assert_eq!(in_flight, 0, "b is asked for nobody");
    drop(strict);
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_is_everybodys_is_run_into_by_one_call() {
    for retries in [0, 3] {
        let limited = json!({ "error": { "status": 429, "message": "slow down", "retryAfterMs": 1_000 } });
        let router = router(json!({
            "providers": [dummy("a", json!({ "responses": [limited], "repeat": true, "latencyMs": 10 }))],
            "groups": { "default": { "deployments": ["a::m"] } },
            "retry": { "maxRetries": retries },
        }));
        let calls = (0..200).map(|_| ask(&router, "same"));
        let outcomes = futures_util::future::join_all(calls).await;
        assert!(outcomes.iter().all(Result::is_err));
        let asked = router.stats().groups["default"].deployments[0].failed;
        assert!(asked <= 1 + retries, "asked {asked} times where one call asks {}", 1 + retries);
    }
}

#[tokio::test(start_paused = true)]
async fn equal_calls_over_an_own_limit_fail_together() {
    let router = router(json!({
        "providers": [dummy("a", json!({ "responses": ["x"], "repeat": true }))],
        "groups": { "default": { "deployments": [{ "model": "a::m", "rpm": 1 }] } },
    }));
    ask(&router, "first").await.unwrap();
    let timeouts = Timeouts { queue: Duration::from_secs(1), ..Timeouts::default() };
    let options = || InvokeOptions { timeouts: Some(timeouts), ..InvokeOptions::default() };
    let outcomes = futures_util::future::join_all((0..50).map(|_| ask_in(&router, "default", options()))).await;
    assert!(outcomes.iter().all(|outcome| outcome.as_ref().is_err_and(|error| error.code() == "ERR_RATE_LIMITED")));
}

#[tokio::test(start_paused = true)]
async fn what_one_joins_counts_as_one_call_that_joined() {
    let router: Router<Embeddings> = router_of(json!({
        "providers": [dummy("a", json!({ "latencyMs": 10, "cache": true }))],
        "groups": { "default": { "deployments": ["a::m"] } },
        "cache": {},
    }));
    ask_embeddings(&router, &["warm"]).await;
    tokio::join!(ask_embeddings(&router, &["a", "b", "c"]), ask_embeddings(&router, &["a", "b", "c"]));
    assert_eq!(router.stats().cache.unwrap().joined, 1, "calls that shared the call of an equal request");
}

async fn ask_embeddings(router: &Router<Embeddings>, texts: &[&'static str]) {
    router.invoke("default", EmbeddingRequest::input(texts.to_vec()), InvokeOptions::default()).await.unwrap();
}

/// A stream that pauses between its words for longer than a hasty caller allows.
#[tokio::test(start_paused = true)]
async fn the_impatience_of_the_one_who_started_it_interrupts_no_other() {
    let router = router(json!({
        "providers": [dummy("a", json!({ "responses": ["one two three"], "repeat": true, "tokenIntervalMs": 50 }))],
        "groups": { "default": { "deployments": ["a::m"] } },
    }));
    let hasty = Timeouts { idle: Duration::from_millis(10), ..Timeouts::default() };
    let invoke = InvokeOptions { timeouts: Some(hasty), ..InvokeOptions::default() };
    let hasty = router.stream("default", &request("same"), StreamOptions { invoke, ..Default::default() }).unwrap();
    let patient = router.stream("default", &request("same"), StreamOptions::default()).unwrap();
    let (_, patient) = tokio::join!(read(&hasty), read(&patient));
    assert_eq!(patient.unwrap().content, "one two three");
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_shared_ends_with_its_own_total_time_however_fast_the_others_are_told() {
    let words = vec!["word"; 400].join(" ");
    let router = router(json!({
        "providers": [dummy("a", json!({ "responses": [words], "repeat": true, "tokenIntervalMs": 5 }))],
        "groups": { "default": { "deployments": ["a::m"] } },
    }));
    let hasty = Timeouts { total: Some(Duration::from_millis(500)), ..Timeouts::default() };
    let invoke = InvokeOptions { timeouts: Some(hasty), ..InvokeOptions::default() };
    let hasty = router.stream("default", &request("same"), StreamOptions { invoke, ..Default::default() }).unwrap();
    let patient = router.stream("default", &request("same"), StreamOptions::default()).unwrap();
    let begun = Instant::now();
    let hasty = async { (read(&hasty).await, begun.elapsed()) };
    let ((hasty, after), patient) = tokio::join!(hasty, read(&patient));
    assert_eq!(hasty.unwrap_err().code(), "ERR_TIMEOUT");
    assert!(after < Duration::from_millis(550), "{after:?}");
    assert_eq!(patient.unwrap().content, words);
}

/// Answers "old" after a while to the first who asks, "new" at once to the next.
fn overtaken() -> Router<Completion> {
    let script = |text: &str, ms: u64| json!({ "responses": [text], "repeat": true, "latencyMs": ms, "cache": true });
    router(json!({
        "providers": [dummy("slow", script("old", 1_000)), dummy("quick", script("new", 10))],
        "groups": { "default": { "strategy": "round-robin", "deployments": ["slow::m", "quick::m"] } },
        "cache": {},
    }))
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_was_asked_for_earlier_does_not_replace_one_that_is_newer() {
    let router = overtaken();
    let now = Arc::new(AtomicU64::new(0));
    let clock = Arc::clone(&now);
    router.mount_cache(Cache::open_with_clock(CacheOptions::default(), move || clock.load(Ordering::SeqCst)).unwrap());
    let early = ask_in(&router, "default", InvokeOptions::default());
    let late = async {
        sleep(Duration::from_millis(100)).await;
        now.store(100, Ordering::SeqCst);
        let options = InvokeOptions { cache: CacheUse::Reload, ..InvokeOptions::default() };
        ask_in(&router, "default", options).await
    };
    let (early, late) = tokio::join!(early, late);
    assert_eq!((early.unwrap().content.as_str(), late.unwrap().content.as_str()), ("old", "new"));
    let next = ask_in(&router, "default", InvokeOptions::default()).await.unwrap();
    assert_eq!((next.content.as_str(), next.cache), ("new", CacheStatus::Memory));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_was_asked_for_before_all_was_cleared_is_not_kept() {
    let router = overtaken();
    let early = ask_in(&router, "default", InvokeOptions::default());
    let clear = async {
        sleep(Duration::from_millis(500)).await;
        router.cache().unwrap().clear(None).await.unwrap();
    };
    let (early, ()) = tokio::join!(early, clear);
    assert_eq!(early.unwrap().content, "old");
    assert_eq!(router.stats().cache.unwrap().entries, 0);
}
