//! The laws of the line: order, no waste, no room given twice, and nothing left behind.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use thryd::constants::{BUCKET_WIDTH, BUCKETS_WINDOW_S};
use thryd::route::line::{Admitted, Line, Refusal};
use thryd::tracker::{Limits, Permit, Tracker, Wait, wait_in_order};
use tokio::task::LocalSet;
use tokio::time::{Instant, advance, sleep, sleep_until};

const MINUTE: Duration = Duration::from_secs(BUCKETS_WINDOW_S);

/// A group of one deployment: what `route::group` will be, without its health and strategy.
#[derive(Clone)]
struct Group {
    line: Arc<Line>,
    tracker: Tracker,
}

impl Group {
    fn new(rpm: Option<u64>, tpm: Option<u64>, max_concurrent: Option<u64>) -> Self {
        let (line, tracker) = (Arc::new(Line::default()), Tracker::new(Limits { rpm, tpm, max_concurrent }));
        tracker.on_release(line.waker());
        Self { line, tracker }
    }

    async fn admit(&self, tokens: u64, priority: i64, queue: Option<Duration>) -> Result<Admitted<Permit>, Refusal> {
        let deadline = queue.map(|queue| Instant::now() + queue);
        let try_admit = |now, _| self.tracker.try_acquire(tokens, now);
        let estimate = |_, now, _| {
            let sizes = self.line.sizes_ahead(priority, usize::MAX)?;
            wait_in_order([&self.tracker], &sizes, tokens, now)
        };
        self.line.admit(tokens, priority, deadline, try_admit, estimate).await
    }

    /// Admits and sends, without waiting for it.
    fn spawn(&self, tokens: u64, priority: i64) -> tokio::task::JoinHandle<Result<Duration, Refusal>> {
        let group = self.clone();
        tokio::task::spawn_local(async move {
            let mut admitted = group.admit(tokens, priority, None).await?;
            admitted.value.sent();
            Ok(admitted.queued)
        })
    }
}

/// Runs tasks on one thread, on a clock that jumps to the next timer when nothing else is to be done.
fn paused<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(LocalSet::new().run_until(test))
}

/// Lets every task run until it waits for the clock.
async fn settle_down() {
    // A local set polls up to 61 tasks a turn, and there are up to 10,000.
    for _ in 0..400 {
        tokio::task::yield_now().await;
    }
}

#[derive(Clone, Copy, Debug)]
struct Call {
    pause_ms: u64,
    tokens: u64,
    priority: i64,
    queue_ms: Option<u64>,
    /// Leaves after this long, waiting or not.
    cancelled_after_ms: Option<u64>,
    takes_ms: u64,
    /// What it costs; `None` is never known.
    costs: Option<u64>,
}

