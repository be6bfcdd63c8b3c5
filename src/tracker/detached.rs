//! Metering without permits: for callers who meter something else, and who settle by numbers.

use tokio::time::Instant;

use super::window::Room;
use super::{Tracker, Wait};

impl Tracker {
    /// Charges one request and these tokens without a permit. Takes no slot of `max_concurrent`, and asks for none.
    ///
    /// # Errors
    /// Why not now; never [`Wait::Release`].
    pub fn acquire_detached(&self, tokens: u64, now: Instant) -> Result<(), Wait> {
        let room = self.changed(now, |counter, now| {
            let room = counter.room(tokens, now);
            if room == Room::Now {
                counter.charge(tokens, now);
            }
            room
        });
        match room {
            Room::Now => Ok(()),
            Room::At(at) => Err(Wait::Until(self.origin() + at)),
            Room::Never => Err(Wait::Never),
        }
    }

    /// Charges what another window holds now, as if all of it had been admitted this moment: later than it was, so that it
    /// counts for longer and never for less.
    pub(super) fn go_on_from(&self, other: &Self) {
        let now = Instant::now();
        let spent = other.spent(now);
        self.changed(now, |counter, now| {
            for number in 0..spent.requests {
                counter.charge(if number == 0 { spent.tokens } else { 0 }, now);
            }
        });
    }

    /// Corrects what [`Tracker::acquire_detached`] reserved to what it really cost.
    ///
    /// Nobody knows which bucket the reservation went to, so the difference goes where it does no harm: less is taken
    /// from the oldest charges, which leave first, more is added to the newest, which leaves last. The window is then
    /// never below the truth, if the settling comes within 60 s. Later there is nothing to settle: the reservation
    /// has left the window, and the call should not be made.
    pub fn settle_detached(&self, reserved: u64, actual: u64, now: Instant) {
        self.changed(now, |counter, now| match actual.checked_sub(reserved) {
            Some(more) => counter.window.raise(more, now),
            None => counter.window.lower(reserved - actual, now),
        });
        if actual < reserved {
            self.tell();
        }
    }
}
