//! Fears about processes that share one file: that one harms another, that a killed one takes others' answers with it.
//!
//! The test runs itself again as the writers: `child_that_writes`, told by `THRYD_TEST_WRITER` which of them it is.

mod answers;

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use bytes::Bytes;
use thryd::cache::{Cache, CacheOptions, Entry, Key};

const FILE: &str = "THRYD_TEST_FILE";
const WRITER: &str = "THRYD_TEST_WRITER";
const ENTRIES: &str = "THRYD_TEST_ENTRIES";
/// Other writers, by their numbers below this one, whose answers are read too.
const OTHERS: &str = "THRYD_TEST_OTHERS";

/// How many processes there are, and how often one is killed and replaced.
const PROCESSES: usize = 6;
const KILLS: usize = 15;

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

/// Told to end, by a file, so that it is told once and for all.
fn stop_file(path: &Path) -> PathBuf {
    path.with_extension("stop")
}

/// What has to be there.
async fn find(cache: &Cache, writer: u64, number: u64) -> Option<Bytes> {
    Some(answers::find(cache, &key(writer, number)).await?.payload.clone())
}

/// Writes, flushes every 50 and says how far it has flushed, reads its
/// own answers and others', and ends when it has written them all or is told to. A wrong answer ends it at once.
#[tokio::test]
#[ignore = "a child: it is told what to write, and may be killed"]
async fn child_that_writes() {
    let (writer, entries) = (number(WRITER).unwrap(), number(ENTRIES).unwrap());
    let others = number(OTHERS).unwrap_or(4);
    let path = PathBuf::from(std::env::var_os(FILE).unwrap());
    let cache = open(&path);
    let mut rng = fastrand::Rng::with_seed(writer);
    for number in 0..entries {
        let entry = Entry { deployment: "a::b", payload: answer(writer, number), ..Entry::default() };
        cache.put(key(writer, number), entry);
        if number % 50 == 49 {
            cache.flush().await.unwrap();
            let mut out = std::io::stdout().lock();
            writeln!(out, "\nflushed {}", number + 1).unwrap();
            out.flush().unwrap();
            drop(out);
            // Its own answers are there, another's are right or missing.
            for own in [number, rng.u64(0..=number)] {
                assert_eq!(find(&cache, writer, own).await, Some(answer(writer, own)), "{own} of {writer}");
            }
            for _ in 0..10 {
                let (other, theirs) = (rng.u64(0..others), rng.u64(0..=number));
                if let Some(found) = cache.disk_get(&key(other, theirs)).await {
                    assert_eq!(found.payload, answer(other, theirs), "{theirs} of {other}");
                }
            }
            if stop_file(&path).exists() {
                break;
            }
        }
    }
    let stats = cache.stats();
    assert_eq!((stats.write_errors, stats.read_errors), (0, 0), "{stats:?}");
    cache.close().await.unwrap();
}

fn start(path: &Path, writer: u64, entries: u64) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "child_that_writes", "--nocapture", "--test-threads=1"])
        .env(FILE, path)
        .env(WRITER, writer.to_string())
        .env(ENTRIES, entries.to_string())
        .env(OTHERS, "30")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// What a writer says, line by line, until it ends.
fn lines_of(writer: &mut Child) -> Receiver<String> {
    let out = BufReader::new(writer.stdout.take().unwrap());
    let (sender, lines) = channel();
    std::thread::spawn(move || out.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
    lines
}

/// Reads what a writer says until it has flushed this many, or has ended. Returns how many it has flushed.
fn wait_flushed(lines: &Receiver<String>, wanted: u64) -> u64 {
    let mut flushed = 0;
    while flushed < wanted {
        match lines.recv_timeout(Duration::from_secs(60)) {
            Ok(line) => {
                if let Some(count) = line.trim().strip_prefix("flushed ") {
                    flushed = count.parse().unwrap();
                }
            }
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {
                panic!("a writer that is to flush {wanted} has said nothing for a minute, after {flushed}")
            }
        }
    }
    flushed
}

async fn assert_readable(cache: &Cache, writer: u64, count: u64) {
    for number in 0..count {
        let found = find(cache, writer, number).await;
        let found = found.unwrap_or_else(|| panic!("{number} of writer {writer} is missing"));
        assert_eq!(found, answer(writer, number));
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
    let lines = lines_of(&mut victim);
    let mut flushed = wait_flushed(&lines, 300);
    assert_eq!(flushed, 300);
    victim.kill().unwrap();
    victim.wait().unwrap();
    flushed = flushed.max(wait_flushed(&lines, u64::MAX));
    for mut writer in writers {
        let lines = lines_of(&mut writer);
        assert_eq!(wait_flushed(&lines, 1_500), 1_500);
        wait_flushed(&lines, u64::MAX);
        assert!(writer.wait().unwrap().success());
    }
    let cache = open(&path);
    assert_readable(&cache, 0, flushed).await;
    for writer in 1..4 {
        assert_readable(&cache, writer, 1_500).await;
    }
    let stats = cache.stats();
    assert!(stats.entries >= 4_500 + flushed);
    assert_eq!(stats.read_errors, 0);
}

#[tokio::test]
async fn a_lone_writer_that_is_killed_again_and_again_loses_nothing_that_it_flushed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lone.redb");
    for round in 0..8 {
        let mut writer = start(&path, 10 + round, u64::MAX);
        let lines = lines_of(&mut writer);
        wait_flushed(&lines, 50 + 50 * (round % 3));
        writer.kill().unwrap();
        writer.wait().unwrap();
        let flushed = wait_flushed(&lines, u64::MAX).max(50 + 50 * (round % 3));
        let cache = open(&path);
        assert_readable(&cache, 10 + round, flushed).await;
        assert_readable(&cache, 10, 50).await;
    }
}

#[tokio::test]
async fn six_processes_of_which_one_is_killed_every_second_lose_nothing_that_was_flushed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("unrest.redb");
    let begin = |writer: u64| {
        let mut process = start(&path, writer, u64::MAX);
        let lines = lines_of(&mut process);
        (writer, process, lines)
    };
    let mut running: Vec<(u64, Child, Receiver<String>)> = (0..PROCESSES as u64).map(begin).collect();
    let mut flushed = Vec::new();
    for next in (PROCESSES as u64..).take(KILLS) {
        std::thread::sleep(Duration::from_secs(1));
        // The one that has been there for longest, so that each lives for a few seconds.
        let (writer, mut process, lines) = running.remove(0);
        process.kill().unwrap();
        let status = process.wait().unwrap();
        assert_ne!(status.code(), Some(101), "writer {writer} met a wrong answer");
        flushed.push((writer, wait_flushed(&lines, u64::MAX)));
        running.push(begin(next));
    }
    std::fs::write(stop_file(&path), "").unwrap();
    for (writer, mut process, lines) in running {
        let count = wait_flushed(&lines, u64::MAX);
        assert!(process.wait().unwrap().success(), "writer {writer}");
        assert!(count > 0, "writer {writer} got nowhere");
        flushed.push((writer, count));
    }
    let cache = open(&path);
    for (writer, count) in flushed {
        assert_readable(&cache, writer, count).await;
    }
    assert_eq!(cache.stats().read_errors, 0);
}
