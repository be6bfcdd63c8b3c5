//! A cache in Redis: what several processes may find there, and what becomes of calls when it is not as it should be.
//!
//! What stands for a process here is a cache of its own: nothing but the connection is shared.

use std::time::{Duration, Instant};

use bytes::Bytes;
use thryd::cache::{Cache, CacheOptions, EncryptionKey, Entry, Key, RedisCacheOptions};
use thryd::fields::Fields;
use thryd::kinds::CompletionRequest;
use thryd::options::InvokeOptions;
use thryd::route::CacheStatus;

use super::reached::reached_by_caches;
use super::server::Server;
use super::until;

/// How long what is bound to happen is waited for there.
pub const SOON: Duration = Duration::from_secs(20);

pub fn key(number: u32) -> Key {
    Key(*blake3::hash(&number.to_le_bytes()).as_bytes())
}

pub fn options(server: &Server) -> CacheOptions {
    options_at(&server.url())
}

/// With more patience than the default, for machines that are busy with tests.
pub fn options_at(url: &str) -> CacheOptions {
    let mut options = impatient(url);
    options.redis.as_mut().unwrap().redis.timeout = Duration::from_secs(3);
    options
}

/// With the default patience.
pub fn impatient(url: &str) -> CacheOptions {
    CacheOptions { redis: Some(RedisCacheOptions::at(url).unwrap()), ..CacheOptions::default() }
}

pub fn open(server: &Server) -> Cache {
    Cache::open(options(server)).unwrap()
}

