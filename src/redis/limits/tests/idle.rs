//! What becomes of limits where a Redis that is there closes connections that nobody uses.

use tokio::time::Instant;

use super::away::{process, redis_of, take};
use super::*;

const AT_ONCE: Duration = Duration::from_secs(1);

/// After which nothing counts of what was admitted; and after which nobody says yet that it is alive.
const LONG: Duration = Duration::from_secs(61);
const SHORTLY: Duration = Duration::from_millis(600);

fn ten() -> Limits {
    Limits { rpm: Some(10), ..Limits::default() }
}

/// The clock of this process goes on so far at once.
async fn skip(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

/// Whether the limit holds of two processes, one of which knows of no other and has lost its connection.
async fn is_held_by_one_that_lost_its_connection(server: &Server, idle: Duration, close: impl FnOnce()) {
    let [(first, status), (second, _)] = [0, 1].map(|number| process(server, number, ten()));
    let far = Instant::now() + Duration::from_secs(90);
    assert_eq!(take(&first, far, 1).await, 1);
    skip(idle).await;
    assert_eq!(take(&second, far, 9).await, 9);
    close();
    redis_of(server, 0).lost(b"").await;
    assert_eq!(take(&first, Instant::now() + AT_ONCE, 20).await, 0);
    assert_eq!(status.stats(Instant::now()).redis.status, "connected");
}

#[tokio::test]
async fn a_process_that_is_of_no_use_any_more_when_its_connection_is_closed_is_not_alone() {
    let Some(server) = Server::start_with(&["--timeout", "1"]) else { return };
    is_held_by_one_that_lost_its_connection(&server, LONG, || ()).await;
}

#[tokio::test]
async fn a_process_whose_connection_is_closed_while_what_it_admitted_counts_is_not_alone() {
    let Some(server) = Server::start() else { return };
    let kill = || drop(server.ask(&["CLIENT", "KILL", "TYPE", "normal"]));
    is_held_by_one_that_lost_its_connection(&server, SHORTLY, kill).await;
}

#[tokio::test]
async fn a_redis_that_died_while_nobody_used_it_is_found_away_by_the_first_who_does() {
    for idle in [LONG, SHORTLY] {
        let Some(mut server) = Server::start() else { return };
        let (tracker, status) = process(&server, 0, ten());
        let far = || Instant::now() + Duration::from_secs(30);
        assert_eq!(take(&tracker, far(), 1).await, 1);
        skip(idle).await;
        server.kill();
        redis_of(&server, 0).lost(b"").await;
        assert_eq!(take(&tracker, far(), 9).await, 9, "after {idle:?}");
        assert_eq!(status.stats(Instant::now()).redis.status, "local");
    }
}
