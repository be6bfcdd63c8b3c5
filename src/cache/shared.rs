//! What a cache that machines share does beyond its own memory and file.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::remote::{Cleared, Remote, RemotePatience};
use super::{Cache, Key, Namespace, Record, Turn};
use crate::error::{Error, Result};

impl Cache {
    /// The answer from Redis, which then is in memory too, and on disk soon. Counts a hit or a miss; without a Redis neither. Takes
    /// no longer than the options allow.
    pub async fn redis_get(&self, key: &Key, namespace: &str) -> Option<Arc<Record>> {
        self.redis_look(key, namespace, RemotePatience::default()).await.ok().flatten()
    }

    /// The same with the patience of the call that waits.
    ///
    /// # Errors
    /// In words, if Redis could not be looked into.
    pub(crate) async fn redis_look(
        &self,
        key: &Key,
        namespace: &str,
        patience: RemotePatience,
    ) -> Result<Option<Arc<Record>>, String> {
        let Some(remote) = self.remote() else { return Ok(None) };
        let inner = &self.0;
        let (since, cleared, now_ms) = (inner.memory.epoch(), self.cleared(), (inner.clock)());
        let found = remote.get(key, inner.codec.namespace(namespace), now_ms, patience).await;
        match &found {
            Ok(None) | Err(_) => _ = inner.misses.fetch_add(1, Ordering::Relaxed),
            Ok(Some(record)) => {
                inner.redis_hits.fetch_add(1, Ordering::Relaxed);
                inner.memory.promote(*key, record, since);
                self.keep_below(*key, record, cleared);
            }
        }
        found
    }

    /// Whether looks of one call that began then, and ends then, have taken as long as one may: the next one is a miss. It begins with
    /// the first.
    #[must_use]
    pub(crate) fn has_waited_for_redis(&self, begun: &OnceLock<Instant>, end: Option<Instant>) -> bool {
        let Some(remote) = self.remote() else { return false };
        let begun = *begun.get_or_init(Instant::now);
        let left = end.map_or(Duration::MAX, |end| end.saturating_duration_since(begun));
        let has = begun.elapsed() >= remote.share(left);
        if has {
            remote.skip();
            self.0.misses.fetch_add(1, Ordering::Relaxed);
        }
        has
    }

    /// Whether equal calls of other processes are waited for.
    #[must_use]
    pub fn joins_processes(&self) -> bool {
        self.0.options.joins_processes && !self.is_closed()
    }

    /// Whose it is to ask a question, if the answer is not in Redis, which is looked for in the place of a [`Cache::redis_get`];
    /// another process is waited for for at most so long. Counts a hit or a miss, and who joined another.
    pub async fn turn(&self, key: &Key, namespace: &str, limit: Duration) -> Turn {
        let Some(remote) = self.remote().filter(|_| self.joins_processes()) else { return Turn::Alone };
        let inner = &self.0;
        let (since, cleared) = (inner.memory.epoch(), self.cleared());
        let turn = remote.turn(key, inner.codec.namespace(namespace), limit, || (inner.clock)()).await;
        match &turn {
            Turn::Found(_) => &inner.redis_hits,
            Turn::Answered(_) => &inner.joined,
            Turn::Ours(_) | Turn::Alone => &inner.misses,
        }
        .fetch_add(1, Ordering::Relaxed);
        if let Turn::Found(record) | Turn::Answered(record) = &turn {
            inner.memory.promote(*key, record, since);
            self.keep_below(*key, record, cleared);
        }
        turn
    }

    /// Keeps on disk what was found in Redis, unless its namespace was cleared meanwhile.
    fn keep_below(&self, key: Key, record: &Arc<Record>, cleared: u64) {
        let is_cleared = self.0.memory.cleared().is_cleared_since(record.namespace, cleared);
        if let Some(disk) = self.disk().filter(|_| !is_cleared) {
            disk.put(key, record, None, &self.0.memory);
        }
    }

    /// Removes what machines share.
    pub(super) async fn clear_redis(&self, namespace: Option<Namespace>) -> Result<()> {
        let Some(remote) = self.remote() else { return Ok(()) };
        remote.clear(namespace).await.map_err(|fault| Error::cache("Redis", fault.message))
    }

    /// Redis, which is used from here on.
    pub(super) fn remote(&self) -> Option<&Arc<Remote>> {
        let remote = self.0.remote.as_ref().filter(|_| !self.is_closed())?;
        self.note_use();
        Some(remote)
    }

    /// Whichever tier answers: from the first use on what others clear is cleared here.
    pub(super) fn note_use(&self) {
        let Some(remote) = &self.0.remote else { return };
        if remote.is_first_use() {
            let (inner, owed) = (Arc::downgrade(&self.0), Arc::<Mutex<Vec<Cleared>>>::default());
            remote.watch(move |cleared| {
                let Some(cache) = inner.upgrade().map(Cache).filter(|cache| !cache.is_closed()) else { return false };
                // At once: what was asked for before is not kept from here on.
                for what in &cleared {
                    cache.0.memory.clear(what.namespace());
                }
                if cache.disk().is_some() {
                    // Also what could not be cleared the last time.
                    let cleared = [std::mem::take(&mut *locked(&owed)), cleared].concat();
                    if !cleared.is_empty() {
                        let owed = Arc::clone(&owed);
                        tokio::spawn(async move { cache.clear_as_told(cleared, &owed).await });
                    }
                }
                true
            });
        }
    }

    /// Clears the file too; what cannot be cleared is owed, once each.
    async fn clear_as_told(self, cleared: Vec<Cleared>, owed: &Mutex<Vec<Cleared>>) {
        for what in cleared {
            if let Err(error) = self.clear_here(what.namespace()).await {
                let mut owed = locked(owed);
                if !owed.contains(&what) {
                    owed.push(what);
                }
                if let Some(remote) = &self.0.remote {
                    remote.note(&format!("what others have cleared is not yet cleared in the file: {error}"));
                }
            }
        }
    }
}

fn locked(owed: &Mutex<Vec<Cleared>>) -> MutexGuard<'_, Vec<Cleared>> {
    owed.lock().unwrap_or_else(PoisonError::into_inner)
}
