//! The second tier: answers on disk, in one file that any number of processes share. The only file that names `redb`.
//!
//! Three tables: `thryd` (the format's version, the bytes stored), `entries` (key to record) and `ages` (creation and
//! key to expiry and namespace), so that finding the expired, the oldest and one tenant's never reads an answer. Every
//! transaction keeps the three in step. Nothing here fails an answer: a read that goes wrong is a miss, a write that
//! goes wrong is counted, and a database that has seen an error is opened anew before the next write.

use std::fs::{Metadata, OpenOptions};
use std::io::{ErrorKind, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};

use redb::{
    Builder, ConcurrencyMode, Database, DatabaseError, ReadTransaction, ReadableDatabase, ReadableTable,
    ReadableTableMetadata, TableDefinition, TableError,
};

use super::flight::describe;
use super::memory::Memory;
use super::record::MAX_PAYLOAD_BYTES;
use super::writes::{Group, Writes};
use super::{Key, Namespace, Record};
use crate::error::{Error, Result};

/// Version of the tables and of what is in them; `docs/cache.md` says what a new one means.
const FORMAT: u64 = 1;

const META: TableDefinition<&str, u64> = TableDefinition::new("thryd");
const ENTRIES: TableDefinition<&[u8; 32], &[u8]> = TableDefinition::new("entries");
/// Big-endian creation time, then the key; expiry and namespace.
const AGES: TableDefinition<&[u8; 40], (u64, u64)> = TableDefinition::new("ages");

/// Pages that redb keeps in memory, 32 MiB: the answers themselves are kept by the tier above.
const PAGE_CACHE_BYTES: usize = 32 << 20;

/// Entries that one transaction removes at most, so that other processes get their turn.
const REMOVED_AT_ONCE: usize = 512;

/// The stores that are open in this process.
static STORES: Mutex<Vec<Weak<Store>>> = Mutex::new(Vec::new());

/// One open file, shared by every router and thread of the process. Dropped, it writes what waits to be written.
pub(super) struct Store {
    path: PathBuf,
    identity: Option<(u64, u64)>,
    disk: Arc<Disk>,
    writes: Writes,
    memories: Mutex<Vec<Weak<Memory>>>,
}

/// Waits until everything that was put into any store of this process is on disk: for the end of the process.
pub fn flush_all() {
    let stores: Vec<_> = locked(&STORES).iter().filter_map(Weak::upgrade).collect();
    for store in stores {
        // Whoever asked for durability by `flush` is told; here is nobody left to tell.
        let _ = store.flush();
    }
}

impl Store {
    /// Opens or creates the file, or joins this process's store of the same file, whose bound then is the smaller one.
    ///
    /// # Errors
    /// If there is no such directory, or if what is there is not a cache, or one of a newer version; it is not touched.
    pub fn open(path: &Path, max_bytes: u64) -> Result<Arc<Self>> {
        let refused = |message: String| Error::cache(path.display(), message);
        let mut stores = locked(&STORES);
        let metadata = prepare(path).map_err(refused)?;
        let canonical = path.canonicalize().map_err(|error| refused(error.to_string()))?;
        let identity = identity(&metadata);
        stores.retain(|store| store.strong_count() > 0);
        let is_same = |store: &Arc<Self>| store.path == canonical && store.identity == identity;
        if let Some(store) = stores.iter().filter_map(Weak::upgrade).find(is_same) {
            store.disk.max_bytes.fetch_min(max_bytes, Ordering::Relaxed);
            return Ok(store);
        }
        let database = open_database(&canonical).map_err(refused)?;
        let disk = Arc::new(Disk {
            path: canonical.clone(),
            database: RwLock::new(Arc::new(database)),
            is_broken: AtomicBool::new(false),
            max_bytes: AtomicU64::new(max_bytes),
            read_errors: AtomicU64::new(0),
        });
        let writer = Arc::clone(&disk);
        let writes = Writes::new(Box::new(move |group| writer.write(group)));
        let store = Arc::new(Self { path: canonical, identity, disk, writes, memories: Mutex::default() });
        stores.push(Arc::downgrade(&store));
        Ok(store)
    }

    /// The memory tier before this file, shared by all of this process that ask for the same size.
    pub fn memory(&self, capacity: u64) -> Arc<Memory> {
        let mut memories = locked(&self.memories);
        memories.retain(|memory| memory.strong_count() > 0);
        if let Some(memory) = memories.iter().filter_map(Weak::upgrade).find(|memory| memory.capacity() == capacity) {
            return memory;
        }
        let memory = Arc::new(Memory::new(capacity));
        memories.push(Arc::downgrade(&memory));
        memory
    }

    /// The answer, if it is here, intact and not expired. Blocks for a read.
    pub fn get(&self, key: &Key, now_ms: u64) -> Option<Arc<Record>> {
        let record = self.writes.get(key).or_else(|| self.disk.read(key).map(Arc::new))?;
        (!record.is_expired(now_ms)).then_some(record)
    }

    /// Stores an answer soon; never waits.
    pub fn put(&self, key: Key, record: Arc<Record>) {
        if record.payload.len() > MAX_PAYLOAD_BYTES {
            let size = record.payload.len();
            self.writes.refuse(format!("an answer of {size} bytes is longer than {MAX_PAYLOAD_BYTES}"));
        } else {
            self.writes.put(key, record);
        }
    }

