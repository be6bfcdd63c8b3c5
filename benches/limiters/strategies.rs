//! The strategies over deployments that are unlike each other.

use std::time::Duration;

use thryd::route::strategy::Strategy;
use thryd::tracker::Limits;

use crate::arrivals::number;
use crate::line::quantile;
use crate::simulation::{Outcome, Pick, Profile, Trouble, run};
use crate::{MINUTE, SEED, Scale};

const fn limits(rpm: u64, tpm: u64, max_concurrent: Option<u64>) -> Limits {
    Limits { rpm: Some(rpm), tpm: Some(tpm), max_concurrent }
}

/// Four that differ in everything. Weights are not in proportion to quotas, or there would be nothing to see.
fn unlike(length: Duration) -> [Profile; 4] {
    let (joins, trouble) = (Duration::ZERO, Trouble::NONE);
    let flaky = Trouble { share: 0.05, after: Duration::from_secs(20), ..Trouble::NONE };
    let plain =
        |name, limits, weight, first_ms, token_ms| Profile { name, limits, weight, first_ms, token_ms, joins, trouble };
    [
        plain("medium", limits(60, 100_000, None), 3.0, 400.0, 12.0),
        plain("slow", limits(40, 60_000, Some(12)), 2.0, 900.0, 25.0),
        Profile { trouble: flaky, ..plain("flaky", limits(30, 100_000, None), 1.0, 600.0, 12.0) },
        Profile { joins: length / 4, ..plain("late", limits(200, 400_000, None), 4.0, 250.0, 8.0) },
    ]
}

pub fn print(scale: Scale) {
    let profiles = unlike(scale.strategies);
    // Tokens are plenty altogether, though not everywhere, so what is possible is bounded by requests.
    let quota = |profile: &Profile| number(profile.limits.rpm.unwrap_or(0));
    let quota_at = |now: Duration| -> f64 { profiles.iter().filter(|one| one.joins <= now).map(quota).sum() };
    println!("### Strategies\n");
    println!(
        "{} h of virtual time. Four deployments: {} requests a minute; \"slow\" has 12 slots, 5 % of the requests to \
         \"flaky\" fail after 20 s, and \"late\" joins after a quarter of the time. Requests come as a Poisson \
         process, reserve up to half more than they cost, wait 60 s at most, and are tried elsewhere when they \
         fail.\n\n\
         Fairness is Jain's index of the requests that each got, relative to its requests per minute, under `weighted` \
         to its weight (3, 2, 1 and 4).\n",
        scale.strategies.as_secs() / 3600,
        profiles.iter().map(|one| format!("{:.0} ({})", quota(one), one.name)).collect::<Vec<_>>().join(", "),
    );
    println!(
        "| load | strategy | answered, of what is possible | p50 wait | p99 wait | p50 total | p99 total | fairness |"
    );
    println!("|---:|---|---:|---:|---:|---:|---:|---:|");
    for load in [0.5, 0.9, 1.2] {
        for (word, strategy) in Strategy::WORDS {
            let outcome = run(*strategy, &profiles, |now| quota_at(now) * load, scale.strategies, SEED);
            let possible: f64 = {
                let minutes = scale.strategies.as_secs_f64() / MINUTE.as_secs_f64();
                let all = minutes * (0.25 * quota_at(Duration::ZERO) + 0.75 * quota_at(Duration::MAX));
                all.min(number(outcome.asked))
            };
            let share =
                |profile: &Profile| if *strategy == Strategy::Weighted { profile.weight } else { quota(profile) };
            let fairness = fairness(&outcome, &profiles, share, profiles[3].joins);
            let answered = number(outcome.served.len() as u64) / possible;
            print_row(&format!("{:.0} % | {word}", load * 100.0), &outcome, answered, fairness);
        }
    }
    println!();
}

fn print_row(name: &str, outcome: &Outcome, answered: f64, fairness: f64) {
    let sorted = |of: fn(&(Duration, Duration)) -> Duration| {
        let mut all: Vec<_> = outcome.served.iter().map(of).collect();
        all.sort_unstable();
        all
    };
    let (waits, totals) = (sorted(|served| served.0), sorted(|served| served.1));
    let [wait_50, wait_99] = [0.5, 0.99].map(|at| quantile(&waits, at).as_secs_f64());
    let [total_50, total_99] = [0.5, 0.99].map(|at| quantile(&totals, at).as_secs_f64());
    println!(
        "| {name} | {:.1} % | {wait_50:.1} s | {wait_99:.1} s | {total_50:.1} s | {total_99:.1} s | {fairness:.2} |",
        answered * 100.0
    );
}

/// Jain's index of the requests that each got relative to its share, from the moment on at which all are there: 1 is
/// exactly in proportion, 1/4 is all to one.
fn fairness(outcome: &Outcome, profiles: &[Profile], share: impl Fn(&Profile) -> f64, from: Duration) -> f64 {
    let got = |picks: &Vec<_>| number(picks.iter().filter(|pick: &&Pick| pick.at >= from).count() as u64);
    let relative: Vec<_> = outcome.picks.iter().zip(profiles).map(|(picks, one)| got(picks) / share(one)).collect();
    let sum: f64 = relative.iter().sum();
    let squares: f64 = relative.iter().map(|one| one * one).sum();
    sum * sum / (number(relative.len() as u64) * squares)
}
