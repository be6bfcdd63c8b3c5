use super::*;
use crate::cache::{Cache, CacheOptions, Entry};

/// Two threads, as a cache held up for ever is what is feared.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_waits_long_for_a_file_that_is_held_and_nothing_is_lost_by_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("cache");
    let cache = Cache::open(CacheOptions { memory_bytes: 0, ..CacheOptions::at(&path) }).unwrap();
    let (old, new) = (Key([1; 32]), Key([2; 32]));
    cache.put(old, Entry::default());
    cache.flush().await.unwrap();
    let stats = cache.stats();
    let disk = Disk::open(&path, u64::MAX, Codec::default()).unwrap();
    let held = disk.store.held();
    assert!(cache.disk_get(&old).await.is_none(), "a miss");
    cache.put(new, Entry::default());
    assert!(cache.disk_get(&new).await.is_some(), "it waits to be written");
    assert_eq!((cache.stats().entries, cache.stats().bytes), (stats.entries, stats.bytes));
    drop(held);
    cache.flush().await.unwrap();
    assert!(cache.disk_get(&old).await.is_some() && cache.disk_get(&new).await.is_some());
    assert_eq!((cache.stats().write_errors, cache.stats().read_errors), (0, 0));
}
