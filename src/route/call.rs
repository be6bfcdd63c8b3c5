//! The front half of a call: key, memory, flight, disk; what is left goes to the line.

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::answer::{Answer, CacheStatus};
use super::begin::Hit;
use super::core::{ActiveGuard, Core};
use super::fly::Shared;
use super::group::Group;
use super::log::Wish;
use super::write::LONG_REQUEST_BYTES;
use crate::cache::{Cache, Entry, Glance, Key, KeyBuilder, Moment, Question, Record, RemotePatience, Sighting};
use crate::deployment::Deployment;
use crate::error::{ErrorKind, Phase, Result};
use crate::kinds::{Body, Kind, Usage};
use crate::options::{CacheUse, InvokeOptions, Timeouts};

/// A call that was begun: answered from memory or refused at once, or still to be waited for.
pub enum Begun<K> {
    /// Done.
    Ready(Result<Answer<K>>),
    /// Under way; dropping it cancels.
    Pending(BoxFuture<'static, Result<Answer<K>>>),
}

/// A call that has been checked and has its key.
pub(crate) struct Prepared<K: Kind> {
    pub core: Arc<Core<K>>,
    pub group: Arc<Group>,
    pub request: Arc<K::Request>,
    pub options: InvokeOptions,
    pub timeouts: Timeouts,
    pub namespace: String,
    /// Made once: a call may have thousands of parts.
    keys: Arc<KeyBuilder>,
    pub key: Key,
    /// The group's deployments when the call began: what the key stands for.
    deployments: Arc<[Arc<Deployment>]>,
    pub started: Instant,
    active: Option<ActiveGuard>,
    /// That it was not in the file, for the flight not to look again.
    seen: Option<Sighting>,
}

impl<K: Kind> Prepared<K> {
    /// Checks that the call can be made at all and computes its key.
    pub fn new(core: &Arc<Core<K>>, group: &str, request: K::Request, mut options: InvokeOptions) -> Result<Self> {
        if K::changes_state(&request) {
            options.hedge = false;
            options.cache = if options.cache == CacheUse::OnlyIfCached { options.cache } else { CacheUse::NoStore };
        }
        let active = core.begin()?;
        let group =
            core.group(group).filter(|group| !group.deployments().is_empty()).ok_or_else(|| core.no_group(group))?;
        let namespace = options.namespace.clone().or_else(|| core.cache_namespace()).unwrap_or_default();
        let (deployments, keys) = group.keys.of(core.memos.generation(), || group.deployments());
        let keys = Arc::new(keys.within(&namespace, K::NAME));
        let key = keys.body(request.as_ref());
        let timeouts = options.timeouts.unwrap_or(core.timeouts);
        Ok(Self {
            core: Arc::clone(core),
            group,
            request: Arc::new(request),
            options,
            timeouts,
            namespace,
            keys,
            key,
            deployments,
            started: Instant::now(),
            active: Some(active),
            seen: None,
        })
    }

    /// The same call with another request: a part of this one, or several parts together.
    pub fn with_request(&self, request: K::Request) -> Self {
        let key = self.keys.body(request.as_ref());
        self.with_key(Arc::new(request), key)
    }

    /// Whether its parts may be answered apart: not by models whose answers do not go together.
    pub fn is_of_one_model(&self) -> bool {
        let mut models = self.deployments.iter().map(|deployment| deployment.answers_as());
        let first = models.next();
        models.all(|model| Some(model) == first)
    }

    /// The same call, for a task of its own.
    pub fn again(&self) -> Self {
        Self { seen: self.seen, ..self.with_key(Arc::clone(&self.request), self.key) }
    }

    fn with_key(&self, request: Arc<K::Request>, key: Key) -> Self {
        Self {
            core: Arc::clone(&self.core),
            group: Arc::clone(&self.group),
            options: self.options.clone(),
            timeouts: self.timeouts,
            namespace: self.namespace.clone(),
            keys: Arc::clone(&self.keys),
            key,
            deployments: Arc::clone(&self.deployments),
            request,
            started: self.started,
            active: None,
            seen: None,
        }
    }

    fn reads_cache(&self) -> bool {
        matches!(self.options.cache, CacheUse::Default | CacheUse::OnlyIfCached)
    }

    /// Whether memory has the answer, without counting a hit.
    pub fn is_in_memory(&self) -> bool {
        self.reads_cache() && self.core.open_cache().is_some_and(|cache| cache.is_in_memory(&self.key))
    }

    /// The answer, if memory has it.
    pub fn in_memory(&self) -> Option<Answer<K>> {
        self.in_memory_as_kept().map(|(answer, _)| answer)
    }

    /// The same, and the record that it was read from.
    pub fn in_memory_as_kept(&self) -> Option<(Answer<K>, Arc<Record>)> {
        self.core.with_cache(|cache| {
            let record = self.reads_cache().then(|| cache.memory_get(&self.key)).flatten()?;
            let answer = self.hit(&record, CacheStatus::Memory)?;
            Some((answer, record))
        })
    }

