//! Who waits, and who is next.
//!
//! One line per group: higher priority first, then arrival. Strict: only the head is ever admitted, so a large request
//! is never overtaken by small ones behind it. The head asks for room when something changed ([`Line::wake`]) or at the
//! moment at which there will be some; nobody polls. A waiter that goes, however it goes, hands its turn on.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use crate::tracker::{Ahead, Wait};

/// The line of one group.
#[derive(Default)]
pub struct Line {
    /// A std mutex: it is held for a look-up in a map, and never while room is asked for, nor across an await.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// In the order of admission.
    waiting: BTreeMap<Key, Waiter>,
    /// What waits, by priority, highest first.
    totals: BTreeMap<Reverse<i64>, Total>,
    /// Arrivals so far.
    arrivals: u64,
    is_closed: bool,
}

type Key = (Reverse<i64>, u64);

struct Waiter {
    tokens: u64,
    notify: Arc<Notify>,
}

#[derive(Default)]
struct Total {
    requests: u64,
    tokens: u64,
    /// How many of each size.
    sizes: BTreeMap<u64, u64>,
}

/// What was admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admitted<T> {
    /// What the asking gave, e.g. a permit and a deployment.
    pub value: T,
    /// How long it waited; zero if it did not.
    pub queued: Duration,
}

/// Why it was not admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It did not wait, or no longer: the wait cannot end before the deadline.
    WouldTimeOut {
        /// How long a request that comes now would have to wait.
        retry_after: Duration,
    },
    /// It waited until the deadline.
    TimedOut {
        /// How long a request that comes now would have to wait.
        retry_after: Duration,
    },
    /// Larger than every limit.
    Never,
    /// The line is closed: the group was removed.
    Gone,
}

impl Line {
    /// Waits until it is this request's turn and there is room for it.
    ///
    /// `try_admit` asks for room and takes it; it is called without a lock held, for the head of the line only. It must
    /// not take room and give it back in the same breath: giving back wakes the line. `estimate` says how long a
    /// request that has this much in front of it has to wait (`None`: for ever), e.g.
    /// [`wait_behind`](crate::tracker::wait_behind). Without a deadline it waits as long as it takes.
    ///
    /// If nobody waits and there is room, nothing is allocated and nothing awaited. Dropping the future leaves the
    /// line in O(log n). A future that is held without being polled holds up those behind it.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub async fn admit<T>(
        &self,
        tokens: u64,
        priority: i64,
        deadline: Option<Instant>,
        mut try_admit: impl FnMut(Instant) -> Result<T, Wait>,
        estimate: impl Fn(Ahead, Instant) -> Option<Duration>,
    ) -> Result<Admitted<T>, Refusal> {
        let arrived = Instant::now();
        let mut earliest = arrived;
        if self.is_free()? {
            match try_admit(arrived) {
                Ok(value) => return Ok(Admitted { value, queued: Duration::ZERO }),
                Err(Wait::Never) => return Err(Refusal::Never),
                Err(Wait::Until(at)) => earliest = at,
                Err(Wait::Release) => {}
            }
        }
        let retry_after = |earliest: Instant, now: Instant| {
            let wait = estimate(self.ahead(priority), now)?;
            Some(wait.max(earliest.saturating_duration_since(now)))
        };
        let wait = retry_after(earliest, arrived).ok_or(Refusal::Never)?;
        if deadline.is_some_and(|deadline| deadline <= arrived || wait > deadline - arrived) {
            return Err(Refusal::WouldTimeOut { retry_after: wait });
        }
        let place = Place::take(self, tokens, priority)?;
        loop {
            let now = Instant::now();
            let earliest = match place.turn() {
                Turn::Gone => return Err(Refusal::Gone),
                Turn::Later => None,
                Turn::Now => match try_admit(now) {
                    Ok(value) => return Ok(Admitted { value, queued: now - arrived }),
                    Err(Wait::Never) => return Err(Refusal::Never),
                    Err(Wait::Release) => None,
                    // Never twice at one moment, whatever is said.
                    Err(Wait::Until(at)) => Some(at.max(now + Duration::from_millis(1))),
                },
            };
            if let Some(deadline) = deadline {
                let is_over = deadline <= now;
                if is_over || earliest.is_some_and(|at| at > deadline) {
                    // Out of the line first, so as not to wait for itself.
                    drop(place);
                    let earliest = earliest.unwrap_or(now);
                    let after = retry_after(earliest, now).unwrap_or(earliest - now);
                    return Err(if is_over {
                        Refusal::TimedOut { retry_after: after }
                    } else {
                        Refusal::WouldTimeOut { retry_after: after }
                    });
                }
            }
            match earliest.into_iter().chain(deadline).min() {
                // Both ways of waking lead to the same question.
                Some(until) => drop(timeout_at(until, place.notify.notified()).await),
                None => place.notify.notified().await,
            }
        }
    }

    /// Something changed: room was given back, a deployment came, went or recovered. The head asks again.
    pub fn wake(&self) {
        self.lock().wake_head();
    }

    /// What calls [`Line::wake`], for [`Tracker::on_release`](crate::tracker::Tracker::on_release); does not keep the line alive.
    pub fn waker(self: &Arc<Self>) -> impl Fn() + Send + Sync + 'static {
        let line = Arc::downgrade(self);
        move || line.upgrade().into_iter().for_each(|line| line.wake())
    }

    /// Requests that wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.lock().waiting.len()
    }

    /// What a request of this priority would have in front of it. O(priorities), not O(waiters).
    #[must_use]
    pub fn ahead(&self, priority: i64) -> Ahead {
        let state = self.lock();
        state.totals.range(..=Reverse(priority)).fold(Ahead::default(), |ahead, (_, total)| {
            let smallest = total.sizes.keys().next().copied();
            ahead.plus(Ahead { requests: total.requests, tokens: total.tokens, smallest })
        })
    }

    /// Refuses everyone who waits and everyone who comes, with [`Refusal::Gone`].
    pub fn close(&self) {
        let mut state = self.lock();
        state.is_closed = true;
        state.waiting.values().for_each(|waiter| waiter.notify.notify_one());
    }

    /// Whether nobody waits.
    fn is_free(&self) -> Result<bool, Refusal> {
        let state = self.lock();
        if state.is_closed { Err(Refusal::Gone) } else { Ok(state.waiting.is_empty()) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn wake_head(&self) {
        if let Some((_, head)) = self.waiting.first_key_value() {
            // Kept if the head is just about to sleep, so a change between asking and sleeping is not lost.
            head.notify.notify_one();
        }
    }
}

/// A place in the line, left on drop.
struct Place<'a> {
    line: &'a Line,
    key: Key,
    notify: Arc<Notify>,
}

