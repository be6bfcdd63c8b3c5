//! One call from the line to the answer: admit, try, and on failure decide what to try next.
//!
//! The rules are those of `docs/design.md`, failures. Nothing here knows how a request is written or sent.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};
use tokio::time::Instant;

use super::attempt::{Ended, Mode, attempt};
use super::core::Core;
use super::estimate::{count_prompt, estimate};
use super::fly::Shared;
use super::group::{Behind, Demand, Group};
use super::line::Refusal;
use super::pick::{Picked, pick_one};
use super::retry::delay;
use crate::deployment::Deployment;
use crate::error::{Attempt, Error, ErrorKind, Failure, FailureClass, Outcome, Phase};
use crate::health::RestOptions;
use crate::kinds::Kind;
use crate::tracker::Turn;

/// What one call asks of its deployments.
#[derive(Clone, Debug)]
pub(crate) struct Job<K: Kind> {
    pub request: Arc<K::Request>,
    /// Who waits for the call, for how long, and what they were told so far.
    pub shared: Arc<Shared>,
    /// When the call began.
    pub started: Instant,
    pub reading: Reading,
}

/// How the answer comes from the provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    Whole,
    Streamed,
}

/// An answer with its history.
#[derive(Debug)]
pub(crate) struct Served<K> {
    pub value: K,
    pub deployment: String,
    pub attempts: Vec<Attempt>,
    pub queued: Duration,
    pub position: u64,
}

/// Why a group did not answer.
enum Verdict {
    /// No other group is to be asked.
    Final(Error),
    /// Another group may still answer.
    GaveUp(Option<Error>),
}

/// Serves a job from its group, then from the group's fallbacks.
pub(crate) async fn serve<K: Kind>(core: &Core<K>, group: &Arc<Group>, job: &Job<K>) -> Result<Served<K>, Error> {
    let mut call = CallState {
        core,
        job,
        started: Instant::now(),
        queued: Duration::ZERO,
        position: 0,
        attempts: Vec::new(),
        errors: Vec::new(),
        retries: 0,
    };
    core.budget().deposit(call.started);
    let fallbacks = group.options().fallbacks;
    let fallbacks: Vec<_> = fallbacks.iter().filter_map(|name| core.group(name)).collect();
    let mut refusal = None;
    for (place, group) in std::iter::once(group).chain(&fallbacks).enumerate() {
        match call.serve_in(group, place < fallbacks.len()).await {
            Ok((value, deployment)) => {
                let CallState { attempts, queued, position, .. } = call;
                return Ok(Served { value, deployment, attempts, queued, position });
            }
            Err(Verdict::Final(error)) => return Err(error.with_attempts(call.attempts)),
            Err(Verdict::GaveUp(error)) => refusal = error.or(refusal),
        }
    }
    Err(call.failed(&group.name, refusal))
}

struct CallState<'a, K: Kind> {
    core: &'a Core<K>,
    job: &'a Job<K>,
    started: Instant,
    queued: Duration,
    /// Its place in the first line that it stood in; 0 if it had to stand in none.
    position: u64,
    attempts: Vec<Attempt>,
    /// The failures so far, in order.
    errors: Vec<Error>,
    /// Further attempts so far, all groups together. The first in each fallback group is not one.
    retries: u32,
}

