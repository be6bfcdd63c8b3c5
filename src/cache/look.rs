//! A hit from the file at once, on the thread that asks: no task, no other thread, and nobody waited for.
//!
//! That is possible while a file is read again and again and is not written; what it finds, or that it finds nothing,
//! is then what [`Cache::disk_get`] would have found. In all other cases it says that it cannot tell.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::disk::Disk;
use super::store::Look;
use super::{Cache, Key, Record};

/// What a look into the file has found.
#[derive(Clone, Debug)]
pub enum Glance {
    /// The answer.
    Hit(Arc<Record>),
    /// It is not there: for [`Cache::disk_get_since`], which then reads it only if something was stored since.
    Miss(Sighting),
    /// That cannot be told without waiting.
    Unsure,
}

/// That an answer was not in the file, and when that was.
#[derive(Clone, Copy, Debug)]
pub struct Sighting {
    /// Of the file, as it was read.
    snapshot: u64,
    /// Of what waits to be written to it.
    puts: u64,
}

impl Cache {
    /// The answer from disk, which then is in memory too, if that can be told at once. Counts a hit; a miss is counted by
    /// the [`Cache::disk_get_since`] after it.
    #[must_use]
    pub fn disk_now(&self, key: &Key) -> Glance {
        let Some(disk) = self.disk().filter(|_| !self.is_closed()) else { return Glance::Unsure };
        let inner = &self.0;
        let (since, now_ms) = (inner.memory.epoch(), (inner.clock)());
        let found = disk.look(key, now_ms);
        if let Glance::Hit(record) = &found {
            inner.memory.promote(*key, record, since);
            inner.disk_hits.fetch_add(1, Ordering::Relaxed);
            self.note_use();
        }
        found
    }
}

impl Disk {
    /// The answer, if it is here, intact and not expired, as far as that can be told at once.
    fn look(&self, key: &Key, now_ms: u64) -> Glance {
        // Before anything is looked at: what is put from here on makes the sighting void.
        let puts = self.writes.puts();
        if let Some(record) = self.writes.get(key) {
            return if record.is_expired(now_ms) { Glance::Unsure } else { Glance::Hit(record) };
        }
        let Some(reading) = self.pace.begin() else { return Glance::Unsure };
        let found = self.store.look(key);
        self.pace.end(&reading);
        match found {
            Look::Found(record, _) if !record.is_expired(now_ms) => Glance::Hit(Arc::new(record)),
            Look::Found(_, snapshot) | Look::Absent(snapshot) => Glance::Miss(Sighting { snapshot, puts }),
            Look::Unsure => Glance::Unsure,
        }
    }

    /// What there is of an answer that was seen not to be here, as far as that can be told at once.
    pub fn look_again(&self, key: &Key, now_ms: u64, sighting: Sighting) -> Glance {
        // In this order: what was put since either waits here still, or was committed, which the file shows.
        let is_waiting = self.writes.puts() != sighting.puts && self.writes.get(key).is_some();
        if !is_waiting && self.pace.is_fast() && self.store.is_unchanged_since(sighting.snapshot) {
            return Glance::Miss(sighting);
        }
        self.look(key, now_ms)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;
    use std::time::{Duration, Instant};

    use super::super::pace::Pace;
    use super::super::{CacheOptions, Codec, Entry};
    use super::*;

    fn key(number: u64) -> Key {
        Key(*blake3::hash(&number.to_le_bytes()).as_bytes())
    }

    /// A file with one answer that is on disk, and has been asked for.
    async fn warm(path: &std::path::Path) -> Cache {
        let cache = Cache::open(CacheOptions { memory_bytes: 0, ..CacheOptions::at(path) }).unwrap();
        cache.put(key(1), Entry::default());
        cache.flush().await.unwrap();
        // Twice in a row, and again if a busy machine put too much time between the two.
        for _ in 0..50 {
            let begun = Instant::now();
            for _ in 0..2 {
                assert!(cache.disk_get(&key(1)).await.is_some());
            }
            if begun.elapsed() < Duration::from_millis(500) {
                return cache;
            }
        }
        panic!("the file is never read fast enough");
    }

    #[tokio::test]
    async fn a_file_that_answers_slowly_is_read_beside_the_loop() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cache");
        warm(&path).await.close().await.unwrap();
        // Every look at the clock finds it so much later.
        let step = Arc::new(AtomicU64::new(0));
        let (begun, now, by) = (Instant::now(), AtomicU64::new(0), Arc::clone(&step));
        let ticks = move || {
            let step = by.load(Ordering::SeqCst);
            begun + Duration::from_micros(now.fetch_add(step, Ordering::SeqCst) + step)
        };
        let disk = Disk::open_with(&path, u64::MAX, Codec::default(), Pace::by(ticks, || None)).unwrap();
        for _ in 0..2 {
            assert!(disk.get(&key(1), 0).is_some());
        }
        let is_hit = || matches!(disk.look(&key(1), 0), Glance::Hit(_));
        assert!((0..100).all(|_| is_hit()));
        step.store(5_000, Ordering::SeqCst);
        let slow = (0..10_000).filter(|_| is_hit()).count();
        assert!((1..=10).contains(&slow), "{slow} of ten thousand took five milliseconds");
        step.store(5, Ordering::SeqCst);
        assert!((0..10_000).filter(|_| is_hit()).count() > 5_000, "it has become fast");
    }

    /// While the file is held, a read would wait for a second.
    #[tokio::test]
    async fn what_was_just_seen_not_to_be_there_is_not_looked_for_again_unless_something_was_stored() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cache");
        let cache = warm(&path).await;
        let Glance::Miss(seen) = cache.disk_now(&key(2)) else { panic!("sure") };
        let disk = cache.disk().unwrap();
        let held = disk.store.held();
        let within = async |limit, seen| tokio::time::timeout(limit, cache.disk_get_since(&key(2), seen)).await;
        let soon = async |seen| within(Duration::from_secs(10), seen).await;
        assert!(soon(Some(seen)).await.unwrap().is_none());
        assert!(within(Duration::from_millis(200), None).await.is_err(), "it is looked for");
        assert_eq!(cache.stats().misses, 1);
        // What waits to be written is another's.
        cache.put(key(3), Entry::default());
        let at_once = Duration::from_millis(900);
        assert!(within(at_once, Some(seen)).await.unwrap().is_none());
        drop(held);
        cache.flush().await.unwrap();
        let held = disk.store.held();
        assert!(within(at_once, Some(seen)).await.unwrap().is_none(), "what was written since was looked at");
        drop(held);
        // It is found wherever it is: waiting to be written, or written since.
        cache.put(key(2), Entry::default());
        assert!(soon(Some(seen)).await.unwrap().is_some());
        cache.flush().await.unwrap();
        assert!(soon(Some(seen)).await.unwrap().is_some());
        assert!(matches!(cache.disk_now(&key(2)), Glance::Hit(_)), "and looks go on");
    }

    #[tokio::test]
    async fn a_sighting_in_one_file_says_nothing_of_another() {
        let dir = tempfile::tempdir().unwrap();
        let (first, second) = (warm(&dir.path().join("a")).await, warm(&dir.path().join("b")).await);
        second.put(key(2), Entry::default());
        second.flush().await.unwrap();
        for _ in 0..2 {
            assert!(second.disk_get(&key(2)).await.is_some());
        }
        first.put(key(3), Entry::default());
        first.flush().await.unwrap();
        let Glance::Miss(seen) = first.disk_now(&key(2)) else { panic!("sure") };
        assert!(second.disk_get_since(&key(2), Some(seen)).await.is_some());
    }
}
