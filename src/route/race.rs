//! One round of a call: an attempt, and a second one elsewhere if its first token takes unusually long (hedging).
//!
//! Whichever says something first goes on, the other is cancelled and its socket closed; until then neither is shown to
//! anybody. Both hold permits, and the second counts as a retry, so hedging multiplies traffic no more than retries may.
//! Source: "The Tail at Scale" (Dean and Barroso, 2013), hedged requests; here the time to the first token is what is
//! waited for, because a long answer is not a slow one.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::attempt::Ended;
use super::consider::Barred;
use super::group::{Demand, Group};
use super::pick::Picked;
use super::serve::{CallState, Verdict};
use super::trial::{Trial, Tried};
use crate::deployment::Deployment;
use crate::error::{Attempt, Failure, FailureClass, Phase};
use crate::health::hedge_delay;
use crate::kinds::Kind;
use crate::tracker::{Turn, Wait};

/// Nobody has said anything.
const NOBODY: usize = usize::MAX;

/// How long whoever counts for several processes may take to say whether there is room for a second attempt.
const ASKED_WITHIN: Duration = Duration::from_millis(10);

/// Which attempt of a round has said something first.
pub(crate) struct Race(AtomicUsize);

/// One attempt's part in a race.
#[derive(Clone, Copy)]
pub(crate) struct Lead<'a> {
    race: &'a Race,
    lane: usize,
}

impl Race {
    pub fn new() -> Self {
        Self(AtomicUsize::new(NOBODY))
    }

    fn lane(&self, lane: usize) -> Lead<'_> {
        Lead { race: self, lane }
    }

    fn leader(&self) -> Option<usize> {
        Some(self.0.load(Ordering::Relaxed)).filter(|leader| *leader != NOBODY)
    }
}

impl Lead<'_> {
    /// This attempt has something to say. Does not return if another was faster: it is about to be cancelled.
    pub async fn take(self) {
        // All lanes of a race are polled by one task, so nothing else is ordered by this.
        let taken = self.race.0.compare_exchange(NOBODY, self.lane, Ordering::Relaxed, Ordering::Relaxed);
        if taken.is_err_and(|leader| leader != self.lane) {
            std::future::pending::<()>().await;
        }
    }
}

/// How a round ended.
pub(super) enum Raced<K> {
    /// With an answer of this deployment.
    Won(K, String),
    /// Without one.
    Lost(Vec<Loss>),
}

/// An attempt that failed.
pub(super) struct Loss {
    pub deployment: Arc<Deployment>,
    pub failure: Failure,
    /// Whether it had said something, that may have been shown.
    pub was_first: bool,
    /// Whether it was streamed though its caller wanted it whole.
    pub was_watched: bool,
    /// What the trail says of it.
    pub note: Attempt,
}

/// An attempt of a round.
struct Lane<'a, K> {
    deployment: Arc<Deployment>,
    begun: Instant,
    work: Option<Pin<Box<dyn Future<Output = Tried<K>> + Send + 'a>>>,
    tried: Option<Tried<K>>,
    /// Its note, if it was cancelled.
    outrun: Option<Attempt>,
}

