//! What many want to know at once is asked once: by a task of its own, which nobody who loses patience takes along, so that whoever
//! comes later has it.

use std::collections::HashMap;
use std::future::Future;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tokio::time::Instant;

use crate::redis::Fault;

/// What is being asked, by what about.
#[derive(Debug)]
pub(super) struct Asking<K, T>(Arc<Mutex<HashMap<K, Question<T>>>>);

/// One of them: since when, and where the answer comes.
#[derive(Debug)]
struct Question<T> {
    since: Instant,
    answer: watch::Receiver<Option<Result<T, Fault>>>,
}

/// However the task ends, it is not being asked any more.
struct Running<K: Eq + Hash, T>(Arc<Mutex<HashMap<K, Question<T>>>>, K);

impl<K: Eq + Hash, T> Default for Asking<K, T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<K: Eq + Hash + Clone + Send + 'static, T: Clone + Send + Sync + 'static> Asking<K, T> {
    /// Since when this is being asked, if it is.
    pub fn since(&self, about: &K) -> Option<Instant> {
        locked(&self.0).get(about).map(|question| question.since)
    }

    /// The answer to what is being asked about this, or to `ask`, which is then begun. Needs a Tokio runtime.
    ///
    /// # Errors
    /// Those of whoever asked; and if the runtime that it did so in has ended.
    pub async fn answer(
        &self,
        about: K,
        ask: impl Future<Output = Result<T, Fault>> + Send + 'static,
    ) -> Result<T, Fault> {
        let mut answer = self.begin(about, ask);
        let answer = answer.wait_for(Option::is_some).await.ok().and_then(|answer| answer.clone());
        answer.unwrap_or_else(|| Err(Fault::away("nobody is left who asks")))
    }

    fn begin(
        &self,
        about: K,
        ask: impl Future<Output = Result<T, Fault>> + Send + 'static,
    ) -> watch::Receiver<Option<Result<T, Fault>>> {
        let mut asked = locked(&self.0);
        if let Some(question) = asked.get(&about) {
            return question.answer.clone();
        }
        let (sender, answer) = watch::channel(None);
        asked.insert(about.clone(), Question { since: Instant::now(), answer: answer.clone() });
        drop(asked);
        let running = Running(Arc::clone(&self.0), about);
        tokio::spawn(async move {
            let answer = ask.await;
            drop(running);
            _ = sender.send(Some(answer));
        });
        answer
    }
}

impl<K: Eq + Hash, T> Drop for Running<K, T> {
    fn drop(&mut self) {
        locked(&self.0).remove(&self.1);
    }
}

// A std mutex: nothing is awaited while it is held.
fn locked<K, T>(asked: &Mutex<HashMap<K, Question<T>>>) -> MutexGuard<'_, HashMap<K, Question<T>>> {
    asked.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    use futures_util::future::join_all;
    use tokio::time::{sleep, timeout};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn many_who_ask_at_once_have_one_answer_also_when_the_first_of_them_has_left() {
        let (asking, asked) = (Asking::default(), Arc::new(AtomicU32::new(0)));
        let ask = || {
            let asked = Arc::clone(&asked);
            asking.answer(7, async move {
                sleep(Duration::from_millis(100)).await;
                Ok(asked.fetch_add(1, Ordering::SeqCst))
            })
        };
        let within = |milliseconds| timeout(Duration::from_millis(milliseconds), ask());
        let began = Instant::now();
        assert!(within(60).await.is_err());
        assert_eq!(asking.since(&7), Some(began));
        assert!(join_all((0..9).map(|_| within(50))).await.into_iter().all(|answer| answer == Ok(Ok(0))));
        assert_eq!(began.elapsed(), Duration::from_millis(100));
        assert_eq!((asking.since(&7), ask().await), (None, Ok(1)), "asked anew");
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_one_whose_runtime_ends_is_told_and_the_next_asks() {
        let asking = Arc::new(Asking::default());
        let other = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let begun = other.handle().enter();
        let waits = asking.begin(7, std::future::pending());
        drop(begun);
        let waiting = {
            let asking = Arc::clone(&asking);
            tokio::spawn(async move { asking.answer(7, async { Ok(1) }).await })
        };
        tokio::task::yield_now().await;
        tokio::task::spawn_blocking(move || drop(other)).await.unwrap();
        assert!(waiting.await.unwrap().is_err() && waits.borrow().is_none());
        assert_eq!(asking.answer(7, async { Ok(2) }).await, Ok(2));
    }
}
