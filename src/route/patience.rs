//! How long a call in flight may take, and how urgent it is: as the most patient and the most urgent of those who wait for
//! it allow, so that the clocks of one end nothing for the others.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::bell::Bell;
use crate::options::Timeouts;
use crate::sync::{Mutex, lock};

/// The clocks of those who wait for one call.
#[derive(Default)]
pub(crate) struct Patience {
    state: Mutex<State>,
    raised: Bell,
}

#[derive(Default)]
struct State {
    wish: Option<Wish>,
    callers: u64,
    /// A call that this one waits for.
    other: Option<Arc<Patience>>,
}

/// What one caller allows, or all of them together.
#[derive(Clone, Copy, Debug)]
struct Wish {
    /// The end of the whole call; `None` is never.
    total: Option<Instant>,
    /// When waiting in line ends, if nothing else was done before.
    queue: Instant,
    timeouts: Timeouts,
    priority: i64,
}

impl Wish {
    fn and(self, other: Self) -> Self {
        let (one, two) = (self.timeouts, other.timeouts);
        Self {
            total: self.total.zip(other.total).map(|(one, other)| one.max(other)),
            queue: self.queue.max(other.queue),
            timeouts: Timeouts {
                connect: one.connect.max(two.connect),
                // Unset is the longest, or nearly so.
                first_token: one.first_token.zip(two.first_token).map(|(one, two)| one.max(two)),
                idle: one.idle.max(two.idle),
                attempt: one.attempt.max(two.attempt),
                total: one.total.zip(two.total).map(|(one, two)| one.max(two)),
                queue: one.queue.max(two.queue),
            },
            priority: self.priority.max(other.priority),
        }
    }
}

impl Patience {
    /// Somebody waits who called at `started`, with these clocks and this priority.
    pub fn extend(&self, started: Instant, timeouts: &Timeouts, priority: i64) {
        let (total, queue) = (timeouts.total.map(|total| started + total), started + timeouts.queue);
        self.add(Wish { total, queue, timeouts: *timeouts, priority });
    }

    /// The call waits for another, which then is given as much time.
    pub fn pass_on_to(&self, other: &Arc<Self>) {
        let wish = {
            let mut state = lock(&self.state);
            state.other = Some(Arc::clone(other));
            state.wish
        };
        if let Some(wish) = wish {
            other.add(wish);
        }
    }

    fn add(&self, mine: Wish) {
        let (other, is_raised) = {
            let mut state = lock(&self.state);
            let is_raised = state.wish.is_some_and(|all| all.priority < mine.priority);
            state.callers += 1;
            state.wish = Some(state.wish.map_or(mine, |all| all.and(mine)));
            (state.other.clone(), is_raised)
        };
        if is_raised {
            self.raised.ring();
        }
        if let Some(other) = other {
            other.add(mine);
        }
    }

    /// Whether more than one caller was ever there.
    pub fn is_shared(&self) -> bool {
        lock(&self.state).callers > 1
    }

    /// The clocks as they are now.
    pub fn timeouts(&self) -> Timeouts {
        lock(&self.state).wish.map_or_else(Timeouts::default, |wish| wish.timeouts)
    }

    /// How urgent it is now.
    pub fn priority(&self) -> i64 {
        lock(&self.state).wish.map_or(0, |wish| wish.priority)
    }

    /// Waits until it has become more urgent.
    pub async fn raised(&self) {
        self.raised.rung().await;
    }

    /// The end of the whole call.
    pub fn deadline(&self) -> Option<Instant> {
        lock(&self.state).wish.and_then(|wish| wish.total)
    }

    /// When waiting in line ends for a call that has spent this time on other things than waiting.
    pub fn queue_end(&self, spent: Duration) -> Option<Instant> {
        let wish = lock(&self.state).wish?;
        let queue = wish.queue + spent;
        Some(wish.total.map_or(queue, |total| total.min(queue)))
    }

