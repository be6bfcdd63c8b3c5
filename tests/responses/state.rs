//! What a provider keeps: requests that go on from it are asked of that provider, and what changes it is sent once.

use serde_json::{Value, json};
use thryd::Router;
use thryd::error::{ErrorKind, FailureClass, Outcome};
use thryd::kinds::{ModelResponse, ResponsesRequest};
use thryd::options::{CacheUse, InvokeOptions};
use thryd::route::CacheStatus;

use super::dummies::{dummy, router_of};
use super::support::{Reply, Server};
use super::{hi, said};

const NOT_FOUND: &str = r#"{"error":{"message":"Previous response with id 'resp_1' not found.","type":"invalid_request_error","param":"previous_response_id","code":"previous_response_not_found"}}"#;

fn at(name: &str, server: &Server) -> Value {
    json!({ "type": "openai-compatible", "name": name, "baseUrl": server.url("/v1") })
}

fn over(providers: &[Value], deployments: &[&str], more: Value) -> Router<ModelResponse> {
    let mut options = json!({
        "providers": providers,
        "groups": { "default": { "strategy": "first-available", "deployments": deployments } },
        "retry": { "baseDelayMs": 1, "cooldownMs": 1 },
    });
    options.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    router_of(options)
}

async fn ask(router: &Router<ModelResponse>, group: &str, request: ResponsesRequest) -> thryd::Result<String> {
    let answer = router.invoke(group, request, InvokeOptions::default()).await?;
    Ok(format!("{} {}", answer.deployment, answer.output_text))
}

fn after(id: &str) -> ResponsesRequest {
    ResponsesRequest::input("and then?").set("previous_response_id", id)
}

/// Says who it is, with an id of its own.
async fn server(name: &'static str) -> Server {
    Server::start(move |_| Reply::json(200, said(&format!("resp_{name}"), name).to_string())).await
}

