//! Asks Redis for what a line has use for: one round trip for one request, or for a few of them if the line is longer.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::ledger::Inner;
use super::state::Mode;
use super::wire::{Granted, Reservation, reserve};

/// A wait that is said anew is worth a look at the line if it differs by this much.
const NOTABLE: Duration = Duration::from_millis(20);

/// How often a process says that it is alive by the way, so that it need not say so on its own.
const COUNTED_EVERY: Duration = Duration::from_secs(1);

/// Asks for as long as there is use for anything, until the ledger is gone.
pub(super) async fn run(inner: Arc<Inner>) {
    loop {
        let now = Instant::now();
        let ask = {
            let state = inner.lock();
            if state.is_over {
                return;
            }
            let is_due = state.counted.is_none_or(|counted| now - counted >= COUNTED_EVERY);
            matches!(state.mode, Mode::Granted).then(|| state.reservation(is_due)).flatten()
        };
        let Some(ask) = ask else {
            inner.asks.notified().await;
            continue;
        };
        match reserve(&inner.redis, &inner.keys, &inner.speaker, ask).await {
            Err(fault) => inner.go_local(&fault),
            Ok(granted) => {
                if let Some(pause) = inner.hear(&ask, granted) {
                    // Or until something changed, whichever is first.
                    drop(timeout(pause, inner.asks.notified()).await);
                }
            }
        }
    }
}

impl Inner {
    /// Takes an answer. Gives how long to wait before asking again, if nothing was granted.
    fn hear(&self, ask: &Reservation, answer: Granted) -> Option<Duration> {
        let now = Instant::now();
        if self.has_forgotten(answer.epoch, now) {
            return None;
        }
        self.count(answer.processes, now);
        let (pause, is_news) = {
            let mut state = self.lock();
            if !matches!(state.mode, Mode::Granted) {
                return None;
            }
            state.epoch = Some(answer.epoch);
            state.is_queued = ask.want > answer.count;
            let is_kept = std::mem::replace(&mut state.is_kept_soon, true);
            if !is_kept {
                self.keeps.notify_one();
            }
            if answer.count > 0 {
                state.grant(answer.count, answer.tick, answer.epoch, ask.tokens, now);
                (None, true)
            } else {
                let until = now + answer.wait;
                let before = state.refused.map(|refused| refused.until);
                state.refuse(ask, until);
                let apart = before.map(|before| before.max(until) - before.min(until));
                (Some(answer.pause), apart.is_none_or(|apart| apart > NOTABLE))
            }
        };
        self.status.found(&self.speaker.ledger, answer.processes);
        if is_news {
            self.told.tell();
        }
        pause
    }
}
