//! How a process comes back to a Redis that was away: it tells what it admitted without it; and if Redis has forgotten everything, what it
//! admitted in the last minute, and waits for the others to do so too.

use std::time::Duration;

use tokio::time::Instant;

use super::super::fault::{Fault, FaultKind};
use super::ledger::Inner;
use super::state::Mode;
use super::wire::{Answer, Changes, Words, count};

/// How long whoever told a Redis that has forgotten everything waits for the others who were alive. They find it within half a second
/// ([`super::super::node`]); one that has died is waited for in vain.
const OTHERS_TELL_WITHIN: Duration = Duration::from_secs(1);

impl Inner {
    /// Tries whether Redis is back. Gives whether this process counts with it again.
    pub async fn come_back(&self) -> bool {
        match self.try_to_come_back().await {
            Ok(is_back) => {
                self.lock().refusals = 0;
                is_back
            }
            Err(fault) => {
                // A server that is not there has nothing to do for it.
                let is_there = fault.kind != FaultKind::Away;
                self.lock().refusals += u32::from(is_there);
                self.status.lost(&self.speaker.ledger, &fault);
                false
            }
        }
    }

    async fn try_to_come_back(&self) -> Result<bool, Fault> {
        let (is_told, known, processes) = {
            let state = self.lock();
            (state.told.is_some(), state.epoch, state.processes)
        };
        // Counted only when it has told, as others wait for that.
        let found = self.tell(Changes::Ticks(&[]), is_told).await?;
        // One that was never reached may be as new to all the others.
        if known.is_none_or(|known| known.is_other_than(found.epoch)) {
            self.lock().forget_away();
            let history = self.told.history(Instant::now());
            let told = self.tell(Changes::Ages(&history), true).await?;
            let mut state = self.lock();
            (state.epoch, state.told) = (Some(told.epoch), Some(Instant::now()));
            return Ok(false);
        }
        let is_waiting = |told: Instant| {
            found.processes.is_none_or(|others| others < processes) && told.elapsed() < OTHERS_TELL_WITHIN
        };
        if self.lock().told.is_some_and(is_waiting) {
            return Ok(false);
        }
        let away = {
            let mut state = self.lock();
            (state.mode, state.told) = (Mode::Returning, None);
            state.away(Instant::now())
        };
        let told = self.tell(Changes::Ages(&away), true).await;
        {
            let (mut state, now) = (self.lock(), Instant::now());
            match &told {
                Ok(answer) => {
                    (state.mode, state.epoch) = (Mode::Granted, Some(answer.epoch));
                    if let Some(processes) = answer.processes {
                        (state.processes, state.counted) = (processes.max(1), Some(now));
                    }
                    state.forget_away();
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

    async fn tell(&self, changes: Changes<'_>, counts: bool) -> Result<Answer, Fault> {
        let words = {
            let state = self.lock();
            let (limits, account, holds) = (state.limits, state.account, state.holds());
            Words { ask: None, limits, account, holds, leaves: false, counts, changes, epoch: None }
        };
        count(&self.redis, &self.keys, &self.speaker, &words).await
    }
}
