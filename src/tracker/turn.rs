//! Whose turn it is where several lines draw on one tracker.
//!
//! A line is strict by itself: only its head asks. But heads of several lines may want the same room (calls that may use
//! different deployments of one group, groups and routers that share a provider's limits), and small requests of one
//! line could keep what a large one at the head of another is waiting for from ever coming together. So a head that
//! finds no room leaves its ticket with the tracker that refused it, and nobody with a later ticket is admitted there
//! until that one was, or has left. Tickets are ordered as lines are: by priority, then by arrival, whatever the line.

use std::cmp::Reverse;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Tracker;

/// A place among all who wait in this process. Smaller goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket {
    priority: Reverse<i64>,
    arrival: u64,
}

impl Ticket {
    /// The next ticket of this priority; a higher priority goes first.
    #[must_use]
    pub fn draw(priority: i64) -> Self {
        // A plain number, of which nothing else depends: relaxed is enough.
        static ARRIVALS: AtomicU64 = AtomicU64::new(0);
        Self { priority: Reverse(priority), arrival: ARRIVALS.fetch_add(1, Ordering::Relaxed) }
    }
}

/// One request on its way to a permit: its ticket, and where it left it. Dropped, it takes its ticket back everywhere.
#[derive(Debug)]
pub struct Turn {
    pub(super) ticket: Ticket,
    /// The trackers that hold the ticket, and whether they refused it in this round too.
    held: Vec<(Tracker, bool)>,
}

impl Turn {
    /// A turn that has asked nobody yet.
    #[must_use]
    pub fn new(ticket: Ticket) -> Self {
        Self { ticket, held: Vec::new() }
    }

    /// Begins a round of asking.
    pub fn begin(&mut self) {
        self.held.iter_mut().for_each(|(_, is_current)| *is_current = false);
    }

    /// Ends a round in which everyone refused: tickets with those that would not have refused are taken back.
    pub fn end(&mut self) {
        let (ticket, held) = (self.ticket, &mut self.held);
        held.retain(|(tracker, is_current)| {
            if !is_current {
                tracker.withdraw(ticket);
            }
            *is_current
        });
    }

    /// This tracker has the ticket.
    pub(super) fn note(&mut self, tracker: &Tracker) {
        match self.held.iter_mut().find(|(held, _)| held.is_same(tracker)) {
            Some((_, is_current)) => *is_current = true,
            None => self.held.push((tracker.clone(), true)),
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        for (tracker, _) in self.held.drain(..) {
            tracker.withdraw(self.ticket);
        }
    }
}
