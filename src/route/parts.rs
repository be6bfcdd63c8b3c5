//! Requests of independent parts: each part is cached on its own, only the missing ones are sent, duplicates once.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::future::{BoxFuture, try_join_all};
use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;

use super::answer::{Answer, CacheStatus};
use super::call::{Keeper, Prepared, within_total};
use super::fly::{Calls, REJOINS, Seat, Shared};
use super::log::Wish;
use super::serve::Reading;
use crate::error::{Error, ErrorKind, Result};
use crate::kinds::{Kind, Usage};
use crate::provider::BatchLimit;
use crate::sync::{Mutex, lock};

/// Parts of one call that are looked up at the same time.
const LOOKUPS_AT_ONCE: usize = 64;

/// Batches of one call that are sent at the same time.
const BATCHES_AT_ONCE: usize = 8;

/// The answer, if memory has every part of it.
pub(crate) fn in_memory<K: Kind>(whole: &Prepared<K>, parts: &[K::Request]) -> Option<Answer<K>> {
    let parts: Vec<_> = parts.iter().map(|part| whole.with_request(part.clone())).collect();
    // All or nothing, so that a part that `run` looks up again is not counted twice.
    let are_there = parts.iter().all(Prepared::is_in_memory);
    let hits = are_there.then(|| parts.iter().map(Prepared::in_memory).collect::<Option<Vec<_>>>()).flatten()?;
    Some(assemble(hits, whole))
}

/// Runs a call of several parts to its end.
///
/// Each distinct part is a flight of its own, taken before this returns, so that calls which have only some parts in common
/// share those, whoever leaves first. What the cache does not have is sent in batches; the flight of a part is one of those
/// who wait for its batch.
pub(crate) fn launch<K: Kind>(mut whole: Prepared<K>, parts: Vec<K::Request>) -> BoxFuture<'static, Result<Answer<K>>> {
    let guard = whole.take_guard();
    // Where each distinct part stands in the order.
    let (mut places, mut distinct) = (HashMap::new(), Vec::new());
    let order_of = |part: K::Request| {
        let part = whole.with_request(part);
        *places.entry(part.key).or_insert_with(|| {
            distinct.push(part);
            distinct.len() - 1
        })
    };
    let standing: Vec<_> = parts.into_iter().map(order_of).collect();
    let order = Order::new(&whole, distinct);
    let seats = order.seats();
    Box::pin(async move {
        let _guard = guard;
        within_total(&whole.timeouts, whole.started, &OnceLock::new(), async {
            let landings = order.parts.iter().zip(seats).map(|(part, seat)| async move {
                let again = |rejoins| Order::again(part, rejoins).seats().remove(0);
                let (mut answer, is_joined) = part.land(seat, again).await?;
                if is_joined {
                    // The history of another call.
                    (answer.attempts, answer.queued, answer.position) = (Vec::new(), Duration::ZERO, 0);
                }
                Ok::<_, Error>(answer)
            });
            let answers = try_join_all(landings).await?;
            if answers.iter().any(|answer| answer.cache == CacheStatus::Joined) {
                whole.note_joined();
            }
            let mut is_counted = vec![false; answers.len()];
            let answers = standing.into_iter().map(|place| {
                let mut answer = answers[place].clone();
                // What a duplicate cost, and how it came about, is told where it stands first.
                if std::mem::replace(&mut is_counted[place], true) {
                    answer.value.set_usage(Usage::default());
                    answer.attempts.clear();
                }
                answer
            });
            Ok(assemble(answers.collect(), &whole))
        })
        .await
    })
}

/// The place of a part in a batch, and the batch.
type Standing<K> = (usize, Arc<BatchCall<K>>);

/// The distinct parts of one call, and which of them have to be sent.
struct Order<K: Kind> {
    whole: Prepared<K>,
    parts: Vec<Prepared<K>>,
    /// The flights that the call may join; its own alone, if it may join none.
    flights: Calls<Answer<K>>,
    batches: Calls<Arc<Batch<K>>>,
    state: Mutex<State<K>>,
    decided: Notify,
    lookups: Semaphore,
    /// Since when parts are looked for in Redis, which all of them together wait for.
    looking: OnceLock<Instant>,
    sending: Arc<Semaphore>,
}

struct State<K: Kind> {
    /// Flights of this call that have not said whether their part is missing, and the call itself while it takes its seats.
    open: usize,
    /// The places of the parts that are missing.
    missing: BTreeSet<usize>,
    /// When all have said so: the batch of each missing part, and its place there.
    batch_of: Option<HashMap<usize, Standing<K>>>,
}

