//! Answers in one file that any number of processes share. Only this and the files below it name `redb`.
//!
//! Three tables: `thryd` (the format's version, the seal, the bytes stored), `entries` (rank to place and record) and
//! `index` (place to rank, expiry and namespace). The rank is the order of worth: what is written, or found to be in
//! use when room is made, gets the highest. So `entries` grows at one end, where its pages are filled to the last byte,
//! and shrinks at the other; and finding the expired and one tenant's never reads an answer. Every transaction keeps
//! the tables in step. Nothing here fails an answer: a read that goes wrong is a miss, a write that goes wrong is
//! counted, and a database that has seen an error is opened anew before it is used again.

mod compact;
mod evict;
mod migrate;
mod open;
mod pack;
mod read;
mod size;
mod snapshot;
mod tables;

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Instant, SystemTime};

use redb::{Database, ReadableTableMetadata, WriteTransaction};

use super::uses::Uses;
use super::writes::{Group, Lost};
use super::{Codec, Key, Record};
use crate::compression::Effort;
use crate::error::panic_text;
use evict::Pass;
pub(super) use read::{Look, Scanned};
use size::LastSize;
use snapshot::{KEPT, Snapshot};
use tables::{Tables, footprint};

/// Entries that one transaction writes at most.
const WRITTEN_AT_ONCE: usize = 256;

/// From so many answers in one group on they are made shorter with less effort: a group is what comes in 20 ms or while another is
/// written, so that as many mean a busy time, and who stores less at once is not kept from anything by the thorough way.
const MANY: usize = 32;

/// Bytes that one transaction writes at most, 4 MiB, unless one record is longer.
const WRITTEN_BYTES_AT_ONCE: u64 = 4 << 20;

/// The file, and what is known of its state.
pub(super) struct Store {
    path: PathBuf,
    codec: Codec,
    /// Before the database, which ends what is read of it when it is closed.
    kept: RwLock<Option<Arc<Snapshot>>>,
    is_newly_kept: AtomicBool,
    database: RwLock<Arc<Handle>>,
    /// An error was seen, after which redb wants to be opened anew.
    is_broken: AtomicBool,
    /// There may be answers left in the tables of an earlier format.
    is_migrating: AtomicBool,
    max_bytes: AtomicU64,
    uses: Arc<Uses>,
    /// The removal that is under way.
    pass: Mutex<Option<Pass>>,
    /// The youngest answer's time of creation, which is late enough to tell what has expired.
    now_ms: AtomicU64,
    evictions: AtomicU64,
    /// Bytes that this process has set free in the file since it was last compacted.
    freed: AtomicU64,
    used: Mutex<Used>,
    /// When anybody had last written it, as of the last look.
    modified: Mutex<Option<SystemTime>>,
    /// Transactions that this process has begun to write with.
    changes: AtomicU64,
    last_size: Mutex<LastSize>,
    read_errors: AtomicU64,
}

/// When this process last used the file.
struct Used {
    /// Read or wrote it.
    at: Instant,
    read: Option<Instant>,
}

/// An open database. One that has panicked may panic again when it is closed, which must not reach anyone.
#[derive(Debug)]
struct Handle {
    database: Option<Database>,
    /// The same file, if it may be looked at without the database.
    file: Option<Arc<File>>,
}

impl Handle {
    fn new(database: Database, file: Option<File>) -> Self {
        Self { database: Some(database), file: file.map(Arc::new) }
    }

    fn get(&self) -> Result<&Database, redb::Error> {
        self.database.as_ref().ok_or(redb::Error::DatabaseClosed)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let database = self.database.take();
        let _ = caught(move || {
            drop(database);
            Ok(())
        });
    }
}

/// A record on its way into the file.
struct Encoded {
    place: Key,
    record: Arc<Record>,
    bytes: Vec<u8>,
}

