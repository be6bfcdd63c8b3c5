//! Into a cache: line by line, each checked before it is taken in.

use std::fs::File;
use std::io::{BufRead, BufReader, Seek};
use std::path::PathBuf;
use std::sync::Arc;

use serde::Serialize;

use super::super::Cache;
use super::super::key::KEY_VERSION;
use super::export::resolve;
use super::{Header, NAME, Progress, STEP, VERSION, line};
use crate::error::{Error, Result};

/// Bytes of answers that may wait to be on disk: well below what a cache lets wait.
const WAITING_BYTES: usize = 16 << 20;

/// What came of an import.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ImportReport {
    /// Answers that were taken in.
    pub imported: u64,
    /// Answers that were not, because they had expired.
    pub expired: u64,
}

/// An import under way.
pub(super) struct Import {
    cache: Cache,
    path: PathBuf,
    reader: BufReader<File>,
    /// Lines after the first.
    total: u64,
    /// Of them, those that were read.
    done: u64,
    report: ImportReport,
}

impl Import {
    pub fn begin(cache: Cache, path: PathBuf) -> Result<Self> {
        let refused = |message: String| Error::cache(path.display(), message);
        resolve(&path).map_err(refused)?;
        let opened = File::open(&path).and_then(|file| {
            let mut reader = BufReader::new(file);
            let lines = count_lines(&mut reader)?;
            reader.rewind()?;
            Ok((reader, lines))
        });
        let (reader, lines) = opened.map_err(|error| refused(error.to_string()))?;
        let total = lines.saturating_sub(1);
        let mut import = Self { cache, path, reader, total, done: 0, report: ImportReport::default() };
        let header = import.line(1)?.unwrap_or_default();
        check_header(&header).map_err(|message| import.wrong(1, &message))?;
        Ok(import)
    }

    pub fn step(mut self) -> Result<Self> {
        let now_ms = (self.cache.0.clock)();
        let mut waiting = 0;
        for _ in 0..STEP {
            let number = self.done + 2;
            let Some(text) = self.line(number)? else {
                self.done = self.total;
                break;
            };
            self.done += 1;
            if text.trim().is_empty() {
                continue;
            }
            let (key, record) =
                line::read(&text, &self.cache.0.codec).map_err(|message| self.wrong(number, &message))?;
            if record.is_expired(now_ms) {
                self.report.expired += 1;
                continue;
            }
            waiting += record.payload.len();
            self.report.imported += 1;
            self.cache.take_in(key, &Arc::new(record), None, now_ms);
            if waiting > WAITING_BYTES {
                self.flush()?;
                waiting = 0;
            }
        }
        self.flush()?;
        Ok(self)
    }

    pub fn is_done(&self) -> bool {
        self.done >= self.total
    }

    pub fn progress(&self) -> Progress {
        Progress { done: self.done, total: self.total }
    }

    pub fn report(&self) -> ImportReport {
        self.report
    }

    fn flush(&self) -> Result<()> {
        if let (Some(remote), Ok(runtime)) = (&self.cache.0.remote, tokio::runtime::Handle::try_current()) {
            runtime.block_on(remote.flush());
        }
        match self.cache.disk() {
            Some(disk) => disk.flush(),
            // A cache that was closed meanwhile has let go of its file, and what came after is lost.
            None => self.cache.check_open(),
        }
    }

    /// The next line, whose number is only for messages; `None` at the end.
    fn line(&mut self, number: u64) -> Result<Option<String>> {
        let mut text = String::new();
        let read = self.reader.read_line(&mut text).map_err(|error| self.wrong(number, &error.to_string()))?;
        Ok((read > 0).then_some(text))
    }

    fn wrong(&self, number: u64, message: &str) -> Error {
        Error::cache(self.path.display(), format!("line {number}: {message}"))
    }
}

fn count_lines(reader: &mut impl BufRead) -> std::io::Result<u64> {
    let (mut count, mut is_open) = (0, false);
    loop {
        let bytes = reader.fill_buf()?;
        let Some(last) = bytes.last() else { return Ok(count + u64::from(is_open)) };
        is_open = *last != b'\n';
        count += memchr::memchr_iter(b'\n', bytes).count() as u64;
        let length = bytes.len();
        reader.consume(length);
    }
}

fn check_header(line: &str) -> Result<(), String> {
    let header = serde_json::from_str::<Header>(line).ok().filter(|header| header.thryd == NAME);
    match header {
        None => Err("expected the first line of an export of a cache".to_owned()),
        Some(Header { version, .. }) if version != VERSION => {
            Err(format!("version: expected {VERSION}, which this version of thryd reads, got {version}"))
        }
        Some(Header { keys, .. }) if keys != u64::from(KEY_VERSION) => {
            Err(format!("keys: expected {KEY_VERSION}, with which this version of thryd asks, got {keys}"))
        }
        Some(_) => Ok(()),
    }
}
