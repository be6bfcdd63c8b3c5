//! What a call gives back: the kind's own answer, and how it came about.

use std::ops::Deref;
use std::time::Duration;

use serde::Serialize;

use crate::error::Attempt;
use crate::kinds::{Kind, Usage};

/// An answer and how it was served. Dereferences to the kind's own answer.
#[derive(Clone, Debug)]
pub struct Answer<K> {
    /// The kind's own answer.
    pub value: K,
    /// `provider::model` that answered.
    pub deployment: String,
    /// Where it came from.
    pub cache: CacheStatus,
    /// What was tried; empty on a cache hit.
    pub attempts: Vec<Attempt>,
    /// From call to answer, waiting included.
    pub latency: Duration,
    /// Of that, spent waiting for a limit.
    pub queued: Duration,
    /// Its place in the line when it came: 1 was next, 0 did not have to stand in it.
    pub position: u64,
}

/// Where an answer came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CacheStatus {
    /// The memory of this process.
    Memory,
    /// The cache's file.
    Disk,
    /// The Redis that machines share.
    Redis,
    /// An equal call that was under way, here or in another process.
    Joined,
    /// A deployment; the cache did not have it, and keeps it if it is complete and the group's own.
    Miss,
    /// A deployment; there is no cache, the call does not use it, or it does not keep what such a provider answers.
    Off,
}

impl<K: Kind> Answer<K> {
    /// The model that the provider says answered.
    #[must_use]
    pub fn model(&self) -> &str {
        self.value.model()
    }

    /// What it took; counted here, and marked as such, where the provider did not say.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.value.usage().copied().unwrap_or_default()
    }
}

impl<K> Answer<K> {
    /// The same history with another value.
    pub(crate) fn with<V>(&self, value: V) -> Answer<V> {
        Answer {
            value,
            deployment: self.deployment.clone(),
            cache: self.cache,
            attempts: self.attempts.clone(),
            latency: self.latency,
            queued: self.queued,
            position: self.position,
        }
    }
}

impl<K> Deref for Answer<K> {
    type Target = K;

    fn deref(&self) -> &K {
        &self.value
    }
}
