//! What storing adds to a call: until the answer is in memory and in the queue of the file, which is written elsewhere.

use std::time::Instant;

use bytes::Bytes;
use serde_json::{Value, json};
use thryd::cache::{Cache, CacheOptions, Entry, Key};

use super::one_thread;
use super::support::{ROUNDS, micros, record};

/// Answers of a round: as many as come before the file is written.
const ANSWERS: u32 = 500;
const BYTES: usize = 2048;

pub fn storing() {
    let folder = tempfile::tempdir().expect("a folder");
    let in_file = CacheOptions::at(folder.path().join("cache"));
    let caches = [("into memory and a file", in_file), ("into memory", CacheOptions::default())];
    let caches = caches.map(|(name, options)| (name, Cache::open(options).expect("a cache")));
    let (runtime, payload) = (one_thread(), Bytes::from(vec![b'a'; BYTES]));
    let mut rounds: [Vec<Value>; 2] = Default::default();
    let mut number = 0_u64;
    for round in 0..=ROUNDS {
        for ((_, cache), rounds) in caches.iter().zip(&mut rounds) {
            let begun = Instant::now();
            for _ in 0..ANSWERS {
                number += 1;
                let mut key = [0; 32];
                key[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
                cache.put(Key(key), Entry { deployment: "a::b", payload: payload.clone(), ..Entry::default() });
            }
            let time = micros(begun.elapsed()) / f64::from(ANSWERS);
            runtime.block_on(cache.flush()).expect("a disk");
            if round > 0 {
                rounds.push(json!({ "time": time }));
            }
        }
    }
    let entries = caches.iter().zip(rounds).map(|((name, _), rounds)| json!({ "name": name, "rounds": rounds }));
    record(&json!({
        "name": "storing",
        "title": "storing an answer of 2 KiB, as the caller feels it",
        "unit": "answer",
        "measures": ["time"],
        "entries": entries.collect::<Vec<_>>(),
    }));
}
