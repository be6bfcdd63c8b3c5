//! Fears about files that an earlier version of thryd made: that what they hold is lost, or read wrongly.
//!
//! `tests/fixtures` keeps one file of every format that was released, as one LZ4 block after its length. A release that
//! has a new one adds its own to them and to `RELEASED`; this writes it:
//! `cargo test --no-default-features --test cache_versions -- --ignored`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use thryd::cache::{Cache, CacheOptions, Entry, Key};

/// The formats of released versions, all of which are read.
const RELEASED: [u64; 1] = [1];

/// The format that this version writes.
const FORMAT: u64 = 2;

/// When the answers of a fixture were stored: September 2025, in milliseconds since 1970.
const STORED_MS: u64 = 1_757_000_000_000;

/// Sizes of the answers: what is not worth compressing, what is, and what needs pages of its own.
const SIZES: [usize; 12] = [0, 1, 40, 100, 500, 1_500, 2_000, 4_000, 6_000, 20_000, 70_000, 300];

/// The number of the answer that expires one second after it is stored.
const EXPIRED: u64 = 11;

fn key(number: u64) -> Key {
    Key(*blake3::hash(&number.to_le_bytes()).as_bytes())
}

/// Every third answer cannot be compressed, the others say the same again and again.
fn answer(number: u64) -> Bytes {
    let size = SIZES[number as usize];
    let mut state = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut noise = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    let text = format!(r#"{{"choices":[{{"message":{{"content":"answer {number}"}}}}]}} "#);
    let is_noise = number.is_multiple_of(3);
    text.bytes().cycle().map(|byte| if is_noise { noise() } else { byte }).take(size).collect()
}

fn namespace(number: u64) -> &'static str {
    if number.is_multiple_of(2) { "" } else { "tenant" }
}

/// Number 10 expires in the year 2155, the others after a hundred days.
fn ttl(number: u64) -> Duration {
    let day = Duration::from_secs(24 * 60 * 60);
    match number {
        EXPIRED => Duration::from_secs(1),
        10 => day * 130 * 365,
        _ => day * 100,
    }
}

fn fixture(format: u64) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/cache-format-{format}.redb.lz4"))
}

/// Not a test: writes the fixture of the present format.
#[tokio::test]
#[ignore = "writes into tests/fixtures"]
async fn make_the_fixture() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("cache");
    let options = CacheOptions { memory_bytes: 0, ..CacheOptions::at(&path) };
    let cache = Cache::open_with_clock(options, || STORED_MS).unwrap();
    for number in 0..SIZES.len() as u64 {
        let (ttl, namespace) = (Some(ttl(number)), namespace(number));
        let entry = Entry { deployment: "openai::gpt-4o", payload: answer(number), ttl, namespace, ..Entry::default() };
        cache.put(key(number), entry);
    }
    cache.close().await.unwrap();
    drop(cache);
    let packed = lz4_flex::block::compress_prepend_size(&std::fs::read(&path).unwrap());
    std::fs::write(fixture(FORMAT), packed).unwrap();
}

/// Unpacks the file of a format and opens it at this time.
fn unpack(format: u64, path: &Path) {
    let packed = std::fs::read(fixture(format)).unwrap();
    std::fs::write(path, lz4_flex::block::decompress_size_prepended(&packed).unwrap()).unwrap();
}

fn open(path: &Path, time_ms: u64) -> Cache {
    Cache::open_with_clock(CacheOptions { memory_bytes: 0, ..CacheOptions::at(path) }, move || time_ms).unwrap()
}

#[tokio::test]
async fn every_answer_of_every_format_is_found() {
    for format in RELEASED {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cache");
        unpack(format, &path);
        // Twice: as it comes, and as the first to open it left it.
        for time_ms in [STORED_MS + 1_000, STORED_MS + 2_000] {
            let cache = open(&path, time_ms);
            assert_eq!(cache.stats().entries, SIZES.len() as u64);
            for number in (0..SIZES.len() as u64).filter(|number| *number != EXPIRED) {
                let found = cache.disk_get(&key(number)).await.unwrap_or_else(|| panic!("{number} of {format}"));
                assert_eq!((found.payload.clone(), found.deployment.as_str()), (answer(number), "openai::gpt-4o"));
                assert_eq!(found.created_ms, STORED_MS);
                assert_eq!(found.expires_ms, STORED_MS + ttl(number).as_millis() as u64);
            }
            assert!(cache.disk_get(&key(EXPIRED)).await.is_none());
            assert_eq!((cache.stats().read_errors, cache.stats().write_errors), (0, 0));
            cache.close().await.unwrap();
        }
    }
}

#[tokio::test]
async fn answers_of_every_format_expire_in_their_time_and_belong_to_their_tenant() {
    for format in RELEASED {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cache");
        unpack(format, &path);
        let cache = open(&path, STORED_MS + 1_000);
        assert_eq!(cache.prune().await.unwrap(), 1);
        cache.clear(Some("tenant")).await.unwrap();
        assert_eq!(cache.stats().entries, SIZES.len() as u64 / 2);
        cache.close().await.unwrap();
        // In the year 2150 one is left.
        let cache = open(&path, 5_700_000_000_000);
        assert_eq!(cache.prune().await.unwrap(), 5);
        assert_eq!(cache.disk_get(&key(10)).await.unwrap().payload, answer(10));
    }
}
