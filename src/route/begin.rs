//! How a call begins: by what is remembered of its very words, by memory, or on its way.

use std::any::Any;
use std::time::Duration;

use tokio::time::Instant;

use super::answer::{Answer, CacheStatus};
use super::call::{Begun, Prepared};
use super::memo::{Found, Recalled, Words};
use super::parts;
use super::router::Router;
use crate::error::Result;
use crate::kinds::Kind;
use crate::options::{CacheUse, InvokeOptions};

/// A request of more parts is looked up and taken apart by the runtime, so as not to hold up the JavaScript thread.
const PARTS_AT_ONCE: usize = 64;

/// What memory answered.
#[derive(Clone, Debug)]
pub struct Hit<K> {
    /// Paid for by another call.
    pub value: K,
    /// `provider::model` that answered.
    pub deployment: String,
}

impl<K: Kind> Hit<K> {
    /// As an answer that memory gave after this long.
    #[must_use]
    pub fn answer(self, latency: Duration) -> Answer<K> {
        let Self { value, deployment } = self;
        let (cache, attempts, queued) = (CacheStatus::Memory, Vec::new(), Duration::ZERO);
        Answer { value, deployment, cache, attempts, latency, queued, position: 0 }
    }
}

impl<K: Kind> Router<K> {
    /// Begins a call with a request that [`Kind::request`] has checked: what memory can answer, or a file that can be read at
    /// once, and what can be refused at once, is ready; for all else it needs the context of a Tokio runtime.
    pub fn begin(&self, group: &str, request: K::Request, options: InvokeOptions) -> Begun<K> {
        match Prepared::new(&self.0, group, request, options) {
            Ok(prepared) => begun(prepared, Prepared::in_memory),
            Err(error) => Begun::Ready(Err(error)),
        }
    }

    /// As [`Router::begin`], of a request that `read` makes of its text. If memory answers it, [`Router::recall`] knows the text
    /// from then on, and what `make` makes of the answer.
    ///
    /// # Errors
    /// Those of `read`.
    pub fn begin_spoken<T: Any + Send + Sync>(
        &self,
        group: &str,
        text: &str,
        options: InvokeOptions,
        read: impl FnOnce(&str) -> Result<K::Request>,
        make: impl FnOnce(Hit<K>) -> T,
    ) -> Result<Begun<K>> {
        // Before anything that the key is made of is looked at.
        let generation = self.0.memos.generation();
        let namespace = options.namespace.clone();
        let prepared = match Prepared::new(&self.0, group, read(text)?, options) {
            Ok(prepared) => prepared,
            Err(error) => return Ok(Begun::Ready(Err(error))),
        };
        Ok(begun(prepared, |prepared| {
            let (answer, record) = prepared.in_memory_as_kept()?;
            if K::changes_state(&prepared.request) {
                return Some(answer);
            }
            let words = Words { group, namespace: namespace.as_deref(), text };
            let hit = Hit { value: answer.value.clone(), deployment: answer.deployment.clone() };
            let found = Found { generation, key: prepared.key, record: &record, ids: hit.value.state_ids() };
            self.0.with_cache(|cache| {
                self.0.memos.keep(cache, words, found, make(hit));
                Some(())
            });
            Some(answer)
        }))
    }

    /// What was made of memory's answer to this text, if memory still has it, and how long that took; made anew if it has another
    /// one by now. `None` if it is not known, or nothing may be answered: then [`Router::begin_spoken`] says more.
    pub fn recall<T: Any + Send + Sync>(
        &self,
        group: &str,
        text: &str,
        options: &InvokeOptions,
        make: impl FnOnce(Hit<K>) -> T,
    ) -> Option<(Recalled<T>, Duration)> {
        let started = Instant::now();
        let core = &self.0;
        if core.is_refusing() || !matches!(options.cache, CacheUse::Default | CacheUse::OnlyIfCached) {
            return None;
        }
        let words = Words { group, namespace: options.namespace.as_deref(), text };
        let memo = core.with_cache(|cache| {
            let memo = core.memos.get(cache, words)?;
            let Some(record) = cache.memory_get(&memo.key) else {
                core.memos.drop_words(words);
                return None;
            };
            if memo.is_of(&record) {
                core.remember_ids(&memo.ids, &record.deployment);
                return Some(memo);
            }
            let hit = Hit::<K>::read(&record)?;
            let ids = hit.value.state_ids();
            core.remember_ids(&ids, &record.deployment);
            let found = Found { generation: memo.generation, key: memo.key, record: &record, ids };
            Some(core.memos.keep(cache, words, found, make(hit)))
        })?;
        Some((Recalled::new(memo)?, started.elapsed()))
    }
}

/// Begins a call, that `look` may find in memory, and that the file may answer if it needs not be waited for.
fn begun<K: Kind>(mut prepared: Prepared<K>, look: impl FnOnce(&Prepared<K>) -> Option<Answer<K>>) -> Begun<K> {
    let parts = K::split(&prepared.request).filter(|_| prepared.is_of_one_model());
    let hit = match &parts {
        None => look(&prepared).or_else(|| prepared.on_disk()),
        Some(parts) if parts.len() > PARTS_AT_ONCE => None,
        Some(parts) => parts::in_memory(&prepared, parts),
    };
    match (hit, parts) {
        (Some(answer), _) => Begun::Ready(Ok(answer)),
        (None, None) => Begun::Pending(prepared.launch()),
        (None, Some(parts)) if parts.len() > PARTS_AT_ONCE => {
            Begun::Pending(Box::pin(async move { parts::launch(prepared, parts).await }))
        }
        (None, Some(parts)) => Begun::Pending(parts::launch(prepared, parts)),
    }
}
