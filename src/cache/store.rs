//! Answers in one file that any number of processes share. The only file that names `redb`.
//!
//! Three tables: `thryd` (the format's version, the bytes stored), `entries` (key to record) and `ages` (creation and
//! key to expiry and namespace), so that finding the expired, the oldest and one tenant's never reads an answer. Every
//! transaction keeps the three in step. Nothing here fails an answer: a read that goes wrong is a miss, a write that
//! goes wrong is counted, and a database that has seen an error is opened anew before the next write.

use std::io::Read;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use redb::{
    Builder, ConcurrencyMode, Database, DatabaseError, ReadTransaction, ReadableDatabase, ReadableTable,
    ReadableTableMetadata, TableDefinition, TableError,
};

use super::writes::Group;
use super::{Codec, Key, Namespace, Record};
use crate::error::panic_text;

/// Version of the tables and of what is in them; `docs/cache.md` says what a new one means.
const FORMAT: u64 = 1;

const META: TableDefinition<&str, u64> = TableDefinition::new("thryd");
const ENTRIES: TableDefinition<&[u8; 32], &[u8]> = TableDefinition::new("entries");
/// Big-endian creation time, then the key; expiry and namespace.
const AGES: TableDefinition<&[u8; 40], (u64, u64)> = TableDefinition::new("ages");

/// Pages that redb keeps in memory, 32 MiB: the answers themselves are kept by the tier above.
const PAGE_CACHE_BYTES: usize = 32 << 20;

/// Entries that one transaction writes at most.
const WRITTEN_AT_ONCE: usize = 256;

/// Entries that one transaction removes at most, so that other processes get their turn.
const REMOVED_AT_ONCE: usize = 512;

/// The file, and what is known of its state.
pub(super) struct Store {
    path: PathBuf,
    codec: Codec,
    database: RwLock<Arc<Database>>,
    /// An error was seen, after which redb wants to be opened anew.
    is_broken: AtomicBool,
    max_bytes: AtomicU64,
    read_errors: AtomicU64,
}

impl Store {
    /// Opens a file that exists and is empty or ours.
    ///
    /// # Errors
    /// Why not; the file is then as it was, but for the repair that a crash of its owner had left to do.
    pub fn open(path: &Path, max_bytes: u64, codec: Codec) -> Result<Self, String> {
        let database = RwLock::new(Arc::new(open_database(path)?));
        let (is_broken, read_errors) = (AtomicBool::new(false), AtomicU64::new(0));
        Ok(Self {
            path: path.to_owned(),
            codec,
            database,
            is_broken,
            max_bytes: AtomicU64::new(max_bytes),
            read_errors,
        })
    }

    /// Makes the bound the smaller of this and what it was.
    pub fn lower_bound(&self, max_bytes: u64) {
        self.max_bytes.fetch_min(max_bytes, Ordering::Relaxed);
    }

    /// Reads that failed and were taken for misses.
    pub fn read_errors(&self) -> u64 {
        self.read_errors.load(Ordering::Relaxed)
    }

    /// Does something with the database. An error is its text, and so is a panic: redb panics on some damaged files.
    fn with<T>(&self, act: impl FnOnce(&Database) -> Result<T, redb::Error>) -> Result<T, String> {
        let database = Arc::clone(&self.database.read().unwrap_or_else(PoisonError::into_inner));
        let outcome = caught(|| act(&database));
        if outcome.is_err() {
            self.is_broken.store(true, Ordering::Relaxed);
        }
        outcome
    }

    /// Opens the database anew if it has seen an error.
    fn mend(&self) -> Result<(), String> {
        if self.is_broken.swap(false, Ordering::Relaxed) {
            let fresh = open_database(&self.path).inspect_err(|_| self.is_broken.store(true, Ordering::Relaxed))?;
            *self.database.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(fresh);
        }
        Ok(())
    }

