//! How long a request has to wait behind others, without asking for room.
//!
//! Three answers to one question, from cheap to exact: [`fits_within`] says only whether a wait is short enough,
//! [`wait_behind`] adds up what becomes free, [`wait_in_order`] rehearses every admission. None of them foresees
//! `max_concurrent`, settlements, or what other lines take.

use std::time::Duration;

use tokio::time::Instant;

use super::counter::Counter;
use super::window::{PERIOD, Room};
use super::{Ahead, Tracker};

/// How long until a request with these tokens can be admitted on one of the trackers, when all that is `ahead` goes
/// first; `None` is never: it is larger than every limit.
///
/// Exact for requests of one size on plain trackers ([`Tracker::is_plain`]), if nothing is settled, given back or admitted
/// out of turn meanwhile; otherwise a lower bound. `max_concurrent` cannot be foreseen, and does not count.
#[must_use]
#[allow(clippy::needless_pass_by_value, reason = "an iterator that is asked several times")]
pub fn wait_behind<'a, I>(trackers: I, ahead: Ahead, tokens: u64, now: Instant) -> Option<Duration>
where
    I: IntoIterator<Item = &'a Tracker> + Clone,
{
    // However short the line is, its last request needs a tracker that is large enough.
    let alone = trackers.clone().into_iter().filter_map(|tracker| wait_alone(tracker, tokens, now)).min()?;
    if ahead.requests == 0 {
        return Some(alone);
    }
    let all = ahead.plus(one(tokens));
    let capacity = |after: Duration| capacity(trackers.clone(), all.smallest.unwrap_or(0), now, after);
    let fits = |after: Duration| is_enough(capacity(after), all);
    if fits(alone) {
        return Some(alone);
    }
    // Every tracker repeats itself after one period, so whole periods are a division.
    let (first, second) = (capacity(Duration::ZERO), capacity(PERIOD));
    let whole = (second.0.saturating_sub(first.0), second.1.saturating_sub(first.1));
    let periods =
        |wanted: u64, first: u64, whole: u64| if first >= wanted { Some(0) } else { wanted.checked_div(whole) };
    let periods = match (periods(all.requests, first.0, whole.0), periods(all.tokens, first.1, whole.1)) {
        (Some(requests), Some(tokens)) => requests.max(tokens),
        // Nothing that is ahead can ever go: then the wait is for whatever changes that.
        _ => return Some(alone),
    };
    let after = |periods: u64| PERIOD.saturating_mul(u32::try_from(periods).unwrap_or(u32::MAX));
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

/// Whether a request with these tokens is admitted within `patience` if all that is `ahead` goes first, as far as that
/// can be said without looking at each of them; `None` if it cannot: they are of different sizes and it may or may not.
#[must_use]
#[allow(clippy::needless_pass_by_value, reason = "an iterator that is asked twice")]
pub fn fits_within<'a, I>(trackers: I, ahead: Ahead, tokens: u64, now: Instant, patience: Duration) -> Option<bool>
where
    I: IntoIterator<Item = &'a Tracker> + Clone,
{
    let all = ahead.plus(one(tokens));
    let smallest = all.smallest.unwrap_or(0);
    if !is_enough(capacity(trackers.clone(), smallest, now, patience), all) {
        return Some(false);
    }
    let is_plain = trackers.clone().into_iter().all(Tracker::is_plain);
    if is_plain && smallest == all.largest {
        return Some(true);
    }
    if !is_plain {
        return None;
    }
    let upto = |now: Duration| now.saturating_add(patience);
    let certain = |tracker: &Tracker| tracker.counted(now, |counter, now| counter.certain(all.largest, now, upto(now)));
    let requests = trackers.into_iter().map(certain).fold(0, u64::saturating_add);
    (requests >= all.requests).then_some(true)
}

/// How long until a request with these tokens is admitted on one of the trackers, when requests with the tokens in
/// `ahead` go first, in this order, each as soon as a tracker has room for it; `None` is never. Among several trackers
/// with room the first is taken, as if by the strategy `first-available`.
///
/// Exact for one tracker, whatever the sizes. Works on copies, for as long as it takes to charge each request once.
pub fn wait_in_order<'a>(
    trackers: impl IntoIterator<Item = &'a Tracker>,
    ahead: &[u64],
    tokens: u64,
    now: Instant,
) -> Option<Duration> {
    let mut stage = Stage::new(trackers);
    let mut at = now;
    for size in ahead {
        // Who can never go is not waited for.
        at = stage.admit(*size, at).unwrap_or(at);
    }
    stage.admit(tokens, at).map(|at| at - now)
}

impl Tracker {
    /// How long until this many requests of equal size, with these tokens in
    /// total, could be admitted; `None` is never. See [`wait_behind`] for a line of different sizes.
    #[must_use]
    pub fn wait_for(&self, requests: u64, tokens: u64, now: Instant) -> Option<Duration> {
        let Some(each) = tokens.checked_div(requests) else { return Some(Duration::ZERO) };
        let smallest = (requests > 1).then_some(each);
        let ahead = Ahead { requests: requests - 1, tokens: tokens - each, smallest, largest: each };
        wait_behind([self], ahead, each, now)
    }
}

