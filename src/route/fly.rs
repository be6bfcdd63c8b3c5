//! Calls as flights: equal ones are one, streams included. A call that may not be joined is a flight of its own.

use std::cell::Cell;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::{Either, select};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use super::answer::{Answer, CacheStatus};
use super::call::{Keeper, Prepared, free_of_charge};
use super::departure::Departure;
use super::log::{Log, Reader, Wish};
use super::patience::Patience;
use super::serve::{Job, Reading, serve};
use super::write::HUGE_REQUEST_BYTES;
use crate::cache::{Cache, Flight, FlightPanic, Flights, Key};
use crate::error::{Error, ErrorKind, Phase, Result};
use crate::kinds::{Body, Kind};
use crate::options::{CacheUse, Timeouts};
use crate::sync::{Mutex, lock};

/// How often a call joins another after one that it had joined ended for reasons that are not its own; then it goes alone.
pub(crate) const REJOINS: u32 = 3;

/// What those who wait for one call share with it.
#[derive(Default)]
pub(crate) struct Shared {
    departure: Departure,
    stage: Mutex<Stage>,
    /// Told when the stage or the callers change.
    changed: Notify,
    /// Whether it fails also for what others asked for in the same batch.
    pub is_mixed: AtomicBool,
    pub log: Arc<Log>,
    pub patience: Arc<Patience>,
}

/// How far a call is.
#[derive(Clone, Copy, Debug, Default)]
enum Stage {
    /// Has not sent anything, and does not wait for a limit.
    #[default]
    Before,
    /// Waits for a limit, since then.
    InLine(Instant),
    /// Was sent, then.
    Sent(Instant),
}

impl Shared {
    /// The call waits for a limit from now on.
    pub fn stand_in_line(&self) {
        self.enter_stage(Stage::InLine(Instant::now()));
    }

    /// The call is sent now.
    pub fn sent(&self) {
        self.enter_stage(Stage::Sent(Instant::now()));
    }

    fn enter_stage(&self, stage: Stage) {
        *lock(&self.stage) = stage;
        // Alone, a caller's clocks are the call's.
        if self.patience.is_shared() {
            self.changed.notify_waiters();
        }
    }

    /// Waits until a clock of a caller runs out that is shorter than those of the others, by which the call goes: the
    /// longest wait for a limit, and for the first token.
    pub async fn out_of_time(&self, started: Instant, timeouts: &Timeouts, is_stream: bool) -> Error {
        loop {
            let changed = self.changed.notified();
            let Some((from, limit, phase)) = self.shorter_clock(started, timeouts, is_stream) else {
                changed.await;
                continue;
            };
            let end = from + limit;
            if end <= Instant::now() {
                return ErrorKind::Timeout { phase, limit, deployment: None, detail: None }.into();
            }
            // Whichever comes first, it is asked again.
            let _ = timeout_at(end, changed).await;
        }
    }

    fn shorter_clock(&self, started: Instant, own: &Timeouts, is_stream: bool) -> Option<(Instant, Duration, Phase)> {
        let all = self.patience.timeouts();
        let stage = *lock(&self.stage);
        match stage {
            Stage::InLine(since) if own.queue < all.queue => Some((since.max(started), own.queue, Phase::Queue)),
            Stage::Sent(at) if !self.log.has_begun() => {
                let limit = own.first_token_of(is_stream)?;
                let is_shorter = all.first_token_of(is_stream).is_none_or(|all| limit < all);
                is_shorter.then_some((at.max(started), limit, Phase::FirstToken))
            }
            _ => None,
        }
    }
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
    /// Sets the call going, if nobody has. Needs the context of a Tokio runtime.
    pub fn start(&self) {
        self.flight.companion().departure.call();
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

    /// Whether it would join an equal call.
    pub fn is_under_way(&self) -> bool {
        let flights = &self.core.flights;
        self.joins() && !flights.is_empty() && flights.contains(&self.flight_key(self.reading()))
    }

    /// Joins the flight of an equal call, or starts one that looks into the cache and sends. Needs the context of a Tokio
    /// runtime. `held` is kept until the call is over or the seat is left.
    pub fn fly(&self, reading: Reading, wish: Wish, held: Box<dyn Send>, rejoins: u32) -> Seat<Answer<K>> {
        let start = |shared: Arc<Shared>| {
            let call = self.again();
            async move {
                let takes_turns = |cache: &Cache| cache.joins_processes() && call.joins();
                if let Some(answer) = call.in_cache_but(&shared, takes_turns).await? {
                    return Ok(answer);
                }
                match call.core.open_cache() {
                    Some(cache) if takes_turns(&cache) => Box::pin(call.send_in_turn(reading, shared, cache)).await,
                    cache => call.send(reading, shared, cache).await,
                }
            }
        };
        let alone = (!self.joins() || rejoins >= REJOINS).then(Flights::new);
        self.take_seat(alone.as_ref().unwrap_or(&self.core.flights), reading, wish, held, start)
    }

    /// What equal calls have in common while they are under way: the key, and the group, whose fallbacks and deployments
    /// are those of its callers alone.
    /// Those that may not be hedged are apart from those that may, and those who read events from those who read the rest.
    fn flight_key(&self, reading: Reading) -> Key {
        let key = self.key.within(&self.group.name);
        let key = if reading == Reading::Verbatim { key.within("verbatim") } else { key };
        let is_apart = self.core.retry.hedge_quantile.is_some() && !self.options.hedge;
        if is_apart { key.within("unhedged") } else { key }
    }

    /// How the answer comes: piece by piece also to a call that wants it whole, if it is told to keep a clock that only a
    /// stream can keep.
    pub fn reading(&self) -> Reading {
        let is_watched = self.timeouts.first_token.is_some() || self.core.retry.hedge_quantile.is_some();
        if is_watched && K::assembly().is_some() { Reading::Watched } else { Reading::Whole }
    }

    /// Joins the flight of this call's key in a table, or starts it.
    pub fn take_seat<T, F>(
        &self,
        flights: &Calls<T>,
        reading: Reading,
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
            shared.patience.extend(self.started, &self.timeouts, &self.options);
            held.take().map(|held| shared.log.enter(wish, held))
        };
        let (mut reader, new) = (None, Cell::new(None));
        let start = |shared: &Arc<Shared>| {
            reader = enter(shared);
            new.set(Some(Arc::clone(shared)));
            let (end, mut work) = (EndOfLog(Arc::clone(shared)), Box::pin(start(Arc::clone(shared))));
            async move {
                match select(work.as_mut(), pin!(end.0.log.abandoned())).await {
                    Either::Left((outcome, _)) => outcome,
                    // All who are left have their error and need only take it.
                    Either::Right(_) => Err(ErrorKind::Cancelled.into()),
                }
            }
        };
        let flight = flights.join_on(self.flight_key(reading), start, |task| {
            let shared = new.take().expect("made ready after it was made");
            shared.departure.make_ready(task);
            Box::new(move || shared.departure.abort())
        });
        let reader = reader.or_else(|| {
            let reader = enter(flight.companion());
            flight.companion().changed.notify_waiters();
            reader
        });
        Seat { reader: reader.expect("one of the two entered"), flight }
    }

