//! Fears about hits that a file gives at once: that they differ from what it gives later, that they are counted twice or
//! not at all, that a call finds what is gone or asks for what is there.

mod answers;
mod dummies;

use std::time::{Duration, Instant};

use answers::{Witness, on_disk};
use dummies::{ask, ask_with, dummy, request, router};
use serde_json::{Value, json};
use thryd::cache::CacheStats;
use thryd::kinds::Completion;
use thryd::options::InvokeOptions;
use thryd::route::{Begun, CacheStatus, Router};

/// A router whose dummy answers are kept in this file.
fn on(path: &std::path::Path, cache: Value) -> Router<Completion> {
    let mut options = json!({ "path": path, "memoryBytes": 0 });
    options.as_object_mut().unwrap().extend(cache.as_object().unwrap().clone());
    router(json!({
        "providers": [dummy("a", json!({ "responses": ["answer"], "repeat": true, "cache": true }))],
        "groups": { "default": { "deployments": ["a::m"] } },
        "cache": options,
    }))
}

/// Asks until the file answers at once: in a row, and again if a busy machine put too much time between. What was asked is
/// `warm`.
async fn warm(router: &Router<Completion>) {
    for _ in 0..50 {
        let begun = Instant::now();
        for _ in 0..3 {
            ask(router, "warm").await.unwrap();
            router.cache().unwrap().flush().await.unwrap();
        }
        if begun.elapsed() < Duration::from_millis(500) {
            return;
        }
    }
    panic!("the file is never read fast enough");
}

/// What is said at once, if anything.
fn at_once(router: &Router<Completion>, text: &str) -> Option<CacheStatus> {
    match router.begin("default", request(text), InvokeOptions::default()) {
        Begun::Ready(answer) => Some(answer.unwrap().cache),
        Begun::Pending(_) => None,
    }
}

fn counts(router: &Router<Completion>) -> [u64; 4] {
    let CacheStats { memory_hits, disk_hits, misses, joined, .. } = router.cache().unwrap().stats();
    [memory_hits, disk_hits, misses, joined]
}

#[tokio::test]
async fn a_file_that_is_asked_again_and_again_answers_at_once_and_each_hit_is_counted_once() {
    let dir = tempfile::tempdir().unwrap();
    for cache in [json!({}), json!({ "encryptionKey": "ab".repeat(32) }), json!({ "namespace": "theirs" })] {
        let router = on(&dir.path().join(cache.to_string().len().to_string()), cache);
        warm(&router).await;
        let [_, before, misses, _] = counts(&router);
        for _ in 0..10 {
            assert_eq!(at_once(&router, "warm"), Some(CacheStatus::Disk));
        }
        assert_eq!(counts(&router), [0, before + 10, misses, 0]);
    }
}

#[tokio::test]
async fn what_the_file_gave_at_once_is_in_memory_then() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("c");
    let first = on(&path, json!({}));
    warm(&first).await;
    ask(&first, "other").await.unwrap();
    first.cache().unwrap().flush().await.unwrap();
    let second = on(&path, json!({ "memoryBytes": 1 << 20 }));
    warm(&second).await;
    assert_eq!(at_once(&second, "other"), Some(CacheStatus::Disk));
    assert_eq!(at_once(&second, "other"), Some(CacheStatus::Memory));
}

#[tokio::test]
async fn a_miss_is_counted_once_and_what_it_stored_is_found_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let router = on(&dir.path().join("c"), json!({}));
    warm(&router).await;
    let [_, hits, misses, _] = counts(&router);
    assert_eq!(ask(&router, "new").await.unwrap().cache, CacheStatus::Miss);
    assert_eq!(at_once(&router, "new"), Some(CacheStatus::Disk), "it waits to be written");
    router.cache().unwrap().flush().await.unwrap();
    assert_eq!(at_once(&router, "new"), Some(CacheStatus::Disk));
    assert_eq!(counts(&router), [0, hits + 2, misses + 1, 0]);
}

#[tokio::test]
async fn equal_calls_that_are_not_there_are_one_and_looked_for_once() {
    let dir = tempfile::tempdir().unwrap();
    let router = on(&dir.path().join("c"), json!({}));
    warm(&router).await;
    let [_, _, misses, _] = counts(&router);
    let all = futures_util::future::join_all((0..20).map(|_| ask(&router, "new"))).await;
    let count = |status| all.iter().filter(|answer| answer.as_ref().unwrap().cache == status).count();
    assert_eq!((count(CacheStatus::Miss), count(CacheStatus::Joined)), (1, 19));
    assert_eq!(counts(&router)[2..], [misses + 1, 19]);
}

