//! The cache's pure parts, and its tiers: a 1 KiB request and a 2 KiB answer.
#![allow(missing_docs, reason = "criterion's macros")]

use std::hint::black_box;
use std::sync::Arc;

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use thryd::cache::{
    Cache, CacheOptions, Entry, Flights, Glance, Key, KeyBuilder, Namespace, Question, Record, canonical_json,
};
use thryd::kinds::Body;

fn text(length: usize) -> String {
    let mut rng = fastrand::Rng::with_seed(1);
    let words = ["the ", "router ", "answers ", "a ", "question ", "once ", "and ", "for ", "all ", "of \\\"them\\\" "];
    let mut text = String::new();
    while text.len() < length {
        text.push_str(rng.choice(&words).unwrap_or(&""));
        text.push(rng.alphanumeric());
    }
    text
}

fn request() -> String {
    let text = text(900);
    format!(r#"{{"messages":[{{"role":"user","content":"{text}"}}],"temperature":0.7,"max_completion_tokens":200}}"#)
}

fn key(number: u64) -> Key {
    Key(*blake3::hash(&number.to_le_bytes()).as_bytes())
}

fn keys(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("cache/key");
    let request = request();
    group.throughput(Throughput::Bytes(request.len() as u64));
    group.bench_function("canonical, 1 KiB", |bencher| bencher.iter(|| canonical_json(black_box(&request))));
    let body = Body::parse(&request).expect("JSON");
    let builder = KeyBuilder::new("", "completion", ["openai::gpt-4o", "local::llama3"].into_iter());
    group.bench_function("key of a parsed body, 1 KiB", |bencher| bencher.iter(|| builder.body(black_box(&body))));
    let question = || Question::new("completion", ["openai::gpt-4o", "local::llama3"].into_iter(), black_box(&body));
    group.bench_function("sketch of a parsed body, 1 KiB", |bencher| bencher.iter(|| question().sketch()));
    group.finish();
}

fn records(criterion: &mut Criterion) {
    let record = Record {
        deployment: "openai::gpt-4o".to_owned(),
        created_ms: 1,
        expires_ms: u64::MAX,
        namespace: Namespace::new(""),
        question: Bytes::new(),
        payload: Bytes::from(text(2048)),
    };
    let bytes = record.encode(&key(1)).expect("short");
    let mut group = criterion.benchmark_group("cache/record");
    group.bench_function("encode, 2 KiB", |bencher| bencher.iter(|| black_box(&record).encode(&key(1))));
    group.bench_function("decode, 2 KiB", |bencher| bencher.iter(|| Record::decode(&key(1), black_box(&bytes))));
    group.finish();
}

fn tiers(criterion: &mut Criterion) {
    const ENTRIES: u64 = 10_000;
    let dir = tempfile::tempdir().expect("a directory");
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let payload = Bytes::from(text(2048));
    let memory = Cache::open(CacheOptions::default()).expect("memory");
    let disk = CacheOptions { memory_bytes: 0, ..CacheOptions::at(dir.path().join("cache")) };
    let disk = Cache::open(disk).expect("a file");
    for number in 0..ENTRIES {
        memory.put(key(number), Entry { deployment: "a::b", payload: payload.clone(), ..Entry::default() });
        disk.put(key(number), Entry { deployment: "a::b", payload: payload.clone(), ..Entry::default() });
    }
    runtime.block_on(disk.flush()).expect("flushed");
    let mut rng = fastrand::Rng::with_seed(2);
    let mut group = criterion.benchmark_group("cache/tiers");
    group.bench_function("memory hit", |bencher| bencher.iter(|| memory.memory_get(&key(rng.u64(0..ENTRIES)))));
    group.bench_function("memory miss", |bencher| bencher.iter(|| memory.memory_get(&key(rng.u64(ENTRIES..)))));
    group.bench_function("disk hit, with its hop", |bencher| {
        bencher.iter(|| runtime.block_on(disk.disk_get(&key(rng.u64(0..ENTRIES)))));
    });
    // Asked for before, so that it is looked at and no more.
    group.bench_function("disk hit, at once", |bencher| {
        let hit = |key| matches!(disk.disk_now(&key), Glance::Hit(_));
        bencher.iter(|| assert!(hit(key(rng.u64(0..ENTRIES)))));
    });
    group.bench_function("disk miss, at once", |bencher| {
        let miss = |key| matches!(disk.disk_now(&key), Glance::Miss(_));
        bencher.iter(|| assert!(miss(key(rng.u64(ENTRIES..)))));
    });
    group.bench_function("put, with a question that is made later", |bencher| {
        let body = Arc::new(Body::parse(&request()).expect("JSON"));
        let put = |number| {
            let (body, payload) = (Arc::clone(&body), payload.clone());
            let question = move || Question::new("completion", ["a::b"].into_iter(), &body).sketch();
            disk.put_asked(key(number), Entry { deployment: "a::b", payload, ..Entry::default() }, 1024, question);
        };
        bencher.iter_batched(|| rng.u64(0..ENTRIES), put, BatchSize::SmallInput);
    });
    group.bench_function("put, behind the caller's back", |bencher| {
        let put =
            |number| disk.put(key(number), Entry { deployment: "a::b", payload: payload.clone(), ..Entry::default() });
        bencher.iter_batched(|| rng.u64(0..ENTRIES), put, BatchSize::SmallInput);
    });
    group.finish();
}

fn flights(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let flights: Flights<u8> = Flights::new();
    criterion.bench_function("cache/flight, alone", |bencher| {
        bencher.iter(|| runtime.block_on(async { flights.join(key(1), |_| async { 1 }).await }));
    });
    criterion.bench_function("cache/flight, 100 callers", |bencher| {
        let all = async || {
            let callers: Vec<_> = (0..100).map(|_| flights.join(key(1), |_| async { 1 })).collect();
            futures_util::future::join_all(callers).await
        };
        bencher.iter(|| runtime.block_on(all()));
    });
}

criterion_group!(benches, keys, records, tiers, flights);
criterion_main!(benches);
