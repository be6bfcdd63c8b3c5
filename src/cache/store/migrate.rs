//! From format 1 to 2, in steps that each leave a whole file.
//!
//! The first step gives the old tables other names and makes the new ones, whose `entries` has another shape: from then
//! on a process of an older version that still has the file open fails to write, looks again, and refuses the file as
//! newer. Each further step moves some answers, oldest first; what is not moved yet is read where it is.

use std::sync::atomic::Ordering;

use redb::{ReadTransaction, ReadableTable, ReadableTableMetadata, TableDefinition, TableError, WriteTransaction};

use super::{Store, open};
use crate::cache::Key;

pub(super) type Entries = TableDefinition<'static, &'static [u8; 32], &'static [u8]>;
pub(super) type Ages = TableDefinition<'static, &'static [u8; 40], (u64, u64)>;

/// Key to record, as format 1 had it, and its name until all is moved.
pub(super) const ENTRIES_1: Entries = TableDefinition::new("entries");
const ENTRIES_LEFT: Entries = TableDefinition::new("entries of format 1");
/// Big-endian creation time, then the key; expiry and namespace.
pub(super) const AGES_1: Ages = TableDefinition::new("ages");
const AGES_LEFT: Ages = TableDefinition::new("ages of format 1");

/// Entries that one transaction moves at most, and their bytes at most, about, 4 MiB.
const MOVED_AT_ONCE: usize = 256;
const MOVED_BYTES_AT_ONCE: usize = 4 << 20;

/// Turns a file of format 1 into one of format 2 whose answers are still to be moved.
pub(super) fn begin(transaction: &WriteTransaction) -> Result<(), redb::Error> {
    transaction.rename_table(ENTRIES_1, ENTRIES_LEFT)?;
    transaction.rename_table(AGES_1, AGES_LEFT)?;
    open::create_tables(transaction, 0)
}

/// How many answers are still to be moved.
pub(super) fn left(transaction: &ReadTransaction) -> Result<u64, redb::Error> {
    match transaction.open_table(ENTRIES_LEFT) {
        Ok(entries) => Ok(entries.len()?),
        Err(TableError::TableDoesNotExist(_)) => Ok(0),
        Err(error) => Err(error.into()),
    }
}

/// The record of an answer that is still to be moved.
pub(super) fn read(transaction: &ReadTransaction, place: &Key) -> Result<Option<Vec<u8>>, redb::Error> {
    match transaction.open_table(ENTRIES_LEFT) {
        Ok(entries) => Ok(entries.get(&place.0)?.map(|bytes| bytes.value().to_vec())),
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Forgets what is still to be moved.
pub(super) fn discard(transaction: &WriteTransaction) -> Result<(), redb::Error> {
    transaction.delete_table(ENTRIES_LEFT)?;
    transaction.delete_table(AGES_LEFT)?;
    Ok(())
}

impl Store {
    /// Moves all that is left.
    pub(super) fn finish_migration(&self) -> Result<(), String> {
        while self.is_migrating() {
            self.migrate_some()?;
        }
        Ok(())
    }

    /// Moves some, in one transaction. Any number of processes may do that at once.
    pub(super) fn migrate_some(&self) -> Result<(), String> {
        let is_over = self.change_with(|transaction, tables| {
            let (mut moved, mut size) = (0, 0);
            {
                let mut ages = transaction.open_table(AGES_LEFT)?;
                let mut entries = transaction.open_table(ENTRIES_LEFT)?;
                while moved < MOVED_AT_ONCE && size < MOVED_BYTES_AT_ONCE {
                    let Some((age, row)) = ages.pop_first()? else { break };
                    let (age, (expires_ms, namespace)) = (*age.value(), row.value());
                    moved += 1;
                    let Some(place) = age.last_chunk::<32>().map(|key| Key(*key)) else { continue };
                    let Some(old) = entries.remove(&place.0)? else { continue };
                    // The same question may have been answered anew.
                    if tables.index.get(&place.0)?.is_none() {
                        tables.insert(&place, old.value(), expires_ms, namespace)?;
                    }
                    size += old.value().len();
                    tables.freed += old.value().len() as u64;
                }
            }
            if moved == 0 {
                discard(transaction)?;
            }
            Ok(moved == 0)
        })?;
        if is_over {
            self.is_migrating.store(false, Ordering::Relaxed);
        }
        Ok(())
    }
}
