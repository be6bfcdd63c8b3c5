//! What a router and its calls share: providers, groups, the cache, calls in flight, the retry budget.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use tokio::sync::Notify;

use super::answer::Answer;
use super::fly::Calls;
use super::group::Group;
use super::hosts::Hosts;
use super::memo::Memos;
use super::mount::Mount;
use super::parts::Batch;
use super::retired::Retired;
use super::retry::{RetryBudget, RetryOptions};
use super::states::States;
use super::warm_up::WarmUps;
use crate::cache::{Cache, CacheOptions};
use crate::error::{Error, ErrorKind, Result};
use crate::kinds::Kind;
use crate::options::Timeouts;
use crate::provider::Provider;
use crate::redis::limits::{SharedLimits, SharedLimitsOptions};

pub(crate) struct Core<K: Kind> {
    pub providers: RwLock<HashMap<String, Arc<dyn Provider>>>,
    pub hosts: Hosts,
    pub groups: RwLock<BTreeMap<String, Arc<Group>>>,
    pub flights: Calls<Answer<K>>,
    /// Of requests that answer several parts at once.
    pub batches: Calls<Arc<Batch<K>>>,
    pub retired: Retired,
    /// Requests that memory has answered.
    pub memos: Memos,
    /// Whose what later requests go on from is.
    pub states: States,
    pub warm_ups: WarmUps,
    pub retry: RetryOptions,
    pub timeouts: Timeouts,
    /// By whom limits are counted, if not by this process alone.
    pub limits: Option<Arc<SharedLimits>>,
    cache: RwLock<Option<Arc<Mount>>>,
    budget: Mutex<RetryBudget>,
    active: Arc<Active>,
}

/// Calls in flight, and whether new ones are taken.
#[derive(Debug, Default)]
struct Active {
    calls: AtomicUsize,
    is_closed: AtomicBool,
    idle: Notify,
}

/// Counts one call as in flight for as long as it lives.
#[derive(Debug)]
pub(crate) struct ActiveGuard(Arc<Active>);

impl Drop for ActiveGuard {
    fn drop(&mut self) {
        if self.0.calls.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.idle.notify_waiters();
        }
    }
}

impl<K: Kind> Core<K> {
    pub fn new(
        retry: RetryOptions,
        timeouts: Timeouts,
        cache: Option<CacheOptions>,
        limits: Option<SharedLimitsOptions>,
    ) -> Self {
        Self {
            providers: RwLock::default(),
            hosts: Hosts::default(),
            groups: RwLock::default(),
            flights: Calls::default(),
            batches: Calls::default(),
            retired: Retired::default(),
            memos: Memos::default(),
            states: States::default(),
            warm_ups: WarmUps::default(),
            budget: Mutex::new(RetryBudget::new(&retry)),
            retry,
            timeouts,
            limits: limits.map(|limits| Arc::new(SharedLimits::new(limits))),
            cache: RwLock::new(cache.map(Mount::closed)),
            active: Arc::default(),
        }
    }

    // Std locks throughout: nothing is awaited while one is held.
    pub fn budget(&self) -> MutexGuard<'_, RetryBudget> {
        self.budget.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn has_provider(&self, name: &str) -> bool {
        self.providers.read().unwrap_or_else(PoisonError::into_inner).contains_key(name)
    }

    pub fn group(&self, name: &str) -> Option<Arc<Group>> {
        self.groups.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// The error for a group that is not there, or has nobody in it.
    pub fn no_group(&self, name: &str) -> Error {
        let groups = self.groups.read().unwrap_or_else(PoisonError::into_inner);
        let known = groups.values().filter(|group| !group.deployments().is_empty()).map(|group| group.name.clone());
        ErrorKind::NoGroup { group: name.to_owned(), known: known.collect() }.into()
    }

    /// Counts a call as in flight.
    ///
    /// # Errors
    /// `ERR_CLOSED` after [`Core::refuse`].
    pub fn begin(&self) -> Result<ActiveGuard> {
        self.active.calls.fetch_add(1, Ordering::AcqRel);
        let guard = ActiveGuard(Arc::clone(&self.active));
        if self.active.is_closed.load(Ordering::Acquire) {
            return Err(ErrorKind::Closed("router").into());
        }
        Ok(guard)
    }

    pub fn in_flight(&self) -> usize {
        self.active.calls.load(Ordering::Acquire)
    }

    /// Refuses new calls from now on.
    pub fn refuse(&self) {
        self.active.is_closed.store(true, Ordering::Release);
        self.warm_ups.close();
    }

    /// Whether new calls are refused.
    pub fn is_refusing(&self) -> bool {
        self.active.is_closed.load(Ordering::Acquire)
    }

    /// Waits for the calls in flight.
    pub async fn idle(&self) {
        loop {
            let idle = self.active.idle.notified();
            if self.in_flight() == 0 {
                return;
            }
            idle.await;
        }
    }

    /// Remembers whose answer it is, if later requests may go on from it.
    pub fn remember(&self, value: &K, deployment: &str) {
        self.remember_ids(&value.state_ids(), deployment);
    }

    /// The same, of an answer with these ids.
    pub fn remember_ids(&self, ids: &[String], deployment: &str) {
        if !ids.is_empty() {
            self.states.remember(ids, deployment);
        }
    }

    pub fn mount(&self, cache: Cache) {
        *self.cache.write().unwrap_or_else(PoisonError::into_inner) = Some(Mount::open(cache));
        self.memos.change();
    }

    fn mounted(&self) -> Option<Arc<Mount>> {
        self.cache.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whose answers those of the mounted cache are, unless a call says otherwise; whether it is open yet or not.
    pub fn cache_namespace(&self) -> Option<String> {
        self.mounted()?.options.namespace.clone()
    }

    /// Whether the mounted cache answers alone.
    pub fn is_replay(&self) -> bool {
        self.mounted().is_some_and(|mount| mount.is_replay())
    }

    /// The cache, if it is open.
    pub fn open_cache(&self) -> Option<Cache> {
        self.mounted()?.in_use()
    }

    /// What `look` finds in the cache, if it is open.
    pub fn with_cache<T>(&self, look: impl FnOnce(&Cache) -> Option<T>) -> Option<T> {
        self.cache.read().unwrap_or_else(PoisonError::into_inner).as_ref()?.with_cache(look)
    }

    /// The cache, opened now if it is not.
    ///
    /// A cache that cannot be opened costs caching, not answers: the router goes on with memory alone, the failure stands
    /// in the statistics, and opening it is tried again after a while. One whose opening takes long is not waited for,
    /// unless by a call that `is_patient`. Replay, which has nothing else to answer from, waits, and fails.
    ///
    /// # Errors
    /// `ERR_CACHE` in replay mode.
    pub async fn cache(&self, is_patient: bool) -> Result<Option<Cache>> {
        match self.mounted() {
            Some(mount) => mount.cache(is_patient).await,
            None => Ok(None),
        }
    }
}
