//! Speaks with Redis for one deployment: asks for what its line has use for, tells what requests cost, gives back what nobody began,
//! and says that this process is alive.
//!
//! One script after another, never two at once: what is held, what is charged and what is asked for is said together, so that no
//! order in which answers come can make one of them untrue. One that was not answered in time runs [no later](super::clock) than the
//! next is said. What requests cost waits a moment for a request that it can be told
//! along with.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

use super::super::fault::{Fault, FaultKind};
use super::back::OTHERS_TELL_WITHIN;
use super::ledger::Inner;
use super::state::{COUNTS_FOR, Mode, Next, Say, TRIED_WITHIN, beats_every};
use super::wire::{Answer, Epoch, Meant, Words, count};

/// A wait that is said anew is worth a look at the line if it differs by this much.
const NOTABLE: Duration = Duration::from_millis(20);

/// How long a process takes at most until it looks whether Redis is still there, when its connection has ended: not all at once.
const LOOKS_WITHIN: Duration = Duration::from_millis(100);

/// Speaks until the ledger is gone.
pub(super) async fn run(inner: Arc<Inner>) {
    let running = Running(&inner);
    loop {
        let now = Instant::now();
        let next = inner.lock().next(inner.speaker.lease, now);
        match next {
            Next::End => break,
            Next::ComeBack => {
                if !inner.come_back().await {
                    let pause = inner.lock().pause(now);
                    drop(timeout_at(now + pause, inner.news.notified()).await);
                }
            }
            Next::Say(say) => inner.say(say, now).await,
            Next::Wait(until) => inner.wait(until, now).await,
        }
    }
    inner.end().await;
    drop(running);
}

/// Says that nobody speaks any longer, however that came about: whoever asks next begins anew, and goes on alone until then.
struct Running<'a>(&'a Inner);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let is_over = {
            let mut state = self.0.lock();
            (state.is_running, state.mode) = (false, Mode::Local);
            state.is_over
        };
        if !is_over {
            self.0.told.tell();
        }
    }
}

impl Inner {
    /// Waits for something to do. Of a connection that ends is heard at once, as long as what was admitted counts: a Redis that was
    /// started again is to be told before anybody is granted anything by it.
    async fn wait(&self, until: Option<Instant>, now: Instant) {
        let until = until.unwrap_or(now + COUNTS_FOR);
        let is_of_use = self.lock().is_of_use(now);
        let news = timeout_at(until, self.news.notified());
        if !is_of_use {
            drop(news.await);
            return;
        }
        tokio::select! {
            _ = news => {}
            fault = self.redis.lost(self.keys.window().as_bytes()) => {
                self.lock().is_cut = true;
                self.look(&fault).await;
            }
        }
    }

    /// Looks whether Redis is still there, and knows what it was told, after its connection has ended: it may have been closed for
    /// being idle. Where nothing counts any more, that is for whoever asks next to find out.
    async fn look(&self, fault: &Fault) {
        let now = Instant::now();
        if !self.lock().is_of_use(now) {
            return;
        }
        if self.redis.fault_of(self.keys.window().as_bytes()).is_some() {
            self.go_local(fault);
            return;
        }
        let spread = LOOKS_WITHIN.mul_f64(fastrand::f64());
        if timeout_at(now + spread, self.news.notified()).await.is_ok() {
            // What is to be said now finds it out.
            return;
        }
        let say = {
            let state = self.lock();
            let (holds, limits, account) = (state.holds(), state.limits, state.account);
            let meant = state.epoch.map_or_else(Meant::default, Epoch::meant);
            Say { ask: None, costs: Vec::new(), leaves: false, counts: true, holds, limits, account, meant }
        };
        self.say(say, Instant::now()).await;
    }

    async fn say(&self, say: Say, asked: Instant) {
        match self.count(&say.words()).await {
            Ok(answer) => self.hear(&say, &answer, asked),
            Err(fault) => {
                self.lock().corrections.restore(say.costs, say.meant.own, fault.is_refusal(), Instant::now());
                self.go_local(&fault);
            }
        }
    }