    /// The answer, if the file has it and that can be told at once. Not for a call that joins another, which has looked.
    pub fn on_disk(&mut self) -> Option<Answer<K>> {
        let cache = self.core.open_cache().filter(|_| self.reads_cache() && !self.is_under_way())?;
        match cache.disk_now(&self.key) {
            Glance::Hit(record) => return self.hit(&record, CacheStatus::Disk),
            Glance::Miss(sighting) => self.seen = Some(sighting),
            Glance::Unsure => {}
        }
        None
    }

    /// The answer, if the cache has it, opening it first if need be; without Redis, if that is looked into later or not at all.
    ///
    /// # Errors
    /// `ERR_NOT_CACHED` if only the cache may answer and does not have it, or Redis cannot be looked into.
    pub async fn in_cache_but(&self, shared: &Shared, is_later: impl Fn(&Cache) -> bool) -> Result<Option<Answer<K>>> {
        let is_cache_only = self.options.cache == CacheUse::OnlyIfCached || self.core.is_replay();
        if self.options.cache == CacheUse::NoStore && !is_cache_only {
            // It neither reads nor keeps, so it does not wait for the file.
            return Ok(None);
        }
        let cache = self.core.cache(self.options.cache == CacheUse::OnlyIfCached).await?;
        let mut unread = None;
        let found = match cache.as_ref().filter(|_| self.reads_cache() || is_cache_only) {
            None => None,
            Some(cache) => match cache.memory_get(&self.key) {
                Some(record) => self.hit(&record, CacheStatus::Memory),
                None => match cache.disk_get_since(&self.key, self.seen).await {
                    Some(record) => self.hit(&record, CacheStatus::Disk),
                    // Boxed, as calls without one are to take no more room for it.
                    None if cache.has_redis() && (is_cache_only || !is_later(cache)) => {
                        let patience = RemotePatience { end: shared.patience.deadline(), is_last: is_cache_only };
                        match Box::pin(cache.redis_look(&self.key, &self.namespace, patience)).await {
                            Ok(found) => found.and_then(|record| self.hit(&record, CacheStatus::Redis)),
                            Err(why) => {
                                unread = Some(why);
                                None
                            }
                        }
                    }
                    None => None,
                },
            },
        };
        match found {
            None if is_cache_only => Err(self.not_cached(cache, unread).await),
            found => Ok(found),
        }
    }

    pub fn hit(&self, record: &Record, cache: CacheStatus) -> Option<Answer<K>> {
        let Hit { value, deployment } = Hit::read(record)?;
        self.core.remember(&value, &deployment);
        let (latency, queued) = (self.started.elapsed(), Duration::ZERO);
        Some(Answer { value, deployment, cache, attempts: Vec::new(), latency, queued, position: 0 })
    }

    /// Whether the answer is to be kept.
    pub fn keeper(&self, cache: Option<Cache>) -> Option<Keeper> {
        let cache = cache.filter(|_| self.options.cache != CacheUse::NoStore)?;
        let (deployments, namespace) = (Arc::clone(&self.deployments), self.namespace.clone());
        let (request, kind) = (Arc::clone(&self.request) as Arc<dyn AsRef<Body> + Send + Sync>, K::NAME);
        let since = cache.moment();
        Some(Keeper { since, cache, deployments, kind, request, key: self.key, ttl: self.options.cache_ttl, namespace })
    }

    /// What the answer of this deployment makes of the call, before it has come.
    pub fn status_of(&self, deployment: &str) -> CacheStatus {
        let keeper = self.keeper(self.core.open_cache());
        keeper.as_ref().and_then(|keeper| keeper.place(deployment)).map_or(CacheStatus::Off, |_| CacheStatus::Miss)
    }

    /// What the key is the hash of, but for the namespace.
    pub fn question(&self) -> Question {
        question(K::NAME, &self.deployments, (*self.request).as_ref())
    }

    /// What counts the call as in flight; once.
    pub fn take_guard(&mut self) -> Option<ActiveGuard> {
        self.active.take()
    }

    /// Runs the call to its end: joined with an equal one, found, or served.
    ///
    /// What can be joined is joined before this returns, so that calls that are begun together are one from the start,
    /// whoever leaves first. Needs the context of a Tokio runtime.
    pub fn launch(self) -> BoxFuture<'static, Result<Answer<K>>> {
        let fly = |call: &Self, rejoins| call.fly(call.reading(), Wish::Whole, Box::new(()), rejoins);
        let seat = fly(&self, 0);
        Box::pin(async move {
            let work = self.land(seat, |rejoins| fly(&self, rejoins));
            let (mut answer, is_joined) = within_total(&self.timeouts, self.started, &OnceLock::new(), work).await?;
            if is_joined {
                self.note_joined();
            }
            answer.latency = self.started.elapsed();
            Ok(answer)
        })
    }
}

/// Where an answer is to be kept.
pub(crate) struct Keeper {
    cache: Cache,
    /// When the answer was asked for.
    since: Moment,
    /// The deployments that the key stands for.
    deployments: Arc<[Arc<Deployment>]>,
    kind: &'static str,
    request: Arc<dyn AsRef<Body> + Send + Sync>,
    key: Key,
    ttl: Option<Duration>,
    namespace: String,
}

