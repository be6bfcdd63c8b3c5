//! Servers to which there is a connection already: a first one that takes longer than it may, on a machine that has other things to do,
//! is not what most tests are about.

use std::ops::{Deref, DerefMut};
use std::time::Instant;

use thryd::cache::Cache;
use thryd::kinds::Completion;
use thryd::route::Router;

use super::cache::{SOON, key, open};
use super::server::Server;
use super::{ask, redis_of, router_of, until, url};

/// A server, and whoever has the connection to it that all share who name it with three seconds of patience.
pub struct Reached<T> {
    server: Server,
    _by: T,
}

/// One that counts limits, none of those that a test sets.
pub async fn reached_by_limits() -> Option<Reached<Router<Completion>>> {
    let server = Server::start()?;
    let router = reach(&url(&server)).await;
    Some(Reached { server, _by: router })
}

/// Whoever has the connection that all share whose limits are counted there.
pub async fn reach(limits: &str) -> Router<Completion> {
    let router = router_of(limits, r#""rpm": 1000"#, r#"{"type": "dummy", "apiKey": "of another account"}"#);
    ask(&router).await.unwrap();
    until(SOON, || redis_of(&router).status == "connected").await;
    router
}

/// One that has answers, none so far.
pub async fn reached_by_caches() -> Option<Reached<Cache>> {
    let server = Server::start()?;
    let (cache, begun) = (open(&server), Instant::now());
    loop {
        assert!(cache.redis_get(&key(u32::MAX), "").await.is_none());
        let redis = cache.stats().redis.unwrap();
        if redis.status == "connected" {
            return Some(Reached { server, _by: cache });
        }
        assert!(begun.elapsed() < SOON, "{redis:?}");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

impl<T> Deref for Reached<T> {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

impl<T> DerefMut for Reached<T> {
    fn deref_mut(&mut self) -> &mut Server {
        &mut self.server
    }
}
