//! A router's cache: opened when it is first needed, and never at the cost of an answer.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use crate::cache::{Cache, CacheMode, CacheOptions, PATIENCE};
use crate::error::{Error, ErrorKind, Result};

/// How long a cache that could not be opened is left alone before that is tried again.
const REST: Duration = Duration::from_secs(30);

/// A cache that is open, or will be when it is first needed.
#[derive(Debug)]
pub(super) struct Mount {
    pub options: CacheOptions,
    state: watch::Sender<State>,
}

#[derive(Debug, Default)]
struct State {
    /// What calls use: the cache, or memory alone in its place.
    cache: Option<Cache>,
    /// Since when it is being opened.
    opening: Option<Instant>,
    /// Why it could not be opened, the last time that was tried.
    failure: Option<Error>,
    /// When that is tried again.
    retry_at: Option<Instant>,
}

impl State {
    fn is_settled(&self, now: Instant) -> bool {
        self.cache.is_some() && self.retry_at.is_none_or(|at| now < at)
    }
}

impl Mount {
    /// A cache that is opened when it is needed.
    pub fn closed(options: CacheOptions) -> Arc<Self> {
        Arc::new(Self { options, state: watch::Sender::new(State::default()) })
    }

    /// A cache that is open.
    pub fn open(cache: Cache) -> Arc<Self> {
        let options = cache.options().clone();
        Arc::new(Self { options, state: watch::Sender::new(State { cache: Some(cache), ..State::default() }) })
    }

    /// What calls use now, if anything.
    pub fn in_use(&self) -> Option<Cache> {
        self.state.borrow().cache.clone()
    }

    /// What `look` finds in what calls use now.
    pub fn with_cache<T>(&self, look: impl FnOnce(&Cache) -> Option<T>) -> Option<T> {
        self.state.borrow().cache.as_ref().and_then(look)
    }

    /// What a call uses. It waits until the cache is open or cannot be; unless it is patient or replays, no longer than
    /// [`PATIENCE`] after that was begun, and then does without while the opening goes on.
    ///
    /// # Errors
    /// Why it could not be opened, in replay mode.
    pub async fn cache(self: &Arc<Self>, is_patient: bool) -> Result<Option<Cache>> {
        let Some(since) = self.begin(Instant::now()) else { return Ok(self.in_use()) };
        let mut state = self.state.subscribe();
        let opened = state.wait_for(|state| state.opening != Some(since));
        // This mount is the sender, so there is an end to wait for.
        if is_patient || self.is_replay() {
            _ = opened.await;
        } else if self.in_use().is_none() {
            _ = timeout_at(since + PATIENCE, opened).await;
        }
        let state = self.state.borrow();
        match &state.failure {
            Some(failure) if self.is_replay() => Err(failure.clone()),
            _ => Ok(state.cache.clone()),
        }
    }

    pub fn is_replay(&self) -> bool {
        self.options.mode == CacheMode::Replay
    }

    /// Sees to it that it is opened; says since when it is being, `None` if nothing is to be waited for.
    fn begin(self: &Arc<Self>, now: Instant) -> Option<Instant> {
        if self.state.borrow().is_settled(now) {
            return None;
        }
        let mut since = None;
        let mut is_ours = false;
        self.state.send_if_modified(|state| {
            is_ours = state.opening.is_none() && !state.is_settled(now);
            if is_ours {
                state.opening = Some(now);
            }
            since = state.opening;
            // Those who wait do so for its end.
            false
        });
        if is_ours {
            let mut opening = Opening { mount: Arc::clone(self), outcome: None };
            tokio::task::spawn_blocking(move || {
                let outcome = Cache::open(opening.mount.options.clone());
                _ = opening.outcome.insert(outcome);
            });
        }
        since
    }

    fn settle(&self, outcome: Result<Cache>, now: Instant) {
        self.state.send_modify(|state| {
            state.opening = None;
            match outcome {
                Ok(cache) => *state = State { cache: Some(cache), ..State::default() },
                Err(failure) => {
                    if state.cache.is_none() && !self.is_replay() {
                        state.cache = Some(Cache::degraded(self.options.clone(), &failure));
                    }
                    (state.failure, state.retry_at) = (Some(failure), Some(now + REST));
                }
            }
        });
    }
}

/// An opening under way. Dropped, it is over, also when it panicked or was never begun.
struct Opening {
    mount: Arc<Mount>,
    outcome: Option<Result<Cache>>,
}

impl Drop for Opening {
    fn drop(&mut self) {
        let outcome = self.outcome.take();
        let outcome = outcome.unwrap_or_else(|| Err(ErrorKind::Bug("a cache was not opened".to_owned()).into()));
        self.mount.settle(outcome, Instant::now());
    }
}
