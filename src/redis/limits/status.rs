//! Whether the limits of a router are counted together with other processes, as can be watched.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use tokio::time::Instant;

use super::super::fault::Fault;
use super::super::say::say;
use super::super::voice::{Choir, Voice};

/// See the module.
#[derive(Debug)]
pub(super) struct Status {
    /// Without credentials.
    url: String,
    /// When it says something, as one of all routers of this Redis, and how.
    voice: Voice,
    say: fn(&str),
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    has_answered: bool,
    processes: u64,
    since: Option<Instant>,
    /// The ledgers that are alone, and why.
    alone: Vec<(String, String)>,
}

/// How limits are counted.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LimitsStats {
    /// Over Redis.
    pub redis: RedisStats,
}

/// A Redis that counts limits.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RedisStats {
    /// Where it is, without credentials.
    pub url: String,
    /// `idle`: not needed yet. `connected`: limits are counted together. `local`: this process goes on alone, with its share.
    pub status: &'static str,
    /// For how long it has been so, in milliseconds.
    pub for_ms: f64,
    /// Processes that were alive when it was last heard of: those that `local` shares the limits with.
    pub processes: u64,
    /// Why it is `local`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl Status {
    pub fn new(url: String, processes: u64) -> Self {
        let choir = Choir::of(&format!("limits {url}"));
        Self::saying(url, processes, choir, say)
    }

    fn saying(url: String, processes: u64, choir: Arc<Choir>, say: fn(&str)) -> Self {
        Self { url, voice: Voice::new(choir), say, state: Mutex::new(State { processes, ..State::default() }) }
    }

    pub fn stats(&self, now: Instant) -> LimitsStats {
        let state = self.lock();
        let status = match (state.alone.is_empty(), state.has_answered) {
            (false, _) => "local",
            (true, true) => "connected",
            (true, false) => "idle",
        };
        let redis = RedisStats {
            url: self.url.clone(),
            status,
            for_ms: state.since.map_or(0.0, |since| now.saturating_duration_since(since).as_secs_f64() * 1000.0),
            processes: state.processes,
            error: state.alone.first().map(|(_, error)| error.clone()),
        };
        LimitsStats { redis }
    }

    /// Processes that were alive when Redis was last heard of.
    pub fn processes(&self) -> u64 {
        self.lock().processes
    }

    /// A ledger is alone, or still is.
    pub fn lost(&self, ledger: &str, fault: &Fault) {
        let mut state = self.lock();
        if state.alone.is_empty() {
            state.since = Some(Instant::now());
        }
        state.alone.retain(|(known, _)| known != ledger);
        state.alone.push((ledger.to_owned(), fault.message.clone()));
        let processes = state.processes;
        drop(state);
        // Each time, because soon after an earlier one it is not said that it is so.
        if self.voice.is_to_be_said("away") {
            (self.say)(&format!("limits are counted without Redis, as one of {processes}: {fault}"));
        }
    }

    /// A ledger was answered.
    pub fn found(&self, ledger: &str, processes: Option<u64>) {
        let mut state = self.lock();
        state.processes = processes.unwrap_or(state.processes);
        let before = state.alone.len();
        state.alone.retain(|(known, _)| known != ledger);
        let is_over = before > 0 && state.alone.is_empty();
        if is_over || !state.has_answered {
            (state.has_answered, state.since) = (true, Some(Instant::now()));
        }
        drop(state);
        if is_over && self.voice.is_to_be_said("") {
            (self.say)(&format!("limits are counted over Redis again: {}", self.url));
        }
    }

    /// A ledger is gone.
    pub fn forget(&self, ledger: &str) {
        let mut state = self.lock();
        state.alone.retain(|(known, _)| known != ledger);
        let is_none = state.alone.is_empty();
        drop(state);
        // The last that knew of an outage does not see its end.
        if is_none {
            self.voice.withdraw();
        }
    }

    // A std mutex: nothing is awaited while it is held.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