pub fn entry(payload: &'static str) -> Entry<'static> {
    Entry { deployment: "p::m", payload: Bytes::from_static(payload.as_bytes()), ..Entry::default() }
}

/// What a process of its own finds.
pub async fn found(cache: &Cache, key: &Key, namespace: &str) -> Option<String> {
    let record = cache.redis_get(key, namespace).await?;
    Some(String::from_utf8(record.payload.to_vec()).unwrap())
}

/// The keys of answers, by asking the server.
pub fn keys(server: &Server) -> Vec<String> {
    let said = server.ask(&["KEYS", "*{*"]);
    said.lines().filter(|line| line.contains('{')).map(|line| line.trim().to_owned()).collect()
}

#[tokio::test]
async fn what_one_process_has_been_answered_another_finds_and_has_from_then_on() {
    let Some(server) = reached_by_caches().await else { return };
    let (one, other) = (open(&server), open(&server));
    assert_eq!(found(&other, &key(1), "").await, None);
    one.put(key(1), entry("an answer"));
    one.flush().await.unwrap();
    assert_eq!(found(&other, &key(1), "").await.unwrap(), "an answer");
    assert!(other.memory_get(&key(1)).is_some(), "promoted");
    let stats = other.stats();
    assert_eq!((stats.hits, stats.memory_hits, stats.redis_hits, stats.misses), (2, 1, 1, 1));
    assert_eq!(stats.redis.unwrap().status, "connected");
}

#[tokio::test]
async fn what_is_found_in_redis_is_in_the_file_soon() {
    let Some(server) = reached_by_caches().await else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = Some(folder.path().join("cache"));
    let one = open(&server);
    one.put(key(1), entry("an answer"));
    one.flush().await.unwrap();
    let other = Cache::open(CacheOptions { path: path.clone(), ..options(&server) }).unwrap();
    assert!(found(&other, &key(1), "").await.is_some());
    other.close().await.unwrap();
    let alone = Cache::open(CacheOptions { path, ..CacheOptions::default() }).unwrap();
    assert!(alone.disk_get(&key(1)).await.is_some());
}

#[tokio::test]
async fn an_answer_is_kept_for_as_long_as_its_ttl_and_its_key_tells_nothing() {
    let Some(server) = reached_by_caches().await else { return };
    let cache = open(&server);
    let ttl = Some(Duration::from_secs(100));
    let secret = Entry { ttl, namespace: "tenant-7", question: Bytes::from_static(b"a secret"), ..entry("an answer") };
    cache.put(key(1), secret);
    cache.put(key(2), Entry { ttl: Some(Duration::ZERO), ..entry("nothing") });
    cache.flush().await.unwrap();
    let keys = keys(&server);
    assert_eq!(keys.len(), 1, "{keys:?}");
    let all = server.ask(&["KEYS", "*"]);
    assert!(!all.contains("tenant") && !all.contains("secret"), "{all}");
    let ttl: i64 = server.ask(&["PTTL", &keys[0]]).trim_start_matches(':').trim().parse().unwrap();
    assert!((90_000..=100_000).contains(&ttl), "{ttl}");
}

#[tokio::test]
async fn namespaces_are_apart_and_are_cleared_apart() {
    let Some(server) = reached_by_caches().await else { return };
    let (one, other) = (open(&server), open(&server));
    for (number, namespace) in [(1, "a"), (2, "b")] {
        one.put(key(number), Entry { namespace, ..entry("an answer") });
    }
    one.flush().await.unwrap();
    assert_eq!(found(&other, &key(1), "b").await, None, "asked for in another's name");
    assert!(found(&other, &key(1), "a").await.is_some() && found(&other, &key(2), "b").await.is_some());
    one.clear(Some("a")).await.unwrap();
    assert_eq!(found(&one, &key(1), "a").await, None);
    assert!(found(&one, &key(2), "b").await.is_some());
    // Also what another process has in its memory.
    until(SOON, || other.memory_get(&key(1)).is_none()).await;
    assert!(other.memory_get(&key(2)).is_some());
    assert_eq!(found(&other, &key(1), "a").await, None);
    one.clear(None).await.unwrap();
    until(SOON, || other.memory_get(&key(2)).is_none()).await;
    assert_eq!(found(&open(&server), &key(2), "b").await, None, "nor does who comes later");
}

#[tokio::test]
async fn an_encrypted_cache_shows_nothing_and_answers_only_who_has_the_key() {
    let Some(server) = reached_by_caches().await else { return };
    let sealed = |digit: &str| {
        let encryption_key = EncryptionKey::parse(&digit.repeat(64));
        assert!(encryption_key.is_some());
        Cache::open(CacheOptions { encryption_key, ..options(&server) }).unwrap()
    };
    let cache = sealed("a");
    cache.put(key(1), entry("an answer that is nobody's business"));
    cache.flush().await.unwrap();
    let keys = keys(&server);
    assert!(!keys[0].contains(&blake3::Hash::from_bytes(key(1).0).to_hex().to_string()));
    let value = server.ask(&["GET", &keys[0]]);
    assert!(!value.contains("business") && !value.contains("p::m"));
    assert_eq!(found(&sealed("b"), &key(1), "").await, None);
    assert_eq!(found(&open(&server), &key(1), "").await, None);
    assert!(found(&sealed("a"), &key(1), "").await.is_some());
}

#[tokio::test]
async fn a_value_that_is_not_as_it_should_be_is_a_miss_and_stays_if_it_is_another_s() {
    let Some(server) = reached_by_caches().await else { return };
    let cache = open(&server);
    let place = async |number| {
        cache.put(key(number), entry("an answer"));
        cache.flush().await.unwrap();
        let hex = blake3::Hash::from_bytes(key(number).0).to_hex().to_string();
        keys(&server).into_iter().find(|key| key.contains(&hex)).unwrap()
    };
    let (list, damaged, newer, plain) = (place(1).await, place(2).await, place(3).await, place(4).await);
    server.ask(&["DEL", &list]);
    server.ask(&["RPUSH", &list, "mine"]);
    server.ask(&["SETRANGE", &damaged, "20", "xxxx"]);
    server.ask(&["SETRANGE", &newer, "3", "\u{3}"]);
    server.ask(&["SET", &plain, "the text of another"]);
    let other = open(&server);
    for number in 1..=4 {
        assert_eq!(found(&other, &key(number), "").await, None);
    }
    let redis = other.stats().redis.unwrap();
    assert_eq!((redis.read_errors, redis.skipped, redis.status), (4, 0, "connected"));
    for number in 1..=4 {
        other.put(key(number), entry("a new answer"));
        other.flush().await.unwrap();
    }
    assert!(server.ask(&["LRANGE", &list, "0", "-1"]).contains("mine"));
    assert!(server.ask(&["GETRANGE", &newer, "0", "3"]).contains("thR\u{3}"));
    assert!(server.ask(&["GET", &plain]).contains("the text of another"));
    let redis = other.stats().redis.unwrap();
    assert_eq!((redis.write_errors, redis.status), (3, "connected"));
    assert!(redis.last_error.unwrap().contains(&plain), "it is named");
    assert_eq!(found(&open(&server), &key(2), "").await.unwrap(), "a new answer");
}

#[tokio::test]
async fn an_answer_that_was_asked_for_earlier_does_not_take_the_place_of_a_newer_one() {
    let Some(server) = reached_by_caches().await else { return };
    let (one, other) = (open(&server), open(&server));
    let since = Some(one.moment());
    tokio::time::sleep(Duration::from_millis(5)).await;
    other.put(key(1), entry("the newer"));
    other.flush().await.unwrap();
    one.put(key(1), Entry { since, ..entry("the older") });
    one.flush().await.unwrap();
    assert_eq!(found(&open(&server), &key(1), "").await.unwrap(), "the newer");
    one.put(key(1), Entry { since: Some(one.moment()), ..entry("the newest") });
    one.flush().await.unwrap();
    assert_eq!(found(&open(&server), &key(1), "").await.unwrap(), "the newest");
}

#[tokio::test]
async fn a_redis_that_is_killed_and_comes_back_is_used_again() {
    let Some(mut server) = reached_by_caches().await else { return };
    let cache = open(&server);
    assert_eq!(found(&cache, &key(1), "").await, None);
    server.kill();
    let begun = Instant::now();
    for _ in 0..50 {
        cache.put(key(1), entry("lost"));
        assert_eq!(found(&cache, &key(1), "").await, None);
    }
    cache.flush().await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(3), "not even once for the timeout: {:?}", begun.elapsed());
    assert_eq!(cache.stats().redis.unwrap().write_errors, 50);
    assert!(cache.memory_get(&key(1)).is_some());
    server.restart();
    until(SOON, || cache.stats().redis.unwrap().status == "connected").await;
    until_found(&cache, 2).await;
    assert!(found(&open(&server), &key(2), "").await.is_some());
}

