//! Fears about who shares an answer: that two names of one model are asked twice, that two models are taken for one, and
//! that a scripted answer is given to somebody who wanted a real one.

mod dummies;

use dummies::{ask, dummy, router};
use serde_json::{Value, json};
use thryd::fields::Fields;
use thryd::kinds::{Completion, EmbeddingRequest, Embeddings};
use thryd::options::{DeployOptions, InvokeOptions};
use thryd::route::{Answer, CacheStatus, Router};

/// Two providers that keep their answers, and two groups with these deployments.
fn two_groups(first: &Value, second: &Value, cache: &Value) -> Router<Completion> {
    let keeping =
        |name: &str| dummy(name, json!({ "responses": [format!("from {name}")], "repeat": true, "cache": true }));
    router(json!({
        "providers": [keeping("openai"), keeping("azure")],
        "groups": { "default": { "deployments": first }, "other": { "deployments": second } },
        "cache": cache,
    }))
}

async fn ask_group(router: &Router<Completion>, group: &str) -> Answer<Completion> {
    router.invoke(group, dummies::request("hi"), Default::default()).await.unwrap()
}

fn deploy(options: Value) -> DeployOptions {
    DeployOptions::read(Fields::new("deploy options", options).unwrap()).unwrap()
}

fn named(model: &str, name: &str) -> Value {
    json!({ "model": model, "cacheAs": name })
}

#[tokio::test]
async fn two_names_of_one_model_share_answers_in_memory_and_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    let on_disk = json!({ "path": folder.path().join("c"), "memoryBytes": 0 });
    for (cache, place) in [(json!({}), CacheStatus::Memory), (on_disk, CacheStatus::Disk)] {
        let openai = json!([named("openai::gpt-4o", "gpt-4o")]);
        let router = two_groups(&openai, &json!([named("azure::gpt-4o", "gpt-4o")]), &cache);
        assert_eq!(ask_group(&router, "default").await.cache, CacheStatus::Miss);
        let shared = ask_group(&router, "other").await;
        assert_eq!((shared.cache, shared.content.as_str()), (place, "from openai"));
        assert_eq!(shared.deployment, "openai::gpt-4o", "it says who answered, whoever was asked");
    }
}

#[tokio::test]
async fn without_a_common_name_they_do_not_share() {
    for (first, second) in [
        (json!(["openai::gpt-4o"]), json!(["azure::gpt-4o"])),
        (json!([named("openai::gpt-4o", "gpt-4o")]), json!(["azure::gpt-4o"])),
        (json!([named("openai::gpt-4o", "gpt-4o")]), json!([named("azure::gpt-4o", "gpt-4o-2")])),
    ] {
        let router = two_groups(&first, &second, &json!({}));
        assert_eq!(ask_group(&router, "default").await.content, "from openai");
        assert_eq!(ask_group(&router, "other").await.content, "from azure");
    }
}

#[tokio::test]
async fn two_deployments_of_one_group_with_one_name_count_once() {
    let both = json!([named("openai::gpt-4o", "gpt-4o"), named("azure::gpt-4o", "gpt-4o")]);
    let router = two_groups(&both, &json!([named("azure::gpt-4o", "gpt-4o")]), &json!({}));
    assert_eq!(ask_group(&router, "other").await.content, "from azure");
    assert_eq!(ask_group(&router, "default").await.cache, CacheStatus::Memory);
}

#[tokio::test]
async fn a_name_may_be_that_of_another_deployment() {
    let router = two_groups(&json!(["openai::gpt-4o"]), &json!([named("azure::gpt-4o", "openai::gpt-4o")]), &json!({}));
    assert_eq!(ask_group(&router, "default").await.cache, CacheStatus::Miss);
    assert_eq!(ask_group(&router, "other").await.cache, CacheStatus::Memory);
}

#[tokio::test]
async fn deploying_again_under_another_name_asks_another_question() {
    let router = two_groups(&json!([named("openai::gpt-4o", "a")]), &json!(["azure::gpt-4o"]), &json!({}));
    assert_eq!(ask_group(&router, "default").await.cache, CacheStatus::Miss);
    for (options, expected) in [
        (json!({ "cacheAs": "b" }), CacheStatus::Miss),
        (json!({}), CacheStatus::Miss),
        (json!({ "cacheAs": "a" }), CacheStatus::Memory),
    ] {
        router.deploy("default", "openai::gpt-4o", deploy(options.clone())).unwrap();
        assert_eq!(ask_group(&router, "default").await.cache, expected, "{options}");
    }
}

#[test]
fn a_name_that_is_none_is_refused_by_its_field() {
    for (value, got) in [(json!(""), "\"\""), (json!(7), "7"), (json!(["a"]), "array")] {
        let fields = Fields::new("deploy options", json!({ "cacheAs": value })).unwrap();
        let error = DeployOptions::read(fields).unwrap_err().to_string();
        assert!(error.starts_with("deploy options.cacheAs: expected a"), "{error}");
        assert!(error.contains(got), "{error}");
    }
}

// -------------------------------------------------------------------------------------------------- scripted answers

#[tokio::test]
async fn a_dummys_vectors_are_not_said_to_be_kept_either() {
    let router: Router<Embeddings> = dummies::router_of(json!({
        "providers": [dummy("dummy", json!({}))],
        "groups": { "default": { "deployments": ["dummy::e"] } },
        "cache": {},
    }));
    for texts in [vec!["a"], vec!["a", "b"]] {
        let request = EmbeddingRequest::input(texts);
        let answer = router.invoke("default", request, InvokeOptions::default()).await.unwrap();
        assert_eq!(answer.cache, CacheStatus::Off);
    }
}

#[tokio::test]
async fn a_dummys_answers_are_used_up_and_not_left_in_a_file_unless_it_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c");
    let scripted = |dummy_options: Value| {
        router(json!({
            "providers": [dummy("dummy", dummy_options)],
            "groups": { "default": { "deployments": ["dummy::m"] } },
            "cache": { "path": path, "memoryBytes": 0 },
        }))
    };
    let router = scripted(json!({ "responses": ["1", "2"] }));
    for content in ["1", "2"] {
        let answer = ask(&router, "hi").await.unwrap();
        assert_eq!((answer.content.as_str(), answer.cache), (content, CacheStatus::Off));
    }
    router.close().await.unwrap();
    assert_eq!(router.stats().cache.unwrap().entries, 0);

    let keeping = scripted(json!({ "responses": ["3"], "cache": true }));
    assert_eq!(ask(&keeping, "hi").await.unwrap().cache, CacheStatus::Miss);
    // A dummy that keeps nothing still reads what is there.
    let again = ask(&scripted(json!({ "responses": [] })), "hi").await.unwrap();
    assert_eq!((again.content.as_str(), again.cache), ("3", CacheStatus::Disk));
}
