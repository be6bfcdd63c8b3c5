//! Embeddings whose texts are in a Redis: each is found on its own, whoever asked for it, with others or alone.

use std::time::{Duration, Instant};

use thryd::fields::Fields;
use thryd::kinds::{EmbeddingRequest, Embeddings};
use thryd::options::{InvokeOptions, RouterOptions};
use thryd::route::{Answer, CacheStatus, Router};

use super::cache::SOON;
use super::network::slow_way;
use super::server::Server;
use super::{HELD_UP, watched};

fn router(port: u16, timeout_ms: u32) -> Router<Embeddings> {
    let redis = format!(r#"{{"url": "redis://127.0.0.1:{port}", "timeoutMs": {timeout_ms}}}"#);
    router_of(&format!(r#"{{"memoryBytes": 0, "redis": {redis}}}"#))
}

/// A router with one dummy and this cache.
pub fn router_of(cache: &str) -> Router<Embeddings> {
    let options = format!(
        r#"{{"cache": {cache}, "providers": [{{"type": "dummy", "dummy": {{"cache": true}}}}],
            "groups": {{"g": {{"deployments": ["dummy::m"]}}}}}}"#
    );
    let fields = Fields::parse("router options", &options).unwrap();
    Router::new(RouterOptions::read(fields).unwrap()).unwrap()
}

async fn embed(router: &Router<Embeddings>, texts: Vec<String>) -> Answer<Embeddings> {
    router.invoke("g", EmbeddingRequest::input(texts), InvokeOptions::default()).await.unwrap()
}

fn texts(words: &str) -> Vec<String> {
    words.split(' ').map(str::to_owned).collect()
}

#[tokio::test]
async fn texts_that_another_process_asked_for_with_others_are_found_each_on_its_own() {
    let Some(server) = Server::start() else { return };
    let (one, other) = (router(server.port, 3_000), router(server.port, 3_000));
    assert_eq!(embed(&one, texts("a b")).await.cache, CacheStatus::Miss);
    one.close().await.unwrap();
    let answer = embed(&other, texts("b a")).await;
    assert_eq!(answer.cache, CacheStatus::Redis);
    assert!(answer.attempts.is_empty());
    assert_eq!(embed(&other, texts("b c")).await.cache, CacheStatus::Miss);
    assert_eq!(other.stats().cache.unwrap().redis_hits, 3);
}

#[tokio::test]
async fn thousands_of_texts_wait_for_a_slow_redis_together_and_not_one_after_the_other() {
    let Some(server) = Server::start() else { return };
    let router = router(slow_way(&server, Duration::from_millis(200)).await, 750);
    let mut rounds = Vec::new();
    // A machine that has other things to do may hold it up, but not each time.
    for round in 0..3 {
        let ((took, skipped), held_up) = watched(thousands(&router, round)).await;
        // One after the other they take six seconds.
        if took < Duration::from_millis(3_750) && (1_000..2_000).contains(&skipped) {
            return;
        }
        assert!(held_up > HELD_UP, "{took:?}, {skipped}, though held up for {held_up:?} at most");
        rounds.push((took, skipped));
    }
    panic!("{rounds:?}");
}

/// How long two thousand texts take that nobody has asked for in an earlier round, and how many of them were not looked for.
async fn thousands(router: &Router<Embeddings>, round: u32) -> (Duration, u64) {
    let skipped = || router.stats().cache.and_then(|cache| cache.redis).map_or(0, |redis| redis.skipped);
    // Connected, which takes longer.
    let begun = Instant::now();
    loop {
        assert!(begun.elapsed() < SOON, "{:?}", router.stats().cache);
        let before = skipped();
        embed(router, texts("a")).await;
        if skipped() == before {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let (begun, before) = (Instant::now(), skipped());
    embed(router, (0..2_000).map(|number| format!("{round} {number}")).collect()).await;
    (begun.elapsed(), skipped() - before)
}
