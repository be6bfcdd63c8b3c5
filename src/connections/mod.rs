//! Bytes on the wire.

mod client;
mod http;
mod retry_after;
mod sse;

pub use client::{Client, HttpResponse};
pub use http::{HeaderText, HttpRequest, Rejection};
pub use retry_after::retry_after;
pub use sse::SseParser;
