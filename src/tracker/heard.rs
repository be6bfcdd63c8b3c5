//! What a provider says of its own limits, held against what is counted here. Pure: `now` is an argument.
//!
//! It can only tighten the local picture. A provider's "so many are left until then" says nothing about requests that it
//! had not seen when it said so; so it is kept as a ceiling on the running total of what is admitted, measured from the
//! request that it answered: whatever was admitted after that one counts against what is left.

use std::time::Duration;

use crate::constants::BUCKETS_WINDOW_S;

/// How long a limit that a provider named is believed, one hour: every answer names it anew, and accounts change.
const LEARNED_FOR: Duration = Duration::from_secs(60 * 60);

/// What an answer says about one limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quota {
    /// How many a minute may have, 1 to 2^53 - 1; absent where the provider's window is another one.
    pub limit: Option<u64>,
    /// How many are left until `reset`, 0 to 2^53 - 1, in the tightest of the provider's windows, whatever its length.
    pub remaining: Option<u64>,
    /// From now until that window is full again, at most a day. Zero if it already is: then `remaining` is history.
    pub reset: Option<Duration>,
}

/// What an answer says about its provider's limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RateLimits {
    /// Requests.
    pub requests: Quota,
    /// Tokens, of prompt and completion together.
    pub tokens: Quota,
    /// Values that make no sense and were left out.
    pub ignored: u32,
}

impl RateLimits {
    /// Whether it says nothing at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What was heard about one limit so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Heard {
    /// The running total up to the request whose answer spoke last.
    mark: u64,
    ceiling: Option<Ceiling>,
    /// The limit that was named, and until when it is believed.
    learned: Option<(u64, Duration)>,
}

#[derive(Clone, Copy, Debug)]
struct Ceiling {
    /// What the running total may not exceed.
    total: u64,
    until: Duration,
}

impl Heard {
    /// Takes what the answer to the request at `mark` of the running total said; says whether there may be more room, or
    /// sooner, than what was heard before promised.
    pub fn hear(&mut self, quota: Quota, mark: u64, now: Duration) -> bool {
        if let Some(limit) = quota.limit {
            self.learned = Some((limit, now.saturating_add(LEARNED_FOR)));
        }
        let Some(remaining) = quota.remaining else { return false };
        let before = self.ceiling(now);
        // An answer to an older request knows less than what was heard already.
        if mark < self.mark && before.is_some() {
            return false;
        }
        let reset = quota.reset.unwrap_or(Duration::from_secs(BUCKETS_WINDOW_S));
        self.mark = mark;
        let ceiling = Ceiling { total: mark.saturating_add(remaining), until: now.saturating_add(reset) };
        self.ceiling = Some(ceiling);
        before.is_some_and(|before| ceiling.total > before.total || ceiling.until < before.until)
    }

    /// Until when nothing of this size may be admitted on top of the running total; `None` if it may now.
    pub fn hold(&self, total: u64, more: u64, now: Duration) -> Option<Duration> {
        let ceiling = self.ceiling(now)?;
        (total.saturating_add(more) > ceiling.total).then_some(ceiling.until)
    }

    /// How much may be admitted on top of the running total before `at`; `None` if nothing was said.
    pub fn left(&self, total: u64, at: Duration) -> Option<u64> {
        Some(self.ceiling(at)?.total.saturating_sub(total))
    }

    /// The limit that the provider named, as long as it is believed.
    pub fn learned(&self, now: Duration) -> Option<u64> {
        self.learned.filter(|(_, until)| now < *until).map(|(limit, _)| limit)
    }

    /// So much of what was admitted at `mark` never reached the provider. What it counted does not change by that, so
    /// where it has counted up to the mark already, the ceiling sinks with the running total.
    pub fn refund(&mut self, mark: u64, amount: u64) {
        if let Some(ceiling) = self.ceiling.as_mut().filter(|_| mark <= self.mark) {
            ceiling.total = ceiling.total.saturating_sub(amount);
        }
    }

    fn ceiling(&self, now: Duration) -> Option<Ceiling> {
        self.ceiling.filter(|ceiling| now < ceiling.until)
    }
}
