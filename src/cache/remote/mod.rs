//! The third tier: answers in a Redis that machines share. It may be slow, full or gone, and costs no answer more than a bound.
//!
//! A look takes one round trip, once the generation of the namespace is known. What is kept is written behind the caller's back. A
//! Redis that was found to be away is not asked again by anyone who waits until it is back.

mod generations;
mod options;
mod status;
mod turns;
mod writer;

use std::collections::HashMap;
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout_at};

pub use options::RedisCacheOptions;
pub use status::RedisCacheStats;
pub use turns::{Lease, Turn};

use super::{Codec, Key, Namespace, Record};
use crate::redis::{Fault, Found, Values};
pub(super) use generations::Cleared;
use generations::Generations;
use status::Status;
use turns::Claim;
use writer::Writer;
pub(super) use writer::flush_within_bounds;

/// How much longer than the bound a look is given to say that it took longer, so that the connection is known to be of no use.
const GRACE: Duration = Duration::from_millis(2);

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
    values: Values,
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
    /// Whether it has been reached, or found not to be there.
    is_open: AtomicBool,
    /// Whether it was used since anybody last looked.
    is_used: AtomicBool,
    /// How often something was found to be cleared: what was to be kept before is not kept after.
    cleared: AtomicU64,
}

impl Remote {
    /// Opens nothing.
    pub fn new(options: &RedisCacheOptions, codec: Codec) -> Arc<Self> {
        let remote = Arc::new(Self {
            values: Values::new(&options.redis),
            codec,
            limit: options.redis.timeout,
            lease: options.lease,
            generations: Generations::new(&options.redis.prefix),
            status: Status::new(options.redis.address.to_string()),
            writer: Writer::default(),
            claims: Mutex::default(),
            runtime: Handle::try_current().ok(),
            first: OnceLock::new(),
            is_open: AtomicBool::new(false),
            is_used: AtomicBool::new(false),
            cleared: AtomicU64::new(0),
        });
        writer::note(&remote);
        remote
    }

    /// How it has been doing.
    pub fn stats(&self) -> RedisCacheStats {
        self.status.stats()
    }

    /// The answer to this question, if it is there, intact and not expired. Takes no longer than the bound.
    pub async fn get(self: &Arc<Self>, key: &Key, namespace: Namespace, now_ms: u64) -> Option<Arc<Record>> {
        let look = async {
            let place = self.place(key, namespace).await?;
            self.values.get(&place.answer).await
        };
        match self.within(look).await? {
            Found::Nothing => None,
            Found::Value(value) => self.read(key, value, now_ms).await,
            Found::Foreign => {
                self.status.unreadable("a value is not thryd's");
                None
            }
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

    /// Where the answer to a question is kept, and its lease: of one slot.
    async fn place(&self, key: &Key, namespace: Namespace) -> Result<Place, Fault> {
        let (generation, is_news) = self.generations.of(&self.values, namespace).await?;
        let place = blake3::Hash::from_bytes(self.codec.place(key).0).to_hex();
        let answer = format!("{generation}:{{{place}}}");
        Ok(Place { lease: format!("{answer}:lease"), answer, is_news })
    }

    /// Begins a new generation of a namespace, or of all.
    ///
    /// # Errors
    /// If Redis does not do it.
    pub async fn clear(&self, namespace: Option<Namespace>) -> Result<(), Fault> {
        self.cleared.fetch_add(1, Ordering::SeqCst);
        let outcome = self.generations.clear(&self.values, namespace).await;
        // Also what came meanwhile.
        self.cleared.fetch_add(1, Ordering::SeqCst);
        outcome
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

    /// Connects, and asks again and again whether somebody else has cleared anything, and tells, until that is of no interest to
    /// whoever is told.
    pub fn watch(self: &Arc<Self>, tell: impl Fn(Vec<Cleared>) -> bool + Send + Sync + 'static) {
        let Some(runtime) = self.runtime() else { return };
        let remote = Arc::downgrade(self);
        runtime.spawn(async move {
            let mut used = Instant::now();
            while tell(Vec::new()) {
                let Some(remote) = remote.upgrade() else { return };
                let tell = |cleared| {
                    tell(cleared);
                    remote.cleared.fetch_add(1, Ordering::SeqCst);
                };
                let looked = remote.generations.look(&remote.values, tell).await;
                match &looked {
                    Ok(()) => remote.status.found(),
                    Err(fault) => remote.status.lost(&fault.message),
                }
                remote.is_open.store(true, Ordering::Release);
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

    /// Does something that somebody waits for, within the bound. `None` if Redis is away, or did not do it in time.
    async fn within<T>(&self, work: impl Future<Output = Result<T, Fault>>) -> Option<T> {
        match timeout_at(self.end(), work).await {
            Ok(Ok(done)) => {
                self.status.found();
                return Some(done);
            }
            outcome => self.without(outcome.ok().and_then(Result::err)),
        }
        None
    }

    /// Until when an answer waits that begins to now.
    fn end(&self) -> Instant {
        let now = Instant::now();
        let end = now + self.limit + GRACE;
        if self.is_open.load(Ordering::Acquire) {
            return end;
        }
        // Nobody waits for the first connection longer than the first who came.
        end.min(self.first.get().copied().unwrap_or(now) + self.limit + GRACE)
    }

    /// A lookup did without, for this reason, or because there was no answer in time.
    fn without(&self, fault: Option<Fault>) {
        let late = || format!("no answer within {} ms", self.limit.as_millis());
        self.status.lost(&fault.map_or_else(late, |fault| fault.message));
        self.status.skipped();
    }
}

/// The keys of one question.
#[derive(Clone, Debug)]
struct Place {
    answer: String,
    lease: String,
    /// Whether the generation was begun since it was last told what was cleared.
    is_news: bool,
}

#[cfg(all(test, unix))]
mod tests;
