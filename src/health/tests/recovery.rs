//! Fear: a deployment that is back and not used, or flooded, or taken out for what failed before.

use std::collections::VecDeque;
use std::sync::atomic::AtomicUsize;

use super::*;

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
    for class in of_the_deployment() {
        let now = Instant::now();
        let health = Health::with_seed(1);
        let before: Vec<_> = (0..20).map(|_| pass(&health, now)).collect();
        fail(&health, &told(FailureClass::RateLimited, s(1)), now);
        let probing = now + s(1);
        let probe = pass(&health, probing);
        assert!(!health.fail(&before[0], &fault(class), probing, &REST), "the probe is to find out");
        assert!(answer(&health, &probe, probing));
        for late in &before {
            assert!(!health.fail(late, &fault(class), probing + s(1), &REST));
        }
        let afterwards = probing + s(6);
        assert!(!health.fail(&before[0], &fault(class), afterwards, &REST));
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
    for class in of_the_deployment() {
        let now = Instant::now();
        let health = resting(now, s(1));
        let now = now + s(1);
        succeed(&health, now);
        assert!(fail(&health, &fault(class), now + ms(100)));
        assert_eq!(health.last_class(), Some(class));
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
