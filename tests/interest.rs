//! Calls that nobody wants any more, though they have not been dropped yet.

mod support;

use std::pin::pin;
use std::time::Duration;

use futures_util::poll;
use support::{Reply, Server};
use thryd::error::Result;
use thryd::kinds::{Completion, CompletionRequest};
use thryd::options::{CacheUse, DeployOptions, Interest, InvokeOptions, RouterOptions};
use thryd::provider::ProviderOptions;
use thryd::route::{Answer, Router};

const ANSWER: &str =
    r#"{"choices":[{"index":0,"message":{"role":"assistant","content":"Hi"},"finish_reason":"stop"}]}"#;

fn router(server: &Server) -> Router<Completion> {
    let provider = ProviderOptions::new("openai-compatible").name("p").base_url(server.url("/v1"));
    let options = RouterOptions { providers: vec![provider], ..RouterOptions::default() };
    let router = Router::new(options).unwrap();
    router.deploy("default", "p::m", DeployOptions::default()).unwrap();
    router
}

/// Asks with this interest, and waits in the line for so long.
async fn ask(router: &Router<Completion>, interest: Option<Interest>, queue: Duration) -> Result<Answer<Completion>> {
    let mut timeouts = *router.timeouts();
    timeouts.queue = queue;
    let options = InvokeOptions { interest, timeouts: Some(timeouts), ..InvokeOptions::default() };
    router.invoke("default", CompletionRequest::message("Hi"), options).await
}

/// The same, joined with nobody.
async fn ask_alone(router: &Router<Completion>) -> Result<Answer<Completion>> {
    let mut timeouts = *router.timeouts();
    timeouts.queue = Duration::ZERO;
    let options = InvokeOptions { timeouts: Some(timeouts), cache: CacheUse::NoStore, ..InvokeOptions::default() };
    router.invoke("default", CompletionRequest::message("Hi"), options).await
}

/// An interest that is lost.
fn lost() -> Option<Interest> {
    let interest = Interest::default();
    interest.lose();
    Some(interest)
}

/// Until everything has happened that can.
async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_call_that_nobody_wants_is_not_sent_and_refuses_nobody_who_comes_after_it() {
    let server = Server::start(|_| Reply::json(200, ANSWER)).await;
    let router = router(&server);
    {
        let mut left = pin!(ask(&router, lost(), Duration::from_secs(60)));
        assert!(poll!(&mut left).is_pending());
        settle().await;
        let mut impatient = pin!(ask_alone(&router));
        assert!(poll!(&mut impatient).is_pending(), "it hears of room when the other has been dropped");
        settle().await;
        assert!(poll!(&mut impatient).is_pending() && poll!(&mut left).is_pending());
        assert_eq!((server.requests().len(), router.stats().waiting), (0, 2));
    }
    // Both were dropped.
    settle().await;
    assert_eq!((server.requests().len(), router.stats().waiting), (0, 0));
    assert!(ask_alone(&router).await.is_ok());
}

#[tokio::test]
async fn whoever_stood_behind_a_call_that_nobody_wants_goes_when_it_has_been_dropped() {
    let server = Server::start(|_| Reply::json(200, ANSWER)).await;
    let router = router(&server);
    let mut left = Box::pin(ask(&router, lost(), Duration::from_secs(60)));
    assert!(poll!(&mut left).is_pending());
    settle().await;
    let mut impatient = pin!(ask_alone(&router));
    assert!(poll!(&mut impatient).is_pending());
    settle().await;
    drop(left);
    assert!(impatient.await.is_ok());
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn whoever_joins_a_call_that_nobody_wanted_any_more_is_answered() {
    let server = Server::start(|_| Reply::json(200, ANSWER)).await;
    let router = router(&server);
    let mut left = Box::pin(ask(&router, lost(), Duration::from_secs(60)));
    assert!(poll!(&mut left).is_pending());
    settle().await;
    assert!(ask(&router, None, Duration::from_secs(60)).await.is_ok());
    assert!(left.await.is_ok(), "it was not dropped");
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn an_interest_that_is_lost_while_the_call_is_under_way_changes_nothing() {
    let server = Server::start(|_| Reply::json(200, ANSWER)).await;
    let router = router(&server);
    let interest = Interest::default();
    let mut call = pin!(ask(&router, Some(interest.clone()), Duration::ZERO));
    while server.requests().is_empty() {
        assert!(poll!(&mut call).is_pending());
        tokio::task::yield_now().await;
    }
    interest.lose();
    assert!(call.await.is_ok());
}
