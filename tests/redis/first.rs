//! What a process finds that has just begun, or asks for a namespace for the first time, where the way to Redis is long.

use std::fmt::Debug;
use std::time::Duration;

use futures_util::future::join_all;
use thryd::cache::{Cache, CacheOptions, Entry, Turn};
use tokio::time::Instant;

use super::cache::{SOON, entry, key, open, options_at};
use super::network::long_way;
use super::server::Server;
use super::{HELD_UP, until, watched};

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
    let url = format!("redis://127.0.0.1:{}", long_way(server, WAY).await);
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

/// How often a scene is made in which an answer must not be much later than its way is long: a machine that has other things to do may
/// hold it up, but not each time.
const ROUNDS: u32 = 5;

/// Makes it until all is as it has to be.
async fn once_undisturbed<T: Debug>(scene: impl AsyncFn(u32) -> Result<(), T>) {
    let mut wrong = Vec::new();
    for round in 0..ROUNDS {
        let (outcome, held_up) = watched(scene(round)).await;
        let Err(outcome) = outcome else { return };
        assert!(held_up > HELD_UP, "{outcome:?}, though held up for {held_up:?} at most");
        wrong.push(outcome);
    }
    panic!("{wrong:?}");
}

/// One that waits for Redis for 1.1 s, over a way that takes 0.6, and has asked it before.
async fn impatient(server: &Server, joins_processes: bool) -> Cache {
    impatient_by(server, joins_processes, Duration::from_millis(600), Duration::from_millis(1_100)).await
}

/// The same over a way that takes that long, and for that long.
async fn impatient_by(server: &Server, joins_processes: bool, way: Duration, timeout: Duration) -> Cache {
    let url = format!("redis://127.0.0.1:{}", long_way(server, way).await);
    let mut options = CacheOptions { memory_bytes: 0, joins_processes, ..options_at(&url) };
    options.redis.as_mut().unwrap().redis.timeout = timeout;
    let cache = Cache::open(options).unwrap();
    let begun = Instant::now();
    while cache.redis_get(&key(1), "").await.is_none() {
        assert!(begun.elapsed() < SOON, "{:?}", cache.stats());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    cache
}

async fn keep(cache: &Cache, number: u32, namespace: &str) {
    cache.put(key(number), Entry { namespace, ..entry("an answer") });
    cache.flush().await.unwrap();
}

#[tokio::test]
async fn the_first_look_into_a_namespace_takes_no_longer_than_any_other() {
    let Some(server) = Server::start() else { return };
    let other = open(&server);
    keep(&other, 1, "").await;
    once_undisturbed(async |round| {
        let namespaces = [0, 1].map(|number| format!("{round}.{number}"));
        for namespace in &namespaces {
            keep(&other, 1, namespace).await;
        }
        let (cache, joins) = futures_util::future::join(impatient(&server, false), impatient(&server, true)).await;
        let [skipped, skipped_by_joining] = [&cache, &joins].map(|cache| cache.stats().redis.unwrap().skipped);
        let mut found = Vec::new();
        for namespace in &namespaces {
            found.push(cache.redis_get(&key(1), namespace).await.is_some());
            found.push(matches!(joins.turn(&key(1), namespace, SOON).await, Turn::Found(_)));
        }
        let redis = [&cache, &joins].map(|cache| cache.stats().redis.unwrap());
        let all = redis.each_ref().map(|redis| (redis.status, redis.skipped));
        let is_so = found == [true; 4] && all == [("connected", skipped), ("connected", skipped_by_joining)];
        if is_so { Ok(()) } else { Err((found, redis)) }
    })
    .await;
}

#[tokio::test]
async fn a_look_that_has_to_ask_twice_does_not_make_redis_late_and_the_next_one_finds() {
    let Some(server) = Server::start() else { return };
    let other = open(&server);
    keep(&other, 1, "").await;
    once_undisturbed(async |round| {
        let (cache, namespace) = (impatient(&server, false).await, format!("{round}"));
        // Whose generation is not that of all others.
        other.clear(Some(&namespace)).await.unwrap();
        keep(&other, 1, &namespace).await;
        tokio::time::sleep(Duration::from_millis(2_500)).await;
        assert!(cache.redis_get(&key(1), &namespace).await.is_none(), "that takes 1.2 s");
        let status = cache.stats().redis.unwrap().status;
        let is_so = status == "connected" && cache.redis_get(&key(1), &namespace).await.is_some();
        if is_so { Ok(()) } else { Err((status, cache.stats().redis)) }
    })
    .await;
}

#[tokio::test]
async fn a_process_that_begins_far_from_redis_does_not_say_that_it_is_away() {
    let Some(server) = filled("").await else { return };
    // A connection, what was cleared, and the answer take longer than anybody waits; the first two, a second together at most.
    let (way, timeout) = (Duration::from_millis(320), Duration::from_millis(620));
    once_undisturbed(async |_| {
        let redis = impatient_by(&server, false, way, timeout).await.stats().redis.unwrap();
        let is_so = redis.skipped > 0 && redis.last_error.is_none();
        if is_so { Ok(()) } else { Err(redis) }
    })
    .await;
}
