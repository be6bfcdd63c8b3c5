//! What stands in the file, and the changes that keep it in step.

use redb::{ReadableTable, Table, TableDefinition, WriteTransaction};

use crate::cache::Key;

/// Version of the tables and of what is in them; `docs/cache.md` says what a new one means.
pub(super) const FORMAT: u64 = 2;

/// Numbers by name: `format`, `seal`, `bytes`.
pub(super) const META: TableDefinition<&str, u64> = TableDefinition::new("thryd");
/// Rank; the place, then the record.
pub(super) const ENTRIES: TableDefinition<u64, &[u8]> = TableDefinition::new("entries");
/// Place; rank, expiry, namespace.
pub(super) const INDEX: TableDefinition<&[u8; 32], (u64, u64, u64)> = TableDefinition::new("index");

/// The tables, open for one transaction.
pub(super) struct Tables<'t> {
    pub meta: Table<'t, &'static str, u64>,
    pub entries: Table<'t, u64, &'static [u8]>,
    pub index: Table<'t, &'static [u8; 32], (u64, u64, u64)>,
    /// Bytes stored, as `meta` will say.
    pub bytes: u64,
    /// Bytes that were removed or replaced.
    pub freed: u64,
    /// The rank above all others, once somebody has asked for it.
    next_rank: Option<u64>,
}

impl<'t> Tables<'t> {
    pub fn open(transaction: &'t WriteTransaction) -> Result<Self, redb::Error> {
        // First the one whose shape tells an earlier format from this.
        let entries = transaction.open_table(ENTRIES)?;
        let (index, meta) = (transaction.open_table(INDEX)?, transaction.open_table(META)?);
        let bytes = stored_bytes(&meta)?;
        Ok(Self { meta, entries, index, bytes, freed: 0, next_rank: None })
    }

    /// A rank above all others; looked for once, as nobody else writes meanwhile.
    fn take_rank(&mut self) -> Result<u64, redb::Error> {
        let rank = match self.next_rank {
            Some(rank) => rank,
            None => self.entries.last()?.map_or(0, |(rank, _)| rank.value().saturating_add(1)),
        };
        self.next_rank = Some(rank.saturating_add(1));
        Ok(rank)
    }

    /// Puts a record at its place, above all others, in place of what was there.
    pub fn insert(&mut self, place: &Key, bytes: &[u8], expires_ms: u64, namespace: u64) -> Result<(), redb::Error> {
        self.append(place, &[&place.0, bytes].concat(), expires_ms, namespace)
    }

    pub fn append(&mut self, place: &Key, row: &[u8], expires_ms: u64, namespace: u64) -> Result<(), redb::Error> {
        let rank = self.take_rank()?;
        let replaced = self.index.insert(&place.0, (rank, expires_ms, namespace))?.map(|row| row.value().0);
        if let Some(replaced) = replaced {
            self.forget(replaced)?;
        }
        self.entries.insert(rank, row)?;
        self.bytes = self.bytes.saturating_add(footprint(row.len() - place.0.len()));
        Ok(())
    }

    /// Removes a rank, but nothing from the index.
    pub fn forget(&mut self, rank: u64) -> Result<(), redb::Error> {
        if let Some(old) = self.entries.remove(rank)? {
            let size = footprint(old.value().len().saturating_sub(32));
            self.bytes = self.bytes.saturating_sub(size);
            self.freed = self.freed.saturating_add(size);
        }
        Ok(())
    }
}

/// Bytes of the file that a record of this length takes, about: as many as fit share a page of 4 KiB, a longer one has
/// a page of its own, of a power of two; all have a row of the index, whose pages are two thirds full.
pub(super) fn footprint(length: usize) -> u64 {
    const PAGE: u64 = 4096;
    let row = length as u64 + 44;
    let pages = if row > PAGE - 8 { row.next_power_of_two() } else { PAGE / ((PAGE - 8) / row) };
    pages + 96
}

pub(super) fn stored_bytes(meta: &impl ReadableTable<&'static str, u64>) -> Result<u64, redb::Error> {
    Ok(meta.get("bytes")?.map_or(0, |bytes| bytes.value()))
}
