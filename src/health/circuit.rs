//! The circuit of one deployment: arithmetic on what happened, with `now` as an argument.
//!
//! Closed, open until a time, half-open with one probe: the breaker of Nygard's "Release It!". Three things are added. A
//! request speaks for the time at which it was sent: requests are numbered, and what was under way when a rest began says
//! nothing about the time after. That answers begin and that they are finished are two questions, because a long answer
//! that is finished says nothing of whether new ones begin. And one that has recovered ramps up.

use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use super::evidence::Evidence;
use super::ramp::Ramp;
use super::rest::{Fault, RestOptions, rest_length};
use crate::error::FailureClass;

/// When it is worth asking again while another request probes, a quarter of a second: nobody knows how long that takes.
pub const PROBE_PATIENCE: Duration = Duration::from_millis(250);

/// A request, as the circuit knows it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request {
    /// Later ones have higher numbers.
    pub number: u64,
    /// Whether its answer has begun.
    pub has_begun: bool,
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

/// A circuit at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// Whether the deployment is asked.
    pub state: CircuitState,
    /// For how long it is not; zero unless it is open.
    pub rest: Duration,
    /// What it rests for, or is probed after; `None` while it is closed.
    pub class: Option<FailureClass>,
    /// How many requests it takes at once, while it ramps up after a rest.
    pub allowance: Option<u64>,
}

/// Why a deployment is not asked now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// It rests until this moment.
    Rest(Instant),
    /// As many as it is to take now are on trial. Ask again when one of them has ended, or at this moment.
    Full(Instant),
}

impl Hold {
    /// When it is worth asking again, if nothing happens before.
    #[must_use]
    pub fn until(self) -> Instant {
        let (Self::Rest(at) | Self::Full(at)) = self;
        at
    }
}

#[derive(Debug)]
pub(super) struct Circuit {
    state: State,
    /// The number of the next request.
    next: u64,
    /// The first request since the last rest or reset began: those before it are late.
    first: u64,
    /// The first one since the rest or reset before that.
    first_before: u64,
    /// Requests that find out whether it is back, or how much it takes.
    on_trial: u64,
    /// Whether answers begin.
    beginnings: Evidence,
    /// Whether answers that have begun are finished.
    endings: Evidence,
    rng: fastrand::Rng,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Closed,
    /// Half-open once the rest is over.
    Open(Rest),
    RampingUp {
        ramp: Ramp,
        /// Rests before it in a row: until a whole answer has come, the first token alone ends no outage.
        doublings: Option<u32>,
    },
}

#[derive(Clone, Copy, Debug)]
struct Rest {
    until: Instant,
    class: FailureClass,
    /// Rests before this one that no success ended.
    doublings: u32,
    /// Whether answers began and were not finished: then only a whole one shows that it is back.
    is_broken_off: bool,
    /// Until when the provider asked to be left alone, if that is longer than it rests.
    told: Option<Instant>,
}

impl Circuit {
    pub(super) fn new(rng: fastrand::Rng) -> Self {
        Self {
            state: State::Closed,
            next: 0,
            first: 0,
            first_before: 0,
            on_trial: 0,
            beginnings: Evidence::default(),
            endings: Evidence::default(),
            rng,
        }
    }

    /// As new, for requests that are sent from now on.
    pub(super) fn reset(&mut self) {
        self.begin(State::Closed);
        (self.beginnings, self.endings) = (Evidence::default(), Evidence::default());
    }

    /// Lets a request in, if it may: its number, and whether it is on trial.
    pub(super) fn enter(&mut self, now: Instant) -> Result<(u64, bool), Hold> {
        self.end_ramp(now);
        if let Some(hold) = self.hold(now, 0) {
            return Err(hold);
        }
        let is_on_trial = !matches!(self.state, State::Closed);
        self.on_trial += u64::from(is_on_trial);
        Ok((self.number(), is_on_trial))
    }

    /// The number of a request that is sent now.
    pub(super) fn number(&mut self) -> u64 {
        self.next += 1;
        self.next - 1
    }

    /// A request that was on trial has ended.
    pub(super) fn leave(&mut self, number: u64) {
        if number >= self.first {
            self.on_trial = self.on_trial.saturating_sub(1);
        }
    }

    /// Why a request is not let in that has this many in front of it.
    pub(super) fn hold(&self, now: Instant, ahead: u64) -> Option<Hold> {
        match self.state {
            State::Closed => None,
            State::Open(rest) if rest.until > now => Some(Hold::Rest(rest.until)),
            State::Open(_) => (self.on_trial > 0).then(|| Hold::Full(now + PROBE_PATIENCE)),
            State::RampingUp { ramp, .. } => {
                let before = self.on_trial.saturating_add(ahead);
                let is_full = before >= ramp.allowance(now) && !ramp.is_over(self.on_trial, now);
                is_full.then(|| Hold::Full(ramp.exceeds_at(before)))
            }
        }
    }

    /// Until when its provider asked to be left alone, if it rests and that is longer than it does.
    pub(super) fn left_alone(&self, now: Instant) -> Option<Instant> {
        if let State::Open(rest) = self.state { rest.told.filter(|_| rest.until > now) } else { None }
    }

