//! Limits and a cache over Redis, on real servers: what several routers that share one may do together, and what becomes of them
//! without it.
#![cfg(unix)]

mod alone;
mod cache;
mod changes;
mod clearing;
mod embeddings;
mod faults;
mod first;
mod joining;
mod late;
mod layouts;
mod limits;
mod network;
mod reached;
mod server;
mod users;

use std::time::Duration;

use thryd::fields::Fields;
use thryd::kinds::{Completion, CompletionRequest};
use thryd::options::{CacheUse, InvokeOptions, RouterOptions};
use thryd::route::{Answer, Router};

/// A router with one dummy, made as its options are written.
pub fn router(limits: &str, deploy: &str, dummy: &str) -> Router<Completion> {
    router_of(limits, deploy, &format!(r#"{{"type": "dummy", "dummy": {dummy}}}"#))
}

/// The same with this provider, whose name is `dummy`.
pub fn router_of(limits: &str, deploy: &str, provider: &str) -> Router<Completion> {
    let options = format!(
        r#"{{"limits": {limits}, "providers": [{provider}],
            "groups": {{"g": {{"deployments": [{{"model": "dummy::m", {deploy}}}]}}}}}}"#
    );
    let fields = Fields::parse("router options", &options).unwrap();
    Router::new(RouterOptions::read(fields).unwrap()).unwrap()
}

/// With more patience than the default, for machines that are busy with tests.
pub fn url(server: &server::Server) -> String {
    at(&server.url())
}

/// The same at any URL.
pub fn at(url: &str) -> String {
    format!(r#"{{"redis": {{"url": "{url}", "timeoutMs": 3000}}}}"#)
}

/// Asks, and fails at once where there is no room.
pub async fn ask(router: &Router<Completion>) -> thryd::Result<Duration> {
    ask_within(router, Duration::ZERO).await
}

/// Asks, and gives how long it stood in line.
pub async fn ask_within(router: &Router<Completion>, queue: Duration) -> thryd::Result<Duration> {
    Ok(invoke(router, queue).await?.queued)
}

/// The same, joined by nobody who asks the same.
pub async fn ask_alone(router: &Router<Completion>, queue: Duration) -> thryd::Result<Duration> {
    let mut options = options(router, queue);
    options.cache = CacheUse::NoStore;
    Ok(router.invoke("g", CompletionRequest::message("Hi"), options).await?.queued)
}

pub async fn invoke(router: &Router<Completion>, queue: Duration) -> thryd::Result<Answer<Completion>> {
    router.invoke("g", CompletionRequest::message("Hi"), options(router, queue)).await
}

fn options(router: &Router<Completion>, queue: Duration) -> InvokeOptions {
    let mut timeouts = *router.timeouts();
    timeouts.queue = queue;
    InvokeOptions { timeouts: Some(timeouts), ..InvokeOptions::default() }
}

pub fn redis_of(router: &Router<Completion>) -> thryd::redis::limits::RedisStats {
    router.stats().limits.expect("limits are over Redis").redis
}

/// How often it is looked whether something is so, and how long that takes on a thread that is not held up.
const PAUSE: Duration = Duration::from_millis(5);
const PAUSE_AT_MOST: Duration = Duration::from_millis(7);

/// How long a thread may be held up without an end, in all.
const HELD_UP_AT_MOST: Duration = Duration::from_secs(10);

/// What went wrong is done again only where its thread was held up for longer than this.
pub const HELD_UP: Duration = Duration::from_millis(100);

/// Does this, and says for how long this thread was held up at most meanwhile.
pub async fn watched<T>(work: impl Future<Output = T>) -> (T, Duration) {
    let mut longest = Duration::ZERO;
    let watches = async {
        loop {
            let asleep = std::time::Instant::now();
            tokio::time::sleep(PAUSE).await;
            longest = longest.max(asleep.elapsed().saturating_sub(PAUSE_AT_MOST));
        }
    };
    let done = tokio::select! { done = work => done, () = watches => unreachable!("it never ends") };
    (done, longest)
}

/// Waits until it is so, for at most so long; how long it took. Nobody who runs on this thread got any further while it was held up,
/// so that this time does not count.
pub async fn until(limit: Duration, mut is: impl FnMut() -> bool) -> Duration {
    let (begun, mut held_up) = (std::time::Instant::now(), Duration::ZERO);
    while !is() {
        assert!(
            begun.elapsed() < limit + held_up.min(HELD_UP_AT_MOST),
            "not within {limit:?}, and {held_up:?} that do not count"
        );
        let asleep = std::time::Instant::now();
        tokio::time::sleep(PAUSE).await;
        held_up += asleep.elapsed().saturating_sub(PAUSE_AT_MOST);
    }
    begun.elapsed()
}
