//! One call from the line to the answer: admit, try, and on failure decide what to try next.
//!
//! The rules are those of `docs/design.md`, failures. Nothing here knows how a request is written or sent.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::attempt::{Ended, Mode, attempt};
use super::core::Core;
use super::group::{Demand, Group, Picked, pick_one};
use super::line::Refusal;
use super::retry::delay;
use super::stream::Sink;
use crate::deployment::Deployment;
use crate::error::{Attempt, Error, ErrorKind, Failure, FailureClass, Outcome, Phase};
use crate::health::RestOptions;
use crate::kinds::{Kind, Prompt, Usage};
use crate::options::{OnInterrupt, Timeouts};
use crate::tokens;

/// Texts of at least this many bytes are counted off the I/O thread.
const LONG_TEXT_BYTES: usize = 16 << 10;

/// What one call asks of its deployments.
#[derive(Clone, Debug)]
pub(crate) struct Job<K: Kind> {
    pub request: Arc<K::Request>,
    pub timeouts: Timeouts,
    /// The end of the whole call, so that nothing waits beyond it; the caller ends the call by itself.
    pub deadline: Option<Instant>,
    pub priority: i64,
    pub reading: Reading,
    pub on_interrupt: OnInterrupt,
}

/// How the caller reads the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    Whole,
    Buffered,
    Streamed,
}

/// An answer with its history.
#[derive(Debug)]
pub(crate) struct Served<K> {
    pub value: K,
    pub deployment: String,
    pub attempts: Vec<Attempt>,
    pub queued: Duration,
}

/// Why a group did not answer.
enum Verdict {
    /// No other group is to be asked.
    Final(Error),
    /// Another group may still answer.
    GaveUp(Option<Error>),
}

