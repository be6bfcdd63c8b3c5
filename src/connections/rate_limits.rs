//! What the headers of an answer say about the provider's limits. Pure: `now` is an argument.
//!
//! Every provider spells it in its own way (`docs/limits.md`), so each header is read into a slot for what it is about
//! and for its window; then the slots are put together, the tightest winning. They are hints, which may only tighten:
//! what makes no sense is left out and counted.

mod names;
mod reset;
#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::time::{Duration, SystemTime};

use ::http::{HeaderMap, HeaderValue};

use self::names::{Field, Header, Subject, Window};
use self::reset::{count, reset};
use super::retry_after::MAX_RETRY_AFTER;
use crate::tracker::{Quota, RateLimits};

/// The largest count that is believed: above it, JavaScript no longer tells whole numbers apart.
const MAX_COUNT: u64 = (1 << 53) - 1;
const MINUTE: Duration = Duration::from_secs(60);

impl Quota {
    /// The order of tightness: first what still holds, with the fewest left, for the longest time.
    fn tightness(&self) -> (bool, u64, Reverse<Option<Duration>>) {
        (self.is_over(), self.remaining.unwrap_or(u64::MAX), Reverse(self.reset))
    }

    /// Whether the window is already full again.
    fn is_over(&self) -> bool {
        self.reset == Some(Duration::ZERO)
    }

    /// Whether the numbers are those of a bucket that refills evenly over a day: what was used is back after its share of
    /// one, but for what rounding takes.
    fn refills_in_a_day(&self) -> bool {
        let (Some(limit), Some(remaining), Some(reset)) = (self.limit, self.remaining, self.reset) else {
            return false;
        };
        let used = limit.saturating_sub(remaining);
        let expected = u128::from(used) * MAX_RETRY_AFTER.as_micros() / u128::from(limit.max(1));
        used > 0 && reset.as_micros().abs_diff(expected) <= 1_000 + expected / 50
    }
}

/// Reads the limits from the headers of an answer. Headers that are not known say nothing.
///
/// - Of several windows (minute, day), `limit` is the minute's, and `remaining` and `reset` are those of the one with
///   the fewest left. A window that is already full again gives way to every other.
/// - Where neither the name nor `x-ratelimit-renewalperiod-*` (Azure) says the window, a limit counts as per minute
///   unless its reset is longer than that, or the reset of a limit of requests is the used share of a day: Groq's are per
///   day, and those of small `OpenAI` accounts too, under the same names. A day's limit that passes for a minute's does no
///   harm: it is larger than what the minute allows, and limits only tighten.
/// - Tokens are what the headers for tokens say, else those for input and for output together; but if one of these is
///   used up, no tokens are left until it is full again.
/// - Left out and counted are: what is not a whole number from 0 to 2^53 - 1, a limit of 0, more remaining than the
///   limit, a reset that is no time or more than a day ahead. A reset in the past is none of these, it counts as zero:
///   providers write whole seconds, and an answer takes its time.
#[must_use]
pub fn rate_limits(headers: &HeaderMap, now: SystemTime) -> RateLimits {
    let mut readings: Option<Readings> = None;
    for (name, value) in headers {
        if let Some(header) = Header::named(name.as_str()) {
            readings.get_or_insert_default().add(header, value, now);
        }
    }
    readings.map(Readings::limits).unwrap_or_default()
}

/// What was read about one subject in one window.
#[derive(Clone, Copy, Default)]
struct Reading {
    quota: Quota,
    /// The length of the window in seconds, if a header says it.
    period: Option<u64>,
}

impl Reading {
    /// Keeps the tighter of two values for the same thing. Returns whether the text made sense.
    fn add(&mut self, field: Field, text: &str, now: SystemTime) -> bool {
        let positive = || count(text).filter(|&count| count > 0);
        match field {
            Field::Limit => tighten(&mut self.quota.limit, positive(), u64::min),
            Field::Remaining => tighten(&mut self.quota.remaining, count(text), u64::min),
            Field::Reset => tighten(&mut self.quota.reset, reset(text, now), Duration::max),
            Field::Period => tighten(&mut self.period, positive(), u64::max),
        }
    }

