//! What becomes of a deployment that nobody knows yet under `lowest-latency`, and of one that falls silent.

use std::time::Duration;

use thryd::route::strategy::Strategy;
use thryd::tracker::Limits;

use crate::SEED;
use crate::arrivals::number;
use crate::simulation::{Outcome, Profile, Trouble, run};

const PER_MINUTE: f64 = 300.0;
const JOINS: Duration = Duration::from_secs(300);
const END: Duration = Duration::from_secs(900);

const VETERAN: Profile = Profile {
    name: "veteran",
    limits: Limits { rpm: None, tpm: None, max_concurrent: None },
    weight: 1.0,
    first_ms: 400.0,
    token_ms: 10.0,
    joins: Duration::ZERO,
    trouble: Trouble::NONE,
};
const NEWCOMER: Profile = Profile { name: "newcomer", joins: JOINS, ..VETERAN };

/// Everything fails at once from the moment on at which the newcomer comes.
const BROKEN: Trouble = Trouble { share: 1.0, after: Duration::from_millis(20), from: JOINS, ..Trouble::NONE };

pub fn print() {
    let s = Duration::from_secs;
    let troubled = |trouble| Profile { trouble, ..NEWCOMER };
    let slow = Profile { first_ms: 5_000.0, ..VETERAN };
    let silent = Trouble { after: s(60), ..BROKEN };
    let cases = [
        ("is like the others", VETERAN, NEWCOMER),
        ("is 4 times faster", VETERAN, Profile { first_ms: 100.0, token_ms: 2.5, ..NEWCOMER }),
        ("is 10 times slower", VETERAN, Profile { first_ms: 4_000.0, token_ms: 100.0, ..NEWCOMER }),
        ("fails at once", VETERAN, troubled(BROKEN)),
        ("fails at once; the others take 5 s to the first token", slow, troubled(BROKEN)),
        (
            "fails at once for 30 s, then is like the others",
            VETERAN,
            troubled(Trouble { until: JOINS + s(30), ..BROKEN }),
        ),
        ("fails at once half of the time", VETERAN, troubled(Trouble { share: 0.5, ..BROKEN })),
        ("fails after 10 s", VETERAN, troubled(Trouble { after: s(10), ..BROKEN })),
        ("hangs, and fails after 60 s", VETERAN, troubled(silent)),
        ("was there from the first, and hangs from then on", VETERAN, Profile { trouble: silent, ..VETERAN }),
    ];
    println!("### Newcomers\n");
    println!(
        "Three deployments without limits, first tokens after 400 ms in the median, {PER_MINUTE} requests a minute \
         under `lowest-latency`. After 5 minutes a fourth comes.\n"
    );
    println!(
        "| the fourth | its share in 10 s | in 60 s | after 5 to 10 min | most in flight on it in 60 s | on another |"
    );
    println!("|---|---:|---:|---:|---:|---:|");
    for (name, veteran, fourth) in cases {
        let outcome = run(Strategy::LowestLatency, &[veteran, veteran, veteran, fourth], |_| PER_MINUTE, END, SEED);
        let [ten, minute, later] = [(JOINS, JOINS + s(10)), (JOINS, JOINS + s(60)), (JOINS + s(300), END)]
            .map(|of| share(&outcome, of) * 100.0);
        let (on_it, on_another) = (most(&outcome, 3), (0..3).map(|index| most(&outcome, index)).max().unwrap_or(0));
        println!("| {name} | {ten:.1} % | {minute:.1} % | {later:.1} % | {on_it} | {on_another} |");
    }
    println!();
}

/// The fourth's share of what was sent in this time.
fn share(outcome: &Outcome, (from, until): (Duration, Duration)) -> f64 {
    let sent =
        |index: usize| outcome.picks[index].iter().filter(|pick| (from..until).contains(&pick.at)).count() as u64;
    number(sent(3)) / number((0..4).map(sent).sum())
}

/// The most that was in flight on one of them in the first minute.
fn most(outcome: &Outcome, index: usize) -> u64 {
    let first = JOINS..JOINS + Duration::from_secs(60);
    outcome.picks[index].iter().filter(|pick| first.contains(&pick.at)).map(|pick| pick.in_flight).max().unwrap_or(0)
}
