//! What one tracker counts by: the limits that were set, the window, and what the provider said. Plain data; `now` is an
//! argument, counted from whatever origin the owner chose.

use std::time::Duration;

use super::heard::{Heard, RateLimits, Speaker};
use super::ledger::Basis;
use super::window::{Charge, Room, Window};
use super::{Learned, Limits, Spent};

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct Counter {
    pub limits: Limits,
    pub window: Window,
    /// Everything that was ever admitted, given back or not.
    total: Spent,
    /// Boxed, because most deployments never hear anything.
    heard: Option<Box<Both>>,
    /// Counts the accounts that it was of: what is said of an earlier one does not count.
    epoch: u32,
}

#[derive(Clone, Copy, Debug, Default)]
struct Both {
    requests: Heard,
    tokens: Heard,
}

/// One admitted request: its charge, and where the running totals stood after it.
#[derive(Debug)]
pub(super) struct Entry {
    charge: Charge,
    reserved: u64,
    mark: Spent,
    at: Duration,
    epoch: u32,
}

impl Entry {
    /// The tokens that were reserved.
    pub fn reserved(&self) -> u64 {
        self.reserved
    }
}

impl Counter {
    pub fn new(limits: Limits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// The limits that hold now: those that were set, or tighter ones that the provider named.
    pub fn limits_at(&self, now: Duration) -> Limits {
        let Some(heard) = &self.heard else { return self.limits };
        let tighter = |set: Option<u64>, heard: &Heard| [set, heard.learned(now)].into_iter().flatten().min();
        Limits {
            rpm: tighter(self.limits.rpm, &heard.requests),
            tpm: tighter(self.limits.tpm, &heard.tokens),
            max_concurrent: self.limits.max_concurrent,
        }
    }

    /// Whether one request with these tokens fits, and if not, when. Charges nothing.
    pub fn room(&mut self, tokens: u64, now: Duration) -> Room {
        self.room_by(Basis::Alone, tokens, now)
    }

    /// The same where not all of the limits are for its own window.
    pub fn room_by(&mut self, basis: Basis, tokens: u64, now: Duration) -> Room {
        // Only what was set refuses for ever: what is larger than a limit that the provider named, or than a share, waits for an
        // empty window.
        let is_allowed = self.limits.tpm.is_none_or(|tpm| tokens <= tpm);
        let room = match basis.of(self.limits_at(now)) {
            None if is_allowed => Room::Now,
            None => Room::Never,
            Some(limits) => {
                let asked = if is_allowed { tokens.min(limits.tpm.unwrap_or(u64::MAX)) } else { tokens };
                self.window.room(limits, asked, now)
            }
        };
        let Some(heard) = self.heard.as_deref().filter(|_| room != Room::Never) else { return room };
        // When none are left, a request whose tokens nobody counted has to wait like any other.
        let tokens = tokens.max(1);
        let held =
            [heard.requests.hold(self.total.requests, 1, now), heard.tokens.hold(self.total.tokens, tokens, now)];
        let until = match room {
            Room::At(at) => Some(at),
            Room::Now | Room::Never => None,
        };
        held.into_iter().chain([until]).flatten().max().map_or(Room::Now, Room::At)
    }

    /// Charges one request with these tokens, whether or not there is room.
    pub fn charge(&mut self, tokens: u64, now: Duration) -> Entry {
        let charge = self.window.charge(tokens, now);
        self.total.requests = self.total.requests.saturating_add(1);
        self.total.tokens = self.total.tokens.saturating_add(tokens);
        Entry { charge, reserved: tokens, mark: self.total, at: now, epoch: self.epoch }
    }

    /// Sets a request's tokens to what they really were; says whether there is more room than before.
    pub fn settle(&mut self, entry: &mut Entry, tokens: u64) -> bool {
        self.window.settle(&mut entry.charge, tokens)
    }

    /// Takes a request back, as if it had never been.
    pub fn refund(&mut self, entry: &mut Entry) {
        self.window.refund(&mut entry.charge);
        if let Some(heard) = &mut self.heard {
            heard.requests.refund(entry.mark.requests, 1);
            heard.tokens.refund(entry.mark.tokens, entry.reserved);
        }
    }

    /// Takes what the answer to this request said about limits; says whether there may be more room than before.
    pub fn hear(&mut self, said: &RateLimits, entry: &Entry, now: Duration) -> bool {
        if entry.epoch != self.epoch {
            return false;
        }
        let heard = self.heard.get_or_insert_default();
        let Spent { requests: number, tokens } = entry.mark;
        let speaker = Speaker { number, mark: number, at: entry.at };
        let is_eased = heard.requests.hear(said.requests, speaker, now);
        heard.tokens.hear(said.tokens, Speaker { mark: tokens, ..speaker }, now) || is_eased
    }

    /// Another account is charged from now on: forgets what was heard of the one before.
    pub fn forget_heard(&mut self) {
        self.heard = None;
        self.epoch = self.epoch.wrapping_add(1);
    }

    /// Whether it counts by its window alone.
    pub fn is_plain(&self) -> bool {
        self.heard.is_none()
    }

    /// A lower bound on the requests, none larger than `largest`, that a line is certain to get through until `at`.
    pub fn certain(&mut self, largest: u64, now: Duration, at: Duration) -> u64 {
        self.window.advance(now);
        self.window.certain(self.limits_at(now), largest, at)
    }

    /// What the provider named, as long as it is believed.
    pub fn learned(&self, now: Duration) -> Learned {
        let Some(heard) = &self.heard else { return Learned::default() };
        Learned { rpm: heard.requests.learned(now), tpm: heard.tokens.learned(now) }
    }

    /// An upper bound on the requests, none smaller than `smallest`, and on the tokens that can be admitted until `at`.
    /// Exact for requests of one size, if the provider said nothing.
    pub fn capacity(&mut self, smallest: u64, now: Duration, at: Duration) -> (u64, u64) {
        self.window.advance(now);
        let (requests, tokens) = self.window.capacity(self.limits_at(now), smallest, at);
        let Some(heard) = &self.heard else { return (requests, tokens) };
        let said = |heard: &Heard, total| heard.left(total, at).unwrap_or(u64::MAX);
        (requests.min(said(&heard.requests, self.total.requests)), tokens.min(said(&heard.tokens, self.total.tokens)))
    }

    /// Whether tokens are limited now, by what was set, or by what the provider said of its limit or of what is left.
    pub fn limits_tokens(&self, now: Duration) -> bool {
        let is_said = |heard: &Both| heard.tokens.left(self.total.tokens, now).is_some();
        self.limits_at(now).tpm.is_some() || self.heard.as_deref().is_some_and(is_said)
    }

    /// Until when [`Counter::shares_left`] stays as it is, if nothing is charged, settled, given back or heard.
    pub fn steady_until(&self, now: Duration) -> Duration {
        if self.heard.is_some() { now } else { self.window.steady_until() }
    }

    /// The shares of rpm and tpm that are left now, each from 0 to 1; 1 if unlimited.
    pub fn shares_left(&mut self, now: Duration) -> (f64, f64) {
        let limits = self.limits_at(now);
        let (requests, tokens) = self.window.spent(now);
        let (mut left_requests, mut left_tokens) =
            (limits.rpm.map(|rpm| rpm.saturating_sub(requests)), limits.tpm.map(|tpm| tpm.saturating_sub(tokens)));
        if let Some(heard) = &self.heard {
            let tighter =
                |left: Option<u64>, said: Option<u64>| left.map(|left| said.map_or(left, |said| left.min(said)));
            left_requests = tighter(left_requests, heard.requests.left(self.total.requests, now));
            left_tokens = tighter(left_tokens, heard.tokens.left(self.total.tokens, now));
        }
        (share(left_requests, limits.rpm), share(left_tokens, limits.tpm))
    }
}

#[allow(clippy::cast_precision_loss, reason = "a share; limits are at most 2^53 - 1")]
fn share(left: Option<u64>, limit: Option<u64>) -> f64 {
    match (left, limit) {
        (Some(left), Some(limit)) if limit > 0 => (left as f64 / limit as f64).min(1.0),
        (Some(_), _) => 0.0,
        (None, _) => 1.0,
    }
}
