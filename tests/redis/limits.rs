//! What several routers may do together.

use super::server::Server;
use super::{ask, redis_of, router, url};

#[tokio::test]
async fn two_routers_are_admitted_no_more_than_one_would_be() {
    let Some(server) = Server::start() else { return };
    let routers = [router(&url(&server), r#""rpm": 10"#, "{}"), router(&url(&server), r#""rpm": 10"#, "{}")];
    let mut admitted = [0, 0];
    for turn in 0..30 {
        if ask(&routers[turn % 2]).await.is_ok() {
            admitted[turn % 2] += 1;
        }
    }
    assert_eq!(admitted, [5, 5]);
    assert_eq!(redis_of(&routers[0]).status, "connected");
}

#[tokio::test]
async fn what_an_answer_did_not_cost_others_may_spend() {
    let Some(server) = Server::start() else { return };
    // "Hi" is some ten tokens; what is reserved is far more.
    let dummy = r#"{"responses": ["a"], "repeat": true}"#;
    let routers = [router(&url(&server), r#""tpm": 2000"#, dummy), router(&url(&server), r#""tpm": 2000"#, dummy)];
    for turn in 0..40 {
        // What was settled is told behind the caller's back.
        let queue = std::time::Duration::from_secs(2);
        super::ask_within(&routers[turn % 2], queue).await.unwrap_or_else(|error| panic!("turn {turn}: {error}"));
    }
}