    /// The record of a key, whole; whatever goes wrong is a miss.
    pub fn read(&self, key: &Key) -> Option<Record> {
        let place = self.codec.place(key);
        let decode = |bytes: &[u8]| self.codec.decode(&place, bytes).filter(|(found, _)| found == key);
        let read = self.with(|database| {
            let entries = database.begin_read()?.open_table(ENTRIES)?;
            Ok(entries.get(&place.0)?.map(|bytes| decode(bytes.value())))
        });
        match read {
            Ok(None) => None,
            Ok(Some(Some((_, record)))) => Some(record),
            Ok(Some(None)) | Err(_) => {
                self.read_errors.fetch_add(1, Ordering::Relaxed);
                None
            }
        }
    }

    /// Up to `limit` entries after a place, in the order of the places: place, key, record. One that cannot be read is
    /// passed over. None are left after the last.
    pub fn scan(&self, after: Option<Key>, limit: usize) -> Result<Vec<(Key, Key, Record)>, String> {
        use std::ops::Bound;
        self.with(|database| {
            let entries = database.begin_read()?.open_table(ENTRIES)?;
            let from = after.as_ref().map_or(Bound::Unbounded, |place| Bound::Excluded(&place.0));
            let mut found = Vec::new();
            for entry in entries.range::<&[u8; 32]>((from, Bound::Unbounded))? {
                let (place, bytes) = entry?;
                let place = Key(*place.value());
                found.extend(self.codec.decode(&place, bytes.value()).map(|(key, record)| (place, key, record)));
                if found.len() >= limit {
                    break;
                }
            }
            Ok(found)
        })
    }

    /// Entries, and the bytes of the file that they take, about; zeros if that cannot be read.
    pub fn size(&self) -> (u64, u64) {
        let size = self.with(|database| {
            let transaction = database.begin_read()?;
            let entries = transaction.open_table(ENTRIES)?.len()?;
            Ok((entries, stored_bytes(&transaction.open_table(META)?)?))
        });
        size.unwrap_or_default()
    }

    /// Writes a group, in transactions so small that other processes get their turn and little is stored beyond the
    /// bound, making room after each.
    pub fn write(&self, group: &Group) -> Result<(), String> {
        self.mend()?;
        let encode = |(key, record): (&Key, &Arc<Record>)| {
            let bytes = self.codec.encode(key, record)?;
            Some((self.codec.place(key), Arc::clone(record), bytes))
        };
        let encoded: Vec<_> = group.iter().filter_map(encode).collect();
        encoded.chunks(WRITTEN_AT_ONCE).try_for_each(|some| self.write_some(some))
    }

    fn write_some(&self, encoded: &[(Key, Arc<Record>, Vec<u8>)]) -> Result<(), String> {
        let stored = self.with(|database| {
            let transaction = database.begin_write()?;
            let total = {
                let mut entries = transaction.open_table(ENTRIES)?;
                let mut ages = transaction.open_table(AGES)?;
                let mut meta = transaction.open_table(META)?;
                let mut total = stored_bytes(&meta)?;
                for (key, record, bytes) in encoded {
                    let replaced = entries.insert(&key.0, bytes.as_slice())?.map(|old| {
                        let old = old.value();
                        (footprint(old.len()), Record::peek_created_ms(old))
                    });
                    if let Some((size, created_ms)) = replaced {
                        total = total.saturating_sub(size);
                        if let Some(created_ms) = created_ms {
                            ages.remove(&age(created_ms, key))?;
                        }
                    }
                    ages.insert(&age(record.created_ms, key), (record.expires_ms, record.namespace.0))?;
                    total = total.saturating_add(footprint(bytes.len()));
                }
                meta.insert("bytes", total)?;
                total
            };
            transaction.commit()?;
            Ok(total)
        })?;
        let limit = self.max_bytes.load(Ordering::Relaxed);
        if stored > limit {
            let now_ms = encoded.iter().map(|(_, record, _)| record.created_ms).max().unwrap_or_default();
            // The group is stored all the same; what is in the way meets the next group too.
            let _ = self.evict(limit / 10 * 9, now_ms);
        }
        Ok(())
    }

