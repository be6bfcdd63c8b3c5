//! Requests of independent parts: each part is cached on its own, only the missing ones are sent, duplicates once.

use std::collections::HashMap;

use futures_util::{StreamExt, TryStreamExt, stream};

use super::answer::{Answer, CacheStatus};
use super::call::{Keeper, Prepared, within_total};
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
        let sent: Vec<_> = stream::iter(batches(&whole, &parts, missing))
            .map(|batch| send(&parts, batch))
            .buffered(BATCHES_AT_ONCE)
            .try_collect()
            .await?;
        let mut batches = Vec::new();
        for (places, batch, values) in sent {
            for (place, value) in places.into_iter().zip(values) {
                answers[place] = Some(Answer { value, ..batch.clone() });
            }
            batches.push(batch);
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
        Ok(assemble(answers, batches, &whole))
    })
    .await
}

/// What a batch gave: the places of its parts, the answer without its value's meaning, and the parts' values.
type Sent<K> = (Vec<usize>, Answer<K>, Vec<K>);

async fn send<K: Kind>(parts: &[Prepared<K>], places: Vec<usize>) -> Result<Sent<K>> {
    let requests: Vec<_> = places.iter().map(|place| (*parts[*place].request).clone()).collect();
    let batch = parts[places[0]].with_request(K::batch(&requests));
    let mut answer = batch.send().await?;
    let values = answer.value.clone().unbatch();
    let cache = batch.core.open_cache();
    for (place, value) in places.iter().zip(&values) {
        let keeper = parts[*place].keeper(cache.clone());
        let status = Keeper::keep(keeper.as_ref(), &answer.deployment, value);
        if answer.cache == CacheStatus::Off {
            answer.cache = status;
        }
    }
    Ok((places, answer, values))
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
fn assemble<K: Kind>(parts: Vec<Answer<K>>, sent: Vec<Answer<K>>, whole: &Prepared<K>) -> Answer<K> {
    let cache = parts.iter().map(|part| part.cache).max().unwrap_or(CacheStatus::Off);
    let deployment = sent.first().or(parts.first()).map(|answer| answer.deployment.clone()).unwrap_or_default();
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
