//! One answer as bytes on disk: self-describing, compressed when that helps, and checked when it is read.
//!
//! The fourth byte says which version it is. All versions are read, the newest is written. The key is in the checksum so
//! that a record that a damaged file shows in another's place is not taken for it.

mod version_1;
mod version_2;

use std::sync::LazyLock;

use bytes::Bytes;

use super::Key;
use super::seal::Seal;
use crate::compression::Effort;
use crate::constants::MAX_RESPONSE_BYTES;

const CHECKSUM: usize = 8;

/// Most bytes of a payload: the largest answer, and room for what is stored with it.
pub const MAX_PAYLOAD_BYTES: usize = MAX_RESPONSE_BYTES + (1 << 20);

/// Which tenant an answer belongs to: 64 bits of the hash of its namespace, so that all of one can be found. The key
/// keeps tenants apart; this does not have to. What is kept in an encrypted file has the tag that
/// [`Codec::namespace`](super::Codec::namespace) gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Namespace(pub(super) u64);

impl Namespace {
    /// The tag of a namespace; the empty name is the default namespace.
    #[must_use]
    pub fn new(name: &str) -> Self {
        static DEFAULT: LazyLock<Namespace> = LazyLock::new(|| Namespace::of(&blake3::hash(b"")));
        if name.is_empty() { *DEFAULT } else { Self::of(&blake3::hash(name.as_bytes())) }
    }

    pub(super) fn of(hash: &blake3::Hash) -> Self {
        Self(u64::from_le_bytes(first_eight(hash)))
    }
}

/// One stored answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// `provider::model` that answered.
    pub deployment: String,
    /// When it was stored, in milliseconds since 1970.
    pub created_ms: u64,
    /// From when on it is not served, in milliseconds since 1970.
    pub expires_ms: u64,
    /// Whom it belongs to.
    pub namespace: Namespace,
    /// What was asked, short enough to be shown beside the answer; empty if nobody said.
    pub question: Bytes,
    /// The answer.
    pub payload: Bytes,
}

impl Record {
    /// Whether it is no longer served.
    #[must_use]
    pub fn is_expired(&self, now_ms: u64) -> bool {
        self.expires_ms <= now_ms
    }

    /// Bytes that it takes in memory, about.
    #[must_use]
    pub fn size(&self) -> u64 {
        // The struct, its key, two reference counts and an allocation or two.
        const OVERHEAD: usize = 192;
        (OVERHEAD + self.deployment.len() + self.question.len() + self.payload.len()) as u64
    }

    /// The record as it stands under this key in a file that anyone can read; `None` if it is longer than
    /// [`MAX_PAYLOAD_BYTES`], its name and its question together longer than 1 MiB beyond that.
    #[must_use]
    pub fn encode(&self, key: &Key) -> Option<Vec<u8>> {
        version_2::encode(self, key, None, Effort::Thorough)
    }

    /// Reads what [`Record::encode`] wrote under the same key, in this version of thryd or an older one. `None` for
    /// anything else: a miss.
    #[must_use]
    pub fn decode(key: &Key, bytes: &[u8]) -> Option<Self> {
        match bytes.first_chunk()? {
            version_1::MAGIC => version_1::decode(key, bytes),
            _ => version_2::decode(key, bytes, None).map(|(_, record)| record),
        }
    }

    /// As [`Record::encode`], encrypted if there is a seal.
    pub(super) fn encode_with(&self, key: &Key, seal: Option<&Seal>, effort: Effort) -> Option<Vec<u8>> {
        version_2::encode(self, key, seal, effort)
    }

    /// Reads what [`Record::encode_with`] wrote with this seal at this place; with it the key that it was written under.
    pub(super) fn decode_sealed(place: &Key, bytes: &[u8], seal: &Seal) -> Option<(Key, Self)> {
        version_2::decode(place, bytes, Some(seal))
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (head, tail) = rest.split_first_chunk::<N>()?;
    *rest = tail;
    Some(*head)
}

fn checksum(key: &Key, bytes: &[u8]) -> [u8; CHECKSUM] {
    first_eight(&blake3::Hasher::new().update(&key.0).update(bytes).finalize())
}

fn first_eight(hash: &blake3::Hash) -> [u8; 8] {
    let mut first = [0; 8];
    first.copy_from_slice(&hash.as_bytes()[..8]);
    first
}