    /// Removes the expired, then the oldest, until no more than `target` bytes are left.
    fn evict(&self, target: u64, now_ms: u64) -> Result<(), String> {
        self.prune(now_ms)?;
        while self.size().1 > target {
            let oldest = self.find(REMOVED_AT_ONCE, |_, _| true)?;
            if self.remove(&oldest, Some(target))? == 0 {
                break;
            }
        }
        Ok(())
    }

    /// Removes what has expired. Returns how many.
    pub fn prune(&self, now_ms: u64) -> Result<usize, String> {
        let expired = self.find(usize::MAX, |expires_ms, _| expires_ms <= now_ms)?;
        self.remove(&expired, None)
    }

    /// Removes the entries of one namespace, or all.
    pub fn clear(&self, namespace: Option<Namespace>) -> Result<(), String> {
        self.mend()?;
        if let Some(namespace) = namespace {
            let theirs = self.find(usize::MAX, |_, tag| tag == namespace.0)?;
            return self.remove(&theirs, None).map(drop);
        }
        self.with(|database| {
            let transaction = database.begin_write()?;
            transaction.delete_table(ENTRIES)?;
            transaction.delete_table(AGES)?;
            create_tables(&transaction)?;
            Ok(transaction.commit()?)
        })
    }

    /// The ages of the first `limit` entries, oldest first, whose expiry and namespace are wanted.
    fn find(&self, limit: usize, is_wanted: impl Fn(u64, u64) -> bool) -> Result<Vec<[u8; 40]>, String> {
        self.with(|database| {
            let ages = database.begin_read()?.open_table(AGES)?;
            let mut found = Vec::new();
            for entry in ages.iter()? {
                let (age, value) = entry?;
                let (expires_ms, namespace) = value.value();
                if is_wanted(expires_ms, namespace) {
                    found.push(*age.value());
                }
                if found.len() >= limit {
                    break;
                }
            }
            Ok(found)
        })
    }

    /// Removes entries by their ages, in their order, all or until `target` bytes are left. Returns how many.
    fn remove(&self, doomed: &[[u8; 40]], target: Option<u64>) -> Result<usize, String> {
        let mut removed = 0;
        for some in doomed.chunks(REMOVED_AT_ONCE) {
            removed += self.with(|database| {
                let transaction = database.begin_write()?;
                let count = {
                    let mut entries = transaction.open_table(ENTRIES)?;
                    let mut ages = transaction.open_table(AGES)?;
                    let mut meta = transaction.open_table(META)?;
                    let mut total = stored_bytes(&meta)?;
                    let mut count = 0;
                    for age in some {
                        if target.is_some_and(|target| total <= target) {
                            break;
                        }
                        // Another process may have been faster, or may have stored the answer anew with a new age.
                        let is_here = ages.remove(age)?.is_some();
                        let Some(key) = age.last_chunk::<32>().filter(|_| is_here) else { continue };
                        if let Some(old) = entries.remove(key)? {
                            total = total.saturating_sub(footprint(old.value().len()));
                            count += 1;
                        }
                    }
                    meta.insert("bytes", total)?;
                    count
                };
                transaction.commit()?;
                Ok(count)
            })?;
        }
        Ok(removed)
    }
}

/// Runs something of redb's. An error is its text, and so is a panic.
fn caught<T>(act: impl FnOnce() -> Result<T, redb::Error>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(act)) {
        Ok(outcome) => outcome.map_err(|error| error.to_string()),
        Err(panic) => Err(format!("the file is damaged: {}", panic_text(&*panic))),
    }
}

/// Bytes of the file that a record of this length takes, about: small ones share pages of 4 KiB that are half full,
/// larger ones have pages of their own, of a power of two; all have an age. The file itself may be twice the sum, because
/// redb doubles it when it grows, and keeps what is free for later.
fn footprint(length: usize) -> u64 {
    let entry = length as u64 + 48;
    let pages = if entry * 2 > 4064 { entry.next_power_of_two().max(4096) } else { entry * 2 };
    pages + 96
}

