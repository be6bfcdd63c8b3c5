//! Out of a cache: what is there, sorted, to a file that takes its place when it is whole.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

use super::super::key::KEY_VERSION;
use super::super::{Cache, Codec, Disk, Key, Record};
use super::{Header, NAME, Progress, STEP, VERSION, line};
use crate::error::{Error, Result};

/// An export under way.
pub(super) struct Export {
    file: Temporary,
    codec: Codec,
    /// The one namespace of all entries, if that is all that is wanted.
    namespace: Option<String>,
    entries: Vec<Entry>,
    disk: Option<Arc<Disk>>,
    now_ms: u64,
    done: usize,
    written: u64,
}

/// What is to be exported, in the order of the file.
struct Entry {
    question: Bytes,
    key: Key,
    /// If it is held anyway; else it is read when its turn comes.
    held: Option<Arc<Record>>,
}

impl Export {
    pub fn begin(cache: &Cache, path: &Path, namespace: Option<String>) -> Result<Self> {
        let (disk, now_ms) = (cache.disk(), (cache.0.clock)());
        let codec = cache.0.codec.clone();
        let tag = namespace.as_deref().map(|name| codec.namespace(name));
        let mut entries = Vec::new();
        let mut find = |key: Key, record: &Record, held: Option<Arc<Record>>| {
            let is_wanted = tag.is_none_or(|tag| record.namespace == tag);
            if is_wanted && !record.is_expired(now_ms) {
                // A copy: a slice would keep the whole answer.
                let question = Bytes::copy_from_slice(&record.question);
                entries.push(Entry { question, key, held });
            }
        };
        match &disk {
            None => {
                for (key, record) in cache.0.memory.records() {
                    find(key, &record, Some(Arc::clone(&record)));
                }
            }
            Some(disk) => {
                // What was lost on the way to the disk is not there to be exported; that is told by whoever flushes.
                disk.settle();
                let mut after = None;
                loop {
                    let page = disk.scan(after, STEP)?;
                    let Some((last, ..)) = page.last() else { break };
                    after = Some(*last);
                    for (_, key, record) in &page {
                        find(*key, record, None);
                    }
                }
            }
        }
        entries.sort_unstable_by(|one, other| (&one.question, one.key).cmp(&(&other.question, other.key)));
        let header = Header { thryd: NAME.to_owned(), version: VERSION, keys: u64::from(KEY_VERSION) };
        let mut file = Temporary::beside(path)?;
        file.write_line(&serde_json::to_string(&header).expect("plain data serialises"))?;
        Ok(Self { file, codec, namespace, entries, disk, now_ms, done: 0, written: 0 })
    }

    pub fn step(mut self) -> Result<Self> {
        let default = self.codec.namespace("");
        for entry in self.entries.iter().skip(self.done).take(STEP) {
            self.done += 1;
            let read = || self.disk.as_ref()?.get(&entry.key, self.now_ms);
            // What was evicted meanwhile is not there.
            let Some(record) = entry.held.clone().or_else(read) else { continue };
            let name = if record.namespace == default { Some("") } else { self.namespace.as_deref() };
            self.file.write_line(&line::write(&entry.key, &record, name, &self.codec))?;
            self.written += 1;
        }
        Ok(self)
    }

    pub fn is_done(&self) -> bool {
        self.done == self.entries.len()
    }

    pub fn progress(&self) -> Progress {
        Progress { done: self.done as u64, total: self.entries.len() as u64 }
    }

    pub fn finish(self) -> Result<u64> {
        self.file.move_into_place()?;
        Ok(self.written)
    }
}

/// A file beside its place. Dropped before it was moved there, it is removed.
struct Temporary {
    place: PathBuf,
    path: PathBuf,
    file: Option<BufWriter<File>>,
}

impl Temporary {
    /// A new file beside this place, which must be free or hold an export.
    fn beside(given: &Path) -> Result<Self> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let refused = |message: String| Error::cache(given.display(), message);
        // A link stays, and what it leads to is replaced.
        let place = resolve(given).map_err(refused)?.unwrap_or_else(|| given.to_owned());
        check_place(&place).map_err(refused)?;
        let mut name =
            place.file_name().map(ToOwned::to_owned).ok_or_else(|| refused("it names no file".to_owned()))?;
        name.push(format!(".{}-{}.tmp", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed)));
        let path = place.with_file_name(name);
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(&path).map_err(|error| refused(error.to_string()))?;
        Ok(Self { place, path, file: Some(BufWriter::new(file)) })
    }

    fn write_line(&mut self, line: &str) -> Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        let written = file.write_all(line.as_bytes()).and_then(|()| file.write_all(b"\n"));
        written.map_err(|error| Error::cache(self.place.display(), error))
    }

    fn move_into_place(mut self) -> Result<()> {
        let Some(file) = self.file.take() else { return Ok(()) };
        let moved = file
            .into_inner()
            .map_err(std::io::IntoInnerError::into_error)
            .and_then(|file| file.sync_all())
            .and_then(|()| std::fs::rename(&self.path, &self.place));
        moved.map_err(|error| {
            let _ = std::fs::remove_file(&self.path);
            Error::cache(self.place.display(), error)
        })
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if self.file.take().is_some() {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// What stands at a place, by its own name; nothing if the place is free. Refuses what is not a file: opening a pipe
/// would wait for ever, and a device would be replaced.
pub(super) fn resolve(place: &Path) -> Result<Option<PathBuf>, String> {
    match std::fs::metadata(place) {
        Ok(metadata) if metadata.is_file() => place.canonicalize().map(Some).map_err(|error| error.to_string()),
        Ok(metadata) if metadata.is_dir() => Err("it is a directory; give the path of a file".to_owned()),
        Ok(_) => Err("it is not a file".to_owned()),
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.to_string()),
        Err(_) if place.is_symlink() => Err("it is a link to a file that is not there".to_owned()),
        Err(_) => Ok(None),
    }
}

/// Refuses to replace what is not an export: a cache, a source, somebody's notes. An empty file is nobody's.
fn check_place(place: &Path) -> Result<(), String> {
    let mut head = Vec::new();
    let start = format!("{{\"thryd\":\"{NAME}\"");
    match File::open(place) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error.to_string()),
        Ok(file) => file.take(start.len() as u64).read_to_end(&mut head).map_err(|error| error.to_string())?,
    };
    if head.is_empty() || head == start.as_bytes() {
        return Ok(());
    }
    Err("it is there already and is not an export of a cache; remove it, or give another path".to_owned())
}