    /// Waits until all that was put before is on disk.
    ///
    /// # Errors
    /// If something since the last flush was lost.
    pub fn flush(&self) -> Result<()> {
        self.writes.flush().map_err(|message| Error::cache(self.path.display(), message))
    }

    /// Removes what has expired, here and in memory. Returns how many were on disk.
    pub fn prune(&self, now_ms: u64) -> Result<usize> {
        for memory in self.memories() {
            memory.prune(now_ms);
        }
        self.flush()?;
        self.disk.prune(now_ms).map_err(|message| Error::cache(self.path.display(), message))
    }

    /// Removes the answers of one namespace, or all, on disk and in this process's memory.
    pub fn clear(&self, namespace: Option<Namespace>) -> Result<()> {
        for memory in self.memories() {
            memory.clear(namespace);
        }
        // What cannot be written cannot be found later either, so a failure to write is no failure to clear.
        let _ = self.flush();
        let outcome = self.disk.clear(namespace).map_err(|message| Error::cache(self.path.display(), message));
        // Again, for what was promoted while the disk still had it.
        for memory in self.memories() {
            memory.clear(namespace);
        }
        outcome
    }

    /// Entries on disk and the bytes they take there, about; zeros if that cannot be read.
    pub fn size(&self) -> (u64, u64) {
        self.disk.size()
    }

    /// Entries that were lost before they were written.
    pub fn write_errors(&self) -> u64 {
        self.writes.errors().0
    }

    /// Reads that failed and were taken for misses.
    pub fn read_errors(&self) -> u64 {
        self.disk.read_errors.load(Ordering::Relaxed)
    }

    /// Why the last entry was lost.
    pub fn last_error(&self) -> Option<String> {
        self.writes.errors().1
    }

    fn memories(&self) -> Vec<Arc<Memory>> {
        locked(&self.memories).iter().filter_map(Weak::upgrade).collect()
    }
}

/// The database, and what is known of its state.
struct Disk {
    path: PathBuf,
    database: RwLock<Arc<Database>>,
    /// An error was seen, after which redb wants to be opened anew.
    is_broken: AtomicBool,
    max_bytes: AtomicU64,
    read_errors: AtomicU64,
}

impl Disk {
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

    fn read(&self, key: &Key) -> Option<Record> {
        let read = self.with(|database| {
            let entries = database.begin_read()?.open_table(ENTRIES)?;
            Ok(entries.get(&key.0)?.map(|bytes| Record::decode(key, bytes.value())))
        });
        match read {
            Ok(None) => None,
            Ok(Some(Some(record))) => Some(record),
            Ok(Some(None)) | Err(_) => {
                self.read_errors.fetch_add(1, Ordering::Relaxed);
                None
            }
        }
    }

    fn size(&self) -> (u64, u64) {
        let size = self.with(|database| {
            let transaction = database.begin_read()?;
            let entries = transaction.open_table(ENTRIES)?.len()?;
            Ok((entries, stored_bytes(&transaction.open_table(META)?)?))
        });
        size.unwrap_or_default()
    }

    /// Writes one group in one transaction, then makes room if there is too much.
    fn write(&self, group: &Group) -> Result<(), String> {
        self.mend()?;
        let encoded: Vec<_> =
            group.iter().filter_map(|(key, record)| Some((key, record, record.encode(key)?))).collect();
        let stored = self.with(|database| {
            let transaction = database.begin_write()?;
            let total = {
                let mut entries = transaction.open_table(ENTRIES)?;
                let mut ages = transaction.open_table(AGES)?;
                let mut meta = transaction.open_table(META)?;
                let mut total = stored_bytes(&meta)?;
                for (key, record, bytes) in &encoded {
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
            let now_ms = group.values().map(|record| record.created_ms).max().unwrap_or_default();
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

    fn prune(&self, now_ms: u64) -> Result<usize, String> {
        let expired = self.find(usize::MAX, |expires_ms, _| expires_ms <= now_ms)?;
        self.remove(&expired, None)
    }

    fn clear(&self, namespace: Option<Namespace>) -> Result<(), String> {
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
                    for age in some.iter() {
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
        Err(panic) => Err(format!("the file is damaged: {}", describe(&*panic))),
    }
}

/// Bytes of the file that a record of this length takes, about: small ones share a page of 4 KiB that is two thirds
/// full, larger ones have pages of their own, of a power of two; both have an age.
fn footprint(length: usize) -> u64 {
    let entry = length as u64 + 48;
    let pages = if entry * 2 > 4064 { entry.next_power_of_two().max(4096) } else { entry * 3 / 2 };
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

/// Creates the file if there is none, readable by its owner alone; refuses what is not a file.
fn prepare(path: &Path) -> Result<Metadata, String> {
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => return Ok(metadata),
        Ok(metadata) if metadata.is_dir() => return Err("it is a directory; give the path of a file".to_owned()),
        Ok(_) => return Err("it is not a file".to_owned()),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error.to_string()),
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    if let Some(parent) = parent.filter(|parent| !parent.is_dir()) {
        return Err(format!("there is no directory {}", parent.display()));
    }
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(path).map_err(|error| error.to_string())?;
    file.metadata().map_err(|error| error.to_string())
}

/// What tells a file from a later one with its name, where the system says.
fn identity(metadata: &Metadata) -> Option<(u64, u64)> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        Some((metadata.dev(), metadata.ino()))
    }
    #[cfg(not(unix))]
    {
        let _ = metadata;
        None
    }
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

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
