//! How a Redis that keeps answers has been doing, as can be watched.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

/// How long nothing more is said of what goes wrong.
const QUIET: Duration = Duration::from_secs(10);

/// A Redis that keeps answers, at one moment. What is counted is what this cache did, from its opening on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RedisCacheStats {
    /// Where it is, without credentials.
    pub url: String,
    /// `idle`: not needed yet. `connected`. `away`: it does not answer in time, or refuses; calls go on without it.
    pub status: &'static str,
    /// Lookups that did without it, because it was away.
    pub skipped: u64,
    /// Answers that did not get there: it was away or full, or did not keep up, or the answer is longer than a mebibyte.
    pub write_errors: u64,
    /// Values that could not be read: damaged, of a newer version, sealed with another key, or not thryd's. They count as misses.
    pub read_errors: u64,
    /// What went wrong last, if anything did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Status {
    /// Without credentials.
    url: String,
    has_answered: AtomicBool,
    is_away: AtomicBool,
    is_refusing: AtomicBool,
    skipped: AtomicU64,
    write_errors: AtomicU64,
    read_errors: AtomicU64,
    last_error: Mutex<Option<String>>,
    /// Whether it was said that it is away.
    is_said: AtomicBool,
    last_said: Mutex<Option<Instant>>,
}

impl Status {
    pub fn new(url: String) -> Self {
        Self {
            url,
            has_answered: AtomicBool::default(),
            is_away: AtomicBool::default(),
            is_refusing: AtomicBool::default(),
            skipped: AtomicU64::default(),
            write_errors: AtomicU64::default(),
            read_errors: AtomicU64::default(),
            last_error: Mutex::default(),
            is_said: AtomicBool::default(),
            last_said: Mutex::default(),
        }
    }

    pub fn stats(&self) -> RedisCacheStats {
        let status = match (self.is_away.load(Ordering::Relaxed), self.has_answered.load(Ordering::Relaxed)) {
            (true, _) => "away",
            (false, true) => "connected",
            (false, false) => "idle",
        };
        RedisCacheStats {
            url: self.url.clone(),
            status,
            skipped: self.skipped.load(Ordering::Relaxed),
            write_errors: self.write_errors.load(Ordering::Relaxed),
            read_errors: self.read_errors.load(Ordering::Relaxed),
            last_error: self.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }

    /// It answered.
    pub fn found(&self) {
        self.has_answered.store(true, Ordering::Relaxed);
        if self.is_away.load(Ordering::Relaxed)
            && self.is_away.swap(false, Ordering::Relaxed)
            && self.is_said.swap(false, Ordering::Relaxed)
        {
            say(&format!("answers are kept in Redis again: {}", self.url));
        }
    }

    /// It did not.
    pub fn lost(&self, why: &str) {
        self.note(why);
        if !self.is_away.swap(true, Ordering::Relaxed) && self.may_say() {
            self.is_said.store(true, Ordering::Relaxed);
            say(&format!("the cache goes on without Redis: {why}"));
        }
    }

    /// A lookup did without it.
    pub fn skipped(&self) {
        self.skipped.fetch_add(1, Ordering::Relaxed);
    }

    /// A value was not what it should have been.
    pub fn unreadable(&self, why: &str) {
        self.read_errors.fetch_add(1, Ordering::Relaxed);
        self.note(why);
    }

    /// It answered, and said no.
    pub fn refused(&self) {
        self.has_answered.store(true, Ordering::Relaxed);
    }

    /// An answer got there.
    pub fn kept(&self) {
        self.found();
        self.is_refusing.store(false, Ordering::Relaxed);
    }

    /// So many answers did not get there.
    pub fn not_kept(&self, answers: u64, why: &str) {
        self.write_errors.fetch_add(answers, Ordering::Relaxed);
        self.note(why);
        if !self.is_away.load(Ordering::Relaxed) && !self.is_refusing.swap(true, Ordering::Relaxed) && self.may_say() {
            say(&format!("answers are not kept in Redis: {why}"));
        }
    }

    /// Not again and again, as of a Cluster of which one node is away.
    fn may_say(&self) -> bool {
        let now = Instant::now();
        let mut last = self.last_said.lock().unwrap_or_else(PoisonError::into_inner);
        let may = last.is_none_or(|last| now - last >= QUIET);
        if may {
            *last = Some(now);
        }
        may
    }

    fn note(&self, why: &str) {
        let mut last = self.last_error.lock().unwrap_or_else(PoisonError::into_inner);
        if last.as_deref() != Some(why) {
            *last = Some(why.to_owned());
        }
    }
}

/// One line for whoever reads what the process says.
fn say(line: &str) {
    eprintln!("thryd: {line}");
}
