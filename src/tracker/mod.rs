//! What a deployment spent in the last 60 s, and permits to spend more.
//!
//! [`window`] is the arithmetic, and knows no clock; what providers say of their limits is held against it. A [`Tracker`]
//! puts requests, tokens and concurrency behind one lock, may stand on the tracker of an account that several
//! deployments share, and hands out a [`Permit`] for each request, which settles to what the request really cost. Where several
//! processes count together, a [`Ledger`] says what this one may.

mod accounts;
mod admission;
mod counter;
mod detached;
mod heard;
mod in_force;
mod ledger;
mod listeners;
mod permit;
#[allow(clippy::module_inception, reason = "the folder is the subject, the file the type")]
mod tracker;
mod turn;
mod view;
mod wait;
pub mod window;

use tokio::time::Instant;

pub use accounts::account;
pub(crate) use accounts::go_on;
pub use heard::{Quota, RateLimits};
pub use ledger::{Asked, Basis, Ended, Ledger, Receipt, Told};
pub use permit::Permit;
pub use tracker::{Subscription, Tracker};
pub use turn::{Ticket, Turn};
pub use wait::{fits_within, wait_alone, wait_behind, wait_in_order};

/// Limits of one deployment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Requests in any 60 s. Default: unlimited.
    pub rpm: Option<u64>,
    /// Tokens in any 60 s, prompt and completion together. Default: unlimited.
    pub tpm: Option<u64>,
    /// Requests in flight. Default: unlimited.
    pub max_concurrent: Option<u64>,
}

/// Why there is no permit now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Not before this moment; then there will be room, if nobody else takes it and a slot is free.
    Until(Instant),
    /// As soon as a request in flight ends.
    Release,
    /// As soon as a request in flight ends, or at this moment, whichever is first. No tracker says so, but who asks
    /// several of them does, or something else that has a bound of its own.
    ReleaseOr(Instant),
    /// As soon as an answer is there that was asked for: whoever counts for several processes, within its own bound.
    Asked,
    /// Never: the request is larger than the limit.
    Never,
}

/// Spent or reserved in the last 60 s.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// Requests.
    pub requests: u64,
    /// Tokens.
    pub tokens: u64,
}

/// What is left of the limits; `None` is unlimited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Remaining {
    /// Requests.
    pub requests: Option<u64>,
    /// Tokens.
    pub tokens: Option<u64>,
}

/// What waits in front of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ahead {
    /// Requests.
    pub requests: u64,
    /// Tokens of all of them.
    pub tokens: u64,
    /// Tokens of the smallest of them; `None` if there is none. It tells requests of one size, for which waits are
    /// exact, from a mixture.
    pub smallest: Option<u64>,
    /// Tokens of the largest of them; 0 if there is none.
    pub largest: u64,
}

impl Ahead {
    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        let smallest = [self.smallest, other.smallest].into_iter().flatten().min();
        Self {
            requests: self.requests.saturating_add(other.requests),
            tokens: self.tokens.saturating_add(other.tokens),
            smallest,
            largest: self.largest.max(other.largest),
        }
    }
}

/// Limits that a provider named itself, in force as if they had been set if they are tighter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Learned {
    /// Requests per minute.
    pub rpm: Option<u64>,
    /// Tokens per minute.
    pub tpm: Option<u64>,
}

/// What strategies look at.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Load {
    /// Requests in flight.
    pub in_flight: u64,
    /// How many may be; `None` is unlimited.
    pub max_concurrent: Option<u64>,
    /// Share of its requests per minute that is left, from 0 to 1; 1 if unlimited.
    pub requests_left: f64,
    /// Share of its tokens per minute that is left, from 0 to 1; 1 if unlimited.
    pub tokens_left: f64,
}
