//! Joining of equal calls in flight: one call is made, everyone who asks meanwhile gets its answer.
//!
//! The call runs as its own task, so no caller is its owner: whoever leaves takes nothing from the others, and when the
//! last one leaves, the task is aborted. A call is found by its key from the moment it is started until the moment
//! before its outcome can be seen, so a finished call is never joined; an aborted one is gone before it is aborted. What
//! the call and its callers tell each other on the way (chunks, deadlines) is a companion `S` that they share.
//!
//! Modelled in `tests/loom_joining.rs`.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use futures_util::future::{BoxFuture, FutureExt};
use tokio::task::JoinError;

use super::Key;
use crate::error::panic_text;
use crate::sync::{Mutex, lock};

/// The calls in flight; clones share them.
pub struct Flights<T, S = ()> {
    table: Arc<Mutex<Table<T, S>>>,
}

type Table<T, S> = HashMap<Key, Entry<T, S>>;

/// A call that can be joined.
struct Entry<T, S> {
    call: Arc<Call<T, S>>,
    callers: usize,
    /// Absent while the call is being started.
    abort: Option<Abort>,
}

/// Ends a task.
type Abort = Box<dyn FnOnce() + Send>;

/// What the task and the callers of one call share.
struct Call<T, S> {
    companion: Arc<S>,
    state: Mutex<State<T>>,
}

struct State<T> {
    outcome: Option<Result<T, FlightPanic>>,
    /// Who waits for the outcome, by a number of its own.
    wakers: BTreeMap<u64, Waker>,
    next_waker: u64,
}

/// The call's task panicked, or its runtime ended: a defect, told to all who waited.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct FlightPanic {
    /// The text of the panic.
    pub message: String,
}

impl<T: Clone + Send + Sync + 'static, S: Default + Send + Sync + 'static> Flights<T, S> {
    /// No calls.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Joins the call with this key, or starts it: `start` makes the future of the call, which a new task then runs.
    ///
    /// If `start` panics, so does this; callers that joined in the meantime get a [`FlightPanic`].
    ///
    /// # Panics
    /// Outside a Tokio runtime.
    pub fn join<F>(&self, key: Key, start: impl FnOnce(&Arc<S>) -> F) -> Flight<T, S>
    where
        F: Future<Output = T> + Send + 'static,
    {
        self.join_on(key, start, |task| {
            let task = tokio::spawn(task).abort_handle();
            Box::new(move || task.abort())
        })
    }

    /// As [`Flights::join`], with something else than Tokio to run the call: `spawn` runs it and gives what ends it,
    /// which drops the future some time after.
    pub fn join_on<F>(
        &self,
        key: Key,
        start: impl FnOnce(&Arc<S>) -> F,
        spawn: impl FnOnce(BoxFuture<'static, ()>) -> Box<dyn FnOnce() + Send>,
    ) -> Flight<T, S>
    where
        F: Future<Output = T> + Send + 'static,
    {
        let flight = self.enter(key);
        if flight.is_joined {
            return flight;
        }
        // From here on without the lock: `start` is foreign code, and so is what a spawn on an ending runtime drops. The
        // call cannot be abandoned meanwhile, because this caller stays.
        let mut ending = Ending { table: Arc::clone(&self.table), key, call: Some(Arc::clone(&flight.call)) };
        let call = start(&flight.call.companion);
        let abort = spawn(Box::pin(async move {
            let outcome = AssertUnwindSafe(call).catch_unwind().await;
            ending.end(outcome.map_err(|panic| FlightPanic { message: panic_text(&*panic) }));
        }));
        if let Some(entry) = lock(&self.table).get_mut(&key).filter(|entry| Arc::ptr_eq(&entry.call, &flight.call)) {
            entry.abort = Some(abort);
        }
        flight
    }

    /// Whether a call with this key is in flight.
    #[must_use]
    pub fn contains(&self, key: &Key) -> bool {
        lock(&self.table).contains_key(key)
    }

    /// Joins, or makes a place for a new call.
    fn enter(&self, key: Key) -> Flight<T, S> {
        let mut table = lock(&self.table);
        let is_joined = table.contains_key(&key);
        let entry = table.entry(key).or_insert_with(|| {
            let state = State { outcome: None, wakers: BTreeMap::new(), next_waker: 0 };
            let call = Call { companion: Arc::new(S::default()), state: Mutex::new(state) };
            Entry { call: Arc::new(call), callers: 0, abort: None }
        });
        entry.callers += 1;
        Flight {
            table: Arc::clone(&self.table),
            key,
            call: Arc::clone(&entry.call),
            is_joined,
            waker: None,
            is_given: false,
        }
    }

    /// How many calls are in flight.
    #[must_use]
    pub fn len(&self) -> usize {
        lock(&self.table).len()
    }

    /// Whether no call is in flight.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<T, S> Default for Flights<T, S> {
    fn default() -> Self {
        Self { table: Arc::new(Mutex::new(HashMap::new())) }
    }
}

impl<T, S> Clone for Flights<T, S> {
    fn clone(&self) -> Self {
        Self { table: Arc::clone(&self.table) }
    }
}

impl<T, S> std::fmt::Debug for Flights<T, S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Flights").field("in_flight", &lock(&self.table).len()).finish()
    }
}

