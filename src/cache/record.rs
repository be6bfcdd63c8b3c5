//! One answer as bytes on disk: self-describing, compressed when that helps, and checked when it is read.
//!
//! Layout, integers little-endian: magic `thR` and the record version (4 bytes), flags (1 byte; bit 0: compressed),
//! creation and expiry (8 bytes each, milliseconds since 1970), namespace (8 bytes), length of the deployment's name (4
//! bytes), length of the payload (4 bytes), the name, the payload, checksum (8 bytes: the first of the BLAKE3 hash of
//! the key and all before it). The key is in the checksum so that a record that a damaged file shows in another's place
//! is not taken for it.

use bytes::Bytes;

use super::Key;
use crate::constants::MAX_RESPONSE_BYTES;

const MAGIC: &[u8; 4] = b"thR\x01";
const COMPRESSED: u8 = 1;
const HEADER: usize = 4 + 1 + 8 + 8 + 8 + 4 + 4;
const CHECKSUM: usize = 8;

/// Most bytes of a payload: the largest answer, and room for what is stored with it.
pub const MAX_PAYLOAD_BYTES: usize = MAX_RESPONSE_BYTES + (1 << 20);

/// Which tenant an answer belongs to: 64 bits of the hash of its namespace, so that all of one can be found. The key
/// keeps tenants apart; this does not have to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Namespace(pub(super) u64);

impl Namespace {
    /// The tag of a namespace; the empty name is the default namespace.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self(u64::from_le_bytes(first_eight(&blake3::hash(name.as_bytes()))))
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

    /// The record as it stands on disk under this key; `None` if the payload or the name is too long.
    #[must_use]
    pub fn encode(&self, key: &Key) -> Option<Vec<u8>> {
        if self.payload.len() > MAX_PAYLOAD_BYTES {
            return None;
        }
        let compressed = lz4_flex::block::compress(&self.payload);
        let is_compressed = compressed.len() < self.payload.len();
        let payload = if is_compressed { &compressed[..] } else { &self.payload[..] };
        let mut bytes = Vec::with_capacity(HEADER + self.deployment.len() + payload.len() + CHECKSUM);
        bytes.extend_from_slice(MAGIC);
        bytes.push(if is_compressed { COMPRESSED } else { 0 });
        bytes.extend_from_slice(&self.created_ms.to_le_bytes());
        bytes.extend_from_slice(&self.expires_ms.to_le_bytes());
        bytes.extend_from_slice(&self.namespace.0.to_le_bytes());
        bytes.extend_from_slice(&u32::try_from(self.deployment.len()).ok()?.to_le_bytes());
        bytes.extend_from_slice(&u32::try_from(self.payload.len()).ok()?.to_le_bytes());
        bytes.extend_from_slice(self.deployment.as_bytes());
        bytes.extend_from_slice(payload);
        let checksum = checksum(key, &bytes);
        bytes.extend_from_slice(&checksum);
        Some(bytes)
    }

    /// Reads what [`Record::encode`] wrote under the same key. `None` for anything else: a miss.
    #[must_use]
    pub fn decode(key: &Key, bytes: &[u8]) -> Option<Self> {
        let (covered, stored) = bytes.split_last_chunk::<CHECKSUM>()?;
        if checksum(key, covered) != *stored {
            return None;
        }
        let mut rest = covered.strip_prefix(MAGIC)?;
        let [flags] = take(&mut rest)?;
        let created_ms = u64::from_le_bytes(take(&mut rest)?);
        let expires_ms = u64::from_le_bytes(take(&mut rest)?);
        let namespace = Namespace(u64::from_le_bytes(take(&mut rest)?));
        let name_length = u32::from_le_bytes(take(&mut rest)?) as usize;
        let length = u32::from_le_bytes(take(&mut rest)?) as usize;
        let (name, stored) = rest.split_at_checked(name_length)?;
        let deployment = String::from_utf8(name.to_vec()).ok()?;
        if length > MAX_PAYLOAD_BYTES {
            return None;
        }
        let payload: Bytes = match flags {
            0 => Bytes::copy_from_slice(stored),
            COMPRESSED => {
                let mut payload = vec![0; length];
                let written = lz4_flex::block::decompress_into(stored, &mut payload).ok()?;
                payload.truncate(written);
                payload.into()
            }
            _ => return None,
        };
        let question = Bytes::new();
        (payload.len() == length).then_some(Self { deployment, created_ms, expires_ms, namespace, question, payload })
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