enum Turn {
    Now,
    Later,
    Gone,
}

impl<'a> Place<'a> {
    fn take(line: &'a Line, tokens: u64, priority: i64) -> Result<Self, Refusal> {
        let notify = Arc::new(Notify::new());
        let mut state = line.lock();
        if state.is_closed {
            return Err(Refusal::Gone);
        }
        let key = (Reverse(priority), state.arrivals);
        state.arrivals += 1;
        state.waiting.insert(key, Waiter { tokens, notify: Arc::clone(&notify) });
        let total = state.totals.entry(key.0).or_default();
        total.requests += 1;
        total.tokens = total.tokens.wrapping_add(tokens);
        *total.sizes.entry(tokens).or_default() += 1;
        drop(state);
        Ok(Self { line, key, notify })
    }

    fn turn(&self) -> Turn {
        let state = self.line.lock();
        if state.is_closed {
            Turn::Gone
        } else if state.waiting.first_key_value().is_some_and(|(key, _)| *key == self.key) {
            Turn::Now
        } else {
            Turn::Later
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut state = self.line.lock();
        let was_head = state.waiting.first_key_value().is_some_and(|(key, _)| *key == self.key);
        let Some(waiter) = state.waiting.remove(&self.key) else { return };
        if let Some(total) = state.totals.get_mut(&self.key.0) {
            total.leave(waiter.tokens);
            if total.requests == 0 {
                state.totals.remove(&self.key.0);
            }
        }
        if was_head {
            state.wake_head();
        }
    }
}

impl Total {
    fn leave(&mut self, tokens: u64) {
        self.requests -= 1;
        self.tokens = self.tokens.wrapping_sub(tokens);
        if let Some(count) = self.sizes.get_mut(&tokens) {
            *count -= 1;
            if *count == 0 {
                self.sizes.remove(&tokens);
            }
        }
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line").field("waiting", &self.waiting()).finish_non_exhaustive()
    }
}
