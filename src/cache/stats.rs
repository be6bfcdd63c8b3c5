//! What a cache tells of itself.

use std::sync::atomic::Ordering;

use serde::Serialize;

use super::{Cache, RedisCacheStats};

/// What a cache holds and what it has done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CacheStats {
    /// Answers on disk, or in memory if there is no file. What is being written is not yet counted, nor ever what is in Redis.
    pub entries: u64,
    /// Bytes that they take there, about.
    pub bytes: u64,
    /// The length of the file, 0 if there is none: up to twice what is kept in it, and what is unused of it may take nothing
    /// on the disk. With up to 128 MiB kept, it is shortened when it has been left alone for half a minute.
    pub file_bytes: u64,
    /// Answers that were removed from the file to make room, by anyone in this process who uses it.
    pub evictions: u64,
    /// Lookups of this cache that found an answer: the sum of the next three.
    pub hits: u64,
    /// Those that found it in memory.
    pub memory_hits: u64,
    /// Those that found it on disk.
    pub disk_hits: u64,
    /// Those that found it in Redis.
    pub redis_hits: u64,
    /// Lookups of this cache that did not.
    pub misses: u64,
    /// Calls that joined an equal call in flight.
    pub joined: u64,
    /// Answers that were lost before they were on disk, by anyone in this process who uses the file.
    pub write_errors: u64,
    /// Reads of the file that failed and were taken for misses, by anyone in this process who uses it.
    pub read_errors: u64,
    /// Why the last answer that did not reach the disk did not, or why there is no file although there should be one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// How Redis has been doing, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redis: Option<RedisCacheStats>,
}

impl Cache {
    /// What it holds and has done. Reads a little from the file, if there is one.
    #[must_use]
    pub fn stats(&self) -> CacheStats {
        let disk = self.disk();
        let (entries, bytes) = match &disk {
            Some(disk) => disk.size(),
            None if self.is_closed() => (0, 0),
            None => (self.0.memory.entries() as u64, self.0.memory.bytes()),
        };
        let hits =
            [&self.0.memory_hits, &self.0.disk_hits, &self.0.redis_hits].map(|hits| hits.load(Ordering::Relaxed));
        CacheStats {
            entries,
            bytes,
            file_bytes: disk.as_ref().map_or(0, |disk| disk.file_bytes()),
            evictions: disk.as_ref().map_or(0, |disk| disk.evictions()),
            hits: hits.iter().sum(),
            memory_hits: hits[0],
            disk_hits: hits[1],
            redis_hits: hits[2],
            misses: self.0.misses.load(Ordering::Relaxed),
            joined: self.0.joined.load(Ordering::Relaxed),
            write_errors: disk.as_ref().map_or(0, |disk| disk.write_errors()) + u64::from(self.0.failure.is_some()),
            read_errors: disk.as_ref().map_or(0, |disk| disk.read_errors()),
            last_error: self.last_error(),
            redis: self.0.remote.as_ref().map(|remote| remote.stats()),
        }
    }

    /// Why the last answer that did not reach the disk did not.
    #[must_use]
    pub fn last_error(&self) -> Option<String> {
        self.disk().and_then(|disk| disk.last_error()).or_else(|| self.0.failure.clone())
    }
}
