//! A fault of the dummy is the same to its caller as the same fault on a real socket.

mod dummies;
mod support;

use dummies::router_of;
use futures_util::future::join_all;
use serde_json::{Value, json};
use support::{Received, Reply, Server};
use thryd::kinds::{Completion, CompletionRequest, EmbeddingRequest, Embeddings, Ranking, RerankRequest};
use thryd::options::{InvokeOptions, StreamOptions};
use thryd::provider::Fault;
use thryd::route::{Batch, Router};
use thryd::{Error, ErrorKind, Kind};

const CONTENT: &str = "one two three four";
const ERROR: &str = r#"{"error":{"message":"broken","type":"server_error"}}"#;
const PAGE: &str = "<!doctype html><html><body><h1>Welcome</h1></body></html>";

/// What an attempt came to: its outcome, and the clock if one ran out.
type Met = Vec<String>;

/// What the same fault does to a server's answer. `whole` is the good answer.
fn on_a_socket(fault: Fault, request: &Received, whole: &Value) -> Reply {
    let text = whole.to_string();
    let half = text[..text.len() / 2].to_owned();
    let is_stream = serde_json::from_str::<Value>(request.text()).unwrap()["stream"] == json!(true);
    let announced = || Reply::json(200, half.clone()).header("content-length", text.len().to_string());
    let token = |text: &str| json!({ "choices": [{ "index": 0, "delta": { "content": text } }] }).to_string();
    let begun = || Reply::stream().event(&token("one ")).event(&token("two "));
    let finish = r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#;
    match (fault, is_stream) {
        (Fault::Reset, _) => Reply::reset(),
        (Fault::Close, _) => Reply::raw(""),
        (Fault::Hang, _) => Reply::silence(),
        (Fault::Html, _) => Reply::text(200, "text/html", PAGE),
        (Fault::Empty, true) => Reply::text(200, "text/event-stream", ""),
        (Fault::Empty, false) => Reply::json(200, ""),
        (Fault::Stall, true) => begun().hang(),
        (Fault::Stall, false) => announced().hang(),
        (Fault::Cut, true) => begun().cut(),
        (Fault::Cut, false) => announced().cut(),
        (Fault::End, true) => begun(),
        (Fault::End, false) => {
            let mut unfinished = whole.clone();
            match unfinished.pointer_mut("/choices/0/finish_reason") {
                Some(reason) => *reason = Value::Null,
                None => return Reply::json(200, half),
            }
            Reply::json(200, unfinished.to_string())
        }
        (Fault::Malformed, true) => begun().event("{\"choices\":[{").event(&token("four")).event(finish).done(),
        (Fault::Malformed, false) => Reply::json(200, format!("{}]", &text[..text.len() - 1])),
        (Fault::ErrorEvent, true) => begun().event(ERROR),
        (Fault::ErrorEvent, false) => Reply::json(200, ERROR),
        (Fault::NoDone, true) => begun().event(&token("three four")).event(finish),
        (Fault::CutAfterFinish, true) => begun().event(&token("three four")).event(finish).cut(),
        (Fault::StallAfterFinish, true) => begun().event(&token("three four")).event(finish).hang(),
        (Fault::NoDone | Fault::CutAfterFinish | Fault::StallAfterFinish, false) => Reply::json(200, text),
        (Fault::StallError, _) => Reply::json(503, "").header("content-length", ERROR.len().to_string()).hang(),
    }
}

fn router<K: Kind>(mut provider: Value, timeouts: &Value) -> Router<K> {
    provider["name"] = "p".into();
    router_of(json!({
        "providers": [provider],
        "groups": { "default": { "deployments": ["p::m"] } },
        "retry": { "maxRetries": 0 },
        "timeouts": timeouts,
    }))
}

