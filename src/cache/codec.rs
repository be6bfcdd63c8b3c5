//! What stands between a record and its bytes in a file: where it is kept there, and in which form.
//!
//! The place of a record is what the file finds it by; its key is what the caller asks with.

use super::{Key, Record};

/// Turns records into the bytes of one file and back.
#[derive(Clone, Debug, Default)]
pub struct Codec {}

impl Codec {
    /// Tells files apart that can only be read with the same options: 0 for one that anyone can read.
    #[must_use]
    pub fn seal(&self) -> u64 {
        0
    }

    /// Where the answer to this question is kept.
    #[must_use]
    pub fn place(&self, key: &Key) -> Key {
        *key
    }

    /// The bytes of a record at its place; `None` if it is too long.
    #[must_use]
    pub fn encode(&self, key: &Key, record: &Record) -> Option<Vec<u8>> {
        record.encode(key)
    }

    /// Reads what [`Codec::encode`] wrote at this place: the key, and the record. `None` for anything else.
    #[must_use]
    pub fn decode(&self, place: &Key, bytes: &[u8]) -> Option<(Key, Record)> {
        Some((*place, Record::decode(place, bytes)?))
    }
}
