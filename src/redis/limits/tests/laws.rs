//! Laws of the script: what the window of a process promises, it promises too.

use proptest::prelude::*;

use super::*;
use crate::tracker::window::{Charge, Room, Window};

#[derive(Clone, Debug)]
enum Step {
    Wait(u64),
    Ask(u64),
    /// Of those that are open, this one, to so many tokens.
    Settle(usize, u64),
    Refund(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => prop_oneof![Just(0u64), 1u64..2000, 1000u64..30_000, Just(250), Just(60_000), Just(60_250)].prop_map(Step::Wait),
        4 => (0u64..60).prop_map(Step::Ask),
        2 => (any::<usize>(), 0u64..120).prop_map(|(which, tokens)| Step::Settle(which, tokens)),
        1 => any::<usize>().prop_map(Step::Refund),
    ]
}

/// A window as it may be told in a sentence: a charge counts from the bucket in which it was made until so many buckets later.
struct Told {
    span: u64,
    /// The bucket, whether it still stands, and its tokens.
    charges: Vec<(u64, bool, u64)>,
}

impl Told {
    const WIDTH: u64 = 250;

    fn tick(now: Duration) -> u64 {
        u64::try_from(now.as_millis()).unwrap() / Self::WIDTH
    }

    fn charge(&mut self, tokens: u64, now: Duration) -> usize {
        self.charges.push((Self::tick(now), true, tokens));
        self.charges.len() - 1
    }

    /// When a request with these tokens finds room: now, or at the first end of a bucket at which it does.
    fn room(&self, limits: Limits, tokens: u64, now: Duration) -> Duration {
        let fits = |tick: u64| {
            let counts = self.charges.iter().filter(|(at, stands, _)| *stands && tick < at + self.span);
            let (requests, spent) = counts.fold((0, 0), |(r, t), (_, _, tokens)| (r + 1, t + tokens));
            requests < limits.rpm.unwrap() && spent + tokens <= limits.tpm.unwrap()
        };
        let first = Self::tick(now);
        match (first..=first + self.span).find(|tick| fits(*tick)).unwrap() {
            tick if tick == first => now,
            tick => Duration::from_millis(tick * Self::WIDTH),
        }
    }
}

