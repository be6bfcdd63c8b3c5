//! How fast text is counted, by kind of text: what a router pays for each request with a limit on tokens.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

fn texts() -> [(&'static str, String); 6] {
    let prose = "The committee will meet on Tuesday, and it's not clear who is going to attend; bring 12 copies.\n";
    let code = "    if let Some(value) = map.get(&key) {\n        total += value.len() * 2; // bytes\n    }\n";
    let chinese = "\u{4eba}\u{5de5}\u{667a}\u{80fd}\u{6b63}\u{5728}\u{6539}\u{53d8}\u{4e16}\u{754c}\u{ff0c}";
    [
        ("question", "Explain async and sync programming.".to_owned()),
        ("prose 20 KiB", prose.repeat(20 * 1024 / prose.len())),
        ("code 20 KiB", code.repeat(20 * 1024 / code.len())),
        ("chinese 20 KiB", chinese.repeat(20 * 1024 / chinese.len())),
        ("one letter 20 KiB", "a".repeat(20 * 1024)),
        ("spaces 20 KiB", " ".repeat(20 * 1024)),
    ]
}

fn count(criterion: &mut Criterion) {
    for encoding in ["o200k_base", "cl100k_base"] {
        thryd::tokens::preload(encoding);
        let mut group = criterion.benchmark_group(format!("tokens/{encoding}"));
        for (name, text) in &texts() {
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
