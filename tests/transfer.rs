//! Fears about fixtures under review: that an export is not what is in the cache, changes without a reason, replaces what it
//! should not, or comes back as something else.

mod dummies;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use dummies::{dummy, router_of};
use serde_json::{Value, json};
use thryd::Kind;
use thryd::cache::{Cache, CacheOptions, EncryptionKey, Entry, ImportReport, Key, Progress};
use thryd::kinds::{Body, Completion, Embeddings};
use thryd::options::{InvokeOptions, StreamOptions};
use thryd::route::{CacheStatus, Router};

const START: u64 = 1_800_000_000_000;

fn key(number: u64) -> Key {
    Key(*blake3::hash(&number.to_le_bytes()).as_bytes())
}

/// A cache whose clock stands still until it is moved.
fn with_clock(options: CacheOptions) -> (Cache, Arc<AtomicU64>) {
    let clock = Arc::new(AtomicU64::new(START));
    let own = Arc::clone(&clock);
    (Cache::open_with_clock(options, move || own.load(Ordering::SeqCst)).unwrap(), clock)
}

fn on_disk(path: &Path) -> CacheOptions {
    CacheOptions { memory_bytes: 0, ..CacheOptions::at(path) }
}

fn put(cache: &Cache, number: u64, payload: &'static [u8], namespace: &str) {
    let question = format!(r#"{{"kind":"completion","number":{}}}"#, number % 100);
    let ttl = Some(Duration::from_secs(number + 1));
    let (payload, question) = (Bytes::from_static(payload), question.into());
    cache.put(key(number), Entry { deployment: "a::b", payload, question, ttl, namespace, since: None });
}

async fn find(cache: &Cache, number: u64) -> Option<Arc<thryd::cache::Record>> {
    match cache.memory_get(&key(number)) {
        Some(record) => Some(record),
        None => cache.disk_get(&key(number)).await,
    }
}

async fn export(cache: &Cache, path: &Path) -> String {
    cache.export(path, None, |_| ()).await.unwrap();
    std::fs::read_to_string(path).unwrap()
}

async fn import(cache: &Cache, path: &Path) -> thryd::Result<ImportReport> {
    cache.import(path, |_| ()).await
}

fn leftovers(folder: &Path) -> Vec<PathBuf> {
    let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    names.filter(|path| path.to_string_lossy().ends_with(".tmp")).collect()
}

// ------------------------------------------------------------------------------------------------------ what comes back

#[tokio::test]
async fn the_same_answers_come_back_under_the_same_keys_from_and_to_memory_and_disk() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let payloads: [&[u8]; 4] = [b"null\n{\"a\": 1.10}", b"plain text", b"\xff\x00", b""];
    for (from, to) in
        [(CacheOptions::default(), on_disk(&file("to"))), (on_disk(&file("from")), CacheOptions::default())]
    {
        let (source, _) = with_clock(from);
        for (number, payload) in (0..1_000).zip(payloads.into_iter().cycle()) {
            put(&source, number, payload, if number % 3 == 0 { "tenant" } else { "" });
        }
        let text = export(&source, &file("x.jsonl")).await;
        assert_eq!(text.lines().count(), 1_001);
        let (target, clock) = with_clock(to);
        assert_eq!(import(&target, &file("x.jsonl")).await.unwrap(), ImportReport { imported: 1_000, expired: 0 });
        for number in 0..1_000 {
            assert_eq!(find(&target, number).await, find(&source, number).await, "{number}");
        }
        // Out again it is the same text, and its times go on.
        assert_eq!(export(&target, &file("y.jsonl")).await, text);
        target.clear(Some("tenant")).await.unwrap();
        assert_eq!(target.stats().entries, 666, "what belongs to a tenant still does");
        clock.store(START + 500_000, Ordering::SeqCst);
        assert!(find(&target, 499).await.is_none() && find(&target, 500).await.is_some());
    }
}

