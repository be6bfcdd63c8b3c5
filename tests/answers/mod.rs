//! Numbered answers for the tests of the cache.

#![allow(dead_code, reason = "no test uses all of it")]

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use thryd::cache::{Cache, CacheOptions, Entry, Key, Record};

pub fn key(number: u64) -> Key {
    Key(*blake3::hash(&number.to_le_bytes()).as_bytes())
}

/// An answer that compresses about as well as text does, and that says whose it is.
pub fn answer(number: u64, size: usize) -> Bytes {
    let mut rng = fastrand::Rng::with_seed(number);
    let mut text = format!("{number}:");
    while text.len() < size {
        text.push_str(rng.choice(&["one ", "two ", "three ", "forty-two ", "seven "]).unwrap());
        text.push(rng.alphanumeric());
    }
    text.into()
}

pub fn put(cache: &Cache, number: u64) {
    cache.put(key(number), Entry { deployment: "openai::gpt-4o", payload: answer(number, 500), ..Entry::default() });
}

/// Finds on disk what has to be there. A read that takes longer than a second is a miss: it is done again, where many share few
/// cores. A miss that comes sooner is one.
pub async fn find(cache: &Cache, key: &Key) -> Option<Arc<Record>> {
    for _ in 0..5 {
        let begun = Instant::now();
        let found = cache.disk_get(key).await;
        if found.is_some() || begun.elapsed() < Duration::from_millis(900) {
            return found;
        }
    }
    None
}

const NAP: Duration = Duration::from_millis(5);

/// A thread that does nothing but sleep, and sees how much longer than it wanted: so long the machine kept everyone waiting.
pub struct Witness(Arc<Naps>);

struct Naps {
    is_over: AtomicBool,
    /// When the one that it takes began, and when those before it ended, and by how much too late.
    seen: Mutex<(Instant, Vec<(Instant, Duration)>)>,
}

impl Witness {
    pub fn begin() -> Self {
        let naps = Arc::new(Naps { is_over: AtomicBool::new(false), seen: Mutex::new((Instant::now(), Vec::new())) });
        let taken = Arc::clone(&naps);
        std::thread::spawn(move || {
            while !taken.is_over.load(Ordering::SeqCst) {
                let begun = Instant::now();
                taken.seen.lock().unwrap().0 = begun;
                std::thread::sleep(NAP);
                let end = Instant::now();
                taken.seen.lock().unwrap().1.push((end, (end - begun).saturating_sub(NAP)));
            }
        });
        Self(naps)
    }

    /// How much too long one slept at most of those that were not over at this moment.
    pub fn overshoot_since(&self, moment: Instant) -> Duration {
        let seen = self.0.seen.lock().unwrap();
        let now = seen.0.elapsed().saturating_sub(NAP);
        seen.1.iter().filter(|(end, _)| *end >= moment).map(|(_, late)| *late).fold(now, Duration::max)
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.0.is_over.store(true, Ordering::SeqCst);
    }
}

/// Without memory, so that every lookup is one of the disk.
pub fn on_disk(path: &Path) -> CacheOptions {
    CacheOptions { memory_bytes: 0, ..CacheOptions::at(path) }
}

/// A cache with a clock that the test turns.
pub fn with_clock(options: CacheOptions) -> (Cache, Arc<AtomicU64>) {
    let clock = Arc::new(AtomicU64::new(1_000_000));
    let hand = Arc::clone(&clock);
    (Cache::open_with_clock(options, move || hand.load(Ordering::SeqCst)).unwrap(), clock)
}
