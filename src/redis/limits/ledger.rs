//! What one deployment of this process may spend of limits that several processes share.
//!
//! A ledger holds requests that Redis has granted and nobody has begun, and notes who has use for more. A task does the rest: it
//! [speaks](super::speak) with Redis, and finds out when one that was away is [back](super::back).

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::Notify;
use tokio::time::Instant;

use super::super::Redis;
use super::super::fault::Fault;
use super::alone::ALONE;
use super::state::{Mode, State};
use super::status::Status;
use super::wire::{Keys, Speaker};
use crate::tracker::{Asked, Basis, Ended, Ledger, Receipt, Told, Wait};

/// See the module.
#[derive(Debug)]
pub(super) struct Inner {
    pub redis: Redis,
    pub keys: Keys,
    pub speaker: Speaker,
    pub told: Told,
    /// Wakes who speaks.
    pub news: Notify,
    pub status: Arc<Status>,
    /// Held by the ledgers of this process that have the same keys.
    siblings: Weak<()>,
    state: Mutex<State>,
}

/// The handle that a tracker has; the task ends with it.
#[derive(Debug)]
pub(super) struct RedisLedger {
    inner: Arc<Inner>,
    /// How many hold it is how many ledgers of this process have the same keys.
    _siblings: Arc<()>,
}

impl RedisLedger {
    pub fn new(redis: Redis, keys: Keys, speaker: Speaker, told: Told, processes: u64, status: Arc<Status>) -> Self {
        let siblings = siblings(&format!("{} {}", redis.options().address, keys.window()));
        let state = Mutex::new(State::new(processes, Instant::now()));
        let news = Notify::new();
        Self {
            inner: Arc::new(Inner {
                redis,
                keys,
                speaker,
                told,
                news,
                status,
                siblings: Arc::downgrade(&siblings),
                state,
            }),
            _siblings: siblings,
        }
    }
}

impl Inner {
    // A std mutex: nothing is awaited while it is held, and no tracker's lock is taken.
    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many ledgers of this process have these keys: at least 1.
    pub fn siblings(&self) -> u64 {
        self.siblings.strong_count().max(1) as u64
    }

    /// Notes what a request cost more than was granted. Whoever speaks is woken by the first of several.
    fn correct(&self, state: &mut State, at: (u64, u64), requests: i64, tokens: (u64, u64), now: Instant) {
        let was_told = state.corrections.since().is_none();
        state.corrections.note(at.0, at.1, requests, tokens, now);
        if was_told && state.corrections.since().is_some() && !matches!(state.mode, Mode::Local) {
            self.news.notify_one();
        }
    }

    /// Redis is away: from now on this process is alone with its share.
    pub fn go_local(&self, fault: &Fault) {
        {
            let mut state = self.lock();
            state.shelve(Instant::now());
            state.mode = Mode::Local;
        }
        self.status.lost(&self.speaker.ledger, fault);
        self.told.tell();
    }

    /// Begins the task, the first time that there is something for it to do.
    fn begin(self: &Arc<Self>, state: &mut State) {
        if !std::mem::replace(&mut state.is_running, true) {
            tokio::spawn(super::speak::run(Arc::clone(self)));
        }
    }
}

impl Ledger for RedisLedger {
    fn basis(&self) -> Basis {
        let state = self.inner.lock();
        match state.mode {
            Mode::Granted | Mode::Returning => Basis::Granted,
            Mode::Local => Basis::Share(state.processes.max(1).saturating_mul(self.inner.siblings())),
        }
    }

    fn take(&self, asked: Asked, basis: Basis, now: Instant) -> Result<Receipt, Wait> {
        let inner = &self.inner;
        let mut state = inner.lock();
        inner.begin(&mut state);
        if matches!(state.mode, Mode::Local) && !state.is_of_use(now) {
            // Nobody has tried for a while.
            inner.news.notify_one();
        }
        (state.used, state.left) = (now, None);
        (state.limits, state.account) = (asked.limits, asked.account);
        if matches!(state.mode, Mode::Local) != matches!(basis, Basis::Share(_)) {
            // It changed between the look at the window and now; whoever changed it tells.
            return Err(Wait::Asked);
        }
        if matches!(state.mode, Mode::Local) {
            return Ok(state.begin_alone(asked.tokens, now));
        }
        let fit = state.granted.iter().position(|grant| grant.tokens >= asked.tokens && grant.until > now);
        if let Some(grant) = fit.and_then(|place| state.granted.remove(place)) {
            state.in_flight += 1;
            state.wanted = None;
            inner.correct(&mut state, (grant.epoch, grant.tick), 0, (grant.tokens, asked.tokens), now);
            return Ok(Receipt { place: grant.tick, book: grant.epoch, tokens: asked.tokens, charge: None });
        }
        state.wanted = Some(asked);
        let limits = (asked.limits, asked.account);
        if let Some(refused) =
            state.refused.filter(|it| it.until > now && it.limits == limits && it.tokens <= asked.tokens)
        {
            return Err(Wait::Until(refused.until));
        }
        (state.refused, state.paused) = (None, None);
        inner.news.notify_one();
        Err(Wait::Asked)
    }

    fn end(&self, receipt: Receipt, ended: Ended) {
        let (inner, now) = (&self.inner, Instant::now());
        let mut state = inner.lock();
        state.in_flight -= 1;
        let cost = match ended {
            Ended::Refunded => None,
            Ended::Kept => Some(receipt.tokens),
            Ended::Cost(tokens) => Some(tokens),
        };
        if receipt.book == ALONE {
            state.end_alone(receipt, cost, now);
        } else {
            let requests = if cost.is_none() { -1 } else { 0 };
            let tokens = (receipt.tokens, cost.unwrap_or(0));
            inner.correct(&mut state, (receipt.book, receipt.place), requests, tokens, now);
        }
        // While Redis is away it is told when it is back.
        if state.holds_less(now) && !matches!(state.mode, Mode::Local) {
            inner.news.notify_one();
        }
    }

    fn leave(&self) {
        let mut state = self.inner.lock();
        if state.wanted.is_some() || state.is_queued {
            state.left = Some(Instant::now());
            self.inner.news.notify_one();
        }
    }

    fn refused_until(&self) -> Option<Instant> {
        self.inner.lock().refused.map(|refused| refused.until)
    }
}

impl Drop for RedisLedger {
    fn drop(&mut self) {
        self.inner.status.forget(&self.inner.speaker.ledger);
        self.inner.lock().is_over = true;
        self.inner.news.notify_one();
    }
}

/// Held by every ledger of this process that has the same keys.
fn siblings(name: &str) -> Arc<()> {
    static ALL: Mutex<Vec<(String, Weak<()>)>> = Mutex::new(Vec::new());
    let mut all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
    all.retain(|(_, held)| held.strong_count() > 0);
    let known = all.iter().find(|(known, _)| known == name).and_then(|(_, held)| held.upgrade());
    known.unwrap_or_else(|| {
        let held = Arc::new(());
        all.push((name.to_owned(), Arc::downgrade(&held)));
        held
    })
}

/// A name that no other ledger has.
pub(super) fn next_name(process: &str) -> String {
    static NUMBERS: AtomicU64 = AtomicU64::new(1);
    format!("{process}.{}", NUMBERS.fetch_add(1, Ordering::Relaxed))
}
