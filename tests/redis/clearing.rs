//! What is cleared by one process of those that share a cache in Redis: who learns of it, and what becomes of it where Redis is not as
//! it should be.

use std::time::{Duration, Instant};

use bytes::Bytes;
use thryd::cache::{Cache, CacheOptions, Entry, Glance, RedisCacheOptions, Turn};

use super::cache::{SOON, entry, found, key, open, options};
use super::network::Way;
use super::server::Server;
use super::until;

/// Where it stands what was cleared.
const CLEARED: &str = "thryd:cache:cleared";

async fn keep(cache: &Cache, number: u32, namespace: &str) {
    cache.put(key(number), Entry { namespace, payload: Bytes::from_static(b"an answer"), ..Entry::default() });
    cache.flush().await.unwrap();
}

async fn is_found(cache: &Cache, number: u32, namespace: &str) -> bool {
    cache.redis_get(&key(number), namespace).await.is_some()
}

/// What the server calls a namespace of which there is an answer to this question.
fn tag_of(server: &Server, number: u32) -> String {
    let hex = blake3::Hash::from_bytes(key(number).0).to_hex().to_string();
    let said = server.ask(&["KEYS", "*{*"]);
    let line = said.lines().find(|line| line.contains(&hex)).unwrap();
    line.trim_start_matches("thryd:cache:").split('.').next().unwrap().to_owned()
}

/// Microseconds since 1970, so long from now.
fn later(seconds: u128) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    (now.as_micros() + seconds * 1_000_000).to_string()
}

#[tokio::test]
async fn who_answers_from_a_file_or_memory_alone_learns_that_another_has_cleared_it() {
    let Some(server) = Server::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    for (name, memory_bytes) in [("file", 0), ("both", 1 << 20)] {
        let file = CacheOptions { path: Some(folder.path().join(name)), memory_bytes, ..CacheOptions::default() };
        let before = Cache::open(file.clone()).unwrap();
        keep(&before, 1, "a").await;
        keep(&before, 2, "b").await;
        for number in [1, 2, 1, 2] {
            // What is read at once from then on.
            assert!(before.disk_get(&key(number)).await.is_some());
        }
        let warm = Cache::open(CacheOptions { redis: options(&server).redis, ..file }).unwrap();
        // By a thread that is in no runtime, as JavaScript's is.
        let looks = |cache: Cache, number| {
            let look = move || match cache.memory_get(&key(number)) {
                Some(_) => true,
                None => matches!(cache.disk_now(&key(number)), Glance::Hit(_)),
            };
            std::thread::spawn(look).join().unwrap()
        };
        // A file that is slow for a moment is not looked into at once.
        until(SOON, || looks(warm.clone(), 1) && looks(warm.clone(), 2)).await;
        until(SOON, || warm.stats().redis.unwrap().status == "connected").await;
        open(&server).clear(Some("a")).await.unwrap();
        until(SOON, || !looks(warm.clone(), 1)).await;
        assert!(before.disk_get(&key(2)).await.is_some(), "of another namespace");
    }
}

