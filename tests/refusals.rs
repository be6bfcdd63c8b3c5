//! What a refusal on the wire costs: its caller at most, never those who come after, and no time.

mod dummies;
mod support;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::json;
use support::{Reply, Server};
use thryd::error::{FailureClass, Outcome, Phase};
use thryd::kinds::Completion;
use thryd::options::{DeployOptions, InvokeOptions, RouterOptions, StreamOptions, Timeouts};
use thryd::provider::ProviderOptions;
use thryd::route::{Answer, Batch, Router};
use thryd::{Error, ErrorKind};

fn trail(error: &Error) -> Vec<(&str, Outcome)> {
    error.attempts().iter().map(|one| (one.deployment.as_str(), one.outcome)).collect()
}

const ANSWER: &str = r#"{"model":"m-1","choices":[{"index":0,"message":{"role":"assistant","content":"hello"},"finish_reason":"stop"}]}"#;
const NOT_FOR_YOU: &str = r#"{"error":{"message":"Your organization must be verified to stream this model.","type":"invalid_request_error","param":"stream","code":"unsupported_value"}}"#;

fn over(server: &Server, first_token: Option<Duration>) -> Router<Completion> {
    let timeouts = Timeouts { first_token, ..Timeouts::default() };
    let router = Router::new(RouterOptions { timeouts, ..RouterOptions::default() }).unwrap();
    let options = ProviderOptions::new("openai-compatible").name("p").base_url(server.url("/v1")).api_key("sk-key");
    router.add_provider(options).unwrap();
    router.deploy("default", "p::m", DeployOptions::default()).unwrap();
    router
}

/// Another deployment of the same model, after those that are there.
fn add(router: &Router<Completion>, name: &str, server: &Server) {
    let options = ProviderOptions::new("openai-compatible").name(name).base_url(server.url("/v1")).api_key("sk-key");
    router.add_provider(options).unwrap();
    router.deploy("default", &format!("{name}::m"), DeployOptions::default()).unwrap();
}

async fn say(router: &Router<Completion>, text: &str) -> Result<Answer<Completion>, Error> {
    router.invoke("default", dummies::request(text), InvokeOptions::default()).await
}

#[tokio::test]
async fn a_whole_answer_whose_first_token_has_a_clock_may_take_longer_than_it() {
    let event =
        |delta: &str| json!({ "model": "m-1", "choices": [{ "index": 0, "delta": { "content": delta } }] }).to_string();
    let finish = r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}"#;
    let server = Server::start(move |_| {
        let pause = Duration::from_millis(400);
        Reply::stream().event(&event("hel")).pause(pause).event(&event("lo")).pause(pause).event(finish).done()
    })
    .await;
    let answer = say(&over(&server, Some(Duration::from_millis(500))), "hi").await.unwrap();
    assert_eq!((answer.content.as_str(), answer.usage().total_tokens, answer.usage().estimated), ("hello", 5, false));
    assert!(server.requests()[0].text().contains(r#""stream":true"#));
}

#[tokio::test]
async fn a_whole_answer_without_such_a_clock_is_asked_for_as_it_is() {
    let server = Server::start(|_| Reply::json(200, ANSWER)).await;
    assert_eq!(say(&over(&server, None), "hi").await.unwrap().content, "hello");
    assert!(!server.requests()[0].text().contains("stream"));
}

#[tokio::test]
async fn who_may_not_stream_is_asked_for_the_whole_at_once_and_from_then_on() {
    let server = Server::start(|request| {
        if request.text().contains(r#""stream":true"#) {
            Reply::json(400, NOT_FOR_YOU)
        } else {
            Reply::json(200, ANSWER)
        }
    })
    .await;
    let router = over(&server, Some(Duration::from_secs(5)));
    let (one, other) = tokio::join!(say(&router, "one"), say(&router, "other"));
    for answer in [one.unwrap(), other.unwrap()] {
        let outcomes: Vec<_> = answer.attempts.iter().map(|one| one.outcome).collect();
        assert_eq!((answer.content.as_str(), outcomes), ("hello", vec![Outcome::Rejected, Outcome::Ok]));
    }
    assert_eq!(say(&router, "two").await.unwrap().attempts.len(), 1, "it is remembered");
    assert_eq!(router.stats().groups["default"].deployments[0].rest_ms, 0.0);
}

#[tokio::test]
async fn a_stream_that_one_organization_may_not_have_is_had_from_another() {
    let refusing = Server::start(|_| Reply::json(400, NOT_FOR_YOU)).await;
    let event = r#"{"model":"m-1","choices":[{"index":0,"delta":{"content":"hello"},"finish_reason":"stop"}]}"#;
    let streaming = Server::start(move |_| Reply::stream().event(event).done()).await;
    let router = over(&refusing, None);
    let read = async || {
        let stream = router.stream("default", &dummies::request("hi"), StreamOptions::default()).unwrap();
        loop {
            match stream.next().await.unwrap() {
                Ok(Batch::Chunks(_)) => {}
                Ok(Batch::End(answer)) => return Ok(answer),
                Err(error) => return Err(error),
            }
        }
    };
    let error = read().await.unwrap_err();
    assert_eq!((error.is_retryable(), trail(&error)), (false, vec![("p::m", Outcome::Rejected)]), "{error}");
    add(&router, "q", &streaming);
    for _ in 0..4 {
        assert_eq!(read().await.unwrap().deployment, "q::m");
    }
    assert!(refusing.requests().len() > 1, "it is asked, and is healthy");
    assert_eq!(router.stats().groups["default"].deployments[0].rest_ms, 0.0);
}

#[tokio::test]
async fn who_has_no_tools_is_no_reason_to_fail_and_rests_for_nobody() {
    const NO_TOOLS: &str =
        r#"{"error":{"code":500,"message":"tools param requires --jinja flag","type":"server_error"}}"#;
    let without = Server::start(|_| Reply::json(500, NO_TOOLS)).await;
    let with = Server::start(|_| Reply::json(200, ANSWER)).await;
    let router = over(&without, None);
    let error = say(&router, "hi").await.unwrap_err();
    assert_eq!((error.is_retryable(), trail(&error)), (false, vec![("p::m", Outcome::Rejected)]), "{error}");
    add(&router, "q", &without);
    let error = say(&router, "hi").await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Provider { deployment, .. } if deployment == "p::m"), "{error}");
    assert_eq!(trail(&error).len(), 2, "{error}");
    add(&router, "r", &with);
    for _ in 0..6 {
        assert_eq!(say(&router, "hi").await.unwrap().deployment, "r::m");
    }
    assert!(router.stats().groups["default"].deployments.iter().all(|one| one.rest_ms == 0.0));
}

