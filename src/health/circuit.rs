//! The circuit of one deployment: arithmetic on what happened, with `now` as an argument.
//!
//! Closed, open until a time, half-open with one probe: the breaker of Nygard's "Release It!".

use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use crate::error::FailureClass;

/// Transient failures in a row that open a closed circuit. Three: one is retried on the spot, two are bad luck.
pub const FAILURES_TO_OPEN: u32 = 3;

/// How many times longer a deployment without quota, or with a dead key, rests: a minute instead of 5 s at first, with
/// the defaults, because somebody has to pay a bill or change a key before it helps.
pub const LONG_REST_FACTOR: u32 = 12;

/// When it is worth asking again while another request probes, a quarter of a second: nobody knows how long that takes.
pub const PROBE_PATIENCE: Duration = Duration::from_millis(250);

/// The longest rest, a day, whatever the options say, so that no sum of times overflows.
const LONGEST_REST: Duration = Duration::from_secs(24 * 3600);

/// The most doublings; the cap is reached long before.
const MOST_DOUBLINGS: u32 = 20;

/// How long a failing deployment rests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RestOptions {
    /// The first rest: `cooldownMs`.
    pub base: Duration,
    /// The longest, also for a `Retry-After`: `maxDelayMs`. A base above it counts as the longest rest instead.
    pub cap: Duration,
}

/// Whether a deployment is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CircuitState {
    /// It is.
    Closed,
    /// It rests.
    Open,
    /// It has rested, and one request at a time finds out whether it is back.
    HalfOpen,
}

/// What a circuit says to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    Open,
    Probe(u64),
    Rest(Instant),
}

#[derive(Debug)]
pub(super) struct Circuit {
    /// `None` while closed.
    rest: Option<Rest>,
    /// Transient failures in a row while closed.
    failures: u32,
    /// The number of the probe that is under way.
    probe: Option<u64>,
    /// Probes so far, so that a late guard does not free a later one's place.
    probes: u64,
    rng: fastrand::Rng,
}

#[derive(Clone, Copy, Debug)]
struct Rest {
    until: Instant,
    class: FailureClass,
    /// Rests before this one that no success ended.
    doublings: u32,
}

impl Circuit {
    pub(super) fn new(rng: fastrand::Rng) -> Self {
        Self { rest: None, failures: 0, probe: None, probes: 0, rng }
    }

    /// As new, but for the numbers of probes, which stay unique.
    pub(super) fn reset(&mut self) {
        (self.rest, self.failures, self.probe) = (None, 0, None);
    }

    pub(super) fn enter(&mut self, now: Instant) -> Entry {
        if self.rest.is_none() {
            return Entry::Open;
        }
        if let Some(until) = self.rest_until(now) {
            return Entry::Rest(until);
        }
        self.probes += 1;
        self.probe = Some(self.probes);
        Entry::Probe(self.probes)
    }

    pub(super) fn leave(&mut self, probe: u64) {
        if self.probe == Some(probe) {
            self.probe = None;
        }
    }

    pub(super) fn rest_until(&self, now: Instant) -> Option<Instant> {
        let until = self.rest?.until;
        if until > now { Some(until) } else { self.probe.map(|_| now + PROBE_PATIENCE) }
    }

    pub(super) fn state(&self, now: Instant) -> (CircuitState, Duration) {
        match self.rest {
            None => (CircuitState::Closed, Duration::ZERO),
            Some(rest) if rest.until > now => (CircuitState::Open, rest.until - now),
            Some(_) => (CircuitState::HalfOpen, Duration::ZERO),
        }
    }

    pub(super) fn class(&self) -> Option<FailureClass> {
        self.rest.map(|rest| rest.class)
    }

    pub(super) fn succeed(&mut self, now: Instant) {
        if self.rest.is_some_and(|rest| rest.until > now) {
            return;
        }
        self.rest = None;
        self.failures = 0;
        self.probe = None;
    }

    pub(super) fn fail(
        &mut self,
        class: FailureClass,
        retry_after: Option<Duration>,
        now: Instant,
        options: &RestOptions,
    ) {
        let factor = match class {
            FailureClass::Rejected | FailureClass::TooLong => return,
            FailureClass::RateLimited => 1,
            FailureClass::Quota | FailureClass::Auth => LONG_REST_FACTOR,
            FailureClass::Transient | FailureClass::Silent | FailureClass::Truncated => {
                let is_resting = self.rest.is_some_and(|rest| rest.until > now);
                self.failures = self.failures.saturating_add(1);
                if is_resting || (self.rest.is_none() && self.failures < FAILURES_TO_OPEN) {
                    return;
                }
                1
            }
        };
        let doublings = match self.rest {
            None => 0,
            Some(rest) if rest.until > now => rest.doublings,
            Some(rest) => rest.doublings.saturating_add(1).min(MOST_DOUBLINGS),
        };
        let told = retry_after.map(|told| told.min(options.cap.saturating_mul(factor)).min(LONGEST_REST));
        let length = match (class, told) {
            // To the letter: what the provider says is neither jittered nor outgrown.
            (FailureClass::RateLimited, Some(told)) => told,
            _ => self.grown(options, factor, doublings).max(told.unwrap_or_default()),
        };
        let until = now + length;
        match &mut self.rest {
            Some(rest) if rest.until >= until => rest.doublings = doublings,
            rest => *rest = Some(Rest { until, class, doublings }),
        }
    }

    /// `base * 2^doublings`, jittered by 20 % either way, at most the cap; a base above the cap is its own cap.
    fn grown(&mut self, options: &RestOptions, factor: u32, doublings: u32) -> Duration {
        let base = options.base.saturating_mul(factor);
        let cap = options.cap.max(options.base).saturating_mul(factor).min(LONGEST_REST);
        let seconds = base.as_secs_f64() * f64::from(1_u32 << doublings.min(MOST_DOUBLINGS));
        let jittered = seconds.min(cap.as_secs_f64()) * (0.8 + 0.4 * self.rng.f64());
        Duration::try_from_secs_f64(jittered).map_or(cap, |length| length.min(cap))
    }
}
