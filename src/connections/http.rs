//! One HTTP exchange as plain data: what a provider writes and what it gets to read. No socket is named here.

use std::fmt;

use bytes::Bytes;
use http::HeaderMap;
use secrecy::{ExposeSecret, SecretString};

/// A POST that a provider wants sent.
#[derive(Clone, Debug)]
pub struct HttpRequest {
    /// Where to.
    pub url: String,
    /// Headers beside `content-type: application/json`.
    pub headers: Vec<(String, HeaderText)>,
    /// The JSON.
    pub body: Bytes,
    /// Whether a key may go over plain http to an address that is not loopback.
    pub allow_insecure: bool,
    /// Most bytes of the answer that are taken.
    pub max_response_bytes: usize,
}

/// The value of a header, which may be a key.
#[derive(Clone)]
pub enum HeaderText {
    /// Anyone may read it.
    Plain(String),
    /// A key: never printed, and only sent where it cannot be overheard.
    Secret(SecretString),
}

impl HeaderText {
    /// The text itself, for sending.
    #[must_use]
    pub fn expose(&self) -> &str {
        match self {
            Self::Plain(text) => text,
            Self::Secret(text) => text.expose_secret(),
        }
    }

    /// Whether it is a key.
    #[must_use]
    pub fn is_secret(&self) -> bool {
        matches!(self, Self::Secret(_))
    }
}

impl fmt::Debug for HeaderText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(text) => write!(f, "{text:?}"),
            Self::Secret(_) => f.write_str("[secret]"),
        }
    }
}

/// An answer that is not a success: what classification looks at.
#[derive(Clone, Debug)]
pub struct Rejection<'a> {
    /// The HTTP status.
    pub status: u16,
    /// The answer's headers.
    pub headers: &'a HeaderMap,
    /// At most 64 KiB of what was said.
    pub body: &'a str,
}