fn met<T>(result: Result<T, Error>) -> Met {
    let Err(error) = result else { return vec!["ok".to_owned()] };
    let outcome = |attempt: &thryd::error::Attempt| serde_json::to_value(attempt.outcome).unwrap();
    let phase = match error.kind() {
        ErrorKind::Timeout { phase, .. } => Some(*phase),
        ErrorKind::Interrupted { failure, .. } => failure.timeout.map(|(phase, _)| phase),
        _ => None,
    };
    let outcomes = error.attempts().iter().map(|attempt| outcome(attempt).as_str().unwrap().to_owned());
    outcomes.chain(phase.map(|phase| format!("{phase:?}"))).collect()
}

async fn invoked<K: Kind>(router: &Router<K>, request: K::Request) -> Met {
    met(router.invoke("default", request, InvokeOptions::default()).await)
}

async fn streamed(router: &Router<Completion>) -> Met {
    let stream = router.stream("default", &CompletionRequest::message(CONTENT), StreamOptions::default()).unwrap();
    loop {
        match stream.next().await.expect("an end before the silence") {
            Ok(Batch::Chunks(_)) => {}
            Ok(Batch::End(_)) => return met(Ok(())),
            Err(error) => return met(Err::<(), _>(error)),
        }
    }
}

/// Asks a socket and two dummies, all faults at once. `clocks` are those that are set.
async fn compared<K: Kind>(whole: Value, clocks: &[&str], ask: impl AsyncFn(&Router<K>) -> Met) {
    let one = async |(name, fault): (&'static str, Fault)| {
        // A clock that is not to run out shall not do so on a slow machine either.
        let runs_out = |clock: &str| match fault {
            Fault::Hang => clock != "idleMs",
            Fault::Stall => clock != "firstTokenMs",
            _ => false,
        };
        let limit = |clock: &str| if runs_out(clock) { 1_000 } else { 60_000 };
        let timeouts: Value = clocks.iter().map(|clock| ((*clock).to_owned(), json!(limit(clock)))).collect();
        let answer = whole.clone();
        let server = Server::start(move |request| on_a_socket(fault, request, &answer)).await;
        let socket = json!({ "type": "openai-compatible", "baseUrl": server.url("/v1") });
        let by_chance = json!({ "type": "dummy", "dummy": { "faults": { name: 1 } } });
        let scripted = json!({ "type": "dummy", "dummy": { "responses": [{ "fault": name }] } });
        let expected = ask(&router(socket, &timeouts)).await;
        assert_eq!(expected == ["ok"], fault.is_answered(), "{name} came to {expected:?}");
        for dummy in [by_chance, scripted] {
            assert_eq!(ask(&router(dummy, &timeouts)).await, expected, "{name}: the dummy, then the socket");
        }
    };
    join_all(Fault::ALL.map(one)).await;
}

fn completion() -> Value {
    let message = json!({ "role": "assistant", "content": CONTENT });
    json!({ "id": "1", "model": "m", "choices": [{ "index": 0, "message": message, "finish_reason": "stop" }] })
}

#[tokio::test]
async fn a_stream_meets_the_same_on_a_dummy_as_on_a_socket() {
    compared(completion(), &["firstTokenMs", "idleMs"], streamed).await;
}

#[tokio::test]
async fn a_whole_completion_meets_the_same_on_a_dummy_as_on_a_socket() {
    let ask = async |router: &Router<Completion>| invoked(router, CompletionRequest::message(CONTENT)).await;
    compared(completion(), &["firstTokenMs", "idleMs"], ask).await;
    compared(completion(), &["attemptMs"], ask).await;
}

#[tokio::test]
async fn vectors_meet_the_same_on_a_dummy_as_on_a_socket() {
    let ask = async |router: &Router<Embeddings>| invoked(router, EmbeddingRequest::input(["a"])).await;
    compared(json!({ "data": [{ "index": 0, "embedding": [1.0, 0.0] }] }), &["attemptMs"], ask).await;
}

#[tokio::test]
async fn a_ranking_meets_the_same_on_a_dummy_as_on_a_socket() {
    let ask = async |router: &Router<Ranking>| invoked(router, RerankRequest::new("a", ["b"])).await;
    let answer = json!({ "results": [{ "index": 0, "relevance_score": 0.5 }] });
    compared(answer, &["attemptMs"], ask).await;
}