#[tokio::test]
async fn what_was_asked_for_before_a_clear_that_is_not_known_yet_is_not_kept_in_what_was_begun_by_it() {
    let Some(server) = Server::start() else { return };
    let cache = open(&server);
    keep(&cache, 9, "b").await;
    let since = Some(cache.moment());
    open(&server).clear(Some("a")).await.unwrap();
    let payload = Bytes::from_static(b"an old answer");
    cache.put(key(1), Entry { namespace: "a", payload, since, ..Entry::default() });
    cache.flush().await.unwrap();
    assert!(!is_found(&open(&server), 1, "a").await);
    // Once it is known, what is asked for from then on is.
    let begun = std::time::Instant::now();
    while !is_found(&open(&server), 2, "a").await {
        assert!(begun.elapsed() < SOON, "{:?}", cache.stats());
        keep(&cache, 2, "a").await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn what_was_cleared_while_redis_was_out_of_reach_from_the_start_is_cleared_once_it_is_reached() {
    let Some(server) = Server::start() else { return };
    let way = Way::to(&server).await;
    way.cut(true);
    let mut redis = RedisCacheOptions::at(&format!("redis://127.0.0.1:{}", way.port)).unwrap();
    redis.redis.timeout = Duration::from_secs(3);
    let cut = Cache::open(CacheOptions { redis: Some(redis), ..CacheOptions::default() }).unwrap();
    for (number, namespace) in [(1, "a"), (2, "b")] {
        cut.put(key(number), Entry { namespace, payload: Bytes::from_static(b"an answer"), ..Entry::default() });
        assert!(cut.memory_get(&key(number)).is_some());
    }
    open(&server).clear(Some("a")).await.unwrap();
    way.cut(false);
    until(SOON, || cut.memory_get(&key(1)).is_none()).await;
    assert!(cut.memory_get(&key(2)).is_some(), "of another namespace");
}

#[tokio::test]
async fn what_was_asked_for_before_anything_else_was_done_is_not_kept_after_a_clear() {
    let Some(server) = Server::start() else { return };
    let cache = open(&server);
    // As a call does that looks nowhere before it asks.
    let since = Some(cache.moment());
    open(&server).clear(Some("a")).await.unwrap();
    let payload = Bytes::from_static(b"an old answer");
    cache.put(key(1), Entry { namespace: "a", payload, since, ..Entry::default() });
    cache.flush().await.unwrap();
    assert!(!is_found(&open(&server), 1, "a").await);
    until(SOON, || cache.memory_get(&key(1)).is_none()).await;
}

#[tokio::test]
async fn a_call_under_way_is_kept_whatever_else_is_cleared_meanwhile() {
    let Some(server) = Server::start() else { return };
    let cache = open(&server);
    keep(&cache, 1, "a").await;
    keep(&cache, 2, "b").await;
    let since = Some(cache.moment());
    open(&server).clear(Some("b")).await.unwrap();
    until(SOON, || cache.memory_get(&key(2)).is_none()).await;
    let payload = Bytes::from_static(b"an answer");
    cache.put(key(3), Entry { namespace: "a", payload, since, ..Entry::default() });
    cache.flush().await.unwrap();
    assert!(cache.memory_get(&key(3)).is_some() && is_found(&open(&server), 3, "a").await);
}

#[tokio::test]
async fn a_clear_is_not_lost_with_the_set_that_nobody_else_has_read_yet() {
    let Some(server) = Server::start() else { return };
    let (one, other) = (open(&server), open(&server));
    keep(&one, 1, "a").await;
    keep(&one, 2, "b").await;
    assert!(is_found(&other, 1, "a").await && is_found(&other, 2, "b").await);
    one.clear(Some("a")).await.unwrap();
    server.ask(&["FLUSHALL"]);
    // Whoever cleared it says so again, and no more than that.
    until(SOON, || other.memory_get(&key(1)).is_none()).await;
    assert!(other.memory_get(&key(2)).is_some());
}

#[tokio::test]
async fn what_is_asked_for_after_an_own_clear_is_kept_though_another_cleared_something_too() {
    let Some(server) = Server::start() else { return };
    let (one, other) = (open(&server), open(&server));
    keep(&one, 1, "a").await;
    other.clear(Some("b")).await.unwrap();
    one.clear(Some("c")).await.unwrap();
    keep(&one, 2, "c").await;
    assert!(is_found(&other, 2, "c").await);
}

#[tokio::test]
async fn a_namespace_takes_no_key_until_it_is_cleared_and_then_a_place_in_one() {
    let Some(server) = Server::start() else { return };
    let cache = open(&server);
    for (number, namespace) in [(1, "a"), (2, "b"), (3, "c")] {
        keep(&cache, number, namespace).await;
    }
    assert!(server.ask(&["DBSIZE"]).contains(":4"), "the answers, and the set");
    assert!(server.ask(&["ZCARD", CLEARED]).contains(":1"));
    for _ in 0..3 {
        cache.clear(Some("a")).await.unwrap();
    }
    assert!(server.ask(&["DBSIZE"]).contains(":4"));
    assert!(server.ask(&["ZCARD", CLEARED]).contains(":2"));
    cache.clear(None).await.unwrap();
    assert!(server.ask(&["ZCARD", CLEARED]).contains(":2"), "all, which a is one of");
}

#[tokio::test]
async fn a_clear_that_redis_has_lost_in_a_failover_does_not_bring_back_what_was_cleared() {
    let Some(server) = Server::start() else { return };
    let (one, other) = (open(&server), open(&server));
    keep(&one, 1, "a").await;
    keep(&one, 2, "b").await;
    assert!(is_found(&other, 1, "a").await && is_found(&other, 2, "b").await);
    let tag = tag_of(&server, 1);
    one.clear(Some("a")).await.unwrap();
    until(SOON, || other.memory_get(&key(1)).is_none()).await;
    // As if the replica that is now asked had not heard of it.
    server.ask(&["ZREM", CLEARED, &tag]);
    // Nobody knows what was lost, so all is cleared.
    until(SOON, || other.memory_get(&key(2)).is_none()).await;
    assert!(!is_found(&open(&server), 1, "a").await);
}

#[tokio::test]
async fn who_was_cut_off_while_thousands_of_namespaces_were_cleared_clears_those_and_no_others() {
    let Some(server) = Server::start() else { return };
    let cache = open(&server);
    keep(&cache, 1, "a").await;
    keep(&cache, 2, "b").await;
    until(SOON, || cache.stats().redis.unwrap().status == "connected").await;
    let mut words = vec!["ZADD".to_owned(), CLEARED.to_owned()];
    for number in 0..2_500 {
        words.extend([format!("{}{number:04}", &later(0)[..12]), format!("{number:016x}")]);
    }
    words.extend([later(1), tag_of(&server, 1)]);
    server.ask(&words.iter().map(String::as_str).collect::<Vec<_>>());
    until(SOON, || cache.memory_get(&key(1)).is_none()).await;
    assert!(cache.memory_get(&key(2)).is_some());
}

#[tokio::test]
async fn more_namespaces_than_are_remembered_count_as_all_to_those_who_have_not_heard_of_them() {
    let Some(server) = Server::start() else { return };
    let (late, warned) = (open(&server), open(&server));
    keep(&late, 1, "a").await;
    assert!(is_found(&warned, 1, "a").await);
    let mut words = vec!["ZADD".to_owned(), CLEARED.to_owned()];
    for number in 0..65_536 {
        words.extend([later(0), format!("{number:016x}")]);
    }
    server.ask(&words.iter().map(String::as_str).collect::<Vec<_>>());
    warned.clear(Some("b")).await.unwrap();
    let count = server.ask(&["ZCARD", CLEARED]).trim().trim_start_matches(':').parse::<u32>().unwrap();
    assert!(count < 40_000, "{count}");
    assert!(!is_found(&open(&server), 1, "a").await, "of before what is remembered");
    until(SOON, || late.memory_get(&key(1)).is_none()).await;
}

#[tokio::test]
async fn a_set_that_is_something_else_or_newer_is_refused_by_name_and_stays() {
    let Some(server) = Server::start() else { return };
    for (words, says) in [
        (vec!["SET", CLEARED, "mine"], "WRONGTYPE"),
        (vec!["ZADD", CLEARED, "5", "thryd 2"], "thryd:cache:cleared is not a set of what was cleared, of layout 1"),
    ] {
        server.ask(&["DEL", CLEARED]);
        server.ask(&words);
        let before = server.ask(&["DUMP", CLEARED]);
        let cache = open(&server);
        keep(&cache, 1, "").await;
        assert!(cache.memory_get(&key(1)).is_some());
        assert!(!is_found(&cache, 1, "").await);
        let error = cache.clear(None).await.unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
        let redis = cache.stats().redis.unwrap();
        assert!((redis.write_errors, redis.status) == (1, "away") && redis.last_error.unwrap().contains(says));
        assert_eq!(server.ask(&["DUMP", CLEARED]), before);
        assert!(server.ask(&["DBSIZE"]).contains(":1"));
    }
}

#[tokio::test]
async fn a_cache_that_is_closed_asks_nothing_any_more() {
    let Some(server) = Server::start() else { return };
    let cache = open(&server);
    keep(&cache, 1, "").await;
    let other = open(&server);
    assert!(is_found(&other, 1, "").await);
    let connections = || server.ask(&["CLIENT", "LIST"]).matches("id=").count();
    assert!(connections() > 1);
    cache.close().await.unwrap();
    other.close().await.unwrap();
    // But for whoever looks.
    until(SOON, || connections() == 1).await;
    server.ask(&["CONFIG", "RESETSTAT"]);
    // As long as two looks.
    tokio::time::sleep(Duration::from_millis(2_600)).await;
    let asked = server.ask(&["INFO", "commandstats"]);
    assert!(!asked.contains("evalsha") && !asked.contains("zrange"), "{asked}");
}

#[tokio::test]
async fn a_cache_that_is_closed_hands_over_what_it_was_about_to_ask() {
    let Some(server) = Server::start() else { return };
    let joins = || Cache::open(CacheOptions { joins_processes: true, ..options(&server) }).unwrap();
    let (one, other) = (joins(), joins());
    let Turn::Ours(_lease) = one.turn(&key(1), "", SOON).await else { panic!("nobody else asks") };
    let begun = std::time::Instant::now();
    let (next, closed) = futures_util::future::join(other.turn(&key(1), "", SOON), one.close()).await;
    closed.unwrap();
    assert!(matches!(next, Turn::Ours(_)) && begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_cache_that_is_closed_while_it_waits_for_another_process_does_not_call_redis_away() {
    let Some(server) = Server::start() else { return };
    let joins = || Cache::open(CacheOptions { joins_processes: true, ..options(&server) }).unwrap();
    let (one, other) = (joins(), joins());
    let Turn::Ours(_lease) = one.turn(&key(1), "", SOON).await else { panic!("nobody else asks") };
    let closing = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        other.close().await
    };
    let (next, closed) = futures_util::future::join(other.turn(&key(1), "", SOON), closing).await;
    closed.unwrap();
    assert!(matches!(next, Turn::Alone));
    let redis = other.stats().redis.unwrap();
    assert_eq!((redis.status, redis.skipped, redis.last_error), ("connected", 0, None));
}

#[tokio::test]
async fn what_was_asked_before_a_clear_is_not_kept_after_it() {
    let Some(server) = Server::start() else { return };
    let (one, other) = (open(&server), open(&server));
    one.put(key(2), entry("an answer"));
    one.flush().await.unwrap();
    let since = Some(one.moment());
    other.clear(None).await.unwrap();
    until(SOON, || one.memory_get(&key(2)).is_none()).await;
    one.put(key(1), Entry { since, ..entry("an old answer") });
    one.flush().await.unwrap();
    assert_eq!(found(&other, &key(1), "").await, None);
}

#[tokio::test]
async fn a_redis_that_lost_everything_takes_nothing_else_with_it() {
    let Some(server) = Server::start() else { return };
    let cache = open(&server);
    cache.put(key(1), entry("an answer"));
    cache.flush().await.unwrap();
    assert!(found(&cache, &key(1), "").await.is_some());
    server.ask(&["FLUSHALL"]);
    until(SOON, || server.ask(&["EXISTS", CLEARED]).contains(":1")).await;
    // It stands there before the cache has heard of it; what is kept from then on others find.
    let begun = Instant::now();
    loop {
        cache.put(key(2), entry("another"));
        cache.flush().await.unwrap();
        if found(&open(&server), &key(2), "").await.is_some() {
            break;
        }
        assert!(begun.elapsed() < SOON, "{:?}", cache.stats());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(cache.memory_get(&key(1)).is_some() && cache.memory_get(&key(2)).is_some());
}
