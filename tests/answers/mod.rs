//! Numbered answers for the tests of the cache.

#![allow(dead_code, reason = "no test uses all of it")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use thryd::cache::{Cache, CacheOptions, Entry, Key};

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
