//! What leaves the file: the expired, a tenant's, and when room is needed the least worth keeping.
//!
//! Room is made as the clock algorithm does ("second chance"; F. J. Corbató, A Paging Experiment with the Multics
//! System, 1968). The expired go first. Then entries are considered from the lowest rank up: one that this process was
//! asked for since it was last considered, or a little before, gets the highest rank, any other is removed. If a whole pass over the file
//! finds almost everything in use, the next one spares nothing, so that room is always made.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use redb::{ReadableDatabase, ReadableTable, ReadableTableMetadata};

use super::tables::{ENTRIES, INDEX, META, stored_bytes};
use super::{Store, migrate, open};
use crate::cache::{Key, Namespace};

/// Entries that one transaction considers or removes at most, so that others get their turn, and their bytes at most,
/// about, 4 MiB.
const REMOVED_AT_ONCE: usize = 512;
const CONSIDERED_BYTES_AT_ONCE: usize = 4 << 20;

/// One removal, from where the file is full to where it is nine tenths full.
#[derive(Clone, Copy)]
pub(super) struct Pass {
    /// The ranks below this one are considered: those above were moved there, or written since.
    end: u64,
    spares_used: bool,
    spared: u64,
    removed: u64,
}

impl Pass {
    fn new(end: u64, spares_used: bool) -> Self {
        Self { end, spares_used, spared: 0, removed: 0 }
    }

    /// Whether the next pass spares what is in use: not if hardly anything else was found by this one.
    fn is_fruitful(&self) -> bool {
        self.removed > self.spared / 8
    }
}

/// An entry that is to be removed, by its place, unless its rank has changed in the meantime.
type Doomed = ([u8; 32], u64);

impl Store {
    /// Removes until there is room for so many bytes more; of a file that is far over its bound, twice as much as
    /// comes, so that it is written to while it shrinks.
    pub(super) fn make_room(&self, wanted: u64) -> Result<(), String> {
        let stored = self.size().1;
        let room = self.max_bytes.load(Ordering::Relaxed).saturating_sub(wanted);
        if stored > room {
            let target = room.max(stored.saturating_sub(wanted.saturating_mul(2)));
            self.begin_pass()?;
            while self.evict_some(target)? {}
        }
        Ok(())
    }

    /// Whether more is stored than the bound allows.
    pub fn is_over_bound(&self) -> bool {
        self.size().1 > self.max_bytes.load(Ordering::Relaxed)
    }

