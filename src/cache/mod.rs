//! Answers by key: in memory, then on disk, then in Redis. Stores bytes and does not know what a completion is.
//!
//! A lookup is [`Cache::memory_get`] and [`Cache::disk_now`], which wait for nothing, and then [`Cache::disk_get`] and
//! [`Cache::redis_get`]; what
//! was found below is promoted upward. [`Cache::put`] stores into memory at once and on disk behind the caller's back. Nothing here
//! fails an answer once a cache is open. [`Flights`] joins equal calls while they are under way.

mod canonical;
mod clears;
mod codec;
mod disk;
mod encryption_key;
mod flight;
mod key;
mod look;
mod memory;
mod nearest;
mod number;
mod options;
mod pace;
mod question;
mod record;
mod remote;
mod seal;
mod shared;
mod stats;
mod store;
mod transfer;
mod upkeep;
mod uses;
mod writes;

use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;

pub use canonical::{MAX_DEPTH, canonical_json};
pub use codec::Codec;
pub use encryption_key::EncryptionKey;
pub use flight::{Flight, FlightPanic, Flights};
pub use key::{Key, KeyBuilder, Placement, placement};
pub use look::{Glance, Sighting};
pub use nearest::{Nearest, Same, SearchBounds};
pub use options::{CacheMode, CacheOptions};
pub use question::{Difference, MAX_SKETCH_BYTES, Question, Side};
pub use record::{MAX_PAYLOAD_BYTES, Namespace, Record};
pub(crate) use remote::RemotePatience;
pub use remote::{Lease, RedisCacheOptions, RedisCacheStats, Turn};
pub use stats::CacheStats;
pub use transfer::{ImportReport, Progress};
pub use upkeep::flush_all;

use crate::error::{Error, ErrorKind, Result};
use disk::Disk;
use memory::Memory;
use remote::Remote;
use writes::{Sketch, Waiting};

/// How long a call waits for the file, to be opened or to be read, before it does without: about as long as a provider
/// takes to answer. Reads take microseconds, but while a process makes the file shorter all others wait for it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(1);

/// A cache; clones share it. Caches that name one file share the file, and the memory before it if they give it the
/// same size, whichever router or thread opened them.
#[derive(Clone)]
pub struct Cache(Arc<Inner>);

struct Inner {
    options: CacheOptions,
    clock: Clock,
    codec: Codec,
    memory: Arc<Memory>,
    /// Gone when there is no file, or after close.
    disk: RwLock<Option<Arc<Disk>>>,
    remote: Option<Arc<Remote>>,
    is_closed: AtomicBool,
    /// Why there is no file although there should be one.
    failure: Option<String>,
    memory_hits: AtomicU64,
    disk_hits: AtomicU64,
    redis_hits: AtomicU64,
    misses: AtomicU64,
    joined: AtomicU64,
    /// Held by the one search for a nearest question that is under way.
    searching: tokio::sync::Mutex<()>,
}

/// An answer that is to be kept.
#[derive(Clone, Debug, Default)]
pub struct Entry<'a> {
    /// `provider::model` that answered.
    pub deployment: &'a str,
    /// The answer.
    pub payload: Bytes,
    /// What was asked, short enough to be shown beside the answer.
    pub question: Bytes,
    /// How long it is served; absent: as long as the cache says.
    pub ttl: Option<Duration>,
    /// Whom it belongs to, for [`Cache::clear`]; the empty name is the default namespace.
    pub namespace: &'a str,
    /// When it was asked for: it is not kept if its namespace was cleared, or a newer answer kept, since then.
    pub since: Option<Moment>,
}

/// A moment in the life of a cache; [`Cache::moment`] gives it.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    cleared: u64,
    at_ms: u64,
}

/// What tells the time, in milliseconds since 1970.
type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

impl Cache {
    /// Opens a cache, and its file if it has one. Blocks for the disk: call it where that is allowed.
    ///
    /// # Errors
    /// [`ErrorKind::Cache`] if the file cannot be used, which is then not touched; [`ErrorKind::Invalid`] if there is an
    /// encryption key and neither a file nor a Redis, or if calls are to be joined over a Redis that is not named.
    pub fn open(options: CacheOptions) -> Result<Self> {
        Self::open_with_clock(options, now_ms)
    }

