//! The scripts, held up against the window that a process keeps for itself: on a real server, with the time as an argument.

use std::time::Duration;

use tokio::runtime::Runtime;

use super::super::{Redis, RedisOptions};
use super::wire::{
    Answer, Ask, COUNT_THE_LONG_WAY, Changes, Epoch, Found, Keys, Meant, Speaker, Telling, Words, count, count_by,
};
use crate::tracker::Limits;

mod away;
mod idle;
mod laws;
mod queue;
#[path = "../../../tests/redis/server.rs"]
mod server;
mod short;
mod slow;

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

    fn count_the_long_way(&self, ledger: &str, words: &Words<'_>) -> Answer {
        let speaker = self.speaker(ledger);
        self.runtime.block_on(count_by(&COUNT_THE_LONG_WAY, &self.redis, &self.keys, &speaker, words)).unwrap()
    }

    fn reserve(&self, ledger: &str, want: u64, tokens: u64, limits: Limits, account: Limits) -> Answer {
        let ask = Some(Ask { want, most: want, tokens });
        self.count(ledger, &Words { ask, ..silence(limits, account) })
    }

    fn correct(&self, ledger: &str, changes: &[(u64, i64, i64)], account: Limits) {
        let changes = Changes::Ticks(changes);
        self.count(ledger, &Words { changes, ..silence(Limits::default(), account) });
    }
}

/// Says nothing.
fn silence(limits: Limits, account: Limits) -> Words<'static> {
    let changes = Changes::Ticks(&[]);
    Words {
        ask: None,
        limits,
        account,
        holds: 0,
        leaves: false,
        counts: false,
        changes,
        meant: Meant::default(),
        latest: None,
    }
}

