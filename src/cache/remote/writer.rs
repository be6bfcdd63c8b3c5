//! What is on its way to Redis: kept behind the callers' backs, in batches, of a bounded number of bytes.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::watch;
use tokio::time::Instant;

use super::Remote;
use super::place::Place;
use super::turns::Claim;
use crate::cache::{Key, Waiting};
use crate::redis::{Fault, Keeping, Kept};

/// Most bytes that wait, about.
const WAITING_BYTES: u64 = 16 << 20;

/// Answers, and bytes of them, that are sent before any is known to have come.
const SENT_AT_ONCE: usize = 64;
const SENT_BYTES_AT_ONCE: u64 = 1 << 20;

/// Longest value that is kept: it is read within a bound, and holds up what is read behind it.
const LONGEST: usize = 1 << 20;

/// How long nothing is sent to a Redis that is full, or that may not be written.
const REST: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Default)]
pub(super) struct Writer {
    state: Mutex<State>,
    /// How many of those that were to be kept are in Redis, or lost: they go in the order in which they came.
    done: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Entry>,
    bytes: u64,
    /// How many were ever to be kept.
    count: u64,
    is_running: bool,
    rests_until: Option<Instant>,
}

/// An answer that is to be kept.
struct Entry {
    key: Key,
    record: Waiting,
    /// When it was asked for, in milliseconds since 1970.
    asked_ms: u64,
    /// The count of what had been cleared when it came.
    cleared: u64,
    /// The lease under which it was asked for.
    claim: Option<Claim>,
}

/// The same as it is sent.
struct Letter {
    place: Place,
    value: Vec<u8>,
    ttl_ms: u64,
    asked_ms: u64,
    claim: Option<Claim>,
}

impl Remote {
    /// Keeps an answer soon. Never waits; what does not get there is counted.
    pub fn put(self: &Arc<Self>, key: Key, record: Waiting, asked_ms: u64) {
        let claim = self.take_claim(&key);
        let cleared = self.clears.count();
        {
            let mut state = self.writer.lock();
            if state.bytes + record.bytes > WAITING_BYTES {
                drop(state);
                self.status.not_kept(1, "more is to be kept than Redis takes in");
                return;
            }
            state.bytes += record.bytes;
            state.count += 1;
            state.waiting.push_back(Entry { key, record, asked_ms, cleared, claim });
        }
        self.begin_to_write();
    }

