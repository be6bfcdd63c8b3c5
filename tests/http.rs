//! What a router makes of what comes over a real socket.

mod support;

use serde_json::json;
use support::{Gate, Reply, Server};
use thryd::error::FailureClass;
use thryd::kinds::{Chunk, Completion, CompletionRequest};
use thryd::options::{DeployOptions, GroupOptions, InvokeOptions, RouterOptions, StreamOptions};
use thryd::provider::ProviderOptions;
use thryd::route::retry::RetryOptions;
use thryd::route::strategy::Strategy;
use thryd::route::{Answer, Batch, Router};
use thryd::{Error, ErrorKind};

const ANSWER: &str = r#"{"model":"m-1","choices":[{"index":0,"message":{"role":"assistant","content":"hello"},"finish_reason":"stop"}],
    "usage":{"prompt_tokens":3,"completion_tokens":1,"total_tokens":4}}"#;

/// A router whose group asks the servers in this order.
fn router(servers: &[&Server]) -> Router<Completion> {
    // One alone is not asked again, so that no test waits for a retry.
    let max_retries = if servers.len() == 1 { 0 } else { 3 };
    let retry = RetryOptions { max_retries, ..RetryOptions::default() };
    let router = Router::new(RouterOptions { retry, ..RouterOptions::default() }).unwrap();
    for (place, server) in servers.iter().enumerate() {
        let name = format!("p{place}");
        let options =
            ProviderOptions::new("openai-compatible").name(&name).base_url(server.url("/v1")).api_key("sk-key");
        router.add_provider(options).unwrap();
        router.deploy("default", &format!("{name}::m"), DeployOptions::default()).unwrap();
    }
    let options = GroupOptions { strategy: Strategy::FirstAvailable, ..GroupOptions::default() };
    router.configure_group("default", options).unwrap();
    router
}

async fn ask(router: &Router<Completion>) -> Result<Answer<Completion>, Error> {
    router.invoke("default", CompletionRequest::message("hi"), InvokeOptions::default()).await
}

/// Reads a stream to its end: its content, and how it ended.
async fn read(router: &Router<Completion>) -> (String, Result<Answer<Completion>, Error>) {
    let request = CompletionRequest::message("hi");
    let stream = router.stream("default", &request, StreamOptions::default()).unwrap();
    let mut content = String::new();
    loop {
        match stream.next().await.unwrap() {
            Ok(Batch::Chunks(chunks)) => content.extend(chunks.into_iter().filter_map(|chunk| match chunk {
                Chunk::Content { delta } => Some(delta),
                _ => None,
            })),
            Ok(Batch::End(answer)) => return (content, Ok(*answer)),
            Err(error) => return (content, Err(error)),
        }
    }
}

fn delta(content: &str) -> String {
    json!({ "model": "m-1", "choices": [{ "index": 0, "delta": { "content": content } }] }).to_string()
}

const FINISH: &str = r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#;