#[tokio::test]
async fn what_a_router_recorded_is_replayed_from_an_export_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fixtures.jsonl");
    let options = |mode: &str| {
        json!({
            "providers": [dummy("dummy", json!({ "cache": true }))],
            "groups": { "default": { "deployments": ["dummy::m"] } },
            "cache": { "mode": mode },
        })
    };
    let message = || dummies::request("some words in pieces");
    let texts =
        |texts: Value| Embeddings::request(Body::parse(&json!({ "input": texts }).to_string()).unwrap()).unwrap();
    let recording: Router<Completion> = router_of(options("record"));
    let stream = recording.stream("default", &message(), StreamOptions::default()).unwrap();
    while stream.next().await.is_some() {}
    let embedding: Router<Embeddings> = router_of(options("record"));
    let vectors = embedding.invoke("default", texts(json!(["red", "blue"])), InvokeOptions::default()).await.unwrap();
    recording.cache().unwrap().export(&path, None, |_| ()).await.unwrap();
    let second = folder.path().join("vectors.jsonl");
    embedding.cache().unwrap().export(&second, None, |_| ()).await.unwrap();

    let cache = Cache::open(CacheOptions { mode: thryd::cache::CacheMode::Replay, ..CacheOptions::default() }).unwrap();
    assert_eq!(import(&cache, &path).await.unwrap().imported, 1);
    assert_eq!(import(&cache, &second).await.unwrap().imported, 2);
    let (replaying, embeds): (Router<Completion>, Router<Embeddings>) =
        (router_of(options("replay")), router_of(options("replay")));
    replaying.mount_cache(cache.clone());
    embeds.mount_cache(cache);
    let answer = replaying.invoke("default", message(), InvokeOptions::default()).await.unwrap();
    assert_eq!((answer.content.as_str(), answer.cache), ("some words in pieces", CacheStatus::Memory));
    let again = embeds.invoke("default", texts(json!(["blue", "red"])), InvokeOptions::default()).await.unwrap();
    assert_eq!((&again.vectors()[0], &again.vectors()[1]), (&vectors.vectors()[1], &vectors.vectors()[0]));
}

#[tokio::test]
async fn what_has_expired_is_neither_exported_nor_imported_and_that_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.jsonl");
    let (source, clock) = with_clock(CacheOptions::default());
    (0..10).for_each(|number| put(&source, number, b"1", ""));
    clock.fetch_add(3_000, Ordering::SeqCst);
    assert_eq!(source.export(&path, None, |_| ()).await.unwrap(), 7);
    let (target, clock) = with_clock(CacheOptions::default());
    clock.fetch_add(6_000, Ordering::SeqCst);
    assert_eq!(import(&target, &path).await.unwrap(), ImportReport { imported: 4, expired: 3 });
}

// ------------------------------------------------------------------------------------------------------ for reviewers

#[tokio::test]
async fn one_new_answer_is_one_new_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.jsonl");
    let (cache, clock) = with_clock(CacheOptions::default());
    for number in [5, 3, 9, 1] {
        put(&cache, number, b"1", "");
    }
    let before = export(&cache, &path).await;
    let questions: Vec<_> = before.lines().skip(1).map(|line| line.split("\"number\":").nth(1).unwrap()).collect();
    assert!(questions.is_sorted(), "{before}");
    clock.fetch_add(1, Ordering::SeqCst);
    put(&cache, 4, b"1", "");
    let after = export(&cache, &path).await;
    let new: Vec<_> = after.lines().filter(|line| !before.contains(line)).collect();
    assert_eq!((new.len(), after.lines().count()), (1, 6));
    assert!(new[0].contains("\"number\":4") && before.lines().all(|line| after.contains(line)));
}

#[tokio::test]
async fn one_tenants_answers_are_exported_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.jsonl");
    let cache = Cache::open(on_disk(&folder.path().join("c"))).unwrap();
    for (number, namespace) in [(100, "a"), (101, "b"), (102, "")] {
        put(&cache, number, b"1", namespace);
    }
    assert_eq!(cache.export(&path, Some("b"), |_| ()).await.unwrap(), 1);
    assert!(std::fs::read_to_string(&path).unwrap().contains("\"number\":1}"));
    assert_eq!(cache.export(&path, Some(""), |_| ()).await.unwrap(), 1);
    assert_eq!(cache.export(&path, None, |_| ()).await.unwrap(), 3);
}

