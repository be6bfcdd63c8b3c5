//! Requests in their providers' words. Long ones are written on a thread for blocking work: a megabyte is copied at least,
//! and read and put together anew where the dialect is another.

use std::panic::resume_unwind;
use std::sync::Arc;

use tokio::task::spawn_blocking;

use crate::error::{ErrorKind, Result};
use crate::provider::{Call, Outgoing, Provider};

/// A request of at least this many bytes would hold up others who share the I/O thread.
pub(crate) const LONG_REQUEST_BYTES: usize = 256 << 10;

/// Of a request of at least this many bytes there are never more than two copies at once: what takes another is done one after the
/// other, at some milliseconds a megabyte.
pub(crate) const HUGE_REQUEST_BYTES: usize = 4 << 20;

/// What goes out for this call.
///
/// # Errors
/// As [`Provider::write`].
pub(crate) async fn write(provider: &Arc<dyn Provider>, call: &Call<'_>) -> Result<Outgoing> {
    if call.body.len() < LONG_REQUEST_BYTES {
        return provider.write(call);
    }
    let (provider, model, body) = (Arc::clone(provider), call.model.to_owned(), call.body.clone());
    let (kind, path, is_stream) = (call.kind, call.path, call.is_stream);
    let writing = spawn_blocking(move || provider.write(&Call { kind, path, model: &model, body: &body, is_stream }));
    match writing.await {
        Ok(outgoing) => outgoing,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => resume_unwind(panic),
            // The runtime ends, and with it the call.
            Err(_) => Err(ErrorKind::Cancelled.into()),
        },
    }
}
