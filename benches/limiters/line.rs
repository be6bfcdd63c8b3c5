//! A strict line in front of a limiter, and what came of it.

use std::time::Duration;

use crate::arrivals::{Request, number};
use crate::peers::Limiter;
use crate::{MINUTE, RPM, TPM};

#[derive(Clone, Copy)]
pub struct Admitted {
    /// Since when it stood at the head of the line; `at` if it did not have to wait there.
    head: Duration,
    pub at: Duration,
    pub wait: Duration,
    pub tokens: u64,
}

/// Admits everybody in the order in which they came, each at the earliest moment that the limiter allows.
pub fn admit_all(limiter: &mut dyn Limiter, trace: &[Request]) -> Vec<Admitted> {
    let mut now = Duration::ZERO;
    let admit = |request: &Request| {
        now = now.max(request.at);
        let head = now;
        admit(limiter, request.tokens, &mut now);
        Admitted { head, at: now, wait: now - request.at, tokens: request.tokens }
    };
    trace.iter().map(admit).collect()
}

/// Waits until the limiter admits it.
pub fn admit(limiter: &mut dyn Limiter, tokens: u64, now: &mut Duration) {
    while let Err(at) = limiter.admit(tokens, *now) {
        assert!(at > *now, "a wait has to end later than it begins");
        *now = at;
    }
}

/// What the 60 s that begin with each admission hold, both ends included.
pub struct Worst {
    pub requests: u64,
    pub tokens: u64,
    /// How many of them hold more than a limit.
    pub over: u64,
}

pub fn worst(log: &[Admitted]) -> Worst {
    let mut worst = Worst { requests: 0, tokens: 0, over: 0 };
    let (mut requests, mut tokens) = (0, 0);
    let (mut first, mut end) = (0, 0);
    for (index, start) in log.iter().enumerate() {
        while let Some(admitted) = log.get(end).filter(|admitted| admitted.at - start.at <= MINUTE) {
            requests += 1;
            tokens += admitted.tokens;
            end += 1;
        }
        worst.requests = worst.requests.max(requests);
        worst.tokens = worst.tokens.max(tokens);
        worst.over += u64::from(requests > RPM || tokens > TPM);
        // Those of the same moment belong to each other's windows.
        if log.get(index + 1).is_none_or(|next| next.at > start.at) {
            for left in &log[first..=index] {
                requests -= 1;
                tokens -= left.tokens;
            }
            first = index + 1;
        }
    }
    worst
}

/// The share of the quota that the last 60 s hold, of requests or of tokens, whichever is larger, and 1 at most: its
/// mean over all moments at which somebody waits. And the share of all time, which is `length`, in which somebody does.
pub fn utilisation(log: &[Admitted], length: Duration) -> (f64, f64) {
    let (mut used, mut waited) = (0.0, 0.0);
    let (mut requests, mut tokens, mut oldest) = (0, 0, 0);
    for (index, admitted) in log.iter().enumerate() {
        let mut now = admitted.head;
        // The head waits from `head` to `at`; meanwhile others only leave the 60 s.
        while now < admitted.at || oldest < index && log[oldest].at + MINUTE <= now {
            let leaves = (oldest < index).then(|| log[oldest].at + MINUTE);
            let until = leaves.map_or(admitted.at, |at| at.min(admitted.at)).max(now);
            let full = f64::max(number(requests) / number(RPM), number(tokens) / number(TPM));
            used += full.min(1.0) * (until - now).as_secs_f64();
            waited += (until - now).as_secs_f64();
            now = until;
            if leaves.is_some_and(|at| at <= now) {
                requests -= 1;
                tokens -= log[oldest].tokens;
                oldest += 1;
            }
        }
        requests += 1;
        tokens += admitted.tokens;
    }
    (used / waited, waited / length.as_secs_f64())
}

/// The smallest that so many of all are not above.
pub fn quantile(sorted: &[Duration], quantile: f64) -> Duration {
    let rank = crate::arrivals::count((quantile * number(sorted.len() as u64)).ceil());
    let index = usize::try_from(rank).unwrap_or(usize::MAX).clamp(1, sorted.len().max(1)) - 1;
    sorted.get(index).copied().unwrap_or_default()
}
