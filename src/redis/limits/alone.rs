//! What a process admits by its share while Redis is away, until it is told. Pure.

use std::time::Duration;

use tokio::time::Instant;

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
}

impl Alone {
    /// Nothing.
    pub fn new(now: Instant) -> Self {
        Self { window: Window::default(), number: 1, since: now }
    }

    /// How long ago, how many requests and tokens.
    pub fn history(&mut self, now: Instant) -> Vec<(Duration, u64, u64)> {
        self.window.history(now - self.since)
    }

    /// It is told.
    pub fn forget(&mut self) {
        self.window = Window::default();
        self.number += 1;
    }

    /// Charges one request.
    pub fn charge(&mut self, tokens: u64, now: Instant) -> Receipt {
        let charge = self.window.charge(tokens, now - self.since);
        Receipt { place: self.number, book: ALONE, tokens, charge: Some(charge) }
    }

    /// It has ended, and cost so many tokens, or nothing at all. False if it was told already.
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
