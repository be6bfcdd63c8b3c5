//! Giving room back to the disk while nobody asks, and the order of all that is done behind everyone's back.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use redb::{CompactionError, TransactionError};

use super::{Store, caught};

/// How long the file has to be left alone, by this process and by others who write, before it is made shorter.
const IDLE: Duration = Duration::from_secs(30);

/// Less is not worth it, 4 MiB; nor is less than a third of the file.
const WORTHWHILE_BYTES: u64 = 4 << 20;

/// With more than this stored, 128 MiB, the file is not made shorter: every process that uses it would wait for seconds.
/// What is free in it is used again, and cut off when it lies at the end.
const COMPACTED_BYTES: u64 = 128 << 20;

impl Store {
    /// Does one bounded step of what has to be done behind everyone's back: lets go of what is kept for those who read,
    /// moves answers out of an earlier format, makes room, and gives it back to the disk when nobody has asked for a
    /// while. Returns when to be called again; `None`: after the next write.
    pub fn tend(&self, now: Instant) -> Option<Instant> {
        let rest = self.let_rest(now);
        self.upkeep(now).into_iter().chain(rest).min()
    }

    fn upkeep(&self, now: Instant) -> Option<Instant> {
        // What fails here is tried again after the next write, which also tells of it if it fails as well.
        self.mend().ok()?;
        if self.is_migrating() {
            self.migrate_some().ok()?;
            return Some(now);
        }
        if !self.go_on_evicting().ok()? {
            return Some(now);
        }
        if !self.is_worthwhile() {
            return None;
        }
        let used = self.last_used(now);
        if now < used + IDLE {
            return Some(used + IDLE);
        }
        match self.compact() {
            Ok(true) | Err(_) => None,
            Ok(false) => Some(now + IDLE),
        }
    }

    /// When anybody last used the file, as far as this process knows: it learns at this look that others have written
    /// since the one before, not that they have read.
    fn last_used(&self, now: Instant) -> Instant {
        let modified = std::fs::metadata(&self.path).and_then(|metadata| metadata.modified()).ok();
        let before = std::mem::replace(&mut *self.modified.lock().unwrap_or_else(PoisonError::into_inner), modified);
        let mut used = self.used();
        if before.is_some() && before != modified {
            used.at = now.max(used.at);
        }
        used.at
    }

    fn is_worthwhile(&self) -> bool {
        if self.freed.load(Ordering::Relaxed) < WORTHWHILE_BYTES {
            return false;
        }
        let (stored, disk) = (self.size().1, self.disk_bytes());
        stored <= COMPACTED_BYTES && disk > stored / 2 * 3 && disk - stored > WORTHWHILE_BYTES
    }

    /// What the file really takes: what redb has reserved at its end may not be there.
    pub(super) fn disk_bytes(&self) -> u64 {
        let Ok(metadata) = std::fs::metadata(&self.path) else { return 0 };
        #[cfg(unix)]
        let taken = std::os::unix::fs::MetadataExt::blocks(&metadata).saturating_mul(512);
        #[cfg(not(unix))]
        let taken = u64::MAX;
        metadata.len().min(taken)
    }

    /// Makes the file shorter, while everyone who uses it waits. Returns false, having done nothing, if somebody is
    /// using it right now.
    pub(super) fn compact(&self) -> Result<bool, String> {
        let Ok(mut database) = self.database.try_write() else { return Ok(false) };
        // Nor is anything read of it that is only kept.
        self.keep_none();
        let handle = Arc::get_mut(&mut database).and_then(|handle| handle.database.as_mut());
        let Some(database) = handle else { return Ok(false) };
        let outcome = caught(|| {
            match database.try_begin_write() {
                Ok(transaction) => transaction.abort()?,
                Err(TransactionError::WouldBlock) => return Ok(false),
                Err(error) => return Err(error.into()),
            }
            match database.compact() {
                Ok(_) => Ok(true),
                Err(CompactionError::TransactionInProgress) => Ok(false),
                Err(error) => Err(error.into()),
            }
        });
        match outcome {
            Ok(true) => self.freed.store(0, Ordering::Relaxed),
            Ok(false) => {}
            Err(_) => self.is_broken.store(true, Ordering::Relaxed),
        }
        outcome
    }
}
