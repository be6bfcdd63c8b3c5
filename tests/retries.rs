//! When a call is tried again, when it waits, and when it gives up: never past its deadline, never on those who asked to be
//! left alone while another could answer.

mod dummies;

use std::time::Duration;

use dummies::{ask, ask_with, dummy, failing, router};
use proptest::prelude::*;
use serde_json::{Value, json};
use thryd::Error;
use thryd::error::Outcome;
use thryd::kinds::Completion;
use thryd::options::Timeouts;
use thryd::route::Router;
use tokio::time::Instant;

fn limited(milliseconds: u64) -> Value {
    json!({ "error": { "status": 429, "retryAfterMs": milliseconds } })
}

#[tokio::test(start_paused = true)]
async fn who_was_rate_limited_is_not_asked_again_while_another_could_be() {
    let twice = json!({ "responses": [{ "error": { "status": 500 } }, { "error": { "status": 500 } }, "done"], "latencyMs": 300 });
    let router = router(json!({
        "providers": [dummy("busy", json!({ "responses": [limited(100), "too soon"] })), dummy("slow", twice), dummy("last", json!({}))],
        "groups": { "default": { "strategy": "first-available", "deployments": ["busy::m", "slow::m", "last::m"] } },
    }));
    let answer = ask(&router, "hi").await.unwrap();
    let tried: Vec<_> = answer.attempts.iter().map(|one| one.deployment.as_str()).collect();
    assert_eq!(tried, ["busy::m", "slow::m", "slow::m", "last::m"], "busy had rested long before");
}

#[tokio::test(start_paused = true)]
async fn when_all_ask_to_be_left_alone_the_first_to_be_back_answers() {
    let router = router(json!({
        "providers": [dummy("one", json!({ "responses": [limited(3000), "late"] })), dummy("two", json!({ "responses": [limited(1000), "soon"] }))],
        "groups": { "default": { "strategy": "first-available", "deployments": ["one::m", "two::m"] } },
    }));
    let begun = Instant::now();
    let answer = ask(&router, "hi").await.unwrap();
    assert_eq!((answer.content.as_str(), begun.elapsed().as_millis()), ("soon", 1000));
}

#[tokio::test(start_paused = true)]
async fn when_all_ask_to_be_left_alone_for_too_long_the_caller_is_told_for_how_long_at_once() {
    let script = |milliseconds| json!({ "responses": [limited(milliseconds)], "repeat": true });
    let router = router(json!({
        "providers": [dummy("one", script(20_000)), dummy("two", script(9_000))],
        "groups": { "default": { "strategy": "first-available", "deployments": ["one::m", "two::m"] } },
    }));
    for option in ["totalMs", "queueMs"] {
        let begun = Instant::now();
        let error = ask_with(&router, option, json!({ option: 5_000 })).await.unwrap_err();
        assert_eq!(error.code(), "ERR_RATE_LIMITED", "{error}");
        assert_eq!((begun.elapsed(), error.retry_after()), (Duration::ZERO, Some(Duration::from_secs(9))));
    }
}

