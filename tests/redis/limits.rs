//! What several routers may do together.

use std::time::Duration;

use thryd::fields::Fields;
use thryd::kinds::{Completion, CompletionRequest};
use thryd::options::RouterOptions;
use thryd::route::Router;

use super::reached::reached_by_limits;
use super::{ask, ask_alone, invoke, redis_of, router, url};

#[tokio::test]
async fn two_routers_are_admitted_no_more_than_one_would_be() {
    let Some(server) = reached_by_limits().await else { return };
    let routers = [router(&url(&server), r#""rpm": 10"#, "{}"), router(&url(&server), r#""rpm": 10"#, "{}")];
    let mut admitted = [0, 0];
    for turn in 0..30 {
        if ask(&routers[turn % 2]).await.is_ok() {
            admitted[turn % 2] += 1;
        }
    }
    assert_eq!(admitted, [5, 5]);
    assert_eq!(redis_of(&routers[0]).status, "connected");
}

#[tokio::test]
async fn what_an_answer_did_not_cost_others_may_spend() {
    let Some(server) = reached_by_limits().await else { return };
    // "Hi" is some ten tokens; what is reserved is far more.
    let dummy = r#"{"responses": ["a"], "repeat": true}"#;
    let routers = [router(&url(&server), r#""tpm": 2000"#, dummy), router(&url(&server), r#""tpm": 2000"#, dummy)];
    for turn in 0..40 {
        // What was settled is told behind the caller's back.
        let queue = Duration::from_secs(2);
        super::ask_within(&routers[turn % 2], queue).await.unwrap_or_else(|error| panic!("turn {turn}: {error}"));
    }
}

#[tokio::test]
async fn who_has_no_patience_waits_for_the_answer_of_redis_and_for_nothing_else() {
    let Some(server) = reached_by_limits().await else { return };
    let routers = [router(&url(&server), r#""rpm": 30"#, "{}"), router(&url(&server), r#""rpm": 30"#, "{}")];
    // All at once: those behind the first wait for the same answers.
    let all = futures_util::future::join_all((0..80).map(|turn| ask_alone(&routers[turn % 2], Duration::ZERO))).await;
    let (admitted, refused): (Vec<_>, Vec<_>) = all.into_iter().partition(Result::is_ok);
    assert_eq!(admitted.len(), 30);
    for error in refused {
        let error = error.unwrap_err();
        assert_eq!(error.code(), "ERR_RATE_LIMITED", "{error}");
        assert!(error.retry_after().unwrap() > Duration::from_secs(55), "{error}");
    }
    let wait = routers[1].estimate_wait("g", &CompletionRequest::message("Hi")).unwrap();
    assert!(wait > Duration::from_secs(55), "{wait:?}");
}

#[tokio::test]
async fn an_account_is_one_for_all_its_models_and_all_who_share_it() {
    let Some(server) = reached_by_limits().await else { return };
    let routed = |model: &str| {
        let options = format!(
            r#"{{"limits": {}, "providers": [{{"type": "dummy", "apiKey": "a key of some length", "rpm": 10}}],
                "groups": {{"g": {{"deployments": ["dummy::{model}"]}}}}}}"#,
            url(&server)
        );
        Router::<Completion>::new(RouterOptions::read(Fields::parse("router options", &options).unwrap()).unwrap())
            .unwrap()
    };
    let routers = [routed("one"), routed("other")];
    let mut admitted = 0;
    for turn in 0..20 {
        admitted += i32::from(ask(&routers[turn % 2]).await.is_ok());
    }
    assert_eq!(admitted, 10);
    assert!(!server.ask(&["KEYS", "*"]).contains("a key of"));
}

#[tokio::test]
async fn a_group_goes_on_to_whoever_has_room_where_others_have_spent_it() {
    let Some(server) = reached_by_limits().await else { return };
    let routed = |deployments: &str| {
        let options = format!(
            r#"{{"limits": {}, "providers": [{{"type": "dummy"}}],
                "groups": {{"g": {{"strategy": "first-available", "deployments": [{deployments}]}}}}}}"#,
            url(&server)
        );
        Router::<Completion>::new(RouterOptions::read(Fields::parse("router options", &options).unwrap()).unwrap())
            .unwrap()
    };
    let first = r#"{"model": "dummy::first", "rpm": 3}"#;
    let other = routed(first);
    for _ in 0..3 {
        ask(&other).await.unwrap();
    }
    let both = routed(&format!(r#"{first}, {{"model": "dummy::second", "rpm": 5}}"#));
    for _ in 0..5 {
        let answer = invoke(&both, Duration::ZERO).await.unwrap();
        assert_eq!((answer.deployment.as_str(), answer.position), ("dummy::second", 0));
    }
    assert!(ask(&both).await.is_err());
}

#[tokio::test]
async fn what_was_granted_to_callers_who_left_others_may_spend() {
    let Some(server) = reached_by_limits().await else { return };
    // Ten at once are granted, as many as wait.
    let limits = r#""rpm": 600, "maxConcurrent": 1"#;
    let busy = router(&url(&server), limits, r#"{"latencyMs": 300}"#);
    let (first, waiting) = (ask_alone(&busy, Duration::from_secs(5)), ask_alone(&busy, Duration::from_secs(5)));
    let left = tokio::time::timeout(Duration::from_millis(100), futures_util::future::join(first, waiting)).await;
    assert!(left.is_err(), "both were given up");
    let other = router(&url(&server), limits, "{}");
    super::ask_within(&other, Duration::from_secs(2)).await.unwrap();
}

#[tokio::test]
async fn strategies_take_turns_over_redis_as_they_do_without() {
    let Some(server) = reached_by_limits().await else { return };
    for (strategy, expected) in [("round-robin", [10, 10, 10, 10]), ("weighted", [16, 12, 8, 4])] {
        let deployments: Vec<_> = (0..4)
            .map(|number| {
                let model = format!("{strategy} {number}");
                format!(r#"{{"model": "dummy::{model}", "rpm": 1000, "weight": {}}}"#, 4 - number)
            })
            .collect();
        let options = format!(
            r#"{{"limits": {}, "providers": [{{"type": "dummy"}}],
                "groups": {{"g": {{"strategy": "{strategy}", "deployments": [{}]}}}}}}"#,
            url(&server),
            deployments.join(", ")
        );
        let router =
            Router::<Completion>::new(RouterOptions::read(Fields::parse("router options", &options).unwrap()).unwrap())
                .unwrap();
        let mut sent = [0; 4];
        for _ in 0..40 {
            let name = invoke(&router, Duration::ZERO).await.unwrap().deployment;
            sent[name.chars().last().unwrap().to_digit(10).unwrap() as usize] += 1;
        }
        assert_eq!(sent, expected, "{strategy}");
    }
}
