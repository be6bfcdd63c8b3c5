//! The scripts, held up against the window that a process keeps for itself: on a real server, with the time as an argument.

use std::time::Duration;

use proptest::prelude::*;
use tokio::runtime::Runtime;

use super::super::{Redis, RedisOptions};
use super::wire::{Answer, Ask, Changes, Keys, Speaker, Words, count};
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

    fn count(&self, ledger: &str, words: &Words<'_>) -> Answer {
        self.runtime.block_on(count(&self.redis, &self.keys, &self.speaker(ledger), words)).unwrap()
    }

    fn reserve(&self, ledger: &str, want: u64, tokens: u64, limits: Limits, account: Limits) -> Answer {
        let ask = Some(Ask { want, most: want, tokens });
        self.count(ledger, &Words { ask, ..self.silence(limits, account) })
    }

    fn correct(&self, ledger: &str, changes: &[(u64, i64, i64)], account: Limits) {
        let changes = Changes::Ticks(changes);
        self.count(ledger, &Words { changes, ..self.silence(Limits::default(), account) });
    }

    /// Says nothing.
    fn silence(&self, limits: Limits, account: Limits) -> Words<'static> {
        let changes = Changes::Ticks(&[]);
        Words { ask: None, limits, account, holds: 0, leaves: false, counts: false, changes, epoch: None }
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
        match (first..).find(|tick| fits(*tick)).unwrap() {
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
                            let answer = stage.count("one", &Words { ask, changes, ..stage.silence(limits, account) });
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
    assert!(refused.wait <= MINUTE + Duration::from_millis(500), "{:?}", refused.wait);
}

#[test]
fn nobody_starves_however_many_wait() {
    let Some(server) = Server::start() else { return };
    let mut stage = Stage::new(&server, "m");
    let (limits, none) = (Limits { rpm: Some(300), ..Limits::default() }, Limits::default());
    assert_eq!(stage.reserve("before", 300, 0, limits, none).count, 300);
    stage.now += Duration::from_secs(55);
    // More than a script looks at, each with use for more than its share, each coming again when it was told to.
    let mut waiting: Vec<(Duration, u64)> = vec![(stage.now, 0); 300];
    let end = stage.now + Duration::from_secs(15);
    while stage.now < end {
        let (who, due) = waiting.iter().enumerate().map(|(who, (due, _))| (who, *due)).min_by_key(|it| it.1).unwrap();
        stage.now = stage.now.max(due);
        let answer = stage.reserve(&format!("ledger {}", who * 7919 % 300), 20, 0, limits, none);
        let again =
            if answer.count > 0 { Duration::from_millis(1) } else { answer.pause.max(Duration::from_millis(1)) };
        waiting[who] = (stage.now + again, waiting[who].1 + answer.count);
    }
    let given: Vec<u64> = waiting.iter().map(|it| it.1).collect();
    assert_eq!(given.iter().sum::<u64>(), 300);
    assert!(given.iter().all(|given| *given == 1), "{given:?}");
}

#[test]
fn a_deployment_of_an_account_that_is_full_waits_its_turn_among_the_others() {
    let Some(server) = Server::start() else { return };
    let mut stage = Stage::new(&server, "one");
    let (none, ten) = (Limits::default(), Limits { rpm: Some(10), ..Limits::default() });
    assert_eq!(stage.reserve("greedy", 40, 0, none, ten).count, 10);
    let other = Keys::new("test", "account", "other");
    let mut given = [0, 0];
    // The one asks four times as often as the other.
    for _ in 0..260 {
        stage.now += Duration::from_millis(250);
        for _ in 0..4 {
            given[0] += stage.reserve("greedy", 40, 0, none, ten).count;
        }
        let own = std::mem::replace(&mut stage.keys, other.clone());
        given[1] += stage.reserve("modest", 40, 0, none, ten).count;
        stage.keys = own;
    }
    assert_eq!(given, [5, 5]);
}

#[test]
fn what_waits_for_a_deployment_holds_up_nobody_else_of_its_account() {
    let Some(server) = Server::start() else { return };
    let mut stage = Stage::new(&server, "full");
    let (one, ten) = (Limits { rpm: Some(1), ..Limits::default() }, Limits { rpm: Some(10), ..Limits::default() });
    assert_eq!(stage.reserve("first", 1, 0, one, ten).count, 1);
    assert_eq!(stage.reserve("waits", 9, 0, one, ten).count, 0);
    stage.keys = Keys::new("test", "account", "free");
    assert_eq!(stage.reserve("other", 9, 0, Limits::default(), ten).count, 9);
}