#[tokio::test]
async fn what_goes_on_from_an_answer_is_asked_of_whoever_gave_it() {
    let (a, b) = (server("a").await, server("b").await);
    let router = over(&[at("a", &a), at("b", &b)], &["a::m", "b::m", "b::n"], json!({}));
    router.deploy("only b", "b::m", thryd::options::DeployOptions::default()).unwrap();
    assert_eq!(ask(&router, "only b", hi()).await.unwrap(), "b::m b");
    assert_eq!(ask(&router, "default", hi()).await.unwrap(), "a::m a");
    assert_eq!(ask(&router, "default", after("resp_b")).await.unwrap(), "b::m b");
    assert_eq!(ask(&router, "default", after("resp_a")).await.unwrap(), "a::m a");
    assert_eq!(ask(&router, "default", after("resp_unknown")).await.unwrap(), "a::m a");
    assert!(b.requests()[1].text().contains(r#""previous_response_id":"resp_b""#));
}

#[tokio::test]
async fn so_is_what_refers_to_an_item_or_brings_what_only_that_provider_can_open() {
    let items = |name: &'static str| {
        Server::start(move |_| {
            let mut answer = said(&format!("resp_{name}"), name);
            answer["output"]
                .as_array_mut()
                .unwrap()
                .push(json!({ "type": "reasoning", "id": format!("rs_{name}"), "summary": [] }));
            answer["output"][0]["id"] = format!("msg_{name}").into();
            Reply::json(200, answer.to_string())
        })
    };
    let (a, b) = (items("a").await, items("b").await);
    let router = over(&[at("a", &a), at("b", &b)], &["a::m", "b::m"], json!({}));
    router.deploy("only b", "b::m", thryd::options::DeployOptions::default()).unwrap();
    assert_eq!(ask(&router, "only b", hi()).await.unwrap(), "b::m b");
    let user = json!({ "role": "user", "content": "and then?" });
    for item in [
        json!({ "type": "item_reference", "id": "msg_b" }),
        json!({ "id": "msg_b" }),
        json!({ "type": "reasoning", "id": "rs_b", "summary": [], "encrypted_content": "x" }),
    ] {
        let request = ResponsesRequest::input(json!([item, user]));
        assert_eq!(ask(&router, "default", request).await.unwrap(), "b::m b", "{item}");
    }
    // A whole message is for anybody.
    let whole = json!({ "type": "message", "id": "msg_b", "role": "assistant", "content": [{ "type": "output_text", "text": "b" }] });
    assert_eq!(ask(&router, "default", ResponsesRequest::input(json!([whole, user]))).await.unwrap(), "a::m a");
}

#[tokio::test]
async fn it_fails_over_among_the_deployments_of_that_provider_alone() {
    let (a, b) = (
        server("a").await,
        Server::start(|received| {
            let is_first = received.text().contains(r#""model":"m""#);
            if is_first { Reply::json(503, "{}") } else { Reply::json(200, said("resp_b", "b").to_string()) }
        })
        .await,
    );
    let router = over(&[at("a", &a), at("b", &b)], &["a::m", "b::m", "b::n"], json!({}));
    router.deploy("only b", "b::n", thryd::options::DeployOptions::default()).unwrap();
    assert_eq!(ask(&router, "only b", hi()).await.unwrap(), "b::n b");
    assert_eq!(ask(&router, "default", after("resp_b")).await.unwrap(), "b::n b");
    assert_eq!(a.requests().len(), 0);
}

#[tokio::test]
async fn a_group_without_that_provider_says_so_and_asks_nobody() {
    let (a, b) = (server("a").await, server("b").await);
    let router = over(&[at("a", &a), at("b", &b)], &["a::m"], json!({}));
    router.deploy("only b", "b::m", thryd::options::DeployOptions::default()).unwrap();
    ask(&router, "only b", hi()).await.unwrap();
    let error = ask(&router, "default", after("resp_b")).await.unwrap_err();
    assert_eq!(error.code(), "ERR_UNSUPPORTED");
    assert!(error.to_string().contains("\"b\"") && error.to_string().contains("\"default\""), "{error}");
    assert_eq!(a.requests().len(), 0);
}

#[tokio::test]
async fn a_provider_that_was_taken_away_is_forgotten() {
    let (a, b) = (server("a").await, server("b").await);
    let router = over(&[at("a", &a), at("b", &b)], &["a::m"], json!({}));
    router.deploy("only b", "b::m", thryd::options::DeployOptions::default()).unwrap();
    ask(&router, "only b", hi()).await.unwrap();
    router.remove_provider("b");
    assert_eq!(ask(&router, "default", after("resp_b")).await.unwrap(), "a::m a");
}

#[tokio::test]
async fn whoever_does_not_have_it_is_passed_over_with_all_of_its_deployments() {
    for (status, body) in [
        (400, NOT_FOUND),
        (
            404,
            r#"{"error":{"message":"Response with id 'resp_1' not found.","type":"invalid_request_error","code":404}}"#,
        ),
        (400, r#"{"error":{"message":"previous_response_id is not supported","type":"invalid_request_error"}}"#),
        // As OpenAI says it of an item that it does not keep, and of reasoning that another account has sealed.
        (
            404,
            r#"{"error":{"message":"Item with id 'rs_1' not found. Items are not persisted when `store` is set to false.","type":"invalid_request_error","param":"input","code":null}}"#,
        ),
        (
            400,
            r#"{"error":{"message":"The encrypted content for item rs_1 could not be verified.","type":"invalid_request_error","param":null,"code":"invalid_encrypted_content"}}"#,
        ),
        (
            400,
            r#"{"error":{"message":"Invalid 'previous_response_id': 'x'.","param":"previous_response_id","code":null}}"#,
        ),
    ] {
        let a = Server::start(move |_| Reply::json(status, body)).await;
        let b = server("b").await;
        let deployments = ["a::m", "a::n", "a::o", "a::p", "a::q", "b::m"];
        let router = over(&[at("a", &a), at("b", &b)], &deployments, json!({}));
        assert_eq!(ask(&router, "default", after("resp_1")).await.unwrap(), "b::m b", "{body}");
        assert_eq!(a.requests().len(), 1, "one account is asked once");
        // It is no fault of the deployment's: the next one is asked of it at once.
        assert!(ask(&router, "default", after("resp_1")).await.is_ok());
        assert_eq!(a.requests().len(), 2);
    }
}

#[tokio::test]
async fn what_nobody_has_is_told_in_the_words_of_the_first() {
    let a = Server::start(|_| Reply::json(400, NOT_FOUND)).await;
    let b =
        Server::start(|_| Reply::json(404, r#"{"error":{"message":"Response with id 'resp_1' not found."}}"#)).await;
    let router = over(&[at("a", &a), at("b", &b)], &["a::m", "b::m"], json!({}));
    let error = ask(&router, "default", after("resp_1")).await.unwrap_err();
    let ErrorKind::Provider { deployment, failure } = error.kind() else { panic!("{error:?}") };
    assert_eq!((deployment.as_str(), failure.class, failure.status), ("a::m", FailureClass::Elsewhere, Some(400)));
    assert!(failure.message.contains("resp_1"));
    assert_eq!(error.attempts().len(), 2);
}

#[tokio::test]
async fn an_answer_from_the_cache_is_remembered_as_well() {
    let folder = tempfile_path();
    let (a, b) = (server("a").await, server("b").await);
    let cache = json!({ "cache": { "path": folder } });
    {
        let router = over(&[at("a", &a), at("b", &b)], &["b::m"], cache.clone());
        assert_eq!(ask(&router, "default", hi()).await.unwrap(), "b::m b");
        router.close().await.unwrap();
    }
    let router = over(&[at("a", &a), at("b", &b)], &["b::m"], cache);
    router.deploy("both", "a::m", thryd::options::DeployOptions::default()).unwrap();
    router.deploy("both", "b::m", thryd::options::DeployOptions::default()).unwrap();
    let kept = router.invoke("default", hi(), InvokeOptions::default()).await.unwrap();
    assert_eq!(kept.cache, CacheStatus::Disk);
    assert_eq!(ask(&router, "both", after("resp_b")).await.unwrap(), "b::m b");
    router.close().await.unwrap();
    let _ = std::fs::remove_file(&folder);
}

fn tempfile_path() -> String {
    let name = format!("thryd-responses-{}-{:?}.redb", std::process::id(), std::thread::current().id());
    std::env::temp_dir().join(name.replace(['(', ')'], "")).to_string_lossy().into_owned()
}

fn in_conversation() -> ResponsesRequest {
    hi().set("conversation", json!({ "id": "conv_1" }))
}

#[tokio::test(start_paused = true)]
async fn what_changes_a_conversation_is_neither_kept_nor_shared() {
    let slow = json!({ "responses": ["one", "two", "three"], "latencyMs": 10, "cache": true });
    let router = over(&[dummy("a", slow)], &["a::m"], json!({ "cache": {} }));
    let ask = || router.invoke("default", in_conversation(), InvokeOptions::default());
    let (first, second) = tokio::join!(ask(), ask());
    let third = ask().await.unwrap();
    let answers = [first.unwrap(), second.unwrap(), third];
    let mut texts: Vec<_> = answers.iter().map(|answer| answer.output_text.as_str()).collect();
    texts.sort_unstable();
    assert_eq!(texts, ["one", "three", "two"]);
    assert!(answers.iter().all(|answer| answer.cache == CacheStatus::Off));
    let only = InvokeOptions { cache: CacheUse::OnlyIfCached, ..InvokeOptions::default() };
    assert_eq!(router.invoke("default", in_conversation(), only).await.unwrap_err().code(), "ERR_NOT_CACHED");
}

#[tokio::test(start_paused = true)]
async fn it_is_tried_again_where_it_may_have_been_changed_and_nowhere_else() {
    let fails = json!({ "responses": [{ "fault": "cut" }, "mine"] });
    let other = json!({ "responses": ["other"], "repeat": true });
    let router = over(&[dummy("a", fails), dummy("b", other.clone())], &["a::m", "b::m"], json!({}));
    assert_eq!(ask(&router, "default", in_conversation()).await.unwrap(), "a::m mine");
    let dead = json!({ "responses": [{ "error": { "status": 503 } }], "repeat": true });
    let router = over(&[dummy("a", dead), dummy("b", other)], &["a::m", "b::m"], json!({}));
    let error = ask(&router, "default", in_conversation()).await.unwrap_err();
    assert!(error.attempts().iter().all(|attempt| attempt.deployment == "a::m"), "{error:?}");
    assert_eq!(error.attempts()[0].outcome, Outcome::Transient);
}

#[tokio::test]
async fn a_conversation_that_one_provider_does_not_have_is_asked_of_another_and_then_of_that_one() {
    let a = Server::start(|_| {
        Reply::json(404, r#"{"error":{"message":"Conversation with id 'conv_1' not found.","param":"conversation"}}"#)
    })
    .await;
    let b = Server::start(|_| {
        let mut answer = said("resp_b", "b");
        answer["conversation"] = json!({ "id": "conv_1" });
        Reply::json(200, answer.to_string())
    })
    .await;
    let router = over(&[at("a", &a), at("b", &b)], &["a::m", "b::m"], json!({}));
    assert_eq!(ask(&router, "default", in_conversation()).await.unwrap(), "b::m b");
    assert_eq!(ask(&router, "default", in_conversation()).await.unwrap(), "b::m b");
    assert_eq!(a.requests().len(), 1);
}
