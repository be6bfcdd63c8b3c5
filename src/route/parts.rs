//! Requests of independent parts: each part is cached on its own, only the missing ones are sent, duplicates once.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::future::try_join_all;
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::sync::Semaphore;

use super::answer::{Answer, CacheStatus};
use super::call::{Keeper, Prepared, within_total};
use super::fly::{Calls, Seat};
use super::log::Wish;
use super::serve::Reading;
use crate::error::{ErrorKind, Result};
use crate::kinds::{Kind, Usage};
use crate::provider::BatchLimit;

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
    Some(assemble(hits, Vec::new(), whole))
}

/// Runs a call of several parts to its end.
pub(crate) async fn run<K: Kind>(whole: Prepared<K>, parts: Vec<K::Request>) -> Result<Answer<K>> {
    within_total(&whole.timeouts, whole.started, async {
        let parts: Vec<_> = parts.into_iter().map(|part| whole.with_request(part)).collect();
        // Where each distinct part stands first.
        let mut firsts = HashMap::new();
        let mut distinct = Vec::new();
        for (place, part) in parts.iter().enumerate() {
            firsts.entry(part.key).or_insert_with(|| {
                distinct.push(place);
                place
            });
        }
        let lookups: Vec<_> = distinct.iter().map(|place| parts[*place].in_cache()).collect();
        let found: Vec<_> = stream::iter(lookups).buffered(LOOKUPS_AT_ONCE).try_collect().await?;
        let mut answers: Vec<Option<Answer<K>>> = parts.iter().map(|_| None).collect();
        let mut missing = Vec::new();
        for (place, answer) in distinct.into_iter().zip(found) {
            if answer.is_none() {
                missing.push(place);
            }
            answers[place] = answer;
        }
        let mut sent = Vec::new();
        for (place, asked) in missing.iter().zip(ask(&whole, &parts, &missing).await?) {
            sent.extend(asked.batch);
            answers[*place] = Some(asked.answer);
        }
        let answers = parts.iter().zip(&answers).map(|(part, answer)| match answer {
            Some(answer) => Some(answer.clone()),
            // A duplicate: what it cost is counted where the part stands first.
            None => answers[firsts[&part.key]].clone().map(|mut answer| {
                answer.value.set_usage(Usage::default());
                answer
            }),
        });
        let answers = answers.collect::<Option<_>>();
        let answers = answers.ok_or_else(|| ErrorKind::Bug("a part was not answered".to_owned()))?;
        Ok(assemble(answers, sent, &whole))
    })
    .await
}

/// The answers to the parts of one request, and how they came about.
pub(crate) struct Batch<K> {
    history: Answer<()>,
    values: Vec<K>,
}

/// The answer to a part that was missing.
struct Asked<K> {
    answer: Answer<K>,
    /// The history of the batch that it came with, told with its first part.
    batch: Option<Answer<()>>,
}

/// A request for several parts that may have to be sent.
struct Order<K: Kind> {
    call: Prepared<K>,
    /// Where the answer to each part is kept.
    keepers: Vec<Option<Keeper>>,
    /// The table of flights that it is in.
    batches: Calls<Arc<Batch<K>>>,
    gate: Arc<Semaphore>,
}

/// Sends the parts that nobody else is asking for at this moment, in batches, and waits for all.
///
/// Each part is a flight of its own, so that calls which have only some parts in common share those; the flight of a part
/// is one of those who wait for the flight of its batch.
async fn ask<K: Kind>(whole: &Prepared<K>, parts: &[Prepared<K>], missing: &[usize]) -> Result<Vec<Asked<K>>> {
    let (tables, mut orders) = (&Tables::of(whole), HashMap::new());
    let own = missing.iter().copied().filter(|place| !tables.parts.contains(&parts[*place].key));
    for batch in batches(whole, parts, own.collect()) {
        let parts: Vec<_> = batch.iter().map(|place| &parts[*place]).collect();
        let order = Arc::new(tables.order(whole, &parts));
        orders.extend(batch.into_iter().enumerate().map(|(index, place)| (place, (index, Arc::clone(&order)))));
    }
    // All take their seats before anyone waits, so that the parts of a batch are one request.
    let seats: Vec<_> = missing
        .iter()
        .map(|place| {
            let part = &parts[*place];
            let alone = || (0, Arc::new(tables.order(whole, &[part])));
            let (index, order) = orders.remove(place).unwrap_or_else(alone);
            (part, index, tables.fly(part, index, &order))
        })
        .collect();
    let landings = seats.into_iter().map(|(part, index, seat)| async move {
        let is_first = index == 0 && !seat.flight.is_joined();
        let answer = part.land(seat, |_| tables.fly(part, 0, &Arc::new(tables.order(whole, &[part])))).await?;
        let batch = is_first.then(|| answer.with(()));
        Ok(Asked { answer, batch })
    });
    try_join_all(landings).await
}

