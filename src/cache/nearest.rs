//! The stored question that is nearest to one that was asked: what a test suite is told when an answer is not there.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::disk::Disk;
use super::question::{Difference, Distance, Question};
use super::{Cache, Key, Namespace, Record};

/// Differences that are told one by one.
const TOLD: usize = 5;

/// Entries that are read from disk at once.
const PAGE: usize = 256;

/// How far a search goes.
#[derive(Clone, Copy, Debug)]
pub struct SearchBounds {
    /// Most answers that are looked at.
    pub records: usize,
    /// How long it goes on, and how long it waits for its turn before that.
    pub time: Duration,
}

/// What was found in a search. Displayed, it goes on from a sentence that ends with `is not in the cache`.
#[derive(Clone, Debug)]
pub struct Nearest {
    /// The file, or `memory`.
    place: String,
    /// Answers of the same namespace whose questions were compared.
    pub compared: usize,
    /// Where the nearest of them differs; empty if it does not.
    pub differences: Vec<Difference>,
    /// Why the same question does not count, if it is there.
    pub same: Option<Same>,
    /// It was not searched for, because others were.
    pub is_left_out: bool,
}

/// Why an answer to the very question does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Same {
    /// Its time is over.
    Expired,
    /// It belongs to another namespace, of which nothing else is told.
    Elsewhere,
    /// It is not what an answer looks like in this version.
    Unreadable,
}

impl fmt::Display for Nearest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, " ({})", self.place)?;
        if self.is_left_out {
            return f.write_str("; ask for it alone to see what differs");
        }
        match self.same {
            Some(Same::Expired) => return f.write_str(". The same request is stored, but its answer has expired"),
            Some(Same::Elsewhere) => return f.write_str(". The same request is stored in another namespace"),
            Some(Same::Unreadable) => {
                return f.write_str(". The same request is stored, but this version cannot read its answer");
            }
            None => {}
        }
        match (self.compared, self.differences.as_slice()) {
            (0, _) | (_, []) => f.write_str(", where nothing is stored that it could be compared with"),
            (compared, [first, others @ ..]) => {
                let which = if compared == 1 { "one that is".to_owned() } else { format!("nearest of {compared}") };
                write!(f, ". The {which} stored differs in: {first}")?;
                let told = others.len().min(TOLD - 1);
                others[..told].iter().try_for_each(|other| write!(f, "; {other}"))?;
                match others.len() - told {
                    0 => Ok(()),
                    more => write!(f, "; and {more} more"),
                }
            }
        }
    }
}

/// What has been found so far.
struct Search<'q> {
    asked: Distance<'q>,
    namespace: Namespace,
    now_ms: u64,
    compared: usize,
    is_elsewhere: bool,
    best: Option<Candidate>,
}

struct Candidate {
    distance: u32,
    is_expired: bool,
    created_ms: u64,
    question: Bytes,
}

impl Search<'_> {
    fn look_at(&mut self, record: &Record) {
        let Ok(sketch) = std::str::from_utf8(&record.question) else { return };
        if sketch.is_empty() {
            return;
        }
        let distance = self.asked.to(sketch);
        if record.namespace != self.namespace {
            // Whether it is there is all that one tenant may learn of another.
            self.is_elsewhere |= distance == 0;
            return;
        }
        self.compared += 1;
        let (is_expired, created_ms) = (record.is_expired(self.now_ms), record.created_ms);
        let rank = (distance, is_expired, Reverse(created_ms));
        if self.best.as_ref().is_none_or(|best| rank < (best.distance, best.is_expired, Reverse(best.created_ms))) {
            // A copy: a slice would keep the whole answer.
            let question = Bytes::copy_from_slice(&record.question);
            self.best = Some(Candidate { distance, is_expired, created_ms, question });
        }
    }
}

impl Cache {
    /// Looks for the stored question that is nearest to this one, in memory and on disk. One search at a time, so that a
    /// suite of which everything misses leaves the machine to its other work; whose turn does not come is left out.
    pub async fn nearest(&self, question: Question, namespace: &str, bounds: SearchBounds) -> Nearest {
        let place = self.0.options.path.as_ref().map_or("memory".to_owned(), |path| path.display().to_string());
        let nothing =
            Nearest { place: place.clone(), compared: 0, differences: Vec::new(), same: None, is_left_out: false };
        let Ok(_turn) = tokio::time::timeout(bounds.time, self.0.searching.lock()).await else {
            return Nearest { is_left_out: true, ..nothing };
        };
        let (in_memory, disk) = (self.0.memory.records(), self.disk());
        let (namespace, now_ms) = (self.0.codec.namespace(namespace), (self.0.clock)());
        let search = move || {
            let mut search =
                Search { asked: question.distance(), namespace, now_ms, compared: 0, is_elsewhere: false, best: None };
            look_at_all(&mut search, &in_memory, disk.as_ref(), bounds);
            let Search { compared, is_elsewhere, best, .. } = search;
            let sketch = best.as_ref().and_then(|best| std::str::from_utf8(&best.question).ok());
            let differences = sketch.map_or_else(Vec::new, |sketch| question.differences(sketch));
            let same = match &best {
                Some(Candidate { distance: 0, is_expired, .. }) => {
                    Some(if *is_expired { Same::Expired } else { Same::Unreadable })
                }
                _ => is_elsewhere.then_some(Same::Elsewhere),
            };
            Nearest { place, compared, differences, same, is_left_out: false }
        };
        tokio::task::spawn_blocking(search).await.unwrap_or(nothing)
    }
}

fn look_at_all(
    search: &mut Search<'_>,
    in_memory: &[(Key, Arc<Record>)],
    disk: Option<&Arc<Disk>>,
    bounds: SearchBounds,
) {
    let end = Instant::now() + bounds.time;
    let mut left = bounds.records;
    let mut goes_on = || {
        left = left.saturating_sub(1);
        left > 0 && Instant::now() < end
    };
    let mut seen = HashSet::new();
    // With a file below, what was asked may stand there alone.
    for (key, record) in in_memory.iter().filter(|(_, record)| !record.question.is_empty()) {
        search.look_at(record);
        seen.insert(*key);
        if !goes_on() {
            return;
        }
    }
    let Some(disk) = disk else { return };
    disk.settle_until(end);
    let mut after = None;
    // What cannot be read is not there to be compared with.
    while let Ok(page) = disk.scan(after, PAGE) {
        let Some((last, ..)) = page.last() else { return };
        after = Some(*last);
        for (_, key, record) in page {
            if !seen.contains(&key) {
                search.look_at(&record);
            }
            if !goes_on() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::CacheOptions;
    use super::*;
    use crate::kinds::Body;

    #[tokio::test(start_paused = true)]
    async fn who_asks_while_another_search_goes_on_is_told_what_to_do_instead_of_waiting_for_all() {
        let cache = Cache::open(CacheOptions::default()).unwrap();
        let bounds = SearchBounds { records: 10, time: Duration::from_millis(250) };
        let search = || {
            let body = Body::parse("{}").unwrap();
            cache.nearest(Question::new("completion", ["a::b"].into_iter(), &body), "", bounds)
        };
        let turn = cache.0.searching.lock().await;
        assert_eq!(search().await.to_string(), " (memory); ask for it alone to see what differs");
        drop(turn);
        assert!(!search().await.is_left_out);
    }
}
