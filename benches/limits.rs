//! What it costs to ask for room: `cargo bench --no-default-features --bench limits`.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use futures_util::FutureExt;
use thryd::route::line::Line;
use thryd::route::strategy::{Candidate, Strategy, StrategyState};
use thryd::tracker::{Ahead, Limits, Tracker, wait_behind};
use tokio::time::Instant;

/// A deployment with room, charged in every bucket of the last minute.
fn tracker(limits: Limits) -> (Tracker, Instant) {
    let tracker = Tracker::new(limits);
    let mut now = Instant::now();
    for _ in 0..240 {
        let _ = tracker.acquire_detached(10, now);
        now += Duration::from_millis(250);
    }
    (tracker, now)
}

fn admission(criterion: &mut Criterion) {
    let wide = Limits { rpm: Some(1 << 40), tpm: Some(1 << 50), max_concurrent: Some(1 << 30) };
    let (open, now) = tracker(wide);
    criterion.bench_function("admit, send and settle", |bench| {
        bench.iter(|| {
            let mut permit = open.try_acquire(black_box(100), now).expect("room");
            permit.sent();
            permit.settle(black_box(90));
        });
    });
    criterion.bench_function("admit and give back", |bench| bench.iter(|| drop(open.try_acquire(black_box(100), now))));
    let (full, now) = tracker(Limits { rpm: Some(200), tpm: Some(2_000), max_concurrent: None });
    criterion
        .bench_function("refuse, saying when", |bench| bench.iter(|| full.try_acquire(black_box(1_900), now).is_ok()));
    let trackers: Vec<_> = (0..100).map(|_| full.clone()).collect();
    let ahead = Ahead { requests: 100_000, tokens: 1_000_000, smallest: Some(10), largest: 10 };
    criterion.bench_function("wait behind 100,000 on one deployment", |bench| {
        bench.iter(|| wait_behind(&trackers[..1], black_box(ahead), 10, now));
    });
    criterion.bench_function("wait behind 100,000 on 100 deployments", |bench| {
        bench.iter(|| wait_behind(&trackers, black_box(ahead), 10, now));
    });
}

fn line(criterion: &mut Criterion) {
    let line = Arc::new(Line::default());
    let estimate = |_, _, _| Some(Duration::ZERO);
    criterion.bench_function("line, empty", |bench| {
        bench.iter(|| line.admit(1, 0, None, |_, _| Ok(()), estimate).now_or_never().expect("no waiting").is_ok());
    });
    // Each is polled once, which queues it.
    let mut waiters: Vec<_> = (0..100_000)
        .map(|_| Box::pin(line.admit(1, 0, None, |_, _| Err::<(), _>(thryd::tracker::Wait::Release), estimate)))
        .collect();
    assert!(waiters.iter_mut().all(|waiter| waiter.now_or_never().is_none()));
    criterion.bench_function("join and leave a line of 100,000", |bench| {
        bench.iter(|| {
            let waiter = line.admit(1, 0, None, |_, _| Err::<(), _>(thryd::tracker::Wait::Release), estimate);
            waiter.now_or_never().is_none()
        });
    });
}

fn strategies(criterion: &mut Criterion) {
    let candidates: Vec<_> = (0..100).map(|index| Candidate { in_flight: index % 7, ..Candidate::default() }).collect();
    let (mut state, mut out) = (StrategyState::with_seed(1), Vec::new());
    for (word, strategy) in Strategy::WORDS {
        criterion.bench_function(&format!("{word} over 100 deployments"), |bench| {
            bench.iter(|| {
                strategy.order(black_box(&candidates), &mut state, &mut out);
                state.picked(out[0]);
            });
        });
    }
}

criterion_group!(benches, admission, line, strategies);
criterion_main!(benches);
