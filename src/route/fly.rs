//! Calls as flights: equal ones are one, streams included. A call that may not be joined is a flight of its own.

use std::future::Future;
use std::sync::Arc;

use super::answer::{Answer, CacheStatus};
use super::bell::Bell;
use super::call::{Keeper, Prepared, free_of_charge};
use super::log::{Log, Reader, Wish};
use super::patience::Patience;
use super::serve::{Job, Reading, serve};
use crate::cache::{Cache, Flight, FlightPanic, Flights};
use crate::error::{Error, ErrorKind, Phase, Result};
use crate::kinds::Kind;
use crate::options::{CacheUse, Timeouts};

/// How often a call joins another after one that it had joined ended for reasons that are not its own; then it goes alone.
const REJOINS: u32 = 3;

/// What those who wait for one call share with it.
#[derive(Default)]
pub(crate) struct Shared {
    /// Rung when somebody waits: a call that was left before the runtime came to it does not stand in line.
    start: Bell,
    pub log: Arc<Log>,
    pub patience: Arc<Patience>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("patience", &self.patience).finish_non_exhaustive()
    }
}

/// The flights of a router.
pub(crate) type Calls<T> = Flights<Result<T>, Shared>;

/// One caller's share of a flight.
pub(crate) struct Seat<T: Clone> {
    pub flight: Flight<Result<T>, Shared>,
    pub reader: Reader,
}

impl<T: Clone> Seat<T> {
    /// Sets the call going, if nobody has.
    pub fn start(&self) {
        self.flight.companion().start.ring();
    }

    /// Waits for the outcome.
    pub async fn outcome(&mut self) -> Result<T> {
        self.start();
        settled((&mut self.flight).await)
    }
}

/// A panic is an error like any other.
pub(crate) fn settled<T>(outcome: Result<Result<T>, FlightPanic>) -> Result<T> {
    outcome.unwrap_or_else(|panic| Err(ErrorKind::Bug(panic.message).into()))
}

/// Ends the log with the call, however it ends.
struct EndOfLog(Arc<Shared>);

impl Drop for EndOfLog {
    fn drop(&mut self) {
        self.0.log.end();
    }
}

impl<K: Kind> Prepared<K> {
    /// Whether equal calls may be one.
    pub fn joins(&self) -> bool {
        self.options.cache == CacheUse::Default
    }

    /// Joins the flight of an equal call, or starts one that looks into the cache and sends. Needs the context of a Tokio
    /// runtime. `held` is kept until the call is over or the seat is left.
    pub fn fly(&self, reading: Reading, wish: Wish, held: Box<dyn Send>, rejoins: u32) -> Seat<Answer<K>> {
        let start = |shared: Arc<Shared>| {
            let call = self.again();
            async move {
                match call.in_cache().await? {
                    Some(answer) => Ok(answer),
                    None => call.send(reading, shared, call.core.open_cache()).await,
                }
            }
        };
        let alone = (!self.joins() || rejoins >= REJOINS).then(Flights::new);
        self.take_seat(alone.as_ref().unwrap_or(&self.core.flights), wish, held, start)
    }

    /// Joins the flight of this call's key in a table, or starts it.
    pub fn take_seat<T, F>(
        &self,
        flights: &Calls<T>,
        wish: Wish,
        held: Box<dyn Send>,
        start: impl FnOnce(Arc<Shared>) -> F,
    ) -> Seat<T>
    where
        T: Clone + Send + Sync + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        let mut held = Some(held);
        let mut enter = |shared: &Arc<Shared>| {
            shared.patience.extend(self.started, &self.timeouts);
            held.take().map(|held| shared.log.enter(wish, held))
        };
        let mut reader = None;
        let flight = flights.join(self.key, |shared| {
            reader = enter(shared);
            let (end, work) = (EndOfLog(Arc::clone(shared)), start(Arc::clone(shared)));
            async move {
                end.0.start.rung().await;
                let _end = end;
                work.await
            }
        });
        let reader = reader.or_else(|| enter(flight.companion()));
        Seat { reader: reader.expect("one of the two entered"), flight }
    }

    /// Waits for the answer; joins another call if the one that it had joined ended for reasons that are not its own.
    pub async fn land(&self, mut seat: Seat<Answer<K>>, again: impl Fn(u32) -> Seat<Answer<K>>) -> Result<Answer<K>> {
        let mut rejoins = 0;
        loop {
            let is_joined = seat.flight.is_joined();
            let result = seat.outcome().await;
            match result {
                Err(error) if is_joined && !self.is_own(&error, false) => {
                    rejoins += 1;
                    seat = again(rejoins);
                }
                Ok(answer) if is_joined => return Ok(self.joined(answer)),
                result => return result,
            }
        }
    }

    /// The answer of a call that another caller started.
    pub fn joined(&self, mut answer: Answer<K>) -> Answer<K> {
        if let Some(cache) = self.core.open_cache() {
            cache.note_joined();
        }
        answer.cache = CacheStatus::Joined;
        free_of_charge(&mut answer.value);
        answer
    }

    /// Whether a flight would have failed in this way also if this call had started it: its clocks are its starter's, and
    /// only its starter may have been shown something.
    pub fn is_own(&self, error: &Error, is_stream: bool) -> bool {
        match error.kind() {
            ErrorKind::Timeout { phase, limit, .. } => {
                clock(&self.timeouts, *phase, is_stream).is_some_and(|own| own <= *limit)
            }
            ErrorKind::RateLimited { retry_after, .. } => {
                let own = Patience::default();
                own.extend(self.started, &self.timeouts);
                let end = own.queue_end(std::time::Duration::ZERO);
                end.is_none_or(|end| end < tokio::time::Instant::now() + *retry_after)
            }
            ErrorKind::Cancelled | ErrorKind::Interrupted { .. } => false,
            _ => true,
        }
    }

    /// The work itself, independent of who waits for it: asks a deployment and keeps the answer.
    pub fn send(
        &self,
        reading: Reading,
        shared: Arc<Shared>,
        cache: Option<Cache>,
    ) -> impl Future<Output = Result<Answer<K>>> + Send + 'static + use<K> {
        let (core, group) = (Arc::clone(&self.core), Arc::clone(&self.group));
        let (request, timeouts, started) = (Arc::clone(&self.request), self.timeouts, self.started);
        let job = Job { request, timeouts, shared, started, priority: self.options.priority, reading };
        let keeper = self.keeper(cache);
        async move {
            let served = serve(&core, &group, &job).await?;
            let cache = Keeper::keep(keeper.as_ref(), &served.deployment, &served.value);
            Ok(Answer {
                value: served.value,
                deployment: served.deployment,
                cache,
                attempts: served.attempts,
                latency: started.elapsed(),
                queued: served.queued,
                position: served.position,
            })
        }
    }
}

fn clock(timeouts: &Timeouts, phase: Phase, is_stream: bool) -> Option<std::time::Duration> {
    match phase {
        Phase::Queue => Some(timeouts.queue),
        Phase::Connect => Some(timeouts.connect),
        Phase::FirstToken => timeouts.first_token_of(is_stream),
        Phase::Idle => Some(timeouts.idle),
        Phase::Attempt => Some(timeouts.attempt),
        Phase::Total => timeouts.total,
    }
}