impl<K: Kind> Order<K> {
    /// The order of one part that another call did not answer.
    fn again(part: &Prepared<K>, rejoins: u32) -> Arc<Self> {
        Self::joining(part, vec![part.again()], part.joins() && rejoins < REJOINS)
    }

    fn new(whole: &Prepared<K>, parts: Vec<Prepared<K>>) -> Arc<Self> {
        Self::joining(whole, parts, whole.joins())
    }

    fn joining(whole: &Prepared<K>, parts: Vec<Prepared<K>>, joins: bool) -> Arc<Self> {
        let (flights, batches) =
            if joins { (whole.core.flights.clone(), whole.core.batches.clone()) } else { (Calls::new(), Calls::new()) };
        Arc::new(Self {
            whole: whole.again(),
            parts,
            flights,
            batches,
            state: Mutex::new(State { open: 0, missing: BTreeSet::new(), batch_of: None }),
            decided: Notify::new(),
            lookups: Semaphore::new(LOOKUPS_AT_ONCE),
            looking: OnceLock::new(),
            sending: Arc::new(Semaphore::new(BATCHES_AT_ONCE)),
        })
    }

    /// Joins the flight of each part, or starts it.
    fn seats(self: &Arc<Self>) -> Vec<Seat<Answer<K>>> {
        let _open = Open::new(self, None);
        let seat = |(place, part): (usize, &Prepared<K>)| {
            part.take_seat(&self.flights, Reading::Whole, Wish::Whole, Box::new(()), |shared| {
                Arc::clone(self).run(Open::new(self, Some(place)), shared)
            })
        };
        self.parts.iter().enumerate().map(seat).collect()
    }

    /// The flight of a part: looks it up, and waits for its batch if it is missing.
    async fn run(self: Arc<Self>, open: Open<K>, shared: Arc<Shared>) -> Result<Answer<K>> {
        let place = open.place.unwrap_or_default();
        let found = {
            // Never closed, so there is always a permit at last.
            let _permit = self.lookups.acquire().await;
            let part = &self.parts[place];
            let end = shared.patience.deadline();
            part.in_cache_but(&shared, |cache| cache.has_waited_for_redis(&self.looking, end)).await?
        };
        if let Some(answer) = found {
            return Ok(answer);
        }
        let (index, batch) = open.missing().await?;
        shared.is_mixed.store(batch.keepers.len() > 1, Ordering::Relaxed);
        let mut seat = batch.fly();
        // Whoever waits for the part waits for its batch.
        shared.patience.pass_on_to(&seat.flight.companion().patience);
        let batch = seat.outcome().await?;
        let value = batch.values.get(index).cloned();
        let mut answer = batch.history.with(value.ok_or_else(unanswered)?);
        if index > 0 {
            // Told once.
            answer.attempts.clear();
        }
        Ok(answer)
    }

    /// Notes that one flight more has said what it has to say.
    fn close(&self, act: impl FnOnce(&mut State<K>)) {
        let mut state = lock(&self.state);
        act(&mut state);
        state.open -= 1;
        if state.open > 0 || state.batch_of.is_some() {
            return;
        }
        let mut batch_of = HashMap::new();
        for places in batches(&self.whole, &self.parts, state.missing.iter().copied()) {
            let batch = Arc::new(self.batch(&places));
            batch_of.extend(places.into_iter().enumerate().map(|(index, place)| (place, (index, Arc::clone(&batch)))));
        }
        state.batch_of = Some(batch_of);
        drop(state);
        self.decided.notify_waiters();
    }

    fn batch(&self, places: &[usize]) -> BatchCall<K> {
        let parts = || places.iter().map(|place| &self.parts[*place]);
        let requests: Vec<_> = parts().map(|part| (*part.request).clone()).collect();
        let cache = self.whole.core.open_cache();
        BatchCall {
            call: self.whole.with_request(K::batch(&requests)),
            keepers: parts().map(|part| part.keeper(cache.clone())).collect(),
            flights: self.batches.clone(),
            gate: Arc::clone(&self.sending),
        }
    }
}

/// A flight that has not said yet whether its part is missing. Dropped, it is not.
struct Open<K: Kind> {
    order: Arc<Order<K>>,
    place: Option<usize>,
    is_closed: bool,
}

impl<K: Kind> Open<K> {
    fn new(order: &Arc<Order<K>>, place: Option<usize>) -> Self {
        lock(&order.state).open += 1;
        Self { order: Arc::clone(order), place, is_closed: false }
    }

