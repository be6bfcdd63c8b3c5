//! What a ledger knows: what was granted and not begun, who has use for more, what is to be told. Plain data; `now` is an argument.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::wire::{Epoch, Reservation};
use crate::tracker::window::Window;
use crate::tracker::{Asked, Limits, Receipt};

/// How long a granted request waits for somebody to begin it, before it is given back.
pub(super) const UNUSED: Duration = Duration::from_millis(100);

/// Most requests that are granted at once, and the part of a minute that they may be: what a process takes with it when it dies.
const MOST_AT_ONCE: u64 = 32;
const SLICES_PER_MINUTE: u64 = 60;

/// Corrections that are kept while Redis is away; the oldest go first, and leave the window higher than it need be.
const MAX_CORRECTIONS: usize = 512;

/// The book of what was admitted without asking. Others are epochs.
pub(super) const LOCAL: u64 = 0;

/// See the module.
#[derive(Debug)]
#[allow(clippy::struct_excessive_bools, reason = "each says something of its own")]
pub(super) struct State {
    pub mode: Mode,
    /// Whether the two tasks run.
    pub is_running: bool,
    /// Whether its tracker is gone.
    pub is_over: bool,
    /// Processes that were alive when Redis was last heard of.
    pub processes: u64,
    pub epoch: Option<Epoch>,
    /// The bucket in which something was granted last.
    tick: u64,
    pub granted: VecDeque<Grant>,
    /// What there is use for.
    pub wanted: Option<Asked>,
    pub refused: Option<Refused>,
    /// Whether Redis has it in its queue.
    pub is_queued: bool,
    /// Since when nobody waits.
    pub left: Option<Instant>,
    /// Requests that were taken and have not ended.
    pub in_flight: u64,
    /// What requests cost more than was granted.
    corrections: Vec<Correction>,
    /// What was admitted without asking, and not told to Redis yet; of which time, so that receipts of another are known.
    away: Window,
    away_number: u64,
    away_since: Instant,
    /// The limits that were last asked with.
    pub limits: Limits,
    pub account: Limits,
    /// When its process was last counted, and when it was last of use.
    pub counted: Option<Instant>,
    pub used: Instant,
    /// Whether whoever keeps the books looks at them soon, whatever happens.
    pub is_kept_soon: bool,
    /// Whether slots were freed that Redis takes for held.
    pub is_held_less: bool,
}

/// By what is admitted.
#[derive(Clone, Debug)]
pub(super) enum Mode {
    /// By what Redis grants.
    Granted,
    /// By this process's share of the limits.
    Local,
    /// Redis is back, and is being told what was admitted without it.
    Returning,
}

/// Requests and tokens more than were granted, in one bucket of one epoch.
#[derive(Clone, Copy, Debug)]
struct Correction {
    epoch: u64,
    tick: u64,
    requests: i64,
    tokens: i64,
}

/// A request that may be begun.
#[derive(Debug)]
pub(super) struct Grant {
    pub epoch: u64,
    pub tick: u64,
    pub tokens: u64,
    pub until: Instant,
}

/// What Redis did not grant.
#[derive(Clone, Copy, Debug)]
pub(super) struct Refused {
    pub tokens: u64,
    pub limits: (Limits, Limits),
    /// Not before then.
    pub until: Instant,
}

impl State {
    /// Nothing granted, nobody in flight.
    pub fn new(processes: u64, now: Instant) -> Self {
        Self {
            mode: Mode::Granted,
            is_running: false,
            is_over: false,
            processes,
            epoch: None,
            tick: 0,
            granted: VecDeque::new(),
            wanted: None,
            refused: None,
            is_queued: false,
            left: None,
            in_flight: 0,
            corrections: Vec::new(),
            away: Window::default(),
            away_number: 1,
            away_since: now,
            limits: Limits::default(),
            account: Limits::default(),
            counted: None,
            used: now,
            is_kept_soon: false,
            is_held_less: false,
        }
    }

    /// How many requests it holds, begun or not.
    pub fn holds(&self) -> u64 {
        self.in_flight + self.granted.len() as u64
    }

    /// What is to be reserved, if there is use for anything.
    pub fn reservation(&self, counts: bool) -> Option<Reservation> {
        let Asked { tokens, waiting, limits, account } = self.wanted?;
        let slice =
            |limit: Option<u64>, size: u64| limit.map_or(MOST_AT_ONCE, |limit| limit / SLICES_PER_MINUTE / size.max(1));
        let all = [limits, account];
        let most = all.iter().flat_map(|of| [slice(of.rpm, 1), slice(of.tpm, tokens), slice(of.max_concurrent, 1)]);
        let most = most.min().unwrap_or(1).clamp(1, MOST_AT_ONCE);
        Some(Reservation { want: waiting.max(1), most, tokens, limits, account, holds: self.holds(), counts })
    }

