//! Writing behind the caller's back: what is put is kept here until one thread has committed it, in groups.
//!
//! Knows nothing of the store but a function that commits a group and one that does a step of its upkeep, so that its
//! promises can be tested alone: a put never waits, a flush always ends, and what was put before it is then committed
//! or counted as lost; groups and steps take turns, so that neither waits for more than one of the other.

mod waiting;

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::{Key, Record};
use crate::error::panic_text;
pub(super) use waiting::{Sketch, Waiting};

/// The longest that an entry waits for company before it is committed.
const COMMIT_DELAY: Duration = Duration::from_millis(20);

/// A group of this many entries waits for no more.
const COMMIT_ENTRIES: usize = 256;

/// Most bytes that wait to be written, 64 MiB: beyond, the disk is too slow and answers are not kept.
const QUEUE_BYTES: u64 = 64 << 20;

/// A group of entries, by key: of two answers to one question the later one counts.
pub(super) type Group = HashMap<Key, Arc<Record>>;

/// Commits a group; an error says what of it is lost.
pub(super) type Commit = dyn Fn(&Group) -> Result<(), Lost> + Send + Sync;

/// Entries that were not written, and why.
#[derive(Debug)]
pub(super) struct Lost {
    pub entries: u64,
    pub message: String,
}

/// Does one step of what has to be done between groups, at this time; says when the next is due, `None` for after the
/// next group.
pub(super) type Tend = dyn Fn(Instant) -> Option<Instant> + Send + Sync;

/// The queue of writes and its thread. Dropped, it commits what is left.
pub(super) struct Writes {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// A queue as the end of the process knows it, which waits for it also while its owner is just dropping it.
#[derive(Clone)]
pub(super) struct Ending(Weak<Shared>);

struct Shared {
    state: Mutex<State>,
    /// How many puts there were: read without the lock, so changed before what was put can be found.
    puts: AtomicU64,
    /// Whether anything waits or is being committed: so too, so that who looks for what is not here waits for nobody.
    is_holding: AtomicBool,
    /// Something to do, or something done.
    changed: Condvar,
    commit: Box<Commit>,
    tend: Box<Tend>,
}

#[derive(Default)]
struct State {
    waiting: HashMap<Key, Waiting>,
    /// When the group that waits is committed at the latest.
    due: Option<Instant>,
    /// When the next step of the upkeep is due.
    tend_at: Option<Instant>,
    is_tending: bool,
    /// The group that is being committed: still readable here.
    committing: Arc<HashMap<Key, Waiting>>,
    bytes: u64,
    committing_bytes: u64,
    /// How many puts there were, and how many of them are settled.
    put: u64,
    settled: u64,
    is_flush_wanted: bool,
    is_closing: bool,
    errors: u64,
    last_error: Option<String>,
    /// The failure that the next flush tells.
    untold: Option<String>,
}

/// What the thread does next.
enum Work {
    /// A group, and which put was its last.
    Group(Arc<HashMap<Key, Waiting>>, u64),
    Step,
}

impl State {
    /// Whether so many bytes more may wait.
    fn has_room(&self, size: u64) -> bool {
        self.bytes.saturating_add(self.committing_bytes).saturating_add(size) <= QUEUE_BYTES
    }

    fn fail(&mut self, entries: u64, message: String) {
        self.errors += entries;
        self.untold = Some(message.clone());
        self.last_error = Some(message);
    }
}

impl Writes {
    /// A queue whose groups `commit` writes, and between them `tend` does its steps. Its thread starts with the first
    /// put, or when it is told to tend.
    pub fn new(commit: Box<Commit>, tend: Box<Tend>) -> Self {
        let shared = Shared {
            state: Mutex::default(),
            puts: AtomicU64::new(0),
            is_holding: AtomicBool::new(false),
            changed: Condvar::new(),
            commit,
            tend,
        };
        Self { shared: Arc::new(shared), thread: Mutex::new(None) }
    }

    /// Takes an entry to be written soon. Never waits; an entry that does not fit is lost and counted.
    #[cfg(test)]
    pub fn put(&self, key: Key, record: Arc<Record>) {
        self.put_with(key, record, None);
    }