fn call() -> impl Strategy<Value = Call> {
    let pause = prop_oneof![3 => Just(0), 1 => 0..4_000_u64];
    let cancelled = prop_oneof![3 => Just(None), 1 => (0..90_000_u64).prop_map(Some)];
    let queue = prop_oneof![2 => Just(None), 1 => (0..150_000_u64).prop_map(Some)];
    (pause, 0..120_u64, 0..3_i64, queue, cancelled, 0..20_000_u64, prop::option::of(0..100_u64)).prop_map(
        |(pause_ms, tokens, priority, queue_ms, cancelled_after_ms, takes_ms, costs)| {
            // Never more than was reserved, so that the law also holds of the costs in the end.
            let costs = costs.map(|costs| costs.min(tokens));
            Call { pause_ms, tokens, priority, queue_ms, cancelled_after_ms, takes_ms, costs }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn limits_hold_order_is_kept_and_nothing_is_left_behind(
        rpm in prop::option::of(1..15_u64),
        tpm in prop::option::of(100..400_u64),
        max_concurrent in prop::option::of(1..6_u64),
        calls in prop::collection::vec(call(), 1..60),
    ) {
        paused(async {
            let group = Group::new(rpm, tpm, max_concurrent);
            // When each was admitted, what it cost, its priority and its place among the arrivals.
            let log = Rc::new(RefCell::new(Vec::<(Instant, u64, i64, usize)>::new()));
            let mut tasks = Vec::new();
            for (arrival, call) in calls.into_iter().enumerate() {
                sleep(Duration::from_millis(call.pause_ms)).await;
                let (group, log) = (group.clone(), Rc::clone(&log));
                let task = tokio::task::spawn_local(async move {
                    let work = async {
                        let admitted = group.admit(call.tokens, call.priority, call.queue_ms.map(Duration::from_millis)).await;
                        let Admitted { value: mut permit, .. } = match admitted {
                            Ok(admitted) => admitted,
                            Err(Refusal::Never) => return assert!(tpm.is_some_and(|tpm| call.tokens > tpm)),
                            Err(_) => return assert!(call.queue_ms.is_some()),
                        };
                        permit.sent();
                        let entry = log.borrow().len();
                        log.borrow_mut().push((Instant::now(), call.tokens, call.priority, arrival));
                        sleep(Duration::from_millis(call.takes_ms)).await;
                        if let Some(costs) = call.costs {
                            log.borrow_mut()[entry].1 = costs;
                            permit.settle(costs);
                        }
                    };
                    match call.cancelled_after_ms {
                        Some(ms) => drop(tokio::time::timeout(Duration::from_millis(ms), work).await),
                        None => work.await,
                    }
                });
                tasks.push(task);
                settle_down().await;
            }
            for task in tasks {
                task.await.unwrap();
            }
            prop_assert_eq!((group.line.waiting(), group.tracker.in_flight()), (0, 0));
            prop_assert_eq!(group.line.ahead(i64::MIN).requests, 0);
            let log = log.borrow();
            for (index, &(start, ..)) in log.iter().enumerate() {
                let window = log[index..].iter().filter(|(at, ..)| *at - start <= MINUTE);
                let (requests, tokens) = window.fold((0, 0), |sum, entry| (sum.0 + 1, sum.1 + entry.1));
                prop_assert!(requests <= rpm.unwrap_or(u64::MAX) && tokens <= tpm.unwrap_or(u64::MAX));
            }
            let mut last = BTreeMap::new();
            for &(_, _, priority, arrival) in log.iter() {
                prop_assert!(last.insert(priority, arrival).is_none_or(|before| before < arrival), "overtaken");
            }
            Ok(())
        })?;
    }

    #[test]
    fn the_time_to_retry_after_is_exact_to_the_bucket(
        rpm in prop::option::of(1..20_u64),
        tpm in prop::option::of(60..400_u64),
        before in prop::collection::vec((0..10_000_u64, 0..60_u64), 0..25),
        waiting in prop::collection::vec(0..60_u64, 0..30),
        tokens in 0..60_u64,
    ) {
        paused(async {
            let group = Group::new(rpm, tpm, None);
            for (pause, tokens) in before {
                sleep(Duration::from_millis(pause)).await;
                let _ = group.tracker.acquire_detached(tokens, Instant::now());
            }
            for tokens in waiting {
                group.spawn(tokens, 0);
                settle_down().await;
            }
            let start = Instant::now();
            let Err(refusal) = group.admit(tokens, 0, Some(Duration::ZERO)).await else {
                prop_assert_eq!(group.line.waiting(), 0);
                return Ok(());
            };
            let Refusal::WouldTimeOut { retry_after } = refusal else { panic!("{refusal:?}") };
            // Whoever waits that long is admitted then; whoever comes back a bucket early is not.
            sleep_until(start + retry_after.saturating_sub(BUCKET_WIDTH)).await;
            settle_down().await;
            if retry_after > BUCKET_WIDTH {
                prop_assert!(group.admit(tokens, 0, Some(Duration::ZERO)).await.is_err());
            }
            sleep_until(start + retry_after).await;
            settle_down().await;
            prop_assert!(group.admit(tokens, 0, Some(Duration::ZERO)).await.is_ok());
            Ok(())
        })?;
    }
}

/// Share of `limit` that is used per minute while `count` requests of these tokens wait, over the windows they fill.
fn utilisation(rpm: Option<u64>, tpm: Option<u64>, tokens: u64, per_minute: u32, minutes: u32) -> f64 {
    paused(async move {
        let group = Group::new(rpm, tpm, None);
        let tasks: Vec<_> = (0..per_minute * (minutes + 2)).map(|_| group.spawn(tokens, 0)).collect();
        sleep(MINUTE * minutes).await;
        assert!(group.line.waiting() > 0);
        let admitted = tasks.iter().filter(|task| task.is_finished()).count();
        f64::from(u32::try_from(admitted).unwrap()) / f64::from(per_minute * minutes)
    })
}

#[test]
fn while_someone_waits_at_least_98_percent_of_the_requests_are_used() {
    let used = utilisation(Some(60), None, 1, 60, 60);
    assert!((0.98..1.02).contains(&used), "{used}");
}

#[test]
fn while_someone_waits_at_least_98_percent_of_the_tokens_are_used() {
    let used = utilisation(None, Some(100_000), 1_000, 100, 60);
    assert!((0.98..1.02).contains(&used), "{used}");
}

#[test]
fn ten_thousand_waiters_cancelled_at_random_leave_nothing() {
    paused(async {
        let group = Group::new(Some(5), Some(1_000_000), Some(3));
        let mut rng = fastrand::Rng::with_seed(7);
        let tasks: Vec<_> = (0..10_000).map(|_| group.spawn(rng.u64(1..500), rng.i64(-2..3))).collect();
        settle_down().await;
        let waiting = group.line.waiting();
        assert_eq!(waiting, 9_995);
        let mut order: Vec<_> = (0..tasks.len()).collect();
        rng.shuffle(&mut order);
        for (index, &task) in order.iter().enumerate() {
            tasks[task].abort();
            if index % 1_000 == 0 {
                advance(Duration::from_secs(20)).await;
                settle_down().await;
            }
        }
        for task in tasks {
            drop(task.await);
        }
        assert_eq!((group.line.waiting(), group.tracker.in_flight()), (0, 0));
        assert_eq!(group.line.ahead(i64::MIN), thryd::tracker::Ahead::default());
        // And whoever comes next does not wait for ghosts.
        advance(MINUTE + BUCKET_WIDTH).await;
        assert_eq!(group.admit(1, 0, None).await.unwrap().queued, Duration::ZERO);
    });
}

#[test]
fn a_large_request_is_not_overtaken_by_small_ones_behind_it() {
    paused(async {
        let group = Group::new(None, Some(100), None);
        group.tracker.acquire_detached(60, Instant::now()).unwrap();
        let large = group.spawn(50, 0);
        settle_down().await;
        let small = group.spawn(10, 0);
        settle_down().await;
        advance(Duration::from_secs(59)).await;
        settle_down().await;
        assert!(!large.is_finished() && !small.is_finished());
        assert_eq!(small.await.unwrap().unwrap(), MINUTE + BUCKET_WIDTH);
        assert!(large.is_finished());
    });
}

#[test]
fn a_higher_priority_goes_first_though_it_came_last() {
    paused(async {
        let group = Group::new(Some(1), None, None);
        let first = group.spawn(0, 0).await.unwrap().unwrap();
        assert_eq!(first, Duration::ZERO);
        let low = group.spawn(0, -1);
        settle_down().await;
        let high = group.spawn(0, 1);
        settle_down().await;
        assert_eq!(
            (group.line.ahead(0).requests, group.line.ahead(-1).requests, group.line.ahead(2).requests),
            (1, 2, 0)
        );
        let window = MINUTE + BUCKET_WIDTH;
        assert_eq!((high.await.unwrap().unwrap(), low.await.unwrap().unwrap()), (window, 2 * window));
    });
}

#[test]
fn a_permit_that_ends_wakes_the_head_at_once() {
    paused(async {
        let group = Group::new(None, Some(100), Some(2));
        let (slot, costly) =
            (group.admit(10, 0, None).await.unwrap().value, group.admit(90, 0, None).await.unwrap().value);
        let next = group.spawn(50, 0);
        settle_down().await;
        advance(Duration::from_secs(5)).await;
        costly.settle(20);
        assert_eq!(next.await.unwrap(), Ok(Duration::from_secs(5)));
        drop(slot);
    });
}

#[test]
fn a_head_that_is_cancelled_hands_its_turn_on() {
    paused(async {
        let group = Group::new(None, Some(100), None);
        let permit = group.admit(60, 0, None).await.unwrap().value;
        let large = group.spawn(100, 0);
        settle_down().await;
        let small = group.spawn(40, 0);
        settle_down().await;
        assert!(!small.is_finished());
        large.abort();
        assert_eq!(small.await.unwrap(), Ok(Duration::ZERO));
        drop(permit);
    });
}

#[test]
fn a_wait_that_cannot_end_in_time_fails_at_once_and_one_that_can_does_not() {
    paused(async {
        let group = Group::new(Some(1), None, None);
        group.tracker.acquire_detached(0, Instant::now()).unwrap();
        let wait = MINUTE + BUCKET_WIDTH;
        let start = Instant::now();
        let refused = group.admit(0, 0, Some(wait.saturating_sub(Duration::from_millis(1)))).await;
        assert_eq!(refused.unwrap_err(), Refusal::WouldTimeOut { retry_after: wait });
        assert_eq!(start.elapsed(), Duration::ZERO);
        assert_eq!(group.admit(0, 0, Some(wait)).await.unwrap().queued, wait);
    });
}

#[test]
fn a_wait_for_a_slot_ends_at_the_deadline() {
    paused(async {
        let group = Group::new(None, None, Some(1));
        let permit = group.admit(0, 0, None).await.unwrap().value;
        let start = Instant::now();
        let refused = group.admit(0, 0, Some(Duration::from_secs(3))).await;
        assert!(matches!(refused, Err(Refusal::TimedOut { .. })), "{refused:?}");
        assert_eq!(start.elapsed(), Duration::from_secs(3));
        let refused = group.admit(0, 0, Some(Duration::ZERO)).await;
        assert!(matches!(refused, Err(Refusal::WouldTimeOut { .. })), "{refused:?}");
        assert_eq!((start.elapsed(), group.line.waiting()), (Duration::from_secs(3), 0));
        drop(permit);
    });
}

#[test]
fn a_request_that_can_never_fit_does_not_wait_behind_others() {
    paused(async {
        let group = Group::new(Some(1), Some(100), None);
        assert_eq!(group.admit(101, 0, None).await.unwrap_err(), Refusal::Never);
        drop(group.spawn(100, 0).await);
        let waiting = group.spawn(100, 0);
        settle_down().await;
        assert_eq!(group.admit(101, 0, None).await.unwrap_err(), Refusal::Never);
        assert!(!waiting.is_finished());
    });
}

#[test]
fn a_line_that_closes_refuses_who_waits_and_who_comes() {
    paused(async {
        let group = Group::new(Some(1), None, None);
        drop(group.spawn(0, 0).await);
        let waiting: Vec<_> = (0..3).map(|_| group.spawn(0, 0)).collect();
        settle_down().await;
        group.line.close();
        for task in waiting {
            assert_eq!(task.await.unwrap(), Err(Refusal::Gone));
        }
        assert_eq!(group.admit(0, 0, None).await.unwrap_err(), Refusal::Gone);
        assert_eq!(group.line.waiting(), 0);
    });
}

#[test]
fn the_head_asks_when_told_and_at_the_computed_moment_and_not_otherwise() {
    paused(async {
        let line = Line::default();
        let (start, asked) = (Instant::now(), RefCell::new(Vec::new()));
        let room = start + Duration::from_secs(600);
        let try_admit = |now: Instant, _| {
            asked.borrow_mut().push((now - start).as_secs());
            if now >= room { Ok(()) } else { Err(Wait::Until(room)) }
        };
        let waiter = line.admit(0, 0, None, try_admit, |_, _, _| Some(Duration::ZERO));
        let bell = async {
            sleep(Duration::from_secs(100)).await;
            line.wake();
        };
        let (admitted, ()) = tokio::join!(waiter, bell);
        assert_eq!(admitted.unwrap().queued, Duration::from_secs(600));
        // Once on arrival, once in line, once when told, once when there is room.
        assert_eq!(*asked.borrow(), [0, 0, 100, 600]);
    });
}