impl<K: Kind> CallState<'_, K> {
    /// Serves from one group. With `has_fallback` it does not wait for deployments that rest.
    async fn serve_in(&mut self, group: &Arc<Group>, has_fallback: bool) -> Result<(K, String), Verdict> {
        let mut demand = self.demand(group).await;
        let mut excluded: Vec<Arc<Deployment>> = Vec::new();
        // After a transient fault, the same deployment once more.
        let mut again: Option<Arc<Deployment>> = None;
        loop {
            if has_fallback && let Some(rest) = group.all_rest(&demand, &excluded, Instant::now()) {
                return Err(Verdict::GaveUp(Some(rate_limited(group, rest))));
            }
            let Some(picked) = self.admit(group, &demand, &excluded, again.as_ref()).await? else {
                demand = self.demand(group).await;
                continue;
            };
            let deployment = Arc::clone(&picked.deployment);
            let failure = match self.attempt(picked, &demand).await? {
                Ok(value) => return Ok((value, deployment.name.clone())),
                Err(failure) => failure,
            };
            let was_again = again.take().is_some_and(|same| Arc::ptr_eq(&same, &deployment));
            again = self.consider(group, &demand, &deployment, &failure, was_again, &mut excluded)?;
            let now = Instant::now();
            if self.retries >= self.core.retry.max_retries || !self.core.budget().withdraw(now) {
                return Err(Verdict::GaveUp(None));
            }
            if again.is_some() && !group.has_healthy_other(&demand, &excluded, &deployment, now) {
                let pause = delay(self.retries, &self.core.retry, &mut fastrand::Rng::new());
                tokio::time::sleep(pause).await;
            }
            self.retries += 1;
        }
    }

    /// What the request needs; its tokens are only counted where somebody limits them.
    async fn demand(&self, group: &Group) -> Demand {
        let Some(model) = group.counts_tokens(Instant::now()) else {
            return Demand::UNCOUNTED;
        };
        let (prompt, completion) = count_prompt::<K>(&self.job.request, model).await;
        Demand { prompt, completion, is_counted: true }
    }

    /// Waits in the group's line for a deployment; `None` if the request has to be counted first, because somebody limits
    /// tokens now who did not when it came.
    async fn admit(
        &mut self,
        group: &Group,
        demand: &Demand,
        excluded: &[Arc<Deployment>],
        again: Option<&Arc<Deployment>>,
    ) -> Result<Option<Picked>, Verdict> {
        let able = group.able(demand, excluded);
        if able.is_empty() {
            return Err(self.nobody(group, demand, excluded));
        }
        let begun = Instant::now();
        let reserved = able.iter().map(|one| one.reservation(demand.prompt, demand.completion, begun));
        let tokens = reserved.min().unwrap_or(0);
        let spent = (begun - self.job.started).saturating_sub(self.queued);
        let patience = &self.job.shared.patience;
        self.job.shared.stand_in_line();
        let line = group.line_of(&able);
        let admitted = loop {
            let (mut turn, priority) = (Turn::default(), patience.priority());
            let pick = |now, ticket| {
                turn.begin(ticket);
                let picked = match again.map(|same| pick_one(same, demand, false, now, &mut turn)) {
                    Some(Ok(picked)) => Ok(picked),
                    _ => group.pick(demand, excluded, now, &mut turn),
                };
                if picked.is_err() {
                    turn.end();
                }
                picked
            };
            let estimate = |ahead, now, patience| {
                group.wait(Behind { line: &line, priority, ahead, patience }, demand, excluded, now)
            };
            let waiting = line.admit_until(tokens, priority, || patience.queue_end(spent), pick, estimate);
            match select(pin!(waiting), pin!(patience.raised())).await {
                Either::Left((admitted, _)) => break admitted,
                // Somebody more urgent waits for it too: it stands further ahead.
                Either::Right(_) => {}
            }
        };
        self.queued += admitted.as_ref().map_or_else(|_| begun.elapsed(), |admitted| admitted.queued);
        match admitted {
            Ok(admitted) => {
                self.position = if self.position == 0 { admitted.position } else { self.position };
                Ok(Some(admitted.value))
            }
            Err(Refusal::WouldTimeOut { retry_after }) => Err(Verdict::GaveUp(Some(rate_limited(group, retry_after)))),
            Err(Refusal::TimedOut { .. }) => {
                let limit = self.job.shared.patience.timeouts().queue;
                Err(Verdict::GaveUp(Some(ErrorKind::Timeout { phase: Phase::Queue, limit, deployment: None }.into())))
            }
            Err(Refusal::Never) if !demand.is_counted && group.counts_tokens(Instant::now()).is_some() => Ok(None),
            Err(Refusal::Never | Refusal::Gone) => Err(self.nobody(group, demand, excluded)),
        }
    }

    /// Why no deployment of the group can ever take the request.
    fn nobody(&self, group: &Group, demand: &Demand, excluded: &[Arc<Deployment>]) -> Verdict {
        let deployments = group.deployments();
        if deployments.is_empty() {
            return Verdict::GaveUp(Some(self.core.no_group(&group.name)));
        }
        if !excluded.is_empty() {
            return Verdict::GaveUp(None);
        }
        if !deployments.iter().any(|one| one.is_able()) {
            let message = format!("no deployment of group \"{}\" serves requests of kind {}", group.name, K::NAME);
            return Verdict::GaveUp(Some(ErrorKind::Unsupported(message).into()));
        }
        Verdict::GaveUp(Some(group.too_large(demand)))
    }

    /// One attempt, with everything that is to be noted about it.
    async fn attempt(&mut self, picked: Picked, demand: &Demand) -> Result<Result<K, Failure>, Verdict> {
        let Picked { deployment, mut permit, probe } = picked;
        let log = &self.job.shared.log;
        let mode = match self.job.reading {
            Reading::Whole => Mode::Whole,
            Reading::Streamed => {
                log.begin(&deployment.name);
                Mode::Streamed(log)
            }
        };
        self.job.shared.sent();
        let begun = Instant::now();
        let work = attempt::<K>(&deployment, &mut permit, &self.job.request, &self.job.shared.patience, mode);
        let result =
            self.job.shared.patience.within(work).await.unwrap_or_else(|deadline| {
                Err(Ended::Failed(Failure::timeout(Phase::Total, deadline - self.job.started)))
            });
        let now = Instant::now();
        let mut note = Attempt {
            deployment: deployment.name.clone(),
            started_ms: milliseconds(begun - self.started),
            duration_ms: milliseconds(now - begun),
            outcome: Outcome::Ok,
            status: None,
            message: None,
        };
        let result = match result {
            Ok(mut got) => {
                let reported = got.value.usage().copied();
                let usage = match reported {
                    Some(usage) => usage,
                    None => estimate::<K>(&self.job.request, &got.value, demand, &deployment.model).await,
                };
                let usage = usage.priced(deployment.options().price.as_ref());
                // Health before the permit: giving back wakes the line, which then has to find the deployment back.
                deployment.succeeded(&usage, now - begun, now);
                drop(probe);
                let charged = deployment.provider().charged_tokens(&usage);
                match reported {
                    Some(_) => permit.settle(charged),
                    // Counted here, so what cannot be seen (reasoning, say) is missing: the reservation stays.
                    None => permit.settle_at_least(charged),
                }
                got.value.set_usage(usage);
                Ok(got.value)
            }
            Err(Ended::Refused(error)) => return Err(Verdict::Final(error)),
            Err(Ended::Failed(failure)) => {
                let rest = RestOptions { base: self.core.retry.cooldown, cap: self.core.retry.max_delay };
                deployment.failed(&failure, &rest, now - begun, now);
                drop(probe);
                if !failure.is_sent {
                    permit.give_back();
                } else if failure.is_refused {
                    permit.settle(0);
                } else {
                    // It may have cost what was reserved.
                    drop(permit);
                }
                note.outcome = failure.class.outcome();
                note.status = failure.status;
                note.message = Some(failure.message.clone());
                Err(failure)
            }
        };
        self.attempts.push(note);
        Ok(result)
    }

    /// Decides what a failure means for the rest of the call; gives the deployment that is to be asked once more.
    fn consider(
        &mut self,
        group: &Group,
        demand: &Demand,
        deployment: &Arc<Deployment>,
        failure: &Failure,
        was_again: bool,
        excluded: &mut Vec<Arc<Deployment>>,
    ) -> Result<Option<Arc<Deployment>>, Verdict> {
        if failure.is_exhausted {
            let kind =
                ErrorKind::Exhausted { message: failure.message.clone(), errors: std::mem::take(&mut self.errors) };
            return Err(Verdict::Final(kind.into()));
        }
        let is_shown = self.job.shared.log.is_shown();
        self.interrupt(deployment, failure)?;
        let error = error_of(deployment, failure);
        let is_over = matches!(failure.timeout, Some((Phase::Total, _)));
        if is_over || failure.class == FailureClass::Rejected {
            return Err(Verdict::Final(error));
        }
        self.errors.push(error);
        let has_others = || group.able(demand, excluded).iter().any(|other| !Arc::ptr_eq(other, deployment));
        // A reader who has to begin again gets another deployment, if there is one.
        let is_restart = is_shown && has_others();
        match failure.class {
            FailureClass::Transient if !was_again && !is_restart => return Ok(Some(Arc::clone(deployment))),
            FailureClass::Transient | FailureClass::Truncated if !has_others() => {
                return Ok(Some(Arc::clone(deployment)));
            }
            // It rests for what it said; the line waits for it if nobody else is there.
            FailureClass::RateLimited if failure.retry_after.is_none_or(|after| after <= self.core.retry.max_delay) => {
            }
            FailureClass::TooLong => {
                let same_model = group
                    .deployments()
                    .iter()
                    .filter(|other| other.model == deployment.model)
                    .cloned()
                    .collect::<Vec<_>>();
                excluded.extend(same_model);
            }
            _ => excluded.push(Arc::clone(deployment)),
        }
        Ok(None)
    }

    /// Tells those who read along that what they were shown is not continued. Fails if nobody wants the call to go on.
    fn interrupt(&self, deployment: &Deployment, failure: &Failure) -> Result<(), Verdict> {
        let interrupted = |delivered| {
            let (deployment, failure) = (deployment.name.clone(), failure.clone());
            Error::from(ErrorKind::Interrupted { deployment, delivered, failure })
        };
        let tell = |delivered| interrupted(delivered).with_attempts(self.attempts.clone());
        match self.job.shared.log.interrupt(tell) {
            Ok(()) => Ok(()),
            Err(delivered) => Err(Verdict::Final(interrupted(delivered))),
        }
    }

    /// The error of a call that nobody answered.
    fn failed(mut self, group: &str, refusal: Option<Error>) -> Error {
        let is_limited = |error: &Error| match error.kind() {
            ErrorKind::Provider { failure, .. } => failure.class == FailureClass::RateLimited,
            _ => false,
        };
        let error = if self.errors.is_empty() {
            refusal.unwrap_or_else(|| self.core.no_group(group))
        } else if self.errors.iter().all(is_limited) {
            let said = self.errors.iter().filter_map(Error::retry_after).min();
            let retry_after =
                refusal.as_ref().and_then(Error::retry_after).or(said).unwrap_or(self.core.retry.cooldown);
            ErrorKind::RateLimited {
                group: group.to_owned(),
                retry_after,
                reason: self.errors.last().map(ToString::to_string),
            }
            .into()
        } else if self.errors.len() == 1 {
            self.errors.remove(0)
        } else {
            let count = self.errors.len();
            let last = self.errors.last().map(ToString::to_string).unwrap_or_default();
            let message = format!("all {count} attempts failed; the last: {last}");
            ErrorKind::Exhausted { message, errors: self.errors }.into()
        };
        error.with_attempts(self.attempts)
    }
}

fn error_of(deployment: &Deployment, failure: &Failure) -> Error {
    let deployment = deployment.name.clone();
    match failure.timeout {
        Some((phase, limit)) => ErrorKind::Timeout { phase, limit, deployment: Some(deployment) }.into(),
        None => ErrorKind::Provider { deployment, failure: failure.clone() }.into(),
    }
}

fn rate_limited(group: &Group, retry_after: Duration) -> Error {
    let reason = group.resting(Instant::now());
    ErrorKind::RateLimited { group: group.name.clone(), retry_after, reason }.into()
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
