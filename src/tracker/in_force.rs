//! Which limits hold now: those that were set, those of the account below, and what the provider said.

use tokio::time::Instant;

use super::{Learned, Limits, Tracker};

impl Tracker {
    /// The limits that hold now: those that were set, or tighter ones that the provider named. Without the account below.
    #[must_use]
    pub fn limits_at(&self, now: Instant) -> Limits {
        self.counted(now, |counter, now| counter.limits_at(now))
    }

    /// The tokens per minute that hold now, here and on what it stands on; `None` is unlimited.
    #[must_use]
    pub fn tpm_at(&self, now: Instant) -> Option<u64> {
        let below = self.below().and_then(|below| below.limits_at(now).tpm);
        self.limits_at(now).tpm.into_iter().chain(below).min()
    }

    /// Whether tokens are limited now, here or on what it stands on: then a request's have to be known.
    #[must_use]
    pub fn limits_tokens(&self, now: Instant) -> bool {
        if let Some(is_limited) = self.known_to_limit_tokens(now) {
            return is_limited;
        }
        // Every call asks every deployment of its group: that nothing changed is to be known next time.
        let _ = self.load(now);
        self.counted(now, |counter, now| counter.limits_tokens(now))
            || self.below().is_some_and(|below| below.limits().tpm.is_some())
    }

    /// What the provider named as its limits, as long as it is believed.
    #[must_use]
    pub fn learned(&self, now: Instant) -> Learned {
        self.counted(now, |counter, now| counter.learned(now))
    }

    /// Whether it counts by its window alone: it stands on nothing, and its provider said nothing.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.below().is_none() && self.counted(Instant::now(), |counter, _| counter.is_plain())
    }

    /// Another account is charged from now on: forgets what was heard of the one before, also from answers to come.
    pub fn forget_heard(&self) {
        self.changed(Instant::now(), |counter, _| counter.forget_heard());
        self.tell();
    }
}
