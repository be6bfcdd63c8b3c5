//! What reading a stream costs: a completion of 2000 chunks, as it comes off a fast socket, a slow one and a cruel one, and
//! putting it together.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use thryd::connections::SseParser;
use thryd::kinds::StreamAssembly;

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

fn assembly(criterion: &mut Criterion) {
    let event = r#"{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"gpt-4o","service_tier":"default","system_fingerprint":"fp_1","choices":[{"index":0,"delta":{"content":" token"},"logprobs":null,"finish_reason":null}],"obfuscation":"x9"}"#;
    let mut group = criterion.benchmark_group("assembly");
    group.throughput(Throughput::Elements(2000));
    group.bench_function("chunks", |bencher| {
        bencher.iter(|| {
            let (mut assembly, mut chunks) = (StreamAssembly::default(), Vec::new());
            for _ in 0..2000 {
                assembly.push(black_box(event), &mut chunks).expect("an event");
                chunks.clear();
            }
            assembly.content().len()
        });
    });
    group.finish();
}

criterion_group!(benches, events, assembly);
criterion_main!(benches);