    /// Outside a runtime nothing is begun; the next who comes begins.
    fn begin_to_write(self: &Arc<Self>) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        if !std::mem::replace(&mut self.writer.lock().is_running, true) {
            let running = Running { remote: Arc::clone(self), is_over: false };
            runtime.spawn(async move {
                while let Some(batch) = running.remote.writer.next() {
                    let _count = Count(&running.remote.writer, batch.len());
                    running.remote.send(batch).await;
                }
                running.end();
            });
        }
    }

    /// Waits until all that was to be kept before is in Redis, or lost.
    pub async fn flush(self: &Arc<Self>) {
        let count = self.writer.lock().count;
        self.begin_to_write();
        let mut done = self.writer.done.subscribe();
        // The sender is ours, so it does not end before.
        _ = done.wait_for(|done| *done >= count).await;
    }

    async fn send(self: &Arc<Self>, batch: Vec<Entry>) {
        let count = batch.len() as u64;
        if self.writer.is_resting() {
            // For the reason that is known.
            self.status.not_kept(count, "");
            return;
        }
        let begun = async {
            let values = self.values()?;
            // Before anything is compressed for nobody.
            values.gone().map_or(Ok(()), Err)?;
            Ok((self.letters(batch).await?, values))
        };
        let (letters, values) = match begun.await {
            Ok(begun) => begun,
            Err(fault) => return self.refused(count, &fault),
        };
        let values = &*values;
        let now_ms = super::super::now_ms();
        join_all(letters.into_iter().map(|mut letter| async move {
            let keeping = Keeping {
                key: &letter.place.answer,
                value: &letter.value,
                ttl_ms: letter.ttl_ms,
                asked_ms: letter.asked_ms,
                now_ms,
                lease: &letter.place.lease,
                token: letter.claim.as_ref().map_or("", Claim::token),
            };
            match values.keep(keeping).await {
                Ok(kept) => {
                    if let Some(claim) = &mut letter.claim {
                        claim.is_over();
                    }
                    match kept {
                        Kept::Yes => self.status.kept(),
                        Kept::Overtaken => self.status.found(),
                        Kept::Foreign => {
                            let key = &letter.place.answer;
                            self.status.not_kept(1, &format!("{key} is not thryd's, or of a newer version: it stays"));
                        }
                    }
                }
                Err(fault) => self.refused(1, &fault),
            }
        }))
        .await;
    }

    /// What is sent of a batch: where to, and in which words, which are found off the I/O thread.
    async fn letters(self: &Arc<Self>, batch: Vec<Entry>) -> Result<Vec<Letter>, Fault> {
        let mut placed = Vec::with_capacity(batch.len());
        for entry in batch {
            let namespace = entry.record.record.namespace;
            let place = match &entry.claim {
                Some(claim) => claim.place().clone(),
                None => self.place(&entry.key, namespace).await?,
            };
            // What may have been asked for before its namespace was cleared is not kept in what was begun then.
            if (entry.claim.is_some() || !place.is_news) && !self.clears.is_cleared_since(namespace, entry.cleared) {
                placed.push((place, entry));
            }
        }
        let (codec, now_ms, count) = (self.codec.clone(), super::super::now_ms(), placed.len() as u64);
        let encode = move || {
            let letters = placed.into_iter().filter_map(|(place, Entry { key, record, asked_ms, claim, .. })| {
                let whole = record.whole();
                let value = codec.encode(&key, &whole).filter(|value| value.len() <= LONGEST)?;
                let ttl_ms = whole.expires_ms.saturating_sub(now_ms);
                Some(Letter { place, value, ttl_ms, asked_ms, claim })
            });
            letters.collect::<Vec<_>>()
        };
        // An error is a panic in what makes a question short.
        let letters = tokio::task::spawn_blocking(encode).await.unwrap_or_default();
        let lost = count - letters.len() as u64;
        if lost > 0 {
            self.status.not_kept(lost, "an answer is longer than a mebibyte, or cannot be written");
        }
        Ok(letters)
    }

    /// So many answers do not get there.
    pub(super) fn refused(&self, count: u64, fault: &Fault) {
        if fault.is_refusal() {
            self.status.refused(&fault.message);
            self.writer.lock().rests_until = Some(Instant::now() + REST);
        } else {
            self.status.lost(&fault.message);
        }
        self.status.not_kept(count, &fault.message);
    }
}

impl Writer {
    /// What is to be sent next; if nothing is, nobody is there to send it from now on.
    fn next(&self) -> Option<Vec<Entry>> {
        let (mut state, mut batch, mut bytes) = (self.lock(), Vec::new(), 0);
        while let Some(entry) = state.waiting.front() {
            if batch.len() == SENT_AT_ONCE || (bytes + entry.record.bytes > SENT_BYTES_AT_ONCE && !batch.is_empty()) {
                break;
            }
            bytes += entry.record.bytes;
            batch.extend(state.waiting.pop_front());
        }
        state.bytes -= bytes;
        state.is_running = !batch.is_empty();
        (!batch.is_empty()).then_some(batch)
    }

    /// Whether nothing is sent for now, because it would be refused.
    pub fn is_resting(&self) -> bool {
        self.lock().rests_until.is_some_and(|until| Instant::now() < until)
    }

    // A std mutex: nothing is awaited while it is held.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The task that writes. However it ends, another may begin.
struct Running {
    remote: Arc<Remote>,
    /// Whether it has ended of itself: another may have begun.
    is_over: bool,
}

impl Running {
    fn end(mut self) {
        self.is_over = true;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.is_over {
            self.remote.writer.lock().is_running = false;
        }
    }
}

/// So many that are being written.
struct Count<'a>(&'a Writer, usize);

impl Drop for Count<'_> {
    fn drop(&mut self) {
        self.0.done.send_modify(|done| *done += self.1 as u64);
    }
}

/// All that may have something to write.
static ALL: Mutex<Vec<Weak<Remote>>> = Mutex::new(Vec::new());

/// There is one more.
pub(super) fn note(remote: &Arc<Remote>) {
    let mut all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
    all.retain(|remote| remote.strong_count() > 0);
    all.push(Arc::downgrade(remote));
}

/// Waits until all that was to be kept is in Redis, for no longer than the bound of an answer: for the end of the process. The
/// runtime has to go on meanwhile.
pub(in crate::cache) fn flush_within_bounds() {
    let all = ALL.lock().unwrap_or_else(PoisonError::into_inner).clone();
    for remote in all.iter().filter_map(Weak::upgrade) {
        let (begun, count) = (std::time::Instant::now(), remote.writer.lock().count);
        while *remote.writer.done.borrow() < count && begun.elapsed() < remote.limit {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}
