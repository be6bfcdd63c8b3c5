//! Fears about the file itself: whose it is, and what a disk that fails leaves of it.

use std::fs::File;
use std::io;
use std::ops::Bound;

use bytes::Bytes;

use super::*;

fn key(number: u64) -> Key {
    Key(*blake3::hash(&number.to_le_bytes()).as_bytes())
}

fn record(number: u64) -> Arc<Record> {
    let payload = Bytes::from(format!("answer {number} ").repeat(20));
    let namespace = Namespace::new("");
    Arc::new(Record {
        deployment: "a::b".to_owned(),
        created_ms: number,
        expires_ms: u64::MAX,
        namespace,
        question: Bytes::new(),
        payload,
    })
}

fn group(numbers: std::ops::Range<u64>) -> Group {
    numbers.map(|number| (key(number), record(number))).collect()
}

fn empty_file() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("cache");
    File::create(&path).unwrap();
    (dir, path)
}

fn refusal(path: &Path) -> String {
    let before = std::fs::read(path).unwrap();
    let Err(message) = Store::open(path, u64::MAX, Codec::default()) else { panic!("opened") };
    assert_eq!(std::fs::read(path).unwrap(), before, "touched");
    message
}

#[test]
fn a_database_of_another_program_is_refused_and_not_touched() {
    for mode in [ConcurrencyMode::ExclusiveWriter, ConcurrencyMode::MultiWriter] {
        for name in ["users", "entries", "thryd"] {
            let (_dir, path) = empty_file();
            let database = Builder::new().set_concurrency_mode(mode).create(&path).unwrap();
            let transaction = database.begin_write().unwrap();
            let theirs: TableDefinition<u64, &str> = TableDefinition::new(name);
            transaction.open_table(theirs).unwrap().insert(1, "precious").unwrap();
            transaction.commit().unwrap();
            drop(database);
            let message = refusal(&path);
            assert!(message.contains("another program"), "{message}");
        }
    }
}

#[test]
fn a_file_of_a_newer_version_is_refused_and_not_touched() {
    let (_dir, path) = empty_file();
    let store = Store::open(&path, u64::MAX, Codec::default()).unwrap();
    store.write(&group(0..10)).unwrap();
    let act = |database: &Database| {
        let transaction = database.begin_write()?;
        transaction.open_table(META)?.insert("format", FORMAT + 1)?;
        Ok(transaction.commit()?)
    };
    store.with(act).unwrap();
    drop(store);
    let message = refusal(&path);
    assert!(message.contains("its format is 2") && message.contains("newer version"), "{message}");
}

#[test]
fn a_database_that_another_program_has_open_is_refused() {
    let (_dir, path) = empty_file();
    let _theirs = Builder::new().create(&path).unwrap();
    assert!(Store::open(&path, u64::MAX, Codec::default()).is_err());
}

#[test]
fn every_transaction_keeps_the_tables_in_step() {
    let (_dir, path) = empty_file();
    let store = Store::open(&path, u64::MAX, Codec::default()).unwrap();
    let in_step = || {
        let sum = |database: &Database| {
            let entries = database.begin_read()?.open_table(ENTRIES)?;
            let mut sum = 0;
            for entry in entries.iter()? {
                sum += footprint(entry?.1.value().len());
            }
            let ages = database.begin_read()?.open_table(AGES)?;
            Ok((entries.len()?, ages.len()?, sum))
        };
        let (entries, ages, sum) = store.with(sum).unwrap();
        assert_eq!((entries, sum), store.size());
        assert_eq!(entries, ages);
        entries
    };
    store.write(&group(0..700)).unwrap();
    assert_eq!(in_step(), 700);
    // The same questions at another time, which changes their ages.
    let again = (0..700).map(|number| (key(number), record(number + 10_000))).collect();
    store.write(&again).unwrap();
    assert_eq!(in_step(), 700);
    store.evict(store.size().1 / 2, 0).unwrap();
    let kept = in_step();
    assert!((340..360).contains(&kept), "{kept}");
    assert!(store.read(&key(699)).is_some() && store.read(&key(0)).is_none());
    store.clear(None).unwrap();
    assert_eq!(in_step(), 0);
}

// ---------------------------------------------------------------------------------------------- a disk that fails

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
