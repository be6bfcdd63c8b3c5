//! How a Redis that keeps answers has been doing, as can be watched.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;

use crate::redis::{Choir, Voice, say};

/// A Redis that keeps answers, at one moment. What is counted is what this cache did, from its opening on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RedisCacheStats {
    /// Where it is, without credentials.
    pub url: String,
    /// `idle`: not needed yet. `connected`: it answers, which is also said of one that keeps nothing, as it is full or may not be
    /// written. `away`: it does not answer in time, or refuses to be read; calls go on without it.
    pub status: &'static str,
    /// Lookups that did without it, because it was away.
    pub skipped: u64,
    /// Answers that did not get there: it was away or full, or did not keep up, or the answer is longer than a mebibyte, or what is
    /// not thryd's, or of a newer version, has its place.
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
    /// Whether the last that was waited for came too late.
    is_late: AtomicBool,
    is_refusing: AtomicBool,
    skipped: AtomicU64,
    write_errors: AtomicU64,
    read_errors: AtomicU64,
    last_error: Mutex<Option<String>>,
    /// Whether nothing is to be known of it any more.
    is_closed: AtomicBool,
    voice: Voice,
    /// Where it is said.
    say: fn(&str),
}

impl Status {
    pub fn new(url: String) -> Self {
        let choir = Choir::of(&url);
        Self::saying(url, choir, say)
    }

    fn saying(url: String, choir: Arc<Choir>, say: fn(&str)) -> Self {
        Self {
            url,
            has_answered: AtomicBool::default(),
            is_away: AtomicBool::default(),
            is_late: AtomicBool::default(),
            is_refusing: AtomicBool::default(),
            skipped: AtomicU64::default(),
            write_errors: AtomicU64::default(),
            read_errors: AtomicU64::default(),
            last_error: Mutex::default(),
            is_closed: AtomicBool::default(),
            voice: Voice::new(choir),
            say,
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
            last_error: self.last_error(),
        }
    }

    /// Where it is, without credentials.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// It answered; where answers come too late that does not make it better.
    pub fn found(&self) {
        self.has_answered.store(true, Ordering::Relaxed);
        if self.is_late() {
            return;
        }
        self.is_away.store(false, Ordering::Relaxed);
        self.tell("");
    }

    /// It did not.
    pub fn lost(&self, why: &str) {
        if self.is_closed() {
            return;
        }
        self.note(why);
        self.is_away.store(true, Ordering::Relaxed);
        self.tell(why);
    }

    /// It answers too late. Whether that is known.
    pub fn late(&self, why: &str) -> bool {
        let is_known = self.is_late.swap(true, Ordering::AcqRel);
        if !is_known {
            self.lost(why);
        }
        is_known
    }

    pub fn is_late(&self) -> bool {
        self.is_late.load(Ordering::Acquire)
    }

    /// It answered in time again, or it is known to be away.
    pub fn in_time(&self) {
        self.is_late.store(false, Ordering::Release);
    }

    /// A lookup did without it.
    pub fn skipped(&self) {
        if self.is_closed() {
            return;
        }
        self.skipped.fetch_add(1, Ordering::Relaxed);
    }

    /// A value was not what it should have been.
    pub fn unreadable(&self, why: &str) {
        self.read_errors.fetch_add(1, Ordering::Relaxed);
        self.note(why);
    }

    /// An answer got there.
    pub fn kept(&self) {
        self.is_refusing.store(false, Ordering::Relaxed);
        self.found();
    }

    /// It answered, and does not keep what it is given.
    pub fn refused(&self, why: &str) {
        if self.is_closed() {
            return;
        }
        self.note(why);
        self.has_answered.store(true, Ordering::Relaxed);
        self.is_refusing.store(true, Ordering::Relaxed);
        self.tell(why);
    }

    /// So many answers did not get there; without a reason it is the last one.
    pub fn not_kept(&self, answers: u64, why: &str) {
        self.write_errors.fetch_add(answers, Ordering::Relaxed);
        self.note(why);
    }

