//! Fears about processes that share one file: that one harms another, that a killed one takes others' answers with it.
//!
//! The test runs itself again as the writers: with `THRYD_TEST_WRITER` set, this binary's `writer` test is one.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use bytes::Bytes;
use thryd::cache::{Cache, CacheOptions, Entry, Key};

const FILE: &str = "THRYD_TEST_FILE";
const WRITER: &str = "THRYD_TEST_WRITER";
const ENTRIES: &str = "THRYD_TEST_ENTRIES";

fn key(writer: u64, number: u64) -> Key {
    Key(*blake3::hash(&[writer.to_le_bytes(), number.to_le_bytes()].concat()).as_bytes())
}

fn answer(writer: u64, number: u64) -> Bytes {
    format!("{writer} answers {number} ").repeat(1 + (number % 50) as usize).into()
}

fn open(path: &Path) -> Cache {
    Cache::open(CacheOptions { memory_bytes: 0, ..CacheOptions::at(path) }).unwrap()
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Does nothing unless another test started it: then writes, flushes every 50 and says how far it has flushed.
#[tokio::test]
async fn writer() {
    let (Some(writer), Some(entries)) = (number(WRITER), number(ENTRIES)) else { return };
    let cache = open(Path::new(&std::env::var_os(FILE).unwrap()));
    for number in 0..entries {
        cache.put(
            key(writer, number),
            Entry { deployment: "a::b", payload: answer(writer, number), ..Entry::default() },
        );
        if number % 50 == 49 {
            cache.flush().await.unwrap();
            // Reads in between, its own and another's: right or missing.
            assert_eq!(cache.disk_get(&key(writer, number)).await.unwrap().payload, answer(writer, number));
            let other = (writer + 1) % 4;
            if let Some(found) = cache.disk_get(&key(other, number)).await {
                assert_eq!(found.payload, answer(other, number));
            }
            let mut out = std::io::stdout().lock();
            writeln!(out, "\nflushed {}", number + 1).unwrap();
            out.flush().unwrap();
        }
    }
    cache.close().await.unwrap();
}

fn start(path: &Path, writer: u64, entries: u64) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "writer", "--nocapture", "--test-threads=1"])
        .env(FILE, path)
        .env(WRITER, writer.to_string())
        .env(ENTRIES, entries.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Reads what a writer says until it has flushed this many, or has ended. Returns how many it has flushed.
fn wait_flushed(out: &mut impl BufRead, wanted: u64) -> u64 {
    let (mut flushed, mut line) = (0, String::new());
    while flushed < wanted && out.read_line(&mut line).unwrap() > 0 {
        if let Some(count) = line.trim().strip_prefix("flushed ") {
            flushed = count.parse().unwrap();
        }
        line.clear();
    }
    flushed
}

async fn assert_readable(cache: &Cache, writer: u64, count: u64) {
    for number in 0..count {
        let found = cache.disk_get(&key(writer, number)).await;
        let found = found.unwrap_or_else(|| panic!("{number} of writer {writer} is missing"));
        assert_eq!(found.payload, answer(writer, number));
    }
}

#[tokio::test]
async fn four_processes_share_a_file_and_one_that_is_killed_takes_nothing_from_the_others() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("shared.redb");
    // The victim would go on for ever.
    let mut writers: Vec<_> =
        (0..4).map(|writer| start(&path, writer, if writer == 0 { u64::MAX } else { 1_500 })).collect();
    let mut victim = writers.remove(0);
    let mut out = BufReader::new(victim.stdout.take().unwrap());
    let mut flushed = wait_flushed(&mut out, 300);
    assert_eq!(flushed, 300);
    victim.kill().unwrap();
    victim.wait().unwrap();
    flushed = flushed.max(wait_flushed(&mut out, u64::MAX));
    for mut writer in writers {
        let mut out = BufReader::new(writer.stdout.take().unwrap());
        assert_eq!(wait_flushed(&mut out, 1_500), 1_500);
        wait_flushed(&mut out, u64::MAX);
        assert!(writer.wait().unwrap().success());
    }
    let cache = open(&path);
    assert_readable(&cache, 0, flushed).await;
    for writer in 1..4 {
        assert_readable(&cache, writer, 1_500).await;
    }
    let stats = cache.stats();
    assert!(stats.entries >= 4_500 + flushed);
    assert_eq!((stats.misses, stats.read_errors), (0, 0));
}

#[tokio::test]
async fn a_lone_writer_that_is_killed_again_and_again_loses_nothing_that_it_flushed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lone.redb");
    for round in 0..6 {
        let mut writer = start(&path, 10 + round, u64::MAX);
        let mut out = BufReader::new(writer.stdout.take().unwrap());
        wait_flushed(&mut out, 50 + 50 * (round % 3));
        writer.kill().unwrap();
        writer.wait().unwrap();
        let flushed = wait_flushed(&mut out, u64::MAX).max(50 + 50 * (round % 3));
        let cache = open(&path);
        assert_readable(&cache, 10 + round, flushed).await;
        assert_readable(&cache, 10, 50).await;
    }
}
