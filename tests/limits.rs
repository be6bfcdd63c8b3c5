//! The laws of the window and its permits, against a log of everything that ever happened.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::Index;
use thryd::constants::{BUCKET_WIDTH, BUCKETS_WINDOW_S, MAX_SAFE_INTEGER};
use thryd::tracker::window::{Charge, Room, Window};
use thryd::tracker::{Limits, Permit, Remaining, Spent, Tracker, Wait};
use tokio::time::Instant;

const MINUTE: Duration = Duration::from_secs(BUCKETS_WINDOW_S);

fn limits(rpm: impl Into<Option<u64>>, tpm: impl Into<Option<u64>>) -> Limits {
    Limits { rpm: rpm.into(), tpm: tpm.into(), max_concurrent: None }
}

/// Runs on a clock that stands still unless it is told to move.
fn paused<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(test)
}

/// Everything that was admitted: when, and what it costs as far as is known.
#[derive(Default)]
struct Log(Vec<(Duration, u64)>);

impl Log {
    /// Requests and tokens in the `length` that ends with `now`, both ends included.
    fn within(&self, now: Duration, length: Duration) -> (u64, u64) {
        let inside = |at: &Duration| *at <= now && now.saturating_sub(*at) <= length;
        self.0.iter().filter(|(at, _)| inside(at)).fold((0, 0), |sum, (_, tokens)| (sum.0 + 1, sum.1 + tokens))
    }
}

#[derive(Clone, Debug)]
enum Step {
    Pass(u64),
    JumpBack(u64),
    Ask(u64),
    Settle(prop::sample::Index, u64),
    Refund(prop::sample::Index),
}

