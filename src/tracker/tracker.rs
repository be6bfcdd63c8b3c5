//! The window of one deployment behind a lock, and the permits that it hands out.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::window::{Charge, Room, Window};
use super::{Ahead, Limits, Remaining, Spent, Wait, wait_behind};

/// The usage window of one deployment; clones share it.
#[derive(Clone)]
pub struct Tracker {
    shared: Arc<Shared>,
}

struct Shared {
    /// The zero of the window's clock.
    origin: Instant,
    /// A std mutex: it is held for some 50 ns of arithmetic, and never across an await.
    state: Mutex<State>,
}

struct State {
    limits: Limits,
    window: Window,
    in_flight: u64,
    /// Told when there is more room than before; called without the lock.
    listeners: Arc<[Listener]>,
}

type Listener = Arc<dyn Fn() + Send + Sync>;

impl Tracker {
    /// An empty window.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        let state = State { limits, window: Window::default(), in_flight: 0, listeners: Arc::new([]) };
        Self { shared: Arc::new(Shared { origin: Instant::now(), state: Mutex::new(state) }) }
    }

    /// The limits.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.shared.lock().limits
    }

    /// Changes the limits; what was spent stays spent.
    pub fn set_limits(&self, limits: Limits) {
        let listeners = {
            let mut state = self.shared.lock();
            state.limits = limits;
            Arc::clone(&state.listeners)
        };
        tell(&listeners);
    }

    /// Calls `listener` whenever there is more room than before: a slot is free, tokens were given back, or the limits
    /// changed. It must be quick and must not panic; it is called from [`Permit`]'s `Drop`, without any lock held.
    pub fn on_release(&self, listener: impl Fn() + Send + Sync + 'static) {
        let mut state = self.shared.lock();
        let listener: Listener = Arc::new(listener);
        state.listeners = state.listeners.iter().cloned().chain([listener]).collect();
    }

    /// Reserves one request and these tokens, all or nothing.
    ///
    /// # Errors
    /// Why not now. Where both the window and the slots are full, the window speaks.
    pub fn try_acquire(&self, tokens: u64, now: Instant) -> Result<Permit, Wait> {
        let mut state = self.shared.lock();
        state.admit(tokens, &self.shared, now, true)?;
        let charge = state.window.charge(tokens, self.shared.since_origin(now));
        state.in_flight += 1;
        drop(state);
        Ok(Permit { shared: Arc::clone(&self.shared), charge, ending: Ending::Refund })
    }

    /// Charges one request and these tokens without a permit: for callers who meter something else, and who settle by
    /// numbers. Takes no slot of `max_concurrent`, and asks for none.
    ///
    /// # Errors
    /// Why not now; never [`Wait::Release`].
    pub fn acquire_detached(&self, tokens: u64, now: Instant) -> Result<(), Wait> {
        let mut state = self.shared.lock();
        state.admit(tokens, &self.shared, now, false)?;
        state.window.charge(tokens, self.shared.since_origin(now));
        Ok(())
    }

    /// Corrects what [`Tracker::acquire_detached`] reserved to what it really cost.
    ///
    /// Nobody knows which bucket the reservation went to, so the difference goes where it does no harm: less is taken
    /// from the oldest charges, which leave first, more is added to the newest, which leaves last. The window is then
    /// never below the truth, if the settling comes within 60 s. Later there is nothing to settle: the reservation
    /// has left the window, and the call should not be made.
    pub fn settle_detached(&self, reserved: u64, actual: u64, now: Instant) {
        let mut state = self.shared.lock();
        let now = self.shared.since_origin(now);
        if actual > reserved {
            return state.window.raise(actual - reserved, now);
        }
        state.window.lower(reserved - actual, now);
        let listeners = Arc::clone(&state.listeners);
        drop(state);
        if actual < reserved {
            tell(&listeners);
        }
    }

    /// The same question without reserving: how long until this many requests of equal size, with these tokens in
    /// total, could be admitted; `None` is never. See [`wait_behind`] for a line of different sizes.
    #[must_use]
    pub fn wait_for(&self, requests: u64, tokens: u64, now: Instant) -> Option<Duration> {
        let Some(each) = tokens.checked_div(requests) else { return Some(Duration::ZERO) };
        let ahead = Ahead { requests: requests - 1, tokens: tokens - each, smallest: (requests > 1).then_some(each) };
        wait_behind([self], ahead, each, now)
    }

    /// Spent or reserved in the window that ends now, rounded up to whole buckets.
    #[must_use]
    pub fn spent(&self, now: Instant) -> Spent {
        let (requests, tokens) = self.shared.lock().window.spent(self.shared.since_origin(now));
        Spent { requests, tokens }
    }

    /// What could be admitted now.
    #[must_use]
    pub fn remaining(&self, now: Instant) -> Remaining {
        let mut state = self.shared.lock();
        let (requests, tokens) = state.window.spent(self.shared.since_origin(now));
        Remaining {
            requests: state.limits.rpm.map(|rpm| rpm.saturating_sub(requests)),
            tokens: state.limits.tpm.map(|tpm| tpm.saturating_sub(tokens)),
        }
    }

    /// The shares of `rpm` and of `tpm` that are left, each from 0 to 1; 1 if unlimited. What strategies look at.
    #[must_use]
    pub fn shares_left(&self, now: Instant) -> (f64, f64) {
        let (limits, remaining) = (self.limits(), self.remaining(now));
        (share(remaining.requests, limits.rpm), share(remaining.tokens, limits.tpm))
    }

    /// Requests in flight.
    #[must_use]
    pub fn in_flight(&self) -> u64 {
        self.shared.lock().in_flight
    }

    /// How long until one request with these tokens fits the window; `None` is never.
    pub(super) fn wait_for_one(&self, tokens: u64, now: Instant) -> Option<Duration> {
        let now = self.shared.since_origin(now);
        let mut state = self.shared.lock();
        if state.limits.max_concurrent == Some(0) {
            return None;
        }
        let limits = state.limits;
        match state.window.room(limits, tokens, now) {
            Room::Now => Some(Duration::ZERO),
            Room::At(at) => Some(at.saturating_sub(now)),
            Room::Never => None,
        }
    }

    /// Requests, none smaller than `smallest`, and tokens that can be admitted until `after` from now.
    pub(super) fn capacity(&self, smallest: u64, now: Instant, after: Duration) -> (u64, u64) {
        let now = self.shared.since_origin(now);
        let mut state = self.shared.lock();
        let limits = state.limits;
        state.window.advance(now);
        state.window.capacity(limits, smallest, now.saturating_add(after))
    }
}

