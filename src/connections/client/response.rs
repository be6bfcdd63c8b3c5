//! An answer, whose body comes as it is read.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ::http::{HeaderMap, header};
use bytes::{Bytes, BytesMut};

use crate::connections::http::cut;
use crate::connections::target::Target;
use crate::connections::{is_event_stream, is_undecided, request_id, transport};
use crate::constants::MAX_ERROR_BODY_BYTES;
use crate::error::{Failure, FailureClass};

/// An answer whose body has not been read yet. Dropping it closes the exchange.
pub struct HttpResponse {
    response: reqwest::Response,
    target: Arc<Target>,
    taken: usize,
    limit: usize,
    /// Bytes that were looked at and are still to be given.
    peeked: Option<Bytes>,
}

impl HttpResponse {
    pub(super) fn new(response: reqwest::Response, target: Arc<Target>, limit: usize) -> Self {
        Self { response, target, taken: 0, limit, peeked: None }
    }

    /// The status.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.response.status().as_u16()
    }

    /// The headers. Without `content-encoding` and `content-length` if the body came compressed.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    /// The next bytes; `None` at the end. They count towards the bound as they are after decompression, and an announced
    /// length beyond it is refused before anything is read.
    ///
    /// # Errors
    /// [`FailureClass::Truncated`]: a cut, a body that cannot be decompressed, or more than the bound.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Failure> {
        if let Some(peeked) = self.peeked.take() {
            return Ok(Some(peeked));
        }
        let announced = self.response.content_length().unwrap_or_default();
        if announced > self.limit as u64 {
            return Err(self.broken(format_args!("is {announced} bytes long, more than {}", self.limit)));
        }
        let chunk = match self.response.chunk().await {
            Ok(chunk) => chunk,
            Err(error) if error.is_decode() => {
                return Err(
                    self.broken(format_args!("was cut or cannot be decompressed: {}", transport::cause(&error)))
                );
            }
            Err(error) => return Err(self.broken(format_args!("was cut: {}", transport::cause(&error)))),
        };
        self.taken = self.taken.saturating_add(chunk.as_ref().map_or(0, Bytes::len));
        if self.taken > self.limit {
            return Err(self.broken(format_args!("is longer than {} bytes", self.limit)));
        }
        Ok(chunk)
    }

    /// Whether it is a stream of events or has to be read whole: waits for its first bytes, which
    /// [`chunk`](HttpResponse::chunk) still gives. `is_wanted` decides where nothing says
    /// ([`is_event_stream`](crate::connections::is_event_stream)).
    ///
    /// # Errors
    /// As [`chunk`](HttpResponse::chunk).
    pub async fn is_event_stream(&mut self, is_wanted: bool) -> Result<bool, Failure> {
        // Nothing at all is no stream: who reads it whole says that it is empty.
        let Some(mut first) = self.chunk().await? else { return Ok(false) };
        while first.len() < MAX_ERROR_BODY_BYTES && is_undecided(&first) {
            let Some(more) = self.chunk().await? else { break };
            first = [first, more].concat().into();
        }
        let content_type = self.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let is_stream = is_event_stream(content_type, &first, is_wanted);
        self.peeked = Some(first);
        Ok(is_stream)
    }

    /// All of it.
    ///
    /// # Errors
    /// As [`chunk`](HttpResponse::chunk).
    pub async fn whole(mut self) -> Result<Bytes, Failure> {
        let Some(first) = self.chunk().await? else { return Ok(Bytes::new()) };
        let Some(second) = self.chunk().await? else { return Ok(first) };
        let mut whole = BytesMut::with_capacity(2 * (first.len() + second.len()));
        whole.extend_from_slice(&first);
        whole.extend_from_slice(&second);
        while let Some(chunk) = self.chunk().await? {
            whole.extend_from_slice(&chunk);
        }
        Ok(whole.freeze())
    }

    /// The first 64 KiB as text, for an error, and whether it came in time. Never fails: what cannot be read, or has not come
    /// within `limit`, is left out.
    pub async fn error_body(mut self, limit: Duration) -> (String, bool) {
        let mut body = self.peeked.take().unwrap_or_default().to_vec();
        body.truncate(MAX_ERROR_BODY_BYTES);
        let reading = async {
            while let Ok(Some(chunk)) = self.response.chunk().await {
                let room = MAX_ERROR_BODY_BYTES - body.len();
                body.extend_from_slice(chunk.get(..room).unwrap_or(&chunk));
                if body.len() == MAX_ERROR_BODY_BYTES {
                    break;
                }
            }
        };
        // Whatever has come counts, so running out of time is no failure.
        let is_in_time = tokio::time::timeout(limit, reading).await.is_ok();
        let mut text = String::from_utf8_lossy(&body).into_owned();
        if body.len() == MAX_ERROR_BODY_BYTES {
            // The cut may have gone through a character.
            text.truncate(text.trim_end_matches(char::REPLACEMENT_CHARACTER).len());
        }
        // What stands in for a damaged byte is three bytes long.
        cut(&mut text, MAX_ERROR_BODY_BYTES);
        (text, is_in_time)
    }

    fn broken(&self, what: fmt::Arguments<'_>) -> Failure {
        let mut failure = Failure::new(FailureClass::Truncated, format!("the answer of {} {what}", self.target.origin));
        failure.status = Some(self.status());
        failure.request_id = request_id(self.headers());
        failure
    }
}

impl fmt::Debug for HttpResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpResponse")
            .field("status", &self.status())
            .field("origin", &self.target.origin)
            .finish_non_exhaustive()
    }
}
