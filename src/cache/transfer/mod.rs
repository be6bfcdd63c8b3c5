//! A cache as lines of JSON in a file, for fixtures under review: out of a cache and into one.
//!
//! The first line is a header with the version of the form and of the keys; every other line is one answer
//! (`line.rs`), sorted by question and key, so that a change of one answer is a change of one line.

mod export;
mod import;
mod line;
mod time;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use import::ImportReport;

use super::{Cache, blocking};
use crate::error::{Invalid, Result};
use export::Export;
use import::Import;

/// Version of the lines; `docs/cache.md` says what a new one means.
const VERSION: u64 = 1;

/// Answers that are read or written between two reports of progress.
const STEP: usize = 256;

/// How far it has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Progress {
    /// Answers that are done.
    pub done: u64,
    /// Answers there are.
    pub total: u64,
}

/// The first line.
#[derive(Serialize, Deserialize)]
struct Header {
    /// What the file is.
    thryd: String,
    /// Of the lines.
    version: u64,
    /// Of the keys in them.
    keys: u64,
}

/// What [`Header::thryd`] says.
const NAME: &str = "export";

impl Cache {
    /// Writes the answers of one namespace, or all, to a file, which is replaced if it is an export. Expired ones are left
    /// out. The answers are written as they are, whether or not the cache is encrypted, readable by the owner alone.
    ///
    /// `progress` is told now and then. The file is written beside its place and moved there at the end; dropping the
    /// future leaves what was there.
    ///
    /// Returns how many answers were written.
    ///
    /// # Errors
    /// `ERR_CACHE` if the file cannot be written, or is there and not an export; `ERR_CLOSED` after [`Cache::close`];
    /// an empty path.
    pub async fn export(
        &self,
        path: impl AsRef<Path>,
        namespace: Option<&str>,
        mut progress: impl FnMut(Progress),
    ) -> Result<u64> {
        self.check_open()?;
        let (cache, path) = (self.clone(), checked(path.as_ref())?);
        let namespace = namespace.map(str::to_owned);
        let mut export = blocking(move || Export::begin(&cache, &path, namespace)).await?;
        loop {
            progress(export.progress());
            if export.is_done() {
                return blocking(move || export.finish()).await;
            }
            export = blocking(move || export.step()).await?;
        }
    }

    /// Takes in the answers of a file that [`Cache::export`] wrote, in the place of those with the same key. They keep
    /// the times at which they were made and expire, whatever the options of this cache; what has expired is left out.
    /// They are on disk, if there is one, when this returns.
    ///
    /// `progress` is told now and then. Dropping the future ends it; what was taken in stays.
    ///
    /// # Errors
    /// `ERR_CACHE` if the file cannot be read, is not such a file, or has a line that is wrong, naming the line and the
    /// field: what stands before it was taken in. `ERR_CLOSED` after [`Cache::close`], or if that comes meanwhile; an
    /// empty path.
    pub async fn import(&self, path: impl AsRef<Path>, mut progress: impl FnMut(Progress)) -> Result<ImportReport> {
        self.check_open()?;
        let (cache, path) = (self.clone(), checked(path.as_ref())?);
        let mut import = blocking(move || Import::begin(cache, path)).await?;
        loop {
            progress(import.progress());
            if import.is_done() {
                return Ok(import.report());
            }
            import = blocking(move || import.step()).await?;
        }
    }
}

fn checked(path: &Path) -> Result<PathBuf> {
    if path.as_os_str().is_empty() {
        return Err(Invalid::type_error("path", "the path of a file", "\"\"").into());
    }
    Ok(path.to_owned())
}
