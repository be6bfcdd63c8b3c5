//! Equal calls of several processes as one: whoever takes the lease of a question asks it, and the others wait for its answer to
//! be kept. If it fails, the next one asks; if its answer is not one that is kept, all of them do.
//!
//! A lease ends by itself unless it is renewed, so that whoever dies hands over; whoever has lost it still has its answer, which
//! is then not kept over another's. Those who wait are told by Redis that the lease has ended or changed hands. A message may be
//! lost, and servers before Redis 6 send none, so they look again too: once a second, or the later the longer they have waited.

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{Either, select};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use super::Remote;
use super::bound::{Missed, RemotePatience, Steps};
use super::generations::fresh;
use super::place::Place;
use crate::cache::{Key, Namespace, Record};
use crate::redis::{Fault, Found, Turn as Said};

/// How much of what it has waited somebody waits until it looks again whom nobody tells, and the bounds of that.
const PART: u32 = 10;
const SOONEST: Duration = Duration::from_millis(5);
const LATEST: Duration = Duration::from_secs(1);

/// How often somebody waits on for the next who asks, after one has asked and nothing was kept.
const HANDOVERS: u32 = 3;

/// What stands in the place of a lease whose call was answered, for a moment, when the answer is not kept.
const NOT_KEPT: &str = "not kept";

/// Whose it is to ask.
pub enum Turn {
    /// Nobody's: the answer was there.
    Found(Arc<Record>),
    /// Nobody's any more: another process has.
    Answered(Arc<Record>),
    /// The caller's, while it has this.
    Ours(Lease),
    /// Everybody's for themselves: Redis is away, or nothing came of the waiting.
    Alone,
}

/// The right to ask a question. Dropped, it is another's turn, unless an answer is on its way to be kept.
pub struct Lease {
    remote: Arc<Remote>,
    key: Key,
    token: String,
    place: Place,
}

/// The same where an answer is waited for, and then on the way with it. Dropped, it ends.
pub(super) struct Claim {
    remote: Weak<Remote>,
    place: Place,
    token: String,
    is_over: bool,
    /// Whether there is an answer: if it is not kept, nobody has to wait for the next one.
    is_answered: bool,
}

impl Remote {
    /// Looks for the answer to the question, and waits, for at most so long, until another process has got it or it is the caller's
    /// turn to ask.
    pub async fn turn(
        self: &Arc<Self>,
        key: &Key,
        namespace: Namespace,
        limit: Duration,
        clock: impl Fn() -> u64,
    ) -> Turn {
        let (begun, token) = (Instant::now(), fresh());
        let (mut place, mut holder, mut handovers) = (None, Bytes::new(), 0);
        loop {
            let mut bound = self.bound(RemotePatience::default());
            bound.end = bound.end.min(begun + limit);
            let steps = Steps::default();
            let asking = self.ask_turn(key, namespace, &token, &mut place, &steps);
            let said = match self.in_time(key, bound, &steps, asking).await {
                Ok(said) => said,
                // A server that is full, or may not be written, is there all the same.
                Err(Missed::Fault(fault)) if fault.is_refusal() && place.is_some() && !self.is_away() => {
                    self.refused(0, &fault);
                    return Turn::Alone;
                }
                Err(missed) => {
                    self.without(missed);
                    return Turn::Alone;
                }
            };
            match (said, &place) {
                (Said::Answer(value), _) => {
                    let found = if holder.is_empty() { Turn::Found } else { Turn::Answered };
                    return self.read(key, value, clock()).await.map_or(Turn::Alone, found);
                }
                (Said::Taken, Some(place)) => {
                    return Turn::Ours(Lease { remote: Arc::clone(self), key: *key, token, place: place.clone() });
                }
                (Said::Held(by), _) if by == NOT_KEPT => return Turn::Alone,
                (Said::Held(by), _) => {
                    if by != holder {
                        (holder, handovers) = (by, handovers + 1);
                    }
                    if handovers > HANDOVERS {
                        return Turn::Alone;
                    }
                }
                _ => {
                    self.status.unreadable("a value or a lease is not thryd's");
                    return Turn::Alone;
                }
            }
            let waited = begun.elapsed();
            let Some(left) = limit.checked_sub(waited).filter(|left| !left.is_zero()) else { return Turn::Alone };
            let Some(place) = &place else { return Turn::Alone };
            self.wait_for_end(&place.lease, &holder, waited, left).await;
        }
    }

