//! What becomes of routers whose Redis is not there, or not as it should be.

use std::time::Duration;

use thryd::kinds::CompletionRequest;

use super::reached::{reach, reached_by_limits};
use super::server::Server;
use super::{ask, ask_alone, options, redis_of, router, until, url, watched};

#[tokio::test]
async fn a_redis_that_was_never_there_costs_a_share_and_no_call() {
    let router = router(r#"{"redis": {"url": "redis://127.0.0.1:1", "processes": 5}}"#, r#""rpm": 10"#, "{}");
    let mut admitted = 0;
    for _ in 0..10 {
        admitted += i32::from(ask(&router).await.is_ok());
    }
    assert_eq!(admitted, 2, "10 rpm among 5 processes");
    let redis = redis_of(&router);
    assert_eq!(redis.status, "local");
    assert!(redis.error.unwrap().contains("127.0.0.1:1"));
}

#[tokio::test]
async fn a_redis_that_accepts_and_says_nothing_costs_no_call_and_no_more_time_than_it_has() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let limits = format!(r#"{{"redis": "redis://127.0.0.1:{}"}}"#, silent.local_addr().unwrap().port());
    let router = router(&limits, r#""rpm": 10"#, "{}");
    let mut options = options(&router, Duration::from_secs(60));
    options.timeouts.as_mut().unwrap().total = Some(Duration::from_millis(200));
    let hasty = router.invoke("g", CompletionRequest::message("Hi"), options);
    let begun = std::time::Instant::now();
    let (hasty, patient) = futures_util::future::join(async { (hasty.await, begun.elapsed()) }, async {
        (ask_alone(&router, Duration::ZERO).await, begun.elapsed())
    })
    .await;
    let error = hasty.0.unwrap_err();
    assert_eq!(error.code(), "ERR_TIMEOUT", "{error}");
    assert!(hasty.1 < patient.1, "{:?}, {:?}", hasty.1, patient.1);
    patient.0.unwrap();
    assert_eq!(redis_of(&router).status, "local");
    // What is known needs no waiting.
    let begun = std::time::Instant::now();
    ask(&router).await.unwrap();
    assert!(begun.elapsed() < patient.1, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_redis_that_dies_and_comes_back_empty_is_told_what_was_admitted() {
    let Some(mut server) = reached_by_limits().await else { return };
    let router = router(&url(&server), r#""rpm": 10"#, "{}");
    for _ in 0..4 {
        ask(&router).await.unwrap();
    }
    server.kill();
    for _ in 0..2 {
        ask(&router).await.unwrap();
    }
    assert_eq!(redis_of(&router).status, "local");
    server.restart();
    until(Duration::from_secs(2), || redis_of(&router).status == "connected").await;
    let other = super::router(&url(&server), r#""rpm": 10"#, "{}");
    let mut admitted = 0;
    for _ in 0..10 {
        admitted += i32::from(ask(&other).await.is_ok());
    }
    assert_eq!(admitted, 4, "six of ten were admitted before");
}

/// Asks this often, and gives how many were admitted and how long the slowest took.
async fn rush(router: &thryd::route::Router<thryd::kinds::Completion>, times: usize) -> (usize, Duration) {
    let (mut admitted, mut slowest) = (0, Duration::ZERO);
    for _ in 0..times {
        let begun = std::time::Instant::now();
        match ask(router).await {
            Ok(_) => admitted += 1,
            Err(error) => assert_eq!(error.code(), "ERR_RATE_LIMITED", "{error}"),
        }
        slowest = slowest.max(begun.elapsed());
    }
    (admitted, slowest)
}

#[tokio::test]
async fn a_redis_that_stands_still_delays_one_call_a_little_and_is_back_when_it_goes_on() {
    let Some(server) = Server::start() else { return };
    let limits = format!(r#"{{"redis": {{"url": "{}", "timeoutMs": 1000}}}}"#, server.url());
    let _connected = reach(&limits).await;
    let router = router(&limits, r#""rpm": 100"#, "{}");
    assert_eq!(rush(&router, 10).await.0, 10);
    server.signal("STOP");
    let (admitted, slowest) = rush(&router, 20).await;
    assert_eq!(admitted, 20);
    assert!(slowest < Duration::from_secs(3), "{slowest:?}");
    assert_eq!(redis_of(&router).status, "local");
    tokio::time::sleep(Duration::from_secs(2)).await;
    server.signal("CONT");
    until(Duration::from_secs(2), || redis_of(&router).status == "connected").await;
    // What was admitted meanwhile was told, and what it was asked before it stood still it granted to nobody.
    let other = super::router(&url(&server), r#""rpm": 100"#, "{}");
    let (admitted, _) = rush(&other, 100).await;
    assert_eq!(admitted, 70);
}

#[tokio::test]
async fn a_redis_that_stands_still_delays_no_call_by_more_than_the_default() {
    let Some(server) = Server::start() else { return };
    let limits = format!(r#"{{"redis": "{}"}}"#, server.url());
    let _connected = reach(&limits).await;
    let router = router(&limits, r#""rpm": 100"#, "{}");
    server.signal("STOP");
    let ((admitted, slowest), held_up) = watched(rush(&router, 20)).await;
    assert_eq!(admitted, 20);
    assert!(slowest < Duration::from_secs(1) + held_up, "{slowest:?}, {held_up:?}");
    assert_eq!(redis_of(&router).status, "local");
    server.signal("CONT");
}

#[tokio::test]
async fn scripts_that_were_flushed_are_sent_again() {
    let Some(server) = reached_by_limits().await else { return };
    let router = router(&url(&server), r#""rpm": 10"#, "{}");
    ask(&router).await.unwrap();
    server.ask(&["SCRIPT", "FLUSH"]);
    ask(&router).await.unwrap();
    assert_eq!(redis_of(&router).status, "connected");
}

#[tokio::test]
async fn a_redis_that_takes_no_writes_costs_a_share_and_is_used_again_when_it_does() {
    for (refuse, allow, word) in [
        (["CONFIG", "SET", "maxmemory", "1"], ["CONFIG", "SET", "maxmemory", "0"], "OOM"),
        (["REPLICAOF", "127.0.0.1", "1", ""], ["REPLICAOF", "NO", "ONE", ""], "READONLY"),
    ] {
        let Some(server) = reached_by_limits().await else { return };
        let say = |words: [&str; 4]| server.ask(&words.into_iter().filter(|it| !it.is_empty()).collect::<Vec<_>>());
        let router = router(&url(&server), r#""rpm": 10"#, "{}");
        ask(&router).await.unwrap();
        say(refuse);
        ask(&router).await.unwrap();
        let redis = redis_of(&router);
        assert_eq!(redis.status, "local");
        assert!(redis.error.as_ref().unwrap().contains(word), "{redis:?}");
        say(allow);
        until(Duration::from_secs(2), || redis_of(&router).status == "connected").await;
        assert_eq!(rush(&router, 10).await.0, 8, "two of ten were admitted before");
    }
}

#[tokio::test]
async fn a_wrong_password_is_said_without_showing_it() {
    let Some(server) = Server::start_with(&["--requirepass", "right-one"]) else { return };
    for (credentials, word) in [(":hunter2@", "password are not accepted"), ("", "NOAUTH")] {
        let limits = format!(r#"{{"redis": "redis://{credentials}127.0.0.1:{}"}}"#, server.port);
        let router = router(&limits, r#""rpm": 10"#, "{}");
        ask(&router).await.unwrap();
        let redis = redis_of(&router);
        assert_eq!(redis.status, "local");
        assert!(redis.error.as_ref().unwrap().contains(word), "{redis:?}");
        assert!(!format!("{redis:?} {router:?}").contains("hunter2"));
    }
    let right = format!(r#"{{"redis": "redis://:right-one@127.0.0.1:{}"}}"#, server.port);
    let router = router(&right, r#""rpm": 10"#, "{}");
    ask(&router).await.unwrap();
    assert_eq!(redis_of(&router).status, "connected");
}

#[tokio::test]
async fn keys_that_are_somebody_elses_or_of_a_newer_thryd_are_refused_and_left_as_they_are() {
    let Some(server) = Server::start() else { return };
    let router = || router(&url(&server), r#""rpm": 10"#, "{}");
    // To find out how the key is called.
    ask(&router()).await.unwrap();
    let all = server.ask(&["KEYS", "*window*"]);
    let key = all.lines().find(|line| line.contains(":window:")).unwrap();
    for (make, word) in [
        (vec!["LPUSH", key, "mine"], "WRONGTYPE"),
        (vec!["SET", key, "mine"], "not a window of thryd"),
        (
            vec!["SET", key, "thryd\u{7}..................................................."],
            "layout 7 of a newer thryd",
        ),
    ] {
        server.ask(&["FLUSHALL"]);
        server.ask(&make);
        let before = server.ask(&["DUMP", key]);
        let router = router();
        assert_eq!(rush(&router, 20).await.0, 10);
        let redis = redis_of(&router);
        assert_eq!(redis.status, "local");
        assert!(redis.error.as_ref().unwrap().contains(word), "{redis:?}");
        assert_eq!(server.ask(&["DUMP", key]), before);
    }
}

#[tokio::test]
async fn a_local_share_is_that_of_the_processes_that_were_alive_last() {
    let Some(mut server) = reached_by_limits().await else { return };
    // Each router of this process stands for itself when it is alone.
    let routers = [router(&url(&server), r#""rpm": 12"#, "{}"), router(&url(&server), r#""rpm": 12"#, "{}")];
    for router in &routers {
        ask(router).await.unwrap();
    }
    server.kill();
    for router in &routers {
        assert_eq!(rush(router, 20).await.0, 5, "half of twelve, one of which is spent");
    }
}

#[tokio::test]
async fn a_redis_that_was_flushed_is_told_what_it_has_forgotten() {
    let Some(server) = reached_by_limits().await else { return };
    let router = router(&url(&server), r#""rpm": 10"#, "{}");
    for _ in 0..4 {
        ask(&router).await.unwrap();
    }
    server.ask(&["FLUSHALL"]);
    ask(&router).await.unwrap();
    until(Duration::from_secs(2), || redis_of(&router).status == "connected").await;
    let other = super::router(&url(&server), r#""rpm": 10"#, "{}");
    let admitted = rush(&other, 10).await.0;
    // One may have been granted by the window that had forgotten, and used by nobody.
    assert!((4..=5).contains(&admitted), "{admitted}");
}

#[tokio::test]
async fn a_redis_that_starts_again_from_an_older_copy_is_told_what_it_has_forgotten() {
    let Some(mut server) = reached_by_limits().await else { return };
    let router = router(&url(&server), r#""rpm": 20"#, "{}");
    assert_eq!(rush(&router, 5).await.0, 5);
    server.ask(&["SAVE"]);
    assert_eq!(rush(&router, 15).await.0, 15);
    server.kill();
    server.restart();
    assert_eq!(rush(&router, 20).await.0, 0);
    until(Duration::from_secs(3), || redis_of(&router).status == "connected").await;
    assert_eq!(rush(&router, 20).await.0, 0);
    let other = super::router(&url(&server), r#""rpm": 20"#, "{}");
    assert_eq!(rush(&other, 20).await.0, 0);
}
