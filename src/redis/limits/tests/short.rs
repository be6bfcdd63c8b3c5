//! The short way through the script: it is only quicker.

use proptest::prelude::*;

use super::*;

const LEDGERS: [&str; 3] = ["one", "two", "three"];

#[derive(Clone, Debug)]
enum Step {
    Wait(u64),
    /// This one asks for so many of so many tokens, after having been done with so many of those that it holds.
    Ask {
        who: usize,
        want: u64,
        tokens: u64,
        done: u64,
    },
    /// This one is done with so many, and says what became of some that it was granted before: so many buckets ago.
    Say {
        who: usize,
        done: u64,
        ago: u64,
        requests: i64,
        tokens: i64,
    },
    /// This one says that it is alive, or that it waits no longer.
    Live {
        who: usize,
        leaves: bool,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let who = || 0..LEDGERS.len();
    prop_oneof![
        3 => prop_oneof![0u64..300, 1000u64..15_000, Just(250), Just(60_500)].prop_map(Step::Wait),
        8 => (who(), 1u64..4, 0u64..30, 0u64..4)
            .prop_map(|(who, want, tokens, done)| Step::Ask { who, want, tokens, done }),
        4 => (who(), 0u64..4, 0u64..12, -2i64..2, -40i64..40)
            .prop_map(|(who, done, ago, requests, tokens)| Step::Say { who, done, ago, requests, tokens }),
        2 => (who(), any::<bool>()).prop_map(|(who, leaves)| Step::Live { who, leaves }),
    ]
}

/// The keys of a deployment and its account that are not the same below both prefixes, but for when they end.
fn differences(server: &Server, prefixes: &[String; 2]) -> String {
    let script = "local differ = '' \
        for _, key in ipairs(KEYS) do \
            local here, there = redis.call('DUMP', ARGV[1] .. key), redis.call('DUMP', ARGV[2] .. key) \
            if here ~= there then differ = differ .. ' ' .. key end \
        end \
        return redis.status_reply(differ)";
    let own = ["window", "queue", "waits", "held", "held-until"].map(|key| format!("{key}:m"));
    let below = ["processes", "account", "account-queue", "account-waits", "account-held", "account-held-until"];
    let [here, there] = prefixes.each_ref().map(|prefix| format!("{prefix}:limits:{{account}}:"));
    let keys = own.iter().map(String::as_str).chain(below);
    let words: Vec<_> = ["EVAL", script, "11"].into_iter().chain(keys).chain([here.as_str(), &there]).collect();
    server.ask(&words).trim().to_owned()
}

#[test]
fn the_short_way_answers_and_leaves_what_the_long_one_does() {
    let Some(server) = Server::start() else { return };
    let mut config = ProptestConfig::with_cases(150);
    config.failure_persistence = None;
    let limits = || {
        let limit = |most| prop::option::of(1u64..most);
        (limit(40), limit(400), limit(12)).prop_map(|(rpm, tpm, max_concurrent)| Limits { rpm, tpm, max_concurrent })
    };
    let number = std::cell::Cell::new(0);
    proptest::test_runner::TestRunner::new(config)
        .run(&(prop::collection::vec(step(), 1..60), limits(), limits()), |(steps, limits, account)| {
            number.set(number.get() + 1);
            let mut stage = Stage::new(&server, "m");
            let names = ["short", "long"].map(|way| format!("{way} {}", number.get()));
            let [short, long] = names.each_ref().map(|name| Keys::new(name, "account", "m"));
            let mut holds = [0u64; LEDGERS.len()];
            for step in steps {
                let silent = silence(limits, account);
                let now = u64::try_from(stage.now.as_millis()).unwrap() / 250;
                let change;
                let (who, words) = match step {
                    Step::Wait(milliseconds) => {
                        stage.now += Duration::from_millis(milliseconds);
                        continue;
                    }
                    Step::Ask { who, want, tokens, done } => {
                        holds[who] = holds[who].saturating_sub(done);
                        (who, Words { ask: Some(Ask { want, most: want, tokens }), holds: holds[who], ..silent })
                    }
                    Step::Say { who, done, ago, requests, tokens } => {
                        holds[who] = holds[who].saturating_sub(done);
                        change = [(now - ago, requests, tokens)];
                        (who, Words { changes: Changes::Ticks(&change), holds: holds[who], ..silent })
                    }
                    Step::Live { who, leaves } => (who, Words { counts: !leaves, leaves, holds: holds[who], ..silent }),
                };
                stage.keys = short.clone();
                let answer = stage.count(LEDGERS[who], &words);
                stage.keys = long.clone();
                prop_assert_eq!(answer, stage.count_the_long_way(LEDGERS[who], &words));
                prop_assert_eq!(differences(&server, &names), "+");
                holds[who] += answer.count;
            }
            Ok(())
        })
        .unwrap();
}

#[test]
fn nothing_but_a_queue_and_what_has_ended_sends_a_request_the_long_way() {
    let Some(server) = Server::start() else { return };
    let stage = Stage::new(&server, "m");
    let all = Limits { rpm: Some(100), tpm: Some(1000), max_concurrent: Some(3) };
    for (limits, account) in [(all, Limits::default()), (Limits::default(), all), (all, all)] {
        server.ask(&["FLUSHALL"]);
        let ask = |holds: u64| {
            let ask = Some(Ask { want: 1, most: 1, tokens: 1 });
            stage.count("one", &Words { ask, holds, ..silence(limits, account) }).count
        };
        assert_eq!(ask(0), 1);
        server.ask(&["CONFIG", "RESETSTAT"]);
        // The long way alone asks for the length of hashes.
        let is_long = || server.ask(&["INFO", "commandstats"]).contains("cmdstat_hlen");
        assert_eq!((ask(1), ask(2), is_long()), (1, 1, false));
        assert_eq!((ask(3), is_long()), (0, true));
    }
}