    /// Takes what was granted.
    pub fn grant(&mut self, count: u64, tick: u64, epoch: Epoch, tokens: u64, now: Instant) {
        let grants = (0..count).map(|_| Grant { epoch: epoch.own, tick, tokens, until: now + UNUSED });
        self.granted.extend(grants);
        (self.tick, self.wanted, self.refused) = (tick, None, None);
    }

    /// Remembers until when nothing will be granted.
    pub fn refuse(&mut self, asked: &Reservation, until: Instant) {
        self.refused = Some(Refused { tokens: asked.tokens, limits: (asked.limits, asked.account), until });
    }

    /// When the first request that nobody has begun is to be given back.
    pub fn next_unused(&self) -> Option<Instant> {
        self.granted.front().map(|grant| grant.until)
    }

    /// Gives back what nobody has begun in time.
    pub fn give_back_unused(&mut self, now: Instant) {
        while let Some(grant) = self.granted.front().filter(|grant| grant.until <= now) {
            let (epoch, tick, tokens) = (grant.epoch, grant.tick, grant.tokens);
            self.granted.pop_front();
            self.correct(epoch, tick, -1, tokens, 0);
            self.is_held_less = true;
        }
    }

    /// Gives all of it back, to be told when Redis is back.
    pub fn shelve(&mut self) {
        while let Some(grant) = self.granted.pop_front() {
            self.correct(grant.epoch, grant.tick, -1, grant.tokens, 0);
        }
        (self.refused, self.wanted) = (None, None);
    }

    pub fn correct(&mut self, epoch: u64, tick: u64, requests: i64, from: u64, to: u64) {
        let difference = |from: u64, to: u64| {
            i64::try_from(to).unwrap_or(i64::MAX).saturating_sub(i64::try_from(from).unwrap_or(i64::MAX))
        };
        let tokens = difference(from, to);
        if requests == 0 && tokens == 0 {
            return;
        }
        self.add(Correction { epoch, tick, requests, tokens });
    }

    fn add(&mut self, more: Correction) {
        let known = self.corrections.iter_mut().find(|it| it.epoch == more.epoch && it.tick == more.tick);
        match known {
            Some(known) => {
                known.requests += more.requests;
                known.tokens = known.tokens.saturating_add(more.tokens);
            }
            None => self.corrections.push(more),
        }
        if self.corrections.len() > MAX_CORRECTIONS {
            self.corrections.remove(0);
        }
    }

    /// Whether there is something to tell Redis.
    pub fn has_corrections(&self) -> bool {
        !self.corrections.is_empty()
    }

    /// Takes the corrections of the present epoch; those of others are void.
    pub fn take_corrections(&mut self) -> Vec<(u64, i64, i64)> {
        let epoch = self.epoch.map_or(0, |epoch| epoch.own);
        let all = std::mem::take(&mut self.corrections);
        all.iter().filter(|it| it.epoch == epoch).map(|it| (it.tick, it.requests, it.tokens)).collect()
    }

    /// Puts back what could not be told.
    pub fn restore_corrections(&mut self, all: Vec<(u64, i64, i64)>) {
        let epoch = self.epoch.map_or(0, |epoch| epoch.own);
        for (tick, requests, tokens) in all {
            self.add(Correction { epoch, tick, requests, tokens });
        }
    }

    /// What was admitted without asking and is not told yet, as a copy.
    pub fn away(&mut self, now: Instant) -> Vec<(Duration, u64, u64)> {
        self.away.history(now - self.away_since)
    }

    /// It is told.
    pub fn forget_away(&mut self) {
        self.away = Window::default();
        self.away_number += 1;
    }

    pub fn note(&mut self, tokens: u64, now: Instant) -> Receipt {
        self.in_flight += 1;
        let charge = self.away.charge(tokens, now - self.away_since);
        Receipt { place: self.away_number, book: LOCAL, tokens, charge: Some(charge) }
    }

    pub fn end_local(&mut self, receipt: Receipt, cost: Option<u64>) {
        let Some(mut charge) = receipt.charge.filter(|_| receipt.place == self.away_number) else {
            // Told already, with what was reserved: that stays, and what is beyond it is added to a later bucket.
            let cost = cost.unwrap_or(0).max(receipt.tokens);
            if let Some(epoch) = self.epoch {
                self.correct(epoch.own, self.tick, 0, receipt.tokens, cost);
            }
            return;
        };
        match cost {
            Some(cost) => {
                self.away.settle(&mut charge, cost);
            }
            None => self.away.refund(&mut charge),
        }
    }
}