    /// The same with another clock, for tests: milliseconds since 1970.
    ///
    /// # Errors
    /// Those of [`Cache::open`].
    pub fn open_with_clock(options: CacheOptions, clock: impl Fn() -> u64 + Send + Sync + 'static) -> Result<Self> {
        options.check()?;
        let codec = Codec::new(options.encryption_key.as_ref());
        let open = |path| Disk::open(path, options.max_bytes, codec.clone());
        let disk = options.path.as_deref().map(open).transpose()?;
        Ok(Self::assemble(options, codec, disk, None, clock))
    }

    /// A cache without its file, in place of one whose file cannot be used: unless it has a Redis, it loses what it keeps with
    /// the process, and its statistics say so.
    #[must_use]
    pub fn degraded(options: CacheOptions, failure: &Error) -> Self {
        let codec = Codec::new(options.encryption_key.as_ref());
        Self::assemble(options, codec, None, Some(failure.to_string()), now_ms)
    }

    fn assemble(
        options: CacheOptions,
        codec: Codec,
        disk: Option<Arc<Disk>>,
        failure: Option<String>,
        clock: impl Fn() -> u64 + Send + Sync + 'static,
    ) -> Self {
        let memory = match &disk {
            Some(disk) => disk.memory(options.memory_bytes),
            None => Arc::new(Memory::new(options.memory_bytes)),
        };
        let remote = options.redis.as_ref().map(|redis| Remote::new(redis, codec.clone()));
        Self(Arc::new(Inner {
            options,
            clock: Arc::new(clock),
            codec,
            memory,
            disk: RwLock::new(disk),
            remote,
            is_closed: AtomicBool::new(false),
            failure,
            memory_hits: AtomicU64::new(0),
            disk_hits: AtomicU64::new(0),
            redis_hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
            joined: AtomicU64::new(0),
            searching: tokio::sync::Mutex::default(),
        }))
    }

    /// What it was opened with.
    #[must_use]
    pub fn options(&self) -> &CacheOptions {
        &self.0.options
    }

    /// Whether it has a file.
    #[must_use]
    pub fn has_disk(&self) -> bool {
        self.0.options.path.is_some()
    }

    /// Whether it has a Redis.
    #[must_use]
    pub fn has_redis(&self) -> bool {
        self.0.remote.is_some()
    }