    /// Goes on with the removal that is under way, if one is, for one transaction. Returns whether it is over.
    pub(super) fn go_on_evicting(&self) -> Result<bool, String> {
        if self.is_over_bound() {
            self.begin_pass()?;
        }
        let limit = self.max_bytes.load(Ordering::Relaxed);
        let is_over = !self.evict_some(limit / 10 * 9)?;
        if is_over {
            *self.pass.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
        Ok(is_over)
    }

    fn begin_pass(&self) -> Result<(), String> {
        if self.pass.lock().unwrap_or_else(PoisonError::into_inner).is_some() {
            return Ok(());
        }
        let removed = self.remove_expired(self.now_ms.load(Ordering::Relaxed))?;
        self.evictions.fetch_add(removed as u64, Ordering::Relaxed);
        let pass = Pass::new(self.end()?, true);
        *self.pass.lock().unwrap_or_else(PoisonError::into_inner) = Some(pass);
        Ok(())
    }

    /// The rank that the next entry gets.
    fn end(&self) -> Result<u64, String> {
        self.with(|database| {
            let entries = database.begin_read()?.open_table(ENTRIES)?;
            Ok(entries.last()?.map_or(0, |(rank, _)| rank.value().saturating_add(1)))
        })
    }

    /// Considers some entries, in one transaction, unless no more than `target` bytes are stored. Returns whether there
    /// is more to do.
    fn evict_some(&self, target: u64) -> Result<bool, String> {
        let mut pass = self.pass.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(current) = pass.as_mut() else { return Ok(false) };
        let Pass { end, spares_used, .. } = *current;
        let (spared, removed, left, is_enough) = self.change(|tables| {
            let (mut considered, mut spared, mut removed, mut size) = (0, 0, 0, 0);
            while considered < REMOVED_AT_ONCE && size < CONSIDERED_BYTES_AT_ONCE && tables.bytes > target {
                let first = tables.entries.first()?.map(|(rank, row)| (rank.value(), row.value().to_vec()));
                let Some((rank, row)) = first.filter(|(rank, _)| *rank < end) else { break };
                considered += 1;
                size += row.len();
                let Some(place) = row.first_chunk::<32>().map(|place| Key(*place)) else {
                    tables.forget(rank)?;
                    continue;
                };
                let known = tables.index.get(&place.0)?.map(|known| known.value()).filter(|known| known.0 == rank);
                let Some((_, expires_ms, namespace)) = known else {
                    tables.forget(rank)?;
                    continue;
                };
                if spares_used && self.was_used(&place, &row) {
                    tables.append(&place, &row, expires_ms, namespace)?;
                    spared += 1;
                } else {
                    tables.index.remove(&place.0)?;
                    tables.forget(rank)?;
                    removed += 1;
                }
            }
            Ok((spared, removed, tables.index.len()?, tables.bytes <= target))
        })?;
        self.evictions.fetch_add(removed, Ordering::Relaxed);
        self.uses.count_considered(spared + removed, left);
        current.spared += spared;
        current.removed += removed;
        if is_enough || spared + removed > 0 {
            return Ok(!is_enough);
        }
        // All was considered that was there when the pass began.
        let rest = self.end()?;
        *pass = (rest > 0).then(|| Pass::new(rest, current.is_fruitful()));
        Ok(rest > 0)
    }

    /// Whether this process was asked for the answer lately.
    fn was_used(&self, place: &Key, row: &[u8]) -> bool {
        let decoded = row.strip_prefix(&place.0).and_then(|bytes| self.codec.decode(place, bytes));
        decoded.is_some_and(|(key, _)| self.uses.is_noted(&key))
    }

    /// Removes what has expired. Returns how many.
    pub fn prune(&self, now_ms: u64) -> Result<usize, String> {
        self.note_use();
        self.mend()?;
        self.finish_migration()?;
        self.remove_expired(now_ms)
    }

    fn remove_expired(&self, now_ms: u64) -> Result<usize, String> {
        let expired = self.find(|expires_ms, _| expires_ms <= now_ms)?;
        self.remove(&expired)
    }

    /// Removes the entries of one namespace, or all.
    pub fn clear(&self, namespace: Option<Namespace>) -> Result<(), String> {
        self.note_use();
        self.mend()?;
        if let Some(namespace) = namespace {
            self.finish_migration()?;
            let theirs = self.find(|_, tag| tag == namespace.0)?;
            return self.remove(&theirs).map(drop);
        }
        let (change, freed) = self.with(|database| {
            let transaction = database.begin_write()?;
            let change = self.next_change();
            let freed = stored_bytes(&transaction.open_table(META)?)?;
            transaction.delete_table(ENTRIES)?;
            transaction.delete_table(INDEX)?;
            migrate::discard(&transaction)?;
            open::create_tables(&transaction, self.codec.seal())?;
            transaction.commit()?;
            Ok((change, freed))
        })?;
        self.freed.fetch_add(freed, Ordering::Relaxed);
        self.note_changed(change, (0, 0));
        self.is_migrating.store(false, Ordering::Relaxed);
        self.renew();
        Ok(())
    }

    /// The entries whose expiry and namespace are wanted.
    fn find(&self, is_wanted: impl Fn(u64, u64) -> bool) -> Result<Vec<Doomed>, String> {
        self.with(|database| {
            let index = database.begin_read()?.open_table(INDEX)?;
            let mut found = Vec::new();
            for entry in index.iter()? {
                let (place, row) = entry?;
                let (rank, expires_ms, namespace) = row.value();
                if is_wanted(expires_ms, namespace) {
                    found.push((*place.value(), rank));
                }
            }
            Ok(found)
        })
    }

    /// Removes entries. Returns how many: another process may have been faster.
    fn remove(&self, doomed: &[Doomed]) -> Result<usize, String> {
        let mut removed = 0;
        for some in doomed.chunks(REMOVED_AT_ONCE) {
            removed += self.change(|tables| {
                let mut count = 0;
                for (place, rank) in some {
                    // The answer may have been stored anew.
                    let is_same = tables.index.get(place)?.is_some_and(|row| row.value().0 == *rank);
                    if is_same {
                        tables.index.remove(place)?;
                        tables.forget(*rank)?;
                        count += 1;
                    }
                }
                Ok(count)
            })?;
        }
        Ok(removed)
    }
}
