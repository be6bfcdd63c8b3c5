//! Fears about joining, seen from the router: that a question is paid for twice, that a late reader misses something, that
//! one caller's leaving, clock, pace or wish costs another its answer.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use thryd::error::Phase;
use thryd::fields::Fields;
use thryd::kinds::{Chunk, Completion, CompletionRequest};
use thryd::options::{CacheUse, InvokeOptions, OnInterrupt, RouterOptions, StreamOptions, Timeouts};
use thryd::route::{Answer, Batch, CacheStatus, CompletionStream, Poll, Router};
use thryd::{ErrorKind, Result};
use tokio::time::{Instant, sleep};

/// A router with these dummies, tried in their order.
fn router(dummies: &[Value]) -> Router<Completion> {
    let names = ["a", "b", "c"];
    let dummy = |(name, options): (&&str, &Value)| json!({ "type": "dummy", "name": name, "dummy": options });
    let providers: Vec<_> = names.iter().zip(dummies).map(dummy).collect();
    let deployments: Vec<_> = names.iter().zip(dummies).map(|(name, _)| format!("{name}::m")).collect();
    let groups = json!({ "default": { "strategy": "first-available", "deployments": deployments } });
    let options = json!({ "providers": providers, "groups": groups, "retry": { "baseDelayMs": 1 } });
    Router::new(RouterOptions::read(Fields::new("router options", options).unwrap()).unwrap()).unwrap()
}

/// Says a word every 10 ms.
fn talking(text: &str) -> Value {
    json!({ "responses": [text], "repeat": true, "tokenIntervalMs": 10 })
}

fn hi() -> CompletionRequest {
    CompletionRequest::message("hi")
}

fn begin(router: &Router<Completion>, options: StreamOptions) -> CompletionStream {
    router.stream("default", &hi(), options).unwrap()
}

async fn ask(router: &Router<Completion>, timeouts: Timeouts) -> Result<Answer<Completion>> {
    let options = InvokeOptions { timeouts: Some(timeouts), ..InvokeOptions::default() };
    router.invoke("default", hi(), options).await
}

fn restarting() -> StreamOptions {
    StreamOptions { on_interrupt: OnInterrupt::Restart, ..StreamOptions::default() }
}

fn total(milliseconds: u64) -> Timeouts {
    Timeouts { total: Some(Duration::from_millis(milliseconds)), ..Timeouts::default() }
}

/// Reads to the end: what the reader has, minding restarts, and how it ended.
async fn read(stream: &CompletionStream) -> (String, Result<Answer<Completion>>) {
    read_on(String::new(), stream).await
}

/// The same for a reader who has this already.
async fn read_on(mut text: String, stream: &CompletionStream) -> (String, Result<Answer<Completion>>) {
    loop {
        match stream.next().await.expect("an end before the silence") {
            Ok(Batch::Chunks(chunks)) => chunks.into_iter().for_each(|chunk| match chunk {
                Chunk::Content { delta } => text.push_str(&delta),
                Chunk::Restart { discarded, .. } => assert_eq!(std::mem::take(&mut text), discarded),
                other => panic!("{other:?}"),
            }),
            Ok(Batch::End(answer)) => return (text, Ok(*answer)),
            Err(error) => return (text, Err(error)),
        }
    }
}

async fn whole(stream: &CompletionStream) -> Answer<Completion> {
    let (text, answer) = read(stream).await;
    let answer = answer.unwrap();
    assert_eq!(answer.content, text);
    answer
}

fn content(batch: Option<Result<Batch>>) -> String {
    let Some(Ok(Batch::Chunks(chunks))) = batch else { panic!("{batch:?}") };
    let delta = |chunk| match chunk {
        Chunk::Content { delta } => delta,
        other => panic!("{other:?}"),
    };
    chunks.into_iter().map(delta).collect()
}

/// How often each deployment was asked.
fn asked(router: &Router<Completion>) -> Vec<u64> {
    let deployments = &router.stats().groups["default"].deployments;
    deployments.iter().map(|one| one.succeeded + one.failed).collect()
}

#[tokio::test(start_paused = true)]
async fn a_late_reader_gets_what_has_come_and_then_the_live_tail() {
    let router = router(&[talking("one two three four five six")]);
    let early = begin(&router, StreamOptions::default());
    let mut heard = String::new();
    while !heard.contains("three") {
        heard += &content(early.next().await);
    }
    let late = begin(&router, StreamOptions::default());
    let Poll::Ready(first) = late.try_next() else { panic!("what has come is there at once") };
    assert_eq!(content(first), heard);
    let Poll::Waiting = late.try_next() else { panic!("the rest has not come yet") };
    let (early, late) = (read_on(heard.clone(), &early).await, read_on(heard, &late).await);
    assert_eq!(early.0, late.0);
    let (early, late) = (early.1.unwrap(), late.1.unwrap());
    assert_eq!((early.cache, late.cache), (CacheStatus::Off, CacheStatus::Joined));
    assert_eq!(late.content, "one two three four five six");
    assert_eq!(asked(&router), [1]);
}

