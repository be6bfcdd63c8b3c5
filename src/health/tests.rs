//! Fear: a deployment that is asked while it is down, or never again.

use proptest::prelude::*;

use super::*;

const REST: RestOptions = RestOptions { base: Duration::from_secs(5), cap: Duration::from_secs(30) };

const CLASSES: [FailureClass; 8] = [
    FailureClass::Rejected,
    FailureClass::TooLong,
    FailureClass::RateLimited,
    FailureClass::Quota,
    FailureClass::Auth,
    FailureClass::Transient,
    FailureClass::Silent,
    FailureClass::Truncated,
];

fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn may(health: &Health, now: Instant) -> bool {
    matches!(health.admit(now), Admission::Yes)
}

fn probe(health: &Health, now: Instant) -> Option<ProbeGuard> {
    match health.admit(now) {
        Admission::Probe(guard) => Some(guard),
        _ => None,
    }
}

/// Opens the circuit with a failure that says for how long.
fn resting(now: Instant, length: Duration) -> Health {
    let health = Health::with_seed(1);
    health.fail(FailureClass::RateLimited, Some(length), now, &REST);
    health
}

#[test]
fn a_new_deployment_is_asked() {
    let (health, now) = (Health::default(), Instant::now());
    assert!(may(&health, now));
    assert_eq!(health.state(now), (CircuitState::Closed, Duration::ZERO));
    assert_eq!((health.rest_until(now), health.last_class()), (None, None));
}

#[test]
fn a_fault_of_the_request_never_counts_against_the_deployment() {
    let (health, now) = (Health::default(), Instant::now());
    for _ in 0..50 {
        health.fail(FailureClass::Rejected, Some(s(9)), now, &REST);
        health.fail(FailureClass::TooLong, None, now, &REST);
    }
    assert!(may(&health, now));
    health.fail(FailureClass::Transient, None, now, &REST);
    health.fail(FailureClass::Silent, None, now, &REST);
    assert!(may(&health, now), "they do not count towards the failures in a row either");
}

#[test]
fn a_rate_limit_rests_exactly_as_long_as_the_header_says() {
    let now = Instant::now();
    let health = resting(now, s(7));
    assert_eq!(health.state(now), (CircuitState::Open, s(7)));
    assert!(
        matches!(health.admit(now + s(7) - Duration::from_nanos(1)), Admission::Rest(until) if until == now + s(7))
    );
    assert_eq!(health.state(now + s(7)), (CircuitState::HalfOpen, Duration::ZERO));
    assert!(probe(&health, now + s(7)).is_some());
}

#[test]
fn a_header_that_asks_for_an_hour_gets_the_cap() {
    let now = Instant::now();
    assert_eq!(resting(now, s(3600)).rest_until(now), Some(now + REST.cap));
}

#[test]
fn a_few_transient_failures_rest_only_when_they_come_in_a_row() {
    for class in [FailureClass::Transient, FailureClass::Silent, FailureClass::Truncated] {
        let (health, now) = (Health::default(), Instant::now());
        for _ in 0..10 {
            for _ in 1..FAILURES_TO_OPEN {
                health.fail(class, None, now, &REST);
            }
            assert!(may(&health, now));
            health.succeed(now);
        }
        for _ in 0..FAILURES_TO_OPEN {
            health.fail(class, None, now, &REST);
        }
        assert_eq!(health.state(now).0, CircuitState::Open);
        assert_eq!(health.last_class(), Some(class));
    }
}

#[test]
fn a_dead_key_or_an_empty_account_rests_at_once_and_long() {
    for class in [FailureClass::Auth, FailureClass::Quota] {
        let (health, now) = (Health::default(), Instant::now());
        health.fail(class, None, now, &REST);
        let (state, rest) = health.state(now);
        assert_eq!((state, health.last_class()), (CircuitState::Open, Some(class)));
        assert!((s(48)..=s(72)).contains(&rest), "{rest:?}");
    }
}

#[test]
fn exactly_one_request_probes() {
    let now = Instant::now();
    let health = resting(now, s(1));
    let now = now + s(1);
    let guard = probe(&health, now).unwrap();
    for _ in 0..5 {
        assert!(matches!(health.admit(now), Admission::Rest(until) if until == now + PROBE_PATIENCE));
    }
    assert_eq!(health.rest_until(now), Some(now + PROBE_PATIENCE));
    health.succeed(now);
    drop(guard);
    assert!(may(&health, now));
}

#[test]
fn a_probe_that_was_cancelled_frees_its_place() {
    let now = Instant::now();
    let health = resting(now, s(1));
    let now = now + s(1);
    drop(probe(&health, now).unwrap());
    assert_eq!(health.rest_until(now), None);
    assert!(probe(&health, now).is_some(), "dropped without an outcome: the next one probes");
}

