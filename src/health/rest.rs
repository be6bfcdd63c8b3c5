//! How long a deployment rests: pure arithmetic.

use std::time::Duration;

use crate::error::FailureClass;

/// How many times longer a deployment without quota, or with a dead key, rests: a minute instead of 5 s at first, with
/// the defaults, because somebody has to pay a bill or change a key before it helps.
pub const LONG_REST_FACTOR: u32 = 12;

/// A rest after an outage may be as long as this, 5 s, however short the outage was.
const PROMPT_REST: Duration = Duration::from_secs(5);

/// After an outage, a rest may be as long as this part of it, a twelfth: 5 s after a minute, 25 s after five.
const OUTAGE_PARTS: u32 = 12;

/// The share of a rest that the jitter may take off, a fifth.
const JITTER: f64 = 0.2;

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

/// How a request failed, as far as the circuit is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Whose fault it was, and how bad.
    pub class: FailureClass,
    /// When the provider said to come back.
    pub retry_after: Option<Duration>,
    /// How long the attempt took.
    pub took: Duration,
}

impl Fault {
    /// Whether it may be over at any moment, and nobody has said when. A probe that fails fast costs its caller little, so
    /// it may come often; one that hangs for a minute may not.
    pub(super) fn is_soft(&self) -> bool {
        match self.class {
            FailureClass::Transient => self.retry_after.is_none(),
            FailureClass::Silent | FailureClass::Truncated => true,
            _ => false,
        }
    }

    /// When the provider wants to be asked again that only says "not now".
    pub(super) fn told(&self) -> Option<Duration> {
        let is_passing = matches!(self.class, FailureClass::RateLimited | FailureClass::Transient);
        self.retry_after.filter(|_| is_passing).map(|told| told.min(LONGEST_REST))
    }

    /// Whether somebody has to do something before it is over.
    pub(super) fn is_hard(&self) -> bool {
        matches!(self.class, FailureClass::Quota | FailureClass::Auth)
    }
}

/// How long to rest for a fault, after so many rests in a row, in an outage of this age.
pub(super) fn rest_length(
    fault: &Fault,
    doublings: u32,
    outage: Duration,
    options: &RestOptions,
    rng: &mut fastrand::Rng,
) -> Duration {
    let factor = if fault.is_hard() { LONG_REST_FACTOR } else { 1 };
    let told = fault.retry_after.map(|told| told.min(options.cap.saturating_mul(factor)).min(LONGEST_REST));
    if let (FailureClass::RateLimited | FailureClass::Transient, Some(told)) = (fault.class, told) {
        // To the letter: what the provider says is neither jittered nor outgrown.
        return told;
    }
    let base = options.base.saturating_mul(factor);
    let cap = options.cap.max(options.base).saturating_mul(factor).min(LONGEST_REST);
    let grown = base.saturating_mul(1 << doublings.min(MOST_DOUBLINGS)).min(cap);
    let bound =
        if fault.is_soft() { options.base.max(PROMPT_REST).max(outage / OUTAGE_PARTS).max(fault.took) } else { cap };
    let length = grown.min(bound).mul_f64(1.0 - JITTER * rng.f64());
    if fault.is_soft() {
        // Counted from when it was sent, so that one that hangs until a clock runs out is tried as often as one that
        // fails at once; but as long as the attempt took, if the length allows, so that it is not probed all the time.
        return length.saturating_sub(fault.took).max(length.min(fault.took));
    }
    length.max(told.unwrap_or_default())
}