#[tokio::test]
async fn the_trail_says_under_which_status_an_answer_came() {
    let first = AtomicBool::new(true);
    let server = Server::start(move |_| match first.swap(false, Ordering::Relaxed) {
        true => Reply::json(500, "{}"),
        false => Reply::json(201, ANSWER),
    })
    .await;
    let answer = say(&over(&server, None), "hi").await.unwrap();
    let statuses: Vec<_> = answer.attempts.iter().map(|one| one.status).collect();
    assert_eq!(statuses, [Some(500), Some(201)]);
}

#[tokio::test]
async fn a_connection_that_is_not_made_in_time_is_not_waited_for_twice() {
    // Nobody accepts, and nobody greets: TLS waits for an answer that does not come.
    let deaf = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let timeouts = Timeouts { connect: Duration::from_millis(200), ..Timeouts::default() };
    let router = Router::<Completion>::new(RouterOptions { timeouts, ..RouterOptions::default() }).unwrap();
    let url = format!("https://{}/v1", deaf.local_addr().unwrap());
    let options = ProviderOptions::new("openai-compatible").name("p").base_url(url).api_key("sk-key");
    router.add_provider(options).unwrap();
    router.deploy("default", "p::m", DeployOptions::default()).unwrap();
    let error = say(&router, "hi").await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Timeout { phase: Phase::Connect, .. }), "{error}");
    assert_eq!(trail(&error), [("p::m", FailureClass::Silent.outcome())]);
}

