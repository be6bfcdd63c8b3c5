//! What holds whatever happens to a deployment, in whatever order.

use proptest::prelude::*;

use super::*;

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
        6 => (index(), 0..13_usize, prop::option::of(0_u64..5000)).prop_map(|(which, how, told)| Event::End(which, how, told)),
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
                for (_, is_probe, _) in &mut under_way {
                    *is_probe = false;
                }
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
