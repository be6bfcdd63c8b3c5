//! Who counts for several processes, as the tracker of one of them sees it.
//!
//! A tracker with a [`Ledger`] does not admit by its own window: it takes what the ledger has been granted for it, and where
//! that is nothing yet, asks and lets the line wait for the answer ([`Wait::Asked`]). While the ledger is alone, its window
//! counts again, under this process's share of the limits. Either way everything is charged to the window, so that it knows
//! what this process has spent.

use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::Instant;

use super::tracker::Shared;
use super::window::Charge;
use super::{Limits, Tracker, Wait};

/// Counts for several processes. Called with the tracker's lock held: it must be quick, and must not call the tracker.
pub trait Ledger: fmt::Debug + Send + Sync {
    /// By what is admitted now.
    fn basis(&self) -> Basis;

    /// One request, which nothing else is in the way of, and whose window was looked at by this basis.
    ///
    /// # Errors
    /// Why not now: [`Wait::Asked`] or [`Wait::Until`]. The tracker is told ([`Told`]) when it is worth trying again.
    fn take(&self, asked: Asked, basis: Basis, now: Instant) -> Result<Receipt, Wait>;

    /// A request has ended, and gave back or cost what this says.
    fn end(&self, receipt: Receipt, ended: Ended);

    /// Nobody waits for it any longer.
    fn leave(&self);

    /// Until when it is known that nothing will be granted.
    fn refused_until(&self) -> Option<Instant>;
}

/// By what a tracker admits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// Its own window, under its limits.
    Alone,
    /// What the ledger was granted.
    Granted,
    /// Its own window, under its limits divided by so many processes: at least 1.
    Share(u64),
}

/// What a request needs of a ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Its tokens.
    pub tokens: u64,
    /// How many wait, itself included: at least 1.
    pub waiting: u64,
    /// The limits that hold for it.
    pub limits: Limits,
    /// Those of the account below; without any if there is none.
    pub account: Limits,
}

/// What a ledger gave to one request.
#[derive(Debug)]
pub struct Receipt {
    /// Where it was charged, in the ledger's words.
    pub place: u64,
    /// In which of the ledger's books; what it means is the ledger's.
    pub book: u64,
    /// The tokens that it was charged with.
    pub tokens: u64,
    /// Where it was charged in this process, if the ledger keeps a window of its own.
    pub charge: Option<Charge>,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// As if it had never been.
    Refunded,
    /// What was charged stays.
    Kept,
    /// It cost so many tokens.
    Cost(u64),
}

/// A receipt, and whose it is.
pub(super) struct Remote {
    pub ledger: Arc<dyn Ledger>,
    pub receipt: Receipt,
}

/// The way back from a ledger to its tracker, which it does not keep alive.
#[derive(Clone)]
pub struct Told(Weak<Shared>);

impl Told {
    /// It is worth trying again.
    pub fn tell(&self) {
        if let Some(tracker) = self.tracker() {
            tracker.tell();
        }
    }

    /// What this process was charged with in the last 60 s: how long ago, requests, tokens; oldest first.
    #[must_use]
    pub fn history(&self, now: Instant) -> Vec<(Duration, u64, u64)> {
        let Some(tracker) = self.tracker() else { return Vec::new() };
        tracker.counted(now, |counter, now| counter.window.history(now))
    }

    fn tracker(&self) -> Option<Tracker> {
        self.0.upgrade().map(Tracker::of)
    }
}

impl fmt::Debug for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Told")
    }
}

impl Tracker {
    /// Lets a ledger count from now on. What is in flight is told to whom it was taken from.
    pub fn count_with(&self, make: impl FnOnce(Told) -> Arc<dyn Ledger>) {
        self.use_ledger(make(Told(self.downgrade())));
        self.tell();
    }
}

impl Basis {
    /// The limits that the window is held against; `None` if it is not.
    pub(super) fn of(self, limits: Limits) -> Option<Limits> {
        match self {
            Self::Alone => Some(limits),
            Self::Granted => None,
            Self::Share(processes) => {
                let share = |limit: Option<u64>| limit.map(|limit| (limit / processes.max(1)).max(limit.min(1)));
                let Limits { rpm, tpm, max_concurrent } = limits;
                Some(Limits { rpm: share(rpm), tpm: share(tpm), max_concurrent: share(max_concurrent) })
            }
        }
    }
}
