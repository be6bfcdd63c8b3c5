//! What `cache.redis` says: which Redis keeps answers, and for how long it is waited for.

use std::time::Duration;

use serde_json::Value;

use crate::error::Invalid;
use crate::fields::{Fields, describe};
use crate::redis::RedisOptions;

/// How long an answer waits for Redis unless the options say otherwise: far longer than a look takes, and far shorter than
/// asking a provider.
const TIMEOUT: Duration = Duration::from_millis(50);

/// How long a question is one process's to ask without a sign of life, unless the options say otherwise.
const LEASE: Duration = Duration::from_secs(3);

/// A Redis that keeps answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisCacheOptions {
    /// Which, and how it is used. The timeout is the most that an answer ever waits for it, by default 50 ms.
    pub redis: RedisOptions,
    /// How long a question that calls of other processes wait for is one process's to ask without a sign of life, 500 ms to 60
    /// s. Default 3 s.
    pub lease: Duration,
}

impl RedisCacheOptions {
    /// The defaults at this URL.
    ///
    /// # Errors
    /// If it is no URL of a Redis.
    pub fn at(url: &str) -> Result<Self, Invalid> {
        let redis = RedisOptions { timeout: TIMEOUT, ..RedisOptions::at("cache options.redis", url)? };
        Ok(Self { redis, lease: LEASE })
    }

    /// Takes `redis`: a URL, or options with `url`, `prefix`, `timeoutMs` and `leaseMs`.
    ///
    /// # Errors
    /// If it is anything else.
    pub(in crate::cache) fn take(fields: &mut Fields) -> Result<Option<Self>, Invalid> {
        match fields.take("redis") {
            None => Ok(None),
            Some(Value::String(url)) => Self::at(&url).map(Some),
            Some(value @ Value::Object(_)) => {
                let mut fields = Fields::new("cache options.redis", value)?;
                let redis = RedisOptions::take_or_within(&mut fields, TIMEOUT)?;
                let lease = fields.number("leaseMs", 500.0, 60_000.0)?;
                let lease = lease.map_or(LEASE, |milliseconds| Duration::from_secs_f64(milliseconds / 1000.0));
                fields.finish("url, prefix, timeoutMs, leaseMs")?;
                Ok(Some(Self { redis, lease }))
            }
            Some(other) => Err(fields.type_error("redis", "a redis:// URL, or an object with one", describe(&other))),
        }
    }
}
