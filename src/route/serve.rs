//! One call from the line to the answer: admit, try, and on failure decide what to try next.
//!
//! The rules are those of `docs/design.md`, failures. Nothing here knows how a request is written or sent.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};
use tokio::time::Instant;

use super::consider::{Barred, Learned};
use super::core::Core;
use super::estimate::{bound, count_prompt};
use super::fly::Shared;
use super::group::{Behind, Demand, Group};
use super::line::Refusal;
use super::pick::{Picked, pick_one};
use super::race::Raced;
use super::retry::delay;
use crate::deployment::Deployment;
use crate::error::{Attempt, Error, ErrorKind, FailureClass, Phase};
use crate::kinds::Kind;
use crate::tracker::{Turn, Wait};

/// What one call asks of its deployments.
#[derive(Clone, Debug)]
pub(crate) struct Job<K: Kind> {
    pub request: Arc<K::Request>,
    /// Who waits for the call, for how long, and what they were told so far.
    pub shared: Arc<Shared>,
    /// When the call began.
    pub started: Instant,
    pub reading: Reading,
    /// Whether a second attempt may start while the first is under way.
    pub may_hedge: bool,
}

/// How the answer comes from the provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// At once.
    Whole,
    /// Piece by piece, because somebody reads it so.
    Streamed,
    /// As `Streamed`, for those who read the events themselves.
    Verbatim,
    /// Piece by piece, because only so its clocks can be kept; where a provider refuses to, at once.
    Watched,
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
pub(super) enum Verdict {
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
        learned: Learned::before(core, &job.request),
        whole: Vec::new(),
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

/// What one call has come to.
pub(super) struct CallState<'a, K: Kind> {
    pub core: &'a Core<K>,
    pub job: &'a Job<K>,
    pub started: Instant,
    pub queued: Duration,
    /// Its place in the first line that it stood in; 0 if it had to stand in none.
    position: u64,
    pub attempts: Vec<Attempt>,
    /// The failures so far, in order.
    pub errors: Vec<Error>,
    /// Further attempts so far, all groups together. The first in each fallback group is not one.
    pub retries: u32,
    pub learned: Learned,
    /// Those that refused this call for being streamed.
    pub whole: Vec<Arc<Deployment>>,
}

