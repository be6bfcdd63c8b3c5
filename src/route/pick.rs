//! Taking one of many deployments: in the order of the strategy, the first that is fit to be asked and has room.

use std::sync::Arc;

use tokio::time::Instant;

use super::group::Demand;
use super::strategy::{Candidate, Strategy, StrategyState};
use crate::deployment::Deployment;
use crate::health::{Admission, ProbeGuard};
use crate::tracker::{Load, Permit, Turn, Wait};

/// A deployment that was picked, with everything that it has to give back.
#[derive(Debug)]
pub(crate) struct Picked {
    pub deployment: Arc<Deployment>,
    pub permit: Permit,
    /// Held while the attempt probes a deployment that was out.
    pub probe: Option<ProbeGuard>,
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
                latency_ms: self.latency.peak_ewma_ms(now),
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
    if !demand.is_counted && deployment.counts_tokens(now) {
        // A limit that came while the request waited: it has to be counted first.
        return Err(Wait::Never);
    }
    let probe = match deployment.health.admit(now) {
        Admission::Yes => None,
        Admission::Probe(guard) => Some(guard),
        Admission::Rest(_) if deployment.rest(is_alone, now).is_none() => None,
        Admission::Rest(until) => return Err(Wait::Until(until)),
    };
    let tokens = deployment.reservation(demand.prompt, demand.completion, now);
    let permit = deployment.tracker.acquire_in_turn(tokens, now, turn)?;
    Ok(Picked { deployment: Arc::clone(deployment), permit, probe })
}

/// The sooner of two waits. A release can come at any time and wakes the line by itself, so a known moment wins.
pub(super) fn sooner(left: Wait, right: Wait) -> Wait {
    match (left, right) {
        (Wait::Until(left), Wait::Until(right)) => Wait::Until(left.min(right)),
        (Wait::Until(moment), _) | (_, Wait::Until(moment)) => Wait::Until(moment),
        (Wait::Release, _) | (_, Wait::Release) => Wait::Release,
        (Wait::Never, Wait::Never) => Wait::Never,
    }
}
