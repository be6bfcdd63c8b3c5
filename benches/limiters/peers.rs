//! thryd's window and what others use in its place, all asked the same way.

use std::cell::Cell;
use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::rc::Rc;
use std::time::Duration;

use governor::clock::FakeRelativeClock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{NotKeyed, StateStore};
use governor::{Quota, RateLimiter};
use thryd::tracker::Limits;
use thryd::tracker::window::{Room, Window};

use crate::{MINUTE, RPM, TPM};

pub trait Limiter {
    /// Admits one request, all or nothing, or says the earliest moment at which it would. Time never goes back.
    fn admit(&mut self, tokens: u64, now: Duration) -> Result<(), Duration>;
}

impl<const COUNT: usize> Limiter for Window<COUNT> {
    fn admit(&mut self, tokens: u64, now: Duration) -> Result<(), Duration> {
        match self.room(Limits { rpm: Some(RPM), tpm: Some(TPM), max_concurrent: None }, tokens, now) {
            Room::Now => {
                self.charge(tokens, now);
                Ok(())
            }
            Room::At(at) => Err(at),
            Room::Never => panic!("no request is larger than the limit"),
        }
    }
}

/// The ideal: every admission is remembered until it is more than 60 s ago.
#[derive(Default)]
pub struct Log {
    admitted: VecDeque<(Duration, u64)>,
    tokens: u64,
}

impl Limiter for Log {
    fn admit(&mut self, tokens: u64, now: Duration) -> Result<(), Duration> {
        while let Some((_, tokens)) = self.admitted.front().filter(|(at, _)| *at + MINUTE < now) {
            self.tokens -= tokens;
            self.admitted.pop_front();
        }
        if (self.admitted.len() as u64) < RPM && self.tokens + tokens <= TPM {
            self.admitted.push_back((now, tokens));
            self.tokens += tokens;
            return Ok(());
        }
        // The oldest has to leave, and perhaps more after it: then it is asked again.
        Err(self.admitted.front().map_or(now, |(at, _)| *at) + MINUTE + Duration::from_nanos(1))
    }
}

/// Counts in minutes that do not slide: those of the clock, or each from the first request after the last one ended.
pub struct Minutes {
    are_of_the_clock: bool,
    end: Duration,
    requests: u64,
    tokens: u64,
}

impl Minutes {
    pub fn new(are_of_the_clock: bool) -> Self {
        Self { are_of_the_clock, end: Duration::ZERO, requests: 0, tokens: 0 }
    }
}

impl Limiter for Minutes {
    fn admit(&mut self, tokens: u64, now: Duration) -> Result<(), Duration> {
        if now >= self.end {
            let start = if self.are_of_the_clock { MINUTE * minutes(now) } else { now };
            (self.end, self.requests, self.tokens) = (start + MINUTE, 0, 0);
        }
        if self.requests < RPM && self.tokens + tokens <= TPM {
            self.requests += 1;
            self.tokens += tokens;
            return Ok(());
        }
        Err(self.end)
    }
}

fn minutes(at: Duration) -> u32 {
    u32::try_from(at.as_secs() / MINUTE.as_secs()).expect("a few days")
}

/// Two buckets that hold a minute's quota and fill continuously. Exact: a level is in units of quota times nanoseconds.
pub struct TokenBuckets {
    requests: u128,
    tokens: u128,
    at: Duration,
}

const FULL: u128 = MINUTE.as_nanos();

impl Default for TokenBuckets {
    fn default() -> Self {
        Self { requests: u128::from(RPM) * FULL, tokens: u128::from(TPM) * FULL, at: Duration::ZERO }
    }
}

impl Limiter for TokenBuckets {
    fn admit(&mut self, tokens: u64, now: Duration) -> Result<(), Duration> {
        let passed = (now - self.at).as_nanos();
        let (rpm, tpm) = (u128::from(RPM), u128::from(TPM));
        self.requests = (self.requests + passed * rpm).min(rpm * FULL);
        self.tokens = (self.tokens + passed * tpm).min(tpm * FULL);
        self.at = now;
        let wanted = u128::from(tokens) * FULL;
        if self.requests >= FULL && self.tokens >= wanted {
            self.requests -= FULL;
            self.tokens -= wanted;
            return Ok(());
        }
        let nanos = |wanted: u128, level: u128, rate: u128| wanted.saturating_sub(level).div_ceil(rate);
        let wait = nanos(FULL, self.requests, rpm).max(nanos(wanted, self.tokens, tpm));
        Err(now + Duration::from_nanos(u64::try_from(wait).expect("at most a minute")))
    }
}

/// GCRA as the crate `governor` has it: one limiter for requests, one for tokens.
///
/// It has no way to ask without taking, and gives nothing back. So that a request which the one refuses has not lost
/// what the other gave, which would be unfair to it, the states are [`Held`]: both are asked first, then both take.
pub struct Gcra {
    clock: FakeRelativeClock,
    at: Duration,
    requests: (One, Held),
    tokens: (One, Held),
}

type One = RateLimiter<NotKeyed, Held, FakeRelativeClock, NoOpMiddleware<Nanos>>;

/// The state of one GCRA: the one that counts, and the one that it would have after the last check.
#[derive(Clone, Default)]
struct Held {
    current: Rc<Cell<Option<Nanos>>>,
    next: Rc<Cell<Option<Nanos>>>,
}

impl StateStore for Held {
    type Key = NotKeyed;

    fn measure_and_replace<T, F, E>(&self, _key: &NotKeyed, check: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let (value, next) = check(self.current.get())?;
        self.next.set(Some(next));
        Ok(value)
    }
}

impl Gcra {
    /// As many at once as `bursts` says, requests and tokens.
    pub fn new(bursts: (u64, u64)) -> Self {
        let clock = FakeRelativeClock::default();
        let one = |limit, burst| {
            let held = Held::default();
            let quota = Quota::per_minute(cells(limit)).allow_burst(cells(burst));
            (RateLimiter::new(quota, held.clone(), clock.clone()), held)
        };
        Self { requests: one(RPM, bursts.0), tokens: one(TPM, bursts.1), at: Duration::ZERO, clock }
    }
}

impl Limiter for Gcra {
    fn admit(&mut self, tokens: u64, now: Duration) -> Result<(), Duration> {
        self.clock.advance(now - self.at);
        self.at = now;
        let asked = [(&self.requests, cells(1)), (&self.tokens, cells(tokens))];
        for ((limiter, _), cells) in asked {
            if let Err(until) = limiter.check_n(cells).expect("no request is larger than the burst") {
                return Err(Duration::from_nanos(until.earliest_possible().as_u64()));
            }
        }
        for ((_, held), _) in asked {
            held.current.set(held.next.get());
        }
        Ok(())
    }
}

fn cells(count: u64) -> NonZeroU32 {
    u32::try_from(count).ok().and_then(NonZeroU32::new).expect("limits and sizes are small and not zero")
}
