//! Fears about files that are not as they should be: that thryd harms them, serves what is wrong in them, or fails.

mod answers;

use std::path::{Path, PathBuf};

use answers::{answer, find, key, on_disk, put};
use thryd::cache::{Cache, CacheOptions};

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
    assert!(find(&old, &key(1)).await.is_some(), "answers go on");
    old.close().await.unwrap();
    // What the old one had not written yet is written where it will be found.
    assert_eq!(Cache::open(on_disk(&path)).unwrap().stats().entries, 2);
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

#[cfg(unix)]
#[test]
#[ignore = "a child: the superuser may write to any file"]
fn child_that_may_only_read() {
    let path = PathBuf::from(std::env::var_os("THRYD_TEST_FILE").unwrap());
    let message = refusal(&path).to_lowercase();
    assert!(message.contains("permission denied"), "{message}");
}

#[cfg(unix)]
#[tokio::test]
async fn a_file_that_may_only_be_read_is_refused_by_name_and_not_touched() {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::CommandExt;
    let dir = tempfile::tempdir().unwrap();
    let (path, copy) = (dir.path().join("c"), dir.path().join("test"));
    let good = good_file(&path).await;
    // This test's program, where another user finds it.
    std::fs::copy(std::env::current_exe().unwrap(), &copy).unwrap();
    for (place, mode) in [(dir.path(), 0o755), (&path, 0o444), (&copy, 0o555)] {
        std::fs::set_permissions(place, std::fs::Permissions::from_mode(mode)).unwrap();
    }
    let mut child = std::process::Command::new(&copy);
    child.args(["--ignored", "--exact", "child_that_may_only_read"]).env("THRYD_TEST_FILE", &path).current_dir("/");
    let is_superuser = std::fs::OpenOptions::new().write(true).open(&path).is_ok();
    if is_superuser {
        // Nobody, on most systems; whoever it is, the file is not theirs.
        child.uid(65_534).gid(65_534);
    }
    let output = child.output().unwrap();
    let report = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && report.contains("1 passed"), "{report}");
    assert_eq!(std::fs::read(&path).unwrap(), good);
}

#[cfg(unix)]
#[tokio::test]
async fn what_is_stored_after_the_file_was_deleted_is_found_by_the_next_process() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("c");
    let cache = Cache::open(on_disk(&path)).unwrap();
    (0..100).for_each(|number| put(&cache, number));
    cache.flush().await.unwrap();
    std::fs::remove_file(&path).unwrap();
    assert!(
        find(&cache, &key(1)).await.is_some(),
        "until something is written the old file is still there for this process"
    );
    (100..200).for_each(|number| put(&cache, number));
    cache.flush().await.unwrap();
    for number in 100..200 {
        assert_eq!(find(&cache, &key(number)).await.unwrap().payload, answer(number, 500));
    }
    let stats = cache.stats();
    assert_eq!((stats.entries, stats.write_errors, stats.read_errors), (100, 0, 0));
    cache.close().await.unwrap();
    assert_eq!(Cache::open(on_disk(&path)).unwrap().stats().entries, 100);
}

#[cfg(unix)]
#[tokio::test]
async fn a_file_that_was_put_in_the_place_of_the_open_one_is_used_if_it_is_a_cache_and_else_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (path, other, notes) = (dir.path().join("c"), dir.path().join("other"), dir.path().join("notes"));
    good_file(&other).await;
    let cache = Cache::open(on_disk(&path)).unwrap();
    put(&cache, 1_000);
    cache.flush().await.unwrap();
    std::fs::rename(&other, &path).unwrap();
    put(&cache, 1_001);
    cache.flush().await.unwrap();
    assert!(find(&cache, &key(7)).await.is_some() && find(&cache, &key(1_001)).await.is_some());
    std::fs::write(&notes, "my notes").unwrap();
    std::fs::rename(&notes, &path).unwrap();
    put(&cache, 1_002);
    assert!(cache.flush().await.is_err());
    assert_eq!(std::fs::read(&path).unwrap(), b"my notes");
    assert!(cache.stats().write_errors > 0);
}

#[tokio::test]
async fn the_length_of_the_file_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("c");
    let cache = Cache::open(on_disk(&path)).unwrap();
    (0..2_000).for_each(|number| put(&cache, number));
    cache.flush().await.unwrap();
    assert_eq!(cache.stats().file_bytes, std::fs::metadata(&path).unwrap().len());
    assert_eq!(Cache::open(CacheOptions::default()).unwrap().stats().file_bytes, 0);
}

// ------------------------------------------------------------------------------------------------------- a full disk

#[cfg(unix)]
const FULL: &str = "THRYD_TEST_FULL";

/// Bytes that do not compress, which also say whose they are.
#[cfg(unix)]
fn noise(number: u64) -> bytes::Bytes {
    let mut rng = fastrand::Rng::with_seed(number);
    std::iter::repeat_with(|| rng.u8(..)).take(10_000).collect::<Vec<_>>().into()
}

#[cfg(unix)]
#[tokio::test]
#[ignore = "a child: no file may be longer than a few MiB"]
async fn child_on_a_full_disk() {
    let path = std::env::var_os(FULL).unwrap();
    let entry = |number| thryd::cache::Entry { payload: noise(number), ..Default::default() };
    let cache = Cache::open(CacheOptions::at(&path)).unwrap();
    let mut kept = 0;
    for number in 0..2_000 {
        cache.put(key(number), entry(number));
        if number % 50 == 49 && kept + 50 == number + 1 && cache.flush().await.is_ok() {
            kept = number + 1;
        }
    }
    let error = cache.flush().await.unwrap_err();
    assert_eq!(error.code(), "ERR_CACHE");
    assert!(error.to_string().contains(&*Path::new(&path).to_string_lossy()), "{error}");
    let stats = cache.stats();
    assert!(stats.write_errors > 0 && stats.last_error.is_some(), "{stats:?}");
    // Answers go on, from memory, and from the disk if it can still be opened.
    assert!(
        (0..2_000).all(|number| cache.memory_get(&key(number)).is_some_and(|found| found.payload == noise(number)))
    );
    let below = Cache::open(on_disk(Path::new(&path))).unwrap();
    for number in 0..2_000 {
        if let Some(record) = below.disk_get(&key(number)).await {
            assert_eq!(record.payload, noise(number));
        }
    }
    let _ = (cache.prune().await, cache.clear(Some("nobody")).await, cache.close().await);
    println!("kept {kept}");
}

#[cfg(unix)]
#[tokio::test]
async fn a_full_disk_costs_no_answer_and_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("c");
    let binary = std::env::current_exe().unwrap();
    // As a full disk does, writing beyond the limit fails; the signal that would end the process is ignored.
    let output = std::process::Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 8192; exec \"$0\" --ignored --exact child_on_a_full_disk --nocapture"])
        .arg(binary)
        .env(FULL, &path)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}{errors}");
    let kept = text.lines().find_map(|line| line.strip_prefix("kept ")).unwrap();
    let kept: u64 = kept.parse().unwrap();
    assert!((50..2_000).contains(&kept), "{kept}");
    // When there is room again, all that was said to be on disk is there, and more comes.
    let next = Cache::open(on_disk(&path)).unwrap();
    for number in 0..kept {
        assert_eq!(find(&next, &key(number)).await.unwrap().payload, noise(number));
    }
    put(&next, 5_000);
    next.flush().await.unwrap();
    assert!(find(&next, &key(5_000)).await.is_some());
    assert_eq!(next.stats().read_errors, 0);
}
