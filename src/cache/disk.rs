//! The second tier: one open file per process, whoever asks for it, with its writer and the memory before it.

use std::fs::{Metadata, OpenOptions};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

use super::memory::Memory;
use super::pace::Pace;
use super::record::MAX_PAYLOAD_BYTES;
use super::store::{Scanned, Store};
use super::writes::{Ending, Group, Lost, Sketch, Writes};
use super::{Codec, Key, Namespace, Record};
use crate::error::{Error, Result};

/// The longest that asking for the size waits for others who hold the file: on the JavaScript thread, a blink.
const SIZE_PATIENCE: Duration = Duration::from_millis(20);

/// Reads of one file at a time. More gain nothing, and while another process holds the file each keeps a thread from other
/// work.
const READS: usize = 16;

/// The files that are open in this process, or being opened. Its lock is never held while anybody waits for a file.
static SLOTS: Mutex<Vec<Arc<Slot>>> = Mutex::new(Vec::new());

/// What is written behind, of every file of this process: until the last of it is on disk, also after its file was dropped.
static ENDINGS: Mutex<Vec<Ending>> = Mutex::new(Vec::new());

/// Where a file stands that is open, or being opened.
struct Slot {
    path: PathBuf,
    identity: (u64, u64),
    /// Held by the one who opens it, for as long as that takes.
    opening: Mutex<()>,
    /// Never locked for longer than a look.
    disk: Mutex<Weak<Disk>>,
}

impl Slot {
    /// The place of this file, which nobody else has.
    fn of(path: PathBuf, identity: (u64, u64)) -> Arc<Self> {
        let mut slots = locked(&SLOTS);
        // With the lock held nobody gets hold of one, so what only the list holds stays so.
        // Whether one is open is only looked at: who held it would be the one to close it, if its owner let go meanwhile.
        slots.retain(|slot| Arc::strong_count(slot) > 1 || locked(&slot.disk).strong_count() > 0);
        if let Some(slot) = slots.iter().find(|slot| slot.path == path && slot.identity == identity) {
            return Arc::clone(slot);
        }
        let slot = Arc::new(Self { path, identity, opening: Mutex::default(), disk: Mutex::default() });
        slots.push(Arc::clone(&slot));
        slot
    }

    fn disk(&self) -> Option<Arc<Disk>> {
        locked(&self.disk).upgrade()
    }
}

/// One open file, shared by every router and thread of the process. Dropped, it writes what waits to be written.
pub(super) struct Disk {
    path: PathBuf,
    pub(super) store: Arc<Store>,
    pub(super) writes: Writes,
    /// How fast it answers those who may not wait.
    pub(super) pace: Pace,
    memories: Mutex<Vec<Weak<Memory>>>,
    /// Turns of those who read.
    reads: Arc<Semaphore>,
    /// Somebody is finding out how large it is.
    is_measuring: Arc<AtomicBool>,
}

/// Waits until everything that was put into any cache of this process is on disk, or lost: for the end of the process, or
/// of a part of it. What was lost the next flush tells. Does not wait for a file that is being opened, into which nothing
/// was put yet.
pub fn flush_all() {
    let endings = locked(&ENDINGS).clone();
    for ending in endings {
        ending.settle();
    }
}

impl Disk {
    /// Opens or creates the file, or joins those who have it open, whose bound then is the smaller one.
    ///
    /// # Errors
    /// If there is no such directory, or if what is there is not a cache, one of a newer version, or one that the codec
    /// could not read; it is not touched.
    pub fn open(path: &Path, max_bytes: u64, codec: Codec) -> Result<Arc<Self>> {
        Self::open_with(path, max_bytes, codec, Pace::new())
    }

