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

/// How often it is asked whether somebody else has cleared anything.
const LOOK_EVERY: Duration = Duration::from_secs(1);

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
    /// When it was first needed.
    first: OnceLock<Instant>,
    /// Whether it has been reached, or found not to be there.
    is_open: AtomicBool,
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
            first: OnceLock::new(),
            is_open: AtomicBool::new(false),
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
                self.status.unreadable("a value is of another type than thryd's are");
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
        let generation = self.generations.of(&self.values, namespace).await?;
        let place = blake3::Hash::from_bytes(self.codec.place(key).0).to_hex();
        Ok(Place { answer: format!("{generation}:{{{place}}}"), lease: format!("{generation}:{{{place}}}:lease") })
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

    /// Asks, for as long as it is there, whether somebody else has cleared anything, and tells.
    pub fn watch(self: &Arc<Self>, tell: impl Fn(Vec<Cleared>) -> bool + Send + 'static) {
        let remote = Arc::downgrade(self);
        tokio::spawn(async move {
            let mut pause = LOOK_EVERY;
            loop {
                tokio::time::sleep(pause).await;
                let Some(remote) = remote.upgrade() else { return };
                let looked = remote.generations.look(&remote.values).await;
                pause = if looked.is_ok() { LOOK_EVERY } else { LOOK_AGAIN };
                let cleared = looked.unwrap_or_default();
                if !cleared.is_empty() {
                    remote.cleared.fetch_add(1, Ordering::SeqCst);
                    if !tell(cleared) {
                        return;
                    }
                }
            }
        });
    }

    /// Whether this is the first time that it is needed, in a runtime. Begins to connect then.
    pub fn is_first_use(self: &Arc<Self>) -> bool {
        if self.first.get().is_some() || tokio::runtime::Handle::try_current().is_err() {
            return false;
        }
        let mut is_first = false;
        self.first.get_or_init(|| {
            is_first = true;
            Instant::now()
        });
        if is_first {
            let remote = Arc::clone(self);
            tokio::spawn(async move {
                if let Err(fault) = remote.values.open().await {
                    remote.status.lost(&fault.message);
                }
                remote.is_open.store(true, Ordering::Release);
            });
        }
        is_first
    }

    /// Does something that somebody waits for, within the bound. `None` if Redis is away, or did not do it in time.
    async fn within<T>(&self, work: impl Future<Output = Result<T, Fault>>) -> Option<T> {
        let now = Instant::now();
        let mut end = now + self.limit + GRACE;
        if !self.is_open.load(Ordering::Acquire) {
            // Nobody waits for the first connection longer than the first who came.
            end = end.min(self.first.get().copied().unwrap_or(now) + self.limit + GRACE);
        }
        let why = match timeout_at(end, work).await {
            Ok(Ok(done)) => {
                self.status.found();
                return Some(done);
            }
            Ok(Err(fault)) => fault.message,
            Err(_) => format!("no answer within {} ms", self.limit.as_millis()),
        };
        self.status.lost(&why);
        self.status.skipped();
        None
    }
}

/// The keys of one question.
#[derive(Clone, Debug)]
struct Place {
    answer: String,
    lease: String,
}

#[cfg(all(test, unix))]
mod tests;
