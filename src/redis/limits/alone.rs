//! What a process admits by its share while Redis is away, until it is told. Pure.

use std::time::Duration;

use tokio::time::Instant;

use super::state::COUNTS_FOR;
use crate::tracker::Receipt;
use crate::tracker::window::Window;

/// The book of what was admitted without asking. Others are epochs.
pub(super) const ALONE: u64 = 0;

/// See the module.
#[derive(Debug)]
pub(super) struct Alone {
    window: Window,
    /// Of which time it is, so that receipts of another are known.
    number: u64,
    since: Instant,
    /// What is being told, or could not be.
    taken: Charges,
}

/// What was charged: when, how many requests and tokens.
#[derive(Debug, Default)]
pub(super) struct Charges(Vec<(Instant, u64, u64)>);

impl Charges {
    /// What was charged so long ago.
    pub fn of(history: Vec<(Duration, u64, u64)>, now: Instant) -> Self {
        let at = |age| now.checked_sub(age).unwrap_or(now);
        Self(history.into_iter().map(|(age, requests, tokens)| (at(age), requests, tokens)).collect())
    }

    /// What of it counts: how long ago, how many requests and tokens.
    pub fn ages(&self, now: Instant) -> Vec<(Duration, u64, u64)> {
        let ages = self.0.iter().map(|(at, requests, tokens)| (now.saturating_duration_since(*at), *requests, *tokens));
        ages.filter(|(age, ..)| *age < COUNTS_FOR).collect()
    }
}

impl Alone {
    /// Nothing.
    pub fn new(now: Instant) -> Self {
        Self { window: Window::default(), number: 1, since: now, taken: Charges::default() }
    }

    /// Whether nothing of it counts.
    pub fn is_empty(&mut self, now: Instant) -> bool {
        self.window.history(now - self.since).is_empty() && self.taken(now).is_empty()
    }

    /// Takes all of it to be told. What is admitted from now on is not told along with it.
    pub fn take(&mut self, now: Instant) {
        let mut all = self.taken(now);
        all.extend(std::mem::take(&mut self.window).history(now - self.since));
        self.taken = Charges::of(all, now);
        self.number += 1;
    }

    /// What was taken, and not told yet: how long ago, how many requests and tokens.
    pub fn taken(&self, now: Instant) -> Vec<(Duration, u64, u64)> {
        self.taken.ages(now)
    }

    /// What was taken is told.
    pub fn is_told(&mut self) {
        self.taken = Charges::default();
    }

    /// Charges one request.
    pub fn charge(&mut self, tokens: u64, now: Instant) -> Receipt {
        let charge = self.window.charge(tokens, now - self.since);
        Receipt { place: self.number, book: ALONE, tokens, charge: Some(charge) }
    }

    /// It has ended, and cost so many tokens, or nothing at all. False if it was taken already.
    pub fn end(&mut self, receipt: Receipt, cost: Option<u64>) -> bool {
        let Some(mut charge) = receipt.charge.filter(|_| receipt.place == self.number) else { return false };
        match cost {
            Some(cost) => {
                self.window.settle(&mut charge, cost);
            }
            None => self.window.refund(&mut charge),
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(charges: &[(Duration, u64, u64)]) -> (u64, u64) {
        charges.iter().fold((0, 0), |(r, t), (_, requests, tokens)| (r + requests, t + tokens))
    }

    #[test]
    fn what_is_admitted_while_the_rest_is_told_stays_to_be_told_and_so_does_what_could_not_be() {
        let now = Instant::now();
        let mut alone = Alone::new(now);
        let first = alone.charge(5, now);
        alone.take(now);
        alone.charge(7, now);
        assert_eq!(sum(&alone.taken(now)), (1, 5));
        // Nobody is told twice what it cost.
        assert!(!alone.end(first, None));
        // It was not heard, and all of it is taken again.
        alone.take(now);
        assert_eq!(sum(&alone.taken(now)), (2, 12));
        let last = alone.charge(1, now);
        alone.is_told();
        assert!(!alone.is_empty(now));
        assert!(alone.end(last, None) && alone.is_empty(now));
    }

    #[test]
    fn what_could_not_be_told_counts_for_a_minute() {
        let now = Instant::now();
        let mut alone = Alone::new(now);
        alone.charge(5, now);
        alone.take(now + Duration::from_secs(1));
        assert!(!alone.is_empty(now + Duration::from_secs(59)));
        assert!(alone.is_empty(now + Duration::from_secs(61)));
    }
}
