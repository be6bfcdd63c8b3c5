//! Fears about what is kept: that it is wrong, that it is lost, that it costs an answer, that it harms a file.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use thryd::cache::{Cache, CacheMode, CacheOptions, Entry, Key};
use thryd::fields::Fields;

fn key(number: u64) -> Key {
    Key(*blake3::hash(&number.to_le_bytes()).as_bytes())
}

/// An answer that compresses about as well as text does, and that says whose it is.
fn answer(number: u64, size: usize) -> Bytes {
    let mut rng = fastrand::Rng::with_seed(number);
    let mut text = format!("{number}:");
    while text.len() < size {
        text.push_str(rng.choice(&["one ", "two ", "three ", "forty-two ", "seven "]).unwrap());
        text.push(rng.alphanumeric());
    }
    text.into()
}

fn put(cache: &Cache, number: u64) {
    cache.put(key(number), Entry { deployment: "openai::gpt-4o", payload: answer(number, 500), ..Entry::default() });
}

/// Without memory, so that every lookup is one of the disk.
fn on_disk(path: &Path) -> CacheOptions {
    CacheOptions { memory_bytes: 0, ..CacheOptions::at(path) }
}

/// A cache with a clock that the test turns.
fn with_clock(options: CacheOptions) -> (Cache, Arc<AtomicU64>) {
    let clock = Arc::new(AtomicU64::new(1_000_000));
    let hand = Arc::clone(&clock);
    (Cache::open_with_clock(options, move || hand.load(Ordering::SeqCst)).unwrap(), clock)
}

// ------------------------------------------------------------------------------------------------------- two tiers

#[tokio::test]
async fn an_answer_is_found_in_memory_at_once_and_on_disk_by_the_next_process() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("cache.redb");
    let cache = Cache::open(CacheOptions::at(&path)).unwrap();
    put(&cache, 1);
    assert_eq!(cache.memory_get(&key(1)).unwrap().payload, answer(1, 500));
    cache.close().await.unwrap();
    assert!(cache.is_closed() && cache.memory_get(&key(1)).is_none());

    let next = Cache::open(CacheOptions::at(&path)).unwrap();
    assert!(next.memory_get(&key(1)).is_none());
    let found = next.disk_get(&key(1)).await.unwrap();
    assert_eq!((found.deployment.as_str(), &found.payload), ("openai::gpt-4o", &answer(1, 500)));
    assert!(next.memory_get(&key(1)).is_some(), "promoted");
    assert!(next.disk_get(&key(2)).await.is_none());
    let stats = next.stats();
    assert_eq!((stats.entries, stats.hits, stats.misses, stats.write_errors, stats.read_errors), (1, 2, 1, 0, 0));
}

#[tokio::test]
async fn a_cache_without_a_file_keeps_answers_in_memory_and_counts() {
    let cache = Cache::open(CacheOptions::default()).unwrap();
    assert!(!cache.has_disk());
    assert!(cache.memory_get(&key(1)).is_none());
    assert!(cache.disk_get(&key(1)).await.is_none());
    put(&cache, 1);
    assert!(cache.memory_get(&key(1)).is_some());
    cache.note_joined();
    cache.flush().await.unwrap();
    let stats = cache.stats();
    assert_eq!((stats.entries, stats.hits, stats.misses, stats.joined), (1, 1, 1, 1));
    assert!(stats.bytes > 500);
    let json = serde_json::to_value(stats).unwrap();
    assert_eq!(json["writeErrors"], 0);
    cache.close().await.unwrap();
    cache.close().await.unwrap();
    put(&cache, 2);
    assert_eq!(cache.stats().entries, 0);
}

#[tokio::test]
async fn an_answer_that_is_on_its_way_to_the_disk_can_be_read() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::open(on_disk(&dir.path().join("c"))).unwrap();
    for number in 0..300 {
        put(&cache, number);
        assert_eq!(cache.disk_get(&key(number)).await.unwrap().payload, answer(number, 500));
    }
}

#[tokio::test]
async fn caches_that_name_one_file_share_it_and_the_memory_before_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("cache.redb");
    let one = Cache::open(CacheOptions::at(&path)).unwrap();
    let detour = dir.path().join(".").join("cache.redb");
    let other = Cache::open(CacheOptions::at(detour)).unwrap();
    let small = Cache::open(CacheOptions { memory_bytes: 1 << 20, ..CacheOptions::at(&path) }).unwrap();
    put(&one, 1);
    assert!(other.memory_get(&key(1)).is_some());
    assert!(small.memory_get(&key(1)).is_none());
    assert!(small.disk_get(&key(1)).await.is_some());
    // Closing one takes nothing from the others, and clearing one clears all.
    one.close().await.unwrap();
    assert!(other.memory_get(&key(1)).is_some());
    other.clear(None).await.unwrap();
    assert!(small.memory_get(&key(1)).is_none());
    assert!(small.disk_get(&key(1)).await.is_none());
}

