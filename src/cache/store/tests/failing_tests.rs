//! Fears about a disk that fails: whichever write or sync it is, no answer is wrong and nothing committed is lost.

use std::io;
use std::ops::Bound;

use redb::{BackendError, StorageBackend, backends::FileBackend};

use super::*;

/// A file whose writes and syncs all fail once `left` of them have succeeded; with `is_torn` the first that fails is
/// half done.
#[derive(Debug)]
struct FailingFile {
    file: FileBackend,
    left: Arc<AtomicU64>,
    is_torn: bool,
}

impl FailingFile {
    fn spend(&self) -> io::Result<()> {
        let spent = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        spent.map(drop).map_err(|_| io::Error::from(io::ErrorKind::StorageFull))
    }
}

type Locked<T> = std::result::Result<T, BackendError>;

impl StorageBackend for FailingFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, out)
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.spend()?;
        self.file.set_len(len)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.spend()?;
        self.file.sync_data()
    }
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        match self.spend() {
            Err(error) if self.is_torn => self.file.write(offset, &data[..data.len() / 2]).and(Err(error)),
            Err(error) => Err(error),
            Ok(()) => self.file.write(offset, data),
        }
    }
    fn close(&self) -> io::Result<()> {
        self.file.close()
    }
    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Locked<bool> {
        self.file.try_lock_range(start, end)
    }
    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Locked<bool> {
        self.file.try_lock_shared_range(start, end)
    }
    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Locked<()> {
        self.file.lock_range(start, end)
    }
    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Locked<()> {
        self.file.lock_shared_range(start, end)
    }
    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Locked<()> {
        self.file.unlock_range(start, end)
    }
    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Locked<bool> {
        self.file.query_lock_range(start, end)
    }
}

/// Puts the failing file under a store. Returns what is left to succeed.
fn undermine(store: &Store, is_torn: bool) -> Arc<AtomicU64> {
    let left = Arc::new(AtomicU64::new(u64::MAX));
    let file = File::options().read(true).write(true).open(&store.path).unwrap();
    let failing = FailingFile { file: FileBackend::new(file).unwrap(), left: Arc::clone(&left), is_torn };
    let database =
        Builder::new().set_concurrency_mode(ConcurrencyMode::MultiWriter).create_with_backend(failing).unwrap();
    *store.database.write().unwrap() = Arc::new(database);
    left
}

#[test]
fn whichever_write_or_sync_fails_no_answer_is_wrong_and_what_was_committed_stays() {
    for is_torn in [false, true] {
        let mut has_succeeded = false;
        for n in 0.. {
            let (_dir, path) = empty_file();
            let store = Store::open(&path, u64::MAX, Codec::default()).unwrap();
            let left = undermine(&store, is_torn);
            store.write(&group(0..30)).unwrap();
            left.store(n, Ordering::SeqCst);
            let is_written = store.write(&group(30..60)).is_ok();
            let check = |store: &Store| {
                for number in 0..60 {
                    match store.read(&key(number)) {
                        Some(found) => assert_eq!(found, *record(number)),
                        None => assert!(number >= 30 && !is_written, "failing at {n} lost {number}"),
                    }
                }
            };
            drop(store);
            // As the next process finds it.
            check(&Store::open(&path, u64::MAX, Codec::default()).unwrap());
            has_succeeded = is_written;
            if has_succeeded {
                break;
            }
        }
        assert!(has_succeeded);
    }
}

#[test]
fn a_disk_that_was_full_is_written_to_again_when_it_has_room() {
    let (_dir, path) = empty_file();
    let store = Store::open(&path, u64::MAX, Codec::default()).unwrap();
    let left = undermine(&store, false);
    left.store(0, Ordering::SeqCst);
    let message = store.write(&group(0..30)).unwrap_err();
    assert!(!message.is_empty());
    // The next group meets a file that was opened anew, which here no longer fails.
    store.write(&group(30..60)).unwrap();
    assert_eq!(store.size().0, 30);
    assert_eq!(store.read(&key(30)).as_ref(), Some(&*record(30)));
    assert_eq!(store.read_errors(), 0);
}
