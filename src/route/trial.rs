//! One attempt with all that it leaves behind: its note in the trail, the record of its deployment, its permit.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicU16;
use std::time::Duration;

use tokio::time::Instant;

use super::attempt::{Ended, Mode, attempt};
use super::core::Core;
use super::estimate::estimate;
use super::group::{Demand, Group};
use super::log::Log;
use super::pick::Picked;
use super::race::Lead;
use super::serve::{Job, Reading};
use crate::deployment::Deployment;
use crate::error::{Attempt, Failure, Outcome, Phase};
use crate::health::RestOptions;
use crate::kinds::Kind;

/// What the attempts of one round have in common.
pub(super) struct Trial<'a, K: Kind> {
    pub core: &'a Core<K>,
    pub job: &'a Job<K>,
    pub group: &'a Group,
    pub demand: Demand,
    /// When the first attempt could have begun: the trail counts from it.
    pub started: Instant,
    /// Those that refused this call for being streamed: asked for the whole, and always if that helps.
    pub whole: &'a [Arc<Deployment>],
}

/// An attempt that has ended.
pub(super) struct Tried<K> {
    pub note: Attempt,
    pub result: Result<K, Ended>,
    /// Whether it was streamed though its caller wanted it whole.
    pub was_watched: bool,
}

impl<K: Kind> Trial<'_, K> {
    /// One attempt.
    pub async fn run(&self, picked: Picked, lead: Lead<'_>) -> Tried<K> {
        let Picked { deployment, mut permit, pass } = picked;
        let shared = &self.job.shared;
        let is_whole = self.whole.iter().any(|one| Arc::ptr_eq(one, &deployment));
        let is_stream = match self.job.reading {
            Reading::Whole => false,
            Reading::Streamed | Reading::Verbatim => true,
            Reading::Watched => deployment.streams() && !is_whole,
        };
        let was_watched = is_stream && self.job.reading == Reading::Watched;
        let has_first_token = is_stream || self.job.reading == Reading::Whole;
        let heard = AtomicU16::new(0);
        let log = is_stream.then_some(&*shared.log);
        let is_verbatim = self.job.reading == Reading::Verbatim;
        let mode = Mode { is_stream, is_verbatim, has_first_token, log, lead, status: &heard };
        log.into_iter().for_each(Log::count_attempt);
        let begun = Instant::now();
        let result = {
            let work = pin!(attempt::<K>(&deployment, &pass, &mut permit, &self.job.request, &shared.patience, mode));
            shared.patience.within(work).await.unwrap_or_else(|deadline| {
                Err(Ended::Failed(Failure::timeout(Phase::Total, deadline - self.job.started)))
            })
        };
        let now = Instant::now();
        let mut note = self.note(&deployment, begun, now);
        note.status = Some(heard.into_inner()).filter(|status| *status > 0);
        let result = match result {
            Ok(mut value) => {
                if is_whole {
                    deployment.refuse_streams();
                }
                let reported = value.usage().copied();
                let usage = match reported {
                    Some(usage) => usage,
                    None => estimate::<K>(&self.job.request, &value, &self.demand, &deployment.model).await,
                };
                let usage = usage.priced(deployment.options().price.as_ref());
                // Health before the permit: giving back wakes the line, which then has to find the deployment back.
                deployment.succeeded(&pass, &usage, now - begun, now);
                drop(pass);
                self.group.settled.notify_waiters();
                let charged = deployment.provider().charged_tokens(&usage);
                match reported {
                    Some(_) => permit.settle(charged),
                    // Counted here, so what cannot be seen (reasoning, say) is missing: the reservation stays.
                    None => permit.settle_at_least(charged),
                }
                value.set_usage(usage);
                Ok(value)
            }
            Err(Ended::Refused(error)) => Err(Ended::Refused(error)),
            Err(Ended::Failed(mut failure)) => {
                failure.status = failure.status.or(note.status);
                let rest = RestOptions { base: self.core.retry.cooldown, cap: self.core.retry.max_delay };
                let is_impatient = self.is_impatient(&failure, is_stream);
                deployment.failed(&pass, &failure, &rest, is_impatient, now - begun, now);
                drop(pass);
                if deployment.health.is_out(now) {
                    self.group.settled.notify_waiters();
                }
                if deployment.health.left_alone(now).is_some() {
                    self.group.told.notify_waiters();
                }
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
                Err(Ended::Failed(failure))
            }
        };
        Tried { note, result, was_watched }
    }

    /// Whether a clock ran out that is this call's own: its deadline, or one that is shorter than the router's.
    fn is_impatient(&self, failure: &Failure, is_stream: bool) -> bool {
        let is_shorter = |phase, limit| self.core.timeouts.of(phase, is_stream).is_none_or(|usual| limit < usual);
        failure.timeout.is_some_and(|(phase, limit)| phase == Phase::Total || is_shorter(phase, limit))
    }

    /// The note of an attempt that was ended because another was faster, or had settled the matter.
    pub fn outrun(&self, deployment: &Arc<Deployment>, begun: Instant, now: Instant) -> Attempt {
        let message = Some("another attempt was faster".to_owned());
        Attempt { outcome: Outcome::Cancelled, message, ..self.note(deployment, begun, now) }
    }

    fn note(&self, deployment: &Deployment, begun: Instant, now: Instant) -> Attempt {
        Attempt {
            deployment: deployment.name.clone(),
            started_ms: milliseconds(begun - self.started),
            duration_ms: milliseconds(now - begun),
            outcome: Outcome::Ok,
            status: None,
            message: None,
        }
    }
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
