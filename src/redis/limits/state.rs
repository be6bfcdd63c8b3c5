//! What a ledger knows: what was granted and not begun, who has use for more, what is to be told. Plain data; `now` is an argument.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::alone::Alone;
use super::back::{Awaited, Untold};
use super::clock::Clock;
use super::corrections::Corrections;
use super::marks::Marks;
use super::wire::{Answer, Ask, Changes, Epoch, Meant, Words};
use crate::tracker::{Asked, Limits, Receipt};

/// How long after it was asked for a granted request may be begun, before it is given back: windows in Redis forget that much later
/// than after a minute, and a little more.
pub(super) const UNUSED: Duration = Duration::from_millis(200);

/// A grant of a Redis that takes longer than that to answer is there for this long nevertheless, or nobody could ever use one.
const AT_LEAST: Duration = Duration::from_millis(20);

/// How long nobody waits before it gives up its place in the queue: whoever is next in the line asks sooner.
const LEAVES_AFTER: Duration = Duration::from_millis(20);

/// How long what requests cost, and that a slot is free, waits for a request that it can be told along with.
const SETTLED_WITHIN: Duration = Duration::from_millis(5);

/// How often a process says that it is alive by the way, and how often at least, whatever its lease.
const COUNTED_EVERY: Duration = Duration::from_secs(1);
const COUNTED_WITHIN: Duration = Duration::from_secs(10);

/// A process counts as alive for this long after it was last of use: for as long as what it admitted counts.
pub(super) const COUNTS_FOR: Duration = Duration::from_secs(60);

/// How often a Redis that was away is tried, by whoever has use for it; doubled with each further answer that says no or comes too
/// late, up to this: a server that cannot follow is not to be asked all the more.
const TRIED_EVERY: Duration = Duration::from_millis(100);
pub(super) const TRIED_WITHIN: Duration = Duration::from_millis(400);

/// How often one is tried that nobody has use for.
const TRIED_IDLY: Duration = Duration::from_secs(5);

/// Most requests that are granted at once, and the part of a minute that they may be: what a process takes with it when it dies.
const MOST_AT_ONCE: u64 = 32;
const SLICES_PER_MINUTE: u64 = 60;

