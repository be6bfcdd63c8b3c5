//! A reservation, and how it ends.

use std::fmt;

use tokio::time::Instant;

use super::Tracker;
use super::counter::Entry;
use super::heard::RateLimits;
use super::ledger::{Ended, Remote};

/// A reservation of one request, its tokens and its slot, on a deployment and on the account below it. Dropped before
/// [`Permit::sent`] it gives everything back; after it, the reservation stays charged unless [`Permit::settle`] says what
/// it really was. Whichever way it goes, its slot is free afterwards.
#[must_use = "a permit that is dropped gives everything back"]
pub struct Permit {
    own: Held,
    account: Option<Held>,
    /// Boxed, because most count for themselves.
    remote: Option<Box<Remote>>,
    ending: Ending,
}

/// What one tracker was charged with.
pub(super) struct Held {
    pub tracker: Tracker,
    pub entry: Entry,
}

/// What happens to the charge when the permit goes.
#[derive(Clone, Copy, Debug)]
enum Ending {
    Refund,
    Keep,
    Settle(u64),
}

impl Permit {
    pub(super) fn new(own: Held, account: Option<Held>, remote: Option<Box<Remote>>) -> Self {
        Self { own, account, remote, ending: Ending::Refund }
    }

    /// The request is about to reach the provider.
    pub fn sent(&mut self) {
        self.ending = Ending::Keep;
    }

    /// What it really cost.
    pub fn settle(mut self, tokens: u64) {
        self.ending = Ending::Settle(tokens);
    }

    /// Nobody knows what it cost: the reservation stays, or `tokens` if it was more than that.
    pub fn settle_at_least(self, tokens: u64) {
        let tokens = tokens.max(self.tokens());
        self.settle(tokens);
    }

    /// It never reached the provider: gives everything back even after [`Permit::sent`].
    pub fn give_back(mut self) {
        self.ending = Ending::Refund;
    }

    /// The tokens that were reserved.
    #[must_use]
    pub fn tokens(&self) -> u64 {
        self.own.entry.reserved()
    }

    /// What the provider's answer to this request said of its limits. It only tightens, and expires.
    pub fn hear(&self, said: &RateLimits, now: Instant) {
        if !said.is_empty() {
            self.own.tracker.hear(said, &self.own, now);
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let ending = self.ending;
        if let Some(remote) = self.remote.take() {
            let Remote { ledger, receipt } = *remote;
            // First, so that whoever is woken by the rest finds what was given back.
            ledger.end(
                receipt,
                match ending {
                    Ending::Refund => Ended::Refunded,
                    Ending::Keep => Ended::Kept,
                    Ending::Settle(tokens) => Ended::Cost(tokens),
                },
            );
        }
        for Held { tracker, entry } in [Some(&mut self.own), self.account.as_mut()].into_iter().flatten() {
            tracker.release(|counter| match ending {
                Ending::Refund => {
                    counter.refund(entry);
                    true
                }
                Ending::Keep => false,
                Ending::Settle(tokens) => counter.settle(entry, tokens),
            });
        }
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").field("entry", &self.own.entry).field("ending", &self.ending).finish_non_exhaustive()
    }
}