#[tokio::test]
async fn dropping_a_cache_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("c");
    let cache = Cache::open(on_disk(&path)).unwrap();
    (0..1_000).for_each(|number| put(&cache, number));
    drop(cache);
    let again = Cache::open(on_disk(&path)).unwrap();
    // `flush_all` of the test beside this one may hold the file for a moment longer: then it is still being written.
    again.flush().await.unwrap();
    assert_eq!(again.stats().entries, 1_000);
}

#[tokio::test]
async fn flush_all_brings_everything_to_disk_before_the_process_ends() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::open(on_disk(&dir.path().join("c"))).unwrap();
    (0..100).for_each(|number| put(&cache, number));
    thryd::cache::flush_all();
    assert_eq!(cache.stats().entries, 100);
}

// ------------------------------------------------------------------------------------------------- age, bounds, tenants

#[tokio::test]
async fn an_answer_is_not_served_from_the_millisecond_it_expires() {
    let dir = tempfile::tempdir().unwrap();
    for options in [CacheOptions::default(), CacheOptions::at(dir.path().join("c")), on_disk(&dir.path().join("d"))] {
        let (cache, clock) = with_clock(CacheOptions { ttl: Duration::from_secs(10), ..options });
        let start = clock.load(Ordering::SeqCst);
        put(&cache, 1);
        cache.put(
            key(2),
            Entry { deployment: "a::b", payload: Bytes::new(), ttl: Some(Duration::from_secs(20)), ..Entry::default() },
        );
        cache.put(
            key(3),
            Entry { deployment: "a::b", payload: Bytes::new(), ttl: Some(Duration::ZERO), ..Entry::default() },
        );
        cache.put(
            key(4),
            Entry { deployment: "a::b", payload: Bytes::new(), ttl: Some(Duration::MAX), ..Entry::default() },
        );
        let seen = async |number: u64| {
            cache.memory_get(&key(number)).is_some() || cache.disk_get(&key(number)).await.is_some()
        };
        assert!(!seen(3).await);
        clock.store(start + 9_999, Ordering::SeqCst);
        assert!(seen(1).await);
        clock.store(start + 10_000, Ordering::SeqCst);
        assert!(!seen(1).await);
        assert!(seen(2).await);
        clock.store(start + 20_000, Ordering::SeqCst);
        assert!(!seen(2).await);
        assert!(seen(4).await);
    }
}

#[tokio::test]
async fn prune_removes_what_has_expired_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let (cache, clock) = with_clock(on_disk(&dir.path().join("c")));
    for number in 0..1_500 {
        let ttl = Duration::from_secs(if number % 3 == 0 { 10 } else { 1_000 });
        cache.put(
            key(number),
            Entry { deployment: "a::b", payload: answer(number, 100), ttl: Some(ttl), ..Entry::default() },
        );
    }
    clock.fetch_add(10_000, Ordering::SeqCst);
    assert_eq!(cache.prune().await.unwrap(), 500);
    assert_eq!(cache.prune().await.unwrap(), 0);
    assert_eq!(cache.stats().entries, 1_000);
    assert!(cache.disk_get(&key(1)).await.is_some());

    let (cache, clock) = with_clock(CacheOptions { ttl: Duration::from_secs(1), ..CacheOptions::default() });
    put(&cache, 1);
    clock.fetch_add(1_000, Ordering::SeqCst);
    assert_eq!(cache.prune().await.unwrap(), 1);
}

