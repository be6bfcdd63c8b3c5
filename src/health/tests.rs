//! Fear: a deployment that is asked while it is down, or never again.

mod laws;
mod recovery;

use std::time::Duration;

use super::*;

const REST: RestOptions = RestOptions { base: Duration::from_secs(5), cap: Duration::from_secs(30) };

const CLASSES: [FailureClass; 10] = [
    FailureClass::Rejected,
    FailureClass::TooLong,
    FailureClass::Unsupported,
    FailureClass::Elsewhere,
    FailureClass::RateLimited,
    FailureClass::Quota,
    FailureClass::Auth,
    FailureClass::Transient,
    FailureClass::Silent,
    FailureClass::Truncated,
];

/// Those that say something of the deployment.
fn of_the_deployment() -> impl Iterator<Item = FailureClass> {
    CLASSES.into_iter().filter(|class| !class.blames_request())
}

const SOFT: [FailureClass; 3] = [FailureClass::Transient, FailureClass::Silent, FailureClass::Truncated];

fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn fault(class: FailureClass) -> Fault {
    Fault { class, retry_after: None, took: Duration::ZERO }
}

fn told(class: FailureClass, retry_after: Duration) -> Fault {
    Fault { retry_after: Some(retry_after), ..fault(class) }
}

fn pass(health: &Health, now: Instant) -> Pass {
    health.admit(now).expect("it may be asked")
}

fn state(health: &Health, now: Instant) -> CircuitState {
    health.status(now).state
}

/// Asks, and fails at once.
fn fail(health: &Health, fault: &Fault, now: Instant) -> bool {
    health.fail(&pass(health, now), fault, now, &REST)
}

/// Asks, and is answered at once.
fn succeed(health: &Health, now: Instant) -> bool {
    let pass = pass(health, now);
    answer(health, &pass, now)
}

/// Begins and ends an answer. True if that ends a rest.
fn answer(health: &Health, pass: &Pass, now: Instant) -> bool {
    let is_begun = health.begin_answer(pass, now);
    health.succeed(pass, now) || is_begun
}

/// Opens the circuit with a failure that says for how long.
fn resting(now: Instant, length: Duration) -> Health {
    let health = Health::with_seed(1);
    assert!(fail(&health, &told(FailureClass::RateLimited, length), now));
    health
}

/// Opens the circuit with failures in a row.
fn down(class: FailureClass, seed: u64, now: Instant, options: &RestOptions) -> Health {
    let health = Health::with_seed(seed);
    for _ in 0..FAILURES_TO_OPEN {
        health.fail(&pass(&health, now), &fault(class), now, options);
    }
    health
}

#[test]
fn a_new_deployment_is_asked() {
    let (health, now) = (Health::default(), Instant::now());
    let status = Status { state: CircuitState::Closed, rest: Duration::ZERO, class: None, allowance: None };
    assert_eq!((health.status(now), health.hold(now, 1000)), (status, None));
    let passes: Vec<_> = (0..1000).map(|_| pass(&health, now)).collect();
    assert_eq!(passes.len(), 1000);
}

#[test]
fn a_fault_of_the_request_never_counts_against_the_deployment() {
    let (health, now) = (Health::default(), Instant::now());
    for _ in 0..50 {
        assert!(!fail(&health, &told(FailureClass::Rejected, s(9)), now));
        assert!(!fail(&health, &fault(FailureClass::TooLong), now));
        assert!(!fail(&health, &fault(FailureClass::Unsupported), now));
        assert!(!fail(&health, &fault(FailureClass::Elsewhere), now));
    }
    fail(&health, &fault(FailureClass::Transient), now);
    fail(&health, &fault(FailureClass::Silent), now);
    assert_eq!(state(&health, now), CircuitState::Closed, "they do not count towards the failures in a row either");
}

#[test]
fn a_header_that_asks_for_an_hour_gets_the_cap() {
    let now = Instant::now();
    assert_eq!(resting(now, s(3600)).hold(now, 0), Some(Hold::Rest(now + REST.cap)));
}

#[test]
fn a_few_transient_failures_rest_only_when_they_come_in_a_row() {
    for class in SOFT {
        let (health, mut now) = (Health::default(), Instant::now());
        for _ in 0..10 {
            for _ in 1..FAILURES_TO_OPEN {
                assert!(!fail(&health, &fault(class), now));
            }
            assert!(!succeed(&health, now));
            now += s(1);
        }
        let rests: Vec<_> = (0..FAILURES_TO_OPEN).map(|_| fail(&health, &fault(class), now)).collect();
        assert_eq!(rests, [false, false, true]);
        assert_eq!((state(&health, now), health.last_class()), (CircuitState::Open, Some(class)));
    }
}

