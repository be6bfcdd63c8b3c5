//! What `limits` says: over which Redis limits are counted.

use std::time::Duration;

use serde_json::Value;

use super::super::RedisOptions;
use crate::error::Invalid;
use crate::fields::{Fields, describe};

/// How long what a process holds is held for it, unless the options say otherwise.
const LEASE: Duration = Duration::from_secs(10);

/// Limits that are counted over Redis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedLimitsOptions {
    /// Which Redis, and how.
    pub redis: RedisOptions,
    /// For how long requests in flight and a process count as there without a sign of life, 1 s to 10 min. Default 10 s.
    pub lease: Duration,
    /// How many processes there are, for as long as Redis has never been reached: at least 1. Default 1.
    pub processes: u64,
}

impl SharedLimitsOptions {
    /// The defaults at this URL.
    ///
    /// # Errors
    /// If it is no URL of a Redis.
    pub fn at(url: &str) -> Result<Self, Invalid> {
        Ok(Self { redis: RedisOptions::at("limits.redis", url)?, lease: LEASE, processes: 1 })
    }

    /// Reads `limits`: its `redis` is a URL, or options with `url`, `prefix`, `timeoutMs`, `leaseMs` and `processes`.
    ///
    /// # Errors
    /// If a field is unknown, of the wrong type or out of range, or no URL of a Redis.
    pub fn read(mut fields: Fields) -> Result<Self, Invalid> {
        let options = match fields.take("redis") {
            Some(Value::String(url)) => Self::at(&url)?,
            Some(value @ Value::Object(_)) => {
                let mut fields = Fields::new("limits.redis", value)?;
                let redis = RedisOptions::take(&mut fields)?;
                let lease = fields.number("leaseMs", 1000.0, 600_000.0)?;
                let lease = lease.map_or(LEASE, |milliseconds| Duration::from_secs_f64(milliseconds / 1000.0));
                let processes = fields.integer("processes", 1)?.unwrap_or(1);
                fields.finish("url, prefix, timeoutMs, leaseMs, processes")?;
                Self { redis, lease, processes }
            }
            other => {
                let got = other.as_ref().map_or_else(|| "nothing".to_owned(), describe);
                return Err(fields.type_error("redis", "a redis:// URL, or an object with one", got));
            }
        };
        fields.finish("redis")?;
        Ok(options)
    }
}
