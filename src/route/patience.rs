//! How long a call in flight may take: as long as the most patient of those who wait for it allows, so that the deadline
//! of one ends nothing for the others.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::options::Timeouts;
use crate::sync::{Mutex, lock};

/// The clocks of those who wait for one call.
#[derive(Debug, Default)]
pub(crate) struct Patience(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    clocks: Option<Clocks>,
    /// A call that this one waits for.
    other: Option<Arc<Patience>>,
}

#[derive(Clone, Copy, Debug)]
struct Clocks {
    /// The end of the whole call; `None` is never.
    total: Option<Instant>,
    /// When waiting in line ends, if nothing else was done before.
    queue: Instant,
}

impl Patience {
    /// Somebody waits who called at `started`, with these clocks.
    pub fn extend(&self, started: Instant, timeouts: &Timeouts) {
        self.add(Clocks { total: timeouts.total.map(|total| started + total), queue: started + timeouts.queue });
    }

    /// The call waits for another, which then is given as much time.
    pub fn pass_on_to(&self, other: &Arc<Self>) {
        let clocks = {
            let mut state = lock(&self.0);
            state.other = Some(Arc::clone(other));
            state.clocks
        };
        if let Some(clocks) = clocks {
            other.add(clocks);
        }
    }

    fn add(&self, mine: Clocks) {
        let other = {
            let mut state = lock(&self.0);
            state.clocks = Some(state.clocks.map_or(mine, |all| Clocks {
                total: all.total.zip(mine.total).map(|(one, other)| one.max(other)),
                queue: all.queue.max(mine.queue),
            }));
            state.other.clone()
        };
        if let Some(other) = other {
            other.add(mine);
        }
    }

    /// The end of the whole call.
    pub fn deadline(&self) -> Option<Instant> {
        lock(&self.0).clocks.and_then(|clocks| clocks.total)
    }

    /// When waiting in line ends for a call that has spent this time on other things than waiting.
    pub fn queue_end(&self, spent: Duration) -> Option<Instant> {
        let clocks = lock(&self.0).clocks?;
        let queue = clocks.queue + spent;
        Some(clocks.total.map_or(queue, |total| total.min(queue)))
    }

    /// Does something until the deadline, which may move meanwhile.
    ///
    /// # Errors
    /// The deadline that passed.
    pub async fn within<T>(&self, work: impl Future<Output = T>) -> Result<T, Instant> {
        let mut work = pin!(work);
        loop {
            let Some(deadline) = self.deadline() else { return Ok(work.await) };
            if let Ok(done) = timeout_at(deadline, &mut work).await {
                return Ok(done);
            }
            if self.deadline() == Some(deadline) {
                return Err(deadline);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn total(milliseconds: Option<u64>) -> Timeouts {
        Timeouts { total: milliseconds.map(Duration::from_millis), ..Timeouts::default() }
    }

    #[tokio::test(start_paused = true)]
    async fn the_deadline_of_one_ends_nothing_for_the_others() {
        let (patience, begun) = (Patience::default(), Instant::now());
        patience.extend(begun, &total(Some(10)));
        let joins = async {
            tokio::time::sleep(Duration::from_millis(5)).await;
            patience.extend(Instant::now(), &total(Some(100)));
            std::future::pending::<()>().await;
        };
        let ended = patience.within(joins).await;
        assert_eq!(ended.unwrap_err() - begun, Duration::from_millis(105));
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_ever_is_not_outvoted() {
        let (patience, begun) = (Patience::default(), Instant::now());
        for clocks in [total(Some(10)), total(None), total(Some(20))] {
            patience.extend(begun, &clocks);
        }
        assert_eq!(patience.deadline(), None);
        assert_eq!(
            patience.queue_end(Duration::from_secs(7)),
            Some(begun + Timeouts::default().queue + Duration::from_secs(7))
        );
    }
}
