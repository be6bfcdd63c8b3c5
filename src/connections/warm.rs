//! Where a connection was opened ahead of the first request, so that routers that share a provider do it once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// For how long it counts: programs make their routers together, and servers keep what nobody uses for a few seconds at least.
const KEPT: Duration = Duration::from_secs(10);

/// Most origins that are kept.
const MAX_KEPT: usize = 256;

/// The origins. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Warm(Arc<Mutex<HashMap<String, Instant>>>);

/// A connection that is being opened. Dropping it says that it was not.
pub(super) struct Warming {
    warm: Warm,
    origin: Option<String>,
}

impl Warm {
    /// Whether a connection to this origin should be opened: nobody does, and nobody did a moment ago.
    pub fn begin(&self, origin: &str) -> Option<Warming> {
        let (mut origins, now) = (self.lock(), Instant::now());
        if origins.get(origin).is_some_and(|since| now - *since < KEPT) {
            return None;
        }
        if origins.len() >= MAX_KEPT {
            origins.clear();
        }
        origins.insert(origin.to_owned(), now);
        Some(Warming { warm: self.clone(), origin: Some(origin.to_owned()) })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Warming {
    /// It is open.
    pub fn done(mut self) {
        self.origin = None;
    }
}

impl Drop for Warming {
    fn drop(&mut self) {
        if let Some(origin) = &self.origin {
            self.warm.lock().remove(origin);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_origin_is_warmed_once_in_a_while_and_again_if_it_failed() {
        let warm = Warm::default();
        let first = warm.begin("a").expect("it is cold");
        assert!(warm.begin("a").is_none(), "somebody does it");
        assert!(warm.begin("b").is_some());
        drop(first);
        warm.begin("a").expect("it failed").done();
        assert!(warm.begin("a").is_none());
        tokio::time::advance(KEPT).await;
        assert!(warm.begin("a").is_some(), "it may be cold again");
    }

    #[tokio::test(start_paused = true)]
    async fn origins_without_end_take_no_memory_without_end() {
        let warm = Warm::default();
        (0..1000).for_each(|index| warm.begin(&index.to_string()).expect("it is new").done());
        assert!(warm.lock().len() <= MAX_KEPT);
    }
}
