//! Joining of equal calls in flight: one call is made, everyone who asks meanwhile gets its answer.
//!
//! The call runs as its own task, so no caller is its owner: whoever leaves takes nothing from the others, and when the
//! last one leaves, the task is aborted. A call is found by its key from the moment it is started until the moment
//! before its outcome can be seen, so a finished call is never joined; an aborted one is gone before it is aborted.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use futures_util::future::{BoxFuture, FutureExt, Shared};
use tokio::sync::oneshot;
use tokio::task::{AbortHandle, JoinError, JoinHandle};

use super::Key;
use crate::error::panic_text;

/// The calls in flight; clones share them.
pub struct Flights<T> {
    table: Arc<Mutex<Table<T>>>,
}

struct Table<T> {
    calls: HashMap<Key, Call<T>>,
    /// Tells the calls apart that had the same key one after another.
    next: u64,
}

struct Call<T> {
    number: u64,
    callers: usize,
    outcome: Outcome<T>,
    /// Absent while the call is being started.
    task: Option<AbortHandle>,
}

type Outcome<T> = Shared<BoxFuture<'static, Result<T, FlightPanic>>>;

/// The call's task panicked, or its runtime ended: a defect, told to all who waited.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct FlightPanic {
    /// The text of the panic.
    pub message: String,
}

impl<T: Clone + Send + Sync + 'static> Flights<T> {
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
    pub fn join<F>(&self, key: Key, start: impl FnOnce() -> F) -> Flight<T>
    where
        F: Future<Output = T> + Send + 'static,
    {
        let (send_handle, handle) = oneshot::channel();
        let (flight, number) = match self.enter(key, handle) {
            (flight, None) => return flight,
            (flight, Some(number)) => (flight, number),
        };
        // From here on without the lock: `start` is foreign code, and so is what a spawn on an ending runtime drops.
        let entry = Entry { table: Arc::clone(&self.table), key, number };
        let call = start();
        // The task drops its entry when the call ends in whatever way, before the outcome can be seen.
        let handle: JoinHandle<T> = tokio::spawn(async move {
            let _entry = entry;
            call.await
        });
        if let Some(call) = lock(&self.table).calls.get_mut(&key).filter(|call| call.number == number) {
            call.task = Some(handle.abort_handle());
        }
        // Refused only if nobody waits any more, and this caller does.
        let _ = send_handle.send(handle);
        flight
    }

    /// Joins, or makes a place for a new call and says its number.
    fn enter(&self, key: Key, handle: oneshot::Receiver<JoinHandle<T>>) -> (Flight<T>, Option<u64>) {
        let mut table = lock(&self.table);
        if let Some(call) = table.calls.get_mut(&key) {
            call.callers += 1;
            let caller = Caller { table: Arc::clone(&self.table), key, number: call.number };
            return (Flight { outcome: call.outcome.clone(), is_joined: true, _caller: caller }, None);
        }
        let number = table.next;
        table.next += 1;
        let outcome = async move {
            match handle.await {
                Ok(task) => task.await.map_err(FlightPanic::from),
                Err(_) => Err(FlightPanic { message: "the call could not be started".to_owned() }),
            }
        };
        let outcome = outcome.boxed().shared();
        table.calls.insert(key, Call { number, callers: 1, outcome: outcome.clone(), task: None });
        let caller = Caller { table: Arc::clone(&self.table), key, number };
        (Flight { outcome, is_joined: false, _caller: caller }, Some(number))
    }

    /// How many calls are in flight.
    #[must_use]
    pub fn len(&self) -> usize {
        lock(&self.table).calls.len()
    }

    /// Whether no call is in flight.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<T> Default for Flights<T> {
    fn default() -> Self {
        Self { table: Arc::new(Mutex::new(Table { calls: HashMap::new(), next: 0 })) }
    }
}

impl<T> Clone for Flights<T> {
    fn clone(&self) -> Self {
        Self { table: Arc::clone(&self.table) }
    }
}

impl<T> std::fmt::Debug for Flights<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Flights").field("in_flight", &lock(&self.table).calls.len()).finish()
    }
}

/// One caller's share of a call. Dropping it leaves the call; the last one to leave ends it.
#[must_use = "a flight that nobody holds is aborted"]
pub struct Flight<T: Clone> {
    outcome: Outcome<T>,
    is_joined: bool,
    _caller: Caller<T>,
}

impl<T: Clone> Flight<T> {
    /// Whether the call was already under way.
    #[must_use]
    pub fn is_joined(&self) -> bool {
        self.is_joined
    }
}

impl<T: Clone> Future for Flight<T> {
    type Output = Result<T, FlightPanic>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.outcome.poll_unpin(context)
    }
}

impl<T: Clone> std::fmt::Debug for Flight<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Flight").field("is_joined", &self.is_joined).finish_non_exhaustive()
    }
}

/// Counts one caller.
struct Caller<T> {
    table: Arc<Mutex<Table<T>>>,
    key: Key,
    number: u64,
}

impl<T> Drop for Caller<T> {
    fn drop(&mut self) {
        let abandoned = {
            let mut table = lock(&self.table);
            match table.calls.get_mut(&self.key) {
                Some(call) if call.number == self.number && call.callers > 1 => {
                    call.callers -= 1;
                    None
                }
                Some(call) if call.number == self.number => table.calls.remove(&self.key),
                _ => None,
            }
        };
        // Outside the lock: what the task drops may come back here.
        if let Some(task) = abandoned.and_then(|call| call.task) {
            task.abort();
        }
    }
}

/// The call's place in the table, held by its task.
struct Entry<T> {
    table: Arc<Mutex<Table<T>>>,
    key: Key,
    number: u64,
}

impl<T> Drop for Entry<T> {
    fn drop(&mut self) {
        let ended = {
            let mut table = lock(&self.table);
            let is_mine = table.calls.get(&self.key).is_some_and(|call| call.number == self.number);
            if is_mine { table.calls.remove(&self.key) } else { None }
        };
        drop(ended);
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

/// Nothing is left half done under the lock, so a panic there spoils nothing.
fn lock<T>(table: &Mutex<Table<T>>) -> MutexGuard<'_, Table<T>> {
    table.lock().unwrap_or_else(PoisonError::into_inner)
}
