//! The scripts, held up against the window that a process keeps for itself: on a real server, with the time as an argument.

use std::time::Duration;

use proptest::prelude::*;
use tokio::runtime::Runtime;

use super::super::{Redis, RedisOptions};
use super::wire::{Adjustment, Changes, Granted, Keys, Reservation, Speaker, adjust, reserve};
use crate::tracker::Limits;
use crate::tracker::window::{Charge, Room, Window};

#[path = "../../../tests/redis/server.rs"]
mod server;

use server::Server;

const MINUTE: Duration = Duration::from_secs(60);

/// Ledgers on one deployment of one server, whose clock the test keeps.
struct Stage {
    runtime: Runtime,
    redis: Redis,
    keys: Keys,
    now: Duration,
}

impl Stage {
    fn new(server: &Server, model: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let mut options = RedisOptions::at("url", &server.url()).unwrap();
        options.timeout = Duration::from_secs(5);
        let redis = Redis::shared(options);
        // Any moment that is not the first of a bucket.
        let now = Duration::from_millis(1_700_000_000_123);
        Self { runtime, redis, keys: Keys::new("test", "account", model), now }
    }

    fn speaker(&self, ledger: &str) -> Speaker {
        let clock = Some(u64::try_from(self.now.as_millis()).unwrap());
        Speaker { ledger: ledger.to_owned(), process: ledger.to_owned(), lease: Duration::from_secs(10), clock }
    }

    fn reserve(&self, ledger: &str, want: u64, tokens: u64, limits: Limits, account: Limits) -> Granted {
        let ask = Reservation { want, most: want, tokens, limits, account, holds: 0, counts: false };
        self.runtime.block_on(reserve(&self.redis, &self.keys, &self.speaker(ledger), ask)).unwrap()
    }

    fn correct(&self, ledger: &str, changes: &[(u64, i64, i64)], account: Limits) {
        let adjustment = Adjustment {
            limits: Limits::default(),
            account,
            holds: 0,
            leaves: false,
            counts: false,
            changes: Changes::Ticks(changes),
            epoch: None,
        };
        self.runtime.block_on(adjust(&self.redis, &self.keys, &self.speaker(ledger), &adjustment)).unwrap();
    }
}

fn limits(rpm: u64, tpm: u64) -> Limits {
    Limits { rpm: Some(rpm), tpm: Some(tpm), max_concurrent: None }
}

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

