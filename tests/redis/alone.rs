//! Calls that only the cache may answer, where what it has is in a Redis that is late, stands still or is gone.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use thryd::error::{Error, ErrorKind};
use thryd::kinds::{Completion, CompletionRequest};
use thryd::options::{CacheUse, InvokeOptions};
use thryd::route::{Answer, CacheStatus, Router};

use super::cache::{SOON, router};
use super::network::{long_way, slow_way};
use super::server::Server;
use super::watched;

/// With the default patience, and nothing above Redis.
fn at(port: u16, more: &str) -> Router<Completion> {
    let redis = format!(r#"{{"redis": "redis://127.0.0.1:{port}", "memoryBytes": 0{more}}}"#);
    router(&redis, r#"{"cache": true}"#)
}

async fn ask(router: &Router<Completion>, what: &str, options: InvokeOptions) -> thryd::Result<Answer<Completion>> {
    router.invoke("g", CompletionRequest::message(what), options).await
}

fn only() -> InvokeOptions {
    InvokeOptions { cache: CacheUse::OnlyIfCached, ..InvokeOptions::default() }
}

/// Asks for so many things, with more patience than the default, for machines that are busy with tests.
async fn keep(server: &Server, count: u32) {
    let redis = format!(r#"{{"redis": {{"url": "{}", "timeoutMs": 3000}}}}"#, server.url());
    let router = router(&redis, r#"{"cache": true}"#);
    for number in 0..count {
        ask(&router, &number.to_string(), InvokeOptions::default()).await.unwrap();
    }
    router.close().await.unwrap();
}

/// The reason of one that says that Redis was not looked into, and nothing of what is there.
fn reason(error: &Error) -> &str {
    assert_eq!(error.code(), "ERR_NOT_CACHED");
    assert!(
        error.is_retryable() && error.to_string().starts_with("group \"g\": Redis was not looked into: "),
        "{error}"
    );
    let ErrorKind::CacheUnread { why, .. } = error.kind() else { panic!("{error}") };
    why
}

/// Waits until it finds what is there: a connection that was given up is made anew.
async fn until_looked_into(router: &Router<Completion>) {
    let begun = Instant::now();
    while ask(router, "0", only()).await.is_err() {
        assert!(begun.elapsed() < SOON, "{:?}", router.stats().cache);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Less than a look for what only the cache may answer is given.
const HASTE_MS: u64 = 700;
const HASTE: Duration = Duration::from_millis(HASTE_MS);

/// Asks the cache alone, within that.
fn hasty(router: &Router<Completion>) -> InvokeOptions {
    let timeouts = thryd::options::Timeouts { total: Some(HASTE), ..*router.timeouts() };
    InvokeOptions { timeouts: Some(timeouts), ..only() }
}

#[tokio::test]
async fn what_is_asked_of_the_cache_alone_waits_for_a_redis_that_is_late() {
    let Some(server) = Server::start() else { return };
    keep(&server, 3).await;
    let (router, server) = (at(server.port, ""), Arc::new(server));
    assert_eq!(ask(&router, "0", only()).await.unwrap().cache, CacheStatus::Redis);
    let (status, wakes) = (|| router.stats().cache.unwrap().redis.unwrap().status, Arc::clone(&server));
    let stands_still_for = |milliseconds| {
        let wakes = Arc::clone(&wakes);
        wakes.signal("STOP");
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(milliseconds));
            wakes.signal("CONT");
        })
    };
    let waking = stands_still_for(250);
    assert_eq!(ask(&router, "1", only()).await.unwrap().cache, CacheStatus::Redis);
    waking.join().unwrap();
    // Also one that is known to be late.
    server.signal("STOP");
    assert_eq!(ask(&router, "nobody's", InvokeOptions::default()).await.unwrap().cache, CacheStatus::Miss);
    assert_eq!(status(), "away");
    let waking = stands_still_for(300);
    assert_eq!(ask(&router, "2", only()).await.unwrap().cache, CacheStatus::Redis);
    waking.join().unwrap();
}

#[tokio::test]
async fn a_redis_that_could_not_be_looked_into_is_not_said_to_lack_the_answer() {
    let Some(server) = Server::start() else { return };
    keep(&server, 1).await;
    for more in ["", r#", "mode": "replay""#] {
        let router = at(server.port, more);
        until_looked_into(&router).await;
        let error = ask(&router, "1", only()).await.unwrap_err();
        assert!(error.to_string().contains("is not in the cache"), "{error}: where it could be");
        // A thread that is held up may find the call over before it can say why, or Redis late by the cache's own clock.
        let mut late = 0;
        let begun = loop {
            server.signal("STOP");
            let begun = Instant::now();
            let (outcome, held_up) = watched(ask(&router, "0", hasty(&router))).await;
            let error = outcome.unwrap_err();
            let said = (error.code() != "ERR_TIMEOUT").then(|| reason(&error).split_once(" did not answer within "));
            let waited = said.flatten().and_then(|(_, time)| time.strip_suffix(" ms")?.parse::<u64>().ok());
            // What it took to come to Redis is of the same time.
            if waited.is_some_and(|waited| (HASTE_MS - 10..=HASTE_MS).contains(&waited)) {
                assert!(begun.elapsed() >= HASTE - Duration::from_millis(10), "{:?}", begun.elapsed());
                break begun;
            }
            assert!(held_up > Duration::from_millis(5), "{error}, and held up for {held_up:?} only");
            late += 1;
            assert!(late < 5, "{error}");
            server.signal("CONT");
            until_looked_into(&router).await;
        };
        let error = ask(&router, "0", only()).await.unwrap_err();
        assert!(reason(&error).contains("did not answer within"), "{error}");
        assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
        server.signal("CONT");
    }
    // Where nobody is.
    let router = at(1, "");
    let begun = Instant::now();
    let error = ask(&router, "0", only()).await.unwrap_err();
    assert!(reason(&error).contains("refused"), "{error}");
    assert!(begun.elapsed() < Duration::from_millis(900), "nobody waits for what is gone: {:?}", begun.elapsed());
}

#[tokio::test]
async fn a_replay_of_many_at_once_that_begins_over_a_long_way_finds_all_that_is_there() {
    let Some(server) = Server::start() else { return };
    keep(&server, 50).await;
    let router = at(slow_way(&server, Duration::from_millis(5)).await, r#", "mode": "replay""#);
    let asked = (0..50).map(|number| {
        let router = router.clone();
        async move { ask(&router, &number.to_string(), InvokeOptions::default()).await }
    });
    let answers = join_all(asked).await;
    let lacks: Vec<_> = answers.into_iter().filter_map(Result::err).map(|error| error.to_string()).collect();
    assert_eq!(lacks, Vec::<String>::new());
}

#[tokio::test]
async fn who_joins_a_call_that_has_less_time_to_wait_for_redis_has_its_own() {
    let Some(server) = Server::start() else { return };
    keep(&server, 2).await;
    let router = at(long_way(&server, Duration::from_millis(200)).await, r#", "mode": "replay""#);
    // Connected.
    until_looked_into(&router).await;
    let hasty = thryd::options::Timeouts { total: Some(Duration::from_millis(50)), ..*router.timeouts() };
    let hasty = ask(&router, "1", InvokeOptions { timeouts: Some(hasty), ..InvokeOptions::default() });
    let patient = ask(&router, "1", InvokeOptions::default());
    let (hasty, patient) = futures_util::future::join(hasty, patient).await;
    assert!(hasty.is_err(), "{hasty:?}");
    assert_eq!(patient.unwrap().cache, CacheStatus::Joined, "it is one look");
}
