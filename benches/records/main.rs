//! What records cost: bytes and time of every way to write them, and what 100,000 answers take in a file.
//!
//! ```sh
//! cargo bench --bench records                              # all tables; a minute
//! cargo bench --bench records -- --records                 # without the file
//! cargo bench --bench records -- --answers 10000           # a smaller file
//! cargo bench --bench records -- --train <file>            # makes a dictionary (src/compression/)
//! ```
//!
//! The answers are generated from texts with fixed seeds, so that two runs of one commit measure the same bytes;
//! `corpus.rs` says what training and measuring share.

mod corpus;
mod spelling;

use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use corpus::{Answer, Corpus};
use fastrand::Rng;
use thryd::cache::{Cache, CacheOptions, Codec, EncryptionKey, Entry, Key, Namespace, Record};
use zstd::bulk::{Compressor, Decompressor};

/// Answers that the dictionary is trained on; more make it no better.
const TRAINED_ON: usize = 2_000;
const DICTIONARY_BYTES: usize = 32 << 10;

/// Answers whose encoding is timed.
const TIMED: usize = 2_000;
const PASSES: usize = 5;

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        [] => measure(100_000),
        ["--records"] => records(),
        ["--answers", number] => measure(number.parse().expect("a number of answers")),
        ["--train", path] => {
            std::fs::write(path, train(DICTIONARY_BYTES)).expect("the dictionary can be written");
            println!("{path} was trained on {TRAINED_ON} answers");
        }
        _ => panic!("expected nothing, --records, --answers and a number, or --train and a file, got {arguments:?}"),
    }
}

fn train(size: usize) -> Vec<u8> {
    let (corpus, mut rng) = (Corpus::training(), Rng::with_seed(1));
    let samples: Vec<_> = (0..TRAINED_ON).map(|_| corpus.answer(&mut rng)).map(|answer| body(&answer)).collect();
    zstd::dict::from_samples(&samples, size).expect("a dictionary")
}

fn measured(count: usize) -> Vec<Answer> {
    let (corpus, mut rng) = (Corpus::measured(), Rng::with_seed(7));
    (0..count).map(|_| corpus.answer(&mut rng)).collect()
}

/// What is compressed of an answer, about.
fn body(answer: &Answer) -> Vec<u8> {
    [answer.deployment.as_bytes(), answer.question.as_bytes(), answer.payload.as_bytes()].concat()
}

fn key(number: usize) -> Key {
    Key(*blake3::hash(&number.to_le_bytes()).as_bytes())
}

fn record(answer: &Answer) -> Record {
    Record {
        deployment: answer.deployment.clone(),
        created_ms: 1_767_225_600_000,
        expires_ms: 1_767_225_600_000 + 7 * 24 * 60 * 60 * 1000,
        namespace: Namespace::new(""),
        question: Bytes::from(answer.question.clone()),
        payload: Bytes::from(answer.payload.clone()),
    }
}

fn records() {
    ways();
    providers();
}

fn measure(count: usize) {
    records();
    println!("\n{count} answers in a file, through `Cache`:\n");
    println!("| file | raw JSON | length | of raw | allocated | of raw | µs per answer |");
    println!("|---|---:|---:|---:|---:|---:|---:|");
    let answers = measured(count);
    file("answers", &answers, false, None);
    file("answers and questions", &answers, true, None);
    file("answers and questions, encrypted", &answers, true, Some(EncryptionKey::new([7; 32])));
}

// ------------------------------------------------------------------------------------------------------------- ways

/// One row: bytes against the raw JSON, and microseconds per record, of the fastest of a few passes.
fn row<T>(name: &str, samples: &[T], raw: usize, encode: impl Fn(&T) -> Vec<u8>, decode: impl Fn(&T, &[u8])) {
    let (mut encoded, mut encoding, mut decoding) = (Vec::new(), Duration::MAX, Duration::MAX);
    for _ in 0..PASSES {
        let start = Instant::now();
        encoded = samples.iter().map(&encode).collect();
        encoding = encoding.min(start.elapsed());
        let start = Instant::now();
        for (sample, bytes) in samples.iter().zip(&encoded) {
            decode(sample, black_box(bytes));
        }
        decoding = decoding.min(start.elapsed());
    }
    let size: usize = encoded.iter().map(Vec::len).sum();
    #[allow(clippy::cast_precision_loss, reason = "small numbers")]
    let (ratio, per) = (size as f64 / raw as f64, samples.len() as f64 / 1e6);
    let (encoding, decoding) = (encoding.as_secs_f64() / per, decoding.as_secs_f64() / per);
    println!("| {name} | {ratio:.3} | {} | {encoding:.1} | {decoding:.1} |", size / samples.len());
}

