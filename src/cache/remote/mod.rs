//! The third tier: answers in a Redis that machines share. It may be slow, full or gone, and costs no answer more than a bound.
//!
//! A look takes one round trip, once the generation of the namespace is known. What is kept is written behind the caller's back. A
//! Redis that was found to be away is not asked again by anyone who waits until it is back.

mod asking;
mod bound;
mod generations;
mod options;
mod place;
mod status;
mod turns;
mod writer;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::time::Instant;

pub(crate) use bound::RemotePatience;
pub use options::RedisCacheOptions;
pub use status::RedisCacheStats;
pub use turns::{Lease, Turn};

use super::clears::Clears;
use super::{Codec, Key, Namespace, Record};
use crate::redis::{Fault, Found, Values};
use asking::Asking;
use bound::Steps;
pub(super) use generations::Cleared;
use generations::Generations;
use status::Status;
use turns::Claim;
use writer::Writer;
pub(super) use writer::flush_within_bounds;

/// How often it is asked whether somebody else has cleared anything: of a cache that was used in the last while, and of another.
const LOOK_EVERY: Duration = Duration::from_secs(1);
const LOOK_SELDOM: Duration = Duration::from_secs(5);
const IN_USE: Duration = Duration::from_secs(60);

/// How soon that is asked again of a Redis that is away: it may come back without anything.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// Longer values are decoded off the I/O thread.
const DECODED_AT_ONCE: usize = 64 << 10;

/// See the module.
pub(super) struct Remote {
    /// Gone after close.
    values: RwLock<Option<Arc<Values>>>,
    codec: Codec,
    limit: Duration,
    lease: Duration,
    generations: Generations,
    status: Status,
    writer: Writer,
    /// The leases that calls of this process have, by question.
    claims: Mutex<HashMap<Key, Claim>>,
    /// Where what it does behind the callers' backs runs, when they are in none.
    runtime: Option<Handle>,
    /// When it was first needed.
    first: OnceLock<Instant>,
    /// The first look of all, and the first into each namespace, while they are under way.
    beginning: Asking<(), ()>,
    asking: Asking<Namespace, (u64, bool)>,
    /// Whether it was used since anybody last looked.
    is_used: AtomicBool,
    /// What was found to be cleared: what was to be kept before is not kept after.
    clears: Clears,
    /// Who is told what others have cleared, and says whether that is of any interest.
    listener: OnceLock<Listener>,
}

type Listener = Box<dyn Fn(Vec<Cleared>) -> bool + Send + Sync>;

impl Remote {
    /// Opens nothing.
    pub fn new(options: &RedisCacheOptions, codec: Codec) -> Arc<Self> {
        let remote = Arc::new(Self {
            values: RwLock::new(Some(Arc::new(Values::new(&options.redis)))),
            codec,
            limit: options.redis.timeout,
            lease: options.lease,
            generations: Generations::new(&options.redis.prefix),
            status: Status::new(options.redis.address.to_string()),
            writer: Writer::default(),
            claims: Mutex::default(),
            runtime: Handle::try_current().ok(),
            first: OnceLock::new(),
            beginning: Asking::default(),
            asking: Asking::default(),
            is_used: AtomicBool::new(false),
            clears: Clears::default(),
            listener: OnceLock::new(),
        });
        writer::note(&remote);
        remote
    }

    /// How it has been doing.
    pub fn stats(&self) -> RedisCacheStats {
        self.status.stats()
    }

    /// A lookup did without.
    pub fn skip(&self) {
        self.status.skipped();
    }

    /// Something else went wrong.
    pub fn note(&self, why: &str) {
        self.status.note(why);
    }

    /// The answer to this question, if it is there, intact and not expired. Takes no longer than this patience.
    ///
    /// # Errors
    /// In words, if Redis was not looked into.
    pub async fn get(
        self: &Arc<Self>,
        key: &Key,
        namespace: Namespace,
        now_ms: u64,
        patience: RemotePatience,
    ) -> Result<Option<Arc<Record>>, String> {
        let steps = Steps::default();
        let look = async {
            match self.place_and_look(key, namespace, &steps).await? {
                (_, Some(found)) => Ok(found),
                (place, None) => self.values()?.get(&place.answer).await,
            }
        };
        match self.in_time(key, self.bound(patience), &steps, look).await {
            Ok(Found::Nothing) => Ok(None),
            Ok(Found::Value(value)) => Ok(self.read(key, value, now_ms).await),
            Ok(Found::Foreign) => {
                self.status.unreadable("a value is not thryd's");
                Ok(None)
            }
            Err(missed) => Err(self.without(missed)),
        }
    }

