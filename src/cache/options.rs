//! How a cache is opened.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;
use serde_json::Value;

use super::{EncryptionKey, RedisCacheOptions};
use crate::error::Invalid;
use crate::fields::Fields;

/// What a cache is, where it is, and how much it may take.
#[derive(Clone, PartialEq, Eq)]
pub struct CacheOptions {
    /// A file, made when it does not exist; its directory has to. Absent: memory only.
    pub path: Option<PathBuf>,
    /// A Redis that machines share, below memory and the file.
    pub redis: Option<RedisCacheOptions>,
    /// Whether equal calls of processes that share the Redis are one. Default: no. Only with a [`redis`](Self::redis).
    pub joins_processes: bool,
    /// How long an answer is served. Default 7 days; 0 keeps nothing.
    pub ttl: Duration,
    /// Most bytes on disk. Default 1 GiB. Of several bounds for one file in one process the smallest holds.
    pub max_bytes: u64,
    /// Most bytes in memory. Default 64 MiB; 0 keeps nothing in memory.
    pub memory_bytes: u64,
    /// Default [`CacheMode::Record`].
    pub mode: CacheMode,
    /// Whose answers these are, unless a call says otherwise.
    pub namespace: Option<String>,
    /// What the file and Redis are encrypted with. Default: they are not. Only with a [`path`](Self::path) or a
    /// [`redis`](Self::redis).
    pub encryption_key: Option<EncryptionKey>,
}

/// What happens on a miss.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CacheMode {
    /// The request is sent, and its answer stored.
    #[default]
    Record,
    /// The call fails: for test suites.
    Replay,
}

impl Default for CacheOptions {
    fn default() -> Self {
        Self {
            path: None,
            redis: None,
            joins_processes: false,
            ttl: Duration::from_secs(7 * 24 * 60 * 60),
            max_bytes: 1 << 30,
            memory_bytes: 64 << 20,
            mode: CacheMode::default(),
            namespace: None,
            encryption_key: None,
        }
    }
}

impl CacheOptions {
    /// The defaults with this file.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: Some(path.into()), ..Self::default() }
    }

    /// Refuses a key that nothing would be encrypted with, joining without a Redis, and the URL of one in the place of a path.
    ///
    /// # Errors
    /// If the path is a URL of a Redis, there is an encryption key and neither a path nor a Redis, or calls are joined over a Redis that is not there.
    pub fn check(&self) -> Result<(), Invalid> {
        let scheme = self.path.as_ref().and_then(|path| path.to_str()?.split_once("://")).map(|(scheme, _)| scheme);
        if scheme.is_some_and(|scheme| scheme.starts_with("redis")) {
            let expected = "the path of a file; where Redis is stands in cache options.redis";
            return Err(Invalid::type_error("cache options.path", expected, "a URL of a Redis"));
        }
        if self.joins_processes && self.redis.is_none() {
            let expected = "a redis beside it, over which calls are joined";
            return Err(Invalid::type_error("cache options.join", expected, "'redis' without one"));
        }
        if self.encryption_key.is_none() || self.path.is_some() || self.redis.is_some() {
            return Ok(());
        }
        let expected = "a path beside it, or a redis, since memory is not encrypted";
        Err(Invalid::type_error("cache options.encryptionKey", expected, "a key without a path"))
    }

    /// Reads the options `path`, `redis`, `join`, `ttlMs`, `maxBytes`, `memoryBytes`, `mode`, `namespace` and `encryptionKey`.
    ///
    /// # Errors
    /// If one is of the wrong type, out of range or unknown.
    pub fn read(mut fields: Fields) -> Result<Self, Invalid> {
        let default = Self::default();
        let path = fields.string("path")?;
        if path.as_deref() == Some("") {
            return Err(fields.type_error("path", "the path of a file", "\"\""));
        }
        let options = Self {
            path: path.map(PathBuf::from),
            redis: RedisCacheOptions::take(&mut fields)?,
            joins_processes: fields.word("join", &[("redis", true)])?.unwrap_or_default(),
            ttl: fields.duration_ms("ttlMs")?.unwrap_or(default.ttl),
            max_bytes: fields.integer("maxBytes", 0)?.unwrap_or(default.max_bytes),
            memory_bytes: fields.integer("memoryBytes", 0)?.unwrap_or(default.memory_bytes),
            mode: fields
                .word("mode", &[("record", CacheMode::Record), ("replay", CacheMode::Replay)])?
                .unwrap_or_default(),
            namespace: fields.string("namespace")?,
            encryption_key: read_key(&mut fields)?,
        };
        fields.finish("path, redis, join, ttlMs, maxBytes, memoryBytes, mode, namespace, encryptionKey")?;
        options.check()?;
        Ok(options)
    }
}

/// The key, without a copy of it in what complains.
fn read_key(fields: &mut Fields) -> Result<Option<EncryptionKey>, Invalid> {
    let Some(value) = fields.take("encryptionKey") else { return Ok(None) };
    let key = value.as_str().and_then(EncryptionKey::parse);
    let outcome = key
        .map(Some)
        .ok_or_else(|| fields.type_error("encryptionKey", EncryptionKey::EXPECTED, EncryptionKey::describe(&value)));
    if let Value::String(text) = value {
        // Wiped when it is dropped.
        drop(SecretString::from(text));
    }
    outcome
}

impl fmt::Debug for CacheOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheOptions")
            .field("path", &self.path)
            .field("redis", &self.redis)
            .field("joins_processes", &self.joins_processes)
            .field("ttl", &self.ttl)
            .field("max_bytes", &self.max_bytes)
            .field("memory_bytes", &self.memory_bytes)
            .field("mode", &self.mode)
            .field("namespace", &self.namespace)
            .field("is_encrypted", &self.encryption_key.is_some())
            .finish_non_exhaustive()
    }
}
