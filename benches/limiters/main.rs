//! Numbers behind docs/limits.md: `cargo bench --no-default-features --bench limiters`, about a minute.
//!
//! All in virtual time and from fixed seeds, so the same tables every time, but for the nanoseconds. Without `--bench`
//! (`cargo test --benches`) it is a short run, to see that it runs.
#![warn(clippy::all, clippy::pedantic)]
#![allow(clippy::unchecked_time_subtraction, reason = "virtual time never goes back")]

mod arrivals;
mod buckets;
mod limiters;
mod line;
mod newcomers;
mod peers;
mod simulation;
mod strategies;

use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(thryd::constants::BUCKETS_WINDOW_S);
const RPM: u64 = 60;
const TPM: u64 = 100_000;
const SEED: u64 = 20_240_229;

/// How much is simulated.
#[derive(Clone, Copy)]
struct Scale {
    limiters: Duration,
    strategies: Duration,
    timed: usize,
}

fn main() {
    let is_bench = std::env::args().any(|argument| argument == "--bench");
    let hours = |count: u64| Duration::from_secs(count * 3600);
    let scale = if is_bench {
        Scale { limiters: hours(24), strategies: hours(6), timed: 200_000 }
    } else {
        Scale { limiters: hours(1) / 4, strategies: hours(1) / 12, timed: 100 }
    };
    buckets::print(scale);
    limiters::print(scale);
    strategies::print(scale);
    newcomers::print();
}
