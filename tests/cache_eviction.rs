//! Fears about the file's bound: that it does not hold, that it holds up writers, that it costs what is in use.

mod answers;

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use answers::{Witness, answer, find, key, on_disk, put, with_clock};
use bytes::Bytes;
use thryd::cache::{Cache, CacheOptions, CacheStats, Entry};

/// The numbers once each of so many answers is there or was evicted. Nothing is put any more, but room may still be made, also
/// between the looks that the numbers come from.
async fn stats_when_all_are_told(cache: &Cache, limit: u64, count: u64) -> CacheStats {
    let started = Instant::now();
    loop {
        let stats = cache.stats();
        assert!(stats.bytes <= limit, "{stats:?}");
        if stats.evictions + stats.entries == count {
            return stats;
        }
        assert!(started.elapsed() < Duration::from_secs(30), "not {count}: {stats:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_full_file_lets_go_of_the_expired_then_of_the_oldest_that_nobody_asks_for() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("c");
    let limit = 1 << 20;
    let (cache, clock) = with_clock(CacheOptions { max_bytes: limit, ..on_disk(&path) });
    // Oldest of all, but not expired; then some that expire soon.
    const UNASKED: u64 = u64::MAX;
    put(&cache, 0);
    put(&cache, UNASKED);
    for number in 1..200 {
        clock.fetch_add(1, Ordering::SeqCst);
        cache.put(
            key(number),
            Entry {
                deployment: "a::b",
                payload: answer(number, 2_000),
                ttl: Some(Duration::from_millis(1)),
                ..Entry::default()
            },
        );
    }
    let mut last = 200;
    while cache.stats().bytes < limit / 100 * 95 {
        clock.fetch_add(1, Ordering::SeqCst);
        put(&cache, last);
        cache.flush().await.unwrap();
        last += 1;
    }
    // Between the bound and its nine tenths nothing goes, so that not every write has to make room.
    assert_eq!(cache.stats().entries, last + 1);
    for number in last..last + 200 {
        clock.fetch_add(1, Ordering::SeqCst);
        put(&cache, number);
        cache.flush().await.unwrap();
    }
    // The first time room is made, the expired go, and that is enough.
    assert!(cache.stats().bytes <= limit);
    assert!(find(&cache, &key(0)).await.is_some());
    for number in last + 200..last + 3_000 {
        clock.fetch_add(1, Ordering::SeqCst);
        put(&cache, number);
    }
    cache.flush().await.unwrap();
    assert!(cache.stats().bytes <= limit);
    assert!(cache.disk_get(&key(UNASKED)).await.is_none());
    assert!(find(&cache, &key(0)).await.is_some(), "it was asked for");
    assert!(find(&cache, &key(last + 2_999)).await.is_some());
    let file = std::fs::metadata(&path).unwrap().len();
    assert!(file < 8 * limit, "{file}");
    assert_eq!(cache.stats().write_errors, 0);
}

#[tokio::test]
async fn the_bytes_that_are_counted_are_about_those_of_the_file() {
    for size in [100, 700, 1_300, 2_000, 6_000] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c");
        let cache = Cache::open(on_disk(&path)).unwrap();
        let mut rng = fastrand::Rng::with_seed(1);
        for number in 0..1_000 {
            let payload: Vec<u8> = std::iter::repeat_with(|| rng.u8(..)).take(size).collect();
            cache.put(key(number), Entry { deployment: "a::b", payload: payload.into(), ..Entry::default() });
        }
        cache.flush().await.unwrap();
        let (counted, file) = (cache.stats().bytes, std::fs::metadata(&path).unwrap().len());
        // redb doubles its file when it grows, so up to half of it may still be empty.
        assert!(counted < file * 2 && file < counted * 4, "{size}: counted {counted}, file {file}");
        // Storing the same again counts nothing twice.
        for number in 0..1_000 {
            cache.put(
                key(number),
                Entry { deployment: "a::b", payload: Bytes::from(vec![0; size]), ..Entry::default() },
            );
        }
        cache.clear(None).await.unwrap();
        assert_eq!((cache.stats().entries, cache.stats().bytes), (0, 0));
    }
}

/// Asks for the same 100 answers every day, and on each for 500 others that are never asked for again. The bound is
/// reached every other day.
async fn live_through_scans(memory_bytes: u64) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("c");
    let cache = Cache::open(CacheOptions { max_bytes: 1 << 20, memory_bytes, ..CacheOptions::at(&path) }).unwrap();
    (0..100).for_each(|number| put(&cache, number));
    for day in 0..20 {
        for number in 0..100 {
            let found = match cache.memory_get(&key(number)) {
                Some(found) => Some(found),
                None => find(&cache, &key(number)).await,
            };
            assert_eq!(found.expect("is in use").payload, answer(number, 500), "{number} on day {day}");
        }
        (0..500).for_each(|scanned| put(&cache, 1_000 + day * 500 + scanned));
        cache.flush().await.unwrap();
    }
    assert!(cache.stats().evictions > 7_000, "{}", cache.stats().evictions);
    // On disk all the same, also what was always answered from memory.
    let below = Cache::open(CacheOptions { max_bytes: 1 << 20, ..on_disk(&path) }).unwrap();
    for number in 0..100 {
        assert!(find(&below, &key(number)).await.is_some(), "{number} of {:?}", cache.stats());
    }
}

