//! What the reader of a stream sees, whatever happens to the stream.

use serde_json::{Value, json};
use thryd::ErrorKind;
use thryd::fields::Fields;
use thryd::kinds::{Chunk, Completion, CompletionRequest};
use thryd::options::{InvokeOptions, OnInterrupt, RouterOptions, StreamOptions};
use thryd::route::{Answer, Batch, CacheStatus, Poll, Router};

fn router(options: Value) -> Router<Completion> {
    Router::new(RouterOptions::read(Fields::new("router options", options).unwrap()).unwrap()).unwrap()
}

fn dummy(name: &str, options: Value) -> Value {
    json!({ "type": "dummy", "name": name, "dummy": options })
}

/// Reads a stream of "hi" to its end: the content, minding restarts, and how it ended.
async fn read(router: &Router<Completion>, options: StreamOptions) -> (String, thryd::Result<Answer<Completion>>) {
    let stream = router.stream("default", &CompletionRequest::message("hi"), options).unwrap();
    let mut content = String::new();
    loop {
        match stream.next().await.expect("an end before the silence") {
            Ok(Batch::Chunks(chunks)) => {
                for chunk in chunks {
                    match chunk {
                        Chunk::Content { delta } => content.push_str(&delta),
                        Chunk::Restart { discarded, .. } => {
                            assert_eq!(discarded, content);
                            content.clear();
                        }
                        _ => {}
                    }
                }
            }
            Ok(Batch::End(answer)) => {
                assert!(stream.next().await.is_none(), "nothing comes after the end");
                return (content, Ok(*answer));
            }
            Err(error) => {
                assert!(stream.next().await.is_none(), "nothing comes after an error");
                return (content, Err(error));
            }
        }
    }
}

/// A deployment whose streams break off half way, before one that answers.
fn cutting() -> Router<Completion> {
    let cut = json!({
        "responses": ["one two three four five six"], "repeat": true, "tokenIntervalMs": 10, "faults": { "cut": 1 },
    });
    router(json!({
        "providers": [
            dummy("cut", cut),
            dummy("good", json!({ "responses": ["the whole answer"], "repeat": true })),
        ],
        "groups": { "default": { "strategy": "first-available", "deployments": ["cut::m", "good::m"] } },
    }))
}

#[tokio::test(start_paused = true)]
async fn a_stream_says_what_a_whole_answer_says_and_is_kept_like_one() {
    let script = json!({ "responses": ["some words that come one by one"], "repeat": true, "tokenIntervalMs": 10, "cache": true });
    let router = router(json!({
        "providers": [dummy("dummy", script)],
        "groups": { "default": { "deployments": ["dummy::m"] } },
        "cache": {},
    }));
    let (streamed, answer) = read(&router, StreamOptions::default()).await;
    let answer = answer.unwrap();
    assert_eq!(streamed, "some words that come one by one");
    assert_eq!((answer.content.as_str(), answer.cache), (streamed.as_str(), CacheStatus::Miss));
    let whole = router.invoke("default", CompletionRequest::message("hi"), InvokeOptions::default()).await.unwrap();
    assert_eq!((whole.content.as_str(), whole.cache), (streamed.as_str(), CacheStatus::Memory));
    let (replayed, answer) = read(&router, StreamOptions::default()).await;
    assert_eq!((replayed, answer.unwrap().cache), (streamed, CacheStatus::Memory));
}

#[tokio::test(start_paused = true)]
async fn a_kept_answer_is_streamed_again_in_the_pieces_in_which_it_came_without_a_hop() {
    let script =
        json!({ "responses": ["a few words, one by one"], "repeat": true, "tokenIntervalMs": 10, "cache": true });
    let router = router(json!({
        "providers": [dummy("dummy", script)],
        "groups": { "default": { "deployments": ["dummy::m"] } },
        "cache": {},
    }));
    let begin = || router.stream("default", &CompletionRequest::message("hi"), StreamOptions::default()).unwrap();
    let (first, mut came) = (begin(), Vec::new());
    while let Some(Ok(Batch::Chunks(chunks))) = first.next().await {
        came.extend(chunks);
    }
    assert!(came.len() > 2, "{came:?}");
    let again = begin();
    let Poll::Ready(Some(Ok(Batch::Chunks(replayed)))) = again.try_next() else { panic!("it is in memory") };
    assert_eq!(replayed, came);
    let Poll::Ready(Some(Ok(Batch::End(answer)))) = again.try_next() else { panic!("and whole") };
    assert_eq!(answer.cache, CacheStatus::Memory);
    assert!(matches!(again.try_next(), Poll::Ready(None)));
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_breaks_after_its_first_chunk_says_what_was_delivered() {
    let (content, ended) = read(&cutting(), StreamOptions::default()).await;
    let error = ended.unwrap_err();
    let ErrorKind::Interrupted { delivered, deployment, .. } = error.kind() else { panic!("{error}") };
    assert!(!content.is_empty());
    assert_eq!((delivered, deployment.as_str()), (&content, "cut::m"));
    assert_eq!(error.attempts().len(), 1);
    assert!(error.is_retryable());
}

#[tokio::test(start_paused = true)]
async fn a_stream_may_start_again_elsewhere_and_tell_its_reader() {
    let options = StreamOptions { on_interrupt: OnInterrupt::Restart, ..StreamOptions::default() };
    let (content, ended) = read(&cutting(), options).await;
    assert_eq!(content, "the whole answer");
    assert_eq!(ended.unwrap().deployment, "good::m");
}

#[tokio::test(start_paused = true)]
async fn a_buffered_stream_shows_nothing_of_a_failover() {
    let options = StreamOptions { buffer: true, ..StreamOptions::default() };
    let (content, ended) = read(&cutting(), options).await;
    assert_eq!(content, "the whole answer");
    assert!(ended.unwrap().attempts.len() >= 2);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_dropped_leaves_nothing_in_flight() {
    let router = router(json!({
        "providers": [dummy("dummy", json!({ "responses": ["a b c d e f g h"], "repeat": true, "tokenIntervalMs": 1000 }))],
        "groups": { "default": { "deployments": ["dummy::m"] } },
    }));
    let stream = router.stream("default", &CompletionRequest::message("hi"), StreamOptions::default()).unwrap();
    assert!(stream.next().await.unwrap().is_ok());
    assert_eq!(router.stats().groups["default"].deployments[0].in_flight, 1);
    drop(stream);
    tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    let stats = router.stats();
    assert_eq!((stats.in_flight, stats.groups["default"].deployments[0].in_flight), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_restart_goes_elsewhere_and_not_to_the_one_that_failed() {
    let reset = json!({
        "responses": ["one two three"], "repeat": true, "tokenIntervalMs": 10, "faults": { "cut": 1 },
    });
    let router = router(json!({
        "providers": [dummy("a", reset), dummy("b", json!({ "responses": ["whole"], "repeat": true }))],
        "groups": { "default": { "strategy": "first-available", "deployments": ["a::m", "b::m"] } },
    }));
    let options = StreamOptions { on_interrupt: OnInterrupt::Restart, ..StreamOptions::default() };
    let stream = router.stream("default", &CompletionRequest::message("hi"), options).unwrap();
    let mut restarts = Vec::new();
    while let Some(batch) = stream.next().await {
        if let Batch::Chunks(chunks) = batch.unwrap() {
            restarts.extend(chunks.into_iter().filter_map(|chunk| match chunk {
                Chunk::Restart { deployment, .. } => Some(deployment),
                _ => None,
            }));
        }
    }
    assert_eq!(restarts, ["b::m"]);
}
