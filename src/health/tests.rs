//! Fear: a deployment that is asked while it is down, or never again.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

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
    }
    fail(&health, &fault(FailureClass::Transient), now);
    fail(&health, &fault(FailureClass::Silent), now);
    assert_eq!(state(&health, now), CircuitState::Closed, "they do not count towards the failures in a row either");
}

#[test]
fn who_says_when_to_come_back_is_left_alone_exactly_until_then() {
    for class in [FailureClass::RateLimited, FailureClass::Transient] {
        let (health, now) = (Health::default(), Instant::now());
        assert!(fail(&health, &told(class, s(7)), now));
        assert_eq!((state(&health, now), health.status(now).rest), (CircuitState::Open, s(7)));
        assert_eq!(health.admit(now + s(7) - ms(1)).unwrap_err(), Hold::Rest(now + s(7)));
        assert_eq!(state(&health, now + s(7)), CircuitState::HalfOpen);
        assert!(health.admit(now + s(7)).is_ok());
    }
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
    long.iter().for_each(|pass| _ = health.begin_answer(pass, now));
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
fn exactly_one_request_probes() {
    let now = Instant::now();
    let health = resting(now, s(1));
    let now = now + s(1);
    assert!(health.is_due(now));
    let probe = pass(&health, now);
    for _ in 0..5 {
        assert_eq!(health.admit(now).unwrap_err(), Hold::Full(now + PROBE_PATIENCE));
    }
    assert!(!health.is_due(now));
    assert!(answer(&health, &probe, now));
    drop(probe);
    assert!(health.admit(now).is_ok());
}

#[test]
fn a_probe_that_was_cancelled_frees_its_place_and_says_so() {
    let now = Instant::now();
    let health = resting(now, s(1));
    let told = Arc::new(AtomicUsize::new(0));
    health.on_room({
        let told = Arc::clone(&told);
        move || _ = told.fetch_add(1, Ordering::Relaxed)
    });
    let now = now + s(1);
    drop(pass(&health, now));
    assert_eq!((health.hold(now, 0), told.load(Ordering::Relaxed)), (None, 1));
    pass(&health, now).give_back();
    assert_eq!((health.hold(now, 0), told.load(Ordering::Relaxed)), (None, 1), "who found no room wakes nobody");
}

#[test]
fn a_late_probe_does_not_free_the_place_of_the_next_one() {
    let now = Instant::now();
    let health = resting(now, s(1));
    let now = now + s(1);
    let late = pass(&health, now);
    health.fail(&late, &told(FailureClass::RateLimited, s(1)), now, &REST);
    let now = now + s(1);
    let next = pass(&health, now);
    drop(late);
    assert!(health.admit(now).is_err());
    drop(next);
    assert!(health.admit(now).is_ok());
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
fn a_probe_that_hangs_is_sent_as_often_as_one_that_fails_at_once_but_not_all_the_time() {
    // How long it hangs, and how long after one probe the next is sent.
    for (took, gap) in [(1, 4..=5), (2, 4..=5), (4, 8..=8), (20, 36..=40), (60, 84..=90)] {
        let took = s(took);
        let hangs = Fault { took, ..fault(FailureClass::Silent) };
        let start = Instant::now();
        let (health, mut now) = (down(FailureClass::Silent, 9, start, &REST), start);
        for round in 0..10 {
            let sent = now.max(health.hold(now, 0).map_or(now, Hold::until));
            let probe = pass(&health, sent);
            now = sent + took;
            assert!(health.fail(&probe, &hangs, now, &REST));
            let found = (took + health.status(now).rest).as_secs_f64();
            // As long as a twelfth of the outage is not yet more, and after the rests have grown.
            let (least, most) = (f64::from(*gap.start()) - 0.001, f64::from(*gap.end()) + 0.001);
            if (round > 3 || took < s(5)) && now - start < s(60).max(12 * took) {
                assert!((least..=most).contains(&found), "{found} for {took:?}");
            }
        }
    }
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
fn who_was_under_way_when_a_rest_began_can_still_say_that_it_takes_longer() {
    let now = Instant::now();
    let health = Health::with_seed(1);
    let under_way = pass(&health, now);
    fail(&health, &told(FailureClass::RateLimited, s(2)), now);
    assert!(health.fail(&under_way, &told(FailureClass::RateLimited, s(9)), now + s(1), &REST));
    assert_eq!(health.hold(now, 0), Some(Hold::Rest(now + s(10))));
}

#[test]
fn an_answer_to_a_request_sent_before_does_not_end_the_rest() {
    let now = Instant::now();
    let health = Health::with_seed(1);
    let before = pass(&health, now);
    fail(&health, &told(FailureClass::RateLimited, s(20)), now);
    for at in [s(1), s(20), s(21)] {
        assert!(!health.begin_answer(&before, now + at) && !health.succeed(&before, now + at));
        assert_ne!(state(&health, now + at), CircuitState::Closed);
    }
}

#[test]
fn late_failures_of_requests_sent_before_do_not_take_a_deployment_out_that_is_back() {
    for class in &CLASSES[2..] {
        let now = Instant::now();
        let health = Health::with_seed(1);
        let before: Vec<_> = (0..20).map(|_| pass(&health, now)).collect();
        fail(&health, &told(FailureClass::RateLimited, s(1)), now);
        let probing = now + s(1);
        let probe = pass(&health, probing);
        assert!(!health.fail(&before[0], &fault(*class), probing, &REST), "the probe is to find out");
        assert!(answer(&health, &probe, probing));
        for late in &before {
            assert!(!health.fail(late, &fault(*class), probing + s(1), &REST));
        }
        let afterwards = probing + s(6);
        assert!(!health.fail(&before[0], &fault(*class), afterwards, &REST));
        assert_eq!(health.hold(afterwards, 0), None);
    }
}

#[test]
fn what_an_old_key_failed_at_is_not_held_against_the_new_one() {
    let (health, now) = (Health::default(), Instant::now());
    let before = pass(&health, now);
    health.reset();
    assert!(!health.fail(&before, &fault(FailureClass::Auth), now, &REST));
    assert_eq!(state(&health, now), CircuitState::Closed);
    fail(&health, &told(FailureClass::RateLimited, s(1)), now);
    assert!(
        !health.fail(&before, &fault(FailureClass::Auth), now, &REST),
        "nor does it lengthen a rest of the new one"
    );
}

#[test]
fn who_was_asked_in_spite_of_its_rest_and_answered_is_back() {
    let (health, now) = (Health::default(), Instant::now());
    fail(&health, &fault(FailureClass::Auth), now);
    let pass = health.overrule();
    assert!(answer(&health, &pass, now + s(1)));
    assert_eq!(health.status(now + s(1)).allowance, None, "a mended key needs no care");
    assert_eq!(state(&health, now + s(1)), CircuitState::Closed);
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

#[test]
fn who_is_back_does_not_get_everybody_at_once() {
    let now = Instant::now();
    let health = resting(now, s(1));
    let now = now + s(1);
    succeed(&health, now);
    let mut in_flight = VecDeque::new();
    let fill = |in_flight: &mut VecDeque<Pass>, now| {
        while let Ok(pass) = health.admit(now) {
            in_flight.push_back(pass);
        }
        in_flight.len()
    };
    assert_eq!(fill(&mut in_flight, now), 2);
    assert_eq!(health.status(now).allowance, Some(2));
    assert!(matches!(health.hold(now, 0), Some(Hold::Full(at)) if at > now && at <= now + s(1)));
    for round in 2..=6 {
        for pass in in_flight.drain(..) {
            answer(&health, &pass, now);
        }
        assert_eq!(fill(&mut in_flight, now), 1 << round, "each round of answers doubles it");
    }
    assert_eq!(fill(&mut in_flight, now + ms(3_500)), 128, "and so does half a second without one");
    assert!((0..10_000).all(|_| health.admit(now + s(5)).is_ok()), "in the end it gets all");
    assert_eq!(health.status(now + s(5)).allowance, None);
}

#[test]
fn one_failure_after_the_probe_is_enough_to_rest_again() {
    for class in &CLASSES[2..] {
        let now = Instant::now();
        let health = resting(now, s(1));
        let now = now + s(1);
        succeed(&health, now);
        assert!(fail(&health, &fault(*class), now + ms(100)));
        assert_eq!(health.last_class(), Some(*class));
    }
}

#[test]
fn one_failure_among_many_answers_does_not_end_a_recovery() {
    let now = Instant::now();
    let health = resting(now, s(1));
    let mut now = now + s(1);
    for _ in 0..20 {
        succeed(&health, now);
        now += ms(50);
    }
    for _ in 0..3 {
        assert!(!fail(&health, &fault(FailureClass::Transient), now));
    }
    assert!((0..20).any(|_| fail(&health, &fault(FailureClass::Transient), now)), "many do");
}

#[test]
fn the_first_token_ends_a_rest_unless_answers_broke_off() {
    let now = Instant::now();
    for broke_off in [false, true] {
        let health = Health::with_seed(1);
        for _ in 0..FAILURES_TO_OPEN {
            let pass = pass(&health, now);
            if broke_off {
                health.begin_answer(&pass, now);
            }
            health.fail(&pass, &fault(FailureClass::Truncated), now, &REST);
        }
        let now = now + s(5);
        let probe = pass(&health, now);
        assert_eq!(health.begin_answer(&probe, now), !broke_off);
        assert_eq!(health.admit(now + ms(500)).is_ok(), !broke_off);
        assert!(health.fail(&probe, &fault(FailureClass::Truncated), now + ms(600), &REST));
        let rest = health.status(now + ms(600)).rest;
        assert!(rest > s(3), "{rest:?}");
    }
}

#[test]
fn a_first_token_alone_does_not_make_rests_begin_anew() {
    let options = RestOptions { base: ms(100), cap: s(30) };
    let start = Instant::now();
    let (health, mut now) = (down(FailureClass::Silent, 1, start, &options), start);
    now += health.status(now).rest;
    let probe = pass(&health, now);
    assert!(health.begin_answer(&probe, now));
    assert!(health.fail(&probe, &fault(FailureClass::Truncated), now, &options));
    for doublings in 1..6 {
        let rest = health.status(now).rest;
        assert!((ms(80 << doublings)..=ms(100 << doublings)).contains(&rest), "{rest:?}");
        now += rest;
        let probe = pass(&health, now);
        assert!(!health.begin_answer(&probe, now), "by now it is known that they break off");
        health.fail(&probe, &fault(FailureClass::Truncated), now, &options);
    }
}

/// What can happen to a deployment.
#[derive(Clone, Debug)]
enum Event {
    Pass(u64),
    Ask,
    /// A request that is under way ends: which, how, what was told.
    End(prop::sample::Index, usize, Option<u64>),
    Begin(prop::sample::Index),
    Reset,
}

fn event() -> impl Strategy<Value = Event> {
    let index = any::<prop::sample::Index>;
    prop_oneof![
        4 => (0_u64..20_000).prop_map(Event::Pass),
        6 => Just(Event::Ask),
        6 => (index(), 0..12_usize, prop::option::of(0_u64..5000)).prop_map(|(which, how, told)| Event::End(which, how, told)),
        1 => index().prop_map(Event::Begin),
        1 => Just(Event::Reset),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_there_is_one_probe_and_rests_end_when_they_should(
        events in prop::collection::vec(event(), 1..120),
        seed in any::<u64>(),
        base in 0_u64..100_000,
        cap in prop_oneof![0_u64..60_000, Just((1 << 53) - 1)],
    ) {
        let options = RestOptions { base: ms(base), cap: ms(cap) };
        let start = Instant::now();
        let (health, mut now) = (Health::with_seed(seed), start);
        // When it was sent, and whether it is the one to find out.
        let mut under_way: Vec<(Instant, bool, Pass)> = Vec::new();
        for event in events {
            let before = health.status(now);
            let rest_before = health.hold(now, 0);
            match event {
                Event::Pass(gap) => {
                    now += ms(gap);
                    if let Some(allowance) = before.allowance {
                        let after = health.status(now).allowance;
                        prop_assert!(after.is_none_or(|after| after >= allowance), "it shrank without a failure");
                    }
                    continue;
                }
                Event::Reset => {
                    health.reset();
                    prop_assert!(health.admit(now).is_ok());
                }
                Event::Ask => {
                    let hold = health.hold(now, 0);
                    match health.admit(now) {
                        Ok(pass) => {
                            prop_assert_eq!(hold, None);
                            let is_probe = before.state == CircuitState::HalfOpen;
                            prop_assert!(!is_probe || under_way.iter().all(|(_, is_probe, _)| !is_probe), "two at once");
                            under_way.push((now, is_probe, pass));
                        }
                        Err(refused) => prop_assert_eq!(Some(refused), hold),
                    }
                }
                Event::Begin(which) if !under_way.is_empty() => {
                    health.begin_answer(&which.get(&under_way).2, now);
                }
                Event::End(which, how, retry_after) if !under_way.is_empty() => {
                    let (sent, _, pass) = under_way.swap_remove(which.index(under_way.len()));
                    let took = now - sent;
                    match CLASSES.get(how) {
                        None => {
                            answer(&health, &pass, now);
                            if let (Some(before), Some(after)) = (before.allowance, health.status(now).allowance) {
                                prop_assert!(after >= before, "a success made it shrink");
                            }
                        }
                        Some(class) => {
                            let fault = Fault { class: *class, retry_after: retry_after.map(s), took };
                            let is_resting = health.fail(&pass, &fault, now, &options);
                            let after = health.status(now);
                            let longest = [options.base, s(5), (now - start) / 12, took].into_iter().max();
                            if is_resting && fault.retry_after.is_none() && SOFT.contains(class) {
                                prop_assert!(Some(after.rest) <= longest, "{:?} is longer than {longest:?}", after.rest);
                                prop_assert!(after.rest <= options.cap.max(options.base));
                            }
                            prop_assert!(is_resting || after == before || after.state == CircuitState::Closed);
                        }
                    }
                    let is_still = |state| matches!(state, CircuitState::Open);
                    if is_still(before.state) && is_still(health.status(now).state) {
                        let until = |hold: Option<Hold>| hold.map(Hold::until);
                        prop_assert!(until(health.hold(now, 0)) >= until(rest_before), "{how} shortened it");
                    }
                }
                Event::Begin(_) | Event::End(..) => {}
            }
            let status = health.status(now);
            prop_assert!(status.rest <= s(24 * 3600));
            if status.state != CircuitState::HalfOpen {
                // It is known by now.
                under_way.iter_mut().for_each(|(_, is_probe, _)| *is_probe = false);
            }
        }
        under_way.clear();
        let end = health.hold(now, 0).map_or(now, Hold::until);
        let last = health.admit(end);
        prop_assert!(last.is_ok(), "it is asked again");
        health.succeed(&last.unwrap(), end);
        prop_assert_eq!(health.hold(end + s(5), 1_000_000), None, "and takes everybody 5 s later");
    }
}