impl<K: Kind> CallState<'_, K> {
    /// One attempt on what was picked, hedged if the router is told to.
    pub(super) async fn race(
        &mut self,
        group: &Group,
        picked: Picked,
        demand: &Demand,
        barred: &Barred,
    ) -> Result<Raced<K>, Verdict> {
        let race = Race::new();
        let whole = self.whole.clone();
        let trial =
            Trial { core: self.core, job: self.job, group, demand: *demand, started: self.started, whole: &whole };
        let deployment = Arc::clone(&picked.deployment);
        let mut excluded = barred.all();
        excluded.push(Arc::clone(&deployment));
        self.job.shared.sent();
        let begun = Instant::now();
        let Some(delay) = self.hedge_delay(group, &deployment, demand, &excluded) else {
            let tried = trial.run(picked, race.lane(0)).await;
            let lane = Lane { deployment, begun, work: None, tried: Some(tried), outrun: None };
            return self.conclude(&race, vec![lane]);
        };
        let lane = |picked: Picked, place| Lane {
            deployment: Arc::clone(&picked.deployment),
            begun: Instant::now(),
            work: Some(Box::pin(trial.run(picked, race.lane(place)))),
            tried: None,
            outrun: None,
        };
        let mut lanes = vec![lane(picked, 0)];
        let (mut turn, mut until, mut may_ask) = (Turn::default(), begun + delay, true);
        while timeout_at(until, run(&trial, &race, &mut lanes)).await.is_err() && race.leader().is_none() {
            match self.pick_second(group, demand, &excluded, &mut turn) {
                // The first goes on while the answer comes.
                Err(Wait::Asked) if std::mem::take(&mut may_ask) => until = Instant::now() + ASKED_WITHIN,
                second => {
                    lanes.extend(second.ok().map(|second| lane(second, 1)));
                    break;
                }
            }
        }
        drop(turn);
        run(&trial, &race, &mut lanes).await;
        self.conclude(&race, lanes)
    }

    /// How long the first token may take before another deployment is asked too; `None` if none is to be.
    fn hedge_delay(
        &self,
        group: &Group,
        deployment: &Deployment,
        demand: &Demand,
        excluded: &[Arc<Deployment>],
    ) -> Option<Duration> {
        let quantile = self.core.retry.hedge_quantile.filter(|_| self.job.may_hedge)?;
        if self.retries >= self.core.retry.max_retries {
            return None;
        }
        let others = group.able(demand, excluded);
        let others = (!others.is_empty()).then_some(others)?;
        hedge_delay(quantile, &deployment.latency, others.iter().map(|other| &other.latency))
    }

    /// A deployment for the second attempt, if one has room that nobody waits for, and the retry budget allows it.
    fn pick_second(
        &mut self,
        group: &Group,
        demand: &Demand,
        excluded: &[Arc<Deployment>],
        turn: &mut Turn,
    ) -> Result<Picked, Wait> {
        if group.waiting() > 0 {
            return Err(Wait::Never);
        }
        let now = Instant::now();
        let picked = group.pick(demand, excluded, &[], now, turn)?;
        let is_allowed = self.core.budget().withdraw(now);
        self.retries += u32::from(is_allowed);
        if is_allowed { Ok(picked) } else { Err(Wait::Never) }
    }

    /// Notes what was tried, in the order in which it began.
    fn conclude(&mut self, race: &Race, lanes: Vec<Lane<'_, K>>) -> Result<Raced<K>, Verdict> {
        let leader = race.leader();
        let (mut won, mut losses, mut refused) = (None, Vec::new(), None);
        for (place, lane) in lanes.into_iter().enumerate() {
            self.attempts.extend(lane.outrun);
            let Some(Tried { note, result, was_watched }) = lane.tried else { continue };
            match result {
                Ok(value) => won = Some((value, lane.deployment.name.clone())),
                Err(Ended::Failed(failure)) => {
                    let was_first = leader == Some(place);
                    losses.push(Loss {
                        deployment: lane.deployment,
                        failure,
                        was_first,
                        was_watched,
                        note: note.clone(),
                    });
                }
                // Nothing was sent. Whoever was asked second was not needed.
                Err(Ended::Refused(error)) => {
                    refused = if place == 0 { Some(error) } else { refused };
                    continue;
                }
            }
            self.attempts.push(note);
        }
        match (won, refused) {
            (Some((value, deployment)), _) => Ok(Raced::Won(value, deployment)),
            (None, Some(error)) => Err(Verdict::Final(error)),
            (None, None) => Ok(Raced::Lost(losses)),
        }
    }
}

/// Runs the lanes until one has answered, the first has settled the matter, or all have ended.
async fn run<K: Kind>(trial: &Trial<'_, K>, race: &Race, lanes: &mut [Lane<'_, K>]) {
    poll_fn(|context| {
        for place in 0..lanes.len() {
            let is_settled = lanes[place].poll(context, place == 0);
            let leader = race.leader();
            // Before the next is polled, so that nobody is in the way of whoever leads.
            for (other, lane) in lanes.iter_mut().enumerate() {
                if is_settled || leader.is_some_and(|leader| leader != other) {
                    lane.cancel(trial, other == 0);
                }
            }
        }
        if lanes.iter().all(|lane| lane.work.is_none()) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

impl<K: Kind> Lane<'_, K> {
    /// Goes on with it. True if its end is that of the round.
    fn poll(&mut self, context: &mut Context<'_>, is_first: bool) -> bool {
        let Some(work) = &mut self.work else { return false };
        let Poll::Ready(tried) = work.as_mut().poll(context) else { return false };
        self.work = None;
        let is_settled = match &tried.result {
            Ok(_) => true,
            Err(Ended::Refused(_)) => is_first,
            // What the second one makes of the request is believed only if the first one fails too.
            Err(Ended::Failed(failure)) => {
                let is_over = matches!(failure.timeout, Some((Phase::Total, _)));
                is_over || (is_first && failure.class == FailureClass::Rejected)
            }
        };
        self.tried = Some(tried);
        is_settled
    }

    /// Ends it, which closes its socket; what it was charged stays charged.
    fn cancel(&mut self, trial: &Trial<'_, K>, is_first: bool) {
        let Some(work) = self.work.take() else { return };
        drop(work);
        let now = Instant::now();
        if is_first {
            // At least as slow as this: left out, the slow would look faster the more often they lose. Of the second, which
            // began late, it says nothing.
            self.deployment.latency.record_first_token(now - self.begun, now);
        }
        self.outrun = Some(trial.outrun(&self.deployment, self.begun, now));
    }
}