/// Serves a job from its group, then from the group's fallbacks.
pub(crate) async fn serve<K: Kind>(
    core: &Core<K>,
    group: &Arc<Group>,
    job: &Job<K>,
    sink: Option<&mut Sink>,
) -> Result<Served<K>, Error> {
    let mut call = CallState {
        core,
        job,
        sink,
        started: Instant::now(),
        queued: Duration::ZERO,
        attempts: Vec::new(),
        errors: Vec::new(),
        retries: 0,
    };
    core.budget().deposit(call.started);
    let fallbacks = group.options().fallbacks;
    let groups = std::iter::once(Arc::clone(group)).chain(fallbacks.iter().filter_map(|name| core.group(name)));
    let mut refusal = None;
    for group in groups {
        match call.serve_in(&group).await {
            Ok((value, deployment)) => {
                return Ok(Served { value, deployment, attempts: call.attempts, queued: call.queued });
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
    sink: Option<&'a mut Sink>,
    started: Instant,
    queued: Duration,
    attempts: Vec<Attempt>,
    /// The failures so far, in order.
    errors: Vec<Error>,
    /// Further attempts so far, all groups together. The first in each fallback group is not one.
    retries: u32,
}

impl<K: Kind> CallState<'_, K> {
    async fn serve_in(&mut self, group: &Arc<Group>) -> Result<(K, String), Verdict> {
        let demand = self.demand(group).await;
        let mut excluded: Vec<Arc<Deployment>> = Vec::new();
        // After a transient fault, the same deployment once more.
        let mut again: Option<Arc<Deployment>> = None;
        loop {
            let picked = self.admit(group, &demand, &excluded, again.as_ref()).await?;
            let deployment = Arc::clone(&picked.deployment);
            let failure = match self.attempt(picked, &demand).await? {
                Ok(value) => return Ok((value, deployment.name.clone())),
                Err(failure) => failure,
            };
            again = self.consider(group, &demand, &deployment, &failure, again.is_some(), &mut excluded)?;
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
        let Some(model) = group.counts_tokens() else {
            return Demand { kind: K::NAME, prompt: 0, completion: Some(0) };
        };
        let (prompt, completion) = count_prompt::<K>(&self.job.request, model).await;
        Demand { kind: K::NAME, prompt, completion }
    }

    /// Waits in the group's line for a deployment.
    async fn admit(
        &mut self,
        group: &Group,
        demand: &Demand,
        excluded: &[Arc<Deployment>],
        again: Option<&Arc<Deployment>>,
    ) -> Result<Picked, Verdict> {
        let able = group.able(demand, excluded);
        if able.is_empty() {
            return Err(self.nobody(group, demand, excluded));
        }
        let pick = |now| match again.map(|same| pick_one(same, demand, false, now)) {
            Some(Ok(picked)) => Ok(picked),
            _ => group.pick(demand, excluded, now),
        };
        let tokens = able.iter().map(|one| one.reservation(demand.prompt, demand.completion)).min().unwrap_or(0);
        let queue = Instant::now() + self.job.timeouts.queue.saturating_sub(self.queued);
        let deadline = self.job.deadline.map_or(queue, |total| total.min(queue));
        let admitted = group
            .line
            .admit(tokens, self.job.priority, Some(deadline), pick, |ahead, now| group.wait_behind(ahead, demand, now))
            .await;
        match admitted {
            Ok(admitted) => {
                self.queued += admitted.queued;
                Ok(admitted.value)
            }
            Err(Refusal::WouldTimeOut { retry_after }) => Err(Verdict::GaveUp(Some(rate_limited(group, retry_after)))),
            Err(Refusal::TimedOut { .. }) => {
                let limit = self.job.timeouts.queue;
                Err(Verdict::GaveUp(Some(ErrorKind::Timeout { phase: Phase::Queue, limit, deployment: None }.into())))
            }
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
        if !deployments.iter().any(|one| one.provider().supports(demand.kind)) {
            let message = format!("no deployment of group \"{}\" serves requests of kind {}", group.name, demand.kind);
            return Verdict::GaveUp(Some(ErrorKind::Unsupported(message).into()));
        }
        let largest = |field: fn(&Deployment) -> Option<u64>| deployments.iter().filter_map(|one| field(one)).max();
        let window = largest(|one| one.options().context_window);
        let needed = demand.prompt.saturating_add(demand.completion.unwrap_or(0));
        let (field, limit) = match window {
            Some(window) if needed > window => ("contextWindow", window),
            _ => ("tpm", largest(|one| one.options().limits.tpm).unwrap_or(0)),
        };
        Verdict::GaveUp(Some(ErrorKind::TooLarge { tokens: needed, limit, field }.into()))
    }

    /// One attempt, with everything that is to be noted about it.
    async fn attempt(&mut self, picked: Picked, demand: &Demand) -> Result<Result<K, Failure>, Verdict> {
        let Picked { deployment, mut permit, probe } = picked;
        let mode = match (self.job.reading, self.sink.as_deref_mut()) {
            (Reading::Streamed, Some(sink)) => {
                sink.restart(&deployment.name);
                Mode::Streamed(sink)
            }
            (Reading::Whole, _) => Mode::Whole,
            _ => Mode::Buffered,
        };
        let begun = Instant::now();
        let result = attempt::<K>(&deployment, &mut permit, &self.job.request, &self.job.timeouts, mode).await;
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
                permit.settle(usage.total_tokens);
                deployment.succeeded(&usage, now - begun, got.first_token, now);
                got.value.set_usage(usage);
                Ok(got.value)
            }
            Err(Ended::Refused(error)) => return Err(Verdict::Final(error)),
            Err(Ended::Failed(failure)) => {
                match failure.status {
                    _ if !failure.is_sent => permit.give_back(),
                    // Refused before any token was made. Everything else may have cost what was reserved.
                    Some(400..500) => permit.settle(0),
                    _ => drop(permit),
                }
                let rest = RestOptions { base: self.core.retry.cooldown, cap: self.core.retry.max_delay };
                deployment.failed(&failure, &rest, now);
                note.outcome = failure.class.outcome();
                note.status = failure.status;
                note.message = Some(failure.message.clone());
                Err(failure)
            }
        };
        drop(probe);
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
            let kind = ErrorKind::Exhausted { message: failure.message.clone(), errors: Vec::new() };
            return Err(Verdict::Final(kind.into()));
        }
        if let Some(sink) = self.sink.as_deref().filter(|sink| sink.has_delivered)
            && self.job.on_interrupt == OnInterrupt::Error
        {
            let kind = ErrorKind::Interrupted {
                deployment: deployment.name.clone(),
                delivered: sink.delivered.clone(),
                failure: failure.clone(),
            };
            return Err(Verdict::Final(kind.into()));
        }
        let error = error_of(deployment, failure);
        if failure.class == FailureClass::Rejected {
            return Err(Verdict::Final(error));
        }
        self.errors.push(error);
        let has_others = || group.able(demand, excluded).iter().any(|other| !Arc::ptr_eq(other, deployment));
        match failure.class {
            FailureClass::Transient if !was_again => return Ok(Some(Arc::clone(deployment))),
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

/// Prompt tokens and the most that the answer may be. Long texts, and the first use of a vocabulary, leave this thread.
pub(crate) async fn count_prompt<K: Kind>(request: &Arc<K::Request>, model: String) -> (u64, Option<u64>) {
    let is_long = request.as_ref().as_ref().len() >= LONG_TEXT_BYTES;
    let request = Arc::clone(request);
    let count = move |model: &str| {
        let prompt = K::prompt(&request);
        (tokens::count_prompt(&prompt, model), prompt.completion)
    };
    run(is_long, model, count).await
}

async fn estimate<K: Kind>(request: &Arc<K::Request>, value: &K, demand: &Demand, model: &str) -> Usage {
    let prompt = match demand.prompt {
        0 => count_prompt::<K>(request, model.to_owned()).await.0,
        known => known,
    };
    let (text, model) = (value.text().into_owned(), model.to_owned());
    let is_long = text.len() >= LONG_TEXT_BYTES;
    let completion = Prompt { texts: vec![text], ..Prompt::default() };
    let completion = run(is_long, model, move |model| tokens::count_prompt(&completion, model)).await;
    Usage::estimated(prompt, completion)
}

/// Counts here, or on a thread for blocking work if that takes long.
async fn run<T: Send + 'static>(is_long: bool, model: String, count: impl FnOnce(&str) -> T + Send + 'static) -> T {
    if !is_long && tokens::is_loaded(&model) {
        return count(&model);
    }
    match tokio::task::spawn_blocking(move || count(&model)).await {
        Ok(value) => value,
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
