//! What a deployment spent in the last 60 s, and permits to spend more.
//!
//! [`window`] is the arithmetic, and knows no clock. [`Tracker`] puts requests, tokens and concurrency behind one lock
//! and hands out a [`Permit`] for each request, which settles to what the request really cost.

#[allow(clippy::module_inception, reason = "the folder is the subject, the file the type")]
mod tracker;
pub mod window;

use std::time::Duration;

use tokio::time::Instant;

pub use tracker::{Permit, Tracker};

/// Limits of one deployment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Requests in any 60 s. Default: unlimited.
    pub rpm: Option<u64>,
    /// Tokens in any 60 s, prompt and completion together. Default: unlimited.
    pub tpm: Option<u64>,
    /// Requests in flight. Default: unlimited.
    pub max_concurrent: Option<u64>,
}

/// Why there is no permit now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Not before this moment; then there will be room, if nobody else takes it and a slot is free.
    Until(Instant),
    /// As soon as a request in flight ends.
    Release,
    /// Never: the request is larger than the limit.
    Never,
}

/// Spent or reserved in the last 60 s.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// Requests.
    pub requests: u64,
    /// Tokens.
    pub tokens: u64,
}

/// What is left of the limits; `None` is unlimited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Remaining {
    /// Requests.
    pub requests: Option<u64>,
    /// Tokens.
    pub tokens: Option<u64>,
}

/// What waits in front of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ahead {
    /// Requests.
    pub requests: u64,
    /// Tokens of all of them.
    pub tokens: u64,
    /// Tokens of the smallest of them; `None` if there is none. It tells requests of one size, for which waits are
    /// exact, from a mixture.
    pub smallest: Option<u64>,
}

impl Ahead {
    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        let smallest = [self.smallest, other.smallest].into_iter().flatten().min();
        Self {
            requests: self.requests.saturating_add(other.requests),
            tokens: self.tokens.saturating_add(other.tokens),
            smallest,
        }
    }
}

/// How long until a request with these tokens can be admitted on one of the trackers, when all that is `ahead` goes
/// first; `None` is never: it is larger than every limit.
///
/// Exact for requests of one size, if nothing is settled, given back or admitted out of turn meanwhile; otherwise a
/// lower bound. `max_concurrent` cannot be foreseen, and does not count.
#[must_use]
#[allow(clippy::needless_pass_by_value, reason = "an iterator that is asked several times")]
pub fn wait_behind<'a, I>(trackers: I, ahead: Ahead, tokens: u64, now: Instant) -> Option<Duration>
where
    I: IntoIterator<Item = &'a Tracker> + Clone,
{
    // However short the line is, its last request needs a tracker that is large enough.
    let alone = trackers.clone().into_iter().filter_map(|tracker| tracker.wait_for_one(tokens, now)).min()?;
    if ahead.requests == 0 {
        return Some(alone);
    }
    let all = ahead.plus(Ahead { requests: 1, tokens, smallest: Some(tokens) });
    let smallest = all.smallest.unwrap_or(0);
    let capacity = |after: Duration| {
        let each = trackers.clone().into_iter().map(|tracker| tracker.capacity(smallest, now, after));
        each.fold((0_u64, 0_u64), |sum, it| (sum.0.saturating_add(it.0), sum.1.saturating_add(it.1)))
    };
    let fits = |after: Duration| {
        let (requests, tokens) = capacity(after);
        requests >= all.requests && tokens >= all.tokens
    };
    if fits(alone) {
        return Some(alone);
    }
    // Every tracker repeats itself after one period, so whole periods are a division.
    let (first, second) = (capacity(Duration::ZERO), capacity(window::PERIOD));
    let whole = (second.0.saturating_sub(first.0), second.1.saturating_sub(first.1));
    let periods =
        |wanted: u64, first: u64, whole: u64| if first >= wanted { Some(0) } else { wanted.checked_div(whole) };
    let periods = match (periods(all.requests, first.0, whole.0), periods(all.tokens, first.1, whole.1)) {
        (Some(requests), Some(tokens)) => requests.max(tokens),
        // Nothing that is ahead can ever go: then the wait is for whatever changes that.
        _ => return Some(alone),
    };
    let after = |periods: u64| window::PERIOD.saturating_mul(u32::try_from(periods).unwrap_or(u32::MAX));
    let (mut low, mut high) = (alone.max(after(periods.saturating_sub(1))), after(periods.saturating_add(1)));
    if fits(low) {
        low = alone;
    }
    // `low` does not fit and `high` does. To the nanosecond: some 36 halvings.
    while high.saturating_sub(low) > Duration::from_nanos(1) {
        let middle = low + high.saturating_sub(low) / 2;
        if fits(middle) { high = middle } else { low = middle }
    }
    Some(high)
}
