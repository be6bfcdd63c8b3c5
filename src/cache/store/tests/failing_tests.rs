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
    let same = File::open(&store.path).unwrap();
    let database =
        Builder::new().set_concurrency_mode(ConcurrencyMode::MultiWriter).create_with_backend(failing).unwrap();
    *store.database.write().unwrap() = Arc::new(Handle::new(database, Some(same)));
    left
}

/// Does something to a file whose n-th write or sync fails, for every n until it succeeds. Whatever is found afterwards,
/// as the next process finds it, has to be right; `expected` says for a number whether it has to be found, may be
/// (`None`), or must not be, before and after.
fn fail_everywhere(
    prepare: impl Fn(&Path),
    open: impl Fn(&Path) -> Store,
    act: impl Fn(&Store) -> Result<(), String>,
    expected: impl Fn(u64, bool) -> Option<bool>,
) {
    let (_dir, prepared) = empty_file();
    prepare(&prepared);
    for is_torn in [false, true] {
        for n in 0.. {
            assert!(n < 5_000, "it never succeeds");
            let (_dir, path) = empty_file();
            std::fs::copy(&prepared, &path).unwrap();
            let store = open(&path);
            let left = undermine(&store, is_torn);
            left.store(n, Ordering::SeqCst);
            let is_done = act(&store).is_ok();
            // As this process goes on with it.
            check(&store, |_| None, n);
            drop(store);
            let store = Store::open(&path, u64::MAX, Codec::default()).unwrap();
            check(&store, |number| expected(number, is_done), n);
            store.write(&group(900..901)).unwrap();
            check(&store, |number| expected(number, is_done), n);
            if is_done {
                break;
            }
        }
    }
}

fn check(store: &Store, expected: impl Fn(u64) -> Option<bool>, n: u64) {
    for number in 0..60 {
        let found = store.read(&key(number));
        if let Some(found) = &found {
            assert_eq!(*found, *record(number));
        }
        if let Some(expected) = expected(number) {
            assert_eq!(found.is_some(), expected, "{number}, failing at {n}");
        }
    }
}

fn open(path: &Path) -> Store {
    Store::open(path, u64::MAX, Codec::default()).unwrap()
}

fn thirty(path: &Path) {
    open(path).write(&group(0..30)).unwrap();
}

fn sixty(path: &Path) {
    open(path).write(&group(0..60)).unwrap();
}

#[test]
fn whichever_write_or_sync_of_a_group_fails_what_was_committed_stays() {
    fail_everywhere(
        thirty,
        open,
        |store| store.write(&group(30..60)).map_err(|lost| lost.message),
        |number, is_done| (number < 30 || is_done).then_some(true),
    );
}

#[test]
fn whichever_write_or_sync_of_a_removal_fails_what_stays_is_right() {
    fail_everywhere(
        sixty,
        open,
        |store| {
            // In use are the first ten.
            (0..10).for_each(|number| store.uses.note(&key(number)));
            store.lower_bound(store.size().1 / 2);
            while !store.go_on_evicting()? {}
            Ok(())
        },
        |number, _| (number < 10).then_some(true),
    );
}

#[test]
fn whichever_write_or_sync_of_a_clear_fails_it_is_whole_or_not_at_all() {
    fail_everywhere(sixty, open, |store| store.clear(None), |_, is_done| is_done.then_some(false));
    fail_everywhere(sixty, open, |store| store.clear(Some(Namespace::new(""))), |_, is_done| is_done.then_some(false));
}

#[test]
fn whichever_write_or_sync_of_a_compaction_fails_every_answer_stays() {
    let with_holes = |path: &Path| {
        let store = open(path);
        store.write(&group(0..60)).unwrap();
        store.write(&long(100..130)).unwrap();
        store.clear(Some(Namespace::new("gone"))).unwrap();
    };
    let compact = |store: &Store| store.compact().map(|is_done| assert!(is_done));
    fail_everywhere(with_holes, open, compact, |_, _| Some(true));
}

#[test]
fn whichever_write_or_sync_of_a_change_of_format_fails_every_answer_stays() {
    let of_format_1 = |path: &Path| {
        let (_dir, made) = file_of_format_1(60);
        std::fs::copy(made, path).unwrap();
    };
    // Opened, but not changed yet.
    let open = |path: &Path| {
        let (_dir, blank) = empty_file();
        let mut store = open(&blank);
        store.path = path.to_owned();
        store.is_migrating.store(true, Ordering::SeqCst);
        store
    };
    let change = |store: &Store| {
        store.with(|database| {
            let transaction = database.begin_write()?;
            migrate::begin(&transaction)?;
            Ok(transaction.commit()?)
        })?;
        store.finish_migration()
    };
    fail_everywhere(of_format_1, open, change, |_, _| Some(true));
}

#[test]
fn a_disk_that_was_full_is_written_to_again_when_it_has_room() {
    let (_dir, path) = empty_file();
    let store = Store::open(&path, u64::MAX, Codec::default()).unwrap();
    let left = undermine(&store, false);
    left.store(0, Ordering::SeqCst);
    let lost = store.write(&group(0..30)).unwrap_err();
    assert!(lost.entries == 30 && !lost.message.is_empty());
    // The next group meets a file that was opened anew, which here no longer fails.
    store.write(&group(30..60)).unwrap();
    assert_eq!(store.size().0, 30);
    assert_eq!(store.read(&key(30)).as_ref(), Some(&*record(30)));
    assert_eq!(store.read_errors(), 0);
}