#[tokio::test(start_paused = true)]
async fn of_200_equal_streams_one_leaves_and_199_have_the_one_answer() {
    let router = router(&[talking("one two three")]);
    let mut streams: Vec<_> = (0..200).map(|_| begin(&router, StreamOptions::default())).collect();
    // The one that started the call, of all.
    drop(streams.remove(0));
    let answers = join_all(streams.iter().map(whole)).await;
    assert!(answers.iter().all(|answer| answer.content == "one two three"));
    assert_eq!((answers.len(), asked(&router)), (199, vec![1]));
    assert_eq!(router.stats().in_flight, 0);
}

#[tokio::test(start_paused = true)]
async fn streams_and_whole_answers_join_each_other_whoever_came_first() {
    let slow = json!({ "responses": ["one two three"], "repeat": true, "latencyMs": 100, "tokenIntervalMs": 10 });
    let router = router(&[slow]);
    let stream = begin(&router, StreamOptions::default());
    let (streamed, joined) = tokio::join!(whole(&stream), ask(&router, Timeouts::default()));
    assert_eq!((streamed.content.clone(), asked(&router)), (joined.as_ref().unwrap().content.clone(), vec![1]));
    assert_eq!(joined.unwrap().cache, CacheStatus::Joined);

    let first = ask(&router, Timeouts::default());
    let second = async {
        tokio::task::yield_now().await;
        whole(&begin(&router, StreamOptions::default())).await
    };
    let (first, second) = tokio::join!(first, second);
    assert_eq!((&first.unwrap().content, second.cache), (&second.content, CacheStatus::Joined));
    assert_eq!(asked(&router), [2]);
}