#[tokio::test]
async fn a_full_file_lets_go_of_the_expired_then_of_the_oldest() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("c");
    let limit = 1 << 20;
    let (cache, clock) = with_clock(CacheOptions { max_bytes: limit, ..on_disk(&path) });
    // Oldest of all, but not expired; then some that expire soon.
    put(&cache, 0);
    for number in 1..200 {
        clock.fetch_add(1, Ordering::SeqCst);
        cache.put(
            key(number),
            Entry {
                deployment: "a::b",
                payload: answer(number, 2_000),
                ttl: Some(Duration::from_millis(1)),
                ..Entry::default()
            },
        );
    }
    let mut last = 200;
    while cache.stats().bytes < limit / 100 * 95 {
        clock.fetch_add(1, Ordering::SeqCst);
        put(&cache, last);
        cache.flush().await.unwrap();
        last += 1;
    }
    // Between the bound and its nine tenths nothing goes, so that not every write has to make room.
    assert_eq!(cache.stats().entries, last);
    for number in last..last + 200 {
        clock.fetch_add(1, Ordering::SeqCst);
        put(&cache, number);
        cache.flush().await.unwrap();
    }
    // The first time room is made, the expired go, and that is enough.
    assert!(cache.stats().bytes <= limit);
    assert!(cache.disk_get(&key(0)).await.is_some());
    for number in last + 200..last + 3_000 {
        clock.fetch_add(1, Ordering::SeqCst);
        put(&cache, number);
    }
    cache.flush().await.unwrap();
    assert!(cache.stats().bytes <= limit);
    assert!(cache.disk_get(&key(0)).await.is_none());
    assert!(cache.disk_get(&key(last + 2_999)).await.is_some());
    let file = std::fs::metadata(&path).unwrap().len();
    assert!(file < 8 * limit, "{file}");
    assert_eq!(cache.stats().write_errors, 0);
}

#[tokio::test]
async fn the_bytes_that_are_counted_are_about_those_of_the_file() {
    for size in [100, 700, 1_300, 2_000, 6_000] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c");
        let cache = Cache::open(on_disk(&path)).unwrap();
        let mut rng = fastrand::Rng::with_seed(1);
        for number in 0..1_000 {
            let payload: Vec<u8> = std::iter::repeat_with(|| rng.u8(..)).take(size).collect();
            cache.put(key(number), Entry { deployment: "a::b", payload: payload.into(), ..Entry::default() });
        }
        cache.flush().await.unwrap();
        let (counted, file) = (cache.stats().bytes, std::fs::metadata(&path).unwrap().len());
        // redb doubles its file when it grows, so up to half of it may still be empty.
        assert!(counted < file * 2 && file < counted * 4, "{size}: counted {counted}, file {file}");
        // Storing the same again counts nothing twice.
        for number in 0..1_000 {
            cache.put(
                key(number),
                Entry { deployment: "a::b", payload: Bytes::from(vec![0; size]), ..Entry::default() },
            );
        }
        cache.clear(None).await.unwrap();
        assert_eq!((cache.stats().entries, cache.stats().bytes), (0, 0));
    }
}

#[tokio::test]
async fn clearing_one_tenant_leaves_the_others() {
    let dir = tempfile::tempdir().unwrap();
    for options in [CacheOptions::default(), CacheOptions::at(dir.path().join("c")), on_disk(&dir.path().join("d"))] {
        let cache = Cache::open(options).unwrap();
        let seen = async |number: u64| {
            cache.memory_get(&key(number)).is_some() || cache.disk_get(&key(number)).await.is_some()
        };
        cache.put(
            key(1),
            Entry { deployment: "a::b", payload: answer(1, 10), namespace: "tenant a", ..Entry::default() },
        );
        cache.put(
            key(2),
            Entry { deployment: "a::b", payload: answer(2, 10), namespace: "tenant b", ..Entry::default() },
        );
        cache.put(key(3), Entry { deployment: "a::b", payload: answer(3, 10), ..Entry::default() });
        cache.clear(Some("tenant a")).await.unwrap();
        assert_eq!((seen(1).await, seen(2).await, seen(3).await), (false, true, true));
        cache.clear(Some("")).await.unwrap();
        assert_eq!((seen(2).await, seen(3).await), (true, false));
        cache.clear(None).await.unwrap();
        assert!(!seen(2).await);
        assert_eq!(cache.stats().bytes, 0);
        put(&cache, 4);
        assert!(seen(4).await);
    }
}

// -------------------------------------------------------------------------------------------------------- bad files

fn refusal(path: &Path) -> String {
    let error = Cache::open(CacheOptions::at(path)).unwrap_err();
    assert_eq!(error.code(), "ERR_CACHE");
    let text = error.to_string();
    assert!(text.contains(&*path.to_string_lossy()), "{text}");
    text
}

#[test]
fn a_file_that_is_not_a_cache_is_refused_by_name_and_not_touched() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notes.txt");
    for content in
        [&b"my notes"[..], &[0; 5_000], b"\0", &[0xff; 100_000], b"redb\x1a\x0a\xa9\x0d\x0a and then nothing"]
    {
        std::fs::write(&path, content).unwrap();
        refusal(&path);
        assert_eq!(std::fs::read(&path).unwrap(), content);
    }
}

#[test]
fn a_directory_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    assert!(refusal(dir.path()).contains("it is a directory"));
}

