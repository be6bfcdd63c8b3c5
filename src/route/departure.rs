//! When a flight sets out: not before somebody waits for it, and then as a task of its own.
//!
//! A call that was left before the runtime came to it is never begun. And who waits is on the runtime already, where a task
//! is begun without waking a thread for it.

use std::mem::replace;

use futures_util::future::BoxFuture;
use tokio::task::AbortHandle;

use crate::sync::{Mutex, lock};

/// See the module.
#[derive(Default)]
pub(super) struct Departure(Mutex<State>);

#[derive(Default)]
enum State {
    /// Nobody waits, and there is nothing to be begun yet.
    #[default]
    Early,
    /// Somebody waits for what is not there yet.
    Called,
    Ready(BoxFuture<'static, ()>),
    /// Is just being begun.
    Leaving,
    Gone(AbortHandle),
    Over,
}

impl Departure {
    /// This is the flight.
    pub fn make_ready(&self, task: BoxFuture<'static, ()>) {
        let mut state = lock(&self.0);
        match *state {
            State::Early => *state = State::Ready(task),
            State::Called => {
                *state = State::Leaving;
                drop(state);
                self.leave(task);
            }
            _ => drop(state),
        }
    }

    /// Somebody waits. Needs the context of a Tokio runtime.
    pub fn call(&self) {
        let mut state = lock(&self.0);
        match replace(&mut *state, State::Leaving) {
            State::Early => *state = State::Called,
            State::Ready(task) => {
                drop(state);
                self.leave(task);
            }
            other => *state = other,
        }
    }

    fn leave(&self, task: BoxFuture<'static, ()>) {
        // Without the lock: a runtime that ends drops what it is given, which may come back here.
        let handle = tokio::spawn(task).abort_handle();
        let mut state = lock(&self.0);
        if matches!(*state, State::Leaving) {
            *state = State::Gone(handle);
        } else {
            drop(state);
            handle.abort();
        }
    }

    /// Nobody waits any more: it ends, or is never begun.
    pub fn abort(&self) {
        // Dropped without the lock, as above.
        let before = replace(&mut *lock(&self.0), State::Over);
        if let State::Gone(handle) = &before {
            handle.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use tokio::task::yield_now;

    use super::*;

    /// A flight that says whether it was begun, and lasts until it is ended.
    fn flight() -> (BoxFuture<'static, ()>, Arc<AtomicBool>) {
        let is_begun = Arc::new(AtomicBool::new(false));
        let begun = Arc::clone(&is_begun);
        let task = Box::pin(async move {
            begun.store(true, Ordering::SeqCst);
            std::future::pending::<()>().await;
        });
        (task, is_begun)
    }

    #[tokio::test]
    async fn nothing_sets_out_before_somebody_waits_and_nothing_twice() {
        let (departure, (task, is_begun)) = (Departure::default(), flight());
        departure.make_ready(task);
        yield_now().await;
        assert!(!is_begun.load(Ordering::SeqCst));
        departure.call();
        departure.call();
        yield_now().await;
        assert!(is_begun.load(Ordering::SeqCst));
        departure.abort();
        yield_now().await;
        assert_eq!(Arc::strong_count(&is_begun), 1, "it was not ended");
    }

    #[tokio::test]
    async fn who_waits_before_it_is_ready_is_not_forgotten() {
        let (departure, (task, is_begun)) = (Departure::default(), flight());
        departure.call();
        departure.make_ready(task);
        yield_now().await;
        assert!(is_begun.load(Ordering::SeqCst));
    }

    #[tokio::test]
    async fn what_everyone_left_is_dropped_and_never_begun() {
        for is_ready in [true, false] {
            let (departure, (task, is_begun)) = (Departure::default(), flight());
            let mut task = Some(task);
            if is_ready {
                departure.make_ready(task.take().unwrap());
            }
            departure.abort();
            if let Some(task) = task {
                departure.make_ready(task);
            }
            departure.call();
            yield_now().await;
            assert!(!is_begun.load(Ordering::SeqCst));
            assert_eq!(Arc::strong_count(&is_begun), 1, "it is kept");
        }
    }
}
