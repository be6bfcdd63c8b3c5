//! Asks several who may all know, without waiting long for any of them.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::timeout;

use super::connection::CONNECT_WITHIN;
use super::fault::Fault;

/// How long one is waited for before the next is asked too.
const APART: Duration = Duration::from_millis(100);

/// The first good answer. Each is asked as soon as one before it has failed, or a moment after it, so that all were asked by the
/// middle of the time that connecting takes at most.
///
/// # Errors
/// If none of them has a good answer: what one that answered said, or else why the last did not.
pub(super) async fn first_of<T>(asked: Vec<impl Future<Output = Result<T, Fault>>>, nobody: &str) -> Result<T, Fault> {
    let apart = APART.min(CONNECT_WITHIN / 2 / u32::try_from(asked.len().max(1)).unwrap_or(u32::MAX));
    let (mut next, mut running, mut last) = (asked.into_iter(), FuturesUnordered::new(), Fault::away(nobody));
    loop {
        running.extend(next.next());
        match timeout(apart, running.next()).await {
            Ok(Some(Ok(answer))) => return Ok(answer),
            Ok(Some(Err(fault))) => {
                if fault.is_refusal() || !last.is_refusal() {
                    last = fault;
                }
            }
            Ok(None) => return Err(last),
            Err(_) => {}
        }
    }
}
