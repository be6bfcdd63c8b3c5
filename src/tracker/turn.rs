//! Whose turn it is where several lines draw on one tracker.
//!
//! A line is strict by itself: only its head asks. But heads of several lines may want the same room (calls that may use
//! different deployments of one group, groups and routers that share a provider's limits), and small requests of one
//! line could keep what a large one at the head of another is waiting for from ever coming together. So a head that
//! finds no room leaves its ticket with the tracker that refused it, and nobody with a later ticket is admitted there
//! until that one was, or has left. Tickets are ordered as lines are: by priority, then by arrival, whatever the line.
//!
//! Only heads leave tickets, and lines give them out in the order in which they admit. So whoever has the first ticket of
//! all is asking, or the one who goes before them in their line is: nobody waits for somebody who waits for them.

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
        // Drawn under the lock of a line, whose order it has to keep, and nothing else depends on it.
        static ARRIVALS: AtomicU64 = AtomicU64::new(0);
        Self { priority: Reverse(priority), arrival: ARRIVALS.fetch_add(1, Ordering::Relaxed) }
    }

    /// The priority that it was drawn with.
    #[must_use]
    pub fn priority(self) -> i64 {
        self.priority.0
    }
}

/// One request on its way to a permit: its ticket, once it stands in a line, and where it left it. Dropped, it takes its
/// ticket back everywhere.
#[derive(Debug, Default)]
pub struct Turn {
    /// Without one it goes behind everyone who has one, and leaves none.
    pub(super) ticket: Option<Ticket>,
    /// The trackers that hold the ticket, and whether they refused it in this round too.
    held: Vec<(Tracker, bool)>,
    /// Who was asked on its behalf, and has the answer by the next round.
    pub(super) asked: Option<Tracker>,
    /// Those that were asked since all of them had refused.
    asked_before: Vec<Tracker>,
    /// How many wait with it, itself included; 0 is itself.
    pub(super) waiting: u64,
}

impl Turn {
    /// Begins a round of asking, with the ticket that the line gave out, if it did already.
    pub fn begin(&mut self, ticket: Option<Ticket>) {
        self.ticket = self.ticket.or(ticket);
        self.held.iter_mut().for_each(|(_, is_current)| *is_current = false);
    }

    /// So many stand in its line, itself included: a ledger may be asked for several at once.
    pub fn expect(&mut self, waiting: u64) {
        self.waiting = waiting;
    }

    /// Who was asked in the round before.
    pub fn take_asked(&mut self) -> Option<Tracker> {
        self.asked.take()
    }

    /// Whether this one, who says that it was asked, was not asked before in a row of others: an answer that was good for a moment
    /// only is over by the time that the last of many has given its own.
    pub fn is_asked_anew(&mut self, tracker: &Tracker) -> bool {
        let is_new = !self.asked_before.iter().any(|before| before.is_same(tracker));
        if is_new {
            self.asked_before.push(tracker.clone());
        } else {
            self.asked = None;
        }
        is_new
    }

    /// All have refused.
    pub fn is_refused(&mut self) {
        self.asked_before.clear();
    }

    /// Ends a round in which everyone refused: tickets with those that would not have refused are taken back.
    pub fn end(&mut self) {
        let Some(ticket) = self.ticket else { return };
        self.held.retain(|(tracker, is_current)| {
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
        if let Some(asked) = self.asked.take() {
            asked.leave_if_alone();
        }
        let Some(ticket) = self.ticket else { return };
        for (tracker, _) in self.held.drain(..) {
            tracker.withdraw(ticket);
        }
    }
}
