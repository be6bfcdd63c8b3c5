//! Equal calls of several processes as one, over the Redis that their caches share.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::answer::{Answer, CacheStatus};
use super::call::Prepared;
use super::fly::Shared;
use super::serve::Reading;
use crate::cache::{Cache, Turn};
use crate::error::Result;
use crate::kinds::Kind;

impl<K: Kind> Prepared<K> {
    /// Looks into Redis, and asks a deployment if it is this process's turn to, or takes the answer that another has got. Whoever waits
    /// for it has the whole answer at once. Nothing that goes wrong with Redis, or with the other's call, is this one's failure: it
    /// then asks.
    pub async fn send_in_turn(&self, reading: Reading, shared: Arc<Shared>, cache: Cache) -> Result<Answer<K>> {
        let limit = patience_with_others(reading, &shared);
        let found = match cache.turn(&self.key, &self.namespace, limit).await {
            Turn::Ours(lease) => {
                let outcome = lease.during(self.send(reading, shared, Some(cache))).await;
                if outcome.is_ok() {
                    lease.answered();
                }
                return outcome;
            }
            Turn::Found(record) => self.hit(&record, CacheStatus::Redis),
            Turn::Answered(record) => self.hit(&record, CacheStatus::Joined),
            Turn::Alone => None,
        };
        match found {
            Some(answer) => Ok(answer),
            None => self.send(reading, shared, Some(cache)).await,
        }
    }
}

/// How long another process's call is waited for: as long as one attempt of its own might take, and so that half of its time is
/// left for that.
fn patience_with_others(reading: Reading, shared: &Shared) -> Duration {
    let timeouts = shared.patience.timeouts();
    let first_token = timeouts.first_token_of(reading != Reading::Whole).unwrap_or(Duration::MAX);
    let total = shared.patience.deadline().map_or(Duration::MAX, |end| (end - Instant::now()) / 2);
    timeouts.attempt.min(first_token).min(total)
}
