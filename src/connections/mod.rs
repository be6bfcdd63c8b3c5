//! Bytes on the wire: connections, and the three things that are read from them before any provider looks.

mod client;
mod content;
mod http;
mod names;
mod proxies;
mod rate_limits;
mod retry_after;
mod secrets;
mod sse;
mod stream;
mod target;
mod tls;
mod transport;
mod warm;

pub use client::{Client, HttpResponse};
pub use content::{is_event_stream, is_undecided};
pub use http::{HeaderText, HttpRequest, Rejection, request_id};
pub(crate) use http::{beginning, cut};
pub use rate_limits::rate_limits;
pub(crate) use retry_after::MAX_RETRY_AFTER;
pub use retry_after::retry_after;
pub(crate) use secrets::Secrets;
pub use sse::SseParser;
pub(crate) use stream::open_stream;
