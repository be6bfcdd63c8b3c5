//! A bell that wakes the one who waits for it. Rung before anybody listens, it is heard by the next who does; rung twice,
//! it is heard once.

use std::future::poll_fn;
use std::task::{Poll, Waker};

use crate::sync::{Mutex, lock};

/// See the module.
pub(super) struct Bell(Mutex<State>);

enum State {
    Silent(Option<Waker>),
    Rung,
}

impl Default for Bell {
    fn default() -> Self {
        Self::new()
    }
}

impl Bell {
    pub fn new() -> Self {
        Self(Mutex::new(State::Silent(None)))
    }

    /// Rings it.
    pub fn ring(&self) {
        let before = std::mem::replace(&mut *lock(&self.0), State::Rung);
        // Woken without the lock, because a waker may run what it wakes.
        if let State::Silent(Some(waker)) = before {
            waker.wake();
        }
    }

    /// Waits until it rings.
    pub async fn rung(&self) {
        poll_fn(|context| {
            let mut state = lock(&self.0);
            if matches!(*state, State::Rung) {
                *state = State::Silent(None);
                return Poll::Ready(());
            }
            *state = State::Silent(Some(context.waker().clone()));
            Poll::Pending
        })
        .await;
    }
}
