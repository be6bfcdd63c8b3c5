//! Records as they are written today: as short as can be, because there are many and most are small.
//!
//! A header that the file may read without a key, then a body: the deployment's name, the question and the answer,
//! compressed together. The body of a plain record is followed by a checksum; that of a sealed one is encrypted together
//! with the true key, bound to its header and its place. `docs/cache.md` has the layout byte by byte.

use bytes::Bytes;

use super::super::seal::Seal;
use super::{CHECKSUM, Key, MAX_PAYLOAD_BYTES, Namespace, Record, checksum, take};
use crate::compression::{self, Effort};

pub(super) const MAGIC: &[u8; 4] = b"thR\x02";

/// Flags: how the body is compressed, and what is special about the record.
const FORM: u8 = 0x0f;
const IS_DEFAULT_NAMESPACE: u8 = 0x10;
const IS_SEALED: u8 = 0x20;

/// Most bytes of a body: the largest payload, and room for the name and the question.
const MAX_BODY_BYTES: usize = MAX_PAYLOAD_BYTES + (1 << 20);

/// The record as it stands in a file. `None` if it is too long, or cannot be sealed.
pub(super) fn encode(record: &Record, key: &Key, seal: Option<&Seal>, effort: Effort) -> Option<Vec<u8>> {
    let body = body_of(record)?;
    let (form, stored) = compression::compress(&body, effort);
    let mut bytes = Vec::with_capacity(64 + stored.len());
    let is_default = record.namespace == default_namespace(seal);
    let flags = form | if is_default { IS_DEFAULT_NAMESPACE } else { 0 } | if seal.is_some() { IS_SEALED } else { 0 };
    bytes.extend_from_slice(MAGIC);
    bytes.push(flags);
    push_number(&mut bytes, record.created_ms);
    push_number(&mut bytes, record.expires_ms.wrapping_sub(record.created_ms));
    if !is_default {
        bytes.extend_from_slice(&record.namespace.0.to_le_bytes());
    }
    let Some(seal) = seal else {
        push_number(&mut bytes, body.len() as u64);
        bytes.extend_from_slice(&stored);
        let checksum = checksum(key, &bytes);
        bytes.extend_from_slice(&checksum);
        return Some(bytes);
    };
    let mut secret = Vec::with_capacity(48 + stored.len());
    secret.extend_from_slice(&key.0);
    push_number(&mut secret, body.len() as u64);
    secret.extend_from_slice(&stored);
    let sealed = seal.seal(&secret, &associated(&seal.place(key), &bytes))?;
    bytes.extend_from_slice(&sealed);
    Some(bytes)
}

/// Reads what [`encode`] wrote at this place with the same seal. `None` for anything else.
pub(super) fn decode(place: &Key, bytes: &[u8], seal: Option<&Seal>) -> Option<(Key, Record)> {
    let mut rest = bytes;
    let header = Header::read(&mut rest)?;
    if header.is_sealed != seal.is_some() {
        return None;
    }
    let namespace = header.namespace.unwrap_or_else(|| default_namespace(seal));
    let opened;
    let (key, mut rest) = match seal {
        None => {
            let (covered, stored) = bytes.split_last_chunk::<CHECKSUM>()?;
            if checksum(place, covered) != *stored {
                return None;
            }
            (*place, rest.get(..rest.len().checked_sub(CHECKSUM)?)?)
        }
        Some(seal) => {
            opened = seal.open(rest, &associated(place, &bytes[..bytes.len() - rest.len()]))?;
            let (key, rest) = opened.split_first_chunk::<32>()?;
            (Key(*key), rest)
        }
    };
    let length = usize::try_from(take_number(&mut rest)?).ok().filter(|length| *length <= MAX_BODY_BYTES)?;
    let body = compression::decompress(header.form, rest, length)?;
    let (deployment, question, payload) = parts_of(body)?;
    let (created_ms, expires_ms) = (header.created_ms, header.expires_ms);
    Some((key, Record { deployment, created_ms, expires_ms, namespace, question, payload }))
}

