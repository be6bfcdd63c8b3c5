//! What is read of the file: one answer, waiting for others or not, or many in order.

use std::ops::Bound;
use std::sync::atomic::Ordering;

use redb::{Database, ReadableDatabase};

use super::snapshot::Snapshot;
use super::tables::{ENTRIES, INDEX};
use super::{Store, caught, migrate};
use crate::cache::{Key, Record};

/// Bytes that [`Store::scan`] returns at most, about, 16 MiB.
const SCANNED_BYTES_AT_ONCE: usize = 16 << 20;

/// An entry as [`Store::scan`] finds it: its place, its key, its record.
pub(in crate::cache) type Scanned = (Key, Key, Record);

/// What a look at the file finds that waits for nobody.
pub(in crate::cache) enum Look {
    /// The answer, by the snapshot with this number.
    Found(Record, u64),
    /// It is not there, by the snapshot with this number.
    Absent(u64),
    /// That cannot be told without waiting.
    Unsure,
}

/// What a row holds: a record, or damage.
type Row = Option<Record>;

impl Store {
    /// The record of a key, whole; whatever goes wrong is a miss. Of a file that is read more than now and then, a snapshot
    /// is kept for [`Store::look`].
    pub fn read(&self, key: &Key) -> Option<Record> {
        let is_kept = self.note_read();
        // A disk that is too full to write to can still be read, once redb has got over the failure.
        let _ = self.mend();
        let place = self.codec.place(key);
        // Taken by value, so that no lock is held while it is read.
        let current = self.snapshot().filter(|snapshot| snapshot.is_current());
        let read = self.with_handle(|handle| {
            if let Some(snapshot) = &current {
                return snapshot.find(&place, |row| self.decode(key, &place, row));
            }
            if self.is_migrating() {
                return self.read_while_migrating(handle.get()?, key, &place);
            }
            let snapshot = Snapshot::take(handle)?;
            let found = snapshot.find(&place, |row| self.decode(key, &place, row))?;
            if is_kept {
                self.keep(handle, snapshot);
            }
            Ok(found)
        });
        match read {
            Ok(None) => return None,
            Ok(Some(Some(record))) => {
                self.uses.note(key);
                return Some(record);
            }
            // An index that leads nowhere is damage, as is a record that cannot be decoded.
            Ok(Some(None)) | Err(_) => _ = self.read_errors.fetch_add(1, Ordering::Relaxed),
        }
        None
    }

    fn read_while_migrating(&self, database: &Database, key: &Key, place: &Key) -> Result<Option<Row>, redb::Error> {
        let transaction = database.begin_read()?;
        let Some(row) = transaction.open_table(INDEX)?.get(&place.0)? else {
            let bytes = migrate::read(&transaction, place)?;
            let decoded = |bytes: Vec<u8>| self.codec.decode(place, &bytes).filter(|(found, _)| found == key);
            return Ok(bytes.map(|bytes| decoded(bytes).map(|(_, record)| record)));
        };
        let row = transaction.open_table(ENTRIES)?.get(row.value().0)?;
        Ok(Some(row.and_then(|row| self.decode(key, place, row.value()))))
    }

    /// The record of a key without waiting for anyone: as far as the last reads tell, and only while nothing was
    /// committed since. Reads a few pages, which the system may have to fetch.
    pub fn look(&self, key: &Key) -> Look {
        let Some(snapshot) = self.snapshot().filter(|_| !self.is_broken.load(Ordering::Relaxed)) else {
            return Look::Unsure;
        };
        self.note_read();
        if !snapshot.is_current() {
            return Look::Unsure;
        }
        let place = self.codec.place(key);
        match caught(|| snapshot.find(&place, |row| self.decode(key, &place, row))) {
            Ok(None) => Look::Absent(snapshot.number),
            Ok(Some(Some(record))) => {
                self.uses.note(key);
                Look::Found(record, snapshot.number)
            }
            // Damage: the read that comes after it sees it too, and counts it.
            Ok(Some(None)) | Err(_) => Look::Unsure,
        }
    }

    /// What a row holds, if it is this key's, intact.
    pub(super) fn decode(&self, key: &Key, place: &Key, row: &[u8]) -> Option<Record> {
        let (found, record) = self.codec.decode(place, row.strip_prefix(&place.0)?)?;
        (found == *key).then_some(record)
    }

    /// Up to `limit` entries in the order of their places, from the first after `after`, or from the very first;
    /// fewer if they are long, none at the end. What cannot be read is left out.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn scan(&self, after: Option<Key>, limit: usize) -> Result<Vec<Scanned>, String> {
        self.note_use();
        self.mend()?;
        self.finish_migration()?;
        self.with(|database| {
            let transaction = database.begin_read()?;
            let (index, entries) = (transaction.open_table(INDEX)?, transaction.open_table(ENTRIES)?);
            let start = after.as_ref().map_or(Bound::Unbounded, |place| Bound::Excluded(&place.0));
            let (mut found, mut size) = (Vec::new(), 0);
            for row in index.range::<&[u8; 32]>((start, Bound::Unbounded))? {
                let (place, row) = row?;
                let place = Key(*place.value());
                let Some(entry) = entries.get(row.value().0)? else { continue };
                let bytes = entry.value().strip_prefix(&place.0);
                let Some((key, record)) = bytes.and_then(|bytes| self.codec.decode(&place, bytes)) else { continue };
                size += record.payload.len();
                found.push((place, key, record));
                if found.len() >= limit || size >= SCANNED_BYTES_AT_ONCE {
                    break;
                }
            }
            Ok(found)
        })
    }
}