    /// Leaves out what contradicts itself. Returns whether anything did.
    fn reconcile(&mut self) -> bool {
        let is_wrong = self.quota.limit.zip(self.quota.remaining).is_some_and(|(limit, remaining)| remaining > limit);
        if is_wrong {
            self.quota.remaining = None;
        }
        is_wrong
    }

    /// Whether the limit is one per minute, as far as can be known.
    fn is_per_minute(&self, subject: Subject, window: Window) -> bool {
        match (window, self.period) {
            (Window::Minute, _) => true,
            (Window::Unsaid | Window::Project, Some(period)) => period == MINUTE.as_secs(),
            // A second more, for resets that are rounded up.
            (Window::Unsaid | Window::Project, None) => {
                let is_short = self.quota.reset.is_none_or(|reset| reset <= MINUTE + Duration::from_secs(1));
                is_short && !(subject == Subject::Requests && self.quota.refills_in_a_day())
            }
            _ => false,
        }
    }
}

fn tighten<T: Copy>(kept: &mut Option<T>, value: Option<T>, tighter: fn(T, T) -> T) -> bool {
    if let Some(value) = value {
        *kept = Some(kept.map_or(value, |kept| tighter(kept, value)));
    }
    value.is_some()
}

/// What was read about one subject, a slot for each window.
type Slots = [Reading; Window::ALL.len()];

/// Everything that was read.
#[derive(Default)]
struct Readings {
    requests: Slots,
    tokens: Slots,
    input: Slots,
    output: Slots,
    ignored: u32,
}

impl Readings {
    fn add(&mut self, header: Header, value: &HeaderValue, now: SystemTime) {
        let slots = match header.subject {
            Subject::Requests => &mut self.requests,
            Subject::Tokens => &mut self.tokens,
            Subject::Input => &mut self.input,
            Subject::Output => &mut self.output,
        };
        let text = value.to_str().map_or("", str::trim);
        let is_sense = slots.get_mut(header.window as usize).is_some_and(|slot| slot.add(header.field, text, now));
        self.ignored += u32::from(!is_sense);
    }

    fn limits(mut self) -> RateLimits {
        let ignored = &mut self.ignored;
        let requests = together(Subject::Requests, self.requests, ignored);
        let total = together(Subject::Tokens, self.tokens, ignored);
        let input = together(Subject::Input, self.input, ignored);
        let output = together(Subject::Output, self.output, ignored);
        RateLimits { requests, tokens: tokens(total, input, output), ignored: self.ignored }
    }
}

/// What the windows of one subject say together.
fn together(subject: Subject, mut slots: Slots, ignored: &mut u32) -> Quota {
    let mut limit = None;
    for (slot, window) in slots.iter_mut().zip(Window::ALL) {
        *ignored += u32::from(slot.reconcile());
        if slot.is_per_minute(subject, window) {
            tighten(&mut limit, slot.quota.limit, u64::min);
        }
    }
    let said = slots.iter().map(|slot| slot.quota).filter(|said| said.remaining.is_some() || said.reset.is_some());
    Quota { limit, ..said.min_by_key(Quota::tightness).unwrap_or_default() }
}

/// Tokens as a whole, from what was said of them and of their two halves.
fn tokens(total: Quota, input: Quota, output: Quota) -> Quota {
    let sum = |input: Option<u64>, output: Option<u64>| Some(input? + output?).filter(|&sum| sum <= MAX_COUNT);
    let remaining = sum(input.remaining, output.remaining);
    let halves =
        Quota { limit: sum(input.limit, output.limit), remaining, reset: remaining.and(input.reset.max(output.reset)) };
    let whole = [total, halves].into_iter().find(|said| said.remaining.is_some()).unwrap_or(total);
    let spent = |half: &Quota| half.remaining == Some(0) && !half.is_over();
    let tightest = [input, output].into_iter().filter(spent).chain([whole]).min_by_key(Quota::tightness);
    Quota { limit: total.limit.or(halves.limit), ..tightest.unwrap_or_default() }
}
