//! How a cache is opened.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;
use serde_json::Value;

use super::EncryptionKey;
use crate::error::Invalid;
use crate::fields::Fields;

/// What a cache is, where it is, and how much it may take.
#[derive(Clone, PartialEq, Eq)]
pub struct CacheOptions {
    /// A file, made when it does not exist; its directory has to. Absent: memory only.
    pub path: Option<PathBuf>,
    /// URL of a cache that machines share; not supported in this version.
    pub redis: Option<String>,
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
    /// What the file is encrypted with. Default: it is not. Only with a [`path`](Self::path).
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

    /// Refuses a key that nothing would be encrypted with.
    ///
    /// # Errors
    /// If there is an encryption key and no path.
    pub fn check(&self) -> Result<(), Invalid> {
        if self.encryption_key.is_none() || self.path.is_some() {
            return Ok(());
        }
        let expected = "a path beside it, since only a file is encrypted";
        Err(Invalid::type_error("cache options.encryptionKey", expected, "a key without a path"))
    }

    /// Reads the options `path`, `redis`, `ttlMs`, `maxBytes`, `memoryBytes`, `mode`, `namespace` and `encryptionKey`.
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
            redis: fields.string("redis")?,
            ttl: fields.duration_ms("ttlMs")?.unwrap_or(default.ttl),
            max_bytes: fields.integer("maxBytes", 0)?.unwrap_or(default.max_bytes),
            memory_bytes: fields.integer("memoryBytes", 0)?.unwrap_or(default.memory_bytes),
            mode: fields
                .word("mode", &[("record", CacheMode::Record), ("replay", CacheMode::Replay)])?
                .unwrap_or_default(),
            namespace: fields.string("namespace")?,
            encryption_key: read_key(&mut fields)?,
        };
        fields.finish("path, redis, ttlMs, maxBytes, memoryBytes, mode, namespace, encryptionKey")?;
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

/// Without the Redis URL, which may hold a password.
impl fmt::Debug for CacheOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheOptions")
            .field("path", &self.path)
            .field("ttl", &self.ttl)
            .field("max_bytes", &self.max_bytes)
            .field("memory_bytes", &self.memory_bytes)
            .field("mode", &self.mode)
            .field("namespace", &self.namespace)
            .field("is_encrypted", &self.encryption_key.is_some())
            .finish_non_exhaustive()
    }
}