#[test]
fn a_missing_directory_is_named_and_not_made() {
    let dir = tempfile::tempdir().unwrap();
    let parent = dir.path().join("missing");
    let text = refusal(&parent.join("cache.redb"));
    assert!(text.ends_with(&format!("there is no directory {}", parent.display())), "{text}");
    assert!(!parent.exists());
}

#[cfg(unix)]
#[test]
fn others_cannot_read_the_file() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("c");
    let _cache = Cache::open(CacheOptions::at(&path)).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[cfg(unix)]
#[tokio::test]
async fn a_file_that_was_deleted_is_made_anew_by_the_next_to_open_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("c");
    let old = Cache::open(on_disk(&path)).unwrap();
    put(&old, 1);
    std::fs::remove_file(&path).unwrap();
    let new = Cache::open(on_disk(&path)).unwrap();
    put(&new, 2);
    new.close().await.unwrap();
    assert!(old.disk_get(&key(1)).await.is_some(), "answers go on");
    assert_eq!(Cache::open(on_disk(&path)).unwrap().stats().entries, 1);
}

/// The bytes of a file with 200 answers.
async fn good_file(path: &Path) -> Vec<u8> {
    let cache = Cache::open(on_disk(path)).unwrap();
    (0..200).for_each(|number| put(&cache, number));
    cache.close().await.unwrap();
    drop(cache);
    std::fs::read(path).unwrap()
}

/// Uses a file that may be damaged in every way there is; every answer has to be right or missing.
async fn use_damaged(path: &Path) {
    let Ok(cache) = Cache::open(on_disk(path)) else { return };
    for number in 0..200 {
        if let Some(found) = cache.disk_get(&key(number)).await {
            assert_eq!(found.payload, answer(number, 500));
        }
    }
    put(&cache, 1_000);
    let _ = (cache.flush().await, cache.prune().await, cache.clear(Some("x")).await, cache.stats());
    let _ = cache.close().await;
}

#[tokio::test]
async fn a_file_with_flipped_bits_gives_right_answers_or_none() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("c");
    let good = good_file(&path).await;
    let mut rng = fastrand::Rng::with_seed(11);
    for round in 0..60 {
        let mut bad = good.clone();
        for _ in 0..1 << (round % 8) {
            let place = if round % 3 == 0 { rng.usize(0..320) } else { rng.usize(0..bad.len()) };
            bad[place] ^= 1 << rng.u8(0..8);
        }
        std::fs::write(&path, &bad).unwrap();
        use_damaged(&path).await;
    }
}

#[tokio::test]
async fn a_file_that_was_cut_off_gives_right_answers_or_none() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("c");
    let good = good_file(&path).await;
    let mut rng = fastrand::Rng::with_seed(12);
    for length in
        [0, 1, 9, 64, 320, 4_096, good.len() / 2, good.len() - 4_096, good.len() - 1, rng.usize(0..good.len())]
    {
        std::fs::write(&path, &good[..length]).unwrap();
        use_damaged(&path).await;
    }
}

// ---------------------------------------------------------------------------------------------------------- options

#[test]
fn options_are_read_by_name_and_have_one_set_of_defaults() {
    let read = |text| CacheOptions::read(Fields::parse("cache options", text).unwrap());
    assert_eq!(read("{}").unwrap(), CacheOptions::default());
    let all = r#"{"path":"p","ttlMs":1500,"maxBytes":5,"memoryBytes":0,"mode":"replay","namespace":"n","redis":null}"#;
    let expected = CacheOptions {
        path: Some("p".into()),
        redis: None,
        ttl: Duration::from_millis(1_500),
        max_bytes: 5,
        memory_bytes: 0,
        mode: CacheMode::Replay,
        namespace: Some("n".to_owned()),
        encryption_key: None,
    };
    assert_eq!(read(all).unwrap(), expected);
    for (text, field) in [
        (r#"{"ttl":1}"#, "cache options.ttl:"),
        (r#"{"mode":"play"}"#, "cache options.mode: expected one of 'record', 'replay'"),
        (r#"{"maxBytes":-1}"#, "cache options.maxBytes: expected an integer from 0"),
        (r#"{"path":""}"#, "cache options.path: expected the path of a file"),
    ] {
        let error = read(text).unwrap_err().to_string();
        assert!(error.starts_with(field), "{error}");
    }
}

#[test]
fn redis_is_refused_rather_than_ignored_and_its_password_stays_secret() {
    let options = CacheOptions { redis: Some("redis://:secret@host".to_owned()), ..CacheOptions::default() };
    assert!(!format!("{options:?}").contains("secret"));
    let error = Cache::open(options).unwrap_err();
    assert_eq!(error.code(), "ERR_UNSUPPORTED");
    assert!(error.to_string().contains("redis") && !error.to_string().contains("secret"));
}