/// What stands before the body.
struct Header {
    form: u8,
    is_sealed: bool,
    created_ms: u64,
    expires_ms: u64,
    /// Absent: the default one.
    namespace: Option<Namespace>,
}

impl Header {
    /// Reads the header and leaves what follows it.
    fn read(rest: &mut &[u8]) -> Option<Self> {
        let magic: [u8; 4] = take(rest)?;
        let [flags] = take(rest)?;
        if magic != *MAGIC || flags & !(FORM | IS_DEFAULT_NAMESPACE | IS_SEALED) != 0 {
            return None;
        }
        let created_ms = take_number(rest)?;
        let expires_ms = created_ms.wrapping_add(take_number(rest)?);
        let is_default = flags & IS_DEFAULT_NAMESPACE != 0;
        let namespace = if is_default { None } else { Some(Namespace(u64::from_le_bytes(take(rest)?))) };
        Some(Self { form: flags & FORM, is_sealed: flags & IS_SEALED != 0, created_ms, expires_ms, namespace })
    }
}

fn default_namespace(seal: Option<&Seal>) -> Namespace {
    seal.map_or_else(|| Namespace::new(""), |seal| seal.namespace(""))
}

/// What a sealed body is bound to, so that it is accepted nowhere else and under no other header.
fn associated(place: &Key, header: &[u8]) -> Vec<u8> {
    [&place.0, header].concat()
}

/// The parts that are compressed together: name and question, each with its length before it, and the payload.
fn body_of(record: &Record) -> Option<Vec<u8>> {
    let (name, question, payload) = (record.deployment.as_bytes(), &record.question, &record.payload);
    let length = name.len().checked_add(question.len())?.checked_add(payload.len())?;
    let mut body = Vec::with_capacity(length.checked_add(20).filter(|length| *length <= MAX_BODY_BYTES)?);
    push_number(&mut body, name.len() as u64);
    body.extend_from_slice(name);
    push_number(&mut body, question.len() as u64);
    body.extend_from_slice(question);
    body.extend_from_slice(payload);
    (payload.len() <= MAX_PAYLOAD_BYTES).then_some(body)
}

/// Takes a body apart without copying the question and the answer.
fn parts_of(body: Vec<u8>) -> Option<(String, Bytes, Bytes)> {
    let mut rest = &body[..];
    let name = take_text(&mut rest)?;
    let deployment = std::str::from_utf8(name).ok()?.to_owned();
    let question = take_text(&mut rest)?.len();
    let end = body.len() - rest.len();
    let body = Bytes::from(body);
    Some((deployment, body.slice(end - question..end), body.slice(end..)))
        .filter(|(_, _, payload)| payload.len() <= MAX_PAYLOAD_BYTES)
}

fn take_text<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(take_number(rest)?).ok()?;
    let (text, tail) = rest.split_at_checked(length)?;
    *rest = tail;
    Some(text)
}

/// LEB128: seven bits per byte, the lowest first; the eighth says that more follow.
fn push_number(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    bytes.push(number.to_le_bytes()[0]);
}

fn take_number(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let [byte] = take(rest)?;
        let bits = u64::from(byte & 0x7f);
        number |= bits << shift;
        if byte < 0x80 {
            // The tenth byte has room for one bit.
            return (bits << shift >> shift == bits).then_some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_number_comes_back_and_leaves_what_follows_it(number in any::<u64>(), shift in 0..64_u32) {
            let number = number >> shift;
            let mut bytes = Vec::new();
            push_number(&mut bytes, number);
            bytes.push(0xff);
            let mut rest = &bytes[..];
            prop_assert_eq!(take_number(&mut rest), Some(number));
            prop_assert_eq!(rest, &[0xff]);
        }
    }

    #[test]
    fn a_number_that_is_cut_off_or_longer_than_64_bits_is_none() {
        assert_eq!(take_number(&mut &[0x80][..]), None);
        assert_eq!(take_number(&mut &[&[0xff; 9][..], &[0x01]].concat()[..]), Some(u64::MAX));
        assert_eq!(take_number(&mut &[&[0xff; 9][..], &[0x02]].concat()[..]), None);
        assert_eq!(take_number(&mut &[0xff; 11][..]), None);
    }
}
