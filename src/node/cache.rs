//! The cache as JavaScript holds it.

use napi_derive::napi;

use super::mailbox::Mailbox;
use super::reply::reply;
use crate::cache::{Cache, CacheOptions};
use crate::error::Result;
use crate::fields::Fields;

/// An open cache.
#[napi]
pub struct NativeCache {
    pub(super) cache: Cache,
}

/// Opens a cache away from the JavaScript thread.
pub async fn open(options: Result<CacheOptions>) -> Result<Cache> {
    let options = options?;
    match tokio::task::spawn_blocking(move || Cache::open(options)).await {
        Ok(result) => result,
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}

/// Reads the options of a cache.
pub fn options(text: &str) -> Result<CacheOptions> {
    Ok(CacheOptions::read(Fields::parse("cache options", text)?)?)
}

#[napi]
impl NativeCache {
    /// Opens a cache; when the call is settled, `take` gives it.
    #[napi]
    pub fn open(mailbox: &Mailbox, id: u32, text: String) {
        let post = mailbox.post();
        let options = options(&text);
        mailbox.post().settle(id, async move {
            post.keep_cache(id, open(options).await?);
            Ok(())
        });
    }

    /// The cache that the call `id` opened; once.
    #[napi]
    pub fn take(mailbox: &Mailbox, id: u32) -> Option<NativeCache> {
        mailbox.post().take_cache(id).map(|cache| NativeCache { cache })
    }

    /// Its counters.
    #[napi]
    pub fn stats(&self) -> String {
        reply(|| Ok(self.cache.stats()))
    }

    /// Removes what has expired.
    #[napi]
    pub fn prune(&self, id: u32, mailbox: &Mailbox) {
        let cache = self.cache.clone();
        mailbox.post().settle(id, async move { cache.prune().await });
    }

    /// Removes everything, or everything of a namespace.
    #[napi]
    pub fn clear(&self, id: u32, mailbox: &Mailbox, namespace: Option<String>) {
        let cache = self.cache.clone();
        mailbox.post().settle(id, async move { cache.clear(namespace.as_deref()).await });
    }

    /// Waits until all that was stored is on disk.
    #[napi]
    pub fn flush(&self, id: u32, mailbox: &Mailbox) {
        let cache = self.cache.clone();
        mailbox.post().settle(id, async move { cache.flush().await });
    }

    /// Flushes and lets go of the file.
    #[napi]
    pub fn close(&self, id: u32, mailbox: &Mailbox) {
        let cache = self.cache.clone();
        mailbox.post().settle(id, async move { cache.close().await });
    }
}

/// Writes what every open cache still holds back; for the end of the process.
#[napi]
pub fn flush_all() {
    crate::cache::flush_all();
}
