//! What a failed attempt means for the rest of its call: the table of `docs/design.md`, failures.

use std::borrow::Cow;
use std::sync::Arc;

use tokio::time::Instant;

use super::core::Core;
use super::group::{Demand, Group};
use super::race::Loss;
use super::serve::{CallState, Verdict};
use super::states::provider_of;
use crate::deployment::Deployment;
use crate::error::{Error, ErrorKind, Failure, FailureClass, Phase};
use crate::kinds::Kind;

/// What a call has learned about deployments, by name: they may stand in the groups that follow, too.
#[derive(Default)]
pub(super) struct Learned {
    /// Not asked again by this call.
    out: Vec<String>,
    /// Asked to be left alone.
    later: Vec<String>,
    /// The models and the windows for which the request is too long.
    too_long: Vec<(String, u64)>,
    /// The only provider that may be asked, because it has what the request goes on from.
    bound_to: Option<String>,
    /// Providers that do not have it.
    without: Vec<String>,
}

impl Learned {
    /// What is known before the first attempt: whose the answer is that the request goes on from.
    pub fn before<K: Kind>(core: &Core<K>, request: &K::Request) -> Self {
        // One that is not here any more, or has another name here, is as good as unknown.
        let mut known = K::builds_on(request).into_iter().filter_map(|id| core.states.provider(&id));
        let bound_to = known.find(|provider| core.has_provider(provider));
        Self { bound_to, ..Self::default() }
    }

    /// Whether it has learned nothing: nearly every call, before its first attempt.
    fn is_empty(&self) -> bool {
        let Self { out, later, too_long, bound_to, without } = self;
        out.is_empty() && later.is_empty() && too_long.is_empty() && bound_to.is_none() && without.is_empty()
    }

    /// Whether it is of a provider that the request is not for.
    fn is_stranger(&self, deployment: &Deployment) -> bool {
        let provider = provider_of(&deployment.name);
        self.bound_to.as_deref().is_some_and(|bound| bound != provider)
            || self.without.iter().any(|one| one == provider)
    }

    /// Whether the request is too long for it, by what was learned of another.
    fn is_too_long_for(&self, deployment: &Deployment) -> bool {
        let window = deployment.context_window();
        // Whose window is known to be no larger cannot hold it either.
        self.too_long.iter().any(|(model, known)| deployment.model == *model || (*known < u64::MAX && window <= *known))
    }
}

/// The deployments of a group that a call does not ask, or asks first.
#[derive(Default)]
pub(super) struct Barred {
    /// Failed this call in a way that another try cannot mend.
    pub for_good: Vec<Arc<Deployment>>,
    /// Asked to be left alone: not asked while another could be.
    pub for_now: Vec<Arc<Deployment>>,
    /// After a transient fault, the same deployment once more.
    pub again: Option<Arc<Deployment>>,
}

impl Barred {
    /// Those of a group of which a call has learned enough in the groups before.
    pub fn by(learned: &Learned, group: &Group) -> Self {
        if learned.is_empty() {
            return Self::default();
        }
        let deployments = group.deployments();
        let of = |is_meant: &dyn Fn(&Deployment) -> bool| {
            deployments.iter().filter(|one| is_meant(one)).cloned().collect::<Vec<_>>()
        };
        let is_out = |one: &Deployment| learned.out.contains(&one.name) || learned.is_stranger(one);
        let for_good = of(&|one| is_out(one) || learned.is_too_long_for(one));
        Self { for_good, for_now: of(&|one| learned.later.contains(&one.name)), again: None }
    }

    /// Those who are asked when nobody else could be: who asked to be left alone, and for a retry who would have to show first
    /// that it is back, too. It may be the last attempt, and first attempts are enough to find that out.
    pub fn put_off<'a>(&'a self, group: &Group, is_retry: bool, now: Instant) -> Cow<'a, [Arc<Deployment>]> {
        if !is_retry {
            return Cow::Borrowed(&self.for_now);
        }
        let deployments = group.deployments();
        let due = deployments.iter().filter(|one| one.health.is_due(now));
        self.for_now.iter().chain(due).cloned().collect()
    }

    /// Everyone who is not asked while another could be.
    pub fn all(&self) -> Vec<Arc<Deployment>> {
        self.for_good.iter().chain(&self.for_now).cloned().collect()
    }
}

impl Loss {
    /// Whether it was refused only because it was to be streamed, which its caller did not ask for.
    fn refuses_streams(&self) -> bool {
        let Failure { class, message, .. } = &self.failure;
        let is_refused = matches!(class, FailureClass::Rejected | FailureClass::Unsupported);
        self.was_watched && is_refused && speaks_of_streams(message)
    }
}

