//! The cache as JavaScript holds it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use napi_derive::napi;
use serde::Serialize;

use super::letter::{Kind, Mail};
use super::mailbox::{Mailbox, Post, lock};
use super::reply::{guarded, reply};
use super::runtime::Task;
use crate::cache::{Cache, CacheOptions, Progress};
use crate::error::Result;
use crate::fields::Fields;

/// An open cache.
#[napi]
pub struct NativeCache {
    pub(super) cache: Cache,
    transfers: Transfers,
}

/// Exports and imports under way, by call.
type Transfers = Arc<Mutex<HashMap<u32, Task>>>;

impl NativeCache {
    pub(super) fn new(cache: Cache) -> Self {
        Self { cache, transfers: Transfers::default() }
    }

    /// Runs an export or an import, which `cancel` can end.
    fn transfer<T: Serialize>(
        &self,
        id: u32,
        mailbox: &Mailbox,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) {
        let transfers = Arc::clone(&self.transfers);
        // Held until the task is known, so that it cannot end before it is.
        let mut known = lock(&self.transfers);
        let task = mailbox.post().spawn(id, async move {
            let result = work.await;
            lock(&transfers).remove(&id);
            Ok(Mail::new(Kind::Settled, id, Some(serde_json::to_string(&result?).expect("plain data serialises"))))
        });
        known.insert(id, task);
    }
}

/// Tells JavaScript how far the call `id` is, if it wants to know.
fn tell(post: Post, id: u32, is_told: bool) -> impl FnMut(Progress) + Send + 'static {
    move |progress| {
        if is_told {
            let text = serde_json::to_string(&progress).expect("plain data serialises");
            post.send(Mail::new(Kind::Progress, id, Some(text)));
        }
    }
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
        let options = guarded(|| options(&text));
        mailbox.post().settle(id, async move {
            post.keep_cache(id, open(options).await?);
            Ok(())
        });
    }

    /// The cache that the call `id` opened; once.
    #[napi]
    pub fn take(mailbox: &Mailbox, id: u32) -> Option<NativeCache> {
        mailbox.post().take_cache(id).map(NativeCache::new)
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

    /// Writes the answers of a namespace, or all, to a file.
    #[napi]
    pub fn export(&self, id: u32, mailbox: &Mailbox, path: String, namespace: Option<String>, is_told: bool) {
        let (cache, progress) = (self.cache.clone(), tell(mailbox.post(), id, is_told));
        self.transfer(id, mailbox, async move { cache.export(path, namespace.as_deref(), progress).await });
    }

    /// Takes in the answers of such a file.
    #[napi]
    pub fn import(&self, id: u32, mailbox: &Mailbox, path: String, is_told: bool) {
        let (cache, progress) = (self.cache.clone(), tell(mailbox.post(), id, is_told));
        self.transfer(id, mailbox, async move { cache.import(path, progress).await });
    }

    /// Ends an export or an import.
    #[napi]
    pub fn cancel(&self, id: u32) {
        if let Some(transfer) = lock(&self.transfers).remove(&id) {
            transfer.abort();
        }
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
    // At the end of the process there is nobody to be told.
    let _told_to_nobody = guarded(|| {
        crate::cache::flush_all();
        Ok(())
    });
}
