//! One HTTP exchange as plain data: what a provider writes and what it gets to read. No socket is named here.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use secrecy::{ExposeSecret, SecretString};

use crate::error::{Failure, FailureClass};

/// A POST that a provider wants sent.
#[derive(Clone, Debug)]
pub struct HttpRequest {
    /// Where to.
    pub url: String,
    /// Headers beside `content-type: application/json`. Shared, as each request of a provider has the same.
    pub headers: Arc<Vec<(String, HeaderText)>>,
    /// The JSON.
    pub body: Bytes,
    /// Whether a key may go over plain http to an address that is not loopback.
    pub allow_insecure: bool,
    /// Most bytes of the answer that are taken.
    pub max_response_bytes: usize,
}

impl HttpRequest {
    /// The headers as they are sent. Keys are marked, so that nothing prints or compresses them.
    pub(super) fn header_map(&self) -> Result<HeaderMap, Failure> {
        let unusable = |message| Failure::new(FailureClass::Auth, message).unsent();
        let mut headers = HeaderMap::with_capacity(self.headers.len() + 1);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        for (name, text) in &*self.headers {
            let unsendable = |_| unusable(format!("header {name:?} holds characters that cannot be sent"));
            let header =
                name.parse::<HeaderName>().map_err(|_| unusable(format!("{name:?} is not a header's name")))?;
            let mut value = HeaderValue::from_str(text.expose()).map_err(unsendable)?;
            value.set_sensitive(text.is_secret());
            headers.insert(header, value);
        }
        Ok(headers)
    }
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

/// The provider's own id of the request, by which its support finds it: the first of the headers that providers use.
#[must_use]
pub fn request_id(headers: &HeaderMap) -> Option<String> {
    const NAMES: [&str; 9] = [
        "x-request-id",
        "request-id",
        "apim-request-id",
        "x-ms-request-id",
        "x-amzn-requestid",
        "x-generation-id",
        "x-trace-id",
        "x-cloud-trace-context",
        "cf-ray",
    ];
    let mut ids = NAMES.iter().filter_map(|name| headers.get(*name)?.to_str().ok());
    ids.find(|id| !id.is_empty() && id.len() <= 256).map(str::to_owned)
}

/// The first bytes of a text, at most `most`, up to the end of a character.
pub(crate) fn beginning(text: &str, most: usize) -> &str {
    let end = (0..=most.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    &text[..end.unwrap_or_default()]
}

/// Cuts a text after at most `most` bytes, between two characters.
pub(crate) fn cut(text: &mut String, most: usize) {
    text.truncate(beginning(text, most).len());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_not_in_debug() {
        let header = HeaderText::Secret(SecretString::from("sk-secret"));
        assert!(!format!("{header:?}").contains("sk-secret"));
        assert_eq!(header.expose(), "sk-secret");
    }

    #[test]
    fn the_providers_own_id_goes_before_the_one_of_its_front_door() {
        let mut headers = HeaderMap::new();
        assert_eq!(request_id(&headers), None);
        headers.insert("cf-ray", "ray".parse().unwrap());
        assert_eq!(request_id(&headers).as_deref(), Some("ray"));
        headers.insert("x-request-id", "".parse().unwrap());
        headers.insert("request-id", "req_1".parse().unwrap());
        assert_eq!(request_id(&headers).as_deref(), Some("req_1"));
    }
}