#[tokio::test]
async fn an_answer_that_is_asked_for_every_day_survives_many_times_the_bound_of_others() {
    live_through_scans(0).await;
}

#[tokio::test]
async fn an_answer_that_is_always_found_in_memory_survives_on_disk_too() {
    live_through_scans(64 << 20).await;
}

#[tokio::test]
async fn a_file_in_which_everything_is_in_use_still_makes_room() {
    let dir = tempfile::tempdir().unwrap();
    let limit = 1 << 20;
    let cache = Cache::open(CacheOptions { max_bytes: limit, ..on_disk(&dir.path().join("c")) }).unwrap();
    for number in 0..4_000 {
        put(&cache, number);
        let _ = cache.disk_get(&key(number)).await;
        if number % 100 == 0 {
            cache.flush().await.unwrap();
            let earlier = (0..number).map(|earlier| cache.disk_get(&key(earlier)));
            for asked in earlier {
                let _ = asked.await;
            }
            assert!(cache.stats().bytes <= limit);
        }
    }
    cache.flush().await.unwrap();
    stats_when_all_are_told(&cache, limit, 4_000).await;
    assert!(find(&cache, &key(3_999)).await.is_some());
}

#[tokio::test]
async fn the_bound_holds_however_fast_others_write() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("c");
    let limit = 4 << 20;
    let cache = Cache::open(CacheOptions { max_bytes: limit, ..on_disk(&path) }).unwrap();
    let witness = Witness::begin();
    for number in 0..20_000 {
        let size = [300, 900, 3_000, 9_000][number as usize % 4];
        let (key, entry) = (key(number), Entry { payload: answer(number, size), ..Entry::default() });
        let before = Instant::now();
        cache.put(key, entry);
        let took = before.elapsed();
        if took >= Duration::from_millis(500) {
            let late = witness.overshoot_since(before);
            assert!(took < Duration::from_millis(500) + late, "a put took {took:?}, and a nap {late:?} too long");
        }
        if number % 500 == 0 {
            let stats = cache.stats();
            assert!(stats.bytes <= limit, "{}", stats.bytes);
            // Pages that a transaction replaces are free for the one after the next, so the file is somewhat longer; redb
            // doubles it when it grows.
            assert!(stats.file_bytes <= 5 * limit, "{}", stats.file_bytes);
        }
    }
    cache.flush().await.unwrap();
    let stats = stats_when_all_are_told(&cache, limit, 20_000).await;
    assert!(stats.bytes > limit / 2);
    assert_eq!(stats.write_errors, 0);
}

#[tokio::test]
async fn answers_are_written_and_found_while_a_file_far_over_its_bound_is_made_smaller() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("c");
    let cache = Cache::open(on_disk(&path)).unwrap();
    for number in 0..20_000 {
        cache.put(key(number), Entry { payload: answer(number, 2_000), ..Entry::default() });
    }
    cache.close().await.unwrap();
    let limit = 2 << 20;
    let cache = Cache::open(CacheOptions { max_bytes: limit, ..on_disk(&path) }).unwrap();
    let mut during = 0;
    for number in 20_000..20_100 {
        put(&cache, number);
        cache.flush().await.unwrap();
        assert_eq!(find(&cache, &key(number)).await.unwrap().payload, answer(number, 500));
        during += u32::from(cache.stats().bytes > limit);
    }
    assert!(during >= 5, "written while it was over its bound: {during}");
    let started = Instant::now();
    while cache.stats().bytes > limit {
        assert!(started.elapsed() < Duration::from_secs(30), "the bound is not reached");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(find(&cache, &key(20_099)).await.is_some());
}

#[tokio::test]
async fn an_answer_that_is_longer_than_the_whole_bound_pushes_nothing_out() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::open(CacheOptions { max_bytes: 1 << 20, ..on_disk(&dir.path().join("c")) }).unwrap();
    put(&cache, 1);
    let mut rng = fastrand::Rng::with_seed(1);
    let payload: Vec<u8> = std::iter::repeat_with(|| rng.u8(..)).take(2 << 20).collect();
    cache.put(key(2), Entry { payload: payload.into(), ..Entry::default() });
    cache.flush().await.unwrap();
    assert!(find(&cache, &key(1)).await.is_some());
    assert!(cache.disk_get(&key(2)).await.is_none());
    assert_eq!((cache.stats().entries, cache.stats().evictions), (1, 1));
}
