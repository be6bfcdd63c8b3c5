//! Whether a deployment is fit to be asked, and how fast it has been.

mod circuit;
mod latency;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

pub use circuit::{CircuitState, FAILURES_TO_OPEN, LONG_REST_FACTOR, PROBE_PATIENCE, RestOptions};
pub use latency::{Latency, Quantiles, hedge_delay};

use crate::error::FailureClass;
use circuit::{Circuit, Entry};

/// One deployment's circuit; clones share it. Who is alone in its group may be asked in spite of it: that is the
/// caller's business.
#[derive(Clone, Debug)]
pub struct Health {
    circuit: Arc<Mutex<Circuit>>,
}

/// Whether a deployment may be asked.
#[derive(Debug)]
pub enum Admission {
    /// It may.
    Yes,
    /// It may, by this one request alone, to find out whether it is back. Keep the guard until the outcome was told to
    /// [`Health::succeed`] or [`Health::fail`]; however it is dropped, the next one may probe.
    Probe(ProbeGuard),
    /// It may not before this moment.
    Rest(Instant),
}

/// The right to probe a deployment. There is one at a time.
#[derive(Debug)]
pub struct ProbeGuard {
    circuit: Arc<Mutex<Circuit>>,
    number: u64,
}

impl Health {
    /// A healthy deployment whose jitter is the same for the same seed.
    #[must_use]
    pub fn with_seed(seed: u64) -> Self {
        Self { circuit: Arc::new(Mutex::new(Circuit::new(fastrand::Rng::with_seed(seed)))) }
    }

    /// Forgets every failure: what failed is no longer there.
    pub fn reset(&self) {
        lock(&self.circuit).reset();
    }

    /// Whether it may be asked now.
    #[must_use]
    pub fn admit(&self, now: Instant) -> Admission {
        match lock(&self.circuit).enter(now) {
            Entry::Open => Admission::Yes,
            Entry::Probe(number) => Admission::Probe(ProbeGuard { circuit: Arc::clone(&self.circuit), number }),
            Entry::Rest(until) => Admission::Rest(until),
        }
    }

    /// Until when it may not be asked: the [`Admission::Rest`] that [`Health::admit`] would give. `None` is now.
    #[must_use]
    pub fn rest_until(&self, now: Instant) -> Option<Instant> {
        lock(&self.circuit).rest_until(now)
    }

    /// It answered. Closes the circuit, unless it is to rest still: a request that was sent before the failure says
    /// nothing about the time after it.
    pub fn succeed(&self, now: Instant) {
        lock(&self.circuit).succeed(now);
    }

    /// It failed. What follows depends on the class:
    ///
    /// - rejected, too long: nothing, the request was at fault;
    /// - rate limited: rests at once for `retry_after`, at most `rest.cap`, or else for the growing base;
    /// - quota, auth: rests at once, [`LONG_REST_FACTOR`] times as long as others (both base and cap);
    /// - transient, silent, truncated: rests after [`FAILURES_TO_OPEN`] in a row, or when it was being probed.
    ///
    /// The base doubles with every rest in a row that no success ended, with a jitter of 20 % either way, up to the cap.
    /// A rest is never shortened by a later, smaller one, and failures of requests that were under way when it began do
    /// not make it grow.
    pub fn fail(&self, class: FailureClass, retry_after: Option<Duration>, now: Instant, rest: &RestOptions) {
        lock(&self.circuit).fail(class, retry_after, now, rest);
    }

    /// The circuit, and for how long it is open.
    #[must_use]
    pub fn state(&self, now: Instant) -> (CircuitState, Duration) {
        lock(&self.circuit).state(now)
    }

    /// The class of the failure that it rests for, or is probed after; `None` while the circuit is closed.
    #[must_use]
    pub fn last_class(&self) -> Option<FailureClass> {
        lock(&self.circuit).class()
    }
}

impl Default for Health {
    fn default() -> Self {
        Self::with_seed(fastrand::u64(..))
    }
}

impl Drop for ProbeGuard {
    fn drop(&mut self) {
        lock(&self.circuit).leave(self.number);
    }
}

// A std mutex: nothing is awaited while it is held, and nothing under it leaves the circuit half changed.
fn lock(circuit: &Mutex<Circuit>) -> MutexGuard<'_, Circuit> {
    circuit.lock().unwrap_or_else(PoisonError::into_inner)
}