#[tokio::test]
async fn the_body_goes_out_to_the_letter_and_the_connection_is_used_again() {
    let server = Server::start(|_| Reply::json(200, ANSWER)).await;
    let router = router(&[&server]);
    let request = CompletionRequest::message("hi").set("x_unknown", json!({ "b": 1, "a": [] }));
    let answer = router.invoke("default", request, InvokeOptions::default()).await.unwrap();
    assert_eq!((answer.content.as_str(), answer.raw()), ("hello", &ANSWER.as_bytes().into()));
    assert_eq!(answer.usage().total_tokens, 4);
    ask(&router).await.unwrap();
    let received = server.requests();
    assert_eq!(received[0].path, "/v1/chat/completions");
    assert_eq!(received[0].header("authorization"), Some("Bearer sk-key"));
    assert_eq!(
        received[0].text(),
        r#"{"model":"m","messages":[{"role":"user","content":"hi"}],"x_unknown":{"a":[],"b":1}}"#
    );
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn what_is_not_an_answer_is_an_error_with_its_words_and_another_deployment_is_asked() {
    let bodies = [
        ("text/html", "<html><title>Bad gateway</title></html>"),
        ("application/json", ""),
        ("application/json", "{}"),
        ("application/json", "null"),
        ("application/json", "[]"),
        ("application/json", r#"{"choices":[{"message":{"content":1},"finish_reason":"stop"}]}"#),
        ("application/json", r#"{"choices":"#),
        ("application/json", r#"{"error":{"message":"engine on fire"}}"#),
    ];
    for (content_type, body) in bodies {
        let bad = Server::start(move |_| Reply::text(200, content_type, body)).await;
        let error = ask(&router(&[&bad])).await.unwrap_err();
        let ErrorKind::Provider { failure, .. } = error.kind() else { panic!("{body}: {error}") };
        assert_eq!(failure.status, Some(200), "{body}");
        assert_eq!(failure.body.as_deref().unwrap_or_default(), body, "{body}");
        let good = Server::start(|_| Reply::json(200, ANSWER)).await;
        assert_eq!(ask(&router(&[&bad, &good])).await.unwrap().content, "hello", "{body}");
    }
}

#[tokio::test]
async fn a_stream_split_anywhere_is_the_answer_and_its_connection_is_used_again() {
    let server = Server::start(|_| {
        let bytes =
            format!("data: {}\n\ndata: {}\r\n\r\ndata: {FINISH}\n\ndata: [DONE]\n\n", delta("h\u{e9}l"), delta("lo"));
        bytes.into_bytes().chunks(3).fold(Reply::stream(), |reply, piece| reply.then(piece))
    })
    .await;
    let router = router(&[&server]);
    for _ in 0..2 {
        let (content, ended) = read(&router).await;
        let answer = ended.unwrap();
        assert_eq!((content.as_str(), answer.content.as_str(), answer.model()), ("h\u{e9}llo", "h\u{e9}llo", "m-1"));
    }
    assert_eq!(server.connections(), 1);
    assert!(server.requests()[0].text().contains(r#""stream":true"#));
}

#[tokio::test]
async fn a_stream_that_ends_early_in_any_way_says_what_was_delivered() {
    type Ending = fn(Reply) -> Reply;
    let endings: [(&str, Ending); 4] = [
        ("cut", Reply::cut),
        ("clean end without a finish reason", |reply| reply),
        ("malformed event", |reply| reply.event("{\"choices\":")),
        ("error inside the stream", |reply| reply.event(r#"{"error":{"type":"overloaded_error","message":"busy"}}"#)),
    ];
    for (name, ending) in endings {
        let gate = Gate::closed();
        let server = Server::start({
            let gate = gate.clone();
            move |_| ending(Reply::stream().event(&delta("par")).wait(&gate))
        })
        .await;
        let router = router(&[&server]);
        let request = CompletionRequest::message("hi");
        let stream = router.stream("default", &request, StreamOptions::default()).unwrap();
        let Some(Ok(Batch::Chunks(chunks))) = stream.next().await else { panic!("{name}: no first chunk") };
        assert_eq!(chunks, [Chunk::Content { delta: "par".to_owned() }], "the first chunk comes at once");
        gate.open();
        let error = stream.next().await.unwrap().unwrap_err();
        let ErrorKind::Interrupted { delivered, failure, .. } = error.kind() else { panic!("{name}: {error}") };
        assert_eq!(delivered, "par", "{name}");
        let is_expected = matches!(failure.class, FailureClass::Truncated | FailureClass::RateLimited);
        assert!(is_expected, "{name}: {:?}", failure.class);
    }
}

#[tokio::test]
async fn a_stream_without_done_but_with_a_finish_reason_is_whole() {
    let server = Server::start(|_| Reply::stream().event(&delta("all")).event(FINISH)).await;
    let (content, ended) = read(&router(&[&server])).await;
    assert_eq!((content.as_str(), ended.unwrap().finish_reason.as_str()), ("all", "stop"));
}

#[tokio::test]
async fn a_failure_before_the_first_chunk_is_routed_around_unseen() {
    let bad = Server::start(|_| Reply::stream().event(r#"{"error":{"message":"overloaded","code":503}}"#)).await;
    let good = Server::start(|_| Reply::stream().event(&delta("good")).event(FINISH).done()).await;
    let (content, ended) = read(&router(&[&bad, &good])).await;
    assert_eq!(content, "good");
    assert_eq!(ended.unwrap().deployment, "p1::m");
}

#[tokio::test]
async fn a_server_that_answers_a_stream_request_whole_is_understood() {
    let server = Server::start(|_| Reply::json(200, ANSWER)).await;
    let (content, ended) = read(&router(&[&server])).await;
    assert_eq!((content.as_str(), ended.unwrap().content.as_str()), ("hello", "hello"));
}

#[tokio::test]
async fn leaving_a_stream_closes_its_socket() {
    let server = Server::start(|_| Reply::stream().event(&delta("a")).hang()).await;
    let router = router(&[&server]);
    let request = CompletionRequest::message("hi");
    let stream = router.stream("default", &request, StreamOptions::default()).unwrap();
    assert!(stream.next().await.unwrap().is_ok());
    drop(stream);
    server.until_closed().await;
}

#[tokio::test]
async fn a_server_that_is_not_there_is_a_transient_failure_and_gives_the_reservation_back() {
    let server = Server::start(|_| Reply::json(200, ANSWER)).await;
    let (_held, gone) = support::refusing();
    let router = router(&[&server]);
    router
        .add_provider(ProviderOptions::new("openai-compatible").name("gone").base_url(format!("http://{gone}/v1")))
        .unwrap();
    router.deploy("lonely", "gone::m", DeployOptions::default()).unwrap();
    router
        .configure_group("lonely", GroupOptions { fallbacks: vec!["default".to_owned()], ..GroupOptions::default() })
        .unwrap();
    let answer = router.invoke("lonely", CompletionRequest::message("hi"), InvokeOptions::default()).await.unwrap();
    assert_eq!(answer.deployment, "p0::m");
    assert!(answer.attempts.iter().all(|one| one.status.is_none() || one.deployment == "p0::m"));
    let window = router.stats().groups["lonely"].deployments[0].window;
    assert_eq!((window.requests, window.tokens), (0, 0));
}