#[test]
fn redis_admits_what_the_window_of_a_process_would_a_bucket_later_and_foresees_as_much() {
    let Some(server) = Server::start() else { return };
    let mut config = ProptestConfig::with_cases(200);
    config.failure_persistence = None;
    let number = std::cell::Cell::new(0);
    // Corrections come by themselves, along with what is asked for, with an account and without: all ways through the script.
    let ways = (any::<bool>(), any::<bool>());
    proptest::test_runner::TestRunner::new(config)
        .run(
            &(prop::collection::vec(step(), 1..120), 1u64..12, 60u64..200, ways),
            |(steps, rpm, tpm, (along, below))| {
                number.set(number.get() + 1);
                let mut stage = Stage::new(&server, &format!("model {}", number.get()));
                let account = if below { limits(1_000_000, 1_000_000) } else { Limits::default() };
                let (mut window, mut open): (Window, Vec<(Charge, usize, u64, u64)>) = (Window::default(), Vec::new());
                let [mut here, mut there] = [241, 242].map(|span| Told { span, charges: Vec::new() });
                let limits = limits(rpm, tpm);
                let mut unsaid: Vec<(u64, i64, i64)> = Vec::new();
                for step in steps {
                    match step {
                        Step::Wait(milliseconds) => stage.now += Duration::from_millis(milliseconds),
                        Step::Ask(tokens) => {
                            // The sentence is true of a process' own window.
                            let own = match window.room(limits, tokens, stage.now) {
                                Room::Now => stage.now,
                                Room::At(at) => at,
                                Room::Never => unreachable!("no request is larger than the limit"),
                            };
                            prop_assert_eq!(own, here.room(limits, tokens, stage.now));
                            // Alone in the queue, so that nothing is kept for anybody.
                            let (ask, changes) = (Some(Ask { want: 1, most: 1, tokens }), Changes::Ticks(&unsaid));
                            let answer = stage.count("one", &Words { ask, changes, ..silence(limits, account) });
                            unsaid.clear();
                            let room = there.room(limits, tokens, stage.now);
                            prop_assert!(room >= own);
                            if room == stage.now {
                                prop_assert_eq!(answer.count, 1);
                                here.charge(tokens, stage.now);
                                let place = there.charge(tokens, stage.now);
                                open.push((window.charge(tokens, stage.now), place, answer.tick, tokens));
                            } else {
                                prop_assert_eq!(answer.count, 0);
                                prop_assert_eq!(stage.now + answer.wait, room);
                            }
                        }
                        Step::Settle(which, cost) if !open.is_empty() => {
                            let place = which % open.len();
                            let (charge, at, tick, tokens) = &mut open[place];
                            window.advance(stage.now);
                            window.settle(charge, cost);
                            (here.charges[*at].2, there.charges[*at].2) = (cost, cost);
                            unsaid.push((*tick, 0, i64::try_from(cost).unwrap() - i64::try_from(*tokens).unwrap()));
                            *tokens = cost;
                        }
                        Step::Refund(which) if !open.is_empty() => {
                            let (mut charge, at, tick, tokens) = open.swap_remove(which % open.len());
                            window.advance(stage.now);
                            window.refund(&mut charge);
                            (here.charges[at].1, there.charges[at].1) = (false, false);
                            unsaid.push((tick, -1, -i64::try_from(tokens).unwrap()));
                        }
                        Step::Settle(..) | Step::Refund(..) => {}
                    }
                    // As they are told to the script: one of each bucket.
                    let mut merged: Vec<(u64, i64, i64)> = Vec::new();
                    for (tick, requests, tokens) in unsaid.drain(..) {
                        match merged.iter_mut().find(|known| known.0 == tick) {
                            Some(known) => (known.1, known.2) = (known.1 + requests, known.2 + tokens),
                            None => merged.push((tick, requests, tokens)),
                        }
                    }
                    unsaid = merged;
                    if !along && !unsaid.is_empty() {
                        stage.correct("one", &unsaid, account);
                        unsaid.clear();
                    }
                }
                Ok(())
            },
        )
        .unwrap();
}

#[test]
fn in_no_minute_is_more_admitted_than_the_limit_whoever_asks_and_for_how_many() {
    let Some(server) = Server::start() else { return };
    let mut config = ProptestConfig::with_cases(40);
    config.failure_persistence = None;
    let number = std::cell::Cell::new(0);
    let asks = prop::collection::vec((0u64..1500, 0usize..5, 1u64..8, 1u64..30), 1..200);
    proptest::test_runner::TestRunner::new(config)
        .run(&(asks, 1u64..20, 30u64..300), |(asks, rpm, tpm)| {
            number.set(number.get() + 1);
            let mut stage = Stage::new(&server, &format!("shared {}", number.get()));
            let (limits, mut admitted) = (limits(rpm, tpm), Vec::new());
            for (wait, who, want, tokens) in asks {
                stage.now += Duration::from_millis(wait);
                let granted = stage.reserve(&format!("ledger {who}"), want, tokens, limits, Limits::default());
                prop_assert!(granted.count <= want);
                admitted.extend((0..granted.count).map(|_| (stage.now, tokens)));
                let recent = admitted.iter().filter(|(at, _)| stage.now.saturating_sub(*at) <= MINUTE);
                let (requests, tokens) = recent.fold((0, 0), |(r, t), (_, tokens)| (r + 1, t + tokens));
                prop_assert!(requests <= rpm && tokens <= tpm, "{} of {}, {} of {}", requests, rpm, tokens, tpm);
            }
            Ok(())
        })
        .unwrap();
}
