//! What it costs to ask for room: `cargo bench --no-default-features --bench limits`.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use futures_util::FutureExt;
use thryd::health::Health;
use thryd::route::line::Line;
use thryd::route::strategy::{Candidate, Strategy, StrategyState};
use thryd::tracker::{Ahead, Limits, Load, Tracker, Turn, Wait, fits_within, wait_behind, wait_in_order};
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
    criterion.bench_function("a short enough wait behind 100,000 on 100 deployments", |bench| {
        bench.iter(|| fits_within(&trackers, black_box(ahead), 10, now, Duration::from_secs(60 * 60)));
    });
    let sizes: Vec<_> = (0..10_000).map(|number| 10 + number % 50).collect();
    criterion.bench_function("wait behind 10,000 of different sizes, exactly", |bench| {
        bench.iter(|| wait_in_order(&trackers[..1], black_box(&sizes), 10, now));
    });
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
    let mut waiters: Vec<_> =
        (0..100_000).map(|_| Box::pin(line.admit(1, 0, None, |_, _| Err::<(), _>(Wait::Release), estimate))).collect();
    assert!(waiters.iter_mut().all(|waiter| waiter.now_or_never().is_none()));
    criterion.bench_function("join and leave a line of 100,000", |bench| {
        bench.iter(|| {
            let waiter = line.admit(1, 0, None, |_, _| Err::<(), _>(Wait::Release), estimate);
            waiter.now_or_never().is_none()
        });
    });
}

/// One hundred deployments with one slot each, all taken, and 100,000 requests in line: what it takes from a slot that is
/// given back to the permit of the head, and for another request to join at the end.
fn crowd(criterion: &mut Criterion) {
    let line = Arc::new(Line::default());
    let limits = Limits { rpm: Some(1 << 40), tpm: Some(1 << 50), max_concurrent: Some(1) };
    let fleet: Vec<_> = (0..100).map(|_| (Tracker::new(limits), Health::with_seed(1))).collect();
    for (tracker, _) in &fleet {
        tracker.on_release(line.waker());
    }
    let now = Instant::now();
    let state = RefCell::new((StrategyState::with_seed(1), Vec::new(), Vec::new()));
    // As a group picks: a look at everyone, then the best that is fit and has room.
    let pick = |turn: &mut Turn| {
        let (state, candidates, left) = &mut *state.borrow_mut();
        candidates.clear();
        candidates.extend(fleet.iter().map(|(tracker, _)| {
            let Load { in_flight, max_concurrent, requests_left, tokens_left } = tracker.load(now);
            Candidate { in_flight, max_concurrent, requests_left, tokens_left, ..Candidate::default() }
        }));
        Strategy::LeastLoaded.begin(candidates, state, left);
        while let Some(index) = Strategy::LeastLoaded.next(candidates, state, left) {
            let (tracker, health) = &fleet[index];
            if health.admit(now).is_err() {
                continue;
            }
            if let Ok(permit) = tracker.acquire_in_turn(100, now, turn) {
                state.picked(index);
                return Ok(permit);
            }
        }
        Err(Wait::Release)
    };
    let (line, pick) = (&line, &pick);
    let wait = || {
        Box::pin(async move {
            let mut turn = Turn::default();
            let ask = |_, ticket| {
                turn.begin(ticket);
                let permit = pick(&mut turn);
                if permit.is_err() {
                    turn.end();
                }
                permit
            };
            let estimate = |_: Ahead, _: Instant, _: Option<Duration>| Some(Duration::ZERO);
            line.admit(100, 0, None, ask, estimate).await.expect("room").value
        })
    };
    let mut held: VecDeque<_> = (0..100).map(|_| wait().now_or_never().expect("a free slot")).collect();
    let mut waiters: VecDeque<_> = (0..100_000).map(|_| wait()).collect();
    assert!(waiters.iter_mut().all(|waiter| waiter.now_or_never().is_none()), "all wait");
    criterion.bench_function("the head of 100,000 is admitted on one of 100 deployments", |bench| {
        bench.iter_custom(|rounds| {
            let mut spent = Duration::ZERO;
            for _ in 0..rounds {
                let start = std::time::Instant::now();
                held.pop_front();
                let mut head = waiters.pop_front().expect("a head");
                let permit = (&mut head).now_or_never().expect("a slot");
                spent += start.elapsed();
                held.push_back(permit);
                let mut newcomer = wait();
                assert!((&mut newcomer).now_or_never().is_none());
                waiters.push_back(newcomer);
            }
            spent
        });
    });
    criterion.bench_function("a request joins a line of 100,000 in front of 100 deployments and leaves", |bench| {
        bench.iter(|| wait().now_or_never().is_none());
    });
    assert_eq!(line.waiting(), 100_000);
}

fn strategies(criterion: &mut Criterion) {
    let candidates: Vec<_> = (0..100).map(|index| Candidate { in_flight: index % 7, ..Candidate::default() }).collect();
    let (mut state, mut out) = (StrategyState::with_seed(1), Vec::new());
    for (word, strategy) in Strategy::WORDS {
        criterion.bench_function(&format!("{word}, the first of 100 deployments"), |bench| {
            bench.iter(|| {
                strategy.begin(black_box(&candidates), &mut state, &mut out);
                let first = strategy.next(&candidates, &mut state, &mut out).expect("one of a hundred");
                state.picked(first);
            });
        });
    }
}

criterion_group!(benches, admission, line, crowd, strategies);
criterion_main!(benches);
