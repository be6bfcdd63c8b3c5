//! That a defect costs more than the one call that met it: a permit that is never given back, a probe that nobody may
//! repeat, a line that nobody moves on, a router that cannot be closed.

mod dummies;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use dummies::{ask, request, router, router_of};
use futures_util::future::join_all;
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use thryd::fields::Fields;
use thryd::kinds::{Completion, EmbeddingRequest, Embeddings, Usage};
use thryd::options::{DeployOptions, InvokeOptions, OnInterrupt, StreamOptions};
use thryd::provider::{BatchLimit, Call, Outgoing, Provider, Reply};
use thryd::route::{Answer, Batch, CompletionStream, Router};
use thryd::{Error, Result};
use tokio::time::sleep;

/// Where a provider has its defect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Supports,
    Write,
    Answer,
    /// After the first event of a stream.
    Event,
    Charged,
    Cacheable,
    Batch,
    /// When its answer is cancelled.
    Drop,
}

/// A provider that panics the first times that it comes to its place, and answers after that: 10 ms later.
#[derive(Debug)]
struct Defective {
    place: Place,
    left: Arc<AtomicU32>,
    /// Fails in this way, before it comes to any place.
    failures: AtomicU32,
}

impl Defective {
    fn new(place: Place, times: u32) -> Arc<Self> {
        Arc::new(Self { place, left: Arc::new(AtomicU32::new(times)), failures: AtomicU32::new(0) })
    }

    fn at(&self, place: Place) {
        panic_at(self.place, place, &self.left);
    }
}

fn panic_at(wanted: Place, place: Place, left: &AtomicU32) {
    assert!(wanted != place || !take(left), "a defect in {place:?}");
}

/// What a defective answer holds.
struct Defect {
    place: Place,
    left: Arc<AtomicU32>,
}

impl Defect {
    fn at(&self, place: Place) {
        panic_at(self.place, place, &self.left);
    }
}

impl Drop for Defect {
    fn drop(&mut self) {
        // Two panics at once would end the process.
        if !std::thread::panicking() {
            self.at(Place::Drop);
        }
    }
}

fn take(count: &AtomicU32) -> bool {
    count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
}

impl Provider for Defective {
    fn name(&self) -> &'static str {
        "mine"
    }

    fn supports(&self, _kind: &str) -> bool {
        self.at(Place::Supports);
        true
    }

    fn write(&self, call: &Call<'_>) -> Result<Outgoing> {
        if take(&self.failures) {
            let failure = thryd::error::Failure::new(thryd::error::FailureClass::Transient, "not now");
            return Ok(Outgoing::Local(Box::pin(async { Err(failure) })));
        }
        self.at(Place::Write);
        let (is_stream, is_embedding) = (call.is_stream, call.kind == "embedding");
        let defect = Defect { place: self.place, left: Arc::clone(&self.left) };
        Ok(Outgoing::Local(Box::pin(async move {
            defect.at(Place::Answer);
            sleep(Duration::from_millis(10)).await;
            if is_embedding {
                let vectors =
                    r#"{"data":[{"index":0,"embedding":[1.0]}],"usage":{"prompt_tokens":1,"total_tokens":1}}"#;
                return Ok(Reply::Whole(vectors.into()));
            }
            if !is_stream {
                let answer = r#"{"choices":[{"message":{"content":"one two"},"finish_reason":"stop"}]}"#;
                return Ok(Reply::Whole(answer.into()));
            }
            let first = r#"{"choices":[{"delta":{"content":"one "},"finish_reason":null}]}"#.to_owned();
            let last = r#"{"choices":[{"delta":{"content":"two"},"finish_reason":"stop"}]}"#.to_owned();
            let rest = stream::once(async move {
                sleep(Duration::from_millis(10)).await;
                defect.at(Place::Event);
                Ok(last)
            });
            Ok(Reply::Events(Box::pin(stream::once(async move { Ok(first) }).chain(rest))))
        })))
    }

    fn charged_tokens(&self, usage: &Usage) -> u64 {
        self.at(Place::Charged);
        usage.total_tokens
    }

    fn is_cacheable(&self) -> bool {
        self.at(Place::Cacheable);
        true
    }

    fn batch_limit(&self, _kind: &str) -> BatchLimit {
        self.at(Place::Batch);
        BatchLimit { inputs: 1, tokens: 1000 }
    }
}

/// A router with a cache and one deployment of this provider, which takes one request at a time.
fn routed(provider: &Arc<Defective>) -> Router<Completion> {
    routed_with(provider, json!({ "cache": {} }))
}

fn routed_with(provider: &Arc<Defective>, options: Value) -> Router<Completion> {
    let router = router(options);
    router.add(Arc::clone(provider) as Arc<dyn Provider>);
    router.deploy("default", "mine::m", one_at_a_time()).unwrap();
    router
}

fn one_at_a_time() -> DeployOptions {
    DeployOptions::read(Fields::new("deploy options", json!({ "maxConcurrent": 1 })).unwrap()).unwrap()
}

/// Nothing is held, the next caller is served, and the router can be closed.
async fn expect_sound(router: &Router<Completion>) {
    // What was cancelled is dropped by its task.
    tokio::task::yield_now().await;
    let stats = router.stats();
    assert_eq!((stats.in_flight, stats.waiting), (0, 0));
    assert_eq!(stats.groups["default"].deployments[0].in_flight, 0);
    assert_eq!(ask(router, "and now?").await.unwrap().content, "one two");
    tokio::time::timeout(Duration::from_secs(1), router.close()).await.expect("it can be closed").unwrap();
}

