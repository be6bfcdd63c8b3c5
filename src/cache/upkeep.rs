//! What is done to a cache as a whole: cleared, pruned, flushed, closed.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use super::{Cache, Namespace, blocking, disk, remote};
use crate::error::Result;

impl Cache {
    /// Removes what has expired.
    ///
    /// Returns how many answers that were: on disk, or in memory if there is no file.
    ///
    /// # Errors
    /// If the file cannot be written; `ERR_CLOSED` after [`Cache::close`].
    pub async fn prune(&self) -> Result<usize> {
        self.check_open()?;
        let now_ms = (self.0.clock)();
        match self.disk() {
            Some(disk) => blocking(move || disk.prune(now_ms)).await,
            None => Ok(self.0.memory.prune(now_ms)),
        }
    }

    /// Removes the answers of one namespace, or all: on disk and in the memory of this process. Other processes may
    /// serve what they have in their memory until it expires; those that share a Redis learn within a second or two that it is
    /// cleared, and clear what they have.
    ///
    /// # Errors
    /// If the file cannot be written, or Redis not be reached; `ERR_CLOSED` after [`Cache::close`].
    pub async fn clear(&self, namespace: Option<&str>) -> Result<()> {
        self.check_open()?;
        let namespace = namespace.map(|name| self.0.codec.namespace(name));
        if self.has_redis() {
            // Before the new generation is there, in which nothing may be kept that was asked for before.
            self.0.memory.clear(namespace);
        }
        let remote = self.clear_redis(namespace).await;
        self.clear_here(namespace).await.and(remote)
    }

    /// Removes what this machine has.
    pub(super) async fn clear_here(&self, namespace: Option<Namespace>) -> Result<()> {
        self.0.memory.clear(namespace);
        match self.disk() {
            Some(disk) => blocking(move || disk.clear(namespace)).await,
            None => Ok(()),
        }
    }

    /// Waits until all that was stored before is on disk, and in Redis or given up.
    ///
    /// # Errors
    /// If something since the last flush was lost.
    pub async fn flush(&self) -> Result<()> {
        if let Some(remote) = &self.0.remote {
            remote.flush().await;
        }
        match self.disk() {
            Some(disk) => blocking(move || disk.flush()).await,
            None => Ok(()),
        }
    }

    /// Flushes and lets go of the file, and of the connection to Redis. The file then is closed unless others of this process have it open. Idempotent.
    ///
    /// # Errors
    /// If something since the last flush was lost; it is closed all the same.
    pub async fn close(&self) -> Result<()> {
        self.0.is_closed.store(true, Ordering::Release);
        if let Some(remote) = &self.0.remote {
            remote.flush().await;
            remote.close();
        }
        let disk = self.0.disk.write().unwrap_or_else(PoisonError::into_inner).take();
        match disk {
            Some(disk) => blocking(move || disk.close()).await,
            None => Ok(()),
        }
    }
}

/// Waits until everything that was put into any cache of this process is on disk, or lost, and for a moment until it is in
/// Redis: for the end of the process, or of a part of it.
pub fn flush_all() {
    remote::flush_within_bounds();
    disk::flush_all();
}
