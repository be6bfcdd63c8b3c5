//! The secret that a cache's file is encrypted with.

use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use secrecy::{ExposeSecret, ExposeSecretMut, SecretBox};
use serde_json::Value;

use crate::fields::describe;

const BYTES: usize = 32;

const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

/// 32 random bytes. Clones share them; nothing prints them, and they are wiped from memory when the last is dropped.
#[derive(Clone)]
pub struct EncryptionKey(Arc<SecretBox<[u8; BYTES]>>);

impl EncryptionKey {
    /// What [`EncryptionKey::parse`] reads.
    pub const EXPECTED: &'static str = "32 bytes as 64 hexadecimal digits or as base64";

    /// Takes the bytes.
    #[must_use]
    pub fn new(bytes: [u8; BYTES]) -> Self {
        Self(Arc::new(SecretBox::new(Box::new(bytes))))
    }

    /// Reads 64 hexadecimal digits, or 43 or 44 characters of base64 in either alphabet. `None` for anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut key = SecretBox::new(Box::new([0; BYTES]));
        let bytes = key.expose_secret_mut();
        match text.len() {
            64 => {
                for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
                    let digit =
                        |at: usize| char::from(digits[at]).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
                    *byte = digit(0)? << 4 | digit(1)?;
                }
            }
            43 | 44 => {
                let is_url_safe = text.contains(['-', '_']);
                let alphabet = if is_url_safe { URL_SAFE } else { STANDARD };
                let written = alphabet.decode_slice(text, bytes).ok()?;
                (written == BYTES).then_some(())?;
            }
            _ => return None,
        }
        Some(Self(Arc::new(key)))
    }

    /// What came in place of a key, in words that do not show it.
    pub(super) fn describe(got: &Value) -> String {
        match got {
            Value::String(text) => format!("a string of {} characters", text.chars().count()),
            Value::Array(_) | Value::Object(_) => describe(got),
            _ => "a value of another type".to_owned(),
        }
    }

    pub(super) fn expose(&self) -> &[u8; BYTES] {
        self.0.expose_secret()
    }
}

/// In constant time.
impl PartialEq for EncryptionKey {
    fn eq(&self, other: &Self) -> bool {
        blake3::hash(self.expose()) == blake3::hash(other.expose())
    }
}

impl Eq for EncryptionKey {}

impl fmt::Debug for EncryptionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EncryptionKey([hidden])")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BYTES_OF_KEY: [u8; BYTES] = *b"\xff\xfe\x00\x01 a key of thirty-two bytes\xfb\xf0";

    #[test]
    fn every_spelling_of_a_key_is_the_same_key() {
        let key = EncryptionKey::new(BYTES_OF_KEY);
        let hex = BYTES_OF_KEY.map(|byte| format!("{byte:02x}")).concat();
        let base64 = STANDARD.encode(BYTES_OF_KEY);
        let url_safe = URL_SAFE.encode(BYTES_OF_KEY);
        assert!(base64 != url_safe && base64.len() == 44);
        let spellings = [
            &hex,
            &hex.to_uppercase(),
            &base64,
            &url_safe,
            base64.trim_end_matches('='),
            url_safe.trim_end_matches('='),
        ];
        for spelling in spellings {
            assert_eq!(EncryptionKey::parse(spelling).as_ref(), Some(&key), "{spelling}");
        }
        assert_ne!(key, EncryptionKey::new([7; BYTES]));
    }

    #[test]
    fn anything_but_32_bytes_is_no_key() {
        let short = STANDARD.encode([7; 31]);
        let long = STANDARD.encode([7; 33]);
        let a_letter_too_many = format!("{}g", "0".repeat(63));
        for text in ["", "secret", &short, &long, &a_letter_too_many, &"0".repeat(62), &"é".repeat(32), &" ".repeat(44)]
        {
            assert_eq!(EncryptionKey::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_key_is_not_printed() {
        let printed = format!("{:?}", EncryptionKey::new(*b"abcdefghijklmnopqrstuvwxyz012345"));
        assert!(!printed.contains("abc") && !printed.contains("97, 98"), "{printed}");
    }
}