    /// Says that it is missing, and waits for the others of its call: its batch, and its place there.
    async fn missing(mut self) -> Result<Standing<K>> {
        let order = Arc::clone(&self.order);
        let place = self.place.unwrap_or_default();
        self.is_closed = true;
        order.close(|state| state.missing.extend([place]));
        loop {
            let decided = order.decided.notified();
            if let Some(batch_of) = &lock(&order.state).batch_of {
                return batch_of.get(&place).cloned().ok_or_else(unanswered);
            }
            decided.await;
        }
    }
}

impl<K: Kind> Drop for Open<K> {
    fn drop(&mut self) {
        if !self.is_closed {
            self.order.close(|_| ());
        } else if let Some(place) = self.place {
            // Nobody waits for it any more; if its batch is not on its way yet, it is left out.
            lock(&self.order.state).missing.remove(&place);
        }
    }
}

fn unanswered() -> Error {
    ErrorKind::Bug("a part was not answered".to_owned()).into()
}

/// The answers to the parts of one request, and how they came about.
pub(crate) struct Batch<K> {
    history: Answer<()>,
    values: Vec<K>,
}

/// A request for several parts.
struct BatchCall<K: Kind> {
    call: Prepared<K>,
    /// Where the answer to each part is kept.
    keepers: Vec<Option<Keeper>>,
    flights: Calls<Arc<Batch<K>>>,
    gate: Arc<Semaphore>,
}

impl<K: Kind> BatchCall<K> {
    /// Joins the flight of this request, or starts it.
    fn fly(self: &Arc<Self>) -> Seat<Arc<Batch<K>>> {
        self.call.take_seat(&self.flights, Reading::Whole, Wish::Whole, Box::new(()), |shared| {
            let batch = Arc::clone(self);
            async move {
                let _permit = batch.gate.acquire().await;
                let answer = batch.call.send(Reading::Whole, shared, None).await?;
                let mut history = answer.with(());
                let values = answer.value.unbatch();
                for (keeper, value) in batch.keepers.iter().zip(&values) {
                    let status = Keeper::keep(keeper.as_ref(), &history.deployment, value, None);
                    if history.cache == CacheStatus::Off {
                        history.cache = status;
                    }
                }
                Ok(Arc::new(Batch { history, values }))
            }
        })
    }
}

/// Cuts the missing parts into requests that every deployment of the group accepts.
fn batches<K: Kind>(
    whole: &Prepared<K>,
    parts: &[Prepared<K>],
    missing: impl Iterator<Item = usize>,
) -> Vec<Vec<usize>> {
    let deployments = whole.group.deployments();
    let limit = deployments.iter().fold(BatchLimit { inputs: usize::MAX, tokens: u64::MAX }, |limit, deployment| {
        let own = deployment.provider().batch_limit(K::NAME);
        let tpm = deployment.options().limits.tpm.unwrap_or(u64::MAX);
        BatchLimit { inputs: limit.inputs.min(own.inputs).max(1), tokens: limit.tokens.min(own.tokens).min(tpm) }
    });
    let mut batches: Vec<Vec<usize>> = Vec::new();
    let mut tokens = 0;
    for place in missing {
        // A token is at least one byte, so bytes never count too few.
        let bytes = AsRef::<crate::kinds::Body>::as_ref(&*parts[place].request).len() as u64;
        match batches.last_mut() {
            Some(batch) if batch.len() < limit.inputs && tokens + bytes <= limit.tokens => {
                batch.push(place);
                tokens += bytes;
            }
            _ => {
                batches.push(vec![place]);
                tokens = bytes;
            }
        }
    }
    batches
}

/// One answer from the parts' answers.
fn assemble<K: Kind>(parts: Vec<Answer<K>>, whole: &Prepared<K>) -> Answer<K> {
    let sent = parts.iter().find(|part| !part.attempts.is_empty());
    Answer {
        deployment: sent.or(parts.first()).map(|part| part.deployment.clone()).unwrap_or_default(),
        cache: parts.iter().map(|part| part.cache).max().unwrap_or(CacheStatus::Off),
        queued: parts.iter().map(|part| part.queued).max().unwrap_or_default(),
        position: parts.iter().map(|part| part.position).max().unwrap_or_default(),
        attempts: parts.iter().flat_map(|part| part.attempts.iter().cloned()).collect(),
        latency: whole.started.elapsed(),
        value: K::join(parts.into_iter().map(|part| part.value).collect()),
    }
}