#[tokio::test]
async fn a_tenants_answers_are_still_its_own_in_a_cache_with_another_key() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.jsonl");
    let sealed = |name: &str, key: &str| CacheOptions {
        encryption_key: Some(EncryptionKey::parse(&key.repeat(64)).unwrap()),
        ..on_disk(&folder.path().join(name))
    };
    let source = Cache::open(sealed("a", "a")).unwrap();
    put(&source, 100, b"1", "tenant");
    put(&source, 101, b"1", "");
    source.export(&path, Some("tenant"), |_| ()).await.unwrap();
    for options in [sealed("b", "b"), on_disk(&folder.path().join("plain")), CacheOptions::default()] {
        let target = Cache::open(options).unwrap();
        assert_eq!(import(&target, &path).await.unwrap().imported, 1);
        target.clear(Some("other")).await.unwrap();
        assert!(find(&target, 100).await.is_some());
        target.clear(Some("tenant")).await.unwrap();
        assert!(find(&target, 100).await.is_none());
    }
    // Without the name nobody could clear them there.
    source.export(&path, None, |_| ()).await.unwrap();
    for options in [sealed("c", "c"), CacheOptions::default()] {
        let error = import(&Cache::open(options).unwrap(), &path).await.unwrap_err().to_string();
        assert!(error.contains("tag: expected that of a cache with the same encryptionKey"), "{error}");
    }
    let same = Cache::open(sealed("d", "a")).unwrap();
    assert_eq!(import(&same, &path).await.unwrap().imported, 2);
    same.clear(Some("tenant")).await.unwrap();
    assert!(find(&same, 100).await.is_none() && find(&same, 101).await.is_some());
}

#[tokio::test]
async fn progress_is_told_from_nothing_to_all_and_not_for_each() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.jsonl");
    let (cache, _) = with_clock(CacheOptions::default());
    (0..1_000).for_each(|number| put(&cache, number, b"1", ""));
    for is_export in [true, false] {
        let mut told = Vec::new();
        if is_export {
            cache.export(&path, None, |progress| told.push(progress)).await.unwrap();
        } else {
            cache.import(&path, |progress| told.push(progress)).await.unwrap();
        }
        assert_eq!(told.first(), Some(&Progress { done: 0, total: 1_000 }));
        assert_eq!(told.last(), Some(&Progress { done: 1_000, total: 1_000 }));
        assert!(told.len() < 20 && told.is_sorted_by(|one, other| one.done < other.done), "{told:?}");
    }
}

// ------------------------------------------------------------------------------------------------------- what goes wrong

#[tokio::test]
async fn a_wrong_line_is_named_and_what_stands_before_it_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.jsonl");
    let (cache, _) = with_clock(CacheOptions::default());
    (0..9).for_each(|number| put(&cache, number, b"1", ""));
    let good = export(&cache, &path).await;
    let spoiled = |line: usize, new: &str| {
        let lines: Vec<_> = good.lines().enumerate().map(|(at, old)| if at + 1 == line { new } else { old }).collect();
        std::fs::write(&path, lines.join("\n")).unwrap();
    };
    for (line, new, message, kept) in [
        (1, "", "line 1: expected the first line of an export of a cache", 0),
        (1, "{\"thryd\":\"export\",\"version\":2,\"keys\":1}", "line 1: version: expected 1, which this version", 0),
        (1, "{\"thryd\":\"export\",\"version\":1,\"keys\":9}", "line 1: keys: expected 1, with which this version", 0),
        (5, "{\"key\":\"07\"}", "line 5: key: expected 64 hexadecimal digits, got \"07\"", 3),
        (10, "{\"key\":", "line 10: expected a JSON object, got {\"key\":", 8),
    ] {
        spoiled(line, new);
        let (target, _) = with_clock(CacheOptions::default());
        let error = import(&target, &path).await.unwrap_err();
        assert_eq!(error.code(), "ERR_CACHE");
        assert!(error.to_string().starts_with(&format!("cache {}: {message}", path.display())), "{error}");
        assert_eq!(target.stats().entries, kept, "{message}");
    }
    // A line that is empty, and an end that is none, are no reason to fail.
    spoiled(5, "");
    assert_eq!(import(&cache, &path).await.unwrap().imported, 8);
}

