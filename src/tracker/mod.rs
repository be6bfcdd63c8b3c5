//! Stub: what a deployment spent in the last 60 s, and permits to spend more.
use std::time::Duration;

use tokio::time::Instant;

/// Limits of one deployment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Requests in any 60 s.
    pub rpm: Option<u64>,
    /// Tokens in any 60 s.
    pub tpm: Option<u64>,
    /// Requests in flight.
    pub max_concurrent: Option<u64>,
}

/// Why there is no permit now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// There will be room at this moment, if nobody else takes it.
    Until(Instant),
    /// As soon as a request in flight ends.
    Release,
    /// Never: the request is larger than the limit.
    Never,
}

/// The usage window of one deployment; clones share it.
#[derive(Clone, Debug)]
pub struct Tracker {}

/// Spent or reserved in the last 60 s.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// Requests.
    pub requests: u64,
    /// Tokens.
    pub tokens: u64,
}

impl Tracker {
    /// An empty window.
    #[must_use]
    pub fn new(_limits: Limits) -> Self {
        todo!()
    }
    /// The limits.
    #[must_use]
    pub fn limits(&self) -> Limits {
        todo!()
    }
    /// Changes the limits; what was spent stays spent.
    pub fn set_limits(&self, _limits: Limits) {
        todo!()
    }
    /// Reserves one request and these tokens, all or nothing.
    ///
    /// # Errors
    /// Why not now.
    pub fn try_acquire(&self, _tokens: u64, _now: Instant) -> Result<Permit, Wait> {
        todo!()
    }
    /// The same question without reserving: how long until this many requests and tokens could be admitted.
    #[must_use]
    pub fn wait_for(&self, _requests: u64, _tokens: u64, _now: Instant) -> Option<Duration> {
        todo!()
    }
    /// Spent or reserved in the window that ends now.
    #[must_use]
    pub fn spent(&self, _now: Instant) -> Spent {
        todo!()
    }
    /// Requests in flight.
    #[must_use]
    pub fn in_flight(&self) -> u64 {
        todo!()
    }
}

/// A reservation. Dropped before [`Permit::sent`] it gives everything back; after it, the reservation stays charged
/// unless [`Permit::settle`] says what it really was.
#[derive(Debug)]
pub struct Permit {}

impl Permit {
    /// The request is about to reach the provider.
    pub fn sent(&mut self) {
        todo!()
    }
    /// What it really cost.
    pub fn settle(self, _tokens: u64) {
        todo!()
    }
    /// It never reached the provider: gives everything back even after [`Permit::sent`].
    pub fn give_back(self) {
        todo!()
    }
}
