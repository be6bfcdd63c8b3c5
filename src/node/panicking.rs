//! A provider with a defect, for the tests of the package. Only in a build for development: what is shipped has none.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use futures_util::{StreamExt, stream};
use napi_derive::napi;

use super::reply::reply;
use super::router::NativeRouter;
use crate::error::Result;
use crate::kinds::Usage;
use crate::provider::{BatchLimit, Call, Outgoing, Provider, Reply};

/// Panics the first times that it comes to a place, and answers after that.
#[derive(Debug)]
struct Panicking {
    name: String,
    place: String,
    left: Arc<AtomicU32>,
}

#[napi]
impl NativeRouter {
    /// Adds a provider that panics this many times at a place: `supports`, `write`, `answer`, `event`, `charged`, `cacheable`
    /// or `batch`.
    #[napi(skip_typescript)]
    pub fn add_panicking_provider(&self, name: String, place: String, times: u32) -> String {
        reply(|| {
            self.router()?.add(Arc::new(Panicking { name, place, left: Arc::new(AtomicU32::new(times)) }));
            Ok(())
        })
    }
}

impl Panicking {
    fn at(&self, place: &str) {
        panic_at(&self.place, place, &self.left);
    }
}

fn panic_at(wanted: &str, place: &str, left: &AtomicU32) {
    let is_due = || left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok();
    assert!(wanted != place || !is_due(), "a defect in {place}");
}

impl Provider for Panicking {
    fn name(&self) -> &str {
        &self.name
    }

    fn supports(&self, _kind: &str) -> bool {
        self.at("supports");
        true
    }

    fn write(&self, call: &Call<'_>) -> Result<Outgoing> {
        self.at("write");
        let (wanted, left) = (self.place.clone(), Arc::clone(&self.left));
        let is_stream = call.is_stream;
        Ok(Outgoing::Local(Box::pin(async move {
            panic_at(&wanted, "answer", &left);
            if !is_stream {
                let answer = r#"{"choices":[{"message":{"content":"one two"},"finish_reason":"stop"}]}"#;
                return Ok(Reply::Whole(answer.into()));
            }
            let first = r#"{"choices":[{"delta":{"content":"one "},"finish_reason":null}]}"#;
            let last = r#"{"choices":[{"delta":{"content":"two"},"finish_reason":"stop"}]}"#;
            let second = stream::once(async move {
                // The first is read by then.
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
                panic_at(&wanted, "event", &left);
                Ok(last.to_owned())
            });
            Ok(Reply::Events(Box::pin(stream::once(async move { Ok(first.to_owned()) }).chain(second))))
        })))
    }

    fn is_cacheable(&self) -> bool {
        self.at("cacheable");
        true
    }

    fn charged_tokens(&self, usage: &Usage) -> u64 {
        self.at("charged");
        usage.total_tokens
    }

    fn batch_limit(&self, _kind: &str) -> BatchLimit {
        self.at("batch");
        BatchLimit { inputs: 2, tokens: 1000 }
    }
}