#[tokio::test]
async fn what_is_not_an_export_is_not_replaced_and_a_failure_leaves_what_was_there() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("c");
    let cache = Cache::open(on_disk(&file)).unwrap();
    put(&cache, 1, b"1", "");
    cache.flush().await.unwrap();
    let notes = folder.path().join("notes.txt");
    std::fs::write(&notes, "my notes").unwrap();
    let missing = folder.path().join("missing").join("x.jsonl");
    for path in [&notes, &file, &missing, &folder.path().to_owned(), &PathBuf::from("/")] {
        let error = cache.export(path, None, |_| ()).await.unwrap_err();
        assert_eq!(error.code(), "ERR_CACHE");
        assert!(error.to_string().contains(&*path.to_string_lossy()), "{error}");
    }
    assert_eq!(std::fs::read(&notes).unwrap(), b"my notes");
    assert!(find(&cache, 1).await.is_some());
    assert_eq!(import(&cache, &missing).await.unwrap_err().code(), "ERR_CACHE");
    assert_eq!(leftovers(folder.path()), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn an_export_that_is_left_in_the_middle_leaves_what_was_there_and_nothing_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.jsonl");
    let (cache, _) = with_clock(CacheOptions::default());
    put(&cache, 0, b"1", "");
    let before = export(&cache, &path).await;
    (0..2_000).for_each(|number| put(&cache, number, b"1", ""));
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    {
        let leaving = cache.export(&path, None, move |progress| _ = tell.send(progress));
        tokio::pin!(leaving);
        let half = async { while told.recv().await.is_some_and(|progress| progress.done < 500) {} };
        tokio::select! {
            _ = &mut leaving => panic!("it was to be left"),
            () = half => {}
        }
    }
    // The step that was under way ends on its own.
    for _ in 0..1_000 {
        if leftovers(folder.path()).is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(leftovers(folder.path()), Vec::<PathBuf>::new());
    assert_eq!(std::fs::read_to_string(&path).unwrap(), before);
}

#[cfg(unix)]
#[tokio::test]
async fn others_cannot_read_an_export() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.jsonl");
    let (cache, _) = with_clock(CacheOptions::default());
    export(&cache, &path).await;
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn a_closed_cache_does_neither() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.jsonl");
    let cache = Cache::open(CacheOptions::default()).unwrap();
    cache.close().await.unwrap();
    assert_eq!(cache.export(&path, None, |_| ()).await.unwrap_err().code(), "ERR_CLOSED");
    assert_eq!(import(&cache, &path).await.unwrap_err().code(), "ERR_CLOSED");
}

#[tokio::test]
async fn an_import_into_a_cache_that_is_closed_meanwhile_does_not_say_that_all_was_taken_in() {
    let dir = tempfile::tempdir().unwrap();
    let lines = dir.path().join("lines");
    let (full, _) = with_clock(CacheOptions::default());
    (0..1_000).for_each(|number| put(&full, number, b"{}\n{}", ""));
    assert_eq!(full.export(&lines, None, |_| ()).await.unwrap(), 1_000);
    for options in [CacheOptions::default(), on_disk(&dir.path().join("c"))] {
        let (cache, _) = with_clock(options);
        let (closing, is_begun) = (cache.clone(), Arc::new(tokio::sync::Notify::new()));
        let begun = Arc::clone(&is_begun);
        let import = cache.import(&lines, move |progress| {
            if progress.done == 256 {
                begun.notify_one();
            }
        });
        let close = async {
            is_begun.notified().await;
            closing.close().await.unwrap();
        };
        let (outcome, ()) = tokio::join!(import, close);
        assert_eq!(outcome.unwrap_err().code(), "ERR_CLOSED");
    }
}

#[cfg(unix)]
#[tokio::test]
async fn what_is_no_file_is_neither_replaced_nor_waited_for_and_a_link_stays_a_link() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::open(CacheOptions::default()).unwrap();
    let (pipe, link, target) = (dir.path().join("pipe"), dir.path().join("link"), dir.path().join("target"));
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for place in [pipe.as_path(), dir.path(), Path::new("/dev/null")] {
        for outcome in [cache.export(place, None, |_| ()).await.map(drop), cache.import(place, |_| ()).await.map(drop)]
        {
            let message = outcome.unwrap_err().to_string();
            assert!(message.contains("not a file") || message.contains("directory"), "{message}");
        }
    }
    std::os::unix::fs::symlink(&target, &link).unwrap();
    let message = cache.export(&link, None, |_| ()).await.unwrap_err().to_string();
    assert!(message.contains("a link to a file that is not there"), "{message}");
    std::fs::write(&target, "").unwrap();
    cache.export(&link, None, |_| ()).await.unwrap();
    assert!(link.is_symlink() && std::fs::metadata(&target).unwrap().len() > 0);
}
