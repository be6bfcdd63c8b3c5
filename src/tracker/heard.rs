//! What a provider says of its own limits, held against what is counted here. Pure: `now` is an argument.
//!
//! It can only tighten the local picture. A provider's "so many are left until then" says nothing about requests that it
//! had not seen when it said so; so it is kept as a ceiling on the running total of what is admitted, measured from the
//! request that it answered: whatever was admitted after that one counts against what is left.

use std::time::Duration;

use super::window::PERIOD;

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
    /// The number of the request whose answer spoke last.
    number: u64,
    /// The running total up to that request.
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

/// The request whose answer says something.
#[derive(Clone, Copy, Debug)]
pub(super) struct Speaker {
    /// Its number among all that were admitted.
    pub number: u64,
    /// The running total up to it.
    pub mark: u64,
    /// When it was admitted.
    pub at: Duration,
}

impl Heard {
    /// Takes what the answer to a request said; says whether there may be more room, or sooner, than what was heard
    /// before promised. An answer to an older request knows less than what was heard already, and changes nothing.
    pub fn hear(&mut self, quota: Quota, speaker: Speaker, now: Duration) -> bool {
        let before = self.ceiling(now);
        if speaker.number < self.number && (before.is_some() || self.learned(now).is_some()) {
            return false;
        }
        self.number = speaker.number;
        let old = self.learned(now);
        if let Some(limit) = quota.limit {
            self.learned = Some((limit, now.saturating_add(LEARNED_FOR)));
        }
        let is_raised = old.zip(quota.limit).is_some_and(|(old, new)| new > old);
        let Some(remaining) = quota.remaining else { return is_raised };
        // Not beyond a window from when it was asked: the provider may have counted then, answers can take minutes, and
        // most refill evenly, so that one request a minute may well ask how things stand.
        let longest = speaker.at.saturating_add(PERIOD);
        let until = quota.reset.map_or(longest, |reset| now.saturating_add(reset).min(longest));
        let ceiling = Ceiling { total: speaker.mark.saturating_add(remaining), until };
        (self.mark, self.ceiling) = (speaker.mark, Some(ceiling));
        is_raised || before.is_some_and(|before| ceiling.total > before.total || ceiling.until < before.until)
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

    /// So much of what was admitted at `mark` never reached the provider. The running total never sinks; if this came
    /// after the request that spoke, it counted against the ceiling and does no longer.
    pub fn refund(&mut self, mark: u64, amount: u64) {
        if let Some(ceiling) = self.ceiling.as_mut().filter(|_| mark > self.mark) {
            ceiling.total = ceiling.total.saturating_add(amount);
        }
    }

    fn ceiling(&self, now: Duration) -> Option<Ceiling> {
        self.ceiling.filter(|ceiling| now < ceiling.until)
    }
}