    /// Whether it rests or is being probed.
    pub(super) fn is_out(&self, now: Instant) -> bool {
        matches!(self.state, State::Open(rest) if rest.until > now || self.on_trial > 0)
    }

    /// Whether it is not out, and hardly fails.
    pub(super) fn is_sound(&self, now: Instant) -> bool {
        !self.is_out(now) && self.beginnings.is_good(now) && self.endings.is_good(now)
    }

    /// Whether it has rested and waits for a probe.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        matches!(self.state, State::Open(rest) if rest.until <= now) && self.on_trial == 0
    }

    pub(super) fn status(&self, now: Instant) -> Status {
        let closed = Status { state: CircuitState::Closed, rest: Duration::ZERO, class: None, allowance: None };
        match self.state {
            State::Closed => closed,
            State::Open(rest) => {
                let left = rest.until.saturating_duration_since(now);
                let state = if left.is_zero() { CircuitState::HalfOpen } else { CircuitState::Open };
                Status { state, rest: left, class: Some(rest.class), allowance: None }
            }
            State::RampingUp { ramp, .. } => {
                Status { allowance: (!ramp.is_over(self.on_trial, now)).then(|| ramp.allowance(now)), ..closed }
            }
        }
    }

    pub(super) fn class(&self) -> Option<FailureClass> {
        if let State::Open(rest) = self.state { Some(rest.class) } else { None }
    }

    /// The first token of an answer has come. True if that ends a rest.
    pub(super) fn begin_answer(&mut self, number: u64, now: Instant) -> bool {
        if number < self.first {
            return false;
        }
        self.beginnings.succeed(now);
        match self.state {
            State::Open(rest) if !rest.is_broken_off => {
                self.recover(rest, 0, now);
                true
            }
            _ => false,
        }
    }

    /// An answer has come. True if that ends a rest.
    pub(super) fn succeed(&mut self, number: u64, now: Instant) -> bool {
        if number < self.first {
            return false;
        }
        self.endings.succeed(now);
        match &mut self.state {
            State::Closed => false,
            State::Open(rest) => {
                let rest = *rest;
                self.recover(rest, 1, now);
                true
            }
            State::RampingUp { ramp, doublings } => {
                *doublings = None;
                ramp.succeed();
                self.end_ramp(now);
                false
            }
        }
    }

    /// A mended key or a paid bill needs no care.
    fn recover(&mut self, rest: Rest, answered: u64, now: Instant) {
        self.state = match rest.class {
            FailureClass::Auth | FailureClass::Quota => State::Closed,
            _ => {
                let doublings = (answered == 0).then_some(rest.doublings);
                State::RampingUp { ramp: Ramp::new(now, answered), doublings }
            }
        };
        self.beginnings = Evidence::of_probe(now);
        if answered > 0 {
            self.endings = Evidence::of_probe(now);
        }
    }

    fn end_ramp(&mut self, now: Instant) {
        if matches!(self.state, State::RampingUp { ramp, .. } if ramp.is_over(self.on_trial, now)) {
            self.state = State::Closed;
        }
    }

    /// From now on others speak.
    fn begin(&mut self, state: State) {
        (self.state, self.on_trial) = (state, 0);
        (self.first_before, self.first) = (self.first, self.next);
    }

    /// True if it rests because of this failure, or longer because of it.
    pub(super) fn fail(&mut self, request: Request, fault: &Fault, now: Instant, options: &RestOptions) -> bool {
        let Request { number, has_begun } = request;
        if fault.class.blames_request() {
            return false;
        }
        self.end_ramp(now);
        let under_way = match self.state {
            State::Open(rest) if rest.until > now => Some(rest),
            _ => None,
        };
        // Those that were under way when the rest began may lengthen it; older ones have nothing to say.
        if number < self.first && (under_way.is_none() || number < self.first_before) {
            return false;
        }
        let is_soft = fault.is_soft();
        if is_soft && under_way.is_some() {
            return false;
        }
        let evidence = if has_begun { &mut self.endings } else { &mut self.beginnings };
        if is_soft {
            evidence.fail(fault.took, now);
        }
        let evidence = *evidence;
        let doublings = match (self.state, under_way) {
            (_, Some(rest)) => rest.doublings,
            (State::Closed, None) if is_soft && !evidence.is_down() => return false,
            (State::RampingUp { .. }, None) if is_soft && !evidence.is_still_down() => return false,
            (State::Closed | State::RampingUp { doublings: None, .. }, None) => 0,
            (State::Open(Rest { doublings, .. }) | State::RampingUp { doublings: Some(doublings), .. }, None) => {
                doublings.saturating_add(1)
            }
        };
        let until = now + rest_length(fault, doublings, evidence.failing_for(now), options, &mut self.rng);
        let told = fault.told().map(|told| now + told).filter(|told| *told > until);
        let rest = Rest { until, class: fault.class, doublings, is_broken_off: is_soft && has_begun, told };
        match under_way {
            Some(before) if before.until >= until => return false,
            Some(_) => self.state = State::Open(rest),
            None => self.begin(State::Open(rest)),
        }
        true
    }
}