/// Copies of trackers, on which admissions are rehearsed.
struct Stage {
    /// Each with the zero of its clock.
    counters: Vec<(Counter, Instant)>,
    /// Per tracker, its own counter and that of its account.
    trackers: Vec<(usize, Option<usize>)>,
}

impl Stage {
    fn new<'a>(trackers: impl IntoIterator<Item = &'a Tracker>) -> Self {
        let mut stage = Self { counters: Vec::new(), trackers: Vec::new() };
        let mut accounts: Vec<(Tracker, usize)> = Vec::new();
        for tracker in trackers.into_iter().filter(|tracker| tracker.limits().max_concurrent != Some(0)) {
            let own = stage.copy(tracker);
            let account = tracker.below().map(|below| {
                let known = accounts.iter().find(|(account, _)| account.is_same(&below)).map(|(_, place)| *place);
                known.unwrap_or_else(|| {
                    let place = stage.copy(&below);
                    accounts.push((below, place));
                    place
                })
            });
            stage.trackers.push((own, account));
        }
        stage
    }

    fn copy(&mut self, tracker: &Tracker) -> usize {
        self.counters.push(tracker.counter());
        self.counters.len() - 1
    }

    /// Admits a request as early as possible, from `at` on; says when.
    fn admit(&mut self, tokens: u64, mut at: Instant) -> Option<Instant> {
        loop {
            let mut earliest = None;
            for place in 0..self.trackers.len() {
                match self.room(self.trackers[place], tokens, at) {
                    Some(moment) if moment <= at => {
                        self.charge(self.trackers[place], tokens, at);
                        return Some(at);
                    }
                    later => earliest = earliest.into_iter().chain(later).min(),
                }
            }
            at = earliest?;
        }
    }

    /// When there is room on both levels, as far as each knows.
    fn room(&mut self, (own, account): (usize, Option<usize>), tokens: u64, at: Instant) -> Option<Instant> {
        [Some(own), account].into_iter().flatten().try_fold(at, |latest, place| {
            let (counter, origin) = &mut self.counters[place];
            match counter.room(tokens, at.saturating_duration_since(*origin)) {
                Room::Now => Some(latest),
                Room::At(moment) => Some(latest.max(*origin + moment)),
                Room::Never => None,
            }
        })
    }

    fn charge(&mut self, (own, account): (usize, Option<usize>), tokens: u64, at: Instant) {
        for place in [Some(own), account].into_iter().flatten() {
            let (counter, origin) = &mut self.counters[place];
            counter.charge(tokens, at.saturating_duration_since(*origin));
        }
    }
}

/// How long until this tracker and what it stands on have room, if nobody else takes it; `None` is never.
#[must_use]
pub fn wait_alone(tracker: &Tracker, tokens: u64, now: Instant) -> Option<Duration> {
    let own = tracker.moment(tokens, now)?;
    // Room that was found stays found, so whichever is later says when there is room on both.
    let both = match tracker.below() {
        Some(below) => own.max(below.moment(tokens, now)?),
        None => own,
    };
    Some(both.saturating_duration_since(now))
}

fn one(tokens: u64) -> Ahead {
    Ahead { requests: 1, tokens, smallest: Some(tokens), largest: tokens }
}

fn is_enough((requests, tokens): (u64, u64), all: Ahead) -> bool {
    requests >= all.requests && tokens >= all.tokens
}

/// Requests and tokens that can be admitted until `after` from now, all trackers together, none beyond its account.
fn capacity<'a>(
    trackers: impl IntoIterator<Item = &'a Tracker>,
    smallest: u64,
    now: Instant,
    after: Duration,
) -> (u64, u64) {
    let plus = |sum: (u64, u64), it: (u64, u64)| (sum.0.saturating_add(it.0), sum.1.saturating_add(it.1));
    let of = |tracker: &Tracker| {
        tracker.counted(now, |counter, now| match counter.limits.max_concurrent {
            Some(0) => (0, 0),
            _ => counter.capacity(smallest, now, now.saturating_add(after)),
        })
    };
    let mut sum = (0, 0);
    let mut accounts: Vec<(Tracker, (u64, u64))> = Vec::new();
    for tracker in trackers {
        let own = of(tracker);
        match tracker.below() {
            None => sum = plus(sum, own),
            Some(below) => match accounts.iter_mut().find(|(account, _)| account.is_same(&below)) {
                Some((_, known)) => *known = plus(*known, own),
                None => accounts.push((below, own)),
            },
        }
    }
    accounts.into_iter().fold(sum, |sum, (account, own)| {
        let most = of(&account);
        plus(sum, (own.0.min(most.0), own.1.min(most.1)))
    })
}