    /// The same for an entry whose question may be made only then.
    pub fn put_with(&self, key: Key, record: Arc<Record>, sketch: Option<Sketch>) {
        let mut entry = Waiting::new(record, sketch);
        let mut state = self.shared.lock();
        if !state.has_room(entry.bytes) {
            // What the question is made of may be much longer than the question.
            drop(state);
            entry = Waiting::new(entry.whole(), None);
            state = self.shared.lock();
        }
        let size = entry.bytes;
        if !state.has_room(size) {
            state.fail(1, format!("the disk is too slow: {QUEUE_BYTES} bytes wait to be written"));
            return;
        }
        state.put += 1;
        state.bytes += size;
        // In this order: who sees the new count looks for what was put here.
        self.shared.is_holding.store(true, Ordering::SeqCst);
        self.shared.puts.fetch_add(1, Ordering::SeqCst);
        let is_first = state.waiting.is_empty();
        if is_first {
            state.due = Some(Instant::now() + COMMIT_DELAY);
        }
        if let Some(replaced) = state.waiting.insert(key, entry) {
            state.bytes = state.bytes.saturating_sub(replaced.bytes);
        }
        // Whoever comes between does not change what the thread waits for.
        let is_told = is_first || state.waiting.len() == COMMIT_ENTRIES;
        drop(state);
        if is_told {
            self.shared.changed.notify_all();
        }
        self.start();
    }

    /// Counts an entry that cannot be written at all.
    pub fn refuse(&self, why: String) {
        self.shared.lock().fail(1, why);
    }

    /// What waits to be written under this key.
    pub fn get(&self, key: &Key) -> Option<Arc<Record>> {
        if !self.shared.is_holding.load(Ordering::SeqCst) {
            return None;
        }
        let state = self.shared.lock();
        let found = state.waiting.get(key).or_else(|| state.committing.get(key));
        found.map(|waiting| Arc::clone(&waiting.record))
    }

    /// How many puts there were.
    pub fn puts(&self) -> u64 {
        self.shared.puts.load(Ordering::SeqCst)
    }

    /// Waits until all that was put before is committed.
    ///
    /// Returns why something since the last flush was lost, if something was.
    pub fn flush(&self) -> Result<(), String> {
        self.shared.settled().untold.take().map_or(Ok(()), Err)
    }

    /// Waits until all that was put before is committed or lost, and leaves what there is to tell to the next flush.
    pub fn settle(&self) {
        drop(self.shared.settled());
    }

    /// The same, but not for longer than until then.
    pub fn settle_until(&self, end: Instant) {
        drop(self.shared.settled_until(Some(end)));
    }

    /// For who settles it without having it.
    pub fn ending(&self) -> Ending {
        Ending(Arc::downgrade(&self.shared))
    }

    /// Has the upkeep see to what there is to do now.
    pub fn tend(&self) {
        self.tend_at(Instant::now());
    }

    /// Has the upkeep see to what there is to do then, if not before.
    pub fn tend_at(&self, at: Instant) {
        let mut state = self.shared.lock();
        state.tend_at = Some(state.tend_at.map_or(at, |before| before.min(at)));
        drop(state);
        self.shared.changed.notify_all();
        self.start();
    }

    /// Entries that were lost, and why the last one was.
    pub fn errors(&self) -> (u64, Option<String>) {
        let state = self.shared.lock();
        (state.errors, state.last_error.clone())
    }

    /// Commits what is left, and waits for the thread to be done with the file: for a step of the upkeep too, which who
    /// drops the queue does not wait for.
    pub fn close(&mut self) {
        self.shared.lock().is_closing = true;
        self.shared.changed.notify_all();
        self.join();
    }

    fn join(&mut self) {
        if let Some(thread) = self.thread.get_mut().unwrap_or_else(PoisonError::into_inner).take() {
            // The thread catches what its commits do, so there is nothing to learn from how it ended.
            let _ = thread.join();
        }
    }

    /// Starts the thread if there is none.
    fn start(&self) {
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if thread.is_some() {
            return;
        }
        let shared = Arc::clone(&self.shared);
        match std::thread::Builder::new().name("thryd-store".to_owned()).spawn(move || shared.run()) {
            Ok(handle) => *thread = Some(handle),
            // The next put tries again; until then nothing may wait for these.
            Err(error) => self.shared.settle_lost(&format!("no thread to write with: {error}")),
        }
    }
}

impl Drop for Writes {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.is_closing = true;
        // A step may take seconds, and with nothing to be written nobody has to wait for its end.
        let is_awaited = !state.is_tending || !state.waiting.is_empty();
        drop(state);
        self.shared.changed.notify_all();
        if is_awaited {
            self.join();
        }
    }
}