/// One caller's share of a call. Dropping it leaves the call; the last one to leave ends it.
#[must_use = "a flight that nobody holds is aborted"]
pub struct Flight<T, S = ()> {
    table: Arc<Mutex<Table<T, S>>>,
    key: Key,
    call: Arc<Call<T, S>>,
    is_joined: bool,
    /// The number under which this caller waits.
    waker: Option<u64>,
    /// The outcome was given to this caller, who was alone with it.
    is_given: bool,
}

impl<T: Clone, S> Flight<T, S> {
    /// Whether the call was already under way.
    #[must_use]
    pub fn is_joined(&self) -> bool {
        self.is_joined
    }

    /// What the call and its callers share.
    #[must_use]
    pub fn companion(&self) -> &Arc<S> {
        &self.call.companion
    }

    /// The outcome, if there is one yet, and if this future has not given it already.
    #[must_use]
    pub fn outcome(&self) -> Option<Result<T, FlightPanic>> {
        lock(&self.call.state).outcome.clone()
    }

    /// Whether there is an outcome; if there is none yet, who asks is woken when there is.
    pub fn poll_end(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let mut state = lock(&self.call.state);
        if state.outcome.is_some() || self.is_given {
            return Poll::Ready(());
        }
        let number = *self.waker.get_or_insert(state.next_waker);
        state.next_waker = state.next_waker.max(number + 1);
        state.wakers.insert(number, context.waker().clone());
        Poll::Pending
    }
}

impl<T: Clone, S> Future for Flight<T, S> {
    type Output = Result<T, FlightPanic>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if self.poll_end(context).is_pending() {
            return Poll::Pending;
        }
        let flight = &mut *self;
        let mut state = lock(&flight.call.state);
        // Nobody joins a call that has ended, so who is alone with it then has the outcome without a copy.
        flight.is_given |= Arc::strong_count(&flight.call) == 1;
        let outcome = if flight.is_given { state.outcome.take() } else { state.outcome.clone() };
        Poll::Ready(outcome.unwrap_or_else(|| Err(FlightPanic { message: "the outcome was given already".to_owned() })))
    }
}

impl<T, S> std::fmt::Debug for Flight<T, S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Flight").field("is_joined", &self.is_joined).finish_non_exhaustive()
    }
}

impl<T, S> Drop for Flight<T, S> {
    fn drop(&mut self) {
        if let Some(number) = self.waker {
            let waker = lock(&self.call.state).wakers.remove(&number);
            drop(waker);
        }
        let abandoned = {
            let mut table = lock(&self.table);
            match table.get_mut(&self.key).filter(|entry| Arc::ptr_eq(&entry.call, &self.call)) {
                Some(entry) if entry.callers > 1 => {
                    entry.callers -= 1;
                    None
                }
                Some(_) => table.remove(&self.key),
                None => None,
            }
        };
        // Outside the lock: what the task drops may come back here.
        if let Some(abort) = abandoned.and_then(|entry| entry.abort) {
            abort();
        }
    }
}

/// The call's end, held by its task: told to all who wait, also if the task is dropped before its time.
struct Ending<T, S> {
    table: Arc<Mutex<Table<T, S>>>,
    key: Key,
    /// Gone when it is told.
    call: Option<Arc<Call<T, S>>>,
}

impl<T, S> Ending<T, S> {
    fn end(&mut self, outcome: Result<T, FlightPanic>) {
        let Some(call) = self.call.take() else { return };
        // Out of the table first: a call whose outcome can be seen is not joined.
        let ended = {
            let mut table = lock(&self.table);
            let is_mine = table.get(&self.key).is_some_and(|entry| Arc::ptr_eq(&entry.call, &call));
            if is_mine { table.remove(&self.key) } else { None }
        };
        let wakers = {
            let mut state = lock(&call.state);
            state.outcome = Some(outcome);
            std::mem::take(&mut state.wakers)
        };
        wakers.into_values().for_each(Waker::wake);
        drop(ended);
    }
}

impl<T, S> Drop for Ending<T, S> {
    fn drop(&mut self) {
        self.end(Err(FlightPanic { message: "the runtime ended before the call did".to_owned() }));
    }
}

impl From<JoinError> for FlightPanic {
    fn from(error: JoinError) -> Self {
        let message = match error.try_into_panic() {
            Ok(panic) => panic_text(&*panic),
            Err(_) => "the runtime ended before the call did".to_owned(),
        };
        Self { message }
    }
}