/// The flights that a call may join: its own alone, if it may join none.
struct Tables<K: Kind> {
    parts: Calls<Answer<K>>,
    batches: Calls<Arc<Batch<K>>>,
    /// Lets [`BATCHES_AT_ONCE`] through.
    gate: Arc<Semaphore>,
}

impl<K: Kind> Tables<K> {
    fn of(whole: &Prepared<K>) -> Self {
        let gate = Arc::new(Semaphore::new(BATCHES_AT_ONCE));
        if whole.joins() {
            Self { parts: whole.core.flights.clone(), batches: whole.core.batches.clone(), gate }
        } else {
            Self { parts: Calls::new(), batches: Calls::new(), gate }
        }
    }

    fn order(&self, whole: &Prepared<K>, parts: &[&Prepared<K>]) -> Order<K> {
        let requests: Vec<_> = parts.iter().map(|part| (*part.request).clone()).collect();
        let keepers = parts.iter().map(|part| part.keeper(whole.core.open_cache())).collect();
        Order {
            call: whole.with_request(K::batch(&requests)),
            keepers,
            batches: self.batches.clone(),
            gate: Arc::clone(&self.gate),
        }
    }

    /// Joins the flight of a part, or starts it as the part at this place of an order.
    fn fly(&self, part: &Prepared<K>, index: usize, order: &Arc<Order<K>>) -> Seat<Answer<K>> {
        part.take_seat(&self.parts, Wish::Whole, Box::new(()), |shared| {
            let mut seat = order.fly();
            // Whoever waits for the part waits for its batch.
            shared.patience.pass_on_to(&seat.flight.companion().patience);
            async move {
                let batch = seat.outcome().await?;
                let value = batch.values.get(index).cloned();
                let value = value.ok_or_else(|| ErrorKind::Bug("a part was not answered".to_owned()))?;
                Ok(batch.history.with(value))
            }
        })
    }
}

impl<K: Kind> Order<K> {
    /// Joins the flight of this request, or starts it.
    fn fly(self: &Arc<Self>) -> Seat<Arc<Batch<K>>> {
        self.call.take_seat(&self.batches, Wish::Whole, Box::new(()), |shared| {
            let order = Arc::clone(self);
            async move {
                // Never closed, so there is always a permit at last.
                let _permit = order.gate.acquire().await;
                let answer = order.call.send(Reading::Whole, shared, None).await?;
                let mut history = answer.with(());
                let values = answer.value.unbatch();
                for (keeper, value) in order.keepers.iter().zip(&values) {
                    let status = Keeper::keep(keeper.as_ref(), &history.deployment, value);
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
fn batches<K: Kind>(whole: &Prepared<K>, parts: &[Prepared<K>], missing: Vec<usize>) -> Vec<Vec<usize>> {
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

/// One answer from the parts' answers, and the history of what was sent for them.
fn assemble<K: Kind>(parts: Vec<Answer<K>>, sent: Vec<Answer<()>>, whole: &Prepared<K>) -> Answer<K> {
    let cache = parts.iter().map(|part| part.cache).max().unwrap_or(CacheStatus::Off);
    let deployment = sent.first().map(|answer| &answer.deployment).or(parts.first().map(|answer| &answer.deployment));
    let deployment = deployment.cloned().unwrap_or_default();
    Answer {
        deployment,
        cache,
        queued: sent.iter().map(|answer| answer.queued).max().unwrap_or_default(),
        position: sent.iter().map(|answer| answer.position).max().unwrap_or_default(),
        attempts: sent.into_iter().flat_map(|answer| answer.attempts).collect(),
        latency: whole.started.elapsed(),
        value: K::join(parts.into_iter().map(|part| part.value).collect()),
    }
}