fn age(created_ms: u64, key: &Key) -> [u8; 40] {
    let mut age = [0; 40];
    age[..8].copy_from_slice(&created_ms.to_be_bytes());
    age[8..].copy_from_slice(&key.0);
    age
}

fn stored_bytes(meta: &impl ReadableTable<&'static str, u64>) -> Result<u64, redb::Error> {
    Ok(meta.get("bytes")?.map_or(0, |bytes| bytes.value()))
}

fn create_tables(transaction: &redb::WriteTransaction) -> Result<(), redb::Error> {
    let mut meta = transaction.open_table(META)?;
    meta.insert("format", FORMAT)?;
    meta.insert("bytes", 0)?;
    transaction.open_table(ENTRIES)?;
    transaction.open_table(AGES)?;
    Ok(())
}

/// Opens a file that exists. One that is not ours is recognised by a look that cannot change it.
fn open_database(path: &Path) -> Result<Database, String> {
    let mut builder = Builder::new();
    builder.set_concurrency_mode(ConcurrencyMode::MultiWriter).set_cache_size(PAGE_CACHE_BYTES);
    if !is_blank(path).map_err(|error| error.to_string())? {
        let verdict = caught(|| look(&builder, path));
        verdict.map_err(|message| format!("it cannot be read as a cache: {message}"))??;
    }
    let database = caught(|| Ok(builder.create(path)?))?;
    let is_new = caught(|| Ok(inspect(&database.begin_read()?)))??;
    if is_new {
        caught(|| {
            let transaction = database.begin_write()?;
            // Another process may have been faster since the look.
            if transaction.list_tables()?.next().is_none() {
                create_tables(&transaction)?;
            }
            Ok(transaction.commit()?)
        })?;
    }
    Ok(database)
}

/// Whether the file is empty, or is being made by another process right now: redb writes its first bytes last.
fn is_blank(path: &Path) -> std::io::Result<bool> {
    let mut head = Vec::new();
    std::fs::File::open(path)?.take(9).read_to_end(&mut head)?;
    Ok(head.iter().all(|byte| *byte == 0))
}

/// Looks into a file without changing it. A file that a crash left is not looked into: its owner's repair comes first.
fn look(builder: &Builder, path: &Path) -> Result<Result<(), String>, redb::Error> {
    match builder.open_read_only(path) {
        Ok(database) => Ok(inspect(&database.begin_read()?).map(drop)),
        Err(DatabaseError::RepairAborted) => Ok(Ok(())),
        Err(error) => Err(error.into()),
    }
}

/// Whether the file has no tables yet; refuses one that is not ours or newer than we are.
fn inspect(transaction: &ReadTransaction) -> Result<bool, String> {
    const FOREIGN: &str = "it is a database of another program";
    let meta = match transaction.open_table(META) {
        Ok(meta) => meta,
        Err(TableError::Storage(error)) => return Err(error.to_string()),
        Err(TableError::TableDoesNotExist(_)) => {
            let tables = transaction.list_tables().map_err(|error| error.to_string())?;
            let multimaps = transaction.list_multimap_tables().map_err(|error| error.to_string())?;
            let is_empty = tables.count() + multimaps.count() == 0;
            return if is_empty { Ok(true) } else { Err(FOREIGN.to_owned()) };
        }
        Err(_) => return Err(FOREIGN.to_owned()),
    };
    let format = meta.get("format").map_err(|error| error.to_string())?.map(|format| format.value());
    match format {
        Some(FORMAT) => Ok(false),
        Some(format) if format > FORMAT => {
            Err(format!("its format is {format}, made by a newer version of thryd; this one reads {FORMAT}"))
        }
        _ => Err(FOREIGN.to_owned()),
    }
}

// Named here because this is the only file that names `redb`.
#[cfg(test)]
use redb::{BackendError, StorageBackend, backends::FileBackend};

#[cfg(test)]
mod tests;
