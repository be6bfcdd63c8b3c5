//! Equal calls of several processes, each of which a router with a cache of its own stands for, as one.

use std::time::{Duration, Instant};

use thryd::error::Result;
use thryd::kinds::{Completion, CompletionRequest};
use thryd::options::InvokeOptions;
use thryd::route::{Answer, CacheStatus, Router};

use super::cache::router as cached;
use super::reached::reached_by_caches;
use super::server::Server;
use super::until;

/// How long what is bound to happen is waited for on a machine that has other things to do.
const SOON: Duration = Duration::from_secs(20);

/// A router that joins calls over this server, with a dummy that takes so long. A process that was not heard of for this long is
/// dead: longer than any of these tests, where that is not what they are about.
fn router_with(server: &Server, lease_ms: u32, dummy: &str) -> Router<Completion> {
    let redis = format!(r#"{{"url": "{}", "timeoutMs": 3000, "leaseMs": {lease_ms}}}"#, server.url());
    cached(&format!(r#"{{"redis": {redis}, "join": "redis"}}"#), dummy)
}

fn router(server: &Server, dummy: &str) -> Router<Completion> {
    router_with(server, 60_000, dummy)
}

/// The lease of the one question that is being asked, once somebody has it.
async fn leased(server: &Server) -> String {
    let lease = || {
        let said = server.ask(&["KEYS", "*:lease"]);
        said.lines().find(|line| line.ends_with(":lease")).map(|line| line.trim().to_owned())
    };
    until(SOON, || lease().is_some()).await;
    lease().expect("it is not over")
}

/// Asks in a task of its own, and gives it once it has the lease.
async fn asking(server: &Server, router: &Router<Completion>) -> tokio::task::JoinHandle<Result<Answer<Completion>>> {
    let router = router.clone();
    let call = tokio::spawn(async move { ask(&router).await });
    leased(server).await;
    call
}

fn slow(milliseconds: u64) -> String {
    format!(r#"{{"cache": true, "latencyMs": [{milliseconds}, {milliseconds}]}}"#)
}

async fn ask(router: &Router<Completion>) -> Result<Answer<Completion>> {
    router.invoke("g", CompletionRequest::message("Hi"), InvokeOptions::default()).await
}

/// How often a provider was asked.
fn asked(routers: &[Router<Completion>]) -> u64 {
    let counts = routers.iter().flat_map(|router| router.stats().groups.into_values());
    counts.flat_map(|group| group.deployments).map(|deployment| deployment.succeeded + deployment.failed).sum()
}

#[tokio::test]
async fn equal_calls_of_several_processes_are_sent_once() {
    let Some(server) = reached_by_caches().await else { return };
    let routers: Vec<_> = (0..8).map(|_| router_with(&server, 6_000, &slow(8_000))).collect();
    let begun = Instant::now();
    let answers = futures_util::future::join_all(routers.iter().map(ask)).await;
    let took = begun.elapsed();
    let answers: Vec<_> = answers.into_iter().map(Result::unwrap).collect();
    assert_eq!(asked(&routers), 1);
    let joined: Vec<_> = answers.iter().filter(|answer| answer.cache == CacheStatus::Joined).collect();
    assert_eq!(joined.len(), 7);
    assert!(joined.iter().all(|answer| answer.attempts.is_empty() && answer.usage().cost.unwrap_or(0.0) == 0.0));
    // Longer than the lease, which was renewed; and soon after it had come.
    assert!(took > Duration::from_millis(8_000) && took < Duration::from_millis(10_500), "{took:?}");
    let stats: Vec<_> = routers.iter().map(|router| router.stats().cache.unwrap()).collect();
    assert_eq!(stats.iter().map(|stats| stats.joined).sum::<u64>(), 7);
    assert_eq!(stats.iter().map(|stats| stats.misses).sum::<u64>(), 1, "who joins has missed nothing");
}

#[tokio::test]
async fn unless_it_is_asked_for_calls_are_joined_in_one_process_alone() {
    let Some(server) = reached_by_caches().await else { return };
    let cache = format!(r#"{{"redis": {{"url": "{}", "timeoutMs": 3000}}}}"#, server.url());
    let routers: Vec<_> = (0..2).map(|_| cached(&cache, &slow(2_000))).collect();
    futures_util::future::join_all(routers.iter().map(ask)).await;
    assert_eq!(asked(&routers), 2);
}

#[tokio::test]
async fn a_call_that_fails_fails_alone_and_another_asks_at_once() {
    let Some(server) = reached_by_caches().await else { return };
    let fails =
        r#"{"cache": true, "latencyMs": [1000, 1000], "responses": [{"error": {"status": 400, "message": "no"}}]}"#;
    let (one, other) = (router(&server, fails), router(&server, &slow(10)));
    let first = asking(&server, &one).await;
    let begun = Instant::now();
    let second = ask(&other).await.unwrap();
    assert!(first.await.unwrap().is_err());
    assert_eq!(second.cache, CacheStatus::Miss);
    assert!(begun.elapsed() < SOON, "{:?}: not after the lease", begun.elapsed());
}

#[tokio::test]
async fn a_call_that_is_left_makes_way_at_once() {
    let Some(server) = reached_by_caches().await else { return };
    let (one, other) = (router(&server, &slow(60_000)), router(&server, &slow(10)));
    let first = asking(&server, &one).await;
    first.abort();
    let begun = Instant::now();
    ask(&other).await.unwrap();
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn whoever_has_lost_its_lease_still_has_its_answer_and_keeps_it_over_nobody_s() {
    let Some(server) = reached_by_caches().await else { return };
    let answers = |text: &str, latency: u64| {
        format!(r#"{{"cache": true, "repeat": true, "latencyMs": [{latency}, {latency}], "responses": ["{text}"]}}"#)
    };
    let (one, other) = (router(&server, &answers("late", 2_000)), router(&server, &answers("soon", 10)));
    assert_eq!(ask(&other).await.unwrap().value.content.as_str(), "soon");
    other.close().await.unwrap();
    let keys = server.ask(&["KEYS", "*{*}"]);
    let answer = keys.lines().find(|line| line.contains('{')).unwrap().trim().to_owned();
    server.ask(&["RENAME", &answer, "aside"]);
    let first = asking(&server, &one).await;
    // As if it had not been heard of for so long, and another by a clock that is behind had answered meanwhile.
    server.ask(&["DEL", &leased(&server).await]);
    server.ask(&["RENAME", "aside", &answer]);
    assert_eq!(first.await.unwrap().unwrap().value.content.as_str(), "late");
    one.close().await.unwrap();
    let third = router(&server, &answers("never", 0));
    assert_eq!(ask(&third).await.unwrap().value.content.as_str(), "soon");
}

#[tokio::test]
async fn a_lease_of_a_process_that_died_ends_by_itself() {
    let Some(server) = reached_by_caches().await else { return };
    let one = router(&server, &slow(10));
    ask(&one).await.unwrap();
    one.close().await.unwrap();
    let keys = server.ask(&["KEYS", "*{*}"]);
    let answer = keys.lines().find(|line| line.contains('{')).unwrap().trim().to_owned();
    server.ask(&["DEL", &answer]);
    server.ask(&["SET", &format!("{answer}:lease"), "of a dead one", "PX", "2000"]);
    let begun = Instant::now();
    assert_eq!(ask(&router(&server, &slow(10))).await.unwrap().cache, CacheStatus::Miss);
    let took = begun.elapsed();
    assert!(took > Duration::from_millis(1_000) && took < SOON, "{took:?}");
}

#[tokio::test]
async fn a_lease_that_never_ends_or_is_something_else_is_waited_for_by_nobody() {
    let Some(server) = reached_by_caches().await else { return };
    let first = router(&server, &slow(10));
    ask(&first).await.unwrap();
    first.close().await.unwrap();
    let keys = server.ask(&["KEYS", "*{*}"]);
    let answer = keys.lines().find(|line| line.contains('{')).unwrap().trim().to_owned();
    let lease = format!("{answer}:lease");
    for words in [["SET", &lease, "for ever"], ["RPUSH", &lease, "mine"]] {
        server.ask(&["DEL", &answer, &lease]);
        server.ask(&words);
        let (begun, next) = (Instant::now(), router(&server, &slow(10)));
        assert_eq!(ask(&next).await.unwrap().cache, CacheStatus::Miss);
        assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
        next.close().await.unwrap();
        assert!(server.ask(&["EXISTS", &lease]).contains(":1"), "it stays");
    }
}

#[tokio::test]
async fn who_waits_for_another_s_call_waits_no_longer_than_for_its_own() {
    let Some(server) = reached_by_caches().await else { return };
    let (one, other) = (router(&server, &slow(60_000)), router(&server, &slow(10)));
    let first = asking(&server, &one).await;
    let mut timeouts = *other.timeouts();
    timeouts.attempt = Duration::from_millis(400);
    let options = InvokeOptions { timeouts: Some(timeouts), ..InvokeOptions::default() };
    let begun = Instant::now();
    let answer = other.invoke("g", CompletionRequest::message("Hi"), options).await.unwrap();
    assert_eq!(answer.cache, CacheStatus::Miss);
    let took = begun.elapsed();
    assert!(took > Duration::from_millis(400) && took < SOON, "{took:?}");
    first.abort();
}

#[tokio::test]
async fn who_waits_for_another_s_call_keeps_half_of_its_time_for_its_own() {
    let Some(server) = reached_by_caches().await else { return };
    let (one, other) = (router(&server, &slow(60_000)), router(&server, &slow(10)));
    let first = asking(&server, &one).await;
    let timeouts = thryd::options::Timeouts { total: Some(Duration::from_secs(6)), ..*other.timeouts() };
    let options = InvokeOptions { timeouts: Some(timeouts), ..InvokeOptions::default() };
    let begun = Instant::now();
    let answer = other.invoke("g", CompletionRequest::message("Hi"), options).await.unwrap();
    assert_eq!(answer.cache, CacheStatus::Miss);
    assert!(begun.elapsed() > Duration::from_millis(2_900), "{:?}", begun.elapsed());
    first.abort();
}

#[tokio::test]
async fn what_is_there_is_found_by_who_would_join_and_in_replay() {
    let Some(server) = reached_by_caches().await else { return };
    let first = router(&server, &slow(10));
    assert_eq!(ask(&first).await.unwrap().cache, CacheStatus::Miss);
    first.close().await.unwrap();
    let next = router(&server, &slow(10));
    assert_eq!(ask(&next).await.unwrap().cache, CacheStatus::Redis);
    let stats = next.stats().cache.unwrap();
    assert_eq!((stats.redis_hits, stats.misses, stats.joined), (1, 0, 0));
    let redis = format!(r#"{{"url": "{}", "timeoutMs": 3000}}"#, server.url());
    let replay = cached(&format!(r#"{{"redis": {redis}, "join": "redis", "mode": "replay"}}"#), &slow(10));
    assert_eq!(ask(&replay).await.unwrap().cache, CacheStatus::Redis);
}

#[tokio::test]
async fn a_full_redis_leaves_everyone_to_themselves_and_counts_as_there() {
    let Some(server) = reached_by_caches().await else { return };
    let routers = [router(&server, &slow(10)), router(&server, &slow(10))];
    for router in &routers {
        // Connected.
        router.invoke("g", CompletionRequest::message("Hello"), InvokeOptions::default()).await.unwrap();
    }
    let before = asked(&routers);
    server.ask(&["CONFIG", "SET", "maxmemory", "1"]);
    for router in &routers {
        assert_eq!(ask(router).await.unwrap().cache, CacheStatus::Miss);
        let redis = router.stats().cache.unwrap().redis.unwrap();
        assert_eq!((redis.status, redis.skipped), ("connected", 0));
        assert!(redis.last_error.unwrap().contains("OOM"));
    }
    assert_eq!(asked(&routers), before + 2);
}

#[tokio::test]
async fn a_redis_that_goes_away_while_a_call_is_waited_for_leaves_everyone_to_themselves() {
    let Some(mut server) = reached_by_caches().await else { return };
    let routers = [router(&server, &slow(2_000)), router(&server, &slow(2_000))];
    let calls = futures_util::future::join_all(routers.iter().map(ask));
    let kills = async {
        leased(&server).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        server.kill();
    };
    let (answers, ()) = futures_util::future::join(calls, kills).await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    assert_eq!(asked(&routers), 2);
}

#[tokio::test]
async fn who_waits_for_an_answer_that_is_not_kept_asks_at_once_and_not_in_turn() {
    let Some(server) = reached_by_caches().await else { return };
    // A dummy that does not say otherwise is one whose answers are not kept.
    let fleeting = r#"{"latencyMs": [1500, 1500]}"#;
    let routers: Vec<_> = (0..8).map(|_| router(&server, fleeting)).collect();
    let begun = Instant::now();
    let answers = futures_util::future::join_all(routers.iter().map(ask)).await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    assert!(answers.iter().flatten().all(|answer| answer.cache == CacheStatus::Off), "{answers:?}");
    assert_eq!(asked(&routers), 8);
    assert!(begun.elapsed() < Duration::from_millis(4 * 1_500), "{:?}", begun.elapsed());
}

/// How often a script was run since that was last set to nothing.
fn scripts(server: &Server) -> u64 {
    let said = server.ask(&["INFO", "commandstats"]);
    let calls = said.lines().find_map(|line| line.strip_prefix("cmdstat_evalsha:calls="));
    calls.map_or(0, |calls| calls.split(',').next().unwrap().parse().unwrap())
}

#[tokio::test]
async fn whoever_waits_is_told_of_the_answer_and_does_not_look_for_it_again_and_again() {
    let Some(server) = reached_by_caches().await else { return };
    let mut late = Vec::new();
    // A machine that has other things to do may be late, but not each time.
    for _ in 0..5 {
        server.ask(&["FLUSHALL"]);
        server.ask(&["CONFIG", "RESETSTAT"]);
        // It looks after one second and after two, whether it is told or not.
        let (one, other) = (router(&server, &slow(1_500)), router(&server, &slow(10)));
        let first = asking(&server, &one).await;
        let second = async {
            let answer = ask(&other).await.unwrap();
            (answer.cache, Instant::now())
        };
        let first = async {
            first.await.unwrap().unwrap();
            Instant::now()
        };
        let (answered, (cache, told)) = futures_util::future::join(first, second).await;
        assert_eq!(cache, CacheStatus::Joined);
        assert!(scripts(&server) < 20, "{} scripts in a second and a half", scripts(&server));
        late.push(told.saturating_duration_since(answered));
        if late.iter().any(|late| *late < Duration::from_millis(100)) {
            return;
        }
    }
    panic!("{late:?}");
}

#[tokio::test]
async fn a_server_that_tells_nobody_anything_is_looked_at_again_and_again() {
    let Some(server) = Server::start_with(&["--rename-command", "HELLO", ""]) else { return };
    let routers: Vec<_> = (0..4).map(|_| router(&server, &slow(700))).collect();
    let answers = futures_util::future::join_all(routers.iter().map(ask)).await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    assert_eq!(asked(&routers), 1);
    assert!(scripts(&server) > 20, "{} scripts", scripts(&server));
}