#[tokio::test(start_paused = true)]
async fn those_who_asked_to_be_left_alone_are_waited_for_when_the_others_cannot_be_in_time() {
    let full = json!({ "model": "full::m", "rpm": 1 });
    let router = router(json!({
        "providers": [dummy("busy", json!({ "responses": [limited(500), "back"] })), dummy("full", json!({}))],
        "groups": { "default": { "strategy": "first-available", "deployments": [full, "busy::m"] } },
    }));
    ask(&router, "fills the minute").await.unwrap();
    let begun = Instant::now();
    let answer = ask_with(&router, "hi", json!({ "queueMs": 5_000 })).await.unwrap();
    assert_eq!((answer.content.as_str(), begun.elapsed().as_millis()), ("back", 500));
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_a_minute_for_a_full_deployment_while_one_that_asked_for_half_a_second_is_back() {
    let full = json!({ "model": "full::m", "rpm": 1 });
    let router = router(json!({
        "providers": [dummy("busy", json!({ "responses": [limited(500), "back"] })), dummy("full", json!({}))],
        "groups": { "default": { "strategy": "first-available", "deployments": [full, "busy::m"] } },
    }));
    ask(&router, "fills the minute").await.unwrap();
    let begun = Instant::now();
    let answer = ask(&router, "hi").await.unwrap();
    assert_eq!((answer.content.as_str(), begun.elapsed().as_millis()), ("back", 500));
}

#[tokio::test(start_paused = true)]
async fn an_outage_that_says_when_it_is_over_is_left_alone_until_then() {
    let down = json!({ "responses": [{ "error": { "status": 503, "retryAfterMs": 2000 } }, "back"] });
    let one = router(json!({
        "providers": [dummy("down", down.clone()), dummy("up", json!({}))],
        "groups": { "default": { "strategy": "first-available", "deployments": ["down::m", "up::m"] } },
    }));
    let answer = ask(&one, "hi").await.unwrap();
    let tried: Vec<_> = answer.attempts.iter().map(|one| one.deployment.as_str()).collect();
    assert_eq!(tried, ["down::m", "up::m"]);

    let alone =
        router(json!({ "providers": [dummy("down", down)], "groups": { "default": { "deployments": ["down::m"] } } }));
    let begun = Instant::now();
    assert_eq!(ask(&alone, "hi").await.unwrap().content, "back");
    assert_eq!(begun.elapsed().as_millis(), 2000);
}

#[tokio::test(start_paused = true)]
async fn a_pause_that_cannot_end_in_time_is_not_begun_and_what_went_wrong_is_told_at_once() {
    let retry = json!({ "baseDelayMs": 1e9, "maxDelayMs": 1e9, "cooldownMs": 1 });
    let router = router(json!({
        "providers": [dummy("bad", failing(503))],
        "groups": { "default": { "deployments": ["bad::m"] } },
        "retry": retry,
    }));
    let begun = Instant::now();
    let error = ask_with(&router, "hi", json!({ "totalMs": 1000 })).await.unwrap_err();
    assert_eq!((error.code(), begun.elapsed()), ("ERR_PROVIDER", Duration::ZERO), "{error}");
    assert!(error.is_retryable());
}

#[tokio::test(start_paused = true)]
async fn a_request_that_was_too_long_goes_only_to_windows_that_are_known_to_be_larger() {
    let script =
        json!({ "responses": [{ "error": { "status": 400, "code": "context_length_exceeded" } }], "repeat": true });
    let router = router(json!({
        "providers": [dummy("small", script), dummy("as-small", json!({})), dummy("large", json!({}))],
        "groups": { "default": { "strategy": "first-available", "deployments": [
            { "model": "small::a", "contextWindow": 4000 },
            { "model": "as-small::b", "contextWindow": 4000 },
            { "model": "large::c", "contextWindow": 8000 },
        ] } },
    }));
    let answer = ask(&router, "hi").await.unwrap();
    let tried: Vec<_> = answer.attempts.iter().map(|one| (one.deployment.as_str(), one.outcome)).collect();
    assert_eq!(tried, [("small::a", Outcome::TooLong), ("large::c", Outcome::Ok)]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    /// Whatever fails however, a call is over by its deadline, has an honest end, and asked nobody in vain.
    #[test]
    fn no_call_outlives_its_deadline_and_no_attempt_is_in_vain(
        faults in prop::collection::vec(0_usize..7, 1..4),
        total in 50_u64..4_000,
        seed in any::<u64>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let fault = |kind: &usize| match kind {
                0 => failing(503),
                1 => failing(401),
                2 => failing(400),
                3 => json!({ "responses": [limited(700)], "repeat": true }),
                4 => json!({ "faults": { "hang": 1 } }),
                5 => json!({ "faults": { "cut": 0.5, "reset": 0.5 }, "latencyMs": 20, "seed": seed % 1000 }),
                _ => json!({ "faults": { "status": { "502": 0.7 } }, "latencyMs": 5, "seed": seed % 1000 }),
            };
            let providers: Vec<_> = faults.iter().enumerate().map(|(place, kind)| dummy(&format!("p{place}"), fault(kind))).collect();
            let deployments: Vec<_> = (0..faults.len()).map(|place| format!("p{place}::m")).collect();
            let router = router(json!({ "providers": providers, "groups": { "default": { "deployments": deployments } } }));
            let begun = Instant::now();
            let result = ask_with(&router, "hi", json!({ "totalMs": total, "firstTokenMs": 300 })).await;
            let slack = 25;
            prop_assert!(begun.elapsed() <= Duration::from_millis(total + slack), "{:?}", begun.elapsed());
            let attempts = result.as_ref().map_or_else(Error::attempts, |answer| &answer.attempts[..]).to_vec();
            prop_assert!(attempts.len() <= 4);
            for name in &deployments {
                let of = |outcomes: &[Outcome]| {
                    attempts.iter().filter(|one| one.deployment == *name && outcomes.contains(&one.outcome)).count()
                };
                prop_assert!(of(&[Outcome::Silent]) <= 1, "silent is not asked again: {attempts:?}");
                prop_assert!(of(&[Outcome::Auth, Outcome::Quota]) <= 1, "a dead one is not asked again: {attempts:?}");
            }
            prop_assert!(attempts.iter().filter(|one| one.outcome == Outcome::Rejected).count() <= 1);
            let is_last = attempts.iter().position(|one| one.outcome == Outcome::Rejected).is_none_or(|at| at + 1 == attempts.len());
            prop_assert!(is_last, "nothing follows the caller's fault: {attempts:?}");
            if let Err(error) = result {
                prop_assert!(!error.code().is_empty() && error.code() != "ERR_BUG", "{error}");
            }
            let left: u64 = router.stats().groups["default"].deployments.iter().map(|one| one.in_flight).sum();
            prop_assert_eq!(left, 0);
            Ok(())
        })?;
    }
}

