//! What becomes of routers whose Redis is not there, or not as it should be.

use std::time::Duration;

use super::server::Server;
use super::{ask, redis_of, router, until, url};

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
async fn a_redis_that_dies_and_comes_back_empty_is_told_what_was_admitted() {
    let Some(mut server) = Server::start() else { return };
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
