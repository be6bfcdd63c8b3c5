//! Who is asked while deployments rest and come back: whoever can be, as soon as it can be, and nobody is left to guess.

mod world;

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use thryd::kinds::{Completion, CompletionRequest};
use thryd::options::{DeployOptions, GroupOptions, StreamOptions};
use thryd::route::strategy::Strategy;
use thryd::route::{Answer, DeploymentStats, Router};
use thryd::{Error, ErrorKind};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, advance, sleep};
use world::{Behaviour, Script, World, call, deploy, router};

fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// Behaves so until this second, and answers from then on.
fn until(end: u64, behaviour: Behaviour) -> Script {
    Arc::new(move |at, _| if at < s(end) { behaviour } else { Behaviour::Answer })
}

fn always(behaviour: Behaviour) -> Script {
    Arc::new(move |_, _| behaviour)
}

fn later(router: &Router<Completion>, options: Value) -> JoinHandle<thryd::Result<Answer<Completion>>> {
    let router = router.clone();
    tokio::spawn(async move { call(&router, options).await })
}

fn stats(router: &Router<Completion>, place: usize) -> DeploymentStats {
    router.stats().groups["default"].deployments[place].clone()
}

fn as_json(stats: &DeploymentStats) -> Value {
    let all = serde_json::to_value(stats).unwrap();
    let shown = ["circuit", "restMs", "restReason", "restError", "rampLimit"]
        .map(|name| (name.to_owned(), all.get(name).cloned()));
    shown.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

/// Refused at once, with this time to come back, give or take as much.
fn assert_refused(error: &Error, begun: Instant, after: Duration, give: Duration, reason: &str) {
    assert_eq!((error.code(), begun.elapsed()), ("ERR_RATE_LIMITED", Duration::ZERO), "{error}");
    let told = error.retry_after().expect("a time");
    assert!(told <= after && told + give >= after, "{told:?} is not {after:?}");
    assert!(error.to_string().contains(reason), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_lone_deployment_that_rests_is_waited_for_if_there_is_time_and_else_the_caller_is_told_when() {
    let (world, router) = (World::new(1), router(json!({})));
    world.provide(&router, "a", (0, 0), until(2, Behaviour::AwayFor(503, 4000)));
    deploy(&router, Strategy::default(), &["a::m"]);
    let first = later(&router, json!({}));
    sleep(ms(10)).await;
    for options in [json!({ "queueMs": 3_000 }), json!({ "totalMs": 3_000 }), json!({ "queueMs": 0 })] {
        let begun = Instant::now();
        let error = call(&router, options).await.unwrap_err();
        assert_refused(&error, begun, ms(3990), Duration::ZERO, "its deployments rest: a::m: not now");
        assert!(error.attempts().is_empty());
    }
    let patient = [json!({ "queueMs": 4_000 }), json!({ "totalMs": 4_000 })].map(|options| later(&router, options));
    assert!(first.await.unwrap().is_ok());
    for call in patient {
        assert_eq!(call.await.unwrap().unwrap().queued, ms(3990));
    }
    assert_eq!(world.now(), s(4));
}

#[tokio::test(start_paused = true)]
async fn of_one_with_a_dead_key_and_one_that_rests_the_one_is_waited_for_that_is_back_first() {
    let (world, router) = (World::new(1), router(json!({})));
    let dead = world.provide(&router, "dead", (0, 0), always(Behaviour::Status(401)));
    world.provide(&router, "busy", (0, 0), until(1, Behaviour::AwayFor(429, 2000)));
    deploy(&router, Strategy::FirstAvailable, &["dead::m", "busy::m"]);
    let first = later(&router, json!({}));
    sleep(ms(1)).await;
    let begun = Instant::now();
    let error = call(&router, json!({ "queueMs": 1000 })).await.unwrap_err();
    assert_refused(&error, begun, ms(1999), Duration::ZERO, "busy::m: not now");
    let second = call(&router, json!({})).await.unwrap();
    assert_eq!((second.deployment.as_str(), world.now()), ("busy::m", s(2)));
    assert_eq!(first.await.unwrap().unwrap().deployment, "busy::m");
    assert_eq!(dead.seen().len(), 1, "it is not alone, so it is left in peace");
    router.undeploy("default", "busy::m");
    let begun = Instant::now();
    let error = call(&router, json!({})).await.unwrap_err();
    assert_eq!((error.code(), begun.elapsed()), ("ERR_PROVIDER", Duration::ZERO), "alone, it says why at once");
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_rest_looks_again_when_the_deployment_is_taken_out() {
    let (world, router) = (World::new(1), router(json!({})));
    world.provide(&router, "a", (0, 0), always(Behaviour::AwayFor(503, 5000)));
    world.provide(&router, "b", (0, 0), until(9, Behaviour::AwayFor(503, 9000)));
    deploy(&router, Strategy::FirstAvailable, &["a::m", "b::m"]);
    let waiting = later(&router, json!({}));
    sleep(s(1)).await;
    assert_eq!(router.stats().waiting, 1);
    router.undeploy("default", "a::m");
    assert_eq!(waiting.await.unwrap().unwrap().deployment, "b::m");
    assert_eq!(world.now(), s(9));

    world.provide(&router, "b", (0, 0), always(Behaviour::AwayFor(503, 9000)));
    let waiting = later(&router, json!({}));
    let behind = later(&router, json!({}));
    sleep(s(1)).await;
    router.undeploy("default", "b::m");
    assert!(waiting.await.unwrap().is_err());
    assert_eq!(behind.await.unwrap().unwrap_err().code(), "ERR_NO_GROUP");
    assert_eq!(world.now(), s(10), "nobody waits for who is not there");
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_rest_goes_at_once_when_the_provider_is_replaced() {
    let (world, router) = (World::new(1), router(json!({})));
    world.provide(&router, "a", (0, 0), always(Behaviour::AwayFor(429, 20_000)));
    deploy(&router, Strategy::default(), &["a::m"]);
    let waiting: Vec<_> = (0..50).map(|_| later(&router, json!({}))).collect();
    sleep(s(1)).await;
    assert_eq!(router.stats().waiting, 50);
    world.provide(&router, "a", (10, 10), always(Behaviour::Answer));
    for call in waiting {
        assert!(call.await.unwrap().is_ok());
    }
    assert_eq!(world.now(), ms(1010), "what is new has not failed, and needs no ramp");
}

#[tokio::test(start_paused = true)]
async fn what_the_old_key_still_fails_at_is_not_held_against_the_new_one() {
    let (world, router) = (World::new(1), router(json!({})));
    world.provide(&router, "a", (1000, 1000), always(Behaviour::Status(401)));
    world.provide(&router, "b", (0, 0), always(Behaviour::Answer));
    deploy(&router, Strategy::FirstAvailable, &["a::m", "b::m"]);
    let under_way = later(&router, json!({}));
    sleep(ms(500)).await;
    world.provide(&router, "a", (0, 0), always(Behaviour::Answer));
    assert_eq!(under_way.await.unwrap().unwrap().deployment, "b::m");
    assert_eq!(stats(&router, 0).failed, 1);
    assert_eq!(call(&router, json!({})).await.unwrap().deployment, "a::m");
}

#[tokio::test(start_paused = true)]
async fn a_lone_deployment_that_is_back_is_not_flooded_and_has_all_its_work_within_five_seconds() {
    let (world, router) = (World::new(1), router(json!({})));
    let log = world.provide(&router, "a", (1500, 2500), until(1, Behaviour::AwayFor(503, 1000)));
    deploy(&router, Strategy::default(), &["a::m"]);
    let first = later(&router, json!({}));
    sleep(ms(2600)).await;
    let calls: Vec<_> = (0..400).map(|_| later(&router, json!({}))).collect();
    for call in calls.into_iter().chain([first]) {
        call.await.unwrap().unwrap();
    }
    let probe = log.answered().into_iter().min_by_key(|seen| seen.at).unwrap();
    let back = probe.ended.unwrap();
    let sent = |from: Duration, to: Duration| log.within(back + from, back + to).len();
    assert!(sent(ms(0), ms(450)) <= 2, "{}", sent(ms(0), ms(450)));
    assert!((3..=8).contains(&sent(ms(0), ms(1400))), "{}", sent(ms(0), ms(1400)));
    let under_way = log.seen().iter().map(|seen| seen.others + 1).filter(|count| *count > 256).count();
    assert!(under_way > 0, "it takes all that is there in the end");
    assert_eq!(sent(s(5), s(100)), 0, "everybody is sent by then");
    assert!(world.now() <= back + s(5) + ms(2500));
}

#[tokio::test(start_paused = true)]
async fn who_cannot_wait_while_a_deployment_ramps_up_is_told_when() {
    let (world, router) = (World::new(1), router(json!({})));
    world.provide(&router, "a", (1000, 1000), until(1, Behaviour::AwayFor(503, 1000)));
    deploy(&router, Strategy::default(), &["a::m"]);
    call(&router, json!({})).await.unwrap();
    let two = [later(&router, json!({})), later(&router, json!({}))];
    sleep(ms(1)).await;
    let expected = json!({ "circuit": "closed", "restMs": 0.0, "rampLimit": 2 });
    assert_eq!(as_json(&stats(&router, 0)), expected);
    let begun = Instant::now();
    let error = call(&router, json!({ "queueMs": 0 })).await.unwrap_err();
    assert_refused(&error, begun, ms(792), ms(2), "a::m: not now");
    let (wait, told) =
        (router.estimate_wait("default", &CompletionRequest::message("hi")).unwrap(), error.retry_after().unwrap());
    assert_eq!(wait, told);
    // Those that are under way may be done at any moment, so who can wait a little does.
    let third = later(&router, json!({ "queueMs": 100 }));
    sleep(ms(50)).await;
    assert_eq!(router.stats().waiting, 1);
    assert_eq!(third.await.unwrap().unwrap_err().code(), "ERR_TIMEOUT");
    for call in two {
        call.await.unwrap().unwrap();
    }
    advance(told).await;
    assert!(call(&router, json!({ "queueMs": 0 })).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn what_a_deployment_does_not_take_yet_goes_where_it_went_before() {
    let (world, router) = (World::new(1), router(json!({})));
    let first = world.provide(&router, "a", (500, 500), until(1, Behaviour::AwayFor(503, 1000)));
    let spare = world.provide(&router, "b", (500, 500), always(Behaviour::Answer));
    deploy(&router, Strategy::default(), &["a::m"]);
    router.deploy("spare", "b::m", DeployOptions::default()).unwrap();
    let fallbacks = GroupOptions { fallbacks: vec!["spare".to_owned()], ..GroupOptions::default() };
    router.configure_group("default", fallbacks).unwrap();
    let mut calls = JoinSet::new();
    while world.now() < s(10) {
        let router = router.clone();
        calls.spawn(async move { call(&router, json!({ "queueMs": 100 })).await });
        sleep(ms(20)).await;
    }
    for result in calls.join_all().await {
        assert_eq!(result.unwrap().queued, Duration::ZERO, "nobody waits while somebody could answer");
    }
    assert!(spare.within(s(0), ms(1800)).len() > 80);
    assert!(spare.within(s(6), s(10)).is_empty() && first.within(s(6), s(10)).len() > 190, "and comes back");
}

#[tokio::test(start_paused = true)]
async fn a_slot_that_may_be_free_soon_is_waited_for_though_the_other_deployment_rests_for_long() {
    let (world, router) = (World::new(1), router(json!({})));
    world.provide(&router, "a", (0, 0), always(Behaviour::AwayFor(429, 20_000)));
    world.provide(&router, "b", (300, 300), always(Behaviour::Answer));
    deploy(&router, Strategy::FirstAvailable, &["a::m"]);
    let one = DeployOptions {
        limits: thryd::tracker::Limits { max_concurrent: Some(1), ..Default::default() },
        ..DeployOptions::default()
    };
    router.deploy("default", "b::m", one).unwrap();
    let first = later(&router, json!({}));
    sleep(ms(1)).await;
    let second = call(&router, json!({ "queueMs": 1000 })).await.unwrap();
    assert_eq!((second.deployment.as_str(), second.queued), ("b::m", ms(299)));
    first.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_probe_with_a_long_answer_does_not_keep_the_others_out() {
    let (world, router) = (World::new(1), router(json!({})));
    // A piece a second.
    let slow = json!({ "type": "dummy", "name": "slow", "dummy": {
        "responses": [{ "error": { "status": 429, "retryAfterMs": 1000 } }, "one two three four five", "six"], "tokenIntervalMs": 1000 } });
    let options = thryd::fields::Fields::new("provider options", slow).unwrap();
    router.add_provider(thryd::provider::ProviderOptions::read(options).unwrap()).unwrap();
    deploy(&router, Strategy::default(), &["slow::m"]);
    let stream = router.stream("default", &CompletionRequest::message("long"), StreamOptions::default()).unwrap();
    let reading = tokio::spawn(async move { while stream.next().await.is_some() {} });
    sleep(ms(10)).await;
    let answer = call(&router, json!({})).await.unwrap();
    assert_eq!(answer.content, "six");
    assert!(answer.queued < s(3), "{:?}", answer.queued);
    assert!(!reading.is_finished());
    reading.await.unwrap();
    assert!(world.now() > s(6), "{:?}", world.now());
}

#[tokio::test(start_paused = true)]
async fn the_strategy_that_looks_at_latency_comes_back_too() {
    let (world, router) = (World::new(1), router(json!({})));
    let fast = world.provide(
        &router,
        "fast",
        (20, 40),
        Arc::new(|at, _| if (s(5)..s(65)).contains(&at) { Behaviour::Status(503) } else { Behaviour::Answer }),
    );
    let slow = world.provide(&router, "slow", (400, 600), always(Behaviour::Answer));
    deploy(&router, Strategy::LowestLatency, &["fast::m", "slow::m"]);
    let mut calls = JoinSet::new();
    while world.now() < s(85) {
        let router = router.clone();
        calls.spawn(async move { call(&router, json!({})).await });
        sleep(ms(100)).await;
    }
    assert!(calls.join_all().await.iter().all(Result::is_ok));
    let back = fast.within(s(65), s(100))[0].at;
    assert!(back <= s(70) + ms(200), "back at {back:?}");
    let (fast, slow) = (fast.within(s(75), s(85)).len(), slow.within(s(75), s(85)).len());
    assert!(fast > 4 * slow, "{fast} to the fast one, {slow} to the slow one");
}

#[tokio::test(start_paused = true)]
async fn stats_say_who_rests_and_why_and_until_when() {
    let (world, router) = (World::new(1), router(json!({})));
    world.provide(&router, "a", (0, 0), until(2, Behaviour::AwayFor(429, 2000)));
    world.provide(&router, "b", (200, 200), always(Behaviour::Answer));
    deploy(&router, Strategy::FirstAvailable, &["a::m", "b::m"]);
    let closed = json!({ "circuit": "closed", "restMs": 0.0 });
    assert_eq!(as_json(&stats(&router, 0)), closed);
    call(&router, json!({})).await.unwrap();
    let open =
        |rest: f64| json!({ "circuit": "open", "restMs": rest, "restReason": "rate-limited", "restError": "not now" });
    assert_eq!(as_json(&stats(&router, 0)), open(1800.0));
    sleep(ms(1799)).await;
    assert_eq!(as_json(&stats(&router, 0)), open(1.0));
    sleep(ms(1)).await;
    let half_open =
        json!({ "circuit": "half-open", "restMs": 0.0, "restReason": "rate-limited", "restError": "not now" });
    assert_eq!(as_json(&stats(&router, 0)), half_open);
    call(&router, json!({})).await.unwrap();
    assert_eq!(as_json(&stats(&router, 0)), json!({ "circuit": "closed", "restMs": 0.0, "rampLimit": 2 }));
    sleep(s(5)).await;
    assert_eq!(as_json(&stats(&router, 0)), closed);
}

#[tokio::test(start_paused = true)]
async fn an_error_that_says_why_nobody_is_asked_names_what_put_them_to_rest_and_not_what_failed_since() {
    let (world, router) = (World::new(1), router(json!({})));
    // The first is limited; one that was under way by then is refused for what it is.
    let script: Script =
        Arc::new(|at, _| if at < ms(10) { Behaviour::AwayFor(429, 9000) } else { Behaviour::Status(400) });
    world.provide(&router, "a", (500, 500), script);
    deploy(&router, Strategy::default(), &["a::m"]);
    let limited = later(&router, json!({ "queueMs": 700 }));
    sleep(ms(20)).await;
    let refused = later(&router, json!({}));
    assert_eq!(limited.await.unwrap().unwrap_err().code(), "ERR_RATE_LIMITED");
    assert!(matches!(refused.await.unwrap().unwrap_err().kind(), ErrorKind::Provider { .. }));
    assert_eq!(stats(&router, 0).last_error.as_deref(), Some("no"));
    let begun = Instant::now();
    let error = call(&router, json!({ "queueMs": 0 })).await.unwrap_err();
    assert_refused(&error, begun, ms(8980), Duration::ZERO, "a::m: not now");
}