    /// Runs the script, in time or not at all. Where the server has another clock than it had, it is asked again.
    pub async fn count(&self, words: &Words<'_>) -> Result<Answer, Fault> {
        for _ in 0..2 {
            let asked = Instant::now();
            let latest = self.lock().clock.says(self.redis.options().timeout, asked);
            let words = Words { latest, ..words.clone() };
            let mut counting = pin!(count(&self.redis, &self.keys, &self.speaker, &words));
            // What fails at once was not sent: there is no connection.
            let (answer, is_sent) = match poll_fn(|context| Poll::Ready(counting.as_mut().poll(context))).await {
                Poll::Ready(answer) => (answer, false),
                Poll::Pending => (counting.await, true),
            };
            let clock = &mut self.lock().clock;
            match &answer {
                Ok(answer) => clock.hears(answer.clock, asked, Instant::now()),
                Err(fault) if fault.kind == FaultKind::Slow && is_sent => clock.gives_up(Instant::now()),
                Err(_) => clock.is_over(),
            }
            if !answer.as_ref().is_ok_and(|answer| answer.is_late) {
                return answer;
            }
        }
        Err(Fault::refused("the clock of Redis jumps"))
    }

    /// Takes an answer.
    fn hear(&self, said: &Say, answer: &Answer, asked: Instant) {
        let now = Instant::now();
        if self.has_forgotten(answer.epoch, now) {
            return;
        }
        let is_news = {
            let mut state = self.lock();
            if let Some(processes) = answer.processes {
                (state.processes, state.counted) = (processes.max(1), Some(now));
            }
            state.tick = answer.tick;
            // A window that is not there is begun by whoever asks.
            if said.ask.is_some() || state.epoch.is_some() {
                state.found(answer.epoch, asked);
            }
            match said.ask {
                None => false,
                Some(ask) => {
                    state.is_queued = ask.want > answer.count;
                    if state.is_queued && state.wanted.is_none() {
                        state.left.get_or_insert(now);
                    }
                    if answer.count > 0 {
                        state.grant(answer, ask.tokens, asked, self.redis.options().timeout, now);
                        true
                    } else {
                        let before = state.refused.map(|refused| refused.until);
                        let until = state.refuse(ask, (said.limits, said.account), answer, now);
                        let apart = before.map(|before| before.max(until) - before.min(until));
                        apart.is_none_or(|apart| apart > NOTABLE)
                    }
                }
            }
        };
        self.status.found(&self.speaker.ledger, answer.processes);
        if is_news {
            self.told.tell();
        }
    }

    /// Whether windows have forgotten what this process was charged with: then it goes on alone until they were told.
    fn has_forgotten(&self, found: Epoch, now: Instant) -> bool {
        let (known, is_cut) = {
            let mut state = self.lock();
            (state.epoch, std::mem::take(&mut state.is_cut))
        };
        let forgotten = known.map_or([false; 2], |known| known.has_forgotten(found));
        if forgotten == [false; 2] {
            return false;
        }
        if self.told.history(now).is_empty() {
            // It expired, and there was nothing in it.
            self.lock().epoch = None;
            return false;
        }
        // Where no connection has ended, nobody else need have noticed before it says again that it is alive.
        let others_notice = if is_cut { Duration::ZERO } else { beats_every(self.speaker.lease) };
        {
            let mut state = self.lock();
            (state.patience, state.forgotten) = (others_notice + OTHERS_TELL_WITHIN, forgotten);
        }
        self.go_local(&Fault::refused("Redis has lost what was counted in the last minute, and is told again"));
        true
    }

    /// Tells what is left to be told when the tracker is gone: what was admitted without Redis, as long as that counts, what was granted
    /// and not begun. If it cannot be told, it stays charged.
    async fn end(&self) {
        let until = Instant::now() + COUNTS_FOR;
        while Instant::now() < until && self.lock().has_been_away(Instant::now()) {
            if !self.come_back().await {
                sleep(TRIED_WITHIN).await;
            }
        }
        let last = {
            let mut state = self.lock();
            if matches!(state.mode, Mode::Local) { None } else { state.last_words(until) }
        };
        if let Some(last) = last {
            drop(self.count(&last.words()).await);
        }
        self.status.forget(&self.speaker.ledger);
    }
}
