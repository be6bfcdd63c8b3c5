//! How fast text is counted, by kind of text, and how long a vocabulary takes to be there.

mod corpora;

use std::hint::black_box;
use std::time::Instant;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

const ENCODINGS: [&str; 2] = ["o200k_base", "cl100k_base"];

fn count(criterion: &mut Criterion) {
    for encoding in ENCODINGS {
        let begun = Instant::now();
        thryd::tokens::preload(encoding);
        println!("{encoding}: loaded in {:?}", begun.elapsed());
        let texts = [corpora::kinds(), corpora::worst()].concat();
        let mut group = criterion.benchmark_group(format!("tokens/{encoding}"));
        for (name, text) in &texts {
            group.throughput(Throughput::Bytes(text.len() as u64));
            group.bench_with_input(BenchmarkId::from_parameter(name), text, |bencher, text| {
                bencher.iter(|| thryd::tokens::count(black_box(text), encoding));
            });
        }
        group.finish();
    }
}

criterion_group!(benches, count);
criterion_main!(benches);
