//! Fears about what is kept: that it is wrong, that it is lost, that it costs an answer, that it is somebody else's.

mod answers;

use std::sync::atomic::Ordering;
use std::time::Duration;

use answers::{answer, key, on_disk, put, with_clock};
use bytes::Bytes;
use thryd::cache::{Cache, CacheMode, CacheOptions, Entry};
use thryd::fields::Fields;

// ------------------------------------------------------------------------------------------------------- two tiers

#[tokio::test]
async fn an_answer_is_found_in_memory_at_once_and_on_disk_by_the_next_process() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("cache.redb");
    let cache = Cache::open(CacheOptions::at(&path)).unwrap();
    put(&cache, 1);
    assert_eq!(cache.memory_get(&key(1)).unwrap().payload, answer(1, 500));
    cache.close().await.unwrap();
    assert!(cache.is_closed() && cache.memory_get(&key(1)).is_none());

    let next = Cache::open(CacheOptions::at(&path)).unwrap();
    assert!(next.memory_get(&key(1)).is_none());
    let found = next.disk_get(&key(1)).await.unwrap();
    assert_eq!((found.deployment.as_str(), &found.payload), ("openai::gpt-4o", &answer(1, 500)));
    assert!(next.memory_get(&key(1)).is_some(), "promoted");
    assert!(next.disk_get(&key(2)).await.is_none());
    let stats = next.stats();
    assert_eq!((stats.entries, stats.hits, stats.misses, stats.write_errors, stats.read_errors), (1, 2, 1, 0, 0));
}

#[tokio::test]
async fn a_cache_without_a_file_keeps_answers_in_memory_and_counts() {
    let cache = Cache::open(CacheOptions::default()).unwrap();
    assert!(!cache.has_disk());
    assert!(cache.memory_get(&key(1)).is_none());
    assert!(cache.disk_get(&key(1)).await.is_none());
    put(&cache, 1);
    assert!(cache.memory_get(&key(1)).is_some());
    cache.note_joined();
    cache.flush().await.unwrap();
    let stats = cache.stats();
    assert_eq!((stats.entries, stats.hits, stats.misses, stats.joined), (1, 1, 1, 1));
    assert!(stats.bytes > 500);
    let json = serde_json::to_value(stats).unwrap();
    assert_eq!(json["writeErrors"], 0);
    cache.close().await.unwrap();
    cache.close().await.unwrap();
    put(&cache, 2);
    assert_eq!(cache.stats().entries, 0);
}

#[tokio::test]
async fn an_answer_that_is_on_its_way_to_the_disk_can_be_read() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::open(on_disk(&dir.path().join("c"))).unwrap();
    for number in 0..300 {
        put(&cache, number);
        assert_eq!(cache.disk_get(&key(number)).await.unwrap().payload, answer(number, 500));
    }
}

#[tokio::test]
async fn caches_that_name_one_file_share_it_and_the_memory_before_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("cache.redb");
    let one = Cache::open(CacheOptions::at(&path)).unwrap();
    let detour = dir.path().join(".").join("cache.redb");
    let other = Cache::open(CacheOptions::at(detour)).unwrap();
    let small = Cache::open(CacheOptions { memory_bytes: 1 << 20, ..CacheOptions::at(&path) }).unwrap();
    put(&one, 1);
    assert!(other.memory_get(&key(1)).is_some());
    assert!(small.memory_get(&key(1)).is_none());
    assert!(small.disk_get(&key(1)).await.is_some());
    // Closing one takes nothing from the others, and clearing one clears all.
    one.close().await.unwrap();
    assert!(other.memory_get(&key(1)).is_some());
    other.clear(None).await.unwrap();
    assert!(small.memory_get(&key(1)).is_none());
    assert!(small.disk_get(&key(1)).await.is_none());
}

#[tokio::test]
async fn caches_on_one_file_with_other_memories_serve_what_was_stored_last() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("c");
    let one = Cache::open(CacheOptions::at(&path)).unwrap();
    let other = Cache::open(CacheOptions { memory_bytes: 1 << 20, ..CacheOptions::at(&path) }).unwrap();
    let store = |text: &'static str| one.put(key(1), Entry { payload: text.into(), ..Entry::default() });
    store("old");
    assert_eq!(other.disk_get(&key(1)).await.unwrap().payload, "old");
    store("new");
    assert_eq!(other.memory_get(&key(1)).unwrap().payload, "new");
}

