//! Whose file it is: opens one that is ours, makes one where there is nothing, refuses the rest untouched.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use redb::backends::FileBackend;
use redb::{
    Builder, ConcurrencyMode, DatabaseError, ReadTransaction, ReadableDatabase, ReadableTable, TableError,
    WriteTransaction,
};

use super::tables::{ENTRIES, FORMAT, INDEX, META};
use super::{Handle, caught, migrate};

/// Pages that redb keeps in memory, 32 MiB: the answers themselves are kept by the tier above.
const PAGE_CACHE_BYTES: usize = 32 << 20;

/// What a look into a file has found.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Found {
    /// No tables yet.
    Nothing,
    /// Ours, with this format.
    Format(u64),
}

/// Opens a file that exists. One that is not ours is recognised by a look that cannot change it. Returns the database
/// and its file, and whether there may be answers in the tables of an earlier format.
pub(super) fn open_database(path: &Path, seal: u64) -> Result<(Handle, bool), String> {
    let mut builder = Builder::new();
    builder.set_concurrency_mode(ConcurrencyMode::MultiWriter).set_cache_size(PAGE_CACHE_BYTES);
    if !is_blank(path).map_err(|error| error.to_string())? {
        let verdict = caught(|| look(&builder, path, seal));
        verdict.map_err(|message| format!("it cannot be read as a cache: {message}"))??;
    }
    let file = File::options().read(true).write(true).create(true).truncate(false).open(path);
    let file = file.map_err(|error| error.to_string())?;
    let same = file.try_clone().map_err(|error| error.to_string())?;
    let database = caught(|| Ok(builder.create_with_backend(FileBackend::new(file)?)?))?;
    // What is found, and whether some of it is of an earlier format.
    let look = || {
        let transaction = database.begin_read()?;
        let found = inspect(&transaction, seal);
        let is_migrating = found.is_ok() && migrate::left(&transaction)? > 0;
        Ok(found.map(|found| (found, is_migrating)))
    };
    let (found, mut is_migrating) = caught(look)??;
    if found != Found::Format(FORMAT) {
        caught(|| {
            let transaction = database.begin_write()?;
            // Another process may have been faster since the look.
            let format = transaction.open_table(META)?.get("format")?.map(|format| format.value());
            match format {
                None => create_tables(&transaction, seal)?,
                Some(FORMAT) => {}
                Some(_) => migrate::begin(&transaction)?,
            }
            Ok(transaction.commit()?)
        })?;
        // The faster one may have had another key.
        (_, is_migrating) = caught(look)??;
    }
    Ok((Handle::new(database, Some(same)), is_migrating))
}

pub(super) fn create_tables(transaction: &WriteTransaction, seal: u64) -> Result<(), redb::Error> {
    let mut meta = transaction.open_table(META)?;
    meta.insert("format", FORMAT)?;
    meta.insert("seal", seal)?;
    meta.insert("bytes", 0)?;
    transaction.open_table(ENTRIES)?;
    transaction.open_table(INDEX)?;
    Ok(())
}

/// Refuses a codec whose seal is not the file's.
pub(super) fn check_seal(of_file: u64, given: u64) -> Result<(), String> {
    let message = match (of_file, given) {
        _ if of_file == given => return Ok(()),
        (0, _) => "it is not encrypted; open it without encryptionKey",
        (_, 0) => "it is encrypted; give its encryptionKey",
        _ => "the encryptionKey is not the one it was made with",
    };
    Err(message.to_owned())
}

/// Whether the file is empty, or is being made by another process right now: redb writes its first bytes last.
fn is_blank(path: &Path) -> std::io::Result<bool> {
    let mut head = Vec::new();
    std::fs::File::open(path)?.take(9).read_to_end(&mut head)?;
    Ok(head.iter().all(|byte| *byte == 0))
}

/// Looks into a file without changing it. A file that a crash left is not looked into: its owner's repair comes first.
fn look(builder: &Builder, path: &Path, seal: u64) -> Result<Result<(), String>, redb::Error> {
    match builder.open_read_only(path) {
        Ok(database) => Ok(inspect(&database.begin_read()?, seal).map(drop)),
        Err(DatabaseError::RepairAborted) => Ok(Ok(())),
        Err(error) => Err(error.into()),
    }
}

/// What the file is; refuses one that is not ours, newer than we are, or made with another key.
fn inspect(transaction: &ReadTransaction, seal: u64) -> Result<Found, String> {
    const FOREIGN: &str = "it is a database of another program";
    let meta = match transaction.open_table(META) {
        Ok(meta) => meta,
        Err(TableError::Storage(error)) => return Err(error.to_string()),
        Err(TableError::TableDoesNotExist(_)) => {
            let tables = transaction.list_tables().map_err(|error| error.to_string())?;
            let multimaps = transaction.list_multimap_tables().map_err(|error| error.to_string())?;
            let is_empty = tables.count() + multimaps.count() == 0;
            return if is_empty { Ok(Found::Nothing) } else { Err(FOREIGN.to_owned()) };
        }
        Err(_) => return Err(FOREIGN.to_owned()),
    };
    let number = |name| -> Result<Option<u64>, String> {
        Ok(meta.get(name).map_err(|error| error.to_string())?.map(|number| number.value()))
    };
    match number("format")? {
        Some(format @ 1..=FORMAT) => {
            // Files of format 1 have no seal, and are not encrypted.
            check_seal(number("seal")?.unwrap_or_default(), seal)?;
            Ok(Found::Format(format))
        }
        Some(format) if format > FORMAT => {
            Err(format!("its format is {format}, made by a newer version of thryd; this one reads up to {FORMAT}"))
        }
        _ => Err(FOREIGN.to_owned()),
    }
}
