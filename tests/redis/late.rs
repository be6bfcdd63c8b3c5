//! What a Redis that is late, or stands still, does to answers that are looked for there: nothing beyond a bound.

use std::time::{Duration, Instant};

use bytes::Bytes;
use thryd::cache::{Cache, CacheOptions, Entry};
use thryd::kinds::{CompletionRequest, EmbeddingRequest};
use thryd::options::{InvokeOptions, Timeouts};
use thryd::route::CacheStatus;

use super::cache::{SOON, entry, found, impatient, key, open, router as cached, until_found};
use super::server::Server;
use super::until;

/// How much later than the bound an answer may be on a machine that has other things to do, once, and in the middle of many times.
const ONCE: Duration = Duration::from_secs(1);
const MEDIAN: Duration = Duration::from_millis(25);

/// A connection that answers nothing for so long is given up.
const GIVEN_UP_AFTER: Duration = Duration::from_secs(1);

/// How long a look that finds nothing takes, again and again for so long: the median.
async fn looks(cache: &Cache, count: u32) -> Duration {
    let mut times = Vec::new();
    for _ in 0..count {
        let asked = Instant::now();
        assert_eq!(found(cache, &key(1), "").await, None);
        times.push(asked.elapsed());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    times.sort_unstable();
    times[times.len() / 2]
}

#[tokio::test]
async fn a_frozen_redis_delays_one_answer_by_the_bound_and_the_next_by_nothing() {
    let Some(server) = Server::start() else { return };
    let cache = Cache::open(impatient(&server.url())).unwrap();
    until_found(&cache, 1).await;
    server.signal("STOP");
    let begun = Instant::now();
    assert_eq!(found(&cache, &key(1), "").await, None);
    let first = begun.elapsed();
    let median = looks(&cache, 100).await;
    assert!(first >= Duration::from_millis(45) && first < Duration::from_millis(50) + ONCE, "{first:?}");
    assert!(median < MEDIAN, "{median:?}");
    let redis = cache.stats().redis.unwrap();
    assert_eq!(redis.status, "away");
    assert!(redis.skipped > 100 && redis.last_error.as_ref().unwrap().contains("did not answer"), "{redis:?}");
    server.signal("CONT");
    until_found(&cache, 1).await;
    until(SOON, || cache.stats().redis.unwrap().status == "connected").await;
}

#[tokio::test]
async fn a_redis_that_is_late_for_a_moment_keeps_its_connection() {
    let Some(server) = Server::start() else { return };
    let cache = Cache::open(impatient(&server.url())).unwrap();
    until_found(&cache, 1).await;
    let mut moments = Vec::new();
    // A machine that has other things to do may hold it up until it is late for longer than a moment, but not each time.
    for _ in 0..5 {
        let (before, skipped) = (connection(&server), cache.stats().redis.unwrap().skipped);
        server.signal("STOP");
        let begun = Instant::now();
        assert_eq!(found(&cache, &key(1), "").await, None);
        tokio::time::sleep(Duration::from_millis(200)).await;
        let redis = cache.stats().redis.unwrap();
        assert_eq!((redis.status, redis.skipped), ("away", skipped + 1));
        let median = looks(&cache, 5).await;
        assert!(median < MEDIAN, "nobody waits for one that is late: {median:?}");
        server.signal("CONT");
        until_found(&cache, 1).await;
        moments.push(begun.elapsed());
        until(SOON, || cache.stats().redis.unwrap().status == "connected").await;
        if connection(&server) == before {
            return;
        }
        assert!(*moments.last().unwrap() > GIVEN_UP_AFTER, "{moments:?}");
    }
    panic!("{moments:?}");
}

/// The oldest connection that a server has. That of whoever asks is the youngest.
fn connection(server: &Server) -> String {
    let list = server.ask(&["CLIENT", "LIST"]);
    let id = list
        .lines()
        .find_map(|line| line.trim_start_matches(|sign| sign != 'i').split(' ').find(|part| part.starts_with("id=")));
    id.unwrap().to_owned()
}

#[tokio::test]
async fn long_answers_over_a_line_that_is_too_slow_for_them_take_no_others_and_no_connection_along() {
    let Some(server) = Server::start() else { return };
    let direct = open(&server);
    let long = Bytes::from(std::iter::repeat_with(|| fastrand::u8(..)).take(900 << 10).collect::<Vec<_>>());
    direct.put(key(1), Entry { payload: long.clone(), ..entry("") });
    direct.put(key(2), entry("a short one"));
    direct.close().await.unwrap();
    // 64 KiB at a time, so that the long one takes 150 ms.
    let port = super::network::slow_way(&server, Duration::from_millis(10)).await;
    let url = format!("redis://127.0.0.1:{port}");
    let cache = Cache::open(CacheOptions { memory_bytes: 0, ..impatient(&url) }).unwrap();
    let until_short = async || {
        let begun = Instant::now();
        while found(&cache, &key(2), "").await.is_none() {
            assert!(begun.elapsed() < SOON, "{:?}", cache.stats());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    until_short().await;
    let before = connection(&server);
    for number in 10..15 {
        assert_eq!(cache.redis_get(&key(1), "").await, None, "it takes longer than anyone waits");
        cache.put(key(number), Entry { payload: long.clone(), ..entry("") });
        until_short().await;
    }
    cache.flush().await.unwrap();
    assert_eq!(connection(&server), before);
    assert_eq!(cache.stats().redis.unwrap().write_errors, 0);
}

#[tokio::test]
async fn a_redis_that_is_always_late_delays_one_answer_and_the_others_by_nothing() {
    let Some(server) = Server::start() else { return };
    let port = super::network::slow_way(&server, Duration::from_millis(60)).await;
    let cache = Cache::open(impatient(&format!("redis://127.0.0.1:{port}"))).unwrap();
    let mut delayed = 0;
    for _ in 0..150 {
        let begun = Instant::now();
        assert_eq!(found(&cache, &key(1), "").await, None);
        delayed += u32::from(begun.elapsed() > Duration::from_millis(40));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!((1..=3).contains(&delayed), "{delayed}");
    // What nobody waits for goes on.
    cache.put(key(2), entry("an answer"));
    cache.flush().await.unwrap();
    assert!(found(&open(&server), &key(2), "").await.is_some());
}

#[tokio::test]
async fn a_call_with_less_time_than_redis_may_take_leaves_half_of_it_to_whoever_is_asked() {
    let Some(server) = Server::start() else { return };
    let total = Some(Duration::from_secs(2));
    let options =
        || InvokeOptions { timeouts: Some(Timeouts { total, ..Timeouts::default() }), ..InvokeOptions::default() };
    let redis = format!(r#""redis": {{"url": "{}", "timeoutMs": 4500}}, "memoryBytes": 0"#, server.url());
    let texts = || EmbeddingRequest::input((0..200).map(|number| number.to_string()).collect::<Vec<_>>());
    for join in ["", r#", "join": "redis""#] {
        let cache = format!("{{{redis}{join}}}");
        let (router, vectors) = (cached(&cache, r#"{"cache": true}"#), super::embeddings::router_of(&cache));
        let ask = async || router.invoke("g", CompletionRequest::message("Hi"), options()).await;
        let begun = Instant::now();
        // Connected, and in a namespace that is known.
        while ask().await.unwrap().cache != CacheStatus::Redis {
            assert!(begun.elapsed() < SOON, "{:?}", router.stats().cache);
        }
        vectors.invoke("g", EmbeddingRequest::input(["Hi"]), options()).await.unwrap();
        server.signal("STOP");
        let begun = Instant::now();
        let answer = ask().await.unwrap();
        assert_eq!(answer.cache, CacheStatus::Miss);
        assert!(begun.elapsed() >= Duration::from_millis(900), "it is given a chance: {:?}", begun.elapsed());
        let answer = vectors.invoke("g", texts(), options()).await.unwrap();
        assert_eq!(answer.cache, CacheStatus::Miss);
        for cache in [router.stats().cache, vectors.stats().cache] {
            assert_eq!(
                cache.unwrap().redis.unwrap().status,
                "connected",
                "nobody has waited for as long as it may take"
            );
        }
        server.signal("CONT");
    }
}

#[tokio::test]
async fn a_redis_that_was_frozen_before_it_was_first_asked_delays_by_no_more_than_the_bound() {
    let Some(server) = Server::start() else { return };
    server.signal("STOP");
    let cache = Cache::open(impatient(&server.url())).unwrap();
    let begun = Instant::now();
    assert_eq!(found(&cache, &key(1), "").await, None);
    assert!(begun.elapsed() < Duration::from_millis(50) + ONCE, "{:?}", begun.elapsed());
    let median = looks(&cache, 50).await;
    assert!(median < MEDIAN, "{median:?}");
    server.signal("CONT");
}
