//! How long a call in flight may take, and how urgent it is: as the most patient and the most urgent of those who wait for
//! it allow, so that the clocks of one end nothing for the others.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::bell::Bell;
use crate::options::{Interest, InvokeOptions, Timeouts};
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
    /// Of those who may leave before they drop the call.
    interests: Vec<Interest>,
    /// Whether there was anybody who leaves only by dropping it.
    is_wanted: bool,
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

impl State {
    fn is_over(&self) -> bool {
        !self.is_wanted && self.wish.is_some() && self.interests.iter().all(Interest::is_lost)
    }
}

impl Patience {
    /// Somebody waits who called at `started`, with these clocks, and as urgent and as long as these options say.
    pub fn extend(&self, started: Instant, timeouts: &Timeouts, options: &InvokeOptions) {
        let (total, queue) = (timeouts.total.map(|total| started + total), started + timeouts.queue);
        let wish = Wish { total, queue, timeouts: *timeouts, priority: options.priority };
        self.add(wish, options.interest.as_slice(), options.interest.is_none());
    }

    /// Whether all who waited have left, though the call has not been dropped yet.
    pub fn is_over(&self) -> bool {
        lock(&self.state).is_over()
    }

    /// The call waits for another, which then is given as much time.
    pub fn pass_on_to(&self, other: &Arc<Self>) {
        let (wish, interests, is_wanted) = {
            let mut state = lock(&self.state);
            state.other = Some(Arc::clone(other));
            (state.wish, state.interests.clone(), state.is_wanted)
        };
        if let Some(wish) = wish {
            other.add(wish, &interests, is_wanted);
        }
    }

    fn add(&self, mine: Wish, interests: &[Interest], is_wanted: bool) {
        let (other, is_raised) = {
            let mut state = lock(&self.state);
            let is_raised = state.is_over() || state.wish.is_some_and(|all| all.priority < mine.priority);
            state.is_wanted |= is_wanted;
            // Now and then, so that a call that many join and leave does not remember them all.
            if state.interests.len() == state.interests.capacity() {
                state.interests.retain(|interest| !interest.is_lost());
            }
            state.interests.extend_from_slice(interests);
            state.callers += 1;
            state.wish = Some(state.wish.map_or(mine, |all| all.and(mine)));
            (state.other.clone(), is_raised)
        };
        if is_raised {
            self.raised.ring();
        }
        if let Some(other) = other {
            other.add(mine, interests, is_wanted);
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

    /// Waits until it has become more urgent, or wanted again.
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
        patience.extend(begun, &total(Some(10)), &InvokeOptions::default());
        let joins = async {
            tokio::time::sleep(Duration::from_millis(5)).await;
            patience.extend(Instant::now(), &total(Some(100)), &InvokeOptions::default());
            std::future::pending::<()>().await;
        };
        let ended = patience.within(pin!(joins)).await;
        assert_eq!(ended.unwrap_err() - begun, Duration::from_millis(105));
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_ever_is_not_outvoted() {
        let (patience, begun) = (Patience::default(), Instant::now());
        for clocks in [total(Some(10)), total(None), total(Some(20))] {
            patience.extend(begun, &clocks, &InvokeOptions::default());
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
        patience.extend(begun, &idle(10), &InvokeOptions::default());
        let joins = async {
            tokio::time::sleep(Duration::from_millis(5)).await;
            patience.extend(Instant::now(), &idle(100), &InvokeOptions::default());
            std::future::pending::<()>().await;
        };
        let ended = patience.within_clock(begun, |timeouts| Some(timeouts.idle), pin!(joins)).await;
        assert_eq!(ended, Err(Duration::from_millis(100)));
    }

    #[test]
    fn a_call_is_over_when_the_last_who_waited_has_left_also_one_that_waits_for_it() {
        let (patience, batch) = (Patience::default(), Arc::default());
        assert!(!patience.is_over(), "nobody has come yet");
        let interests: Vec<_> = (0..40).map(|_| Interest::default()).collect();
        let join = |interest: &Interest| {
            let options = InvokeOptions { interest: Some(interest.clone()), ..InvokeOptions::default() };
            patience.extend(Instant::now(), &Timeouts::default(), &options);
        };
        interests[..20].iter().for_each(join);
        patience.pass_on_to(&batch);
        interests[20..].iter().for_each(join);
        for interest in &interests {
            assert!(!patience.is_over() && !batch.is_over());
            interest.lose();
        }
        assert!(patience.is_over() && batch.is_over());
        // Whoever comes before it is dropped wants it again.
        join(&Interest::default());
        assert!(!patience.is_over() && !batch.is_over());
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_in_line_hears_of_somebody_who_comes_when_all_have_left() {
        let (patience, interest) = (Patience::default(), Interest::default());
        let options = InvokeOptions { interest: Some(interest.clone()), ..InvokeOptions::default() };
        patience.extend(Instant::now(), &Timeouts::default(), &options);
        interest.lose();
        let raised = tokio::time::timeout(Duration::from_secs(1), patience.raised());
        let comes = async { patience.extend(Instant::now(), &Timeouts::default(), &InvokeOptions::default()) };
        assert_eq!(tokio::join!(raised, comes).0, Ok(()));
    }

    #[test]
    fn a_call_of_somebody_who_cannot_leave_it_is_never_over() {
        let (patience, interest) = (Patience::default(), Interest::default());
        interest.lose();
        for interest in [Some(interest), None] {
            let options = InvokeOptions { interest, ..InvokeOptions::default() };
            patience.extend(Instant::now(), &Timeouts::default(), &options);
        }
        assert!(!patience.is_over());
    }
}