    /// From now on it is how it is now, and nothing is said of it: that nobody asks it any more is no fault of its.
    pub fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
        self.voice.withdraw();
    }

    fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Acquire)
    }

    /// Says how it is, if none of this process has.
    fn tell(&self, why: &str) {
        let news = match (self.is_away.load(Ordering::Relaxed), self.is_refusing.load(Ordering::Relaxed)) {
            (true, _) => "away",
            (false, true) => "refusing",
            (false, false) => "",
        };
        if self.is_closed() || !self.voice.is_to_be_said(news) {
            return;
        }
        let why = if why.is_empty() { self.last_error().unwrap_or_default() } else { why.to_owned() };
        (self.say)(&match news {
            "" => format!("answers are kept in Redis again: {}", self.url),
            "away" => format!("the cache goes on without Redis: {why}"),
            _ => format!("answers are not kept in Redis: {why}"),
        });
    }

    fn last_error(&self) -> Option<String> {
        self.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn note(&self, why: &str) {
        let mut last = self.last_error.lock().unwrap_or_else(PoisonError::into_inner);
        if !why.is_empty() && last.as_deref() != Some(why) {
            *last = Some(why.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::redis::hearing::{hear, heard};

    fn status() -> Status {
        of(&Arc::default())
    }

    fn of(choir: &Arc<Choir>) -> Status {
        Status::saying("redis://host".to_owned(), Arc::clone(choir), hear)
    }

    #[tokio::test(start_paused = true)]
    async fn several_caches_of_one_redis_say_one_line_when_it_goes_and_one_when_it_is_back() {
        let choir = Arc::default();
        let caches = [of(&choir), of(&choir), of(&choir)];
        for cache in &caches {
            cache.lost("no answer");
        }
        // Whichever of them is left.
        for cache in &caches[..2] {
            cache.found();
        }
        assert_eq!(
            heard(),
            ["the cache goes on without Redis: no answer", "answers are kept in Redis again: redis://host"]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_done_with_one_that_is_closed_is_no_fault_of_redis() {
        let closed = status();
        closed.found();
        closed.close();
        closed.lost("the cache was closed");
        closed.refused("the cache was closed");
        closed.skipped();
        assert!(!closed.late("no answer"));
        closed.found();
        assert_eq!(heard(), Vec::<String>::new());
        let stats = closed.stats();
        assert_eq!((stats.status, stats.skipped, stats.last_error), ("connected", 0, None));
    }

    #[tokio::test(start_paused = true)]
    async fn the_next_outage_is_told_of_also_when_whoever_told_of_the_last_one_is_gone() {
        let choir = Arc::default();
        let (away, again) = ("the cache goes on without Redis: gone", "answers are kept in Redis again: redis://host");
        let other = of(&choir);
        for is_closed in [true, false] {
            let cache = of(&choir);
            cache.lost("gone");
            assert_eq!(heard(), [away]);
            if is_closed {
                cache.close();
            }
            drop(cache);
            other.found();
            tokio::time::sleep(Duration::from_secs(60)).await;
            other.lost("gone");
            other.found();
            assert_eq!(heard(), [away, again]);
            tokio::time::sleep(Duration::from_secs(60)).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_outage_that_others_know_of_is_theirs_to_end() {
        let choir = Arc::default();
        let (cache, other) = (of(&choir), of(&choir));
        cache.lost("gone");
        other.lost("gone");
        cache.close();
        other.lost("gone");
        other.found();
        assert_eq!(heard(), ["the cache goes on without Redis: gone", "answers are kept in Redis again: redis://host"]);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_comes_and_goes_is_told_of_once_a_minute_and_its_last_state_in_the_end() {
        let status = status();
        for _ in 0..50 {
            status.lost("no answer");
            status.found();
        }
        assert_eq!(
            heard(),
            ["the cache goes on without Redis: no answer", "answers are kept in Redis again: redis://host"]
        );
        status.lost("gone for good");
        tokio::time::sleep(Duration::from_secs(59)).await;
        status.lost("gone for good");
        assert_eq!(heard(), Vec::<String>::new());
        tokio::time::sleep(Duration::from_secs(1)).await;
        for _ in 0..9 {
            status.lost("gone for good");
        }
        assert_eq!(heard(), ["the cache goes on without Redis: gone for good"]);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_answers_and_keeps_nothing_is_not_said_to_be_back_until_it_keeps_something() {
        let status = status();
        for _ in 0..9 {
            status.refused("OOM");
            status.found();
        }
        assert_eq!(
            (heard(), status.stats().status),
            (vec!["answers are not kept in Redis: OOM".to_owned()], "connected")
        );
        status.kept();
        assert_eq!(heard(), ["answers are kept in Redis again: redis://host"]);
    }
}
