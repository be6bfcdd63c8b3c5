//! A named set of interchangeable deployments: who may be asked now, and when somebody could be.

use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use tokio::time::Instant;

use super::line::Line;
use super::strategy::{Candidate, StrategyState};
use crate::deployment::Deployment;
use crate::error::FailureClass;
use crate::health::{Admission, ProbeGuard};
use crate::options::GroupOptions;
use crate::tracker::{Ahead, Permit, Wait, wait_behind};

/// A group. Calls that wait in its line keep it alive after `removeGroup`.
#[derive(Debug)]
pub(crate) struct Group {
    pub name: String,
    pub line: Line,
    options: RwLock<GroupOptions>,
    deployments: RwLock<Arc<[Arc<Deployment>]>>,
    strategy: Mutex<StrategyState>,
}

/// A deployment that was picked, with everything that it has to give back.
#[derive(Debug)]
pub(crate) struct Picked {
    pub deployment: Arc<Deployment>,
    pub permit: Permit,
    /// Held while the attempt probes a deployment that was out.
    pub probe: Option<ProbeGuard>,
}

/// What a request needs of a deployment.
#[derive(Clone, Debug)]
pub(crate) struct Demand {
    pub kind: &'static str,
    /// Prompt tokens; 0 where nobody limits them.
    pub prompt: u64,
    /// The most that the answer may be, if the caller says.
    pub completion: Option<u64>,
}