    /// Waits for the answer, and says whether another call gave it; joins another call if the one that it had joined ended
    /// for reasons that are not its own.
    pub async fn land(
        &self,
        mut seat: Seat<Answer<K>>,
        again: impl Fn(u32) -> Seat<Answer<K>>,
    ) -> Result<(Answer<K>, bool)> {
        let (mut rejoins, is_stream) = (0, self.reading() != Reading::Whole);
        loop {
            let is_joined = seat.flight.is_joined();
            let shared = Arc::clone(seat.flight.companion());
            let own_clocks = shared.out_of_time(self.started, &self.timeouts, is_stream);
            let result = match select(pin!(seat.outcome()), pin!(own_clocks)).await {
                Either::Left((result, _)) => result,
                Either::Right((error, _)) => return Err(error),
            };
            match result {
                Ok(answer) if is_joined => return Ok((joined(answer), true)),
                Ok(answer) => return Ok((answer, false)),
                Err(error) if !is_joined || self.is_own(&error, &shared, rejoins, is_stream) => return Err(error),
                Err(_) => {
                    rejoins += 1;
                    seat = again(rejoins);
                }
            }
        }
    }

    /// Counts that it was joined with another.
    pub fn note_joined(&self) {
        if let Some(cache) = self.core.open_cache() {
            cache.note_joined();
        }
    }

    /// Whether a flight would have failed in this way also if this call had started it: most of its clocks are its
    /// starter's, only its starter may have been shown something, and what it was sent together with is another's.
    pub fn is_own(&self, error: &Error, shared: &Shared, rejoins: u32, is_stream: bool) -> bool {
        if rejoins == 0 && shared.is_mixed.load(Ordering::Relaxed) {
            return false;
        }
        match error.kind() {
            // The longest of all who wait.
            ErrorKind::Timeout { phase: Phase::Queue | Phase::Total, .. } => true,
            ErrorKind::Timeout { phase, limit, .. } => {
                self.timeouts.of(*phase, is_stream).is_some_and(|own| own <= *limit)
            }
            ErrorKind::Exhausted { errors, .. } => {
                errors.iter().all(|error| self.is_own(error, shared, rejoins, is_stream))
            }
            // Whoever came later had more time to wait for Redis.
            ErrorKind::CacheUnread { .. } => rejoins > 0,
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
        let (request, started) = (Arc::clone(&self.request), self.started);
        let may_hedge = self.options.hedge;
        let job = Job { request, shared, started, reading, may_hedge };
        let keeper = self.keeper(cache);
        async move {
            let (mut asking, mut asked) = (keeper.as_ref().and_then(Keeper::ask_ahead), None);
            if AsRef::<Body>::as_ref(&*job.request).len() >= HUGE_REQUEST_BYTES
                && let Some(asking) = asking.take()
            {
                asked = asking.await.ok();
            }
            let served = Box::pin(serve(&core, &group, &job)).await?;
            core.remember(&served.value, &served.deployment);
            if let Some(asking) = asking {
                asked = asking.await.ok();
            }
            let cache = Keeper::keep(keeper.as_ref(), &served.deployment, &served.value, asked);
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

/// The answer of a call that another caller started.
pub(crate) fn joined<K: Kind>(mut answer: Answer<K>) -> Answer<K> {
    answer.cache = CacheStatus::Joined;
    free_of_charge(&mut answer.value);
    answer
}