fn limits(rpm: u64, tpm: u64) -> Limits {
    Limits { rpm: Some(rpm), tpm: Some(tpm), max_concurrent: None }
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
fn a_shorter_lease_of_another_process_ends_nobody_elses() {
    let Some(server) = Server::start() else { return };
    let mut stage = Stage::new(&server, "m");
    let (two, none) = (Limits { max_concurrent: Some(2), ..Limits::default() }, Limits::default());
    let mut ask = |lease: u64, ledger: &str| {
        let speaker = Speaker { lease: Duration::from_secs(lease), ..stage.speaker(ledger) };
        let words = Words { ask: Some(Ask { want: 1, most: 1, tokens: 0 }), ..silence(two, none) };
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
        "held-until:m",
        "account-held",
        "account-held-until",
        "told:m",
        "account-told",
    ] {
        server.ask(&["FLUSHALL"]);
        assert_eq!(stage.reserve("one", 1, 1, all, all).count, 1);
        let key = format!("test:limits:{{account}}:{key}");
        // A stream: a type that nothing of thryd's is.
        server.ask(&["DEL", &key]);
        server.ask(&["XADD", &key, "*", "a", "b"]);
        let shown = |name: &str| server.ask(&["DUMP", &format!("test:limits:{{account}}:{name}")]);
        let names = ["window:m", "account", "held:m", "told:m"];
        let before = names.map(shown);
        stage.now += Duration::from_secs(1);
        let words = Words { ask: Some(Ask { want: 1, most: 1, tokens: 1 }), counts: true, ..silence(all, all) };
        let history = Changes::History(&[(Duration::from_secs(1), 1, 0)], Telling::default());
        for words in [words, Words { changes: history, counts: true, holds: 1, ..silence(all, all) }] {
            // Who has told is of no concern to who asks.
            if key.ends_with("told") | key.contains("told:") && words.ask.is_some() {
                continue;
            }
            let speaker = stage.speaker("one");
            let fault = stage.runtime.block_on(count(&stage.redis, &stage.keys, &speaker, &words)).unwrap_err();
            assert!(fault.message.contains("WRONGTYPE"), "{key}: {fault}");
            assert_eq!(names.map(shown), before, "{key}");
        }
    }
}

#[test]
fn what_runs_later_than_it_may_does_nothing_and_says_what_time_it_is() {
    let Some(server) = Server::start() else { return };
    let stage = Stage::new(&server, "m");
    let all = Limits { rpm: Some(100), tpm: Some(1000), max_concurrent: Some(50) };
    assert_eq!(stage.reserve("one", 1, 1, all, all).count, 1);
    let now = u64::try_from(stage.now.as_millis()).unwrap();
    let shown = || {
        ["window:m", "held:m", "processes", "account"]
            .map(|it| server.ask(&["DUMP", &format!("test:limits:{{account}}:{it}")]))
    };
    let before = shown();
    let ask = Some(Ask { want: 1, most: 1, tokens: 1 });
    let history = Changes::History(&[(Duration::from_secs(1), 1, 0)], Telling::default());
    let words =
        |changes, latest| Words { ask, changes, holds: 9, counts: true, latest: Some(latest), ..silence(all, all) };
    let costs = [(now / 250, 1, 1)];
    for changes in [Changes::Ticks(&costs), history] {
        for answer in
            [stage.count("one", &words(changes, now - 1)), stage.count_the_long_way("one", &words(changes, now - 1))]
        {
            assert!(answer.is_late);
            assert_eq!((answer.count, answer.clock, shown()), (0, now / 250, before.clone()));
        }
    }
    let answer = stage.count("one", &words(Changes::Ticks(&[]), now));
    assert_eq!((answer.is_late, answer.count), (false, 1));
}

#[test]
fn slots_of_one_that_died_are_free_though_others_go_on_holding_theirs() {
    let Some(server) = Server::start() else { return };
    let mut stage = Stage::new(&server, "m");
    let (two, none) = (Limits { max_concurrent: Some(2), ..Limits::default() }, Limits::default());
    assert_eq!(stage.reserve("dead", 1, 0, two, none).count, 1);
    assert_eq!(stage.reserve("alive", 1, 0, two, none).count, 1);
    for _ in 0..6 {
        stage.now += Duration::from_secs(3);
        stage.count("alive", &Words { holds: 1, counts: true, ..silence(two, none) });
    }
    assert_eq!(stage.reserve("another", 2, 0, two, none).count, 1);
}

#[test]
fn what_charges_nothing_does_not_hide_that_a_window_has_forgotten_something() {
    let Some(server) = Server::start() else { return };
    let stage = Stage::new(&server, "m");
    let (ten, none) = (limits(10, 1000), Limits::default());
    let known = stage.reserve("one", 1, 0, ten, none).epoch;
    let said = stage.count("other", &Words { leaves: true, counts: true, ..silence(ten, none) }).epoch;
    assert_eq!((said, known.has_forgotten(said)), (known, [false; 2]));
    let later = stage.reserve("one", 1, 0, ten, none).epoch;
    assert_eq!(later.has_forgotten(known), [true, false]);
    // Once one has told what was forgotten, everyone finds it.
    let telling = Telling { number: 1, known: later.meant() };
    let changes = Changes::History(&[(Duration::from_secs(1), 1, 0)], telling);
    let told = stage.count("one", &Words { changes, ..silence(ten, none) }).epoch;
    assert_eq!((told.own.told, known.has_forgotten(told)), (1, [true, false]));
    let told = stage.count("other", &Words { changes, ..silence(ten, none) }).epoch;
    assert_eq!(told.own.told, 2);
}

/// Tells the deployment's window that this one was charged with so many requests, and gives how it stands and how often it was charged.
fn tell(stage: &Stage, server: &Server, ledger: &str, requests: u64, number: u64, known: Epoch) -> (Epoch, u64) {
    let changes = Changes::History(&[(Duration::from_secs(1), requests, 0)], Telling { number, known: known.meant() });
    let told = stage.count(ledger, &Words { changes, ..silence(limits(100, 1000), Limits::default()) }).epoch;
    (told, charged(server, "window:m"))
}

/// How many requests are in the window of this key; of none there is, none.
fn charged(server: &Server, key: &str) -> u64 {
    let script = "local head = redis.call('GETRANGE', KEYS[1], 8, 31) \
        return #head < 24 and 0 or select(3, struct.unpack('<ddd', head))";
    let answer = server.ask(&["EVAL", script, "1", &format!("test:limits:{{account}}:{key}")]);
    answer.trim().trim_start_matches(':').parse().unwrap()
}

#[test]
fn whoever_tells_a_window_the_same_again_is_charged_once_and_counts_as_one() {
    let Some(server) = Server::start() else { return };
    let mut stage = Stage::new(&server, "m");
    let known = stage.reserve("one", 1, 0, limits(100, 1000), Limits::default()).epoch;
    server.ask(&["FLUSHALL"]);
    stage.now += Duration::from_secs(1);
    let found = stage.reserve("new", 1, 0, limits(100, 1000), Limits::default()).epoch;
    let (told, requests) = tell(&stage, &server, "one", 5, 7, known);
    assert_eq!((told.own.told, requests), (1, 6));
    // Those who came since are to tell nothing again.
    assert_eq!(found.has_forgotten(told), [false; 2]);
    for _ in 0..2 {
        stage.now += Duration::from_secs(9);
        let (told, requests) = tell(&stage, &server, "one", 5, 7, known);
        assert_eq!((told.own.told, requests), (1, 6));
    }
    assert_eq!((tell(&stage, &server, "two", 4, 7, known).0.own.told, charged(&server, "window:m")), (2, 10));
    // A window that is another one has heard nothing, whoever began it.
    server.ask(&["DEL", "test:limits:{account}:window:m"]);
    stage.now += Duration::from_secs(1);
    stage.reserve("new", 1, 0, limits(100, 1000), Limits::default());
    let (told, requests) = tell(&stage, &server, "one", 5, 7, known);
    assert_eq!((told.own.told, requests), (1, 6));
}

#[test]
fn a_copy_of_a_window_that_was_told_before_is_told_anew_by_everyone() {
    let Some(server) = Server::start() else { return };
    let stage = Stage::new(&server, "m");
    let known = stage.reserve("one", 1, 0, limits(100, 1000), Limits::default()).epoch;
    let first = tell(&stage, &server, "one", 5, 1, known).0;
    let first = (first, tell(&stage, &server, "two", 5, 1, known).0);
    assert_eq!((first.1.own.told, charged(&server, "window:m")), (2, 11));
    // As if what they were charged with since had been lost: who tells something else starts it all over.
    let (again, requests) = tell(&stage, &server, "two", 3, 2, first.1);
    assert_eq!((again.own.told, requests, first.0.has_forgotten(again)), (1, 14, [true, false]));
    assert_eq!(
        tell(&stage, &server, "one", 3, 2, first.0),
        (Epoch { own: Found { told: 2, number: again.own.number + 1, ..again.own }, ..again }, 17)
    );
}

#[test]
fn a_server_whose_clock_is_a_little_behind_another_s_says_how_late_it_is_by_its_own() {
    let Some(server) = Server::start() else { return };
    let mut stage = Stage::new(&server, "m");
    let (ten, none) = (limits(10, 1000), Limits::default());
    let before = stage.reserve("one", 1, 0, ten, none);
    assert_eq!(before.tick, before.clock);
    // As of one that took its place.
    stage.now -= Duration::from_millis(900);
    let after = stage.reserve("one", 1, 0, ten, none);
    assert_eq!((after.count, after.tick), (1, before.tick));
    assert!((3..=4).contains(&(before.clock - after.clock)), "{before:?} {after:?}");
}
