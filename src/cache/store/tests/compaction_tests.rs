//! Fears about the length of the file: that it stays when what was in it has left, that somebody waits while it shrinks.

use super::*;

fn later() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

/// Does what is due at this time.
fn tend(store: &Store, now: Instant) {
    while store.tend(now).is_some_and(|next| next <= now) {}
}

#[test]
fn an_idle_file_gives_the_room_of_what_has_left_it_back_to_the_disk() {
    let (_dir, path) = empty_file();
    let store = Store::open(&path, u64::MAX, Codec::default()).unwrap();
    store.write(&long(0..4_000)).unwrap();
    let (full, full_on_disk) = (store.file_bytes(), store.disk_bytes());
    assert!(full > 12_000_000);
    store.clear(Some(Namespace::new("gone"))).unwrap();
    assert_eq!(store.size().0, 400);
    // Not at once: somebody may be about to ask.
    tend(&store, Instant::now());
    assert!(store.disk_bytes() > full_on_disk / 2);
    tend(&store, later());
    assert!(store.file_bytes() < full / 4, "{} of {full}", store.file_bytes());
    assert!(store.disk_bytes() < full_on_disk / 4);
    for number in (0..4_000).step_by(10) {
        assert_eq!(store.read(&key(number)).as_ref(), Some(&*long(number..number + 1)[&key(number)]));
    }
    // Nothing more to win, so nobody has to look again.
    assert_eq!(store.tend(later()), None);
}

/// Not a test: what `docs/cache.md` says of it.
/// `cargo test --no-default-features --lib how_long_a_compaction_takes -- --ignored --nocapture`
#[test]
#[ignore = "measures"]
fn how_long_a_compaction_takes() {
    for (entries, kept, holes) in [(100_000, 10, false), (100_000, 2, false), (100_000, 2, true), (500_000, 2, false)] {
        let (_dir, path) = empty_file();
        let store = Store::open(&path, u64::MAX, Codec::default()).unwrap();
        for start in (0..entries).step_by(2_000) {
            let long = |number| {
                let mut rng = fastrand::Rng::with_seed(number);
                let payload = std::iter::repeat_with(|| rng.u8(..)).take(900).collect::<Vec<_>>().into();
                let is_kept = if holes { number % kept == 0 } else { number > entries - entries / kept };
                let namespace = Namespace::new(if is_kept { "" } else { "gone" });
                (key(number), Arc::new(Record { namespace, payload, ..(*record(number)).clone() }))
            };
            store.write(&(start..start + 2_000).map(long).collect()).unwrap();
        }
        store.clear(Some(Namespace::new("gone"))).unwrap();
        let (stored, before, started) = (store.size().1 >> 20, store.disk_bytes() >> 20, Instant::now());
        assert!(store.compact().unwrap());
        let (took, after) = (started.elapsed(), store.disk_bytes() >> 20);
        println!("{stored} MiB stored, holes {holes}: {before} to {after} MiB in {took:?}");
    }
}

#[test]
fn nothing_is_made_shorter_while_somebody_reads_or_writes() {
    let (_dir, path) = empty_file();
    let store = Store::open(&path, u64::MAX, Codec::default()).unwrap();
    store.write(&long(0..4_000)).unwrap();
    store.clear(None).unwrap();
    let full = store.file_bytes();
    let mut builder = Builder::new();
    builder.set_concurrency_mode(ConcurrencyMode::MultiWriter);
    // As another process would: what it holds is not this handle's.
    let other = builder.create(&path).unwrap();
    let reading = other.begin_read().unwrap();
    tend(&store, later());
    assert_eq!(store.file_bytes(), full);
    drop(reading);
    let writing = other.begin_write().unwrap();
    tend(&store, later());
    assert_eq!(store.file_bytes(), full);
    writing.abort().unwrap();
    // One of this process, in the middle of a read.
    let held = Arc::clone(&store.database.read().unwrap());
    tend(&store, later());
    assert_eq!(store.file_bytes(), full);
    drop(held);
    tend(&store, later());
    assert!(store.file_bytes() < full / 4);
    store.write(&group(0..10)).unwrap();
    assert_eq!(store.read_errors(), 0);
}

#[test]
fn a_file_that_others_write_is_not_made_shorter() {
    let (_dir, path) = empty_file();
    let store = Store::open(&path, u64::MAX, Codec::default()).unwrap();
    store.write(&long(0..4_000)).unwrap();
    store.clear(None).unwrap();
    let (begun, full) = (Instant::now(), store.file_bytes());
    tend(&store, begun);
    // As another process would: this one does not hear of it but from the file.
    let other = Store::open(&path, u64::MAX, Codec::default()).unwrap();
    let second = Duration::from_secs(1);
    for number in 0..3_u32 {
        other.write(&group(number.into()..u64::from(number) + 1)).unwrap();
        // The file system's clock may be too coarse to tell two writes apart.
        let modified = std::time::UNIX_EPOCH + (number + 1) * second;
        File::options().write(true).open(&path).unwrap().set_modified(modified).unwrap();
        let look = begun + (number + 1) * 40 * second;
        assert_eq!(store.tend(look), Some(look + 30 * second), "as if this process had used it");
        // A commit of redb's own may cut off a part of what is free at the end.
        assert!(store.file_bytes() > full / 2);
    }
    tend(&store, begun + 200 * second);
    assert!(store.file_bytes() < full / 4);
}
