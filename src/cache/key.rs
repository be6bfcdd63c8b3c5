//! What makes two requests the same question: 256 bits over everything that decides the answer, and nothing else.

use std::fmt;

use super::canonical;
use crate::kinds::Body;

/// Counts up when the bytes that are hashed change their meaning; every older answer is then out of reach.
const KEY_VERSION: u8 = 1;

/// Fields of a body that do not decide the answer, sorted; `docs/cache.md` says why for each. Every other field, known
/// or not, is part of the key: asking once too often is cheaper than one wrong answer.
const LEFT_OUT: &[&str] = &[
    // How vectors travel, not what they are: they are stored as numbers.
    "encoding_format",
    // Tags for the provider's dashboard.
    "metadata",
    // The set of models is in the key already, and thryd writes this field itself.
    "model",
    // Where the provider keeps its own prompt cache, and for how long.
    "prompt_cache_key",
    "prompt_cache_retention",
    // Who asks, for the provider's abuse detection.
    "safety_identifier",
    // How the answer travels: a stream and a whole answer serve each other.
    "stream",
    "stream_options",
    // How long the caller waits.
    "timeout",
    // Who asks, under its old name. Tenants that must not share have namespaces.
    "user",
];

/// Names one question. Prints as its first 8 bytes in hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(pub [u8; 32]);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().take(8).try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Makes the keys of one group of models, for one kind, in one namespace.
///
/// A key is the BLAKE3 hash of these bytes, each text with its length in bytes before it (64 bits, little-endian), so
/// that no two lists of texts run together: the key version (one byte), the namespace, the kind, the number of distinct
/// models, each model in the order of its bytes, the canonical body.
#[derive(Clone)]
pub struct KeyBuilder {
    prefix: Vec<u8>,
}

impl KeyBuilder {
    /// For these models (`provider::model`), in any order, of a group.
    pub fn new<'a>(namespace: &str, kind: &str, models: impl Iterator<Item = &'a str>) -> Self {
        let mut models: Vec<_> = models.collect();
        models.sort_unstable();
        models.dedup();
        let mut prefix = vec![KEY_VERSION];
        push_text(&mut prefix, namespace);
        push_text(&mut prefix, kind);
        push_length(&mut prefix, models.len());
        for model in models {
            push_text(&mut prefix, model);
        }
        Self { prefix }
    }

    /// The key of a body. A field that is null counts as absent; inside a field null is a value.
    #[must_use]
    pub fn body(&self, body: &Body) -> Key {
        let fields = body.iter().filter(|(name, raw)| LEFT_OUT.binary_search(name).is_err() && raw.trim() != "null");
        let mut bytes = Vec::with_capacity(self.prefix.len() + 8 + body.len());
        bytes.extend_from_slice(&self.prefix);
        push_length(&mut bytes, 0);
        let start = bytes.len();
        canonical::write_object(fields, &mut bytes);
        let length = (bytes.len() - start) as u64;
        bytes[start - 8..start].copy_from_slice(&length.to_le_bytes());
        Key(*blake3::hash(&bytes).as_bytes())
    }
}

impl fmt::Debug for KeyBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyBuilder").finish_non_exhaustive()
    }
}

fn push_text(bytes: &mut Vec<u8>, text: &str) {
    push_length(bytes, text.len());
    bytes.extend_from_slice(text.as_bytes());
}

fn push_length(bytes: &mut Vec<u8>, length: usize) {
    bytes.extend_from_slice(&(length as u64).to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_left_out_fields_are_found_by_binary_search() {
        assert!(LEFT_OUT.is_sorted());
    }
}
