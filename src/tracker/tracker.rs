//! One usage window behind a lock, and who may draw on it.

use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::Instant;

use super::counter::Counter;
use super::heard::RateLimits;
use super::ledger::Ledger;
use super::listeners::{Listener, Listeners};
use super::permit::{Held, Permit};
use super::turn::{Ticket, Turn};
use super::view::View;
use super::window::Room;
use super::{Limits, Load, Remaining, Spent, Wait};
use crate::sync::{Mutex, MutexGuard, lock};

/// The usage window of one deployment, or of one account that several deployments share; clones are the same window.
///
/// A tracker may stand on another one, which is charged beside it, all or nothing ([`Tracker::stand_on`]).
#[derive(Clone)]
pub struct Tracker {
    pub(super) shared: Arc<Shared>,
}

pub(super) struct Shared {
    /// The zero of the window's clock.
    pub origin: Instant,
    /// A std mutex: it is held for some 50 ns of arithmetic, and never across an await. Whoever holds it may take that
    /// of the tracker below, never the other way.
    state: Mutex<State>,
    pub view: View,
}

pub(super) struct State {
    pub counter: Counter,
    pub in_flight: u64,
    /// The tickets of those who were refused here and wait, first come first. As many as lines draw on it.
    pub tickets: Vec<Ticket>,
    /// Whether somebody was refused because of a ticket, and has to be told when it goes.
    pub is_awaited: bool,
    /// The account that is charged beside it.
    pub below: Option<Tracker>,
    /// Who counts for several processes, if not it alone.
    pub ledger: Option<Arc<dyn Ledger>>,
    /// Told when there is more room than before; called without the lock.
    listeners: Listeners,
    /// Values in headers that made no sense.
    ignored: u64,
}

/// Keeps a listener registered for as long as it lives.
#[must_use = "a listener is told nothing once this is dropped"]
pub struct Subscription {
    tracker: Weak<Shared>,
    listener: Listener,
}