    /// Reads what is kept under this key.
    async fn read(&self, key: &Key, value: Bytes, now_ms: u64) -> Option<Arc<Record>> {
        let (codec, place) = (self.codec.clone(), self.codec.place(key));
        let is_long = value.len() > DECODED_AT_ONCE;
        let decode = move || codec.decode(&place, &value);
        let decoded = if is_long { tokio::task::spawn_blocking(decode).await.ok().flatten() } else { decode() };
        match decoded {
            Some((found, record)) if found == *key => (!record.is_expired(now_ms)).then(|| Arc::new(record)),
            _ => {
                self.status.unreadable("a value is damaged, of a newer version, or sealed with another key");
                None
            }
        }
    }

    /// Begins a new generation of a namespace, or of all.
    ///
    /// # Errors
    /// If Redis does not do it.
    pub async fn clear(self: &Arc<Self>, namespace: Option<Namespace>) -> Result<(), Fault> {
        self.clears.add(namespace);
        let clear = async {
            self.begin().await?;
            let values = self.values()?;
            self.generations.clear(&values, namespace).await
        };
        let outcome = clear.await;
        // Also what came meanwhile.
        self.clears.add(namespace);
        outcome
    }

    /// Lets go of the connection. From then on nothing is found and nothing kept.
    pub fn close(&self) {
        self.status.close();
        // Whoever waits need not wait for their end.
        self.end_claims();
        drop(self.values.write().unwrap_or_else(PoisonError::into_inner).take());
    }

    fn values(&self) -> Result<Arc<Values>, Fault> {
        let values = self.values.read().unwrap_or_else(PoisonError::into_inner).clone();
        values.ok_or_else(|| Fault::away("the cache was closed"))
    }

    /// Notes that the cache is used, and whether that is the first time, in which case it has to be watched from then on.
    pub fn is_first_use(&self) -> bool {
        if !self.is_used.load(Ordering::Relaxed) {
            self.is_used.store(true, Ordering::Relaxed);
        }
        if self.first.get().is_some() || self.runtime().is_none() {
            return false;
        }
        let mut is_first = false;
        self.first.get_or_init(|| {
            is_first = true;
            Instant::now()
        });
        is_first
    }

    fn runtime(&self) -> Option<Handle> {
        Handle::try_current().ok().or_else(|| self.runtime.clone())
    }

    /// Asks whether somebody else has cleared anything, and tells.
    async fn look(&self) -> Result<(), Fault> {
        let tell = |cleared: Vec<Cleared>| {
            if let Some(listener) = self.listener.get() {
                listener(cleared.clone());
            }
            for what in cleared {
                self.clears.add(what.namespace());
            }
        };
        let (values, used) = (self.values()?, self.first.get().map_or(Duration::ZERO, Instant::elapsed));
        self.generations.look(&values, used, tell).await
    }

    /// Connects, and asks again and again whether somebody else has cleared anything, and tells, until that is of no interest to
    /// whoever is told.
    pub fn watch(self: &Arc<Self>, tell: impl Fn(Vec<Cleared>) -> bool + Send + Sync + 'static) {
        let Some(runtime) = self.runtime() else { return };
        _ = self.listener.set(Box::new(tell));
        let remote = Arc::downgrade(self);
        runtime.spawn(async move {
            let mut used = Instant::now();
            while let Some(remote) = remote.upgrade() {
                if !remote.listener.get().is_some_and(|tell| tell(Vec::new())) {
                    return;
                }
                let looked = if remote.generations.is_begun() { remote.look().await } else { remote.begin().await };
                match &looked {
                    Ok(()) => remote.status.found(),
                    Err(fault) => remote.status.lost(&fault.message),
                }
                if let Ok(values) = remote.values() {
                    values.rest();
                }
                if remote.is_used.swap(false, Ordering::Relaxed) {
                    used = Instant::now();
                }
                let pause = match &looked {
                    _ if used.elapsed() > IN_USE => LOOK_SELDOM,
                    Ok(()) => LOOK_EVERY,
                    Err(_) => LOOK_AGAIN,
                };
                drop(remote);
                // Not all processes at once.
                tokio::time::sleep(pause.mul_f64(fastrand::f64() * 0.5 + 0.75)).await;
            }
        });
    }
}

#[cfg(all(test, unix))]
mod tests;
