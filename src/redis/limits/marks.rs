//! How far a window had come at some moments of the last minute: what one that has forgotten the latest of it remembers. Pure.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::state::COUNTS_FOR;

/// How often it is noted.
const EVERY: Duration = Duration::from_millis(250);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Marks(VecDeque<(u64, Instant)>);

impl Marks {
    /// It had been charged so often when it was asked then, or more.
    pub fn note(&mut self, number: u64, asked: Instant) {
        while self.0.front().is_some_and(|(_, at)| *at + COUNTS_FOR < asked) {
            self.0.pop_front();
        }
        if self.0.back().is_none_or(|(_, at)| *at + EVERY <= asked) {
            self.0.push_back((number, asked));
        }
    }

    /// The last moment up to which a window knows all, if it was charged no more often than this.
    pub fn until(&self, number: u64) -> Option<Instant> {
        self.0.iter().rev().find(|(noted, _)| *noted <= number).map(|(_, at)| *at)
    }
}