#[tokio::test]
async fn a_refusal_that_only_speaks_of_streams_is_not_asked_twice_and_takes_streaming_from_nobody() {
    // One says "upstream", the other quotes all of the request, `"stream": true` among it.
    let upstream =
        r#"{"error":{"message":"Upstream refused: temperature is out of range","type":"invalid_request_error"}}"#;
    let echo = r#"{"detail":[{"loc":["body","top_p"],"msg":"too large, streaming or not","input":{"stream":true}}]}"#;
    for (status, body) in [(400, upstream), (422, echo)] {
        let event = r#"{"model":"m-1","choices":[{"index":0,"delta":{"content":"hello"},"finish_reason":"stop"}]}"#;
        let is_first = AtomicBool::new(true);
        let server = Server::start(move |_| {
            if is_first.swap(false, Ordering::Relaxed) {
                Reply::json(status, body)
            } else {
                Reply::stream().event(event).done()
            }
        })
        .await;
        let router = over(&server, Some(Duration::from_secs(5)));
        let error = say(&router, "hi").await.unwrap_err();
        assert_eq!(trail(&error), [("p::m", Outcome::Rejected)], "{error}");
        assert_eq!(say(&router, "hi").await.unwrap().content, "hello");
        assert!(server.requests()[1].text().contains(r#""stream":true"#), "it is still asked for streams");
    }
}

#[tokio::test]
async fn whoever_says_in_his_own_words_that_he_has_no_streams_is_asked_for_the_whole_and_believed_if_that_helps() {
    for words in ["This model isn't available for streaming", "Streaming is currently unsupported for this model"] {
        let refusal = json!({ "error": { "message": words, "type": "invalid_request_error" } }).to_string();
        let server = Server::start(move |request| {
            if request.text().contains(r#""stream":true"#) {
                Reply::json(400, refusal.clone())
            } else {
                Reply::json(200, ANSWER)
            }
        })
        .await;
        let router = over(&server, Some(Duration::from_secs(5)));
        for (text, attempts) in [("one", 2), ("two", 1)] {
            assert_eq!(say(&router, text).await.unwrap().attempts.len(), attempts);
        }
    }
    // A prompt that speaks of it costs one request more, and nobody else anything.
    let refusal =
        r#"{"error":{"message":"unsupported role in: does it support streaming?","type":"invalid_request_error"}}"#;
    let server = Server::start(move |_| Reply::json(400, refusal)).await;
    let router = over(&server, Some(Duration::from_secs(5)));
    for requests in [2, 4] {
        let error = say(&router, "hi").await.unwrap_err();
        assert_eq!((error.code(), server.requests().len()), ("ERR_PROVIDER", requests), "{error}");
    }
    assert!(server.requests()[2].text().contains(r#""stream":true"#), "it is still asked for streams");
}

#[tokio::test]
async fn who_may_not_stream_has_all_the_time_of_a_whole_answer() {
    let server = Server::start(|request| {
        if request.text().contains(r#""stream":true"#) {
            Reply::json(400, NOT_FOR_YOU)
        } else {
            Reply::new(200).header("content-type", "application/json").pause(Duration::from_millis(1_500)).then(ANSWER)
        }
    })
    .await;
    let router = over(&server, Some(Duration::from_secs(1)));
    for text in ["one", "two"] {
        assert_eq!(say(&router, text).await.unwrap().content, "hello");
    }
}

#[tokio::test]
async fn a_refusal_whose_words_do_not_come_holds_up_the_answer_of_another_for_a_second_at_most() {
    let stalled = Server::start(|_| Reply::raw("HTTP/1.1 503 No\r\ncontent-length: 100\r\n\r\n{").hang()).await;
    let healthy = Server::start(|_| Reply::json(200, ANSWER)).await;
    let router = over(&stalled, None);
    add(&router, "q", &healthy);
    let begun = Instant::now();
    let answer = say(&router, "hi").await.unwrap();
    let tried: Vec<_> = answer.attempts.iter().map(|one| (&*one.deployment, one.outcome, one.status)).collect();
    assert_eq!(tried, [("p::m", Outcome::Silent, Some(503)), ("q::m", Outcome::Ok, Some(200))]);
    // What decides is waited for for five.
    assert!(begun.elapsed() < Duration::from_millis(4_500), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn the_trail_says_under_which_status_the_answer_came_that_a_clock_ended() {
    let drip = json!({ "choices": [{ "index": 0, "delta": { "content": "a" } }] }).to_string();
    let server = Server::start(move |_| Reply::stream().event(&drip).hang()).await;
    let ask = async |clock: &str| {
        let of = |name| Duration::from_secs(if name == clock { 1 } else { 60 });
        let timeouts = Timeouts {
            idle: of("idle"),
            attempt: of("attempt"),
            total: Some(of("total")),
            first_token: Some(Duration::from_secs(60)),
            ..Timeouts::default()
        };
        let options = InvokeOptions { timeouts: Some(timeouts), ..InvokeOptions::default() };
        over(&server, None).invoke("default", dummies::request("hi"), options).await.unwrap_err()
    };
    for error in join_all(["idle", "attempt", "total"].map(ask)).await {
        let statuses: Vec<_> = error.attempts().iter().map(|one| one.status).collect();
        assert_eq!((error.code(), statuses), ("ERR_TIMEOUT", vec![Some(200)]), "{error}");
    }
}

#[tokio::test]
async fn a_thread_that_stands_still_when_the_time_of_a_call_is_over_loses_nothing_of_its_trail() {
    let drip = json!({ "choices": [{ "index": 0, "delta": { "content": "a" } }] }).to_string();
    let server = Server::start(move |_| Reply::stream().event(&drip).hang()).await;
    let total = Duration::from_millis(500);
    let timeouts = Timeouts {
        total: Some(total),
        first_token: Some(Duration::from_secs(60)),
        idle: Duration::from_secs(60),
        ..Timeouts::default()
    };
    for early in [40, 20, 10, 5, 1] {
        let router = over(&server, None);
        let options = InvokeOptions { timeouts: Some(timeouts), ..InvokeOptions::default() };
        let stands_still = async {
            tokio::time::sleep(total - Duration::from_millis(early)).await;
            std::thread::sleep(Duration::from_millis(200));
        };
        let call = router.invoke("default", dummies::request("hi"), options);
        let (error, ()) = tokio::join!(call, stands_still);
        let error = error.unwrap_err();
        let statuses: Vec<_> = error.attempts().iter().map(|one| one.status).collect();
        assert_eq!((error.code(), statuses), ("ERR_TIMEOUT", vec![Some(200)]), "{early}: {error}");
    }
}
