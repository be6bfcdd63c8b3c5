//! Model responses through a router: limits, failover, streams, the cache and joining, as for chat.

use std::time::Duration;

use serde_json::{Value, json};
use thryd::Router;
use thryd::error::{ErrorKind, FailureClass, Outcome};
use thryd::fields::Fields;
use thryd::kinds::{Chunk, ModelResponse, ResponsesRequest};
use thryd::options::{InvokeOptions, StreamOptions};
use thryd::route::{Answer, AnswerStream, Batch, CacheStatus};

use super::dummies::{dummy, router_of};
use super::support::{Gate, Reply, Server};
use super::{content_of, events, heard, hi, said};

fn over(providers: &[Value], more: Value) -> Router<ModelResponse> {
    let deployments: Vec<_> = providers.iter().map(|one| format!("{}::m", one["name"].as_str().unwrap())).collect();
    let mut options = json!({
        "providers": providers,
        "groups": { "default": { "strategy": "first-available", "deployments": deployments } },
        "retry": { "baseDelayMs": 1, "cooldownMs": 1 },
    });
    options.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    router_of(options)
}

fn at(name: &str, server: &Server) -> Value {
    json!({ "type": "openai-compatible", "name": name, "baseUrl": server.url("/v1") })
}

fn streamed(events: &[String]) -> Reply {
    events.iter().fold(Reply::stream(), |reply, event| reply.event(event))
}

fn begin(router: &Router<ModelResponse>, options: Value) -> AnswerStream<ModelResponse> {
    let events = options.get("events").is_some();
    let mut options = options;
    options.as_object_mut().unwrap().remove("events");
    let fields = Fields::new("stream options", options).unwrap();
    let options = StreamOptions { events, ..StreamOptions::read(fields, router.timeouts()).unwrap() };
    router.stream("default", &hi(), options).unwrap()
}

async fn all(stream: &AnswerStream<ModelResponse>) -> (Vec<Chunk>, thryd::Result<Answer<ModelResponse>>) {
    let mut all = Vec::new();
    loop {
        match stream.next().await.expect("an end before the silence") {
            Ok(Batch::Chunks(chunks)) => all.extend(chunks),
            Ok(Batch::End(answer)) => return (all, Ok(*answer)),
            Err(error) => return (all, Err(error)),
        }
    }
}

async fn invoke(router: &Router<ModelResponse>) -> thryd::Result<Answer<ModelResponse>> {
    router.invoke("default", hi(), InvokeOptions::default()).await
}

