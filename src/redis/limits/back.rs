//! How a process comes back to a Redis that was away: it tells what it admitted without it; and if Redis has forgotten everything, what it
//! admitted in the last minute, and waits for the others to do so too.

use std::time::Duration;

use tokio::time::Instant;

use super::super::fault::{Fault, FaultKind};
use super::alone::Charges;
use super::ledger::Inner;
use super::state::Mode;
use super::wire::{Answer, Changes, Epoch, Meant, Telling, Words};

/// How long whoever told a Redis that has forgotten everything waits for the others who were alive. They find it within half a second
/// ([`super::super::node`]); one that has died is waited for in vain.
pub(super) const OTHERS_TELL_WITHIN: Duration = Duration::from_secs(1);

/// How long ago, how many requests and tokens.
type Ages = Vec<(Duration, u64, u64)>;

/// Nobody waits for more than this many to have told, which is as far as a window counts them.
const MOST_TOLD: u64 = 4000;

impl Inner {
    /// Tries whether Redis is back. Gives whether this process counts with it again.
    pub async fn come_back(&self) -> bool {
        if self.lock().clock.is_busy_for(Instant::now()).is_some() {
            return false;
        }
        match self.try_to_come_back().await {
            Ok(is_back) => {
                self.lock().refusals = 0;
                is_back
            }
            Err(fault) => {
                let is_over = {
                    let mut state = self.lock();
                    // A server that is not there has nothing to do for it.
                    state.refusals += u32::from(fault.kind != FaultKind::Away);
                    state.is_over
                };
                if !is_over {
                    self.status.lost(&self.speaker.ledger, &fault);
                }
                false
            }
        }
    }

    async fn try_to_come_back(&self) -> Result<bool, Fault> {
        let (known, is_over) = {
            let state = self.lock();
            (state.epoch, state.is_over)
        };
        let found = self.tell(Changes::Ticks(&[]), Meant::default()).await?.epoch;
        let forgotten = {
            let mut state = self.lock();
            let seen = known.map_or([true; 2], |known| known.has_forgotten(found));
            // Others may have charged it since, so that it looks as if nothing were missing.
            let all = [0, 1].map(|place| seen[place] || state.forgotten[place]);
            if known.is_some() {
                state.forgotten = all;
            }
            all
        };
        if forgotten != [false; 2] && !is_over {
            let told = if let Some(known) = known {
                self.tell_again(known, forgotten, found).await?
            } else {
                // One that was never asked before is told below what was admitted without it.
                self.tell(Changes::Ages(&[]), Meant::default()).await?
            };
            let mut state = self.lock();
            state.found(told.epoch, Instant::now());
            let until = Instant::now() + state.patience.max(OTHERS_TELL_WITHIN);
            // Several deployments tell an account, in any order: of that nobody knows when all have.
            let is_countable = known.is_some() && (!forgotten[1] || told.epoch.account.epoch == 0);
            let ledgers = is_countable.then(|| state.processes.saturating_mul(self.siblings()).min(MOST_TOLD));
            state.awaited = Some(Awaited { ledgers, until });
            return Ok(false);
        }
        if self.lock().awaited.is_some_and(|awaited| awaited.is_open(found)) {
            return Ok(false);
        }
        let away = {
            let (mut state, now) = (self.lock(), Instant::now());
            (state.mode, state.awaited, state.patience) = (Mode::Returning, None, Duration::ZERO);
            state.untold = None;
            state.alone.take(now);
            state.alone.taken(now)
        };
        let told = self.tell(Changes::Ages(&away), Meant::default()).await;
        {
            let (mut state, now) = (self.lock(), Instant::now());
            match &told {
                Ok(answer) => {
                    // Whoever still has use for something says so again.
                    (state.mode, state.tick, state.wanted) = (Mode::Granted, answer.tick, None);
                    state.found(answer.epoch, now);
                    if let Some(processes) = answer.processes {
                        (state.processes, state.counted) = (processes.max(1), Some(now));
                    }
                    state.alone.is_told();
                }
                Err(_) => state.mode = Mode::Local,
            }
        }
        if let Ok(answer) = &told {
            self.status.found(&self.speaker.ledger, answer.processes);
        }
        self.told.tell();
        told.map(|_| true)
    }

