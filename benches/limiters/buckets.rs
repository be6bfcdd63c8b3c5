//! What the number of buckets buys, and what it costs.

use std::collections::VecDeque;
use std::hint::black_box;
use std::time::{Duration, Instant};

use fastrand::Rng;
use thryd::constants::BUCKET_COUNT;
use thryd::tracker::Limits;
use thryd::tracker::window::Window;

use crate::arrivals::{Request, number, tokens};
use crate::line::{admit_all, utilisation};
use crate::peers::{Limiter, Log};
use crate::{MINUTE, RPM, SEED, Scale, TPM};

/// Between two requests while time is taken: some in every bucket, however narrow.
const GAP: Duration = Duration::from_millis(5);

const ROUNDS: usize = 5;

pub fn print(scale: Scale) {
    println!("### Number of buckets\n");
    println!(
        "{RPM} rpm and {TPM} tpm, a line that never ends, {} h of virtual time: the share of the quota that is used, \
         by requests of 1,000 tokens and by a mixture. Real time for one request admitted and settled, in a window \
         with something in every bucket.\n",
        scale.limiters.as_secs() / 3600
    );
    println!("| buckets | width | bytes | used, one size | used, mixture | settled after 5 s | after 55 s |");
    println!("|---:|---:|---:|---:|---:|---:|---:|");
    row::<12>(scale);
    row::<30>(scale);
    row::<60>(scale);
    row::<120>(scale);
    row::<240>(scale);
    row::<480>(scale);
    row::<960>(scale);
    let used = [saturated(&mut Log::default(), |_| 1_000, scale), saturated(&mut Log::default(), tokens, scale)];
    let entry = size_of::<(Duration, u64)>();
    println!("| exact log | | {entry} a request | {:.2} % | {:.2} % | | |\n", used[0] * 100.0, used[1] * 100.0);
}

fn row<const COUNT: usize>(scale: Scale) {
    let one_size = saturated(&mut Window::<COUNT>::empty(), |_| 1_000, scale);
    let mixture = saturated(&mut Window::<COUNT>::empty(), tokens, scale);
    let [soon, late] = [5, 55].map(|after| nanoseconds::<COUNT>(Duration::from_secs(after), scale.timed));
    let mark = if COUNT == BUCKET_COUNT { "**" } else { "" };
    println!(
        "| {mark}{COUNT}{mark} | {} ms | {} | {:.2} % | {:.2} % | {soon:.0} ns | {late:.0} ns |",
        60_000 / COUNT,
        Window::<COUNT>::empty().bytes(),
        one_size * 100.0,
        mixture * 100.0
    );
}

/// The share of the quota that is used when everybody came at once, in the beginning.
fn saturated(limiter: &mut dyn Limiter, size: impl Fn(&mut Rng) -> u64, scale: Scale) -> f64 {
    let mut rng = Rng::with_seed(SEED);
    let most = scale.limiters.as_secs() / MINUTE.as_secs() * RPM;
    let trace: Vec<_> = (0..most).map(|_| Request { at: Duration::ZERO, tokens: size(&mut rng) }).collect();
    utilisation(&admit_all(limiter, &trace), scale.limiters).0
}

/// Real nanoseconds for one request: room, charge, and the settlement of the one that came `after` ago. Best of a few.
fn nanoseconds<const COUNT: usize>(after: Duration, count: usize) -> f64 {
    let limits = Limits { rpm: Some(1 << 40), tpm: Some(1 << 50), max_concurrent: None };
    let (mut window, mut open, mut now) = (Window::<COUNT>::empty(), VecDeque::new(), Duration::ZERO);
    let mut step = || {
        now += GAP;
        black_box(window.room(limits, black_box(100), now));
        open.push_back((now, window.charge(100, now)));
        if open.front().is_some_and(|(at, _)| now - *at >= after) {
            let settled = open.pop_front().map(|(_, mut charge)| window.settle(&mut charge, black_box(90)));
            black_box(settled);
        }
    };
    // Until the window is full and the first are settled.
    for _ in 0..2 * MINUTE.as_millis() / GAP.as_millis() {
        step();
    }
    let round = |_| {
        let start = Instant::now();
        (0..count).for_each(|_| step());
        start.elapsed().as_secs_f64() * 1e9 / number(count as u64)
    };
    (0..ROUNDS).map(round).fold(f64::INFINITY, f64::min)
}