impl Ending {
    /// As [`Writes::settle`]; of one that is gone, all was written.
    pub fn settle(&self) {
        if let Some(shared) = self.0.upgrade() {
            drop(shared.settled());
        }
    }

    pub fn is_gone(&self) -> bool {
        self.0.strong_count() == 0
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn settled(&self) -> MutexGuard<'_, State> {
        self.settled_until(None)
    }

    /// Waits until all that was put before is settled, or until then.
    fn settled_until(&self, end: Option<Instant>) -> MutexGuard<'_, State> {
        let mut state = self.lock();
        let target = state.put;
        while state.settled < target && end.is_none_or(|end| Instant::now() < end) {
            state.is_flush_wanted = true;
            self.changed.notify_all();
            state = match end.map(|end| end.saturating_duration_since(Instant::now())) {
                None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(left) => self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0,
            };
        }
        state
    }

    fn run(&self) {
        let mut was_group = false;
        while let Some(work) = self.next_work(was_group) {
            was_group = matches!(work, Work::Group(..));
            match work {
                Work::Group(group, last) => self.commit(&group, last),
                Work::Step => self.step(),
            }
        }
    }

    fn commit(&self, group: &HashMap<Key, Waiting>, last: u64) {
        let write = || (self.commit)(&group.iter().map(|(key, waiting)| (*key, waiting.whole())).collect());
        let outcome = catch_unwind(AssertUnwindSafe(write)).unwrap_or_else(|panic| {
            let message = format!("a defect of thryd: {}", panic_text(&*panic));
            Err(Lost { entries: group.len() as u64, message })
        });
        let mut state = self.lock();
        if let Err(Lost { entries, message }) = outcome {
            state.fail(entries, message);
        }
        state.committing = Arc::default();
        state.committing_bytes = 0;
        self.is_holding.store(!state.waiting.is_empty(), Ordering::SeqCst);
        state.settled = last;
        state.tend_at = Some(Instant::now());
        drop(state);
        self.changed.notify_all();
    }

    fn step(&self) {
        // A panic is a defect of thryd's that costs upkeep, no answer.
        let next = catch_unwind(AssertUnwindSafe(|| (self.tend)(Instant::now()))).unwrap_or_default();
        let mut state = self.lock();
        state.is_tending = false;
        // Whoever asked for upkeep in the meantime gets it.
        state.tend_at = state.tend_at.into_iter().chain(next).min();
    }

    /// Waits for work that is due; the turn is the upkeep's after a group. `None` when all is written and no more comes.
    fn next_work(&self, is_upkeep_first: bool) -> Option<Work> {
        let mut state = self.lock();
        loop {
            let now = Instant::now();
            let is_step_due = !state.is_closing && state.tend_at.is_some_and(|at| at <= now);
            let is_pressing = state.is_closing || state.is_flush_wanted || state.waiting.len() >= COMMIT_ENTRIES;
            let is_group_due = !state.waiting.is_empty() && (is_pressing || state.due.is_none_or(|due| due <= now));
            if is_step_due && (is_upkeep_first || !is_group_due) {
                (state.tend_at, state.is_tending) = (None, true);
                return Some(Work::Step);
            }
            if is_group_due {
                state.is_flush_wanted = false;
                state.committing = Arc::new(std::mem::take(&mut state.waiting));
                state.committing_bytes = std::mem::take(&mut state.bytes);
                return Some(Work::Group(Arc::clone(&state.committing), state.put));
            }
            if state.is_closing {
                return None;
            }
            let due = state.due.filter(|_| !state.waiting.is_empty());
            state = match due.into_iter().chain(state.tend_at).min() {
                None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(at) => {
                    let left = at.saturating_duration_since(now);
                    self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    /// Gives up on all that waits.
    fn settle_lost(&self, message: &str) {
        let mut state = self.lock();
        let lost = std::mem::take(&mut state.waiting).len() as u64;
        self.is_holding.store(!state.committing.is_empty(), Ordering::SeqCst);
        state.bytes = 0;
        state.settled = state.put;
        state.fail(lost, message.to_owned());
        drop(state);
        self.changed.notify_all();
    }
}

#[cfg(test)]
mod tests;
