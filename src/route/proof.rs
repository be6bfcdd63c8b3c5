//! Retries beyond the budget: they go where somebody was answered since, and wait until that is known.
//!
//! A budget alone would fail the calls of a burst although a healthy deployment stands by: hundreds that were under way
//! on one that went down need more retries at once than any budget has. What the budget is for is an outage of all. So
//! whoever finds it spent waits for one of those who went before: if they are answered elsewhere, it follows them; if
//! nobody healthy is left, it gives up.

use std::pin::pin;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::consider::Barred;
use super::group::{Demand, Group};
use super::serve::{CallState, Verdict};
use crate::kinds::Kind;

/// How often the budget is looked at again: it counts in seconds.
const BUDGET_INTERVAL: Duration = Duration::from_secs(1);

impl<K: Kind> CallState<'_, K> {
    /// Waits until this call may be tried again: at once within the budget, else when another deployment than those that
    /// are barred has answered somebody. Fails if none is left that could, or in time.
    pub(super) async fn permit_retry(
        &mut self,
        group: &Group,
        demand: &Demand,
        barred: &mut Barred,
    ) -> Result<(), Verdict> {
        let failed = Instant::now();
        if self.retries >= self.core.retry.max_retries {
            return Err(Verdict::GaveUp(None));
        }
        if self.core.budget().withdraw(failed) {
            return Ok(());
        }
        // Not the same one again, at the cost of everybody's budget.
        barred.for_now.extend(barred.again.take());
        let spent = (failed - self.job.started).saturating_sub(self.queued);
        loop {
            let mut settled = pin!(group.settled.notified());
            settled.as_mut().enable();
            let now = Instant::now();
            let (is_anybody_left, is_proven) = hope(group, demand, barred, failed, now);
            let end = self.job.shared.patience.queue_end(spent);
            let is_over = !is_anybody_left || end.is_some_and(|end| end <= now);
            if is_over || is_proven || (now > failed && self.core.budget().withdraw(now)) {
                self.queued += now - failed;
                return if is_over { Err(Verdict::GaveUp(None)) } else { Ok(()) };
            }
            let next = now + BUDGET_INTERVAL;
            // Whichever comes first, it is asked again.
            let _ = timeout_at(end.map_or(next, |end| end.min(next)), settled).await;
        }
    }
}

/// Whether a healthy deployment is left, and whether one has answered somebody since.
fn hope(group: &Group, demand: &Demand, barred: &Barred, since: Instant, now: Instant) -> (bool, bool) {
    let able = group.able(demand, &barred.all());
    // Where much of what is asked fails, retries are what the budget is to keep away.
    let mut sound = able.iter().filter(|one| one.health.is_sound(now)).peekable();
    (sound.peek().is_some(), sound.any(|one| one.has_answered_since(since)))
}
