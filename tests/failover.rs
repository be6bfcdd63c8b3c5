//! Which deployment is asked next when one fails, and what the caller is told when none is left.

mod dummies;

use std::time::Duration;

use dummies::{ask, ask_with, dummy, failing, router};
use serde_json::json;
use thryd::ErrorKind;
use thryd::error::{FailureClass, Outcome, Phase};
use thryd::fields::Fields;
use thryd::options::GroupOptions;
use thryd::provider::ProviderOptions;

#[tokio::test(start_paused = true)]
async fn a_deployment_that_fails_is_asked_once_more_and_then_another_answers() {
    let router = router(json!({
        "providers": [dummy("bad", failing(503)), dummy("good", json!({}))],
        "groups": { "default": { "strategy": "first-available", "deployments": ["bad::m", "good::m"] } },
    }));
    let answer = ask(&router, "hi").await.unwrap();
    let tried: Vec<_> = answer.attempts.iter().map(|one| (one.deployment.as_str(), one.outcome)).collect();
    let transient = ("bad::m", Outcome::Transient);
    assert_eq!(tried, [transient, transient, ("good::m", Outcome::Ok)]);
    assert!(answer.latency < Duration::from_millis(50), "nobody sleeps while another is healthy");
}

#[tokio::test(start_paused = true)]
async fn the_callers_own_fault_is_never_tried_twice() {
    let router = router(json!({
        "providers": [dummy("bad", failing(400)), dummy("good", json!({}))],
        "groups": { "default": { "strategy": "first-available", "deployments": ["bad::m", "good::m"] } },
    }));
    let error = ask(&router, "hi").await.unwrap_err();
    assert_eq!(error.code(), "ERR_PROVIDER");
    assert!(!error.is_retryable());
    assert_eq!(error.attempts().len(), 1);
    let ErrorKind::Provider { deployment, failure } = error.kind() else { panic!("{error}") };
    assert_eq!((deployment.as_str(), failure.status, failure.class), ("bad::m", Some(400), FailureClass::Rejected));
}

#[tokio::test(start_paused = true)]
async fn a_dead_key_is_not_asked_again_while_another_is_there() {
    let router = router(json!({
        "providers": [dummy("dead", failing(401)), dummy("good", json!({}))],
        "groups": { "default": { "strategy": "first-available", "deployments": ["dead::m", "good::m"] } },
    }));
    assert_eq!(ask(&router, "one").await.unwrap().attempts.len(), 2);
    assert_eq!(ask(&router, "two").await.unwrap().attempts.len(), 1);
    let stats = router.stats();
    let dead = &stats.groups["default"].deployments[0];
    assert!(dead.rest_ms > 0.0);
    assert_eq!(serde_json::to_value(dead.circuit).unwrap(), "open");
}

#[tokio::test(start_paused = true)]
async fn a_lone_deployment_with_a_dead_key_says_so_every_time_instead_of_making_its_users_wait() {
    let router = router(json!({
        "providers": [dummy("dead", failing(401))],
        "groups": { "default": { "deployments": ["dead::m"] } },
    }));
    for _ in 0..3 {
        let started = tokio::time::Instant::now();
        let error = ask(&router, "hi").await.unwrap_err();
        assert_eq!(error.code(), "ERR_PROVIDER", "{error}");
        assert_eq!(started.elapsed(), Duration::ZERO);
    }
}

#[tokio::test(start_paused = true)]
async fn a_lone_rate_limited_deployment_is_waited_for_as_long_as_it_says() {
    let script = json!({ "responses": [{ "error": { "status": 429, "retryAfterMs": 2000 } }, "done"] });
    let router = router(json!({
        "providers": [dummy("busy", script)],
        "groups": { "default": { "deployments": ["busy::m"] } },
    }));
    let answer = ask(&router, "hi").await.unwrap();
    assert_eq!(answer.content, "done");
    let outcomes: Vec<_> = answer.attempts.iter().map(|one| one.outcome).collect();
    assert_eq!(outcomes, [Outcome::RateLimited, Outcome::Ok]);
    assert!((2000..3000).contains(&answer.latency.as_millis()), "{:?}", answer.latency);
}

