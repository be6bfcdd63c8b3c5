//! Encryption at rest. The only file that names `chacha20poly1305`.
//!
//! XChaCha20-Poly1305, because its nonces of 192 bits can be random for as many records as there will ever be, whichever
//! process writes them; the 96 bits of AES-GCM and plain `ChaCha20` cannot. Every use has its own key, derived from the
//! user's, so that what one of them shows says nothing of another.

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use secrecy::{ExposeSecret, SecretBox};

use super::{EncryptionKey, Key, Namespace};

const NONCE: usize = 24;

/// What an encryption key makes of records, and of all that names them.
pub(super) struct Seal {
    id: u64,
    cipher: XChaCha20Poly1305,
    places: SecretBox<[u8; 32]>,
    namespaces: SecretBox<[u8; 32]>,
}

impl Seal {
    /// Derives all that is needed; the contexts are part of the file's format.
    pub fn new(key: &EncryptionKey) -> Self {
        let derive = |context| SecretBox::new(Box::new(blake3::derive_key(context, key.expose())));
        let id = derive("thryd cache 2026-01 which key a file is sealed with");
        let records = derive("thryd cache 2026-01 records");
        let mut first = [0; 8];
        first.copy_from_slice(&id.expose_secret()[..8]);
        Self {
            // 0 is the file that anyone can read.
            id: u64::from_le_bytes(first).max(1),
            cipher: XChaCha20Poly1305::new(records.expose_secret().into()),
            places: derive("thryd cache 2026-01 places"),
            namespaces: derive("thryd cache 2026-01 namespaces"),
        }
    }

    /// Names the key without telling anything of it; never 0.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Where an answer is kept, from which nobody can tell what was asked.
    pub fn place(&self, key: &Key) -> Key {
        Key(*blake3::keyed_hash(self.places.expose_secret(), &key.0).as_bytes())
    }

    /// The tag of a namespace, which nobody can guess the name from.
    pub fn namespace(&self, name: &str) -> Namespace {
        Namespace::of(&blake3::keyed_hash(self.namespaces.expose_secret(), name.as_bytes()))
    }

    /// A nonce, the encrypted bytes, and the proof that they and what is associated with them are as they were. `None`
    /// if the operating system has no randomness.
    pub fn seal(&self, secret: &[u8], associated: &[u8]) -> Option<Vec<u8>> {
        let mut nonce = [0; NONCE];
        getrandom::fill(&mut nonce).ok()?;
        let sealed = self.cipher.encrypt(&XNonce::from(nonce), Payload { msg: secret, aad: associated }).ok()?;
        Some([&nonce[..], &sealed].concat())
    }

    /// What was sealed together with the same associated bytes. `None` for anything else.
    pub fn open(&self, sealed: &[u8], associated: &[u8]) -> Option<Vec<u8>> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE>()?;
        self.cipher.decrypt(&XNonce::from(*nonce), Payload { msg: sealed, aad: associated }).ok()
    }
}