#[tokio::test]
async fn an_answer_too_long_for_memory_leaves_no_older_one_there() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::open(CacheOptions { memory_bytes: 1 << 20, ..CacheOptions::at(dir.path().join("c")) }).unwrap();
    for size in [500, 2 << 20] {
        cache.put(key(1), Entry { payload: answer(1, size), ..Entry::default() });
    }
    assert!(cache.memory_get(&key(1)).is_none());
    assert_eq!(cache.disk_get(&key(1)).await.unwrap().payload, answer(1, 2 << 20));
}

#[tokio::test]
async fn dropping_a_cache_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("c");
    let cache = Cache::open(on_disk(&path)).unwrap();
    (0..1_000).for_each(|number| put(&cache, number));
    drop(cache);
    let again = Cache::open(on_disk(&path)).unwrap();
    // `flush_all` of the test beside this one may hold the file for a moment longer: then it is still being written.
    again.flush().await.unwrap();
    assert_eq!(again.stats().entries, 1_000);
}

#[tokio::test]
async fn flush_all_brings_everything_to_disk_before_the_process_ends() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::open(on_disk(&dir.path().join("c"))).unwrap();
    (0..100).for_each(|number| put(&cache, number));
    thryd::cache::flush_all();
    assert_eq!(cache.stats().entries, 100);
}

// ------------------------------------------------------------------------------------------------- age, bounds, tenants

#[tokio::test]
async fn an_answer_is_not_served_from_the_millisecond_it_expires() {
    let dir = tempfile::tempdir().unwrap();
    for options in [CacheOptions::default(), CacheOptions::at(dir.path().join("c")), on_disk(&dir.path().join("d"))] {
        let (cache, clock) = with_clock(CacheOptions { ttl: Duration::from_secs(10), ..options });
        let start = clock.load(Ordering::SeqCst);
        put(&cache, 1);
        cache.put(
            key(2),
            Entry { deployment: "a::b", payload: Bytes::new(), ttl: Some(Duration::from_secs(20)), ..Entry::default() },
        );
        cache.put(
            key(3),
            Entry { deployment: "a::b", payload: Bytes::new(), ttl: Some(Duration::ZERO), ..Entry::default() },
        );
        cache.put(
            key(4),
            Entry { deployment: "a::b", payload: Bytes::new(), ttl: Some(Duration::MAX), ..Entry::default() },
        );
        let seen = async |number: u64| {
            cache.memory_get(&key(number)).is_some() || cache.disk_get(&key(number)).await.is_some()
        };
        assert!(!seen(3).await);
        clock.store(start + 9_999, Ordering::SeqCst);
        assert!(seen(1).await);
        clock.store(start + 10_000, Ordering::SeqCst);
        assert!(!seen(1).await);
        assert!(seen(2).await);
        clock.store(start + 20_000, Ordering::SeqCst);
        assert!(!seen(2).await);
        assert!(seen(4).await);
    }
}

#[tokio::test]
async fn prune_removes_what_has_expired_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let (cache, clock) = with_clock(on_disk(&dir.path().join("c")));
    for number in 0..1_500 {
        let ttl = Duration::from_secs(if number % 3 == 0 { 10 } else { 1_000 });
        cache.put(
            key(number),
            Entry { deployment: "a::b", payload: answer(number, 100), ttl: Some(ttl), ..Entry::default() },
        );
    }
    clock.fetch_add(10_000, Ordering::SeqCst);
    assert_eq!(cache.prune().await.unwrap(), 500);
    assert_eq!(cache.prune().await.unwrap(), 0);
    assert_eq!(cache.stats().entries, 1_000);
    assert!(cache.disk_get(&key(1)).await.is_some());

    let (cache, clock) = with_clock(CacheOptions { ttl: Duration::from_secs(1), ..CacheOptions::default() });
    put(&cache, 1);
    clock.fetch_add(1_000, Ordering::SeqCst);
    assert_eq!(cache.prune().await.unwrap(), 1);
}