#[test]
fn a_probe_that_panics_frees_its_place() {
    let now = Instant::now();
    let health = resting(now, s(1));
    let clone = health.clone();
    let panic = std::thread::spawn(move || {
        let _guard = probe(&clone, now + s(1)).unwrap();
        std::panic::resume_unwind(Box::new("on purpose"));
    });
    assert!(panic.join().is_err());
    assert!(probe(&health, now + s(1)).is_some());
}

#[test]
fn a_late_guard_does_not_free_the_place_of_the_next_probe() {
    let now = Instant::now();
    let health = resting(now, s(1));
    let now = now + s(1);
    let late = probe(&health, now).unwrap();
    health.succeed(now);
    health.fail(FailureClass::RateLimited, Some(s(1)), now, &REST);
    let now = now + s(1);
    let next = probe(&health, now).unwrap();
    drop(late);
    assert!(probe(&health, now).is_none());
    drop(next);
    assert!(probe(&health, now).is_some());
}

#[test]
fn a_failed_probe_rests_longer_each_time_up_to_the_cap() {
    let (health, mut now) = (Health::with_seed(7), Instant::now());
    for _ in 1..FAILURES_TO_OPEN {
        health.fail(FailureClass::Transient, None, now, &REST);
    }
    for expected in [5.0, 10.0, 20.0, 30.0, 30.0, 30.0] {
        health.fail(FailureClass::Transient, None, now, &REST);
        let rest = health.state(now).1.as_secs_f64();
        assert!((0.8 * expected..=f64::min(1.2 * expected, 30.0)).contains(&rest), "{rest} of {expected}");
        now += health.state(now).1;
        drop(probe(&health, now).unwrap());
    }
    health.succeed(now);
    health.fail(FailureClass::RateLimited, None, now, &REST);
    assert!(health.state(now).1 <= s(6), "a success starts again from the base");
}

#[test]
fn a_burst_of_failures_counts_as_one() {
    let (health, now) = (Health::with_seed(3), Instant::now());
    for _ in 0..100 {
        health.fail(FailureClass::RateLimited, None, now, &REST);
    }
    assert!(health.state(now).1 <= s(6), "requests that were under way do not make the rest grow");
}

#[test]
fn a_success_of_a_request_sent_before_does_not_end_the_rest() {
    let now = Instant::now();
    let health = resting(now, s(20));
    health.succeed(now + s(1));
    assert_eq!(health.rest_until(now + s(1)), Some(now + s(20)));
}

#[test]
fn the_rests_of_two_deployments_end_at_different_times() {
    let now = Instant::now();
    let rests: Vec<_> = (0..20)
        .map(|seed| {
            let health = Health::with_seed(seed);
            health.fail(FailureClass::Auth, None, now, &REST);
            health.rest_until(now).unwrap()
        })
        .collect();
    assert!(rests.iter().any(|rest| *rest != rests[0]));
}

#[test]
fn a_cooldown_above_the_cap_is_kept() {
    let (health, now) = (Health::default(), Instant::now());
    health.fail(FailureClass::RateLimited, None, now, &RestOptions { base: s(120), cap: s(30) });
    assert!((s(96)..=s(120)).contains(&health.state(now).1));
}

proptest! {
    #[test]
    fn whatever_happens_a_rest_is_never_shortened_and_always_ends(
        events in prop::collection::vec((0..9_usize, prop::option::of(0_u64..5000), 0_u64..20_000), 1..80),
        seed in any::<u64>(),
        base in 0_u64..100_000,
        cap in prop_oneof![0_u64..60_000, Just((1 << 53) - 1)],
    ) {
        let options = RestOptions { base: Duration::from_millis(base), cap: Duration::from_millis(cap) };
        let (health, mut now) = (Health::with_seed(seed), Instant::now());
        for (event, retry_after, gap) in events {
            let before = health.rest_until(now);
            match CLASSES.get(event) {
                Some(class) => health.fail(*class, retry_after.map(Duration::from_secs), now, &options),
                None => health.succeed(now),
            }
            let after = health.rest_until(now);
            prop_assert!(after >= before, "{:?} shortened {:?} to {:?}", CLASSES.get(event), before, after);
            prop_assert!(health.state(now).1 <= s(24 * 3600));
            match health.admit(now) {
                Admission::Rest(until) => prop_assert_eq!(Some(until), after),
                Admission::Yes | Admission::Probe(_) => prop_assert_eq!(after, None),
            }
            now += Duration::from_millis(gap);
        }
        let end = health.rest_until(now).unwrap_or(now);
        prop_assert!(!matches!(health.admit(end), Admission::Rest(_)));
        health.succeed(end);
        prop_assert!(matches!(health.admit(end), Admission::Yes));
    }
}
