//! Fears about requests whose tokens need not be counted: that they are counted all the same, or that one slips through that
//! is too long. By vocabularies that nothing else here needs, so that one that is not loaded was not used.

mod dummies;

use dummies::{ask, ask_with, dummy, failing, router};
use serde_json::json;
use thryd::ErrorKind;
use thryd::tokens::is_loaded;

/// A router over one deployment with these options, whose provider says what it cost.
fn limited(model: &str, options: serde_json::Value) -> thryd::route::Router<thryd::kinds::Completion> {
    let mut deployment = json!({ "model": format!("a::{model}") });
    deployment.as_object_mut().unwrap().extend(options.as_object().unwrap().clone());
    router(json!({
        "providers": [dummy("a", json!({ "responses": ["answer"], "repeat": true }))],
        "groups": { "default": { "deployments": [deployment] } },
    }))
}

#[tokio::test]
async fn a_request_that_fits_whatever_it_counts_is_not_counted() {
    let model = "davinci";
    let router = limited(model, json!({ "contextWindow": 4000 }));
    ask(&router, &"word ".repeat(500)).await.unwrap();
    assert!(!is_loaded(model), "it was counted, or the dummy counts by this vocabulary");
    // One that may not fit is, and does.
    ask(&router, &"word ".repeat(1_000)).await.unwrap();
    assert!(is_loaded(model));
}

#[tokio::test]
async fn what_the_answer_may_take_is_a_part_of_it() {
    let model = "text-davinci-003";
    let router = limited(model, json!({ "contextWindow": 100 }));
    ask(&router, "Hi").await.unwrap();
    assert!(!is_loaded(model));
    let error = router
        .invoke(
            "default",
            dummies::request("Hi").set("max_completion_tokens", 99),
            thryd::options::InvokeOptions::default(),
        )
        .await
        .unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::TooLarge { limit: 100, field: "contextWindow", .. }), "{error:?}");
}

#[tokio::test]
async fn a_limit_of_tokens_is_told_the_number_itself() {
    let router = limited("gpt-4o", json!({ "contextWindow": 4000, "tpm": 1000 }));
    let error = ask(&router, &"word ".repeat(1_200)).await.unwrap_err();
    let ErrorKind::TooLarge { tokens, field: "tpm", .. } = error.kind() else { panic!("{error:?}") };
    assert!((1_200..1_300).contains(tokens), "{tokens}");
}

#[tokio::test(start_paused = true)]
async fn a_group_whose_deployments_all_fail_is_no_reason_to_count_for_ever() {
    let router = router(json!({
        "providers": [dummy("a", failing(401))],
        "groups": { "default": { "deployments": [{ "model": "a::m", "contextWindow": 4000 }] } },
    }));
    for _ in 0..3 {
        ask_with(&router, "Hi", json!({ "totalMs": 60_000 })).await.unwrap_err();
    }
}