impl Store {
    /// Opens a file that exists and is empty or ours.
    ///
    /// # Errors
    /// Why not; the file is then as it was, but for the repair that a crash of its owner had left to do.
    pub fn open(path: &Path, max_bytes: u64, codec: Codec) -> Result<Self, String> {
        let (handle, is_migrating) = open::open_database(path, codec.seal())?;
        Ok(Self {
            path: path.to_owned(),
            codec,
            kept: RwLock::default(),
            is_newly_kept: AtomicBool::new(false),
            database: RwLock::new(Arc::new(handle)),
            is_broken: AtomicBool::new(false),
            is_migrating: AtomicBool::new(is_migrating),
            max_bytes: AtomicU64::new(max_bytes),
            uses: Arc::new(Uses::new()),
            pass: Mutex::default(),
            now_ms: AtomicU64::new(0),
            evictions: AtomicU64::new(0),
            freed: AtomicU64::new(0),
            used: Mutex::new(Used { at: Instant::now(), read: None }),
            modified: Mutex::default(),
            changes: AtomicU64::new(0),
            last_size: Mutex::default(),
            read_errors: AtomicU64::new(0),
        })
    }

    /// Makes the bound the smaller of this and what it was.
    pub fn lower_bound(&self, max_bytes: u64) {
        self.max_bytes.fetch_min(max_bytes, Ordering::Relaxed);
    }

    /// Refuses a codec that could not read this file.
    ///
    /// # Errors
    /// What its owner should do.
    pub fn check_seal(&self, codec: &Codec) -> Result<(), String> {
        open::check_seal(self.codec.seal(), codec.seal())
    }

    /// Where it is noted that an answer was asked for, whichever tier has it.
    pub fn uses(&self) -> &Arc<Uses> {
        &self.uses
    }

    /// Reads that failed and were taken for misses.
    pub fn read_errors(&self) -> u64 {
        self.read_errors.load(Ordering::Relaxed)
    }

    /// Entries that this process removed to make room.
    pub fn evictions(&self) -> u64 {
        self.evictions.load(Ordering::Relaxed)
    }

    /// The file's length; 0 if that cannot be found out.
    pub fn file_bytes(&self) -> u64 {
        std::fs::metadata(&self.path).map_or(0, |metadata| metadata.len())
    }

    /// Whether a step of [`Store::tend`] is due because of the file's earlier format.
    pub fn is_migrating(&self) -> bool {
        self.is_migrating.load(Ordering::Relaxed)
    }

    /// Does something with the database. An error is its text, and so is a panic: redb panics on some damaged files.
    fn with<T>(&self, act: impl FnOnce(&Database) -> Result<T, redb::Error>) -> Result<T, String> {
        self.with_handle(|handle| act(handle.get()?))
    }

    fn with_handle<T>(&self, act: impl FnOnce(&Handle) -> Result<T, redb::Error>) -> Result<T, String> {
        let handle = Arc::clone(&self.database.read().unwrap_or_else(PoisonError::into_inner));
        let outcome = caught(|| act(&handle));
        if outcome.is_err() {
            self.is_broken.store(true, Ordering::Relaxed);
        }
        outcome
    }

