//! Who waits, and who is next.
//!
//! One line per group: higher priority first, then arrival. Strict: only the head is ever admitted, so a large request
//! is never overtaken by small ones behind it. The head asks for room when something changed ([`Line::wake`]) or at the
//! moment at which there will be some; nobody polls. A waiter that goes, however it goes, hands its turn on.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::bell::Bell;
use crate::sync::{Mutex, MutexGuard, lock};
use crate::tracker::{Ahead, Ticket, Wait};

/// The line of one group.
pub struct Line {
    /// A std mutex: it is held for a look-up in a map, and never while room is asked for, nor across an await.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// In the order of admission.
    waiting: BTreeMap<Ticket, Waiter>,
    /// What waits, by priority, highest first.
    totals: BTreeMap<Reverse<i64>, Total>,
    is_closed: bool,
    /// Whether the head waits for an answer alone.
    is_asked: bool,
    /// Those who have no patience left but for that answer.
    overdue: BTreeSet<Ticket>,
}

struct Waiter {
    tokens: u64,
    bell: Arc<Bell>,
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
    /// Its place in the line when it came: 1 was next, 0 did not have to stand in it.
    pub position: u64,
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
    /// `try_admit` asks for room and takes it; it is called without a lock held, for the head of the line only, with the
    /// ticket that the line gave it, or without one if nobody waits. It must
    /// not take room and give it back in the same breath: giving back wakes the line. `estimate` says how long a
    /// request that has this much in front of it has to wait (`None`: for ever), e.g.
    /// [`wait_behind`](crate::tracker::wait_behind); asked with a patience it may say anything up to that for a wait that
    /// is no longer, which is cheaper to know. Without a deadline it waits as long as it takes.
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
        try_admit: impl FnMut(Instant, Option<Ticket>) -> Result<T, Wait>,
        estimate: impl Fn(Ahead, Instant, Option<Duration>) -> Option<Duration>,
    ) -> Result<Admitted<T>, Refusal> {
        self.admit_until(tokens, priority, || deadline, try_admit, estimate).await
    }

    /// As [`Line::admit`], with a deadline that may move back while it waits.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub async fn admit_until<T>(
        &self,
        tokens: u64,
        priority: i64,
        deadline_now: impl Fn() -> Option<Instant>,
        mut try_admit: impl FnMut(Instant, Option<Ticket>) -> Result<T, Wait>,
        estimate: impl Fn(Ahead, Instant, Option<Duration>) -> Option<Duration>,
    ) -> Result<Admitted<T>, Refusal> {
        let arrived = Instant::now();
        let mut earliest = arrived;
        // Whether all that it waits for is an answer, and whether it has waited for anything else.
        let (is_free, mut is_asked) = self.is_free()?;
        let mut is_refused = !is_asked;
        if is_free {
            match try_admit(arrived, None) {
                Ok(value) => return Ok(Admitted { value, queued: Duration::ZERO, position: 0 }),
                Err(Wait::Never) => return Err(Refusal::Never),
                Err(Wait::Until(at)) => earliest = at,
                Err(Wait::Release | Wait::ReleaseOr(_)) => {}
                Err(Wait::Asked) => (is_asked, is_refused) = (true, false),
            }
        }
        let retry_after = |earliest: Instant, now: Instant, patience: Option<Duration>| {
            let wait = estimate(self.ahead(priority), now, patience)?;
            Some(wait.max(earliest.saturating_duration_since(now)))
        };
        let patience = deadline_now().map(|deadline| deadline.saturating_duration_since(arrived));
        let wait = retry_after(earliest, arrived, patience).ok_or(Refusal::Never)?;
        // The answer of whoever was asked is waited for, however short the patience: it has a bound of its own.
        if !is_asked && patience.is_some_and(|patience| patience.is_zero() || wait > patience) {
            return Err(Refusal::WouldTimeOut { retry_after: wait });
        }
        let place = Place::take(self, tokens, priority)?;
        loop {
            let now = Instant::now();
            // Never twice at one moment, whatever is said.
            let later = |at: Instant| Some(at.max(now + Duration::from_millis(1)));
            let was_refused = is_refused;
            let (earliest, again) = match place.turn() {
                Turn::Gone => return Err(Refusal::Gone),
                Turn::Later { is_asked: all_are } => {
                    is_asked = all_are;
                    is_refused |= !is_asked;
                    (None, None)
                }
                Turn::Now => match try_admit(now, Some(place.ticket)) {
                    Ok(value) => {
                        let position = if is_refused { place.position } else { 0 };
                        return Ok(Admitted { value, queued: now - arrived, position });
                    }
                    Err(wait) => {
                        is_asked = wait == Wait::Asked;
                        is_refused |= !is_asked;
                        self.note_asked(is_asked);
                        match wait {
                            Wait::Never => return Err(Refusal::Never),
                            Wait::Release | Wait::Asked => (None, None),
                            Wait::ReleaseOr(at) => (None, later(at)),
                            Wait::Until(at) => (later(at), later(at)),
                        }
                    }
                },
            };
            let deadline = deadline_now().filter(|deadline| *deadline > now || !is_asked || !place.stand_by());
            if let Some(deadline) = deadline {
                let is_over = deadline <= now;
                if is_over || earliest.is_some_and(|at| at > deadline) {
                    // Out of the line first, so as not to wait for itself.
                    drop(place);
                    let earliest = earliest.unwrap_or(now);
                    let after = retry_after(earliest, now, None).unwrap_or(earliest - now);
                    // Who had no patience but for an answer is told what it was.
                    return Err(if is_over && was_refused {
                        Refusal::TimedOut { retry_after: after }
                    } else {
                        Refusal::WouldTimeOut { retry_after: after }
                    });
                }
            }
            match again.into_iter().chain(deadline).min() {
                // Both ways of waking lead to the same question.
                Some(until) => drop(timeout_at(until, place.bell.rung()).await),
                None => place.bell.rung().await,
            }
        }
    }

    /// Something changed: room was given back, a deployment came, went or recovered. The head asks again.
    pub fn wake(&self) {
        let head = self.lock().head();
        if let Some(bell) = head {
            bell.ring();
        }
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
        self.lock().ahead(priority)
    }

    /// The sizes of the requests that a request of this priority would have in front of it, in their order; `None` if
    /// they are more than `most`.
    #[must_use]
    pub fn sizes_ahead(&self, priority: i64, most: usize) -> Option<Vec<u64>> {
        let state = self.lock();
        if state.ahead(priority).requests > most as u64 {
            return None;
        }
        let ahead = state.waiting.iter().take_while(|(ticket, _)| ticket.priority() >= priority);
        Some(ahead.map(|(_, waiter)| waiter.tokens).collect())
    }

    /// Refuses everyone who waits and everyone who comes, with [`Refusal::Gone`].
    pub fn close(&self) {
        let mut state = self.lock();
        state.is_closed = true;
        let bells = state.bells();
        drop(state);
        for bell in bells {
            bell.ring();
        }
    }

    /// Whether nobody waits, and whether those who do wait for an answer alone.
    fn is_free(&self) -> Result<(bool, bool), Refusal> {
        let state = self.lock();
        let is_free = state.waiting.is_empty();
        if state.is_closed { Err(Refusal::Gone) } else { Ok((is_free, !is_free && state.is_asked)) }
    }

    /// Whether the head waits for an answer alone. If it no longer does, those who waited for nothing else leave.
    fn note_asked(&self, is_asked: bool) {
        let mut state = self.lock();
        state.is_asked = is_asked;
        let overdue = if is_asked { BTreeSet::new() } else { std::mem::take(&mut state.overdue) };
        let waiters = overdue.iter().filter_map(|ticket| state.waiting.get(ticket));
        let bells: Vec<_> = waiters.map(|waiter| Arc::clone(&waiter.bell)).collect();
        drop(state);
        for bell in bells {
            bell.ring();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl Default for Line {
    fn default() -> Self {
        Self { state: Mutex::new(State::default()) }
    }
}

impl State {
    /// The bell of the head. It stays rung if the head is just about to sleep, so a change between asking and sleeping is
    /// not lost.
    fn head(&self) -> Option<Arc<Bell>> {
        self.waiting.first_key_value().map(|(_, head)| Arc::clone(&head.bell))
    }

    fn bells(&self) -> Vec<Arc<Bell>> {
        self.waiting.values().map(|waiter| Arc::clone(&waiter.bell)).collect()
    }

    fn ahead(&self, priority: i64) -> Ahead {
        self.totals.range(..=Reverse(priority)).fold(Ahead::default(), |ahead, (_, total)| {
            let (smallest, largest) = (total.sizes.keys().next().copied(), total.sizes.keys().next_back().copied());
            let largest = largest.unwrap_or(0);
            ahead.plus(Ahead { requests: total.requests, tokens: total.tokens, smallest, largest })
        })
    }
}

/// A place in the line, left on drop.
struct Place<'a> {
    line: &'a Line,
    ticket: Ticket,
    bell: Arc<Bell>,
    /// From 1 on, when it was taken.
    position: u64,
}

enum Turn {
    Now,
    /// Whether whoever goes before it waits for an answer alone.
    Later {
        is_asked: bool,
    },
    Gone,
}

impl<'a> Place<'a> {
    fn take(line: &'a Line, tokens: u64, priority: i64) -> Result<Self, Refusal> {
        let bell = Arc::new(Bell::new());
        let mut state = line.lock();
        if state.is_closed {
            return Err(Refusal::Gone);
        }
        let ticket = Ticket::draw(priority);
        let position = state.ahead(priority).requests + 1;
        state.waiting.insert(ticket, Waiter { tokens, bell: Arc::clone(&bell) });
        let total = state.totals.entry(Reverse(priority)).or_default();
        total.requests += 1;
        total.tokens = total.tokens.wrapping_add(tokens);
        *total.sizes.entry(tokens).or_default() += 1;
        drop(state);
        Ok(Self { line, ticket, bell, position })
    }

    fn turn(&self) -> Turn {
        let state = self.line.lock();
        if state.is_closed {
            Turn::Gone
        } else if state.waiting.first_key_value().is_some_and(|(ticket, _)| *ticket == self.ticket) {
            Turn::Now
        } else {
            Turn::Later { is_asked: state.is_asked }
        }
    }

    /// Whether it waits, without any patience left, for the answer that the head waits for; it is told when there is one.
    fn stand_by(&self) -> bool {
        let mut state = self.line.lock();
        if state.is_asked {
            state.overdue.insert(self.ticket);
        }
        state.is_asked
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut state = self.line.lock();
        let was_head = state.waiting.first_key_value().is_some_and(|(ticket, _)| *ticket == self.ticket);
        let Some(waiter) = state.waiting.remove(&self.ticket) else { return };
        state.overdue.remove(&self.ticket);
        let priority = Reverse(self.ticket.priority());
        if let Some(total) = state.totals.get_mut(&priority) {
            total.leave(waiter.tokens);
            if total.requests == 0 {
                state.totals.remove(&priority);
            }
        }
        let next = was_head.then(|| state.head()).flatten();
        drop(state);
        if let Some(bell) = next {
            bell.ring();
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
