//! The few numbers that the whole crate shares, each with its unit and its reason.

use std::time::Duration;

/// Length of the sliding window that every limit is counted over, in seconds.
///
/// Sixty, because providers publish their limits per minute.
pub const BUCKETS_WINDOW_S: u64 = 60;

/// Number of buckets that the window is divided into.
///
/// A request leaves the window up to one bucket late, never early, so a saturated deployment uses at least
/// `BUCKET_COUNT / (BUCKET_COUNT + 1)` of its quota: 99.6 % with 240, for 6 KiB of memory a deployment.
pub const BUCKET_COUNT: usize = 240;

/// Width of one bucket: a quarter of a second.
pub const BUCKET_WIDTH: Duration = Duration::from_millis(BUCKETS_WINDOW_S * 1000 / BUCKET_COUNT as u64);

/// Largest integer that JavaScript's numbers carry exactly, 2^53 - 1: the upper end of every count that crosses over.
pub const MAX_SAFE_INTEGER: u64 = (1 << 53) - 1;

/// Most bytes of one answer, 64 MiB, unless the provider's `maxResponseBytes` says otherwise.
pub const MAX_RESPONSE_BYTES: usize = 64 << 20;

/// Most bytes of a provider's words that an error keeps, 64 KiB.
pub const MAX_ERROR_BODY_BYTES: usize = 64 << 10;
