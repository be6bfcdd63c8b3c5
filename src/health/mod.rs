//! Whether a deployment is fit to be asked, and how fast it has been.

mod circuit;
mod evidence;
mod latency;
mod ramp;
mod rest;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::time::Instant;

pub use circuit::{CircuitState, Hold, PROBE_PATIENCE, Status};
pub use evidence::FAILURES_TO_OPEN;
pub use latency::{Latency, Quantiles, hedge_delay};
pub use rest::{Fault, LONG_REST_FACTOR, RestOptions};

use crate::error::FailureClass;
use circuit::{Circuit, Request};

/// One deployment's circuit; clones share it. Who is alone in its group may be asked in spite of it: that is the
/// caller's business.
#[derive(Clone, Debug)]
pub struct Health {
    shared: Arc<Shared>,
}

struct Shared {
    /// A std mutex: nothing is awaited while it is held, and nothing under it leaves the circuit half changed.
    circuit: Mutex<Circuit>,
    listener: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

/// The right to ask a deployment once, and to say how it went. Keep it until the outcome was told to [`Health::succeed`]
/// or [`Health::fail`]; however it is dropped, the next one may go.
#[derive(Debug)]
#[must_use = "one that is dropped lets the next one in"]
pub struct Pass {
    shared: Arc<Shared>,
    number: u64,
    is_on_trial: bool,
    has_begun: AtomicBool,
}

impl Health {
    /// A healthy deployment whose jitter is the same for the same seed.
    #[must_use]
    pub fn with_seed(seed: u64) -> Self {
        let circuit = Mutex::new(Circuit::new(fastrand::Rng::with_seed(seed)));
        Self { shared: Arc::new(Shared { circuit, listener: OnceLock::new() }) }
    }

    /// Calls `listener` whenever a request on trial has ended, so that another may go. It must be quick and must not
    /// panic; it is called from [`Pass`]'s `Drop`, without any lock held. Only the first listener is taken.
    pub fn on_room(&self, listener: impl Fn() + Send + Sync + 'static) {
        let _first = self.shared.listener.set(Box::new(listener));
    }

    /// Forgets every failure, and what becomes of the requests that are under way: what failed is no longer there.
    pub fn reset(&self) {
        self.lock().reset();
    }

    /// The right to ask it now: freely while the circuit is closed; on trial, one at a time when it has rested and as
    /// many as it may take while it ramps up.
    ///
    /// # Errors
    /// Why not now.
    pub fn admit(&self, now: Instant) -> Result<Pass, Hold> {
        let (number, is_on_trial) = self.lock().enter(now)?;
        Ok(self.pass(number, is_on_trial))
    }

    /// The right to ask it whether it rests or not.
    pub fn overrule(&self) -> Pass {
        let number = self.lock().number();
        self.pass(number, false)
    }

    fn pass(&self, number: u64, is_on_trial: bool) -> Pass {
        Pass { shared: Arc::clone(&self.shared), number, is_on_trial, has_begun: AtomicBool::new(false) }
    }

    /// Why it may not be asked now, by a request that has this many in front of it: what [`Health::admit`] would say.
    /// Behind others it is what time alone will do; answers may do it sooner.
    #[must_use]
    pub fn hold(&self, now: Instant, ahead: u64) -> Option<Hold> {
        self.lock().hold(now, ahead)
    }

    /// Until when its provider asked to be left alone, if it rests and that is longer than the rest: nobody waits that long,
    /// but after the rest one request finds out whether it is still so.
    #[must_use]
    pub fn left_alone(&self, now: Instant) -> Option<Instant> {
        self.lock().left_alone(now)
    }

    /// Whether it rests or is being probed. One that ramps up is not out, though it may not take this request yet.
    #[must_use]
    pub fn is_out(&self, now: Instant) -> bool {
        self.lock().is_out(now)
    }

    /// Whether it is not out, and three quarters of what it was asked in the last second or so went well; or all but one.
    #[must_use]
    pub fn is_sound(&self, now: Instant) -> bool {
        self.lock().is_sound(now)
    }