#[tokio::test]
async fn a_full_or_read_only_redis_still_answers_and_says_that_it_keeps_nothing() {
    let Some(server) = reached_by_caches().await else { return };
    let cache = open(&server);
    cache.put(key(1), entry("an answer"));
    cache.flush().await.unwrap();
    let is_kept = async |number| {
        cache.put(key(number), entry("more"));
        cache.flush().await.unwrap();
        found(&open(&server), &key(number), "").await.is_some()
    };
    let until_kept = async |number| {
        let begun = Instant::now();
        while !is_kept(number).await {
            assert!(begun.elapsed() < SOON, "{:?}", cache.stats());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    server.ask(&["CONFIG", "SET", "maxmemory", "1"]);
    assert!(!is_kept(2).await);
    let redis = cache.stats().redis.unwrap();
    assert_eq!((redis.status, redis.write_errors), ("connected", 1));
    assert!(redis.last_error.unwrap().contains("OOM"));
    assert!(found(&cache, &key(1), "").await.is_some());
    server.ask(&["CONFIG", "SET", "maxmemory", "0"]);
    until_kept(3).await;
    let master = Server::start().unwrap();
    server.ask(&["REPLICAOF", "127.0.0.1", &master.port.to_string()]);
    assert!(!is_kept(4).await);
    assert!(cache.stats().redis.unwrap().last_error.unwrap().contains("READONLY"));
    server.ask(&["REPLICAOF", "NO", "ONE"]);
    until_kept(5).await;
}

#[tokio::test]
async fn a_wrong_password_costs_nothing_but_the_cache_and_is_not_shown() {
    let Some(server) = Server::start_with(&["--requirepass", "right"]) else { return };
    for url in [format!("redis://127.0.0.1:{}", server.port), format!("redis://:wr0ng@127.0.0.1:{}", server.port)] {
        let cache = Cache::open(options_at(&url)).unwrap();
        assert_eq!(found(&cache, &key(1), "").await, None);
        cache.put(key(1), entry("an answer"));
        cache.flush().await.unwrap();
        let redis = cache.stats().redis.unwrap();
        assert_eq!((redis.status, redis.write_errors), ("away", 1), "{redis:?}");
        let error = redis.last_error.unwrap();
        let says = ["NOAUTH", "not accepted"].iter().any(|words| error.contains(words));
        assert!(says && !error.contains("wr0ng"), "{error}");
        assert!(cache.clear(None).await.unwrap_err().to_string().contains("Redis"), "who clears is told");
    }
    let cache = Cache::open(options_at(&format!("redis://:right@127.0.0.1:{}", server.port))).unwrap();
    cache.put(key(1), entry("an answer"));
    cache.flush().await.unwrap();
    assert!(found(&cache, &key(1), "").await.is_some());
}

#[tokio::test]
async fn scripts_that_a_server_has_forgotten_are_sent_again() {
    let Some(server) = reached_by_caches().await else { return };
    let cache = open(&server);
    for number in 1..=2 {
        cache.put(key(number), entry("an answer"));
        cache.flush().await.unwrap();
        assert!(found(&open(&server), &key(number), "").await.is_some());
        server.ask(&["SCRIPT", "FLUSH"]);
    }
}

#[tokio::test]
async fn more_than_redis_takes_in_is_dropped_and_counted() {
    let Some(server) = Server::start() else { return };
    let cache = Cache::open(CacheOptions { memory_bytes: 0, ..options(&server) }).unwrap();
    let noise: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..)).take(900 << 10).collect();
    let payload = Bytes::from(noise);
    for number in 0..100 {
        cache.put(key(number), Entry { payload: payload.clone(), ..entry("") });
    }
    let longer = Bytes::from(std::iter::repeat_with(|| fastrand::u8(..)).take(2 << 20).collect::<Vec<_>>());
    let lost = cache.stats().redis.unwrap().write_errors;
    assert!((50..100).contains(&lost), "{lost}");
    cache.flush().await.unwrap();
    cache.put(key(1_000), Entry { payload: longer, ..entry("") });
    cache.flush().await.unwrap();
    assert_eq!(cache.stats().redis.unwrap().write_errors, lost + 1, "it is longer than a mebibyte");
    assert_eq!(keys(&server).len(), 100 - usize::try_from(lost).unwrap());
}