#[tokio::test]
async fn what_was_cleared_is_not_given_and_what_another_stored_is_not_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("c");
    let router = on(&path, json!({}));
    warm(&router).await;
    router.cache().unwrap().clear(None).await.unwrap();
    assert_eq!(at_once(&router, "warm"), None);
    assert_eq!(ask(&router, "warm").await.unwrap().cache, CacheStatus::Miss);
    // Another cache on the same file, whose memory is its own.
    let other = on(&path, json!({ "memoryBytes": 1 << 20 }));
    ask(&other, "theirs").await.unwrap();
    assert_eq!(at_once(&router, "theirs"), Some(CacheStatus::Disk));
}

#[tokio::test]
async fn those_who_read_no_cache_are_not_answered_by_it() {
    let dir = tempfile::tempdir().unwrap();
    let router = on(&dir.path().join("c"), json!({}));
    warm(&router).await;
    for cache in ["reload", "no-store"] {
        let answer = ask_with(&router, "warm", json!({ "cache": cache })).await.unwrap();
        assert!(matches!(answer.cache, CacheStatus::Miss | CacheStatus::Off), "{cache}: {:?}", answer.cache);
    }
    let answer = ask_with(&router, "warm", json!({ "cache": "only-if-cached" })).await.unwrap();
    assert_eq!(answer.cache, CacheStatus::Disk);
    let error = ask_with(&router, "new", json!({ "cache": "only-if-cached" })).await.unwrap_err();
    assert_eq!(error.code(), "ERR_NOT_CACHED");
}

#[tokio::test]
async fn an_answer_that_has_expired_is_not_given() {
    let dir = tempfile::tempdir().unwrap();
    let (cache, clock) = answers::with_clock(on_disk(&dir.path().join("c")));
    let router = router(json!({
        "providers": [dummy("a", json!({ "responses": ["answer"], "repeat": true, "cache": true }))],
        "groups": { "default": { "deployments": ["a::m"] } },
    }));
    router.mount_cache(cache);
    warm(&router).await;
    assert_eq!(at_once(&router, "warm"), Some(CacheStatus::Disk));
    clock.fetch_add(1_000 * 60 * 60 * 24 * 8, std::sync::atomic::Ordering::SeqCst);
    assert_eq!(at_once(&router, "warm"), None);
    let [_, _, misses, _] = counts(&router);
    assert_eq!(ask(&router, "warm").await.unwrap().cache, CacheStatus::Miss);
    assert_eq!(counts(&router)[2], misses + 1);
}

#[tokio::test]
async fn a_closed_cache_says_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let router = on(&dir.path().join("c"), json!({}));
    warm(&router).await;
    router.cache().unwrap().close().await.unwrap();
    assert_eq!(at_once(&router, "warm"), None);
}

/// While another process has the file's head, as it has it to make the file shorter, nothing of it is waited for.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_call_never_waits_for_who_holds_the_file_before_it_has_begun() {
    use std::ops::Bound;
    use std::os::unix::fs::FileExt;

    use redb::{StorageBackend, backends::FileBackend};

    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("c");
    let router = on(&path, json!({}));
    warm(&router).await;
    let open = || std::fs::File::options().read(true).write(true).open(&path).unwrap();
    let backend = FileBackend::new(open()).unwrap();
    backend.lock_range(Bound::Included(0), Bound::Excluded(320)).unwrap();
    assert_eq!(at_once(&router, "warm"), Some(CacheStatus::Disk));
    // And when what is kept cannot be relied on, because the head is another by now, it is not begun to be read anew here. The
    // byte is one that redb does not use.
    let mut byte = [0];
    open().read_exact_at(&mut byte, 400).unwrap();
    open().write_all_at(&[!byte[0]], 400).unwrap();
    let (witness, begun) = (Witness::begin(), Instant::now());
    assert_eq!(at_once(&router, "warm"), None);
    let took = begun.elapsed();
    assert!(took < Duration::from_millis(500) + witness.overshoot_since(begun), "{took:?}");
    // As it was, it can be relied on again.
    open().write_all_at(&byte, 400).unwrap();
    assert_eq!(at_once(&router, "warm"), Some(CacheStatus::Disk));
    drop(backend);
}
