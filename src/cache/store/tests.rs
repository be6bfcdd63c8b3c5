//! Fears about the file itself: whose it is, that its tables drift apart, that it never shrinks, that a change of its
//! format loses what an earlier one kept.

mod compaction_tests;
mod failing_tests;
mod look_tests;

use std::fs::File;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use bytes::Bytes;
use redb::{Builder, ConcurrencyMode, ReadableDatabase, ReadableTable, TableDefinition};

use super::tables::{ENTRIES, FORMAT, INDEX, META};
use super::*;
use crate::cache::Namespace;

/// A file that nobody can use: see [`Store::held`].
pub struct Held(Option<(mpsc::Sender<()>, JoinHandle<()>)>);

impl Held {
    pub(super) fn new(store: &Arc<Store>) -> Self {
        let (free, is_free) = mpsc::channel::<()>();
        let (held, is_held) = mpsc::channel();
        let store = Arc::clone(store);
        let holder = thread::spawn(move || {
            let _guard = store.database.write().unwrap_or_else(PoisonError::into_inner);
            held.send(()).unwrap();
            // Until the other end is dropped.
            let _ = is_free.recv();
        });
        is_held.recv().unwrap();
        Self(Some((free, holder)))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some((free, holder)) = self.0.take() {
            drop(free);
            holder.join().unwrap();
        }
    }
}

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

/// Answers that are long and cannot be compressed; nine of ten are of a tenant that will be gone.
fn long(numbers: std::ops::Range<u64>) -> Group {
    let long = |number| {
        let mut rng = fastrand::Rng::with_seed(number);
        let payload = std::iter::repeat_with(|| rng.u8(..)).take(3_000).collect::<Vec<_>>().into();
        let namespace = Namespace::new(if number.is_multiple_of(10) { "" } else { "gone" });
        (key(number), Arc::new(Record { namespace, payload, ..(*record(number)).clone() }))
    };
    numbers.map(long).collect()
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
    assert!(message.contains("its format is 3") && message.contains("newer version"), "{message}");
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
            let index = database.begin_read()?.open_table(INDEX)?;
            let mut sum = 0;
            for entry in entries.iter()? {
                let (rank, row) = entry?;
                sum += footprint(row.value().len() - 32);
                let place = row.value().first_chunk::<32>().unwrap();
                assert_eq!(index.get(place)?.map(|row| row.value().0), Some(rank.value()));
            }
            Ok((entries.len()?, index.len()?, sum))
        };
        let (entries, index, sum) = store.with(sum).unwrap();
        assert_eq!((entries, sum), store.size());
        assert_eq!(entries, index);
        entries
    };
    store.write(&group(0..700)).unwrap();
    assert_eq!(in_step(), 700);
    // The same questions at another time, which changes their ages.
    let again = (0..700).map(|number| (key(number), record(number + 10_000))).collect();
    store.write(&again).unwrap();
    assert_eq!(in_step(), 700);
    // Half of them are asked for, then room is made for others.
    let used = |number: &u64| number.is_multiple_of(2);
    (0..700).filter(used).for_each(|number| assert!(store.read(&key(number)).is_some()));
    store.lower_bound(store.size().1);
    store.write(&group(1_000..1_010)).unwrap();
    while !store.go_on_evicting().unwrap() {
        in_step();
    }
    assert!(in_step() < 640);
    assert_eq!(store.evictions(), 710 - in_step());
    assert!((0..700).filter(used).all(|number| store.read(&key(number)).is_some()));
    let gone = (0..700).filter(|number| store.read(&key(*number)).is_none()).count() as u64;
    assert_eq!(gone, store.evictions(), "what was just written is kept");
    store.clear(None).unwrap();
    assert_eq!(in_step(), 0);
}

