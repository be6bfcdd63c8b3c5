//! The first tier: answers in memory, bounded by bytes, read without waiting for anything.
//!
//! `quick_cache` evicts as Clock-PRO and S3-FIFO do, so that a batch of questions asked once does not push out those
//! that are asked every day.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use quick_cache::sync::{EntryAction, EntryResult};
use quick_cache::{OptionsBuilder, Weighter, sync};

use super::clears::Clears;
use super::uses::Uses;
use super::{Key, Namespace, Record};

/// A shard holds at least this much, or everything: the largest answer that is sure to be kept.
const SHARD_BYTES: u64 = 8 << 20;

/// Bytes of a typical record: only sizes the tables.
const TYPICAL_BYTES: u64 = 4 << 10;

/// Answers by key, the most useful `capacity` bytes of them.
pub(super) struct Memory {
    capacity: u64,
    records: Option<sync::Cache<Key, Arc<Record>, Size>>,
    /// How often something was cleared or renewed: what was read before must not come back after.
    changed: AtomicU64,
    cleared: Clears,
    /// Where a hit is noted, for the file below to know what is in use.
    uses: Option<Arc<Uses>>,
}

#[derive(Clone)]
struct Size;

impl Weighter<Key, Arc<Record>> for Size {
    fn weight(&self, _key: &Key, record: &Arc<Record>) -> u64 {
        record.size()
    }
}

/// A moment between two changes that a read must not undo.
#[derive(Clone, Copy)]
pub(super) struct Epoch(u64);

impl Memory {
    /// Room for `capacity` bytes; none with 0.
    pub fn new(capacity: u64) -> Self {
        Self::above(capacity, None)
    }

    /// The same above a file that wants to know what is asked for.
    pub fn above(capacity: u64, uses: Option<Arc<Uses>>) -> Self {
        let shards = usize::try_from((capacity / SHARD_BYTES).clamp(1, 16)).unwrap_or(1);
        let items = usize::try_from((capacity / TYPICAL_BYTES).clamp(32, 1 << 20)).unwrap_or(32);
        // Rounds up to a power of two, which must not make the shards smaller than promised.
        let shards = if shards.is_power_of_two() { shards } else { shards.next_power_of_two() / 2 };
        let mut builder = OptionsBuilder::new();
        builder.shards(shards).estimated_items_capacity(items).weight_capacity(capacity);
        let options = builder.build().ok().filter(|_| capacity > 0);
        let records = options.map(|options| {
            sync::Cache::with_options(
                options,
                Size,
                quick_cache::DefaultHashBuilder::default(),
                sync::DefaultLifecycle::default(),
            )
        });
        Self { capacity, records, changed: AtomicU64::new(0), cleared: Clears::default(), uses }
    }

    /// What [`Memory::new`] was given.
    pub fn capacity(&self) -> u64 {
        self.capacity
    }

    /// The answer, if it is here and has not expired.
    pub fn get(&self, key: &Key, now_ms: u64) -> Option<Arc<Record>> {
        let records = self.records.as_ref()?;
        let record = records.get(key)?;
        if record.is_expired(now_ms) {
            records.remove_if(key, |held| Arc::ptr_eq(held, &record));
            return None;
        }
        if let Some(uses) = &self.uses {
            uses.note(key);
        }
        Some(record)
    }

    /// Keeps an answer, if it is worth more than what it displaces.
    pub fn insert(&self, key: Key, record: Arc<Record>) {
        if let Some(records) = &self.records {
            records.insert(key, record);
        }
    }

    /// Keeps an answer that was stored elsewhere in the place of an older one, if there is one.
    pub fn renew(&self, key: Key, record: &Arc<Record>) {
        if let Some(records) = &self.records {
            self.changed.fetch_add(1, Ordering::SeqCst);
            // An error means that there is none.
            let _ = records.replace(key, Arc::clone(record), true);
        }
    }

    /// Now, for [`Memory::promote`].
    pub fn epoch(&self) -> Epoch {
        Epoch(self.changed.load(Ordering::SeqCst))
    }

    /// Keeps an answer that was read elsewhere after `since`, unless something was cleared or renewed in between, or one that
    /// is not older came here while it was read.
    pub fn promote(&self, key: Key, record: &Arc<Record>, since: Epoch) {
        let Some(records) = &self.records else { return };
        let replace_older = |_: &Key, held: &mut Arc<Record>| {
            if held.created_ms < record.created_ms {
                *held = Arc::clone(record);
            }
            EntryAction::Retain(())
        };
        if let EntryResult::Vacant(place) = records.entry(&key, None, replace_older) {
            // An error means that an answer was inserted here meanwhile, which is newer.
            let _ = place.insert(Arc::clone(record));
        }
        // Asked after the insertion: a change that came before this line is seen here, a later one sees the record.
        if self.epoch().0 != since.0 {
            records.remove_if(&key, |held| Arc::ptr_eq(held, record));
        }
    }

    /// What was cleared.
    pub fn cleared(&self) -> &Clears {
        &self.cleared
    }

    /// Removes the answers of one namespace, or all.
    pub fn clear(&self, namespace: Option<Namespace>) {
        self.cleared.add(namespace);
        self.changed.fetch_add(1, Ordering::SeqCst);
        self.retain(|record| namespace.is_some_and(|namespace| record.namespace != namespace));
    }