fn ways() {
    let answers = measured(TIMED);
    let raw = answers.iter().map(|answer| answer.raw.len()).sum::<usize>();
    println!("{TIMED} answers of {} bytes of raw JSON on average, with what is stored beside them\n", raw / TIMED);
    println!("| how | of raw | bytes | µs to encode | µs to decode |");
    println!("|---|---:|---:|---:|---:|");
    let bodies: Vec<_> = answers.iter().map(body).collect();
    row("as it is", &bodies, raw, Vec::clone, |body, bytes| assert_eq!(body, bytes));
    row(
        "lz4",
        &bodies,
        raw,
        |body| lz4_flex::block::compress(body),
        |body, bytes| {
            assert_eq!(lz4_flex::block::decompress(bytes, body.len()).expect("a block"), *body);
        },
    );
    for level in [1, 3, 9, 19] {
        zstd_row(&format!("zstd {level}"), &bodies, raw, level, &[]);
    }
    for kib in [16, 32, 64] {
        let dictionary = train(kib << 10);
        for level in [3, 6, 9, 19] {
            zstd_row(&format!("zstd {level}, dictionary of {kib} KiB"), &bodies, raw, level, &dictionary);
        }
    }
    let records: Vec<_> = answers.iter().map(record).collect();
    for (name, encryption) in [("record", None), ("record, encrypted", Some(EncryptionKey::new([7; 32])))] {
        let codec = Codec::new(encryption.as_ref());
        let (key, place) = (key(1), codec.place(&key(1)));
        row(
            name,
            &records,
            raw,
            |record| codec.encode(&key, record).expect("short"),
            |record, bytes| {
                let (_, found) = codec.decode(&place, bytes).expect("what was written");
                assert_eq!(found.payload.len(), record.payload.len());
            },
        );
    }
}

fn zstd_row(name: &str, bodies: &[Vec<u8>], raw: usize, level: i32, dictionary: &[u8]) {
    let mut compressor = Compressor::with_dictionary(level, dictionary).expect("a context");
    let mut decompressor = Decompressor::with_dictionary(dictionary).expect("a context");
    let (compressor, decompressor) =
        (std::cell::RefCell::new(&mut compressor), std::cell::RefCell::new(&mut decompressor));
    let encode = |body: &Vec<u8>| compressor.borrow_mut().compress(body).expect("compressed");
    row(name, bodies, raw, encode, |body, bytes| {
        assert_eq!(decompressor.borrow_mut().decompress(bytes, body.len()).expect("a frame"), *body);
    });
}

fn providers() {
    println!("\nRecords by provider; `mistral` and `together` were not trained on\n");
    println!("| provider | answers | raw JSON | record | of raw |");
    println!("|---|---:|---:|---:|---:|");
    let answers = measured(TIMED);
    let mut names: Vec<_> = answers.iter().map(|answer| answer.provider).collect();
    names.sort_unstable();
    names.dedup();
    for name in names {
        let (mut count, mut raw, mut size) = (0, 0, 0);
        for answer in answers.iter().filter(|answer| answer.provider == name) {
            count += 1;
            raw += answer.raw.len();
            size += record(answer).encode(&key(1)).expect("short").len();
        }
        #[allow(clippy::cast_precision_loss, reason = "small numbers")]
        let ratio = size as f64 / raw as f64;
        println!("| {name} | {count} | {} | {} | {ratio:.3} |", raw / count, size / count);
    }
}

// ------------------------------------------------------------------------------------------------------------- file

fn file(name: &str, answers: &[Answer], with_questions: bool, encryption_key: Option<EncryptionKey>) {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("cache");
    let options = CacheOptions { memory_bytes: 0, encryption_key, ..CacheOptions::at(&path) };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().expect("a runtime");
    let start = Instant::now();
    runtime.block_on(async {
        let cache = Cache::open(options).expect("a file");
        for (number, answer) in answers.iter().enumerate() {
            let question = if with_questions { Bytes::from(answer.question.clone()) } else { Bytes::new() };
            let payload = Bytes::from(answer.payload.clone());
            cache.put(key(number), Entry { deployment: &answer.deployment, payload, question, ..Entry::default() });
            // Not faster than the writer: what waits to be written is bounded.
            if number % 10_000 == 9_999 {
                cache.flush().await.expect("flushed");
            }
        }
        cache.flush().await.expect("flushed");
        assert_eq!(cache.stats().entries, answers.len() as u64);
        cache.close().await.expect("closed");
    });
    let elapsed = start.elapsed();
    let (length, allocated) = size_of(&path);
    let raw: usize = answers.iter().map(|answer| answer.raw.len()).sum();
    #[allow(clippy::cast_precision_loss, reason = "small numbers")]
    let (of_raw, allocated_of_raw, each) =
        (length as f64 / raw as f64, allocated as f64 / raw as f64, elapsed.as_secs_f64() * 1e6 / answers.len() as f64);
    println!("| {name} | {raw} | {length} | {of_raw:.3} | {allocated} | {allocated_of_raw:.3} | {each:.0} |");
}

/// Length of the file, and the bytes of the disk that it takes.
fn size_of(path: &Path) -> (u64, u64) {
    let metadata = std::fs::metadata(path).expect("the file is there");
    #[cfg(unix)]
    let allocated = std::os::unix::fs::MetadataExt::blocks(&metadata) * 512;
    #[cfg(not(unix))]
    let allocated = metadata.len();
    (metadata.len(), allocated)
}
