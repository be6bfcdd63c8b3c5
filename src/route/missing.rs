//! What is said when the cache was to answer alone and cannot: in replay, also which field is not as it was recorded.

use std::time::Duration;

use super::call::Prepared;
use crate::cache::{Cache, CacheMode, SearchBounds};
use crate::error::{Error, ErrorKind};
use crate::kinds::Kind;

/// A suite's recordings are far fewer; of a large file a part has to do.
const BOUNDS: SearchBounds = SearchBounds { records: 10_000, time: Duration::from_millis(250) };

impl<K: Kind> Prepared<K> {
    /// The error of a call whose answer is not in this cache, as far as it was looked into; or why it was not.
    pub(super) async fn not_cached(&self, cache: Option<Cache>, unread: Option<String>) -> Error {
        let group = self.group.name.clone();
        if let Some(why) = unread {
            return ErrorKind::CacheUnread { group, why }.into();
        }
        let hint = match cache.filter(|cache| cache.options().mode == CacheMode::Replay) {
            Some(cache) => Some(cache.nearest(self.question(), &self.namespace, BOUNDS).await.to_string()),
            None => None,
        };
        ErrorKind::NotCached { group, hint }.into()
    }
}