#[tokio::test]
async fn a_file_that_cannot_be_opened_costs_the_file_and_not_redis() {
    let Some(server) = reached_by_caches().await else { return };
    let cache = format!(r#"{{"path": "/nowhere/cache", "redis": {{"url": "{}", "timeoutMs": 3000}}}}"#, server.url());
    for expected in [CacheStatus::Miss, CacheStatus::Redis] {
        let router = router(&cache, r#"{"cache": true}"#);
        let answer = router.invoke("g", CompletionRequest::message("Hi"), InvokeOptions::default()).await.unwrap();
        assert_eq!(answer.cache, expected);
        router.close().await.unwrap();
    }
}

/// Puts and looks until it is there.
pub async fn until_found(cache: &Cache, number: u32) {
    let begun = Instant::now();
    loop {
        cache.put(key(number), entry("an answer"));
        cache.flush().await.unwrap();
        let record = cache.redis_get(&key(number), "").await;
        if record.is_some() {
            return;
        }
        assert!(begun.elapsed() < SOON, "{:?}", cache.stats());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A router with one dummy and this cache.
pub fn router(cache: &str, dummy: &str) -> thryd::route::Router<thryd::kinds::Completion> {
    let options = format!(
        r#"{{"cache": {cache}, "retry": {{"maxRetries": 0}}, "providers": [{{"type": "dummy", "dummy": {dummy}}}],
            "groups": {{"g": {{"deployments": ["dummy::m"]}}}}}}"#
    );
    let fields = Fields::parse("router options", &options).unwrap();
    thryd::route::Router::new(thryd::options::RouterOptions::read(fields).unwrap()).unwrap()
}

#[tokio::test]
async fn a_flush_waits_for_what_came_before_and_not_for_what_comes_after() {
    let Some(server) = Server::start() else { return };
    // So that something is on its way all the time.
    let port = super::network::slow_way(&server, Duration::from_millis(20)).await;
    let cache = Cache::open(options_at(&format!("redis://127.0.0.1:{port}"))).unwrap();
    let puts = cache.clone();
    let load = tokio::spawn(async move {
        for number in 100.. {
            puts.put(key(number), entry("one of many"));
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    for number in 0..5 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        cache.put(key(number), entry("an answer"));
        tokio::time::timeout(SOON, cache.flush()).await.expect("it comes to an end").unwrap();
        assert!(found(&open(&server), &key(number), "").await.is_some(), "and not too early");
    }
    assert!(!load.is_finished());
    load.abort();
}
