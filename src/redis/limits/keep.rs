//! Keeps the books between one deployment and Redis: tells what requests cost, gives back what nobody began, says that this
//! process is alive; and while Redis is away, finds out when it is back, and tells it what was admitted without it.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

use super::super::fault::Fault;
use super::ledger::Inner;
use super::state::{Mode, UNUSED};
use super::wire::{Adjustment, Changes, Epoch, adjust};

/// How long nobody waits before it gives up its place in the queue: whoever is next in the line asks sooner.
const LEAVES_AFTER: Duration = Duration::from_millis(20);

/// How often a Redis that was away is tried.
const TRIED_EVERY: Duration = Duration::from_millis(250);

/// How long processes that told a Redis which has forgotten everything what they admitted wait for the others to do so.
const OTHERS_TELL_WITHIN: Duration = Duration::from_millis(500);

/// How long after the last request more of them are expected.
const BUSY_FOR: Duration = Duration::from_secs(1);

/// A process counts as alive for this long after it was last of use: for as long as what it admitted counts.
const COUNTS_FOR: Duration = Duration::from_secs(60);

/// Keeps the books until the ledger is gone.
pub(super) async fn run(inner: Arc<Inner>) {
    loop {
        let (is_over, is_local) = {
            let state = inner.lock();
            (state.is_over, matches!(state.mode, Mode::Local))
        };
        if is_over {
            // What was granted and not begun; if it cannot be told, it stays charged.
            inner.lock().give_back_unused(Instant::now() + COUNTS_FOR);
            drop(inner.tell_costs(Instant::now()).await);
            return;
        }
        if is_local {
            if !inner.come_back().await {
                sleep(TRIED_EVERY).await;
            }
            continue;
        }
        if let Err(fault) = inner.tell_costs(Instant::now()).await {
            inner.go_local(&fault);
            continue;
        }
        match inner.next_due() {
            Some(due) => drop(timeout_at(due, inner.keeps.notified()).await),
            None => inner.keeps.notified().await,
        }
    }
}

impl Inner {
    /// Tells Redis what there is to tell, if there is anything.
    async fn tell_costs(&self, now: Instant) -> Result<(), Fault> {
        let (mut costs, adjustment) = {
            let mut state = self.lock();
            state.give_back_unused(now);
            let has_left = state.left.is_some_and(|left| now - left >= LEAVES_AFTER);
            if has_left {
                (state.wanted, state.refused, state.left) = (None, None, None);
            }
            let leaves = has_left && std::mem::take(&mut state.is_queued);
            let beats = state
                .counted
                .is_some_and(|counted| now - state.used < COUNTS_FOR && now - counted >= self.speaker.lease / 3);
            let is_held_less = std::mem::take(&mut state.is_held_less);
            if !(leaves || beats || is_held_less || state.has_corrections()) {
                return Ok(());
            }
            let (limits, account, epoch) = (state.limits, state.account, state.epoch);
            let adjustment = Adjustment {
                limits,
                account,
                holds: state.holds(),
                leaves,
                counts: beats,
                changes: Changes::Ticks(&[]),
                epoch,
            };
            (state.take_corrections(), adjustment)
        };
        let told = Adjustment { changes: Changes::Ticks(&costs), ..adjustment };
        match adjust(&self.redis, &self.keys, &self.speaker, &told).await {
            Ok((epoch, processes)) => {
                self.count(processes, now);
                self.status.found(&self.speaker.ledger, processes);
                if !self.has_forgotten(epoch, now) {
                    // Whoever waits may find what was given back.
                    self.asks.notify_one();
                }
                Ok(())
            }
            Err(fault) => {
                self.lock().restore_corrections(std::mem::take(&mut costs));
                Err(fault)
            }
        }
    }

    /// Whether windows are others than before, that do not know what this process admitted: then it goes on alone until they
    /// were told.
    pub fn has_forgotten(&self, epoch: Epoch, now: Instant) -> bool {
        let is_other = |old: u64, new: u64| old != 0 && new != 0 && old != new;
        let known = self.lock().epoch;
        let Some(known) = known.filter(|old| is_other(old.own, epoch.own) || is_other(old.account, epoch.account))
        else {
            return false;
        };
        if self.told.history(now).is_empty() {
            // It expired, and there was nothing in it.
            let mut state = self.lock();
            state.epoch = state.epoch.filter(|epoch| *epoch != known);
            return false;
        }
        let Fault { kind, message } =
            Fault::refused("Redis has lost what was counted in the last minute, and is told again");
        self.go_local(&Fault { kind, message });
        true
    }

    /// Tries whether Redis is back, and if so tells it what was admitted without it.
    async fn come_back(&self) -> bool {
        match self.try_to_come_back().await {
            Ok(is_back) => is_back,
            Err(fault) => {
                self.status.lost(&self.speaker.ledger, &fault);
                false
            }
        }
    }

    async fn try_to_come_back(&self) -> Result<bool, Fault> {
        let epoch = self.tell(Changes::Ticks(&[])).await?;
        let known = self.lock().epoch;
        if known.is_some_and(|known| known != epoch) {
            self.lock().forget_away();
            let history = self.told.history(Instant::now());
            let epoch = self.tell(Changes::Ages(&history)).await?;
            self.lock().epoch = Some(epoch);
            sleep(OTHERS_TELL_WITHIN).await;
            return Ok(true);
        }
        let away = {
            let mut state = self.lock();
            state.mode = Mode::Returning;
            state.away(Instant::now())
        };
        let told = self.tell(Changes::Ages(&away)).await;
        {
            let mut state = self.lock();
            match &told {
                Ok(epoch) => {
                    (state.mode, state.epoch) = (Mode::Granted, Some(*epoch));
                    state.forget_away();
                }
                Err(_) => state.mode = Mode::Local,
            }
        }
        if told.is_ok() {
            self.status.found(&self.speaker.ledger, None);
        }
        self.asks.notify_one();
        self.told.tell();
        told.map(|_| true)
    }

    async fn tell(&self, changes: Changes<'_>) -> Result<Epoch, Fault> {
        let adjustment = {
            let state = self.lock();
            let (limits, account, holds) = (state.limits, state.account, state.holds());
            Adjustment { limits, account, holds, leaves: false, counts: true, changes, epoch: None }
        };
        let (epoch, processes) = adjust(&self.redis, &self.keys, &self.speaker, &adjustment).await?;
        self.count(processes, Instant::now());
        Ok(epoch)
    }

    /// So many processes are alive, if that was asked.
    pub fn count(&self, processes: Option<u64>, now: Instant) {
        if let Some(processes) = processes {
            let mut state = self.lock();
            (state.processes, state.counted) = (processes.max(1), Some(now));
        }
    }

    /// When there is something to do, if nothing happens before. As long as requests come, every so often, so that not each of
    /// them has to say that it has come.
    fn next_due(&self) -> Option<Instant> {
        let (mut state, now) = (self.lock(), Instant::now());
        state.is_kept_soon = state.next_unused().is_some() || now - state.used < BUSY_FOR;
        let soon = state.is_kept_soon.then(|| now + UNUSED);
        let beat = state.counted.map(|counted| counted + self.speaker.lease / 3);
        let beat = beat.filter(|beat| *beat < state.used + COUNTS_FOR);
        [soon, state.left.map(|left| left + LEAVES_AFTER), beat].into_iter().flatten().min()
    }
}