/// See the module.
#[derive(Debug)]
#[allow(clippy::struct_excessive_bools, reason = "each says something of its own")]
pub(super) struct State {
    pub mode: Mode,
    /// Whether its task runs.
    pub is_running: bool,
    /// Whether its tracker is gone.
    pub is_over: bool,
    /// Processes that were alive when Redis was last heard of.
    pub processes: u64,
    pub epoch: Option<Epoch>,
    /// The bucket in which Redis was when it was last heard of.
    pub tick: u64,
    pub granted: VecDeque<Grant>,
    /// What there is use for.
    pub wanted: Option<Asked>,
    pub refused: Option<Refused>,
    /// Until when it does not ask again.
    pub paused: Option<Instant>,
    /// Whether Redis has it in its queue.
    pub is_queued: bool,
    /// Since when nobody waits.
    pub left: Option<Instant>,
    /// Requests that were taken and have not ended.
    pub in_flight: u64,
    /// What requests cost more than was granted.
    pub corrections: Corrections,
    /// What was admitted without asking, and not told to Redis yet.
    pub alone: Alone,
    /// Which windows, the deployment's and its account's, have forgotten something that they were not told since, and what they are told.
    pub forgotten: [bool; 2],
    pub untold: Option<Untold>,
    /// The limits that were last asked with.
    pub limits: Limits,
    pub account: Limits,
    /// When its process was last counted, and when it was last of use.
    pub counted: Option<Instant>,
    pub used: Instant,
    /// How often the window had been charged at some moments of the last minute.
    marks: Marks,
    /// How long others are waited for to tell a Redis that has forgotten something.
    pub patience: Duration,
    /// Whether a connection has ended since Redis last answered what was asked of it: then all processes notice what it has forgotten.
    pub is_cut: bool,
    /// Until when those who were alive are waited for, of a Redis that has forgotten something.
    pub awaited: Option<Awaited>,
    /// How often Redis has said no or nothing since it was away.
    pub refusals: u32,
    /// Since when it holds less than Redis takes for held.
    pub held_less: Option<Instant>,
    pub clock: Clock,
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

/// What there is to do.
#[derive(Debug)]
pub(super) enum Next {
    /// The tracker is gone.
    End,
    /// Redis is away, and is to be tried.
    ComeBack,
    /// This is to be said.
    Say(Say),
    /// Nothing until then, or until something changes.
    Wait(Option<Instant>),
}

/// What is to be said, beside how many requests it holds under which limits.
#[derive(Debug)]
pub(super) struct Say {
    pub ask: Option<Ask>,
    /// When, how many requests and how many tokens more than were granted.
    pub costs: Vec<(u64, i64, i64)>,
    pub leaves: bool,
    pub counts: bool,
    pub holds: u64,
    pub limits: Limits,
    pub account: Limits,
    pub meant: Meant,
}

impl Say {
    /// As it is said to Redis.
    pub fn words(&self) -> Words<'_> {
        let Self { ask, ref costs, leaves, counts, holds, limits, account, meant } = *self;
        Words { ask, limits, account, holds, leaves, counts, changes: Changes::Ticks(costs), meant, latest: None }
    }
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
            paused: None,
            is_queued: false,
            left: None,
            in_flight: 0,
            corrections: Corrections::default(),
            alone: Alone::new(now),
            forgotten: [false; 2],
            untold: None,
            limits: Limits::default(),
            account: Limits::default(),
            counted: None,
            used: now,
            marks: Marks::default(),
            patience: Duration::ZERO,
            is_cut: false,
            awaited: None,
            refusals: 0,
            held_less: None,
            clock: Clock::default(),
        }
    }

    /// How many requests it holds, begun or not.
    pub fn holds(&self) -> u64 {
        self.in_flight + self.granted.len() as u64
    }

    /// What there is to do now, with a lease of this length. What is to be said is taken.
    pub fn next(&mut self, lease: Duration, now: Instant) -> Next {
        if self.is_over {
            return Next::End;
        }
        if matches!(self.mode, Mode::Local) {
            return Next::ComeBack;
        }
        self.give_back_unused(now);
        let has_left = self.left.is_some_and(|left| left + LEAVES_AFTER <= now);
        if has_left {
            (self.wanted, self.refused, self.paused, self.left) = (None, None, None, None);
        }
        let leaves = has_left && std::mem::take(&mut self.is_queued);
        let ask = self.ask();
        let asks_at = ask.map(|_| self.paused.unwrap_or(now));
        let settles_at = [self.corrections.since(), self.held_less].into_iter().flatten().min();
        let settles_at = settles_at.map(|since| since + SETTLED_WITHIN);
        let beats_at = self.next_beat(lease, now);
        let is_due = [asks_at, settles_at, beats_at].into_iter().flatten().any(|at| at <= now);
        if !(is_due || leaves) {
            let leaves_at = self.left.map(|left| left + LEAVES_AFTER);
            let unused_at = self.granted.front().map(|grant| grant.until);
            let all = [asks_at, settles_at, beats_at, leaves_at, unused_at];
            // Later than now in any case, whatever was overlooked: a task that never waits is worse.
            let soonest = now + Duration::from_millis(1);
            return Next::Wait(all.into_iter().flatten().min().map(|at| at.max(soonest)));
        }
        self.held_less = None;
        Next::Say(Say {
            ask,
            costs: self.corrections.take(self.own_epoch()),
            leaves,
            counts: self.counted.is_none_or(|counted| now - counted >= COUNTED_EVERY.min(lease / 3)),
            holds: self.holds(),
            limits: self.limits,
            account: self.account,
            meant: self.meant(),
        })
    }

    /// The epoch of the deployment's window, 0 if it is not known.
    pub fn own_epoch(&self) -> u64 {
        self.epoch.map_or(0, |epoch| epoch.own.epoch)
    }

    fn meant(&self) -> Meant {
        self.epoch.map_or_else(Meant::default, Epoch::meant)
    }

    /// Whether what it does counts: it holds something, or what it admitted is in the window.
    pub fn is_of_use(&self, at: Instant) -> bool {
        self.holds() > 0 || at < self.used + COUNTS_FOR
    }

    /// How long to wait before Redis is tried again. Not all processes at once.
    pub fn pause(&self, now: Instant) -> Duration {
        let pause = if self.is_of_use(now) {
            (TRIED_EVERY * 2u32.pow(self.refusals.min(10))).min(TRIED_WITHIN)
        } else {
            TRIED_IDLY
        };
        pause.mul_f64(fastrand::f64() * 0.5 + 0.75).max(self.clock.is_busy_for(now).unwrap_or_default())
    }

    /// Notes what an answer said of the windows that was asked for then.
    pub fn found(&mut self, epoch: Epoch, asked: Instant) {
        if self.own_epoch() != epoch.own.epoch {
            self.marks = Marks::default();
        }
        self.marks.note(epoch.own.number, asked);
        self.epoch = Some(epoch);
    }

    /// Since when windows that were found like this may have forgotten what they were charged with, if not all of it: where they are
    /// those of an older copy.
    pub fn remembers_until(&self, found: Epoch) -> Option<Instant> {
        let known = self.epoch?;
        let is_copy = known.own.epoch == found.own.epoch
            && known.account.epoch == found.account.epoch
            && found.own.number < known.own.number;
        is_copy.then(|| self.marks.until(found.own.number)).flatten()
    }

    /// Forgets what makes the window less full: it is told what requests really cost.
    pub fn is_told_all(&mut self, now: Instant) {
        let epoch = self.own_epoch();
        let all = self.corrections.take(epoch);
        self.corrections.restore(all, epoch, false, now);
    }

    /// When it is to say that it is alive, for others to count it and to leave it what it holds.
    fn next_beat(&self, lease: Duration, now: Instant) -> Option<Instant> {
        let due = self.counted? + beats_every(lease);
        self.is_of_use(due.max(now)).then_some(due)
    }

    /// What is to be reserved, if there is use for anything.
    fn ask(&self) -> Option<Ask> {
        let Asked { tokens, waiting, limits, account } = self.wanted?;
        let slice =
            |limit: Option<u64>, size: u64| limit.map_or(MOST_AT_ONCE, |limit| limit / SLICES_PER_MINUTE / size.max(1));
        let all = [limits, account];
        let most = all.iter().flat_map(|of| [slice(of.rpm, 1), slice(of.tpm, tokens), slice(of.max_concurrent, 1)]);
        let most = most.min().unwrap_or(1).clamp(1, MOST_AT_ONCE);
        Some(Ask { want: waiting.max(1), most, tokens })
    }

    /// Takes what was granted when it was asked for at this moment, of a Redis that may take so long to answer.
    pub fn grant(&mut self, answer: &Answer, tokens: u64, asked: Instant, patience: Duration, now: Instant) {
        let on_time = asked + UNUSED;
        let until = if now - asked <= patience { on_time.max(now + AT_LEAST) } else { on_time };
        let Answer { count, tick, epoch, .. } = *answer;
        self.granted.extend((0..count).map(|_| Grant { epoch: epoch.own.epoch, tick, tokens, until }));
        (self.wanted, self.refused, self.paused) = (None, None, None);
    }

    /// Remembers until when nothing will be granted, and gives it.
    pub fn refuse(&mut self, ask: Ask, limits: (Limits, Limits), answer: &Answer, now: Instant) -> Instant {
        let until = now + answer.wait;
        self.refused = Some(Refused { tokens: ask.tokens, limits, until });
        self.paused = Some(now + answer.pause);
        until
    }

    /// Whether something was admitted without asking that Redis does not know of.
    pub fn has_been_away(&mut self, now: Instant) -> bool {
        matches!(self.mode, Mode::Local) && !self.alone.is_empty(now)
    }

    /// What is to be said when nothing more comes, if anything is; all that was granted is given back by then.
    pub fn last_words(&mut self, then: Instant) -> Option<Say> {
        self.give_back_unused(then);
        let (leaves, holds) = (self.is_queued, self.holds());
        let costs = self.corrections.take(self.own_epoch());
        let (limits, account, meant) = (self.limits, self.account, self.meant());
        let is_any = leaves || self.held_less.is_some() || !costs.is_empty();
        is_any.then_some(Say { ask: None, costs, leaves, counts: false, holds, limits, account, meant })
    }

    /// Gives back what nobody has begun in time.
    pub fn give_back_unused(&mut self, now: Instant) {
        while let Some(grant) = self.granted.front().filter(|grant| grant.until <= now) {
            let (epoch, tick, tokens) = (grant.epoch, grant.tick, grant.tokens);
            self.granted.pop_front();
            self.corrections.note(epoch, tick, -1, (tokens, 0), now);
            self.holds_less(now);
        }
    }

    /// Notes that it holds less than before, where requests in flight are limited. Gives whether that is news.
    pub fn holds_less(&mut self, now: Instant) -> bool {
        let has_slots = [self.limits, self.account].iter().any(|limits| limits.max_concurrent.is_some());
        let is_news = has_slots && self.held_less.is_none();
        if is_news {
            self.held_less = Some(now);
        }
        is_news
    }

    /// Gives all of it back, to be told when Redis is back.
    pub fn shelve(&mut self, now: Instant) {
        while let Some(grant) = self.granted.pop_front() {
            self.corrections.note(grant.epoch, grant.tick, -1, (grant.tokens, 0), now);
        }
        (self.refused, self.wanted, self.paused, self.is_queued) = (None, None, None, false);
    }

    /// Admits one by this process's share.
    pub fn begin_alone(&mut self, tokens: u64, now: Instant) -> Receipt {
        self.in_flight += 1;
        self.alone.charge(tokens, now)
    }

    /// Ends one that was admitted so.
    pub fn end_alone(&mut self, receipt: Receipt, cost: Option<u64>, now: Instant) {
        let (reserved, epoch) = (receipt.tokens, self.own_epoch());
        if !self.alone.end(receipt, cost) && epoch != 0 {
            // Told already, with what was reserved: that stays, and what is beyond it is added to a later bucket.
            let cost = cost.unwrap_or(0).max(reserved);
            self.corrections.note(epoch, self.tick, 0, (reserved, cost), now);
        }
    }
}

/// How often a process says that it is alive, at least.
pub(super) fn beats_every(lease: Duration) -> Duration {
    (lease / 3).min(COUNTED_WITHIN)
}

#[cfg(test)]
mod tests;