async fn at_once(router: &Router<Completion>, count: usize) -> Vec<Result<thryd::route::Answer<Completion>, Error>> {
    let texts: Vec<_> = (0..count).map(|number| number.to_string()).collect();
    futures_util::future::join_all(texts.iter().map(|text| ask(router, text))).await
}

#[tokio::test(start_paused = true)]
async fn a_burst_that_meets_an_outage_is_answered_elsewhere_though_no_budget_is_that_large() {
    let mut bad = failing(503);
    bad["latencyMs"] = 10.into();
    let router = router(json!({
        "providers": [dummy("bad", bad), dummy("good", json!({ "latencyMs": 20 }))],
        "groups": { "default": { "strategy": "first-available", "deployments": ["bad::m", "good::m"] } },
    }));
    let begun = Instant::now();
    let answers = at_once(&router, 2000).await;
    let failed: Vec<_> = answers.iter().filter_map(|answer| answer.as_ref().err()).collect();
    assert!(failed.is_empty(), "{} failed: {}", failed.len(), failed[0]);
    assert!(begun.elapsed() < Duration::from_millis(200), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_burst_that_meets_an_outage_of_all_is_not_multiplied_and_everyone_is_told_in_time() {
    let bad = || {
        let mut bad = failing(503);
        bad["latencyMs"] = 10.into();
        bad
    };
    let router = router(json!({
        "providers": [dummy("one", bad()), dummy("two", bad())],
        "groups": { "default": { "strategy": "first-available", "deployments": ["one::m", "two::m"] } },
    }));
    let begun = Instant::now();
    let answers = at_once(&router, 500).await;
    let attempts: usize = answers.iter().map(|answer| answer.as_ref().unwrap_err().attempts().len()).sum();
    assert!(attempts <= 500 * 12 / 10 + 100, "{attempts} attempts for 500 calls");
    assert!(begun.elapsed() <= Timeouts::default().queue, "{:?}", begun.elapsed());
}

/// One that rested while the others were asked is due to be asked again, first of all, when the last attempt is made.
#[tokio::test(start_paused = true)]
async fn the_last_attempt_is_not_spent_on_finding_out_who_is_back() {
    let rested = json!({ "responses": [limited(2000)], "repeat": true });
    let slow_to_fail = json!({ "latencyMs": 800, "faults": { "status": { "503": 1 } } });
    let router = router(json!({
        "providers": [dummy("rested", rested), dummy("bad", slow_to_fail), dummy("well", json!({}))],
        "groups": { "default": { "strategy": "first-available", "deployments": ["rested::m", "bad::m", "well::m"] } },
        "retry": { "maxRetries": 2 },
    }));
    for call in 0..5 {
        let answer = ask_with(&router, &call.to_string(), json!({})).await.unwrap();
        assert_eq!(answer.deployment, "well::m", "call {call}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// As many deployments as a call has attempts, all but one of them failing in their own ways: every call is answered.
    #[test]
    fn no_call_fails_while_somebody_who_could_answer_was_not_asked(
        faults in prop::collection::vec(0_usize..8, 1..4),
        place in 0_usize..4,
        strategy in 0_usize..3,
        seed in 0_u64..1000,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let fault = |kind: &usize| match kind {
                0 => failing(503),
                1 => failing(401),
                2 => failing(402),
                3 => json!({ "responses": [limited(700)], "repeat": true }),
                4 => json!({ "faults": { "hang": 1 } }),
                5 => json!({ "faults": { "cut": 0.5, "reset": 0.5 }, "latencyMs": 20, "seed": seed }),
                6 => json!({ "faults": { "malformed": 1 } }),
                _ => json!({ "faults": { "status": { "502": 0.5, "429": 0.5 } }, "latencyMs": 5, "seed": seed }),
            };
            let mut options: Vec<_> = faults.iter().map(fault).collect();
            options.insert(place.min(options.len()), json!({ "latencyMs": 5 }));
            let deployments: Vec<_> = (0..options.len()).map(|place| format!("p{place}::m")).collect();
            let providers: Vec<_> = options.into_iter().enumerate().map(|(place, one)| dummy(&format!("p{place}"), one)).collect();
            let strategy = ["first-available", "round-robin", "lowest-latency"][strategy];
            let groups = json!({ "default": { "strategy": strategy, "deployments": deployments } });
            let router = router(json!({ "providers": providers, "groups": groups }));
            for call in 0..12 {
                let answer = ask_with(&router, &call.to_string(), json!({ "firstTokenMs": 300 })).await;
                prop_assert!(answer.is_ok(), "{strategy}: {}", answer.unwrap_err());
                tokio::time::sleep(Duration::from_millis(seed * 7)).await;
            }
            Ok(())
        })?;
    }
}