    /// Whether it has rested, and the next request would find out whether it is back.
    #[must_use]
    pub fn is_due(&self, now: Instant) -> bool {
        self.lock().is_due(now)
    }

    /// An answer has begun: its first token came, or all of it at once. It ends a rest, so that a long answer does not keep
    /// everyone else out, unless the deployment rests because its answers broke off. True if it did. To be told once of
    /// each request that is answered, before [`Health::succeed`].
    pub fn begin_answer(&self, pass: &Pass, now: Instant) -> bool {
        // Of one request, whose outcome is told after it: there is nothing to order.
        pass.has_begun.store(true, Ordering::Relaxed);
        self.lock().begin_answer(pass.number, now)
    }

    /// It answered. Closes the circuit and ramps up, unless the request was sent before the deployment failed: then it
    /// says nothing about the time after it. True if it ended a rest.
    ///
    /// While it ramps up it takes as many requests at once as it has answered since, and one more; and at least twice as
    /// many with every half second. After 5 s it takes all, or after 10 s if a thousand are not enough. After a dead key or
    /// an empty account it does at once.
    pub fn succeed(&self, pass: &Pass, now: Instant) -> bool {
        self.lock().succeed(pass.number, now)
    }

    /// It failed. True if it rests because of that, or longer. What follows depends on the class:
    ///
    /// - rejected, too long: nothing, the request was at fault;
    /// - rate limited, or transient with a `retry_after`: rests at once for `retry_after`, at most `rest.cap`; a rate
    ///   limit without one for the growing base;
    /// - quota, auth: rests at once, [`LONG_REST_FACTOR`] times as long as others (both base and cap);
    /// - transient, silent, truncated: rests after [`FAILURES_TO_OPEN`] in a row if less than a quarter of what it was
    ///   asked in the last second or so went well, or after twenty in a row; when it was being probed, at once; and while
    ///   it ramps up, as soon as less than a quarter goes well, where the answer to the probe counts for little.
    ///
    /// The base doubles with every rest in a row that no success ended, up to the cap, less a jitter of up to 20 %. For
    /// the last group it is no longer than the longest of the base, 5 s, a twelfth of the time for which the deployment
    /// has been failing and the time that the failed attempt took; it counts from when that was sent, but is not cut to
    /// less than the attempt took.
    ///
    /// A rest is never shortened by a later, smaller one. Requests that were under way when it began make it longer if
    /// they are of the first two groups that rest at once, do not make it grow, and have nothing to say once it is over.
    pub fn fail(&self, pass: &Pass, fault: &Fault, now: Instant, rest: &RestOptions) -> bool {
        let request = Request { number: pass.number, has_begun: pass.has_begun.load(Ordering::Relaxed) };
        self.lock().fail(request, fault, now, rest)
    }

    /// The circuit as it is.
    #[must_use]
    pub fn status(&self, now: Instant) -> Status {
        self.lock().status(now)
    }

    /// The class of the failure that it rests for, or is probed after; `None` while the circuit is closed.
    #[must_use]
    pub fn last_class(&self) -> Option<FailureClass> {
        self.lock().class()
    }

    fn lock(&self) -> MutexGuard<'_, Circuit> {
        self.shared.lock()
    }
}

impl Default for Health {
    fn default() -> Self {
        Self::with_seed(fastrand::u64(..))
    }
}

impl Pass {
    /// Gives it back unused, and tells nobody: for who was about to ask, and found that there is no room.
    pub fn give_back(mut self) {
        if std::mem::take(&mut self.is_on_trial) {
            self.shared.lock().leave(self.number);
        }
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        if !self.is_on_trial {
            return;
        }
        self.shared.lock().leave(self.number);
        if let Some(listener) = self.shared.listener.get() {
            listener();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Circuit> {
        self.circuit.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("circuit", &*self.lock()).finish_non_exhaustive()
    }
}