    /// Waits until it is worth to look again whether this holder still has the lease.
    async fn wait_for_end(&self, lease: &str, holder: &[u8], waited: Duration, left: Duration) {
        let now = Instant::now();
        let (soon, late) = (now + (waited / PART).clamp(SOONEST, LATEST).min(left), now + LATEST.min(left));
        let Ok(values) = self.values() else { return };
        let Ok(watched) = timeout_at(now + self.limit.min(left), values.watch(lease)).await else { return };
        let Ok(mut watch) = watched else { return sleep_until(soon).await };
        // It is changed by being renewed, too.
        while watch.value() == Some(holder) && timeout_at(late, watch.changed()).await.is_ok() {
            match timeout_at(late, values.watch(lease)).await {
                Ok(Ok(again)) => watch = again,
                _ => return,
            }
        }
    }

    /// Asks once; the lease, if it was taken, is noted.
    async fn ask_turn(
        self: &Arc<Self>,
        key: &Key,
        namespace: Namespace,
        token: &str,
        known: &mut Option<Place>,
        steps: &Steps,
    ) -> Result<Said, Fault> {
        let place = if let Some(place) = known {
            &*place
        } else {
            let (place, found) = self.place_and_look(key, namespace, steps).await?;
            let place = known.insert(place);
            if let Some(Found::Value(value)) = found {
                return Ok(Said::Answer(value));
            }
            place
        };
        if self.writer.is_resting() {
            // What cannot be kept cannot be leased, but may be there.
            return Ok(match self.values()?.get(&place.answer).await? {
                Found::Value(value) => Said::Answer(value),
                Found::Nothing => Said::Held(NOT_KEPT.into()),
                Found::Foreign => Said::Unfit,
            });
        }
        // Left in the middle of it, or without an answer, nobody knows whether it was taken.
        let mut claim = Claim {
            remote: Arc::downgrade(self),
            place: place.clone(),
            token: token.to_owned(),
            is_over: false,
            is_answered: false,
        };
        let said = self.values()?.turn(&place.answer, &place.lease, token, self.lease).await?;
        if let Said::Taken = said {
            self.claims().insert(*key, claim);
        } else {
            claim.is_over();
        }
        Ok(said)
    }

    /// The lease of a question, for whoever keeps its answer.
    pub(super) fn take_claim(&self, key: &Key) -> Option<Claim> {
        let mut claim = self.claims().remove(key)?;
        claim.is_answered = true;
        Some(claim)
    }

    /// Ends all leases: nothing is kept any more.
    pub(super) fn end_claims(&self) {
        let claims = std::mem::take(&mut *self.claims());
        drop(claims);
    }

    // A std mutex: nothing is awaited while it is held.
    fn claims(&self) -> std::sync::MutexGuard<'_, std::collections::HashMap<Key, Claim>> {
        self.claims.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lease {
    /// There is an answer, whether it is kept or not.
    pub fn answered(self) {
        if let Some(claim) = self.remote.claims().get_mut(&self.key).filter(|claim| claim.token == self.token) {
            claim.is_answered = true;
        }
    }

    /// Does something, and keeps the lease meanwhile.
    pub async fn during<T>(&self, work: impl Future<Output = T>) -> T {
        let renews = async {
            loop {
                sleep(self.remote.lease / 3).await;
                let Ok(values) = self.remote.values() else { continue };
                let renewed = values.renew(&self.place.lease, &self.token, self.remote.lease).await;
                if matches!(renewed, Ok(false)) {
                    // Another has it: nothing that can be done about it.
                    std::future::pending::<()>().await;
                }
            }
        };
        match select(pin!(work), pin!(renews)).await {
            Either::Left((done, _)) => done,
            Either::Right(((), _)) => unreachable!("it renews without end"),
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut claims = self.remote.claims();
        let is_waited_for = claims.get(&self.key).is_some_and(|claim| claim.token == self.token);
        let claim = if is_waited_for { claims.remove(&self.key) } else { None };
        drop(claims);
        drop(claim);
    }
}

impl Claim {
    pub fn token(&self) -> &str {
        &self.token
    }

    pub fn place(&self) -> &Place {
        &self.place
    }

    /// There is nothing to be ended.
    pub fn is_over(&mut self) {
        self.is_over = true;
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let Some(remote) = self.remote.upgrade().filter(|_| !self.is_over) else { return };
        // Without a runtime it ends by itself.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let Ok(values) = remote.values() else { return };
        let (lease, token) = (std::mem::take(&mut self.place.lease), std::mem::take(&mut self.token));
        let note = if self.is_answered { NOT_KEPT } else { "" };
        runtime.spawn(async move {
            // What cannot be ended ends by itself.
            _ = values.release(&lease, &token, note).await;
        });
    }
}