    /// Tells windows that have forgotten something what this process was charged with until that was found out, and a window that has not
    /// what was admitted alone until then. What is admitted meanwhile is for both, and told when nobody is waited for any more.
    async fn tell_again(&self, known: Epoch, forgotten: [bool; 2], found: Epoch) -> Result<Answer, Fault> {
        let (history, number, alone) = self.untold(found);
        if forgotten != [true; 2] && !alone.is_empty() {
            self.tell(Changes::Ages(&alone), Meant::only(forgotten.map(|is| !is))).await?;
            self.lock().alone.is_told();
        }
        // The answer may be lost, and it is told again.
        let telling = Telling { number, known: known.meant() };
        let told = self.tell(Changes::History(&history, telling), Meant::only(forgotten)).await?;
        let mut state = self.lock();
        // What was admitted alone is in it.
        state.alone.is_told();
        (state.untold, state.forgotten) = (None, [false; 2]);
        Ok(told)
    }

    /// What was charged until it was found out that windows have forgotten it, with a number of its own, and what of that was admitted alone.
    /// The same until it is told, unless a window lacks more by now.
    fn untold(&self, found: Epoch) -> (Ages, u64, Ages) {
        let now = Instant::now();
        let since = {
            let mut state = self.lock();
            let since = state.remembers_until(found);
            if let Some(untold) = state.untold.as_ref().filter(|untold| untold.covers(since)) {
                return (untold.charges.ages(now), untold.number, state.alone.taken(now));
            }
            state.alone.take(now);
            state.is_told_all(now);
            since
        };
        // Without the lock, which trackers take under their own. So it is asked later, and lacks nothing that was taken.
        let mut history = self.told.history(now);
        history.retain(|(age, ..)| since.is_none_or(|since| now - *age >= since));
        let mut state = self.lock();
        // As far as doubles can tell apart.
        let number = fastrand::u64(1..1 << 53);
        let untold = state.untold.insert(Untold { charges: Charges::of(history, now), number, since });
        let ages = untold.charges.ages(now);
        (ages, number, state.alone.taken(now))
    }

    /// Tells these windows what was admitted without them. It waits for nothing meanwhile.
    async fn tell(&self, changes: Changes<'_>, meant: Meant) -> Result<Answer, Fault> {
        let words = {
            let state = self.lock();
            let (limits, account, holds) = (state.limits, state.account, state.holds());
            Words { ask: None, limits, account, holds, leaves: true, counts: true, changes, meant, latest: None }
        };
        self.count(&words).await
    }
}

/// What windows that have forgotten something are told, until they have heard it.
#[derive(Debug)]
pub(super) struct Untold {
    charges: Charges,
    /// Tells it from what else this ledger told.
    number: u64,
    /// Since when it is of, if not of the whole minute.
    since: Option<Instant>,
}

impl Untold {
    /// Whether it is all that a window lacks that remembers what was until then.
    fn covers(&self, since: Option<Instant>) -> bool {
        self.since.is_none_or(|own| since.is_some_and(|since| since >= own))
    }
}

/// Whoever is to tell a window that has forgotten what it was charged with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Awaited {
    /// How many they are, if that is known.
    ledgers: Option<u64>,
    until: Instant,
}

impl Awaited {
    /// Whether somebody has not told yet who may.
    fn is_open(&self, found: Epoch) -> bool {
        Instant::now() < self.until && self.ledgers.is_none_or(|ledgers| found.own.told < ledgers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_older_copy_lacked_is_not_all_that_an_empty_one_lacks() {
        let now = Instant::now();
        let [early, late] = [10, 20].map(|seconds| now + Duration::from_secs(seconds));
        let untold = |since| Untold { charges: Charges::of(Vec::new(), now), number: 1, since };
        for (told, lacks, covers) in [
            (None, None, true),
            (None, Some(late), true),
            (Some(late), None, false),
            (Some(late), Some(early), false),
            (Some(early), Some(late), true),
        ] {
            assert_eq!(untold(told).covers(lacks), covers, "{told:?} {lacks:?}");
        }
    }
}