#[test]
fn long_answers_that_are_finished_do_not_hide_that_none_begin() {
    let (health, now) = (Health::default(), Instant::now());
    let long: Vec<_> = (0..10).map(|_| pass(&health, now)).collect();
    for pass in &long {
        health.begin_answer(pass, now);
    }
    let now = now + s(10);
    let rests = long.iter().map(|pass| {
        health.succeed(pass, now);
        fail(&health, &fault(FailureClass::Transient), now)
    });
    assert_eq!(rests.take(3).collect::<Vec<_>>(), [false, false, true]);
}

#[test]
fn answers_that_begin_do_not_hide_that_none_is_finished() {
    let (health, now) = (Health::default(), Instant::now());
    let rests = (0..3).map(|_| {
        let pass = pass(&health, now);
        health.begin_answer(&pass, now);
        health.fail(&pass, &fault(FailureClass::Truncated), now, &REST)
    });
    assert_eq!(rests.collect::<Vec<_>>(), [false, false, true]);
}

#[test]
fn a_dead_key_or_an_empty_account_rests_at_once_and_long() {
    for class in [FailureClass::Auth, FailureClass::Quota] {
        let (health, now) = (Health::default(), Instant::now());
        assert!(fail(&health, &fault(class), now));
        let Status { state, rest, class: found, .. } = health.status(now);
        assert_eq!((state, found), (CircuitState::Open, Some(class)));
        assert!((s(48)..=s(60)).contains(&rest), "{rest:?}");
    }
}

#[test]
fn a_rest_that_nobody_set_doubles_up_to_the_cap() {
    let (health, mut now) = (Health::with_seed(7), Instant::now());
    for expected in [5.0, 10.0, 20.0, 30.0, 30.0, 30.0] {
        fail(&health, &fault(FailureClass::RateLimited), now);
        let rest = health.status(now).rest;
        assert!((0.8 * expected..=expected).contains(&rest.as_secs_f64()), "{rest:?} of {expected}");
        now += rest;
    }
    assert!(succeed(&health, now));
    fail(&health, &fault(FailureClass::RateLimited), now);
    assert!(health.status(now).rest <= s(5), "a success starts again from the base");
}

#[test]
fn rests_in_an_outage_grow_with_its_age_so_that_its_end_is_seen_soon() {
    let options = RestOptions { base: ms(100), cap: s(30) };
    let start = Instant::now();
    let (health, mut now) = (down(FailureClass::Transient, 3, start, &options), start);
    let mut rests = Vec::new();
    while now < start + s(600) {
        let Status { rest, .. } = health.status(now);
        rests.push((now - start, rest));
        now += rest;
        health.fail(&pass(&health, now), &fault(FailureClass::Transient), now, &options);
    }
    let first: Vec<_> = rests.iter().take(7).map(|(_, rest)| rest.as_secs_f64()).collect();
    for (rest, expected) in first.iter().zip([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0]) {
        assert!((0.8 * expected..=expected).contains(rest), "{rest} of {expected}");
    }
    for (age, rest) in &rests {
        assert!(*rest <= (*age / 12).max(s(5)), "{rest:?} after {age:?}");
    }
    let last = rests.last().expect("there are some").1;
    assert!((s(24)..=s(30)).contains(&last), "the cap in the end: {last:?}");
}

#[test]
fn a_burst_of_failures_counts_as_one() {
    for class in [FailureClass::RateLimited, FailureClass::Transient] {
        let (health, now) = (Health::with_seed(3), Instant::now());
        let under_way: Vec<_> = (0..100).map(|_| pass(&health, now)).collect();
        for pass in &under_way {
            health.fail(pass, &fault(class), now, &REST);
        }
        let rest = health.status(now).rest;
        assert!(rest <= s(5), "requests that were under way do not make the rest grow");
        fail(&health, &fault(class), now + rest);
        assert!(health.status(now + rest).rest <= s(10), "nor the next one by more than a doubling");
    }
}

#[test]
fn what_was_told_is_not_cut_short_by_what_fails_later() {
    let now = Instant::now();
    let health = Health::with_seed(1);
    let under_way: Vec<_> = (0..3).map(|_| pass(&health, now)).collect();
    health.fail(&under_way[0], &told(FailureClass::RateLimited, s(20)), now, &REST);
    health.fail(&under_way[1], &fault(FailureClass::Transient), now + s(1), &REST);
    health.fail(&under_way[2], &told(FailureClass::Transient, s(1)), now + s(1), &REST);
    assert_eq!(health.hold(now, 0), Some(Hold::Rest(now + s(20))));
}

#[test]
fn the_rests_of_two_deployments_end_at_different_times() {
    let now = Instant::now();
    let rests: Vec<_> = (0..20).map(|seed| down(FailureClass::Transient, seed, now, &REST).status(now).rest).collect();
    assert!(rests.iter().any(|rest| *rest != rests[0]));
}

#[test]
fn a_cooldown_above_the_cap_is_kept() {
    let (health, now) = (Health::default(), Instant::now());
    let options = RestOptions { base: s(120), cap: s(30) };
    health.fail(&pass(&health, now), &fault(FailureClass::RateLimited), now, &options);
    assert!((s(96)..=s(120)).contains(&health.status(now).rest));
}