#[test]
fn a_file_opens_only_with_the_key_it_was_made_with_and_is_not_touched_by_others() {
    for (made_with, given, expected) in [
        (0, 7, "it is not encrypted; open it without encryptionKey"),
        (7, 0, "it is encrypted; give its encryptionKey"),
        (7, 8, "the encryptionKey is not the one it was made with"),
    ] {
        let (_dir, path) = empty_file();
        drop(open::open_database(&path, made_with).unwrap());
        let before = std::fs::read(&path).unwrap();
        assert_eq!(open::open_database(&path, given).unwrap_err(), expected);
        assert_eq!(std::fs::read(&path).unwrap(), before, "touched");
        open::open_database(&path, made_with).unwrap();
    }
    // One of format 1 has no seal, and was never encrypted.
    let (_dir, path) = file_of_format_1(3);
    let before = std::fs::read(&path).unwrap();
    assert!(open::open_database(&path, 7).unwrap_err().contains("not encrypted"));
    assert_eq!(std::fs::read(&path).unwrap(), before, "touched");
}

#[test]
fn clearing_leaves_the_file_its_key() {
    let (_dir, path) = empty_file();
    let store = Store::open(&path, u64::MAX, Codec::default()).unwrap();
    store.write(&group(0..10)).unwrap();
    store.clear(None).unwrap();
    drop(store);
    assert!(open::open_database(&path, 7).unwrap_err().contains("not encrypted"));
}

#[test]
fn the_size_that_was_known_last_is_none_from_before_a_change() {
    let (_dir, path) = empty_file();
    let store = Arc::new(Store::open(&path, u64::MAX, Codec::default()).unwrap());
    store.write(&group(0..10)).unwrap();
    let full = store.size();
    let before = *store.last();
    store.clear(None).unwrap();
    assert_eq!(store.last_size(), (0, 0));
    // What was measured, and what was committed, before that, and is told after it.
    store.note_measured(before, full);
    assert_eq!(store.last_size(), (0, 0));
    store.note_changed(before.change, full);
    assert_eq!(store.last_size(), (0, 0));
    let held = store.held();
    assert_eq!(store.size(), (0, 0), "while nobody can look");
    drop(held);
    store.write(&group(0..1)).unwrap();
    assert_eq!(store.last_size().0, 1);
}

#[test]
fn a_scan_finds_every_entry_once_in_the_order_of_places() {
    let (_dir, path) = empty_file();
    let store = Store::open(&path, u64::MAX, Codec::default()).unwrap();
    store.write(&group(0..100)).unwrap();
    // One that cannot be read, which is no end.
    let damage = |tables: &mut Tables<'_>| tables.insert(&key(50), b"no record", u64::MAX, 0);
    store.change(damage).unwrap();
    let (mut after, mut found) = (None, Vec::new());
    loop {
        let some = store.scan(after, 7).unwrap();
        assert!(some.len() <= 7);
        let Some((place, ..)) = some.last() else { break };
        after = Some(*place);
        found.extend(some);
    }
    assert!(found.is_sorted_by(|(one, ..), (next, ..)| one < next));
    let mut numbers: Vec<_> = found.iter().map(|(_, _, record)| record.created_ms).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..100).filter(|number| *number != 50).collect::<Vec<_>>());
    assert!(found.iter().all(|(place, found, record)| place == found && *found == key(record.created_ms)));
}

#[test]
fn an_answer_that_cannot_be_written_is_told_of_and_takes_no_other_with_it() {
    let (_dir, path) = empty_file();
    let store = Store::open(&path, u64::MAX, Codec::default()).unwrap();
    let mut group = group(0..600);
    let question = Bytes::from(vec![0; 70 << 20]);
    group.insert(key(600), Arc::new(Record { question, ..(*record(600)).clone() }));
    let lost = store.write(&group).unwrap_err();
    assert!(lost.entries == 1 && lost.message.contains("too long"), "{lost:?}");
    assert_eq!(store.size().0, 600);
}

// ------------------------------------------------------------------------------------------------- an earlier format