#[test]
fn redis_admits_what_the_window_of_a_process_would_and_foresees_as_much() {
    let Some(server) = Server::start() else { return };
    let mut config = ProptestConfig::with_cases(60);
    config.failure_persistence = None;
    let number = std::cell::Cell::new(0);
    let account = limits(1_000_000, 1_000_000);
    proptest::test_runner::TestRunner::new(config)
        .run(&(prop::collection::vec(step(), 1..120), 1u64..12, 60u64..200), |(steps, rpm, tpm)| {
            number.set(number.get() + 1);
            let mut stage = Stage::new(&server, &format!("model {}", number.get()));
            let (mut window, mut open): (Window, Vec<(Charge, u64, u64)>) = (Window::default(), Vec::new());
            let limits = limits(rpm, tpm);
            for step in steps {
                match step {
                    Step::Wait(milliseconds) => stage.now += Duration::from_millis(milliseconds),
                    Step::Ask(tokens) => {
                        let room = window.room(limits, tokens, stage.now);
                        // Alone in the queue, so that nothing is kept for anybody.
                        let granted = stage.reserve("one", 1, tokens, limits, account);
                        match room {
                            Room::Now => {
                                prop_assert_eq!(granted.count, 1);
                                open.push((window.charge(tokens, stage.now), granted.tick, tokens));
                            }
                            Room::At(at) => {
                                prop_assert_eq!(granted.count, 0);
                                prop_assert_eq!(stage.now + granted.wait, at);
                            }
                            Room::Never => unreachable!("no request is larger than the limit"),
                        }
                    }
                    Step::Settle(which, cost) if !open.is_empty() => {
                        let place = which % open.len();
                        let (charge, tick, tokens) = &mut open[place];
                        window.advance(stage.now);
                        window.settle(charge, cost);
                        let more = i64::try_from(cost).unwrap() - i64::try_from(*tokens).unwrap();
                        stage.correct("one", &[(*tick, 0, more)], account);
                        *tokens = cost;
                    }
                    Step::Refund(which) if !open.is_empty() => {
                        let (mut charge, tick, tokens) = open.swap_remove(which % open.len());
                        window.advance(stage.now);
                        window.refund(&mut charge);
                        stage.correct("one", &[(tick, -1, -i64::try_from(tokens).unwrap())], account);
                    }
                    Step::Settle(..) | Step::Refund(..) => {}
                }
            }
            Ok(())
        })
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

#[test]
fn what_becomes_free_goes_to_whoever_was_given_least_then_to_whoever_came_first() {
    let Some(server) = Server::start() else { return };
    let mut stage = Stage::new(&server, "m");
    let ten = Limits { rpm: Some(10), ..Limits::default() };
    let none = Limits::default();
    assert_eq!(stage.reserve("greedy", 40, 0, ten, none).count, 10);
    // Three wait and come again when they said, each time in another order.
    let mut given = [0, 0, 0];
    for turn in 0..260 {
        stage.now += Duration::from_millis(250);
        for step in 0..3 {
            let place = (turn + step) % 3;
            given[place] += stage.reserve(["greedy", "first", "second"][place], 40, 0, ten, none).count;
        }
    }
    assert_eq!(given.iter().sum::<u64>(), 10, "{given:?}");
    assert!(given.iter().all(|each| (3..=4).contains(each)), "{given:?}");
}

#[test]
fn whoever_does_not_come_when_it_said_holds_nobody_up() {
    let Some(server) = Server::start() else { return };
    let mut stage = Stage::new(&server, "m");
    let (one, none) = (Limits { rpm: Some(1), ..Limits::default() }, Limits::default());
    assert_eq!(stage.reserve("holder", 1, 0, one, none).count, 1);
    assert_eq!(stage.reserve("dead", 1, 0, one, none).count, 0);
    stage.now += Duration::from_millis(5);
    let wait = stage.reserve("alive", 1, 0, one, none).wait;
    assert!(wait > Duration::from_secs(59), "{wait:?}");
    // It has not been heard of for longer than it may be late.
    stage.now += MINUTE + Duration::from_secs(1);
    assert_eq!(stage.reserve("alive", 1, 0, one, none).count, 1);
}

#[test]
fn a_deployment_and_its_account_are_charged_together_or_not_at_all() {
    let Some(server) = Server::start() else { return };
    let mut stage = Stage::new(&server, "m");
    let of = |rpm| Limits { rpm: Some(rpm), ..Limits::default() };
    assert_eq!(stage.reserve("one", 3, 0, of(5), of(4)).count, 3);
    stage.keys = Keys::new("test", "account", "other");
    assert_eq!(stage.reserve("two", 1, 0, of(5), of(4)).count, 1);
    // The account is full, and nothing more is charged to the deployment for having tried.
    assert_eq!(stage.reserve("two", 1, 0, of(5), of(4)).count, 0);
    assert_eq!(stage.reserve("two", 4, 0, of(5), Limits::default()).count, 4);
}

#[test]
fn slots_of_a_ledger_that_is_not_heard_of_are_free_after_its_lease() {
    let Some(server) = Server::start() else { return };
    let mut stage = Stage::new(&server, "m");
    let two = Limits { max_concurrent: Some(2), ..Limits::default() };
    let none = Limits::default();
    assert_eq!(stage.reserve("dead", 2, 0, two, none).count, 2);
    assert_eq!(stage.reserve("alive", 1, 0, two, none).count, 0);
    stage.now += Duration::from_secs(10);
    assert_eq!(stage.reserve("alive", 1, 0, two, none).count, 1);
}

#[test]
fn a_clock_that_went_back_frees_nothing_and_blocks_nobody_for_longer_than_a_minute() {
    let Some(server) = Server::start() else { return };
    let mut stage = Stage::new(&server, "m");
    let (two, none) = (Limits { rpm: Some(2), ..Limits::default() }, Limits::default());
    assert_eq!(stage.reserve("one", 2, 0, two, none).count, 2);
    stage.now -= Duration::from_secs(3600);
    let refused = stage.reserve("one", 1, 0, two, none);
    assert_eq!(refused.count, 0);
    assert!(refused.wait <= MINUTE + Duration::from_millis(250), "{:?}", refused.wait);
}
