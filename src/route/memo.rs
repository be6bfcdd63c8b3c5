//! What is remembered of requests that memory has answered: the words that they were asked in, and what was made of the answer. Who
//! asks again in the same words is answered without reading either.
//!
//! Words are compared to the letter and never by a hash alone, so that nobody can find others that are taken for them. What a key
//! is made of beside them (the group's models, the mounted cache) is counted: whatever changes it makes all that is remembered void.

use std::any::Any;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;
use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, Weak};

use quick_cache::{DefaultHashBuilder, Equivalent, OptionsBuilder, Weighter, sync};

use crate::cache::{Cache, Key, Record};

/// What is remembered takes at most one in so many of the bytes that the cache may take in memory, beside them.
const SHARE: u64 = 2;

/// No shard is smaller, so that long requests find room too.
const SHARD_BYTES: u64 = 4 << 20;

/// Bytes of what is typically remembered: only sizes the tables.
const TYPICAL_BYTES: u64 = 4 << 10;

/// A request as it came, and whom it is to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Words<'a> {
    pub group: &'a str,
    /// Absent: that of the mounted cache.
    pub namespace: Option<&'a str>,
    pub text: &'a str,
}

impl Hash for Words<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
        self.group.hash(state);
        self.namespace.hash(state);
    }
}

/// The same, kept: all of it in one place, as each place is one more to wait for.
struct Kept {
    /// The text, the group, and the namespace if there is one.
    all: Box<str>,
    text: usize,
    group: usize,
    has_namespace: bool,
}

impl Kept {
    fn new(words: Words<'_>) -> Self {
        let (text, group, has_namespace) = (words.text.len(), words.group.len(), words.namespace.is_some());
        let all = [words.text, words.group, words.namespace.unwrap_or_default()].concat().into_boxed_str();
        Self { all, text, group, has_namespace }
    }

    fn words(&self) -> Words<'_> {
        let (text, rest) = self.all.split_at(self.text);
        let (group, namespace) = rest.split_at(self.group);
        Words { text, group, namespace: self.has_namespace.then_some(namespace) }
    }
}

impl Hash for Kept {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.words().hash(state);
    }
}

impl PartialEq for Kept {
    fn eq(&self, other: &Self) -> bool {
        other.words().equivalent(self)
    }
}

impl Eq for Kept {}

impl Equivalent<Kept> for Words<'_> {
    fn equivalent(&self, kept: &Kept) -> bool {
        let kept = kept.words();
        self.text == kept.text && self.group == kept.group && self.namespace == kept.namespace
    }
}

/// How often something was done that keys depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Generation(u64);

/// What memory has for a request.
pub(crate) struct Found<'a> {
    /// When the key was made.
    pub generation: Generation,
    pub key: Key,
    pub record: &'a Arc<Record>,
    /// See [`Memo::ids`].
    pub ids: Vec<String>,
}

/// What is remembered of one request.
pub(crate) struct Memo<T: ?Sized = dyn Any + Send + Sync> {
    pub key: Key,
    pub generation: Generation,
    /// What the answer was read from: if memory has another one by now, it is read anew.
    record: Weak<Record>,
    /// The ids by which later requests may go on from the answer.
    pub ids: Vec<String>,
    bytes: u64,
    /// What was made of the answer.
    made: T,
}

/// What was made of an answer, as it is remembered.
pub struct Recalled<T> {
    memo: Arc<Memo>,
    made: PhantomData<T>,
}

impl<T: Any> Recalled<T> {
    /// `None` if something else was made of the answer.
    pub(crate) fn new(memo: Arc<Memo>) -> Option<Self> {
        memo.made.is::<T>().then_some(Self { memo, made: PhantomData })
    }
}

impl<T: Any> Deref for Recalled<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.memo.made.downcast_ref().expect("looked at when it was recalled")
    }
}

impl<T> fmt::Debug for Recalled<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recalled").finish_non_exhaustive()
    }
}

impl Memo {
    /// Whether it was read from this record.
    pub fn is_of(&self, record: &Arc<Record>) -> bool {
        std::ptr::eq(self.record.as_ptr(), Arc::as_ptr(record))
    }
}

#[derive(Clone)]
struct Size;

impl Weighter<Kept, Arc<Memo>> for Size {
    fn weight(&self, _words: &Kept, memo: &Arc<Memo>) -> u64 {
        memo.bytes
    }
}

/// What is remembered while one cache is mounted and nothing in it is cleared.
struct Table {
    cleared: u64,
    memos: sync::Cache<Kept, Arc<Memo>, Size>,
}

impl Table {
    fn new(cache: &Cache) -> Option<Self> {
        let capacity = cache.options().memory_bytes / SHARE;
        let shards = usize::try_from((capacity / SHARD_BYTES).clamp(1, 16)).unwrap_or(1);
        let shards = if shards.is_power_of_two() { shards } else { shards.next_power_of_two() / 2 };
        let items = usize::try_from((capacity / TYPICAL_BYTES).clamp(32, 1 << 18)).unwrap_or(32);
        let mut builder = OptionsBuilder::new();
        builder.shards(shards).estimated_items_capacity(items).weight_capacity(capacity);
        let options = builder.build().ok().filter(|_| capacity > 0)?;
        let (hasher, lifecycle) = (DefaultHashBuilder::default(), sync::DefaultLifecycle::default());
        let memos = sync::Cache::with_options(options, Size, hasher, lifecycle);
        Some(Self { cleared: cache.cleared(), memos })
    }
}