/// A file as format 1 had it, with this many answers, the oldest first.
fn file_of_format_1(count: u64) -> (tempfile::TempDir, PathBuf) {
    let (dir, path) = empty_file();
    let mut builder = Builder::new();
    let database = builder.set_concurrency_mode(ConcurrencyMode::MultiWriter).create(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    for number in 0..count {
        write_as_format_1(&transaction, number).unwrap();
    }
    transaction.open_table(META).unwrap().insert("format", 1).unwrap();
    transaction.commit().unwrap();
    (dir, path)
}

fn write_as_format_1(transaction: &WriteTransaction, number: u64) -> Result<(), redb::Error> {
    let (key, record) = (key(number), record(number));
    let mut age = [0; 40];
    age[..8].copy_from_slice(&record.created_ms.to_be_bytes());
    age[8..].copy_from_slice(&key.0);
    let bytes = record.encode(&key).unwrap();
    transaction.open_table(migrate::ENTRIES_1)?.insert(&key.0, bytes.as_slice())?;
    transaction.open_table(migrate::AGES_1)?.insert(&age, (record.expires_ms, record.namespace.0))?;
    Ok(())
}

fn assert_all_there(store: &Store, count: u64) {
    assert_eq!(store.size().0, count);
    for number in 0..count {
        assert_eq!(store.read(&key(number)).as_ref(), Some(&*record(number)), "{number}");
    }
    assert_eq!(store.read_errors(), 0);
}

#[test]
fn a_file_of_an_earlier_format_has_all_its_answers_at_every_moment_of_its_change() {
    let (_dir, path) = file_of_format_1(700);
    let mut store = Store::open(&path, u64::MAX, Codec::default()).unwrap();
    let mut steps = 0;
    while store.is_migrating() {
        assert_all_there(&store, 700);
        // What is answered anew meanwhile is what counts.
        store.write(&group(0..1)).unwrap();
        store.migrate_some().unwrap();
        steps += 1;
        if steps == 2 {
            // Half-way the process ends, and another goes on.
            store = Store::open(&path, u64::MAX, Codec::default()).unwrap();
            assert!(store.is_migrating());
        }
    }
    assert!(steps >= 4);
    assert_all_there(&store, 700);
    drop(store);
    let store = Store::open(&path, u64::MAX, Codec::default()).unwrap();
    assert!(!store.is_migrating());
    assert_all_there(&store, 700);
}

#[test]
fn what_needs_the_whole_file_finishes_its_change_first() {
    let opened = || {
        let (dir, path) = file_of_format_1(300);
        (dir, Store::open(&path, u64::MAX, Codec::default()).unwrap())
    };
    let (_dir, store) = opened();
    assert_eq!(store.scan(None, 1_000).unwrap().len(), 300);
    let (_dir, store) = opened();
    store.clear(Some(Namespace::new(""))).unwrap();
    assert_eq!(store.size(), (0, 0));
    let (_dir, store) = opened();
    store.clear(None).unwrap();
    assert_eq!(store.size(), (0, 0));
    assert!(!store.is_migrating() && store.read(&key(1)).is_none());
    let (_dir, store) = opened();
    assert_eq!(store.prune(u64::MAX).unwrap(), 300);
}

#[test]
fn a_process_of_an_older_version_that_has_the_file_open_can_no_longer_write_into_it() {
    let (_dir, path) = file_of_format_1(10);
    let mut builder = Builder::new();
    let older = builder.set_concurrency_mode(ConcurrencyMode::MultiWriter).create(&path).unwrap();
    let store = Store::open(&path, u64::MAX, Codec::default()).unwrap();
    for _ in 0..2 {
        let transaction = older.begin_write().unwrap();
        assert!(write_as_format_1(&transaction, 99).is_err());
        transaction.abort().unwrap();
        assert!(older.begin_read().unwrap().open_table(migrate::ENTRIES_1).is_err());
        store.finish_migration().unwrap();
    }
    assert_all_there(&store, 10);
}
