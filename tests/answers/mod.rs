//! Numbered answers for the tests of the cache.

#![allow(dead_code, reason = "no test uses all of it")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
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

/// Finds on disk what has to be there. A read that takes longer than a second is a miss, so where many share few cores a miss
/// is believed only when it stays.
pub async fn find(cache: &Cache, key: &Key) -> Option<Arc<Record>> {
    for _ in 0..5 {
        let found = cache.disk_get(key).await;
        if found.is_some() {
            return found;
        }
    }
    None
}

/// A thread that does nothing but sleep, and sees how much longer than it wanted: so long the machine kept everyone waiting.
pub struct Witness {
    is_over: Arc<AtomicBool>,
    sleeper: JoinHandle<Duration>,
}

impl Witness {
    pub fn begin() -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&is_over);
        let sleep = move || {
            let (nap, mut longest) = (Duration::from_millis(5), Duration::ZERO);
            while !told.load(Ordering::SeqCst) {
                let begun = Instant::now();
                std::thread::sleep(nap);
                longest = longest.max(begun.elapsed().saturating_sub(nap));
            }
            longest
        };
        Self { is_over, sleeper: std::thread::spawn(sleep) }
    }

    /// How much longer than it wanted it slept at most.
    pub fn overshoot(self) -> Duration {
        self.is_over.store(true, Ordering::SeqCst);
        self.sleeper.join().unwrap()
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
