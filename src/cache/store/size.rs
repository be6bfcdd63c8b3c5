//! How much is stored, and what was known of that last.

use std::sync::atomic::Ordering;
use std::sync::{MutexGuard, PoisonError};

use redb::{ReadableDatabase, ReadableTableMetadata};

use super::tables::{INDEX, META, stored_bytes};
use super::{Store, migrate};

/// What [`Store::size`] would have said last, and which change of this process it follows.
#[derive(Clone, Copy, Default)]
pub(super) struct LastSize {
    pub change: u64,
    size: (u64, u64),
}

impl Store {
    /// Entries, and the bytes of the file that they take, about; zeros if that cannot be read. Does not wait for a
    /// compaction of this process, but for one of another.
    pub fn size(&self) -> (u64, u64) {
        if self.database.try_read().is_err() {
            return self.last_size();
        }
        let _ = self.mend();
        let before = *self.last();
        let size = self.with(|database| {
            let transaction = database.begin_read()?;
            let left = if self.is_migrating() { migrate::left(&transaction)? } else { 0 };
            let entries = transaction.open_table(INDEX)?.len()? + left;
            Ok((entries, stored_bytes(&transaction.open_table(META)?)?))
        });
        let size = size.unwrap_or_default();
        self.note_measured(before, size);
        size
    }

    /// What [`Store::size`] would have said when this process last read or wrote it.
    pub fn last_size(&self) -> (u64, u64) {
        self.last().size
    }

    /// The number of a change, for who has just begun to write: there is one at a time, so they are in order.
    pub(super) fn next_change(&self) -> u64 {
        self.changes.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// The size after a change that is on disk, unless that after a later one is known.
    pub(super) fn note_changed(&self, change: u64, size: (u64, u64)) {
        let mut last = self.last();
        if last.change < change {
            *last = LastSize { change, size };
        }
    }

    /// A size that was measured from when `before` was the last one, unless something was changed meanwhile.
    pub(super) fn note_measured(&self, before: LastSize, size: (u64, u64)) {
        let mut last = self.last();
        if last.change == before.change {
            last.size = size;
        }
    }

    pub(super) fn last(&self) -> MutexGuard<'_, LastSize> {
        self.last_size.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