fn step() -> impl Strategy<Value = Step> {
    // Bursts: most often nothing passes between two requests.
    prop_oneof![
        1 => (0..2_000_u64).prop_map(Step::Pass),
        1 => (0..100_000_u64).prop_map(Step::Pass),
        1 => (0..10_000_u64).prop_map(Step::JumpBack),
        8 => prop_oneof![0..50_u64, 0..700_u64].prop_map(Step::Ask),
        2 => (any::<prop::sample::Index>(), 0..700_u64).prop_map(|(which, tokens)| Step::Settle(which, tokens)),
        1 => any::<prop::sample::Index>().prop_map(Step::Refund),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, ..ProptestConfig::default() })]

    #[test]
    fn no_sixty_seconds_hold_more_than_the_limits_and_no_room_is_refused(
        rpm in prop::option::of(1..40_u64),
        tpm in prop::option::of(1..1_500_u64),
        steps in prop::collection::vec(step(), 1..250),
    ) {
        let limits = limits(rpm, tpm);
        let (rpm, tpm) = (rpm.unwrap_or(u64::MAX), tpm.unwrap_or(u64::MAX));
        let mut window = Window::default();
        let mut log = Log::default();
        let mut charges: Vec<(Charge, usize)> = Vec::new();
        let (mut now, mut latest) = (Duration::ZERO, Duration::ZERO);
        for step in steps {
            match step {
                Step::Pass(ms) => now += Duration::from_millis(ms),
                Step::JumpBack(ms) => now = now.saturating_sub(Duration::from_millis(ms)),
                Step::Ask(tokens) => {
                    latest = latest.max(now);
                    // The truth has no clock that goes back: what seems earlier happens now.
                    match window.room(limits, tokens, now) {
                        Room::Now => {
                            let charge = window.charge(tokens, now);
                            charges.push((charge, log.0.len()));
                            log.0.push((latest, tokens));
                            let (requests, tokens) = log.within(latest, MINUTE);
                            prop_assert!(requests <= rpm, "{requests} requests");
                            prop_assert!(tokens <= tpm, "{tokens} tokens");
                        }
                        Room::At(at) => {
                            let (requests, held) = log.within(latest, MINUTE + BUCKET_WIDTH);
                            prop_assert!(requests + 1 > rpm || held + tokens > tpm, "refused with {requests}, {held}");
                            prop_assert!(at > latest && at.saturating_sub(latest) <= MINUTE + BUCKET_WIDTH);
                            prop_assert_eq!(window.clone().room(limits, tokens, at), Room::Now);
                            let early = window.clone().room(limits, tokens, at.saturating_sub(Duration::from_nanos(1)));
                            prop_assert_eq!(early, Room::At(at));
                        }
                        Room::Never => prop_assert!(tokens > tpm),
                    }
                }
                Step::Settle(which, tokens) if !charges.is_empty() => {
                    let which = which.index(charges.len());
                    let (charge, entry) = &mut charges[which];
                    window.settle(charge, tokens);
                    log.0[*entry].1 = tokens;
                    // Twice is once.
                    let before = window.clone().spent(now);
                    window.settle(charge, tokens);
                    prop_assert_eq!(window.spent(now), before);
                }
                Step::Refund(which) if !charges.is_empty() => {
                    let (mut charge, entry) = charges.swap_remove(which.index(charges.len()));
                    window.refund(&mut charge);
                    // Long ago, where it counts for nothing; the other entries keep their places.
                    log.0[entry] = (Duration::MAX, 0);
                }
                Step::Settle(..) | Step::Refund(_) => {}
            }
            latest = latest.max(now);
            let spent = window.spent(now);
            let (least, most) = (log.within(latest, MINUTE), log.within(latest, MINUTE + BUCKET_WIDTH));
            prop_assert!(least.0 <= spent.0 && spent.0 <= most.0, "{least:?} {spent:?} {most:?}");
            prop_assert!(least.1 <= spent.1 && spent.1 <= most.1, "{least:?} {spent:?} {most:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6_000, ..ProptestConfig::default() })]

    #[test]
    fn while_somebody_waits_at_least_98_percent_of_the_quota_is_used(
        is_rpm in any::<bool>(),
        limit in 100..800_u64,
        // Of requests that are each at most a seventieth of it: in a strict line, the head's room stays empty while it waits.
        sizes in prop::collection::vec(any::<Index>(), 50..400),
        phase_ms in 0..250_u64,
    ) {
        let tracker = Tracker::new(if is_rpm { limits(limit, None) } else { limits(None, limit) });
        let start = Instant::now() + Duration::from_millis(phase_ms);
        let (mut now, mut used) = (start, 0.0);
        // Over and over, until several windows are full.
        for size in sizes.iter().cycle().take(2_500) {
            let tokens = 1 + size.index(usize::try_from(limit / 70).unwrap()) as u64;
            while let Err(wait) = tracker.acquire_detached(tokens, now) {
                let Wait::Until(at) = wait else { panic!("{wait:?}") };
                now = at;
                let ideal = limit as f64 * (now - start).as_secs_f64() / MINUTE.as_secs_f64();
                prop_assert!(used >= 0.98 * ideal, "{used} of {ideal}");
            }
            used += if is_rpm { 1.0 } else { tokens as f64 };
        }
    }

    #[test]
    fn every_permit_leaves_what_it_cost_and_nothing_in_flight(
        endings in prop::collection::vec((0..100_u64, 0..5_u8, 0..100_u64), 0..60),
        max_concurrent in 1..10_u64,
    ) {
        paused(async {
            let tracker = Tracker::new(Limits { rpm: None, tpm: Some(1_000_000), max_concurrent: Some(max_concurrent) });
            let woken = Arc::new(AtomicUsize::new(0));
            let listener = Arc::clone(&woken);
            tracker.on_release(move || {
 listener.fetch_add(1, Ordering::Relaxed);
 });
            let now = Instant::now();
            let (mut held, mut expected, mut ended) = (Vec::new(), Spent::default(), 0);
            for (tokens, ending, actual) in endings {
                if held.len() as u64 == max_concurrent {
                    prop_assert_eq!(tracker.try_acquire(1, now).unwrap_err(), Wait::Release);
                    let (permit, ending, tokens, actual): (Permit, u8, u64, u64) = held.remove(0);
                    let cost = end(permit, ending, tokens, actual);
                    expected.requests += u64::from(cost.is_some());
                    expected.tokens += cost.unwrap_or(0);
                    ended += 1;
                    prop_assert_eq!(woken.load(Ordering::Relaxed), ended);
                }
                held.push((tracker.try_acquire(tokens, now).unwrap(), ending, tokens, actual));
                prop_assert_eq!(tracker.in_flight(), held.len() as u64);
            }
            for (permit, ending, tokens, actual) in held {
                let cost = end(permit, ending, tokens, actual);
                expected.requests += u64::from(cost.is_some());
                expected.tokens += cost.unwrap_or(0);
            }
            prop_assert_eq!(tracker.in_flight(), 0);
            prop_assert_eq!(tracker.spent(now), expected);
            Ok(())
        })?;
    }
}

/// Ends a permit in one of five ways; what it leaves charged, if anything.
fn end(mut permit: Permit, ending: u8, reserved: u64, actual: u64) -> Option<u64> {
    match ending {
        0 => {
            drop(permit);
            None
        }
        1 => {
            permit.sent();
            permit.give_back();
            None
        }
        2 => {
            permit.sent();
            Some(reserved)
        }
        3 => {
            permit.settle(actual);
            Some(actual)
        }
        _ => {
            permit.sent();
            permit.settle(actual);
            Some(actual)
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_window_frees_exactly_when_it_said() {
    let tracker = Tracker::new(limits(2, None));
    let now = Instant::now();
    for _ in 0..2 {
        tracker.acquire_detached(0, now).unwrap();
    }
    let Err(Wait::Until(at)) = tracker.acquire_detached(0, now) else { panic!("admitted a third") };
    assert_eq!(at - now, MINUTE + BUCKET_WIDTH);
    assert_eq!(tracker.acquire_detached(0, at - BUCKET_WIDTH), Err(Wait::Until(at)));
    assert_eq!(tracker.acquire_detached(0, at), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_request_larger_than_the_limit_is_refused_for_ever_not_until_later() {
    let tracker = Tracker::new(limits(10, 100));
    let now = Instant::now();
    assert_eq!(tracker.try_acquire(101, now).unwrap_err(), Wait::Never);
    assert_eq!(tracker.wait_for(1, 101, now), None);
    assert_eq!(tracker.wait_for(0, 0, now), Some(Duration::ZERO));
    assert!(tracker.try_acquire(100, now).is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_late_settlement_finds_its_bucket_gone_and_changes_nothing() {
    let tracker = Tracker::new(limits(None, 100));
    let permit = tracker.try_acquire(60, Instant::now()).unwrap();
    tokio::time::advance(Duration::from_secs(61)).await;
    tracker.acquire_detached(80, Instant::now()).unwrap();
    permit.settle(1);
    assert_eq!(tracker.spent(Instant::now()), Spent { requests: 1, tokens: 80 });
    assert_eq!(tracker.in_flight(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_settlement_upward_closes_the_window_until_it_has_left() {
    let tracker = Tracker::new(limits(None, 100));
    let now = Instant::now();
    tracker.try_acquire(10, now).unwrap().settle(500);
    assert_eq!(tracker.remaining(now), Remaining { requests: None, tokens: Some(0) });
    assert_eq!(tracker.try_acquire(0, now).unwrap_err(), Wait::Until(now + MINUTE + BUCKET_WIDTH));
}

#[tokio::test(start_paused = true)]
async fn absurd_usage_does_not_upset_the_counting() {
    let tracker = Tracker::new(Limits::default());
    let now = Instant::now();
    let permits: Vec<_> = (0..3).map(|_| tracker.try_acquire(u64::MAX, now).unwrap()).collect();
    for permit in permits {
        permit.settle(u64::MAX);
    }
    tracker.settle_detached(0, u64::MAX, now);
    assert_eq!(tracker.spent(now), Spent { requests: 3, tokens: u64::MAX });
    tracker.settle_detached(u64::MAX, 0, now);
    assert_eq!(tracker.spent(now).tokens, 0);
    assert_eq!(tracker.wait_for(MAX_SAFE_INTEGER, MAX_SAFE_INTEGER, now), Some(Duration::ZERO));
    let after = now + Duration::from_secs(61);
    tracker.try_acquire(7, after).unwrap().settle(8);
    assert_eq!(tracker.spent(after), Spent { requests: 1, tokens: 8 });
}

#[tokio::test(start_paused = true)]
async fn changed_limits_keep_what_was_spent_and_wake_who_waits() {
    let tracker = Tracker::new(limits(2, 100));
    let woken = Arc::new(AtomicUsize::new(0));
    let listener = Arc::clone(&woken);
    tracker.on_release(move || {
        listener.fetch_add(1, Ordering::Relaxed);
    });
    let now = Instant::now();
    let mut permit = tracker.try_acquire(25, now).unwrap();
    tracker.set_limits(limits(5, 50));
    assert_eq!(tracker.remaining(now), Remaining { requests: Some(4), tokens: Some(25) });
    assert_eq!(tracker.shares_left(now), (0.8, 0.5));
    permit.sent();
    drop(permit);
    // One for the limits; a reservation that stays charged makes no room.
    assert_eq!(woken.load(Ordering::Relaxed), 1);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6_000, ..ProptestConfig::default() })]

    #[test]
    fn settling_without_a_permit_never_counts_less_than_the_truth(
        steps in prop::collection::vec((0..3_000_u64, 1..100_u64, prop::option::of((any::<prop::sample::Index>(), 0..150_u64))), 1..120),
    ) {
        paused(async {
            let tpm = 600;
            let tracker = Tracker::new(limits(None, tpm));
            let start = Instant::now();
            let (mut now, mut log, mut open) = (start, Log::default(), Vec::new());
            for (pause, tokens, settle) in steps {
                now += Duration::from_millis(pause);
                if tracker.acquire_detached(tokens, now).is_ok() {
                    open.push(log.0.len());
                    log.0.push((now - start, tokens));
                    prop_assert!(log.within(now - start, MINUTE).1 <= tpm);
                }
                // In any order, but while it is still in the window.
                open.retain(|&entry| (now - start).saturating_sub(log.0[entry].0) < MINUTE);
                if let Some((which, actual)) = settle.filter(|_| !open.is_empty()) {
                    let entry = open.swap_remove(which.index(open.len()));
                    tracker.settle_detached(log.0[entry].1, actual, now);
                    log.0[entry].1 = actual;
                }
                prop_assert!(tracker.spent(now).tokens >= log.within(now - start, MINUTE).1);
            }
            Ok(())
        })?;
    }
}

#[test]
fn what_was_seen_of_a_limit_of_tokens_is_never_older_than_the_limit() {
    paused(async {
        let now = Instant::now();
        let (tracker, account) = (Tracker::new(limits(None, None)), Tracker::new(limits(None, 10)));
        // Whoever looks keeps what it saw for whoever looks next.
        for tpm in [None, Some(10), None, Some(20)] {
            tracker.set_limits(limits(None, tpm));
            assert!((0..3).all(|_| tracker.limits_tokens(now) == tpm.is_some()), "{tpm:?}");
        }
        tracker.set_limits(limits(None, None));
        assert!(!tracker.limits_tokens(now));
        tracker.stand_on(Some(account.clone()));
        assert!(tracker.limits_tokens(now), "its account counts them");
        account.set_limits(limits(None, None));
        assert!(!tracker.limits_tokens(now), "and does not any more");
    });
}
