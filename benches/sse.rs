//! What reading a stream costs: a completion of 2000 chunks, as it comes off a fast socket, a slow one and a cruel one.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use thryd::connections::SseParser;

fn events(criterion: &mut Criterion) {
    let event = r#"data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"gpt-4o","choices":[{"index":0,"delta":{"content":" token"},"finish_reason":null}]}"#;
    let stream = format!("{event}\n\n").repeat(2000);
    let mut group = criterion.benchmark_group("sse");
    group.throughput(Throughput::Bytes(stream.len() as u64));
    for piece in [16 << 10, 200, 1] {
        group.bench_with_input(BenchmarkId::new("bytes a piece", piece), &piece, |bencher, &piece| {
            bencher.iter(|| {
                let (mut parser, mut events) = (SseParser::default(), Vec::new());
                for bytes in black_box(stream.as_bytes()).chunks(piece) {
                    parser.push(bytes, &mut events).expect("within the bound");
                }
                assert_eq!(events.len(), 2000);
            });
        });
    }
    group.finish();
}

criterion_group!(benches, events);
criterion_main!(benches);
