//! The dialect through a router and over a real socket.

use serde_json::{Value, json};
use thryd::Router;
use thryd::error::{ErrorKind, FailureClass, Outcome};
use thryd::kinds::{Chunk, Completion, CompletionRequest};
use thryd::options::{InvokeOptions, StreamOptions};
use thryd::route::Batch;

use super::dummies::{dummy, router};
use super::streams::{HELLO, THINKING};
use super::support::{Reply, Server};

fn over(server: &Server, more: &[Value]) -> Router<Completion> {
    let own = json!({ "type": "anthropic", "baseUrl": server.url(""), "apiKey": "sk-ant-secret" });
    let providers: Vec<_> = [own].into_iter().chain(more.iter().cloned()).collect();
    let others = more.iter().map(|provider| format!("{}::m", provider["name"].as_str().unwrap()));
    let deployments: Vec<_> = ["anthropic::claude".to_owned()].into_iter().chain(others).collect();
    router(json!({
        "providers": providers,
        "groups": { "default": { "strategy": "first-available", "deployments": deployments } },
        "retry": { "maxRetries": 1 },
    }))
}

fn streamed(events: &[&str]) -> Reply {
    events.iter().fold(Reply::stream(), |reply, event| reply.event(event))
}

async fn invoke(router: &Router<Completion>, request: CompletionRequest) -> thryd::Result<String> {
    let answer = router.invoke("default", request, InvokeOptions::default()).await?;
    Ok(format!("{} {}", answer.deployment, answer.content))
}

#[tokio::test]
async fn a_whole_answer_and_a_stream_that_nobody_asked_for_are_both_read() {
    let whole = json!({
        "type": "message", "id": "m", "model": "claude", "content": [{ "type": "text", "text": "Hello!" }],
        "stop_reason": "end_turn",
    });
    for reply in [Reply::json(200, whole.to_string()), streamed(&HELLO)] {
        let server = Server::start(move |_| reply.clone()).await;
        let said = invoke(&over(&server, &[]), CompletionRequest::message("a")).await.unwrap();
        assert_eq!(said, "anthropic::claude Hello!");
        let sent = &server.requests()[0];
        assert_eq!((sent.path.as_str(), sent.header("x-api-key")), ("/v1/messages", Some("sk-ant-secret")));
        assert!(sent.text().contains(r#""max_tokens":32000"#), "{}", sent.text());
    }
}

#[tokio::test]
async fn a_stream_is_shown_as_it_comes() {
    let server = Server::start(|_| streamed(&THINKING)).await;
    let router = over(&server, &[]);
    let stream = router.stream("default", &CompletionRequest::message("a"), StreamOptions::default()).unwrap();
    let (mut reasoning, mut content, mut end) = (String::new(), String::new(), None);
    while let Some(batch) = stream.next().await {
        match batch.unwrap() {
            Batch::Chunks(chunks) => chunks.into_iter().for_each(|chunk| match chunk {
                Chunk::Reasoning { delta } => reasoning += &delta,
                Chunk::Content { delta } => content += &delta,
                other => panic!("{other:?}"),
            }),
            Batch::End(answer) => end = Some(answer),
        }
    }
    assert!(reasoning.starts_with("1071") && content.ends_with("**21**."), "{reasoning} {content}");
    assert_eq!(end.unwrap().finish_reason, "stop");
    assert!(server.requests()[0].text().ends_with(r#""stream":true}"#));
}

#[tokio::test]
async fn who_cannot_say_it_is_passed_over_and_not_put_to_rest() {
    let server = Server::start(|_| streamed(&HELLO)).await;
    let router = over(&server, &[dummy("other", json!({ "responses": ["two"], "repeat": true }))]);
    let two = CompletionRequest::message("a").set("n", 2);
    assert_eq!(invoke(&router, two).await.unwrap(), "other::m two");
    assert_eq!(server.requests().len(), 0);
    assert_eq!(invoke(&router, CompletionRequest::message("a")).await.unwrap(), "anthropic::claude Hello!");
}

#[tokio::test]
async fn alone_it_says_what_it_does_not_take() {
    let server = Server::start(|_| streamed(&HELLO)).await;
    let error = invoke(&over(&server, &[]), CompletionRequest::message("a").set("n", 2)).await.unwrap_err();
    assert_eq!(error.attempts().len(), 1);
    assert_eq!(error.attempts()[0].outcome, Outcome::Rejected);
    assert!(error.to_string().contains("does not take `n` above 1"), "{error}");
}

#[tokio::test]
async fn an_overload_before_or_in_a_stream_is_a_rate_limit() {
    let overloaded = r#"{"type":"error","error":{"details":null,"type":"overloaded_error","message":"Overloaded"}}"#;
    for reply in [Reply::json(529, overloaded), streamed(&[HELLO[0], overloaded])] {
        let server = Server::start(move |_| reply.clone()).await;
        let router = over(&server, &[dummy("other", json!({ "responses": ["mine"], "repeat": true }))]);
        let answer = router.invoke("default", CompletionRequest::message("a"), InvokeOptions::default()).await.unwrap();
        let outcomes: Vec<_> = answer.attempts.iter().map(|attempt| attempt.outcome).collect();
        assert_eq!((answer.content.as_str(), &outcomes[..]), ("mine", &[Outcome::RateLimited, Outcome::Ok][..]));
    }
}

#[tokio::test]
async fn a_stream_without_its_stop_is_told_as_cut() {
    let server = Server::start(|_| streamed(&HELLO[..7])).await;
    let router = over(&server, &[]);
    let stream = router.stream("default", &CompletionRequest::message("a"), StreamOptions::default()).unwrap();
    let mut last = None;
    while let Some(batch) = stream.next().await {
        last = Some(batch);
    }
    let error = last.unwrap().unwrap_err();
    let ErrorKind::Interrupted { delivered, failure, .. } = error.kind() else { panic!("{error:?}") };
    assert_eq!((delivered.as_str(), failure.class), ("Hello!", FailureClass::Truncated));
}