impl<K: Kind> CallState<'_, K> {
    /// Decides on the attempts of one round. True if the next one is no retry.
    pub(super) fn consider_all(
        &mut self,
        group: &Group,
        demand: &Demand,
        losses: &[Loss],
        barred: &mut Barred,
    ) -> Result<bool, Verdict> {
        let before = barred.again.take();
        let mut is_free = false;
        for loss in losses {
            if loss.refuses_streams() {
                self.whole.push(Arc::clone(&loss.deployment));
                barred.again = Some(Arc::clone(&loss.deployment));
                is_free = true;
                continue;
            }
            let was_again = before.as_ref().is_some_and(|same| Arc::ptr_eq(same, &loss.deployment));
            let again = self.consider(group, demand, loss, was_again, barred)?;
            barred.again = again.or(barred.again.take());
        }
        Ok(is_free && losses.len() == 1)
    }

    /// Decides what a failure means; gives the deployment that is to be asked once more.
    fn consider(
        &mut self,
        group: &Group,
        demand: &Demand,
        loss: &Loss,
        was_again: bool,
        barred: &mut Barred,
    ) -> Result<Option<Arc<Deployment>>, Verdict> {
        let Loss { deployment, failure, was_first, note, .. } = loss;
        if failure.is_exhausted {
            let kind =
                ErrorKind::Exhausted { message: failure.message.clone(), errors: std::mem::take(&mut self.errors) };
            return Err(Verdict::Final(kind.into()));
        }
        let is_shown = *was_first && self.job.shared.log.is_shown();
        if *was_first {
            self.interrupt(deployment, failure)?;
        }
        let error = error_of(deployment, failure).with_attempts(vec![note.clone()]);
        let is_over = matches!(failure.timeout, Some((Phase::Total, _)));
        if is_over || failure.class == FailureClass::Rejected {
            return Err(Verdict::Final(error));
        }
        self.errors.push(error);
        self.bind(group, deployment, failure, barred);
        let now = Instant::now();
        let is_other = |other: &Arc<Deployment>| !Arc::ptr_eq(other, deployment) && !other.is_dead(now);
        let has_others = || group.able(demand, &barred.for_good).iter().any(is_other);
        // A reader who has to begin again gets another deployment, if there is one.
        let is_restart = is_shown && has_others();
        let asks_for_rest = failure.class == FailureClass::RateLimited
            || (failure.class == FailureClass::Transient && failure.retry_after.is_some());
        match failure.class {
            // It rests for what it said. Others now; the line waits for it if nobody else is there.
            _ if asks_for_rest && failure.retry_after.is_none_or(|after| after <= self.core.retry.max_delay) => {
                barred.for_now.push(Arc::clone(deployment));
                self.learned.later.push(deployment.name.clone());
            }
            _ if asks_for_rest => {
                barred.for_good.push(Arc::clone(deployment));
                self.learned.out.push(deployment.name.clone());
            }
            FailureClass::Transient
                if !was_again && !is_restart && self.can_afford_again(group, demand, deployment, barred) =>
            {
                return Ok(Some(Arc::clone(deployment)));
            }
            FailureClass::Transient | FailureClass::Truncated if !has_others() => {
                return Ok(Some(Arc::clone(deployment)));
            }
            FailureClass::TooLong => {
                self.learned.too_long.push((deployment.model.clone(), deployment.context_window()));
                let deployments = group.deployments();
                let unable = deployments.iter().filter(|other| self.learned.is_too_long_for(other));
                barred.for_good.extend(unable.cloned());
            }
            class => {
                barred.for_good.push(Arc::clone(deployment));
                // What was the deployment's bad moment may be over when another group's turn comes.
                if !matches!(class, FailureClass::Transient | FailureClass::Truncated) {
                    self.learned.out.push(deployment.name.clone());
                }
            }
        }
        Ok(None)
    }

    /// Learns from a failure which providers may be asked from now on: others than those that lack what the request goes on
    /// from; and no other, if it changes what the provider keeps, which may have happened.
    fn bind(&mut self, group: &Group, deployment: &Deployment, failure: &Failure, barred: &mut Barred) {
        let provider = provider_of(&deployment.name).to_owned();
        if failure.class == FailureClass::Elsewhere {
            self.learned.without.push(provider);
        } else if K::changes_state(&self.job.request) {
            self.learned.bound_to = Some(provider);
        } else {
            return;
        }
        let deployments = group.deployments();
        let strangers = deployments.iter().filter(|one| self.learned.is_stranger(one));
        barred.for_good.extend(strangers.cloned());
    }

    /// Why nobody is asked, if that is because the provider that could go on is not in the group.
    pub(super) fn nobody_has_it(&self, group: &Group) -> Option<Error> {
        let bound = self.learned.bound_to.as_ref().filter(|_| self.errors.is_empty())?;
        let is_there = group.deployments().iter().any(|one| !self.learned.is_stranger(one));
        let message = format!(
            "the request goes on from an answer of provider \"{bound}\", of which group \"{}\" has no deployment",
            group.name
        );
        (!is_there).then(|| ErrorKind::Unsupported(message).into())
    }

    /// Whether the retries that are left are enough to ask this one again and then each of the others that are healthy: nobody
    /// fails while somebody who could answer was not asked.
    fn can_afford_again(&self, group: &Group, demand: &Demand, than: &Arc<Deployment>, barred: &Barred) -> bool {
        let left = self.core.retry.max_retries.saturating_sub(self.retries) as usize;
        let others = group.healthy_others(demand, &barred.all(), than, Instant::now());
        others == 0 || others < left
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
}

fn error_of(deployment: &Deployment, failure: &Failure) -> Error {
    let deployment = deployment.name.clone();
    match failure.timeout {
        Some((phase, limit)) => {
            let detail = failure.beyond_the_clock().map(str::to_owned);
            ErrorKind::Timeout { phase, limit, deployment: Some(deployment), detail }.into()
        }
        None => ErrorKind::Provider { deployment, failure: failure.clone() }.into(),
    }
}

/// Whether a refusal says that there are no streams here. It is asked for the whole then, once.
fn speaks_of_streams(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    let mut words = message.split(|letter: char| !letter.is_ascii_alphanumeric());
    let names_it = words.any(|word| matches!(word, "stream" | "streaming" | "streamed"));
    let denies_it = ["support", "available", "allowed", "enabled", "permitted", "verified"];
    names_it && denies_it.iter().any(|word| message.contains(word))
}