    /// The same with another clock to tell how fast the file is, for tests.
    pub(super) fn open_with(path: &Path, max_bytes: u64, codec: Codec, pace: Pace) -> Result<Arc<Self>> {
        let refused = |message: String| Error::cache(path.display(), message);
        let metadata = prepare(path).map_err(refused)?;
        let canonical = path.canonicalize().map_err(|error| refused(error.to_string()))?;
        let slot = Slot::of(canonical, identity(&metadata));
        let opening = locked(&slot.opening);
        if let Some(disk) = slot.disk() {
            drop(opening);
            disk.store.check_seal(&codec).map_err(refused)?;
            disk.store.lower_bound(max_bytes);
            if disk.store.is_over_bound() {
                disk.writes.tend();
            }
            return Ok(disk);
        }
        let store = Arc::new(Store::open(&slot.path, max_bytes, codec).map_err(refused)?);
        // Known from the start, for whoever asks while the file is held.
        let is_over_bound = store.size().1 > max_bytes;
        let (behind, aside) = (Arc::clone(&store), Arc::clone(&store));
        let stands = Place { path: slot.path.clone(), identity: Mutex::new(slot.identity) };
        let commit = move |group: &Group| {
            let lost = |message| Lost { entries: group.len() as u64, message };
            stands.check(&behind).map_err(lost)?;
            behind.write(group)
        };
        let writes = Writes::new(Box::new(commit), Box::new(move |now| aside.tend(now)));
        let mut endings = locked(&ENDINGS);
        endings.retain(|ending| !ending.is_gone());
        endings.push(writes.ending());
        drop(endings);
        if store.is_migrating() || is_over_bound {
            writes.tend();
        }
        let disk = Arc::new(Self {
            path: slot.path.clone(),
            store,
            writes,
            pace,
            memories: Mutex::default(),
            reads: Arc::new(Semaphore::new(READS)),
            is_measuring: Arc::default(),
        });
        *locked(&slot.disk) = Arc::downgrade(&disk);
        Ok(disk)
    }

    /// The memory tier before this file, shared by all of this process that ask for the same size.
    pub fn memory(&self, capacity: u64) -> Arc<Memory> {
        let mut memories = locked(&self.memories);
        memories.retain(|memory| memory.strong_count() > 0);
        if let Some(memory) = memories.iter().filter_map(Weak::upgrade).find(|memory| memory.capacity() == capacity) {
            return memory;
        }
        let memory = Arc::new(Memory::above(capacity, Some(Arc::clone(self.store.uses()))));
        memories.push(Arc::downgrade(&memory));
        memory
    }

    /// The answer, if it is here, intact and not expired. Blocks for a read.
    pub fn get(&self, key: &Key, now_ms: u64) -> Option<Arc<Record>> {
        let record = self.writes.get(key).or_else(|| {
            let record = self.store.read(key);
            self.store.rest_due().into_iter().for_each(|at| self.writes.tend_at(at));
            record.map(Arc::new)
        })?;
        (!record.is_expired(now_ms)).then_some(record)
    }

    /// The same without blocking, with few others at a time: dropped, a read that is held up goes on holding its thread.
    pub async fn read(self: Arc<Self>, key: Key, now_ms: u64) -> Option<Arc<Record>> {
        if let Some(record) = self.writes.get(&key) {
            return (!record.is_expired(now_ms)).then_some(record);
        }
        let turn = Arc::clone(&self.reads).acquire_owned().await.ok()?;
        let read = move || {
            let _turn = turn;
            self.get(&key, now_ms)
        };
        tokio::task::spawn_blocking(read).await.ok()?
    }