    /// Changes the tables in one transaction.
    fn change<T>(&self, act: impl FnOnce(&mut Tables<'_>) -> Result<T, redb::Error>) -> Result<T, String> {
        self.change_with(|_, tables| act(tables))
    }

    /// The same for who needs other tables too.
    fn change_with<T>(
        &self,
        act: impl FnOnce(&WriteTransaction, &mut Tables<'_>) -> Result<T, redb::Error>,
    ) -> Result<T, String> {
        let (change, outcome, freed, size) = self.with(|database| {
            let transaction = database.begin_write()?;
            let change = self.next_change();
            let (outcome, freed, size) = {
                let mut tables = Tables::open(&transaction)?;
                let outcome = act(&transaction, &mut tables)?;
                tables.meta.insert("bytes", tables.bytes)?;
                (outcome, tables.freed, (tables.index.len()?, tables.bytes))
            };
            transaction.commit()?;
            Ok((change, outcome, freed, size))
        })?;
        self.freed.fetch_add(freed, Ordering::Relaxed);
        self.note_changed(change, size);
        self.renew();
        Ok(outcome)
    }

    /// Goes on with whatever file has the path now.
    pub fn let_go(&self) {
        self.is_broken.store(true, Ordering::Relaxed);
    }

    /// Opens the database anew if it has seen an error.
    fn mend(&self) -> Result<(), String> {
        if self.is_broken.swap(false, Ordering::Relaxed) {
            let opened = open::open_database(&self.path, self.codec.seal());
            let (fresh, is_migrating) = opened.inspect_err(|_| self.is_broken.store(true, Ordering::Relaxed))?;
            self.is_migrating.store(is_migrating, Ordering::Relaxed);
            *self.database.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(fresh);
            // After it: what is read by the old one meanwhile is not kept.
            self.keep_none();
        }
        Ok(())
    }

    /// Keeps everyone from using the file, as a compaction does, from a thread of its own until what it gives is dropped.
    #[cfg(test)]
    pub fn held(self: &Arc<Self>) -> tests::Held {
        tests::Held::new(self)
    }

    fn note_use(&self) {
        self.used().at = Instant::now();
    }

    /// Notes that it is read. Returns whether it was lately.
    fn note_read(&self) -> bool {
        let now = Instant::now();
        let mut used = self.used();
        used.at = now;
        used.read.replace(now).is_some_and(|at| now < at + KEPT)
    }

    fn read_at(&self) -> Option<Instant> {
        self.used().read
    }

    fn used(&self) -> MutexGuard<'_, Used> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes a group, in transactions so small that other processes get their turn. Room is made before each, so that
    /// what is stored is never more than the bound; a record that is longer than that is not stored.
    ///
    /// # Errors
    /// What of the group is lost.
    pub fn write(&self, group: &Group) -> Result<(), Lost> {
        self.note_use();
        let mut left = group.len() as u64;
        self.write_all(group, &mut left).map_err(|message| Lost { entries: left, message })
    }

    /// Counts down what is `left` of the group.
    fn write_all(&self, group: &Group, left: &mut u64) -> Result<(), String> {
        self.mend()?;
        let limit = self.max_bytes.load(Ordering::Relaxed);
        let (mut chunk, mut size) = (Vec::new(), 0);
        let effort = if group.len() < MANY { Effort::Thorough } else { Effort::Quick };
        for (key, record) in group {
            let Some(bytes) = self.codec.encode_with(key, record, effort) else { continue };
            let footprint = footprint(bytes.len());
            if footprint > limit {
                self.evictions.fetch_add(1, Ordering::Relaxed);
                *left -= 1;
                continue;
            }
            let most = WRITTEN_BYTES_AT_ONCE.min(limit);
            if chunk.len() == WRITTEN_AT_ONCE || (size + footprint > most && !chunk.is_empty()) {
                self.write_some(&chunk, size)?;
                *left -= chunk.len() as u64;
                (chunk, size) = (Vec::new(), 0);
            }
            chunk.push(Encoded { place: self.codec.place(key), record: Arc::clone(record), bytes });
            size += footprint;
        }
        self.write_some(&chunk, size)?;
        *left -= chunk.len() as u64;
        match left {
            0 => Ok(()),
            _ => Err("an answer is too long, or there is no randomness to encrypt it with".to_owned()),
        }
    }

    fn write_some(&self, chunk: &[Encoded], size: u64) -> Result<(), String> {
        if chunk.is_empty() {
            return Ok(());
        }
        let now_ms = chunk.iter().map(|entry| entry.record.created_ms).max().unwrap_or_default();
        self.now_ms.fetch_max(now_ms, Ordering::Relaxed);
        self.make_room(size)?;
        let lengths: Vec<_> = chunk.iter().map(|entry| entry.place.0.len() + entry.bytes.len()).collect();
        let order = pack::order(&lengths);
        self.change(|tables| {
            for index in &order {
                let Some(Encoded { place, record, bytes }) = chunk.get(*index) else { continue };
                tables.insert(place, bytes, record.expires_ms, record.namespace.0)?;
            }
            Ok(())
        })
    }
}

/// Runs something of redb's. An error is its text, and so is a panic.
fn caught<T>(act: impl FnOnce() -> Result<T, redb::Error>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(act)) {
        Ok(outcome) => outcome.map_err(|error| error.to_string()),
        Err(panic) => Err(format!("the file is damaged: {}", panic_text(&*panic))),
    }
}

#[cfg(test)]
mod tests;