impl Tracker {
    /// An empty window.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        let state = State {
            counter: Counter::new(limits),
            in_flight: 0,
            tickets: Vec::new(),
            is_awaited: false,
            below: None,
            ledger: None,
            listeners: Listeners::default(),
            ignored: 0,
        };
        Self { shared: Arc::new(Shared { origin: Instant::now(), state: Mutex::new(state), view: View::default() }) }
    }

    /// Charges this other tracker beside it from now on, all or nothing; what is in flight stays where it was charged.
    /// One that stands on something itself must not be stood on.
    pub fn stand_on(&self, below: Option<Self>) {
        self.change().below = below;
        self.tell();
    }

    /// The tracker that is charged beside it.
    #[must_use]
    pub fn below(&self) -> Option<Self> {
        self.lock().below.clone()
    }

    /// The limits that were set.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.lock().counter.limits
    }

    /// Changes the limits; what was spent stays spent.
    pub fn set_limits(&self, limits: Limits) {
        self.change().counter.limits = limits;
        self.tell();
    }

    /// Calls `listener` whenever there is more room than before: a slot is free, tokens were given back, a ticket was
    /// taken back, or the limits changed. It must be quick and must not panic; it is called from [`Permit`]'s `Drop`,
    /// without any lock held.
    pub fn on_release(&self, listener: impl Fn() + Send + Sync + 'static) {
        self.lock().listeners.add(Arc::new(listener));
    }

    /// The same, until what it gives is dropped.
    pub fn subscribe(&self, listener: impl Fn() + Send + Sync + 'static) -> Subscription {
        let listener: Listener = Arc::new(listener);
        self.lock().listeners.add(Arc::clone(&listener));
        Subscription { tracker: Arc::downgrade(&self.shared), listener }
    }

    /// Reserves one request and these tokens, all or nothing, here and on what it stands on.
    ///
    /// # Errors
    /// Why not now. Where both the window and the slots are full, the window speaks.
    pub fn try_acquire(&self, tokens: u64, now: Instant) -> Result<Permit, Wait> {
        self.acquire(tokens, now, None)
    }

    /// The same for a request with a ticket, which it leaves with the tracker that refuses it: see [`Turn`].
    ///
    /// # Errors
    /// As [`Tracker::try_acquire`]; [`Wait::Release`] also while somebody with an earlier ticket waits here.
    pub fn acquire_in_turn(&self, tokens: u64, now: Instant, turn: &mut Turn) -> Result<Permit, Wait> {
        self.acquire(tokens, now, Some(turn))
    }

    /// Spent or reserved in the window that ends now, rounded up to whole buckets.
    #[must_use]
    pub fn spent(&self, now: Instant) -> Spent {
        let (requests, tokens) = self.counted(now, |counter, now| counter.window.spent(now));
        Spent { requests, tokens }
    }

    /// What the limits in force leave now. What the provider said is left may be less.
    #[must_use]
    pub fn remaining(&self, now: Instant) -> Remaining {
        let (limits, (requests, tokens)) =
            self.counted(now, |counter, now| (counter.limits_at(now), counter.window.spent(now)));
        Remaining {
            requests: limits.rpm.map(|rpm| rpm.saturating_sub(requests)),
            tokens: limits.tpm.map(|tpm| tpm.saturating_sub(tokens)),
        }
    }

    /// The shares of `rpm` and of `tpm` that are left, each from 0 to 1; 1 if unlimited.
    #[must_use]
    pub fn shares_left(&self, now: Instant) -> (f64, f64) {
        self.counted(now, Counter::shares_left)
    }

    /// What strategies look at: the tightest of it and of what it stands on.
    #[must_use]
    pub fn load(&self, now: Instant) -> Load {
        let at = self.since_origin(now);
        if let Some(load) = self.shared.view.read(at) {
            return load;
        }
        let mut state = self.lock();
        let (requests_left, tokens_left) = state.counter.shares_left(at);
        let max_concurrent = state.counter.limits.max_concurrent;
        let load = Load { in_flight: state.in_flight, max_concurrent, requests_left, tokens_left };
        let Some(below) = &state.below else {
            let limits_tokens = state.counter.limits_tokens(at);
            self.shared.view.refresh(&load, limits_tokens, state.counter.steady_until(at));
            return load;
        };
        let (requests_left, tokens_left) = below.shares_left(now);
        let requests_left = load.requests_left.min(requests_left);
        Load { requests_left, tokens_left: load.tokens_left.min(tokens_left), ..load }
    }

    /// Whether tokens are limited, if nothing has changed since somebody looked: without the lock.
    pub(super) fn known_to_limit_tokens(&self, now: Instant) -> Option<bool> {
        self.shared.view.limits_tokens(self.since_origin(now))
    }

    /// Requests in flight.
    #[must_use]
    pub fn in_flight(&self) -> u64 {
        self.lock().in_flight
    }

    /// Whether nobody has to be waited for, here or below: a slot is free, and no head of a line has left its ticket.
    #[must_use]
    pub fn is_open(&self) -> bool {
        let state = self.lock();
        let has_slot = state.counter.limits.max_concurrent.is_none_or(|max| state.in_flight < max);
        has_slot && state.tickets.is_empty() && state.below.as_ref().is_none_or(Self::is_open)
    }

    /// How many values in headers made no sense so far.
    #[must_use]
    pub fn ignored(&self) -> u64 {
        self.lock().ignored
    }

    /// Takes what the answer to a request of this tracker's said.
    pub(super) fn hear(&self, said: &RateLimits, held: &Held, now: Instant) {
        let listeners = {
            let mut state = self.change();
            state.ignored = state.ignored.saturating_add(u64::from(said.ignored));
            let is_eased = state.counter.hear(said, &held.entry, self.since_origin(now));
            is_eased.then(|| state.listeners.clone())
        };
        listeners.iter().for_each(Listeners::tell);
    }

    /// Takes a ticket back, and tells those who were refused because of it.
    pub(super) fn withdraw(&self, ticket: Ticket) {
        let listeners = {
            let mut state = self.lock();
            state.tickets.retain(|held| *held != ticket);
            if let Some(ledger) = state.ledger.as_ref().filter(|_| state.tickets.is_empty()) {
                ledger.leave();
            }
            // Whoever is refused because of the next ticket says so again.
            let is_awaited = std::mem::take(&mut state.is_awaited);
            is_awaited.then(|| state.listeners.clone())
        };
        listeners.iter().for_each(Listeners::tell);
    }

    /// Ends a request: `ending` says whether there is more room than before.
    pub(super) fn release(&self, ending: impl FnOnce(&mut Counter) -> bool) {
        let mut state = self.change();
        state.in_flight -= 1;
        let is_eased = ending(&mut state.counter) || state.counter.limits.max_concurrent.is_some();
        let listeners = is_eased.then(|| state.listeners.clone());
        drop(state);
        listeners.iter().for_each(Listeners::tell);
    }

    /// When a request with these tokens finds room here, without what it stands on; `None` is never.
    pub(super) fn moment(&self, tokens: u64, now: Instant) -> Option<Instant> {
        let is_closed = |counter: &Counter| counter.limits.max_concurrent == Some(0);
        match self.counted(now, |counter, at| if is_closed(counter) { Room::Never } else { counter.room(tokens, at) }) {
            Room::Now => Some(now),
            Room::At(at) => Some(self.shared.origin + at),
            Room::Never => None,
        }
        .map(|at| at.max(self.refused_until().unwrap_or(at)))
    }

    /// Until when a ledger is known to grant nothing.
    fn refused_until(&self) -> Option<Instant> {
        self.lock().ledger.as_ref()?.refused_until()
    }

    /// Whoever asked waits no longer, and nobody else does.
    pub(super) fn leave_if_alone(&self) {
        let state = self.lock();
        if let Some(ledger) = state.ledger.as_ref().filter(|_| state.tickets.is_empty()) {
            ledger.leave();
        }
    }

    pub(super) fn use_ledger(&self, ledger: Arc<dyn Ledger>) {
        let before = self.change().ledger.replace(ledger);
        // Without the lock, because it may have things to do.
        drop(before);
    }

    pub(super) fn downgrade(&self) -> Weak<Shared> {
        Arc::downgrade(&self.shared)
    }

    pub(super) fn of(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// A copy of what it counts by.
    pub(super) fn counter(&self) -> (Counter, Instant) {
        (self.lock().counter.clone(), self.shared.origin)
    }

    /// Whether nobody else holds it, and it holds nothing that still counts.
    pub(crate) fn is_forgotten(&self, now: Instant) -> bool {
        Arc::strong_count(&self.shared) == 1 && self.spent(now) == Spent::default()
    }

    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }

    /// The zero of its clock.
    pub(super) fn origin(&self) -> Instant {
        self.shared.origin
    }

    pub(super) fn since_origin(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.shared.origin)
    }

    /// Asks what it counts by, on its own clock.
    pub(super) fn counted<T>(&self, now: Instant, work: impl FnOnce(&mut Counter, Duration) -> T) -> T {
        let now = self.since_origin(now);
        work(&mut self.lock().counter, now)
    }

    /// Changes what it counts by, on its own clock.
    pub(super) fn changed<T>(&self, now: Instant, work: impl FnOnce(&mut Counter, Duration) -> T) -> T {
        let now = self.since_origin(now);
        work(&mut self.change().counter, now)
    }

    /// Tells whoever listens that there may be more room than before.
    pub(super) fn tell(&self) {
        let listeners = self.lock().listeners.clone();
        listeners.tell();
    }

    /// Locks in order to change something that strategies look at.
    fn change(&self) -> MutexGuard<'_, State> {
        let state = self.lock();
        self.shared.view.spoil();
        state
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.shared.state)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let Some(shared) = self.tracker.upgrade() else { return };
        lock(&shared.state).listeners.remove(&self.listener);
    }
}

impl fmt::Debug for Tracker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.lock();
        f.debug_struct("Tracker")
            .field("limits", &state.counter.limits)
            .field("in_flight", &state.in_flight)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Subscription")
    }
}