    /// Whether it was closed: it then finds nothing and keeps nothing.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.0.is_closed.load(Ordering::Acquire)
    }

    /// How often something was cleared here, in the memory of this process.
    #[must_use]
    pub(crate) fn cleared(&self) -> u64 {
        self.0.memory.cleared().count()
    }

    /// Whether memory has an answer, without counting a hit.
    #[must_use]
    pub fn is_in_memory(&self, key: &Key) -> bool {
        !self.is_closed() && self.0.memory.get(key, (self.0.clock)()).is_some()
    }

    /// The answer from memory. Waits for nothing. Counts a hit; a miss is counted by the [`Cache::disk_get`] after it.
    #[must_use]
    pub fn memory_get(&self, key: &Key) -> Option<Arc<Record>> {
        if self.is_closed() {
            return None;
        }
        let found = self.0.memory.get(key, (self.0.clock)())?;
        self.0.memory_hits.fetch_add(1, Ordering::Relaxed);
        self.note_use();
        Some(found)
    }

    /// The answer from disk, which then is in memory too. Counts a hit or a miss, without a file always a miss; with a Redis a
    /// miss is counted by the [`Cache::redis_get`] after it. Needs a Tokio runtime with its clock on.
    pub fn disk_get(&self, key: &Key) -> impl Future<Output = Option<Arc<Record>>> + Send + 'static + use<> {
        self.disk_get_since(key, None)
    }

    /// The same, without reading again what was just seen not to be there, if it can be told at once that it still is not.
    pub fn disk_get_since(
        &self,
        key: &Key,
        seen: Option<Sighting>,
    ) -> impl Future<Output = Option<Arc<Record>>> + Send + 'static + use<> {
        let (cache, key) = (self.clone(), *key);
        async move {
            let inner = &cache.0;
            let found = match cache.disk() {
                Some(disk) => {
                    let (since, now_ms) = (inner.memory.epoch(), (inner.clock)());
                    let read = match seen.map_or(Glance::Unsure, |seen| disk.look_again(&key, now_ms, seen)) {
                        Glance::Hit(record) => Some(record),
                        Glance::Miss(_) => None,
                        Glance::Unsure => tokio::time::timeout(PATIENCE, disk.read(key, now_ms)).await.ok().flatten(),
                    };
                    read.inspect(|record| inner.memory.promote(key, record, since))
                }
                None => None,
            };
            cache.note_use();
            match &found {
                Some(_) => _ = inner.disk_hits.fetch_add(1, Ordering::Relaxed),
                None if inner.remote.is_some() => {}
                None => _ = inner.misses.fetch_add(1, Ordering::Relaxed),
            }
            found
        }
    }

    /// Now, for an answer that is asked for.
    #[must_use]
    pub fn moment(&self) -> Moment {
        // What others clear from now on is heard of.
        self.note_use();
        Moment { cleared: self.cleared(), at_ms: (self.0.clock)() }
    }

    /// Whether an answer that was asked for then is older than what was done with the cache since.
    fn is_overtaken(&self, key: &Key, namespace: Namespace, since: Moment, now_ms: u64) -> bool {
        let is_newer = |held: Arc<Record>| held.created_ms > since.at_ms;
        self.0.memory.cleared().is_cleared_since(namespace, since.cleared)
            || self.0.memory.get(key, now_ms).is_some_and(is_newer)
    }

    /// Stores an answer: in memory at once, on disk soon. Never waits and never fails; what is lost is counted.
    pub fn put(&self, key: Key, entry: Entry<'_>) {
        self.store(key, entry, None);
    }

    /// The same, with a question that is made when it is written, of so many bytes, about, that are kept until then: at once
    /// if there is no file.
    pub fn put_asked(&self, key: Key, entry: Entry<'_>, bytes: u64, question: impl FnOnce() -> Bytes + Send + 'static) {
        if self.disk().is_some() || self.0.remote.is_some() {
            self.store(key, entry, Some(Sketch { make: Box::new(question), bytes }));
        } else {
            self.store(key, Entry { question: question(), ..entry }, None);
        }
    }

    fn store(&self, key: Key, entry: Entry<'_>, sketch: Option<Sketch>) {
        let ttl = entry.ttl.unwrap_or(self.0.options.ttl);
        let ttl_ms = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
        if ttl_ms == 0 || self.is_closed() {
            return;
        }
        let (created_ms, namespace) = ((self.0.clock)(), self.0.codec.namespace(entry.namespace));
        if entry.since.is_some_and(|since| self.is_overtaken(&key, namespace, since, created_ms)) {
            return;
        }
        let record = Arc::new(Record {
            deployment: entry.deployment.to_owned(),
            created_ms,
            expires_ms: created_ms.saturating_add(ttl_ms),
            namespace,
            question: entry.question,
            payload: entry.payload,
        });
        self.take_in(key, &record, sketch, entry.since.map_or(created_ms, |since| since.at_ms));
    }

    /// Keeps a record as it is, that was asked for then.
    fn take_in(&self, key: Key, record: &Arc<Record>, mut sketch: Option<Sketch>, asked_ms: u64) {
        self.0.memory.insert(key, Arc::clone(record));
        if let Some(remote) = self.remote() {
            let both = sketch.take().map(Sketch::twice);
            let (own, other) = both.map_or((None, None), |[own, other]| (Some(own), Some(other)));
            sketch = other;
            remote.put(key, Waiting::new(Arc::clone(record), own), asked_ms);
        }
        if let Some(disk) = self.disk() {
            disk.put(key, record, sketch, &self.0.memory);
        }
    }

    /// Counts a call that joined another.
    pub fn note_joined(&self) {
        self.0.joined.fetch_add(1, Ordering::Relaxed);
    }

    /// Refuses what a closed cache cannot do.
    ///
    /// # Errors
    /// `ERR_CLOSED` after [`Cache::close`].
    pub fn check_open(&self) -> Result<()> {
        if self.is_closed() { Err(ErrorKind::Closed("cache").into()) } else { Ok(()) }
    }

    fn disk(&self) -> Option<Arc<Disk>> {
        self.0.disk.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").field("options", &self.0.options).finish_non_exhaustive()
    }
}

/// The time, in milliseconds since 1970: the only place that asks the system for it. A clock before 1970 says 0.
#[must_use]
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

async fn blocking<T: Send + 'static>(act: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    match tokio::task::spawn_blocking(act).await {
        Ok(outcome) => outcome,
        Err(error) => Err(ErrorKind::Bug(FlightPanic::from(error).message).into()),
    }
}