impl State {
    fn admit(&mut self, tokens: u64, shared: &Shared, now: Instant, takes_slot: bool) -> Result<(), Wait> {
        let max_concurrent = self.limits.max_concurrent.filter(|_| takes_slot);
        match self.window.room(self.limits, tokens, shared.since_origin(now)) {
            Room::Never => Err(Wait::Never),
            _ if max_concurrent == Some(0) => Err(Wait::Never),
            Room::At(at) => Err(Wait::Until(shared.origin + at)),
            Room::Now if max_concurrent.is_some_and(|max| self.in_flight >= max) => Err(Wait::Release),
            Room::Now => Ok(()),
        }
    }
}

impl Shared {
    fn since_origin(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.origin)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics half-way; if it ever did, the counts would still be counts.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A reservation. Dropped before [`Permit::sent`] it gives everything back; after it, the reservation stays charged
/// unless [`Permit::settle`] says what it really was. Whichever way it goes, its slot is free afterwards.
#[must_use = "a permit that is dropped gives everything back"]
pub struct Permit {
    shared: Arc<Shared>,
    charge: Charge,
    ending: Ending,
}

/// What happens to the charge when the permit goes.
#[derive(Clone, Copy, Debug)]
enum Ending {
    Refund,
    Keep,
    Settle(u64),
}

impl Permit {
    /// The request is about to reach the provider.
    pub fn sent(&mut self) {
        self.ending = Ending::Keep;
    }

    /// What it really cost.
    pub fn settle(mut self, tokens: u64) {
        self.ending = Ending::Settle(tokens);
    }

    /// It never reached the provider: gives everything back even after [`Permit::sent`].
    pub fn give_back(mut self) {
        self.ending = Ending::Refund;
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.in_flight -= 1;
        let eased = match self.ending {
            Ending::Refund => {
                state.window.refund(&mut self.charge);
                true
            }
            Ending::Keep => false,
            Ending::Settle(tokens) => state.window.settle(&mut self.charge, tokens),
        };
        let listeners = (eased || state.limits.max_concurrent.is_some()).then(|| Arc::clone(&state.listeners));
        drop(state);
        if let Some(listeners) = listeners {
            tell(&listeners);
        }
    }
}

impl fmt::Debug for Tracker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.shared.lock();
        f.debug_struct("Tracker")
            .field("limits", &state.limits)
            .field("in_flight", &state.in_flight)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").field("charge", &self.charge).field("ending", &self.ending).finish_non_exhaustive()
    }
}

fn tell(listeners: &[Listener]) {
    for listener in listeners {
        listener();
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
