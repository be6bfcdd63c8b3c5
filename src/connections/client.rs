//! Stub: the only file that names reqwest.
use std::time::Duration;

use ::http::HeaderMap;
use bytes::Bytes;

use super::HttpRequest;
use crate::error::Failure;

/// Opens connections and keeps them.
#[derive(Clone, Debug)]
pub struct Client {}

/// An answer whose body has not been read yet. Dropping it closes the exchange.
#[derive(Debug)]
pub struct HttpResponse {}

impl Client {
    /// The client for this connect timeout, shared by everyone in the process who asks for the same.
    ///
    /// # Errors
    /// If the certificates cannot be read.
    pub fn shared(_connect: Duration) -> Result<Self, Failure> {
        todo!()
    }

    /// Sends a request; done when the headers are there.
    ///
    /// # Errors
    /// Transport failures, classified; a key that would go over a plain wire.
    pub async fn send(&self, _request: HttpRequest) -> Result<HttpResponse, Failure> {
        todo!()
    }
}

impl HttpResponse {
    /// The status.
    #[must_use]
    pub fn status(&self) -> u16 {
        todo!()
    }
    /// The headers.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        todo!()
    }
    /// The next bytes; `None` at the end.
    ///
    /// # Errors
    /// A cut, or more than the bound.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Failure> {
        todo!()
    }
    /// All of it.
    ///
    /// # Errors
    /// A cut, or more than the bound.
    pub async fn whole(self) -> Result<Bytes, Failure> {
        todo!()
    }
    /// The first 64 KiB as text, for an error. Never fails: what cannot be read is left out.
    pub async fn error_body(self) -> String {
        todo!()
    }
}