fn expect_bug(error: &Error, place: impl fmt::Debug) {
    assert_eq!(error.code(), "ERR_BUG", "{error}");
    assert!(error.to_string().contains(&format!("a defect in {place:?}")), "{error}");
    assert!(!error.is_retryable());
}

/// Reads a stream to its end: what it said, and how it ended.
async fn read(stream: &CompletionStream) -> (usize, Result<Answer<Completion>>) {
    let mut chunks = 0;
    loop {
        match stream.next().await.expect("an end before the silence") {
            Ok(Batch::Chunks(some)) => chunks += some.len(),
            Ok(Batch::End(answer)) => return (chunks, Ok(*answer)),
            Err(error) => return (chunks, Err(error)),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_anywhere_in_an_attempt_fails_that_call_alone() {
    for place in [Place::Write, Place::Answer, Place::Charged, Place::Cacheable] {
        let router = routed(&Defective::new(place, 1));
        expect_bug(&ask(&router, "hi").await.unwrap_err(), place);
        expect_sound(&router).await;
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_joined_the_call_is_told_as_well_and_whoever_waits_behind_it_is_served() {
    for place in [Place::Write, Place::Answer, Place::Charged] {
        let provider = Defective::new(place, 0);
        let router = routed(&provider);
        // The cache is open from here on, so that calls come to the line in their order.
        assert!(ask(&router, "the first").await.is_ok());
        provider.left.store(1, Ordering::Relaxed);
        let joined = join_all((0..5).map(|_| ask(&router, "the same")));
        let texts: Vec<_> = (0..5).map(|number| format!("another {number}")).collect();
        let others = join_all(texts.iter().map(|text| ask(&router, text)));
        let (joined, others) = tokio::join!(joined, others);
        joined.into_iter().for_each(|result| expect_bug(&result.unwrap_err(), place));
        others.into_iter().for_each(|result| assert_eq!(result.unwrap().content, "one two"));
        expect_sound(&router).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_a_stream_ends_it_with_what_was_said_before() {
    for on_interrupt in [OnInterrupt::Error, OnInterrupt::Restart] {
        for (place, before) in [(Place::Answer, 0), (Place::Event, 1), (Place::Charged, 2)] {
            let router = routed(&Defective::new(place, 1));
            let options = StreamOptions { on_interrupt, ..StreamOptions::default() };
            let stream = router.stream("default", &request("hi"), options).unwrap();
            let (chunks, end) = read(&stream).await;
            assert_eq!(chunks, before, "{place:?}");
            expect_bug(&end.unwrap_err(), place);
            assert!(stream.next().await.is_none(), "it has ended");
            expect_sound(&router).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_panics_leaves_the_probing_to_the_next() {
    let provider = Defective::new(Place::Answer, 1);
    provider.failures.store(3, Ordering::Relaxed);
    let router = routed_with(&provider, json!({ "retry": { "maxRetries": 0, "cooldownMs": 100 } }));
    for _ in 0..3 {
        assert_eq!(ask(&router, "hi").await.unwrap_err().code(), "ERR_PROVIDER");
    }
    assert!(router.stats().groups["default"].deployments[0].rest_ms > 0.0, "it rests");
    sleep(Duration::from_millis(200)).await;
    expect_bug(&ask(&router, "hi").await.unwrap_err(), Place::Answer);
    let started = tokio::time::Instant::now();
    expect_sound(&router).await;
    assert!(started.elapsed() < Duration::from_millis(50), "nobody waits for a probe that is gone");
}

#[tokio::test(start_paused = true)]
async fn a_panic_while_a_call_is_cancelled_gives_back_what_it_held() {
    let router = routed(&Defective::new(Place::Drop, 1));
    let call = tokio::time::timeout(Duration::from_millis(5), ask(&router, "hi"));
    assert!(call.await.is_err(), "it is under way, and left");
    expect_sound(&router).await;
}

#[tokio::test(start_paused = true)]
async fn a_panic_while_parts_are_batched_fails_every_part_and_the_next_call_is_answered() {
    let router = router_of::<Embeddings>(json!({ "cache": {} }));
    router.add(Defective::new(Place::Batch, 1));
    router.deploy("default", "mine::m", DeployOptions::default()).unwrap();
    let embed = |texts: &[&str]| {
        let router = router.clone();
        let input = EmbeddingRequest::input(texts.iter().copied());
        async move { router.invoke("default", input, InvokeOptions::default()).await }
    };
    let within = |call| tokio::time::timeout(Duration::from_secs(1), call);
    let error = within(embed(&["a", "b"])).await.expect("nobody waits for a batch that is never made").unwrap_err();
    assert_eq!(error.code(), "ERR_BUG", "{error}");
    let stats = router.stats();
    assert_eq!((stats.in_flight, stats.waiting), (0, 0));
    assert_eq!(within(embed(&["a", "b"])).await.unwrap().unwrap().vectors().len(), 2);
    tokio::time::timeout(Duration::from_secs(1), router.close()).await.expect("it can be closed").unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_panic_while_the_router_is_changed_leaves_it_as_it_was() {
    let router = routed(&Defective::new(Place::Write, 0));
    let replaced = catch_unwind(AssertUnwindSafe(|| router.add(Defective::new(Place::Supports, 1))));
    assert!(replaced.is_err());
    assert_eq!(ask(&router, "hi").await.unwrap().content, "one two");
    router.add(Defective::new(Place::Write, 0));
    expect_sound(&router).await;
}