#[tokio::test]
async fn clearing_one_tenant_leaves_the_others() {
    let dir = tempfile::tempdir().unwrap();
    for options in [CacheOptions::default(), CacheOptions::at(dir.path().join("c")), on_disk(&dir.path().join("d"))] {
        let cache = Cache::open(options).unwrap();
        let seen = async |number: u64| {
            cache.memory_get(&key(number)).is_some() || cache.disk_get(&key(number)).await.is_some()
        };
        cache.put(
            key(1),
            Entry { deployment: "a::b", payload: answer(1, 10), namespace: "tenant a", ..Entry::default() },
        );
        cache.put(
            key(2),
            Entry { deployment: "a::b", payload: answer(2, 10), namespace: "tenant b", ..Entry::default() },
        );
        cache.put(key(3), Entry { deployment: "a::b", payload: answer(3, 10), ..Entry::default() });
        cache.clear(Some("tenant a")).await.unwrap();
        assert_eq!((seen(1).await, seen(2).await, seen(3).await), (false, true, true));
        cache.clear(Some("")).await.unwrap();
        assert_eq!((seen(2).await, seen(3).await), (true, false));
        cache.clear(None).await.unwrap();
        assert!(!seen(2).await);
        assert_eq!(cache.stats().bytes, 0);
        put(&cache, 4);
        assert!(seen(4).await);
    }
}

// ---------------------------------------------------------------------------------------------------------- options

#[test]
fn options_are_read_by_name_and_have_one_set_of_defaults() {
    let read = |text| CacheOptions::read(Fields::parse("cache options", text).unwrap());
    assert_eq!(read("{}").unwrap(), CacheOptions::default());
    let all = r#"{"path":"p","ttlMs":1500,"maxBytes":5,"memoryBytes":0,"mode":"replay","namespace":"n","redis":null}"#;
    let expected = CacheOptions {
        path: Some("p".into()),
        redis: None,
        joins_processes: false,
        ttl: Duration::from_millis(1_500),
        max_bytes: 5,
        memory_bytes: 0,
        mode: CacheMode::Replay,
        namespace: Some("n".to_owned()),
        encryption_key: None,
    };
    assert_eq!(read(all).unwrap(), expected);
    for (text, field) in [
        (r#"{"ttl":1}"#, "cache options.ttl:"),
        (r#"{"mode":"play"}"#, "cache options.mode: expected one of 'record', 'replay'"),
        (r#"{"maxBytes":-1}"#, "cache options.maxBytes: expected an integer from 0"),
        (r#"{"path":""}"#, "cache options.path: expected the path of a file"),
    ] {
        let error = read(text).unwrap_err().to_string();
        assert!(error.starts_with(field), "{error}");
    }
}

#[test]
fn where_redis_is_can_be_said_in_two_ways_and_its_password_is_never_shown() {
    let read = |text: &str| CacheOptions::read(Fields::parse("cache options", text).unwrap());
    let short = read(r#"{"redis": "redis://:secret@host"}"#).unwrap();
    assert_eq!(read(r#"{"redis": {"url": "redis://:secret@host:6379"}}"#).unwrap(), short);
    assert!(!format!("{short:?} {:?}", Cache::open(short.clone()).unwrap()).contains("secret"));
    let all = r#"{"redis": {"url": "redis://h", "prefix": "p", "timeoutMs": 5, "leaseMs": 700}, "join": "redis"}"#;
    let all = read(all).unwrap();
    let redis = all.redis.unwrap();
    assert_eq!((&*redis.redis.prefix, redis.redis.timeout.as_millis(), redis.lease.as_millis()), ("p", 5, 700));
    assert!(all.joins_processes && !short.joins_processes);
    for (text, message) in [
        (r#"{"redis": "http://:secret@h"}"#, "cache options.redis: expected"),
        (r#"{"redis": 5}"#, "cache options.redis: expected a redis:// URL, or an object with one, got 5"),
        (
            r#"{"redis": {"url": "redis://:secret@h", "ttl": 5}}"#,
            "cache options.redis.ttl: expected one of the options url, prefix",
        ),
        (r#"{"redis": {"url": "redis://h", "timeoutMs": 0}}"#, "cache options.redis.timeoutMs: expected"),
        (r#"{"redis": {"prefix": "p"}}"#, "cache options.redis.url: expected"),
        (r#"{"redis": "redis://h", "join": true}"#, "cache options.join: expected"),
        (r#"{"join": "redis"}"#, "cache options.join: expected a redis beside it"),
        (r#"{"path": "redis://:secret@h"}"#, "cache options.path: expected the path of a file; where Redis is"),
    ] {
        let error = read(text).unwrap_err().to_string();
        assert!(error.starts_with(message) && !error.contains("secret"), "{error}");
    }
}
