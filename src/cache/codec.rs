//! What stands between a record and its bytes in a file: where it is kept there, and in which form.
//!
//! The place of a record is what the file finds it by; its key is what the caller asks with. They differ in a file that
//! is encrypted, which does not tell what was asked.

use std::fmt;
use std::sync::Arc;

use super::seal::Seal;
use super::{EncryptionKey, Key, Namespace, Record};
use crate::compression::Effort;

/// Turns records into the bytes of one file and back. Clones share their keys.
#[derive(Clone, Default)]
pub struct Codec {
    seal: Option<Arc<Seal>>,
}

impl Codec {
    /// With a key: what it writes can be read with this key alone. Without: by anyone who may read the file.
    #[must_use]
    pub fn new(key: Option<&EncryptionKey>) -> Self {
        Self { seal: key.map(|key| Arc::new(Seal::new(key))) }
    }

    /// Tells files apart that can only be read with the same key: 0 for one that anyone can read.
    #[must_use]
    pub fn seal(&self) -> u64 {
        self.seal.as_ref().map_or(0, |seal| seal.id())
    }

    /// Where the answer to this question is kept.
    #[must_use]
    pub fn place(&self, key: &Key) -> Key {
        self.seal.as_ref().map_or(*key, |seal| seal.place(key))
    }

    /// The tag of a namespace in this file; the empty name is the default namespace.
    #[must_use]
    pub fn namespace(&self, name: &str) -> Namespace {
        self.seal.as_ref().map_or_else(|| Namespace::new(name), |seal| seal.namespace(name))
    }

    /// The bytes of a record at its place; `None` if it is too long, or if it is to be encrypted and the operating
    /// system has no randomness.
    #[must_use]
    pub fn encode(&self, key: &Key, record: &Record) -> Option<Vec<u8>> {
        self.encode_with(key, record, Effort::Thorough)
    }

    /// The same, made shorter with more or less effort: read alike.
    pub(super) fn encode_with(&self, key: &Key, record: &Record, effort: Effort) -> Option<Vec<u8>> {
        record.encode_with(key, self.seal.as_deref(), effort)
    }

    /// Reads what [`Codec::encode`] wrote at this place: the key, and the record. `None` for anything else, also for a
    /// record that is not encrypted where all should be.
    #[must_use]
    pub fn decode(&self, place: &Key, bytes: &[u8]) -> Option<(Key, Record)> {
        match &self.seal {
            None => Some((*place, Record::decode(place, bytes)?)),
            Some(seal) => Record::decode_sealed(place, bytes, seal),
        }
    }
}

impl fmt::Debug for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Codec").field("is_sealed", &self.seal.is_some()).finish()
    }
}