#[tokio::test(start_paused = true)]
async fn the_last_one_to_leave_ends_the_call_and_nobody_before() {
    let router = router(&[talking("one two three four five six")]);
    let (one, other) = (begin(&router, StreamOptions::default()), begin(&router, StreamOptions::default()));
    content(one.next().await);
    let in_flight = || router.stats().groups["default"].deployments[0].in_flight;
    one.cancel();
    assert!(matches!(one.next().await, Some(Err(error)) if matches!(error.kind(), ErrorKind::Cancelled)));
    sleep(Duration::from_millis(1)).await;
    assert_eq!((in_flight(), router.stats().in_flight), (1, 1));
    drop(other);
    sleep(Duration::from_millis(1)).await;
    assert_eq!((in_flight(), router.stats().in_flight), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_breaks_ends_for_those_who_want_it_to_end_and_goes_on_for_the_rest() {
    let cut = json!({
        "responses": ["one two three four five six"], "repeat": true, "tokenIntervalMs": 10, "faults": { "cut": 1 },
    });
    let router = router(&[cut, talking("the whole answer")]);
    let strict = begin(&router, StreamOptions::default());
    let (patient, buffered) =
        (begin(&router, restarting()), begin(&router, StreamOptions { buffer: true, ..StreamOptions::default() }));
    let (strict, patient, buffered, invoked) =
        tokio::join!(read(&strict), read(&patient), read(&buffered), ask(&router, Timeouts::default()));
    let error = strict.1.unwrap_err();
    let ErrorKind::Interrupted { delivered, .. } = error.kind() else { panic!("{error}") };
    assert!(!delivered.is_empty());
    assert_eq!((delivered, error.attempts().len()), (&strict.0, 1));
    for (text, answer) in [patient, buffered] {
        assert_eq!((text.as_str(), answer.unwrap().deployment.as_str()), ("the whole answer", "b::m"));
    }
    assert_eq!(invoked.unwrap().content, "the whole answer");
    assert_eq!(asked(&router), [1, 1]);
}

#[tokio::test(start_paused = true)]
async fn who_comes_between_a_break_and_the_new_beginning_sees_only_the_new() {
    let cut = json!({
        "responses": ["one two three four five six"], "repeat": true, "tokenIntervalMs": 10, "faults": { "cut": 1 },
    });
    let slow = json!({ "responses": ["the whole answer"], "repeat": true, "latencyMs": 1000, "tokenIntervalMs": 10 });
    let router = router(&[cut, slow]);
    let patient = begin(&router, restarting());
    let shown = content(patient.next().await);
    sleep(Duration::from_millis(500)).await;
    let late = begin(&router, StreamOptions::default());
    let Poll::Waiting = late.try_next() else { panic!("what is not continued is shown to nobody new") };
    assert!(!shown.is_empty());
    let (late, patient) = tokio::join!(whole(&late), read_on(shown, &patient));
    assert_eq!((late.content.as_str(), late.cache), ("the whole answer", CacheStatus::Joined));
    assert_eq!((patient.0.as_str(), patient.1.unwrap().deployment.as_str()), ("the whole answer", "b::m"));
}

#[tokio::test(start_paused = true)]
async fn a_reader_who_pauses_holds_up_nobody_but_itself() {
    let long = "0123456789abcdef ".repeat(40_000);
    let router = router(&[json!({ "responses": [long], "repeat": true })]);
    let paused = begin(&router, StreamOptions::default());
    let quick = begin(&router, StreamOptions::default());
    assert_eq!(whole(&quick).await.content.len(), long.len());
    assert_eq!(whole(&paused).await.content.len(), long.len());
    assert_eq!(asked(&router), [1]);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_nobody_reads_waits_and_a_caller_who_wants_the_whole_sets_it_going() {
    let long = "0123456789abcdef ".repeat(40_000);
    let router = router(&[json!({ "responses": [long], "repeat": true, "tokenIntervalMs": 0 })]);
    let paused = begin(&router, StreamOptions::default());
    sleep(Duration::from_secs(5)).await;
    assert_eq!((asked(&router), router.stats().in_flight), (vec![0], 1), "it waits for its reader");
    let answer = ask(&router, total(1_000)).await.unwrap();
    assert_eq!((answer.content.len(), answer.cache), (long.len(), CacheStatus::Joined));
    assert_eq!(whole(&paused).await.content.len(), long.len());
    assert_eq!(asked(&router), [1]);
}

#[tokio::test(start_paused = true)]
async fn the_deadline_of_the_one_who_started_it_ends_nothing_for_the_others() {
    let router = router(&[json!({ "responses": ["late"], "repeat": true, "latencyMs": 200 })]);
    let begun = Instant::now();
    let (hasty, patient) = tokio::join!(ask(&router, total(50)), ask(&router, Timeouts::default()));
    let error = hasty.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Timeout { phase: Phase::Total, .. }), "{error}");
    assert_eq!((patient.unwrap().content.as_str(), asked(&router)), ("late", vec![1]));
    assert_eq!(begun.elapsed(), Duration::from_millis(200));
}

#[tokio::test(start_paused = true)]
async fn the_hurry_of_the_one_who_started_it_costs_the_others_nothing_in_line() {
    let router = router(&[json!({ "responses": ["answer"], "repeat": true, "latencyMs": 300 })]);
    let limits = thryd::tracker::Limits { max_concurrent: Some(1), ..Default::default() };
    router.deploy("default", "a::m", thryd::options::DeployOptions { limits, ..Default::default() }).unwrap();
    let queue = |milliseconds| Timeouts { queue: Duration::from_millis(milliseconds), ..Timeouts::default() };
    let other = router.invoke("default", CompletionRequest::message("other"), InvokeOptions::default());
    let calls = async {
        tokio::task::yield_now().await;
        tokio::join!(ask(&router, queue(100)), ask(&router, queue(10_000)))
    };
    let (other, (_, patient)) = tokio::join!(other, calls);
    assert!(other.is_ok());
    assert_eq!(patient.unwrap().content, "answer");
}

#[tokio::test(start_paused = true)]
async fn a_short_clock_of_the_one_who_started_it_is_not_the_clock_of_the_others() {
    let router = router(&[json!({ "responses": ["late"], "repeat": true, "latencyMs": 200 })]);
    let hasty = Timeouts { first_token: Some(Duration::from_millis(50)), ..Timeouts::default() };
    let (hasty, patient) = tokio::join!(ask(&router, hasty), ask(&router, Timeouts::default()));
    assert!(matches!(hasty.unwrap_err().kind(), ErrorKind::Timeout { phase: Phase::FirstToken, .. }));
    assert_eq!(patient.unwrap().content, "late");
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_is_everybodys_is_asked_for_once() {
    let router = router(&[json!({ "faults": { "status": { "400": 1 } } })]);
    let outcomes = join_all((0..50).map(|_| ask(&router, Timeouts::default()))).await;
    assert!(outcomes.iter().all(|outcome| matches!(
        outcome.as_ref().unwrap_err().kind(),
        ErrorKind::Provider { failure, .. } if failure.status == Some(400)
    )));
    assert_eq!(asked(&router), [1]);
}

#[tokio::test(start_paused = true)]
async fn who_wants_a_fresh_answer_shares_with_nobody() {
    let router = router(&[talking("one two three")]);
    let fresh = || {
        let invoke = InvokeOptions { cache: CacheUse::Reload, ..InvokeOptions::default() };
        begin(&router, StreamOptions { invoke, ..StreamOptions::default() })
    };
    let (one, other) = (fresh(), fresh());
    tokio::join!(whole(&one), whole(&other));
    assert_eq!(asked(&router), [2]);
}
