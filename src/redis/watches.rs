//! Keys that are watched: the server says when one of them is no longer what it was, so nobody has to look again and again.
//!
//! It is told by Redis' client-side caching (<https://redis.io/docs/latest/develop/reference/client-side-caching/>): over a
//! connection that speaks RESP3 a server remembers what was read, and pushes the name of what changes, expires or is evicted. Servers
//! before Redis 6 cannot, and users may not be allowed to. So a connection of its own does it, without which all else goes on.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use redis::{PushInfo, PushKind, Value};
use tokio::sync::watch;
use tokio::time::Instant;

use super::fault::Fault;
use super::{Redis, RedisOptions};

/// How long a server that cannot say, or may not, is not asked to.
const REST: Duration = Duration::from_secs(60);

/// How long the connection stays open though nothing is watched.
const IDLE: Duration = Duration::from_secs(60);

/// Watches keys of one Redis. Opens nothing before the first one.
pub(super) struct Watches {
    options: RedisOptions,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    open: Option<(Redis, Watchers)>,
    used: Option<Instant>,
    /// Why nobody is asked, and until when.
    refused: Option<(Fault, Instant)>,
}

/// A key that is watched.
pub(crate) struct Watch {
    key: String,
    value: Option<Bytes>,
    /// Ends when the key is changed.
    change: Option<watch::Receiver<()>>,
    redis: Redis,
    watchers: Watchers,
}

/// Who watches which key over some connections. Clones are the same one.
#[derive(Clone, Default)]
pub(super) struct Watchers(Arc<Mutex<HashMap<Vec<u8>, watch::Sender<()>>>>);

impl Watches {
    pub fn new(options: RedisOptions) -> Self {
        Self { options, state: Mutex::default() }
    }

    /// Reads a key, and watches it from then on.
    ///
    /// # Errors
    /// As [`Redis::run`]; and if the server cannot say when something changes.
    pub async fn watch(&self, key: &str) -> Result<Watch, Fault> {
        let (redis, watchers) = self.open()?;
        let change = Some(watchers.add(key));
        let mut watch = Watch { key: key.to_owned(), value: None, change, redis, watchers };
        let mut command = redis::cmd("GET");
        command.arg(key);
        match watch.redis.run(key.as_bytes(), &command).await {
            Ok(Value::BulkString(value)) => watch.value = Some(value.into()),
            Ok(_) => {}
            Err(fault) => {
                if fault.is_refusal() {
                    self.lock().refused = Some((fault.clone(), Instant::now() + REST));
                }
                return Err(fault);
            }
        }
        Ok(watch)
    }

    fn open(&self) -> Result<(Redis, Watchers), Fault> {
        let (mut state, now) = (self.lock(), Instant::now());
        if let Some((fault, until)) = &state.refused
            && now < *until
        {
            return Err(fault.clone());
        }
        state.used = Some(now);
        let open = state.open.get_or_insert_with(|| {
            let watchers = Watchers::default();
            (Redis::watching(self.options.clone(), watchers.clone()), watchers)
        });
        Ok(open.clone())
    }

    /// Closes the connection if it was not used for a while; whoever still watches something keeps it open for as long.
    pub fn rest(&self) {
        let mut state = self.lock();
        if state.used.is_some_and(|used| used.elapsed() > IDLE) {
            (state.open, state.used) = (None, None);
        }
    }

    // A std mutex: nothing is awaited while it is held.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watch {
    /// What was there when it began to be watched; nothing also if it is no string.
    pub fn value(&self) -> Option<&[u8]> {
        self.value.as_deref()
    }

    /// Done when it may be something else, or when that is no longer said.
    pub async fn changed(&mut self) {
        let Some(change) = &mut self.change else { return };
        tokio::select! {
            _ = change.changed() => {}
            _ = self.redis.lost(self.key.as_bytes()) => {}
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut all = self.watchers.lock();
        drop(self.change.take());
        if all.get(self.key.as_bytes()).is_some_and(|known| known.receiver_count() == 0) {
            all.remove(self.key.as_bytes());
        }
    }
}

impl Watchers {
    fn add(&self, key: &str) -> watch::Receiver<()> {
        self.lock().entry(key.as_bytes().to_vec()).or_insert_with(|| watch::Sender::new(())).subscribe()
    }

    /// What a server said without having been asked.
    pub fn hear(&self, push: &PushInfo) {
        if !matches!(push.kind, PushKind::Invalidate) {
            return;
        }
        match push.data.first() {
            Some(Value::Array(keys)) => {
                let mut all = self.lock();
                for key in keys {
                    if let Value::BulkString(key) = key {
                        all.remove(key);
                    }
                }
            }
            // All that there was.
            _ => self.lock().clear(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Vec<u8>, watch::Sender<()>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Watchers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Watchers({})", self.lock().len())
    }
}

#[cfg(test)]
mod tests;
