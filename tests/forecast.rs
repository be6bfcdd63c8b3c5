//! How long a wait will be: what is said before it, against every admission that follows.

use std::time::Duration;

use proptest::prelude::*;
use thryd::constants::{BUCKET_WIDTH, BUCKETS_WINDOW_S};
use thryd::tracker::{Ahead, Limits, Tracker, Wait, fits_within, wait_behind, wait_in_order};
use tokio::time::Instant;

const MINUTE: Duration = Duration::from_secs(BUCKETS_WINDOW_S);

fn limits(rpm: impl Into<Option<u64>>, tpm: impl Into<Option<u64>>) -> Limits {
    Limits { rpm: rpm.into(), tpm: tpm.into(), max_concurrent: None }
}

/// Runs on a clock that stands still unless it is told to move.
fn paused<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(test)
}

/// Admits as early as possible, one after the other, on whichever tracker has room first; when the last one was.
fn admit_in_order(trackers: &[Tracker], sizes: &[u64], now: Instant) -> Instant {
    sizes.iter().fold(now, |mut now, &tokens| {
        loop {
            let tries = trackers.iter().map(|tracker| tracker.acquire_detached(tokens, now));
            let mut earliest = None;
            for result in tries {
                match result {
                    Ok(()) => return now,
                    Err(Wait::Until(at)) => earliest = Some(earliest.map_or(at, |earliest: Instant| earliest.min(at))),
                    Err(_) => {}
                }
            }
            now = earliest.expect("fits somewhere");
        }
    })
}

fn ahead(sizes: &[u64]) -> Ahead {
    let one = |&tokens: &u64| Ahead { requests: 1, tokens, smallest: Some(tokens), largest: tokens };
    sizes.iter().map(one).fold(Ahead::default(), Ahead::plus)
}

/// What each of some trackers admitted before: pauses in milliseconds and sizes.
type History = Vec<Vec<(u64, u64)>>;

/// Trackers of different ages, so that their buckets do not begin at the same moments.
async fn trackers(limits: &[Limits], history: &History) -> (Vec<Tracker>, Instant) {
    let mut trackers = Vec::new();
    for limits in limits {
        trackers.push(Tracker::new(*limits));
        tokio::time::advance(Duration::from_millis(77)).await;
    }
    let mut now = Instant::now();
    for (tracker, history) in trackers.iter().zip(history) {
        let mut at = now;
        for &(pause, tokens) in history {
            at += Duration::from_millis(pause);
            let _ = tracker.acquire_detached(tokens, at);
        }
        now = now.max(at);
    }
    (trackers, now)
}

fn history(count: std::ops::Range<usize>) -> impl Strategy<Value = History> {
    prop::collection::vec(prop::collection::vec((0..8_000_u64, 0..100_u64), 0..30), count)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6_000, ..ProptestConfig::default() })]

    #[test]
    fn the_wait_behind_requests_of_one_size_is_exact(
        history in history(1..4),
        rpm in prop::option::of(1..20_u64),
        tpm in prop::option::of(100..1_000_u64),
        tokens in 1..100_u64,
        requests in 1..120_usize,
    ) {
        paused(async {
            let limits = vec![limits(rpm, tpm); history.len()];
            let (trackers, now) = trackers(&limits, &history).await;
            let sizes = vec![tokens; requests];
            let said = wait_behind(&trackers, ahead(&sizes[1..]), tokens, now);
            if let [tracker] = &trackers[..] {
                prop_assert_eq!(tracker.wait_for(requests as u64, tokens * requests as u64, now), said);
            }
            let last = admit_in_order(&trackers, &sizes, now);
            prop_assert_eq!(said, Some(last - now));
            Ok(())
        })?;
    }

    #[test]
    fn the_wait_behind_a_mixture_is_never_longer_than_the_truth(
        history in history(1..4),
        rpm in prop::option::of(1..20_u64),
        tpm in prop::option::of(100..1_000_u64),
        sizes in prop::collection::vec(0..100_u64, 1..60),
    ) {
        paused(async {
            let limits = vec![limits(rpm, tpm); history.len()];
            let (trackers, now) = trackers(&limits, &history).await;
            let (last, before) = sizes.split_last().unwrap();
            let said = wait_behind(&trackers, ahead(before), *last, now).unwrap();
            let truth = admit_in_order(&trackers, &sizes, now) - now;
            prop_assert!(said <= truth, "{said:?} > {truth:?}");
            Ok(())
        })?;
    }

    #[test]
    fn what_is_cheap_to_know_of_a_wait_is_never_wrong(
        history in history(1..4),
        each in prop::collection::vec((prop::option::of(1..20_u64), prop::option::of(100..1_000_u64)), 3),
        sizes in prop::collection::vec(0..100_u64, 1..60),
        patience in 0..400_u64,
    ) {
        paused(async {
            let limits: Vec<_> = each.into_iter().map(|(rpm, tpm)| limits(rpm, tpm)).take(history.len()).collect();
            let (trackers, now) = trackers(&limits, &history).await;
            let (last, before) = sizes.split_last().unwrap();
            let patience = Duration::from_secs(patience);
            let said = fits_within(&trackers, ahead(before), *last, now, patience);
            let truth = admit_in_order(&trackers, &sizes, now) - now <= patience;
            prop_assert!(said.is_none_or(|said| said == truth), "{said:?} though it is {truth}");
            Ok(())
        })?;
    }

    #[test]
    fn the_wait_in_a_line_of_different_sizes_is_exact_to_the_bucket(
        history in history(1..2),
        rpm in prop::option::of(1..20_u64),
        tpm in prop::option::of(100..1_000_u64),
        sizes in prop::collection::vec(0..100_u64, 1..60),
    ) {
        paused(async {
            let (trackers, now) = trackers(&[limits(rpm, tpm)], &history).await;
            let (last, before) = sizes.split_last().unwrap();
            let said = wait_in_order(&trackers, before, *last, now).unwrap();
            let truth = admit_in_order(&trackers, before, now);
            if said > truth - now + BUCKET_WIDTH {
                let early = trackers[0].acquire_detached(*last, now + said - BUCKET_WIDTH);
                prop_assert_eq!(early, Err(Wait::Until(now + said)));
            }
            prop_assert_eq!(trackers[0].acquire_detached(*last, now + said), Ok(()));
            Ok(())
        })?;
    }
}

#[tokio::test(start_paused = true)]
async fn a_wait_across_windows_counts_every_window() {
    let tracker = Tracker::new(limits(10, None));
    let now = Instant::now();
    assert_eq!(tracker.wait_for(10, 10, now), Some(Duration::ZERO));
    assert_eq!(tracker.wait_for(11, 11, now), Some(MINUTE + BUCKET_WIDTH));
    assert_eq!(tracker.wait_for(10_001, 10_001, now), Some(1_000 * (MINUTE + BUCKET_WIDTH)));
}

#[tokio::test(start_paused = true)]
async fn a_request_too_large_for_one_deployment_waits_for_the_one_that_takes_it() {
    let (small, large) = (Tracker::new(limits(None, 10)), Tracker::new(limits(None, 100)));
    let now = Instant::now();
    large.acquire_detached(60, now).unwrap();
    let wait = |tokens| wait_behind([&small, &large], Ahead::default(), tokens, now);
    assert_eq!(
        [wait(10), wait(40), wait(50), wait(101)],
        [Some(Duration::ZERO), Some(Duration::ZERO), Some(MINUTE + BUCKET_WIDTH), None]
    );
}