impl<K: Kind> CallState<'_, K> {
    /// Serves from one group. With `has_fallback` it does not wait for deployments that rest.
    async fn serve_in(&mut self, group: &Arc<Group>, has_fallback: bool) -> Result<(K, String), Verdict> {
        let mut demand = self.demand(group).await;
        let mut barred = Barred::by(&self.learned, group);
        loop {
            if has_fallback && let Some(rest) = group.all_rest(&demand, &barred.for_good, Instant::now()) {
                return Err(Verdict::GaveUp(Some(rate_limited(group, rest))));
            }
            let Some(picked) = self.admit(group, &demand, &barred).await? else {
                demand = self.demand(group).await;
                continue;
            };
            // Asked after it was admitted: whoever left before it could be has said so by now.
            if self.job.shared.patience.is_over() {
                drop(picked);
                continue;
            }
            let first = Arc::clone(&picked.deployment);
            let losses = match self.race(group, picked, &demand, &barred).await? {
                Raced::Won(value, deployment) => return Ok((value, deployment)),
                Raced::Lost(losses) => losses,
            };
            let is_free = self.consider_all(group, &demand, &losses, &mut barred)?;
            if is_free {
                continue;
            }
            self.permit_retry(group, &demand, &mut barred).await?;
            let now = Instant::now();
            if barred.again.is_some() && group.healthy_others(&demand, &barred.all(), &first, now) == 0 {
                self.pause().await?;
            }
            self.retries += 1;
        }
    }

    /// The pause before the same deployment is asked again. One that cannot end before the deadline is not begun: what
    /// went wrong so far says more than a clock, and sooner.
    async fn pause(&self) -> Result<(), Verdict> {
        let pause = delay(self.retries, &self.core.retry, &mut fastrand::Rng::new());
        let end = Instant::now() + pause;
        if self.job.shared.patience.deadline().is_some_and(|deadline| deadline <= end) {
            return Err(Verdict::GaveUp(None));
        }
        tokio::time::sleep_until(end).await;
        Ok(())
    }

    /// What the request needs; its tokens are only counted where somebody limits them, and where what they are at most does
    /// not say enough. A limit of tokens wants them exactly: what is reserved is what others have to do without.
    async fn demand(&self, group: &Group) -> Demand {
        let now = Instant::now();
        let Some(model) = group.counts_tokens(u64::MAX, now) else {
            return Demand::UNCOUNTED;
        };
        if group.counts_tokens(0, now).is_none() {
            let bound = bound::<K>(&self.job.request);
            if group.counts_tokens(bound, now).is_none() {
                return Demand { bound, ..Demand::UNCOUNTED };
            }
        }
        let (prompt, completion) = count_prompt::<K>(&self.job.request, model).await;
        Demand { prompt, completion, is_counted: true, ..Demand::UNCOUNTED }
    }

    /// Waits in the group's line for a deployment; `None` if the request has to be counted first, because somebody limits
    /// tokens now who did not when it came.
    async fn admit(&mut self, group: &Group, demand: &Demand, barred: &Barred) -> Result<Option<Picked>, Verdict> {
        let excluded = &barred.for_good[..];
        let able = group.able(demand, excluded);
        if able.is_empty() {
            return Err(self.nobody(group, demand, excluded));
        }
        let begun = Instant::now();
        if !self.errors.is_empty() && !group.is_lone(demand) && able.iter().all(|one| one.is_dead(begun)) {
            return Err(Verdict::GaveUp(None));
        }
        let reserved = able.iter().map(|one| one.reservation(demand.prompt, demand.completion, begun));
        let tokens = reserved.min().unwrap_or(0);
        let spent = (begun - self.job.started).saturating_sub(self.queued);
        let patience = &self.job.shared.patience;
        self.job.shared.stand_in_line();
        let line = group.line_of(&able);
        // A call that has lost an attempt has none to find out with whether somebody is back.
        let is_retry = !self.errors.is_empty();
        let admitted = loop {
            let (mut turn, priority) = (Turn::default(), patience.priority());
            let pick = |now, ticket| {
                // It is about to be dropped, unless somebody joins it: nothing is known about room until then.
                if patience.is_over() {
                    return Err(Wait::Asked);
                }
                turn.begin(ticket);
                if self.core.limits.is_some() {
                    turn.expect(line.waiting() as u64);
                }
                let again = barred.again.as_ref().filter(|same| group.has(same));
                let picked = match again.map(|same| pick_one(same, demand, false, now, &mut turn)) {
                    Some(Ok(picked)) => Ok(picked),
                    Some(Err(Wait::Asked)) => Err(Wait::Asked),
                    _ => group.pick(demand, excluded, &barred.put_off(group, is_retry, now), now, &mut turn),
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
            let (raised, left_alone) = (pin!(patience.raised()), pin!(group.until_left_alone(&able)));
            let waiting = pin!(waiting);
            // The line itself goes by the deadline, but while it waits for an answer about room.
            let Ok(first) = patience.within(pin!(select(waiting, select(raised, left_alone)))).await else {
                break Err(Refusal::TimedOut { retry_after: Duration::ZERO });
            };
            match first {
                Either::Left((admitted, _)) => break admitted,
                // Somebody more urgent waits for it too, and it stands further ahead; or somebody, when all had left.
                Either::Right((Either::Left(_), _)) => {}
                Either::Right((Either::Right((retry_after, _)), _)) => {
                    break Err(Refusal::WouldTimeOut { retry_after });
                }
            }
        };
        self.queued += admitted.as_ref().map_or_else(|_| begun.elapsed(), |admitted| admitted.queued);
        if !matches!(admitted, Err(Refusal::WouldTimeOut { .. })) {
            self.check_deadline()?;
        }
        match admitted {
            Ok(admitted) => {
                self.position = if self.position == 0 { admitted.position } else { self.position };
                Ok(Some(admitted.value))
            }
            Err(Refusal::WouldTimeOut { retry_after }) => {
                let retry_after = Group::all_left_alone(&able, Instant::now()).unwrap_or(retry_after);
                Err(Verdict::GaveUp(Some(rate_limited(group, retry_after))))
            }
            Err(Refusal::TimedOut { .. }) => {
                let limit = self.job.shared.patience.timeouts().queue;
                Err(Verdict::GaveUp(Some(
                    ErrorKind::Timeout { phase: Phase::Queue, limit, deployment: None, detail: None }.into(),
                )))
            }
            Err(Refusal::Never)
                if !demand.is_counted && group.counts_tokens(demand.bound, Instant::now()).is_some() =>
            {
                Ok(None)
            }
            Err(Refusal::Never | Refusal::Gone) => Err(self.nobody(group, demand, excluded)),
        }
    }

    /// Ends a call that has no time left of its own: nothing is sent in vain.
    fn check_deadline(&self) -> Result<(), Verdict> {
        match self.job.shared.patience.deadline() {
            Some(deadline) if deadline <= Instant::now() => {
                let limit = deadline - self.job.started;
                Err(Verdict::Final(
                    ErrorKind::Timeout { phase: Phase::Total, limit, deployment: None, detail: None }.into(),
                ))
            }
            _ => Ok(()),
        }
    }

    /// Why no deployment of the group can ever take the request.
    fn nobody(&self, group: &Group, demand: &Demand, excluded: &[Arc<Deployment>]) -> Verdict {
        let deployments = group.deployments();
        if deployments.is_empty() {
            return Verdict::GaveUp(Some(self.core.no_group(&group.name)));
        }
        if !excluded.is_empty() {
            return Verdict::GaveUp(self.nobody_has_it(group));
        }
        if !deployments.iter().any(|one| one.is_able()) {
            let message = format!("no deployment of group \"{}\" serves requests of kind {}", group.name, K::NAME);
            return Verdict::GaveUp(Some(ErrorKind::Unsupported(message).into()));
        }
        Verdict::GaveUp(Some(group.too_large(demand)))
    }

    /// The error of a call that nobody answered.
    fn failed(mut self, group: &str, refusal: Option<Error>) -> Error {
        let is_of = |error: &Error, class| match error.kind() {
            ErrorKind::Provider { failure, .. } => failure.class == class,
            _ => false,
        };
        let all_are = |errors: &[Error], class| errors.iter().all(|error| is_of(error, class));
        let none_takes_it = |errors: &[Error]| {
            let refusals = [FailureClass::Unsupported, FailureClass::Elsewhere];
            errors.iter().all(|error| refusals.iter().any(|class| is_of(error, *class)))
        };
        let error = if self.errors.is_empty() {
            refusal.unwrap_or_else(|| self.core.no_group(group))
        } else if all_are(&self.errors, FailureClass::RateLimited) {
            let rest = || self.core.group(group)?.first_back(Instant::now());
            let said = || self.errors.iter().filter_map(Error::retry_after).min();
            let retry_after = refusal.as_ref().and_then(Error::retry_after).or_else(rest).or_else(said);
            let retry_after = retry_after.unwrap_or(self.core.retry.cooldown);
            ErrorKind::RateLimited {
                group: group.to_owned(),
                retry_after,
                reason: self.errors.last().map(ToString::to_string),
            }
            .into()
        } else if self.errors.len() == 1 || none_takes_it(&self.errors) {
            // Nobody takes such a request: it is as good as rejected, in the words of who was to answer it.
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

fn rate_limited(group: &Group, retry_after: Duration) -> Error {
    let reason = group.resting(Instant::now());
    ErrorKind::RateLimited { group: group.name.clone(), retry_after, reason }.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::{Completion, Embeddings, ModelResponse, Ranking};

    fn size<'a, K: Kind, F: Future>(_serve: fn(&'a Core<K>, &'a Arc<Group>, &'a Job<K>) -> F) -> usize {
        size_of::<F>()
    }

    // A future that is handed on by value has its room twice in the one that waits for it: six layers of that were 136 KiB,
    // half a gigabyte for 4,096 calls.
    #[test]
    fn a_call_in_flight_does_not_grow_with_the_layers_it_goes_through() {
        let kinds = [
            size(serve::<Completion>),
            size(serve::<ModelResponse>),
            size(serve::<Embeddings>),
            size(serve::<Ranking>),
        ];
        assert!(kinds.iter().all(|size| *size < 8 << 10), "{kinds:?}");
    }
}
