//! A user of Redis that may do what thryd needs, and nothing else.

use std::time::Duration;

use thryd::route::CacheStatus;

use super::cache::router as cached;
use super::reached::reach;
use super::server::Server;
use super::{ask, at, redis_of, until};

/// The rule of the documentation.
fn rule() -> Vec<&'static str> {
    let page = include_str!("../../docs/scaling.md");
    let line = page.lines().find_map(|line| line.strip_prefix("ACL SETUSER thryd ")).expect("the page has the rule");
    line.split_whitespace().collect()
}

/// A server with that user, whose password is `secret`, and its URL.
fn server() -> Option<(Server, String)> {
    let server = Server::start()?;
    let words: Vec<_> = ["ACL", "SETUSER", "thryd"].into_iter().chain(rule()).collect();
    assert!(server.ask(&words).starts_with("+OK"), "{words:?}");
    let url = server.url().replace("redis://", "redis://thryd:secret@");
    Some((server, url))
}

/// What it was refused, by the server's own word.
fn refused(server: &Server) -> String {
    server.ask(&["ACL", "LOG"])
}

#[tokio::test]
async fn limits_need_no_more_than_the_documentation_says() {
    let Some((server, url)) = server() else { return };
    let _connected = reach(&at(&url)).await;
    let limits = r#""rpm": 10, "maxConcurrent": 2"#;
    let router = super::router(&at(&url), limits, "{}");
    let other = super::router(&at(&url), limits, "{}");
    for router in [&router, &other] {
        for _ in 0..5 {
            ask(router).await.unwrap();
        }
    }
    // Who waits, and is refused.
    assert!(ask(&router).await.is_err());
    assert_eq!(redis_of(&router).status, "connected");
    assert_eq!(refused(&server).trim(), "*0");
}

#[tokio::test]
async fn a_cache_that_joins_needs_no_more_than_the_documentation_says() {
    let Some((server, url)) = server() else { return };
    let cache = format!(r#"{{"redis": {{"url": "{url}", "timeoutMs": 3000}}, "join": "redis"}}"#);
    let dummy = r#"{"cache": true, "latencyMs": [3000, 3000]}"#;
    let routers = [cached(&cache, dummy), cached(&cache, dummy)];
    let ask = |at: usize| {
        let request = thryd::kinds::CompletionRequest::message("Hi");
        routers[at].invoke("g", request, thryd::options::InvokeOptions::default())
    };
    let (one, two) = futures_util::future::join(ask(0), ask(1)).await;
    let mut seen = [one.unwrap().cache, two.unwrap().cache];
    seen.sort_by_key(|cache| *cache == CacheStatus::Joined);
    assert_eq!(seen, [CacheStatus::Miss, CacheStatus::Joined]);
    let tracked = || server.ask(&["INFO", "clients"]).contains("tracking_clients:1");
    until(Duration::from_secs(10), tracked).await;
    routers[0].cache().unwrap().clear(None).await.unwrap();
    assert_eq!(refused(&server).trim(), "*0");
}

#[tokio::test]
async fn a_user_who_may_not_is_away_and_is_not_named() {
    let Some(server) = Server::start() else { return };
    server.ask(&["ACL", "SETUSER", "somebody", "on", ">secret", "~other:*", "+@all"]);
    let url = server.url().replace("redis://", "redis://somebody:secret@");
    let router = super::router(&at(&url), r#""rpm": 10"#, "{}");
    ask(&router).await.unwrap();
    let redis = redis_of(&router);
    let error = redis.error.unwrap();
    assert_eq!(redis.status, "local");
    assert!(error.contains("NOPERM") && !error.contains("somebody") && !error.contains("secret"), "{error}");
}
