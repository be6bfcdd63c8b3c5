//! How a call begins: by what is remembered of its very words, by memory, or on its way.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::answer::{Answer, CacheStatus};
use super::call::{Begun, Prepared};
use super::memo::{Generation, Hit, Words};
use super::parts;
use super::router::Router;
use crate::error::Result;
use crate::kinds::Kind;
use crate::options::{CacheUse, InvokeOptions};

/// A request of more parts is looked up and taken apart by the runtime, so as not to hold up the JavaScript thread.
const PARTS_AT_ONCE: usize = 64;

/// A call that was begun with the words that its request came in.
pub enum Spoken<K> {
    /// Memory answered, after this long.
    Hit(Arc<Hit<K>>, Duration),
    /// As any other call.
    Begun(Begun<K>),
}

impl<K: Kind> Router<K> {
    /// Begins a call with a request that [`Kind::request`] has checked: what memory can answer, and what can be refused at once, is ready; for all else
    /// it needs the context of a Tokio runtime.
    pub fn begin(&self, group: &str, request: K::Request, options: InvokeOptions) -> Begun<K> {
        match Prepared::new(&self.0, group, request, options) {
            Ok(prepared) => begun(prepared, None),
            Err(error) => Begun::Ready(Err(error)),
        }
    }

    /// As [`Router::begin`], of a request that `read` makes of its text: if memory has answered the same words before, neither is
    /// looked into again.
    ///
    /// # Errors
    /// Those of `read`.
    pub fn begin_spoken(
        &self,
        group: &str,
        text: &str,
        options: InvokeOptions,
        read: impl FnOnce(&str) -> Result<K::Request>,
    ) -> Result<Spoken<K>> {
        let started = Instant::now();
        let namespace = options.namespace.clone();
        let words = Words { group, namespace: namespace.as_deref(), text };
        let generation = self.0.memos.generation();
        let reads = matches!(options.cache, CacheUse::Default | CacheUse::OnlyIfCached) && !self.0.is_refusing();
        if reads {
            if let Some(hit) = self.recall(words, generation) {
                self.0.remember(&hit.value, &hit.deployment);
                return Ok(Spoken::Hit(hit, started.elapsed()));
            }
        }
        Ok(Spoken::Begun(match Prepared::new(&self.0, group, read(text)?, options) {
            Ok(prepared) => begun(prepared, Some((words, generation))),
            Err(error) => Begun::Ready(Err(error)),
        }))
    }

    /// What memory has for words that it has answered before.
    fn recall(&self, words: Words<'_>, generation: Generation) -> Option<Arc<Hit<K>>> {
        let memos = &self.0.memos;
        self.0.with_cache(|cache| {
            let memo = memos.get(cache, words)?;
            let Some(record) = cache.memory_get(&memo.key) else {
                memos.drop_words(words);
                return None;
            };
            if memo.is_of(&record) {
                return Some(Arc::clone(&memo.hit));
            }
            let hit = Arc::new(Hit::read(&record)?);
            memos.keep(cache, words, generation, memo.key, &record, Arc::clone(&hit));
            Some(hit)
        })
    }
}

/// Begins a call, and remembers the words that it came in if memory answers them.
fn begun<K: Kind>(prepared: Prepared<K>, spoken: Option<(Words<'_>, Generation)>) -> Begun<K> {
    let parts = K::split(&prepared.request).filter(|_| prepared.is_of_one_model());
    let hit = match &parts {
        None => prepared.in_memory_as(spoken),
        Some(parts) if parts.len() > PARTS_AT_ONCE => None,
        Some(parts) => parts::in_memory(&prepared, parts),
    };
    match (hit, parts) {
        (Some(answer), _) => Begun::Ready(Ok(answer)),
        // Here is the place for a look at the disk that waits for nothing.
        (None, None) => Begun::Pending(prepared.launch()),
        (None, Some(parts)) if parts.len() > PARTS_AT_ONCE => {
            Begun::Pending(Box::pin(async move { parts::launch(prepared, parts).await }))
        }
        (None, Some(parts)) => Begun::Pending(parts::launch(prepared, parts)),
    }
}

impl<K: Kind> Hit<K> {
    /// As an answer that memory gave after this long.
    pub fn answer(&self, latency: Duration) -> Answer<K> {
        Answer {
            value: self.value.clone(),
            deployment: self.deployment.clone(),
            cache: CacheStatus::Memory,
            attempts: Vec::new(),
            latency,
            queued: Duration::ZERO,
            position: 0,
        }
    }
}
