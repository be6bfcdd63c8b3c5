//! What a process finds that has just begun, or asks for a namespace for the first time, where the way to Redis is long.

use std::time::Duration;

use futures_util::future::join_all;
use thryd::cache::{Cache, CacheOptions, Entry, Turn};

use super::cache::{SOON, entry, key, open, options_at};
use super::network::slow_way;
use super::server::Server;
use super::until;

/// How many ask at once.
const COUNT: u32 = 60;

/// How long the way is: all of them one after the other take longer than anybody waits.
const WAY: Duration = Duration::from_millis(60);

/// A server with so many answers of this namespace.
async fn filled(namespace: &str) -> Option<Server> {
    let server = Server::start()?;
    let cache = open(&server);
    for number in 0..COUNT {
        cache.put(key(number), Entry { namespace, ..entry("an answer") });
    }
    cache.close().await.unwrap();
    server.ask(&["CONFIG", "RESETSTAT"]);
    Some(server)
}

/// With three seconds of patience, and nothing above Redis.
async fn far(server: &Server, joins_processes: bool) -> Cache {
    let url = format!("redis://127.0.0.1:{}", slow_way(server, WAY).await);
    Cache::open(CacheOptions { memory_bytes: 0, joins_processes, ..options_at(&url) }).unwrap()
}

/// How often a server was asked to run this, also by a script.
fn runs(server: &Server, command: &str) -> u32 {
    let said = server.ask(&["INFO", "commandstats"]);
    let line = said.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{command}:calls=")));
    line.map_or(0, |line| line.split(',').next().unwrap().parse().unwrap())
}

#[tokio::test]
async fn many_first_calls_at_once_find_all_that_is_there_and_ask_once_what_was_cleared() {
    let Some(server) = filled("").await else { return };
    let cache = far(&server, false).await;
    let found = join_all((0..COUNT).map(async |number| {
        let key = key(number);
        cache.redis_get(&key, "").await
    }))
    .await;
    assert_eq!(found.iter().flatten().count(), 60, "{:?}", cache.stats().redis);
    let asked = (runs(&server, "evalsha") + runs(&server, "eval"), runs(&server, "zrange"), runs(&server, "get"));
    assert!(asked.0 <= 4 && asked.1 <= 8 && asked.2 <= COUNT + 1, "{asked:?}");
}

#[tokio::test]
async fn many_first_calls_at_once_that_join_others_find_all_that_is_there() {
    let Some(server) = filled("").await else { return };
    let cache = far(&server, true).await;
    let turns = join_all((0..COUNT).map(async |number| {
        let key = key(number);
        cache.turn(&key, "", SOON).await
    }))
    .await;
    let found = turns.iter().filter(|turn| matches!(turn, Turn::Found(_))).count();
    assert_eq!(found, 60, "{:?}", cache.stats().redis);
}

#[tokio::test]
async fn many_who_ask_for_a_namespace_for_the_first_time_ask_once_when_it_was_cleared() {
    let Some(server) = filled("a").await else { return };
    let cache = far(&server, false).await;
    assert!(cache.redis_get(&key(1), "").await.is_none());
    until(SOON, || cache.stats().redis.unwrap().status == "connected").await;
    let before = runs(&server, "evalsha");
    let found = join_all((0..COUNT).map(async |number| {
        let key = key(number);
        cache.redis_get(&key, "a").await
    }))
    .await;
    assert_eq!(found.iter().flatten().count(), 60, "{:?}", cache.stats().redis);
    let asked = runs(&server, "evalsha") - before;
    assert!(asked <= 2, "{asked}");
}