#[test]
fn a_request_that_is_larger_than_the_limit_has_an_empty_window_for_itself() {
    let Some(server) = Server::start() else { return };
    let mut stage = Stage::new(&server, "m");
    // What a provider says of its limit may be less than what was set, which is what refuses for ever.
    let (limits, none) = (limits(10, 100), Limits::default());
    assert_eq!(stage.reserve("small", 1, 1, limits, none).count, 1);
    let refused = stage.reserve("large", 1, 500, limits, none);
    assert_eq!(refused.count, 0);
    stage.now += refused.wait;
    assert_eq!(stage.reserve("large", 1, 500, limits, none).count, 1);
    assert_eq!(stage.reserve("small", 1, 1, limits, none).count, 0);
}

#[test]
fn a_slot_that_becomes_free_goes_to_whoever_has_waited_longest() {
    let Some(server) = Server::start() else { return };
    let mut stage = Stage::new(&server, "m");
    let (one, none) = (Limits { max_concurrent: Some(1), ..Limits::default() }, Limits::default());
    let holding = |stage: &Stage, ledger: &str, holds: u64, want: u64| {
        let ask = (want > 0).then_some(Ask { want, most: want, tokens: 0 });
        stage.count(ledger, &Words { ask, holds, ..stage.silence(one, none) }).count
    };
    assert_eq!(holding(&stage, "holder", 0, 1), 1);
    stage.now += Duration::from_millis(10);
    assert_eq!(holding(&stage, "second", 0, 1), 0);
    // The holder is done, and has use for another.
    stage.now += Duration::from_millis(10);
    assert_eq!(holding(&stage, "holder", 0, 1), 0);
    assert_eq!(holding(&stage, "second", 0, 1), 1);
    assert_eq!(holding(&stage, "holder", 0, 1), 0);
}

#[test]
fn a_shorter_lease_of_another_process_ends_nobody_elses() {
    let Some(server) = Server::start() else { return };
    let mut stage = Stage::new(&server, "m");
    let (two, none) = (Limits { max_concurrent: Some(2), ..Limits::default() }, Limits::default());
    let mut ask = |lease: u64, ledger: &str| {
        let speaker = Speaker { lease: Duration::from_secs(lease), ..stage.speaker(ledger) };
        let words = Words { ask: Some(Ask { want: 1, most: 1, tokens: 0 }), ..stage.silence(two, none) };
        let count = stage.runtime.block_on(count(&stage.redis, &stage.keys, &speaker, &words)).unwrap().count;
        stage.now += Duration::from_secs(2);
        count
    };
    assert_eq!((ask(600, "long"), ask(1, "short")), (1, 1));
    let lasts = server.ask(&["PTTL", "test:limits:{account}:held:m"]);
    let lasts: u64 = lasts.trim().trim_start_matches(':').parse().unwrap();
    assert!(lasts > 590_000, "the key lasts as long as the longest lease, and not {lasts} ms");
    assert_eq!((ask(600, "a third"), ask(1, "a fourth")), (1, 0));
}

#[test]
fn nothing_is_written_where_one_of_the_keys_is_somebody_elses() {
    let Some(server) = Server::start() else { return };
    let mut stage = Stage::new(&server, "m");
    let all = Limits { rpm: Some(100), tpm: Some(1000), max_concurrent: Some(50) };
    for key in [
        "window:m",
        "queue:m",
        "waits:m",
        "processes",
        "account",
        "account-queue",
        "account-waits",
        "held:m",
        "account-held",
    ] {
        server.ask(&["FLUSHALL"]);
        assert_eq!(stage.reserve("one", 1, 1, all, all).count, 1);
        let key = format!("test:limits:{{account}}:{key}");
        // A stream: a type that nothing of thryd's is.
        server.ask(&["DEL", &key]);
        server.ask(&["XADD", &key, "*", "a", "b"]);
        let shown = |name: &str| server.ask(&["DUMP", &format!("test:limits:{{account}}:{name}")]);
        let before: Vec<_> = ["window:m", "account", "held:m"].map(shown).into();
        stage.now += Duration::from_secs(1);
        let words = Words { ask: Some(Ask { want: 1, most: 1, tokens: 1 }), counts: true, ..stage.silence(all, all) };
        let fault =
            stage.runtime.block_on(count(&stage.redis, &stage.keys, &stage.speaker("one"), &words)).unwrap_err();
        assert!(fault.message.contains("WRONGTYPE"), "{key}: {fault}");
        assert_eq!(Vec::from(["window:m", "account", "held:m"].map(shown)), before, "{key}");
    }
}