/// See the module.
#[derive(Default)]
pub(crate) struct Memos {
    generation: AtomicU64,
    table: RwLock<Option<Table>>,
}

impl Memos {
    /// To be asked before what a key is made of.
    pub fn generation(&self) -> Generation {
        Generation(self.generation.load(Ordering::Acquire))
    }

    /// Something that keys depend on is another from now on.
    pub fn change(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
        self.forget();
    }

    fn forget(&self) {
        drop(self.table.write().unwrap_or_else(PoisonError::into_inner).take());
    }

    /// What is remembered of this request.
    pub fn get(&self, cache: &Cache, words: Words<'_>) -> Option<Arc<Memo>> {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        let known = table.as_ref()?;
        if known.cleared != cache.cleared() || cache.is_closed() {
            drop(table);
            // Whoever cleared the cache wants it out of the memory.
            self.forget();
            return None;
        }
        let memo = known.memos.get(&words)?;
        if memo.generation == self.generation() {
            return Some(memo);
        }
        known.memos.remove(&words);
        None
    }

    /// Remembers that memory answered these words with this record, and what was made of it.
    pub fn keep<T: Any + Send + Sync>(&self, cache: &Cache, words: Words<'_>, found: Found<'_>, made: T) -> Arc<Memo> {
        const OVERHEAD: u64 = 512;
        let Found { generation, key, record, ids } = found;
        let texts = [words.text, words.group].into_iter().chain(words.namespace).map(str::len);
        let bytes = OVERHEAD + texts.chain(ids.iter().map(String::len)).sum::<usize>() as u64 + record.size();
        let memo: Arc<Memo> = Arc::new(Memo { key, generation, record: Arc::downgrade(record), ids, bytes, made });
        let (kept, remembered) = (Kept::new(words), Arc::clone(&memo));
        if let Some(known) = self.table.read().unwrap_or_else(PoisonError::into_inner).as_ref() {
            known.memos.insert(kept, memo);
            return remembered;
        }
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = &*table {
            known.memos.insert(kept, memo);
        } else if let Some(new) = Table::new(cache) {
            new.memos.insert(kept, memo);
            *table = Some(new);
        }
        remembered
    }

    /// Forgets these words.
    pub fn drop_words(&self, words: Words<'_>) {
        if let Some(known) = self.table.read().unwrap_or_else(PoisonError::into_inner).as_ref() {
            known.memos.remove(&words);
        }
    }

    /// Bytes that what is remembered takes, about.
    #[cfg(test)]
    pub fn bytes(&self) -> u64 {
        self.table.read().unwrap_or_else(PoisonError::into_inner).as_ref().map_or(0, |known| known.memos.weight())
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::cache::{CacheOptions, Entry};

    fn cache(memory_bytes: u64) -> Cache {
        Cache::open(CacheOptions { memory_bytes, ..CacheOptions::default() }).unwrap()
    }

    fn words(text: &str) -> Words<'_> {
        Words { group: "default", namespace: None, text }
    }

    /// Keeps a record of so many bytes, and remembers it under these words.
    fn remember(memos: &Memos, cache: &Cache, text: &str, bytes: usize) {
        let key = Key(*blake3::hash(text.as_bytes()).as_bytes());
        cache.put(key, Entry { payload: Bytes::from(vec![b'x'; bytes]), ..Entry::default() });
        let record = cache.memory_get(&key).unwrap();
        let found = Found { generation: memos.generation(), key, record: &record, ids: Vec::new() };
        memos.keep(cache, words(text), found, bytes);
    }

    #[test]
    fn what_is_remembered_takes_no_more_than_its_share() {
        let (memos, cache) = (Memos::default(), cache(8 << 20));
        for number in 0..4_000_usize {
            let text = format!("{number}{}", " ".repeat(number % 3_000));
            remember(&memos, &cache, &text, number % 5_000);
            assert!(memos.bytes() <= 4 << 20);
        }
        assert!(memos.bytes() > 2 << 20, "{}", memos.bytes());
    }

    #[test]
    fn nothing_is_remembered_of_what_was_cleared_or_closed_or_has_changed() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let ends: [fn(&tokio::runtime::Runtime, &Memos, &Cache); 3] = [
            |runtime, _, cache| runtime.block_on(cache.clear(Some("another's"))).unwrap(),
            |runtime, _, cache| runtime.block_on(cache.close()).unwrap(),
            |_, memos, _| memos.change(),
        ];
        for end in ends {
            let (memos, cache) = (Memos::default(), cache(1 << 20));
            remember(&memos, &cache, "a", 10);
            assert!(memos.get(&cache, words("a")).is_some());
            assert!(memos.get(&cache, words("b")).is_none());
            end(&runtime, &memos, &cache);
            assert!(memos.get(&cache, words("a")).is_none());
            assert_eq!(memos.bytes(), 0);
        }
    }

    #[test]
    fn a_group_and_a_namespace_are_words_too() {
        let (memos, cache) = (Memos::default(), cache(1 << 20));
        remember(&memos, &cache, "a", 10);
        assert!(memos.get(&cache, Words { group: "other", ..words("a") }).is_none());
        assert!(memos.get(&cache, Words { namespace: Some(""), ..words("a") }).is_none());
    }
}