impl Group {
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            line: Line::default(),
            options: RwLock::default(),
            deployments: RwLock::new(Arc::new([])),
            strategy: Mutex::default(),
        }
    }

    pub fn deployments(&self) -> Arc<[Arc<Deployment>]> {
        Arc::clone(&self.deployments.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes the set of deployments; whoever waits looks again.
    pub fn set_deployments(&self, deployments: Vec<Arc<Deployment>>) {
        // Places mean other deployments from now on.
        *self.strategy.lock().unwrap_or_else(PoisonError::into_inner) = StrategyState::default();
        *self.deployments.write().unwrap_or_else(PoisonError::into_inner) = deployments.into();
        self.line.wake();
    }

    /// Whether the deployment of this name is one of the group's.
    pub fn has(&self, deployment: &str) -> bool {
        self.deployments().iter().any(|one| one.name == deployment)
    }

    pub fn options(&self) -> GroupOptions {
        self.options.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn set_options(&self, options: GroupOptions) {
        *self.options.write().unwrap_or_else(PoisonError::into_inner) = options;
        self.line.wake();
    }

    /// Whether anybody here counts tokens, so that a request's have to be known before it is sent.
    pub fn counts_tokens(&self) -> Option<String> {
        let deployments = self.deployments();
        let counting = deployments.iter().find(|deployment| {
            let options = deployment.options();
            options.limits.tpm.is_some() || options.context_window.is_some()
        })?;
        Some(counting.model.clone())
    }

    /// The deployments that could serve this demand at all, leaving out those in `excluded`.
    pub fn able(&self, demand: &Demand, excluded: &[Arc<Deployment>]) -> Vec<Arc<Deployment>> {
        let deployments = self.deployments();
        let able = deployments.iter().filter(|deployment| {
            !excluded.iter().any(|other| Arc::ptr_eq(other, deployment))
                && deployment.provider().supports(demand.kind)
                && deployment.fits_context(demand)
        });
        able.cloned().collect()
    }

    /// Picks a deployment that is able and not in `excluded`, and reserves what the demand needs, all or nothing.
    ///
    /// # Errors
    /// When it is worth asking again.
    pub fn pick(&self, demand: &Demand, excluded: &[Arc<Deployment>], now: Instant) -> Result<Picked, Wait> {
        let deployments = self.deployments();
        let able = self.able(demand, excluded);
        // Strategies know deployments by their places, so those that cannot be asked keep theirs and are passed over.
        let candidates: Vec<_> = deployments.iter().map(|deployment| deployment.candidate(now)).collect();
        let strategy = self.options.read().unwrap_or_else(PoisonError::into_inner).strategy;
        // A std mutex: nothing is awaited while it is held.
        let mut state = self.strategy.lock().unwrap_or_else(PoisonError::into_inner);
        let mut order = Vec::with_capacity(candidates.len());
        strategy.order(&candidates, &mut state, &mut order);
        let mut wait = Wait::Never;
        for index in order {
            let deployment = &deployments[index];
            if !able.iter().any(|one| Arc::ptr_eq(one, deployment)) {
                continue;
            }
            match pick_one(deployment, demand, able.len() == 1, now) {
                Ok(picked) => {
                    state.picked(index);
                    return Ok(picked);
                }
                Err(refused) => wait = sooner(wait, refused),
            }
        }
        Err(wait)
    }

    /// Whether another deployment than this one could be asked at once.
    pub fn has_healthy_other(
        &self,
        demand: &Demand,
        excluded: &[Arc<Deployment>],
        than: &Arc<Deployment>,
        now: Instant,
    ) -> bool {
        let able = self.able(demand, excluded);
        able.iter().any(|other| !Arc::ptr_eq(other, than) && other.health.rest_until(now).is_none())
    }

    /// What put a deployment to rest, if one rests.
    pub fn resting(&self, now: Instant) -> Option<String> {
        let deployments = self.deployments();
        let resting = deployments.iter().find(|one| one.health.rest_until(now).is_some())?;
        Some(format!("{}: {}", resting.name, resting.snapshot().last_error?))
    }

    /// How long a request waits that has this much in front of it; `None` is for ever.
    pub fn wait_behind(&self, ahead: Ahead, demand: &Demand, now: Instant) -> Option<Duration> {
        let able = self.able(demand, &[]);
        let tokens = able.iter().map(|one| one.reservation(demand.prompt, demand.completion)).min()?;
        let room = wait_behind(able.iter().map(|one| &one.tracker), ahead, tokens, now)?;
        let rest =
            able.iter().map(|one| one.rest(able.len() == 1, now).map_or(Duration::ZERO, |until| until - now)).min()?;
        Some(room.max(rest))
    }
}

impl Deployment {
    fn fits_context(&self, demand: &Demand) -> bool {
        let window = self.options().context_window;
        window.is_none_or(|window| demand.prompt.saturating_add(demand.completion.unwrap_or(0)) <= window)
    }

    /// Until when it is not asked. A deployment without peers is not taken away from its users for a dead key or an
    /// empty account: the error itself is of more use to them than a wait.
    fn rest(&self, is_alone: bool, now: Instant) -> Option<Instant> {
        let until = self.health.rest_until(now)?;
        let is_dead = matches!(self.health.last_class(), Some(FailureClass::Auth | FailureClass::Quota));
        (!(is_alone && is_dead)).then_some(until)
    }

    fn candidate(&self, now: Instant) -> Candidate {
        let options = self.options();
        let (requests_left, tokens_left) = self.tracker.shares_left(now);
        Candidate {
            in_flight: self.tracker.in_flight(),
            max_concurrent: options.limits.max_concurrent,
            requests_left,
            tokens_left,
            weight: options.weight,
            latency_ms: self.latency.peak_ewma_ms(now),
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
) -> Result<Picked, Wait> {
    let probe = match deployment.health.admit(now) {
        Admission::Yes => None,
        Admission::Probe(guard) => Some(guard),
        Admission::Rest(_) if deployment.rest(is_alone, now).is_none() => None,
        Admission::Rest(until) => return Err(Wait::Until(until)),
    };
    let permit = deployment.tracker.try_acquire(deployment.reservation(demand.prompt, demand.completion), now)?;
    Ok(Picked { deployment: Arc::clone(deployment), permit, probe })
}

/// The sooner of two waits. A release can come at any time and wakes the line by itself, so a known moment wins.
fn sooner(left: Wait, right: Wait) -> Wait {
    match (left, right) {
        (Wait::Until(left), Wait::Until(right)) => Wait::Until(left.min(right)),
        (Wait::Until(moment), _) | (_, Wait::Until(moment)) => Wait::Until(moment),
        (Wait::Release, _) | (_, Wait::Release) => Wait::Release,
        (Wait::Never, Wait::Never) => Wait::Never,
    }
}
