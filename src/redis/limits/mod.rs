//! Limits that several processes share: the sliding window of a deployment, kept in Redis and moved on by scripts there.
//!
//! Everything is charged in Redis before it is sent, under the server's clock and in one step, so that no two processes can be
//! given the same room. What a script answers is either requests that may begin, or when to ask again; a queue in Redis gives what
//! becomes free to whoever has been given least.

mod alone;
mod back;
mod clock;
mod corrections;
mod ledger;
mod marks;
mod options;
mod speak;
mod state;
mod status;
#[cfg(test)]
mod tests;
mod wire;

use std::sync::{Arc, OnceLock};

use tokio::time::Instant;

pub use options::SharedLimitsOptions;
pub use status::{LimitsStats, RedisStats};

use super::{Redis, unique_name};
use crate::tracker::{Ledger, Told};
use ledger::{RedisLedger, next_name};
use status::Status;
use wire::{Keys, Speaker};

/// The limits of one router, counted over Redis.
#[derive(Debug)]
pub struct SharedLimits {
    redis: Redis,
    options: SharedLimitsOptions,
    status: Arc<Status>,
}

impl SharedLimits {
    /// Opens nothing.
    #[must_use]
    pub fn new(options: SharedLimitsOptions) -> Self {
        let redis = Redis::shared(options.redis.clone());
        let status = Arc::new(Status::new(options.redis.address.to_string(), options.processes));
        Self { redis, options, status }
    }

    /// Who counts for a deployment: for all that name the same account (a hash, never a key) and the same `provider::model`.
    #[must_use]
    pub fn ledger(&self, account: &[u8; 32], model: &str, told: Told) -> Arc<dyn Ledger> {
        // Half of it: far more than any two could share by chance.
        let account = blake3::Hash::from_bytes(*account).to_hex();
        let account = &account[..32];
        let keys = Keys::new(&self.options.redis.prefix, account, model);
        let process = process();
        let ledger = next_name(process);
        let speaker = Speaker { ledger, process: process.to_owned(), lease: self.options.lease, clock: None };
        // As many as are known, if a deployment comes while Redis is away.
        let processes = self.options.processes.max(self.status.processes());
        let status = Arc::clone(&self.status);
        Arc::new(RedisLedger::new(self.redis.clone(), keys, speaker, told, processes, status))
    }

    /// How it stands.
    #[must_use]
    pub fn stats(&self, now: Instant) -> LimitsStats {
        self.status.stats(now)
    }
}

/// The name of this process, that no other has.
fn process() -> &'static str {
    static NAME: OnceLock<String> = OnceLock::new();
    NAME.get_or_init(unique_name)
}