    /// Up to `limit` entries that are on disk, expired ones too, in the order of their places: from the first after
    /// `after`, or from the very first; fewer if they are long, none after the last. What cannot be read is not among
    /// them. Blocks for the disk.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn scan(&self, after: Option<Key>, limit: usize) -> Result<Vec<Scanned>> {
        self.store.scan(after, limit).map_err(|message| Error::cache(self.path.display(), message))
    }

    /// Stores an answer soon, and lets no memory but its `own`, which has it already, serve an older one. Never waits.
    pub fn put(&self, key: Key, record: &Arc<Record>, sketch: Option<Sketch>, own: &Arc<Memory>) {
        if record.payload.len() > MAX_PAYLOAD_BYTES {
            let size = record.payload.len();
            self.writes.refuse(format!("an answer of {size} bytes is longer than {MAX_PAYLOAD_BYTES}"));
        } else {
            self.writes.put_with(key, Arc::clone(record), sketch);
        }
        // Only now: whoever reads from here on finds the new one above.
        for memory in locked(&self.memories).iter().filter_map(Weak::upgrade) {
            if !Arc::ptr_eq(&memory, own) {
                memory.renew(key, record);
            }
        }
    }

    /// Waits until all that was put before is on disk.
    ///
    /// # Errors
    /// If something since the last flush was lost.
    pub fn flush(&self) -> Result<()> {
        self.writes.flush().map_err(|message| Error::cache(self.path.display(), message))
    }

    /// Flushes; for the last owner the file is closed when this returns, whatever its upkeep was at.
    ///
    /// # Errors
    /// If something since the last flush was lost.
    pub fn close(self: Arc<Self>) -> Result<()> {
        let outcome = self.flush();
        if let Some(mut disk) = Arc::into_inner(self) {
            disk.writes.close();
        }
        outcome
    }

    /// Removes what has expired, here and in memory. Returns how many were on disk.
    pub fn prune(&self, now_ms: u64) -> Result<usize> {
        for memory in self.memories() {
            memory.prune(now_ms);
        }
        self.flush()?;
        let outcome = self.store.prune(now_ms).map_err(|message| Error::cache(self.path.display(), message));
        self.writes.tend();
        outcome
    }

    /// Removes the answers of one namespace, or all, on disk and in this process's memory.
    pub fn clear(&self, namespace: Option<Namespace>) -> Result<()> {
        for memory in self.memories() {
            memory.clear(namespace);
        }
        // What cannot be written cannot be found later either, so a failure to write is no failure to clear.
        let _ = self.flush();
        let outcome = self.store.clear(namespace).map_err(|message| Error::cache(self.path.display(), message));
        // Again, for what was promoted while the disk still had it.
        for memory in self.memories() {
            memory.clear(namespace);
        }
        self.writes.tend();
        outcome
    }

    /// Entries on disk and the bytes they take there, about; zeros if that cannot be read. While another process holds
    /// the file, which may be for seconds, what was known last.
    pub fn size(&self) -> (u64, u64) {
        if self.is_measuring.swap(true, Ordering::AcqRel) {
            return self.store.last_size();
        }
        let (store, is_measuring) = (Arc::clone(&self.store), Arc::clone(&self.is_measuring));
        let (sender, measured) = sync_channel(1);
        let measure = move || {
            let size = store.size();
            is_measuring.store(false, Ordering::Release);
            // Whoever asked may have stopped waiting.
            let _ = sender.send(size);
        };
        if std::thread::Builder::new().name("thryd-size".to_owned()).spawn(measure).is_err() {
            self.is_measuring.store(false, Ordering::Release);
        }
        measured.recv_timeout(SIZE_PATIENCE).unwrap_or_else(|_| self.store.last_size())
    }

    /// Waits until all that was put before is on disk or lost, and leaves it to the next flush to tell what was lost.
    pub fn settle(&self) {
        self.writes.settle();
    }

    /// The same, but not for longer than until then.
    pub fn settle_until(&self, end: Instant) {
        self.writes.settle_until(end);
    }

    /// The file's length; 0 if that cannot be found out.
    pub fn file_bytes(&self) -> u64 {
        self.store.file_bytes()
    }

    /// Entries that this process removed to make room.
    pub fn evictions(&self) -> u64 {
        self.store.evictions()
    }

    /// Entries that were lost before they were written.
    pub fn write_errors(&self) -> u64 {
        self.writes.errors().0
    }

    /// Reads that failed and were taken for misses.
    pub fn read_errors(&self) -> u64 {
        self.store.read_errors()
    }

    /// Why the last entry was lost.
    pub fn last_error(&self) -> Option<String> {
        self.writes.errors().1
    }

    fn memories(&self) -> Vec<Arc<Memory>> {
        locked(&self.memories).iter().filter_map(Weak::upgrade).collect()
    }
}

/// Where a store's file stands, or stood.
struct Place {
    path: PathBuf,
    identity: Mutex<(u64, u64)>,
}

impl Place {
    /// Has the store go on with the file that stands there now, made anew if there is none: what is written to one that
    /// was removed or replaced, nobody would find.
    fn check(&self, store: &Store) -> Result<(), String> {
        let found = identity(&prepare(&self.path)?);
        if std::mem::replace(&mut *locked(&self.identity), found) != found {
            store.let_go();
        }
        Ok(())
    }
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

/// What tells a file from a later one with its name: device and inode.
#[cfg(unix)]
fn identity(metadata: &Metadata) -> (u64, u64) {
    use std::os::unix::fs::MetadataExt;
    (metadata.dev(), metadata.ino())
}

/// An open file cannot be replaced there, so its name is enough.
#[cfg(not(unix))]
fn identity(_metadata: &Metadata) -> (u64, u64) {
    (0, 0)
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