    /// Does something until the deadline, which may move meanwhile. Pinned by whoever calls, as a future that is handed on by
    /// value has its room twice over in the one that waits for it.
    ///
    /// # Errors
    /// The deadline that passed.
    pub async fn within<T>(&self, work: Pin<&mut impl Future<Output = T>>) -> Result<T, Instant> {
        until(|| self.deadline(), work).await
    }

    /// Does something until one of the clocks, started at `begun`, runs out, which may be given more time meanwhile.
    ///
    /// # Errors
    /// What the clock was set to.
    pub async fn within_clock<T>(
        &self,
        begun: Instant,
        clock: impl Fn(&Timeouts) -> Option<Duration>,
        work: Pin<&mut impl Future<Output = T>>,
    ) -> Result<T, Duration> {
        let end = || clock(&self.timeouts()).map(|limit| begun + limit);
        until(end, work).await.map_err(|end| end - begun)
    }
}

async fn until<T>(
    end: impl Fn() -> Option<Instant>,
    mut work: Pin<&mut impl Future<Output = T>>,
) -> Result<T, Instant> {
    loop {
        let Some(at) = end() else { return Ok(work.await) };
        if let Ok(done) = timeout_at(at, &mut work).await {
            return Ok(done);
        }
        if end() == Some(at) {
            return Err(at);
        }
    }
}

/// For how long nothing could go on because of somebody else.
#[derive(Debug, Default)]
pub(crate) struct Standstill(Mutex<(Duration, Option<Instant>)>);

/// How soon it is looked again whether a standstill is over.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

impl Standstill {
    /// This is one, as long as it takes.
    pub async fn during<T>(&self, work: impl Future<Output = T>) -> T {
        let begun = Instant::now();
        lock(&self.0).1 = Some(begun);
        let done = work.await;
        let mut state = lock(&self.0);
        *state = (state.0 + begun.elapsed(), None);
        done
    }

    /// All of them; one that goes on will go on for a while.
    pub fn so_far(&self) -> Duration {
        let (past, begun) = *lock(&self.0);
        past + begun.map_or(Duration::ZERO, |begun| begun.elapsed() + LOOK_AGAIN)
    }
}

impl std::fmt::Debug for Patience {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Patience").field("wish", &lock(&self.state).wish).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use super::*;

    fn total(milliseconds: Option<u64>) -> Timeouts {
        Timeouts { total: milliseconds.map(Duration::from_millis), ..Timeouts::default() }
    }

    #[tokio::test(start_paused = true)]
    async fn the_deadline_of_one_ends_nothing_for_the_others() {
        let (patience, begun) = (Patience::default(), Instant::now());
        patience.extend(begun, &total(Some(10)), 0);
        let joins = async {
            tokio::time::sleep(Duration::from_millis(5)).await;
            patience.extend(Instant::now(), &total(Some(100)), 0);
            std::future::pending::<()>().await;
        };
        let ended = patience.within(pin!(joins)).await;
        assert_eq!(ended.unwrap_err() - begun, Duration::from_millis(105));
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_ever_is_not_outvoted() {
        let (patience, begun) = (Patience::default(), Instant::now());
        for clocks in [total(Some(10)), total(None), total(Some(20))] {
            patience.extend(begun, &clocks, 0);
        }
        assert_eq!(patience.deadline(), None);
        assert_eq!(
            patience.queue_end(Duration::from_secs(7)),
            Some(begun + Timeouts::default().queue + Duration::from_secs(7))
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_is_given_more_time_while_it_runs_runs_longer() {
        let (patience, begun) = (Patience::default(), Instant::now());
        let idle = |milliseconds| Timeouts { idle: Duration::from_millis(milliseconds), ..Timeouts::default() };
        patience.extend(begun, &idle(10), 0);
        let joins = async {
            tokio::time::sleep(Duration::from_millis(5)).await;
            patience.extend(Instant::now(), &idle(100), 0);
            std::future::pending::<()>().await;
        };
        let ended = patience.within_clock(begun, |timeouts| Some(timeouts.idle), pin!(joins)).await;
        assert_eq!(ended, Err(Duration::from_millis(100)));
    }
}
