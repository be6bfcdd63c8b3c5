//! The file as it was when it was last read, kept for as long as it is asked for and nothing is written.
//!
//! To begin a read, redb takes locks that others may hold for long, and finds its tables anew. A snapshot that is kept
//! answers without either for as long as the head of the file stands as it did before it was taken, because every commit,
//! of any process, changes the head: to look at that is one short read. What a snapshot shows cannot be written over, so
//! it is let go when nobody has asked for a while.

use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use redb::{ReadOnlyTable, ReadableDatabase};

use super::tables::{ENTRIES, INDEX};
use super::{Handle, Store};
use crate::cache::Key;

/// How long a snapshot is kept that nobody asks.
pub(super) const KEPT: Duration = Duration::from_secs(1);

/// Bytes at the beginning of the file that every commit changes: redb's header takes 320 of them.
const HEAD: usize = 512;

type Head = [u8; HEAD];

/// Of this process, so that one file's is not taken for another's.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// The tables as they were at one moment.
pub(super) struct Snapshot {
    pub number: u64,
    /// The file and how it began, where that can be looked at.
    head: Option<(Arc<File>, Head)>,
    index: ReadOnlyTable<&'static [u8; 32], (u64, u64, u64)>,
    entries: ReadOnlyTable<u64, &'static [u8]>,
}

impl Snapshot {
    /// The newest commit. May wait for others.
    pub fn take(handle: &Handle) -> Result<Self, redb::Error> {
        // Read before the transaction is begun: with what is committed in between the two differ, and the snapshot is only
        // thought to be older than it is.
        let head = handle.file.as_ref().and_then(|file| Some((Arc::clone(file), read_head(file).ok()?)));
        let transaction = handle.get()?.begin_read()?;
        let (index, entries) = (transaction.open_table(INDEX)?, transaction.open_table(ENTRIES)?);
        Ok(Self { number: NEXT.fetch_add(1, Ordering::Relaxed), head, index, entries })
    }

    /// Whether nothing was committed since; false if that cannot be told.
    pub fn is_current(&self) -> bool {
        self.head.as_ref().is_some_and(|(file, head)| read_head(file).is_ok_and(|now| now == *head))
    }

    /// What `read` makes of the row at a place; of an index that leads nowhere, the empty row.
    pub fn find<T>(&self, place: &Key, read: impl FnOnce(&[u8]) -> T) -> Result<Option<T>, redb::Error> {
        let Some(row) = self.index.get(&place.0)? else { return Ok(None) };
        let row = self.entries.get(row.value().0)?;
        Ok(Some(read(row.as_ref().map_or(&[], |row| row.value()))))
    }
}

impl Store {
    /// Whether nothing was committed since the snapshot with this number was taken, as far as can be told without waiting.
    pub fn is_unchanged_since(&self, number: u64) -> bool {
        self.snapshot().is_some_and(|snapshot| snapshot.number == number && snapshot.is_current())
    }

    /// What is kept, unless somebody is just changing that.
    pub(super) fn snapshot(&self) -> Option<Arc<Snapshot>> {
        match self.kept.try_read() {
            Ok(kept) => kept.clone(),
            Err(TryLockError::Poisoned(kept)) => kept.into_inner().clone(),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// Keeps a snapshot of this handle for those who look, unless a newer one is kept or the handle has made way for another.
    pub(super) fn keep(&self, handle: &Handle, snapshot: Snapshot) {
        // In this order, as a compaction takes them.
        let Ok(current) = self.database.try_read() else { return };
        if !std::ptr::eq(&raw const **current, handle) {
            return;
        }
        let mut kept = self.kept.write().unwrap_or_else(PoisonError::into_inner);
        if kept.as_ref().is_some_and(|kept| kept.number > snapshot.number) {
            return;
        }
        let was = kept.replace(Arc::new(snapshot));
        self.is_newly_kept.fetch_or(was.is_none(), Ordering::Relaxed);
        drop(kept);
        // Without the lock: whoever lets go of the last one tells the file.
        drop(was);
    }

    /// Keeps none. May wait for others.
    pub(super) fn keep_none(&self) {
        let was = self.kept.write().unwrap_or_else(PoisonError::into_inner).take();
        drop(was);
    }

    /// After a commit of this process: keeps a new snapshot in the place of the old one, if there is one.
    pub(super) fn renew(&self) {
        if self.is_kept() {
            let renewed = self.with_handle(|handle| {
                self.keep(handle, Snapshot::take(handle)?);
                Ok(())
            });
            if renewed.is_err() {
                self.keep_none();
            }
        }
    }

    /// Whether one is kept. May wait for others.
    fn is_kept(&self) -> bool {
        self.kept.read().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Lets go of a snapshot that nobody has asked for a while. Returns when to ask again, if there is one.
    pub(super) fn let_rest(&self, now: Instant) -> Option<Instant> {
        if !self.is_kept() {
            return None;
        }
        let due = self.read_at()? + KEPT;
        if now < due {
            return Some(due);
        }
        self.keep_none();
        None
    }

    /// When a snapshot is to be let go that was kept since this was last asked.
    pub fn rest_due(&self) -> Option<Instant> {
        self.is_newly_kept.swap(false, Ordering::Relaxed).then(|| self.read_at().map(|at| at + KEPT))?
    }
}

#[cfg(unix)]
fn read_head(file: &File) -> io::Result<Head> {
    let mut head = [0; HEAD];
    std::os::unix::fs::FileExt::read_exact_at(file, &mut head, 0)?;
    Ok(head)
}

/// Where a lock on the head keeps it from being read, that is an error, and a snapshot is taken to be old.
#[cfg(windows)]
fn read_head(file: &File) -> io::Result<Head> {
    let mut head = [0; HEAD];
    let read = std::os::windows::fs::FileExt::seek_read(file, &mut head, 0)?;
    if read == HEAD { Ok(head) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

#[cfg(not(any(unix, windows)))]
fn read_head(_file: &File) -> io::Result<Head> {
    Err(io::ErrorKind::Unsupported.into())
}