    /// Removes what has expired.
    ///
    /// Returns how many.
    pub fn prune(&self, now_ms: u64) -> usize {
        let before = self.entries();
        self.retain(|record| !record.is_expired(now_ms));
        before.saturating_sub(self.entries())
    }

    fn retain(&self, is_kept: impl Fn(&Record) -> bool) {
        if let Some(records) = &self.records {
            records.retain(|_, record| is_kept(record));
        }
    }

    /// Every answer that is here, in no order.
    pub fn records(&self) -> Vec<(Key, Arc<Record>)> {
        self.records.as_ref().map_or_else(Vec::new, |records| records.iter().collect())
    }

    /// How many answers are here.
    pub fn entries(&self) -> usize {
        self.records.as_ref().map_or(0, sync::Cache::len)
    }

    /// How many bytes they take, about.
    pub fn bytes(&self) -> u64 {
        self.records.as_ref().map_or(0, sync::Cache::weight)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn key(number: u32) -> Key {
        Key(*blake3::hash(&number.to_le_bytes()).as_bytes())
    }

    fn record(size: usize, expires_ms: u64, namespace: &str) -> Arc<Record> {
        let payload = Bytes::from(vec![b'x'; size]);
        let deployment = "a::b".to_owned();
        Arc::new(Record {
            deployment,
            created_ms: 0,
            expires_ms,
            namespace: Namespace::new(namespace),
            question: Bytes::new(),
            payload,
        })
    }

    #[test]
    fn an_answer_is_gone_at_the_very_millisecond_it_expires() {
        let memory = Memory::new(1 << 20);
        memory.insert(key(1), record(10, 1_000, ""));
        assert!(memory.get(&key(1), 999).is_some());
        assert!(memory.get(&key(1), 1_000).is_none());
        assert_eq!(memory.entries(), 0);
    }

    #[test]
    fn memory_never_holds_more_bytes_than_it_was_given() {
        let memory = Memory::new(1 << 20);
        for number in 0..5_000 {
            memory.insert(key(number), record(number as usize % 3_000, u64::MAX, ""));
            assert!(memory.bytes() <= 1 << 20);
        }
        assert!(memory.bytes() > 1 << 19);
    }

    #[test]
    fn zero_bytes_keep_nothing() {
        let memory = Memory::new(0);
        memory.insert(key(1), record(1, u64::MAX, ""));
        assert!(memory.get(&key(1), 0).is_none());
        assert_eq!((memory.entries(), memory.bytes()), (0, 0));
    }

    #[test]
    fn a_scan_does_not_push_out_what_is_asked_every_day() {
        let memory = Memory::new(1 << 20);
        for number in 0..100 {
            memory.insert(key(number), record(1_000, u64::MAX, ""));
        }
        for round in 0..20 {
            for number in 0..100 {
                memory.get(&key(number), 0);
            }
            for scanned in 0..500 {
                memory.insert(key(1_000 + round * 500 + scanned), record(1_000, u64::MAX, ""));
            }
        }
        let kept = (0..100).filter(|number| memory.get(&key(*number), 0).is_some()).count();
        assert!(kept >= 95, "{kept} of 100");
    }

    #[test]
    fn what_was_read_before_a_clear_does_not_come_back_after_it() {
        let memory = Memory::new(1 << 20);
        let before = memory.epoch();
        memory.clear(None);
        memory.promote(key(1), &record(1, u64::MAX, ""), before);
        assert!(memory.get(&key(1), 0).is_none());
        memory.promote(key(1), &record(1, u64::MAX, ""), memory.epoch());
        assert!(memory.get(&key(1), 0).is_some());
    }

    #[test]
    fn what_was_read_before_another_memory_took_a_new_one_does_not_come_here_after_it() {
        let memory = Memory::new(1 << 20);
        let before = memory.epoch();
        memory.renew(key(1), &record(2, u64::MAX, ""));
        assert_eq!(memory.entries(), 0, "nobody asked for it here");
        memory.promote(key(1), &record(1, u64::MAX, ""), before);
        assert!(memory.get(&key(1), 0).is_none());
    }

    #[test]
    fn an_older_answer_that_was_being_read_does_not_replace_a_newer_one() {
        let made_at = |created_ms| Arc::new(Record { created_ms, ..(*record(1, u64::MAX, "")).clone() });
        let memory = Memory::new(1 << 20);
        for (read, expected) in [(5, 5), (4, 5), (5, 5), (6, 6)] {
            memory.promote(key(1), &made_at(read), memory.epoch());
            assert_eq!(memory.get(&key(1), 0).unwrap().created_ms, expected, "after one of {read} was read");
        }
        memory.insert(key(1), made_at(3));
        assert_eq!(memory.get(&key(1), 0).unwrap().created_ms, 3, "what is stored counts, whenever it was made");
    }

    #[test]
    fn clearing_one_tenant_leaves_the_others() {
        let memory = Memory::new(1 << 20);
        memory.insert(key(1), record(1, u64::MAX, "a"));
        memory.insert(key(2), record(1, u64::MAX, "b"));
        memory.clear(Some(Namespace::new("a")));
        assert!(memory.get(&key(1), 0).is_none());
        assert!(memory.get(&key(2), 0).is_some());
    }
}