#[tokio::test(start_paused = true)]
async fn a_wait_longer_than_allowed_is_surfaced_and_never_slept() {
    let script = json!({ "responses": [{ "error": { "status": 429, "retryAfterMs": 600_000 } }], "repeat": true });
    let router = router(json!({
        "providers": [dummy("busy", script)],
        "groups": { "default": { "deployments": ["busy::m"] } },
    }));
    let started = tokio::time::Instant::now();
    let error = ask(&router, "hi").await.unwrap_err();
    assert!(started.elapsed() < Duration::from_secs(1));
    assert_eq!(error.code(), "ERR_RATE_LIMITED");
    assert_eq!(error.retry_after(), Some(Duration::from_secs(600)));
    assert_eq!(error.attempts().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_rest_that_is_longer_than_anybody_waits_is_told_to_all_who_come_and_slept_by_none() {
    let script = json!({ "responses": [{ "error": { "status": 429, "retryAfterMs": 60_000 } }], "repeat": true });
    let router = router(json!({
        "providers": [dummy("busy", script)],
        "groups": { "default": { "deployments": ["busy::m"] } },
        "retry": { "maxDelayMs": 1_000 },
    }));
    let begun = tokio::time::Instant::now();
    for second in 0..3_u64 {
        let error = ask(&router, &second.to_string()).await.unwrap_err();
        assert_eq!((error.code(), begun.elapsed().as_secs()), ("ERR_RATE_LIMITED", 0), "{error}");
        assert_eq!(error.retry_after(), Some(Duration::from_millis(60_000 - 100 * second)));
        assert_eq!(error.attempts().len(), usize::from(second == 0), "nothing is sent before it may be back");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let error = ask(&router, "a probe").await.unwrap_err();
    assert_eq!((error.attempts().len(), error.retry_after()), (1, Some(Duration::from_secs(60))));
}

#[tokio::test(start_paused = true)]
async fn what_a_provider_says_later_counts_and_not_what_it_said_first() {
    let limited = |milliseconds: u64| json!({ "error": { "status": 429, "retryAfterMs": milliseconds } });
    let router = router(json!({
        "providers": [dummy("busy", json!({ "responses": [limited(60_000), limited(500), "back"] }))],
        "groups": { "default": { "deployments": ["busy::m"] } },
        "retry": { "maxDelayMs": 1_000 },
    }));
    ask(&router, "hi").await.unwrap_err();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let begun = tokio::time::Instant::now();
    assert_eq!(ask(&router, "again").await.unwrap().content, "back");
    assert_eq!(begun.elapsed(), Duration::from_millis(500));
}

#[tokio::test(start_paused = true)]
async fn who_asks_to_be_left_alone_for_an_hour_is_asked_once_whether_others_are_dead_or_wait() {
    for status in [503, 429] {
        let hour =
            json!({ "responses": [{ "error": { "status": status, "retryAfterMs": 3_600_000 } }], "repeat": true });
        let router = router(json!({
            "providers": [dummy("dead", failing(401)), dummy("busy", hour)],
            "groups": { "default": {
                "strategy": "first-available",
                "deployments": ["dead::m", { "model": "busy::m", "maxConcurrent": 1 }],
            } },
            "retry": { "maxDelayMs": 2_000 },
        }));
        ask(&router, "finds the dead one").await.unwrap_err();
        tokio::time::sleep(Duration::from_secs(3)).await;
        let begun = tokio::time::Instant::now();
        let calls: Vec<_> = (0..4)
            .map(|call: i32| {
                let router = router.clone();
                tokio::spawn(async move { ask(&router, &call.to_string()).await.unwrap_err() })
            })
            .collect();
        let mut sent = 0;
        for call in calls {
            let error = call.await.unwrap();
            sent += error.attempts().len();
            assert_eq!(error.retry_after().map(|after| after.as_secs()), Some(3_600), "{error}");
        }
        assert_eq!((sent, begun.elapsed().as_secs()), (1, 0), "nobody waits, and nobody asks again");
    }
}

#[tokio::test(start_paused = true)]
async fn who_has_used_up_his_retries_is_told_when_the_deployment_is_back_and_not_when_it_first_was_to_be() {
    let router = router(json!({
        "providers": [dummy("busy", failing(429))],
        "groups": { "default": { "deployments": ["busy::m"] } },
        "retry": { "cooldownMs": 200, "maxDelayMs": 5_000 },
    }));
    let error = ask(&router, "hi").await.unwrap_err();
    assert_eq!((error.code(), error.attempts().len()), ("ERR_RATE_LIMITED", 4));
    let rest = router.stats().groups["default"].deployments[0].rest_ms;
    assert!(rest > 1_000.0, "{rest}");
    assert!((error.retry_after().unwrap().as_secs_f64() * 1_000.0 - rest).abs() < 2.0, "{error}");
}

#[tokio::test(start_paused = true)]
async fn every_failure_is_kept_in_order_when_nobody_answers() {
    let router = router(json!({
        "providers": [dummy("a", failing(500)), dummy("b", failing(502))],
        "groups": { "default": { "strategy": "first-available", "deployments": ["a::m", "b::m"] } },
    }));
    let error = ask(&router, "hi").await.unwrap_err();
    let ErrorKind::Exhausted { errors, .. } = error.kind() else { panic!("{error}") };
    let status = |one: &thryd::Error| match one.kind() {
        ErrorKind::Provider { failure, .. } => failure.status,
        _ => None,
    };
    let statuses: Vec<_> = errors.iter().map(status).collect();
    assert_eq!(statuses, [Some(500), Some(500), Some(502), Some(502)]);
    assert_eq!(error.attempts().len(), 4, "one try and three retries");
    assert!(error.is_retryable());
}

#[tokio::test(start_paused = true)]
async fn a_fallback_group_answers_when_the_first_cannot() {
    let router = router(json!({
        "providers": [dummy("bad", failing(500)), dummy("good", json!({}))],
        "groups": {
            "default": { "deployments": ["bad::m"], "fallbacks": ["spare"] },
            "spare": { "deployments": ["good::m"] },
        },
    }));
    assert_eq!(ask(&router, "hi").await.unwrap().deployment, "good::m");
}

#[tokio::test(start_paused = true)]
async fn fallbacks_that_lead_back_are_refused() {
    let router = router(json!({}));
    let to = |name: &str| GroupOptions { fallbacks: vec![name.to_owned()], ..GroupOptions::default() };
    router.configure_group("a", to("b")).unwrap();
    router.configure_group("b", to("c")).unwrap();
    let error = router.configure_group("c", to("a")).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Invalid(_)), "{error}");
}

#[tokio::test(start_paused = true)]
async fn retries_are_counted_over_all_groups_but_each_fallback_gets_its_try() {
    let router = router(json!({
        "providers": [dummy("bad", failing(500)), dummy("good", json!({}))],
        "groups": {
            "default": { "deployments": ["bad::a"], "fallbacks": ["second", "third"] },
            "second": { "deployments": ["bad::b"] },
            "third": { "deployments": ["good::m"] },
        },
        "retry": { "maxRetries": 2 },
    }));
    let answer = ask(&router, "hi").await.unwrap();
    let tried: Vec<_> = answer.attempts.iter().map(|one| one.deployment.as_str()).collect();
    assert_eq!(tried, ["bad::a", "bad::a", "bad::a", "bad::b", "good::m"]);
}

#[tokio::test(start_paused = true)]
async fn those_who_wait_for_a_probe_go_as_soon_as_it_is_back() {
    let script =
        json!({ "responses": [{ "error": { "status": 429, "retryAfterMs": 200 } }, "1", "2", "3"], "latencyMs": 20 });
    let router = router(json!({
        "providers": [dummy("dummy", script)],
        "groups": { "default": { "deployments": ["dummy::m"] } },
    }));
    let started = tokio::time::Instant::now();
    let calls = ["a", "b", "c"].map(|text| ask(&router, text));
    for result in futures_util::future::join_all(calls).await {
        result.unwrap();
    }
    assert!(started.elapsed() < Duration::from_millis(300), "{:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_fallback_answers_at_once_while_the_first_group_only_rests() {
    let script = json!({ "responses": [{ "error": { "status": 429, "retryAfterMs": 3000 } }], "repeat": true });
    let router = router(json!({
        "providers": [dummy("busy", script), dummy("good", json!({}))],
        "groups": {
            "default": { "deployments": ["busy::m"], "fallbacks": ["spare"] },
            "spare": { "deployments": ["good::m"] },
        },
    }));
    let started = tokio::time::Instant::now();
    for text in ["one", "two"] {
        assert_eq!(ask(&router, text).await.unwrap().deployment, "good::m");
    }
    assert_eq!(started.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_new_key_is_tried_at_once() {
    let router = router(json!({
        "providers": [dummy("own", failing(401)), dummy("spare", json!({}))],
        "groups": { "default": { "strategy": "first-available", "deployments": ["own::m", "spare::m"] } },
    }));
    assert_eq!(ask(&router, "one").await.unwrap().deployment, "spare::m");
    let fixed = Fields::new("provider options", dummy("own", json!({}))).unwrap();
    router.add_provider(ProviderOptions::read(fixed).unwrap()).unwrap();
    assert_eq!(ask(&router, "two").await.unwrap().deployment, "own::m");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_runs_out_of_its_time_says_what_it_was_waiting_for() {
    let router = router(json!({
        "providers": [dummy("hung", json!({ "faults": { "hang": 1 } })), dummy("good", json!({}))],
        "groups": { "default": { "strategy": "first-available", "deployments": ["hung::m", "good::m"] } },
    }));
    let error = ask_with(&router, "hi", json!({ "totalMs": 2000 })).await.unwrap_err();
    let ErrorKind::Timeout { phase, .. } = error.kind() else { panic!("{error}") };
    assert_eq!(*phase, Phase::Total);
    let tried: Vec<_> = error.attempts().iter().map(|one| (one.deployment.as_str(), one.outcome)).collect();
    assert_eq!(tried, [("hung::m", Outcome::Silent)]);
    assert_eq!(router.stats().groups["default"].deployments[0].failed, 1);
}

#[tokio::test(start_paused = true)]
async fn a_clock_names_its_phase() {
    let clocks = [("firstTokenMs", Phase::FirstToken), ("attemptMs", Phase::Attempt), ("totalMs", Phase::Total)];
    for (field, phase) in clocks {
        let router = router(json!({
            "providers": [dummy("dummy", json!({ "faults": { "hang": 1 } }))],
            "groups": { "default": { "deployments": ["dummy::m"] } },
        }));
        let started = tokio::time::Instant::now();
        let error = ask_with(&router, "hi", json!({ field: 300 })).await.unwrap_err();
        let ErrorKind::Timeout { phase: found, .. } = error.kind() else { panic!("{error}") };
        assert_eq!(*found, phase);
        assert_eq!(started.elapsed().as_millis(), 300);
    }
}
