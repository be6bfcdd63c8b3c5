//! thryd's window beside the limiters that others use, in front of the same trace.

use std::time::Duration;

use thryd::tracker::window::Window;

use crate::arrivals::{Arrivals, LARGEST, Request, number};
use crate::line::{admit_all, quantile, utilisation, worst};
use crate::peers::{Gcra, Limiter, Log, Minutes, TokenBuckets};
use crate::{RPM, SEED, Scale, TPM};

/// Requests a minute on average, in bursts. Some 92 % of both limits: the line grows in every burst, and empties.
const PER_MINUTE: f64 = 55.0;

pub fn print(scale: Scale) {
    let trace = Arrivals::bursts(SEED, PER_MINUTE, scale.limiters);
    let minutes = scale.limiters.as_secs_f64() / 60.0;
    let (requests, tokens) = (number(trace.len() as u64), number(trace.iter().map(|request| request.tokens).sum()));
    println!("### Limiters\n");
    println!(
        "{RPM} rpm and {TPM} tpm, {} h of virtual time, {requests} requests in bursts, which ask for {:.1} % of the \
         requests and {:.1} % of the tokens, in a strict line. The 60 s are closed and begin with each admission.\n",
        scale.limiters.as_secs() / 3600,
        requests / minutes / number(RPM) * 100.0,
        tokens / minutes / number(TPM) * 100.0
    );
    println!(
        "| limiter | worst 60 s: requests | tokens | 60 s over a limit | quota used while somebody waits \
         | somebody waits | p50 wait | p99 wait |"
    );
    println!("|---|---:|---:|---:|---:|---:|---:|---:|");
    let row = |name: &str, limiter: &mut dyn Limiter| print_row(name, limiter, &trace, scale.limiters);
    row("**thryd**", &mut Window::default());
    row("exact sliding log (the ideal)", &mut Log::default());
    row("fixed window, from first use", &mut Minutes::new(false));
    row("fixed window, calendar minute", &mut Minutes::new(true));
    row("token bucket, a minute deep", &mut TokenBuckets::default());
    row("GCRA (`governor`), a minute's burst", &mut Gcra::new((RPM, TPM)));
    row("GCRA (`governor`), least burst", &mut Gcra::new((1, LARGEST)));
    println!();
}

fn print_row(name: &str, limiter: &mut dyn Limiter, trace: &[Request], length: Duration) {
    let log = admit_all(limiter, trace);
    let worst = worst(&log);
    let (used, waiting) = utilisation(&log, length);
    let mut waits: Vec<_> = log.iter().map(|admitted| admitted.wait).collect();
    waits.sort_unstable();
    println!(
        "| {name} | {} | {} | {} ({:.1} %) | {:.2} % | {:.1} % | {:.1} s | {:.1} s |",
        worst.requests,
        worst.tokens,
        worst.over,
        number(worst.over) / number(log.len() as u64) * 100.0,
        used * 100.0,
        waiting * 100.0,
        quantile(&waits, 0.5).as_secs_f64(),
        quantile(&waits, 0.99).as_secs_f64()
    );
}
