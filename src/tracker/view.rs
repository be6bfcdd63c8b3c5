//! What strategies look at, readable without the lock of the tracker while nothing changes.
//!
//! A group of a hundred deployments is looked at for every admission, and nearly all of them have not changed since the
//! last time. Every change makes the view stale with one store; whoever looks next takes the lock and refreshes it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use super::Load;

/// A copy of a [`Load`], and until when it is true. Written under the lock of its tracker alone. Read without it, numbers
/// of two moments may stand side by side: strategies prefer by them, nothing is admitted by them.
#[derive(Debug, Default)]
pub(super) struct View {
    /// In nanoseconds of the tracker's clock; 0 is stale.
    until: AtomicU64,
    in_flight: AtomicU64,
    /// `u64::MAX` is unlimited.
    max_concurrent: AtomicU64,
    /// The bits of an `f64`.
    requests_left: AtomicU64,
    /// The bits of an `f64`.
    tokens_left: AtomicU64,
    limits_tokens: AtomicBool,
}

impl View {
    /// The load, if it is known to be true still.
    pub fn read(&self, now: Duration) -> Option<Load> {
        if nanoseconds(now) >= self.until.load(Ordering::Acquire) {
            return None;
        }
        let max_concurrent = self.max_concurrent.load(Ordering::Relaxed);
        Some(Load {
            in_flight: self.in_flight.load(Ordering::Relaxed),
            max_concurrent: (max_concurrent < u64::MAX).then_some(max_concurrent),
            requests_left: f64::from_bits(self.requests_left.load(Ordering::Relaxed)),
            tokens_left: f64::from_bits(self.tokens_left.load(Ordering::Relaxed)),
        })
    }

    /// Whether tokens are limited, if it is known still.
    pub fn limits_tokens(&self, now: Duration) -> Option<bool> {
        let is_known = nanoseconds(now) < self.until.load(Ordering::Acquire);
        is_known.then(|| self.limits_tokens.load(Ordering::Relaxed))
    }

    /// Something changed.
    pub fn spoil(&self) {
        self.until.store(0, Ordering::Relaxed);
    }

    /// This is true until then, if nothing changes.
    pub fn refresh(&self, load: &Load, limits_tokens: bool, until: Duration) {
        self.in_flight.store(load.in_flight, Ordering::Relaxed);
        self.max_concurrent.store(load.max_concurrent.unwrap_or(u64::MAX), Ordering::Relaxed);
        self.requests_left.store(load.requests_left.to_bits(), Ordering::Relaxed);
        self.tokens_left.store(load.tokens_left.to_bits(), Ordering::Relaxed);
        self.limits_tokens.store(limits_tokens, Ordering::Relaxed);
        self.until.store(nanoseconds(until), Ordering::Release);
    }
}

/// Some 584 years fit.
fn nanoseconds(at: Duration) -> u64 {
    at.as_secs().saturating_mul(1_000_000_000).saturating_add(u64::from(at.subsec_nanos()))
}
