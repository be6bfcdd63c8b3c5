//! Stub: when to come back, from `retry-after-ms` and `retry-after`.
use std::time::{Duration, SystemTime};

use ::http::HeaderMap;

/// The delay that the headers ask for.
#[must_use]
pub fn retry_after(_headers: &HeaderMap, _now: SystemTime) -> Option<Duration> {
    todo!()
}
