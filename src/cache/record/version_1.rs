//! Reads the records that thryd 0.1.0 wrote. The only file that names `lz4_flex`.
//!
//! Integers are little-endian: magic `thR` and 1 (4 bytes), flags (1 byte; bit 0: the payload is one LZ4 block), creation
//! and expiry (8 bytes each), namespace (8 bytes), length of the deployment's name (4 bytes), length of the payload (4
//! bytes), the name, the payload, checksum (8 bytes). There is no question in it.

use bytes::Bytes;

use super::{CHECKSUM, Key, MAX_PAYLOAD_BYTES, Namespace, Record, checksum, take};

pub(super) const MAGIC: &[u8; 4] = b"thR\x01";
const COMPRESSED: u8 = 1;

/// An LZ4 block cannot hold more than this many times its own length.
const MOST_EXPANSION: usize = 255;

/// Reads a record that stands under this key. `None` for anything else.
pub(super) fn decode(key: &Key, bytes: &[u8]) -> Option<Record> {
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
    let payload: Bytes = match flags {
        0 => Bytes::copy_from_slice(stored),
        COMPRESSED if length <= MAX_PAYLOAD_BYTES.min(stored.len().saturating_mul(MOST_EXPANSION)) => {
            let mut payload = vec![0; length];
            let written = lz4_flex::block::decompress_into(stored, &mut payload).ok()?;
            payload.truncate(written);
            payload.into()
        }
        _ => return None,
    };
    let question = Bytes::new();
    let is_whole = payload.len() == length && length <= MAX_PAYLOAD_BYTES;
    is_whole.then_some(Record { deployment, created_ms, expires_ms, namespace, question, payload })
}