impl Keeper {
    /// Keeps a complete answer of the group's own; says what that makes of the call. What a fallback group answered is
    /// not kept: the key promises the models of the group that was asked. `asked` is what was asked, if it is known.
    pub fn keep<K: Kind>(keeper: Option<&Self>, deployment: &str, value: &K, asked: Option<Bytes>) -> CacheStatus {
        let place = keeper.and_then(|keeper| Some((keeper, keeper.place(deployment)?)));
        let Some((keeper, is_own)) = place else { return CacheStatus::Off };
        if value.is_storable() && is_own {
            let payload = pack(value);
            let entry = Entry {
                deployment,
                payload,
                ttl: keeper.ttl,
                namespace: &keeper.namespace,
                since: Some(keeper.since),
                ..Entry::default()
            };
            match asked {
                Some(question) => keeper.cache.put(keeper.key, Entry { question, ..entry }),
                None => {
                    keeper.cache.put_asked(keeper.key, entry, (*keeper.request).as_ref().len() as u64, keeper.asks());
                }
            }
        }
        CacheStatus::Miss
    }

    /// Begins to put in short what is asked, if that takes a while: on a thread for blocking work, as long as the answer takes.
    pub fn ask_ahead(&self) -> Option<JoinHandle<Bytes>> {
        let is_long = (*self.request).as_ref().len() >= LONG_REQUEST_BYTES;
        is_long.then(|| tokio::task::spawn_blocking(self.asks()))
    }

    /// Says what was asked, in short.
    fn asks(&self) -> impl FnOnce() -> Bytes + Send + 'static + use<> {
        let (kind, deployments, request) = (self.kind, Arc::clone(&self.deployments), Arc::clone(&self.request));
        move || question(kind, &deployments, (*request).as_ref()).sketch()
    }

    /// Whether the deployment is the group's own; `None` if what it answers is never kept.
    fn place(&self, deployment: &str) -> Option<bool> {
        let own = self.deployments.iter().find(|one| one.name == deployment);
        let is_kept = !self.cache.is_closed() && own.is_none_or(|one| one.provider().is_cacheable());
        is_kept.then_some(own.is_some())
    }
}

/// What the cache keeps of an answer: a line of JSON with the usage, which may have been counted here, and what the kind
/// keeps.
fn pack<K: Kind>(value: &K) -> Bytes {
    let (usage, stored) = (serde_json::to_vec(&value.usage()).unwrap_or_default(), value.store());
    // No longer than it has to be: it may be kept for days.
    let mut packed = Vec::with_capacity(usage.len() + 1 + stored.len());
    packed.extend_from_slice(&usage);
    packed.push(b'\n');
    packed.extend_from_slice(&stored);
    packed.into()
}

/// Reads what [`pack`] wrote; `None` for anything else.
fn unpack<K: Kind>(packed: &Bytes) -> Option<K> {
    let end = memchr::memchr(b'\n', packed)?;
    let usage: Option<Usage> = serde_json::from_slice(&packed[..end]).ok()?;
    let mut value = K::load(&packed.slice(end + 1..))?;
    if let Some(usage) = usage {
        value.set_usage(usage);
    }
    Some(value)
}

impl<K: Kind> Hit<K> {
    /// Reads a record; `None` if there is no answer of the kind in it.
    pub fn read(record: &Record) -> Option<Self> {
        let mut value: K = unpack(&record.payload)?;
        free_of_charge(&mut value);
        Some(Self { value, deployment: record.deployment.clone() })
    }
}

/// The answer was paid for by another call.
pub(crate) fn free_of_charge<K: Kind>(value: &mut K) {
    if let Some(usage) = value.usage().copied() {
        value.set_usage(Usage { cost: usage.cost.map(|_| 0.0), ..usage });
    }
}

/// What a key is the hash of, but for the namespace.
fn question(kind: &str, deployments: &[Arc<Deployment>], body: &Body) -> Question {
    let models: Vec<_> = deployments.iter().map(|deployment| deployment.cached_as()).collect();
    Question::new(kind, models.iter().map(|model| &**model), body)
}

/// How much longer than its total time a call is given to say what it tried, from when that time was first seen to be over: a
/// thread that stood still meanwhile is late for both.
const TRAIL_GRACE: Duration = Duration::from_millis(20);

/// Does a part of a call, or all of it, and ends it when the total time of the call is over; `over` is when that was first seen.
pub(crate) async fn within_total<T>(
    timeouts: &Timeouts,
    started: Instant,
    over: &OnceLock<Instant>,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    let Some(limit) = timeouts.total else { return work.await };
    let mut work = pin!(work);
    // The clock inside the call goes first, because it keeps the trail.
    if let Ok(result) = tokio::time::timeout_at(started + limit, work.as_mut()).await {
        return result;
    }
    let over = *over.get_or_init(Instant::now);
    tokio::time::timeout_at(over + TRAIL_GRACE, work).await.unwrap_or_else(|_| {
        Err(ErrorKind::Timeout { phase: Phase::Total, limit, deployment: None, detail: None }.into())
    })
}
