//! Fears about a file that another process holds for seconds, as it does to make it shorter: that a call, the end of the
//! process or another file waits for it.
#![cfg(target_os = "linux")]

mod answers;
mod dummies;

use std::fs::OpenOptions;
use std::ops::Bound;
use std::path::Path;
use std::time::{Duration, Instant};

use answers::{Witness, key, on_disk, put};
use dummies::{ask, ask_with, dummy, router};
use redb::StorageBackend;
use redb::backends::FileBackend;
use serde_json::{Value, json};
use thryd::cache::{Cache, flush_all};
use thryd::kinds::Completion;
use thryd::route::{CacheStatus, Router};

/// Longer than any of this takes by itself, shorter than what is feared.
const SOON: Duration = Duration::from_millis(900);

/// Holds the file's header, as another process does while it makes the file shorter; until it is dropped.
fn hold(path: &Path) -> FileBackend {
    let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
    let backend = FileBackend::new(file).unwrap();
    backend.lock_range(Bound::Included(0), Bound::Excluded(320)).unwrap();
    backend
}

/// A file with an answer in it, which nobody has open.
async fn closed_file(path: &Path) {
    let cache = Cache::open(on_disk(path)).unwrap();
    put(&cache, 1);
    cache.close().await.unwrap();
}

/// A router whose dummy answers are kept in this file.
fn on(path: &Path, mode: &str) -> Router<Completion> {
    router(json!({
        "providers": [dummy("a", json!({ "responses": ["answer"], "repeat": true, "cache": true }))],
        "groups": { "default": { "deployments": ["a::m"] } },
        "cache": { "path": path, "mode": mode, "memoryBytes": 0 },
    }))
}

#[tokio::test]
async fn the_end_of_the_process_and_other_files_do_not_wait_for_one_that_is_being_opened() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("c");
    closed_file(&path).await;
    let held = hold(&path);
    let opening = std::thread::spawn(move || Cache::open(on_disk(&path)).map(drop));
    let begun = Instant::now();
    // It may not have come far yet, so that more than one look is taken.
    while begun.elapsed() < Duration::from_millis(200) {
        flush_all();
    }
    Cache::open(on_disk(&dir.path().join("other"))).unwrap();
    assert!(!opening.is_finished(), "nothing was held up");
    drop(held);
    opening.join().unwrap().unwrap();
}

#[tokio::test]
async fn callers_who_open_one_file_at_once_share_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("c");
    closed_file(&path).await;
    let held = hold(&path);
    let openings: Vec<_> = (0..8)
        .map(|_| {
            let path = path.clone();
            std::thread::spawn(move || Cache::open(on_disk(&path)).unwrap())
        })
        .collect();
    drop(held);
    let caches: Vec<_> = openings.into_iter().map(|opening| opening.join().unwrap()).collect();
    put(&caches[0], 2);
    for cache in caches {
        assert!(cache.disk_get(&key(2)).await.is_some(), "also while it waits to be written");
    }
}

#[tokio::test]
async fn the_first_call_waits_no_longer_for_its_file_to_be_opened_than_for_a_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("c");
    closed_file(&path).await;
    let held = hold(&path);
    let router = on(&path, "record");
    let answers = async {
        let first = ask(&router, "hi").await.unwrap();
        let witness = Witness::begin();
        let begun = Instant::now();
        let second = ask(&router, "ho").await.unwrap();
        let took = begun.elapsed();
        (first.cache, second.cache, took.saturating_sub(witness.overshoot_since(begun)))
    };
    let (first, second, took) =
        tokio::time::timeout(Duration::from_secs(20), answers).await.expect("they wait for ever");
    assert_eq!((first, second), (CacheStatus::Off, CacheStatus::Off));
    assert!(took < SOON, "the second waited anew, {took:?}");
    // Who has nothing else to answer from waits.
    let patient = ask_with(&router, "hi", json!({ "cache": "only-if-cached" }));
    let free = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        drop(held);
    };
    assert_eq!(tokio::join!(patient, free).0.unwrap_err().code(), "ERR_NOT_CACHED");
    assert_eq!(ask(&router, "hi").await.unwrap().cache, CacheStatus::Miss);
    assert_eq!(ask(&router, "hi").await.unwrap().cache, CacheStatus::Disk, "the opening went on behind");
}

#[tokio::test]
async fn a_replaying_call_waits_for_its_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("c");
    let recording = on(&path, "record");
    ask(&recording, "hi").await.unwrap();
    recording.close().await.unwrap();
    drop(recording);
    let held = hold(&path);
    let replaying = on(&path, "replay");
    let free = async {
        tokio::time::sleep(Duration::from_millis(1_200)).await;
        drop(held);
    };
    let answer = tokio::join!(ask(&replaying, "hi"), free).0;
    assert_eq!(answer.unwrap().content, "answer");
}

#[tokio::test(start_paused = true)]
async fn a_file_that_could_not_be_opened_is_tried_again_after_a_while() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("not yet").join("c");
    let router = on(&path, "record");
    let failure = |router: &Router<Completion>| router.stats().cache.unwrap().last_error;
    ask(&router, "hi").await.unwrap();
    std::fs::create_dir(path.parent().unwrap()).unwrap();
    ask(&router, "hi").await.unwrap();
    assert!(failure(&router).unwrap().contains("there is no directory"));
    tokio::time::advance(Duration::from_secs(30)).await;
    // Who may answer without it does not wait for it.
    ask_with(&router, "hi", json!({ "cache": "only-if-cached" })).await.unwrap_err();
    assert_eq!(failure(&router), None);
    ask(&router, "hi").await.unwrap();
    router.close().await.unwrap();
    let stats: Value = serde_json::to_value(router.stats().cache.unwrap()).unwrap();
    assert_eq!(stats["entries"], 1, "{stats}");
}

/// The addon has a bounded number of threads for all that blocks.
#[test]
fn reads_that_are_held_up_leave_threads_for_other_files_and_other_work() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(20).build().unwrap();
    runtime.block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let (path, free) = (dir.path().join("c"), dir.path().join("free"));
        closed_file(&free).await;
        let (slow, quick) = (Cache::open(on_disk(&path)).unwrap(), Cache::open(on_disk(&free)).unwrap());
        let held = hold(&path);
        put(&slow, 7);
        let reads = (0..100).map(|_| tokio::spawn(slow.disk_get(&key(1)))).collect::<Vec<_>>();
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(quick.disk_get(&key(1)).await.is_some(), "another file");
        assert!(slow.disk_get(&key(7)).await.is_some(), "what waits to be written");
        for read in reads {
            assert!(read.await.unwrap().is_none(), "a miss");
        }
        drop(held);
        assert!(slow.disk_get(&key(7)).await.is_some(), "it goes on");
    });
}
