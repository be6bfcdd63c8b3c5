//! How a Redis that keeps answers has been doing, as can be watched.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use serde::Serialize;

use crate::redis::{Topic, say};

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
    /// Whether all that was said is that it is well, and it is.
    is_well: AtomicBool,
    said: Topic,
    /// Where it is said.
    voice: fn(&str),
}

impl Status {
    pub fn new(url: String) -> Self {
        let said = Topic::named(&url);
        Self::with_voice(url, said, say)
    }

    fn with_voice(url: String, said: Topic, voice: fn(&str)) -> Self {
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
            is_well: AtomicBool::new(true),
            said,
            voice,
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

    /// Says how it is, if none of this process has.
    fn tell(&self, why: &str) {
        let news = match (self.is_away.load(Ordering::Relaxed), self.is_refusing.load(Ordering::Relaxed)) {
            (true, _) => "away",
            (false, true) => "refusing",
            (false, false) => "",
        };
        if news.is_empty() && self.is_well.load(Ordering::Relaxed) {
            return;
        }
        let is_to_be_said = self.said.is_to_be_said(news);
        // Also where another of this process has said it: whoever finds first that it is over says so.
        if self.said.is_said(news) {
            self.is_well.store(news.is_empty(), Ordering::Relaxed);
        }
        if !is_to_be_said {
            return;
        }
        let why = if why.is_empty() { self.last_error().unwrap_or_default() } else { why.to_owned() };
        (self.voice)(&match news {
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
    use std::cell::RefCell;
    use std::time::Duration;

    use super::*;

    thread_local!(static LINES: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) });

    fn hear(line: &str) {
        LINES.with_borrow_mut(|lines| lines.push(line.to_owned()));
    }

    fn heard() -> Vec<String> {
        LINES.take()
    }

    fn status() -> Status {
        Status::with_voice("redis://host".to_owned(), Topic::default(), hear)
    }

    #[tokio::test(start_paused = true)]
    async fn several_caches_of_one_redis_say_one_line_when_it_goes_and_one_when_it_is_back() {
        let first = status();
        let of_it = |said: &Topic| Status::with_voice("redis://host".to_owned(), said.clone(), hear);
        let caches = [of_it(&first.said), of_it(&first.said), first];
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