#[tokio::test]
async fn an_answer_is_asked_for_read_and_kept_for_calls_and_streams_alike() {
    let server = Server::start(|_| Reply::json(200, said("resp_1", "one two three four").to_string())).await;
    let router = over(&[at("a", &server)], json!({ "cache": {} }));
    let first = invoke(&router).await.unwrap();
    assert_eq!(
        (first.output_text.as_str(), first.cache, first.usage().total_tokens),
        ("one two three four", CacheStatus::Miss, 5)
    );
    let sent = &server.requests()[0];
    assert_eq!((sent.path.as_str(), sent.text()), ("/v1/responses", r#"{"model":"m","input":"hi"}"#));
    let (chunks, again) = all(&begin(&router, json!({}))).await;
    assert_eq!((content_of(&chunks).as_str(), again.unwrap().cache), ("one two three four", CacheStatus::Memory));
    let (events, _) = all(&begin(&router, json!({ "events": true }))).await;
    let data: Vec<_> =
        events.iter().map(|chunk| if let Chunk::Event { data } = chunk { data.as_str() } else { "" }).collect();
    assert_eq!(heard(data).1.unwrap().id, "resp_1");
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn a_stream_comes_in_its_pieces_and_again_from_the_cache() {
    let server = Server::start(|_| streamed(&events(&said("resp_1", "one two three four five")))).await;
    let router = over(&[at("a", &server)], json!({ "cache": {} }));
    let (chunks, answer) = all(&begin(&router, json!({}))).await;
    let answer = answer.unwrap();
    assert_eq!((content_of(&chunks).as_str(), answer.cache), ("one two three four five", CacheStatus::Miss));
    assert!(chunks.len() > 1 && server.requests()[0].text().ends_with(r#""stream":true}"#));
    let (again, kept) = all(&begin(&router, json!({}))).await;
    assert_eq!((again, kept.unwrap().cache), (chunks, CacheStatus::Memory));
    assert_eq!(invoke(&router).await.unwrap().raw(), answer.raw());
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn equal_calls_are_one_and_what_the_provider_tags_is_no_difference() {
    let gate = Gate::closed();
    let held = gate.clone();
    let server = Server::start(move |_| {
        Reply::stream()
            .wait(&held)
            .then(events(&said("r", "one")).iter().map(|event| format!("data: {event}\n\n")).collect::<String>())
    })
    .await;
    let router = over(&[at("a", &server)], json!({}));
    let ask = |user: &str| {
        let request = hi().set("metadata", json!({ "user": user })).set("safety_identifier", user);
        let (router, options) = (router.clone(), InvokeOptions::default());
        tokio::spawn(async move { router.invoke("default", request, options).await })
    };
    let calls = [ask("a"), ask("b")];
    server.until_received(1).await;
    tokio::task::yield_now().await;
    gate.open();
    let mut statuses = Vec::new();
    for call in calls {
        statuses.push(call.await.unwrap().unwrap().cache);
    }
    statuses.sort();
    assert_eq!((statuses, server.requests().len()), (vec![CacheStatus::Joined, CacheStatus::Off], 1));
}

#[tokio::test]
async fn whatever_fails_before_the_first_piece_is_answered_elsewhere_unseen() {
    let all_events = events(&said("r", "one two three four"));
    let failed = json!({ "type": "response.failed", "response": { "status": "failed", "error": { "code": "server_error", "message": "no" } } });
    let begun = |count: usize| streamed(&all_events[..count]);
    let silent = [
        Reply::json(503, r#"{"error":{"message":"down"}}"#),
        begun(2).event(&failed.to_string()),
        begun(2).event(r#"{"type":"error","code":"rate_limit_exceeded","message":"slow down","param":null}"#),
        begun(4).cut(),
        begun(4),
        begun(3).event("{"),
        Reply::json(200, json!({ "id": "r", "status": "failed", "error": { "code": "server_error", "message": "no" }, "output": [] }).to_string()),
    ];
    for reply in silent {
        let server = Server::start(move |_| reply.clone()).await;
        let other = dummy("b", json!({ "responses": ["mine"], "repeat": true }));
        for events in [json!({}), json!({ "events": true })] {
            let router = over(&[at("a", &server), other.clone()], json!({}));
            let (chunks, answer) = all(&begin(&router, events)).await;
            let answer = answer.unwrap();
            assert_eq!((answer.output_text.as_str(), answer.deployment.as_str()), ("mine", "b::m"));
            assert!(answer.attempts.len() > 1 && !chunks.is_empty());
        }
        let router = over(&[at("a", &server), other], json!({}));
        assert_eq!(invoke(&router).await.unwrap().output_text, "mine");
    }
}

#[tokio::test]
async fn a_stream_that_breaks_off_says_what_was_delivered_or_begins_again() {
    let all_events = events(&said("r", "one two three four five six"));
    let is_text = |event: &&String| event.contains("output_text.delta");
    let first = all_events.iter().position(|event| is_text(&event)).unwrap();
    let failed = r#"{"type":"response.failed","response":{"status":"failed","error":{"code":"server_error","message":"it broke"}}}"#;
    for (end, class) in [
        (Reply::cut as fn(Reply) -> Reply, FailureClass::Transient),
        ((|reply| reply) as fn(Reply) -> Reply, FailureClass::Truncated),
        (
            (|reply: Reply| {
                reply.event(r#"{"type":"response.failed","response":{"status":"failed","error":{"code":"server_error","message":"it broke"}}}"#)
            }) as fn(Reply) -> Reply,
            FailureClass::Transient,
        ),
    ] {
        assert!(failed.contains("it broke"));
        let events = all_events[..=first].to_vec();
        let gate = Gate::closed();
        let (held, told) = (gate.clone(), events.clone());
        let server = Server::start(move |_| end(streamed(&told).wait(&held))).await;
        let other = dummy("b", json!({ "responses": ["mine"], "repeat": true }));
        let router = over(&[at("a", &server), other], json!({ "retry": { "maxRetries": 1 } }));
        for is_verbatim in [false, true] {
            let gate = gate.clone();
            let stream = begin(&router, if is_verbatim { json!({ "events": true }) } else { json!({}) });
            let Some(Ok(Batch::Chunks(chunks))) = stream.next().await else { panic!("nothing") };
            gate.open();
            let (_, error) = all(&stream).await;
            let error = error.unwrap_err();
            let ErrorKind::Interrupted { delivered, failure, deployment } = error.kind() else { panic!("{error:?}") };
            assert_eq!((delivered.as_str(), deployment.as_str()), ("one two three ", "a::m"), "{is_verbatim}");
            assert!(failure.class == class || failure.class == FailureClass::Truncated, "{failure:?}");
            assert!(!chunks.is_empty());
        }
        let stream = begin(&router, json!({ "onInterrupt": "restart" }));
        let (chunks, answer) = all(&stream).await;
        assert_eq!(answer.unwrap().output_text, "mine");
        let restart = chunks.iter().position(|chunk| matches!(chunk, Chunk::Restart { .. }));
        if let Some(restart) = restart {
            let Chunk::Restart { discarded, deployment } = &chunks[restart] else { unreachable!() };
            assert_eq!((discarded.as_str(), deployment.as_str()), ("one two three ", "b::m"));
            assert_eq!(content_of(&chunks[restart..]), "mine");
        }
    }
}

#[tokio::test]
async fn the_end_of_a_stream_is_not_waited_for() {
    let server = Server::start(|_| streamed(&events(&said("r", "one"))).hang()).await;
    let router = over(&[at("a", &server)], json!({}));
    // What is feared takes five seconds.
    let (_, answer) =
        tokio::time::timeout(Duration::from_millis(4_500), all(&begin(&router, json!({})))).await.unwrap();
    assert_eq!(answer.unwrap().output_text, "one");
}

#[tokio::test(start_paused = true)]
async fn a_tool_of_the_providers_own_that_is_at_work_is_no_silence() {
    let call = json!({ "type": "web_search_call", "id": "ws_1", "status": "completed" });
    let mut answer = said("r", "found");
    let message = answer["output"][0].clone();
    answer["output"] = json!([call, message]);
    // Two events of it, then 25 s before each of the others.
    let slow = json!({ "responses": [answer], "repeat": true, "tokenIntervalMs": 25_000 });
    let router = over(&[dummy("a", slow)], json!({ "retry": { "maxRetries": 0 } }));
    assert_eq!(all(&begin(&router, json!({}))).await.1.unwrap().output_text, "found");
}

#[tokio::test(start_paused = true)]
async fn clocks_and_limits_hold() {
    let silent = dummy("a", json!({ "responses": [{ "fault": "hang" }], "repeat": true }));
    let router = over(&[silent], json!({ "retry": { "maxRetries": 0 } }));
    let (_, error) = all(&begin(&router, json!({ "firstTokenMs": 500 }))).await;
    assert_eq!(error.unwrap_err().code(), "ERR_TIMEOUT");
    let stalls = dummy("a", json!({ "responses": [{ "fault": "stall", "afterTokens": 1 }], "repeat": true }));
    let router = over(&[stalls], json!({ "retry": { "maxRetries": 0 } }));
    let (chunks, error) = all(&begin(&router, json!({ "idleMs": 500 }))).await;
    assert_eq!((content_of(&chunks).as_str(), error.unwrap_err().code()), ("hi", "ERR_INTERRUPTED"));
    let small = json!({ "model": "a::m", "tpm": 100 });
    let router: Router<ModelResponse> = router_of(json!({
        "providers": [dummy("a", json!({}))], "groups": { "default": { "deployments": [small] } },
    }));
    let large = hi().set("max_output_tokens", 1000);
    let error = router.invoke("default", large, InvokeOptions::default()).await.unwrap_err();
    assert_eq!(error.code(), "ERR_TOO_LARGE");
    assert!(router.invoke("default", hi().set("max_output_tokens", 50), InvokeOptions::default()).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn every_fault_of_the_dummy_ends_as_that_of_a_chat_does() {
    for (fault, is_answered) in [
        ("reset", false),
        ("close", false),
        ("cut", false),
        ("end", false),
        ("malformed", false),
        ("errorEvent", false),
        ("html", false),
        ("empty", false),
        ("stallError", false),
        ("hang", false),
        ("stall", false),
        ("noDone", true),
        ("cutAfterFinish", true),
        ("stallAfterFinish", true),
    ] {
        let faulty = dummy("a", json!({ "responses": [{ "fault": fault }], "repeat": true }));
        let router = over(&[faulty], json!({ "retry": { "maxRetries": 0 } }));
        let whole = router.invoke("default", ResponsesRequest::input("one two"), InvokeOptions::default()).await;
        assert_eq!(whole.is_ok(), is_answered, "{fault}: {whole:?}");
        let (_, streamed) = all(&begin(&router, json!({}))).await;
        assert_eq!(streamed.is_ok(), is_answered, "{fault}: {streamed:?}");
    }
}

#[tokio::test]
async fn a_group_without_anybody_who_has_the_endpoint_says_so() {
    let router: Router<ModelResponse> =
        router_of(json!({ "providers": [{ "type": "anthropic", "apiKey": "sk-ant-secret" }] }));
    let error = router.deploy("default", "anthropic::claude", thryd::options::DeployOptions::default()).unwrap_err();
    assert_eq!(error.code(), "ERR_UNSUPPORTED");
    assert!(error.to_string().contains("kind response"), "{error}");
}

#[tokio::test]
async fn a_key_is_in_no_error() {
    let server =
        Server::start(|_| Reply::json(401, r#"{"error":{"message":"bad key sk-secret-1234567890abcdef"}}"#)).await;
    let mut provider = at("a", &server);
    provider["apiKey"] = json!("sk-secret-1234567890abcdef");
    let router = over(&[provider], json!({ "retry": { "maxRetries": 0 } }));
    let error = invoke(&router).await.unwrap_err();
    assert!(!format!("{error:?} {error}").contains("1234567890abcdef"), "{error:?}");
    assert_eq!(error.attempts()[0].outcome, Outcome::Auth);
    assert_eq!(server.requests()[0].header("authorization"), Some("Bearer sk-secret-1234567890abcdef"));
}
