//! Taking one of many deployments: in the order of the strategy, the first that is fit to be asked and has room.

use std::sync::Arc;

use tokio::time::Instant;

use super::group::Demand;
use super::strategy::{Candidate, Strategy, StrategyState};
use crate::deployment::Deployment;
use crate::health::{Hold, Pass};
use crate::tracker::{Load, Permit, Turn, Wait};

/// A deployment that was picked, with everything that it has to give back.
#[derive(Debug)]
pub(crate) struct Picked {
    pub deployment: Arc<Deployment>,
    pub permit: Permit,
    /// Held until its health knows how the attempt went.
    pub pass: Pass,
}

/// What a strategy remembers, and room to compute in, so that a pick allocates nothing.
#[derive(Debug, Default)]
pub(super) struct Choice {
    state: StrategyState,
    candidates: Vec<Candidate>,
    left: Vec<usize>,
}

impl Choice {
    /// Looks at the deployments, as far as the strategy does.
    pub fn begin(&mut self, strategy: Strategy, deployments: &[Arc<Deployment>], now: Instant) {
        self.candidates.clear();
        self.candidates.extend(deployments.iter().map(|one| one.candidate(strategy, now)));
        strategy.begin(&self.candidates, &mut self.state, &mut self.left);
    }

    /// The place of the next one to ask.
    pub fn next(&mut self, strategy: Strategy) -> Option<usize> {
        #[cfg(test)]
        super::panics::panic_if_due();
        strategy.next(&self.candidates, &mut self.state, &mut self.left)
    }

    /// This one was taken.
    pub fn picked(&mut self, index: usize) {
        self.state.picked(index);
    }
}

impl Deployment {
    /// What this strategy looks at; the rest is left out, because every number takes a lock.
    fn candidate(&self, strategy: Strategy, now: Instant) -> Candidate {
        match strategy {
            Strategy::FirstAvailable | Strategy::RoundRobin => Candidate::default(),
            Strategy::Weighted => Candidate { weight: self.weight(), ..Candidate::default() },
            Strategy::LeastLoaded => {
                let Load { in_flight, max_concurrent, requests_left, tokens_left } = self.tracker.load(now);
                Candidate { in_flight, max_concurrent, requests_left, tokens_left, ..Candidate::default() }
            }
            Strategy::LowestLatency => Candidate {
                in_flight: self.tracker.in_flight(),
                weight: self.weight(),
                // What is known of one that is to be probed is from before: it counts as if it had never answered.
                latency_ms: if self.health.is_due(now) { None } else { self.latency.peak_ewma_ms(now) },
                ..Candidate::default()
            },
        }
    }
}

/// Reserves on this deployment.
///
/// # Errors
/// When it is worth asking again.
pub(crate) fn pick_one(
    deployment: &Arc<Deployment>,
    demand: &Demand,
    is_alone: bool,
    now: Instant,
    turn: &mut Turn,
) -> Result<Picked, Wait> {
    if demand.must_be_counted_for(deployment, now) {
        // A limit that came while the request waited: it has to be counted first.
        return Err(Wait::Never);
    }
    let pass = match deployment.health.admit(now) {
        Ok(pass) => pass,
        Err(_) if deployment.hold(is_alone, now).is_none() => deployment.health.overrule(),
        Err(Hold::Rest(until)) => return Err(Wait::Until(until)),
        Err(Hold::Full(until)) => return Err(Wait::ReleaseOr(until)),
    };
    let tokens = deployment.reservation(demand.prompt, demand.completion, now);
    match deployment.tracker.acquire_in_turn(tokens, now, turn) {
        Ok(permit) => Ok(Picked { deployment: Arc::clone(deployment), permit, pass }),
        Err(wait) => {
            // Dropped, it would wake the line that is asking.
            pass.give_back();
            Err(wait)
        }
    }
}

/// The sooner of two waits. A release can come at any time.
pub(super) fn sooner(left: Wait, right: Wait) -> Wait {
    match (left, right) {
        (Wait::Until(left), Wait::Until(right)) => Wait::Until(left.min(right)),
        (Wait::ReleaseOr(left), Wait::Until(right) | Wait::ReleaseOr(right))
        | (Wait::Until(left), Wait::ReleaseOr(right)) => Wait::ReleaseOr(left.min(right)),
        (Wait::Until(moment) | Wait::ReleaseOr(moment), Wait::Release)
        | (Wait::Release, Wait::Until(moment) | Wait::ReleaseOr(moment)) => Wait::ReleaseOr(moment),
        (Wait::Release, Wait::Release) => Wait::Release,
        // Whoever was asked is heard before anybody else is.
        (Wait::Asked, _) | (_, Wait::Asked) => Wait::Asked,
        (Wait::Never, other) | (other, Wait::Never) => other,
    }
}
